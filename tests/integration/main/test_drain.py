# SPDX-License-Identifier: Apache-2.0
"""SIGTERM in the middle of a load (fault 58, P25): what was accepted is answered, and whoever retries as PROTOCOL.md tells
gets every signature, however often the server restarts."""

import os
import re
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

from base import ServerCase, T, digest_of, grpc, k, new_id, signer_pb2
from test_kill import RETRYABLE

BATCH = 250
SENDERS = 16
SIGNED = 1  # a receipt's outcome
RESTARTS = int(os.environ.get("KYSO_ROUNDS", "5"))


class Drain(ServerCase):
    config = {"token.vaults": 2}

    @classmethod
    def seed(cls):
        cls.alice = cls.h.add_citizen("alice", totps=4)
        cls.key = cls.public_key(cls("public_key"), cls.signer(), cls.alice)

    def requests(self, batches):
        """Single-hash requests under SADs."""
        stub, made = self.signer(), []
        for _ in range(batches):
            whole = self.request(self.alice, [digest_of(f"{new_id()} {i}") for i in range(BATCH)])
            sad = stub.Authorize(signer_pb2.AuthorizeRequest(
                request_id=new_id(), request=whole, totp=signer_pb2.TotpProof(code=self.clock.code(self.alice))),
                timeout=20).sad
            made += [self.sign_request(self.alice, request=self.request(self.alice, [d]), sad=sad) for d in whole.hashes]
        return made

    def assertVerifies(self, request, reply):
        k.verify(self.key, request.request.algorithm, request.request.hashes[0], reply.signatures[0])

    def receipts(self, requests):
        """Outcomes on the ledger by request id."""
        records = self.h.ledger("intent", "receipt")
        outcomes = {r["intent"]: r["outcome"] for r in records if r["type"] == "receipt"}
        mine = {r.request_id for r in requests}
        intents = [r for r in records if r["type"] == "intent" and r["request_id"] in mine]
        self.assertEqual(len(intents), len({r["request_id"] for r in intents}), "nothing was begun twice")
        return {r["request_id"]: outcomes.get(r["index"]) for r in intents}

    def drain(self):
        """Stops the server; how long it took."""
        began = time.monotonic()
        self.assertEqual(self.h.stop_server(), 0)
        return time.monotonic() - began

    def test_58_term_under_load_answers_what_was_accepted(self):
        requests = self.requests(4)
        stub, answered, refused, lock = self.signer(), {}, [], threading.Lock()
        enough, stopping = threading.Event(), threading.Event()

        def one(request):
            if stopping.is_set():
                return
            try:
                reply = stub.Sign(request, timeout=20)
            except grpc.RpcError as e:
                with lock:
                    refused.append((request, e.code(), e.details()))
                return
            with lock:
                answered[request.request_id] = reply
                if len(answered) >= 100:
                    enough.set()

        with ThreadPoolExecutor(SENDERS) as pool:
            calls = [pool.submit(one, request) for request in requests]
            self.assertTrue(enough.wait(30))
            took = self.drain()
            stopping.set()
            for call in calls:
                call.result()
        self.assertLess(took, 20)
        self.assertGreater(len(refused), 0, "the load went on until the end")
        self.h.run_server()
        outcomes = self.receipts(requests)
        # Accepted is what has an intent: each was signed, and its answer reached the client before the server was gone.
        self.assertEqual({i for i, what in outcomes.items() if what != SIGNED}, set())
        self.assertEqual(set(outcomes) - set(answered), set(), "accepted, but never answered")
        self.assertEqual(set(answered) - set(outcomes), set())
        for request, code, details in refused:
            self.assertIn(code, (grpc.StatusCode.UNAVAILABLE,), details)
        for request in requests:
            if request.request_id in answered:
                self.assertVerifies(request, answered[request.request_id])
        self.assertTrue(self.h.ledger("start")[-1]["clean"])

    def test_58_term_under_a_stream(self):
        """A stream's last replies are whole, and it ends with a status that allows a retry."""
        requests = self.requests(2)
        replies, began = {}, threading.Event()

        def drain():
            began.wait(30)
            return self.drain()

        with ThreadPoolExecutor(1) as pool:
            draining = pool.submit(drain)
            ended = None
            try:
                for reply in self.signer().SignStream(self.slowly(requests), timeout=60):
                    if reply.HasField("reply"):
                        replies[reply.request_id] = reply.reply
                    if len(replies) >= 50:
                        began.set()
            except grpc.RpcError as e:
                ended = e
            draining.result()
        self.assertIsNotNone(ended, "the stream outlived the server")
        self.assertEqual(ended.code(), grpc.StatusCode.UNAVAILABLE, ended.details())
        self.h.run_server()
        outcomes = self.receipts(requests)
        self.assertEqual(set(outcomes) - set(replies), set(), "accepted, but never answered")
        self.assertEqual(set(outcomes.values()), {SIGNED})

    @staticmethod
    def slowly(requests):
        for request in requests:
            time.sleep(0.005)
            yield request

    def test_p25_restarts_lose_nothing(self):
        requests = self.requests(max(4, RESTARTS * 50 // BATCH))
        done = []
        finished = threading.Event()

        def one(request):
            for _ in range(400):
                try:
                    reply = self.current.Sign(request, timeout=10)
                    self.assertVerifies(request, reply)
                    done.append(request.request_id)
                    return
                except grpc.RpcError as e:
                    detail = k.error_detail(e)
                    self.assertIn(e.code(), RETRYABLE, f"{e.details()} {detail}")
                    if detail:
                        self.assertIn(detail[1], (T.RETRY_SAME_REQUEST, T.RETRY_UNSPECIFIED), detail)
                finished.wait(0.05)
            self.fail(f"never answered: {request.request_id}")

        self.current = self.signer()
        with ThreadPoolExecutor(SENDERS) as pool:
            calls = [pool.submit(one, request) for request in requests]
            for i in range(RESTARTS):
                goal = (i + 1) * len(requests) // (RESTARTS + 2)
                self.h.wait_for(lambda: len(done) >= goal or any(c.done() and c.exception() for c in calls), "progress")
                self.drain()
                self.h.run_server()
                self.current = self.signer()  # ports are new: 0 was asked for
            for call in calls:
                call.result()
        self.assertEqual(len(done), len(requests))
        outcomes = self.receipts(requests)
        self.assertEqual(len(outcomes), len(requests))
        self.assertEqual(set(outcomes.values()), {SIGNED})
        self.assertEqual(len(re.findall(r"deadline passed", self.h.log_text())), 0)
        print(f"\nfigures: P25: {RESTARTS} restarts under load, {len(requests)} requests by {SENDERS} clients, each signed once, 0 lost")

    def test_zz_ledger_verifies(self):
        self.assertLedgerVerifies()


if __name__ == "__main__":
    unittest.main()
