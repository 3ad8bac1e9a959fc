/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The canonical form against vectors of a second implementation (tests/vectors/make_tx.py),
 * and every bound bit by flipping it (P19).
 */
#include "kyso/tx.h"

#include <jansson.h>

#include "proto_test.h"

struct vector {
    struct ky_tx_fields tx;
    uint8_t hashes[KY_HASHES_MAX * KY_DIGEST_MAX];
};

static struct ky_span text_of(const json_t *o, const char *key)
{
    const json_t *s = json_object_get(o, key);
    assert_true(json_is_string(s));
    return KY_SPAN((const uint8_t *)json_string_value(s), json_string_length(s));
}

static uint64_t number_of(const json_t *o, const char *key)
{
    const json_t *n = json_object_get(o, key);
    assert_true(json_is_integer(n));
    return (uint64_t)json_integer_value(n);
}

static void hex_of(const json_t *o, const char *key, uint8_t *out, size_t len)
{
    assert_int_equal(from_hex(json_string_value(json_object_get(o, key)), out, len), len);
}

static void load(const json_t *o, struct vector *v)
{
    const json_t *a = json_object_get(o, "algorithm");
    v->tx = (struct ky_tx_fields){
        .server_id = text_of(o, "server_id"),
        .client = text_of(o, "client"),
        .relying_party = text_of(o, "relying_party"),
        .transaction_id = text_of(o, "transaction_id"),
        .subject_id = text_of(o, "subject_id"),
        .credential_id = text_of(o, "credential_id"),
        .credential_epoch = (uint32_t)number_of(o, "credential_epoch"),
        .algorithm = {.scheme = (uint8_t)number_of(a, "scheme"),
                      .hash = (uint8_t)number_of(a, "hash"),
                      .mgf_hash = (uint8_t)number_of(a, "mgf_hash"),
                      .salt_len = (uint16_t)number_of(a, "salt_len")},
        .display_text = text_of(o, "display_text"),
        .not_after_s = number_of(o, "not_after"),
    };
    hex_of(o, "key_spki_sha256", v->tx.key_spki_sha256, 32);
    hex_of(o, "nonce", v->tx.nonce, KY_TX_NONCE_LEN);
    size_t n = 0, i;
    const json_t *h;
    json_array_foreach(json_object_get(o, "hashes"), i, h) n +=
        from_hex(json_string_value(h), v->hashes + n, sizeof(v->hashes) - n);
    v->tx.hashes = KY_SPAN(v->hashes, n);
}

static json_t *vectors(json_t **out_root)
{
    json_error_t why;
    *out_root = json_load_file(KYSO_VECTORS "/tx.json", 0, &why);
    if (*out_root == NULL)
        fail_msg("%s", why.text);
    json_t *list = json_object_get(*out_root, "vectors");
    assert_true(json_array_size(list) >= 15);
    return list;
}

static void check_challenges(const json_t *list, const uint8_t digest[32])
{
    size_t i;
    const json_t *c;
    assert_int_equal(json_array_size(list), 4);
    json_array_foreach(list, i, c)
    {
        uint8_t want[32], got[32];
        hex_of(c, "challenge", want, 32);
        ky_approval_challenge(digest, (uint8_t)number_of(c, "decision"),
                              text_of(c, "matching_code"), got);
        assert_memory_equal(want, got, 32);
    }
}

static void check_requests(const json_t *list, const struct ky_tx_fields *tx)
{
    size_t i;
    const json_t *r;
    assert_int_equal(json_array_size(list), 5);
    json_array_foreach(list, i, r)
    {
        uint8_t want[32], got[32], secret[32], signature[64];
        struct ky_request_fields f = {
            .type = (uint8_t)number_of(r, "type"),
            .request_id = text_of(r, "request_id"),
            .ttl_s = (uint32_t)number_of(r, "ttl"),
            .proof = (uint8_t)number_of(r, "proof"),
            .authenticator_id = text_of(r, "authenticator_id"),
            .matching_code = text_of(r, "matching_code"),
            .expires_s = number_of(r, "expires"),
        };
        f.proof_secret = KY_SPAN(
            secret, from_hex(json_string_value(json_object_get(r, "secret")), secret, 32));
        f.proof_signature =
            KY_SPAN(signature, from_hex(json_string_value(json_object_get(r, "device_signature")),
                                        signature, 64));
        hex_of(r, "digest", want, 32);
        ky_request_digest(tx, &f, got);
        assert_memory_equal(want, got, 32);
    }
}

