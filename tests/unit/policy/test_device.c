/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device and operator keys and their signatures: the RFCs' vectors, then every edge in
 * device_edges.h, then each bit of proof and challenge flipped. Fault 26, P19.
 */
#include <stdio.h>

#include "policy_test.h"

#include "device_edges.h"

#define KEY_MAX 600u
#define SIG_MAX 160u

/* The public key of RFC 6979 A.2.5. */
static const char es256_spki[] =
    "3059301306072a8648ce3d020106082a8648ce3d030107034200"
    "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
    "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";

/* RFC 6979 A.2.5: P-256 with SHA-256. The first has a high s. */
static const struct {
    const char *message;
    const char *raw;
} rfc6979[] = {
    {"sample", "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
               "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"},
    {"test", "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367"
             "019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083"},
};

/* RFC 8032 s.7.1: tests 1, 2, 3 and "SHA(abc)". */
static const struct {
    const char *key;
    const char *message;
    const char *signature;
} rfc8032[] = {
    {"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b"
     "46b"
     "d25bf5f0595bbe24655141438e7a100b"},
    {"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11"
     "d8c"
     "387b2eaeb4302aeeb00d291612bb0c00"},
    {"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc"
     "659"
     "4a7c15e9716ed28dc027beceea1ec40a"},
    {"ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
     "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3fee"
     "bbd"
     "454d4423643ce80e2a9ac94fa54ca49f",
     "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e"
     "030"
     "3dca179c138ac17ad9bef1177331a704"},
};

static struct policy_device_key *load(uint8_t type, const char *spki_hex)
{
    uint8_t der[KEY_MAX];
    struct policy_device_key *key = NULL;
    EXPECT(KY_OK, policy_device_key_load(type, unhex(spki_hex, der, sizeof(der)), &key), spki_hex);
    assert_non_null(key);
    return key;
}

static struct policy_device_key *load_ed25519(const char *key_hex)
{
    char spki[2 * 44 + 1];
    assert_int_equal(snprintf(spki, sizeof(spki), "302a300506032b6570032100%s", key_hex), 88);
    return load(POLICY_DEVICE_ED25519, spki);
}

static void challenge_of(uint32_t number, uint8_t out[32])
{
    char message[32];
    (void)snprintf(message, sizeof(message), "kyso edge %u", number);
    ky_sha256(text(message), out);
}

static void test_rfc6979(void **state)
{
    (void)state;
    struct policy_device_key *key = load(POLICY_DEVICE_ES256, es256_spki);
    for (size_t i = 0; i < ROWS(rfc6979); i++) {
        uint8_t sig[SIG_MAX];
        const struct ky_span raw = unhex(rfc6979[i].raw, sig, sizeof(sig));
        EXPECT(KY_OK, policy_key_verify_message(key, text(rfc6979[i].message), raw),
               rfc6979[i].message);
        EXPECT(KY_PROOF_WRONG, policy_key_verify_message(key, text("simple"), raw),
               rfc6979[i].message);
    }
    policy_device_key_free(&key);
    assert_null(key);
}

static void test_rfc8032(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(rfc8032); i++) {
        struct policy_device_key *key = load_ed25519(rfc8032[i].key);
        uint8_t message[64];
        uint8_t sig[SIG_MAX];
        const struct ky_span m = unhex(rfc8032[i].message, message, sizeof(message));
        const struct ky_span s = unhex(rfc8032[i].signature, sig, sizeof(sig));
        /* More than once with one key: the context is reused. */
        for (int round = 0; round < 3; round++) {
            EXPECT(KY_OK, policy_key_verify_message(key, m, s), rfc8032[i].key);
            sig[round] ^= 1;
            EXPECT(KY_PROOF_WRONG, policy_key_verify_message(key, m, s), rfc8032[i].key);
            sig[round] ^= 1;
        }
        EXPECT(KY_PROOF_WRONG, policy_key_verify_message(key, text("other"), s), rfc8032[i].key);
        policy_device_key_free(&key);
    }
}

/*
 * s + L is a second signature on the same message for whoever does not check s < L (RFC 8032
 * s.5.1.7).
 */
static void test_ed25519_forms(void **state)
{
    (void)state;
    static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,       0xd6,
                                      0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, [31] = 0x10};
    struct policy_device_key *key = load_ed25519(rfc8032[1].key);
    const uint8_t message = 0x72;
    uint8_t sig[SIG_MAX] = {0};
    (void)unhex(rfc8032[1].signature, sig, sizeof(sig));
    for (size_t len = 0; len <= 80; len++) {
        EXPECT(len == 64 ? KY_OK : KY_PROOF_MALFORMED,
               policy_key_verify_message(key, KY_SPAN(&message, 1), KY_SPAN(sig, len)), "length");
    }
    unsigned carry = 0;
    for (size_t i = 0; i < 32; i++) {
        carry += (unsigned)sig[32 + i] + order[i];
        sig[32 + i] = (uint8_t)carry;
        carry >>= 8;
    }
    EXPECT(KY_PROOF_WRONG, policy_key_verify_message(key, KY_SPAN(&message, 1), KY_SPAN(sig, 64)),
           "s + L");
    policy_device_key_free(&key);
}

static void fault_26_signature_edges(void **state)
{
    (void)state;
    struct policy_device_key *key = load(POLICY_DEVICE_ES256, es256_spki);
    for (size_t i = 0; i < ROWS(signature_edges); i++) {
        const struct signature_edge *e = &signature_edges[i];
        uint8_t challenge[32];
        uint8_t sig[SIG_MAX];
        challenge_of(e->challenge, challenge);
        const struct ky_span s = unhex(e->hex, sig, sizeof(sig));
        EXPECT(e->code, policy_device_verify(key, challenge, s), e->name);
        /* The same through the message form, and no state is left behind by a refusal. */
        EXPECT(e->code, policy_key_verify_message(key, KY_SPAN_OF(challenge), s), e->name);
    }
    policy_device_key_free(&key);
}

