#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the server's three doors, made with grpcio and a software key.

Usage: double.py PROTO_DIR WORK_DIR. Prints one line of JSON (endpoints, files, ids) when it is
ready and ends when its standard input closes. It checks what the client must get right
(operators' signatures, approvals' challenges, codes) and otherwise answers as PROTOCOL.md says.
"""
import base64
import datetime
import hashlib
import ipaddress
import json
import os
import struct
import sys
import threading
import time
from concurrent import futures

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from grpc_tools import protoc

proto_dir, work = sys.argv[1:3]
os.makedirs(os.path.join(work, "gen"), exist_ok=True)
names = ["types", "signer", "approver", "operator", "health"]
if protoc.main(["protoc", f"-I{proto_dir}", f"--python_out={work}/gen", f"--grpc_python_out={work}/gen"] +
               [f"{proto_dir}/kyso/v1/{n}.proto" for n in names]) != 0:
    sys.exit("protoc failed")
sys.path.insert(0, f"{work}/gen")
from kyso.v1 import approver_pb2, approver_pb2_grpc, health_pb2, health_pb2_grpc  # noqa: E402
from kyso.v1 import operator_pb2, operator_pb2_grpc, signer_pb2, signer_pb2_grpc, types_pb2  # noqa: E402

HASHES = {1: hashes.SHA256, 2: hashes.SHA384, 3: hashes.SHA512}
DER = serialization.Encoding.DER
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo


def path(name):
    return os.path.join(work, name)


def write(name, data):
    with open(path(name), "wb") as f:
        f.write(data)
    return path(name)


def pem_key(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def certificate(name, key, issuer=None, issuer_key=None, ca=False, usage=None):
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.utcnow()
    b = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer.subject if issuer else subject)
         .public_key(key.public_key()).serial_number(x509.random_serial_number())
         .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=2))
         .add_extension(x509.BasicConstraints(ca, None), True))
    if usage == ExtendedKeyUsageOID.SERVER_AUTH:
        b = b.add_extension(x509.SubjectAlternativeName(
            [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
    if usage:
        b = b.add_extension(x509.ExtendedKeyUsage([usage]), False)
    return b.sign(issuer_key or key, hashes.SHA256())


def new_ec():
    return ec.generate_private_key(ec.SECP256R1())


ca_key = new_ec()
ca = certificate("Double CA", ca_key, ca=True)
other_ca = certificate("Other CA", new_ec(), ca=True)
server_key = new_ec()
server = certificate("double", server_key, ca, ca_key, usage=ExtendedKeyUsageOID.SERVER_AUTH)
client_key = new_ec()
client = certificate("gateway", client_key, ca, ca_key, usage=ExtendedKeyUsageOID.CLIENT_AUTH)
files = {
    "ca": write("ca.pem", ca.public_bytes(serialization.Encoding.PEM)),
    "other_ca": write("other-ca.pem", other_ca.public_bytes(serialization.Encoding.PEM)),
    "cert": write("client.pem", client.public_bytes(serialization.Encoding.PEM)),
    "key": write("client.key", pem_key(client_key)),
}
KEYS = {"p256": (1, new_ec()), "p384": (2, ec.generate_private_key(ec.SECP384R1())),
        "rsa": (3, rsa.generate_private_key(65537, 2048)), "ed": (6, ed25519.Ed25519PrivateKey.generate())}
CERTS = {name: certificate("Nguyễn Văn A", k, ca, ca_key) for name, (_, k) in KEYS.items()}


def refuse(context, status, text, code, retry=0, after=0):
    detail = types_pb2.ErrorDetail(code=code, retry=retry, retry_after_ms=after).SerializeToString()
    url = b"type.googleapis.com/kyso.v1.ErrorDetail"
    any_ = b"\x0a" + bytes([len(url)]) + url + b"\x12" + bytes([len(detail)]) + detail
    message = text.encode()
    packed = b"\x08" + bytes([status.value[0]]) + b"\x12" + bytes([len(message)]) + message + b"\x1a" + bytes([len(any_)]) + any_
    context.set_trailing_metadata((("grpc-status-details-bin", packed),))
    context.abort(status, text)


def sign_hash(credential, algorithm, digest):
    key = KEYS[credential][1]
    if algorithm.scheme == 4:
        return key.sign(digest)
    h = utils.Prehashed(HASHES[algorithm.hash]())
    if algorithm.scheme == 2:
        return key.sign(digest, padding.PKCS1v15(), h)
    if algorithm.scheme == 3:
        return key.sign(digest, padding.PSS(padding.MGF1(HASHES[algorithm.hash]()), algorithm.pss.salt_length), h)
    der = key.sign(digest, ec.ECDSA(h))
    if algorithm.encoding == 1:
        r, s = utils.decode_dss_signature(der)
        half = (key.curve.key_size + 7) // 8
        return r.to_bytes(half, "big") + s.to_bytes(half, "big")
    return der


def u32(n):
    return struct.pack(">I", n)


def tx_digest(tx):
    """PROTOCOL.md, "The transaction digest"."""
    a = tx.algorithm
    pss = a.scheme == 3
    fields = [t.encode() for t in (tx.server_id, tx.client, tx.relying_party, tx.transaction_id, tx.subject_id, tx.credential_id)]
    fields += [u32(tx.credential_epoch), tx.key_spki_sha256,
               bytes([a.scheme, a.hash, (a.pss.mgf_hash or a.hash) if pss else 0]) + struct.pack(">H", a.pss.salt_length if pss else 0),
               u32(len(tx.hashes)), *tx.hashes, hashlib.sha256(tx.display_text.encode()).digest(),
               struct.pack(">Q", tx.not_after), tx.nonce]
    return hashlib.sha256(b"kyso.v1.tx\0" + b"".join(u32(len(f)) + f for f in fields)).digest()


class Transactions:
    """One pending transaction at a time, shared by the two doors."""
    changed = threading.Condition()
    tx = None
    sad = os.urandom(32)
    code = "42"


def stop_leaf(index):
    """A stop record: header, boot id, reason (proto/ledger.c, proto/msg.c)."""
    reason = f"stop {index}".encode()
    return struct.pack("<QQH", index, 1_800_000_000_000_000 + index, 3) + bytes([index + 1]) * 16 + struct.pack("<I", len(reason)) + reason


def merkle_root(leaves):
    """RFC 6962 s.2.1, straight from its definition."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\1" + merkle_root(leaves[:k]) + merkle_root(leaves[k:])).digest()


