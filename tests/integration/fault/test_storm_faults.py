# SPDX-License-Identifier: Apache-2.0
"""Faults 31, 37 and 38 again and again under a load (P8, P9, P12): every request is answered with a signature that verifies, by the
first try of its client. KYSO_FAULT_ROUNDS says how often each strikes; the promises say a hundred."""

import os
import unittest

from faultcase import CODE, FaultCase, k

ROUNDS = int(os.environ.get("KYSO_FAULT_ROUNDS", "4"))
BETWEEN = 50  # signatures of a process before it is struck


class Storm(FaultCase):
    config = {"limits.sign_deadline_ms": 500}

    @classmethod
    def seed(cls):
        cls.people = cls.add_citizens("alice", "bob", "carol")

    def strike(self, action):
        """As long as it strikes there is a load: hashes of everybody in turn, a batch in flight."""
        self.may_end = ROUNDS
        self.obey(f"C_Sign unwrapped every {BETWEEN} times {ROUNDS} {action}")
        signed, waiting = 0, []
        while len(self.fired("C_Sign")) < ROUNDS:
            self.assertLess(signed, 3 * 2 * self.vaults * BETWEEN * ROUNDS, "it strikes no more")
            if not waiting:
                mixed = zip(*(zip([c] * 200, self.requests(c, 200)) for c in self.people))
                waiting = [pair for turn in mixed for pair in turn]
            batch, waiting = waiting[:60], waiting[60:]
            calls = [(c, r, self.stub.Sign.future(r, timeout=10)) for c, r in batch]
            for citizen, request, call in calls:
                k.verify(self.keys[citizen["credential_id"]], request.request.algorithm, request.request.hashes[0],
                         call.result().signatures[0])
                signed += 1
        self.wait_for_vaults()
        self.assertEqual(self.lines("key-quarantined"), [])

    def test_41_a_poisonous_key_in_a_crowd(self):
        """Of many requests of one poisonous key some reach each vault; these die with others' jobs in hand, two more find out
        whose it was, and what is left of it ends unsigned. Nobody else pays."""
        self.may_end = self.vaults + 2
        mallory = self.h.add_citizen("mallory", totps=1, device=None)
        self.learn_keys(mallory)
        crowd = [(c, r) for c in self.people for r in self.requests(c, 30)]
        poison = self.requests(mallory, 40, "dead41")
        self.obey("C_Sign data dead41 crash")
        calls = [(c, r, self.stub.Sign.future(r, timeout=10)) for c, r in crowd[:40]]
        lost = [self.stub.Sign.future(r, timeout=10) for r in poison]
        calls += [(c, r, self.stub.Sign.future(r, timeout=10)) for c, r in crowd[40:]]
        for citizen, request, call in calls:
            k.verify(self.keys[citizen["credential_id"]], request.request.algorithm, request.request.hashes[0],
                     call.result().signatures[0])
        self.assertEqual({call.exception().code() for call in lost}, {CODE.UNAVAILABLE})
        self.assertLessEqual(len(self.fired("C_Sign")), self.may_end)
        self.assertEqual(len(self.lines("key-quarantined")), 1)

    def test_31_every_session_lost_under_load(self):
        self.strike("lose-sessions")

    def test_37_hangs_under_load(self):
        self.strike("hang")

    def test_38_crashes_under_load(self):
        self.strike("crash")


if __name__ == "__main__":
    unittest.main()
