/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Algorithm tables and their fit, SHA-256 and HMAC against OpenSSL's EVP and RFC 4231,
 * ECDSA conversions against OpenSSL's own encoder.
 */
#include "kyso/alg.h"

#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/objects.h>

#include "kyso/secret.h"
#include "proto_test.h"

static void test_tables(void **state)
{
    (void)state;
    for (unsigned t = 0; t < 256; t++) {
        const struct ky_key_info *k = ky_key_info((uint8_t)t);
        assert_int_equal(k != NULL, t >= KY_KEY_P256 && t < KY_KEY_TYPE_COUNT);
        if (k == NULL)
            continue;
        assert_int_equal(ky_key_type_by_name(k->name), t);
        assert_true(k->sig_len > 0 && k->sig_len <= KY_SIG_MAX);
        assert_true(k->curve == NULL || OBJ_txt2nid(k->curve) != NID_undef);
    }
    assert_int_equal(ky_key_type_by_name("p257"), KY_KEY_NONE);
    assert_int_equal(ky_key_type_by_name(""), KY_KEY_NONE);
    assert_int_equal(ky_key_type_by_name(NULL), KY_KEY_NONE);
    for (unsigned h = 0; h < 256; h++) {
        const char *name = ky_hash_name((uint8_t)h);
        assert_int_equal(name != NULL, h >= KY_SHA256 && h < KY_HASH_COUNT);
        assert_int_equal(ky_hash_len((uint8_t)h),
                         name == NULL ? 0 : EVP_MD_get_size(EVP_get_digestbyname(name)));
        assert_int_equal(ky_scheme_name((uint8_t)h) != NULL, h >= KY_ECDSA && h < KY_SCHEME_COUNT);
    }
}

static const struct {
    uint8_t key;
    struct ky_algorithm a;
    bool fits;
} fits[] = {
    {KY_KEY_P256, {KY_ECDSA, KY_SHA256, 0, 0}, true},
    {KY_KEY_P256, {KY_ECDSA, KY_SHA512, 0, 0}, true},
    {KY_KEY_P384, {KY_ECDSA, KY_SHA256, 0, 0}, true},
    {KY_KEY_ED25519, {KY_EDDSA, KY_SHA512, 0, 0}, true},
    {KY_KEY_RSA2048, {KY_RSA_PKCS1, KY_SHA256, 0, 0}, true},
    {KY_KEY_RSA2048, {KY_RSA_PSS, KY_SHA256, 0, 222}, true},
    {KY_KEY_RSA2048, {KY_RSA_PSS, KY_SHA256, KY_SHA256, 0}, true},
    {KY_KEY_RSA2048, {KY_RSA_PSS, KY_SHA512, 0, 190}, true},
    {KY_KEY_RSA4096, {KY_RSA_PSS, KY_SHA512, KY_SHA512, 446}, true},
    {KY_KEY_RSA2048, {KY_RSA_PSS, KY_SHA256, 0, 223}, false},
    {KY_KEY_RSA2048, {KY_RSA_PSS, KY_SHA512, 0, 191}, false},
    {KY_KEY_RSA4096, {KY_RSA_PSS, KY_SHA512, 0, 447}, false},
    {KY_KEY_RSA2048, {KY_RSA_PSS, KY_SHA256, 0, UINT16_MAX}, false},
    {KY_KEY_RSA2048, {KY_RSA_PSS, KY_SHA256, KY_SHA384, 32}, false},
    {KY_KEY_RSA2048, {KY_RSA_PKCS1, KY_SHA256, 0, 32}, false},
    {KY_KEY_RSA2048, {KY_RSA_PKCS1, KY_SHA256, KY_SHA256, 0}, false},
    {KY_KEY_RSA2048, {KY_ECDSA, KY_SHA256, 0, 0}, false},
    {KY_KEY_P256, {KY_RSA_PSS, KY_SHA256, 0, 32}, false},
    {KY_KEY_P256, {KY_RSA_PKCS1, KY_SHA256, 0, 0}, false},
    {KY_KEY_P256, {KY_EDDSA, KY_SHA256, 0, 0}, false},
    {KY_KEY_P256, {KY_ECDSA, KY_SHA256, KY_SHA256, 0}, false},
    {KY_KEY_P256, {KY_ECDSA, 0, 0, 0}, false},
    {KY_KEY_P256, {KY_ECDSA, 4, 0, 0}, false},
    {KY_KEY_P256, {0, KY_SHA256, 0, 0}, false},
    {KY_KEY_P256, {5, KY_SHA256, 0, 0}, false},
    {KY_KEY_ED25519, {KY_ECDSA, KY_SHA256, 0, 0}, false},
    {0, {KY_ECDSA, KY_SHA256, 0, 0}, false},
    {7, {KY_ECDSA, KY_SHA256, 0, 0}, false},
    {255, {KY_ECDSA, KY_SHA256, 0, 0}, false},
};

