# SPDX-License-Identifier: Apache-2.0
"""Fault 29 and P21: a credential is suspended, and at once resumed, at a random moment of its requests: some wait for a vault, one is in each
token, some are signed. What was intended before is not released after. KYSO_TEST_SEED repeats the moments."""

import os
import random
import time
import unittest

from faultcase import CODE, FaultCase, k
from storm import ROUNDS

AT_ONCE = 24  # requests of a round
DELAY_MS = 20  # of the token, for each
SEED = int(os.environ.get("KYSO_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
SIGNED = 1  # a receipt's outcome
REFUSED = (CODE.PERMISSION_DENIED, CODE.FAILED_PRECONDITION)


class Revoked(FaultCase):
    @classmethod
    def seed(cls):
        cls.people = cls.add_citizens("alice", "bob")

    def round(self, citizen, before_s):
        """Suspends and resumes while requests are under way. Their ids, and how many were signed."""
        requests = self.authorized(citizen, AT_ONCE, None)
        calls = [self.stub.Sign.future(request, timeout=60) for request in requests]
        time.sleep(before_s)  # any moment will do
        self.h.kyso("credential", "suspend", citizen["credential_id"])
        self.assertNotSigned(self.sign_request(citizen), *REFUSED)
        self.h.kyso("credential", "resume", citizen["credential_id"])
        signed = 0
        for request, call in zip(requests, calls):
            if call.exception() is None:
                signed += 1
                k.verify(self.keys[citizen["credential_id"]], request.request.algorithm, request.request.hashes[0],
                         call.result().signatures[0])
            else:
                self.assertIn(call.exception().code(), REFUSED, call.exception().details())
        return [request.request_id for request in requests], signed

    def test_29_revoked_while_queued_or_in_the_token(self):
        print(f"\nKYSO_TEST_SEED={SEED}")
        rng, whose, n = random.Random(SEED), {}, 0
        some = cut = False  # on a busy machine it may come too early, or too late, again and again
        self.obey(f"C_Sign unwrapped delay {DELAY_MS}")
        while n < ROUNDS or (not (some and cut) and n < 10 * ROUNDS):
            citizen = self.people[n % len(self.people)]
            ids, signed = self.round(citizen, rng.uniform(0, DELAY_MS / 1000 * AT_ONCE / self.vaults))
            whose.update((i, citizen["credential_id"]) for i in ids)
            some, cut, n = some or signed > 0, cut or signed < AT_ONCE, n + 1
        self.judge(whose, n)

    def judge(self, whose, rounds):
        """By the ledger: nothing is signed with a revocation between intent and receipt."""
        open_intents, revoked, released, withheld, wrong = {}, 0, 0, 0, []
        for r in self.h.ledger("intent", "receipt", "operation"):
            if r["type"] == "intent" and r["request_id"] in whose:
                open_intents[r["index"]] = [whose[r["request_id"]], False]
            elif r["type"] == "operation" and r["name"] == "set-credential-state":
                for intent in open_intents.values():
                    intent[1] |= intent[0] == r["target"]
            elif r["type"] == "receipt" and r["intent"] in open_intents:
                over = open_intents.pop(r["intent"])[1]
                released += r["outcome"] == SIGNED
                revoked += over
                wrong += [r] if over and r["outcome"] == SIGNED else []
        self.assertEqual(wrong, [])
        self.assertGreater(revoked, 0, "no suspension found anything in flight")
        self.assertGreater(released, 0, "nothing was signed before one")
        print(f"\nfigures: P21: {rounds} suspensions under load, {revoked} intents were in flight across one, 0 of them released; "
              f"{released} signed before", flush=True)


if __name__ == "__main__":
    unittest.main()
