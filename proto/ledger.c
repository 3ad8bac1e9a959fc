/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schemas of the ledger's records, and a leaf's header taken apart. Constant: any thread.
 * These are on disk and hashed for good: a field is never added, moved or widened here,
 * a new form takes a new type.
 */
#include "kyso/ledger.h"

#include "kyso/wire.h"
#include "limits_msg.h"

_Static_assert(MAX_SIGNATURE_BYTES + 256u < LEDGER_LEAF_MAX, "a full receipt fits one leaf");

static const struct ky_field genesis_fields[] = {
    KY_FTEXT(struct ledger_genesis, server_id, KY_NAME_MAX),
    KY_FU8(struct ledger_genesis, demo),
    KY_FBYTES(struct ledger_genesis, ledger_key, KY_SPKI_MAX),
    KY_FFIX(struct ledger_genesis, config_sha256),
};
const struct ky_schema ledger_genesis_schema =
    KY_SCHEMA("genesis", LEDGER_GENESIS, struct ledger_genesis, genesis_fields);

static const struct ky_field start_fields[] = {
    KY_FTEXT(struct ledger_start, version, MAX_VERSION),
    KY_FFIX(struct ledger_start, config_sha256),
    KY_FFIX(struct ledger_start, boot),
    KY_FU8(struct ledger_start, clean),
    KY_FU8(struct ledger_start, clock_sync),
};
const struct ky_schema ledger_start_schema =
    KY_SCHEMA("start", LEDGER_START, struct ledger_start, start_fields);

static const struct ky_field stop_fields[] = {
    KY_FFIX(struct ledger_stop, boot),
    KY_FTEXT(struct ledger_stop, reason, MAX_REASON),
};
const struct ky_schema ledger_stop_schema =
    KY_SCHEMA("stop", LEDGER_STOP, struct ledger_stop, stop_fields);

static const struct ky_field admin_fields[] = {
    KY_FU8(struct ledger_admin, table),      KY_FU32(struct ledger_admin, row),
    KY_FU32(struct ledger_admin, version),   KY_FFIX(struct ledger_admin, row_sha256),
    KY_FU64(struct ledger_admin, operation),
};
const struct ky_schema ledger_admin_schema =
    KY_SCHEMA("admin", LEDGER_ADMIN, struct ledger_admin, admin_fields);

static const struct ky_field operation_fields[] = {
    KY_FTEXT(struct ledger_operation, name, KY_NAME_MAX),
    KY_FFIX(struct ledger_operation, digest),
    KY_FFIX(struct ledger_operation, nonce),
    KY_FU64(struct ledger_operation, expires_s),
    KY_FTEXT(struct ledger_operation, operators, MAX_OPERATORS),
    KY_FTEXT(struct ledger_operation, target, MAX_TARGET),
    KY_FU32(struct ledger_operation, uid),
};
const struct ky_schema ledger_operation_schema =
    KY_SCHEMA("operation", LEDGER_OPERATION, struct ledger_operation, operation_fields);

static const struct ky_field begin_fields[] = {
    KY_FTEXT(struct ledger_tx, transaction_id, KY_NAME_MAX),
    KY_FTEXT(struct ledger_tx, request_id, KY_NAME_MAX),
    KY_FU32(struct ledger_tx, client_row),
    KY_FTEXT(struct ledger_tx, relying_party, KY_NAME_MAX),
    KY_FU32(struct ledger_tx, subject_row),
    KY_FU32(struct ledger_tx, credential_row),
    KY_FU32(struct ledger_tx, credential_epoch),
    KY_FFIX(struct ledger_tx, key_spki_sha256),
    KY_FU8(struct ledger_tx, scheme),
    KY_FU8(struct ledger_tx, hash),
    KY_FU8(struct ledger_tx, mgf_hash),
    KY_FU16(struct ledger_tx, salt_len),
    KY_FBYTES(struct ledger_tx, hashes, MAX_HASH_BYTES),
    KY_FFIX(struct ledger_tx, display_sha256),
    KY_FFIX(struct ledger_tx, content_sha256),
    KY_FFIX(struct ledger_tx, tx_digest),
    KY_FFIX(struct ledger_tx, nonce),
    KY_FU64(struct ledger_tx, not_after_s),
    KY_FBYTES(struct ledger_tx, matching_code, 32),
};
const struct ky_schema ledger_begin_schema =
    KY_SCHEMA("begin", LEDGER_BEGIN, struct ledger_tx, begin_fields);

