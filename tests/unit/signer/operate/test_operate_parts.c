/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operators' door without the door: sealed seeds, codes and URIs, distinguished names,
 * certificate requests and the checks of imported certificates. Expected values are computed by
 * OpenSSL or liboath, or written out by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <liboath/oath.h>
#include <openssl/evp.h>

#include "certificate.h"
#include "certificates.h"
#include "csr.h"
#include "enroll.h"
#include "kyso/policy.h"
#include "seed.h"

#define OK(expr)      assert_int_equal((expr).code, KY_OK)
#define CODE(expr, c) assert_int_equal((expr).code, (c))
#define DAY           86400L

static struct ky_secret secret_of(const char *text32)
{
    struct ky_secret s = {NULL, 0};

    assert_int_equal(strlen(text32), 32);
    OK(ky_secret_set(&s, ky_span_text(text32)));
    return s;
}

/* --- seeds --- */

static void seed_opens_only_in_its_row_and_epoch(void **state)
{
    struct ky_secret key = secret_of("0123456789abcdef0123456789abcdef");
    struct ky_secret other = secret_of("0123456789abcdef0123456789abcdeg");
    struct ky_secret out = {NULL, 0};
    struct ky_span id = ky_span_text("a1-0011223344556677");
    struct ky_span seed = ky_span_text("12345678901234567890");
    uint8_t sealed[SEED_SEALED_MAX];
    uint8_t again[SEED_SEALED_MAX];
    size_t n = 0;

    (void)state;
    OK(seed_seal(&key, id, 1, seed, sealed, &n));
    assert_int_equal(n, seed.len + SEED_OVERHEAD);
    OK(seed_open(&key, id, 1, KY_SPAN(sealed, n), &out));
    assert_true(ky_span_eq(ky_secret_span(&out), seed));
    ky_secret_wipe(&out);
    CODE(seed_open(&key, id, 2, KY_SPAN(sealed, n), &out), KY_CORRUPT);
    CODE(seed_open(&key, ky_span_text("a2-0011223344556677"), 1, KY_SPAN(sealed, n), &out),
         KY_CORRUPT);
    CODE(seed_open(&other, id, 1, KY_SPAN(sealed, n), &out), KY_CORRUPT);
    for (size_t i = 0; i < n; i++) {
        sealed[i] ^= 0x10;
        CODE(seed_open(&key, id, 1, KY_SPAN(sealed, n), &out), KY_CORRUPT);
        sealed[i] ^= 0x10;
    }
    assert_null(out.bytes);
    CODE(seed_open(&key, id, 1, KY_SPAN(sealed, n - 1), &out), KY_CORRUPT);
    CODE(seed_open(&key, id, 1, KY_SPAN(sealed, 10), &out), KY_INVALID);
    OK(seed_seal(&key, id, 1, seed, again, &n));
    assert_memory_not_equal(sealed, again, 12); /* a fresh IV each time */
    CODE(seed_seal(&key, id, 1, ky_span_text("fifteen bytes!!"), sealed, &n), KY_INVALID);
    ky_secret_wipe(&key);
    ky_secret_wipe(&other);
}

static void fingerprints_and_codes_are_bound(void **state)
{
    struct ky_secret key = secret_of("0123456789abcdef0123456789abcdef");
    struct ky_span a = ky_span_text("a1-0011223344556677");
    struct ky_span b = ky_span_text("a2-0011223344556677");
    uint8_t one[32], two[32];
    char code[ENROLL_CODE_DIGITS + 1];

    (void)state;
    OK(enroll_seed_fingerprint(&key, ky_span_text("12345678901234567890"), one));
    OK(enroll_seed_fingerprint(&key, ky_span_text("12345678901234567890"), two));
    assert_memory_equal(one, two, 32);
    OK(enroll_seed_fingerprint(&key, ky_span_text("12345678901234567891"), two));
    assert_memory_not_equal(one, two, 32);
    OK(enroll_code_mac(&key, a, ky_span_text("12345678"), one));
    OK(enroll_code_mac(&key, b, ky_span_text("12345678"), two));
    assert_memory_not_equal(one, two, 32);
    for (int i = 0; i < 50; i++) {
        char id[16], again[ENROLL_CODE_DIGITS + 1];

        (void)snprintf(id, sizeof(id), "a%d", i);
        OK(enroll_code(&key, ky_span_text(id), code));
        OK(enroll_code(&key, ky_span_text(id), again));
        assert_string_equal(code, again);
        assert_int_equal(strlen(code), 8);
        assert_int_equal(strspn(code, "0123456789"), 8);
        OK(enroll_code(&key, i > 0 ? a : b, again));
        assert_string_not_equal(code, again);
    }
    ky_secret_wipe(&key);
}

