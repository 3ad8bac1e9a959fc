# SPDX-License-Identifier: Apache-2.0
"""The operators' door, by a client of our own over the Unix socket: what is not exactly a fresh operation, signed by
those who may, is refused with one answer and a record on the ledger, and changes nothing."""

import hashlib
import os
import socket
import stat
import time
import unittest

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from base import ServerCase, grpc, harness, k, signer_pb2, signer_pb2_grpc
from kyso.v1 import operator_pb2, operator_pb2_grpc

CODE = grpc.StatusCode
TAG = b"kyso.v1.operation\0"


class Operators(ServerCase):
    operators = ("second",)

    @classmethod
    def seed(cls):
        cls.keys = {"demo": cls.load("operator"), "second": cls.load("second")}
        cls.stranger = ec.generate_private_key(ec.SECP256R1())
        cls.socket = cls.h.endpoints()["operator"]
        cls.connect()
        cls.count = 0
        cls.alice = cls.h.add_citizen("alice")
        with cls("execute").assertRaises(grpc.RpcError) as caught:
            cls("execute").execute(b"nothing")
        cls.answer = k.error_detail(caught.exception)  # every refusal's

    @classmethod
    def connect(cls):
        cls.channel = grpc.insecure_channel(f"unix:{cls.socket}", options=[("grpc.use_local_subchannel_pool", 1)])
        cls.channels.append(cls.channel)
        cls.stub = operator_pb2_grpc.OperatorStub(cls.channel)

    @classmethod
    def load(cls, name):
        return serialization.load_pem_private_key(k.read(f"{cls.h.state}/{name}.key"), None)

    # --- a client ------------------------------------------------------------------------------------

    def operation(self, **fields):
        """A fresh operation that adds a subject, unless told otherwise; its bytes."""
        type(self).count += 1
        self.subject = f"person-{self.count}"
        if not any(f.name in fields for f in operator_pb2.Operation.DESCRIPTOR.oneofs[0].fields):
            fields["add_subject"] = operator_pb2.AddSubject(subject_id=self.subject, name="Somebody")
        fields = {"server_id": "demo.kyso.example", "nonce": os.urandom(16), "expires": int(time.time()) + 60, **fields}
        return operator_pb2.Operation(**fields).SerializeToString()

    def signature(self, operation, name="demo", key=None, tag=TAG):
        signed = (key or self.keys[name]).sign(tag + operation, ec.ECDSA(hashes.SHA256()))
        return operator_pb2.OperatorSignature(operator_id=name, signature=signed)

    def execute(self, operation, *signatures):
        reply = self.stub.Execute(operator_pb2.ExecuteRequest(operation=operation, signatures=signatures), timeout=20)
        return operator_pb2.OperationResult.FromString(reply.result)

    def run_signed(self, operation, *names):
        return self.execute(operation, *(self.signature(operation, name) for name in names or ("demo",)))

    def assertRefused(self, operation, *signatures):
        """One answer for whatever is wrong, one record, no change."""
        before = len(self.h.ledger())
        with self.assertRaises(grpc.RpcError) as caught:
            self.execute(operation, *signatures)
        answer = (caught.exception.code(), caught.exception.details(), k.error_detail(caught.exception))
        self.assertEqual(answer, (CODE.PERMISSION_DENIED, "denied", self.answer))
        new = [r for r in self.h.ledger()[before:] if r["type"] not in ("operation", "event")]
        self.assertEqual([(r["type"], r.get("reason")) for r in new], [("denied", "operator-refused")], new)

    # --- what is accepted ---------------------------------------------------------------------------------

    def test_signed_by_an_operator(self):
        operation = self.operation()
        result = self.run_signed(operation)
        self.assertEqual(result.subject_id, self.subject)
        record = self.h.ledger("operation")[-2]  # the export is the last
        self.assertEqual((record["name"], record["operators"], record["digest"]),
                         ("add-subject", "demo", hashlib.sha256(operation).hexdigest()))
        self.assertEqual(record["uid"], os.getuid())

    def test_signed_by_two(self):
        self.run_signed(self.operation(), "demo", "second")
        self.assertEqual(self.h.ledger("operation")[-2]["operators"], "demo,second")

    # --- what is refused ------------------------------------------------------------------------------------

    def test_nobody_signed(self):
        self.assertRefused(self.operation())

    def test_unknown_operator(self):
        operation = self.operation()
        self.assertRefused(operation, self.signature(operation, "nobody", self.stranger))
        self.assertRefused(operation, self.signature(operation, "Demo", self.keys["demo"]))

    def test_wrong_key(self):
        operation = self.operation()
        self.assertRefused(operation, self.signature(operation, "demo", self.stranger))
        self.assertRefused(operation, self.signature(operation, "demo", self.keys["second"]))

    def test_other_bytes_or_tag(self):
        operation = self.operation()
        self.assertRefused(self.operation(), self.signature(operation))
        self.assertRefused(operation, self.signature(operation, tag=b""))
        self.assertRefused(operation, self.signature(operation, tag=b"kyso.v1.approval\0"))
        self.assertRefused(operation + b"\0", self.signature(operation))
        self.run_signed(operation)  # the refusals spent nothing

    def test_one_wrong_signature_spoils_it(self):
        operation = self.operation()
        good = self.signature(operation)
        self.assertRefused(operation, good, self.signature(operation, "second", self.stranger))
        self.assertRefused(operation, good, operator_pb2.OperatorSignature(operator_id="second", signature=good.signature))
        self.assertRefused(operation, good, good)
        self.run_signed(operation)

    def test_replayed(self):
        operation = self.operation()
        self.run_signed(operation)
        self.assertRefused(operation, self.signature(operation))
        self.assertRefused(operation, self.signature(operation, "second"))
        nonce = os.urandom(16)
        self.run_signed(self.operation(nonce=nonce))
        other = self.operation(nonce=nonce)
        self.assertRefused(other, self.signature(other))

    def test_terms(self):
        now = int(time.time())
        for fields in ({"server_id": "other.kyso.example"}, {"server_id": ""}, {"expires": now - 1}, {"expires": 0},
                       {"expires": -1}, {"expires": now + 400}, {"nonce": b""}, {"nonce": os.urandom(15)},
                       {"nonce": os.urandom(17)}):
            with self.subTest(**fields):
                operation = self.operation(**fields)
                self.assertRefused(operation, self.signature(operation))

    def test_bytes_that_are_no_operation(self):
        good = self.operation()
        unnamed = operator_pb2.Operation(server_id="demo.kyso.example", nonce=os.urandom(16),
                                         expires=int(time.time()) + 60).SerializeToString()
        for what, operation in {"noise": os.urandom(200), "cut": good[:-1], "trailing zero": good + b"\0",
                                "unknown field": good + b"\xaa\x3e\x01x", "names none": unnamed,
                                "twice": good + good, "two operations": good + operator_pb2.Operation(
                                    get_status=operator_pb2.GetStatus()).SerializeToString()}.items():
            with self.subTest(what):
                self.assertRefused(operation, self.signature(operation))

    def test_malformed_requests(self):
        """What is wrong by its form alone the front says in clear: it tells nothing of operators."""
        operation = self.operation()
        good = self.signature(operation)
        for what, request in {"no operation": (b"", good),
                              "no operator": (operation, operator_pb2.OperatorSignature(signature=good.signature)),
                              "no signature": (operation, operator_pb2.OperatorSignature(operator_id="demo")),
                              "a name that is none": (operation, self.signature(operation, "a b", self.stranger)),
                              "a long signature": (operation, operator_pb2.OperatorSignature(
                                  operator_id="demo", signature=bytes(600)))}.items():
            with self.subTest(what), self.refused(CODE.INVALID_ARGUMENT, detail="invalid"):
                self.execute(*request)
        self.execute(operation, good)

    def test_an_authenticator_on_an_active_credential_takes_two(self):
        public = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        device = operator_pb2.EnrollDevice(subject_id="alice", key_type=operator_pb2.DEVICE_KEY_TYPE_ES256,
                                           public_key=public, label="another phone")
        operation = self.operation(enroll_device=device)
        self.assertRefused(operation, self.signature(operation))
        result = self.run_signed(self.operation(enroll_device=device), "demo", "second")
        self.assertEqual(len(result.authenticators), 1)
        self.assertNotEqual(result.authenticators[0].state, "active", "not before the person confirmed it")

    def test_replayed_after_a_restart(self):
        operation = self.operation(expires=int(time.time()) + 290)
        self.run_signed(operation)
        self.assertEqual(self.h.stop_server(), 0)
        self.h.run_server()
        self.connect()
        self.assertRefused(operation, self.signature(operation))

    # --- doors ------------------------------------------------------------------------------------------------

    def test_the_socket_is_not_for_everyone(self):
        self.assertEqual(stat.S_IMODE(os.stat(self.socket).st_mode) & 0o007, 0)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.dirname(self.socket)).st_mode), 0o700)

    def test_operations_come_through_this_door_only(self):
        operation = self.operation()
        request = operator_pb2.ExecuteRequest(operation=operation, signatures=[self.signature(operation)])
        for door in ("signer", "approver"):
            with self.assertRaises(grpc.RpcError) as caught:
                operator_pb2_grpc.OperatorStub(self.open("portal" if door == "signer" else door, door)).Execute(
                    request, timeout=10)
            self.assertEqual(caught.exception.code(), CODE.UNIMPLEMENTED)
        with self.assertRaises(grpc.RpcError) as caught:
            signer_pb2_grpc.SignerStub(self.channel).Info(signer_pb2.InfoRequest(), timeout=10)
        self.assertEqual(caught.exception.code(), CODE.UNIMPLEMENTED)
        self.execute(operation, *request.signatures)

    def test_noise_on_the_socket(self):
        for noise in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(4096), b"\x16\x03\x01\x02\x00\x01"):
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(10)
                s.connect(self.socket)
                s.sendall(noise)
                s.shutdown(socket.SHUT_WR)
                while s.recv(4096):
                    pass
        self.run_signed(self.operation())

    def test_zz_ledger_verifies(self):
        self.assertLedgerVerifies()


if __name__ == "__main__":
    unittest.main()
