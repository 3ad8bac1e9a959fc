/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a vault must not do: sign with a key of another purpose, type or owner, or let
 * go of a signature that the job's public key does not verify (I1, I7).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "harness.h"
#include "kyso/secret.h"

static struct vault v;
static struct test_key alice, bob, seal, rsa;
static uint8_t digest[32];

static struct ky_status sign_status(const struct job_sign *job)
{
    struct job_r_sign r;

    return vault_call(&v, &job_sign_schema, job, &job_r_sign_schema, &r);
}

static struct job_sign job_of(const struct test_key *k)
{
    struct ky_algorithm a = plain_algorithm(k->key_type, KY_SHA256);

    return sign_job(k, &a, KY_SPAN_OF(digest));
}

static void test_sound_jobs_sign(void **state)
{
    const struct test_key *keys[] = {&alice, &bob, &seal, &rsa};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct job_sign job = job_of(keys[i]);

        assert_int_equal(sign_status(&job).code, KY_OK);
    }
}

static void test_purposes(void **state)
{
    static const uint8_t refused[] = {KY_PURPOSE_NONE, KY_PURPOSE_TLS, KY_PURPOSE_ROOT, 77};
    struct job_sign job = job_of(&alice);

    (void)state;
    for (size_t i = 0; i < sizeof(refused); i++) {
        job.purpose = refused[i];
        assert_int_equal(sign_status(&job).code, KY_TOKEN_REQUEST);
    }
    /* A ledger job cannot name a citizen's key, and a citizen's job cannot name the ledger's. */
    job.purpose = KY_PURPOSE_LEDGER;
    assert_int_equal(sign_status(&job).code, KY_TOKEN_REQUEST);
    job.blob = KY_SPAN(NULL, 0);
    assert_int_equal(sign_status(&job).code, KY_TOKEN_REQUEST);
    job = job_of(&seal);
    job.blob = KY_SPAN((const uint8_t *)HSM_LABEL_LEDGER, strlen(HSM_LABEL_LEDGER));
    assert_int_equal(sign_status(&job).code, KY_TOKEN_REQUEST);
}

static void test_ledger_signs_a_message_whole(void **state)
{
    const struct job_plain ask = {.generation = 3, .attempt = 2};
    static const uint8_t message[] = "kyso.example/ledger\n7\nAAAA\n";
    struct job_sign job = {.generation = 3,
                           .purpose = KY_PURPOSE_LEDGER,
                           .digests = KY_SPAN(message, sizeof(message) - 1)};
    struct job_r_info info;
    struct job_r_sign r;
    uint8_t spki[KY_SPKI_MAX];
    const struct ky_algorithm a = {.scheme = KY_EDDSA, .hash = KY_SHA256};

    (void)state;
    assert_int_equal(vault_call(&v, &job_info_schema, &ask, &job_r_info_schema, &info).code, KY_OK);
    assert_int_equal(info.ledger_key_type, KY_KEY_ED25519);
    assert_int_equal(info.key_types, 0x7e);
    assert_int_equal(info.wrappable, 0x3e);
    assert_int_equal(info.pss, 1);
    assert_non_null(memmem(info.token.data, info.token.len, "kyso-test", 9));
    memcpy(spki, info.ledger_key.data, info.ledger_key.len);
    struct ky_span key = KY_SPAN(spki, info.ledger_key.len);
    assert_int_equal(vault_call(&v, &job_sign_schema, &job, &job_r_sign_schema, &r).code, KY_OK);
    assert_int_equal(r.count, 1);
    assert_true(independently_verified(key, KY_KEY_ED25519, &a, job.digests, r.signatures));
    job.public_key = KY_SPAN(alice.spki, alice.spki_len);
    assert_int_equal(sign_status(&job).code, KY_TOKEN_REQUEST);
    job.public_key = KY_SPAN(NULL, 0);
    assert_int_equal(sign_status(&job).code, KY_OK);
    job.blob = KY_SPAN(alice.blob,
                       alice.blob_len); /* a key named beside the ledger's: refused, not ignored */
    assert_int_equal(sign_status(&job).code, KY_TOKEN_REQUEST);
}

