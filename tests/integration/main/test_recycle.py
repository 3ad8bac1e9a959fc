# SPDX-License-Identifier: Apache-2.0
"""A token that leaks: vaults are replaced while they work, and nobody notices (P13)."""

import unittest

from base import ServerCase, digest_of, new_id, signer_pb2

REQUESTS = 600
CITIZENS = 8


class Recycle(ServerCase):
    # two handles in each of two vaults for eight citizens: nearly every signature unwraps a key
    config = {"token.vaults": 2, "token.recycle_after": 60, "token.cache_keys": 2}

    @classmethod
    def seed(cls):
        cls.citizens = [cls.h.add_citizen(f"person-{i}", device=None) for i in range(CITIZENS)]

    def test_no_request_is_lost_while_vaults_are_replaced(self):
        stub = self.signer()
        requests = []
        for citizen in self.citizens:
            whole = self.request(citizen, [digest_of(new_id()) for _ in range(REQUESTS // CITIZENS)])
            sad = stub.Authorize(signer_pb2.AuthorizeRequest(
                request_id=new_id(), request=whole, totp=signer_pb2.TotpProof(code=self.clock.code(citizen))),
                timeout=10).sad
            requests.append([self.sign_request(citizen, request=self.request(citizen, [d]), sad=sad)
                             for d in whole.hashes])
        in_turn = [r for four in zip(*requests) for r in four]
        replies = list(stub.SignStream(iter(in_turn), timeout=120))
        self.assertEqual([r.error for r in replies if r.HasField("error")], [])
        self.assertEqual({r.request_id for r in replies}, {r.request_id for r in in_turn})
        self.h.wait_for(lambda: self.retired() >= 2, "two vaults to be replaced")
        self.h.wait_for(lambda: len(self.h.children("kyso-vault")) == 2, "the worn ones to end")
        self.assertNotIn("vault-killed", self.h.log_text())
        self.assertLedgerVerifies()

    def retired(self):
        return sum('role-ended role_kind="vault"' in line and "exit=0 signal=0" in line
                   for line in self.h.log_text().splitlines())


if __name__ == "__main__":
    unittest.main()
