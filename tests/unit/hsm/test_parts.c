/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of hsm/ that need no token: the CK_RV table, SubjectPublicKeyInfo both ways
 * against OpenSSL's own encoder, the verifier, the map of residents, the cache over a counting
 * stand-in for the module, and the environment that a module is given.
 */
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache.h"
#include "ckr.h"
#include "resident.h"
#include "spki.h"
#include "verify.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void test_ckr_classes(void **state)
{
    static const struct {
        CK_RV rv;
        enum ky_code code;
    } rows[] = {
        {CKR_OK, KY_OK},
        {CKR_DATA_LEN_RANGE, KY_TOKEN_REQUEST},
        {CKR_KEY_HANDLE_INVALID, KY_TOKEN_REQUEST},
        {CKR_KEY_FUNCTION_NOT_PERMITTED, KY_TOKEN_REQUEST},
        {CKR_SESSION_HANDLE_INVALID, KY_TOKEN_SESSION},
        {CKR_OPERATION_ACTIVE, KY_TOKEN_SESSION},
        {CKR_DEVICE_MEMORY, KY_BUSY},
        {CKR_PIN_INCORRECT, KY_TOKEN_LOGIN},
        {CKR_PIN_LOCKED, KY_TOKEN_LOGIN},
        {CKR_USER_NOT_LOGGED_IN, KY_TOKEN_LOGIN},
        {CKR_DEVICE_ERROR, KY_TOKEN_MODULE},
        {CKR_TOKEN_NOT_PRESENT, KY_TOKEN_MODULE},
        {CKR_VENDOR_DEFINED + 7, KY_TOKEN_SESSION},
        {0x7777, KY_TOKEN_SESSION},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ky_status st = hsm_ckr_status(rows[i].rv);

        assert_int_equal(st.code, rows[i].code);
        assert_int_equal(st.cause, (uint32_t)rows[i].rv);
    }
    assert_int_equal(hsm_ckr_class(CKR_VENDOR_DEFINED + 7), HSM_CLASS_RETRY);
    assert_int_equal(hsm_ckr_class(CKR_KEY_FUNCTION_NOT_PERMITTED), HSM_CLASS_HANDLE);
    assert_string_equal(hsm_ckr_name(CKR_PIN_INCORRECT), "CKR_PIN_INCORRECT");
    assert_string_equal(hsm_ckr_name(0x7777), "CKR_VENDOR");
}

static EVP_PKEY *new_key(uint8_t key_type)
{
    const struct ky_key_info *info = ky_key_info(key_type);

    if (key_type == KY_KEY_ED25519)
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    return info->scheme == KY_ECDSA ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", info->curve)
                                    : EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)info->bits);
}

static size_t encode(EVP_PKEY *key, uint8_t out[KY_SPKI_MAX])
{
    uint8_t *p = out;
    int len = i2d_PUBKEY(key, NULL);

    assert_in_range(len, 1, KY_SPKI_MAX);
    assert_int_equal(i2d_PUBKEY(key, &p), len);
    return (size_t)len;
}

/*
 * What OpenSSL encodes, we parse; what we build from the parts is what OpenSSL encoded; no flipped
 * structure passes.
 */
