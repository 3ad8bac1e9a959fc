# SPDX-License-Identifier: Apache-2.0
"""P1, P2, P21: what a client would remember when the server had erred."""

import json
import os

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mutations import forges, sad_intents, totp_intent


@forges("P21-answer")
def granted_after_a_revocation(b):
    said = b.said("sign", "signed")[-1]
    b.history.append({"call": "operate", "operation": "set-credential-state", "target": said["credential_id"],
                      "state": "suspended", "outcome": "done", "t_sent": said["t_sent"] - 2, "t_done": said["t_sent"] - 1})


@forges("P21-answer")
def granted_to_a_suspended_client(b):
    said = b.said("sign", "signed")[-1]
    b.history.append({"call": "operate", "operation": "set-client-state", "target": said["client"], "state": "suspended",
                      "outcome": "done", "t_sent": said["t_sent"] - 2, "t_done": said["t_sent"] - 1})


@forges("P21-answer")
def granted_by_a_removed_device(b):
    said = b.said("sign", "signed", kind="approval")[-1]
    b.history.append({"call": "operate", "operation": "remove-authenticator", "target": said["proof"]["authenticator_id"],
                      "state": "", "outcome": "done", "t_sent": said["t_sent"] - 2, "t_done": said["t_sent"] - 1})


@forges("P21-recorded")
def revocation_is_not_recorded(b):
    b.history.append({"call": "operate", "operation": "set-credential-state", "target": "c-nowhere", "state": "suspended",
                      "outcome": "done", "t_sent": 1.0, "t_done": 2.0})


# --- P1, P2: what clients say -----------------------------------------------------------------------------------------


@forges("P1-same-answer")
def repeat_is_signed_anew(b):
    said = json.loads(json.dumps(b.said("sign", "signed", kind="sad")[0]))
    said["signatures"] = [b.said("sign", "signed", kind="sad")[1]["signatures"][0]]
    b.history.append(said)


@forges("P1-one-spend")
def one_code_two_requests(b):
    b.history.append({**b.said("sign", "signed", kind="totp")[0], "request_id": "other"})


@forges("P1-one-spend")
def one_hash_of_a_sad_two_requests(b):
    b.history.append({**b.said("sign", "signed", kind="sad")[0], "request_id": "other"})


@forges("P1-one-spend")
def one_approval_two_requests(b):
    b.history.append({**b.said("sign", "signed", kind="approval")[0], "request_id": "other"})


@forges("P1-asked")
def nobody_asked(b):
    intent = totp_intent(b)
    b.history = [h for h in b.history if h.get("request_id") != intent.request_id]


@forges("P1-proof")
def spends_another_step(b):
    b.said_of(totp_intent(b))["proof"]["step"] += 1


@forges("P1-proof")
def spends_another_sad(b):
    b.said_of(sad_intents(b)[0])["proof"]["sad_sha256"] = os.urandom(32).hex()


@forges("P1-proof")
def spends_another_approval(b):
    b.said_of(b.first("intent", proof=2))["proof"]["transaction_id"] = "t0"


@forges("P1-approved")
def citizen_picked_another_code(b):
    b.said_of(b.first("intent", proof=2))["proof"]["matching_code"] = "000"


@forges("P1-approved")
def device_approved_another_transaction(b):
    transaction_id = b.first("authorized", proof=2).transaction_id
    next(h for h in b.history if h["call"] == "approve" and h["transaction_id"] == transaction_id)["transaction_id"] = "t0"


@forges("P1-approved")
def no_device_approved(b):
    transaction_id = b.first("authorized", proof=2).transaction_id
    b.history = [h for h in b.history if h["call"] != "approve" or h["transaction_id"] != transaction_id]


@forges("P1-approved")
def approved_digest_is_another(b):
    intent = b.first("intent", proof=2)
    intent.tx_digest = b.first("begin", transaction_id=intent.transaction_id).tx_digest = os.urandom(32)


@forges("P2-content")
def asked_for_other_hashes(b):
    b.said_of(sad_intents(b)[0])["hashes"] = [os.urandom(32).hex()]


@forges("P2-content")
def asked_for_another_algorithm(b):
    b.said_of(totp_intent(b))["algorithm"]["hash"] = 2


@forges("P2-digest")
def citizen_read_another_text(b):
    b.said_of(totp_intent(b))["display_text"] = "Another"


@forges("P2-digest")
def begun_for_another_person(b):
    b.said("begin", "begun")[0]["subject_id"] = "another"


@forges("P2-key")
def key_of_another_credential(b):
    b.said_of(totp_intent(b))["public_key"] = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo).hex()


@forges("P2-released")
def released_without_a_record(b):
    intent = totp_intent(b)
    b.remove(b.receipt_of(intent))
    b.remove(intent)


@forges("P2-released")
def released_without_a_receipt(b):
    b.remove(b.receipt_of(sad_intents(b)[0]))


@forges("P2-released")
def another_signature_was_released(b):
    first, second = b.said("sign", "signed", kind="sad")[:2]
    first["signatures"] = second["signatures"]


@forges("P2-released")
def signature_is_not_canonical(b):
    said = b.said_of(totp_intent(b))
    said["signatures"][0] += "00"


@forges("P2-released")
def answer_has_one_signature_less(b):
    said = next(h for h in b.said("sign", "signed") if len(h["hashes"]) > 1)
    said["signatures"].pop()


@forges("P2-unsigned")
def abandoned_but_released(b):
    r = b.receipt_of(totp_intent(b))
    r.outcome, r.code, r.sig_len, r.signatures = 3, 6, 0, b""


@forges("P2-dated")
def intended_before_it_was_asked(b):
    b.said_of(totp_intent(b)).update(t_sent=9e9, t_done=9e9)


@forges("P2-dated")
def receipt_after_the_answer(b):
    b.said_of(totp_intent(b)).update(t_sent=1.0, t_done=2.0)


@forges("P2-authorized")
def sad_without_a_record(b):
    said = b.said("authorize", "authorized")[0]
    said["sad_sha256"] = os.urandom(32).hex()