static void test_algorithm_must_fit_the_key(void **state)
{
    struct job_sign job = job_of(&alice);

    (void)state;
    job.scheme = KY_RSA_PKCS1; /* a token takes this until C_Sign */
    assert_int_equal(sign_status(&job).code, KY_INVALID);
    job.scheme = KY_EDDSA;
    assert_int_equal(sign_status(&job).code, KY_INVALID);
    job = job_of(&rsa);
    job.scheme = KY_ECDSA;
    assert_int_equal(sign_status(&job).code, KY_INVALID);
    job = job_of(&rsa);
    job.scheme = KY_RSA_PSS;
    job.salt_len = 256 - 32 - 1;
    assert_int_equal(sign_status(&job).code, KY_INVALID);
    job.salt_len = 32;
    job.mgf_hash = KY_SHA512;
    assert_int_equal(sign_status(&job).code, KY_INVALID);
    job = job_of(&alice);
    job.digests.len = 31;
    assert_int_equal(sign_status(&job).code, KY_INVALID);
    job.digests.len = 0;
    assert_int_equal(sign_status(&job).code, KY_INVALID);
    job = job_of(&alice);
    job.verify = 0;
    assert_int_equal(sign_status(&job).code, KY_INVALID);
    job = job_of(&alice);
    job.storage = 9;
    assert_int_equal(sign_status(&job).code, KY_INVALID);
}

/*
 * A key said to be of another type: the public key does not parse as one, or the blob does not sign
 * as one.
 */
static void test_wrong_key_type(void **state)
{
    struct job_sign job = job_of(&alice);

    (void)state;
    job.key_type = KY_KEY_P384;
    job.key_epoch = 40;
    assert_int_equal(sign_status(&job).code, KY_INVALID);
    job = job_of(&rsa);
    job.blob = KY_SPAN(alice.blob, alice.blob_len);
    job.key_epoch = 41;
    assert_int_not_equal(sign_status(&job).code, KY_OK);
}

static void test_flipped_blob(void **state)
{
    struct test_key bad = alice;

    (void)state;
    for (size_t at = 0; at < bad.blob_len; at += 7) {
        struct job_sign job = job_of(&bad);

        job.key_row = 90000;
        bad.blob[at] ^= 0x10;
        assert_int_equal(sign_status(&job).code, KY_TOKEN_REQUEST);
        bad.blob[at] ^= 0x10;
    }
    test_sound_jobs_sign(state); /* and the session is as good as before */
}

static void test_swapped_blobs_are_withheld(void **state)
{
    struct job_sign job = job_of(&alice);

    (void)state;
    job.blob = KY_SPAN(bob.blob, bob.blob_len);
    job.key_row = 90001; /* cold: bob's key is unwrapped and signs, and nothing leaves */
    assert_int_equal(sign_status(&job).code, KY_TOKEN_WRONG_SIGNATURE);
    job.verify = JOB_VERIFY_FIRST_USE;
    assert_int_equal(sign_status(&job).code, KY_TOKEN_WRONG_SIGNATURE);
    /* The handle was dropped each time: the right blob under the same name now signs. */
    job.blob = KY_SPAN(alice.blob, alice.blob_len);
    assert_int_equal(sign_status(&job).code, KY_OK);
}

static void test_hot_handle_under_another_public_key(void **state)
{
    struct job_sign job = job_of(&alice);

    (void)state;
    job.verify = JOB_VERIFY_FIRST_USE;
    assert_int_equal(sign_status(&job).code, KY_OK);
    job.public_key = KY_SPAN(bob.spki, bob.spki_len); /* first use was under alice's */
    assert_int_equal(sign_status(&job).code, KY_TOKEN_WRONG_SIGNATURE);
    job = job_of(&seal);
    job.verify = JOB_VERIFY_FIRST_USE;
    assert_int_equal(sign_status(&job).code, KY_OK);
    job.public_key = KY_SPAN(bob.spki, bob.spki_len);
    assert_int_equal(sign_status(&job).code, KY_TOKEN_WRONG_SIGNATURE);
    job.public_key = KY_SPAN(seal.spki, seal.spki_len);
    assert_int_equal(sign_status(&job).code, KY_OK);
}

static void test_public_key_not_on_the_curve(void **state)
{
    struct test_key bad = alice;
    struct job_sign job = job_of(&bad);

    (void)state;
    bad.spki[bad.spki_len - 1] ^= 1;
    assert_int_equal(sign_status(&job).code, KY_INVALID);
    bad.spki_len--;
    job = job_of(&bad);
    assert_int_equal(sign_status(&job).code, KY_INVALID);
}

