# SPDX-License-Identifier: Apache-2.0
"""P1, P2, P21 between clients and ledger: what was released is there, is what was asked for, once; what was revoked stays so."""

import hashlib
import struct

from .history import answer_of, content_of, spends_of
from .rule import rule, told
from .signatures import device_approves, normal, split
from .world import APPROVAL, SAD, SIGNED, TOTP

KINDS = {"totp": TOTP, "approval": APPROVAL, "sad": SAD}
VOIDING = {"set-credential-state": ("suspended", "destroyed"), "set-client-state": ("suspended", "removed"),
           "remove-authenticator": ("",)}


# --- the history by itself --------------------------------------------------------------------------


@rule("P1-same-answer", "one request id has one content and one answer", "said")
def one_answer(w, said):
    asked = w.history.asked.get(said.key)
    first = asked.granted if asked else None
    if said.granted and first is not None and first.call == said.call and \
            (first.answer, first.content, first.credential, first.sad_sha256) != \
            (said.answer, said.content, said.credential, said.sad_sha256):
        yield "answered otherwise before", told(said.line), told(first.line)


@rule("P1-one-spend", "one proof was granted to one request", "said")
def proof_granted_once(w, said):
    if said.granted:
        for spend in spends_of(said):
            key, line = w.history.spends.get(spend, (said.key, 0))
            if key != said.key:
                yield "another request was granted by the same proof", told(said.line), told(line)


@rule("P21-answer", "nothing asked for after a revocation was acknowledged is granted", "said")
def nothing_after_revocation(w, said):
    if not said.granted:
        return
    for target, sent in revocable(w, said):
        acts = w.history.by_target.get(target, ())
        void = [a for a in acts if a.done and a.state in VOIDING[target[0]] and a.t_done < sent]
        if void:
            last = max(void, key=lambda a: a.t_done)
            if not any(lifts(a, last, said) for a in acts):
                yield f"granted though {target[1]} was revoked", told(said.line), told(last.line)


def revocable(w, said):
    """What an answer stands on: (operation, target), and since when it had to stand no more. Of a request that was sent before its
    authenticator went, the answer may be told again: the ledger dates the signature."""
    yield ("set-credential-state", said.credential), said.t_sent
    yield ("set-client-state", said.client), said.t_sent
    if said.proof is not None:
        asked = w.history.asked.get(said.key)
        yield ("remove-authenticator", said.proof[2]), min(said.t_sent, asked.first_sent if asked else said.t_sent)


def lifts(act, last, said):
    """May this act have undone the revocation before the answer?"""
    return act is not last and not act.refused and act.state not in VOIDING[act.operation] and \
        act.t_done >= last.t_sent and act.t_sent < said.t_done


# --- the ledger against it -----------------------------------------------------------------------------


def request_of(w, r):
    return w.asked_for(r) if r.kind == 1 else None


def same_content(r, said):
    return content_of((r.scheme, r.hash, r.mgf_hash, r.salt_len), r.hashes) == said.content


@rule("P1-asked", "with --complete: everything intended or begun was asked for", "intent", "begin")
def was_asked(w, r):
    if w.options.complete and (r.type == "begin" or r.kind == 1) and \
            w.asked_for(r) is None:
        yield f"nobody asked for {r.request_id}", r.index


@rule("P2-content", "an intent has the algorithm and hashes that its request sent", "intent")
def intent_is_the_request(w, r):
    asked = request_of(w, r)
    if asked is not None and not any(same_content(r, said) for said in asked.said):
        yield f"request {r.request_id} said something else", r.index, told(asked.said[0].line)


@rule("P2-digest", "a transaction digest is that of what the client sent", "intent", "begin")
def digest_is_the_requests(w, r):
    if r.type == "intent" and (r.kind != 1 or r.proof != TOTP):
        return
    asked = w.asked_for(r)
    said = [s for s in asked.said if same_content(r, s) and s.display is not None and s.subject] if asked else []
    if said and not any(tx_digest(w, r, s) == r.tx_digest for s in said):
        yield f"request {r.request_id} has another digest", r.index, told(said[0].line)


def tx_digest(w, r, said):
    """PROTOCOL.md, "The transaction digest"."""
    hashes = split(r.hashes, {1: 32, 2: 48, 3: 64}.get(r.hash, 0))
    fields = [(w.server_id or "").encode(), said.client.encode(), r.relying_party.encode(), r.transaction_id.encode(),
              said.subject.encode(), said.credential.encode(), struct.pack(">I", r.credential_epoch), r.key_spki_sha256,
              struct.pack(">BBBH", r.scheme, r.hash, r.mgf_hash, r.salt_len), struct.pack(">I", len(hashes)), *hashes,
              said.display, struct.pack(">Q", r.not_after_s), r.nonce]
    return hashlib.sha256(b"kyso.v1.tx\0" + b"".join(struct.pack(">I", len(f)) + f for f in fields)).digest()