static const struct ky_field authorized_fields[] = {
    KY_FTEXT(struct ledger_authorized, transaction_id, KY_NAME_MAX),
    KY_FTEXT(struct ledger_authorized, request_id, KY_NAME_MAX),
    KY_FU8(struct ledger_authorized, proof),
    KY_FU32(struct ledger_authorized, authenticator_row),
    KY_FU64(struct ledger_authorized, step),
    KY_FFIX(struct ledger_authorized, sad_sha256),
    KY_FU64(struct ledger_authorized, not_after_s),
    KY_FFIX(struct ledger_authorized, evidence_sha256),
};
const struct ky_schema ledger_authorized_schema =
    KY_SCHEMA("authorized", LEDGER_AUTHORIZED, struct ledger_authorized, authorized_fields);

static const struct ky_field ended_fields[] = {
    KY_FTEXT(struct ledger_ended, transaction_id, KY_NAME_MAX),
    KY_FU8(struct ledger_ended, state),
    KY_FCODE(struct ledger_ended, reason),
    KY_FU8(struct ledger_ended, not_me),
    KY_FU32(struct ledger_ended, authenticator_row),
};
const struct ky_schema ledger_ended_schema =
    KY_SCHEMA("ended", LEDGER_ENDED, struct ledger_ended, ended_fields);

static const struct ky_field intent_fields[] = {
    KY_FU8(struct ledger_intent, kind),
    KY_FU8(struct ledger_intent, proof),
    KY_FTEXT(struct ledger_intent, transaction_id, KY_NAME_MAX),
    KY_FTEXT(struct ledger_intent, request_id, KY_NAME_MAX),
    KY_FU32(struct ledger_intent, client_row),
    KY_FTEXT(struct ledger_intent, relying_party, KY_NAME_MAX),
    KY_FU32(struct ledger_intent, subject_row),
    KY_FU32(struct ledger_intent, credential_row),
    KY_FU32(struct ledger_intent, credential_epoch),
    KY_FFIX(struct ledger_intent, key_spki_sha256),
    KY_FU8(struct ledger_intent, scheme),
    KY_FU8(struct ledger_intent, hash),
    KY_FU8(struct ledger_intent, mgf_hash),
    KY_FU16(struct ledger_intent, salt_len),
    KY_FBYTES(struct ledger_intent, hashes, MAX_HASH_BYTES),
    KY_FFIX(struct ledger_intent, display_sha256),
    KY_FFIX(struct ledger_intent, content_sha256),
    KY_FFIX(struct ledger_intent, tx_digest),
    KY_FFIX(struct ledger_intent, nonce),
    KY_FU64(struct ledger_intent, not_after_s),
    KY_FU32(struct ledger_intent, authenticator_row),
    KY_FU64(struct ledger_intent, step),
    KY_FFIX(struct ledger_intent, evidence_sha256),
    KY_FU8(struct ledger_intent, ends_transaction),
};
const struct ky_schema ledger_intent_schema =
    KY_SCHEMA("intent", LEDGER_INTENT, struct ledger_intent, intent_fields);

static const struct ky_field receipt_fields[] = {
    KY_FU64(struct ledger_receipt, intent),
    KY_FU8(struct ledger_receipt, outcome),
    KY_FCODE(struct ledger_receipt, code),
    KY_FU32(struct ledger_receipt, cause),
    KY_FU16(struct ledger_receipt, sig_len),
    KY_FBYTES(struct ledger_receipt, signatures, MAX_SIGNATURE_BYTES),
};
const struct ky_schema ledger_receipt_schema =
    KY_SCHEMA("receipt", LEDGER_RECEIPT, struct ledger_receipt, receipt_fields);

