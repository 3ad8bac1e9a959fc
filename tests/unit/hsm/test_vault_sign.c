/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every key type, storage, scheme and hash through a real vault, stock and tuned; the signatures
 * are verified by OpenSSL from the returned public key, so hsm/verify.c is not its own judge.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "harness.h"
#include "kyso/wire.h"
#include "kyso/secret.h"

static const uint8_t hashes[] = {KY_SHA256, KY_SHA384, KY_SHA512};

static void sign_and_check(struct vault *v, const struct test_key *k, const struct ky_algorithm *a)
{
    uint8_t digests[3 * KY_DIGEST_MAX];
    size_t len = ky_hash_len(a->hash);
    struct job_r_sign r;
    struct job_sign job = sign_job(k, a, KY_SPAN(digests, 3 * len));

    assert_int_equal(ky_random(digests, sizeof(digests)).code, KY_OK);
    assert_int_equal(vault_call(v, &job_sign_schema, &job, &job_r_sign_schema, &r).code, KY_OK);
    assert_int_equal(r.count, 3);
    assert_int_equal(r.sig_len, ky_key_info(k->key_type)->sig_len);
    assert_int_equal(r.signatures.len, 3u * r.sig_len);
    for (size_t i = 0; i < 3; i++) {
        struct ky_span digest = KY_SPAN(digests + i * len, len);
        struct ky_span sig = KY_SPAN(r.signatures.data + i * r.sig_len, r.sig_len);

        assert_true(independently_verified(job.public_key, k->key_type, a, digest, sig));
        digests[i * len] ^= 1; /* and not of anything */
        assert_false(independently_verified(job.public_key, k->key_type, a, digest, sig));
    }
}

static void check_every_algorithm(struct vault *v, const struct test_key *k)
{
    for (size_t h = 0; h < sizeof(hashes); h++) {
        struct ky_algorithm a = plain_algorithm(k->key_type, hashes[h]);
        const uint16_t digest_len = (uint16_t)ky_hash_len(hashes[h]);
        const uint16_t room = (uint16_t)(ky_key_info(k->key_type)->bits / 8u - digest_len - 2u);
        const uint16_t salts[] = {0, 20, digest_len, room};

        sign_and_check(v, k, &a);
        for (size_t s = 0; a.scheme == KY_RSA_PKCS1 && s < sizeof(salts) / sizeof(salts[0]); s++) {
            const struct ky_algorithm pss = {.scheme = KY_RSA_PSS,
                                             .hash = hashes[h],
                                             .mgf_hash = hashes[h],
                                             .salt_len = salts[s]};

            sign_and_check(v, k, &pss);
        }
    }
}

static void check_storage(uint8_t storage, bool tuned)
{
    const struct vault_options o = {.cache_keys = 4, .tuned = tuned};
    struct vault v = vault_start(&o);

    for (uint8_t t = 1; t < KY_KEY_TYPE_COUNT; t++) {
        struct test_key k;
        struct ky_status st = vault_generate(&v, t, storage, &k);

        if (t == KY_KEY_ED25519 && storage == KY_STORE_WRAPPED) {
            assert_int_equal(st.code, KY_UNSUPPORTED);
            continue;
        }
        assert_int_equal(st.code, KY_OK);
        check_every_algorithm(&v, &k);
    }
    vault_stop(&v);
}

static void test_wrapped_keys(void **state)
{
    (void)state;
    check_storage(KY_STORE_WRAPPED, false);
}

static void test_wrapped_keys_tuned(void **state)
{
    (void)state;
    check_storage(KY_STORE_WRAPPED, true);
}

static void test_resident_keys(void **state)
{
    (void)state;
    check_storage(KY_STORE_RESIDENT, false);
}

static void test_resident_keys_tuned(void **state)
{
    (void)state;
    check_storage(KY_STORE_RESIDENT, true);
}

