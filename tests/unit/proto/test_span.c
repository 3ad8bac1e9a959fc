/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spans, names, display text (fault 11) and the bounded buffer.
 */
#include "proto_test.h"

static void test_compare(void **state)
{
    (void)state;
    const struct ky_span none = KY_SPAN(NULL, 0);
    bool (*const eq[])(struct ky_span, struct ky_span) = {ky_span_eq, ky_span_eq_ct};
    for (size_t i = 0; i < ROWS(eq); i++) {
        assert_true(eq[i](none, TEXT("")));
        assert_true(eq[i](TEXT("abc"), TEXT("abc")));
        assert_false(eq[i](TEXT("abc"), TEXT("abd")));
        assert_false(eq[i](TEXT("abc"), TEXT("ab")));
        assert_false(eq[i](none, TEXT("a")));
    }
    assert_true(ky_span_all_zero(none));
    assert_true(ky_span_all_zero(TEXT("\0\0\0")));
    assert_false(ky_span_all_zero(TEXT("\0\0\1")));
    assert_int_equal(ky_span_text(NULL).len, 0);
    assert_int_equal(ky_span_text("four").len, 4);
}

static void test_names(void **state)
{
    (void)state;
    assert_true(ky_span_is_name(TEXT("Az09._:@-"), 9));
    assert_false(ky_span_is_name(TEXT("Az09._:@-"), 8));
    assert_false(ky_span_is_name(TEXT(""), 8));
    for (unsigned c = 0; c < 256; c++) {
        const uint8_t b = (uint8_t)c;
        bool good = c < 128 && c != 0 &&
                    strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:@-",
                           (int)c) != NULL;
        assert_int_equal(ky_span_is_name(KY_SPAN(&b, 1), 8), good);
    }
}

static void test_to_cstr(void **state)
{
    (void)state;
    char out[4] = "zzz";
    assert_true(ky_span_to_cstr(TEXT("abc"), out, sizeof(out)));
    assert_string_equal(out, "abc");
    assert_false(ky_span_to_cstr(TEXT("abcd"), out, sizeof(out)));
    assert_string_equal(out, "");
    assert_false(ky_span_to_cstr(TEXT("a\0b"), out, sizeof(out)));
    assert_true(ky_span_to_cstr(KY_SPAN(NULL, 0), out, 1));
    assert_false(ky_span_to_cstr(KY_SPAN(NULL, 0), out, 0));
}

static const struct {
    const char *hex;
    bool good;
} texts[] = {
    {"", true},
    {"09 0a 20 7e", true},
    {"48 e1 bb a3 70", true}, /* Hop in Vietnamese */
    {"f0 9f 96 8a", true},
    {"c2 a0", true},       /* first after C1 */
    {"f4 8f bf bf", true}, /* U+10FFFF */
    {"ed 9f bf", true},    /* last before the surrogates */
    {"ee 80 80", true},    /* first after them */
    {"e2 80 8d", true},    /* joiner: used in real names */
    {"00", false},
    {"0d", false},
    {"1f", false},
    {"7f", false},
    {"c2 80", false}, /* C1 */
    {"c2 9f", false},
    {"80", false}, /* a continuation alone */
    {"bf", false},
    {"c3", false}, /* truncated */
    {"e1 bb", false},
    {"f0 9f 96", false},
    {"c0 80", false}, /* overlong NUL */
    {"c1 bf", false},
    {"e0 9f bf", false}, /* overlong */
    {"f0 8f bf bf", false},
    {"ed a0 80", false}, /* surrogates */
    {"ed bf bf", false},
    {"f4 90 80 80", false}, /* above U+10FFFF */
    {"f5 80 80 80", false},
    {"f8 88 80 80 80", false},
    {"fe", false},
    {"ff", false},
    {"c3 28", false}, /* lead without continuation */
    {"e2 28 a1", false},
    {"d8 9c", false},    /* U+061C */
    {"e2 80 8e", false}, /* U+200E */
    {"e2 80 8f", false},
    {"e2 80 aa", false}, /* U+202A */
    {"e2 80 ae", false},
    {"e2 81 a6", false}, /* U+2066 */
    {"e2 81 a9", false},
    {"e2 81 a5", true}, /* their neighbours */
    {"e2 81 aa", true},
    {"e2 80 a9", true},
    {"e2 80 af", true},
};

