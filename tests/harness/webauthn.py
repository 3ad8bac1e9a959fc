# SPDX-License-Identifier: Apache-2.0
"""A passkey as a browser and its authenticator would make it and use it (W3C Web Authentication Level 2), without a browser."""

import base64
import hashlib
import json
import os
import struct
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PRESENT, VERIFIED, MAY_SYNC, SYNCED = 1, 4, 8, 16


def b64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Passkey:
    def __init__(self, authenticator_id, origin):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.authenticator_id, self.origin, self.counter = authenticator_id, origin, 0
        self.credential = os.urandom(16)

    @property
    def public_key(self):
        return self.key.public_key().public_bytes(serialization.Encoding.DER,
                                                  serialization.PublicFormat.SubjectPublicKeyInfo)

    def assertion(self, challenge, flags=PRESENT | VERIFIED, counter=None, origin=None, kind="webauthn.get", rp_id=None):
        """(authenticator data, client data, signature). The counter rises, unless one is given."""
        if counter is None:
            self.counter += 1
            counter = self.counter
        origin = origin or self.origin
        rp_id = rp_id or urlsplit(self.origin).hostname
        data = hashlib.sha256(rp_id.encode()).digest() + struct.pack(">BI", flags, counter)
        client = json.dumps({"type": kind, "challenge": b64url(challenge), "origin": origin, "crossOrigin": False},
                            separators=(",", ":")).encode()
        return data, client, self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))


def packed(data, client, signature):
    """The form that the approvers' door takes."""
    return struct.pack(">H", len(data)) + data + struct.pack(">H", len(client)) + client + signature
