# SPDX-License-Identifier: Apache-2.0
"""The inside of a front that is taken over: every record between a real front and the authority passes here, is seen, may be held
back, and others may be sent. The forms of records are those of proto/include/kyso/door.h."""

import contextlib
import os
import queue
import select
import shutil
import socket
import struct
import sys
import tempfile
import threading
from types import SimpleNamespace

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../main"), os.path.join(HERE, "../../check")]

import harness  # noqa: E402,F401  (base finds it)
from kysocheck.forms import Form, FormError  # noqa: E402

HEADER = struct.Struct("<IHHQQ")  # length, type, flags, tag, deadline
BEGIN, AUTHORIZE, SIGN, WAIT, CANCEL = range(4, 9)
LIST_PENDING, GET_PENDING, DECIDE = range(20, 23)
OPERATE, CANCEL_CALL, EVENT = 30, 40, 41
REFUSED, R_TX, R_SIGN = 100, 104, 105
SILENT = (CANCEL_CALL, EVENT)  # no reply
MINE = 1 << 63  # in the tags of what the attacker sends

TX = ("spki fix32|request_id bytes|relying_party bytes|credential_id bytes|transaction_id bytes|scheme u8|hash u8|mgf_hash u8|"
      "salt_len u16|hashes bytes|display_text bytes|ttl_s u32|proof u8|authenticator_id bytes|proof_secret bytes|"
      "matching_code bytes|proof_signature bytes|expires_s u64|request_signature bytes")
REF = "spki fix32|relying_party bytes|transaction_id bytes|timeout_ms u32|expires_s u64|request_signature bytes"
FORMS = {kind: Form(kind, text) for kind, text in {
    BEGIN: TX, AUTHORIZE: TX, SIGN: TX, WAIT: REF, CANCEL: REF,
    LIST_PENDING: "spki fix32|authenticator_id bytes|transaction_id bytes",
    GET_PENDING: "spki fix32|authenticator_id bytes|transaction_id bytes",
    DECIDE: "spki fix32|authenticator_id bytes|transaction_id bytes|decision u8|matching_code bytes|signature bytes",
    OPERATE: "uid u32|operation bytes|signatures bytes",
    REFUSED: "code u16|retry_after_ms u32",
    R_TX: "request_id bytes|transaction_id bytes|state u8|tx_digest fix32|nonce fix16|matching_code bytes|not_after_s u64|"
          "sad bytes",
    R_SIGN: "request_id bytes|transaction_id bytes|count u16|sig_len u16|signatures bytes|scheme u8",
}.items()}


def encode(kind, fields):
    return FORMS[kind].write(SimpleNamespace(**fields))


def decode(kind, payload):
    """A dict; None where the form is not known here or does not hold."""
    try:
        return dict(zip(FORMS[kind].names, FORMS[kind].parse(payload, 0))) if kind in FORMS else None
    except (FormError, struct.error):
        return None


class Record:
    def __init__(self, kind, tag, payload, deadline=0, flags=0):
        self.kind, self.tag, self.payload, self.deadline, self.flags = kind, tag, payload, deadline, flags

    def fields(self):
        return decode(self.kind, self.payload)

    def bytes(self):
        return HEADER.pack(HEADER.size + len(self.payload), self.kind, self.flags, self.tag, self.deadline) + self.payload


class Stream:
    """One end: whole records out of what was read."""

    def __init__(self, fd):
        self.socket = socket.socket(fileno=fd)
        self.socket.setblocking(True)
        self.data = bytearray()

    def read(self):
        """The records that came; None at the end."""
        try:
            more = self.socket.recv(1 << 18)
        except ConnectionError:
            more = b""
        if not more:
            return None
        self.data += more
        out = []
        while len(self.data) >= HEADER.size:
            size, kind, flags, tag, deadline = HEADER.unpack_from(self.data)
            if len(self.data) < size:
                break
            out.append(Record(kind, tag, bytes(self.data[HEADER.size:size]), deadline, flags))
            del self.data[:size]
        return out


