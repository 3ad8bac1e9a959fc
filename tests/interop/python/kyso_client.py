# SPDX-License-Identifier: Apache-2.0
"""A Kyso client written from proto/PROTOCOL.md alone: Debian's python3-grpcio and the published .proto files, no code of
the server. Stubs are generated into a temporary folder when this module is imported."""

import atexit
import glob
import hashlib
import os
import shutil
import struct
import sys
import tempfile
import time

import grpc
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from grpc_tools import protoc

PROTO = os.environ.get("KYSO_PROTO") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../proto")


def _generate():
    out = tempfile.mkdtemp(prefix="kyso-stubs-")
    atexit.register(shutil.rmtree, out, ignore_errors=True)
    files = [os.path.relpath(f, PROTO) for f in glob.glob(os.path.join(PROTO, "kyso/v1/*.proto"))]
    if protoc.main(["protoc", f"-I{PROTO}", f"--python_out={out}", f"--grpc_python_out={out}", *files]) != 0:
        raise RuntimeError("protoc failed")
    sys.path.insert(0, out)


_generate()
from kyso.v1 import approver_pb2, approver_pb2_grpc, signer_pb2, signer_pb2_grpc, types_pb2  # noqa: E402

HASHES = {types_pb2.HASH_ALGORITHM_SHA256: hashes.SHA256, types_pb2.HASH_ALGORITHM_SHA384: hashes.SHA384,
          types_pb2.HASH_ALGORITHM_SHA512: hashes.SHA512}


def read(path):
    with open(path, "rb") as f:
        return f.read()


def channel(endpoint, ca, cert=None, key=None):
    """A TLS channel. The server's certificate must be from `ca`."""
    credentials = grpc.ssl_channel_credentials(read(ca), read(key) if key else None, read(cert) if cert else None)
    # one connection per channel: grpcio shares them between channels of one process otherwise
    return grpc.secure_channel(endpoint, credentials, options=[("grpc.use_local_subchannel_pool", 1)])


def error_detail(error):
    """(code, retry, retry_after_ms) from grpc-status-details-bin; google.rpc.Status is taken apart by hand."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            packed = dict(_fields(value)).get(3)
            detail = types_pb2.ErrorDetail.FromString(dict(_fields(packed))[2])
            return detail.code, detail.retry, detail.retry_after_ms
    return None


def _fields(data):
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        value, at = _varint(data, at)
        if tag & 7 == 2:
            value, at = data[at:at + value], at + value
        yield tag >> 3, value


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def signature_request(relying_party, credential_id, digests, scheme=types_pb2.SIGNATURE_SCHEME_ECDSA,
                      hash_algorithm=types_pb2.HASH_ALGORITHM_SHA256, text="Test", pss=None, encoding=0):
    algorithm = types_pb2.Algorithm(scheme=scheme, hash=hash_algorithm, encoding=encoding)
    if pss is not None:
        algorithm.pss.salt_length = pss
    return signer_pb2.SignatureRequest(relying_party=relying_party, credential_id=credential_id, algorithm=algorithm,
                                       hashes=digests, display_text=text)


# --- what a device does (PROTOCOL.md, "The transaction digest") -----------------------------------------


def algorithm_bytes(a):
    pss = a.scheme == types_pb2.SIGNATURE_SCHEME_RSA_PSS
    mgf, salt = (a.pss.mgf_hash or a.hash, a.pss.salt_length) if pss else (0, 0)
    return struct.pack(">BBBH", a.scheme, a.hash, mgf, salt)


def joined(fields):
    return b"".join(struct.pack(">I", len(f)) + f for f in fields)


def sign_message(key, message):
    """As a P-256 or Ed25519 key of a device or a relying party does."""
    return key.sign(message) if isinstance(key, ed25519.Ed25519PrivateKey) else key.sign(message, ec.ECDSA(hashes.SHA256()))


def tx_digest(t):
    """From a PendingTransaction's fields."""
    fields = [t.server_id.encode(), t.client.encode(), t.relying_party.encode(), t.transaction_id.encode(),
              t.subject_id.encode(), t.credential_id.encode(), struct.pack(">I", t.credential_epoch), t.key_spki_sha256,
              algorithm_bytes(t.algorithm), struct.pack(">I", len(t.hashes)),
              *t.hashes, hashlib.sha256(t.display_text.encode()).digest(), struct.pack(">Q", t.not_after), t.nonce]
    return hashlib.sha256(b"kyso.v1.tx\0" + joined(fields)).digest()


