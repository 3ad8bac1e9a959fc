/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of hashes: the allow-list, and what a SAD still covers. Spending is compared with
 * a naive model over every small case. Fault 8-10, P1.
 */
#include "policy_test.h"

/* --- policy_hashes_check --- */

static const struct ky_algorithm ecdsa256 = {.scheme = KY_ECDSA, .hash = KY_SHA256};

/* n distinct digests of len bytes, none all zero. */
static struct ky_span digests(uint8_t *out, size_t n, size_t len)
{
    memset(out, 0xa5, n * len);
    for (size_t i = 0; i < n; i++) {
        out[i * len + len - 1] = (uint8_t)i;
        out[i * len + len - 2] = (uint8_t)(i >> 8);
    }
    return KY_SPAN(out, n * len);
}

static void fault_10_hash_counts(void **state)
{
    (void)state;
    static uint8_t bytes[(KY_HASHES_MAX + 1) * 32];
    for (size_t n = 0; n <= KY_HASHES_MAX + 1; n++) {
        uint32_t count = 77;
        const bool good = n >= 1 && n <= KY_HASHES_MAX;
        EXPECT(good ? KY_OK : KY_INVALID,
               policy_hashes_check(KY_KEY_P256, &ecdsa256, digests(bytes, n, 32), &count), "count");
        assert_int_equal(count, good ? n : 77);
    }
}

static void fault_08_hash_lengths(void **state)
{
    (void)state;
    static const size_t lens[] = {[KY_SHA256] = 32, [KY_SHA384] = 48, [KY_SHA512] = 64};
    for (uint8_t hash = KY_SHA256; hash <= KY_SHA512; hash++) {
        const struct ky_algorithm a = {.scheme = KY_ECDSA, .hash = hash};
        for (size_t len = 0; len <= 130; len++) {
            uint8_t bytes[130];
            for (size_t i = 0; i < len; i++) {
                bytes[i] = (uint8_t)(i + 1);
            }
            uint32_t count = 0;
            const bool whole = len != 0 && len % lens[hash] == 0;
            EXPECT(whole ? KY_OK : KY_INVALID,
                   policy_hashes_check(KY_KEY_P256, &a, KY_SPAN(bytes, len), &count), "length");
        }
    }
}

static void fault_09_forbidden(void **state)
{
    (void)state;
    uint8_t bytes[3 * 32];
    uint32_t count = 77;
    for (unsigned hash = 0; hash <= UINT8_MAX; hash++) {
        const struct ky_algorithm a = {.scheme = KY_RSA_PKCS1, .hash = (uint8_t)hash};
        const bool listed = hash >= KY_SHA256 && hash <= KY_SHA512;
        const struct ky_status s =
            policy_hashes_check(KY_KEY_RSA2048, &a, digests(bytes, 1, 20), &count);
        EXPECT(listed ? KY_INVALID : KY_HASH_FORBIDDEN, s, "SHA-1's length");
    }
    for (unsigned scheme = 0; scheme <= UINT8_MAX; scheme++) {
        const struct ky_algorithm a = {.scheme = (uint8_t)scheme, .hash = KY_SHA256};
        const enum ky_code want = scheme == KY_ECDSA                         ? KY_OK
                                  : scheme == 0 || scheme >= KY_SCHEME_COUNT ? KY_HASH_FORBIDDEN
                                                                             : KY_INVALID;
        EXPECT(want, policy_hashes_check(KY_KEY_P256, &a, digests(bytes, 1, 32), &count), "scheme");
    }
    for (size_t zero = 0; zero < 3; zero++) {
        const struct ky_span s = digests(bytes, 3, 32);
        memset(bytes + zero * 32, 0, 32);
        EXPECT(KY_HASH_FORBIDDEN, policy_hashes_check(KY_KEY_P256, &ecdsa256, s, &count),
               "all zero");
        bytes[zero * 32 + 17] = 1;
        EXPECT(KY_OK, policy_hashes_check(KY_KEY_P256, &ecdsa256, s, &count), "one bit");
    }
}

static void test_algorithm_fits_key(void **state)
{
    (void)state;
    static const struct {
        uint8_t key;
        uint8_t scheme;
        enum ky_code code;
    } rows[] = {
        {KY_KEY_P256, KY_ECDSA, KY_OK},
        {KY_KEY_P384, KY_ECDSA, KY_OK},
        {KY_KEY_P256, KY_RSA_PKCS1, KY_INVALID},
        {KY_KEY_P256, KY_EDDSA, KY_INVALID},
        {KY_KEY_RSA2048, KY_RSA_PKCS1, KY_OK},
        {KY_KEY_RSA4096, KY_RSA_PSS, KY_OK},
        {KY_KEY_RSA3072, KY_ECDSA, KY_INVALID},
        {KY_KEY_ED25519, KY_EDDSA, KY_OK},
        {KY_KEY_ED25519, KY_ECDSA, KY_INVALID},
        {KY_KEY_NONE, KY_ECDSA, KY_INVALID},
        {KY_KEY_TYPE_COUNT, KY_ECDSA, KY_INVALID},
        {255, KY_RSA_PSS, KY_INVALID},
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        const struct ky_algorithm a = {.scheme = rows[i].scheme,
                                       .hash = KY_SHA256,
                                       .salt_len = rows[i].scheme == KY_RSA_PSS ? 32 : 0};
        uint8_t bytes[32];
        uint32_t count = 0;
        EXPECT(rows[i].code, policy_hashes_check(rows[i].key, &a, digests(bytes, 1, 32), &count),
               "fit");
    }
}

