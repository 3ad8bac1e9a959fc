# SPDX-License-Identifier: Apache-2.0
"""What clients say that they sent and what came back: JSON lines (README.md has the form), gathered by request. Kept small, so
that a million requests fit: contents and answers as digests, names interned."""

import hashlib
import json
import sys

from . import signatures

WITHOUT_REQUEST = ("operate", "key", "approve")
GRANTED = {"sign": "signed", "begin": "begun", "authorize": "authorized", "wait": "authorized"}


class HistoryError(ValueError):
    pass


def request_key(client, relying_party, request_id):
    """What names a request: PROTOCOL.md, "Repeating is safe"."""
    return hashlib.blake2b("\0".join((client, relying_party, request_id)).encode(), digest_size=16).digest()


def content_of(algorithm, hashes):
    """What a SAD's request is bound to, beside the credential."""
    return hashlib.sha256(repr(tuple(algorithm)).encode() + hashes).digest()[:16]


def answer_of(normal_signatures):
    return hashlib.sha256(b"\0".join(normal_signatures)).digest()[:16]


class Said:
    """One line: an attempt and its outcome."""

    __slots__ = ("line", "call", "t_sent", "t_done", "client", "relying_party", "credential", "subject", "content", "display",
                 "proof", "granted", "answer", "sad_sha256", "key_digest", "key", "hashes")

    def __init__(self, number, entry):
        self.line = number
        self.call = sys.intern(entry["call"])
        self.t_sent, self.t_done = float(entry["t_sent"]), float(entry["t_done"])
        for slot, name in (("client", "client"), ("relying_party", "relying_party"), ("credential", "credential_id"),
                           ("subject", "subject_id")):
            setattr(self, slot, sys.intern(entry.get(name) or ""))
        self.granted = entry["outcome"] == GRANTED[self.call]
        request_id = entry.get("request_id")
        self.key = request_key(self.client, self.relying_party, request_id) if request_id else None
        self.sad_sha256 = bytes.fromhex(entry.get("sad_sha256") or "")
        self.proof = proof_of(entry.get("proof") or {})
        self.key_digest = hashlib.sha256(bytes.fromhex(entry["public_key"])).digest() if entry.get("public_key") else None
        text = entry.get("display_text")
        self.display = None if text is None else hashlib.sha256(text.encode()).digest()
        a = entry.get("algorithm") or {}
        algorithm = tuple(a.get(name, 0) for name in ("scheme", "hash", "mgf_hash", "salt_len"))
        hashes = [bytes.fromhex(h) for h in entry.get("hashes") or ()]
        self.hashes = hashes  # until it is folded in
        self.content = content_of(algorithm, b"".join(hashes))
        given = [bytes.fromhex(s) for s in entry.get("signatures") or ()]
        self.answer = None
        if self.granted and self.call == "sign":
            encoding = a.get("encoding", "der")
            self.answer = answer_of([signatures.normal(algorithm[0], encoding, s) for s in given])
            if len(given) != len(hashes):
                self.answer = b"wrong count"


def proof_of(p):
    """(kind, what identifies it: the step, the transaction or the SAD's hash, authenticator). Codes themselves are not needed."""
    kind = p.get("kind")
    if kind == "totp":
        return ("totp", p.get("step"), p.get("authenticator_id") or "")
    if kind == "approval":
        return ("approval", p["transaction_id"], p.get("authenticator_id") or "")
    if kind == "sad":
        return ("sad", bytes.fromhex(p["sad_sha256"]), "")
    return None


class Asked:
    """All attempts under one request id: those that differ, and the first that was granted."""

    __slots__ = ("first_sent", "said", "granted", "matched")

    def __init__(self):
        self.first_sent = float("inf")
        self.said = []
        self.granted = None
        self.matched = False

    def add(self, said):
        self.first_sent = min(self.first_sent, said.t_sent)
        if not any((s.content, s.proof, s.display) == (said.content, said.proof, said.display) for s in self.said):
            self.said.append(said)
        if said.granted and self.granted is None:
            self.granted = said


