# SPDX-License-Identifier: Apache-2.0
"""kill -9 of each role during a load: everything accepted is answered or safely retried, nothing is spent twice."""

import os
import signal
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor

from base import ServerCase, T, digest_of, grpc, harness, k, new_id, signer_pb2

RETRYABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED,
             grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED)
LOAD = 1000
BATCH = 250


class KillCase(ServerCase):
    @classmethod
    def seed(cls):
        cls.alice = cls.h.add_citizen("alice", totps=8)

    def load(self):
        """1 000 requests under four SADs."""
        stub = self.signer()
        requests = []
        self.codes = []
        for part in range(LOAD // BATCH):
            self.codes.append(self.clock.code(self.alice))
            whole = self.request(self.alice, [digest_of(f"{new_id()} {i}") for i in range(BATCH)])
            sad = stub.Authorize(signer_pb2.AuthorizeRequest(
                request_id=new_id(), request=whole, totp=signer_pb2.TotpProof(code=self.codes[-1])),
                timeout=20).sad
            requests += [self.sign_request(self.alice, request=self.request(self.alice, [d]), sad=sad)
                         for d in whole.hashes]
        return requests

    def sign_until_answered(self, stub, request):
        """As PROTOCOL.md tells a client: the same request again while the status allows it."""
        for _ in range(200):
            try:
                return "signed", stub.Sign(request, timeout=10)
            except grpc.RpcError as e:
                code, retry, after = k.error_detail(e) or ("none", T.RETRY_SAME_REQUEST, 0)
                if retry == T.RETRY_NEW_PROOF and code in ("proof-needed", "tx-ended"):
                    return "abandoned", None  # a crash voids what was not signed: a new proof is needed
                if e.code() not in RETRYABLE:
                    raise
                threading.Event().wait(max(after, 50) / 1000)
        self.fail(f"no answer for {request.request_id}")

    def run_load(self, kill_at, victim):
        requests = self.load()
        stub = self.signer()
        done = []
        killed = threading.Event()

        def one(request):
            outcome = self.sign_until_answered(stub, request)
            done.append(request.request_id)
            if len(done) >= kill_at and not killed.is_set():
                killed.set()
                os.kill(victim(), signal.SIGKILL)
            return outcome

        with ThreadPoolExecutor(32) as pool:
            outcomes = list(pool.map(one, requests))
        self.assertTrue(killed.is_set())
        return requests, outcomes

    def check(self, requests, outcomes):
        stub = self.signer()
        key = self.public_key(stub, self.alice)
        signed = 0
        for request, (what, reply) in zip(requests, outcomes):
            if what == "signed":
                signed += 1
                k.verify(key, request.request.algorithm, request.request.hashes[0], reply.signatures[0])
                again = self.sign_until_answered(stub, request)
                self.assertEqual(again[1].signatures, reply.signatures)
        records = self.h.ledger("intent", "receipt")
        mine = {r.request_id for r in requests}
        intents = {r["index"]: r for r in records if r["type"] == "intent" and r["request_id"] in mine}
        receipts = [r["intent"] for r in records if r["type"] == "receipt"]
        self.assertEqual(sorted(i for i in receipts if i in intents), sorted(intents), "one receipt each")
        hashes = [r["hashes"] for r in intents.values()]
        self.assertEqual(len(hashes), len(set(hashes)), "no hash of a SAD was spent twice")
        self.assertLedgerVerifies()
        return signed



class Kill(KillCase):
    def vault_that_signs(self, stub):
        """The vault that has alice's key hot: the one that woke up for signatures asked one after another."""
        def wakes():
            found = {}
            for pid in self.h.children("kyso-vault"):
                with open(f"/proc/{pid}/status") as f:
                    found[pid] = next(int(line.split()[1]) for line in f if line.startswith("voluntary_ctxt"))
            return found

        batch = self.request(self.alice, [digest_of(new_id()) for _ in range(50)])
        sad = stub.Authorize(signer_pb2.AuthorizeRequest(
            request_id=new_id(), request=batch, totp=signer_pb2.TotpProof(code=self.clock.code(self.alice))),
            timeout=20).sad
        before = wakes()
        for d in batch.hashes:
            stub.Sign(self.sign_request(self.alice, request=self.request(self.alice, [d]), sad=sad), timeout=20)
        after = wakes()
        return max(after, key=lambda pid: after[pid] - before.get(pid, 0))

    def test_kill_a_vault(self):
        requests, outcomes = self.run_load(200, lambda: self.h.children("kyso-vault")[0])
        self.assertEqual(self.check(requests, outcomes), LOAD, "another vault signs what the dead one had")

    def test_a_vault_that_hangs(self):
        """Its jobs miss their deadline: it is killed, and another does them."""
        stub = self.signer()
        whole = self.request(self.alice, [digest_of(new_id()) for _ in range(100)])
        sad = stub.Authorize(signer_pb2.AuthorizeRequest(
            request_id=new_id(), request=whole, totp=signer_pb2.TotpProof(code=self.clock.code(self.alice))),
            timeout=20).sad
        requests = [self.sign_request(self.alice, request=self.request(self.alice, [d]), sad=sad)
                    for d in whole.hashes]
        # one only: a key under which two vaults die in turn is quarantined (fault 41)
        os.kill(self.vault_that_signs(stub), signal.SIGSTOP)
        replies = list(stub.SignStream(iter(requests), timeout=60))
        self.assertEqual([r.error for r in replies if r.HasField("error")], [])
        self.assertEqual(len(replies), 100)
        self.assertIn("a job missed its deadline", self.h.log_text())
        self.assertEqual(self.check(requests, [("signed", r.reply) for r in self.ordered(requests, replies)]), 100)

    @staticmethod
    def ordered(requests, replies):
        by_id = {r.request_id: r for r in replies}
        return [by_id[r.request_id] for r in requests]

    def test_kill_the_front(self):
        port = self.h.endpoints()["signer"]
        fronts = self.h.children("kyso-front")
        victim = next(pid for pid in fronts if "signer" in harness.command_line(pid))
        requests, outcomes = self.run_load(200, lambda: victim)
        self.assertEqual(self.check(requests, outcomes), LOAD)
        self.assertEqual(self.h.endpoints()["signer"], port)


class KillAuthority(KillCase):
    """Apart from the others: after an unclean start no code of the window around it is taken."""

    def test_kill_the_authority(self):
        requests, outcomes = self.run_load(200, lambda: self.h.children("kyso-authority")[0])
        signed = self.check(requests, outcomes)
        self.assertGreater(signed, 0)
        stub = self.signer()
        intents = len(self.h.ledger("intent"))
        for request, (what, _) in zip(requests, outcomes):
            self.assertRefused(stub, request.request, what, sad=request.sad)
        for code in self.codes:
            self.assertRefused(stub, self.request(self.alice), code, totp=signer_pb2.TotpProof(code=code))
        self.assertEqual(len(self.h.ledger("intent")), intents, "nothing was spent again")

    def assertRefused(self, stub, request, what, **proof):
        """Refused as a proof, not for being unavailable."""
        with self.assertRaises(grpc.RpcError, msg=what) as caught:
            stub.Sign(signer_pb2.SignRequest(request_id=new_id(), request=request, **proof), timeout=10)
        self.assertIn(caught.exception.code(),
                      (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.FAILED_PRECONDITION), what)


if __name__ == "__main__":
    unittest.main()