static void test_key_edges(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(key_edges); i++) {
        const struct key_edge *e = &key_edges[i];
        uint8_t der[KEY_MAX];
        struct policy_device_key *key = NULL;
        EXPECT(e->code, policy_device_key_load(e->type, unhex(e->hex, der, sizeof(der)), &key),
               e->name);
        assert_int_equal(key != NULL, e->code == KY_OK);
        policy_device_key_free(&key);
    }
}

static void test_key_types(void **state)
{
    (void)state;
    uint8_t der[KEY_MAX];
    const struct ky_span spki = unhex(es256_spki, der, sizeof(der));
    struct policy_device_key *key = NULL;
    for (unsigned type = 0; type <= UINT8_MAX; type++) {
        const enum ky_code want = type == POLICY_DEVICE_ES256 ? KY_OK : KY_INVALID;
        EXPECT(want, policy_device_key_load((uint8_t)type, spki, &key), "type");
        policy_device_key_free(&key);
    }
    for (unsigned type = 0; type <= UINT8_MAX; type++) {
        EXPECT(KY_INVALID, policy_device_key_load((uint8_t)type, KY_SPAN(NULL, 0), &key), "NULL");
    }
    assert_null(key);
    policy_device_key_free(&key);
    policy_device_key_free(NULL);
}

static void flip_every_bit(struct policy_device_key *key, uint8_t challenge[32], uint8_t *sig,
                           size_t sig_len)
{
    const struct ky_span s = KY_SPAN(sig, sig_len);
    EXPECT(KY_OK, policy_device_verify(key, challenge, s), "as it is");
    for (size_t i = 0; i < 8 * 32; i++) {
        challenge[i / 8] = (uint8_t)(challenge[i / 8] ^ 1u << i % 8);
        EXPECT(KY_PROOF_WRONG, policy_device_verify(key, challenge, s), "challenge");
        challenge[i / 8] = (uint8_t)(challenge[i / 8] ^ 1u << i % 8);
    }
    for (size_t i = 0; i < 8 * sig_len; i++) {
        sig[i / 8] = (uint8_t)(sig[i / 8] ^ 1u << i % 8);
        assert_false(ky_ok(policy_device_verify(key, challenge, s)));
        sig[i / 8] = (uint8_t)(sig[i / 8] ^ 1u << i % 8);
    }
    EXPECT(KY_OK, policy_device_verify(key, challenge, s), "as it was");
}

static void test_every_bit_matters(void **state)
{
    (void)state;
    struct policy_device_key *key = load(POLICY_DEVICE_ES256, es256_spki);
    for (size_t i = 0; i < 2; i++) { /* "der" and "raw" */
        uint8_t challenge[32];
        uint8_t sig[SIG_MAX];
        challenge_of(signature_edges[i].challenge, challenge);
        const struct ky_span s = unhex(signature_edges[i].hex, sig, sizeof(sig));
        flip_every_bit(key, challenge, sig, s.len);
    }
    policy_device_key_free(&key);
}

/* A signature of one key is none of another's, in either form. */
static void test_other_key(void **state)
{
    (void)state;
    uint8_t challenge[32];
    uint8_t sig[SIG_MAX];
    challenge_of(signature_edges[0].challenge, challenge);
    const struct ky_span s = unhex(signature_edges[0].hex, sig, sizeof(sig));
    size_t tried = 0;
    for (size_t i = 0; i < ROWS(key_edges); i++) {
        const struct key_edge *e = &key_edges[i];
        if (e->code != KY_OK || strcmp(e->name, "p-256") == 0) {
            continue;
        }
        struct policy_device_key *key = load(e->type, e->hex);
        assert_false(ky_ok(policy_device_verify(key, challenge, s)));
        policy_device_key_free(&key);
        tried++;
    }
    assert_int_equal(tried, 3);
}

/*
 * One scratch for all of them, as the server has it: what was loaded last decides, and a refusal
 * leaves nothing to verify with.
 */
static void test_one_after_another(void **state)
{
    (void)state;
    uint8_t challenge[32];
    uint8_t sig[SIG_MAX];
    challenge_of(signature_edges[0].challenge, challenge);
    const struct ky_span s = unhex(signature_edges[0].hex, sig, sizeof(sig));
    struct policy_device_key *key = NULL;
    for (size_t i = 0; i < ROWS(key_edges); i++) {
        const struct key_edge *e = &key_edges[i];
        uint8_t der[KEY_MAX];
        EXPECT(e->code, policy_device_key_load(e->type, unhex(e->hex, der, sizeof(der)), &key),
               e->name);
        assert_int_equal(key != NULL, e->code == KY_OK);
        if (key != NULL) {
            assert_int_equal(strcmp(e->name, "p-256") == 0,
                             ky_ok(policy_device_verify(key, challenge, s)));
        }
        EXPECT(
            KY_OK,
            policy_device_key_load(POLICY_DEVICE_ES256, unhex(es256_spki, der, sizeof(der)), &key),
            "back");
        EXPECT(KY_OK, policy_device_verify(key, challenge, s), "back");
    }
    policy_device_key_free(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc6979),           cmocka_unit_test(test_rfc8032),
        cmocka_unit_test(test_ed25519_forms),     cmocka_unit_test(fault_26_signature_edges),
        cmocka_unit_test(test_key_edges),         cmocka_unit_test(test_key_types),
        cmocka_unit_test(test_every_bit_matters), cmocka_unit_test(test_other_key),
        cmocka_unit_test(test_one_after_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
