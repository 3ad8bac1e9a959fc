# SPDX-License-Identifier: Apache-2.0
"""Reads an export line by line. What cannot be read is handed on with the reason, so that rules, not the reader, judge it."""

import json
import os

from .forms import FormError, parse_leaf
from .tree import NoteError, decode64

TAIL_MAX = 64 * 1024


class Line:
    """One line: `json`, `leaf` and `record` as far as it could be read, `problem` where it could not."""

    __slots__ = ("number", "expected_index", "json", "leaf", "record", "problem")

    def __init__(self, number, expected_index, json_object):
        self.number, self.expected_index, self.json = number, expected_index, json_object
        self.leaf = self.record = self.problem = None
        try:
            if not isinstance(json_object, dict):
                raise NoteError("not a JSON object")
            self.leaf = decode64(json_object.get("leaf"), "the leaf")
            self.record = parse_leaf(self.leaf)
        except (NoteError, FormError) as error:
            self.problem = str(error)


def unique(pairs):
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a name twice")
    return out


DECODER = json.JSONDecoder(object_pairs_hook=unique)


def parse(text):
    try:
        return DECODER.decode(text)
    except ValueError:
        return None


def read_tail(path):
    """The export's last line, when it is one with a checkpoint."""
    with open(path, "rb") as f:
        f.seek(max(0, os.path.getsize(path) - TAIL_MAX))
        lines = f.read().decode(errors="replace").rstrip("\n").split("\n")
    last = parse(lines[-1])
    return last if isinstance(last, dict) and "checkpoint" in last else None


def read_lines(path):
    """Yields a Line for each record."""
    index = 0
    with open(path, encoding="utf-8", errors="replace") as f:
        for number, text in enumerate(f, 1):
            value = parse(text)
            if isinstance(value, dict) and "checkpoint" in value:
                continue
            yield Line(number, index, value)
            index += 1
