/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Revocation lists made by OpenSSL and read by hand: every entry is found, and a list that is changed, cut, partial, of somebody
 * else or under an algorithm that is not taken is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "certificates.h"
#include "crl_list.h"
#include "kyso/alg.h"

#define ENTRIES 5

struct wish {
    const char *issuer;       /* NULL = "Kyso Test CA" */
    const EVP_MD *digest;     /* NULL = SHA-256 */
    bool no_next_update;
    int critical;             /* NID of a critical extension, 0 = none */
    const char *value;        /* of it, as in openssl.cnf */
};

struct bench {
    EVP_PKEY *ca_key;
    uint8_t ca[8192]; /* PEM */
    size_t ca_len;
};

static size_t pem_of(const uint8_t *der, size_t len, uint8_t *out)
{
    X509 *x = d2i_X509(NULL, &der, (long)len);
    BIO *b = BIO_new(BIO_s_mem());
    char *text = NULL;

    assert_int_equal(PEM_write_bio_X509(b, x), 1);
    long n = BIO_get_mem_data(b, &text);
    memcpy(out, text, (size_t)n);
    BIO_free(b);
    X509_free(x);
    return (size_t)n;
}

static void make_ca(struct bench *b, const char *key_usage)
{
    uint8_t der[4096];
    struct test_certificate ca = {.subject = "Kyso Test CA", .issuer = "Kyso Test CA", .key = b->ca_key,
                                  .issuer_key = b->ca_key, .to_s = 86400, .is_ca = true, .key_usage = key_usage};

    b->ca_len = pem_of(der, test_certificate(&ca, der), b->ca);
}

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));

    assert_non_null(b);
    b->ca_key = test_key(KY_KEY_P256);
    make_ca(b, "keyCertSign,cRLSign");
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;

    EVP_PKEY_free(b->ca_key);
    free(b);
    return 0;
}

static void add_entry(X509_CRL *list, uint64_t serial, int reason)
{
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    ASN1_TIME *when = ASN1_TIME_adj(NULL, 1767225600, 0, 0);

    assert_int_equal(ASN1_INTEGER_set_uint64(number, serial), 1);
    assert_int_equal(X509_REVOKED_set_serialNumber(entry, number), 1);
    assert_int_equal(X509_REVOKED_set_revocationDate(entry, when), 1);
    if (reason >= 0) {
        ASN1_ENUMERATED *e = ASN1_ENUMERATED_new();
        assert_int_equal(ASN1_ENUMERATED_set(e, reason), 1);
        assert_int_equal(X509_REVOKED_add1_ext_i2d(entry, NID_crl_reason, e, 0, 0), 1);
        ASN1_ENUMERATED_free(e);
    }
    assert_int_equal(X509_CRL_add0_revoked(list, entry), 1);
    ASN1_INTEGER_free(number);
    ASN1_TIME_free(when);
}

/* Serial numbers 1 to ENTRIES; number 3 is on hold. */
static size_t make_list(const struct bench *b, const struct wish *w, uint8_t out[8192])
{
    X509_CRL *list = X509_CRL_new();
    X509_NAME *issuer = X509_NAME_new();
    ASN1_TIME *begins = ASN1_TIME_adj(NULL, 1767225600, 0, 0), *ends = ASN1_TIME_adj(NULL, 1767312000, 0, 0);
    uint8_t *p = out;

    assert_int_equal(X509_NAME_add_entry_by_txt(issuer, "CN", MBSTRING_UTF8,
                                                (const uint8_t *)(w->issuer != NULL ? w->issuer : "Kyso Test CA"),
                                                -1, -1, 0), 1);
    X509_CRL_set_version(list, 1);
    X509_CRL_set_issuer_name(list, issuer);
    X509_CRL_set1_lastUpdate(list, begins);
    if (!w->no_next_update)
        X509_CRL_set1_nextUpdate(list, ends);
    for (uint64_t serial = 1; serial <= ENTRIES; serial++)
        add_entry(list, serial, serial == 3 ? 6 : serial == 4 ? 1 : -1);
    if (w->critical != 0) {
        X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, w->critical, w->value);
        assert_non_null(e);
        assert_int_equal(X509_CRL_add_ext(list, e, -1), 1);
        X509_EXTENSION_free(e);
    }
    assert_true(X509_CRL_sign(list, b->ca_key, w->digest != NULL ? w->digest : EVP_sha256()) > 0);
    int n = i2d_X509_CRL(list, &p);
    assert_true(n > 0 && n <= 8192);
    X509_CRL_free(list);
    X509_NAME_free(issuer);
    ASN1_TIME_free(begins);
    ASN1_TIME_free(ends);
    return (size_t)n;
}