@rule("P1-proof", "an intent spends a proof that its request sent", "intent")
def proof_was_sent(w, r):
    asked = request_of(w, r)
    if asked is not None and not any(is_proof(w, r, said.proof) for said in asked.said):
        yield f"request {r.request_id} brought another proof", r.index, told(asked.said[0].line)


def is_proof(w, r, proof):
    if proof is None or KINDS[proof[0]] != r.proof:
        return False
    tx = w.tx.get(r.transaction_id)
    if r.proof == TOTP:
        return proof[1] in (None, r.step)
    if r.proof == APPROVAL:
        return proof[1] == r.transaction_id
    return tx is not None and tx.authorized is not None and tx.authorized.sad_sha256 == proof[1]


@rule("P1-approved", "an approval that counts was signed by the device, for this transaction and its matching code", "intent",
      "authorized")
def device_signed_it(w, r):
    if r.proof != APPROVAL:
        return
    tx, said = w.tx.get(r.transaction_id), w.history.approvals.get(r.evidence_sha256)
    if said is None:
        if w.options.complete:
            yield f"no device approved {r.transaction_id}", r.index
        return
    key = w.history.devices.get(said.authenticator)
    if said.transaction_id != r.transaction_id:
        yield f"the device approved {said.transaction_id}", r.index, told(said.line)
    elif key is not None and tx is not None and \
            not device_approves(key, tx.begin.tx_digest, said.matching_code, said.signature):
        yield "the device's signature does not verify", r.index, told(said.line)


@rule("P2-key", "a request is signed by the key of the credential that it named", "intent")
def key_is_the_credentials(w, r):
    asked = request_of(w, r)
    for said in asked.said if asked is not None else ():
        digest = said.key_digest or w.options.credential_keys.get(said.credential)
        if digest is not None and digest != r.key_spki_sha256:
            yield f"{said.credential} has another key", r.index, told(said.line)


@rule("P2-released", "every signature that a client has is in the receipt of its request", "receipt", "end")
def released_is_recorded(w, r):
    if r.type == "end":
        for asked in w.history.asked.values():
            if asked.granted is not None and asked.granted.call == "sign" and not asked.matched:
                yield "no receipt has these signatures", told(asked.granted.line)
        return
    intent = w.open.get(r.intent)
    if r.outcome != SIGNED or intent is None:
        return
    asked = request_of(w, intent)
    if asked is None or asked.granted is None or asked.granted.call != "sign":
        return
    mine = answer_of([normal(intent.scheme, "raw", s) for s in split(r.signatures, r.sig_len)])
    if mine != asked.granted.answer or not same_content(intent, asked.granted):
        yield f"request {intent.request_id} was answered otherwise", r.index, told(asked.granted.line)


@rule("P2-unsigned", "no client has a signature whose receipt says failed or abandoned", "receipt")
def unsigned_is_not_released(w, r):
    intent = w.open.get(r.intent)
    asked = request_of(w, intent) if intent is not None and r.outcome != SIGNED else None
    if asked is not None and asked.granted is not None and asked.granted.call == "sign":
        yield f"request {intent.request_id} has an answer", r.index, told(asked.granted.line)


@rule("P2-dated", "an intent is not dated before its request, nor a receipt after its answer", "intent", "receipt")
def dates_are_in_order(w, r):
    intent = w.open.get(r.intent) if r.type == "receipt" else r
    asked = request_of(w, intent) if intent is not None else None
    at, slack = r.time_us / 1e6, w.options.slack_s
    if asked is None:
        return
    if r.type == "intent" and at < asked.first_sent - slack:
        yield f"dated {asked.first_sent - at:.3f} s before it was asked for", r.index, told(asked.said[0].line)
    if r.type == "receipt" and asked.granted is not None and at > asked.granted.t_done + slack:
        yield f"dated {at - asked.granted.t_done:.3f} s after its answer", r.index, told(asked.granted.line)


@rule("P2-authorized", "every SAD that a client was given is in an authorized record", "end")
def sads_are_recorded(w, _):
    for digest, line in w.history.sads.items():
        if digest not in w.sads:
            yield "no record has this SAD", told(line)


@rule("P21-recorded", "every operation that was acknowledged is in the ledger", "end")
def acts_are_recorded(w, _):
    for act in w.history.acts:
        if act.done and not act.recorded:
            yield f"no record of {act.operation} {act.target}", told(act.line)