LEAVES = [stop_leaf(i) for i in range(11)]
ledger_key = ed25519.Ed25519PrivateKey.generate()
raw_ledger_key = ledger_key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
ledger_key_id = hashlib.sha256(b"double\n\x01" + raw_ledger_key).digest()[:4]
files["ledger_key"] = write("ledger.pub", ledger_key.public_key().public_bytes(serialization.Encoding.PEM, SPKI))
files["ledger_vkey"] = f"double+{ledger_key_id.hex()}+{base64.b64encode(bytes([1]) + raw_ledger_key).decode()}"


def checkpoint(size):
    """A C2SP signed note."""
    body = f"double\n{size}\n{base64.b64encode(merkle_root(LEAVES[:size])).decode()}\n"
    signature = base64.b64encode(ledger_key_id + ledger_key.sign(body.encode())).decode()
    return f"{body}\n\u2014 double {signature}\n"


class Signer(signer_pb2_grpc.SignerServicer):
    def Info(self, request, context):
        return signer_pb2.InfoReply(server_id="double", version="0", client="gateway", max_hashes=256, max_message_bytes=65536,
                                    algorithms=[types_pb2.Algorithm(scheme=1, hash=1)])

    def GetCredential(self, request, context):
        if request.credential_id == "slow":
            while context.is_active():
                time.sleep(0.01)
        if request.credential_id in ("big", "huge"):
            return types_pb2.Credential(credential_id="big", chain=[b"c" * 100_000] * (9 if request.credential_id == "big" else 11))
        if request.credential_id == "die":
            os._exit(9)
        if request.credential_id == "busy":
            refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "queue is full: đầy 100%", "busy", 1, 250)
        if request.credential_id not in KEYS:
            refuse(context, grpc.StatusCode.NOT_FOUND, "no such credential", "not-found")
        kind, key = KEYS[request.credential_id]
        return types_pb2.Credential(credential_id=request.credential_id, subject_id="079123", key_type=kind, state=2, epoch=1,
                                    certificate=CERTS[request.credential_id].public_bytes(DER), chain=[ca.public_bytes(DER)],
                                    public_key=key.public_key().public_bytes(DER, SPKI), storage=1, max_hashes=64)

    def Sign(self, request, context):
        proof = request.WhichOneof("proof")
        if proof == "totp" and request.totp.code != "123456":
            refuse(context, grpc.StatusCode.PERMISSION_DENIED, "denied", "denied", 2)
        if proof == "sad" and request.sad != Transactions.sad:
            refuse(context, grpc.StatusCode.PERMISSION_DENIED, "denied", "denied", 2)
        r = request.request
        signatures = [sign_hash(r.credential_id, r.algorithm, h) for h in r.hashes]
        if r.display_text == "spoil":
            signatures[0] = signatures[0][:-1] + bytes([signatures[0][-1] ^ 1])
        return signer_pb2.SignReply(request_id=request.request_id, transaction_id="t-1", signatures=signatures)

    def SignStream(self, requests, context):
        held = None  # every second reply overtakes the one before it
        for r in requests:
            if r.request.display_text == "refuse":
                reply = signer_pb2.SignStreamReply(request_id=r.request_id, error=signer_pb2.StreamError(grpc_status=7, message="denied"))
            else:
                reply = signer_pb2.SignStreamReply(request_id=r.request_id, reply=signer_pb2.SignReply(
                    request_id=r.request_id, signatures=[b"\x2a" * 64]))
            if held is None:
                held = reply
                continue
            yield reply
            yield held
            held = None
        if held is not None:
            yield held

    def BeginTransaction(self, request, context):
        r = request.request
        spki = KEYS[r.credential_id][1].public_key().public_bytes(DER, SPKI)
        with Transactions.changed:
            Transactions.tx = approver_pb2.PendingTransaction(
                transaction_id="t-1", server_id="double", client="gateway", relying_party=r.relying_party, subject_id="079123",
                credential_id=r.credential_id, credential_epoch=1, key_spki_sha256=hashlib.sha256(spki).digest(),
                algorithm=r.algorithm, hashes=r.hashes, display_text=r.display_text, not_after=int(time.time()) + (request.ttl_s or 120),
                nonce=os.urandom(16), state=1, matching_choices=["17", "42", "88"])
            t = Transactions.tx
            Transactions.changed.notify_all()
            return signer_pb2.Transaction(transaction_id="t-1", state=1, tx_digest=tx_digest(t), nonce=t.nonce,
                                          matching_code=Transactions.code, not_after=t.not_after, request_id=request.request_id)

    def WaitTransaction(self, request, context):
        with Transactions.changed:
            Transactions.changed.wait_for(lambda: Transactions.tx.state != 1, request.timeout_ms / 1000)
            t = Transactions.tx
            return signer_pb2.Transaction(transaction_id="t-1", state=t.state, not_after=t.not_after,
                                          sad=Transactions.sad if t.state == 2 else b"")


