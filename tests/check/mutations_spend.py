# SPDX-License-Identifier: Apache-2.0
"""I1, I3, I4, P5, P21: what a server that errs would write, and sign."""

import os

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from mutations import forges, sad_intents, totp_intent


def other_signature(intent):
    """Over the intent's first hash, of a key that nobody enrolled."""
    key = ec.generate_private_key(ec.SECP256R1())
    der = key.sign(intent.hashes[:32], ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    r, s = utils.decode_dss_signature(der)
    return der, r.to_bytes(32, "big") + s.to_bytes(32, "big")


# --- I1, I4 --------------------------------------------------------------------------------------------------


@forges("I1-form")
def intent_without_a_proof(b):
    totp_intent(b).proof = 0


@forges("I1-form")
def hash_is_listed_twice(b):
    r = totp_intent(b)
    r.hashes = r.hashes[:32] * 2


@forges("I1-receipt")
def receipt_of_no_intent(b):
    b.first("receipt").intent = b.first("operation").index


@forges("I1-receipt")
def receipt_before_its_intent(b):
    intent = totp_intent(b)
    receipt = b.receipt_of(intent)
    b.remove(receipt)
    b.insert(intent.index, receipt)
    receipt.intent = intent.index


@forges("I1-count")
def signature_too_few(b):
    intent = next(r for r in b.all("intent", kind=1) if len(r.hashes) > 32 and b.receipt_of(r).outcome == 1)
    r = b.receipt_of(intent)
    r.signatures = r.signatures[:r.sig_len]


@forges("I1-count")
def failed_with_signatures(b):
    b.receipt_of(totp_intent(b)).outcome = 2


@forges("I1-count")
def outcome_is_unknown(b):
    b.receipt_of(totp_intent(b)).outcome = 4


@forges("I1-signature")
def signed_by_another_key(b):
    intent = sad_intents(b)[0]
    der, raw = other_signature(intent)
    b.receipt_of(intent).signatures = raw
    for said in b.history:
        if said.get("request_id") == intent.request_id and said["outcome"] == "signed":
            said["signatures"] = [der.hex()]


@forges("I1-signature")
def intent_names_another_hash(b):
    intent = totp_intent(b)
    intent.hashes = os.urandom(32) + intent.hashes[32:]


@forges("I1-key")
def credential_changes_its_key(b):
    sad_intents(b)[1].key_spki_sha256 = os.urandom(32)


@forges("I4-one-receipt")
def receipt_stands_twice(b):
    b.append(b.again(b.first("receipt")))


@forges("I4-no-orphan")
def receipt_is_missing(b):
    b.remove(b.receipt_of(totp_intent(b)))


@forges("I4-no-orphan")
def orphan_of_a_crash(b):
    start = b.first("start", clean=0)
    intent = b.again(sad_intents(b)[0], request_id="orphan")
    b.insert(start.index, intent)


# --- I3 -------------------------------------------------------------------------------------------------------


@forges("I3-step")
def step_is_spent_twice(b):
    b.spend_again(totp_intent(b), transaction_id="t" + "1" * 32)


@forges("I3-step")
def step_goes_back(b):
    first = totp_intent(b)
    later = b.again(first, step=first.step - 1)
    b.spend_again(later, transaction_id="t" + "2" * 32)


@forges("I3-step")
def step_of_a_sad_is_spent(b):
    authorized = b.first("authorized", proof=1)
    b.spend_again(totp_intent(b), transaction_id="t" + "3" * 32, step=authorized.step,
                  authenticator_row=authorized.authenticator_row)


@forges("I3-approval")
def approval_is_spent_twice(b):
    b.spend_again(b.first("intent", proof=2))


@forges("I3-approval")
def approval_came_too_late(b):
    intent = b.first("intent", proof=2)
    b.first("begin", transaction_id=intent.transaction_id).not_after_s = intent.time_us // 1000000


@forges("I3-approval")
def other_hashes_than_approved(b):
    intent = b.first("intent", proof=2)
    b.first("begin", transaction_id=intent.transaction_id).hashes = os.urandom(32)


@forges("I3-approval")
def device_signed_nothing(b):
    b.first("authorized", proof=2).evidence_sha256 = bytes(32)


@forges("I3-approval")
def evidence_of_another_transaction(b):
    b.first("intent", proof=2).evidence_sha256 = b.first("authorized", proof=2).evidence_sha256


@forges("I3-sad")
def sad_was_over(b):
    intent = sad_intents(b)[0]
    b.first("authorized", transaction_id=intent.transaction_id).not_after_s = intent.time_us // 1000000


@forges("I3-sad")
def sad_was_never_authorized(b):
    b.remove(b.first("authorized", transaction_id=sad_intents(b)[0].transaction_id))


@forges("I3-hash")
def hash_is_spent_twice(b):
    b.spend_again(sad_intents(b)[0])


@forges("I3-hash")
def hash_was_not_listed(b):
    intent = sad_intents(b)[0]
    begin = b.first("begin", transaction_id=intent.transaction_id)
    begin.hashes = begin.hashes.replace(intent.hashes[:32], os.urandom(32))


@forges("I3-ends")
def transaction_ends_too_early(b):
    sad_intents(b)[0].ends_transaction ^= 1


@forges("I3-ends")
def code_leaves_its_transaction_open(b):
    totp_intent(b).ends_transaction = 0


@forges("I3-same")
def sad_of_another_party(b):
    sad_intents(b)[0].relying_party = "ministry-a"


@forges("I3-same")
def sad_of_another_credential(b):
    sad_intents(b)[0].credential_row += 1


@forges("I3-transaction")
def transaction_begins_twice(b):
    begin = b.all("begin")[-1]
    b.insert(begin.index + 1, b.again(begin, request_id=""))


@forges("I3-transaction")
def code_signs_a_begun_transaction(b):
    totp_intent(b).transaction_id = b.first("begin").transaction_id


@forges("I3-authorized")
def authorized_twice(b):
    r = b.first("authorized")
    b.insert(r.index + 1, b.again(r, request_id=""))


@forges("I3-authorized")
def ended_transaction_is_authorized(b):
    r = b.first("authorized")
    b.insert(r.index, b.make("ended", transaction_id=r.transaction_id, state=6, reason=13, not_me=0, authenticator_row=0))


@forges("I3-authorized")
def sad_of_two_transactions(b):
    first, second = b.all("authorized")[:2]
    second.sad_sha256 = first.sad_sha256


@forges("I3-request")
def request_id_is_used_twice(b):
    first, second = sad_intents(b)
    second.request_id = first.request_id


@forges("I3-request")
def begin_takes_a_used_request_id(b):
    first = totp_intent(b)
    b.all("begin", client_row=first.client_row)[-1].request_id = first.request_id


# --- P5 ----------------------------------------------------------------------------------------------------------


def crash(b, at, until_step=0):
    """Puts a crash and a start in front of a record."""
    b.insert(at, b.make("anchored", anchor_size=1, head_size=0, refuse_until_step_time_s=until_step * 30),
             b.make("start", version="0", config_sha256=bytes(32), boot=b.all("start")[0].boot, clean=0, clock_sync=0))
    b.records[at].head_size = at


@forges("P5-floor")
def code_of_before_the_crash(b):
    intent = totp_intent(b)
    crash(b, intent.index, intent.step)


@forges("P5-floor")
def sad_by_a_code_of_before_the_crash(b):
    r = b.first("authorized", proof=1)
    crash(b, r.index, r.step)


@forges("P5-void")
def sad_outlives_a_crash(b):
    crash(b, sad_intents(b)[0].index)


@forges("P5-void")
def approval_outlives_a_crash(b):
    crash(b, b.first("intent", proof=2).index)


@forges("P5-nonce")
def operation_runs_twice(b):
    r = b.all("operation")[-1]
    b.insert(r.index + 1, b.again(r))


# --- P21 -----------------------------------------------------------------------------------------------------------


def operate(b, at, name, table, row, target=""):
    """An operator changes a row in front of a record."""
    version = max([r.version for r in b.all("admin", table=table, row=row) if r.index < at], default=0)
    operation = b.again(b.first("operation"), name=name, nonce=os.urandom(16), target=target)
    change = b.again(b.first("admin"), table=table, row=row, version=version + 1, operation=0)
    b.insert(at, operation, change)
    change.operation = at


@forges("P21-credential")
def signed_after_a_suspension(b):
    intent = totp_intent(b)
    operate(b, b.receipt_of(intent).index, "set-credential-state", 2, intent.credential_row)


@forges("P21-credential")
def intended_after_a_suspension(b):
    intent = sad_intents(b)[1]
    operate(b, intent.index, "set-credential-state", 2, intent.credential_row)


@forges("P21-authenticator")
def signed_by_a_removed_authenticator(b):
    intent = totp_intent(b)
    operate(b, b.receipt_of(intent).index, "remove-authenticator", 3, intent.authenticator_row)


@forges("P21-authenticator")
def sad_of_a_removed_authenticator(b):
    intent = sad_intents(b)[0]
    row = b.first("authorized", transaction_id=intent.transaction_id).authenticator_row
    operate(b, intent.index, "remove-authenticator", 3, row)


@forges("P21-person")
def signed_after_not_me(b):
    intent = totp_intent(b)
    begin = b.again(b.first("begin"), transaction_id="t" + "4" * 32, request_id="", subject_row=intent.subject_row)
    b.insert(intent.index, begin, b.make("ended", transaction_id="t" + "4" * 32, state=4, reason=13, not_me=1,
                                         authenticator_row=1))


@forges("P21-client")
def suspended_client_signs(b):
    intent = totp_intent(b)
    b.insert(intent.index, b.make("client-state", client_row=intent.client_row, suspended=1, reason=28))
