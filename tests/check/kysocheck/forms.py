# SPDX-License-Identifier: Apache-2.0
"""The ledger's bytes, from the tables of proto/LEDGER.md: a leaf is parsed to a Record, byte for byte, and written again from
one (tests forge with that). Nothing here reads the JSON view; `view` makes ours, for comparison."""

import struct
import time

# type: (number, fields); a field is "name kind": u8 u16 u32 u64 code, fixN, bytes, text.
TX = ("transaction_id text|request_id text|client_row u32|relying_party text|subject_row u32|credential_row u32|"
      "credential_epoch u32|key_spki_sha256 fix32|scheme u8|hash u8|mgf_hash u8|salt_len u16|hashes bytes|"
      "display_sha256 fix32|content_sha256 fix32|tx_digest fix32|nonce fix16|not_after_s u64")
RECORDS = {
    "genesis": (1, "server_id text|demo u8|ledger_key bytes|config_sha256 fix32"),
    "start": (2, "version text|config_sha256 fix32|boot fix16|clean u8|clock_sync u8"),
    "stop": (3, "boot fix16|reason text"),
    "admin": (4, "table u8|row u32|version u32|row_sha256 fix32|operation u64"),
    "operation": (5, "name text|digest fix32|nonce fix16|expires_s u64|operators text|target text|uid u32"),
    "begin": (6, TX + "|matching_code bytes"),
    "authorized": (7, "transaction_id text|request_id text|proof u8|authenticator_row u32|step u64|sad_sha256 fix32|"
                      "not_after_s u64|evidence_sha256 fix32"),
    "ended": (8, "transaction_id text|state u8|reason code|not_me u8|authenticator_row u32"),
    "intent": (9, "kind u8|proof u8|" + TX + "|authenticator_row u32|step u64|evidence_sha256 fix32|ends_transaction u8"),
    "receipt": (10, "intent u64|outcome u8|code code|cause u32|sig_len u16|signatures bytes"),
    "denied": (11, "reason code|request_type u16|charged u8|client_row u32|subject_row u32|credential_row u32|"
                   "authenticator_row u32|transaction_id text|request_id text|spki fix32"),
    "unlocked": (12, "subject_row u32|operation u64"),
    "client-state": (13, "client_row u32|suspended u8|reason code"),
    "event": (14, "door u8|kind u16|count u32|spki fix32"),
    "anchored": (15, "anchor_size u64|head_size u64|refuse_until_step_time_s u64"),
    "ceremony": (16, "transcript_sha256 fix32"),
    "destroyed": (17, "credential_row u32|storage u8|blob_sha256 fix32|operation u64"),
    "crl": (18, "sha256 fix32|issuer_sha256 fix32|this_update_s u64|next_update_s u64"),
    "passkey": (19, "client_row u32|authenticator_row u32|key_sha256 fix32"),
    "kek": (20, "event u8|generation u32|backup_sha256 fix32|transcript_sha256 fix32|custodians text|credentials u32|"
                "pool_keys u32|blobs_sha256 fix32"),
    "activated": (21, "start_sha256 fix32|custodians text"),
    "clock": (22, "state u8|error_us u32"),
}
CODES = ("ok invalid unauthenticated denied not-found conflict proof-needed tx-pending tx-ended inactive busy unavailable "
         "deadline cancelled unimplemented internal proof-wrong proof-replayed proof-malformed proof-floored proof-locked "
         "proof-other-tx proof-wrong-code proof-unconfirmed hash-not-in-sad hash-spent hash-forbidden no-right "
         "client-suspended wrong-door operator-refused no-memory io store corrupt sealed token-request token-session "
         "token-login token-module token-wrong-signature unsupported request-unsigned request-forged "
         "request-stale crl-stale passkey-origin passkey-user passkey-synced clock-unsynced").split()
LEAF_MAX = 144 * 1024
HEADER = struct.Struct("<QQH")
INTEGERS = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "code": "H"}


class FormError(ValueError):
    pass


class Record:
    """A record's fields as attributes, with index, time_us and type ("intent", ...; "unknown-N" has no fields)."""

    def __repr__(self):
        return f"record {self.index} ({self.type})"


class Form:
    """One type's fields, gathered into runs of fixed width between those that carry their length."""

    def __init__(self, number, text):
        self.number = number
        self.fields = [tuple(f.split(" ")) for f in text.split("|")]
        self.names = [name for name, _ in self.fields]
        self.runs = []  # a Struct, or "bytes" or "text"
        fixed = ""
        for _, kind in self.fields:
            if kind in ("bytes", "text"):
                self.runs += ([struct.Struct("<" + fixed)] if fixed else []) + [kind]
                fixed = ""
            else:
                fixed += INTEGERS.get(kind) or f"{int(kind[3:])}s"
        self.runs += [struct.Struct("<" + fixed)] if fixed else []

    def parse(self, leaf, at):
        values = []
        for run in self.runs:
            if isinstance(run, struct.Struct):
                values += run.unpack_from(leaf, at)
                at += run.size
                continue
            size = int.from_bytes(leaf[at:at + 4], "little")
            value = leaf[at + 4:at + 4 + size]
            if len(value) != size or at + 4 > len(leaf):
                raise FormError("a field runs over the leaf's end")
            values.append(text_of(value) if run == "text" else value)
            at += 4 + size
        if at != len(leaf):
            raise FormError(f"{len(leaf) - at} bytes too many")
        return values

    def write(self, record):
        out = b""
        for name, kind in self.fields:
            value = getattr(record, name)
            if kind in INTEGERS:
                out += struct.pack("<" + INTEGERS[kind], value)
            elif kind.startswith("fix"):
                assert len(value) == int(kind[3:])
                out += value
            else:
                value = value.encode() if kind == "text" else value
                out += struct.pack("<I", len(value)) + value
        return out


FORMS = {name: Form(number, text) for name, (number, text) in RECORDS.items()}
NAMES = {form.number: name for name, form in FORMS.items()}
DIRECTION = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def text_of(data):
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise FormError("a text that is not UTF-8") from error
    if not text.isascii() or not text.isprintable():
        if any(c in DIRECTION or ord(c) < 32 or 127 <= ord(c) < 160 for c in text):
            raise FormError("a text with control or direction characters")
    return text


def parse_leaf(leaf):
    """Raises FormError."""
    if not HEADER.size <= len(leaf) <= LEAF_MAX:
        raise FormError(f"a leaf of {len(leaf)} bytes")
    record = Record()
    record.index, record.time_us, number = HEADER.unpack_from(leaf)
    record.type = NAMES.get(number) or f"unknown-{number}"
    if number in NAMES:
        form = FORMS[record.type]
        try:
            record.__dict__.update(zip(form.names, form.parse(leaf, HEADER.size)))
        except struct.error as error:
            raise FormError("the leaf is too short") from error
    return record


def write_leaf(record):
    form = FORMS[record.type]
    return HEADER.pack(record.index, record.time_us, form.number) + form.write(record)


def time_text(time_us):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time_us // 1000000)) + ".%06dZ" % (time_us % 1000000)


def view(record):
    """The JSON that the export should show of this record, `leaf` and `private` left out."""
    out = {"index": record.index, "time": time_text(record.time_us), "type": record.type}
    if record.type in FORMS:
        for name, kind in FORMS[record.type].fields:
            value = getattr(record, name)
            if kind == "code":
                value = CODES[value] if value < len(CODES) else "internal"
            out[name] = value.hex() if isinstance(value, bytes) else value
    return out
