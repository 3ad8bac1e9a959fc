# SPDX-License-Identifier: Apache-2.0
"""Whose turn it is: a citizen beside bulk, EC keys beside RSA keys, signing while keys are generated, long requests shared out.
What waits is counted in the others' signatures, not in milliseconds: a busy machine slows everybody."""

import os
import threading
import unittest

from base import ServerCase, new_id, signer_pb2

BULK = 160


class Fair(ServerCase):
    config = {"token.vaults": 2, "ledger.anchor_interval_ms": 60000, "ledger.checkpoint_interval_s": 3600}

    @classmethod
    def seed(cls):
        cls.bulk = cls.h.add_citizen("bulk", key_type="rsa4096", device=None)
        cls.person = cls.h.add_citizen("person", relying_parties=("ministry-a",), device=None, totps=6)

    def stock(self, stub, citizen, count, rp="portal"):
        """Sign requests of one hash each under one SAD."""
        whole = self.request(citizen, [os.urandom(32) for _ in range(count)], rp=rp)
        sad = stub.Authorize(signer_pb2.AuthorizeRequest(
            request_id=new_id(), request=whole, totp=signer_pb2.TotpProof(code=self.clock.code(citizen))), timeout=30).sad
        return [self.sign_request(citizen, request=self.request(citizen, [d], rp=rp), sad=sad) for d in whole.hashes]

    def sign_as_person(self, stub):
        request = self.sign_request(self.person, request=self.request(self.person, rp="ministry-a"))
        reply = stub.Sign(request, timeout=30)
        self.assertSigned(stub, self.person, request.request, reply, rp="ministry-a")

    def test_a_citizen_overtakes_bulk_of_dear_keys(self):
        portal, gateway = self.signer(), self.signer("gateway")
        requests = self.stock(portal, self.bulk, BULK)
        self.sign_as_person(gateway)  # connected, and its key unwrapped somewhere
        done, begun, errors = [], threading.Event(), []

        def flood():
            for reply in portal.SignStream(iter(requests), timeout=120):
                done.append(reply.request_id)
                errors.extend([reply.error] if reply.HasField("error") else [])
                begun.set()

        thread = threading.Thread(target=flood)
        thread.start()
        self.addCleanup(thread.join)
        self.assertTrue(begun.wait(30))
        passed = []
        for _ in range(4):
            before = len(done)
            self.sign_as_person(gateway)
            passed.append(len(done) - before)
        thread.join()
        self.assertEqual((errors, len(done)), ([], BULK))
        self.assertLess(sum(passed), BULK // 2, f"signatures of bulk while a citizen waited: {passed}")
        self.assertLedgerVerifies()

    def test_signing_goes_on_while_keys_are_generated(self):
        """Two keys would have a vault each if they were let, and nobody would sign until one is made."""
        gateway = self.signer("gateway")
        requests = [r for _ in range(3) for r in self.stock(gateway, self.person, 200, rp="ministry-a")]
        made, first = [], threading.Event()

        def generate():
            for _ in range(2):
                made.append(self.h.add_credential("bulk", "rsa4096"))
                first.set()

        threads = [threading.Thread(target=generate) for _ in range(3)]  # two ask at any time, the third may be between
        for thread in threads:
            thread.start()
            self.addCleanup(thread.join)
        self.assertTrue(first.wait(60))
        signed = 0
        while len(made) < 4 and signed < len(requests):
            gateway.Sign(requests[signed], timeout=30)
            signed += 1
        for thread in threads:
            thread.join()
        self.assertGreater(signed, 100)
        self.assertNotIn("vault-killed", self.h.log_text())

    def test_a_long_request_is_signed_in_order(self):
        gateway = self.signer("gateway")
        request = self.request(self.person, [os.urandom(32) for _ in range(64)], rp="ministry-a")
        before = self.jobs()
        reply = gateway.Sign(self.sign_request(self.person, request=request), timeout=30)
        self.assertSigned(gateway, self.person, request, reply, rp="ministry-a")
        self.assertEqual([after - was for was, after in zip(before, self.jobs())], [1, 1], "a part each")

    def jobs(self):
        """Jobs done by each vault, in the order of their index; checkpoints and anchors are too rare to be among them."""
        roles = self.h.kyso("status", json_out=True)["roles"]
        return [int(r["jobs"]) for r in sorted(roles, key=lambda r: int(r["index"])) if r["role"] == "vault"]


if __name__ == "__main__":
    unittest.main()
