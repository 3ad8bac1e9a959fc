/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frontier against published roots and against the RFC's own recursive definition.
 */
#include <openssl/evp.h>

#include "kyso/alg.h"
#include "kyso/ledger.h"
#include "proto_test.h"

/*
 * Provenance: the eight leaves and the roots of their prefixes from the Certificate Transparency
 * project's reference implementation (google/certificate-transparency, merkletree tests), as used
 * by RFC 6962 logs.
 */
static const char *const ct_leaves[] = {"",
                                        "00",
                                        "10",
                                        "2021",
                                        "3031",
                                        "40414243",
                                        "5051525354555657",
                                        "606162636465666768696a6b6c6d6e6f"};
static const char *const ct_roots[] = {
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
};

static void test_ct_tree(void **state)
{
    (void)state;
    struct merkle m = {0};
    for (size_t n = 0; n <= ROWS(ct_leaves); n++) {
        uint8_t want[32], got[32], leaf[16];
        from_hex(ct_roots[n], want, sizeof(want));
        merkle_root(&m, got);
        assert_memory_equal(got, want, 32);
        if (n < ROWS(ct_leaves))
            merkle_append(&m, KY_SPAN(leaf, from_hex(ct_leaves[n], leaf, sizeof(leaf))));
    }
}

#define LEAVES 300u

static struct ky_span leaf_of(uint32_t i, uint8_t room[8])
{
    memset(room, 0, 8);
    memcpy(room, &i, sizeof(i));
    return KY_SPAN(room, i % 9); /* lengths 0..8: an empty leaf is a leaf */
}

static void evp_sha256(const uint8_t *in, size_t len, uint8_t out[32])
{
    assert_int_equal(EVP_Digest(in, len, out, NULL, EVP_sha256(), NULL), 1);
}

/* MTH(D[n]) of RFC 6962 s.2.1, word for word, over leaves first..first+n. */
static void mth(uint32_t first, uint32_t n, uint8_t out[32])
{
    uint8_t in[65] = {0};
    if (n == 0) {
        evp_sha256(in, 0, out);
        return;
    }
    if (n == 1) {
        uint8_t room[8];
        struct ky_span leaf = leaf_of(first, room);
        in[0] = 0x00;
        memcpy(in + 1, leaf.data, leaf.len);
        evp_sha256(in, 1 + leaf.len, out);
        return;
    }
    uint32_t k = 1;
    while (k * 2 < n)
        k *= 2;
    in[0] = 0x01;
    mth(first, k, in + 1);
    mth(first + k, n - k, in + 33);
    evp_sha256(in, sizeof(in), out);
}

static void test_recursive_definition(void **state)
{
    (void)state;
    struct merkle m = {0};
    for (uint32_t n = 0; n <= LEAVES; n++) {
        uint8_t want[32], got[32], room[8];
        mth(0, n, want);
        merkle_root(&m, got);
        assert_memory_equal(got, want, 32);
        assert_int_equal(m.size, n);
        for (unsigned level = 0; level < 64; level++)
            assert_int_equal(ky_span_all_zero(KY_SPAN_OF(m.peaks[level])),
                             ((uint64_t)n >> level & 1) == 0);
        merkle_append(&m, leaf_of(n, room));
    }
}

/* A frontier taken from a snapshot goes on as if it had never been put down. */
static void test_resumes(void **state)
{
    (void)state;
    struct merkle a = {0}, b = {0};
    uint8_t room[8], x[32], y[32];
    for (uint32_t i = 0; i < 100; i++)
        merkle_append(&a, leaf_of(i, room));
    b.size = a.size;
    for (unsigned level = 0; level < 64; level++) {
        if ((a.size >> level & 1) != 0)
            memcpy(b.peaks[level], a.peaks[level], 32);
    }
    for (uint32_t i = 100; i < 140; i++) {
        merkle_append(&a, leaf_of(i, room));
        merkle_append(&b, leaf_of(i, room));
    }
    merkle_root(&a, x);
    merkle_root(&b, y);
    assert_memory_equal(x, y, 32);
    assert_memory_equal(&a, &b, sizeof(a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ct_tree),
        cmocka_unit_test(test_recursive_definition),
        cmocka_unit_test(test_resumes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
