# SPDX-License-Identifier: Apache-2.0
"""The RFC 6962 tree over leaves that come one by one, and the signed notes over it (C2SP signed-note, tlog-checkpoint)."""

import base64
import binascii
import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

P256 = b"kyso-ecdsa-p256"


class NoteError(ValueError):
    pass


class Tree:
    """Keeps one hash per complete subtree: the widths are the bits of the size."""

    def __init__(self):
        self.size = 0
        self.peaks = []

    def append(self, leaf):
        node = hashlib.sha256(b"\0" + leaf).digest()
        width = self.size
        while width & 1:
            node = hashlib.sha256(b"\1" + self.peaks.pop() + node).digest()
            width >>= 1
        self.peaks.append(node)
        self.size += 1

    def root(self):
        if not self.peaks:
            return hashlib.sha256(b"").digest()
        node = self.peaks[-1]
        for left in reversed(self.peaks[:-1]):
            node = hashlib.sha256(b"\1" + left + node).digest()
        return node


def decode64(text, what):
    """Canonical base64 only: one byte string has one form."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise NoteError(f"{what} is not base64") from error
    if base64.b64encode(data).decode() != text:
        raise NoteError(f"{what} is not canonical base64")
    return data


class Key:
    """A checkpoint key: from a verifier key's text, PEM, or DER SubjectPublicKeyInfo."""

    def __init__(self, public, name=None):
        self.public = public
        self.name = name
        if isinstance(public, ed25519.Ed25519PublicKey):
            raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            self.identity = b"\x01" + raw
        elif isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, ec.SECP256R1):
            self.identity = b"\xff" + P256 + self.spki()
        else:
            raise NoteError("a ledger's key is Ed25519 or P-256")

    def spki(self):
        return self.public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    @classmethod
    def from_der(cls, der):
        try:
            return cls(serialization.load_der_public_key(der))
        except ValueError as error:
            raise NoteError("not a public key") from error

    @classmethod
    def from_text(cls, text):
        """A verifier key, or PEM."""
        if "BEGIN PUBLIC KEY" in text:
            return cls(serialization.load_pem_public_key(text.encode()))
        name, key_id, identity = text.strip().split("+", 2)
        identity = decode64(identity, "the verifier key")
        if identity[:1] == b"\x01":
            key = cls(ed25519.Ed25519PublicKey.from_public_bytes(identity[1:]), name)
        elif identity.startswith(b"\xff" + P256):
            key = cls(serialization.load_der_public_key(identity[1 + len(P256):]), name)
        else:
            raise NoteError("a verifier key of an unknown type")
        if key.id(name).hex() != key_id or key.identity != identity:
            raise NoteError("the verifier key's id is not its key's")
        return key

    def id(self, name):
        return hashlib.sha256(name.encode() + b"\n" + self.identity).digest()[:4]

    def verify(self, message, signature):
        try:
            if isinstance(self.public, ed25519.Ed25519PublicKey):
                self.public.verify(signature, message)
            else:
                self.public.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            raise NoteError("the signature does not verify") from error


class Checkpoint:
    """A parsed note; nothing is verified yet."""

    def __init__(self, text, where):
        self.where = where
        head, gap, tail = text.partition("\n\n")
        lines = head.split("\n")
        if not gap or len(lines) < 3 or not tail.endswith("\n"):
            raise NoteError("not a signed note")
        self.signed = (head + "\n").encode()
        self.origin, size = lines[0], lines[1]
        if not size.isascii() or not size.isdigit() or (size[0] == "0" and size != "0"):
            raise NoteError("no size")
        self.size = int(size)
        self.root = decode64(lines[2], "the root")
        self.signatures = []
        for line in tail[:-1].split("\n"):
            words = line.split(" ")
            if len(words) != 3 or words[0] != "\u2014":
                raise NoteError("not a signature line")
            self.signatures.append((words[1], decode64(words[2], "the signature")))

    def check(self, key):
        """Raises NoteError unless `key` signed it."""
        mine = [s for name, s in self.signatures if name == self.origin and s[:4] == key.id(self.origin)]
        if key.name not in (None, self.origin):
            raise NoteError(f"the key is of {key.name}, the checkpoint of {self.origin}")
        if not mine:
            raise NoteError("no signature by this key")
        for signature in mine:
            key.verify(self.signed, signature[4:])
