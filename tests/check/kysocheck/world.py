# SPDX-License-Identifier: Apache-2.0
"""The fold: what the records so far say, as far as a rule asks. Rules read it; only `apply` changes it, after the rules have
seen the record, and never fails on a ledger that is wrong."""

from .history import request_key
from .signatures import messages

PENDING, AUTHORIZED, SPENT, REJECTED, EXPIRED, CANCELLED = range(1, 7)
TOTP, APPROVAL, SAD = 1, 2, 3
SIGNED, FAILED, ABANDONED = 1, 2, 3
CREDENTIAL, AUTHENTICATOR, CLIENT = 2, 3, 4


class Tx:
    __slots__ = ("begin", "state", "authorized", "used")

    def __init__(self, begin):
        self.begin = begin
        self.state = PENDING
        self.authorized = None
        self.used = {}  # hash: intent


class World:
    def __init__(self, history, options):
        self.history = history
        self.options = options
        self.size = 0
        self.last_time = 0
        self.server_id = None
        self.ledger_key = b""
        self.kinds = bytearray()  # record type by index, 0 where unreadable
        self.operations = {}  # index: (name, target)
        self.people = {}  # index: who signed it, a list
        self.demo = False
        self.life = None  # what this start has done: "served", or "offline"
        self.nonces = {}
        self.versions = {}
        self.client_names = {}
        self.tx = {}
        self.made = {}  # transaction ids that an intent made by itself
        self.sads = {}
        self.evidence = {}
        self.steps = {}  # authenticator: (step, index)
        self.open = {}  # intents without a receipt
        self.requests = {}  # key: (index, time_us, transaction id)
        self.row_key = {}  # credential row: key's digest
        self.removed = {}  # authenticator row: index
        self.suspended = {}  # client row: index
        self.not_me = {}  # subject row: index
        self.floor = 0
        self.void = -1  # transactions begun before this index are void
        self.boot = None
        self.running = False
        self.anchored = False  # an anchored record since the last start
        self.signed = 0
        self.unverified = 0

    def asked_for(self, r):
        """The client's side of an intent or a begin record, or None. Looked up once."""
        if not hasattr(r, "asked"):
            name = self.client_names.get(r.client_row)
            r.asked = None if name is None else self.history.asked.get(request_key(name, r.relying_party, r.request_id))
        return r.asked

    def request_key(self, r):
        """What names this record's request, or None. An authorized record's client is its transaction's."""
        scope = r
        if r.type == "authorized":
            tx = self.tx.get(r.transaction_id)
            scope = tx.begin if tx is not None else None
        if scope is None or not r.request_id:
            return None
        name = self.client_names.get(scope.client_row, f"row {scope.client_row}")
        return request_key(name, scope.relying_party, r.request_id)

    def authenticator_of(self, intent):
        """Whose word an intent stands on; of a SAD that of who authorized it."""
        tx = self.tx.get(intent.transaction_id)
        if intent.proof == SAD and tx is not None and tx.authorized is not None:
            return tx.authorized.authenticator_row
        return intent.authenticator_row

    def apply(self, r):
        self.size += 1
        self.last_time = max(self.last_time, r.time_us)
        step = STEPS.get(r.type)
        if step is not None:
            step(self, r)
        self.life = self.life or life_of(r)


def people_of(operation):
    return operation.operators.split(",") if operation.operators else []


def life_of(r):
    """What a start that writes this record does: serve, or add operators without being asked by any; None: either."""
    if r.type == "operation" and r.name == "add-user-offline":
        return "offline"
    return "served" if r.type in ("operation", "begin", "authorized", "ended", "intent", "denied", "event", "crl") else None


def apply_genesis(w, r):
    if w.server_id is None:
        w.server_id, w.ledger_key, w.demo = r.server_id, r.ledger_key, bool(r.demo)


def apply_start(w, r):
    w.boot, w.running, w.anchored, w.life = r.boot, True, False, None


