#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How fast kyso-check is: writes a ledger and a history of N signatures by N codes (2 records and 1 line each) and checks them.

usage: rate.py [N]          (default 50 000)
"""
import base64
import hashlib
import json
import os
import resource
import struct
import subprocess
import sys
import tempfile

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from kysocheck.forms import Record, view, write_leaf  # noqa: E402
from kysocheck.tree import Key, Tree  # noqa: E402

SERVER, START_US = "rate.example", 1_700_000_000_000_000
ZERO = bytes(32)


class Maker:
    def __init__(self, folder):
        self.ledger = open(f"{folder}/ledger.jsonl", "w", encoding="utf-8")
        self.history = open(f"{folder}/history.jsonl", "w", encoding="utf-8")
        self.tree = Tree()
        self.ledger_key = ed25519.Ed25519PrivateKey.generate()
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.spki = self.key.public_key().public_bytes(serialization.Encoding.DER,
                                                       serialization.PublicFormat.SubjectPublicKeyInfo)

    def put(self, kind, /, **fields):
        r = Record()
        r.__dict__.update(fields, type=kind, index=self.tree.size, time_us=START_US + self.tree.size * 10)
        leaf = write_leaf(r)
        self.tree.append(leaf)
        self.ledger.write(json.dumps({**view(r), "leaf": base64.b64encode(leaf).decode()}, separators=(",", ":")) + "\n")
        return r

    def prologue(self):
        key = Key(self.ledger_key.public_key())
        self.put("genesis", server_id=SERVER, demo=0, ledger_key=key.spki(), config_sha256=ZERO)
        self.put("start", version="0", config_sha256=ZERO, boot=bytes(16), clean=1, clock_sync=1)
        for number, (name, target, table) in enumerate((("add-client", "portal", 4), ("create-credential", "", 2)), 1):
            operation = self.put("operation", name=name, digest=ZERO, nonce=struct.pack("<QQ", number, 0), expires_s=0,
                                 operators="o", target=target, uid=0)
            self.put("admin", table=table, row=1, version=1, row_sha256=ZERO, operation=operation.index)
        self.say({"call": "key", "credential_id": "c1", "public_key": self.spki.hex()})

    def say(self, entry):
        self.history.write(json.dumps(entry, separators=(",", ":")) + "\n")

    def one(self, n):
        digest = hashlib.sha256(b"%d" % n).digest()
        at = START_US + self.tree.size * 10
        intent = {"transaction_id": "t%032x" % n, "request_id": "request-%d" % n, "client_row": 1, "relying_party": "portal",
                  "subject_row": n, "credential_row": 1, "credential_epoch": 1,
                  "key_spki_sha256": hashlib.sha256(self.spki).digest(), "scheme": 1, "hash": 1, "mgf_hash": 0, "salt_len": 0,
                  "hashes": digest, "display_sha256": ZERO, "content_sha256": digest, "tx_digest": digest, "nonce": digest[:16],
                  "not_after_s": 2 ** 40, "authenticator_row": n + 1, "step": 1, "evidence_sha256": ZERO, "ends_transaction": 1}
        index = self.put("intent", kind=1, proof=1, **intent).index
        der = self.key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
        r, s = utils.decode_dss_signature(der)
        self.put("receipt", intent=index, outcome=1, code=0, cause=0, sig_len=64,
                 signatures=r.to_bytes(32, "big") + s.to_bytes(32, "big"))
        self.say({"call": "sign", "t_sent": at / 1e6, "t_done": at / 1e6 + 1, "client": "portal", "relying_party": "portal",
                  "request_id": "request-%d" % n, "credential_id": "c1", "algorithm": {"scheme": 1, "hash": 1},
                  "hashes": [digest.hex()], "proof": {"kind": "totp", "authenticator_id": "a%d" % n, "step": 1},
                  "outcome": "signed", "signatures": [der.hex()]})

    def epilogue(self):
        key = Key(self.ledger_key.public_key())
        text = f"{SERVER}\n{self.tree.size}\n{base64.b64encode(self.tree.root()).decode()}\n"
        signature = base64.b64encode(key.id(SERVER) + self.ledger_key.sign(text.encode())).decode()
        self.ledger.write(json.dumps({"checkpoint": f"{text}\n\u2014 {SERVER} {signature}\n", "size": self.tree.size,
                                      "ledger_public_key": base64.b64encode(key.spki()).decode()}) + "\n")
        self.ledger.close()
        self.history.close()


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50000
    with tempfile.TemporaryDirectory(prefix="kyso-check-") as folder:
        maker = Maker(folder)
        maker.prologue()
        for n in range(count):
            maker.one(n)
        maker.epilogue()
        command = os.path.join(os.path.dirname(os.path.realpath(__file__)), "kyso-check")
        done = subprocess.run([command, "--ledger", f"{folder}/ledger.jsonl", "--history", f"{folder}/history.jsonl",
                               "--complete", "--json"], capture_output=True, text=True)
        told = json.loads(done.stdout)
        told["violations"] = told["violations"][:3]
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        told["cpu_s"] = round(used.ru_utime + used.ru_stime, 1)
        told["memory_mib"] = used.ru_maxrss // 1024
        print(json.dumps(told))
        return done.returncode


if __name__ == "__main__":
    sys.exit(main())
