# SPDX-License-Identifier: Apache-2.0
"""The table of forgeries, and what they pick from a good Book. A forgery is a function that spoils the Book so that one rule must
fire. SEALED: tree and checkpoint are true, so that a verifier of those alone cannot tell; TORN: it must; FREE: not said."""

from collections import namedtuple

Mutation = namedtuple("Mutation", "rule sealed spoil")
MUTATIONS = []
SEALED, TORN, FREE = True, False, None


def forges(rule, sealed=SEALED):
    def keep(spoil):
        MUTATIONS.append(Mutation(rule, sealed, spoil))
        return spoil

    return keep


def totp_intent(b):
    return b.first("intent", kind=1, proof=1)


def sad_intents(b):
    """Two by one SAD."""
    by_tx = {}
    for r in b.all("intent", proof=3):
        by_tx.setdefault(r.transaction_id, []).append(r)
    return next(found for found in by_tx.values() if len(found) > 1)[:2]