static void uri_is_what_authenticator_apps_read(void **state)
{
    static const char want[] =
        "otpauth://totp/Kyso:nguyen.van%3Aa%40x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
        "&issuer=Kyso&algorithm=SHA256&digits=6&period=30";
    char uri[ENROLL_URI_MAX];
    char *secret = NULL;
    size_t n = 0;

    (void)state;
    OK(enroll_otpauth_uri(ky_span_text("nguyen.van:a@x"), ky_span_text("12345678901234567890"),
                          POLICY_OTP_SHA256, 6, uri));
    assert_string_equal(uri, want);
    /* 16 bytes: base32 pads, the URI must not */
    OK(enroll_otpauth_uri(ky_span_text("a"), ky_span_text("1234567890123456"), POLICY_OTP_SHA1, 8,
                          uri));
    const char *at = strstr(uri, "secret=") + 7;
    size_t len = strcspn(at, "&");
    assert_null(memchr(at, '=', len));
    assert_int_equal(oath_base32_decode(at, len, &secret, &n), OATH_OK);
    assert_int_equal(n, 16);
    assert_memory_equal(secret, "1234567890123456", 16);
    free(secret);
    CODE(enroll_otpauth_uri(ky_span_text("a"), ky_span_text("1234567890123456"), 3, 6, uri),
         KY_INVALID);
    CODE(enroll_otpauth_uri(ky_span_text("a"), ky_span_text("1234567890123456"), 0, 9, uri),
         KY_INVALID);
}

/* --- names --- */

static void check_name(const char *text, const char *oneline)
{
    X509_NAME *name = NULL;
    BIO *out = BIO_new(BIO_s_mem());
    char line[600] = "";

    OK(dn_parse(ky_span_text(text), &name));
    X509_NAME_print_ex(out, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
    int n = BIO_read(out, line, sizeof(line) - 1);
    assert_true(n > 0);
    line[n] = '\0';
    assert_string_equal(line, oneline);
    BIO_free(out);
    X509_NAME_free(name);
}

static void names_read_as_rfc_4514_writes_them(void **state)
{
    X509_NAME *name = NULL;

    (void)state;
    /* OpenSSL's RFC 2253 form of the parsed name is the text that went in. */
    check_name("CN=Nguyen Van A,O=Kyso\\, Ltd,C=VN", "CN=Nguyen Van A,O=Kyso\\, Ltd,C=VN");
    check_name("CN=Nguy\xe1\xbb\x85n V\xc4\x83n A,C=VN", "CN=Nguy\xe1\xbb\x85n V\xc4\x83n A,C=VN");
    check_name("CN=Nguy\\e1\\bb\\85n,OU=b,OU=a", "CN=Nguy\xe1\xbb\x85n,OU=b,OU=a");
    check_name("CN=trailing\\ ", "CN=trailing\\ ");
    OK(dn_parse(ky_span_text("CN=a,serialNumber=CCCD:001,C=VN"), &name));
    const X509_NAME_ENTRY *first = X509_NAME_get_entry(name, 0);
    assert_int_equal(OBJ_obj2nid(X509_NAME_ENTRY_get_object(first)), NID_countryName);
    assert_int_equal(ASN1_STRING_type(X509_NAME_ENTRY_get_data(first)), V_ASN1_PRINTABLESTRING);
    const X509_NAME_ENTRY *last = X509_NAME_get_entry(name, 2);
    assert_int_equal(ASN1_STRING_type(X509_NAME_ENTRY_get_data(last)), V_ASN1_UTF8STRING);
    X509_NAME_free(name);
}

static void odd_names_are_refused(void **state)
{
    static const char *const odd[] = {
        "",
        "CN",
        "CN=",
        "=a",
        "CN=a,",
        ",CN=a",
        "CN=a,,C=VN",
        "CN=a,CN=b",
        "O=a",
        "CN=a,C=VNM",
        "CN=a,C=vn",
        "CN=a+O=b",
        "CN=\"a\"",
        "CN=#0401",
        "CN= a",
        "CN=a ",
        "cn=a",
        "2.5.4.3=a",
        "CN=a;O=b",
        "CN=a<b",
        "CN=a\\",
        "CN=a\\x",
        "CN=a\\0",
        "CN=a\\00b",
        "CN=\\ff",
        "CN=a\\e2\\80\\ae",
        "CN=a\\0ab",
        "CN=a, O=b",
        "CN=a,serialNumber=a_b",
        "CN=a,X=b",
        "CN=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", /* 65 characters */
    };
    X509_NAME *name = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        struct ky_status status = dn_parse(ky_span_text(odd[i]), &name);
        if (status.code != KY_INVALID)
            fail_msg("accepted: %s", odd[i]);
    }
    assert_null(name);
}