static void test_fit(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(fits); i++)
        EXPECT(fits[i].fits ? KY_OK : KY_INVALID, ky_algorithm_check(fits[i].key, &fits[i].a));
}

static void test_sha256(void **state)
{
    (void)state;
    uint8_t in[300], want[32], got[32];
    EXPECT(KY_OK, ky_random(in, sizeof(in)));
    for (size_t len = 0; len <= sizeof(in); len++) {
        assert_int_equal(EVP_Digest(in, len, want, NULL, EVP_sha256(), NULL), 1);
        ky_sha256(KY_SPAN(in, len), got);
        assert_memory_equal(want, got, 32);
    }
}

static void test_hmac(void **state)
{
    (void)state;
    /* Provenance: RFC 4231 s.4.3, test case 2. */
    uint8_t want[32], got[32], key[140], in[100];
    from_hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", want, 32);
    ky_hmac_sha256(TEXT("Jefe"), TEXT("what do ya want for nothing?"), got);
    assert_memory_equal(want, got, 32);
    EXPECT(KY_OK, ky_random(key, sizeof(key)));
    EXPECT(KY_OK, ky_random(in, sizeof(in)));
    for (size_t len = 0; len <= sizeof(key); len++) {
        assert_non_null(HMAC(EVP_sha256(), key, (int)len, in, len % 100, want, NULL));
        ky_hmac_sha256(KY_SPAN(key, len), KY_SPAN(in, len % 100), got);
        assert_memory_equal(want, got, 32);
    }
}

/* What OpenSSL makes of r || s. */
static size_t openssl_der(const uint8_t *raw, size_t half, uint8_t *out)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    assert_non_null(sig);
    ECDSA_SIG_set0(sig, BN_bin2bn(raw, (int)half, NULL), BN_bin2bn(raw + half, (int)half, NULL));
    int n = i2d_ECDSA_SIG(sig, &out);
    ECDSA_SIG_free(sig);
    assert_true(n > 0);
    return (size_t)n;
}

static void both_ways(const uint8_t *raw, size_t half)
{
    uint8_t want[160], got[160], back[96];
    size_t n = openssl_der(raw, half, want), len = 0;
    EXPECT(KY_OK, ky_ecdsa_raw_to_der(KY_SPAN(raw, 2 * half), got, 2 * half + 10, &len));
    assert_int_equal(len, n);
    assert_memory_equal(want, got, n);
    EXPECT(KY_INVALID, ky_ecdsa_raw_to_der(KY_SPAN(raw, 2 * half), got, n - 1, &len));
    uint8_t *tight = tight_copy(KY_SPAN(want, n));
    EXPECT(KY_OK, ky_ecdsa_der_to_raw(KY_SPAN(tight, n), half, back));
    assert_memory_equal(raw, back, 2 * half);
    for (size_t cut = 0; cut < n; cut++)
        EXPECT(KY_INVALID, ky_ecdsa_der_to_raw(KY_SPAN(tight, cut), half, back));
    free(tight);
}

/* Leading zeros, leading ones, every short length of r and s: where minimal INTEGERs differ. */
static void test_ecdsa_edges(void **state)
{
    (void)state;
    static const size_t halves[] = {32, 48};
    static const uint8_t firsts[] = {0x01, 0x7f, 0x80, 0xff};
    for (size_t h = 0; h < ROWS(halves); h++) {
        size_t half = halves[h];
        for (size_t zr = 0; zr < half; zr++) {
            for (size_t k = 0; k < ROWS(firsts); k++) {
                uint8_t raw[96];
                memset(raw, 0xa5, sizeof(raw));
                memset(raw, 0, zr);
                raw[zr] = firsts[k];
                size_t zs = (zr * 7) % half;
                memset(raw + half, 0, zs);
                raw[half + zs] = firsts[(k + zr) % ROWS(firsts)];
                both_ways(raw, half);
            }
        }
    }
}