/* Blobs and keys on the token mean the same to both kinds of vault, in either direction. */
static void test_tuned_and_stock_meet(void **state)
{
    struct vault vaults[2];
    struct test_key k;

    (void)state;
    for (size_t i = 0; i < 2; i++)
        vaults[i] = vault_start(&(struct vault_options){.cache_keys = 4, .tuned = i == 1});
    for (uint8_t t = 1; t <= KY_KEY_RSA2048; t++) {
        const struct ky_algorithm plain = plain_algorithm(t, KY_SHA256);

        for (size_t from = 0; from < 2; from++) {
            assert_int_equal(vault_generate(&vaults[from], t, KY_STORE_WRAPPED, &k).code, KY_OK);
            sign_and_check(&vaults[1 - from], &k, &plain);
        }
    }
    for (size_t i = 0; i < 2; i++)
        vault_stop(&vaults[i]);
}

/*
 * What one job makes, another signs with: each by its own key, and one key that fails leaves its
 * place empty.
 */
static void test_many_keys_in_one_job(void **state)
{
    struct vault v = vault_start(&(struct vault_options){.cache_keys = 4});
    const struct job_generate_many many = {.key_type = KY_KEY_P256, .count = 5};
    const struct ky_algorithm plain = plain_algorithm(KY_KEY_P256, KY_SHA256);
    struct ky_buf keys = KY_BUF_INIT(KY_RECORD_MAX);
    struct ky_buf items = KY_BUF_INIT(KY_RECORD_MAX);
    uint8_t digests[5][32];
    struct job_r_list made;

    (void)state;
    assert_int_equal(
        vault_call(&v, &job_generate_many_schema, &many, &job_r_list_schema, &made).code, KY_OK);
    ky_buf_put(&keys, made.items.data, made.items.len);
    struct ky_reader r = ky_reader(ky_buf_span(&keys));
    for (unsigned i = 0; i < 5; i++) {
        struct ky_buf item = KY_BUF_INIT(KY_RECORD_MAX);

        memset(digests[i], (int)i + 1, 32);
        struct job_sign one = {.purpose = KY_PURPOSE_CITIZEN,
                               .storage = KY_STORE_WRAPPED,
                               .key_type = KY_KEY_P256,
                               .scheme = KY_ECDSA,
                               .hash = KY_SHA256,
                               .verify = JOB_VERIFY_ALWAYS,
                               .digests = KY_SPAN_OF(digests[i])};
        one.blob = ky_get_bytes(&r, KY_BLOB_MAX);
        one.public_key = ky_get_bytes(&r, KY_SPKI_MAX);
        if (i == 3)
            one.blob.len -= 8; /* does not unwrap */
        if (i == 4)
            one.purpose = KY_PURPOSE_LEDGER;
        assert_int_equal(ky_msg_encode(&job_sign_schema, &one, &item).code, KY_OK);
        ky_put_bytes(&items, ky_buf_span(&item));
        ky_buf_free(&item);
    }
    assert_true(ky_reader_done(&r));
    const struct job_sign_each each = {.items = ky_buf_span(&items)};
    assert_int_equal(vault_call(&v, &job_sign_each_schema, &each, &job_r_list_schema, &made).code,
                     KY_OK);
    struct ky_reader signatures = ky_reader(made.items);
    r = ky_reader(ky_buf_span(&keys));
    for (unsigned i = 0; i < 5; i++) {
        struct ky_span raw = ky_get_bytes(&signatures, KY_SIG_MAX);

        (void)ky_get_bytes(&r, KY_BLOB_MAX);
        struct ky_span spki = ky_get_bytes(&r, KY_SPKI_MAX);
        assert_int_equal(raw.len, i < 3 ? 64 : 0);
        assert_true(i >= 3 || independently_verified(spki, KY_KEY_P256, &plain,
                                                     KY_SPAN_OF(digests[i]), raw));
    }
    assert_true(ky_reader_done(&signatures));
    const struct job_generate_many too_many = {.key_type = KY_KEY_P256, .count = 65};
    assert_int_equal(
        vault_call(&v, &job_generate_many_schema, &too_many, &job_r_list_schema, &made).code,
        KY_INVALID);
    ky_buf_free(&items);
    ky_buf_free(&keys);
    vault_stop(&v);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrapped_keys),         cmocka_unit_test(test_wrapped_keys_tuned),
        cmocka_unit_test(test_resident_keys),        cmocka_unit_test(test_resident_keys_tuned),
        cmocka_unit_test(test_tuned_and_stock_meet), cmocka_unit_test(test_many_keys_in_one_job),
    };

    harness_maybe_vault(argc, argv);
    return cmocka_run_group_tests(tests, harness_token_setup, harness_token_teardown);
}
