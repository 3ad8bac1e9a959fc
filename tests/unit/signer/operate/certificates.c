/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys, signatures and certificates by OpenSSL's own means, so that the code under test is not its
 * own judge.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "certificates.h"
#include "kyso/alg.h"

EVP_PKEY *test_key(uint8_t key_type)
{
    EVP_PKEY *key = NULL;

    switch (key_type) {
    case KY_KEY_P256:
        key = EVP_EC_gen("P-256");
        break;
    case KY_KEY_P384:
        key = EVP_EC_gen("P-384");
        break;
    case KY_KEY_RSA2048:
        key = EVP_RSA_gen(2048);
        break;
    case KY_KEY_ED25519:
        key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        break;
    default:
        break;
    }
    assert_non_null(key);
    return key;
}

size_t test_spki(EVP_PKEY *key, uint8_t out[700])
{
    uint8_t *p = out;
    int n = i2d_PUBKEY(key, &p);

    assert_true(n > 0 && n <= 700);
    return (size_t)n;
}

static size_t der_to_raw(EVP_PKEY *key, struct ky_span der, uint8_t *out)
{
    const uint8_t *p = der.data;
    int half = (EVP_PKEY_get_bits(key) + 7) / 8;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)der.len);

    assert_non_null(sig);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, half), half);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + half, half), half);
    ECDSA_SIG_free(sig);
    return (size_t)half * 2;
}

size_t test_sign_digest(EVP_PKEY *key, const char *hash, struct ky_span digest, uint8_t out[512])
{
    uint8_t sig[512];
    size_t n = sizeof(sig);

    if (EVP_PKEY_is_a(key, "ED25519"))
        return test_sign_message(key, digest, out);
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(key, NULL);
    assert_int_equal(EVP_PKEY_sign_init(c), 1);
    assert_int_equal(EVP_PKEY_CTX_set_signature_md(c, EVP_get_digestbyname(hash)), 1);
    assert_int_equal(EVP_PKEY_sign(c, sig, &n, digest.data, digest.len), 1);
    EVP_PKEY_CTX_free(c);
    if (EVP_PKEY_is_a(key, "EC"))
        return der_to_raw(key, KY_SPAN(sig, n), out);
    memcpy(out, sig, n);
    return n;
}

size_t test_sign_message(EVP_PKEY *key, struct ky_span message, uint8_t out[128])
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    size_t n = 128;
    const EVP_MD *md = EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256();

    assert_int_equal(EVP_DigestSignInit(c, NULL, md, NULL, key), 1);
    assert_int_equal(EVP_DigestSign(c, out, &n, message.data, message.len), 1);
    EVP_MD_CTX_free(c);
    return n;
}

static void set_name(X509_NAME *name, const char *cn)
{
    assert_int_equal(
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)cn, -1, -1, 0), 1);
}

static void add_extension(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    assert_non_null(e);
    assert_int_equal(X509_add_ext(x, e, -1), 1);
    X509_EXTENSION_free(e);
}

/* An issuer gives no number twice. */
static uint64_t next_serial(void)
{
    uint64_t serial = 0;

    assert_int_equal(RAND_bytes((uint8_t *)&serial, sizeof(serial)), 1);
    return serial >> 1;
}

size_t test_certificate(const struct test_certificate *t, uint8_t out[4096])
{
    X509 *x = X509_new();
    uint8_t *p = out;

    assert_int_equal(X509_set_version(x, X509_VERSION_3), 1);
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), t->serial != 0 ? t->serial : next_serial());
    X509_gmtime_adj(X509_getm_notBefore(x), t->from_s);
    X509_gmtime_adj(X509_getm_notAfter(x), t->to_s);
    set_name(X509_get_subject_name(x), t->subject);
    set_name(X509_get_issuer_name(x), t->issuer);
    assert_int_equal(X509_set_pubkey(x, t->key), 1);
    if (t->is_ca)
        add_extension(x, NID_basic_constraints, "critical,CA:TRUE");
    if (t->key_usage != NULL)
        add_extension(x, NID_key_usage, t->key_usage);
    const EVP_MD *md = EVP_PKEY_is_a(t->issuer_key, "ED25519") ? NULL : EVP_sha256();
    assert_true(X509_sign(x, t->issuer_key, md) > 0);
    int n = i2d_X509(x, &p);
    assert_true(n > 0 && n <= 4096);
    X509_free(x);
    return (size_t)n;
}
