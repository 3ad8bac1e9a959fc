# SPDX-License-Identifier: Apache-2.0
"""Citizens' signatures: verified over digests, and brought to one form (the ledger keeps r || s, a client may ask for DER)."""

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

ECDSA, RSA_PKCS1, RSA_PSS, EDDSA = 1, 2, 3, 4
HASHES = {1: hashes.SHA256(), 2: hashes.SHA384(), 3: hashes.SHA512()}
HASH_LEN = {1: 32, 2: 48, 3: 64}


class Keys:
    """Public keys by the SHA-256 of their SubjectPublicKeyInfo."""

    def __init__(self):
        self.by_digest = {}

    def add(self, der):
        digest = hashlib.sha256(der).digest()
        if digest not in self.by_digest:
            self.by_digest[digest] = serialization.load_der_public_key(der)
        return digest

    def get(self, digest):
        return self.by_digest.get(digest)


def split(data, size):
    return [data[i:i + size] for i in range(0, len(data), size)] if size else []


def messages(intent):
    """What the key signs: the digests; of a certification request under Ed25519 the request itself."""
    if intent.kind == 2 and intent.scheme == EDDSA:
        return [intent.hashes]
    return split(intent.hashes, HASH_LEN.get(intent.hash, 0))


def verifies(key, intent, digest, signature):
    """Does the raw signature hold under this key, scheme and hash?"""
    try:
        if intent.scheme == EDDSA and isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, digest)
        elif intent.scheme == ECDSA and isinstance(key, ec.EllipticCurvePublicKey):
            if len(signature) != 2 * ((key.curve.key_size + 7) // 8):
                return False
            r, s = halves(signature)
            key.verify(utils.encode_dss_signature(r, s), digest, ec.ECDSA(utils.Prehashed(HASHES[intent.hash])))
        elif isinstance(key, rsa.RSAPublicKey) and intent.scheme in (RSA_PKCS1, RSA_PSS):
            how = padding.PKCS1v15()
            if intent.scheme == RSA_PSS:
                how = padding.PSS(padding.MGF1(HASHES[intent.mgf_hash]), intent.salt_len)
            key.verify(signature, digest, how, utils.Prehashed(HASHES[intent.hash]))
        else:
            return False
    except (InvalidSignature, KeyError, ValueError):
        return False
    return True


def device_approves(key, tx_digest, matching_code, signature):
    """PROTOCOL.md, "The approval challenge": did the device sign this transaction and code, to approve it?"""
    code = matching_code.encode()
    challenge = hashlib.sha256(b"kyso.v1.approval\0" + tx_digest + bytes([1, len(code)]) + code).digest()
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, challenge)
        else:
            der = utils.encode_dss_signature(*halves(signature)) if len(signature) == 64 else signature
            key.verify(der, challenge, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def halves(raw):
    half = len(raw) // 2
    return int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big")


def normal(scheme, encoding, signature):
    """One form for one signature, whatever it was encoded as."""
    if scheme != ECDSA:
        return signature
    if encoding == "der":
        try:
            r, s = utils.decode_dss_signature(signature)
        except ValueError:
            return b"not DER " + signature
        if utils.encode_dss_signature(r, s) != signature:
            return b"not DER " + signature
    else:
        r, s = halves(signature)
    return b"%x %x" % (r, s)
