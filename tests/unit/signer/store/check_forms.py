#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A second implementation of the ledger's published forms, sharing no code with the server.

usage: check_forms.py FOLDER NAME
FOLDER holds checkpoint (a signed note), vkey and ledger.jsonl. Checks the note under the vkey by the C2SP
text, recomputes the RFC 6962 root from the exported leaves, and compares the fields with the leaves. Exit 0: all hold.
"""
import base64
import datetime
import hashlib
import json
import os
import struct
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

P256 = b"kyso-ecdsa-p256"


def parse_vkey(text):
    name, key_hash, key = text.strip().split("+", 2)
    key = base64.b64decode(key, validate=True)
    want = hashlib.sha256(name.encode() + b"\n" + key).digest()[:4]
    if want.hex() != key_hash:
        raise ValueError("the vkey's hash is not its key's")
    return name, want, key


def verify(key, message, signature):
    if key[0] == 1:
        ed25519.Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature, message)
    elif key[0] == 0xFF and key[1:].startswith(P256):
        public = serialization.load_der_public_key(key[1 + len(P256):])
        if not isinstance(public.curve, ec.SECP256R1):
            raise ValueError("not P-256")
        public.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    else:
        raise ValueError("unknown key type %d" % key[0])


def open_note(note, vkey):
    name, key_hash, key = parse_vkey(vkey)
    text, signatures = note.rsplit(b"\n\n", 1)
    text += b"\n"
    for line in signatures.decode().splitlines():
        dash, signer, value = line.split(" ")
        if dash != "\u2014":
            raise ValueError("no em dash")
        value = base64.b64decode(value, validate=True)
        if signer == name and value[:4] == key_hash:
            verify(key, text, value[4:])
            return text.decode().split("\n")
    raise ValueError("no signature by this key")


def root_of(leaves):
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\1" + root_of(leaves[:k]) + root_of(leaves[k:])).digest()


def check_record(index, record):
    leaf = base64.b64decode(record["leaf"], validate=True)
    at, time_us, _ = struct.unpack_from("<QQH", leaf)
    moment = datetime.datetime.strptime(record["time"], "%Y-%m-%dT%H:%M:%S.%fZ")
    moment = moment.replace(tzinfo=datetime.timezone.utc) - datetime.datetime.fromtimestamp(0, datetime.timezone.utc)
    if not at == record["index"] == index:
        raise ValueError("record %d: index" % index)
    if moment // datetime.timedelta(microseconds=1) != time_us:
        raise ValueError("record %d: time" % index)
    body = leaf[18:]
    if record["type"] == "event":
        door, kind, count = struct.unpack_from("<BHI", body)
        if (door, kind, count, body[7:].hex()) != (record["door"], record["kind"], record["count"], record["spki"]):
            raise ValueError("record %d: fields" % index)
    elif record["type"] == "stop":
        length, = struct.unpack_from("<I", body, 16)
        if body[:16].hex() != record["boot"] or body[20:20 + length].decode() != record["reason"]:
            raise ValueError("record %d: fields" % index)
    else:
        raise ValueError("record %d: type %s" % (index, record["type"]))
    return leaf


def main():
    folder, name = sys.argv[1:]
    with open(os.path.join(folder, "checkpoint"), "rb") as f:
        note = f.read()
    with open(os.path.join(folder, "vkey"), encoding="ascii") as f:
        vkey = f.read()
    with open(os.path.join(folder, "ledger.jsonl"), encoding="utf-8") as f:
        leaves = [check_record(i, json.loads(line)) for i, line in enumerate(f)]
    origin, size, root = open_note(note, vkey)[:3]
    if origin != name or int(size) != len(leaves) or base64.b64decode(root, validate=True) != root_of(leaves):
        raise ValueError("the checkpoint is another ledger's")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, KeyError, InvalidSignature) as error:
        print("check_forms: %r" % error)
        sys.exit(1)
