# SPDX-License-Identifier: Apache-2.0
"""The table of rules. A rule is a function that reads the world and what comes next, and yields (complaint, where...): where is
a ledger index, or ("history", line). It names the promise or invariant first."""

from collections import namedtuple

Rule = namedtuple("Rule", "name statement on check")
RULES = []


def rule(name, statement, *on):
    """on: "line", "said", "checkpoint", "end", "end-of-history" or a record's type."""

    def keep(check):
        RULES.append(Rule(name, statement, on, check))
        return check

    return keep


def by_event():
    table = {}
    for r in RULES:
        for event in r.on:
            table.setdefault(event, []).append(r)
    return table


def told(line):
    return ("history", line)