# --- what a relying party with a request key does (PROTOCOL.md, "Signed requests") -------------------------


REQUEST_TYPES = {"BeginTransactionRequest": 4, "AuthorizeRequest": 5, "SignRequest": 6, "CancelTransactionRequest": 8}


def request_digest(server_id, client, m, expires):
    """From any of the four messages that are signed."""
    kind = m.DESCRIPTOR.name
    r = m if kind == "CancelTransactionRequest" else m.request
    text = r.display_text if r is not m else ""
    proof = m.WhichOneof("proof") if kind in ("AuthorizeRequest", "SignRequest") else None
    totp, approval = proof == "totp", proof == "approval"
    transaction = m.approval.transaction_id if approval else getattr(m, "transaction_id", "")
    authenticator = m.totp.authenticator_id if totp else m.approval.authenticator_id if approval else ""
    secret = m.totp.code.encode() if totp else m.sad if proof == "sad" else b""
    fields = [server_id.encode(), client.encode(), bytes([REQUEST_TYPES[kind]]), getattr(m, "request_id", "").encode(),
              r.relying_party.encode(), transaction.encode(), b"" if r is m else r.credential_id.encode(),
              bytes(5) if r is m else algorithm_bytes(r.algorithm), struct.pack(">I", 0 if r is m else len(r.hashes)),
              *([] if r is m else r.hashes), hashlib.sha256(text.encode()).digest(),
              struct.pack(">I", getattr(m, "ttl_s", 0)), bytes([[None, "totp", "approval", "sad"].index(proof)]),
              authenticator.encode(), secret, m.approval.matching_code.encode() if approval else b"",
              m.approval.signature if approval else b"", struct.pack(">Q", expires)]
    return hashlib.sha256(b"kyso.v1.request\0" + joined(fields)).digest()


class RequestKey:
    """Signs what a client asks: key.sign(message) gives the message back with its request_signature."""

    def __init__(self, key_pem, server_id, client):
        self.key = serialization.load_pem_private_key(key_pem, None)
        self.server_id, self.client = server_id, client

    def sign(self, m, life_s=120):
        expires = int(time.time()) + life_s
        signature = sign_message(self.key, request_digest(self.server_id, self.client, m, expires))
        m.request_signature.CopyFrom(signer_pb2.RequestSignature(expires=expires, signature=signature))
        return m


def approval_challenge(digest, decision, code):
    return hashlib.sha256(b"kyso.v1.approval\0" + digest + bytes([decision, len(code)]) + code.encode()).digest()


class Device:
    def __init__(self, key_pem, authenticator_id):
        self.key = serialization.load_pem_private_key(key_pem, None)
        self.authenticator_id = authenticator_id

    def sign(self, digest, decision, code=""):
        return sign_message(self.key, approval_challenge(digest, decision, code))


# --- what an auditor does ---------------------------------------------------------------------------------


def verify(public_key_der, algorithm, digest, signature):
    """Raises InvalidSignature."""
    key = serialization.load_der_public_key(public_key_der)
    prehashed = utils.Prehashed(HASHES[algorithm.hash]())
    if isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(signature, digest)
    elif isinstance(key, rsa.RSAPublicKey):
        how = padding.PKCS1v15()
        if algorithm.scheme == types_pb2.SIGNATURE_SCHEME_RSA_PSS:
            how = padding.PSS(padding.MGF1(HASHES[algorithm.hash]()), algorithm.pss.salt_length)
        key.verify(signature, digest, how, prehashed)
    else:
        if algorithm.encoding == types_pb2.SIGNATURE_ENCODING_RAW:
            half = len(signature) // 2
            signature = utils.encode_dss_signature(int.from_bytes(signature[:half], "big"),
                                                   int.from_bytes(signature[half:], "big"))
        key.verify(signature, digest, ec.ECDSA(prehashed))
