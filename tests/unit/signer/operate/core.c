/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stand-in core: authority.h over the real store, with nothing clever in it.
 */
#include "core.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "certificates.h"
#include "kyso/wire.h"

#define OK(expr) assert_int_equal((expr).code, KY_OK)

struct authority *core_new(bool demo)
{
    struct authority *a = calloc(1, sizeof(*a));
    static const char *const keys[] = {"the row-mac key of these tests!!",
                                       "the state key of these tests!!!!",
                                       "the seed-enc key of these tests!"};

    assert_non_null(a);
    strcpy(a->folder, "/tmp/kyso-operate-XXXXXX");
    assert_non_null(mkdtemp(a->folder));
    (void)snprintf(a->path, sizeof(a->path), "%s/ledger.db", a->folder);
    OK(ky_secret_set(&a->row_mac, ky_span_text(keys[0])));
    OK(ky_secret_set(&a->state_key, ky_span_text(keys[1])));
    OK(ky_secret_set(&a->seed_key, ky_span_text(keys[2])));
    a->keys = (struct store_keys){.row_mac = &a->row_mac, .state = &a->state_key};
    OK(store_open(a->path, STORE_CREATE, &a->keys, &a->store));
    a->token.key_types =
        1u << KY_KEY_P256 | 1u << KY_KEY_P384 | 1u << KY_KEY_RSA2048 | 1u << KY_KEY_ED25519;
    a->token.wrappable = 1u << KY_KEY_P256 | 1u << KY_KEY_P384 | 1u << KY_KEY_RSA2048;
    a->token.ledger_key = ky_span_text("ledger key");
    a->now_us = CORE_NOW_S * UINT64_C(1000000);
    a->demo = demo;
    a->job_payload = KY_BUF_INIT(KY_RECORD_MAX);
    return a;
}

void core_clear(struct authority *a)
{
    if (a->result != NULL)
        kyso__v1__operation_result__free_unpacked(a->result, NULL);
    a->result = NULL;
    a->refused = KY_OK;
}

void core_free(struct authority *a)
{
    char name[400];

    core_clear(a);
    free(a->job.context);
    ky_buf_free(&a->job_payload);
    store_close(&a->store);
    for (size_t i = 0; i < a->vault_key_count; i++)
        EVP_PKEY_free(a->vault_keys[i]);
    EVP_PKEY_free(a->rsa4096);
    DIR *dir = opendir(a->folder);
    assert_non_null(dir);
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        (void)snprintf(name, sizeof(name), "%s/%s", a->folder, e->d_name);
        (void)unlink(name);
    }
    (void)closedir(dir);
    assert_int_equal(rmdir(a->folder), 0);
    ky_secret_wipe(&a->row_mac);
    ky_secret_wipe(&a->state_key);
    ky_secret_wipe(&a->seed_key);
    free(a);
}

void core_commit(struct authority *a)
{
    OK(store_commit(a->store));
}

/* --- authority.h ----------------------------------------------------------------------------- */

uint64_t authority_now_s(const struct authority *a)
{
    return a->now_us / 1000000u;
}

uint64_t authority_now_us(const struct authority *a)
{
    return a->now_us;
}

struct store *authority_store(struct authority *a)
{
    return a->store;
}

const struct ky_secret *authority_seed_key(const struct authority *a)
{
    return &a->seed_key;
}

const struct ky_secret *authority_state_key(const struct authority *a)
{
    return &a->state_key;
}

struct ky_span authority_server_id(const struct authority *a)
{
    (void)a;
    return ky_span_text(CORE_SERVER_ID);
}

bool authority_is_demo(const struct authority *a)
{
    return a->demo;
}

const char *authority_passkey_origin(const struct authority *a)
{
    (void)a;
    return "https://approve.example.vn";
}

bool authority_dual_control(const struct authority *a)
{
    return a->dual_control;
}

const struct job_r_info *authority_token_info(const struct authority *a)
{
    return &a->token;
}

static void copy_text(char *out, size_t cap, struct ky_span *s)
{
    assert_true(ky_span_to_cstr(*s, out, cap));
    *s = KY_SPAN(NULL, 0);
}

