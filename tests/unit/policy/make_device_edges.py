#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes device_edges.h: ES256 signatures and public keys just inside and just outside what
the rules allow, all made here from RFC 6979 A.2.5's P-256 key and RFC 8032 7.1's second key.
Deterministic: run it as `make_device_edges.py > device_edges.h`."""
import subprocess
import hashlib

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
P25519 = 2**255 - 19
D = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721  # RFC 6979 A.2.5
KEY = ec.derive_private_key(D, ec.SECP256R1())
PUB = KEY.public_key().public_numbers()
EC_PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
ED_PREFIX = bytes.fromhex("302a300506032b6570032100")
ED_KEY = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")


def challenge(i):
    return hashlib.sha256(b"kyso edge %d" % i).digest()


def sign(i):
    """ECDSA by hand, with a nonce that is fixed by i: fit for test vectors and nothing else."""
    k = int.from_bytes(hashlib.sha256(b"kyso nonce %d" % i).digest(), "big") % N
    r = ec.derive_private_key(k, ec.SECP256R1()).public_key().public_numbers().x % N
    e = int.from_bytes(hashlib.sha256(challenge(i)).digest(), "big")
    return r, (e + r * D) * pow(k, -1, N) % N


def find(wanted):
    for i in range(100000):
        r, s = sign(i)
        if wanted(r, s):
            return i, r, s
    raise SystemExit("no such signature")


def integer(v):
    return v.to_bytes(v.bit_length() // 8 + 1, "big")


def tlv(tag, body):
    return bytes([tag, len(body)]) + body


def der(r, s):
    return tlv(0x30, tlv(2, integer(r)) + tlv(2, integer(s)))


def raw(r, s):
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def signatures():
    i, r, s = find(lambda r, s: r >> 255 and not s >> 255)
    ri, si = integer(r), integer(s)
    good = der(r, s)
    body = good[2:]
    tr, ts = tlv(2, ri), tlv(2, si)
    mal, wrong, ok = "KY_PROOF_MALFORMED", "KY_PROOF_WRONG", "KY_OK"
    yield "der", i, good, ok
    yield "raw", i, raw(r, s), ok
    yield "other s, der", i, der(r, N - s), ok
    yield "other s, raw", i, raw(r, N - s), ok
    j, r2, s2 = find(lambda r, s: s > N // 2)
    yield "high s, der", j, der(r2, s2), ok
    yield "high s, raw", j, raw(r2, s2), ok
    j, r2, s2 = find(lambda r, s: r < 2**248)
    yield "short r, der", j, der(r2, s2), ok
    yield "short r, raw", j, raw(r2, s2), ok
    yield "short r, padded der", j, tlv(0x30, tlv(2, r2.to_bytes(32, "big")) + tlv(2, integer(s2))), mal
    yield "short r, raw without its zero", j, raw(r2, s2)[1:], mal
    j, r2, s2 = find(lambda r, s: s < 2**248)
    yield "short s, der", j, der(r2, s2), ok
    yield "short s, raw", j, raw(r2, s2), ok
    j, r2, s2 = find(lambda r, s: r >> 248 == 0x30)
    yield "raw that opens like der", j, raw(r2, s2), ok
    yield "raw of another challenge", i, raw(r2, s2), wrong
    yield "r and s exchanged", i, der(s, r), wrong
    for name, a, b, code in [
        ("r = 0", 0, s, mal), ("s = 0", r, 0, mal), ("both 0", 0, 0, mal),
        ("r = n", N, s, mal), ("s = n", r, N, mal), ("r = n - 1", N - 1, s, wrong),
        ("s = n - 1", r, N - 1, wrong), ("r = 1", 1, s, wrong), ("s = 1", r, 1, wrong),
        ("r = n + 1", N + 1, s, mal), ("s = p", r, P, mal), ("r = 2^256 - 1", 2**256 - 1, s, mal),
        ("s = 2^256 - 1", r, 2**256 - 1, mal), ("both 1", 1, 1, wrong),
    ]:
        yield name + ", der", i, der(a, b), code
        yield name + ", raw", i, raw(a, b), code
    yield "r = 2^256", i, der(2**256, s), mal
    yield "s + n", i, der(r, s + N), mal
    yield "r + 2^256", i, der(r + 2**256, s), mal
    yield "negative r", i, tlv(0x30, tlv(2, ri[1:]) + ts), mal
    yield "negative s", i, tlv(0x30, tr + tlv(2, b"\xff" + si)), mal
    yield "r = -1", i, tlv(0x30, tlv(2, b"\xff") + ts), mal
    yield "r of two zeros", i, tlv(0x30, tlv(2, b"\0" + ri) + ts), mal
    yield "s with a zero", i, tlv(0x30, tr + tlv(2, b"\0" + si)), mal
    yield "empty r", i, tlv(0x30, tlv(2, b"") + ts), mal
    yield "empty s", i, tlv(0x30, tr + tlv(2, b"")), mal
    yield "r only", i, tlv(0x30, tr), mal
    yield "three integers", i, tlv(0x30, tr + ts + tlv(2, b"\1")), mal
    yield "trailing byte", i, good + b"\0", mal
    yield "trailing byte inside", i, tlv(0x30, body + b"\0"), mal
    yield "twice", i, good + good, mal
    yield "long form length", i, b"\x30\x81" + bytes([len(body)]) + body, mal
    yield "longer form length", i, b"\x30\x82\0" + bytes([len(body)]) + body, mal
    yield "long form of r", i, tlv(0x30, b"\x02\x81" + bytes([len(ri)]) + ri + ts), mal
    yield "long form of s", i, tlv(0x30, tr + b"\x02\x81" + bytes([len(si)]) + si), mal
    yield "indefinite length", i, b"\x30\x80" + body + b"\0\0", mal
    yield "length of 2^64 - 1", i, b"\x30\x88" + b"\xff" * 8 + body, mal
    yield "length one more", i, b"\x30" + bytes([len(body) + 1]) + body, mal
    yield "length one less", i, b"\x30" + bytes([len(body) - 1]) + body, mal
    yield "a set", i, b"\x31" + good[1:], mal
    yield "primitive sequence", i, b"\x10" + good[1:], mal
    yield "r an octet string", i, tlv(0x30, tlv(4, ri) + ts), mal
    yield "s a constructed integer", i, tlv(0x30, tr + tlv(0x22, si)), mal
    yield "wrapped once more", i, tlv(0x30, good), mal
    yield "leading zero", i, b"\0" + good, mal
    yield "empty sequence", i, b"\x30\0", mal
    yield "nothing", i, b"", mal
    yield "one byte", i, b"\x30", mal
    yield "raw, 63 bytes", i, raw(r, s)[:-1], mal
    yield "raw, 65 bytes", i, raw(r, s) + b"\0", mal
    yield "raw of P-384's length", i, raw(r, s) + raw(r, s)[:32], mal
    yield "r in 33 raw bytes", i, b"\0" + raw(r, s), mal
    yield "64 zeros", i, bytes(64), mal
    for cut in range(1, len(good)):
        yield "der cut to %d bytes" % cut, i, good[:cut], mal if cut != 64 else wrong


def explicit_parameters():
    pem = KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL,
                            serialization.NoEncryption())
    return subprocess.run(["openssl", "ec", "-pubout", "-outform", "DER", "-param_enc", "explicit"],
                          input=pem, capture_output=True, check=True).stdout


def spki(key):
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def keys():
    bad, ok = "KY_INVALID", "KY_OK"
    x, y = PUB.x.to_bytes(32, "big"), PUB.y.to_bytes(32, "big")
    good = EC_PREFIX + b"\x04" + x + y
    es = "POLICY_DEVICE_ES256"
    ed = "POLICY_DEVICE_ED25519"
    bits = lambda body: tlv(0x30, EC_PREFIX[2:23] + tlv(3, b"\0" + body))
    yield "p-256", es, good, ok
    yield "p-256 as ed25519", ed, good, bad
    yield "p-256, trailing byte", es, good + b"\0", bad
    yield "p-256, cut", es, good[:-1], bad
    yield "p-256, header only", es, EC_PREFIX, bad
    yield "nothing", es, b"", bad
    yield "compressed", es, bits(bytes([2 + y[31] % 2]) + x), bad
    yield "hybrid", es, bits(bytes([6 + y[31] % 2]) + x + y), bad
    yield "infinity", es, bits(b"\0"), bad
    yield "infinity, padded", es, bits(bytes(65)), bad
    yield "origin", es, bits(b"\x04" + bytes(64)), bad
    yield "not on the curve", es, bits(b"\x04" + x + y[:-1] + bytes([y[31] ^ 1])), bad
    yield "negated", es, bits(b"\x04" + x + (P - PUB.y).to_bytes(32, "big")), ok
    x5 = 5
    y5 = pow(x5**3 - 3 * x5 + B, (P + 1) // 4, P)
    on_curve = y5 * y5 % P == (x5**3 - 3 * x5 + B) % P
    yield "x = 5", es, bits(b"\x04" + x5.to_bytes(32, "big") + y5.to_bytes(32, "big")), ok if on_curve else bad
    yield "x = 5 + p", es, bits(b"\x04" + (x5 + P).to_bytes(32, "big") + y5.to_bytes(32, "big")), bad
    yield "y + p", es, bits(b"\x04" + b"\xff" * 64), bad
    yield "other curve of 256 bits", es, spki(ec.derive_private_key(D, ec.SECP256K1()).public_key()), bad
    yield "p-384", es, spki(ec.derive_private_key(D, ec.SECP384R1()).public_key()), bad
    yield "explicit parameters", es, explicit_parameters(), bad
    yield "ber length", es, b"\x30\x81\x59" + good[2:], bad
    yield "unused bits", es, good[:25] + b"\x01" + good[26:], bad
    yield "rsa's identifier", es, good[:12] + b"\x02" + good[13:], bad

    def edkey(v, sign=0):
        return ED_PREFIX + (v | sign << 255).to_bytes(32, "little")

    yield "ed25519", ed, ED_PREFIX + ED_KEY, ok
    yield "ed25519 as p-256", es, ED_PREFIX + ED_KEY, bad
    yield "ed25519, trailing byte", ed, ED_PREFIX + ED_KEY + b"\0", bad
    yield "ed25519, 31 bytes", ed, ED_PREFIX + ED_KEY[:31], bad
    yield "ed25519, 31 bytes and lengths to match", ed, bytes.fromhex("3029300506032b6570032000") + ED_KEY[:31], bad
    yield "ed25519, null parameters", ed, bytes.fromhex("302c300706032b65700500032100") + ED_KEY, bad
    yield "ed448's identifier", ed, ED_PREFIX[:8] + b"\x71" + ED_PREFIX[9:] + ED_KEY, bad
    yield "x25519's identifier", ed, ED_PREFIX[:8] + b"\x6e" + ED_PREFIX[9:] + ED_KEY, bad
    d = -121665 * pow(121666, -1, P25519) % P25519

    def root(a):
        v = pow(a, (P25519 + 3) // 8, P25519)
        for c in (v, v * pow(2, (P25519 - 1) // 4, P25519) % P25519):
            if c * c % P25519 == a % P25519:
                return c
        return None

    # Points of order 8: doubling gives y = 0, so d y^4 + 2 y^2 - 1 = 0.
    half = root(1 + d)
    eighths = []
    for sign in (half, -half):
        v = root((sign - 1) * pow(d, -1, P25519) % P25519)
        if v is not None:
            eighths += [v, P25519 - v]
    assert len(eighths) == 2
    for name, v in [("all zero (order 4)", 0), ("identity", 1), ("order 2", P25519 - 1),
                    ("order 8", eighths[0]), ("other of order 8", eighths[1]), ("p", P25519),
                    ("p + 1", P25519 + 1), ("p + 18", P25519 + 18)]:
        yield "ed25519, " + name, ed, edkey(v), bad
        yield "ed25519, " + name + ", sign set", ed, edkey(v, 1), bad


def main():
    print("/* SPDX-License-Identifier: Apache-2.0 */")
    print("/*\n * Made by make_device_edges.py beside it; its docstring names the sources. Do not edit.\n */")
    print("#ifndef KYSO_DEVICE_EDGES_H\n#define KYSO_DEVICE_EDGES_H\n\n#include \"kyso/policy.h\"\n")
    print("/* clang-format off */")
    print("static const struct signature_edge {\n    const char *name;\n    uint32_t challenge; /* SHA-256(\"kyso edge N\") */")
    print("    const char *hex;\n    enum ky_code code;\n} signature_edges[] = {")
    for name, i, sig, code in signatures():
        print('    { "%s", %d, "%s", %s },' % (name, i, sig.hex(), code))
    print("};\n\nstatic const struct key_edge {\n    const char *name;\n    uint8_t type;\n    const char *hex;\n    enum ky_code code;\n} key_edges[] = {")
    for name, kind, key, code in keys():
        print('    { "%s", %s, "%s", %s },' % (name, kind, key.hex(), code))
    print("};\n/* clang-format on */\n\n#endif")


main()
