# SPDX-License-Identifier: Apache-2.0
"""A true export and history, opened up to be falsified: records as objects, the tree and checkpoint sealed anew with a key of ours
(what a server that errs would sign), or left as they were (what someone with the file alone can do)."""

import base64
import copy
import json
import os

from cryptography.hazmat.primitives.asymmetric import ed25519

from kysocheck.forms import Record, parse_leaf, view, write_leaf
from kysocheck.tree import Key, Tree


class Book:
    """`records` and `history` may be changed at will; `write` seals. `lines` changes the text after the seal."""

    def __init__(self, ledger_path, history_path):
        with open(ledger_path, encoding="utf-8") as f:
            values = [json.loads(line) for line in f]
        private = {v["index"]: v["private"] for v in values if "private" in v}
        self.records = [parse_leaf(base64.b64decode(v["leaf"])) for v in values if "leaf" in v]
        with open(history_path, encoding="utf-8") as f:
            self.history = [json.loads(line) for line in f]
        self.signer = ed25519.Ed25519PrivateKey.generate()
        self.key = Key(self.signer.public_key())
        for r in self.records:
            r.private = private.get(r.index)
        self.records[0].ledger_key = self.key.spki()
        self.origin = self.records[0].server_id
        self.lines = lambda lines: lines
        self.note_edit = lambda note: note
        self.tail_edit = lambda tail: tail
        self.kept = None  # an older checkpoint of what was true; else one of what is written

    def copy(self):
        other = copy.copy(self)
        other.records = copy.deepcopy(self.records)
        other.history = copy.deepcopy(self.history)
        return other

    # --- finding ------------------------------------------------------------------------------------

    def all(self, kind, /, **fields):
        return [r for r in self.records if r.type == kind and all(getattr(r, n) == v for n, v in fields.items())]

    def first(self, kind, /, **fields):
        return self.all(kind, **fields)[0]

    def receipt_of(self, intent):
        return self.first("receipt", intent=intent.index)

    def said(self, call="sign", outcome=None, /, **proof):
        return [h for h in self.history if h["call"] == call and (outcome is None or h["outcome"] == outcome) and
                all(h.get("proof", {}).get(n) == v for n, v in proof.items())]

    def said_of(self, intent):
        return next(h for h in self.history if h.get("request_id") == intent.request_id and h["outcome"] == "signed")

    # --- changing --------------------------------------------------------------------------------------

    def insert(self, at, *records):
        """In front of the record that has the index `at`; what names records behind it is renumbered."""
        for r in self.records:
            move(r, at, len(records))
        for offset, r in enumerate(records):
            r.index = at + offset
            r.time_us = self.records[at - 1].time_us
        self.records[at:at] = records

    def append(self, *records):
        """Before the last stop."""
        stop = self.all("stop")[-1]
        self.insert(stop.index, *records)

    def remove(self, record):
        at = record.index
        self.records.remove(record)
        for r in self.records:
            move(r, at, -1)

    def again(self, record, **changes):
        twin = copy.deepcopy(record)
        twin.__dict__.update(changes)
        return twin

    def spend_again(self, intent, **changes):
        """The intent once more under a new request id, with its receipt, as a server would that forgot; returns the two."""
        twin = self.again(intent, **{"request_id": "forged-" + os.urandom(4).hex(), **changes})
        receipt = self.again(self.receipt_of(intent))
        self.append(twin, receipt)
        receipt.intent = twin.index
        return twin, receipt

    def make(self, kind, /, **fields):
        r = Record()
        r.type = kind
        r.__dict__.update(fields)
        return r

    # --- sealing ------------------------------------------------------------------------------------------

    def note(self, leaves):
        tree = Tree()
        for leaf in leaves:
            tree.append(leaf)
        text = f"{self.origin}\n{tree.size}\n{base64.b64encode(tree.root()).decode()}\n"
        signature = base64.b64encode(self.key.id(self.origin) + self.signer.sign(text.encode())).decode()
        return f"{text}\n\u2014 {self.origin} {signature}\n"

    def leaves(self):
        return [getattr(r, "raw", None) or write_leaf(r) for r in self.records]

    def old_note(self):
        """The checkpoint at two thirds of the records."""
        leaves = self.leaves()
        return self.note(leaves[:len(leaves) * 2 // 3])

    def write(self, folder):
        """Writes ledger.jsonl, history.jsonl, checkpoint (an older one) and key.pem; `folder` is there."""
        leaves = self.leaves()
        lines = [json.dumps({**view(r), **private_of(r), "leaf": base64.b64encode(leaf).decode()}, separators=(",", ":"))
                 for r, leaf in zip(self.records, leaves)]
        tail = self.tail_edit({"checkpoint": self.note_edit(self.note(leaves)), "size": len(leaves),
                               "ledger_public_key": base64.b64encode(self.key.spki()).decode()})
        lines = self.lines(lines + [json.dumps(tail, separators=(",", ":"), ensure_ascii=False)])
        put(folder, "ledger.jsonl", "".join(line + "\n" for line in lines))
        put(folder, "history.jsonl", "".join(json.dumps(h) + "\n" for h in self.history))
        put(folder, "checkpoint", self.kept or self.old_note())
        pem = base64.b64encode(self.key.spki()).decode()
        put(folder, "key.pem", f"-----BEGIN PUBLIC KEY-----\n{pem}\n-----END PUBLIC KEY-----\n")


def private_of(r):
    text = getattr(r, "private", None)
    return {} if text is None else {"private": text}


def put(folder, name, text):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
        f.write(text)


def move(r, at, by):
    for name in ("index", "intent", "operation", "head_size"):
        value = getattr(r, name, None)
        if value is not None and value >= at and (name != "operation" or value):
            setattr(r, name, value + by)