static void test_spki_round_trip(void **state)
{
    static const uint8_t types[] = {KY_KEY_P256, KY_KEY_P384, KY_KEY_RSA2048, KY_KEY_RSA3072,
                                    KY_KEY_ED25519};

    (void)state;
    for (size_t i = 0; i < COUNT(types); i++) {
        EVP_PKEY *key = new_key(types[i]);
        uint8_t der[KY_SPKI_MAX];
        uint8_t built[KY_SPKI_MAX];
        size_t len = encode(key, der);
        size_t built_len = 0;
        struct hsm_public p;

        assert_int_equal(hsm_spki_parse(types[i], KY_SPAN(der, len), &p).code, KY_OK);
        if (p.modulus.len > 0)
            assert_int_equal(
                hsm_spki_from_rsa(types[i], p.modulus, p.exponent, built, &built_len).code, KY_OK);
        else
            assert_int_equal(hsm_spki_from_point(types[i], p.point, built, &built_len).code, KY_OK);
        assert_int_equal(built_len, len);
        assert_memory_equal(built, der, len);
        for (uint8_t other = 1; other < KY_KEY_TYPE_COUNT; other++) {
            if (other != types[i])
                assert_int_equal(hsm_spki_parse(other, KY_SPAN(der, len), &p).code, KY_INVALID);
        }
        for (size_t cut = 0; cut < len; cut++)
            assert_int_equal(hsm_spki_parse(types[i], KY_SPAN(der, cut), &p).code, KY_INVALID);
        for (size_t at = 0; at < 12; at++) { /* the algorithm and every length before it */
            der[at] ^= 0x01;
            assert_int_equal(hsm_spki_parse(types[i], KY_SPAN(der, len), &p).code, KY_INVALID);
            der[at] ^= 0x01;
        }
        EVP_PKEY_free(key);
    }
}

/* CKA_EC_POINT comes in three dresses; 04 begins both an OCTET STRING and an uncompressed point. */
static void test_ec_point_forms(void **state)
{
    EVP_PKEY *key = new_key(KY_KEY_P256);
    uint8_t der[KY_SPKI_MAX];
    uint8_t out[KY_SPKI_MAX];
    uint8_t form[80];
    size_t out_len = 0;
    size_t len = encode(key, der);
    const uint8_t *point = der + len - 65;

    (void)state;
    assert_int_equal(hsm_spki_from_point(KY_KEY_P256, KY_SPAN(point, 65), out, &out_len).code,
                     KY_OK);
    assert_memory_equal(out, der, len);
    form[0] = 0x04;
    form[1] = 65;
    memcpy(form + 2, point, 65);
    assert_int_equal(hsm_spki_from_point(KY_KEY_P256, KY_SPAN(form, 67), out, &out_len).code,
                     KY_OK);
    assert_memory_equal(out, der, len);
    form[0] = 0x03;
    form[1] = 66;
    form[2] = 0;
    memcpy(form + 3, point, 65);
    assert_int_equal(hsm_spki_from_point(KY_KEY_P256, KY_SPAN(form, 68), out, &out_len).code,
                     KY_OK);
    assert_memory_equal(out, der, len);
    form[2] = 1;
    assert_int_equal(hsm_spki_from_point(KY_KEY_P256, KY_SPAN(form, 68), out, &out_len).code,
                     KY_INVALID);
    assert_int_equal(hsm_spki_from_point(KY_KEY_P256, KY_SPAN(point, 64), out, &out_len).code,
                     KY_INVALID);
    memcpy(form, point, 65);
    form[0] = 0x02;
    assert_int_equal(hsm_spki_from_point(KY_KEY_P256, KY_SPAN(form, 65), out, &out_len).code,
                     KY_INVALID);
    EVP_PKEY_free(key);
}