static void test_vectors(void **state)
{
    (void)state;
    json_t *root;
    const json_t *list = vectors(&root);
    size_t i;
    const json_t *item;
    json_array_foreach(list, i, item)
    {
        struct vector v;
        uint8_t want[32], got[32];
        load(json_object_get(item, "tx"), &v);
        hex_of(item, "tx_digest", want, 32);
        ky_tx_digest(&v.tx, got);
        assert_memory_equal(want, got, 32);
        check_challenges(json_object_get(item, "challenges"), got);
        check_requests(json_object_get(item, "requests"), &v.tx);
        hex_of(item, "content_digest", want, 32);
        ky_tx_content_digest(&v.tx, got);
        assert_memory_equal(want, got, 32);
    }
    json_decref(root);
}

/* A transaction whose every byte may be changed in place. */
struct editable {
    uint8_t text[7][4];
    uint8_t hashes[64];
    struct ky_tx_fields tx;
};

static void fill(struct editable *e)
{
    memset(e, 0, sizeof(*e));
    for (size_t i = 0; i < 7; i++)
        memset(e->text[i], 'a' + (int)i, 4);
    memset(e->hashes, 0x77, 32);
    memset(e->hashes + 32, 0x88, 32);
    struct ky_span *const spans[] = {&e->tx.server_id,      &e->tx.client,     &e->tx.relying_party,
                                     &e->tx.transaction_id, &e->tx.subject_id, &e->tx.credential_id,
                                     &e->tx.display_text};
    for (size_t i = 0; i < 7; i++)
        *spans[i] = KY_SPAN_OF(e->text[i]);
    e->tx.hashes = KY_SPAN_OF(e->hashes);
    e->tx.algorithm = (struct ky_algorithm){KY_RSA_PSS, KY_SHA256, KY_SHA256, 32};
    e->tx.credential_epoch = 5;
    e->tx.not_after_s = 9;
}

struct range {
    void *at;
    size_t len;
    bool in_content;
};