static void test_ecdsa_random(void **state)
{
    (void)state;
    for (int i = 0; i < 500; i++) {
        uint8_t raw[96];
        EXPECT(KY_OK, ky_random(raw, sizeof(raw)));
        both_ways(raw, i % 2 == 0 ? 32 : 48);
    }
}

static void test_raw_refused(void **state)
{
    (void)state;
    uint8_t raw[100], der[160];
    size_t len;
    memset(raw, 1, sizeof(raw));
    const size_t bad[] = {0, 1, 63, 65, 97, 98, 100};
    for (size_t i = 0; i < ROWS(bad); i++)
        EXPECT(KY_INVALID, ky_ecdsa_raw_to_der(KY_SPAN(raw, bad[i]), der, sizeof(der), &len));
    memset(raw, 0, 32); /* r = 0 */
    EXPECT(KY_INVALID, ky_ecdsa_raw_to_der(KY_SPAN(raw, 64), der, sizeof(der), &len));
    memset(raw, 1, 32);
    memset(raw + 32, 0, 32); /* s = 0 */
    EXPECT(KY_INVALID, ky_ecdsa_raw_to_der(KY_SPAN(raw, 64), der, sizeof(der), &len));
}

/*
 * Encodings that some parsers take and that are not the one DER form (fault 26). Half is 2 bytes.
 */
static const char *const bad_der[] = {
    "",
    "30",
    "3000",
    "3006 0201 01 0201 01 00", /* trailing byte */
    "3007 0201 01 0201 01 00", /* trailing byte inside */
    "3005 0201 01 0201 01",    /* outer length too small */
    "3007 0201 01 0201 01",    /* too large */
    "3106 0201 01 0201 01",    /* a SET */
    "3006 0301 01 0201 01",    /* not an INTEGER */
    "3006 0201 01 0301 01",
    "308106 0201 01 0201 01", /* long-form length */
    "30820006 0201 01 0201 01",
    "3080 0201 01 0201 01 0000", /* indefinite */
    "3007 028101 01 0201 01",    /* long form inside */
    "3006 0201 00 0201 01",      /* r = 0 */
    "3006 0201 01 0201 00",      /* s = 0 */
    "3006 0201 80 0201 01",      /* negative */
    "3006 0201 01 0201 ff",
    "3007 0202 0001 0201 01", /* needless pad */
    "3007 0201 01 0202 007f",
    "3008 0203 000080 0201 01", /* two pads */
    "3005 0200 0201 01",        /* empty INTEGER */
    "3005 0201 01 0200",
    "3003 0201 01",                 /* one INTEGER */
    "3009 0201 01 0201 01 0201 01", /* three */
    "3008 0203 010000 0201 01",     /* r over half */
    "3009 0204 00800000 0201 01",
    "3006 0205 01 0201 01", /* inner length past the end */
    "3006 0201 01 0205 01",
    "3006 02ff 01 0201 01",
    "30ff 0201 01 0201 01",
};

static void test_der_refused(void **state)
{
    (void)state;
    uint8_t der[32], raw[96] = {0x5a};
    for (size_t i = 0; i < ROWS(bad_der); i++) {
        size_t n = from_hex(bad_der[i], der, sizeof(der));
        uint8_t *tight = tight_copy(KY_SPAN(der, n));
        if (ky_ecdsa_der_to_raw(KY_SPAN(tight, n), 2, raw).code != KY_INVALID)
            fail_msg("taken: %s", bad_der[i]);
        free(tight);
    }
    assert_int_equal(raw[0], 0x5a); /* nothing is written on failure */
    size_t n = from_hex("3006 0201 01 0201 02", der, sizeof(der));
    EXPECT(KY_INVALID, ky_ecdsa_der_to_raw(KY_SPAN(der, n), 0, raw));
    EXPECT(KY_INVALID, ky_ecdsa_der_to_raw(KY_SPAN(der, n), 49, raw));
    EXPECT(KY_OK, ky_ecdsa_der_to_raw(KY_SPAN(der, n), 2, raw));
    assert_memory_equal(raw, "\0\1\0\2", 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),      cmocka_unit_test(test_fit),
        cmocka_unit_test(test_sha256),      cmocka_unit_test(test_hmac),
        cmocka_unit_test(test_ecdsa_edges), cmocka_unit_test(test_ecdsa_random),
        cmocka_unit_test(test_raw_refused), cmocka_unit_test(test_der_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
