#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tx.json: transactions with their digests, computed from proto/PROTOCOL.md alone.

A second implementation of the canonical form: it shares nothing with proto/tx.c.
    /usr/bin/python3 tests/vectors/make_tx.py > tests/vectors/tx.json
"""
import hashlib
import json
import struct

PSS = 3


def sha256(data):
    return hashlib.sha256(data).digest()


def field(data):
    return struct.pack(">I", len(data)) + data


def algorithm(a):
    mgf, salt = 0, 0
    if a["scheme"] == PSS:
        mgf, salt = a["mgf_hash"] or a["hash"], a["salt_len"]
    return struct.pack(">BBBH", a["scheme"], a["hash"], mgf, salt)


def hashes(tx):
    out = field(struct.pack(">I", len(tx["hashes"])))
    for h in tx["hashes"]:
        out += field(bytes.fromhex(h))
    return out


def tx_digest(tx):
    data = b"kyso.v1.tx\0"
    for name in ("server_id", "client", "relying_party", "transaction_id", "subject_id", "credential_id"):
        data += field(tx[name].encode())
    data += field(struct.pack(">I", tx["credential_epoch"]))
    data += field(bytes.fromhex(tx["key_spki_sha256"]))
    data += field(algorithm(tx["algorithm"])) + hashes(tx)
    data += field(sha256(tx["display_text"].encode()))
    data += field(struct.pack(">Q", tx["not_after"]))
    data += field(bytes.fromhex(tx["nonce"]))
    return sha256(data)


def content_digest(tx):
    data = b"kyso.v1.content\0"
    data += field(tx["relying_party"].encode()) + field(tx["credential_id"].encode())
    data += field(algorithm(tx["algorithm"])) + hashes(tx)
    data += field(sha256(tx["display_text"].encode()))
    return sha256(data)


def challenge(digest, decision, code):
    return sha256(b"kyso.v1.approval\0" + digest + bytes([decision, len(code)]) + code.encode())


def request_digest(tx, r):
    data = b"kyso.v1.request\0"
    data += field(tx["server_id"].encode()) + field(tx["client"].encode()) + field(bytes([r["type"]]))
    data += field(r["request_id"].encode())
    for name in ("relying_party", "transaction_id", "credential_id"):
        data += field(tx[name].encode())
    data += field(algorithm(tx["algorithm"])) + hashes(tx)
    data += field(sha256(tx["display_text"].encode()))
    data += field(struct.pack(">I", r["ttl"])) + field(bytes([r["proof"]])) + field(r["authenticator_id"].encode())
    data += field(bytes.fromhex(r["secret"])) + field(r["matching_code"].encode())
    data += field(bytes.fromhex(r["device_signature"])) + field(struct.pack(">Q", r["expires"]))
    return sha256(data)


def some_hashes(count, hash_name, seed):
    return [hashlib.new(hash_name, b"%s %d" % (seed, i)).hexdigest() for i in range(count)]


BASE = {
    "server_id": "ca.example",
    "client": "gateway",
    "relying_party": "portal",
    "transaction_id": "t1-00112233445566778899aabbccddeeff",
    "subject_id": "079123456789",
    "credential_id": "c1-0011223344556677",
    "credential_epoch": 1,
    "key_spki_sha256": sha256(b"a key").hex(),
    "algorithm": {"scheme": 1, "hash": 1, "mgf_hash": 0, "salt_len": 0},
    "hashes": some_hashes(1, "sha256", b"base"),
    "display_text": "Application 123",
    "not_after": 1767225600,
    "nonce": "000102030405060708090a0b0c0d0e0f",
}

NO_PROOF = {"request_id": "order-1", "ttl": 0, "proof": 0, "authenticator_id": "", "secret": "", "matching_code": "",
            "device_signature": "", "expires": 1767225600}
REQUESTS = [
    {**NO_PROOF, "type": 4, "ttl": 120},
    {**NO_PROOF, "type": 5, "ttl": 300, "proof": 2, "authenticator_id": "a2-0011223344556677", "matching_code": "42",
     "device_signature": (sha256(b"r") + sha256(b"s")).hex()},
    {**NO_PROOF, "type": 6, "proof": 1, "secret": b"492039".hex()},
    {**NO_PROOF, "type": 6, "proof": 3, "secret": sha256(b"a SAD").hex(), "expires": 2**63 - 1},
    {**NO_PROOF, "type": 8, "request_id": ""},
]

VARIANTS = [
    ("one ECDSA hash", {}),
    ("three hashes, in order", {"hashes": some_hashes(3, "sha256", b"three")}),
    ("the same three, turned round", {"hashes": some_hashes(3, "sha256", b"three")[::-1]}),
    ("SHA-384", {"algorithm": {"scheme": 1, "hash": 2, "mgf_hash": 0, "salt_len": 0},
                 "hashes": some_hashes(2, "sha384", b"384")}),
    ("Ed25519 over SHA-512", {"algorithm": {"scheme": 4, "hash": 3, "mgf_hash": 0, "salt_len": 0},
                              "hashes": some_hashes(2, "sha512", b"512")}),
    ("RSA PKCS#1", {"algorithm": {"scheme": 2, "hash": 1, "mgf_hash": 0, "salt_len": 0}}),
    ("PSS, MGF hash left out", {"algorithm": {"scheme": 3, "hash": 1, "mgf_hash": 0, "salt_len": 222}}),
    ("PSS, MGF hash named: the same digest", {"algorithm": {"scheme": 3, "hash": 1, "mgf_hash": 1, "salt_len": 222}}),
    ("PSS, another salt length", {"algorithm": {"scheme": 3, "hash": 1, "mgf_hash": 1, "salt_len": 32}}),
    ("no display text", {"display_text": ""}),
    ("Vietnamese display text", {"display_text": "H\u1ee3p \u0111\u1ed3ng mua b\u00e1n nh\u00e0 s\u1ed1 12\nTr\u1ecb gi\u00e1: 3.500.000.000 \u0111"}),
    ("bytes moved between neighbouring names", {"client": "gatewa", "relying_party": "yportal"}),
    ("largest numbers", {"credential_epoch": 2**32 - 1, "not_after": 2**63 - 1}),
    ("256 hashes", {"hashes": some_hashes(256, "sha256", b"many")}),
    ("a pending transaction named", {"credential_id": "", "algorithm": {"scheme": 0, "hash": 0, "mgf_hash": 0, "salt_len": 0},
                                     "hashes": [], "display_text": ""}),
]


def main():
    vectors = []
    for name, changes in VARIANTS:
        tx = {**BASE, **changes}
        digest = tx_digest(tx)
        vectors.append({
            "name": name, "tx": tx,
            "tx_digest": digest.hex(),
            "content_digest": content_digest(tx).hex(),
            "challenges": [
                {"decision": d, "matching_code": c, "challenge": challenge(digest, d, c).hex()}
                for d, c in ((1, "42"), (1, "007"), (2, ""), (3, ""))
            ],
            "requests": [{**r, "digest": request_digest(tx, r).hex()} for r in REQUESTS],
        })
    print(json.dumps({
        "provenance": "made by tests/vectors/make_tx.py of Kyso from the description in proto/PROTOCOL.md",
        "vectors": vectors,
    }, indent=1))


main()