/* --- certificate requests --- */

static void check_csr(uint8_t key_type)
{
    EVP_PKEY *key = test_key(key_type);
    uint8_t spki[700], sig[512];
    struct ky_buf input = KY_BUF_INIT(CSR_DER_MAX);
    struct ky_buf der = KY_BUF_INIT(CSR_DER_MAX);
    struct ky_algorithm algorithm;
    struct csr_request r = {.key_type = key_type,
                            .subject_dn = ky_span_text("CN=Nguyen Van A,O=Kyso,C=VN")};

    r.public_key = KY_SPAN(spki, test_spki(key, spki));
    OK(csr_algorithm(key_type, &algorithm));
    OK(csr_input(&r, &input));
    if (algorithm.hash == KY_HASH_NONE) /* a whole message is never as short as a digest */
        assert_true(input.len > KY_DIGEST_MAX);
    else
        assert_int_equal(input.len, ky_hash_len(algorithm.hash));
    size_t n = test_sign_digest(key, ky_hash_name(algorithm.hash), ky_buf_span(&input), sig);
    OK(csr_assemble(&r, KY_SPAN(sig, n), &der));
    const uint8_t *p = der.data;
    X509_REQ *req = d2i_X509_REQ(NULL, &p, (long)der.len);
    assert_non_null(req);
    assert_ptr_equal(p, der.data + der.len);
    assert_int_equal(X509_REQ_verify(req, key), 1);
    X509_REQ_free(req);
    ky_buf_reset(&der);
    sig[n / 2] ^= 1;
    CODE(csr_assemble(&r, KY_SPAN(sig, n), &der), KY_TOKEN_WRONG_SIGNATURE);
    sig[n / 2] ^= 1;
    CODE(csr_assemble(&r, KY_SPAN(sig, n - 1), &der), KY_TOKEN_WRONG_SIGNATURE);
    r.subject_dn = ky_span_text("CN=Nguyen Van B,O=Kyso,C=VN"); /* a signature for another name */
    CODE(csr_assemble(&r, KY_SPAN(sig, n), &der), KY_TOKEN_WRONG_SIGNATURE);
    assert_int_equal(der.len, 0);
    ky_buf_free(&der);
    ky_buf_free(&input);
    EVP_PKEY_free(key);
}

static void requests_verify_under_their_own_key(void **state)
{
    (void)state;
    check_csr(KY_KEY_P256);
    check_csr(KY_KEY_P384);
    check_csr(KY_KEY_RSA2048);
    check_csr(KY_KEY_ED25519);
}

