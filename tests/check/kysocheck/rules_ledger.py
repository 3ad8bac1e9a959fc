# SPDX-License-Identifier: Apache-2.0
"""P7: the ledger is whole, says the same in both forms, and is the one that was signed; and its own book-keeping holds."""

import hashlib

from .forms import FORMS, view
from .rule import rule
from .tree import NoteError
from .world import life_of, people_of


@rule("P7-line", "every line is one JSON object with a leaf in canonical base64", "line")
def line_is_json(_, line):
    if line.leaf is None:
        yield f"line {line.number}: {line.problem}", line.expected_index


@rule("P7-form", "every leaf is exactly its type's fields", "line")
def leaf_has_its_form(_, line):
    if line.leaf is not None and line.record is None:
        yield f"line {line.number}: {line.problem}", line.expected_index
    elif line.record is not None and line.record.type not in FORMS:
        yield f"{line.record.type} is no type of the document", line.expected_index


@rule("P7-view", "the JSON shows what the leaf says", "line")
def view_is_the_leafs(_, line):
    if line.record is None:
        return
    shown = {name: value for name, value in line.json.items() if name not in ("leaf", "private")}
    mine = view(line.record)
    if shown != mine:
        differ = sorted(name for name in shown.keys() | mine.keys() if shown.get(name) != mine.get(name))
        yield f"differs in {', '.join(differ)}", line.expected_index


@rule("P7-private", "the side table's texts are those whose salted hashes the leaf has", "line")
def private_is_the_leafs(_, line):
    text = line.json.get("private") if line.record is not None else None
    if text is None:
        return
    salted = [getattr(line.record, name) for name in SALTED.get(line.record.type, ())]
    try:
        items = items_of(bytes.fromhex(text))
    except ValueError as error:
        yield str(error), line.expected_index
        return
    if [hashlib.sha256(item).digest() for item in items] != [h for h in salted if any(h)]:
        yield "a text is not the one that was hashed", line.expected_index


SALTED = {"begin": ("display_sha256", "matching_code"), "intent": ("display_sha256",)}


def items_of(data):
    items = []
    while data:
        size = int.from_bytes(data[:4], "little")
        if len(data) < 4 + size or size <= 16:
            raise ValueError("the private part is torn")
        items.append(data[4:4 + size])
        data = data[4 + size:]
    return items


@rule("P7-index", "the indices are 0, 1, 2, ...", "line")
def index_has_no_gap(_, line):
    if line.record is not None and line.record.index != line.expected_index:
        yield f"has the index {line.record.index}", line.expected_index


@rule("P7-time", "time never goes back", "line")
def time_rises(w, line):
    if line.record is not None and line.record.time_us < w.last_time:
        yield f"is {w.last_time - line.record.time_us} us before the record in front of it", line.expected_index


@rule("P7-genesis", "the first record is the one genesis", "line")
def genesis_is_first(w, line):
    if line.record is not None and (line.record.type == "genesis") != (line.expected_index == 0):
        yield f"is a {line.record.type}", line.expected_index


@rule("P7-root", "the RFC 6962 root at a checkpoint's size is the checkpoint's", "checkpoint")
def root_is_the_checkpoints(_, mark):
    if mark.root is not None and mark.root != mark.note.root:
        yield f"{mark.note.where}: the {mark.note.size} records have another root", mark.note.size


@rule("P7-reach", "the ledger has all records of every checkpoint", "checkpoint")
def ledger_reaches_checkpoint(w, mark):
    if mark.root is None:
        yield f"{mark.note.where}: {mark.note.size} records were signed, {w.size} are there", w.size


@rule("P7-signature", "every checkpoint is of this server and signed by the ledger's key", "checkpoint")
def checkpoint_is_signed(w, mark):
    if mark.note.origin != w.server_id:
        yield f"{mark.note.where}: is of {mark.note.origin}, the ledger of {w.server_id}", mark.note.size
    try:
        if mark.key is None:
            raise NoteError("no key to verify with")
        mark.note.check(mark.key)
    except NoteError as error:
        yield f"{mark.note.where}: {error}", mark.note.size


@rule("P7-key", "the genesis record, the export's last line and the pinned key agree", "end")
def key_is_one(w, end):
    keys = {"genesis": w.ledger_key, "last line": end.tail_key, "pinned": end.pinned_key}
    known = {name: key for name, key in keys.items() if key}
    if len(set(known.values())) > 1:
        yield f"{' and '.join(known)} name different keys", 0


@rule("P7-checkpoint", "there is a checkpoint, whole, and the last line counts the records", "end")
def checkpoint_is_there(w, end):
    for problem in end.problems:
        yield problem, w.size
    if end.marks == 0:
        yield "no checkpoint: nothing tells whether this is the ledger", w.size
    if end.tail_size is not None and end.tail_size != w.size:
        yield f"the last line tells of {end.tail_size} records, {w.size} are there", w.size


@rule("P7-version", "versions of a row rise by one", "admin")
def versions_rise(w, r):
    before = w.versions.get((r.table, r.row), 0)
    if r.version != before + 1:
        yield f"row {r.row} of table {r.table} goes from version {before} to {r.version}", r.index


@rule("P7-operation", "what an operator did names an operation before it; only genesis rows have none", "admin", "unlocked",
      "destroyed")
def change_has_an_operation(w, r):
    beside_genesis = r.type == "admin" and r.operation == 0 and w.boot is None
    if not beside_genesis and r.operation not in w.operations:
        yield f"names operation {r.operation}, which is none", r.index


@rule("P7-life", "a stop ends the last start, and nothing but recovery stands between a stop and the next start",
      "stop", "operation", "begin", "authorized", "ended", "intent", "denied", "event", "crl", "kek", "clock")
def lives_are_ordered(w, r):
    if r.type == "stop" and (not w.running or r.boot != w.boot):
        yield "stops another start than the last", r.index
    elif not w.running:
        yield f"a {r.type} while no server ran", r.index


TWO_PEOPLE = {"unlock-subject", "add-client", "set-client-request-key", "enroll-citizens", "enroll-totp", "add-user", "remove-user",
              "set-role"}


@rule("P7-people", "an operation names who signed it, nobody twice; outside a demo two people where it takes two", "operation",
      "destroyed")
def people_are_enough(w, r):
    people = people_of(r) if r.type == "operation" else w.people.get(r.operation, [])
    two = not w.demo and (r.type == "destroyed" or r.name in TWO_PEOPLE)
    need = 0 if r.type == "operation" and r.name == "add-user-offline" else 2 if two else 1
    if len(people) < need or len(people) != len(set(people)):
        yield f"is signed by {', '.join(people) or 'nobody'}", r.index


@rule("P7-offline", "a start that adds operators without any serves nobody", "operation", "begin", "authorized", "ended", "intent",
      "denied", "event", "crl")
def offline_serves_nobody(w, r):
    if w.life is not None and life_of(r) != w.life:
        yield f"a {r.type} of a start that {'served' if w.life == 'served' else 'added operators'}", r.index


@rule("P7-clean", "a start is clean after a stop with nothing distrusted, and only then", "start")
def start_is_clean(w, r):
    if r.clean and (w.running or w.anchored):
        yield "calls itself clean after a crash", r.index
    if not r.clean and not w.anchored:
        yield "is not clean, and nothing says what is distrusted", r.index


@rule("P7-anchor", "an anchored record counts the records before it, and its anchor is not beyond them", "anchored")
def anchor_counts(_, r):
    if r.head_size != r.index or r.anchor_size > r.head_size:
        yield f"anchor {r.anchor_size}, head {r.head_size}", r.index