static void fault_10_duplicate_hashes(void **state)
{
    (void)state;
    uint8_t bytes[5 * 32];
    for (size_t i = 0; i < 5; i++) {
        for (size_t j = 0; j < i; j++) {
            const struct ky_span s = digests(bytes, 5, 32);
            memcpy(bytes + i * 32, bytes + j * 32, 32);
            uint32_t count = 0;
            EXPECT(KY_INVALID, policy_hashes_check(KY_KEY_P256, &ecdsa256, s, &count), "duplicate");
        }
    }
}

/* --- policy_sad_take --- */

/*
 * The model: lists of letters, used as a set; says what must come out by walking sets
 * letter by letter.
 */
struct model {
    enum ky_code code;
    uint8_t take;
    uint32_t left;
};

static bool has_letter_twice(const uint8_t *letters, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = i + 1; j < n; j++) {
            if (letters[i] == letters[j]) {
                return true;
            }
        }
    }
    return false;
}

static struct model model_take(const uint8_t *listed, size_t n, const uint8_t *wanted, size_t m,
                               uint8_t used)
{
    if (n == 0 || m == 0) {
        return (struct model){.code = KY_INVALID};
    }
    struct model out = {.code = KY_OK};
    bool spent = false;
    for (size_t w = 0; w < m; w++) {
        const uint8_t *const at = memchr(listed, wanted[w], n);
        if (at == NULL) {
            return (struct model){.code = KY_HASH_NOT_IN_SAD};
        }
        const unsigned place = 1u << (at - listed);
        spent = spent || (used & place) != 0;
        out.take = (uint8_t)(out.take | place);
    }
    if (has_letter_twice(wanted, m)) {
        return (struct model){.code = KY_INVALID};
    }
    if (spent) {
        return (struct model){.code = KY_HASH_SPENT};
    }
    for (size_t i = 0; i < n; i++) {
        out.left += ((used | out.take) & 1u << i) == 0;
    }
    return out;
}

/*
 * The number's digits in base 5 as letters; each letter becomes a 32-byte hash that differs in its
 * middle only.
 */
static void spell(uint32_t number, size_t n, uint8_t *letters, uint8_t *hashes)
{
    memset(hashes, 0x11, n * 32);
    for (size_t i = 0; i < n; i++) {
        letters[i] = (uint8_t)(1 + number % 5);
        hashes[i * 32 + 15] = letters[i];
        number /= 5;
    }
}

static uint32_t power5(size_t n)
{
    uint32_t v = 1;
    while (n-- > 0) {
        v *= 5;
    }
    return v;
}

/* Every list of up to 3 and request of up to 3 over 5 letters, with every set of used ones. */
static void test_take_exhaustively(void **state)
{
    (void)state;
    uint32_t seen[KY_CODE_COUNT] = {0};
    for (size_t n = 0; n <= 3; n++) {
        for (size_t m = 0; m <= 3; m++) {
            for (uint32_t list = 0; list < power5(n); list++) {
                for (uint32_t want = 0; want < power5(m); want++) {
                    for (unsigned bits = 0; bits < 1u << n; bits++) {
                        uint8_t l[3], w[3], lh[96], wh[96];
                        spell(list, n, l, lh);
                        spell(want, m, w, wh);
                        if (has_letter_twice(l, n)) {
                            continue; /* no transaction lists a hash twice: policy_hashes_check */
                        }
                        const uint8_t used = (uint8_t)bits;
                        uint8_t take = 0x55;
                        uint32_t left = 77;
                        const struct model expected = model_take(l, n, w, m, used);
                        EXPECT(expected.code,
                               policy_sad_take(KY_SPAN(lh, n * 32), KY_SPAN(wh, m * 32), 32, &used,
                                               &take, &left),
                               "model");
                        const bool good = expected.code == KY_OK;
                        assert_int_equal(take, good ? expected.take : 0x55);
                        assert_int_equal(left, good ? expected.left : 77);
                        assert_int_equal(used, bits);
                        seen[expected.code]++;
                    }
                }
            }
        }
    }
    assert_true(seen[KY_OK] > 0 && seen[KY_INVALID] > 0 && seen[KY_HASH_NOT_IN_SAD] > 0 &&
                seen[KY_HASH_SPENT] > 0);
}

/*
 * One hash after another until none is left, each refused the second time; up to the greatest list.
 */
