# SPDX-License-Identifier: Apache-2.0
"""P7: what someone with the file can change, and a server that keeps its books badly."""

import base64
import json

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kysocheck.forms import write_leaf
from mutations import FREE, TORN, forges

# --- P7: the file alone ----------------------------------------------------------------------------------


def edit_line(change, at=20):
    def edit(lines):
        lines[at] = change(lines[at])
        return lines

    return edit


@forges("P7-line", TORN)
def leaf_is_garbage(b):
    b.lines = edit_line(lambda line: line.replace('"leaf":"', '"leaf":"*'))


@forges("P7-line", TORN)
def line_is_no_json(b):
    b.lines = edit_line(lambda line: line[:-1])


@forges("P7-line", FREE)
def name_stands_twice(b):
    b.lines = edit_line(lambda line: line[:-1] + ',"index":1}')


@forges("P7-form")
def leaf_has_a_byte_too_many(b):
    r = b.first("denied")
    r.raw = write_leaf(r) + b"\0"


@forges("P7-form")
def leaf_is_cut(b):
    r = b.first("denied")
    r.raw = write_leaf(r)[:-1]


@forges("P7-form")
def type_is_unknown(b):
    r = b.first("denied")
    r.raw = write_leaf(r)[:16] + b"\xf0\0" + write_leaf(r)[18:]


@forges("P7-form")
def text_hides_its_direction(b):
    b.first("operation").target = "a\u202eb"


@forges("P7-view", FREE)
def view_lies(b):
    def lie(lines):
        return [line.replace('"outcome":1', '"outcome":2') for line in lines]

    b.lines = lie


@forges("P7-view", FREE)
def view_has_another_time(b):
    b.lines = edit_line(lambda line: line.replace('"time":"2', '"time":"3'))


@forges("P7-index", TORN)
def index_skips(b):
    b.records[20].index += 1


@forges("P7-private")
def text_was_changed(b):
    r = next(r for r in b.all("begin") if r.private)
    r.private = r.private[:-2] + "21"


@forges("P7-private")
def text_of_another(b):
    first, second = [r for r in b.all("begin") if r.private][:2]
    first.private = second.private


@forges("P7-private")
def private_is_torn(b):
    r = next(r for r in b.all("begin") if r.private)
    r.private = r.private[:-2]


@forges("P7-index", TORN)
def lines_are_swapped(b):
    def swap(lines):
        lines[20], lines[21] = lines[21], lines[20]
        return lines

    b.lines = swap


@forges("P7-index", TORN)
def line_is_dropped(b):
    def drop(lines):
        del lines[20]
        return lines

    b.lines = drop


@forges("P7-index", TORN)
def line_is_doubled(b):
    def double(lines):
        return lines[:20] + lines[19:]

    b.lines = double


@forges("P7-time")
def time_goes_back(b):
    b.records[20].time_us -= 10 ** 9


@forges("P7-genesis")
def second_genesis(b):
    b.append(b.again(b.records[0]))


@forges("P7-genesis", FREE)
def no_genesis(b):
    b.remove(b.records[0])


@forges("P7-root", TORN)
def leaf_is_changed(b):
    def flip(lines):
        at = b.first("receipt").index
        value = json.loads(lines[at])
        leaf = bytearray(base64.b64decode(value["leaf"]))
        leaf[-1] ^= 1
        value["signatures"] = value["signatures"][:-2] + "%02x" % leaf[-1]
        value["leaf"] = base64.b64encode(leaf).decode()
        lines[at] = json.dumps(value, separators=(",", ":"))
        return lines

    b.lines = flip


@forges("P7-root", TORN)
def checkpoint_has_another_root(b):
    b.note = lambda leaves: type(b).note(b, leaves[:-1] + [leaves[-1] + b"\0"])


@forges("P7-root", TORN)
def ledger_has_forked(b):
    b.kept = b.old_note()
    b.records[20].time_us += 1


@forges("P7-reach", TORN)
def ledger_was_rolled_back(b):
    b.kept = b.note(b.leaves())
    del b.records[-3:]


@forges("P7-reach", TORN)
def ledger_is_cut(b):
    def cut(lines):
        tail = json.loads(lines[-1])
        return lines[:-4] + [json.dumps({**tail, "size": tail["size"] - 3})]

    b.lines = cut


@forges("P7-signature", TORN)
def checkpoint_signature_is_broken(b):
    b.note_edit = lambda note: note.replace(note[-12:-8], "AAAA")


@forges("P7-signature", FREE)
def checkpoint_is_of_another_server(b):
    b.origin = "another.example"


@forges("P7-key", FREE)
def tail_names_another_key(b):
    der = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    b.tail_edit = lambda tail: {**tail, "ledger_public_key": base64.b64encode(der).decode()}


@forges("P7-key", FREE)
def genesis_names_another_key(b):
    b.records[0].ledger_key = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


@forges("P7-checkpoint", TORN)
def last_line_is_missing(b):
    b.lines = lambda lines: lines[:-1]


@forges("P7-checkpoint", FREE)
def last_line_counts_more(b):
    b.tail_edit = lambda tail: {**tail, "size": tail["size"] + 1}


# --- P7: a server that keeps its books badly ---------------------------------------------------------------


@forges("P7-version")
def version_is_skipped(b):
    b.all("admin", table=3)[-1].version += 1


@forges("P7-version")
def old_row_is_written_again(b):
    b.append(b.again(b.all("admin", table=2)[0], operation=b.all("operation")[-1].index))


@forges("P7-operation")
def change_without_an_operation(b):
    b.all("admin", table=2)[-1].operation = b.first("denied").index


@forges("P7-operation")
def change_of_nobody(b):
    b.all("admin", table=2)[-1].operation = 0


def outside_a_demo(b):
    """The operations of a server that is none, each signed by two."""
    b.records[0].demo = 0
    for r in b.all("operation"):
        r.operators = "demo,second"
    return b.all("operation", name="add-client")[-1]


@forges("P7-people")
def nobody_signed(b):
    b.first("operation").operators = ""


@forges("P7-people")
def somebody_signed_twice(b):
    outside_a_demo(b).operators = "demo,demo"


@forges("P7-people")
def one_person_for_what_takes_two(b):
    outside_a_demo(b).operators = "demo"


@forges("P7-people")
def one_person_destroyed_a_key(b):
    outside_a_demo(b)
    one = b.all("operation", name="set-credential-state")[-1]
    one.operators = "demo"
    b.append(b.make("destroyed", credential_row=1, storage=1, blob_sha256=bytes(32), operation=one.index))


@forges("P7-offline")
def operators_were_added_while_it_served(b):
    b.append(b.again(b.all("operation")[-1], name="add-user-offline", operators="", nonce=bytes(16)))


@forges("P7-life")
def stop_of_another_start(b):
    b.all("stop")[-1].boot = bytes(16)


@forges("P7-life")
def served_while_stopped(b):
    b.insert(b.all("stop")[0].index + 1, b.again(b.first("denied")))


@forges("P7-clean")
def crash_is_called_clean(b):
    b.first("start", clean=0).clean = 1


@forges("P7-clean")
def nothing_is_distrusted(b):
    b.remove(b.first("anchored"))


@forges("P7-anchor")
def anchor_is_ahead(b):
    b.first("anchored").anchor_size += 10000


@forges("P7-anchor")
def head_is_miscounted(b):
    b.first("anchored").head_size -= 1
