/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another KEK, on SoftHSM2: what a vault that knows only the old one does, what the old one's blobs are worth afterwards, and what
 * is not wrapped again. The token's own part of `kyso-ceremony kek rotate`.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backup.h"
#include "harness.h"
#include "rewrap.h"

struct bench { /* this process's own login: the ceremony's */
    struct hsm_config config;
    struct hsm_vault vault;
    struct hsm_worker worker;
    CK_OBJECT_HANDLE key; /* the backup key */
    struct hsm_backup former, fresh;
};

static struct bench *bench_open(void)
{
    static const uint8_t backup_key[HSM_BACKUP_KEY_LEN] = {7};
    struct bench *b = calloc(1, sizeof(*b));
    struct ky_secret pin = {.bytes = NULL};
    struct ky_secret key = {.bytes = NULL};

    assert_non_null(b);
    b->config = (struct hsm_config){.module = TEST_MODULE, .token_uri = TEST_TOKEN_URI, .sessions = 1};
    b->vault.config = &b->config;
    b->worker.vault = &b->vault;
    assert_true(ky_ok(ky_secret_set(&pin, KY_SPAN((const uint8_t *)TEST_PIN, strlen(TEST_PIN)))));
    assert_true(ky_ok(ky_secret_set(&key, KY_SPAN_OF(backup_key))));
    assert_true(ky_ok(hsm_module_open(&b->config, &b->vault.module)));
    assert_true(ky_ok(hsm_module_find_token(&b->vault.module, TEST_TOKEN_URI)));
    assert_true(ky_ok(hsm_module_login(&b->vault.module, &pin)));
    assert_true(ky_ok(hsm_session_open(&b->vault.module, 0, &b->worker.session)));
    hsm_caps_probe(&b->vault.module, &b->vault.caps);
    b->vault.caps.restricts = true;
    assert_true(ky_ok(hsm_backup_key(&b->worker.session, &key, &b->key)));
    ky_secret_wipe(&pin);
    ky_secret_wipe(&key);
    return b;
}

static void bench_close(struct bench *b)
{
    hsm_verifier_wipe(&b->worker.verifier);
    hsm_module_close(&b->vault.module);
    free(b);
}

static void destroy_kek(struct bench *b, uint32_t generation)
{
    CK_OBJECT_HANDLE there = CK_INVALID_HANDLE;

    assert_true(ky_ok(hsm_kek_find(&b->worker.session, generation, &there)));
    assert_int_not_equal(there, CK_INVALID_HANDLE);
    hsm_session_destroy(&b->worker.session, &there);
}

static struct ky_status sign(struct vault *v, const struct test_key *k)
{
    static const uint8_t digest[32] = {1, 2, 3};
    const struct ky_algorithm a = plain_algorithm(k->key_type, KY_SHA256);
    struct job_sign job = sign_job(k, &a, KY_SPAN_OF(digest));
    struct job_r_sign reply;

    job.key_row = 0; /* unwrapped each time */
    return vault_call(v, &job_sign_schema, &job, &job_r_sign_schema, &reply);
}

static struct ky_status rewrap(struct bench *b, const struct hsm_kek *old, const struct test_key *k,
                               struct test_key *out)
{
    const struct hsm_rewrap in = {k->key_type, KY_SPAN(k->blob, k->blob_len),
                                  KY_SPAN(k->spki, k->spki_len)};

    *out = *k;
    return hsm_rewrap(&b->worker, old, &in, out->blob, &out->blob_len);
}

static uint32_t kek_of(const struct test_key *k)
{
    struct ky_span wrapped;

    return ky_blob_kek(KY_SPAN(k->blob, k->blob_len), &wrapped);
}

/* The token's first KEK becomes one that is in a backup, as after a ceremony. */
static struct hsm_kek begin(struct bench *b)
{
    const struct hsm_session *s = &b->worker.session;
    struct hsm_kek old;

    destroy_kek(b, 1);
    assert_true(ky_ok(hsm_backup_make(s, &b->vault.caps, b->key, &b->former)));
    assert_true(ky_ok(hsm_backup_install_kek(s, &b->vault.caps, b->key, &b->former)));
    assert_true(ky_ok(hsm_backup_open_kek(s, &b->vault.caps, b->key, &b->former, &old)));
    return old;
}

static void second_kek(struct bench *b)
{
    const struct hsm_session *s = &b->worker.session;

    b->fresh = b->former;
    assert_true(ky_ok(hsm_backup_renew_kek(s, &b->vault.caps, b->key, &b->fresh)));
    assert_true(ky_ok(hsm_backup_install_kek(s, &b->vault.caps, b->key, &b->fresh)));
    assert_true(ky_ok(hsm_keys_load(s, &b->vault.caps, &b->vault.keys)));
    assert_int_equal(b->vault.keys.keks[0].generation, 2);
    assert_int_equal(b->vault.keys.keks[1].generation, 1);
}

