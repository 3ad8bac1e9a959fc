# SPDX-License-Identifier: Apache-2.0
"""An ordinary gRPC client (Debian's python3-grpcio) on the relying parties' door: every call, each
kind of refusal, deadlines, cancellation, a thousand requests on one stream."""
import hashlib
import queue
import threading
import time
import unittest

import grpc

from wire import WireTest


class Calls(WireTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.S = cls.pb["signer"]
        cls.T = cls.pb["types"]

    def setUp(self):
        self.front = self.start()
        self.stub = self.signer(self.front)

    def test_info(self):
        r = self.stub.Info(self.S.InfoRequest(), timeout=10)
        self.assertEqual((r.server_id, r.client, r.max_hashes, r.max_message_bytes), ("server", "gateway", 256, 65536))
        self.assertEqual([(a.scheme, a.hash) for a in r.algorithms], [(1, 1), (3, 3)])
        self.assertEqual(self.front.stats()["spki"], self.client.spki)

    def test_credentials(self):
        r = self.stub.ListCredentials(self.S.ListCredentialsRequest(relying_party="bank", page_size=3,
                                                                    page_token="more"), timeout=10)
        self.assertEqual([c.credential_id for c in r.credentials], ["cred-0", "cred-1", "cred-2"])
        self.assertEqual(list(r.credentials[0].chain), [b"issuer"])
        self.assertEqual(r.next_page_token, "more")
        c = self.stub.GetCredential(self.S.GetCredentialRequest(relying_party="bank", credential_id="cred-9"), timeout=10)
        self.assertEqual((c.credential_id, c.key_type, c.state, c.epoch), ("cred-9", 1, 2, 3))

    def test_transactions(self):
        request = self.sign_request().request
        t = self.stub.BeginTransaction(self.S.BeginTransactionRequest(request_id="b-1", request=request, ttl_s=60), timeout=10)
        self.assertEqual((t.request_id, t.transaction_id, t.state, t.matching_code, t.sad), ("b-1", "tx-1", 1, "42", b""))
        self.assertEqual((t.tx_digest, t.nonce, t.not_after), (b"\xd1" * 32, b"\x0e" * 16, 1900000000))
        t = self.stub.Authorize(self.S.AuthorizeRequest(
            request_id="a-1", request=self.S.SignatureRequest(relying_party="bank"), transaction_id="tx-1", totp=self.S.TotpProof(code="123456")), timeout=10)
        self.assertEqual((t.state, len(t.sad)), (2, 32))
        t = self.stub.Authorize(self.S.AuthorizeRequest(
            request_id="a-2", request=self.S.SignatureRequest(relying_party="bank"), approval=self.S.ApprovalProof(transaction_id="tx-1", authenticator_id="d",
                                                            matching_code="42", signature=b"s")), timeout=10)
        self.assertEqual(self.front.stats()["proof"], 2)
        t = self.stub.WaitTransaction(self.S.WaitTransactionRequest(
            relying_party="bank", transaction_id="slow-300", timeout_ms=40000))
        self.assertEqual((t.transaction_id, t.state), ("slow-300", 2))
        # without grpc-timeout: the poll's own time and a margin, not the common 30 s
        self.assertGreater(self.front.stats()["deadline_in_ms"], 40000)
        t = self.stub.CancelTransaction(self.S.CancelTransactionRequest(relying_party="bank", transaction_id="tx-3"), timeout=10)
        self.assertEqual(t.transaction_id, "tx-3")

    def test_sign_raw_and_der(self):
        r = self.sign_request(n=3)
        got = self.stub.Sign(r, timeout=10)
        self.assertEqual(list(got.signatures), [h * 2 for h in r.request.hashes])
        self.assertEqual((got.request_id, got.transaction_id), ("r-1", "tx-1"))
        r.request.algorithm.encoding = self.T.SIGNATURE_ENCODING_DER
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
        for der, h in zip(self.stub.Sign(r, timeout=10).signatures, r.request.hashes):
            self.assertEqual(decode_dss_signature(der), (int.from_bytes(h, "big"),) * 2)
        r.request.algorithm.scheme = self.T.SIGNATURE_SCHEME_RSA_PSS
        r.request.algorithm.pss.salt_length = 32
        self.assertEqual([len(s) for s in self.stub.Sign(r, timeout=10).signatures], [256] * 3)

    def test_largest_request(self):
        r = self.sign_request(n=256)
        self.assertEqual(list(self.stub.Sign(r, timeout=20).signatures), [h * 2 for h in r.request.hashes])

    def test_proofs_reach_the_authority(self):
        for code in ("", "12345", "123456789", "\u0661\u0662\u0663"):  # wrong ones are counted there
            self.stub.Sign(self.sign_request(code=code), timeout=10)
            self.assertEqual(self.front.stats()["secret_len"], len(code.encode()))
        r = self.sign_request()
        r.sad = b"\x01" * 32
        self.stub.Sign(r, timeout=10)
        self.assertEqual((self.front.stats()["proof"], self.front.stats()["secret_len"]), (3, 32))

    def test_form(self):
        """Each field's rule: INVALID_ARGUMENT, and the text names the field."""
        def change(**how):
            r = self.sign_request(n=how.pop("n", 1))
            for k, v in how.items():
                target = r
                *path, last = k.split("__")
                for p in path:
                    target = getattr(target, p)
                if isinstance(v, list):
                    del getattr(target, last)[:]
                    getattr(target, last).extend(v)
                else:
                    setattr(target, last, v)
            return r

        h = hashlib.sha256(b"x").digest()
        cases = [
            (change(request_id=""), "request_id"),
            (change(request_id="a" * 65), "request_id"),
            (change(request_id="a b"), "request_id"),
            (change(request_id="a\nb"), "request_id"),
            (change(request__relying_party=""), "relying_party"),
            (change(request__credential_id=""), "credential_id"),
            (change(request__credential_id="../x"), "credential_id"),
            (change(request__hashes=[]), "hashes"),
            (change(request__hashes=[b""]), "hashes"),
            (change(request__hashes=[h[:31]]), "hashes"),
            (change(request__hashes=[h + b"x"]), "hashes"),
            (change(request__hashes=[h + h + b"x"]), "hashes"),
            (change(request__hashes=[h[:20]]), "hashes"),
            (change(request__hashes=[h, h]), "hashes"),
            (change(n=257), "hashes"),
            (change(request__algorithm__hash=self.T.HASH_ALGORITHM_SHA384), "hashes"),
            (change(request__algorithm__hash=0), "algorithm.hash"),
            (change(request__algorithm__scheme=0), "algorithm.scheme"),
            (change(request__algorithm__scheme=3), "pss"),
            (change(request__algorithm__pss__salt_length=32), "pss"),
            (change(request__display_text="a" * 2001), "display_text"),
            (change(request__display_text="a\u202eb"), "display_text"),
            (change(request__display_text="a\u2066b"), "display_text"),
            (change(request__display_text="a\x07b"), "display_text"),
            (change(request__display_text="a\x00b"), "message"),
            (change(sad=b"x" * 31), "sad"),
            (change(sad=b""), "sad"),
            (change(totp__code="1" * 17), "totp.code"),
            (change(totp__authenticator_id="a b"), "authenticator_id"),
            (change(approval__signature=b"x"), "approval.transaction_id"),
        ]
        for r, field in cases:
            with self.subTest(field=field, request=str(r)[:80]):
                self.refused(lambda: self.stub.Sign(r, timeout=10), grpc.StatusCode.INVALID_ARGUMENT, field)
        r = change()
        r.ClearField("totp")
        self.refused(lambda: self.stub.Sign(r, timeout=10), grpc.StatusCode.INVALID_ARGUMENT, "proof")
        r = change()
        r.ClearField("request")
        self.refused(lambda: self.stub.Sign(r, timeout=10), grpc.StatusCode.INVALID_ARGUMENT, "request")
        self.refused(lambda: self.stub.BeginTransaction(self.S.BeginTransactionRequest(
            request_id="b", request=change().request, ttl_s=601), timeout=10), grpc.StatusCode.INVALID_ARGUMENT, "ttl_s")
        self.refused(lambda: self.stub.WaitTransaction(self.S.WaitTransactionRequest(
            relying_party="bank", transaction_id="t", timeout_ms=60001), timeout=10), grpc.StatusCode.INVALID_ARGUMENT, "timeout_ms")
        self.refused(lambda: self.stub.ListCredentials(self.S.ListCredentialsRequest(
            relying_party="bank", page_size=101), timeout=10), grpc.StatusCode.INVALID_ARGUMENT, "page_size")
        self.assertEqual(self.front.stats()["answered"], 0, "nothing of it reached the authority")
        # an all-zero digest is well formed: the authority denies and records it
        self.stub.Sign(change(request__hashes=[b"\0" * 32]), timeout=10)
        events = self.front.wait_stats(lambda s: s["events"][5] >= len(cases) + 2)["events"]
        self.assertGreaterEqual(events[5], len(cases) + 2)

    def test_error_details(self):
        """Status, text and details agree, also where the text names a field."""
        for rule, grpc_code in (("refuse-3", grpc.StatusCode.PERMISSION_DENIED), ("refuse-4", grpc.StatusCode.NOT_FOUND),
                                ("refuse-10", grpc.StatusCode.RESOURCE_EXHAUSTED), ("refuse-16", None)):
            e = self.refused(lambda: self.stub.Sign(self.sign_request(credential=rule), timeout=10),
                             grpc_code or grpc.StatusCode.PERMISSION_DENIED)
            self.check_details(e)
        e = self.refused(lambda: self.stub.Sign(self.sign_request(request_id=""), timeout=10), grpc.StatusCode.INVALID_ARGUMENT)
        detail = self.check_details(e)
        self.assertEqual((detail.code, detail.retry), ("invalid", self.T.RETRY_NEVER))
        e = self.refused(lambda: self.stub.Sign(self.sign_request(credential="refuse-10"), timeout=10),
                         grpc.StatusCode.RESOURCE_EXHAUSTED)
        self.assertEqual(self.check_details(e).retry_after_ms, 250)

    def check_details(self, error):
        """Reads google.rpc.Status by hand: 1 code, 2 message (the last counts), 3 Any."""
        raw = dict(error.trailing_metadata())["grpc-status-details-bin"]
        fields, i = {}, 0
        def varint():
            nonlocal i
            v = shift = 0
            while True:
                v |= (raw[i] & 127) << shift
                shift += 7
                i += 1
                if raw[i - 1] < 128:
                    return v
        while i < len(raw):
            tag = varint()
            if tag & 7 == 0:
                fields[tag >> 3] = varint()
            else:
                n = varint()
                fields[tag >> 3] = raw[i:i + n]
                i += n
        self.assertEqual(fields[1], error.code().value[0])
        self.assertEqual(fields[2].decode(), error.details())
        detail = self.T.ErrorDetail()
        any_ = fields[3]
        url_len = any_[1]
        self.assertTrue(any_[2:2 + url_len].endswith(b"/kyso.v1.ErrorDetail"))
        detail.ParseFromString(any_[2 + url_len + 2:])
        return detail

    def test_deadline(self):
        start = time.monotonic()
        self.refused(lambda: self.stub.Sign(self.sign_request(credential="never"), timeout=0.5),
                     grpc.StatusCode.DEADLINE_EXCEEDED)
        self.assertLess(time.monotonic() - start, 3)
        s = self.front.wait_stats(lambda s: s["cancels"] == 1)
        self.assertEqual(s["cancels"], 1, "the authority is told")
        self.assertLess(s["deadline_in_ms"], 500)

    def test_default_deadline(self):
        call = self.stub.Sign.future(self.sign_request(credential="never"))
        s = self.front.wait_stats(lambda s: s["signs"] == 1)
        self.assertTrue(25000 < s["deadline_in_ms"] <= 30000, s["deadline_in_ms"])
        call.cancel()

    def test_cancel(self):
        call = self.stub.Sign.future(self.sign_request(credential="never"))
        self.front.wait_stats(lambda s: s["signs"] == 1)
        call.cancel()
        self.assertEqual(self.front.wait_stats(lambda s: s["cancels"] == 1)["cancels"], 1)
        self.assert_alive(self.front)

    def test_late_reply_finds_nobody(self):
        """The reply to a cancelled call comes while its slot is another call's: it is not taken for that one's."""
        call = self.stub.Sign.future(self.sign_request(request_id="first", credential="slow-500"))
        self.front.wait_stats(lambda s: s["signs"] == 1)
        call.cancel()
        self.front.wait_stats(lambda s: s["cancels"] == 1)
        r = self.sign_request(request_id="second", credential="slow-1500")
        reply = self.stub.Sign(r, timeout=20)
        self.assertEqual((reply.request_id, reply.signatures[0]), ("second", r.request.hashes[0] * 2))
        self.assertEqual(self.front.stats()["answered"], 2)
        self.assert_alive(self.front)

    def test_stream_out_of_order(self):
        """A thousand in flight on one stream; replies in another order, each under its own id."""
        n = 1000
        requests = [self.sign_request(request_id=f"s-{i}", credential="shuffle") for i in range(n)]
        got = {}
        order = []
        for reply in self.stub.SignStream(iter(requests), timeout=60):
            self.assertEqual(reply.WhichOneof("outcome"), "reply")
            got[reply.request_id] = reply.reply.signatures[0]
            order.append(int(reply.request_id[2:]))
        self.assertEqual(got, {r.request_id: r.request.hashes[0] * 2 for r in requests})
        self.assertNotEqual(order, sorted(order))

    def test_stream_past_its_window(self):
        """More requests than the window of 1024 holds, all of them slow: none is lost."""
        n = 3000
        requests = (self.sign_request(request_id=f"w-{i}", credential="slow-100") for i in range(n))
        got = {r.request_id for r in self.stub.SignStream(requests, timeout=90) if r.HasField("reply")}
        self.assertEqual(len(got), n)

    def test_stream_errors_stay_in_the_stream(self):
        bad = self.sign_request(request_id="bad")
        del bad.request.hashes[:]
        requests = [self.sign_request(request_id="one"), bad, self.sign_request(request_id="no", credential="refuse-16"),
                    self.sign_request(request_id="two")]
        got = {r.request_id: r for r in self.stub.SignStream(iter(requests), timeout=10)}
        self.assertEqual(set(got), {"one", "bad", "no", "two"})
        self.assertEqual((got["bad"].error.grpc_status, got["bad"].error.detail.code), (3, "invalid"))
        self.assertIn("hashes", got["bad"].error.message)
        self.assertEqual((got["no"].error.grpc_status, got["no"].error.detail.code), (7, "denied"))
        self.assertTrue(got["two"].HasField("reply"))

    def test_stream_one_at_a_time(self):
        todo = queue.Queue()
        replies = self.stub.SignStream(iter(todo.get, None), timeout=20)
        for i in range(20):
            todo.put(self.sign_request(request_id=f"q-{i}"))
            self.assertEqual(next(replies).request_id, f"q-{i}")
        todo.put(None)
        self.assertEqual(list(replies), [])

    def test_many_clients(self):
        errors = []
        def work(k):
            try:
                stub = self.signer(self.front)
                for i in range(50):
                    stub.Sign(self.sign_request(request_id=f"{k}-{i}"), timeout=20)
            except Exception as e:  # noqa: BLE001 - reported below
                errors.append(e)
        threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(errors, [])
        self.assertEqual(self.front.stats()["signs"], 400)


class Bounded(WireTest):
    def test_queue_is_bounded(self):
        front = self.start(queue=16)
        stub = self.signer(front)
        waiting = [stub.Sign.future(self.sign_request(request_id=f"q-{i}", credential="slow-2000"), timeout=20)
                   for i in range(16)]
        front.wait_stats(lambda s: s["signs"] == 16)
        start = time.monotonic()
        e = self.refused(lambda: stub.Sign(self.sign_request(request_id="more"), timeout=10),
                         grpc.StatusCode.RESOURCE_EXHAUSTED)
        self.assertLess(time.monotonic() - start, 1.5)
        self.assertIn("grpc-status-details-bin", dict(e.trailing_metadata()))
        for w in waiting:
            self.assertEqual(len(w.result().signatures), 1)
        self.assertEqual(len(stub.Sign(self.sign_request(request_id="again"), timeout=10).signatures), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
