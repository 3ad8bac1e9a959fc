/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CMS with a signature from elsewhere: openssl accepts it, and refuses it once a byte of the
 * content changes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "cli.h"
#include "cms.h"
#include "fixture.h"

static const char content[] =
    "Hop dong so 12\r\nline two\n"; /* mixed line ends: binary stays binary */

static X509 *self_signed(EVP_PKEY *key)
{
    X509 *x = X509_new();
    X509_NAME *name = X509_NAME_new();
    const EVP_MD *md = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();

    assert_non_null(x);
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                                (const unsigned char *)"Signer", -1, -1, 0),
                     1);
    (void)X509_set_version(x, 2);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
    (void)X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    (void)X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    (void)X509_set_subject_name(x, name);
    (void)X509_set_issuer_name(x, name);
    (void)X509_set_pubkey(x, key);
    assert_true(X509_sign(x, key, md) > 0);
    X509_NAME_free(name);
    return x;
}

static void sign_digest(EVP_PKEY *key, const struct ky_algorithm *a, const uint8_t *digest,
                        uint8_t *sig, size_t *n)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);

    assert_int_equal(EVP_PKEY_sign_init(ctx), 1);
    if (a->scheme == KY_RSA_PSS) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, a->salt_len), 1);
    }
    assert_int_equal(
        EVP_PKEY_CTX_set_signature_md(ctx, EVP_get_digestbyname(ky_hash_name(a->hash))), 1);
    assert_int_equal(EVP_PKEY_sign(ctx, sig, n, digest, ky_hash_len(a->hash)), 1);
    EVP_PKEY_CTX_free(ctx);
}

static int verify(const struct fixture *f, const char *data)
{
    char p7s[128], file[128], ca[128];
    const char *argv[] = {"openssl",  "cms", "-verify",  "-binary",   "-inform", "DER",
                          "-in",      p7s,   "-content", file,        "-CAfile", ca,
                          "-purpose", "any", "-out",     "/dev/null", NULL};

    (void)snprintf(p7s, sizeof p7s, "%s/file.p7s", f->dir);
    (void)snprintf(file, sizeof file, "%s/file", f->dir);
    (void)snprintf(ca, sizeof ca, "%s/ca.pem", f->dir);
    assert_true(ky_ok(file_write(file, KY_SPAN((const uint8_t *)data, strlen(data)), 0600)));
    return fixture_run(argv);
}

static void write_parts(const struct fixture *f, X509 *x, struct ky_span der)
{
    char path[128];
    FILE *out;

    (void)snprintf(path, sizeof path, "%s/ca.pem", f->dir);
    out = fopen(path, "w");
    assert_non_null(out);
    assert_int_equal(PEM_write_X509(out, x), 1);
    (void)fclose(out);
    (void)snprintf(path, sizeof path, "%s/file.p7s", f->dir);
    assert_true(ky_ok(file_write(path, der, 0600)));
}

static void accepted_then_refused(const struct fixture *f, EVP_PKEY *key, struct ky_algorithm a)
{
    X509 *x = self_signed(key);
    uint8_t digest[64], to_sign[64], sig[512];
    size_t n = sizeof sig;
    struct cms_content c = {.certificate = x,
                            .chain = &x,
                            .chain_count = 0,
                            .algorithm = a,
                            .signing_time = time(NULL)};
    struct ky_buf der = KY_BUF_INIT(1 << 20);
    struct cms *cms = NULL;
    char changed[sizeof content];

    assert_int_equal(EVP_Digest(content, strlen(content), digest, NULL,
                                EVP_get_digestbyname(ky_hash_name(a.hash)), NULL),
                     1);
    c.digest = KY_SPAN(digest, ky_hash_len(a.hash));
    assert_true(ky_ok(cms_begin(&c, &cms, to_sign)));
    sign_digest(key, &a, to_sign, sig, &n);
    assert_true(ky_ok(cms_finish(cms, KY_SPAN(sig, n), &der)));
    write_parts(f, x, ky_buf_span(&der));
    assert_int_equal(verify(f, content), 0);
    memcpy(changed, content, sizeof content);
    changed[3] ^= 1;
    assert_int_not_equal(verify(f, changed), 0);
    assert_int_equal(verify(f, content), 0);
    cms_free(&cms);
    assert_null(cms);
    ky_buf_free(&der);
    X509_free(x);
}

static void every_algorithm_that_cms_can_say(void **state)
{
    const struct {
        const char *kind;
        struct ky_algorithm a;
    } rows[] = {
        {"P-256", {KY_ECDSA, KY_SHA256, 0, 0}},   {"P-384", {KY_ECDSA, KY_SHA384, 0, 0}},
        {"P-256", {KY_ECDSA, KY_SHA512, 0, 0}},   {"RSA", {KY_RSA_PKCS1, KY_SHA256, 0, 0}},
        {"RSA", {KY_RSA_PKCS1, KY_SHA512, 0, 0}}, {"RSA", {KY_RSA_PSS, KY_SHA256, 0, 32}},
        {"RSA", {KY_RSA_PSS, KY_SHA384, 0, 20}},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        EVP_PKEY *key = strcmp(rows[i].kind, "RSA") == 0
                            ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048)
                            : EVP_PKEY_Q_keygen(NULL, NULL, "EC", rows[i].kind);

        assert_non_null(key);
        accepted_then_refused(*state, key, rows[i].a);
        EVP_PKEY_free(key);
    }
}

static void what_cms_cannot_say_is_refused(void **state)
{
    EVP_PKEY *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    EVP_PKEY *ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    X509 *x = self_signed(ec);
    uint8_t digest[32] = {1}, out[64];
    struct cms *cms = NULL;
    struct cms_content c = {
        .certificate = x, .algorithm = {KY_EDDSA, KY_SHA256, 0, 0}, .digest = KY_SPAN_OF(digest)};

    (void)state;
    assert_int_equal(cms_begin(&c, &cms, out).code, KY_UNSUPPORTED);
    c.algorithm.scheme = KY_ECDSA;
    c.digest.len = 31;
    assert_int_equal(cms_begin(&c, &cms, out).code, KY_INVALID);
    assert_null(cms);
    X509_free(x);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(ed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_algorithm_that_cms_can_say),
        cmocka_unit_test(what_cms_cannot_say_is_refused),
    };

    return cmocka_run_group_tests(tests, fixture_group_setup, fixture_group_teardown);
}