class Channel:
    """Between one front and the authority. `holds` are the types of requests that wait in `held` until they are let go."""

    def __init__(self, fds):
        self.authority, self.front = map(Stream, fds)
        self.holds, self.held = (), queue.Queue()
        self.seen, self.told = [], []  # requests of others, and what they were answered
        self.answers = {}  # tag -> Record
        self.changed = threading.Condition()
        self.sending = threading.Lock()
        self.tags = MINE
        self.ended = False
        threading.Thread(target=self._pump, daemon=True).start()

    def _pump(self):
        with contextlib.suppress(OSError):
            while self._move(select.select([self.authority.socket, self.front.socket], [], [])[0]):
                pass
        with self.changed:
            self.ended = True
            self.changed.notify_all()
        for stream in (self.authority, self.front):  # shut down first: a sender may be in it
            with contextlib.suppress(OSError):
                stream.socket.shutdown(socket.SHUT_RDWR)
            stream.socket.close()

    def _move(self, ready):
        for stream, take in ((self.authority, self._answer), (self.front, self._request)):
            if stream.socket in ready:
                records = stream.read()
                if records is None:
                    return False
                for record in records:
                    take(record)
        return True

    def _answer(self, record):
        if record.tag & MINE:
            with self.changed:
                self.answers[record.tag] = record
                self.changed.notify_all()
        else:
            self.told.append(record)
            self.front.socket.sendall(record.bytes())

    def _request(self, record):
        self.seen.append(record)
        if record.kind in self.holds:
            self.held.put(record)
        else:
            self.send(record.bytes())

    def send(self, data):
        with self.sending:
            self.authority.socket.sendall(data)

    def ask(self, records, seconds=60):
        """Sends (kind, payload)s at once; the answers in order, None for what has none."""
        mine = []
        for kind, payload in records:
            self.tags += 1
            mine.append(Record(kind, self.tags, payload))
        self.send(b"".join(r.bytes() for r in mine))
        due = [r.tag for r in mine if r.kind not in SILENT]
        with self.changed:
            if not self.changed.wait_for(lambda: self.ended or all(t in self.answers for t in due), seconds) or self.ended:
                raise AssertionError("the authority did not answer" if not self.ended else "the channel ended")
            return [self.answers.pop(r.tag, None) for r in mine]

    def ask_one(self, kind, fields):
        """(kind, fields) of the answer."""
        answer = self.ask([(kind, encode(kind, fields))])[0]
        return answer.kind, answer.fields()


class Taken:
    """Programs in which the fronts of some doors are taken: env for the server, channel(door) after."""

    def __init__(self, bin_dir, doors=("signer",)):
        self.dir = tempfile.mkdtemp(prefix="kyso-taken-")
        self.channels, self.changed = {}, threading.Condition()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(f"{self.dir}/socket")
        self.listener.listen()
        for name in os.listdir(bin_dir):
            os.symlink(os.path.join(bin_dir, name), f"{self.dir}/{name}")
        os.unlink(f"{self.dir}/kyso-front")
        os.symlink(os.path.join(HERE, "taken_front.py"), f"{self.dir}/kyso-front")
        self.env = {"KYSO_PROGRAM_DIR": self.dir, "TAKEN_SOCKET": f"{self.dir}/socket",
                    "TAKEN_FRONT": os.path.join(bin_dir, "kyso-front"), "TAKEN_DOORS": " ".join(doors)}
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                s, _ = self.listener.accept()
                with s:
                    door, fds, _, _ = socket.recv_fds(s, 32, 2)
                with self.changed:
                    self.channels[door.decode()] = Channel(fds)
                    self.changed.notify_all()

    def channel(self, door="signer", after=None):
        """The newest one of a door, of a front that runs; another one than `after`."""
        def there():
            c = self.channels.get(door)
            return c is not None and c is not after and not c.ended
        with self.changed:
            if not self.changed.wait_for(there, 60):
                raise AssertionError(f"no front of the {door} door came")
            return self.channels[door]

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        shutil.rmtree(self.dir)
