# SPDX-License-Identifier: Apache-2.0
"""What the wire tests share: certificates, a front with a played authority, gRPC stubs, raw HTTP/2.

Everything lives in a temporary folder and ends with the test. Nothing leaves the loopback.
"""
import datetime
import hashlib
import importlib
import json
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NO_CERTIFICATE, BAD_CERTIFICATE, BAD_TLS, BAD_FRAME, BAD_MESSAGE, FLOOD = range(1, 7)

CONFIG = """\
server_id: server
state_dir: {dir}
tls:
  certificate: {dir}/server.pem
  key: {dir}/server.key
  client_ca: {dir}/ca.pem
doors:
  signer_listen: "127.0.0.1:0"
  max_connections: {max_connections}
  max_streams: {max_streams}
  max_connection_age_s: {age}
token:
  module: /nowhere/module.so
  uri: "pkcs11:token=none"
  pin_file: {dir}/no-pin
limits:
  queue: {queue}
  heartbeat_ms: {heartbeat_ms}
log_level: warn
"""


class Issuer:
    """A certification authority of one test, and what it issues."""

    def __init__(self, name):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.cert = self._build(self.name, self.key.public_key(), ca=True)

    def _build(self, subject, public_key, ca=False, usage=None, seconds=86400, sans=()):
        now = datetime.datetime.utcnow()
        start = now - datetime.timedelta(minutes=5)
        b = (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(public_key)
             .serial_number(x509.random_serial_number()).not_valid_before(start)
             .not_valid_after(now + datetime.timedelta(seconds=seconds))
             .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True))
        if usage:
            b = b.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if sans:
            b = b.add_extension(x509.SubjectAlternativeName(list(sans)), critical=False)
        return b.sign(self.key, hashes.SHA256())

    def issue(self, name, usage=ExtendedKeyUsageOID.CLIENT_AUTH, seconds=86400, sans=()):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        cert = self._build(subject, key.public_key(), usage=usage, seconds=seconds, sans=sans)
        return Identity(cert, key)

    def pem(self):
        return self.cert.public_bytes(serialization.Encoding.PEM)


class Identity:
    def __init__(self, cert, key):
        self.cert_pem = cert.public_bytes(serialization.Encoding.PEM)
        self.key_pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                         serialization.NoEncryption())
        self.spki = hashlib.sha256(key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).hexdigest()

    def write(self, folder, name):
        for end, data in (("pem", self.cert_pem), ("key", self.key_pem)):
            with open(os.path.join(folder, f"{name}.{end}"), "wb") as f:
                f.write(data)
            os.chmod(os.path.join(folder, f"{name}.{end}"), 0o600)


def stubs(folder):
    """Modules generated from the published .proto files: signer, approver, operator, health, types."""
    from grpc_tools import protoc
    proto = os.environ["KYSO_PROTO"]
    names = ["types", "signer", "approver", "operator", "health"]
    files = [os.path.join(proto, "kyso", "v1", n + ".proto") for n in names]
    out = os.path.join(folder, "gen")
    os.makedirs(out, exist_ok=True)
    if protoc.main(["protoc", "-I", proto, "--python_out", out, "--grpc_python_out", out] + files):
        raise RuntimeError("protoc failed")
    sys.path.insert(0, out)
    result = {}
    for n in names:
        result[n] = importlib.import_module(f"kyso.v1.{n}_pb2")
        result[n + "_grpc"] = importlib.import_module(f"kyso.v1.{n}_pb2_grpc")
    return result


