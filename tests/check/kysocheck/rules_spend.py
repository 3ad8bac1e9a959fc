# SPDX-License-Identifier: Apache-2.0
"""I1, I3, I4, P5, P21 as the ledger shows them: each signature has its intent, each intent its receipt, each proof one spend, and
nothing is signed on an authority that is over."""

from .forms import Record
from .rule import rule
from .signatures import HASH_LEN, messages, split, verifies
from .world import APPROVAL, AUTHORIZED, CREDENTIAL, PENDING, SAD, SIGNED, TOTP

DAY_US = 86400 * 1000000
SAME = ("client_row relying_party subject_row credential_row credential_epoch key_spki_sha256 scheme hash mgf_hash salt_len "
        "tx_digest nonce not_after_s").split()
OPEN = ("scheme", "mgf_hash", "salt_len")
INTENT = 9


# --- I1, I4: intents and receipts --------------------------------------------------------------


@rule("I1-form", "an intent is of a known kind and proof and names distinct whole hashes", "intent", "begin")
def intent_is_whole(_, r):
    if r.type == "intent" and not ((r.kind, r.proof) in ((1, TOTP), (1, APPROVAL), (1, SAD)) or (r.kind, r.proof) == (2, 0)):
        yield f"kind {r.kind} with proof {r.proof}", r.index
    if r.type == "intent" and r.kind == 2:
        return
    size = HASH_LEN.get(r.hash, 0)
    parts = split(r.hashes, size)
    if not parts or len(r.hashes) % size or len(set(parts)) != len(parts) or bytes(size) in parts:
        yield "its hashes are not whole, distinct and other than zero", r.index


@rule("I1-receipt", "a receipt names an intent in front of it", "receipt")
def receipt_has_an_intent(w, r):
    if r.intent >= r.index or r.intent >= len(w.kinds) or w.kinds[r.intent] != INTENT:
        yield f"names {r.intent}, which is no intent before it", r.index


@rule("I1-count", "signed means one signature for each hash; anything else means none", "receipt")
def receipt_has_its_signatures(w, r):
    given = len(split(r.signatures, r.sig_len)) if r.sig_len else 0
    intent = w.open.get(r.intent)
    if r.outcome not in (1, 2, 3) or (r.outcome == SIGNED) != (r.code == 0) or given * r.sig_len != len(r.signatures):
        yield f"outcome {r.outcome}, code {r.code}, {len(r.signatures)} bytes of signatures", r.index
    elif intent is not None and given != (len(messages(intent)) if r.outcome == SIGNED else 0):
        yield f"has {given} signatures for {len(messages(intent))} hashes", r.index, r.intent


@rule("I1-signature", "every signature verifies under the key and hash that the intent names", "receipt")
def signatures_verify(w, r):
    intent = w.open.get(r.intent)
    if r.outcome != SIGNED or intent is None:
        return
    key = w.options.keys.get(intent.key_spki_sha256)
    for number, (digest, signature) in enumerate(zip(messages(intent), split(r.signatures, r.sig_len))):
        if key is None:
            w.unverified += 1
        elif not verifies(key, intent, digest, signature):
            yield f"signature {number} does not verify", r.index, r.intent


@rule("I1-key", "a credential has one key for ever", "intent")
def credential_has_one_key(w, r):
    digest, index = w.row_key.get(r.credential_row, (r.key_spki_sha256, r.index))
    if digest != r.key_spki_sha256:
        yield f"credential {r.credential_row} signs with another key than before", r.index, index


@rule("I4-one-receipt", "an intent has one receipt", "receipt")
def one_receipt(w, r):
    if r.intent < len(w.kinds) and w.kinds[r.intent] == INTENT and r.intent not in w.open:
        yield f"intent {r.intent} had its receipt already", r.index, r.intent


@rule("I4-no-orphan", "no intent is open when a server starts or stops; at the end only the running server's are", "start", "stop",
      "end")
