# SPDX-License-Identifier: Apache-2.0
"""Whole servers: a client that is gone before its answer (fault 16), roles without descriptors (57), one code for many requests at once
(P1), guesses and kills together (P17). $KYSO_ROUNDS is how often the last two are tried."""

import contextlib
import os
import random
import resource
import signal
import socket
import ssl
import struct
import sys
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor

from base import HERE, ServerCase, grpc, k, new_id, signer_pb2

sys.path.append(os.path.join(HERE, "../wire"))
from wire import Http2, grpc_message  # noqa: E402

CODE = grpc.StatusCode
AWAY = (CODE.UNAVAILABLE, CODE.DEADLINE_EXCEEDED, CODE.RESOURCE_EXHAUSTED)
ROUNDS = int(os.environ.get("KYSO_ROUNDS", 3))
SIGNED = 1  # a receipt's outcome


class Gone(ServerCase):
    config = {"limits.sign_deadline_ms": 20000}

    @classmethod
    def seed(cls):
        cls.alice = cls.h.add_citizen("alice", totps=2)

    def raw(self, client):
        """A connection whose frames and end are ours."""
        pki = f"{self.h.state}/pki"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(f"{pki}/tls-ca.pem")
        context.load_cert_chain(f"{pki}/{client}.pem", f"{pki}/{client}.key")
        context.set_alpn_protocols(["h2"])
        host, port = self.h.endpoints()["signer"].rsplit(":", 1)
        return Http2(context.wrap_socket(socket.create_connection((host, int(port)), 20), server_hostname="localhost"))

    def test_16_reset_after_the_request(self):
        request = self.sign_request(self.alice)
        with self.vaults_stopped():
            gone = self.raw("portal")
            gone.request(1, b"/kyso.v1.Signer/Sign", grpc_message(request.SerializeToString()))
            self.h.wait_for(lambda: self.records("intent", request), "the intent")
            gone.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            gone.close()
        stub = self.signer()
        self.h.wait_for(lambda: self.h.ledger("receipt"), "the receipt")
        first = stub.Sign(request, timeout=20)
        self.assertSigned(stub, self.alice, request.request, first)
        self.assertEqual(stub.Sign(request, timeout=20).signatures, first.signatures)
        intents = self.records("intent", request)
        self.assertEqual(len(intents), 1, "the proof was spent once")
        self.assertEqual([r["outcome"] for r in self.h.ledger("receipt") if r["intent"] == intents[0]["index"]], [SIGNED])

    def records(self, kind, request):
        return [r for r in self.h.ledger(kind) if r["request_id"] == request.request_id]

    @contextlib.contextmanager
    def vaults_stopped(self):
        pids = self.h.children("kyso-vault")
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


class Descriptors(ServerCase):
    """Each role in turn may open nothing more."""
    config = {"token.vaults": 2}

    @classmethod
    def seed(cls):
        cls.alice = cls.h.add_citizen("alice", totps=8)

    @contextlib.contextmanager
    def starved(self, *pids):
        before = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in pids}
        for pid, (_, hard) in before.items():
            most = max(map(int, os.listdir(f"/proc/{pid}/fd"))) + 1
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, hard))
        try:
            yield
        finally:
            for pid, limits in before.items():
                with contextlib.suppress(ProcessLookupError):
                    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)

    def cpu_s(self, pid):
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def new_connection(self, timeout):
        try:
            self.signer().Info(signer_pb2.InfoRequest(), timeout=timeout)
            return True
        except grpc.RpcError as e:
            self.assertIn(e.code(), AWAY, e.details())
            return False

    def still_serves(self, stub):
        request = self.sign_request(self.alice)
        self.assertSigned(stub, self.alice, request.request, stub.Sign(request, timeout=20))

    def wait_for_vaults(self):
        """Both are logged in: one that may not open the token's files while it logs in closes the latch, as it must."""
        self.h.wait_for(lambda: self.h.log_text().count("vault-joined") - self.h.log_text().count("vault-left") == 2, "two vaults")

    def starve(self, name):
        self.wait_for_vaults()
        stub = self.signer()
        pids = self.h.children(name)
        self.assertTrue(pids)
        self.still_serves(stub)
        with self.starved(*pids):
            self.still_serves(stub)
            self.new_connection(2)
            self.still_serves(stub)
        self.h.wait_for(lambda: self.new_connection(5), "a new connection")
        return pids

    def test_57_front_without_descriptors(self):
        front = self.h.children("kyso-front")
        before = sum(map(self.cpu_s, front))
        self.assertEqual(self.starve("kyso-front"), front, "none of them ended")
        self.assertLess(sum(map(self.cpu_s, front)) - before, 5, "it does not spin on what it cannot accept")

    def test_57_authority_without_descriptors(self):
        self.assertEqual(self.starve("kyso-authority"), self.h.children("kyso-authority"))

    def test_57_vaults_without_descriptors(self):
        """A module that cannot open its files fails as it likes: its vault may end, and another signs."""
        self.starve("kyso-vault")
        self.wait_for_vaults()

    def test_57_supervisor_without_descriptors(self):
        """A vault ends and has no successor until there are descriptors again; the other signs on."""
        self.wait_for_vaults()
        stub = self.signer()
        with self.starved(self.h.process.pid):
            os.kill(self.h.children("kyso-vault")[0], signal.SIGKILL)
            self.h.wait_for(lambda: len(self.h.children("kyso-vault")) == 1, "its end")
            for _ in range(3):
                self.still_serves(stub)
        self.wait_for_vaults()
        self.still_serves(stub)

    def test_zz_ledger_verifies(self):
        self.assertLedgerVerifies()
        receipts = {r["intent"] for r in self.h.ledger("receipt")}
        self.assertEqual([r for r in self.h.ledger("intent") if r["index"] not in receipts], [])


