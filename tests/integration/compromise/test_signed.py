# SPDX-License-Identifier: Apache-2.0
"""Signed requests through a whole server: the kyso command and a client in Python sign what they ask, and nothing else passes."""

import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../main"))

from base import AUTHORIZED, CANCELLED, ServerCase, digest_of, grpc, k, new_id, signer_pb2  # noqa: E402


class Signed(ServerCase):
    @classmethod
    def seed(cls):
        cls.alice = cls.h.add_citizen("alice", totps=6)
        cls.key = cls.h.add_request_key("portal")
        cls.stub = cls.signer()
        cls.info = cls.stub.Info(signer_pb2.InfoRequest(), timeout=10)
        cls.signs = k.RequestKey(k.read(cls.key), cls.h.endpoints()["server_id"], "portal")

    def test_every_request_and_nothing_unsigned(self):
        self.assertTrue(self.info.signed_requests)
        request = self.sign_request(self.alice)
        with self.refused(grpc.StatusCode.PERMISSION_DENIED, "request-unsigned"):
            self.stub.Sign(request, timeout=10)
        reply = self.stub.Sign(self.signs.sign(request), timeout=10)  # the same code: it was not looked at
        self.assertSigned(self.stub, self.alice, request.request, reply)
        other = self.sign_request(self.alice)
        other.request_signature.CopyFrom(request.request_signature)
        with self.refused(grpc.StatusCode.PERMISSION_DENIED, "request-forged"):
            self.stub.Sign(other, timeout=10)
        with self.refused(grpc.StatusCode.PERMISSION_DENIED, "request-stale"):
            self.stub.Sign(self.signs.sign(other, life_s=-1), timeout=10)

    def test_sad_stream_and_cancel(self):
        digests = [digest_of(f"page {i}") for i in range(4)]
        authorize = signer_pb2.AuthorizeRequest(
            request_id=new_id(), request=self.request(self.alice, digests), ttl_s=60,
            totp=signer_pb2.TotpProof(code=self.clock.code(self.alice)))
        transaction = self.stub.Authorize(self.signs.sign(authorize), timeout=10)
        self.assertEqual(transaction.state, AUTHORIZED)
        one, two, three = (self.sign_request(self.alice, request=self.request(self.alice, [d]), sad=transaction.sad)
                           for d in digests[:3])
        replies = {r.request_id: r for r in
                   self.stub.SignStream(iter([self.signs.sign(one), self.signs.sign(two), three]), timeout=20)}
        self.assertTrue(replies[one.request_id].HasField("reply") and replies[two.request_id].HasField("reply"))
        self.assertEqual(replies[three.request_id].error.detail.code, "denied")
        cancel = signer_pb2.CancelTransactionRequest(relying_party="portal", transaction_id=transaction.transaction_id)
        with self.refused(grpc.StatusCode.PERMISSION_DENIED, "request-unsigned"):
            self.stub.CancelTransaction(cancel, timeout=10)
        self.assertEqual(self.stub.CancelTransaction(self.signs.sign(cancel), timeout=10).state, CANCELLED)

    def test_device_approval(self):
        begin = signer_pb2.BeginTransactionRequest(request_id=new_id(), request=self.request(self.alice), ttl_s=100)
        with self.refused(grpc.StatusCode.PERMISSION_DENIED, "request-unsigned"):
            self.stub.BeginTransaction(begin, timeout=10)
        transaction = self.stub.BeginTransaction(self.signs.sign(begin), timeout=10)
        device = self.device(self.alice)
        shown = self.pending(self.approver(), device, transaction.transaction_id)
        approval = signer_pb2.ApprovalProof(
            transaction_id=transaction.transaction_id, authenticator_id=device.authenticator_id,
            matching_code=transaction.matching_code,
            signature=device.sign(k.tx_digest(shown), 1, transaction.matching_code))
        sign = self.signs.sign(self.sign_request(self.alice, request=begin.request, approval=approval))
        self.assertSigned(self.stub, self.alice, begin.request, self.stub.Sign(sign, timeout=10))

    def test_kyso_sign(self):
        document = f"{self.h.dir}/document"
        with open(document, "w") as f:
            f.write("a contract")
        words = ["sign", document, "--profile", self.h.profile("portal"), "--credential", self.alice["credential_id"]]
        code = self.clock.code(self.alice)
        refused = self.h.kyso(*words, "--totp", code, check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("--request-key", refused.stderr)
        self.h.kyso(*words, "--totp", code, "--text", "Contract", "--request-key", self.key)
        waiting = subprocess.Popen([f"{self.h.bin}/kyso", *words, "--approval", "--json", "--request-key", self.key],
                                   env=self.h.env, stdout=subprocess.PIPE, text=True)
        self.addCleanup(waiting.stdout.close)
        self.addCleanup(waiting.kill)
        pending = json.loads(waiting.stdout.readline())
        self.h.kyso("approve", "--profile", self.h.profile("approver"), "--authenticator",
                    self.alice["device"]["authenticator_id"], "--device-key", self.alice["device"]["key"],
                    "--code", pending["pending"]["matching_code"])
        self.assertEqual(waiting.wait(60), 0)
        shown = self.h.kyso("client", "list", json_out=True)["clients"]
        signed = {c["client"]: c["signed_requests"] for c in shown}
        self.assertTrue(signed["portal"])
        self.assertFalse(signed["approver"])

    def test_the_key_is_the_operators_to_take_back(self):
        before = len(self.h.ledger())
        key = self.h.add_request_key("gateway", "ed25519")
        gateway = self.signer("gateway")
        signs = k.RequestKey(k.read(key), self.h.endpoints()["server_id"], "gateway")
        request = self.sign_request(self.alice, request=self.request(self.alice, rp="ministry-a"))
        with self.refused(grpc.StatusCode.PERMISSION_DENIED, "request-forged"):
            gateway.Sign(self.signs.sign(request), timeout=10)  # the portal's key
        self.assertEqual(len(gateway.Sign(signs.sign(request), timeout=10).signatures), 1)
        self.h.kyso("client", "request-key", "gateway", "--none")
        request = self.sign_request(self.alice, request=self.request(self.alice, rp="gateway"))
        self.assertEqual(len(gateway.Sign(request, timeout=10).signatures), 1)
        named = [r for r in self.h.ledger()[before:] if r.get("name") == "set-client-request-key"]
        self.assertEqual([r["target"] for r in named if r["target"] == "gateway"], ["gateway"] * 2)


if __name__ == "__main__":
    unittest.main()
