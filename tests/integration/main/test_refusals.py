# SPDX-License-Identifier: Apache-2.0
"""What must be refused: an unrevealing status outside, a precise record on the ledger."""

import contextlib
import os
import time
import unittest

from base import (CANCELLED, REJECTED, T, ServerCase, approver_pb2, digest_of, grpc, harness, k, new_id, signer_pb2)

CODE = grpc.StatusCode
DENIED = CODE.PERMISSION_DENIED


class Proofs(ServerCase):
    config = {"policy.lock_first_s": 2, "policy.begins_per_5min": 8, "policy.lock_total": 100}

    @classmethod
    def seed(cls):
        cls.alice = cls.h.add_citizen("alice", totps=4)
        cls.alice["second"] = cls.h.add_credential("alice")
        cls.h.certify(cls.alice["second"], "alice")
        cls.bob = cls.h.add_citizen("bob", totps=3)
        cls.carol = cls.h.add_citizen("carol")
        cls.guessed = [cls.h.add_citizen(f"guessed-{i}", device=None) for i in range(2)]
        cls.stub = cls.signer()

    def sign(self, citizen, stub=None, **options):
        return (stub or self.stub).Sign(self.sign_request(citizen, **options), timeout=10)

    # --- codes --------------------------------------------------------------------------------

    def test_wrong_code(self):
        with self.refused(DENIED, "proof-wrong"):
            self.sign(self.guessed[0], code="000000")

    def test_21_malformed_codes(self):
        for i, code in enumerate(("1", "12345", "123456789", "12345a", "12345６")):
            with self.subTest(code=code), self.refused(DENIED, "proof-malformed"):
                self.sign(self.guessed[i % 2], code=code)  # each is charged: stay below the lock
            self.assertEqual(self.h.ledger("denied")[-1]["charged"], 1, "the person and the client")

    def test_18_code_reused(self):
        code = self.clock.code(self.alice)
        self.sign(self.alice, code=code)
        with self.refused(DENIED, "proof-replayed"):
            self.sign(self.alice, code=code)
        second = dict(self.alice, credential_id=self.alice["second"])
        with self.refused(DENIED, "proof-replayed"):
            self.sign(second, code=code)

    def test_19_earlier_step_after_later_one(self):
        authenticator = self.bob["totps"][2]
        now = int(time.time() // 30)
        self.sign(self.bob, code=harness.code_at(authenticator, now))
        with self.refused(DENIED, "proof-replayed"):
            self.sign(self.bob, code=harness.code_at(authenticator, now - 1))

    def test_lock_and_approval_while_locked(self):
        dave = self.h.add_citizen("dave")
        for _ in range(5):
            with self.refused(DENIED, "proof-wrong"):
                self.sign(dave, code="000000")
        good = harness.code_at(dave["totp"], int(time.time() // 30))
        with self.refused(DENIED, "proof-locked"):
            self.sign(dave, code=good)
        request, begun = self.begin(self.stub, dave)
        self.approve(self.approver(), self.device(dave), begun)
        sad = self.wait(self.stub, begun).sad
        self.assertSigned(self.stub, dave, request, self.sign(dave, request=request, sad=sad))
        # the attempt while locked spent nothing: once unlocked, the very same code works
        self.h.kyso("subject", "unlock", "dave")
        self.sign(dave, code=harness.code_at(dave["totp"], int(time.time() // 30)))

    # --- approvals --------------------------------------------------------------------------------

    def test_25_approval_of_another_transaction(self):
        device = self.device(self.bob)
        _, other = self.begin(self.stub, self.bob)
        self.stub.CancelTransaction(signer_pb2.CancelTransactionRequest(
            relying_party="portal", transaction_id=other.transaction_id), timeout=10)
        request, begun = self.begin(self.stub, self.bob)
        proof = signer_pb2.ApprovalProof(transaction_id=begun.transaction_id, authenticator_id=device.authenticator_id,
                                         matching_code=begun.matching_code,
                                         signature=device.sign(other.tx_digest, 1, begun.matching_code))
        with self.refused(DENIED, "proof-wrong"):
            self.sign(self.bob, request=request, approval=proof)
        self.cancel(begun)

    def cancel(self, begun, stub=None, rp="portal"):
        state = (stub or self.stub).CancelTransaction(signer_pb2.CancelTransactionRequest(
            relying_party=rp, transaction_id=begun.transaction_id), timeout=10).state
        self.assertEqual(state, CANCELLED)

    def inline(self, citizen, begun, device, code=None):
        code = begun.matching_code if code is None else code
        return signer_pb2.ApprovalProof(transaction_id=begun.transaction_id, authenticator_id=device.authenticator_id,
                                        matching_code=code, signature=device.sign(begun.tx_digest, 1, code))

    def test_25_approval_by_another_client(self):
        request, begun = self.begin(self.stub, self.bob)
        proof = self.inline(self.bob, begun, self.device(self.bob))
        with self.refused(DENIED, "proof-other-tx"):
            self.sign(self.bob, stub=self.signer("gateway"), request=self.request(
                self.bob, list(request.hashes), rp="gateway"), approval=proof)
        self.cancel(begun)

    def test_25_approval_for_another_credential(self):
        request, begun = self.begin(self.stub, self.alice)
        proof = self.inline(self.alice, begun, self.device(self.alice))
        second = dict(self.alice, credential_id=self.alice["second"])
        with self.refused(DENIED, "proof-other-tx"):
            self.sign(second, request=self.request(second, list(request.hashes)), approval=proof)
        self.cancel(begun)

    def test_25_approval_by_anothers_device(self):
        request, begun = self.begin(self.stub, self.bob)
        with self.refused(DENIED, "proof-unconfirmed"):
            self.sign(self.bob, request=request, approval=self.inline(self.bob, begun, self.device(self.alice)))
        self.cancel(begun)

    def test_wrong_matching_code_ends_it(self):
        approver, device = self.approver(), self.device(self.bob)
        _, begun = self.begin(self.stub, self.bob)
        wrong = next(c for c in self.pending(approver, device, begun.transaction_id).matching_choices
                     if c != begun.matching_code)
        with self.refused(DENIED, "proof-wrong-code"):
            self.approve(approver, device, begun, wrong)
        self.assertEqual(self.wait(self.stub, begun).state, REJECTED)
        with self.refused(CODE.FAILED_PRECONDITION, detail="tx-ended"):
            self.approve(approver, device, begun)

    def test_27_cancelled_and_expired(self):
        approver, device = self.approver(), self.device(self.bob)
        _, begun = self.begin(self.stub, self.bob)
        self.cancel(begun)
        with self.refused(CODE.FAILED_PRECONDITION, detail="tx-ended"):
            self.approve(approver, device, begun)
        request, short = self.begin(self.stub, self.bob, ttl_s=1)
        self.h.wait_for(lambda: time.time() > short.not_after, "the transaction's end")
        with self.refused(CODE.FAILED_PRECONDITION, detail="tx-ended"):
            self.sign(self.bob, request=request, approval=self.inline(self.bob, short, device))

    def test_not_me_locks_only_when_signed(self):
        eve = self.h.add_citizen("eve")
        approver, device = self.approver(), self.device(eve)
        _, begun = self.begin(self.stub, eve)
        reject = dict(authenticator_id=device.authenticator_id, transaction_id=begun.transaction_id, not_me=True)
        with self.assertRaises(grpc.RpcError):
            approver.Reject(approver_pb2.RejectRequest(**reject), timeout=10)
        approver.Reject(approver_pb2.RejectRequest(signature=device.sign(begun.tx_digest, 3), **reject), timeout=10)
        with self.refused(DENIED, "proof-locked"):
            self.sign(eve)

    # --- SADs -----------------------------------------------------------------------------------------

    def authorize(self, citizen, request):
        return self.stub.Authorize(signer_pb2.AuthorizeRequest(
            request_id=new_id(), request=request, totp=signer_pb2.TotpProof(code=self.clock.code(citizen))), timeout=10)

    def test_sad_rules(self):
        request = self.request(self.alice, [digest_of("1"), digest_of("2")])
        sad = self.authorize(self.alice, request).sad
        before = len(self.h.ledger("intent"))
        with self.refused(DENIED, "hash-not-in-sad"):
            self.sign(self.alice, request=self.request(self.alice, [digest_of("1"), digest_of("3")]), sad=sad)
        self.assertEqual(len(self.h.ledger("intent")), before, "one unlisted hash fails the whole request")
        second = dict(self.alice, credential_id=self.alice["second"])
        with self.refused(DENIED, "proof-other-tx"):
            self.sign(second, request=self.request(second, [digest_of("1")]), sad=sad)
        with self.refused(DENIED, "proof-other-tx"):
            self.sign(self.alice, stub=self.signer("gateway"),
                      request=self.request(self.alice, [digest_of("1")], rp="gateway"), sad=sad)
        one = self.request(self.alice, [digest_of("1")])
        self.sign(self.alice, request=one, sad=sad)
        with self.refused(DENIED, "hash-spent"):
            self.sign(self.alice, request=one, sad=sad)
        self.sign(self.alice, request=self.request(self.alice, [digest_of("2")]), sad=sad)
        with self.assertRaises(grpc.RpcError):
            self.sign(self.alice, request=one, sad=sad)
        with self.refused(DENIED, "proof-other-tx"):
            self.sign(self.alice, request=one, sad=os.urandom(32))

    # --- what is asked -----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def nothing_spent(self):
        """Turned away by what it asks: no intent, and nobody is charged for the proof beside it."""
        before = len(self.h.ledger())
        yield
        self.assertEqual([r for r in self.h.ledger()[before:] if r["type"] == "intent" or r.get("charged")], [])

    def test_08_digest_sizes(self):
        with self.nothing_spent():
            for size in (1, 20, 31, 33, 64, 65):
                with self.subTest(size=size), self.refused(CODE.INVALID_ARGUMENT):
                    self.sign(self.bob, code="000000", request=self.request(self.bob, [b"x" * size]))

    def test_09_all_zero_hash(self):
        with self.refused(DENIED, "hash-forbidden"):
            self.sign(self.bob, code="000000", request=self.request(self.bob, [bytes(32)]))

    def test_10_batch_sizes_and_repeats(self):
        for hashes in ([], [b"a" * 32] * 2, [os.urandom(32) for _ in range(257)]):
            request = self.request(self.bob)
            del request.hashes[:]
            request.hashes.extend(hashes)
            with self.subTest(n=len(hashes)), self.nothing_spent(), self.refused(CODE.INVALID_ARGUMENT):
                self.sign(self.bob, code="000000", request=request)

    def test_compliance_28_only_strong_keys_and_hashes(self):
        """The interface has no number for less, and what has no number is refused before anything is recorded."""
        self.assertEqual({name.removeprefix("KEY_TYPE_") for name in T.KeyType.keys()},
                         {"UNSPECIFIED", "P256", "P384", "RSA_2048", "RSA_3072", "RSA_4096", "ED25519"})
        self.assertEqual({name.removeprefix("HASH_ALGORITHM_") for name in T.HashAlgorithm.keys()},
                         {"UNSPECIFIED", "SHA256", "SHA384", "SHA512"})
        before = len(self.h.ledger("intent", "begin", "denied"))
        for options in (dict(hash_algorithm=4), dict(scheme=99)):
            with self.refused(CODE.INVALID_ARGUMENT, detail="invalid"):
                self.sign(self.alice, request=self.request(self.alice, **options), code="000000")
        for length in (20, 31, 33):
            with self.refused(CODE.INVALID_ARGUMENT, detail="invalid"):
                self.sign(self.alice, request=self.request(self.alice, [bytes([1]) * length]), code="000000")
        self.assertEqual(len(self.h.ledger("intent", "begin", "denied")), before)

    def test_08_algorithm_mismatch(self):
        cases = [dict(scheme=T.SIGNATURE_SCHEME_RSA_PKCS1), dict(scheme=T.SIGNATURE_SCHEME_UNSPECIFIED),
                 dict(hash_algorithm=T.HASH_ALGORITHM_UNSPECIFIED), dict(hash_algorithm=T.HASH_ALGORITHM_SHA384),
                 dict(pss=32)]
        for options in cases:
            with self.subTest(options=options), self.nothing_spent(), self.refused(CODE.INVALID_ARGUMENT):
                self.sign(self.bob, code="000000", request=self.request(self.bob, **options))

    def test_11_display_text(self):
        for text in ("a\0b", "a\u202eb", "x" * 2001):
            with self.subTest(text=text[:5]), self.nothing_spent(), self.refused(CODE.INVALID_ARGUMENT):
                self.sign(self.bob, code="000000", request=self.request(self.bob, text=text))

    def test_17_request_id_conflict(self):
        first = self.sign_request(self.bob)
        self.stub.Sign(first, timeout=10)
        other = self.sign_request(self.bob, request_id=first.request_id)
        with self.refused(CODE.ALREADY_EXISTS, "conflict", detail="conflict"):
            self.stub.Sign(other, timeout=10)
        other.request_id = new_id()
        self.stub.Sign(other, timeout=10)  # the conflict spent nothing

    # --- who asks --------------------------------------------------------------------------------------------

    def test_13_unknown_certificate(self):
        before = len(self.h.ledger())
        stub = self.signer("stranger")
        with self.assertRaises(grpc.RpcError) as caught:
            stub.Info(signer_pb2.InfoRequest(), timeout=10)
        self.assertEqual(caught.exception.code(), CODE.UNAUTHENTICATED)
        self.assertDenied("unauthenticated", before)

    def test_13_no_certificate(self):
        with self.assertRaises(grpc.RpcError) as caught:
            self.signer(None).Info(signer_pb2.InfoRequest(), timeout=5)
        self.assertEqual(caught.exception.code(), CODE.UNAVAILABLE)

    def test_doors_are_not_interchangeable(self):
        with self.refused(DENIED, "no-right"):
            self.signer("approver").ListCredentials(signer_pb2.ListCredentialsRequest(
                relying_party="approver", subject_id="alice"), timeout=10)
        with self.refused(DENIED, "no-right"):
            self.approver("portal").ListPending(approver_pb2.ListPendingRequest(
                authenticator_id=self.alice["device"]["authenticator_id"]), timeout=10)

    def test_14_anothers_credential_is_as_absent(self):
        private = self.h.add_credential("carol", relying_parties=("gateway",))
        answers = []
        for credential_id in (private, "c00000009-0123456789abcdef", "nothing"):
            with self.refused(CODE.NOT_FOUND, "not-found") as caught:
                self.sign(dict(self.carol, credential_id=credential_id), code="000000")
            answers.append((caught.exception.details(), k.error_detail(caught.exception)))
        self.assertEqual(len(set(answers)), 1, answers)

    # --- life cycle --------------------------------------------------------------------------------------------

    def test_suspended_credential(self):
        frank = self.h.add_citizen("frank", totps=2)
        first = self.sign_request(frank)
        self.stub.Sign(first, timeout=10)
        self.h.kyso("credential", "suspend", frank["credential_id"])
        with self.refused(CODE.FAILED_PRECONDITION, "inactive", detail="inactive"):
            self.sign(frank)
        with self.refused(CODE.FAILED_PRECONDITION, detail="inactive"):
            self.stub.Sign(first, timeout=10)
        self.h.kyso("credential", "resume", frank["credential_id"])
        self.sign(frank)

    def test_credential_without_certificate(self):
        grace = self.h.add_citizen("grace", activate=False)
        with self.refused(CODE.FAILED_PRECONDITION, "inactive"):
            self.sign(grace)

    def test_expired_certificate(self):
        heidi = self.h.add_citizen("heidi", totps=2, activate=False)
        csr, certificate = f"{self.h.dir}/heidi.csr", f"{self.h.dir}/heidi.pem"
        self.h.kyso("credential", "csr", heidi["credential_id"], "--dn", "CN=heidi,C=VN", "--output", csr)
        ends = harness.short_certificate(self.h.state, csr, certificate, seconds=4)
        self.h.kyso("credential", "import-cert", heidi["credential_id"], certificate)
        self.sign(heidi)
        self.h.wait_for(lambda: time.time() > ends + 1, "the certificate's end")
        with self.refused(CODE.FAILED_PRECONDITION, "inactive", detail="inactive"):
            self.sign(heidi)

    def test_30_second_authenticator_on_an_active_credential(self):
        before = len(self.h.ledger())
        done = self.h.kyso("authenticator", "enroll-device", "--subject", "alice", "--generate",
                           f"{self.h.dir}/evil.pem", check=False)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertDenied("operator-refused", before)
        self.h.kyso("authenticator", "enroll-device", "--subject", "alice", "--generate", f"{self.h.dir}/new.pem",
                    "--by", self.alice["device"]["authenticator_id"], "--by-key", self.alice["device"]["key"])

    def test_zz_ledger_verifies(self):
        self.assertLedgerVerifies()


class Restart(ServerCase):
    @classmethod
    def seed(cls):
        cls.alice = cls.h.add_citizen("alice", totps=2)

    def test_18_code_reused_after_a_restart(self):
        stub = self.signer()
        first = self.sign_request(self.alice)
        signed = stub.Sign(first, timeout=10)
        self.assertEqual(self.h.stop_server(), 0)
        self.h.run_server()
        stub = self.signer()
        self.assertEqual(stub.Sign(first, timeout=10).signatures, signed.signatures)
        with self.refused(DENIED, "proof-replayed"):
            stub.Sign(self.sign_request(self.alice, code=first.totp.code), timeout=10)
        stub.Sign(self.sign_request(self.alice), timeout=10)

    def test_old_row_put_back(self):
        """A suspended credential's earlier row, written into the database by hand, is not believed."""
        import sqlite3
        self.assertEqual(self.h.stop_server(), 0)
        db = f"{self.h.state}/state/kyso.db"
        with sqlite3.connect(db) as c:
            tables = [r[0] for r in c.execute("select name from sqlite_master where type='table'")]
            self.assertIn("rows", tables)
            row = 2 << 32 | 1  # the first credential
            old = c.execute("select * from rows where id=?", (row,)).fetchall()
        c.close()
        self.assertEqual(len(old), 1)
        self.h.run_server()
        self.h.kyso("credential", "suspend", self.alice["credential_id"])
        self.assertEqual(self.h.stop_server(), 0)
        with sqlite3.connect(db) as c:
            c.execute("delete from rows where id=?", (row,))
            c.execute(f"insert into rows values ({','.join('?' * len(old[0]))})", old[0])
        c.close()
        self.h.run_server()
        with self.refused(CODE.NOT_FOUND, "corrupt"):
            self.signer().Sign(self.sign_request(self.alice), timeout=10)


if __name__ == "__main__":
    unittest.main()
