/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schemas of what a front asks the authority. Constant: any thread.
 * A maximum here is the last bound on hostile input: a longer field never decodes.
 */
#include "kyso/door.h"

#include "limits_msg.h"

static const struct ky_field info_fields[] = {
    KY_FFIX(struct door_info, spki),
};
const struct ky_schema door_info_schema =
    KY_SCHEMA("info", DOOR_INFO, struct door_info, info_fields);

static const struct ky_field cred_list_fields[] = {
    KY_FFIX(struct door_cred_list, spki),
    KY_FTEXT(struct door_cred_list, relying_party, KY_NAME_MAX),
    KY_FTEXT(struct door_cred_list, subject_id, KY_NAME_MAX),
    KY_FTEXT(struct door_cred_list, page_token, MAX_PAGE_TOKEN),
    KY_FU32(struct door_cred_list, page_size),
};
const struct ky_schema door_cred_list_schema =
    KY_SCHEMA("cred-list", DOOR_CRED_LIST, struct door_cred_list, cred_list_fields);

static const struct ky_field cred_get_fields[] = {
    KY_FFIX(struct door_cred_get, spki),
    KY_FTEXT(struct door_cred_get, relying_party, KY_NAME_MAX),
    KY_FTEXT(struct door_cred_get, credential_id, KY_NAME_MAX),
};
const struct ky_schema door_cred_get_schema =
    KY_SCHEMA("cred-get", DOOR_CRED_GET, struct door_cred_get, cred_get_fields);

static const struct ky_field tx_fields[] = {
    KY_FFIX(struct door_tx, spki),
    KY_FTEXT(struct door_tx, request_id, KY_NAME_MAX),
    KY_FTEXT(struct door_tx, relying_party, KY_NAME_MAX),
    KY_FTEXT(struct door_tx, credential_id, KY_NAME_MAX),
    KY_FTEXT(struct door_tx, transaction_id, KY_NAME_MAX),
    KY_FU8(struct door_tx, scheme),
    KY_FU8(struct door_tx, hash),
    KY_FU8(struct door_tx, mgf_hash),
    KY_FU16(struct door_tx, salt_len),
    KY_FBYTES(struct door_tx, hashes, MAX_HASH_BYTES),
    KY_FTEXT(struct door_tx, display_text, KY_DISPLAY_TEXT_MAX),
    KY_FU32(struct door_tx, ttl_s),
    KY_FU8(struct door_tx, proof),
    KY_FTEXT(struct door_tx, authenticator_id, KY_NAME_MAX),
    KY_FBYTES(struct door_tx, proof_secret, MAX_PROOF_SECRET),
    KY_FTEXT(struct door_tx, matching_code, MAX_MATCHING_CODE),
    KY_FBYTES(struct door_tx, proof_signature, MAX_DEVICE_SIGNATURE),
    KY_FU64(struct door_tx, expires_s),
    KY_FBYTES(struct door_tx, request_signature, MAX_DEVICE_SIGNATURE),
};
const struct ky_schema door_tx_begin_schema =
    KY_SCHEMA("tx-begin", DOOR_TX_BEGIN, struct door_tx, tx_fields);
const struct ky_schema door_tx_authorize_schema =
    KY_SCHEMA("tx-authorize", DOOR_TX_AUTHORIZE, struct door_tx, tx_fields);
const struct ky_schema door_sign_schema = KY_SCHEMA("sign", DOOR_SIGN, struct door_tx, tx_fields);

static const struct ky_field tx_ref_fields[] = {
    KY_FFIX(struct door_tx_ref, spki),
    KY_FTEXT(struct door_tx_ref, relying_party, KY_NAME_MAX),
    KY_FTEXT(struct door_tx_ref, transaction_id, KY_NAME_MAX),
    KY_FU32(struct door_tx_ref, timeout_ms),
    KY_FU64(struct door_tx_ref, expires_s),
    KY_FBYTES(struct door_tx_ref, request_signature, MAX_DEVICE_SIGNATURE),
};
const struct ky_schema door_tx_wait_schema =
    KY_SCHEMA("tx-wait", DOOR_TX_WAIT, struct door_tx_ref, tx_ref_fields);
