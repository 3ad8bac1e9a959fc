/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schemas of the jobs between the authority and its vaults. Constant: any thread.
 */
#include "kyso/job.h"

#include "limits_msg.h"

static const struct ky_field sign_fields[] = {
    KY_FU32(struct job_sign, generation),
    KY_FU32(struct job_sign, attempt),
    KY_FU8(struct job_sign, purpose),
    KY_FU8(struct job_sign, storage),
    KY_FU8(struct job_sign, key_type),
    KY_FU8(struct job_sign, scheme),
    KY_FU8(struct job_sign, hash),
    KY_FU8(struct job_sign, mgf_hash),
    KY_FU16(struct job_sign, salt_len),
    KY_FU8(struct job_sign, verify),
    KY_FU32(struct job_sign, key_row),
    KY_FU32(struct job_sign, key_epoch),
    KY_FBYTES(struct job_sign, blob, KY_BLOB_MAX),
    KY_FBYTES(struct job_sign, public_key, KY_SPKI_MAX),
    KY_FBYTES(struct job_sign, digests, MAX_HASH_BYTES),
};
const struct ky_schema job_sign_schema = KY_SCHEMA("sign", JOB_SIGN, struct job_sign, sign_fields);

static const struct ky_field generate_fields[] = {
    KY_FU32(struct job_generate, generation), KY_FU32(struct job_generate, attempt),
    KY_FU8(struct job_generate, key_type),    KY_FU8(struct job_generate, storage),
    KY_FFIX(struct job_generate, key_id),     KY_FU32(struct job_generate, kek),
};
const struct ky_schema job_generate_schema =
    KY_SCHEMA("generate", JOB_GENERATE, struct job_generate, generate_fields);

static const struct ky_field generate_many_fields[] = {
    KY_FU32(struct job_generate_many, generation),
    KY_FU32(struct job_generate_many, attempt),
    KY_FU8(struct job_generate_many, key_type),
    KY_FU16(struct job_generate_many, count),
    KY_FU32(struct job_generate_many, kek),
};
const struct ky_schema job_generate_many_schema = KY_SCHEMA(
    "generate-many", JOB_GENERATE_MANY, struct job_generate_many, generate_many_fields);

static const struct ky_field sign_each_fields[] = {
    KY_FU32(struct job_sign_each, generation),
    KY_FU32(struct job_sign_each, attempt),
    KY_FBYTES(struct job_sign_each, items, MAX_JOB_LIST),
};
const struct ky_schema job_sign_each_schema =
    KY_SCHEMA("sign-each", JOB_SIGN_EACH, struct job_sign_each, sign_each_fields);

static const struct ky_field derive_fields[] = {
    KY_FU32(struct job_derive, generation),
    KY_FU32(struct job_derive, attempt),
    KY_FTEXT(struct job_derive, label, KY_NAME_MAX),
};
const struct ky_schema job_derive_schema =
    KY_SCHEMA("derive", JOB_DERIVE, struct job_derive, derive_fields);

static const struct ky_field key_ref_fields[] = {
    KY_FU32(struct job_key_ref, generation),
    KY_FU32(struct job_key_ref, attempt),
    KY_FU32(struct job_key_ref, key_row),
    KY_FBYTES(struct job_key_ref, key_id, MAX_KEY_ID),
};
const struct ky_schema job_destroy_schema =
    KY_SCHEMA("destroy", JOB_DESTROY, struct job_key_ref, key_ref_fields);
const struct ky_schema job_forget_schema =
    KY_SCHEMA("forget", JOB_FORGET, struct job_key_ref, key_ref_fields);

static const struct ky_field anchor_fields[] = {
    KY_FU32(struct job_anchor, generation),
    KY_FU32(struct job_anchor, attempt),
    KY_FU8(struct job_anchor, slot),
    KY_FBYTES(struct job_anchor, value, MAX_ANCHOR),
    KY_FBYTES(struct job_anchor, expect, MAX_ANCHOR),
};
const struct ky_schema job_anchor_write_schema =
    KY_SCHEMA("anchor-write", JOB_ANCHOR_WRITE, struct job_anchor, anchor_fields);
const struct ky_schema job_anchor_read_schema =
    KY_SCHEMA("anchor-read", JOB_ANCHOR_READ, struct job_anchor, anchor_fields);

static const struct ky_field plain_fields[] = {
    KY_FU32(struct job_plain, generation),
    KY_FU32(struct job_plain, attempt),
};
const struct ky_schema job_info_schema =
    KY_SCHEMA("info", JOB_INFO, struct job_plain, plain_fields);

static const struct ky_field r_sign_fields[] = {
    KY_FU32(struct job_r_sign, generation),
    KY_FU32(struct job_r_sign, attempt),
    KY_FU16(struct job_r_sign, count),
    KY_FU16(struct job_r_sign, sig_len),
    KY_FBYTES(struct job_r_sign, signatures, MAX_SIGNATURE_BYTES),
    KY_FU8(struct job_r_sign, was_hot),
};
const struct ky_schema job_r_sign_schema =
    KY_SCHEMA("r-sign", JOB_R_SIGN, struct job_r_sign, r_sign_fields);

static const struct ky_field r_generate_fields[] = {
    KY_FU32(struct job_r_generate, generation),
    KY_FU32(struct job_r_generate, attempt),
    KY_FBYTES(struct job_r_generate, blob, KY_BLOB_MAX),
    KY_FBYTES(struct job_r_generate, public_key, KY_SPKI_MAX),
};
const struct ky_schema job_r_generate_schema =
    KY_SCHEMA("r-generate", JOB_R_GENERATE, struct job_r_generate, r_generate_fields);

static const struct ky_field r_bytes_fields[] = {
    KY_FU32(struct job_r_bytes, generation),
    KY_FU32(struct job_r_bytes, attempt),
    KY_FBYTES(struct job_r_bytes, value, MAX_JOB_BYTES),
};
const struct ky_schema job_r_bytes_schema =
    KY_SCHEMA("r-bytes", JOB_R_BYTES, struct job_r_bytes, r_bytes_fields);

static const struct ky_field r_done_fields[] = {
    KY_FU32(struct job_r_done, generation),
    KY_FU32(struct job_r_done, attempt),
    KY_FU16(struct job_r_done, code),
    KY_FU32(struct job_r_done, cause),
};
const struct ky_schema job_r_done_schema =
    KY_SCHEMA("r-done", JOB_R_DONE, struct job_r_done, r_done_fields);

static const struct ky_field r_info_fields[] = {
    KY_FU32(struct job_r_info, generation),
    KY_FU32(struct job_r_info, attempt),
    KY_FBYTES(struct job_r_info, token, MAX_TOKEN_NAME), /* the token's bytes: may be anything */
    KY_FU32(struct job_r_info, key_types),
    KY_FU32(struct job_r_info, wrappable),
    KY_FU8(struct job_r_info, pss),
    KY_FBYTES(struct job_r_info, ledger_key, KY_SPKI_MAX),
    KY_FU8(struct job_r_info, ledger_key_type),
    KY_FU32(struct job_r_info, kek),
};
const struct ky_schema job_r_info_schema =
    KY_SCHEMA("r-info", JOB_R_INFO, struct job_r_info, r_info_fields);

static const struct ky_field r_list_fields[] = {
    KY_FU32(struct job_r_list, generation),
    KY_FU32(struct job_r_list, attempt),
    KY_FBYTES(struct job_r_list, items, MAX_JOB_LIST),
};
const struct ky_schema job_r_list_schema =
    KY_SCHEMA("r-list", JOB_R_LIST, struct job_r_list, r_list_fields);