static const struct ky_field denied_fields[] = {
    KY_FCODE(struct ledger_denied, reason),
    KY_FU16(struct ledger_denied, request_type),
    KY_FU8(struct ledger_denied, charged),
    KY_FU32(struct ledger_denied, client_row),
    KY_FU32(struct ledger_denied, subject_row),
    KY_FU32(struct ledger_denied, credential_row),
    KY_FU32(struct ledger_denied, authenticator_row),
    KY_FTEXT(struct ledger_denied, transaction_id, KY_NAME_MAX),
    KY_FTEXT(struct ledger_denied, request_id, KY_NAME_MAX),
    KY_FFIX(struct ledger_denied, spki),
};
const struct ky_schema ledger_denied_schema =
    KY_SCHEMA("denied", LEDGER_DENIED, struct ledger_denied, denied_fields);

static const struct ky_field unlocked_fields[] = {
    KY_FU32(struct ledger_unlocked, subject_row),
    KY_FU64(struct ledger_unlocked, operation),
};
const struct ky_schema ledger_unlocked_schema =
    KY_SCHEMA("unlocked", LEDGER_UNLOCKED, struct ledger_unlocked, unlocked_fields);

static const struct ky_field client_state_fields[] = {
    KY_FU32(struct ledger_client_state, client_row),
    KY_FU8(struct ledger_client_state, suspended),
    KY_FCODE(struct ledger_client_state, reason),
};
const struct ky_schema ledger_client_state_schema =
    KY_SCHEMA("client-state", LEDGER_CLIENT_STATE, struct ledger_client_state, client_state_fields);

static const struct ky_field event_fields[] = {
    KY_FU8(struct ledger_event, door),
    KY_FU16(struct ledger_event, kind),
    KY_FU32(struct ledger_event, count),
    KY_FFIX(struct ledger_event, spki),
};
const struct ky_schema ledger_event_schema =
    KY_SCHEMA("event", LEDGER_EVENT, struct ledger_event, event_fields);

static const struct ky_field anchored_fields[] = {
    KY_FU64(struct ledger_anchored, anchor_size),
    KY_FU64(struct ledger_anchored, head_size),
    KY_FU64(struct ledger_anchored, refuse_until_step_time_s),
};
const struct ky_schema ledger_anchored_schema =
    KY_SCHEMA("anchored", LEDGER_ANCHORED, struct ledger_anchored, anchored_fields);

static const struct ky_field ceremony_fields[] = {
    KY_FFIX(struct ledger_ceremony, transcript_sha256),
};
const struct ky_schema ledger_ceremony_schema =
    KY_SCHEMA("ceremony", LEDGER_CEREMONY, struct ledger_ceremony, ceremony_fields);

static const struct ky_field destroyed_fields[] = {
    KY_FU32(struct ledger_destroyed, credential_row),
    KY_FU8(struct ledger_destroyed, storage),
    KY_FFIX(struct ledger_destroyed, blob_sha256),
    KY_FU64(struct ledger_destroyed, operation),
};
const struct ky_schema ledger_destroyed_schema =
    KY_SCHEMA("destroyed", LEDGER_DESTROYED, struct ledger_destroyed, destroyed_fields);

static const struct ky_field crl_fields[] = {
    KY_FFIX(struct ledger_crl, sha256),
    KY_FFIX(struct ledger_crl, issuer_sha256),
    KY_FU64(struct ledger_crl, this_update_s),
    KY_FU64(struct ledger_crl, next_update_s),
};
const struct ky_schema ledger_crl_schema =
    KY_SCHEMA("crl", LEDGER_CRL, struct ledger_crl, crl_fields);