class Front:
    """One kyso-front driven by front_double."""

    def __init__(self, folder, door="signer", patience_ms=None, max_connections=4096, max_streams=256, age=3600,
                 queue=8192, heartbeat_ms=3000,  # a busy machine lets the double wait for longer than an authority may
                 program=None):
        self.door, self.folder = door, folder
        config = os.path.join(folder, f"config-{door}.yaml")
        with open(config, "w") as f:
            f.write(CONFIG.format(dir=folder, max_connections=max_connections, max_streams=max_streams, age=age,
                                  queue=queue, heartbeat_ms=heartbeat_ms))
        self.socket_path = os.path.join(folder, "operator.sock") if door == "operator" else "-"
        if door == "operator" and os.path.exists(self.socket_path):
            os.unlink(self.socket_path)
        argv = [os.environ["KYSO_FRONT_DOUBLE"], config, self.socket_path, program or os.environ["KYSO_FRONT"],
                "--door", door, "--index", "0"]
        if patience_ms:
            argv += ["--patience-ms", str(patience_ms)]
        # A sanitizer keeps what was freed: little of it, so that the resident size means something.
        env = dict(os.environ, ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=4")
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
        ready = self._line()
        self.port, self.pid = ready["port"], ready["pid"]
        self.exit = None

    def _line(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("front_double ended")
        return json.loads(line)

    def order(self, text):
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()
        return self._line()

    def stats(self):
        return self.order("stats")

    def wait_stats(self, predicate, seconds=10):
        """The first figures that satisfy the predicate; events arrive once a second."""
        end = time.monotonic() + seconds
        while True:
            s = self.stats()
            if predicate(s) or time.monotonic() > end:
                return s
            time.sleep(0.05)

    def rss_kib(self):
        with open(f"/proc/{self.pid}/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))

    def wait_exit(self, seconds=10):
        """True when the front has ended by itself."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with open(f"/proc/{self.pid}/stat") as f:
                if f.read().rsplit(")", 1)[1].split()[0] == "Z":
                    return True
            time.sleep(0.02)
        return False

    def stop(self):
        """Lets the front go; returns (last figures, exit status)."""
        if self.exit is None:
            self.process.stdin.close()
            last = self._line()
            self.exit = (last, self._line())
            self.process.stdout.close()
            self.process.wait()
        return self.exit


class WireTest(unittest.TestCase):
    """One temporary folder with certificates and stubs per class."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="kyso-wire-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.issuer = Issuer("test issuer")
        with open(os.path.join(cls.folder, "ca.pem"), "wb") as f:
            f.write(cls.issuer.pem())
        import ipaddress
        cls.issuer.issue("server", usage=ExtendedKeyUsageOID.SERVER_AUTH,
                         sans=[x509.DNSName("localhost"),
                               x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]).write(cls.folder, "server")
        cls.client = cls.issuer.issue("gateway")
        cls.client.write(cls.folder, "client")
        cls.pb = stubs(cls.folder)

    def start(self, *args, **kwargs):
        front = Front(self.folder, *args, **kwargs)
        self.addCleanup(self._stop, front)
        return front

    def _stop(self, front):
        _, how = front.stop()
        # A sanitizer's finding ends the process with its own status.
        self.assertIn(how["exit"], (0, 1), "the front did not end by itself")
        self.assertEqual(how["signal"], 0)

    def channel(self, front, identity=None, options=()):
        if front.door == "operator":
            c = grpc.insecure_channel("unix:" + front.socket_path, options=list(options))
        else:
            identity = identity or self.client
            credentials = grpc.ssl_channel_credentials(self.issuer.pem(), identity.key_pem, identity.cert_pem)
            # Without a pool of its own, equal channels of one process share a connection.
            c = grpc.secure_channel(f"localhost:{front.port}", credentials,
                                    options=[("grpc.use_local_subchannel_pool", 1)] + list(options))
        self.addCleanup(c.close)
        return c

    def signer(self, front, **kwargs):
        return self.pb["signer_grpc"].SignerStub(self.channel(front, **kwargs))

    def sign_request(self, request_id="r-1", credential="cred-1", n=1, code="123456", **kwargs):
        pb, types = self.pb["signer"], self.pb["types"]
        algorithm = types.Algorithm(scheme=types.SIGNATURE_SCHEME_ECDSA, hash=types.HASH_ALGORITHM_SHA256,
                                    encoding=types.SIGNATURE_ENCODING_RAW)
        digests = [hashlib.sha256(f"{request_id}/{i}".encode()).digest() for i in range(n)]
        request = pb.SignatureRequest(relying_party="bank", credential_id=credential, algorithm=algorithm,
                                      hashes=digests, display_text="Pay")
        r = pb.SignRequest(request_id=request_id, request=request, totp=pb.TotpProof(code=code))
        for k, v in kwargs.items():
            setattr(r, k, v)
        return r

    def assert_alive(self, front):
        """Another client is undisturbed."""
        if not hasattr(front, "witness"):
            front.witness = self.signer(front)
        reply = front.witness.Sign(self.sign_request(), timeout=10)
        self.assertEqual(reply.signatures[0], self.sign_request().request.hashes[0] * 2)

    def refused(self, call, code, text=None):
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        e = caught.exception
        self.assertEqual(e.code(), code, e.details())
        if text:
            self.assertIn(text, e.details())
        return e

    # raw bytes ------------------------------------------------------------------------------

    def tls(self, front, identity="client", alpn=("h2",), maximum=None, minimum=None, receive=0):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(os.path.join(self.folder, "ca.pem"))
        if minimum:
            context.minimum_version = minimum
        if maximum:
            context.maximum_version = maximum
        if identity:
            context.load_cert_chain(os.path.join(self.folder, identity + ".pem"),
                                    os.path.join(self.folder, identity + ".key"))
        if alpn:
            context.set_alpn_protocols(list(alpn))
        raw = socket.socket()
        raw.settimeout(20)
        if receive:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        raw.connect(("127.0.0.1", front.port))
        try:
            return context.wrap_socket(raw, server_hostname="localhost")
        except Exception:
            raw.close()
            raise

    def http2(self, front, settings=b"", identity="client", receive=0):
        s = Http2(self.tls(front, identity, receive=receive), settings)
        self.addCleanup(s.close)
        return s


DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS = 1, 4


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def setting(number, value):
    return struct.pack(">HI", number, value)


def literal(name, value):
    """HPACK: literal without indexing, new name, no Huffman (RFC 7541 s.6.2.2)."""
    def string(s):
        if len(s) < 127:
            return bytes([len(s)]) + s
        n, out = len(s) - 127, b"\x7f"
        while n >= 128:
            out += bytes([n % 128 + 128])
            n //= 128
        return out + bytes([n]) + s
    return b"\x00" + string(name) + string(value)


def request_headers(path, extra=(), content_type=b"application/grpc", method=b"POST"):
    fields = [(b":method", method), (b":scheme", b"https"), (b":path", path), (b":authority", b"localhost"),
              (b"te", b"trailers")]
    if content_type:
        fields.append((b"content-type", content_type))
    return b"".join(literal(n, v) for n, v in fields + list(extra))


def grpc_message(body, compressed=0, length=None):
    return struct.pack(">BI", compressed, len(body) if length is None else length) + body


class Http2:
    """A frame writer and reader that obeys nothing."""

    def __init__(self, sock, settings=b""):
        self.sock, self.buffer, self.closed = sock, b"", False
        self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, settings))

    def send(self, data):
        """False once the peer has closed."""
        try:
            self.sock.sendall(data)
            return True
        except (OSError, ssl.SSLError):
            return False

    def request(self, stream, path, body=b"", end=True, extra=()):
        self.send(frame(HEADERS, END_HEADERS, stream, request_headers(path, extra)))
        self.send(frame(DATA, END_STREAM if end else 0, stream, body))

    def read_frame(self, timeout=15):
        """(type, flags, stream, payload), or None at the end."""
        self.sock.settimeout(timeout)
        while True:
            if len(self.buffer) >= 9:
                n = int.from_bytes(self.buffer[:3], "big")
                if len(self.buffer) >= 9 + n:
                    kind, flags, stream = struct.unpack(">BBI", self.buffer[3:9])
                    payload, self.buffer = self.buffer[9:9 + n], self.buffer[9 + n:]
                    return kind, flags, stream, payload
            try:
                data = self.sock.recv(65536)
            except TimeoutError:
                raise
            except (OSError, ssl.SSLError):
                return None
            if not data:
                return None
            self.buffer += data

    def frames_until(self, predicate, timeout=15):
        """Every frame up to the first that satisfies the predicate, or to the end of the connection."""
        got = []
        while True:
            f = self.read_frame(timeout)
            if f is None:
                return got, False
            got.append(f)
            if predicate(f):
                return got, True

    def ends(self, timeout=15):
        """True when the peer closes the connection in time."""
        try:
            _, found = self.frames_until(lambda f: False, timeout)
            return not found
        except TimeoutError:
            return False

    def stream_end(self, stream, timeout=15):
        """The header blocks of a stream's answer, joined: trailers are literal enough to search in."""
        got, _ = self.frames_until(
            lambda f: f[2] == stream and (f[0] == RST_STREAM or f[1] & END_STREAM and f[0] in (DATA, HEADERS)), timeout)
        return b"".join(f[3] for f in got if f[2] == stream and f[0] == HEADERS)

    def close(self):
        try:
            self.sock.close()
        except OSError:
            pass


class HostileTest(WireTest):
    """Each test has a front of its own, which must serve as before when the test is over, with no more memory."""
    slack_kib = 64 * 1024

    def setUp(self):
        self.front = self.start(patience_ms=2000)
        self.assert_alive(self.front)
        self.base_rss = self.front.rss_kib()

    def tearDown(self):
        self.assert_alive(self.front)
        self.assertLess(self.front.rss_kib(), self.base_rss + self.slack_kib)
