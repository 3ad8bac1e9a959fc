# SPDX-License-Identifier: Apache-2.0
"""What each door answers, and to whom: approvers, operators, health, reflection, the methods of other
doors, and the certificates that get no further than the handshake."""
import os
import ssl
import unittest

import grpc
from cryptography.x509.oid import ExtendedKeyUsageOID

from wire import (BAD_CERTIFICATE, BAD_TLS, END_HEADERS, END_STREAM, HEADERS, NO_CERTIFICATE, Issuer, WireTest,
                  frame, request_headers)


class Approver(WireTest):
    def test_calls(self):
        front = self.start("approver")
        pb = self.pb["approver"]
        stub = self.pb["approver_grpc"].ApproverStub(self.channel(front))
        listed = stub.ListPending(pb.ListPendingRequest(authenticator_id="d-1"), timeout=10)
        self.assertEqual([t.transaction_id for t in listed.transactions], ["tx-1", "tx-2"])
        self.assertEqual([t.nonce for t in listed.transactions], [b"\x0e" * 16] * 2)
        t = stub.GetTransaction(pb.GetPendingRequest(authenticator_id="d-1", transaction_id="tx-9"), timeout=10)
        self.assertEqual((t.transaction_id, t.relying_party, t.display_text, t.algorithm.pss.salt_length),
                         ("tx-9", "bank", "Hợp đồng", 32))
        self.assertEqual((len(t.hashes), list(t.matching_choices)), (2, ["17", "42"]))
        ask = dict(authenticator_id="d-1", transaction_id="tx-9")
        r = stub.Approve(pb.DecisionRequest(matching_code="42", signature=b"s", **ask), timeout=10)
        self.assertEqual((r.transaction_id, r.state), ("tx-9", 2))
        self.assertEqual(stub.Reject(pb.RejectRequest(**ask), timeout=10).state, 3)
        self.assertEqual(stub.Reject(pb.RejectRequest(not_me=True, signature=b"s", **ask), timeout=10).state, 4)
        for call, request, field in (
                (stub.Approve, pb.DecisionRequest(matching_code="42", **ask), "signature"),
                (stub.Approve, pb.DecisionRequest(matching_code="4" * 17, signature=b"s", **ask), "matching_code"),
                (stub.Approve, pb.DecisionRequest(signature=b"s", transaction_id="tx"), "authenticator_id"),
                (stub.Reject, pb.RejectRequest(not_me=True, **ask), "signature"),
                (stub.ListPending, pb.ListPendingRequest(), "authenticator_id")):
            self.refused(lambda: call(request, timeout=10), grpc.StatusCode.INVALID_ARGUMENT, field)
        self.assertEqual(front.stats()["spki"], self.client.spki)


class Operator(WireTest):
    def test_calls(self):
        front = self.start("operator")
        pb = self.pb["operator"]
        stub = self.pb["operator_grpc"].OperatorStub(self.channel(front))
        signature = pb.OperatorSignature(operator_id="o-1", signature=b"s" * 70)
        r = stub.Execute(pb.ExecuteRequest(operation=b"\x0a\x01x", signatures=[signature]), timeout=10)
        self.assertEqual(r.result, b"\x0a\x01x", "the operation's bytes pass unparsed")
        self.assertEqual(front.stats()["uid"], os.getuid())
        big = b"\x0a" * 65536
        self.assertEqual(stub.Execute(pb.ExecuteRequest(operation=big), timeout=10).result, big)
        for request in (pb.ExecuteRequest(), pb.ExecuteRequest(operation=b"x", signatures=[signature] * 9),
                        pb.ExecuteRequest(operation=b"x", signatures=[pb.OperatorSignature(operator_id="o")]),
                        pb.ExecuteRequest(operation=b"x" * 65537)):
            self.refused(lambda: stub.Execute(request, timeout=10), grpc.StatusCode.INVALID_ARGUMENT)


