# SPDX-License-Identifier: Apache-2.0
"""A database put back to within the anchor's interval: nothing that was spent can be spent again (P6; fault 50). And other parts of
the database exchanged: the write-ahead log, the snapshot."""

import os
import shutil
import unittest

from statecase import CODE, UNSEEN, StateCase, new_id, signer_pb2

VOID = CODE.FAILED_PRECONDITION  # "send a fresh proof", "the transaction has ended"


class Within(StateCase):
    config = {**StateCase.config, "ledger.anchor_interval_ms": UNSEEN}

    @classmethod
    def seed(cls):
        cls.alice = cls.h.add_citizen("alice", totps=6)

    def authorize(self, request):
        return self.stub.Authorize(signer_pb2.AuthorizeRequest(
            request_id=new_id(), request=request, totp=signer_pb2.TotpProof(code=self.clock.code(self.alice))), timeout=10).sad

    def sign(self, **proof):
        request = self.sign_request(self.alice, **proof)
        self.stub.Sign(request, timeout=10)
        return request

    def test_50_within_the_anchors_interval(self):
        self.serve()
        whole = self.request(self.alice, [os.urandom(32) for _ in range(2)])
        parts = [self.request(self.alice, [d]) for d in whole.hashes]
        sad = self.authorize(whole)
        _, begun = self.begin(self.stub, self.alice)
        self.save("old", token=False)
        code = self.clock.code(self.alice)
        spent = [self.sign(code=code), self.sign(sad=sad, request=parts[0])]
        self.kill()
        self.put_back("old", token=False)
        self.serve()
        self.assertIn(" anchor-mismatch ", self.log())
        self.assertEqual(len(self.h.ledger("anchored")), 1)
        for proof in ({"code": code}, {"code": self.clock.code(self.alice)}):
            with self.subTest(proof=proof):
                self.assertRefused(VOID, self.sign_request(self.alice, **proof))
        for request in parts:
            self.assertRefused(VOID, self.sign_request(self.alice, sad=sad, request=request))
        for request in spent:  # the very requests that were answered before
            self.assertRefused(VOID, request)
        with self.refused(VOID):
            self.approve(self.approver(), self.device(self.alice), begun)
        # and life goes on: a new transaction, approved on the device
        request, begun = self.begin(self.stub, self.alice)
        self.approve(self.approver(), self.device(self.alice), begun)
        self.sign(sad=self.wait(self.stub, begun).sad, request=request)
        self.assertLedgerVerifies()

    # --- the write-ahead log --------------------------------------------------------------------------

    def wal(self):
        return f"{self.h.state}/state/kyso.db-wal"

    def test_50_log_taken_away(self):
        """What the authority wrote since its start stands in it alone, and the token has an anchor of that."""
        self.serve()
        self.sign()
        self.kill()
        os.remove(self.wal())
        self.assertSeals("the database is older than the token's anchor: restore the newest one")

    def test_50_older_log_put_back(self):
        self.serve()
        self.sign()
        self.save("old", token=False)
        self.stop_cleanly()
        self.serve()
        self.sign()
        self.kill()
        shutil.copy(f"{self.h.dir}/saved-old/kyso.db-wal", self.wal())
        self.h.launch()
        self.h.wait_for(lambda: " sealed reason=" in self.log(), "a seal")

    # --- the snapshot -----------------------------------------------------------------------------------

    def test_50_snapshot_of_another_time(self):
        """An older one of the same ledger is folded on from; one that the ledger does not reach is refused."""
        self.serve()
        code = self.clock.code(self.alice)
        self.sign(code=code)
        self.stop_cleanly()
        self.save("new")
        columns = "size, peaks, versions, body, mac"
        old, = self.sql(f"SELECT {columns} FROM snapshot", name="base")
        new, = self.sql(f"SELECT {columns} FROM snapshot")
        self.assertNotEqual(old, new)
        put = "UPDATE snapshot SET size = ?, peaks = ?, versions = ?, body = ?, mac = ?"
        for statement, values in ((put, old), ("DELETE FROM snapshot", ())):
            with self.subTest(statement=statement):
                self.put_back("new")
                self.sql(statement, *values)
                self.serve()
                self.assertRefused(CODE.PERMISSION_DENIED, self.sign_request(self.alice, code=code))
                self.stop_cleanly()
        self.put_back("base")
        self.sql(put, *new)
        self.assertSeals("the ledger cannot be read back")


if __name__ == "__main__":
    unittest.main()
