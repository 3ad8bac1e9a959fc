/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC framing, the timeout header, the error detail, and the descriptors for reflection.
 */
#include "kyso/grpc.h"

#include "kyso/descriptors.h"
#include "kyso/v1/types.pb-c.h"
#include "proto_test.h"

static void test_frame_round_trip(void **state)
{
    (void)state;
    Kyso__V1__ErrorDetail d = KYSO__V1__ERROR_DETAIL__INIT;
    struct ky_buf b = KY_BUF_INIT(64);
    d.code = (char *)(uintptr_t) "busy";
    EXPECT(KY_OK, ky_grpc_frame(&d.base, &b));
    d.code = (char *)(uintptr_t) "";
    EXPECT(KY_OK, ky_grpc_frame(&d.base, &b)); /* an empty message is a message */
    uint8_t want[16];
    size_t n = from_hex("00 00000006 0a04 62757379 00 00000000", want, sizeof(want));
    assert_true(ky_span_eq(ky_buf_span(&b), KY_SPAN(want, n)));
    struct ky_span m;
    for (size_t len = 0; len <= n; len++) {
        uint8_t *tight = tight_copy(KY_SPAN(want, len));
        size_t at = 0;
        enum ky_code code = ky_grpc_next(KY_SPAN(tight, len), &at, 6, &m).code;
        assert_int_equal(code, len < 11 ? KY_BUSY : KY_OK);
        assert_int_equal(at, len < 11 ? 0 : 11);
        if (len >= 11) {
            assert_true(m.len == 6 && m.data == tight + 5);
            code = ky_grpc_next(KY_SPAN(tight, len), &at, 6, &m).code;
            assert_int_equal(code, len < n ? KY_BUSY : KY_OK);
            assert_int_equal(at, len < n ? 11 : n);
        }
        free(tight);
    }
    struct ky_buf small = KY_BUF_INIT(4);
    EXPECT(KY_NOMEM, ky_grpc_frame(&d.base, &small));
    assert_int_equal(small.len, 0);
    ky_buf_free(&small);
    ky_buf_free(&b);
}

static const struct {
    const char *hex;
    enum ky_code want;
} frames[] = {
    {"", KY_BUSY},
    {"00", KY_BUSY},
    {"00 000003e8", KY_BUSY},    /* exactly the maximum of 1000: wait for it */
    {"00 000003e9", KY_INVALID}, /* one more: refused before it comes */
    {"00 ffffffff", KY_INVALID},
    {"00 80000000", KY_INVALID},
    {"01 00000000", KY_UNIMPLEMENTED}, /* compressed */
    {"01", KY_UNIMPLEMENTED},
    {"02", KY_INVALID},
    {"ff 00000000", KY_INVALID},
};

static void test_frame_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(frames); i++) {
        uint8_t in[8];
        struct ky_span m;
        size_t at = 0;
        size_t n = from_hex(frames[i].hex, in, sizeof(in));
        EXPECT(frames[i].want, ky_grpc_next(KY_SPAN(in, n), &at, 1000, &m));
        assert_int_equal(at, 0);
    }
    struct ky_span m;
    size_t past = 3;
    EXPECT(KY_INVALID, ky_grpc_next(TEXT("ab"), &past, 1000, &m));
}

static const struct {
    const char *header;
    uint64_t us;
} timeouts[] = {
    {"1H", UINT64_C(3600000000)},
    {"1M", 60000000},
    {"1S", 1000000},
    {"100m", 100000},
    {"7u", 7},
    {"1n", 1},
    {"999n", 1},
    {"1000n", 1},
    {"1001n", 2},
    {"0S", 0},
    {"0n", 0},
    {"00000001m", 1000},
    {"99999999H", UINT64_C(99999999) * 3600000000u},
    {"99999999n", 100000},
};

static const char *const bad_timeouts[] = {
    "",    "S",   "1",    "123",        "1s",         "1h",  "1 S", " 1S",       "1S ",
    "-1S", "+1S", "1.5S", "123456789S", "1234567890", "1SS", "aS",  "1\xc2\xb5", "0x1S"};

static void test_timeouts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(timeouts); i++) {
        uint64_t us = 77;
        EXPECT(KY_OK, ky_grpc_timeout(ky_span_text(timeouts[i].header), &us));
        assert_int_equal(us, timeouts[i].us);
    }
    for (size_t i = 0; i < ROWS(bad_timeouts); i++) {
        uint64_t us = 77;
        if (ky_grpc_timeout(ky_span_text(bad_timeouts[i]), &us).code != KY_INVALID)
            fail_msg("taken: %s", bad_timeouts[i]);
        assert_int_equal(us, 77);
    }
}

