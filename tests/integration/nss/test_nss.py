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


if __name__ == "__main__":
    unittest.main()
