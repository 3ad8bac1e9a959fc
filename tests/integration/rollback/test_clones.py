# SPDX-License-Identifier: Apache-2.0
"""Two servers that would write one ledger: on the same state, and on copies of it with the same token (fault 51)."""

import os
import unittest

from statecase import CODE, StateCase


class Clones(StateCase):
    @classmethod
    def seed(cls):
        cls.alice = cls.h.add_citizen("alice", totps=4)

    def sign(self):
        request = self.sign_request(self.alice)
        self.stub.Sign(request, timeout=10)
        return request

    def test_51_clone_made_while_stopped(self):
        """Whoever starts first moves the anchor before it spends anything; the other is old."""
        with self.clone() as other:
            self.serve()
            self.assertSeals("the database is older than the token's anchor: restore the newest one", other)
            self.sign()
            self.add_records(1)
            self.wait_for_anchor(self.anchored() + 1)
            self.sign()

    def test_51_clone_made_while_running(self):
        """Its start moves the anchor, which the first one finds when it has something to anchor: it seals itself."""
        self.serve()
        request = self.sign()
        self.add_records(1)
        self.wait_for_anchor(self.anchored() + 1)
        with self.clone() as other:
            theirs = self.signer_of(other.run_server())
            self.add_records(1)
            self.assertSeals("another server has moved the token's anchor", launch=False)
            self.stub = theirs
            self.assertRefused(CODE.PERMISSION_DENIED, self.sign_request(self.alice, code=request.totp.code))
            request, begun = self.begin(theirs, self.alice)
            self.assertTrue(begun.transaction_id)

    def test_51_locks_removed_by_hand(self):
        self.serve()
        for name in ("kyso.db.lock", "run/kysod.lock"):
            os.remove(f"{self.h.state}/state/{name}")
        first, self.h.process = self.h.process, None
        try:
            self.h.launch()
            self.h.wait_for(lambda: " sealed reason=" in self.log(), "the second to seal itself")
            self.assertIn("another server holds this state", self.log())
            self.sign()
        finally:
            self.h.stop_server(9)
            self.h.process = first


if __name__ == "__main__":
    unittest.main()
