# SPDX-License-Identifier: Apache-2.0
"""The main job: every key type and storage, authorized by a code, a device or a SAD, verified by others' code."""

import subprocess
import unittest

from base import (AUTHORIZED, CANCELLED, REJECTED, SPENT, T, ServerCase, approver_pb2, digest_of, grpc, k, new_id,
                  signer_pb2)

KINDS = [("p256", "wrapped"), ("p256", "resident"), ("p384", "wrapped"), ("p384", "resident"), ("rsa2048", "wrapped"),
         ("rsa2048", "resident"), ("rsa3072", "wrapped"), ("ed25519", "resident")]


class SignEveryKind(ServerCase):
    kinds = KINDS

    @classmethod
    def seed(cls):
        cls.citizens = {kind: cls.h.add_citizen(f"person-{kind[0]}-{kind[1]}", key_type=kind[0], storage=kind[1],
                                                totps=3, device=None) for kind in cls.kinds}

    def test_every_key_type_and_storage(self):
        stub = self.signer()
        for kind, citizen in self.citizens.items():
            with self.subTest(kind=kind):
                request = self.request(citizen, [digest_of("a"), digest_of("b")])
                reply = stub.Sign(self.sign_request(citizen, request=request), timeout=20)
                self.assertSigned(stub, citizen, request, reply)

    def test_compliance_29_hashes_schemes_and_encodings(self):
        stub = self.signer()
        storage = self.kinds[0][1]
        p256, p384, rsa = (self.citizens[(kind, storage)] for kind in ("p256", "p384", "rsa2048"))
        cases = [
            (p256, dict(encoding=T.SIGNATURE_ENCODING_RAW), "sha256"),
            (p256, dict(hash_algorithm=T.HASH_ALGORITHM_SHA384), "sha384"),
            (p384, dict(hash_algorithm=T.HASH_ALGORITHM_SHA512), "sha512"),
            (rsa, dict(scheme=T.SIGNATURE_SCHEME_RSA_PKCS1, hash_algorithm=T.HASH_ALGORITHM_SHA512), "sha512"),
            (rsa, dict(scheme=T.SIGNATURE_SCHEME_RSA_PSS, pss=32), "sha256"),
            (rsa, dict(scheme=T.SIGNATURE_SCHEME_RSA_PSS, pss=222), "sha256"),
        ]
        for citizen, options, name in cases:
            with self.subTest(options=options):
                request = self.request(citizen, [digest_of("document", name)], **options)
                reply = stub.Sign(self.sign_request(citizen, request=request), timeout=20)
                self.assertSigned(stub, citizen, request, reply)


    def test_a_transaction_may_leave_the_scheme_open(self):
        stub, rsa = self.signer(), self.citizens[("rsa2048", self.kinds[0][1])]
        digests = [digest_of(text) for text in "abc"]

        def sign(sad, digest, **options):
            request = self.request(rsa, [digest], **options)
            self.assertSigned(stub, rsa, request, stub.Sign(self.sign_request(rsa, request=request, sad=sad), timeout=20))

        sad = stub.Authorize(signer_pb2.AuthorizeRequest(
            request_id=new_id(), request=self.request(rsa, digests, scheme=T.SIGNATURE_SCHEME_UNSPECIFIED),
            totp=signer_pb2.TotpProof(code=self.clock.code(rsa))), timeout=20).sad
        sign(sad, digests[0], scheme=T.SIGNATURE_SCHEME_RSA_PKCS1)
        sign(sad, digests[1], scheme=T.SIGNATURE_SCHEME_RSA_PSS, pss=222)
        for no in (T.SIGNATURE_SCHEME_UNSPECIFIED, T.SIGNATURE_SCHEME_ECDSA):
            with self.refused(grpc.StatusCode.INVALID_ARGUMENT):
                sign(sad, digests[2], scheme=no)
        with self.refused(grpc.StatusCode.PERMISSION_DENIED):  # the hash is bound all the same
            sign(sad, digest_of("c", "sha384"), scheme=T.SIGNATURE_SCHEME_RSA_PKCS1, hash_algorithm=T.HASH_ALGORITHM_SHA384)
        sign(sad, digests[2], scheme=T.SIGNATURE_SCHEME_RSA_PKCS1)