class Everywhere(WireTest):
    def test_methods_of_other_doors(self):
        pb = self.pb
        calls = {
            "signer": lambda c: pb["signer_grpc"].SignerStub(c).Info(pb["signer"].InfoRequest(), timeout=10),
            "approver": lambda c: pb["approver_grpc"].ApproverStub(c).ListPending(
                pb["approver"].ListPendingRequest(authenticator_id="d"), timeout=10),
            "operator": lambda c: pb["operator_grpc"].OperatorStub(c).Execute(
                pb["operator"].ExecuteRequest(operation=b"x"), timeout=10),
        }
        for door in calls:
            front = self.start(door)
            channel = self.channel(front)
            for name, call in calls.items():
                if name == door:
                    call(channel)
                else:
                    self.refused(lambda: call(channel), grpc.StatusCode.UNIMPLEMENTED)
            for path in ("/kyso.v1.Signer/Nothing", "/x", "/kyso.v1.Signer/" + "a" * 200):
                self.refused(lambda: channel.unary_unary(path)(b"", timeout=10), grpc.StatusCode.UNIMPLEMENTED)

    def test_health(self):
        front = self.start()
        h = self.pb["health"]
        stub = self.pb["health_grpc"].HealthStub(self.channel(front))
        self.assertEqual(stub.Check(h.HealthCheckRequest(), timeout=10).status, 1)
        self.assertEqual(stub.Check(h.HealthCheckRequest(service="kyso.v1.Signer"), timeout=10).status, 1)
        self.refused(lambda: stub.Check(h.HealthCheckRequest(service="kyso.v1.Operator"), timeout=10),
                     grpc.StatusCode.NOT_FOUND)
        watch = stub.Watch(h.HealthCheckRequest())
        self.assertEqual(next(watch).status, 1)
        front.order("serving 0")
        self.assertEqual(next(watch).status, 2)
        self.assertEqual(stub.Check(h.HealthCheckRequest(), timeout=10).status, 2)
        front.order("serving 1")
        self.assertEqual(next(watch).status, 1)
        front.order("hang")
        self.assertEqual(next(watch).status, 2)
        watch.cancel()
        unknown = stub.Watch(h.HealthCheckRequest(service="nobody"))
        self.assertEqual(next(unknown).status, 3)
        unknown.cancel()

    def test_reflection(self):
        front = self.start()
        channel = self.channel(front)
        from google.protobuf import descriptor_pb2, descriptor_pool
        def field(n, data):
            return bytes([n << 3 | 2, len(data)]) + data
        def parse(raw):
            out, i = [], 0
            def varint(i):
                v = shift = 0
                while True:
                    v |= (raw[i] & 127) << shift
                    shift, i = shift + 7, i + 1
                    if raw[i - 1] < 128:
                        return v, i
            while i < len(raw):
                tag, i = varint(i)
                if tag & 7 == 0:
                    v, i = varint(i)
                else:
                    n, i = varint(i)
                    v, i = raw[i:i + n], i + n
                out.append((tag >> 3, v))
            return out
        for version in ("v1", "v1alpha"):
            call = channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")
            asked = [field(7, b"*"), field(3, b"kyso/v1/types.proto"), field(4, b"kyso.v1.Signer.Sign"),
                     field(4, b"kyso.v1.SignRequest"), field(3, b"no.proto"), field(4, b"kyso.v1.Nothing")]
            replies = [parse(r) for r in call(iter(asked), timeout=10)]
            self.assertEqual([dict(r)[2] for r in replies], asked)
            names = [parse(v)[0][1].decode() for k, v in parse(dict(replies[0])[6])]
            self.assertEqual(names, ["kyso.v1.Signer", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                                     "grpc.reflection.v1alpha.ServerReflection"])
            files = [descriptor_pb2.FileDescriptorProto.FromString(dict(parse(dict(r)[4]))[1]) for r in replies[1:4]]
            self.assertEqual([f.name for f in files], ["kyso/v1/types.proto", "kyso/v1/signer.proto", "kyso/v1/signer.proto"])
            pool = descriptor_pool.DescriptorPool()
            pool.Add(files[0])
            pool.Add(files[1])
            self.assertIn("SignStream", pool.FindServiceByName("kyso.v1.Signer").methods_by_name)
            self.assertEqual([dict(parse(dict(r)[7]))[1] for r in replies[4:]], [5, 5])

    def test_compression_and_content_type(self):
        front = self.start()
        stub = self.signer(front)
        # large enough that the client does compress it
        self.refused(lambda: stub.Sign(self.sign_request(n=64, request_id="a" * 64), timeout=10,
                                       compression=grpc.Compression.Gzip), grpc.StatusCode.UNIMPLEMENTED)
        self.assertEqual(front.stats()["signs"], 0)
        for content_type, method, status in ((b"application/json", b"POST", b"415"), (None, b"POST", b"415"),
                                             (b"application/grpc+json", b"POST", b"415"),
                                             (b"application/grpc", b"PUT", b"405")):
            h = self.http2(front)
            h.send(frame(HEADERS, END_HEADERS | END_STREAM, 1,
                         request_headers(b"/kyso.v1.Signer/Info", content_type=content_type, method=method)))
            self.assertIn(status, h.stream_end(1))
        self.assert_alive(front)