def no_orphans(w, r):
    if isinstance(r, Record) or not w.running:
        for index in list(w.open)[:5]:
            yield "has no receipt", index, w.size


# --- I3: proofs ---------------------------------------------------------------------------------


@rule("I3-step", "an authenticator's TOTP steps, or a passkey's counter, rise: none is spent twice", "intent", "authorized")
def steps_rise(w, r):
    step, index = w.steps.get(r.authenticator_row, (0, 0))
    if (r.proof == TOTP or (r.proof == APPROVAL and r.step)) and (r.step <= step or r.authenticator_row == 0):
        yield f"authenticator {r.authenticator_row} spends step {r.step}, it had spent {step}", r.index, index


@rule("I3-approval", "a device's approval, and the transaction it approves, is spent once", "intent", "authorized")
def approval_is_spent_once(w, r):
    if r.proof != APPROVAL:
        return
    tx = w.tx.get(r.transaction_id)
    if not any(r.evidence_sha256) or r.evidence_sha256 in w.evidence:
        yield "brings no device signature of its own", r.index, w.evidence.get(r.evidence_sha256, r.index)
    if tx is None or tx.state != PENDING:
        yield f"transaction {r.transaction_id} is not pending", r.index
    elif r.time_us // 1000000 >= tx.begin.not_after_s:
        yield f"transaction {r.transaction_id} was over", r.index, tx.begin.index
    elif r.type == "intent" and r.hashes != tx.begin.hashes:
        yield "signs other hashes than were approved", r.index, tx.begin.index


@rule("I3-sad", "a SAD signs while its transaction is authorized and in time", "intent")
def sad_is_alive(w, r):
    if r.proof != SAD:
        return
    tx = w.tx.get(r.transaction_id)
    if tx is None or tx.state != AUTHORIZED:
        yield f"transaction {r.transaction_id} is not authorized", r.index
    elif r.time_us // 1000000 >= tx.authorized.not_after_s:
        yield f"the SAD of {r.transaction_id} was over", r.index, tx.authorized.index


@rule("I3-hash", "a SAD signs each of its hashes once, and no other", "intent")
def sad_hash_once(w, r):
    tx = w.tx.get(r.transaction_id)
    if r.proof != SAD or tx is None:
        return
    listed = set(split(tx.begin.hashes, HASH_LEN.get(tx.begin.hash, 0)))
    for h in messages(r):
        if h not in listed:
            yield f"hash {h.hex()[:16]} is not among those authorized", r.index, tx.begin.index
        if h in tx.used:
            yield f"hash {h.hex()[:16]} was spent", r.index, tx.used[h]


@rule("I3-ends", "an intent says that it ends its transaction exactly when nothing of it is left", "intent")
def says_when_it_ends(w, r):
    tx = w.tx.get(r.transaction_id)
    if r.kind != 1:
        return
    ends = r.proof != SAD
    if r.proof == SAD and tx is not None:
        ends = len(tx.used.keys() | set(messages(r))) >= len(split(tx.begin.hashes, HASH_LEN.get(tx.begin.hash, 0)))
    if bool(r.ends_transaction) != ends:
        yield f"says ends_transaction {r.ends_transaction}", r.index


@rule("I3-same", "what is signed is what was begun: client, party, credential, key, algorithm (but a scheme left open), digest, nonce", "intent")
def signs_what_was_begun(w, r):
    tx = w.tx.get(r.transaction_id)
    if r.proof not in (APPROVAL, SAD) or tx is None:
        return
    free = OPEN if tx.begin.scheme == 0 else ()  # the scheme was left to the key's
    differ = [name for name in SAME if name not in free and getattr(r, name) != getattr(tx.begin, name)]
    if differ:
        yield f"differs from its transaction in {', '.join(differ)}", r.index, tx.begin.index


@rule("I3-transaction", "a transaction begins once", "begin", "intent")
def transaction_begins_once(w, r):
    tx = w.tx.get(r.transaction_id)
    before = tx.begin.index if tx else w.made.get(r.transaction_id)
    if before is not None and (r.type == "begin" or r.proof == TOTP):
        yield f"transaction {r.transaction_id} was begun already", r.index, before