static void requests_that_cannot_be(void **state)
{
    struct ky_algorithm algorithm;
    uint8_t spki[] = {0x30, 0x03, 0x01, 0x02, 0x03};
    uint8_t sig[64] = {1};
    struct ky_buf input = KY_BUF_INIT(CSR_DER_MAX);
    struct csr_request r = {.public_key = KY_SPAN_OF(spki),
                            .key_type = KY_KEY_P256,
                            .subject_dn = ky_span_text("CN=a")};

    (void)state;
    CODE(csr_algorithm(KY_KEY_NONE, &algorithm), KY_UNIMPLEMENTED);
    CODE(csr_algorithm(200, &algorithm), KY_UNIMPLEMENTED);
    CODE(csr_assemble(&r, KY_SPAN_OF(sig), &input), KY_TOKEN_WRONG_SIGNATURE); /* no such key */
    r.subject_dn = ky_span_text("a");
    CODE(csr_input(&r, &input), KY_INVALID);
    r = (struct csr_request){.key_type = KY_KEY_P256, .subject_dn = ky_span_text("CN=a")};
    CODE(csr_input(&r, &input), KY_INVALID);
    assert_int_equal(input.len, 0);
}

/* --- imported certificates --- */

struct pki {
    EVP_PKEY *citizen, *sub, *root;
    uint8_t spki[700];
    uint8_t leaf[4096], sub_der[4096], root_der[4096];
    struct ky_span chain[2];
    struct certificate_import in;
};

static void pki_make(struct pki *p)
{
    memset(p, 0, sizeof(*p));
    p->citizen = test_key(KY_KEY_P256);
    p->sub = test_key(KY_KEY_P256);
    p->root = test_key(KY_KEY_P384);
    p->in.public_key = KY_SPAN(p->spki, test_spki(p->citizen, p->spki));
    p->in.now_s = (uint64_t)time(NULL);
    p->in.der =
        KY_SPAN(p->leaf,
                test_certificate(&(struct test_certificate){.subject = "Nguyen Van A",
                                                            .issuer = "Sub",
                                                            .key = p->citizen,
                                                            .issuer_key = p->sub,
                                                            .to_s = DAY,
                                                            .key_usage = "critical,nonRepudiation"},
                                 p->leaf));
    p->chain[0] =
        KY_SPAN(p->sub_der, test_certificate(&(struct test_certificate){.subject = "Sub",
                                                                        .issuer = "Root",
                                                                        .key = p->sub,
                                                                        .issuer_key = p->root,
                                                                        .to_s = 2 * DAY,
                                                                        .is_ca = true},
                                             p->sub_der));
    p->chain[1] =
        KY_SPAN(p->root_der, test_certificate(&(struct test_certificate){.subject = "Root",
                                                                         .issuer = "Root",
                                                                         .key = p->root,
                                                                         .issuer_key = p->root,
                                                                         .to_s = 2 * DAY,
                                                                         .is_ca = true},
                                              p->root_der));
    p->in.chain = p->chain;
    p->in.chain_len = 2;
}

static void pki_free(struct pki *p)
{
    EVP_PKEY_free(p->citizen);
    EVP_PKEY_free(p->sub);
    EVP_PKEY_free(p->root);
}

static void refused(const struct certificate_import *in, const char *want)
{
    struct certificate_facts facts;
    const char *why = NULL;

    CODE(certificate_check(in, &facts, &why), KY_INVALID);
    assert_non_null(strstr(why, want));
}

static void good_certificate_is_taken(void **state)
{
    struct pki p;
    struct certificate_facts facts;
    const char *why = NULL;
    uint8_t sha256[32];

    (void)state;
    pki_make(&p);
    OK(certificate_check(&p.in, &facts, &why));
    assert_null(why);
    ky_sha256(p.in.der, sha256);
    assert_memory_equal(sha256, facts.sha256, 32);
    assert_true(facts.not_after_s - facts.not_before_s == DAY);
    assert_true(facts.not_after_s > p.in.now_s && facts.not_after_s <= p.in.now_s + DAY + 5);
    p.in.chain_len = 0; /* none at all is the CA's business */
    OK(certificate_check(&p.in, &facts, &why));
    pki_free(&p);
}