static void test_from_one_kek_to_the_next(void **state)
{
    struct bench *b = bench_open();
    const struct hsm_kek old = begin(b);
    struct vault knows_one = vault_start(&(struct vault_options){0});
    struct test_key key;
    struct test_key next;
    struct job_generate wish = {.key_type = KY_KEY_P256, .storage = KY_STORE_WRAPPED, .kek = 2};
    struct job_r_generate made;

    (void)state;
    assert_true(ky_ok(vault_generate(&knows_one, KY_KEY_P256, KY_STORE_WRAPPED, &key)));
    assert_int_equal(kek_of(&key), 1);
    second_kek(b);
    assert_true(ky_ok(rewrap(b, &old, &key, &next)));
    assert_int_equal(kek_of(&next), 2);

    assert_true(ky_ok(sign(&knows_one, &key)));
    assert_true(ky_ok(sign(&knows_one, &next)));
    assert_int_equal(vault_control(&knows_one).type, CONTROL_WORN);
    assert_true(ky_ok(vault_call(&knows_one, &job_generate_schema, &wish, &job_r_generate_schema, &made)));
    assert_int_equal(made.blob.len % 8, 4);
    vault_stop(&knows_one);

    struct vault knows_both = vault_start(&(struct vault_options){0});
    assert_true(ky_ok(sign(&knows_both, &key)));
    destroy_kek(b, 1);
    assert_int_equal(sign(&knows_both, &key).code, KY_TOKEN_REQUEST); /* and the vault goes on */
    assert_true(ky_ok(sign(&knows_both, &next)));
    vault_stop(&knows_both);

    struct vault later = vault_start(&(struct vault_options){0});
    assert_int_equal(sign(&later, &key).code, KY_TOKEN_REQUEST);
    assert_true(ky_ok(sign(&later, &next)));
    next.blob[next.blob_len - 4] = 3; /* a KEK that there never was */
    assert_int_equal(sign(&later, &next).code, KY_TOKEN_REQUEST);
    vault_stop(&later);
    destroy_kek(b, 2);
    assert_true(ky_ok(hsm_backup_install_kek(&b->worker.session, &b->vault.caps, b->key, &b->former)));
    bench_close(b);
}

static void test_what_is_not_wrapped_again(void **state)
{
    struct bench *b = bench_open();
    const struct hsm_kek old = begin(b);
    struct vault v = vault_start(&(struct vault_options){0});
    struct test_key key;
    struct test_key other;
    struct test_key next;
    struct hsm_kek opened;

    (void)state;
    assert_true(ky_ok(vault_generate(&v, KY_KEY_P256, KY_STORE_WRAPPED, &key)));
    assert_true(ky_ok(vault_generate(&v, KY_KEY_P256, KY_STORE_WRAPPED, &other)));
    vault_stop(&v);
    second_kek(b);

    memcpy(other.blob, key.blob, key.blob_len); /* another row's key */
    assert_int_equal(rewrap(b, &old, &other, &next).code, KY_TOKEN_WRONG_SIGNATURE);
    assert_true(ky_ok(rewrap(b, &old, &key, &next)));
    assert_int_equal(rewrap(b, &old, &next, &other).code, KY_INVALID); /* is already */
    key.blob[9] ^= 1;
    assert_false(ky_ok(rewrap(b, &old, &key, &next)));

    /* The token's KEK of that generation is not the backup's. */
    assert_true(ky_ok(hsm_backup_open_kek(&b->worker.session, &b->vault.caps, b->key, &b->fresh, &opened)));
    hsm_session_destroy(&b->worker.session, &opened.key);
    b->fresh.kek = 1;
    assert_true(ky_ok(hsm_backup_renew_kek(&b->worker.session, &b->vault.caps, b->key, &b->fresh)));
    assert_int_equal(hsm_backup_open_kek(&b->worker.session, &b->vault.caps, b->key, &b->fresh, &opened).code,
                     KY_CORRUPT);
    bench_close(b);
}

static void test_a_blob_names_its_kek(void **state)
{
    static const struct {
        size_t len;
        uint8_t number[4];
        uint32_t kek;
    } rows[] = {{0, {0}, 0}, {4, {2}, 0}, {7, {0}, 0}, {80, {0}, 1}, {84, {0}, 0}, {84, {1}, 0},
                {84, {2}, 2}, {84, {0, 1}, 256}, {85, {2}, 0}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t blob[96] = {0};
        struct ky_span wrapped;

        if (rows[i].len >= 84)
            memcpy(blob + 80, rows[i].number, 4);
        assert_int_equal(ky_blob_kek(KY_SPAN(blob, rows[i].len), &wrapped), rows[i].kek);
        if (rows[i].kek != 0)
            assert_int_equal(wrapped.len, 80);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_blob_names_its_kek),
        cmocka_unit_test(test_from_one_kek_to_the_next),
        cmocka_unit_test(test_what_is_not_wrapped_again),
    };

    harness_maybe_vault(argc, argv);
    return cmocka_run_group_tests(tests, harness_token_setup, harness_token_teardown);
}