/* NULL, or why it is not taken. */
static const char *problem(const struct bench *b, struct ky_span der, struct crl_list *out)
{
    const char *why = NULL;
    const EVP_MD *md = NULL;
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    if (ky_ok(crl_parse(der, out, &why)) && ky_ok(crl_algorithm(out, &md, &why)) &&
        (md == NULL || EVP_Digest(out->signed_part.data, out->signed_part.len, digest, &n, md, NULL) == 1) &&
        ky_ok(crl_verify(out, md, KY_SPAN(digest, n), KY_SPAN(b->ca, b->ca_len), &why))) {
        assert_null(why);
        return NULL;
    }
    assert_non_null(why);
    return why;
}

static void every_entry_is_found(void **state)
{
    const struct bench *b = *state;
    uint8_t der[8192];
    struct crl_list list;
    struct crl_entry e;
    uint8_t n = 0;

    assert_null(problem(b, KY_SPAN(der, make_list(b, &(struct wish){.issuer = NULL}, der)), &list));
    assert_int_equal(list.this_update_s, 1767225600);
    assert_int_equal(list.next_update_s, 1767312000);
    while (crl_next(&list.entries, &e)) {
        n++;
        assert_true(ky_span_eq(e.serial, KY_SPAN(((uint8_t[]){2, 1, n}), 3)));
        assert_int_equal(e.hold, n == 3);
    }
    assert_int_equal(n, ENTRIES);
    assert_int_equal(list.entries.len, 0);
}

static void each_bit_and_each_byte_counts(void **state)
{
    const struct bench *b = *state;
    uint8_t der[8192];
    struct crl_list list;
    size_t n = make_list(b, &(struct wish){.issuer = NULL}, der);

    for (size_t i = 0; i < n * 8; i++) {
        der[i / 8] ^= (uint8_t)(1u << i % 8);
        if (problem(b, KY_SPAN(der, n), &list) == NULL)
            fail_msg("bit %zu of %zu does not count", i, n * 8);
        der[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    for (size_t cut = 0; cut < n; cut++) {
        uint8_t *exact = malloc(cut + 1); /* so that a read behind the end is seen */
        assert_non_null(exact);
        memcpy(exact, der, cut);
        assert_non_null(problem(b, KY_SPAN(exact, cut), &list));
        free(exact);
    }
    der[n] = 0;
    assert_non_null(problem(b, KY_SPAN(der, n + 1), &list));
}

static void lists_that_are_not_taken(void **state)
{
    static const struct {
        struct wish wish;
        const char *why; /* NULL: it is taken */
    } cases[] = {
        {{.no_next_update = true}, "it has no nextUpdate, so nobody could tell when it is stale"},
        {{.critical = NID_delta_crl, .value = "critical,DER:020101"}, "it is a delta, an indirect or a partial list"},
        {{.critical = NID_issuing_distribution_point, .value = "critical,DER:3003840101"}, /* indirectCRL */
         "it is a delta, an indirect or a partial list"},
        {{.critical = NID_issuing_distribution_point, .value = "critical,DER:3003820101"}, /* CAs only */
         "it is a delta, an indirect or a partial list"},
        {{.critical = NID_issuing_distribution_point, .value = "critical,DER:30038101ff"}, NULL},
        {{.critical = NID_crl_number, .value = "DER:020105"}, NULL},
        {{.issuer = "Another CA"}, "no CA of certificates.ca has signed it"},
    };
    const struct bench *b = *state;
    uint8_t der[8192];
    struct crl_list list;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *why = problem(b, KY_SPAN(der, make_list(b, &cases[i].wish, der)), &list);
        if (cases[i].why == NULL)
            assert_null(why);
        else
            assert_string_equal(why, cases[i].why);
    }
    const struct wish weak = {.digest = EVP_sha1()};
    assert_string_equal(problem(b, KY_SPAN(der, make_list(b, &weak, der)), &list),
                        "its signature algorithm is not taken");
}

static void a_ca_that_may_not_sign_lists(void **state)
{
    struct bench *b = *state;
    uint8_t der[8192];
    struct crl_list list;
    size_t n = make_list(b, &(struct wish){.issuer = NULL}, der);

    make_ca(b, "keyCertSign");
    assert_non_null(problem(b, KY_SPAN(der, n), &list));
    make_ca(b, NULL);
    assert_null(problem(b, KY_SPAN(der, n), &list));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(every_entry_is_found),
        TEST(each_bit_and_each_byte_counts),
        TEST(lists_that_are_not_taken),
        TEST(a_ca_that_may_not_sign_lists),
    };

    return cmocka_run_group_tests_name("crl_list", tests, NULL, NULL);
}