class Approver(approver_pb2_grpc.ApproverServicer):
    device = None  # set by the enrolment

    def ListPending(self, request, context):
        with Transactions.changed:  # the test starts both sides at once
            Transactions.changed.wait_for(lambda: Transactions.tx is not None and Transactions.tx.state == 1, 20)
            t = Transactions.tx
            return approver_pb2.ListPendingReply(transactions=[t] if t is not None and t.state == 1 else [])

    def GetTransaction(self, request, context):
        return Transactions.tx

    def check(self, context, decision, code, signature):
        t = Transactions.tx
        message = b"kyso.v1.approval\0" + tx_digest(t) + bytes([decision, len(code)]) + code.encode()
        try:
            key = Approver.device
            args = (ec.ECDSA(hashes.SHA256()),) if isinstance(key, ec.EllipticCurvePublicKey) else ()
            key.verify(signature, hashlib.sha256(message).digest(), *args)
        except Exception:  # noqa: BLE001
            refuse(context, grpc.StatusCode.PERMISSION_DENIED, "denied", "denied")

    def end(self, state):
        with Transactions.changed:
            Transactions.tx.state = state
            Transactions.changed.notify_all()
        return approver_pb2.DecisionReply(transaction_id="t-1", state=state)

    def Approve(self, request, context):
        self.check(context, 1, request.matching_code, request.signature)
        if request.matching_code != Transactions.code:
            self.end(4)
            refuse(context, grpc.StatusCode.PERMISSION_DENIED, "denied", "denied")
        return self.end(2)

    def Reject(self, request, context):
        if request.not_me or request.signature:
            self.check(context, 3 if request.not_me else 2, "", request.signature)
        return self.end(4)


