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

    def test_tpm(self):
        with open(f"{self.h.dir}/script", "w") as f, open(os.path.join(HERE, "../../fault/scripts/tpm.fault")) as tpm:
            f.write(tpm.read())
        self.h.env["KYSO_FAULT_SCRIPT"] = f.name
        self.h.config["token.module"] = f"{self.h.bin}/kyso-fault.so"
        self.h.configure()
        printed = self.probe()
        self.assertRegex(printed, r"(?m)^operation state +per token: token.serialize$")
        self.assertRegex(printed, r"(?m)^CKA_LOCAL on its own keys +no$")


if __name__ == "__main__":
    unittest.main()