/* One verifier, many keys: re-pointing must not leave the last key's answers behind. */
static void test_verifier_follows_its_key(void **state)
{
    const struct ky_algorithm a = {.scheme = KY_ECDSA, .hash = KY_SHA256};
    struct hsm_verifier v = {.key_type = KY_KEY_NONE};
    uint8_t spki[3][KY_SPKI_MAX];
    uint8_t raw[3][64];
    uint8_t digest[32] = {5};
    size_t len[3];

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        EVP_PKEY *key = new_key(KY_KEY_P256);
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
        uint8_t der[80];
        size_t der_len = sizeof(der);

        len[i] = encode(key, spki[i]);
        assert_int_equal(EVP_PKEY_sign_init(ctx), 1);
        assert_int_equal(EVP_PKEY_sign(ctx, der, &der_len, digest, sizeof(digest)), 1);
        assert_int_equal(ky_ecdsa_der_to_raw(KY_SPAN(der, der_len), 32, raw[i]).code, KY_OK);
        EVP_PKEY_CTX_free(ctx);
        EVP_PKEY_free(key);
    }
    assert_int_equal(hsm_verify(&v, &a, KY_SPAN_OF(digest), KY_SPAN_OF(raw[0])).code,
                     KY_TOKEN_WRONG_SIGNATURE);
    for (size_t step = 0; step < 30; step++) {
        size_t k = step * 7 % 3;

        assert_int_equal(hsm_verifier_set_key(&v, KY_KEY_P256, KY_SPAN(spki[k], len[k])).code,
                         KY_OK);
        for (size_t s = 0; s < 3; s++)
            assert_int_equal(hsm_verify(&v, &a, KY_SPAN_OF(digest), KY_SPAN_OF(raw[s])).code,
                             s == k ? KY_OK : KY_TOKEN_WRONG_SIGNATURE);
    }
    spki[0][len[0] - 1] ^= 1; /* not on the curve: and then there is no key, not the old one */
    assert_int_equal(hsm_verifier_set_key(&v, KY_KEY_P256, KY_SPAN(spki[0], len[0])).code,
                     KY_INVALID);
    for (size_t s = 0; s < 3; s++)
        assert_int_equal(hsm_verify(&v, &a, KY_SPAN_OF(digest), KY_SPAN_OF(raw[s])).code,
                         KY_TOKEN_WRONG_SIGNATURE);
    assert_int_equal(hsm_verifier_set_key(&v, KY_KEY_P256, KY_SPAN(spki[1], len[1])).code, KY_OK);
    assert_int_equal(hsm_verify(&v, &a, KY_SPAN_OF(digest), KY_SPAN_OF(raw[1])).code, KY_OK);
    hsm_verifier_wipe(&v);
}

/* A module that only counts: bit per destroyed handle. */
static uint64_t destroyed;
static unsigned destroy_calls;

static CK_RV count_destroy(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object)
{
    (void)s;
    assert_true(object > 0 && object < 64);
    assert_int_equal(destroyed >> object & 1, 0); /* never twice */
    destroyed |= 1ull << object;
    destroy_calls++;
    return CKR_OK;
}

static CK_FUNCTION_LIST counting = {.C_DestroyObject = count_destroy};
static struct hsm_module module = {.fn = &counting};

static void put(struct hsm_cache *c, const struct hsm_session *s, uint32_t row, uint32_t epoch,
                CK_OBJECT_HANDLE h)
{
    struct hsm_cached *e = hsm_cache_put(c, s, row, epoch, h);

    assert_non_null(e);
    hsm_cache_release(c, s, e, false);
}

static bool gone(CK_OBJECT_HANDLE h)
{
    return destroyed >> h & 1;
}

static void test_cache_destroys_each_handle_once(void **state)
{
    const struct hsm_session s = {.module = &module, .handle = 1, .serial = 1};
    const struct hsm_session other = {.module = &module, .handle = 2, .serial = 2};
    struct hsm_cache *c = hsm_cache_new(3);
    struct hsm_cached *pinned = NULL;

    (void)state;
    destroyed = 0;
    put(c, &s, 1, 1, 11);
    put(c, &s, 2, 1, 12);
    put(c, &s, 3, 1, 13);
    put(c, &s, 4, 1, 14);
    assert_true(gone(11)); /* the oldest made room */
    assert_int_equal(hsm_cache_count(c), 3);
    assert_null(hsm_cache_get(c, 1, 1));
    put(c, &s, 4, 2, 15);
    assert_true(gone(14)); /* an older epoch */
    assert_null(hsm_cache_get(c, 4, 1));
    pinned = hsm_cache_get(c, 2, 1);
    assert_int_equal(hsm_cached_handle(pinned), 12);
    hsm_cache_forget_row(c, &s, 2);
    assert_null(hsm_cache_get(c, 2, 1));
    assert_false(gone(12)); /* in use: later */
    hsm_cache_release(c, &s, pinned, false);
    assert_true(gone(12));
    pinned = hsm_cache_get(c, 3, 1);
    hsm_cache_release(c, &s, pinned, true);
    assert_true(gone(13)); /* dropped */
    put(c, &other, 5, 1, 20);
    pinned = hsm_cache_put(c, &other, 6, 1, 21);
    assert_true(hsm_cached_alive(c, pinned));
    hsm_cache_forget_session(
        c, 2); /* the token freed these itself: the numbers may be someone else's by now */
    assert_null(hsm_cache_get(c, 5, 1));
    assert_null(hsm_cache_get(c, 6, 1));
    assert_false(hsm_cached_alive(c, pinned));
    hsm_cache_release(c, &s, pinned, true);
    assert_false(gone(20) || gone(21));
    assert_int_equal(hsm_cache_count(c), 1);
    put(c, &s, 7, 1, 22);
    put(c, &s, 8, 1, 23);
    pinned = hsm_cache_get(c, 4, 2); /* the oldest is in use: shrinking passes it by */
    hsm_cache_shrink(c, &s);
    assert_int_equal(hsm_cache_count(c), 1);
    assert_true(gone(22) && gone(23) && !gone(15));
    hsm_cache_release(c, &s, pinned, false);
    hsm_cache_free(c);
}