static void bad_leaves_are_refused(void **state)
{
    struct pki p;
    uint8_t longer[4097];
    uint8_t other[4096];

    (void)state;
    pki_make(&p);
    struct ky_span good = p.in.der;
    struct test_certificate t = {
        .subject = "Nguyen Van A", .issuer = "Sub", .key = p.sub, .issuer_key = p.sub, .to_s = DAY};
    p.in.der = KY_SPAN(other, test_certificate(&t, other));
    refused(&p.in, "another key");
    t.key = p.citizen;
    t.from_s = -2 * DAY;
    t.to_s = -DAY;
    p.in.der = KY_SPAN(other, test_certificate(&t, other));
    refused(&p.in, "expired");
    t.from_s = 0;
    t.to_s = DAY;
    t.key_usage = "critical,keyEncipherment";
    p.in.der = KY_SPAN(other, test_certificate(&t, other));
    refused(&p.in, "keyUsage");
    t.key_usage = NULL;
    t.is_ca = true;
    p.in.der = KY_SPAN(other, test_certificate(&t, other));
    refused(&p.in, "CA's");
    memcpy(longer, good.data, good.len);
    longer[good.len] = 0;
    p.in.der = KY_SPAN(longer, good.len + 1);
    refused(&p.in, "not DER");
    p.in.der = KY_SPAN(longer, good.len - 1);
    refused(&p.in, "not DER");
    p.in.der = ky_span_text("-----BEGIN CERTIFICATE-----");
    refused(&p.in, "not DER");
    p.in.der = good;
    p.in.now_s += 2 * DAY;
    refused(&p.in, "expired");
    pki_free(&p);
}

static void bad_chains_are_refused(void **state)
{
    struct pki p;
    uint8_t other[4096];
    struct ky_span sub, root;

    (void)state;
    pki_make(&p);
    sub = p.chain[0];
    root = p.chain[1];
    p.chain[0] = root; /* out of order */
    p.chain[1] = sub;
    refused(&p.in, "link");
    /* the right name over another key */
    EVP_PKEY *impostor = test_key(KY_KEY_P256);
    struct test_certificate t = {.subject = "Sub",
                                 .issuer = "Root",
                                 .key = impostor,
                                 .issuer_key = p.root,
                                 .to_s = DAY,
                                 .is_ca = true};
    p.chain[0] = KY_SPAN(other, test_certificate(&t, other));
    p.chain[1] = root;
    refused(&p.in, "signature");
    t.key = p.sub;
    t.is_ca = false;
    p.chain[0] = KY_SPAN(other, test_certificate(&t, other));
    refused(&p.in, "not a CA");
    t.is_ca = true;
    t.from_s = -2 * DAY;
    t.to_s = -DAY;
    p.chain[0] = KY_SPAN(other, test_certificate(&t, other));
    refused(&p.in, "expired");
    p.chain[0] = KY_SPAN(sub.data, sub.len - 1);
    refused(&p.in, "not DER");
    EVP_PKEY_free(impostor);
    pki_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seed_opens_only_in_its_row_and_epoch),
        cmocka_unit_test(fingerprints_and_codes_are_bound),
        cmocka_unit_test(uri_is_what_authenticator_apps_read),
        cmocka_unit_test(names_read_as_rfc_4514_writes_them),
        cmocka_unit_test(odd_names_are_refused),
        cmocka_unit_test(requests_verify_under_their_own_key),
        cmocka_unit_test(requests_that_cannot_be),
        cmocka_unit_test(good_certificate_is_taken),
        cmocka_unit_test(bad_leaves_are_refused),
        cmocka_unit_test(bad_chains_are_refused),
    };

    return cmocka_run_group_tests_name("operate parts", tests, NULL, NULL);
}
