/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schemas of what the authority answers a front. Constant: any thread.
 */
#include "kyso/door.h"

#include "limits_msg.h"

static const struct ky_field refused_fields[] = {
    KY_FU16(struct door_refused, code),
    KY_FU32(struct door_refused, retry_after_ms),
};
const struct ky_schema door_refused_schema =
    KY_SCHEMA("refused", DOOR_REFUSED, struct door_refused, refused_fields);

static const struct ky_field info_fields[] = {
    KY_FTEXT(struct door_r_info, server_id, KY_NAME_MAX),
    KY_FTEXT(struct door_r_info, version, MAX_VERSION),
    KY_FTEXT(struct door_r_info, client, KY_NAME_MAX),
    KY_FBYTES(struct door_r_info, algorithms, 2 * KY_SCHEME_COUNT * KY_HASH_COUNT),
    KY_FU32(struct door_r_info, max_hashes),
    KY_FU8(struct door_r_info, signed_requests),
};
const struct ky_schema door_r_info_schema =
    KY_SCHEMA("r-info", DOOR_R_INFO, struct door_r_info, info_fields);

static const struct ky_field cred_fields[] = {
    KY_FTEXT(struct door_r_cred, credential_id, KY_NAME_MAX),
    KY_FTEXT(struct door_r_cred, subject_id, KY_NAME_MAX),
    KY_FU8(struct door_r_cred, key_type),
    KY_FU8(struct door_r_cred, state),
    KY_FU8(struct door_r_cred, storage),
    KY_FU32(struct door_r_cred, epoch),
    KY_FU32(struct door_r_cred, max_hashes),
    KY_FBYTES(struct door_r_cred, certificate, KY_CERTIFICATE_MAX),
    KY_FBYTES(struct door_r_cred, chain, KY_CHAIN_MAX),
    KY_FBYTES(struct door_r_cred, public_key, KY_SPKI_MAX),
};
const struct ky_schema door_r_cred_schema =
    KY_SCHEMA("r-cred", DOOR_R_CRED, struct door_r_cred, cred_fields);

static const struct ky_field list_fields[] = {
    KY_FBYTES(struct door_r_list, items, KY_RESULT_MAX),
    KY_FTEXT(struct door_r_list, next_page_token, MAX_PAGE_TOKEN),
};
const struct ky_schema door_r_cred_list_schema =
    KY_SCHEMA("r-cred-list", DOOR_R_CRED_LIST, struct door_r_list, list_fields);
const struct ky_schema door_r_approval_list_schema =
    KY_SCHEMA("r-approval-list", DOOR_R_APPROVAL_LIST, struct door_r_list, list_fields);

static const struct ky_field tx_fields[] = {
    KY_FTEXT(struct door_r_tx, request_id, KY_NAME_MAX),
    KY_FTEXT(struct door_r_tx, transaction_id, KY_NAME_MAX),
    KY_FU8(struct door_r_tx, state),
    KY_FFIX(struct door_r_tx, tx_digest),
    KY_FFIX(struct door_r_tx, nonce),
    KY_FTEXT(struct door_r_tx, matching_code, MAX_MATCHING_CODE),
    KY_FU64(struct door_r_tx, not_after_s),
    KY_FBYTES(struct door_r_tx, sad, KY_SAD_LEN),
};
const struct ky_schema door_r_tx_schema = KY_SCHEMA("r-tx", DOOR_R_TX, struct door_r_tx, tx_fields);

static const struct ky_field sign_fields[] = {
    KY_FTEXT(struct door_r_sign, request_id, KY_NAME_MAX),
    KY_FTEXT(struct door_r_sign, transaction_id, KY_NAME_MAX),
    KY_FU16(struct door_r_sign, count),
    KY_FU16(struct door_r_sign, sig_len),
    KY_FBYTES(struct door_r_sign, signatures, MAX_SIGNATURE_BYTES),
    KY_FU8(struct door_r_sign, scheme),
};
const struct ky_schema door_r_sign_schema =
    KY_SCHEMA("r-sign", DOOR_R_SIGN, struct door_r_sign, sign_fields);

