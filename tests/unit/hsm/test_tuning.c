/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the default OpenSSL context can and cannot do once tuning is on. In a program of its own: it
 * cannot be undone. That PKCS#8 takes the short way is seen from the key that comes out: only
 * OpenSSL's own parser makes a legacy one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/x509.h>

#include "tuning.h"
#include "verify.h"

struct made { /* a key pair and its two encodings, from a context that tuning has not touched */
    OSSL_LIB_CTX *apart;
    EVP_PKEY *key;
    uint8_t spki[KY_SPKI_MAX];
    size_t spki_len;
    uint8_t pkcs8[4096];
    size_t pkcs8_len;
};

static struct made make(const char *kind, const char *curve)
{
    struct made m = {.apart = OSSL_LIB_CTX_new()};
    uint8_t *p = m.spki;
    PKCS8_PRIV_KEY_INFO *info = NULL;

    assert_non_null(m.apart);
    m.key = curve != NULL ? EVP_PKEY_Q_keygen(m.apart, NULL, kind, curve)
                          : EVP_PKEY_Q_keygen(m.apart, NULL, kind, (size_t)2048);
    assert_non_null(m.key);
    m.spki_len = (size_t)i2d_PUBKEY(m.key, &p);
    info = EVP_PKEY2PKCS8(m.key);
    assert_non_null(info);
    p = m.pkcs8;
    m.pkcs8_len = (size_t)i2d_PKCS8_PRIV_KEY_INFO(info, &p);
    PKCS8_PRIV_KEY_INFO_free(info);
    return m;
}

static void unmake(struct made *m)
{
    EVP_PKEY_free(m->key);
    OSSL_LIB_CTX_free(m->apart);
}

/* As the token does it: in the default context. */
static EVP_PKEY *from_pkcs8(const struct made *m)
{
    const uint8_t *p = m->pkcs8;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)m->pkcs8_len);
    EVP_PKEY *key = EVP_PKCS82PKEY(info);

    PKCS8_PRIV_KEY_INFO_free(info);
    assert_non_null(key);
    return key;
}

static void check_short_way(const char *kind, const char *curve)
{
    struct made m = make(kind, curve);
    EVP_PKEY *key = from_pkcs8(&m);

    assert_null(EVP_PKEY_get0_provider(key));
    assert_int_equal(EVP_PKEY_eq(key, m.key), 1);
    EVP_PKEY_free(key);
    unmake(&m);
}

static void test_pkcs8_takes_the_short_way(void **state)
{
    (void)state;
    check_short_way("EC", "P-256");
    check_short_way("EC", "P-384");
    check_short_way("RSA", NULL);
}

static void test_default_context_reads_no_der(void **state)
{
    struct made m = make("EC", "P-256");
    const uint8_t *p = m.spki;

    (void)state;
    assert_null(d2i_PUBKEY(NULL, &p, (long)m.spki_len));
    ERR_clear_error();
    p = m.spki;
    EVP_PKEY *key = d2i_PUBKEY_ex(NULL, &p, (long)m.spki_len, m.apart, NULL);
    assert_non_null(key);
    EVP_PKEY_free(key);
    unmake(&m);
}

/* What nobody here asks for is not there, or listing it would cost as much as before. */
static void test_default_context_is_narrow(void **state)
{
    EVP_CIPHER *strange = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    EVP_CIPHER *needed = EVP_CIPHER_fetch(NULL, "AES-256-WRAP-PAD", NULL);

    (void)state;
    assert_null(strange);
    assert_non_null(needed);
    EVP_CIPHER_free(needed);
    ERR_clear_error();
}

static void test_verifies_by_numbers(void **state)
{
    static const uint8_t digest[32] = {7};
    const struct ky_algorithm a = {.scheme = KY_ECDSA, .hash = KY_SHA256};
    struct made m = make("EC", "P-256");
    struct made other = make("EC", "P-256");
    struct hsm_verifier v = {.key = NULL};
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(m.apart, m.key, NULL);
    uint8_t der[KY_SIG_MAX];
    uint8_t raw[64];
    size_t len = sizeof(der);

    (void)state;
    assert_int_equal(EVP_PKEY_sign_init(ctx), 1);
    assert_int_equal(EVP_PKEY_sign(ctx, der, &len, digest, sizeof(digest)), 1);
    assert_int_equal(ky_ecdsa_der_to_raw(KY_SPAN(der, len), 32, raw).code, KY_OK);
    assert_int_equal(hsm_verifier_set_key(&v, KY_KEY_P256, KY_SPAN(m.spki, m.spki_len)).code,
                     KY_OK);
    assert_int_equal(hsm_verify(&v, &a, KY_SPAN_OF(digest), KY_SPAN_OF(raw)).code, KY_OK);
    assert_int_equal(
        hsm_verifier_set_key(&v, KY_KEY_P256, KY_SPAN(other.spki, other.spki_len)).code, KY_OK);
    assert_int_equal(hsm_verify(&v, &a, KY_SPAN_OF(digest), KY_SPAN_OF(raw)).code,
                     KY_TOKEN_WRONG_SIGNATURE);
    hsm_verifier_wipe(&v);
    EVP_PKEY_CTX_free(ctx);
    unmake(&other);
    unmake(&m);
}

static int tune(void **state)
{
    bool effective = false;

    (void)state;
    return hsm_tuning_apply(&effective).code == KY_OK && effective ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pkcs8_takes_the_short_way),
        cmocka_unit_test(test_default_context_reads_no_der),
        cmocka_unit_test(test_default_context_is_narrow),
        cmocka_unit_test(test_verifies_by_numbers),
    };

    return cmocka_run_group_tests(tests, tune, NULL);
}