const struct ky_schema door_tx_cancel_schema =
    KY_SCHEMA("tx-cancel", DOOR_TX_CANCEL, struct door_tx_ref, tx_ref_fields);

static const struct ky_field approval_ref_fields[] = {
    KY_FFIX(struct door_approval_ref, spki),
    KY_FTEXT(struct door_approval_ref, authenticator_id, KY_NAME_MAX),
    KY_FTEXT(struct door_approval_ref, transaction_id, KY_NAME_MAX),
};
const struct ky_schema door_approval_list_schema =
    KY_SCHEMA("approval-list", DOOR_APPROVAL_LIST, struct door_approval_ref, approval_ref_fields);
const struct ky_schema door_approval_get_schema =
    KY_SCHEMA("approval-get", DOOR_APPROVAL_GET, struct door_approval_ref, approval_ref_fields);

static const struct ky_field decide_fields[] = {
    KY_FFIX(struct door_decide, spki),
    KY_FTEXT(struct door_decide, authenticator_id, KY_NAME_MAX),
    KY_FTEXT(struct door_decide, transaction_id, KY_NAME_MAX),
    KY_FU8(struct door_decide, decision),
    KY_FTEXT(struct door_decide, matching_code, MAX_MATCHING_CODE),
    KY_FBYTES(struct door_decide, signature, MAX_DEVICE_SIGNATURE),
};
const struct ky_schema door_approval_decide_schema =
    KY_SCHEMA("approval-decide", DOOR_APPROVAL_DECIDE, struct door_decide, decide_fields);

const struct ky_schema door_passkey_get_schema =
    KY_SCHEMA("passkey-get", DOOR_PASSKEY_GET, struct door_approval_ref, approval_ref_fields);

static const struct ky_field passkey_fields[] = {
    KY_FFIX(struct door_passkey, spki),
    KY_FTEXT(struct door_passkey, authenticator_id, KY_NAME_MAX),
    KY_FTEXT(struct door_passkey, code, MAX_MATCHING_CODE),
    KY_FBYTES(struct door_passkey, public_key, KY_SPKI_MAX),
};
const struct ky_schema door_passkey_enroll_schema =
    KY_SCHEMA("passkey-enroll", DOOR_PASSKEY_ENROLL, struct door_passkey, passkey_fields);

static const struct ky_field operate_fields[] = {
    KY_FU32(struct door_operate, uid),
    KY_FBYTES(struct door_operate, operation, KY_OPERATION_MAX),
    KY_FBYTES(struct door_operate, signatures, MAX_OPERATOR_SIGNATURES),
};
const struct ky_schema door_operate_schema =
    KY_SCHEMA("operate", DOOR_OPERATE, struct door_operate, operate_fields);

static const struct ky_field kek_fields[] = {
    KY_FU8(struct door_kek, step),
    KY_FU32(struct door_kek, generation),
    KY_FFIX(struct door_kek, proof),
    KY_FFIX(struct door_kek, backup_sha256),
    KY_FFIX(struct door_kek, transcript_sha256),
    KY_FTEXT(struct door_kek, custodians, KY_NAME_MAX),
    KY_FBYTES(struct door_kek, items, MAX_JOB_LIST),
};
const struct ky_schema door_kek_schema =
    KY_SCHEMA("kek", DOOR_KEK, struct door_kek, kek_fields);

static const struct ky_field cancel_fields[] = {
    KY_FU8(struct door_cancel, unused),
};
const struct ky_schema door_cancel_schema =
    KY_SCHEMA("cancel", DOOR_CANCEL, struct door_cancel, cancel_fields);

static const struct ky_field event_fields[] = {
    KY_FU16(struct door_event, kind),
    KY_FU32(struct door_event, count),
    KY_FTEXT(struct door_event, peer, MAX_PEER),
    KY_FFIX(struct door_event, spki),
};
const struct ky_schema door_event_schema =
    KY_SCHEMA("event", DOOR_EVENT, struct door_event, event_fields);