class Crowd(ServerCase):
    """Many at once with one proof: everything that a single connection would hide."""
    config = {"policy.lock_tries": 100, "policy.lock_total": 100, "policy.client_failures_per_minute": 100000}

    @classmethod
    def seed(cls):
        cls.alice = cls.h.add_citizen("alice", totps=8)

    def test_p1_one_code_64_requests(self):
        """64 requests over four connections, 64 hashes, one code: one of them is signed, and one intent names the code's step."""
        stubs = [self.signer() for _ in range(4)]
        for _ in range(ROUNDS):
            code = self.clock.code(self.alice)
            requests = [self.sign_request(self.alice, code=code) for _ in range(64)]
            together = threading.Barrier(64)

            def one(i):
                together.wait()
                try:
                    return stubs[i % 4].Sign(requests[i], timeout=30)
                except grpc.RpcError as e:
                    return e

            with ThreadPoolExecutor(64) as pool:
                got = list(pool.map(one, range(64)))
            signed = [i for i, reply in enumerate(got) if not isinstance(reply, grpc.RpcError)]
            self.assertEqual(len(signed), 1)
            self.assertSigned(stubs[0], self.alice, requests[signed[0]].request, got[signed[0]])
            self.assertEqual({e.code() for e in got if isinstance(e, grpc.RpcError)}, {CODE.PERMISSION_DENIED})
        intents = self.h.ledger("intent")
        self.assertEqual(len({(r["authenticator_row"], r["step"]) for r in intents if r["proof"] == 1}),
                         len([r for r in intents if r["proof"] == 1]))
        self.assertLedgerVerifies()


class Guesses(ServerCase):
    """P17: five outcomes in a lock's window; whoever is killed refunds none that was seen."""
    config = {"policy.lock_tries": 5, "policy.lock_first_s": 3600, "policy.client_failures_per_minute": 100000}

    def test_p17_parallel_guesses_and_kills(self):
        for n in range(ROUNDS):
            citizen = self.h.add_citizen(f"guessed-{n}", device=None)
            guesses, seen = [], 0
            for size in (2, 2, 64, 64):
                some = [self.sign_request(citizen, code="000000") for _ in range(size)]
                seen += self.guess_and_kill(some, random.randrange(size))
                guesses += some
            ids = {r.request_id for r in guesses}
            denied = [r for r in self.h.ledger("denied") if r["request_id"] in ids]
            looked_at = [r for r in denied if r["reason"] == "proof-wrong"]
            self.assertLessEqual(len(looked_at), 5)
            self.assertEqual({r["charged"] for r in looked_at} | {1}, {1}, "no outcome without its charge")
            self.assertEqual({r["reason"] for r in denied} - {"proof-wrong", "proof-locked"}, set())
            self.assertLessEqual(seen, len(denied), "what was seen is on the ledger")
            before = len(looked_at)
            for _ in range(6):  # whatever the kills left of the five
                with self.assertRaises(grpc.RpcError):
                    self.signer().Sign(self.sign_request(citizen, code="000000"), timeout=20)
            reasons = [r["reason"] for r in self.h.ledger("denied")[-6:]]
            self.assertEqual(reasons, ["proof-wrong"] * (5 - before) + ["proof-locked"] * (1 + before))
            with self.refused(CODE.PERMISSION_DENIED, "proof-locked"):
                self.signer().Sign(self.sign_request(citizen), timeout=20)
        self.assertLedgerVerifies()

    def guess_and_kill(self, requests, when):
        """All at once; the authority is killed when so many are answered. How many answers came."""
        stub = self.signer()
        calls = [stub.Sign.future(r, timeout=20) for r in requests]
        self.h.wait_for(lambda: sum(c.done() for c in calls) >= when, "answers")
        os.kill(self.h.children("kyso-authority")[0], signal.SIGKILL)
        codes = [c.code() for c in calls]  # waits for each
        self.assertEqual(set(codes) - {CODE.PERMISSION_DENIED, *AWAY}, set())
        self.h.wait_for(self.h._is_serving, "the server to serve")
        return codes.count(CODE.PERMISSION_DENIED)


if __name__ == "__main__":
    unittest.main()
