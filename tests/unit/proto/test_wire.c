/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire cursor: little-endian, never past the end, sticky after the first failure.
 */
#include "kyso/wire.h"

#include "proto_test.h"

static void put_all(struct ky_buf *b)
{
    ky_put_u8(b, 0x11);
    ky_put_u16(b, 0x2233);
    ky_put_u32(b, 0x44556677);
    ky_put_u64(b, 0x8899aabbccddeeffu);
    ky_put_bytes(b, TEXT("hello"));
    ky_put_bytes(b, TEXT(""));
}

static const char all_hex[] = "11 3322 77665544 ffeeddccbbaa9988 05000000 68656c6c6f 00000000";

static void test_layout(void **state)
{
    (void)state;
    struct ky_buf b = KY_BUF_INIT(64);
    put_all(&b);
    uint8_t want[64];
    size_t n = from_hex(all_hex, want, sizeof(want));
    assert_true(ky_span_eq(ky_buf_span(&b), KY_SPAN(want, n)));
    ky_buf_free(&b);
}

static bool read_all(struct ky_reader *r)
{
    bool same = ky_get_u8(r) == 0x11;
    same = ky_get_u16(r) == 0x2233 && same;
    same = ky_get_u32(r) == 0x44556677 && same;
    same = ky_get_u64(r) == 0x8899aabbccddeeffu && same;
    same = ky_span_eq(ky_get_bytes(r, 5), TEXT("hello")) && same;
    return ky_get_bytes(r, 0).len == 0 && same;
}

static void test_each_truncation(void **state)
{
    (void)state;
    uint8_t whole[64];
    size_t n = from_hex(all_hex, whole, sizeof(whole));
    for (size_t len = 0; len <= n; len++) {
        uint8_t *tight = tight_copy(KY_SPAN(whole, len));
        struct ky_reader r = ky_reader(KY_SPAN(tight, len));
        bool same = read_all(&r);
        assert_int_equal(ky_reader_done(&r), len == n);
        assert_int_equal(r.failed, len != n);
        assert_true(same || len != n);
        if (r.failed) { /* sticky: zeros from now on, even where bytes are left */
            assert_int_equal(ky_get_u8(&r) + ky_get_u16(&r) + ky_get_u32(&r), 0);
            assert_true(ky_get_u64(&r) == 0 && ky_get_raw(&r, 0).len == 0);
        }
        free(tight);
    }
}

static void test_bytes_bounds(void **state)
{
    (void)state;
    uint8_t in[12];
    size_t n = from_hex("ffffffff 0102030405060708", in, sizeof(in));
    struct ky_reader r = ky_reader(KY_SPAN(in, n));
    assert_int_equal(ky_get_bytes(&r, SIZE_MAX).len, 0);
    assert_true(r.failed);
    n = from_hex("05000000 0102030405", in, sizeof(in));
    r = ky_reader(KY_SPAN(in, n));
    assert_int_equal(ky_get_bytes(&r, 4).len, 0);
    assert_true(r.failed);
    r = ky_reader(KY_SPAN(in, n));
    assert_int_equal(ky_get_raw(&r, SIZE_MAX).len, 0);
    assert_true(r.failed);
    r = ky_reader(KY_SPAN(in, n));
    assert_int_equal(ky_get_u8(&r), 5);
    assert_false(ky_reader_done(&r)); /* bytes left over are no success */
}

/* A length never stands in the buffer without its bytes. */
static void test_put_bytes_is_whole(void **state)
{
    (void)state;
    struct ky_buf b = KY_BUF_INIT(8);
    ky_put_bytes(&b, TEXT("hello"));
    assert_true(b.failed);
    assert_int_equal(b.len, 0);
    ky_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_each_truncation),
        cmocka_unit_test(test_bytes_bounds),
        cmocka_unit_test(test_put_bytes_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
