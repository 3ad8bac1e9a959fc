# SPDX-License-Identifier: Apache-2.0
"""A token with a TPM's ways (scripts/tpm.fault): one operation at a time whatever the session, room for eight keys, and none that it
calls local. With `serialize` the main tests of signing pass on it as they are."""

import os
import unittest

from faultcase import CODE, HERE, FaultCase, k

import test_sign

with open(os.path.join(HERE, "../../fault/scripts/tpm.fault")) as f:
    TPM = f.read()
ACTIVE = "0x90"  # CKR_OPERATION_ACTIVE


class TpmCase(FaultCase):
    script = TPM
    vaults = 1

    def setUp(self):
        super().setUp()
        self.obey(TPM)

    def refused_as_active(self):
        return [rest for function in ("C_SignInit", "C_FindObjectsInit") for _, rest in self.calls(function)
                if rest[1] == ACTIVE]


class EveryKind(TpmCase, test_sign.SignEveryKind):
    token = {"serialize": True, "sessions": 4}

    def tearDown(self):
        self.assertEqual(self.refused_as_active(), [])
        super().tearDown()


class Paths(TpmCase, test_sign.SignPaths):
    token = {"serialize": True, "sessions": 4}

    def tearDown(self):
        self.assertEqual(self.refused_as_active(), [])
        super().tearDown()


class Mix(TpmCase):
    """More people than the token has room for, all at once."""
    token = {"serialize": True, "sessions": 4}
    count = 10

    @classmethod
    def seed(cls):
        cls.people = cls.add_citizens(*(f"person-{i}" for i in range(cls.count)), totps=1)

    def burst(self, count):
        requests = [(c, r) for c in self.people for r in self.requests(c, count)]
        calls = [(c, r, self.stub.Sign.future(r, timeout=20)) for c, r in requests]
        wrong = []
        for citizen, request, call in calls:
            if call.exception() is not None:
                wrong.append(call.exception())
                continue
            k.verify(self.keys[citizen["credential_id"]], request.request.algorithm, request.request.hashes[0],
                     call.result().signatures[0])
        return wrong

    def setUp(self):
        super().setUp()
        self.obey(TPM + "C_Sign delay 2\n")  # an operation that lasts, for others to meet

    def test_35_and_one_operation_at_a_time(self):
        self.assertEqual(self.burst(4), [])
        self.assertEqual(self.refused_as_active(), [])
        full = [rest for _, rest in self.calls("C_UnwrapKey") if rest[1] == "0x31"]
        self.assertTrue(full, "there was room for eight")


class Careless(Mix):
    """The same without `serialize`: the setting is what makes the difference, and a wrong signature is never made of it."""
    token = {"sessions": 4}
    script = ""  # provisioned and started as any token: two of its first jobs may meet, and it would not start
    count = 3

    def test_35_and_one_operation_at_a_time(self):
        for error in self.burst(4):
            self.assertEqual(error.code(), CODE.UNAVAILABLE)
        self.assertTrue(self.refused_as_active())


if __name__ == "__main__":
    unittest.main()