static void note_record(struct authority *a, uint16_t type, const void *msg)
{
    switch (type) {
    case LEDGER_OPERATION:
        a->operation = *(const struct ledger_operation *)msg;
        copy_text(a->operation_name, sizeof(a->operation_name), &a->operation.name);
        copy_text(a->operation_operators, sizeof(a->operation_operators), &a->operation.operators);
        copy_text(a->operation_target, sizeof(a->operation_target), &a->operation.target);
        memcpy(a->nonces[a->nonce_count++ % 64], a->operation.nonce, 16);
        a->operations++;
        break;
    case LEDGER_DENIED:
        a->denied = *(const struct ledger_denied *)msg;
        a->denials++;
        break;
    case LEDGER_INTENT:
        a->intent = *(const struct ledger_intent *)msg;
        assert_true(a->intent.hashes.len <= sizeof(a->intent_digest));
        memcpy(a->intent_digest, a->intent.hashes.data, a->intent.hashes.len);
        memcpy(a->intent_starts[a->intents++ % 64], a->intent.hashes.data, 32);
        break;
    case LEDGER_RECEIPT:
        a->receipt = *(const struct ledger_receipt *)msg;
        a->receipt.signatures.data = NULL;
        a->receipts++;
        break;
    case LEDGER_UNLOCKED:
        a->unlocks++;
        break;
    case LEDGER_CLIENT_STATE:
        a->client_states++;
        a->client_suspended = ((const struct ledger_client_state *)msg)->suspended;
        break;
    default:
        break;
    }
}

struct ky_status authority_append(struct authority *a, const struct ky_schema *schema,
                                  const void *msg, struct ky_span private_data, uint64_t *out_index)
{
    struct ky_status status =
        store_append(a->store, schema, msg, a->now_us, private_data, out_index);

    if (ky_ok(status))
        note_record(a, schema->type, msg);
    return status;
}

void authority_deny(struct authority *a, const struct request *r, struct ledger_denied *why)
{
    struct reply_to to = request_reply_to(r);

    why->request_type = r->type;
    OK(authority_append(a, &ledger_denied_schema, why, KY_SPAN(NULL, 0), NULL));
    authority_refuse(a, &to, (enum ky_code)why->reason, 0);
}

struct ky_status authority_row_put(struct authority *a, enum row_table table, uint32_t row,
                                   const void *msg, uint64_t operation, uint32_t *out_row)
{
    return store_row_put(a->store, table, row, msg, operation, a->now_us, out_row);
}

uint32_t authority_client_by_name(const struct authority *a, struct ky_span name)
{
    for (uint32_t row = 1; row <= store_row_count(a->store, ROW_CLIENT); row++) {
        struct row_client c;

        OK(store_row_get(a->store, ROW_CLIENT, row, &c));
        if (ky_span_eq(c.name, name))
            return row;
    }
    return 0;
}

uint32_t authority_operator_by_id(const struct authority *a, struct ky_span id)
{
    for (uint32_t row = 1; row <= store_row_count(a->store, ROW_OPERATOR); row++) {
        struct row_operator o;

        OK(store_row_get(a->store, ROW_OPERATOR, row, &o));
        if (ky_span_eq(o.operator_id, id))
            return row;
    }
    return 0;
}

uint32_t authority_id_row(char kind, struct ky_span id)
{
    char text[AUTHORITY_ID_MAX];
    unsigned row = 0;
    int used = 0;

    if (!ky_span_to_cstr(id, text, sizeof(text)) || text[0] != kind ||
        sscanf(text + 1, "%8x-%*16[0-9a-f]%n", &row, &used) != 1 || (size_t)used + 1 != id.len)
        return 0;
    return row;
}

struct ky_status authority_id_make(char kind, uint32_t row, char out[AUTHORITY_ID_MAX])
{
    uint64_t random = 0;

    OK(ky_random(&random, sizeof(random)));
    (void)snprintf(out, AUTHORITY_ID_MAX, "%c%08x-%016llx", kind, row, (unsigned long long)random);
    return KY_STATUS(KY_OK);
}

void authority_forget_key(struct authority *a, uint32_t key_row)
{
    (void)key_row;
    a->forgotten++;
}

struct subject_account authority_subject_account(const struct authority *a, uint32_t subject_row)
{
    (void)a;
    (void)subject_row;
    return (struct subject_account){.not_me = false};
}

bool authority_client_suspended(const struct authority *a, uint32_t client_row)
{
    (void)client_row;
    return a->client_suspended;
}

bool authority_operation_spent(const struct authority *a, const uint8_t nonce[16])
{
    for (size_t i = 0; i < a->nonce_count && i < 64; i++)
        if (memcmp(a->nonces[i], nonce, 16) == 0)
            return true;
    return false;
}

struct ky_status authority_backup(struct authority *a)
{
    (void)a;
    return KY_STATUS(KY_OK);
}

uint32_t authority_expiring(const struct authority *a, uint32_t after, uint64_t within_s)
{
    struct row_credential c;

    for (uint32_t row = after + 1; row <= store_row_count(a->store, ROW_CREDENTIAL); row++)
        if (ky_ok(store_row_get(a->store, ROW_CREDENTIAL, row, &c)) && c.certificate.len > 0 &&
            c.not_after_s >= a->now_us / 1000000u && c.not_after_s <= a->now_us / 1000000u + within_s)
            return row;
    return 0;
}

