# SPDX-License-Identifier: Apache-2.0
"""The main tests on NSS softokn as on SoftHSM2: signing and operators. Those that ask less of the token are in test_nss_more."""

import unittest

from nsscase import NssCase

import test_operators
import test_sign


class EveryKind(NssCase, test_sign.SignEveryKind):
    kinds = [(kind, "resident") for kind in ("p256", "p384", "rsa2048", "rsa3072")]


class Paths(NssCase, test_sign.SignPaths):
    def test_what_the_token_cannot_do_is_refused(self):
        for kind, storage in (("ed25519", "resident"), ("p256", "wrapped")):
            with self.subTest(kind=kind):
                done = self.h.kyso("credential", "create", "--subject", "alice", "--key-type", kind, "--storage", storage,
                                   "--relying-party", "*", check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn("unimplemented", done.stdout + done.stderr)


class Operators(NssCase, test_operators.Operators):
    pass


class Probe(NssCase):
    def test_what_the_token_can_do_is_printed(self):
        beside = self.h.kysod("--probe")
        self.assertEqual((beside.returncode, beside.stdout), (1, ""), "there is a server: it has the latch")
        self.assertEqual(self.h.stop_server(), 0)
        done = self.h.kysod("--probe")
        self.assertEqual(done.returncode, 0, done.stderr)
        for row in (r"p256 +CKR_\w+ +yes", r"rsa2048 +yes, 1232 bytes +yes", r"ed25519 +- +-", r"  MODIFIABLE false +kept",
                    r"  COPYABLE false +CKR_GENERAL_ERROR", r"  UNWRAP_TEMPLATE +NOT KEPT", r"operation state +per session",
                    r"Kyso takes it for resident keys only: .*"):
            self.assertRegex(done.stdout, f"(?m)^{row}$")
        self.h.run_server()  # nothing of it stayed that a start would mind


if __name__ == "__main__":
    unittest.main()