/*
 * Each form at each place in a longer text, so that the eight-byte shortcut is crossed at every
 * offset.
 */
static void fault_11_display_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(texts); i++) {
        uint8_t form[8];
        size_t n = from_hex(texts[i].hex, form, sizeof(form));
        for (size_t before = 0; before < 18; before++) {
            uint8_t text[40];
            memset(text, 'x', sizeof(text));
            memcpy(text + before, form, n);
            for (size_t after = 0; after < 10; after++) {
                uint8_t *tight = tight_copy(KY_SPAN(text, before + n + after));
                bool got = ky_span_is_display_text(KY_SPAN(tight, before + n + after));
                free(tight);
                if (got != texts[i].good)
                    fail_msg("%s after %zu before %zu: %d", texts[i].hex, before, after, got);
            }
        }
    }
}

static void test_every_byte(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        uint8_t text[8] = "ABCDEFG";
        text[7] = 'H';
        text[c % 8] = (uint8_t)c;
        bool good = (c >= 0x20 && c < 0x7f) || c == '\n' || c == '\t';
        assert_int_equal(ky_span_is_display_text(KY_SPAN_OF(text)), good);
    }
}

static void test_buffer(void **state)
{
    (void)state;
    struct ky_buf b = KY_BUF_INIT(10);
    ky_buf_put(&b, "12345", 5);
    ky_buf_put(&b, "67890", 5);
    assert_false(b.failed);
    assert_true(ky_span_eq(ky_buf_span(&b), TEXT("1234567890")));
    ky_buf_put(&b, "x", 1);
    assert_true(b.failed);
    assert_int_equal(b.len, 10);
    ky_buf_consume(&b, 3);
    assert_true(ky_span_eq(ky_buf_span(&b), TEXT("4567890")));
    ky_buf_put(&b, "y", 1); /* failure sticks until a reset */
    assert_int_equal(b.len, 7);
    ky_buf_reset(&b);
    const uint8_t *memory = b.data;
    ky_buf_put(&b, "abc", 3);
    assert_ptr_equal(memory, b.data);
    assert_null(ky_buf_grow(&b, SIZE_MAX));
    ky_buf_consume(&b, 99);
    assert_int_equal(b.len, 0);
    ky_buf_free(&b);
    assert_null(b.data);
    assert_int_equal(b.max, 10);
    ky_buf_free(&b);
}

/* Many sizes in one buffer: what went in comes out, whatever was reallocated on the way. */
static void test_buffer_growth(void **state)
{
    (void)state;
    struct ky_buf b = KY_BUF_INIT(100000);
    uint8_t chunk[317];
    size_t total = 0;
    for (unsigned i = 0; !b.failed; i++) {
        memset(chunk, (int)(i & 0xff), sizeof(chunk));
        size_t before = b.len;
        ky_buf_put(&b, chunk, i % sizeof(chunk));
        total += b.len - before;
    }
    assert_int_equal(total, b.len);
    size_t at = 0;
    for (unsigned i = 0; at < b.len; i++) {
        for (size_t k = 0; k < i % sizeof(chunk); k++)
            assert_int_equal(b.data[at++], i & 0xff);
    }
    ky_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compare),       cmocka_unit_test(test_names),
        cmocka_unit_test(test_to_cstr),       cmocka_unit_test(fault_11_display_text),
        cmocka_unit_test(test_every_byte),    cmocka_unit_test(test_buffer),
        cmocka_unit_test(test_buffer_growth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
