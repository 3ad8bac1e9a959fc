# SPDX-License-Identifier: Apache-2.0
"""What can be made of custodians' forms without Kyso: the lines' bytes, Shamir's secret over GF(256) (polynomial 0x11d) and the
PINs. A second implementation, so that what is on paper can be read when the program is gone."""

import hashlib
import hmac

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def share(lines, kind):
    """(custodian, 32 bytes) of a form's four lines; kind 0: activation, 1: backup."""
    out = b""
    for i, line in enumerate(lines[2 * kind:2 * kind + 2]):
        symbols = [ALPHABET.index(c) for c in line.replace(" ", "")]
        assert symbols[0] == 10 + kind and symbols[2] == i + 1 and len(symbols) == 40
        number = 0
        for s in symbols[7:33]:
            number = number << 5 | s
        out += (number >> 2).to_bytes(16, "big")
    return symbols[1], out


def forged(line):
    """The line made anew, checksum and all, around one changed bit."""
    symbols = [ALPHABET.index(c) for c in line.replace(" ", "")[:33]]
    symbols[20] ^= 1
    number = int.from_bytes(hashlib.sha256(b"kyso ceremony share line v1\0" + bytes(symbols)).digest()[:5], "big") >> 5
    symbols += [number >> 5 * (6 - i) & 31 for i in range(7)]
    text = "".join(ALPHABET[s] for s in symbols)
    return " ".join(text[i:i + 4] for i in range(0, 40, 4))


def multiply(a, b):
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a = a << 1 ^ (0x11d if a & 0x80 else 0)
        b >>= 1
    return product


def divide(a, b):
    return next(x for x in range(256) if multiply(x, b) == a)


def join(shares):
    """Lagrange at zero."""
    secret = bytearray(32)
    for x, value in shares:
        weight = 1
        for other, _ in shares:
            if other != x:
                weight = multiply(weight, divide(other, other ^ x))
        for i, byte in enumerate(value):
            secret[i] ^= multiply(byte, weight)
    return bytes(secret)


def pins(activation, nonce):
    """(SO's, user's): RFC 5869 with SHA-256, the salt is the custody's nonce."""
    key = hmac.new(nonce, activation, hashlib.sha256).digest()
    return [hmac.new(key, f"kyso {who} pin".encode() + b"\1", hashlib.sha256).hexdigest()[:32] for who in ("so", "user")]