static void flip_range(struct editable *e, struct range r)
{
    uint8_t tx0[32], tx1[32], content0[32], content1[32];
    ky_tx_digest(&e->tx, tx0);
    ky_tx_content_digest(&e->tx, content0);
    for (size_t bit = 0; bit < r.len * 8; bit++) {
        ((uint8_t *)r.at)[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ky_tx_digest(&e->tx, tx1);
        ky_tx_content_digest(&e->tx, content1);
        ((uint8_t *)r.at)[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_memory_not_equal(tx0, tx1, 32);
        assert_int_equal(memcmp(content0, content1, 32) != 0, r.in_content);
    }
}

static void test_every_bit_is_bound(void **state)
{
    (void)state;
    struct editable e;
    fill(&e);
    const struct range ranges[] = {
        {e.text[0], 4, false},
        {e.text[1], 4, false},
        {e.text[2], 4, true},
        {e.text[3], 4, false},
        {e.text[4], 4, false},
        {e.text[5], 4, true},
        {e.text[6], 4, true},
        {e.hashes, 64, true},
        {&e.tx.credential_epoch, 4, false},
        {e.tx.key_spki_sha256, 32, false},
        {&e.tx.not_after_s, 8, false},
        {e.tx.nonce, KY_TX_NONCE_LEN, false},
        {&e.tx.algorithm.scheme, 1, true},
        {&e.tx.algorithm.hash, 1, true},
        {&e.tx.algorithm.mgf_hash, 1, true},
        {&e.tx.algorithm.salt_len, 2, true},
    };
    for (size_t i = 0; i < ROWS(ranges); i++) {
        /*
         * mgf 1 with its low bit off is 0: "the same as the hash's", so the same digest by design
         */
        if (ranges[i].at == &e.tx.algorithm.mgf_hash)
            e.tx.algorithm.mgf_hash = KY_SHA384;
        flip_range(&e, ranges[i]);
    }
}

static void test_what_has_no_effect_is_left_out(void **state)
{
    (void)state;
    struct editable e;
    uint8_t a[32], b[32];
    fill(&e);
    e.tx.algorithm = (struct ky_algorithm){KY_ECDSA, KY_SHA256, 0, 0};
    ky_tx_digest(&e.tx, a);
    e.tx.algorithm.mgf_hash = KY_SHA256;
    e.tx.algorithm.salt_len = 32;
    ky_tx_digest(&e.tx, b);
    assert_memory_equal(a, b, 32);
}

/*
 * Lengths that a checked request cannot have still make distinct digests, and read nothing beyond.
 */
static void test_odd_hash_lengths(void **state)
{
    (void)state;
    struct editable e;
    uint8_t seen[66][32];
    fill(&e);
    memset(e.hashes, 0, sizeof(e.hashes));
    for (size_t len = 0; len <= 64; len++) {
        e.tx.hashes.len = len;
        ky_tx_digest(&e.tx, seen[len]);
        for (size_t k = 0; k < len; k++)
            assert_memory_not_equal(seen[k], seen[len], 32);
    }
    e.tx.algorithm.hash = 99;
    ky_tx_digest(&e.tx, seen[65]);
}

static void test_challenge_bits(void **state)
{
    (void)state;
    uint8_t digest[32] = {1}, base[32], other[32];
    ky_approval_challenge(digest, KY_DECISION_APPROVE, TEXT("42"), base);
    for (size_t bit = 0; bit < 256; bit++) {
        digest[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ky_approval_challenge(digest, KY_DECISION_APPROVE, TEXT("42"), other);
        digest[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_memory_not_equal(base, other, 32);
    }
    ky_approval_challenge(digest, KY_DECISION_REJECT, TEXT("42"), other);
    assert_memory_not_equal(base, other, 32);
    ky_approval_challenge(digest, KY_DECISION_APPROVE, TEXT("43"), other);
    assert_memory_not_equal(base, other, 32);
    ky_approval_challenge(digest, KY_DECISION_APPROVE, TEXT("42\0"), other);
    assert_memory_not_equal(base, other, 32);
}

/*
 * Every bit that a relying party says, the proof with it; neither a row's epoch nor what only the
 * server knows.
 */
static void test_request_bits(void **state)
{
    (void)state;
    struct editable e;
    uint8_t text[5][4] = {"aaaa", "bbbb", "cccc", "dddd", "eeee"};
    struct ky_request_fields r = {
        .type = 6,
        .request_id = KY_SPAN_OF(text[0]),
        .ttl_s = 7,
        .proof = 1,
        .authenticator_id = KY_SPAN_OF(text[1]),
        .proof_secret = KY_SPAN_OF(text[2]),
        .matching_code = KY_SPAN_OF(text[3]),
        .proof_signature = KY_SPAN_OF(text[4]),
        .expires_s = 9,
    };
    fill(&e);
    const struct range ranges[] = {
        {e.text[0], 4, true},           {e.text[1], 4, true},
        {e.text[2], 4, true},           {e.text[3], 4, true},
        {e.text[4], 4, false},          {e.text[5], 4, true},
        {e.text[6], 4, true},           {e.hashes, 64, true},
        {&e.tx.credential_epoch, 4, false}, {e.tx.nonce, KY_TX_NONCE_LEN, false},
        {&e.tx.algorithm.scheme, 1, true},  {&e.tx.algorithm.hash, 1, true},
        {&e.tx.algorithm.salt_len, 2, true}, {&r.type, 1, true},
        {&r.ttl_s, 4, true},            {&r.proof, 1, true},
        {&r.expires_s, 8, true},        {text, sizeof(text), true},
    };
    uint8_t base[32], other[32];
    ky_request_digest(&e.tx, &r, base);
    for (size_t i = 0; i < ROWS(ranges); i++)
        for (size_t bit = 0; bit < ranges[i].len * 8; bit++) {
            ((uint8_t *)ranges[i].at)[bit / 8] ^= (uint8_t)(1u << bit % 8);
            ky_request_digest(&e.tx, &r, other);
            ((uint8_t *)ranges[i].at)[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_equal(memcmp(base, other, 32) != 0, ranges[i].in_content);
        }
    /* a byte moved to the neighbouring field is another request */
    r.authenticator_id.len--;
    r.proof_secret = KY_SPAN(text[1] + 3, 5);
    ky_request_digest(&e.tx, &r, other);
    assert_memory_not_equal(base, other, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_every_bit_is_bound),
        cmocka_unit_test(test_what_has_no_effect_is_left_out),
        cmocka_unit_test(test_odd_hash_lengths),
        cmocka_unit_test(test_challenge_bits),
        cmocka_unit_test(test_request_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