def apply_stop(w, _):
    w.running = False


def apply_admin(w, r):
    w.versions[r.table, r.row] = r.version
    name, target = w.operations.get(r.operation, ("", ""))
    if r.table == CLIENT and name == "add-client":
        w.client_names.setdefault(r.row, target)
    if r.table == AUTHENTICATOR and name == "remove-authenticator":
        w.removed.setdefault(r.row, r.index)


def apply_operation(w, r):
    w.operations[r.index] = (r.name, r.target)
    w.people[r.index] = people_of(r)
    w.nonces.setdefault(r.nonce, r.index)
    for act in w.history.by_target.get((r.name, r.target), ()):
        slack = w.options.slack_s
        if act.t_sent - slack <= r.time_us / 1e6 <= act.t_done + slack:
            act.recorded = True


def apply_begin(w, r):
    w.tx.setdefault(r.transaction_id, Tx(r))
    note_request(w, r)


def apply_authorized(w, r):
    tx = w.tx.get(r.transaction_id)
    if tx is not None:
        tx.state, tx.authorized = AUTHORIZED, r
    w.sads.setdefault(r.sad_sha256, r.index)
    note_request(w, r)
    note_proof(w, r)


def apply_ended(w, r):
    tx = w.tx.get(r.transaction_id)
    if tx is not None:
        tx.state = r.state
        if r.not_me:
            w.not_me[tx.begin.subject_row] = r.index


def note_proof(w, r):
    if r.proof == TOTP or (r.proof == APPROVAL and r.step):
        w.steps[r.authenticator_row] = max(w.steps.get(r.authenticator_row, (0, 0)), (r.step, r.index))
    if r.proof == APPROVAL:
        w.evidence.setdefault(r.evidence_sha256, r.index)


def note_request(w, r):
    key = w.request_key(r)
    if key is not None:
        w.requests[key] = (r.index, r.time_us, None if r.type == "intent" else r.transaction_id)


def apply_intent(w, r):
    w.open[r.index] = r
    w.row_key.setdefault(r.credential_row, (r.key_spki_sha256, r.index))
    if r.kind != 1:
        return
    note_request(w, r)
    note_proof(w, r)
    tx = w.tx.get(r.transaction_id)
    if r.proof == TOTP:
        w.made.setdefault(r.transaction_id, r.index)
    elif tx is not None and r.proof == APPROVAL:
        tx.state = SPENT
    elif tx is not None:
        for h in messages(r):
            tx.used.setdefault(h, r.index)
        if len(tx.used) >= len(messages_of_begin(tx.begin)):
            tx.state = SPENT


def messages_of_begin(begin):
    begin.kind = 1
    return messages(begin)


def apply_receipt(w, r):
    intent = w.open.pop(r.intent, None)
    if r.outcome != SIGNED or intent is None:
        return
    w.signed += 1
    asked = w.asked_for(intent)
    if asked is not None:
        asked.matched = True


def apply_unlocked(w, r):
    w.not_me.pop(r.subject_row, None)


def apply_client_state(w, r):
    if r.suspended:
        w.suspended.setdefault(r.client_row, r.index)
    else:
        w.suspended.pop(r.client_row, None)


def apply_anchored(w, r):
    w.floor = max(w.floor, r.refuse_until_step_time_s // 30)
    w.void, w.anchored = r.index, True


def apply_own(w, r):
    w.operations[r.index] = (r.type, "")


STEPS = {"genesis": apply_genesis, "start": apply_start, "stop": apply_stop, "admin": apply_admin,
         "operation": apply_operation, "begin": apply_begin, "authorized": apply_authorized, "ended": apply_ended,
         "intent": apply_intent, "receipt": apply_receipt, "unlocked": apply_unlocked, "client-state": apply_client_state,
         "anchored": apply_anchored, "crl": apply_own, "passkey": apply_own, "kek": apply_own}
