# SPDX-License-Identifier: Apache-2.0
"""A front that is taken over: it sees every code, SAD and approval, holds requests back and sends what it likes. What it
obtains is judged by the ledger, by kyso-check, and by what citizens really authorized."""

import os
import random
import signal
import struct
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor
from queue import Empty

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../main"))

from base import PENDING, ServerCase, approver_pb2, digest_of, grpc, harness, k, new_id, signer_pb2  # noqa: E402
import taken  # noqa: E402
from attacker import Attacker  # noqa: E402
from taken import AUTHORIZE, BEGIN, CANCEL, DECIDE, OPERATE, R_SIGN, REFUSED, SIGN, Record, encode  # noqa: E402
from kysocheck.forms import CODES  # noqa: E402
import test_check  # noqa: E402

SEED = int(os.environ.get("KYSO_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
STEPS = int(os.environ.get("KYSO_TEST_STEPS") or 16)
BURST = 60
TOTPS = 8
HELD = (BEGIN, AUTHORIZE, SIGN)


class TakenCase(test_check.CheckCase):
    """The signers' front is taken. The portal signs its requests where `signs`; alice has codes, the others only devices."""

    config = {**test_check.CheckCase.config, "policy.lock_tries": 100, "policy.client_failures_per_minute": 100000,
              "policy.client_failure_percent": 100}
    signs = False
    devices = 1  # citizens who have only those

    @classmethod
    def setUpClass(cls):
        cls.taken = taken.Taken(os.environ.get("KYSO_BIN") or os.path.join(harness.ROOT, "build/dev/bin"))
        cls.addClassCleanup(cls.taken.close)
        cls.env = cls.taken.env
        super().setUpClass()

    @classmethod
    def seed(cls):
        cls.alice = cls.h.add_citizen("alice", relying_parties=("portal",), totps=TOTPS)
        cls.carols = [cls.h.add_citizen(f"carol-{i}", relying_parties=("portal",), totp_hash=None) for i in range(cls.devices)]
        cls.stub, cls.approvals = cls.signer(), cls.approver()
        if cls.signs:
            key = k.RequestKey(k.read(cls.h.add_request_key("portal")), cls.h.endpoints()["server_id"], "portal")
            cls.sealed = staticmethod(key.sign)
        else:
            cls.sealed = staticmethod(lambda message: message)
        cls.channel = cls.taken.channel()

    def tearDown(self):
        self.channel.holds = ()

    # --- what passes, held back ------------------------------------------------------------------

    def held(self, call):
        """The record of this call, which does not reach the authority; the call itself goes on in a thread."""
        self.channel.holds = HELD
        pool = ThreadPoolExecutor(1)
        self.addCleanup(pool.shutdown)
        future = pool.submit(call)
        record = self.channel.held.get(timeout=30)
        self.channel.holds = ()
        return record, future

    def refuses(self, kind, fields, reason):
        """The authority refuses this with a denial like any other; the ledger knows why."""
        before = len(self.h.ledger())
        answer, said = self.channel.ask_one(kind, fields)
        self.assertEqual((answer, said and CODES[said.get("code", 0)]), (REFUSED, "denied"))
        self.assertDenied(reason, before)

    def judge(self, meant):
        """Transactions with a signature on a hash that nobody meant, by the person (row of the subject)."""
        stray = {}
        for r in self.h.ledger("intent"):
            hashes = [r["hashes"][i:i + 64] for i in range(0, len(r["hashes"]), 64)]
            if r["kind"] == 1 and not set(hashes) <= meant:
                stray.setdefault(r["subject_row"], set()).add(r["transaction_id"])
        return stray


class ByHand(TakenCase):
    """Each thing that one would try first, against a portal that does not sign its requests."""

    def test_a_code_is_worth_one_request(self):
        request = self.sign_request(self.alice, code=self.clock.code(self.alice))
        record, call = self.held(lambda: self.stub.Sign(request, timeout=30))
        stolen = {**record.fields(), "hashes": digest_of("a loan"), "request_id": b"theft-1"}
        self.assertEqual(self.channel.ask_one(SIGN, stolen)[0], R_SIGN, "a code cannot name a hash")
        self.refuses(SIGN, {**stolen, "request_id": b"theft-2"}, "proof-replayed")
        self.refuses(AUTHORIZE, {**stolen, "request_id": b"theft-3"}, "proof-replayed")
        self.channel.send(record.bytes())
        with self.assertRaises(grpc.RpcError):
            call.result()  # the citizen's own is what is refused: it does not stay unseen

    def test_a_sad_is_worth_its_hashes(self):
        digests = [digest_of("page 1"), digest_of("page 2")]
        transaction = self.stub.Authorize(signer_pb2.AuthorizeRequest(
            request_id=new_id(), request=self.request(self.alice, digests),
            totp=signer_pb2.TotpProof(code=self.clock.code(self.alice))), timeout=10)
        record, call = self.held(lambda: self.stub.Sign(
            self.sign_request(self.alice, request=self.request(self.alice, digests[:1]), sad=transaction.sad), timeout=30))
        seen = record.fields()
        self.refuses(SIGN, {**seen, "hashes": digest_of("a loan"), "request_id": b"sad-1"}, "hash-not-in-sad")
        self.refuses(SIGN, {**seen, "credential_id": self.carols[0]["credential_id"].encode(), "request_id": b"sad-2"},
                     "proof-other-tx")
        self.channel.send(record.bytes())
        self.assertEqual(len(call.result().signatures), 1)
        self.refuses(SIGN, {**seen, "request_id": b"sad-3"}, "hash-spent")
        kind, _ = self.channel.ask_one(SIGN, {**seen, "hashes": digests[1], "request_id": b"sad-4"})
        self.assertEqual(kind, R_SIGN, "kept for later it signs what was authorized, and only that")

    def test_an_approval_is_worth_what_the_device_was_shown(self):
        carol = self.carols[0]
        request = self.request(carol)
        begin = signer_pb2.BeginTransactionRequest(request_id=new_id(), request=request)
        record, call = self.held(lambda: self.stub.BeginTransaction(begin, timeout=30))
        self.channel.send(Record(BEGIN, record.tag, encode(BEGIN, {**record.fields(), "hashes": digest_of("a loan")}),
                                 record.deadline).bytes())  # in the citizen's name, under way
        changed = call.result()
        device = self.device(carol)
        shown = self.pending(self.approvals, device, changed.transaction_id)
        self.assertEqual(list(shown.hashes), [digest_of("a loan")], "the device shows what would be signed")
        self.approvals.Reject(approver_pb2.DecisionRequest(authenticator_id=device.authenticator_id,
                                                           transaction_id=changed.transaction_id), timeout=10)
        _, transaction = self.begin(self.stub, carol, request)
        shown = self.pending(self.approvals, device, transaction.transaction_id)
        approval = signer_pb2.ApprovalProof(
            transaction_id=transaction.transaction_id, authenticator_id=device.authenticator_id,
            matching_code=transaction.matching_code, signature=device.sign(k.tx_digest(shown), 1, transaction.matching_code))
        record, call = self.held(lambda: self.stub.Sign(
            self.sign_request(carol, request=request, approval=approval), timeout=30))
        seen = {**record.fields(), "request_id": b"moved"}
        for change in ({"hashes": digest_of("a loan")}, {"credential_id": self.alice["credential_id"].encode()},
                       {"transaction_id": changed.transaction_id.encode()}, {"display_text": b"Another"}):
            kind, said = self.channel.ask_one(SIGN, {**seen, **change})
            self.assertEqual(kind, REFUSED, change)
            self.assertIn(CODES[said["code"]], ("denied", "tx-ended"))
        self.channel.send(record.bytes())
        self.assertEqual(len(call.result().signatures), 1)
        kind, said = self.channel.ask_one(SIGN, seen)
        self.assertEqual((kind, CODES[said["code"]]), (REFUSED, "tx-ended"))

    def test_other_doors_are_shut(self):
        """The door is known by the channel. An operation that operators signed, carried through here, is refused too."""
        spki = bytes(32)
        for kind, fields in ((OPERATE, dict(uid=0, operation=b"\x0a\x01a", signatures=b"")),
                             (DECIDE, dict(spki=spki, authenticator_id=b"a1", transaction_id=b"t1", decision=1,
                                           matching_code=b"42", signature=b"s"))):
            self.refuses(kind, fields, "wrong-door")

    def test_the_client_is_whom_the_front_names(self):
        """The authority believes the front which client asks: it can act as any, within that one's rights and tenancy."""
        request = self.sign_request(self.alice)
        record, call = self.held(lambda: self.stub.Sign(request, timeout=30))
        seen = record.fields()
        for client, code in (("gateway", "not-found"), ("approver", "denied"), ("stranger", "unauthenticated")):
            kind, said = self.channel.ask_one(SIGN, {**seen, "spki": self.h.spki_sha256(client), "relying_party": client.encode(),
                                                     "request_id": b"named"})
            self.assertEqual((kind, CODES[said["code"]]), (REFUSED, code), client)
        self.channel.send(record.bytes())
        self.assertEqual(len(call.result().signatures), 1)

    def test_a_flood_stops_nobody_else(self):
        spki, junk = os.urandom(32), [(kind, os.urandom(40)) for kind in range(16)] * 40
        unknown = encode(SIGN, {name: spki if kind == "fix32" else b"" if kind == "bytes" else 0
                                for name, kind in taken.FORMS[SIGN].fields})
        for _ in range(3):
            answers = self.channel.ask([*junk, *[(SIGN, unknown)] * 2000])
            self.assertEqual({a.kind for a in answers}, {REFUSED})
            self.assertEqual(self.h.kyso("status", json_out=True)["sealed"], False)
        self.assertEqual(len(self.stub.Sign(self.sign_request(self.alice), timeout=30).signatures), 1)
        self.assertLedgerVerifies()

    def test_z_a_broken_record_costs_the_front_itself(self):
        """Its channel is not heard any more; other doors are, and another front in its place is."""
        for broken in (struct.pack("<I", 3) + bytes(20), struct.pack("<I", 1 << 30) + bytes(20),
                       Record(SIGN, 1, b"x", flags=7).bytes()):
            before = self.taken.channel()
            before.send(broken)
            self.h.wait_for(lambda: not self.h._is_serving(), "the front to be deaf")
            self.assertEqual(self.h.ledger("genesis")[0]["index"], 0)
            for pid in self.h.children("kyso-front"):
                if "signer" in harness.command_line(pid):
                    os.kill(pid, signal.SIGKILL)
            type(self).channel = self.taken.channel(after=before)
            self.h.wait_for(self.h._is_serving, "another front")
        type(self).stub = self.signer()
        self.assertEqual(len(self.stub.Sign(self.sign_request(self.alice), timeout=30).signatures), 1)


class SignedByHand(TakenCase):
    """The same portal, its requests signed: nothing that passes is worth anything in another request."""

    signs = True

    def test_a_code_is_worth_nothing_elsewhere(self):
        wrong = self.sealed(self.sign_request(self.alice, code="000000"))
        mistyped, call = self.held(lambda: self.stub.Sign(wrong, timeout=30))
        self.channel.send(mistyped.bytes())
        with self.assertRaises(grpc.RpcError):
            call.result()
        right = self.sealed(self.sign_request(self.alice))
        record, call = self.held(lambda: self.stub.Sign(right, timeout=30))
        code = record.fields()["proof_secret"]
        self.refuses(SIGN, {**mistyped.fields(), "proof_secret": code}, "request-forged")
        self.refuses(SIGN, {**record.fields(), "hashes": digest_of("a loan")}, "request-forged")
        self.refuses(AUTHORIZE, record.fields(), "request-forged")
        self.refuses(SIGN, {**record.fields(), "request_signature": b""}, "request-unsigned")
        self.channel.send(record.bytes())
        self.assertEqual(len(call.result().signatures), 1)
        kind, said = self.channel.ask_one(SIGN, record.fields())  # the very same again
        self.assertEqual((kind, said["signatures"] != b""), (R_SIGN, True))
        self.assertEqual(len([r for r in self.h.ledger("intent") if r["request_id"] == right.request_id]), 1)

    def test_a_sad_is_worth_nothing_without_the_portal(self):
        digests = [digest_of("page 1"), digest_of("page 2")]
        transaction = self.stub.Authorize(self.sealed(signer_pb2.AuthorizeRequest(
            request_id=new_id(), request=self.request(self.alice, digests),
            totp=signer_pb2.TotpProof(code=self.clock.code(self.alice)))), timeout=10)
        one = self.sealed(self.sign_request(self.alice, request=self.request(self.alice, digests[:1]), sad=transaction.sad))
        record, call = self.held(lambda: self.stub.Sign(one, timeout=30))
        self.refuses(SIGN, {**record.fields(), "hashes": digests[1], "request_id": b"sad-1"}, "request-forged")
        self.refuses(CANCEL, dict(spki=record.fields()["spki"], relying_party=b"portal",
                                  transaction_id=transaction.transaction_id.encode(), timeout_ms=0,
                                  expires_s=record.fields()["expires_s"],
                                  request_signature=record.fields()["request_signature"]), "request-forged")
        self.channel.send(record.bytes())
        self.assertEqual(len(call.result().signatures), 1)


    def test_one_client_without_a_key_opens_a_credential_to_both(self):
        """A limit, written down: the front names the client, so each one that may use a credential needs a request key."""
        eve = self.h.add_citizen("eve", relying_parties=("portal", "gateway"), device=None)
        record, call = self.held(lambda: self.stub.Sign(self.sealed(self.sign_request(eve)), timeout=30))
        stolen = {**record.fields(), "spki": self.h.spki_sha256("gateway"), "relying_party": b"gateway", "request_id": b"weak-1",
                  "hashes": digest_of("a loan")}
        self.h.add_request_key("gateway")
        self.refuses(SIGN, stolen, "request-forged")
        self.h.kyso("client", "request-key", "gateway", "--none")
        self.assertEqual(self.channel.ask_one(SIGN, stolen)[0], R_SIGN)
        self.channel.send(record.bytes())
        with self.assertRaises(grpc.RpcError):
            call.result()


class AtRandom(TakenCase):
    """A seeded campaign: citizens sign by code, SAD and device while the front sends some thousand records of its own.
    Each device is another citizen's: the attacker can keep busy whom it has seen."""

    devices = STEPS // 3

    def test_what_it_obtains(self):
        print(f"\nKYSO_TEST_SEED={SEED}")
        self.rng = random.Random(SEED)
        self.attacker = Attacker(self.channel, self.rng, [self.h.spki_sha256(c) for c in ("portal", "gateway", "approver", "stranger")])
        self.meant, self.codes, self.outcomes = set(), 0, {}
        self.channel.holds = HELD
        for step in range(STEPS):
            if step % 3 == 2:
                self.by_device(self.carols[step // 3])
            else:
                self.rng.choice((self.by_code, self.by_code, self.by_sad, self.mistyped) if step else (self.by_code,))()
                self.h.kyso("subject", "unlock", "alice")  # what the attack does to her must not spare the server
        self.channel.holds = ()
        stray = self.judge(self.meant)
        print(f"figures: {sum(self.attacker.sent.values())} records sent, {self.attacker.got} signatures obtained, {self.codes} codes "
              f"seen; strays by person {({row: len(t) for row, t in stray.items()})}; citizens' own: {self.outcomes}")
        self.assertGreater(self.outcomes.get("signed", 0), 0)
        self.assertGreater(sum(self.attacker.sent.values()), STEPS * BURST)
        self.assertStray(stray)
        self.export()
        self.assertChecks(self.check())

    def assertStray(self, stray):
        self.assertEqual(set(stray), {1}, "alice alone, who has codes; nothing by a device's approval")
        self.assertLessEqual(len(stray[1]), self.codes, "one request for each code")

    def assertChecks(self, told):
        """Nothing but what a liar between two honest ends brings: what the portal did not ask (P1-asked), or was told otherwise (P2)."""
        others = [v for v in told["violations"] if v["rule"] != "P1-asked" and not v["rule"].startswith("P2-")]
        self.assertEqual(others, [])

    # --- what citizens do -------------------------------------------------------------------------

    def attacked(self, name, call):
        """A call whose records are held back, with the attacker's own before and after. Its reply, or None."""
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(call)
            while not future.done():
                try:
                    self.surround(self.channel.held.get(timeout=0.02))
                except Empty:
                    pass
        try:
            reply = future.result()
        except grpc.RpcError as error:
            self.outcomes[error.code().name] = self.outcomes.get(error.code().name, 0) + 1
            return None
        self.outcomes[name] = self.outcomes.get(name, 0) + 1
        return reply

    def surround(self, record):
        self.attacker.see(record)
        if self.codes == 1 or self.rng.random() < 0.5:
            self.attacker.burst(BURST)
        if self.rng.random() < 0.15:
            fields = {**record.fields(), "hashes": self.rng.randbytes(32)}
            record = Record(record.kind, record.tag, encode(record.kind, fields), record.deadline)
        self.channel.send(record.bytes())
        self.attacker.burst(BURST)

    def signed(self, request, **proof):
        message = self.sealed(signer_pb2.SignRequest(request_id=new_id(), request=request, **proof))
        return self.attacked("signed", lambda: self.recorder.sign(self.stub, "portal", message, timeout=60))

    def code(self):
        self.codes += 1
        return signer_pb2.TotpProof(code=self.clock.code(self.alice))

    def mean(self, citizen, count=1):
        """A request that the citizen authorizes by giving a proof for it."""
        request = self.request(citizen, [os.urandom(32) for _ in range(count)])
        self.meant |= {h.hex() for h in request.hashes}
        return request

    def by_code(self):
        self.signed(self.mean(self.alice), totp=self.code())

    def mistyped(self):
        """She sees another page's question and gives no code for it: what is sent is not meant, nor worth anything."""
        self.signed(self.request(self.alice), totp=signer_pb2.TotpProof(code="000000"))

    def by_sad(self):
        request = self.mean(self.alice, 3)
        message = self.sealed(signer_pb2.AuthorizeRequest(request_id=new_id(), request=request, totp=self.code()))
        transaction = self.attacked("authorized", lambda: self.recorder.authorize(self.stub, "portal", message, timeout=60))
        for digest in request.hashes[:2] if transaction is not None and transaction.sad else ():
            self.signed(self.request(self.alice, [digest]), sad=transaction.sad)

    def by_device(self, carol):
        """The device approves only what its owner means: it shows the hashes, and its signature is over them."""
        request = self.request(carol)
        message = self.sealed(signer_pb2.BeginTransactionRequest(request_id=new_id(), request=request))
        transaction = self.attacked("begun", lambda: self.recorder.begin(self.stub, "portal", message, timeout=60))
        device = self.device(carol)
        if transaction is None or transaction.state != PENDING:
            return
        try:
            shown = self.pending(self.approvals, device, transaction.transaction_id)
            if list(shown.hashes) != list(request.hashes):
                return
            code, signature = transaction.matching_code, device.sign(k.tx_digest(shown), 1, transaction.matching_code)
            self.meant |= {h.hex() for h in request.hashes}
            if self.rng.random() < 0.5:
                self.signed(request, approval=signer_pb2.ApprovalProof(
                    transaction_id=transaction.transaction_id, authenticator_id=device.authenticator_id, matching_code=code,
                    signature=signature))
                return
            self.recorder.approve(self.approvals, "approver", approver_pb2.DecisionRequest(
                authenticator_id=device.authenticator_id, transaction_id=transaction.transaction_id, matching_code=code,
                signature=signature))
            ready = self.recorder.wait(self.stub, "portal", signer_pb2.WaitTransactionRequest(
                relying_party="portal", transaction_id=transaction.transaction_id, timeout_ms=5000))
            self.signed(request, sad=ready.sad)
        except grpc.RpcError as error:  # the attacker has cancelled it
            self.outcomes[error.code().name] = self.outcomes.get(error.code().name, 0) + 1


class SignedAtRandom(AtRandom):
    """The same with signed requests: nothing at all."""

    signs = True

    def assertStray(self, stray):
        self.assertEqual(stray, {})

    def assertChecks(self, told):
        self.assertEqual(told["violations"], [])


if __name__ == "__main__":
    unittest.main()