class Operator(operator_pb2_grpc.OperatorServicer):
    nonces = set()

    def Execute(self, request, context):
        op = operator_pb2.Operation.FromString(request.operation)
        for s in request.signatures:
            try:
                with open(path(s.operator_id + ".pem.pub"), "rb") as f:
                    key = serialization.load_pem_public_key(f.read())
                args = (ec.ECDSA(hashes.SHA256()),) if isinstance(key, ec.EllipticCurvePublicKey) else ()
                key.verify(s.signature, b"kyso.v1.operation\0" + request.operation, *args)
            except Exception:  # noqa: BLE001
                refuse(context, grpc.StatusCode.PERMISSION_DENIED, "denied", "denied")
        fresh = len(op.nonce) == 16 and op.nonce not in self.nonces and 0 < op.expires - time.time() <= 300
        if not request.signatures or op.server_id != "double" or not fresh:
            refuse(context, grpc.StatusCode.PERMISSION_DENIED, "denied", "denied")
        self.nonces.add(op.nonce)
        name = op.WhichOneof("op")
        result = getattr(self, name)(getattr(op, name), [s.operator_id for s in request.signatures])
        return operator_pb2.ExecuteReply(result=result.SerializeToString())

    def add_subject(self, op, signers):
        return operator_pb2.OperationResult(message=f"added by {'+'.join(signers)}", subject_id=op.subject_id, subject_name=op.name)

    def add_client(self, op, signers):
        return operator_pb2.OperationResult(message="added", clients=[operator_pb2.Client(settings=op)])

    def list_clients(self, op, signers):
        settings = operator_pb2.AddClient(name="gate\x1b[31mway", may_sign=True, allow_totp=True)
        return operator_pb2.OperationResult(clients=[operator_pb2.Client(settings=settings)])

    def show_credential(self, op, signers):
        return operator_pb2.OperationResult(credentials=[Signer().GetCredential(
            signer_pb2.GetCredentialRequest(credential_id=op.credential_id), None)])

    def make_csr(self, op, signers):
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, op.subject_dn)])
        csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(KEYS["p256"][1], hashes.SHA256())
        return operator_pb2.OperationResult(message="made", csr=csr.public_bytes(DER))

    def import_certificate(self, op, signers):
        x509.load_der_x509_certificate(op.certificate)
        return operator_pb2.OperationResult(message=f"imported with {len(op.chain)} issuers")

    def set_credential_state(self, op, signers):
        return operator_pb2.OperationResult(message=f"state {op.state}")

    def enroll_totp(self, op, signers):
        return operator_pb2.OperationResult(
            message="enrolled", authenticators=[operator_pb2.Authenticator(authenticator_id="a1-x", kind="totp", state="unconfirmed")],
            otpauth_uri="otpauth://totp/Kyso:079123?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Kyso", confirmation_code="555111")

    def enroll_device(self, op, signers):
        Approver.device = serialization.load_der_public_key(op.public_key)
        return operator_pb2.OperationResult(message="enrolled", authenticators=[operator_pb2.Authenticator(
            authenticator_id="a2-x", kind="device", state="unconfirmed", label=op.label)])

    def read_ledger(self, op, signers):
        first = getattr(op, "from")
        page = LEAVES[first:][:min(op.limit or 500, 4)]  # short pages, so that clients must turn them
        records = [operator_pb2.LedgerRecord(index=first + i, leaf=leaf) for i, leaf in enumerate(page)]
        return operator_pb2.OperationResult(ledger=operator_pb2.LedgerChunk(
            records=records, size=len(LEAVES), checkpoint=checkpoint(9), ledger_public_key=ledger_key.public_key().public_bytes(DER, SPKI)))

    def get_status(self, op, signers):
        return operator_pb2.OperationResult(status=operator_pb2.Status(
            server_id="double", version="0", demo=True, ledger_size=7, ledger_root=b"\1" * 32, uptime_s=4000, signatures=3,
            roles=[operator_pb2.RoleStatus(role="vault", index=0, state="serving", jobs=3)]))


class Health(health_pb2_grpc.HealthServicer):
    def Check(self, request, context):
        return health_pb2.HealthCheckResponse(status=1)


def serve():
    s = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    health_pb2_grpc.add_HealthServicer_to_server(Health(), s)
    return s


tls = grpc.ssl_server_credentials([(pem_key(server_key), server.public_bytes(serialization.Encoding.PEM))],
                                  ca.public_bytes(serialization.Encoding.PEM), True)
doors = [serve(), serve(), serve()]
signer_pb2_grpc.add_SignerServicer_to_server(Signer(), doors[0])
approver_pb2_grpc.add_ApproverServicer_to_server(Approver(), doors[1])
operator_pb2_grpc.add_OperatorServicer_to_server(Operator(), doors[2])
ports = [d.add_secure_port("127.0.0.1:0", tls) for d in doors[:2]]
socket = path("operator.sock")
doors[2].add_insecure_port("unix:" + socket)
for d in doors:
    d.start()
profile = {"endpoint": f"127.0.0.1:{ports[0]}", "approver_endpoint": f"127.0.0.1:{ports[1]}", "cert": "client.pem",
           "key": "client.key", "ca": "ca.pem", "relying_party": "gateway"}
write("profile.json", json.dumps(profile).encode())
print(json.dumps({"signer": profile["endpoint"], "approver": profile["approver_endpoint"], "socket": socket,
                  "profile": path("profile.json"), **files}), flush=True)
sys.stdin.read()
for d in doors:
    d.stop(0)
