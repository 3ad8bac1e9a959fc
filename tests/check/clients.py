# SPDX-License-Identifier: Apache-2.0
"""Clients that use everything at once and record it: codes, approvals, SADs, repeats, and proofs replayed under new request ids.
They care for no outcome, only that each is written down; kyso-check judges afterwards."""

import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from cryptography.hazmat.primitives import serialization

from base import approver_pb2, grpc, harness, k, new_id, signer_pb2

SAD_HASHES = 60
TRIES = 40
AGAIN = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "CANCELLED", "UNKNOWN")


class Clients:
    """`case` is a ServerCase; citizens have devices and code generators. One object for the whole history."""

    def __init__(self, case, recorder, citizens, seed):
        self.case, self.recorder, self.citizens = case, recorder, citizens
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.steps = {}
        self.sads = []  # (citizen, sad, hashes not yet asked for)
        self.sent = []  # what can be sent again: (message, about)
        self.granted = set()
        self.done = 0
        self.outcomes = {}

    # --- one call, until it is answered -----------------------------------------------------------

    def call(self, method, stub, message, **about):
        """The same request again while the status allows it. The reply, or None."""
        for _ in range(TRIES):
            try:
                reply = method(stub, "portal", message, **about)
                self.count(method.__name__ + " granted")
                if method == self.recorder.sign:
                    self.granted.add(message.request_id)
                return reply
            except grpc.RpcError as error:
                self.count(error.code().name)
                full = error.code().name == "RESOURCE_EXHAUSTED" and method != self.recorder.begin  # its limit is per 5 minutes
                if error.code().name not in AGAIN and not full:
                    return None
                threading.Event().wait(0.05)
        return None

    def count(self, outcome):
        with self.lock:
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    def sign(self, stub, citizen, request, request_id=None, about=None, **proof):
        about = {"subject_id": citizen["subject_id"], **(about or {})}
        message = signer_pb2.SignRequest(request_id=request_id or new_id(), request=request, **proof)
        with self.lock:
            self.sent.append((citizen, message, about))
        return self.call(self.recorder.sign, stub, message, **about)

    # --- proofs ---------------------------------------------------------------------------------------

    def code(self, citizen):
        """An unused code and what the history says of it, or None: this never waits for the next step."""
        now = int(time.time() // 30)
        with self.lock:
            for a in citizen["totps"]:
                name = a["authenticator_id"]
                step = max(self.steps.get(name, 0) + 1, now)
                if step <= now + 1:
                    self.steps[name] = step
                    return (signer_pb2.TotpProof(code=harness.code_at(a, step), authenticator_id=name),
                            {"step": step, "authenticator_id": name})
        return None

    def approved(self, stub, citizen, inline):
        """Begins and approves: the request and its proof."""
        request = self.case.request(citizen, [os.urandom(32) for _ in range(1 if inline else SAD_HASHES)])
        begin = signer_pb2.BeginTransactionRequest(request_id=new_id(), request=request)
        transaction = self.call(self.recorder.begin, stub, begin, subject_id=citizen["subject_id"])
        if transaction is None:
            return None
        device, door = self.case.device(citizen), self.case.approver()
        try:
            signature = device.sign(k.tx_digest(self.case.pending(door, device, transaction.transaction_id)), 1,
                                    transaction.matching_code)
            proof = {"transaction_id": transaction.transaction_id, "authenticator_id": device.authenticator_id,
                     "matching_code": transaction.matching_code, "signature": signature}
            if inline:
                return request, {"approval": signer_pb2.ApprovalProof(**proof)}
            self.recorder.approve(door, "approver", approver_pb2.DecisionRequest(**proof))
        except grpc.RpcError as error:
            self.count("approver " + error.code().name)
            return None
        wait = signer_pb2.WaitTransactionRequest(relying_party="portal", transaction_id=transaction.transaction_id,
                                                 timeout_ms=2000)
        told = self.call(self.recorder.wait, stub, wait)
        return (request, {"sad": told.sad}) if told is not None and told.sad else None

    # --- what a client does next ------------------------------------------------------------------------

    def by_code(self, stub, citizen):
        proof = self.code(citizen)
        if proof is None:
            return self.by_sad(stub, citizen)
        return self.sign(stub, citizen, self.case.request(citizen, [os.urandom(32) for _ in range(2)]), about=proof[1],
                         totp=proof[0])

    def by_approval(self, stub, citizen):
        with self.lock:  # one transaction of a person is pending at a time
            busy = citizen.setdefault("busy", threading.Lock())
        with busy:
            got = self.approved(stub, citizen, inline=True)
        return self.sign(stub, citizen, got[0], **got[1]) if got else None

    def authorize(self, stub, citizen):
        """Another SAD, by a code or on the device."""
        proof = self.code(citizen)
        if proof is not None:
            request = self.case.request(citizen, [os.urandom(32) for _ in range(SAD_HASHES)])
            message = signer_pb2.AuthorizeRequest(request_id=new_id(), request=request, totp=proof[0])
            told = self.call(self.recorder.authorize, stub, message, subject_id=citizen["subject_id"], **proof[1])
            sad = told.sad if told is not None else None
        else:
            with self.lock:
                busy = citizen.setdefault("busy", threading.Lock())
            with busy:
                got = self.approved(stub, citizen, inline=False)
            request, sad = (got[0], got[1]["sad"]) if got else (None, None)
        if sad:
            with self.lock:
                self.sads.append((citizen, sad, list(request.hashes)))

    def by_sad(self, stub, citizen):
        with self.lock:
            usable = [s for s in self.sads if s[2]]
            chosen = self.random.choice(usable) if usable else None
            hashes = [chosen[2].pop() for _ in range(min(len(chosen[2]), self.random.choice((1, 1, 3))))] if chosen else []
        if chosen is None:
            return self.authorize(stub, citizen)
        reply = self.sign(stub, chosen[0], self.case.request(chosen[0], hashes), sad=chosen[1])
        if reply is None:
            with self.lock:  # perhaps void since a crash
                chosen[2].clear()
        return reply

    def again(self, stub, _):
        """What was sent before, with its own request id: nothing is signed twice."""
        with self.lock:
            chosen = self.random.choice(self.sent) if self.sent else None
        if chosen is not None:
            self.call(self.recorder.sign, stub, chosen[1], **chosen[2])

    def replay(self, stub, _):
        """A spent proof under a new request id, for hashes that it listed."""
        with self.lock:
            chosen = self.random.choice(self.sent) if self.sent else None
        if chosen is None:
            return
        message = signer_pb2.SignRequest()
        message.CopyFrom(chosen[1])
        message.request_id = new_id()
        self.call(self.recorder.sign, stub, message, **chosen[2])

    def replay_all(self, workers=8):
        """Everything signed so far, each under a new request id. How many are signed again."""
        stub = self.case.signer()

        def one(sent):
            message = signer_pb2.SignRequest()
            message.CopyFrom(sent[1])
            message.request_id = new_id()
            return self.call(self.recorder.sign, stub, message, **sent[2]) is not None

        granted = [s for s in self.sent if s[1].request_id in self.granted]
        with ThreadPoolExecutor(workers) as pool:
            return sum(pool.map(one, granted))

    def step(self, stub):
        with self.lock:
            what = self.random.choices((self.by_sad, self.by_code, self.by_approval, self.again, self.replay),
                                       (60, 8, 4, 15, 5))[0]
            citizen = self.random.choice(self.citizens)
        what(stub, citizen)
        with self.lock:
            self.done += 1
            return self.done

    def run(self, steps, at, workers=8):
        """`steps` of them; at[n]() when n are done."""
        turns = threading.Semaphore(steps)
        start = self.done
        due = dict(at)

        def worker():
            stub = self.case.signer()
            while turns.acquire(blocking=False):
                count = self.step(stub) - start
                with self.lock:
                    act = due.pop(count, None)
                if act is not None:
                    act()

        with ThreadPoolExecutor(workers) as pool:
            for future in [pool.submit(worker) for _ in range(workers)]:
                future.result()

    def credential_keys(self, citizens):
        stub = self.case.signer()
        for citizen in citizens:
            self.recorder.key(citizen["credential_id"], self.case.public_key(stub, citizen))
            device = self.case.device(citizen)
            self.recorder.device(device.authenticator_id, device.key.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