static void test_cache_full_of_pins(void **state)
{
    const struct hsm_session s = {.module = &module, .handle = 1, .serial = 1};
    struct hsm_cache *c = hsm_cache_new(2);

    (void)state;
    destroyed = 0;
    struct hsm_cached *a = hsm_cache_put(c, &s, 1, 1, 31);
    struct hsm_cached *b = hsm_cache_put(c, &s, 2, 1, 32);
    assert_null(hsm_cache_put(c, &s, 3, 1, 33)); /* the caller keeps it */
    assert_int_equal(destroyed, 0);
    hsm_cache_release(c, &s, a, false);
    struct hsm_cached *d = hsm_cache_put(c, &s, 3, 1, 33);
    assert_non_null(d);
    assert_true(gone(31));
    hsm_cache_release(c, &s, b, false);
    hsm_cache_release(c, &s, d, false);
    hsm_cache_free(c);
}

/* A handle that was found again meanwhile has proved nothing by what the one before it signed. */
static void test_verified_is_said_of_one_handle(void **state)
{
    const struct hsm_session s = {.module = &module, .handle = 1, .serial = 1};
    static const uint8_t id[HSM_KEY_ID] = {1, 2, 3}, none[32], spki[32] = {9};
    struct hsm_residents *r = hsm_residents_new(HSM_LABEL_CITIZEN);
    CK_OBJECT_HANDLE key = 0;
    uint8_t verified[32];

    (void)state;
    assert_true(ky_ok(hsm_residents_add(r, KY_SPAN_OF(id), 5)));
    hsm_residents_forget(r, KY_SPAN_OF(id)); /* by a thread to which 5 failed */
    assert_true(ky_ok(hsm_residents_add(r, KY_SPAN_OF(id), 6)));
    /* by one that had signed with 5 before */
    hsm_residents_set_verified(r, KY_SPAN_OF(id), 5, spki);
    assert_true(ky_ok(hsm_residents_find(r, &s, KY_SPAN_OF(id), &key, verified)));
    assert_int_equal(key, 6);
    assert_memory_equal(verified, none, sizeof(none));
    hsm_residents_set_verified(r, KY_SPAN_OF(id), 6, spki);
    assert_true(ky_ok(hsm_residents_find(r, &s, KY_SPAN_OF(id), &key, verified)));
    assert_memory_equal(verified, spki, sizeof(spki));
    hsm_residents_free(r);
}