class SignPaths(ServerCase):
    @classmethod
    def seed(cls):
        cls.alice = cls.h.add_citizen("alice", totps=6)
        cls.bob = cls.h.add_citizen("bob", device="ed25519", totp_hash="sha256", digits=8, totps=2)
        cls.stub = cls.signer()

    def test_info_and_credentials(self):
        info = self.stub.Info(signer_pb2.InfoRequest(), timeout=10)
        self.assertEqual(info.client, "portal")
        self.assertTrue(info.server_id)
        listed = self.stub.ListCredentials(signer_pb2.ListCredentialsRequest(
            relying_party="portal", subject_id="alice"), timeout=10).credentials
        self.assertEqual([c.credential_id for c in listed], [self.alice["credential_id"]])
        self.assertEqual(listed[0].state, T.CREDENTIAL_STATE_ACTIVE)

    def test_approval_through_the_approvers_door(self):
        approver = self.approver()
        for citizen in (self.alice, self.bob):
            with self.subTest(citizen=citizen["subject_id"]):
                device = self.device(citizen)
                request, begun = self.begin(self.stub, citizen)
                listed = approver.ListPending(approver_pb2.ListPendingRequest(
                    authenticator_id=device.authenticator_id), timeout=10).transactions
                self.assertEqual([t.transaction_id for t in listed], [begun.transaction_id])
                shown = self.pending(approver, device, begun.transaction_id)
                self.assertEqual(k.tx_digest(shown), begun.tx_digest)
                self.assertIn(begun.matching_code, shown.matching_choices)
                self.assertEqual(len(set(shown.matching_choices)), 3)
                self.assertEqual(self.approve(approver, device, begun).state, AUTHORIZED)
                waited = self.wait(self.stub, begun)
                self.assertEqual((waited.state, len(waited.sad), waited.matching_code), (AUTHORIZED, 32, ""))
                reply = self.stub.Sign(self.sign_request(citizen, request=request, sad=waited.sad), timeout=10)
                self.assertSigned(self.stub, citizen, request, reply)
                self.assertEqual(self.wait(self.stub, begun).state, SPENT)

    def test_wait_is_woken_by_the_approval(self):
        approver = self.approver()
        request, begun = self.begin(self.stub, self.alice)
        waiting = self.stub.WaitTransaction.future(signer_pb2.WaitTransactionRequest(
            relying_party="portal", transaction_id=begun.transaction_id, timeout_ms=30000), timeout=40)
        self.approve(approver, self.device(self.alice), begun)
        self.assertEqual(waiting.result(timeout=10).state, AUTHORIZED)
        self.stub.CancelTransaction(signer_pb2.CancelTransactionRequest(
            relying_party="portal", transaction_id=begun.transaction_id), timeout=10)
        self.assertEqual(self.wait(self.stub, begun).state, CANCELLED)

    def test_approval_sent_inline(self):
        device = self.device(self.bob)
        request, begun = self.begin(self.stub, self.bob)
        proof = signer_pb2.ApprovalProof(transaction_id=begun.transaction_id, matching_code=begun.matching_code,
                                         authenticator_id=device.authenticator_id,
                                         signature=device.sign(begun.tx_digest, 1, begun.matching_code))
        reply = self.stub.Sign(self.sign_request(self.bob, request=request, approval=proof), timeout=10)
        self.assertSigned(self.stub, self.bob, request, reply)

    def test_reject(self):
        approver = self.approver()
        _, begun = self.begin(self.stub, self.bob)
        approver.Reject(approver_pb2.RejectRequest(authenticator_id=self.bob["device"]["authenticator_id"],
                                                   transaction_id=begun.transaction_id), timeout=10)
        self.assertEqual(self.wait(self.stub, begun).state, REJECTED)

    def test_sad_over_several_requests(self):
        request = self.request(self.alice, [digest_of(str(i)) for i in range(5)])
        ask = signer_pb2.AuthorizeRequest(request_id=new_id(), request=request,
                                          totp=signer_pb2.TotpProof(code=self.clock.code(self.alice)))
        authorized = self.stub.Authorize(ask, timeout=10)
        self.assertEqual(self.stub.Authorize(ask, timeout=10).sad, authorized.sad, "a repeat gives the same SAD")
        for part in (request.hashes[3:], request.hashes[:1], request.hashes[1:3]):
            some = self.request(self.alice, list(part))
            reply = self.stub.Sign(self.sign_request(self.alice, request=some, sad=authorized.sad), timeout=10)
            self.assertSigned(self.stub, self.alice, some, reply)
        self.assertEqual(self.wait(self.stub, authorized).state, SPENT)

    def test_repeat_returns_the_same_signature(self):
        first = self.sign_request(self.alice)
        one = self.stub.Sign(first, timeout=10)
        before = len(self.h.ledger("intent"))
        self.assertEqual(self.stub.Sign(first, timeout=10).signatures, one.signatures)
        self.assertEqual(len(self.h.ledger("intent")), before)

    def test_delegate_acts_for_its_relying_parties(self):
        gateway = self.signer("gateway")
        request = self.request(self.bob, rp="ministry-a")
        reply = gateway.Sign(self.sign_request(self.bob, request=request), timeout=10)
        self.assertSigned(gateway, self.bob, request, reply, rp="ministry-a")
        with self.refused(grpc.StatusCode.NOT_FOUND):
            gateway.Sign(self.sign_request(self.bob, request=self.request(self.bob, rp="ministry-c"), code="000000"),
                         timeout=10)

    def test_stream_of_a_thousand(self):
        sads = {}
        requests = []
        for part in range(4):
            whole = self.request(self.alice, [digest_of(f"{part} {i}") for i in range(250)])
            sad = self.stub.Authorize(signer_pb2.AuthorizeRequest(
                request_id=new_id(), request=whole, totp=signer_pb2.TotpProof(code=self.clock.code(self.alice))),
                timeout=10).sad
            for digest in whole.hashes:
                one = self.sign_request(self.alice, request=self.request(self.alice, [digest]), sad=sad)
                sads[one.request_id] = one
                requests.append(one)
        key = self.public_key(self.stub, self.alice)
        seen = set()
        for reply in self.stub.SignStream(iter(requests), timeout=60):
            self.assertFalse(reply.HasField("error"), reply)
            asked = sads[reply.request_id].request
            k.verify(key, asked.algorithm, asked.hashes[0], reply.reply.signatures[0])
            seen.add(reply.request_id)
        self.assertEqual(len(seen), 1000)

    def test_cms_by_the_command(self):
        path = f"{self.h.dir}/letter.txt"
        with open(path, "w") as f:
            f.write("Kính gửi")
        self.h.kyso("sign", path, "--cms", "--credential", self.alice["credential_id"], "--profile",
                    self.h.profile("portal"), "--totp", self.clock.code(self.alice))
        verify = ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", path + ".p7s", "-content", path,
                  "-CAfile", f"{self.h.state}/pki/citizen-ca.pem", "-purpose", "any", "-out", "/dev/null"]
        self.assertEqual(subprocess.run(verify, capture_output=True).returncode, 0)
        with open(path, "a") as f:
            f.write("!")
        self.assertNotEqual(subprocess.run(verify, capture_output=True).returncode, 0)

    def test_zz_ledger_verifies(self):
        self.assertLedgerVerifies()


if __name__ == "__main__":
    unittest.main()