static void test_derive_knows_three_labels(void **state)
{
    static const char *const labels[] = {"row-mac", "seed-enc", "state"};
    static const char *const refused[] = {"", "row-mac2", "row-ma", "pin", "ROW-MAC"};
    uint8_t first[3][32];
    struct job_r_bytes r;

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        const struct job_derive in = {.generation = 1, .label = ky_span_text(labels[i % 3])};

        assert_int_equal(vault_call(&v, &job_derive_schema, &in, &job_r_bytes_schema, &r).code,
                         KY_OK);
        assert_int_equal(r.value.len, 32);
        if (i < 3)
            memcpy(first[i], r.value.data, 32);
        assert_memory_equal(first[i % 3], r.value.data, 32);
    }
    assert_memory_not_equal(first[0], first[1], 32);
    assert_memory_not_equal(first[1], first[2], 32);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        const struct job_derive in = {.label = ky_span_text(refused[i])};

        assert_int_equal(vault_call(&v, &job_derive_schema, &in, &job_r_bytes_schema, &r).code,
                         KY_TOKEN_REQUEST);
    }
}

static void test_deadline_passed(void **state)
{
    struct job_sign job = job_of(&alice);
    struct job_r_done done;

    (void)state;
    assert_int_equal(ky_channel_send(&v.channel, &job_sign_schema, &job, 555, ky_now_us() - 1).code,
                     KY_OK);
    vault_flush(&v);
    struct ky_record r = vault_next(&v);
    assert_int_equal(r.tag, 555);
    assert_int_equal(ky_msg_decode(&job_r_done_schema, r.payload, &done).code, KY_OK);
    assert_int_equal(done.code, KY_DEADLINE);
}

static void test_malformed_job_is_answered(void **state)
{
    const struct job_plain short_one = {.generation = 1};
    struct job_r_done done;
    struct ky_schema lie = job_info_schema;

    (void)state;
    for (uint16_t type = 0; type < 120;
         type += 7) { /* JOB_SIGN and unknown types, with eight bytes of payload */
        lie.type = type == 0 ? (uint16_t)JOB_SIGN : type;
        if (lie.type == JOB_INFO || lie.type == JOB_FORGET)
            continue;
        vault_post(&v, &lie, &short_one, 600u + type);
        vault_flush(&v);
        struct ky_record r = vault_next(&v);
        assert_int_equal(r.tag, 600u + type);
        assert_int_equal(ky_msg_decode(&job_r_done_schema, r.payload, &done).code, KY_OK);
        assert_int_equal(done.code, KY_INVALID);
    }
}

static int setup(void **state)
{
    const struct vault_options o = {.cache_keys = 8};

    if (harness_token_setup(state) != 0)
        return -1;
    v = vault_start(&o);
    if (!ky_ok(ky_random(digest, sizeof(digest))) ||
        !ky_ok(vault_generate(&v, KY_KEY_P256, KY_STORE_WRAPPED, &alice)) ||
        !ky_ok(vault_generate(&v, KY_KEY_P256, KY_STORE_WRAPPED, &bob)) ||
        !ky_ok(vault_generate(&v, KY_KEY_P256, KY_STORE_RESIDENT, &seal)) ||
        !ky_ok(vault_generate(&v, KY_KEY_RSA2048, KY_STORE_WRAPPED, &rsa)))
        return -1;
    return 0;
}

static int teardown(void **state)
{
    vault_stop(&v);
    return harness_token_teardown(state);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound_jobs_sign),
        cmocka_unit_test(test_purposes),
        cmocka_unit_test(test_ledger_signs_a_message_whole),
        cmocka_unit_test(test_algorithm_must_fit_the_key),
        cmocka_unit_test(test_wrong_key_type),
        cmocka_unit_test(test_flipped_blob),
        cmocka_unit_test(test_swapped_blobs_are_withheld),
        cmocka_unit_test(test_hot_handle_under_another_public_key),
        cmocka_unit_test(test_public_key_not_on_the_curve),
        cmocka_unit_test(test_derive_knows_three_labels),
        cmocka_unit_test(test_deadline_passed),
        cmocka_unit_test(test_malformed_job_is_answered),
    };

    harness_maybe_vault(argc, argv);
    return cmocka_run_group_tests(tests, setup, teardown);
}
