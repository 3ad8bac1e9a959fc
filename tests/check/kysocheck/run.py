# SPDX-License-Identifier: Apache-2.0
"""One check: the history, then the ledger record by record, then what must hold at the end. Every rule sees everything; the
first complaint stops nothing."""

from .history import History
from .ledger import read_lines, read_tail
from .rule import by_event
from .signatures import Keys
from .tree import Checkpoint, Key, NoteError, Tree, decode64
from .world import World
from . import rules_history, rules_ledger, rules_spend  # noqa: F401  (they register their rules)


class Options:
    def __init__(self, **given):
        self.slack_s = 1.0
        self.replay_requests = 4000000
        self.complete = False
        self.keys = Keys()
        self.credential_keys = {}
        self.pinned = None  # a Key
        self.__dict__.update(given)


class Mark:
    """A checkpoint, with what the ledger came to at its size (None: the ledger ends before)."""

    def __init__(self, note):
        self.note, self.root, self.key = note, None, None


class End:
    """What only the end can tell."""

    type = "end"

    def __init__(self):
        self.problems = []
        self.marks = 0
        self.tail_size = None
        self.tail_key = b""
        self.pinned_key = b""


class Check:
    def __init__(self, options):
        self.options = options
        self.rules = by_event()
        self.violations = []  # (rule's name, text, where)
        self.fired = {}
        self.history = History()
        self.world = World(self.history, options)
        self.tree = Tree()
        self.marks = {}
        self.end = End()

    def judge(self, event, what):
        for rule in self.rules.get(event, ()):
            for text, *where in rule.check(self.world, what):
                self.fired[rule.name] = self.fired.get(rule.name, 0) + 1
                self.violations.append((rule.name, text, where))

    def read_history(self, path):
        self.history.read_acts(path, self.options)
        for said in self.history.read(path):
            self.judge("said", said)

    def add_checkpoint(self, text, where):
        try:
            mark = Mark(Checkpoint(text, where))
            self.marks.setdefault(mark.note.size, []).append(mark)
            self.end.marks += 1
        except NoteError as error:
            self.end.problems.append(f"{where}: {error}")

    def read_ledger(self, path):
        tail = read_tail(path)
        if tail is None:
            self.end.problems.append("the export has no last line with a checkpoint")
        else:
            self.take_tail(tail)
        self.take_roots()
        for line in read_lines(path):
            self.take_line(line)
        self.finish()

    def take_tail(self, tail):
        if tail["checkpoint"]:
            self.add_checkpoint(tail["checkpoint"], "the last line")
        self.end.tail_size = tail.get("size")
        try:
            self.end.tail_key = decode64(tail.get("ledger_public_key") or "", "the last line's key")
        except NoteError as error:
            self.end.problems.append(str(error))

    def take_roots(self):
        for mark in self.marks.get(self.tree.size, ()):
            mark.root = self.tree.root()

    def take_line(self, line):
        self.judge("line", line)
        kind = 0
        if line.leaf is not None:
            self.tree.append(line.leaf)
            self.take_roots()
        r = line.record
        if r is not None:
            kind = min(int.from_bytes(line.leaf[16:18], "little"), 255)
            self.judge(r.type, r)
        self.world.kinds.append(kind)
        if r is None:
            self.world.size += 1
        else:
            self.world.apply(r)

    def finish(self):
        key = self.options.pinned
        self.end.pinned_key = key.spki() if key else b""
        if key is None and self.world.ledger_key:
            try:
                key = Key.from_der(self.world.ledger_key)
            except NoteError as error:
                self.end.problems.append(f"the genesis record's key: {error}")
        for marks in self.marks.values():
            for mark in marks:
                mark.key = key
                self.judge("checkpoint", mark)
        self.judge("end", self.end)

    def covered(self):
        """How many records the newest good checkpoint covers."""
        return max((size for size, marks in self.marks.items() if any(m.root == m.note.root for m in marks)), default=0)