static const struct ky_field passkey_fields[] = {
    KY_FU32(struct ledger_passkey, client_row),
    KY_FU32(struct ledger_passkey, authenticator_row),
    KY_FFIX(struct ledger_passkey, key_sha256),
};
const struct ky_schema ledger_passkey_schema =
    KY_SCHEMA("passkey", LEDGER_PASSKEY, struct ledger_passkey, passkey_fields);

static const struct ky_field kek_fields[] = {
    KY_FU8(struct ledger_kek, event),
    KY_FU32(struct ledger_kek, generation),
    KY_FFIX(struct ledger_kek, backup_sha256),
    KY_FFIX(struct ledger_kek, transcript_sha256),
    KY_FTEXT(struct ledger_kek, custodians, KY_NAME_MAX),
    KY_FU32(struct ledger_kek, credentials),
    KY_FU32(struct ledger_kek, pool_keys),
    KY_FFIX(struct ledger_kek, blobs_sha256),
};
const struct ky_schema ledger_kek_schema =
    KY_SCHEMA("kek", LEDGER_KEK, struct ledger_kek, kek_fields);

static const struct ky_field activated_fields[] = {
    KY_FFIX(struct ledger_activated, start_sha256),
    KY_FTEXT(struct ledger_activated, custodians, KY_NAME_MAX),
};
const struct ky_schema ledger_activated_schema =
    KY_SCHEMA("activated", LEDGER_ACTIVATED, struct ledger_activated, activated_fields);

static const struct ky_field clock_fields[] = {
    KY_FU8(struct ledger_clock, state),
    KY_FU32(struct ledger_clock, error_us),
};
const struct ky_schema ledger_clock_schema =
    KY_SCHEMA("clock", LEDGER_CLOCK, struct ledger_clock, clock_fields);

static const struct ky_schema *const ledger_schemas[] = {
    [LEDGER_GENESIS] = &ledger_genesis_schema,
    [LEDGER_START] = &ledger_start_schema,
    [LEDGER_STOP] = &ledger_stop_schema,
    [LEDGER_ADMIN] = &ledger_admin_schema,
    [LEDGER_OPERATION] = &ledger_operation_schema,
    [LEDGER_BEGIN] = &ledger_begin_schema,
    [LEDGER_AUTHORIZED] = &ledger_authorized_schema,
    [LEDGER_ENDED] = &ledger_ended_schema,
    [LEDGER_INTENT] = &ledger_intent_schema,
    [LEDGER_RECEIPT] = &ledger_receipt_schema,
    [LEDGER_DENIED] = &ledger_denied_schema,
    [LEDGER_UNLOCKED] = &ledger_unlocked_schema,
    [LEDGER_CLIENT_STATE] = &ledger_client_state_schema,
    [LEDGER_EVENT] = &ledger_event_schema,
    [LEDGER_ANCHORED] = &ledger_anchored_schema,
    [LEDGER_CEREMONY] = &ledger_ceremony_schema,
    [LEDGER_DESTROYED] = &ledger_destroyed_schema,
    [LEDGER_CRL] = &ledger_crl_schema,
    [LEDGER_PASSKEY] = &ledger_passkey_schema,
    [LEDGER_KEK] = &ledger_kek_schema,
    [LEDGER_ACTIVATED] = &ledger_activated_schema,
    [LEDGER_CLOCK] = &ledger_clock_schema,
};

const struct ky_schema *ledger_schema(uint16_t type)
{
    return type < sizeof(ledger_schemas) / sizeof(ledger_schemas[0]) ? ledger_schemas[type] : NULL;
}

struct ky_status ledger_leaf_parse(struct ky_span leaf, struct ledger_leaf *out)
{
    struct ky_reader r = ky_reader(leaf);
    struct ledger_leaf l = {0};
    l.index = ky_get_u64(&r);
    l.time_us = ky_get_u64(&r);
    l.type = ky_get_u16(&r);
    if (r.failed || leaf.len > LEDGER_LEAF_MAX || ledger_schema(l.type) == NULL)
        return KY_STATUS(KY_INVALID);
    l.body = KY_SPAN(r.p, r.left);
    *out = l;
    return KY_STATUS(KY_OK);
}
