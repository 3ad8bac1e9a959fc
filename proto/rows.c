/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schemas of the rows. Constant: any thread. A row's hash in the ledger is over these bytes,
 * so a schema with rows on disk changes only together with STORE_SCHEMA_VERSION, or grows at its end (`older`).
 */
#include "kyso/rows.h"

#include "limits_msg.h"

static const struct ky_field subject_fields[] = {
    KY_FTEXT(struct row_subject, subject_id, KY_NAME_MAX),
    KY_FTEXT(struct row_subject, name, MAX_PERSON),
    KY_FFIX(struct row_subject, salt),
};
const struct ky_schema row_subject_schema =
    KY_SCHEMA("subject", ROW_SUBJECT, struct row_subject, subject_fields);

static const struct ky_field credential_fields[] = {
    KY_FTEXT(struct row_credential, credential_id, KY_NAME_MAX),
    KY_FU32(struct row_credential, subject_row),
    KY_FU8(struct row_credential, state),
    KY_FU8(struct row_credential, storage),
    KY_FU8(struct row_credential, key_type),
    KY_FU32(struct row_credential, epoch),
    KY_FU32(struct row_credential, max_hashes),
    KY_FBYTES(struct row_credential, relying_parties, MAX_NAME_LIST),
    KY_FBYTES(struct row_credential, blob, KY_BLOB_MAX),
    KY_FBYTES(struct row_credential, public_key, KY_SPKI_MAX),
    KY_FBYTES(struct row_credential, certificate, KY_CERTIFICATE_MAX),
    KY_FBYTES(struct row_credential, chain, KY_CHAIN_MAX),
    KY_FU64(struct row_credential, not_before_s),
    KY_FU64(struct row_credential, not_after_s),
};
const struct ky_schema row_credential_schema =
    KY_SCHEMA("credential", ROW_CREDENTIAL, struct row_credential, credential_fields);

static const struct ky_field authenticator_fields[] = {
    KY_FTEXT(struct row_authenticator, authenticator_id, KY_NAME_MAX),
    KY_FU32(struct row_authenticator, subject_row),
    KY_FU8(struct row_authenticator, kind),
    KY_FU8(struct row_authenticator, state),
    KY_FU32(struct row_authenticator, epoch),
    KY_FTEXT(struct row_authenticator, label, MAX_LABEL),
    KY_FU8(struct row_authenticator, otp_hash),
    KY_FU8(struct row_authenticator, otp_digits),
    KY_FBYTES(struct row_authenticator, sealed_seed, MAX_SEALED_SEED),
    KY_FU8(struct row_authenticator, device_key_type),
    KY_FBYTES(struct row_authenticator, device_key, KY_SPKI_MAX),
    KY_FFIX(struct row_authenticator, confirm_sha256),
    KY_FU64(struct row_authenticator, enrolled_s),
    KY_FU64(struct row_authenticator, usable_from_s),
    KY_FBYTES(struct row_authenticator, reader_sha256, 32),
};
const struct ky_schema row_authenticator_schema =
    KY_SCHEMA("authenticator", ROW_AUTHENTICATOR, struct row_authenticator, authenticator_fields);

static const struct ky_field client_fields[] = {
    KY_FTEXT(struct row_client, name, KY_NAME_MAX),
    KY_FBYTES(struct row_client, spkis, 2 * 32),
    KY_FBYTES(struct row_client, relying_parties, MAX_NAME_LIST),
    KY_FBYTES(struct row_client, subjects, MAX_NAME_LIST),
    KY_FU32(struct row_client, rights),
    KY_FU32(struct row_client, max_hashes),
    KY_FU8(struct row_client, suspended),
    KY_FU8(struct row_client, removed),
    KY_FBYTES(struct row_client, request_key, KY_SPKI_MAX),
};
const struct ky_schema row_client_schema =
    KY_SCHEMA("client", ROW_CLIENT, struct row_client, client_fields);

static const struct ky_field operator_fields[] = {
    KY_FTEXT(struct row_operator, operator_id, KY_NAME_MAX),
    KY_FBYTES(struct row_operator, public_key, KY_SPKI_MAX),
    KY_FU8(struct row_operator, removed),
    KY_FU8(struct row_operator, role),
    KY_FBYTES(struct row_operator, certificate, KY_CERTIFICATE_MAX),
    KY_FU64(struct row_operator, not_before_s),
    KY_FU64(struct row_operator, not_after_s),
};
const struct ky_schema row_operator_schema =
    KY_SCHEMA("operator", ROW_OPERATOR, struct row_operator, operator_fields);

static const struct ky_field pool_key_fields[] = {
    KY_FU8(struct row_pool_key, key_type),
    KY_FBYTES(struct row_pool_key, blob, KY_BLOB_MAX),
    KY_FBYTES(struct row_pool_key, public_key, KY_SPKI_MAX),
};
const struct ky_schema row_pool_key_schema =
    KY_SCHEMA("pool-key", ROW_POOL_KEY, struct row_pool_key, pool_key_fields);

static const struct ky_schema *const row_schemas[ROW_TABLE_END] = {
    [ROW_SUBJECT] = &row_subject_schema,
    [ROW_CREDENTIAL] = &row_credential_schema,
    [ROW_AUTHENTICATOR] = &row_authenticator_schema,
    [ROW_CLIENT] = &row_client_schema,
    [ROW_OPERATOR] = &row_operator_schema,
    [ROW_POOL_KEY] = &row_pool_key_schema,
};

const struct ky_schema *row_schema(uint8_t table)
{
    return table < ROW_TABLE_END ? row_schemas[table] : NULL;
}

/* How many fields the rows had that are on disk from before their table grew at its end. */
static const uint16_t older[ROW_TABLE_END] = {
    [ROW_AUTHENTICATOR] = 14, /* without reader_sha256 */
    [ROW_CLIENT] = 8,         /* without request_key */
    [ROW_OPERATOR] = 3,       /* without role and certificate */
};

struct ky_status row_decode(uint8_t table, struct ky_span in, void *out_msg)
{
    const struct ky_schema *schema = row_schema(table);

    if (schema == NULL)
        return KY_STATUS(KY_INVALID);
    struct ky_status status = ky_msg_decode(schema, in, out_msg);
    if (!ky_ok(status) && older[table] > 0) {
        struct ky_schema before = *schema;

        before.field_count = older[table];
        status = ky_msg_decode(&before, in, out_msg);
    }
    return status;
}