class Act:
    """An operator's operation."""

    def __init__(self, number, entry):
        self.line = number
        self.operation, self.target, self.state = entry["operation"], entry.get("target", ""), entry.get("state", "")
        self.t_sent, self.t_done = float(entry["t_sent"]), float(entry["t_done"])
        self.done, self.refused = entry["outcome"] == "done", entry["outcome"] == "refused"
        self.recorded = False


class Approval:
    """What a device signed, inline or at the approvers' door."""

    def __init__(self, number, entry):
        self.line = number
        self.authenticator = entry.get("authenticator_id") or ""
        self.transaction_id = entry["transaction_id"]
        self.matching_code = entry.get("matching_code") or ""
        self.signature = bytes.fromhex(entry["signature"])


class History:
    def __init__(self):
        self.asked = {}
        self.acts = []
        self.by_target = {}  # what an operation names: its acts
        self.approvals = {}  # SHA-256 of a device's signature: Approval
        self.devices = {}  # authenticator: its public key
        self.sads = {}  # SHA-256 of a SAD that a client was given: line
        self.spends = {}  # (proof, hash): (request key, line), of what was granted
        self.lines = 0

    def read_acts(self, path, options):
        """First pass: operations, approvals and public keys, which stand anywhere in the file."""
        with open(path, encoding="utf-8") as f:
            for number, line in enumerate(f, 1):
                if any(word in line for word in ('"operate"', '"public_key"', '"approve"', '"approval"')):
                    try:
                        self.take_act(number, json.loads(line), options)
                    except (ValueError, KeyError, TypeError) as error:
                        raise HistoryError(f"{path}:{number}: {error!r}") from error

    def take_act(self, number, entry, options):
        if entry.get("public_key"):
            digest = options.keys.add(bytes.fromhex(entry["public_key"]))
            if entry.get("authenticator_id"):
                self.devices[entry["authenticator_id"]] = options.keys.get(digest)
            else:
                options.credential_keys.setdefault(entry["credential_id"], digest)
        if entry["call"] == "operate":
            act = Act(number, entry)
            self.acts.append(act)
            self.by_target.setdefault((act.operation, act.target), []).append(act)
        inline = entry.get("proof") or {}
        spoken = entry if entry["call"] == "approve" else inline if inline.get("kind") == "approval" else {}
        if spoken.get("signature"):
            approval = Approval(number, spoken)
            self.approvals.setdefault(hashlib.sha256(approval.signature).digest(), approval)

    def read(self, path):
        """Second pass: yields each Said before it is folded in."""
        with open(path, encoding="utf-8") as f:
            for number, line in enumerate(f, 1):
                self.lines += 1
                try:
                    entry = json.loads(line)
                    if entry["call"] in WITHOUT_REQUEST:
                        continue
                    said = Said(number, entry)
                except (ValueError, KeyError, TypeError) as error:
                    raise HistoryError(f"{path}:{number}: {error!r}") from error
                yield said
                self.fold(said)

    def fold(self, said):
        if said.granted and said.sad_sha256:
            self.sads.setdefault(said.sad_sha256, said.line)
        if said.key is not None:
            if said.granted:
                for spend in spends_of(said):
                    self.spends.setdefault(spend, (said.key, said.line))
            asked = self.asked.get(said.key)
            if asked is None:
                asked = self.asked[said.key] = Asked()
            asked.add(said)
        said.hashes = None


def spends_of(said):
    """What a granted request used up: a TOTP step, an approved transaction, or each hash under a SAD."""
    if said.proof is None or said.call == "begin":
        return []
    kind, what, authenticator = said.proof
    if kind == "sad":
        return [hashlib.blake2b(what + h, digest_size=16).digest() for h in said.hashes]
    return [] if what is None else [(kind, what, authenticator if kind == "totp" else "")]