@rule("I3-authorized", "only a pending transaction is authorized or ends, by a proof, with a SAD of its own", "authorized", "ended")
def authorizes_what_is_pending(w, r):
    tx = w.tx.get(r.transaction_id)
    states = (PENDING,) if r.type == "authorized" else (PENDING, AUTHORIZED)
    if tx is None or tx.state not in states:
        yield f"transaction {r.transaction_id} is not open", r.index
    if r.type == "ended":
        return
    if r.proof not in (TOTP, APPROVAL):
        yield f"authorized by proof {r.proof}", r.index
    if not any(r.sad_sha256) or r.sad_sha256 in w.sads:
        yield "its SAD is another transaction's", r.index, w.sads.get(r.sad_sha256, r.index)


@rule("I3-request", "a request id is one request's for a day", "begin", "intent", "authorized")
def request_id_once(w, r):
    index, at, transaction = w.requests.get(w.request_key(r), (None, 0, None))
    if index is None or r.time_us - at >= DAY_US or r.index - index >= w.options.replay_requests:
        return
    if not (r.type == "authorized" and transaction == r.transaction_id):  # Authorize begins and authorizes in one
        yield f"request id {r.request_id} was used", r.index, index


# --- P5: after a crash ------------------------------------------------------------------------------


@rule("P5-floor", "no code of a time before an unclean start is taken after it", "intent", "authorized")
def code_is_above_the_floor(w, r):
    if r.proof == TOTP and r.step <= w.floor:
        yield f"spends step {r.step}, refused up to {w.floor}", r.index, w.void


@rule("P5-void", "no transaction of before an unclean start is authorized or signed after it", "intent", "authorized")
def transaction_is_not_void(w, r):
    tx = w.tx.get(r.transaction_id)
    if tx is not None and tx.begin.index < w.void:
        yield f"transaction {r.transaction_id} is void since {w.void}", r.index, tx.begin.index


@rule("P5-nonce", "an operators' operation runs once", "operation")
def nonce_once(w, r):
    if r.nonce in w.nonces:
        yield "its nonce was spent", r.index, w.nonces[r.nonce]


# --- P21: authority that is over ------------------------------------------------------------------------


def standing(w, r):
    """The intent that this record lets happen: itself, or the one that a receipt says is signed."""
    if r.type == "receipt":
        return w.open.get(r.intent) if r.outcome == SIGNED else None
    return r


@rule("P21-credential", "nothing is intended or signed under an older version of its credential", "intent", "receipt", "begin")
def credential_is_current(w, r):
    intent = standing(w, r)
    if intent is None:
        return
    now = w.versions.get((CREDENTIAL, intent.credential_row))
    if now != intent.credential_epoch:
        yield f"credential {intent.credential_row} is at version {now}, this is of {intent.credential_epoch}", r.index, intent.index


@rule("P21-authenticator", "nothing is intended, authorized or signed on the word of a removed authenticator", "intent", "receipt",
      "authorized")
def authenticator_stands(w, r):
    intent = standing(w, r)
    if intent is None:
        return
    row = r.authenticator_row if r.type == "authorized" else w.authenticator_of(intent)
    if row in w.removed:
        yield f"authenticator {row} was removed", r.index, w.removed[row]


@rule("P21-person", "nothing is intended or signed for a person who said \"not me\"", "intent", "receipt")
def person_is_not_locked(w, r):
    intent = standing(w, r)
    if intent is not None and intent.subject_row in w.not_me:
        yield f"person {intent.subject_row} said not me", r.index, w.not_me[intent.subject_row]


@rule("P21-client", "a client that its failures suspended intends nothing", "intent", "begin")
def client_is_not_suspended(w, r):
    if r.client_row in w.suspended:
        yield f"client {r.client_row} is suspended", r.index, w.suspended[r.client_row]
