# SPDX-License-Identifier: Apache-2.0
"""What the integration tests share: one harness per class, a gRPC client per relying party, and the time steps of TOTP used
sparingly (each code works once)."""

import contextlib
import os
import sys
import time
import unittest
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../../harness"), os.path.join(HERE, "../../interop/python")]

import grpc  # noqa: E402
import harness  # noqa: E402
import memory  # noqa: E402,F401
import kyso_client as k  # noqa: E402
from kyso_client import approver_pb2, approver_pb2_grpc, signer_pb2, signer_pb2_grpc, types_pb2  # noqa: E402

T = types_pb2
PENDING, AUTHORIZED, SPENT, REJECTED, EXPIRED, CANCELLED = range(1, 7)


def new_id():
    return uuid.uuid4().hex


def digest_of(text, name="sha256"):
    return harness.digest(text.encode() if isinstance(text, str) else text, name)


class Clock:
    """Hands out each citizen's codes, every one unused and inside the window; waits when there is none."""

    def __init__(self):
        self.last = {}

    def code(self, citizen, authenticator=None):
        while True:
            now = int(time.time() // 30)
            for a in [authenticator] if authenticator else citizen["totps"]:
                step = max(self.last.get(a["authenticator_id"], 0) + 1, now)
                if step <= now + 1:
                    self.last[a["authenticator_id"]] = step
                    return harness.code_at(a, step)
            time.sleep(max(0.05, (now + 1) * 30 - time.time()))


class ServerCase(unittest.TestCase):
    config = {}
    env = {}  # of its programs, beside the test's own
    operators = ()

    @classmethod
    def setUpClass(cls):
        cls.h = harness.Harness(config=cls.config, operators=cls.operators, env=cls.env)
        cls.addClassCleanup(cls.h.stop)
        cls.h.start()
        cls.h.add_clients()
        cls.clock = Clock()
        cls.channels = []
        cls.addClassCleanup(lambda: [c.close() for c in cls.channels])
        cls.seed()

    @classmethod
    def seed(cls):
        """Adds the class's citizens."""

    # --- connections --------------------------------------------------------------------------

    @classmethod
    def open(cls, client, door="signer"):
        pki = f"{cls.h.state}/pki"
        c = k.channel(cls.h.endpoints()[door], f"{pki}/tls-ca.pem", f"{pki}/{client}.pem" if client else None,
                      f"{pki}/{client}.key" if client else None)
        cls.channels.append(c)
        return c

    @classmethod
    def signer(cls, client="portal"):
        return signer_pb2_grpc.SignerStub(cls.open(client))

    @classmethod
    def approver(cls, client="approver"):
        return approver_pb2_grpc.ApproverStub(cls.open(client, "approver"))

    # --- requests --------------------------------------------------------------------------------

    def request(self, citizen, digests=None, rp="portal", **options):
        if "scheme" not in options:
            kind = citizen["key_type"]
            options["scheme"] = (T.SIGNATURE_SCHEME_RSA_PKCS1 if kind.startswith("rsa") else
                                 T.SIGNATURE_SCHEME_EDDSA if kind == "ed25519" else T.SIGNATURE_SCHEME_ECDSA)
        return k.signature_request(rp, citizen["credential_id"], digests or [os.urandom(32)], **options)

    def sign_request(self, citizen, code=None, request_id=None, request=None, **proof):
        if not proof:
            proof = {"totp": signer_pb2.TotpProof(code=code or self.clock.code(citizen))}
        return signer_pb2.SignRequest(request_id=request_id or new_id(), request=request or self.request(citizen),
                                      **proof)

    def begin(self, stub, citizen, request=None, **options):
        request = request or self.request(citizen)
        return request, stub.BeginTransaction(signer_pb2.BeginTransactionRequest(
            request_id=options.pop("request_id", None) or new_id(), request=request, **options), timeout=10)

    def device(self, citizen, which="device"):
        return k.Device(k.read(citizen[which]["key"]), citizen[which]["authenticator_id"])

    def pending(self, approver, device, transaction_id):
        return approver.GetTransaction(approver_pb2.GetPendingRequest(
            authenticator_id=device.authenticator_id, transaction_id=transaction_id), timeout=10)

    def approve(self, approver, device, transaction, code=None):
        """As a device does: fetch, recompute the digest, sign."""
        shown = self.pending(approver, device, transaction.transaction_id)
        code = transaction.matching_code if code is None else code
        return approver.Approve(approver_pb2.DecisionRequest(
            authenticator_id=device.authenticator_id, transaction_id=transaction.transaction_id, matching_code=code,
            signature=device.sign(k.tx_digest(shown), 1, code)), timeout=10)

    def wait(self, stub, transaction, rp="portal", timeout_ms=5000):
        return stub.WaitTransaction(signer_pb2.WaitTransactionRequest(
            relying_party=rp, transaction_id=transaction.transaction_id, timeout_ms=timeout_ms), timeout=20)

    def public_key(self, stub, citizen, rp="portal"):
        return stub.GetCredential(signer_pb2.GetCredentialRequest(
            relying_party=rp, credential_id=citizen["credential_id"]), timeout=10).public_key

    # --- what must hold -----------------------------------------------------------------------------

    def assertSigned(self, stub, citizen, request, reply, rp="portal"):
        key = self.public_key(stub, citizen, rp)
        self.assertEqual(len(reply.signatures), len(request.hashes))
        for digest, signature in zip(request.hashes, reply.signatures):
            k.verify(key, request.algorithm, digest, signature)

    @contextlib.contextmanager
    def refused(self, status, reason=None, detail=None, count=1):
        """The call inside is refused with this gRPC status; exactly `count` denials with this reason join the ledger."""
        before = len(self.h.ledger()) if reason else 0
        with self.assertRaises(grpc.RpcError) as caught:
            yield caught
        error = caught.exception
        self.assertEqual(error.code(), status, error.details())
        if status == grpc.StatusCode.PERMISSION_DENIED:
            self.assertEqual(error.details(), "denied", "every denial looks the same outside")
        if detail:
            self.assertEqual(k.error_detail(error)[0], detail)
        if reason:
            self.assertDenied(reason, before, count)

    def assertDenied(self, reason, before, count=1):
        new = [r for r in self.h.ledger()[before:] if r["type"] == "denied"]
        self.assertEqual([r["reason"] for r in new], [reason] * count, new)

    def assertLedgerVerifies(self):
        done = self.h.kyso("ledger", "verify", check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