/* The table grows under what it holds, and what was forgotten stays so. */
static void test_residents_by_the_hundred(void **state)
{
    enum { MANY = 700 };
    const struct hsm_session s = {.module = &module, .handle = 1, .serial = 1};
    struct hsm_residents *r = hsm_residents_new(HSM_LABEL_CITIZEN);
    CK_OBJECT_HANDLE key = 0;
    uint8_t id[HSM_KEY_ID] = {0}, verified[32];

    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        memcpy(id, &(uint32_t){i * 2654435761u}, 4);
        assert_true(ky_ok(hsm_residents_add(r, KY_SPAN_OF(id), i + 1)));
        if (i % 3 == 0)
            hsm_residents_forget(r, KY_SPAN_OF(id));
    }
    assert_int_equal(hsm_residents_count(r), MANY - (MANY + 2) / 3);
    for (unsigned i = 0; i < MANY; i++) {
        memcpy(id, &(uint32_t){i * 2654435761u}, 4);
        if (i % 3 == 0)
            continue;
        assert_true(ky_ok(hsm_residents_find(r, &s, KY_SPAN_OF(id), &key, verified)));
        assert_int_equal(key, i + 1);
    }
    assert_int_equal(hsm_residents_add(r, KY_SPAN(id, 15), 1).code, KY_INVALID);
    assert_int_equal(hsm_residents_find(r, &s, KY_SPAN(id, 15), &key, verified).code, KY_INVALID);
    hsm_residents_free(r);
}

/* 20 000 steps against a plain model: every handle is either found or destroyed, never both. */
static void test_cache_against_a_model(void **state)
{
    const struct hsm_session s = {.module = &module, .handle = 1, .serial = 1};
    struct hsm_cache *c = hsm_cache_new(5);
    CK_OBJECT_HANDLE of_row[16] = {0};
    CK_OBJECT_HANDLE next = 1;
    uint32_t seed = 12345;

    (void)state;
    destroyed = 0;
    destroy_calls = 0;
    for (size_t step = 0; step < 20000; step++) {
        seed = seed * 1664525u + 1013904223u;
        uint32_t row = seed >> 28;
        struct hsm_cached *e = hsm_cache_get(c, row, 1);

        if (e != NULL) {
            assert_int_equal(hsm_cached_handle(e), of_row[row]);
            assert_false(gone(of_row[row]));
            hsm_cache_release(c, &s, e, (seed >> 20 & 7) == 0);
            continue;
        }
        assert_true(of_row[row] == 0 || gone(of_row[row]));
        next = next % 63 + 1;
        for (uint32_t r = 0; r < 16;
             r++) /* a number comes round again only once its handle is gone */
            if (of_row[r] == next) {
                assert_true(gone(next));
                of_row[r] = 0;
            }
        destroyed &= ~(1ull << next);
        put(c, &s, row, 1, next);
        of_row[row] = next;
        assert_in_range(hsm_cache_count(c), 1, 5);
    }
    assert_in_range(destroy_calls, 1000, 20000);
    hsm_cache_free(c);
}

/* Before the module is there: what it reads in its constructors would be too late otherwise. */
static void test_nss_is_told_to_keep_no_copy(void **state)
{
    const struct hsm_config config = {.module = "/nonexistent/module.so", .init_args = "x"};
    struct hsm_module m;

    (void)state;
    assert_int_equal(unsetenv("NSS_SDB_USE_CACHE"), 0);
    assert_int_equal(hsm_module_open(&config, &m).code, KY_TOKEN_MODULE);
    assert_string_equal(getenv("NSS_SDB_USE_CACHE"), "no");
    assert_int_equal(setenv("NSS_SDB_USE_CACHE", "auto", 1), 0); /* the operator's word stays */
    assert_int_equal(hsm_module_open(&config, &m).code, KY_TOKEN_MODULE);
    assert_string_equal(getenv("NSS_SDB_USE_CACHE"), "auto");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ckr_classes),
        cmocka_unit_test(test_spki_round_trip),
        cmocka_unit_test(test_ec_point_forms),
        cmocka_unit_test(test_verifier_follows_its_key),
        cmocka_unit_test(test_cache_destroys_each_handle_once),
        cmocka_unit_test(test_cache_full_of_pins),
        cmocka_unit_test(test_cache_against_a_model),
        cmocka_unit_test(test_verified_is_said_of_one_handle),
        cmocka_unit_test(test_residents_by_the_hundred),
        cmocka_unit_test(test_nss_is_told_to_keep_no_copy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
