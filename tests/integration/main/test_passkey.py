# SPDX-License-Identifier: Apache-2.0
"""Passkeys at the approvers' door: made by the code of a link, used over a transaction, and each refusal by its reason."""

import unittest

from base import (AUTHORIZED, PENDING, REJECTED, ServerCase, approver_pb2, digest_of, grpc, k)
from webauthn import MAY_SYNC, PRESENT, SYNCED, VERIFIED, Passkey, packed

ORIGIN = "https://approve.example.vn"
CODE = grpc.StatusCode


class Passkeys(ServerCase):
    config = {"passkeys.origin": ORIGIN, "policy.begins_per_5min": 8}

    @classmethod
    def seed(cls):
        cls.door = cls.approver()
        cls.stub = cls.signer()

    def link(self, subject):
        """A person with a credential, and the link to their passkey: its authenticator and its code."""
        citizen = self.h.add_citizen(subject, totp_hash=None, device=None, activate=False)
        made = self.h.kyso("authenticator", "enroll-passkey", "--subject", subject, "--label", "phone", json_out=True)
        self.assertEqual((made["kind"], made["state"]), ("passkey", "unconfirmed"))
        origin, _, rest = made["enrolment_link"].partition("/#")
        self.assertEqual(origin, ORIGIN)
        citizen["authenticator_id"], _, code = rest.partition(".")
        return citizen, code

    def enroll(self, passkey, code):
        return self.door.EnrollPasskey(approver_pb2.EnrollPasskeyRequest(
            authenticator_id=passkey.authenticator_id, code=code, public_key=passkey.public_key), timeout=10)

    def person(self, subject):
        """... who has made it."""
        citizen, code = self.link(subject)
        passkey = Passkey(citizen["authenticator_id"], ORIGIN)
        self.assertEqual(self.enroll(passkey, code).subject_id, subject)
        self.h.certify(citizen["credential_id"], subject)
        return citizen, passkey

    def begun(self, citizen, passkey):
        request, begun = self.begin(self.stub, citizen)
        return request, begun, self.pending(self.door, passkey, begun.transaction_id)

    def decide(self, passkey, shown, code, decision=1, **how):
        challenge = k.approval_challenge(k.tx_digest(shown), decision, code)
        word = dict(authenticator_id=passkey.authenticator_id, transaction_id=shown.transaction_id,
                    signature=packed(*passkey.assertion(challenge, **how)))
        if decision == 1:
            return self.door.Approve(approver_pb2.DecisionRequest(matching_code=code, **word), timeout=10)
        return self.door.Reject(approver_pb2.RejectRequest(not_me=decision == 3, **word), timeout=10)

    def test_made_and_used(self):
        citizen, passkey = self.person("anna")
        known = self.door.GetPasskey(approver_pb2.GetPasskeyRequest(authenticator_id=passkey.authenticator_id), timeout=10)
        self.assertEqual((known.public_key, known.label), (passkey.public_key, "phone"))
        for _ in range(2):
            request, begun, shown = self.begun(citizen, passkey)
            self.assertEqual(self.decide(passkey, shown, begun.matching_code).state, AUTHORIZED)
            waited = self.wait(self.stub, begun)
            reply = self.stub.Sign(self.sign_request(citizen, request=request, sad=waited.sad), timeout=10)
            self.assertSigned(self.stub, citizen, request, reply)
        self.assertEqual([r["step"] for r in self.h.ledger("authorized")][-2:], [1, 2])
        self.assertIn(digest_of(passkey.public_key).hex(), [r["key_sha256"] for r in self.h.ledger("passkey")])
        self.assertLedgerVerifies()

    def test_the_link_is_for_one_key(self):
        citizen, code = self.link("bert")
        passkey = Passkey(citizen["authenticator_id"], ORIGIN)
        wrong = f"{(int(code) + 1) % 10 ** 8:08}"
        with self.refused(CODE.PERMISSION_DENIED, "proof-wrong-code"):
            self.enroll(passkey, wrong)
        with self.refused(CODE.PERMISSION_DENIED, "proof-unconfirmed"):
            self.door.GetPasskey(approver_pb2.GetPasskeyRequest(authenticator_id=passkey.authenticator_id), timeout=10)
        self.enroll(passkey, code)
        with self.refused(CODE.ALREADY_EXISTS, "conflict"):
            self.enroll(Passkey(citizen["authenticator_id"], ORIGIN), code)
        other, code = self.link("carl")
        passkey.authenticator_id = other["authenticator_id"]
        with self.refused(CODE.ALREADY_EXISTS, "conflict"):
            self.enroll(passkey, code)
        fresh = Passkey(other["authenticator_id"], ORIGIN)
        for _ in range(5):
            with self.refused(CODE.PERMISSION_DENIED, "proof-wrong-code"):
                self.enroll(fresh, "00000000" if code != "00000000" else "00000001")
        with self.refused(CODE.ALREADY_EXISTS, "conflict"):
            self.enroll(fresh, code)

    def test_refusals(self):
        citizen, passkey = self.person("dora")
        _, begun, shown = self.begun(citizen, passkey)
        code = begun.matching_code
        for reason, how in (("passkey-origin", dict(origin="https://evil.example")),
                            ("passkey-origin", dict(rp_id="evil.example")),
                            ("passkey-origin", dict(kind="webauthn.create")),
                            ("passkey-user", dict(flags=PRESENT)),
                            ("passkey-synced", dict(flags=PRESENT | VERIFIED | MAY_SYNC | SYNCED))):
            with self.subTest(reason=reason, how=how), self.refused(CODE.PERMISSION_DENIED, reason):
                self.decide(passkey, shown, code, **how)
        with self.refused(CODE.PERMISSION_DENIED, "proof-wrong"):  # over another challenge
            self.door.Approve(approver_pb2.DecisionRequest(
                authenticator_id=passkey.authenticator_id, transaction_id=shown.transaction_id, matching_code=code,
                signature=packed(*passkey.assertion(bytes(32)))), timeout=10)
        self.assertEqual(self.decide(passkey, shown, code).state, AUTHORIZED)
        used = passkey.counter
        with self.refused(CODE.FAILED_PRECONDITION, "tx-ended"):  # replayed
            self.decide(passkey, shown, code, counter=used)
        self.stub.CancelTransaction(k.signer_pb2.CancelTransactionRequest(
            relying_party="portal", transaction_id=begun.transaction_id), timeout=10)
        _, begun, shown = self.begun(citizen, passkey)
        for counter in (0, used):
            with self.refused(CODE.PERMISSION_DENIED, "proof-replayed"):
                self.decide(passkey, shown, begun.matching_code, counter=counter)
        self.assertEqual(self.pending(self.door, passkey, begun.transaction_id).state, PENDING)
        other = next(c for c in shown.matching_choices if c != begun.matching_code)
        with self.refused(CODE.PERMISSION_DENIED, "proof-wrong-code"):
            self.decide(passkey, shown, other)
        self.assertEqual(self.wait(self.stub, begun).state, REJECTED)

    def test_the_counter_outlives_a_crash(self):
        citizen, passkey = self.person("emil")
        _, begun, shown = self.begun(citizen, passkey)
        self.decide(passkey, shown, begun.matching_code, counter=9)
        self.h.process.kill()
        self.h.process.wait()
        self.h.run_server()
        type(self).door, type(self).stub = self.approver(), self.signer()
        _, begun, shown = self.begun(citizen, passkey)
        with self.refused(CODE.PERMISSION_DENIED, "proof-replayed"):
            self.decide(passkey, shown, begun.matching_code, counter=9)
        self.assertEqual(self.decide(passkey, shown, begun.matching_code, counter=10).state, AUTHORIZED)

    def test_not_me_locks(self):
        citizen, passkey = self.person("fred")
        _, begun, shown = self.begun(citizen, passkey)
        with self.refused(CODE.PERMISSION_DENIED, "proof-wrong"):  # a signed "approve" is no "not me"
            challenge = k.approval_challenge(k.tx_digest(shown), 1, "")
            self.door.Reject(approver_pb2.RejectRequest(
                authenticator_id=passkey.authenticator_id, transaction_id=shown.transaction_id, not_me=True,
                signature=packed(*passkey.assertion(challenge))), timeout=10)
        self.assertEqual(self.decide(passkey, shown, "", decision=3).state, REJECTED)
        shown = self.h.kyso("subject", "show", "fred", json_out=True)
        self.assertIn("locked", shown["state"])


if __name__ == "__main__":
    unittest.main()