void authority_stats(const struct authority *a, struct authority_stats *out)
{
    *out = (struct authority_stats){.sealed_reason = "",
                                     .clock = "synchronised",
                                    .ledger_size = store_ledger_size(a->store),
                                    .checkpoint = ky_span_text("note"),
                                    .role_count = 1};
    out->roles[0] = (struct authority_role){.door = KY_DOOR_OPERATOR, .state = 1, .restarts = 2};
}

struct ky_status authority_take_key(struct authority *a, uint8_t key_type, uint64_t operation,
                                    struct pool_key *out)
{
    (void)operation;
    if (a->pool_key_type != key_type)
        return KY_STATUS(KY_NOT_FOUND);
    a->pool_key_type = KY_KEY_NONE;
    *out = a->pool_key;
    return KY_STATUS(KY_OK);
}

struct reply_to request_reply_to(const struct request *r)
{
    return (struct reply_to){.door = r->door, .tag = r->tag, .deadline_us = r->deadline_us};
}

void authority_reply(struct authority *a, const struct reply_to *to, const struct ky_schema *schema,
                     const void *msg)
{
    const struct door_r_operate *reply = msg;

    assert_ptr_equal(schema, &door_r_operate_schema);
    assert_int_equal(to->tag, 7);
    assert_null(a->result);
    a->result = kyso__v1__operation_result__unpack(NULL, reply->result.len, reply->result.data);
    assert_non_null(a->result);
}

void authority_refuse(struct authority *a, const struct reply_to *to, enum ky_code code,
                      uint32_t retry_after_ms)
{
    (void)retry_after_ms;
    assert_int_equal(to->tag, 7);
    assert_int_equal(a->refused, KY_OK);
    assert_null(a->result);
    a->refused = code;
}

/* --- jobs ------------------------------------------------------------------------------------ */

struct ky_status job_submit(struct authority *a, const struct job *job, const void *msg)
{
    if (a->queue_full)
        return KY_STATUS(KY_BUSY);
    assert_false(a->has_job);
    a->job = *job;
    ky_buf_reset(&a->job_payload);
    OK(ky_msg_encode(job->schema, msg, &a->job_payload));
    a->has_job = true;
    return KY_STATUS(KY_OK);
}

bool dispatch_quarantined(const struct authority *a, uint32_t key_row)
{
    return key_row == a->quarantined;
}

static void settle(struct authority *a, const struct job_result *r)
{
    struct job job = a->job;

    a->has_job = false;
    a->job.context = NULL;
    operate_job_done(a, &job, r); /* may submit another */
    free(job.context);
}

void core_vault_fails(struct authority *a, enum ky_code code)
{
    assert_true(a->has_job);
    settle(a, &(struct job_result){.status = KY_STATUS(code), .type = JOB_R_DONE});
}

static EVP_PKEY *key_of(struct authority *a, struct ky_span blob)
{
    assert_int_equal(blob.len, 5);
    assert_memory_equal(blob.data, "blob", 4);
    assert_true(blob.data[4] < a->vault_key_count);
    return a->vault_keys[blob.data[4]];
}

static EVP_PKEY *new_key(struct authority *a, uint8_t key_type)
{
    assert_true(a->vault_key_count < CORE_KEYS);
    EVP_PKEY *key = key_type == KY_KEY_RSA4096 ? a->rsa4096 : test_key(key_type);
    if (key == a->rsa4096)
        EVP_PKEY_up_ref(key);
    a->vault_keys[a->vault_key_count++] = key;
    return key;
}

static void generate(struct authority *a, struct ky_buf *out)
{
    struct job_generate m;
    struct job_r_generate r = {.generation = 1};
    uint8_t spki[700];
    uint8_t blob[5] = {'b', 'l', 'o', 'b', (uint8_t)a->vault_key_count};

    OK(ky_msg_decode(&job_generate_schema, ky_buf_span(&a->job_payload), &m));
    EVP_PKEY *key = new_key(a, m.key_type);
    r.blob = KY_SPAN_OF(blob);
    r.public_key = KY_SPAN(spki, test_spki(key, spki));
    OK(ky_msg_encode(&job_r_generate_schema, &r, out));
}