static void test_spend_all(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 7, 8, 9, 255, KY_HASHES_MAX};
    static uint8_t bytes[KY_HASHES_MAX * 48];
    for (size_t k = 0; k < ROWS(sizes); k++) {
        const size_t n = sizes[k];
        const struct ky_span listed = digests(bytes, n, 48);
        uint8_t used[KY_HASHES_MAX / 8] = {0};
        for (size_t i = 0; i < n; i++) {
            uint8_t take[KY_HASHES_MAX / 8] = {0};
            uint32_t left = 0;
            const struct ky_span one = KY_SPAN(bytes + i * 48, 48);
            EXPECT(KY_OK, policy_sad_take(listed, one, 48, used, take, &left), "first time");
            assert_int_equal(left, n - i - 1);
            for (size_t b = 0; b < (n + 7) / 8; b++) {
                assert_int_equal(used[b] & take[b], 0);
                used[b] = (uint8_t)(used[b] | take[b]);
            }
            EXPECT(KY_HASH_SPENT, policy_sad_take(listed, one, 48, used, take, &left),
                   "second time");
        }
        uint8_t take[KY_HASHES_MAX / 8] = {0};
        uint32_t left = 0;
        EXPECT(KY_HASH_SPENT, policy_sad_take(listed, listed, 48, used, take, &left), "all again");
        memset(used, 0, sizeof(used));
        EXPECT(KY_OK, policy_sad_take(listed, listed, 48, used, take, &left), "all at once");
        assert_int_equal(left, 0);
    }
}

/* out_take has the list's size and not a byte more: the sanitizer watches the heap. */
static void test_take_writes_its_size(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 17; n++) {
        uint8_t bytes[17 * 32];
        const struct ky_span listed = digests(bytes, n, 32);
        uint8_t *const used = test_calloc((n + 7) / 8, 1);
        uint8_t *const take = test_malloc((n + 7) / 8);
        uint32_t left = 0;
        EXPECT(KY_OK, policy_sad_take(listed, listed, 32, used, take, &left), "size");
        for (size_t i = 0; i < 8 * ((n + 7) / 8); i++) {
            assert_int_equal(take[i / 8] >> i % 8 & 1, i < n);
        }
        test_free(take);
        test_free(used);
    }
}

static void test_every_bit_of_a_hash_counts(void **state)
{
    (void)state;
    uint8_t listed[2 * 32];
    (void)digests(listed, 2, 32);
    const uint8_t used = 0;
    uint8_t take = 0;
    uint32_t left = 0;
    for (size_t i = 0; i < 256; i++) {
        uint8_t wanted[32];
        memcpy(wanted, listed, 32);
        wanted[i / 8] = (uint8_t)(wanted[i / 8] ^ 1u << i % 8);
        const bool is_second = memcmp(wanted, listed + 32, 32) == 0;
        EXPECT(is_second ? KY_OK : KY_HASH_NOT_IN_SAD,
               policy_sad_take(KY_SPAN_OF(listed), KY_SPAN_OF(wanted), 32, &used, &take, &left),
               "bit");
    }
}

static void test_take_lengths(void **state)
{
    (void)state;
    static uint8_t bytes[(KY_HASHES_MAX + 1) * 32];
    const uint8_t used[33] = {0};
    uint8_t take[33] = {0};
    uint32_t left = 0;
    const struct ky_span all = digests(bytes, KY_HASHES_MAX + 1, 32);
    const struct ky_span two = KY_SPAN(bytes, 64);
    const struct ky_span one = KY_SPAN(bytes, 32);
    static const size_t lens[] = {0, 1, 31, 33, 63, 65, 95};
    for (size_t i = 0; i < ROWS(lens); i++) {
        const struct ky_span odd = KY_SPAN(bytes, lens[i]);
        EXPECT(KY_INVALID, policy_sad_take(two, odd, 32, used, take, &left), "requested");
        EXPECT(KY_INVALID, policy_sad_take(odd, one, 32, used, take, &left), "listed");
    }
    EXPECT(KY_INVALID, policy_sad_take(two, one, 0, used, take, &left), "hash of 0");
    EXPECT(KY_INVALID,
           policy_sad_take(KY_SPAN(bytes, 130), KY_SPAN(bytes, 65), 65, used, take, &left),
           "hash of 65");
    EXPECT(KY_OK, policy_sad_take(KY_SPAN(bytes, 128), KY_SPAN(bytes, 64), 64, used, take, &left),
           "hash of 64");
    EXPECT(KY_INVALID, policy_sad_take(all, one, 32, used, take, &left), "257 listed");
    EXPECT(KY_INVALID, policy_sad_take(two, all, 32, used, take, &left), "257 requested");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fault_10_hash_counts),
        cmocka_unit_test(fault_08_hash_lengths),
        cmocka_unit_test(fault_09_forbidden),
        cmocka_unit_test(test_algorithm_fits_key),
        cmocka_unit_test(fault_10_duplicate_hashes),
        cmocka_unit_test(test_take_exhaustively),
        cmocka_unit_test(test_spend_all),
        cmocka_unit_test(test_take_writes_its_size),
        cmocka_unit_test(test_every_bit_of_a_hash_counts),
        cmocka_unit_test(test_take_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
