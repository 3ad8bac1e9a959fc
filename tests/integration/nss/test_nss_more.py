# SPDX-License-Identifier: Apache-2.0
"""Refusals, restarts and kill -9 on NSS softokn as on SoftHSM2; vaults are not recycled on it: nothing is unwrapped. And what the
other two tokens are found to be able to do."""

import os
import unittest

from nsscase import HERE, NssCase, ServerCase

import test_kill
import test_refusals


class Proofs(NssCase, test_refusals.Proofs):
    pass


class Restart(NssCase, test_refusals.Restart):
    pass


class Kill(NssCase, test_kill.Kill):
    pass


class KillAuthority(NssCase, test_kill.KillAuthority):
    pass


class Probe(ServerCase):
    def probe(self):
        self.assertEqual(self.h.stop_server(), 0)
        done = self.h.kysod("--probe")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"(?m)^p256 +yes, 80 bytes +yes$")
        self.assertNotIn("NOT KEPT", done.stdout)
        self.assertRegex(done.stdout, r"(?m)^Kyso takes this token, for wrapped and for resident keys$")
        self.h.run_server()
        return done.stdout

    def test_softhsm(self):
        self.assertRegex(self.probe(), r"(?m)^operation state +per session$")

    def spoil(self, script, **limits):
        with open(f"{self.h.dir}/script", "w") as f:
            f.write(script)
        self.h.env["KYSO_FAULT_SCRIPT"] = f.name
        self.h.config.update({"token.module": f"{self.h.bin}/kyso-fault.so", **limits})
        self.h.configure()

    def test_tpm(self):
        with open(os.path.join(HERE, "../../fault/scripts/tpm.fault")) as tpm:
            self.spoil(tpm.read())
        printed = self.probe()
        self.assertRegex(printed, r"(?m)^operation state +per token: token.serialize$")
        self.assertRegex(printed, r"(?m)^CKA_LOCAL on its own keys +no$")

    def test_what_a_probe_that_dies_leaves(self):
        """It is no citizen's key, and goes with the next probe; one that takes longer than a start may is not killed. Nothing is
        said to be kept where what must fail never works."""
        self.spoil("C_Sign nth 2 crash\n")  # with the first resident key
        self.assertEqual(self.h.stop_server(), 0)
        self.assertEqual(self.h.kysod("--probe").returncode, 1)
        self.spoil("")
        self.h.run_server()
        self.assertIn("resident-keys=0", self.h.log_text())
        self.assertNotRegex(self.h.log_text(), "resident-keys=[1-9]")
        self.assertEqual(self.h.stop_server(), 0)
        self.spoil("C_CopyObject return CKR_FUNCTION_NOT_SUPPORTED\n", **{"limits.start_deadline_ms": 1000})
        done = self.h.kysod("--probe")
        self.assertEqual(done.returncode, 0, done.stderr)
        for row in ("removed    objects that an earlier probe has left: 1", "  COPYABLE false +cannot tell: .*", "  MODIFIABLE false +kept",
                    "  EXTRACTABLE false, in a copy +cannot tell: .*"):
            self.assertRegex(done.stdout, f"(?m)^{row}$")
        self.spoil("", **{"limits.start_deadline_ms": 60000})
        self.h.run_server()


if __name__ == "__main__":
    unittest.main()