static void test_details_bytes(void **state)
{
    (void)state;
    struct ky_buf b = KY_BUF_INIT(1024);
    uint8_t want[256];
    EXPECT(KY_OK, ky_grpc_details(KY_BUSY, NULL, 300, &b));
    size_t n = from_hex("08 08 12 1f 746f6f20627573792c20726574727920616674657220746865 2068696e74",
                        want, sizeof(want));
    want[3] = (uint8_t)(n - 4);
    uint8_t any[128];
    size_t any_len = from_hex("0a 27", any, sizeof(any));
    memcpy(any + any_len, "type.googleapis.com/kyso.v1.ErrorDetail", 0x27);
    any_len += 0x27;
    any_len += from_hex("12 0b 0a04 62757379 10 01 18 ac02", any + any_len, sizeof(any) - any_len);
    want[n++] = 0x1a;
    want[n++] = (uint8_t)any_len;
    memcpy(want + n, any, any_len);
    n += any_len;
    assert_true(ky_span_eq(ky_buf_span(&b), KY_SPAN(want, n)));
    ky_buf_free(&b);
}

/*
 * A text of the caller's stands in place of the public one, once, with the same detail behind it.
 */
static void test_details_text(void **state)
{
    (void)state;
    static const char text[] = "invalid: hashes";
    struct ky_buf own = KY_BUF_INIT(1024);
    struct ky_buf common = KY_BUF_INIT(1024);
    EXPECT(KY_OK, ky_grpc_details(KY_INVALID, text, 0, &own));
    EXPECT(KY_OK, ky_grpc_details(KY_INVALID, NULL, 0, &common));
    uint8_t head[4] = {0x08, 3, 0x12, sizeof(text) - 1};
    assert_memory_equal(own.data, head, sizeof(head));
    assert_memory_equal(own.data + sizeof(head), text, sizeof(text) - 1);
    size_t at = sizeof(head) + sizeof(text) - 1;
    size_t common_at = sizeof(head) + strlen(ky_code_info(KY_INVALID)->public_text);
    assert_true(ky_span_eq(KY_SPAN(own.data + at, own.len - at),
                           KY_SPAN(common.data + common_at, common.len - common_at)));
    ky_buf_free(&own);
    ky_buf_free(&common);
}

/*
 * The detail inside is what protobuf-c itself reads, for every public code; no precise code shows
 * through.
 */
static void test_details_parse(void **state)
{
    (void)state;
    for (int c = 0; c < KY_CODE_COUNT; c++) {
        const struct ky_code_info *info = ky_code_info(ky_code_info((enum ky_code)c)->wire);
        struct ky_buf b = KY_BUF_INIT(1024);
        EXPECT(KY_OK, ky_grpc_details((enum ky_code)c, NULL, 5, &b));
        static const char url[] = "type.googleapis.com/kyso.v1.ErrorDetail";
        const uint8_t *at = memmem(b.data, b.len, url, sizeof(url) - 1);
        assert_non_null(at);
        at += sizeof(url) - 1;
        assert_int_equal(at[0], 0x12);
        assert_ptr_equal(at + 2 + at[1], b.data + b.len); /* the value ends the message */
        Kyso__V1__ErrorDetail *d = kyso__v1__error_detail__unpack(NULL, at[1], at + 2);
        assert_non_null(d);
        assert_string_equal(d->code, info->name);
        assert_int_equal(d->retry, info->retry);
        assert_int_equal(d->retry_after_ms, 5);
        assert_int_equal(d->base.n_unknown_fields, 0);
        kyso__v1__error_detail__free_unpacked(d, NULL);
        ky_buf_free(&b);
    }
    struct ky_buf small = KY_BUF_INIT(10);
    EXPECT(KY_NOMEM, ky_grpc_details(KY_BUSY, NULL, 1, &small));
    ky_buf_free(&small);
}

static void test_descriptors(void **state)
{
    (void)state;
    static const char *const files[] = {"kyso/v1/types.proto",    "kyso/v1/signer.proto",
                                        "kyso/v1/approver.proto", "kyso/v1/operator.proto",
                                        "kyso/v1/health.proto",   "grpc.health.v1"};
    for (size_t i = 0; i < ROWS(files); i++)
        assert_non_null(
            memmem(kyso_descriptor_set, kyso_descriptor_set_len, files[i], strlen(files[i])));
    assert_int_equal(kyso_descriptor_set[0], 0x0a); /* FileDescriptorSet.file */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame_round_trip), cmocka_unit_test(test_frame_refusals),
        cmocka_unit_test(test_timeouts),         cmocka_unit_test(test_details_bytes),
        cmocka_unit_test(test_details_text),     cmocka_unit_test(test_details_parse),
        cmocka_unit_test(test_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