static const struct ky_field approval_fields[] = {
    KY_FTEXT(struct door_r_approval, transaction_id, KY_NAME_MAX),
    KY_FTEXT(struct door_r_approval, server_id, KY_NAME_MAX),
    KY_FTEXT(struct door_r_approval, client, KY_NAME_MAX),
    KY_FTEXT(struct door_r_approval, relying_party, KY_NAME_MAX),
    KY_FTEXT(struct door_r_approval, subject_id, KY_NAME_MAX),
    KY_FTEXT(struct door_r_approval, credential_id, KY_NAME_MAX),
    KY_FU32(struct door_r_approval, credential_epoch),
    KY_FFIX(struct door_r_approval, key_spki_sha256),
    KY_FU8(struct door_r_approval, scheme),
    KY_FU8(struct door_r_approval, hash),
    KY_FU8(struct door_r_approval, mgf_hash),
    KY_FU16(struct door_r_approval, salt_len),
    KY_FBYTES(struct door_r_approval, hashes, MAX_HASH_BYTES),
    KY_FTEXT(struct door_r_approval, display_text, KY_DISPLAY_TEXT_MAX),
    KY_FU64(struct door_r_approval, not_after_s),
    KY_FFIX(struct door_r_approval, nonce),
    KY_FU8(struct door_r_approval, state),
    KY_FBYTES(struct door_r_approval, choices, MAX_CHOICES),
};
const struct ky_schema door_r_approval_schema =
    KY_SCHEMA("r-approval", DOOR_R_APPROVAL, struct door_r_approval, approval_fields);

static const struct ky_field decision_fields[] = {
    KY_FTEXT(struct door_r_decision, transaction_id, KY_NAME_MAX),
    KY_FU8(struct door_r_decision, state),
};
const struct ky_schema door_r_decision_schema =
    KY_SCHEMA("r-decision", DOOR_R_DECISION, struct door_r_decision, decision_fields);

static const struct ky_field operate_fields[] = {
    KY_FBYTES(struct door_r_operate, result, KY_RESULT_MAX),
};
const struct ky_schema door_r_operate_schema =
    KY_SCHEMA("r-operate", DOOR_R_OPERATE, struct door_r_operate, operate_fields);

static const struct ky_field passkey_fields[] = {
    KY_FTEXT(struct door_r_passkey, authenticator_id, KY_NAME_MAX),
    KY_FTEXT(struct door_r_passkey, subject_id, KY_NAME_MAX),
    KY_FTEXT(struct door_r_passkey, label, MAX_LABEL),
    KY_FBYTES(struct door_r_passkey, public_key, KY_SPKI_MAX),
    KY_FU64(struct door_r_passkey, usable_from_s),
};
const struct ky_schema door_r_passkey_schema =
    KY_SCHEMA("r-passkey", DOOR_R_PASSKEY, struct door_r_passkey, passkey_fields);

static const struct ky_field kek_fields[] = {
    KY_FFIX(struct door_r_kek, boot),      KY_FU32(struct door_r_kek, generation),
    KY_FU32(struct door_r_kek, rows),      KY_FU8(struct door_r_kek, whole),
    KY_FBYTES(struct door_r_kek, items, MAX_JOB_LIST),
};
const struct ky_schema door_r_kek_schema =
    KY_SCHEMA("r-kek", DOOR_R_KEK, struct door_r_kek, kek_fields);

static const struct ky_field heartbeat_fields[] = {
    KY_FU8(struct door_heartbeat, serving),
};
const struct ky_schema door_heartbeat_schema =
    KY_SCHEMA("heartbeat", DOOR_HEARTBEAT, struct door_heartbeat, heartbeat_fields);