static void sign(struct authority *a, struct ky_buf *out)
{
    struct job_sign m;
    struct job_r_sign r = {.count = 1};
    uint8_t sig[512];

    OK(ky_msg_decode(&job_sign_schema, ky_buf_span(&a->job_payload), &m));
    assert_int_equal(m.purpose, KY_PURPOSE_CITIZEN);
    assert_int_equal(m.verify, JOB_VERIFY_ALWAYS);
    assert_true(a->job.intent != 0);
    if (m.key_type == KY_KEY_ED25519)
        assert_int_equal(m.hash, KY_HASH_NONE);
    else
        assert_int_equal(m.digests.len, ky_hash_len(m.hash));
    assert_int_equal(m.digests.len, a->intent.hashes.len);
    assert_memory_equal(m.digests.data, a->intent_digest, m.digests.len); /* I1 */
    size_t n = test_sign_digest(key_of(a, m.blob), ky_hash_name(m.hash), m.digests, sig);
    sig[n - 1] ^= a->vault_lies;
    r.sig_len = (uint16_t)n;
    r.signatures = KY_SPAN(sig, n);
    OK(ky_msg_encode(&job_r_sign_schema, &r, out));
}

static void generate_many(struct authority *a, struct ky_buf *out)
{
    struct job_generate_many m;
    struct job_r_list r = {.generation = 1};
    struct ky_buf items = KY_BUF_INIT(KY_RECORD_MAX);

    OK(ky_msg_decode(&job_generate_many_schema, ky_buf_span(&a->job_payload), &m));
    for (unsigned i = 0; i < m.count; i++) {
        uint8_t blob[5] = {'b', 'l', 'o', 'b', (uint8_t)a->vault_key_count};
        uint8_t spki[700];

        EVP_PKEY *key = new_key(a, m.key_type);
        ky_put_bytes(&items, KY_SPAN_OF(blob));
        ky_put_bytes(&items, KY_SPAN(spki, test_spki(key, spki)));
    }
    r.items = ky_buf_span(&items);
    OK(ky_msg_encode(&job_r_list_schema, &r, out));
    ky_buf_free(&items);
}

static bool has_intent(const struct authority *a, struct ky_span digest)
{
    for (unsigned i = 0; i < a->intents && i < 64; i++)
        if (memcmp(a->intent_starts[i], digest.data, 32) == 0)
            return true;
    return false;
}

static void sign_each(struct authority *a, struct ky_buf *out)
{
    struct job_sign_each m;
    struct job_r_list r = {.generation = 1};
    struct ky_buf items = KY_BUF_INIT(KY_RECORD_MAX);

    OK(ky_msg_decode(&job_sign_each_schema, ky_buf_span(&a->job_payload), &m));
    struct ky_reader in = ky_reader(m.items);
    for (unsigned i = 0; !ky_reader_done(&in); i++) {
        struct job_sign one;
        uint8_t sig[512];

        OK(ky_msg_decode(&job_sign_schema, ky_get_bytes(&in, KY_RECORD_MAX), &one));
        assert_int_equal(one.purpose, KY_PURPOSE_CITIZEN);
        assert_int_equal(one.verify, JOB_VERIFY_ALWAYS);
        assert_true(has_intent(a, one.digests)); /* I1 */
        size_t n = test_sign_digest(key_of(a, one.blob), ky_hash_name(one.hash), one.digests, sig);
        sig[n - 1] ^= a->vault_lies;
        ky_put_bytes(&items, KY_SPAN(sig, (a->vault_refuses >> i & 1) != 0 ? 0 : n));
    }
    r.items = ky_buf_span(&items);
    OK(ky_msg_encode(&job_r_list_schema, &r, out));
    ky_buf_free(&items);
}

void core_vault(struct authority *a)
{
    struct ky_buf payload = KY_BUF_INIT(KY_RECORD_MAX);
    struct job_result r = {.status = KY_STATUS(KY_OK)};

    assert_true(a->has_job);
    if (a->job.schema == &job_generate_schema) {
        generate(a, &payload);
        r.type = JOB_R_GENERATE;
    } else if (a->job.schema == &job_sign_schema) {
        sign(a, &payload);
        r.type = JOB_R_SIGN;
    } else if (a->job.schema == &job_generate_many_schema) {
        generate_many(a, &payload);
        r.type = JOB_R_LIST;
    } else if (a->job.schema == &job_sign_each_schema) {
        sign_each(a, &payload);
        r.type = JOB_R_LIST;
    } else {
        assert_ptr_equal(a->job.schema, &job_destroy_schema);
        struct job_r_done done = {.code = KY_OK};
        OK(ky_msg_encode(&job_r_done_schema, &done, &payload));
        a->vault_destroyed++;
        r.type = JOB_R_DONE;
    }
    r.payload = ky_buf_span(&payload);
    settle(a, &r);
    ky_buf_free(&payload);
}