class Certificates(WireTest):
    """Fault 13: only a certificate of the configured issuers, for clients, in its time, gets in."""

    def refuses(self, front, identity):
        try:
            s = self.tls(front, identity)
        except (ssl.SSLError, OSError):
            return True
        try:  # in TLS 1.3 the client learns it with its first read
            s.settimeout(10)
            return s.recv(100) == b""
        except (ssl.SSLError, ConnectionError):
            return True
        finally:
            s.close()

    def test_13_refused(self):
        front = self.start()
        self.issuer.issue("server as client", usage=ExtendedKeyUsageOID.SERVER_AUTH).write(self.folder, "wrong-usage")
        self.issuer.issue("no usage", usage=None).write(self.folder, "no-usage")
        self.issuer.issue("expired", seconds=-60).write(self.folder, "expired")
        Issuer("somebody else").issue("stranger").write(self.folder, "stranger")
        self.assertTrue(self.refuses(front, None))
        self.assertEqual(front.wait_stats(lambda s: s["events"][NO_CERTIFICATE])["events"][NO_CERTIFICATE], 1)
        for name in ("wrong-usage", "no-usage", "expired", "stranger"):
            with self.subTest(name):
                self.assertTrue(self.refuses(front, name))
        self.assertEqual(front.wait_stats(lambda s: s["events"][BAD_CERTIFICATE] == 4)["events"][BAD_CERTIFICATE], 4)
        self.assert_alive(front)

    def test_13_expires_while_connected(self):
        front = self.start()
        brief = self.issuer.issue("brief", seconds=3)
        stub = self.signer(front, identity=brief)
        stub.Sign(self.sign_request(), timeout=10)
        waiting = stub.Sign.future(self.sign_request(credential="slow-20000"), timeout=20)
        with self.assertRaises(grpc.RpcError) as caught:
            waiting.result()
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
        self.refused(lambda: stub.Sign(self.sign_request(), timeout=10), grpc.StatusCode.UNAVAILABLE)
        self.assertGreaterEqual(front.wait_stats(lambda s: s["events"][BAD_CERTIFICATE])["events"][BAD_CERTIFICATE], 1)

    def test_13_identity_is_the_key(self):
        """Two certificates over different keys: the record carries each one's SPKI."""
        front = self.start()
        for name in ("one", "two"):
            who = self.issuer.issue(name)
            self.signer(front, identity=who).Sign(self.sign_request(), timeout=10)
            self.assertEqual(front.stats()["spki"], who.spki)


class Tls(WireTest):
    """Fault 12."""

    def test_12_older_protocol(self):
        front = self.start()
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            self.tls(front, maximum=ssl.TLSVersion.TLSv1_2)
        self.assertGreaterEqual(front.wait_stats(lambda s: s["events"][BAD_TLS])["events"][BAD_TLS], 1)
        self.assert_alive(front)

    def test_no_h2(self):
        front = self.start()
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            self.tls(front, alpn=("http/1.1",))
        s = self.tls(front, alpn=())
        s.settimeout(10)
        try:
            self.assertEqual(s.recv(1), b"")
        except (ssl.SSLError, ConnectionError):
            pass
        s.close()
        self.assert_alive(front)

    def test_cipher_is_the_servers_choice(self):
        """Python offers AES-256-GCM first."""
        with self.tls(self.start()) as tls:
            self.assertEqual(tls.cipher()[0], "TLS_AES_128_GCM_SHA256")

    def test_12_no_resumption_and_so_no_early_data(self):
        front = self.start()
        h = self.http2(front)
        self.assertIsNotNone(h.read_frame())
        session = h.sock.session
        self.assertTrue(session is None or not session.has_ticket)
        h.close()
        again = self.http2(front)
        self.assertFalse(again.sock.session_reused)


if __name__ == "__main__":
    unittest.main(verbosity=2)
