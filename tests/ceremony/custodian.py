# SPDX-License-Identifier: Apache-2.0
"""A custodian without Kyso: the server's hello, a share sealed to it (ECDH on P-256, HKDF, AES-256-GCM), the answer. A second
implementation, with which tests also send what kyso-ceremony would not."""

import hashlib
import hmac
import socket
import struct

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HELLO = struct.Struct("<8s32s16s65sBB")
TAKEN, WHOLE, NOT_OPENED, NOT_COMMITTED, TWICE, FAILED = range(1, 7)


class Visit:
    """One connection to the server's custodian_socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(120)
        self.socket.connect(path)
        form, self.custody, self.nonce, self.key, self.have, self.needed = HELLO.unpack(self._read(HELLO.size))
        assert form == b"kysoact1"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _read(self, n):
        data = b""
        while len(data) < n:
            more = self.socket.recv(n - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def digest(self):
        return hashlib.sha256(b"kyso activation start v1\0" + self.custody + self.nonce + self.key).digest()

    @property
    def name(self):
        """What people compare."""
        return self.digest()[:16].hex(" ", 2)

    def seal(self, custodian, share):
        own = ec.generate_private_key(ec.SECP256R1())
        point = own.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        agreed = own.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), self.key))
        extracted = hmac.new(self.nonce, agreed, hashlib.sha256).digest()
        key = hmac.new(extracted, b"kyso activation share v1\0" + self.digest() + bytes([custodian]) + point + b"\1",
                       hashlib.sha256).digest()
        return bytes([custodian]) + point + AESGCM(key).encrypt(bytes(12), share, None)

    def send(self, message):
        """(answer, shares that are there, shares that are needed)"""
        self.socket.sendall(message)
        return tuple(self._read(3))
