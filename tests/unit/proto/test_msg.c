/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The codec, over every schema of every family: round trips, each truncation, each bound.
 */
#include "kyso/msg.h"

#include "all_schemas.h"
#include "kyso/record.h"
#include "proto_test.h"

#define SPAN_LEN 5u /* of each filled span: short, so that each truncation is tried */

typedef void (*schema_fn)(const struct ky_schema *s);

static void for_each(schema_fn fn)
{
    for (size_t f = 0; f < ROWS(families); f++) {
        for (size_t i = 0; i < families[f].count; i++)
            fn(families[f].schemas[i]);
    }
}

static bool is_span(const struct ky_field *f)
{
    return f->type == KY_F_BYTES || f->type == KY_F_TEXT;
}

static size_t int_width(const struct ky_field *f)
{
    static const size_t widths[] = {
        [KY_F_U8] = 1, [KY_F_U16] = 2, [KY_F_CODE] = 2, [KY_F_U32] = 4, [KY_F_U64] = 8};
    return widths[f->type];
}

static size_t width_in_struct(const struct ky_field *f)
{
    if (is_span(f))
        return sizeof(struct ky_span);
    return f->type == KY_F_FIX ? f->max : int_width(f);
}

/* Distinct bytes in each field, so that a swapped or shifted one is seen. */
static void fill(const struct ky_schema *s, uint8_t *msg, size_t span_len)
{
    static const char pattern[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    memset(msg, 0, s->size);
    for (size_t i = 0; i < s->field_count; i++) {
        const struct ky_field *f = &s->fields[i];
        if (is_span(f)) {
            struct ky_span v = KY_SPAN((const uint8_t *)pattern + i, span_len);
            memcpy(msg + f->offset, &v, sizeof(v));
        } else {
            for (size_t k = 0; k < width_in_struct(f); k++)
                msg[f->offset + k] = (uint8_t)(0x40 + i * 7 + k);
        }
    }
}

static bool same(const struct ky_schema *s, const uint8_t *a, const uint8_t *b)
{
    for (size_t i = 0; i < s->field_count; i++) {
        const struct ky_field *f = &s->fields[i];
        struct ky_span x, y;
        if (is_span(f)) {
            memcpy(&x, a + f->offset, sizeof(x));
            memcpy(&y, b + f->offset, sizeof(y));
            if (!ky_span_eq(x, y))
                return false;
        } else if (memcmp(a + f->offset, b + f->offset, width_in_struct(f)) != 0) {
            return false;
        }
    }
    return true;
}

/* The encoding as the header describes it, written out once more without the codec. */
static size_t expected(const struct ky_schema *s, const uint8_t *msg, uint8_t *out)
{
    size_t n = 0;
    for (size_t i = 0; i < s->field_count; i++) {
        const struct ky_field *f = &s->fields[i];
        if (is_span(f)) {
            struct ky_span v;
            memcpy(&v, msg + f->offset, sizeof(v));
            for (unsigned k = 0; k < 4; k++)
                out[n++] = (uint8_t)(v.len >> (8 * k));
            memcpy(out + n, v.data, v.len);
            n += v.len;
        } else { /* tests run on little-endian machines, as Kyso does */
            memcpy(out + n, msg + f->offset, width_in_struct(f));
            n += width_in_struct(f);
        }
    }
    return n;
}

static size_t alignment(const struct ky_field *f)
{
    if (is_span(f))
        return _Alignof(struct ky_span);
    return f->type == KY_F_FIX ? 1 : int_width(f);
}

/*
 * Fields in the struct's order, none twice, none left out: any gap is exactly the padding that C
 * inserts.
 */
static void check_table(const struct ky_schema *s)
{
    size_t end = 0, widest = 1;
    assert_non_null(s->name);
    assert_true(s->type != 0 && s->field_count > 0);
    for (size_t i = 0; i < s->field_count; i++) {
        const struct ky_field *f = &s->fields[i];
        size_t a = alignment(f);
        assert_int_equal(f->offset, (end + a - 1) / a * a);
        end = f->offset + width_in_struct(f);
        widest = a > widest ? a : widest;
        assert_true(!is_span(f) || f->max > 0);
    }
    assert_int_equal(s->size, (end + widest - 1) / widest * widest);
}

static size_t largest(const struct ky_schema *s)
{
    size_t len = 0;
    for (size_t i = 0; i < s->field_count; i++) {
        const struct ky_field *f = &s->fields[i];
        len += is_span(f) ? 4 + f->max : width_in_struct(f);
    }
    return len;
}

/* A message whose every field is at its maximum still travels, and still is one leaf. */
static void test_largest_fits(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(door_schemas); i++)
        assert_true(largest(door_schemas[i]) + KY_RECORD_HEADER <= KY_RECORD_MAX);
    for (size_t i = 0; i < ROWS(job_schemas); i++)
        assert_true(largest(job_schemas[i]) + KY_RECORD_HEADER <= KY_RECORD_MAX);
    for (size_t i = 0; i < ROWS(ledger_schemas); i++)
        assert_true(largest(ledger_schemas[i]) + LEDGER_LEAF_HEADER <= LEDGER_LEAF_MAX);
}

static void round_trip(const struct ky_schema *s)
{
    uint8_t msg[1024], back[1024], want[4096];
    assert_true(s->size <= sizeof(msg));
    fill(s, msg, SPAN_LEN);
    struct ky_buf b = KY_BUF_INIT(4096);
    EXPECT(KY_OK, ky_msg_encode(s, msg, &b));
    size_t n = expected(s, msg, want);
    assert_true(ky_span_eq(ky_buf_span(&b), KY_SPAN(want, n)));
    EXPECT(KY_OK, ky_msg_decode(s, ky_buf_span(&b), back));
    assert_true(same(s, msg, back));

    for (size_t len = 0; len < n; len++) {
        uint8_t *tight = tight_copy(KY_SPAN(want, len));
        memset(back, 0x5a, sizeof(back));
        EXPECT(KY_INVALID, ky_msg_decode(s, KY_SPAN(tight, len), back));
        assert_true(ky_span_all_zero(KY_SPAN(back, s->size)));
        free(tight);
    }
    want[n] = 0;
    EXPECT(KY_INVALID, ky_msg_decode(s, KY_SPAN(want, n + 1), back));
    ky_buf_free(&b);
}

static void empty_round_trip(const struct ky_schema *s)
{
    uint8_t msg[1024], back[1024];
    memset(msg, 0, sizeof(msg));
    struct ky_buf b = KY_BUF_INIT(4096);
    EXPECT(KY_OK, ky_msg_encode(s, msg, &b));
    EXPECT(KY_OK, ky_msg_decode(s, ky_buf_span(&b), back));
    assert_true(same(s, msg, back));
    ky_buf_free(&b);
}

/* Each length prefix in turn: huge, and one over the field's maximum with all its bytes there. */
static void bad_lengths(const struct ky_schema *s)
{
    uint8_t msg[1024], back[1024];
    fill(s, msg, 0);
    size_t at = 0;
    for (size_t i = 0; i < s->field_count; i++) {
        const struct ky_field *f = &s->fields[i];
        if (!is_span(f)) {
            at += width_in_struct(f);
            continue;
        }
        uint8_t *big = malloc((size_t)f->max + 1);
        assert_non_null(big);
        memset(big, 'x', (size_t)f->max + 1);
        struct ky_span v = KY_SPAN(big, f->max);
        struct ky_buf b = KY_BUF_INIT(1024 * 1024);
        memcpy(msg + f->offset, &v, sizeof(v));
        EXPECT(KY_OK, ky_msg_encode(s, msg, &b));
        EXPECT(KY_OK, ky_msg_decode(s, ky_buf_span(&b), back));
        assert_true(same(s, msg, back));

        size_t before = b.len;
        v.len++;
        memcpy(msg + f->offset, &v, sizeof(v));
        EXPECT(KY_INVALID, ky_msg_encode(s, msg, &b));
        assert_int_equal(b.len, before);

        /* the same on the wire: one more byte, and the prefix that says so */
        uint8_t *wire = malloc(b.len + 1);
        assert_non_null(wire);
        memcpy(wire, b.data, at + 4);
        wire[at + 4] = 'x';
        memcpy(wire + at + 5, b.data + at + 4, b.len - at - 4);
        const uint32_t longer = f->max + 1;
        memcpy(wire + at, &longer, 4);
        EXPECT(KY_INVALID, ky_msg_decode(s, KY_SPAN(wire, b.len + 1), back));
        memset(wire + at, 0xff, 4);
        EXPECT(KY_INVALID, ky_msg_decode(s, KY_SPAN(wire, b.len + 1), back));
        free(wire);
        free(big);
        ky_buf_free(&b);
        memset(msg + f->offset, 0, sizeof(v));
        at += 4;
    }
}

/* Text that could not be shown is refused in both directions; bytes may be anything. */
static void bad_text(const struct ky_schema *s)
{
    uint8_t msg[1024], back[1024];
    for (size_t i = 0; i < s->field_count; i++) {
        const struct ky_field *f = &s->fields[i];
        if (!is_span(f))
            continue;
        fill(s, msg, 1);
        struct ky_buf b = KY_BUF_INIT(4096);
        EXPECT(KY_OK, ky_msg_encode(s, msg, &b));
        size_t at = 4; /* where this field's one byte stands */
        for (size_t k = 0; k < i; k++)
            at += is_span(&s->fields[k]) ? 5 : width_in_struct(&s->fields[k]);
        b.data[at] = 0x00;
        const enum ky_code want = f->type == KY_F_TEXT ? KY_INVALID : KY_OK;
        EXPECT(want, ky_msg_decode(s, ky_buf_span(&b), back));
        const uint8_t nul = 0;
        struct ky_span v = KY_SPAN(&nul, 1);
        memcpy(msg + f->offset, &v, sizeof(v));
        ky_buf_reset(&b);
        EXPECT(want, ky_msg_encode(s, msg, &b));
        ky_buf_free(&b);
    }
}

static void no_room(const struct ky_schema *s)
{
    uint8_t msg[1024];
    fill(s, msg, SPAN_LEN);
    struct ky_buf b = KY_BUF_INIT(4096);
    EXPECT(KY_OK, ky_msg_encode(s, msg, &b));
    struct ky_buf small = KY_BUF_INIT(b.len - 1);
    EXPECT(KY_NOMEM, ky_msg_encode(s, msg, &small));
    assert_true(small.failed);
    assert_int_equal(small.len, 0);
    ky_buf_free(&small);
    ky_buf_free(&b);
}

static void test_tables(void **state)
{
    (void)state;
    for_each(check_table);
}

static void test_types_are_unique(void **state)
{
    (void)state;
    for (size_t f = 0; f < ROWS(families); f++) {
        for (size_t i = 0; i < families[f].count; i++) {
            for (size_t k = 0; k < i; k++) {
                assert_int_not_equal(families[f].schemas[i]->type, families[f].schemas[k]->type);
                assert_string_not_equal(families[f].schemas[i]->name, families[f].schemas[k]->name);
            }
        }
    }
}

static void test_lookup(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(ledger_schemas); i++)
        assert_ptr_equal(ledger_schema(ledger_schemas[i]->type), ledger_schemas[i]);
    for (size_t i = 0; i < ROWS(row_schemas); i++)
        assert_ptr_equal(row_schema((uint8_t)row_schemas[i]->type), row_schemas[i]);
    assert_int_equal(ROWS(ledger_schemas), LEDGER_CLOCK);
    assert_int_equal(ROWS(row_schemas), ROW_TABLE_END - 1);
    assert_null(ledger_schema(0));
    assert_null(ledger_schema(LEDGER_CLOCK + 1));
    assert_null(ledger_schema(UINT16_MAX));
    assert_null(row_schema(0));
    assert_null(row_schema(ROW_TABLE_END));
    assert_null(row_schema(UINT8_MAX));
}

/* Rows from before their table grew at its end are read; what they had not is empty. */
static void test_older_rows(void **state)
{
    (void)state;
    struct ky_schema before = row_authenticator_schema;
    const struct row_authenticator old = {.authenticator_id = TEXT("a1"), .usable_from_s = 7};
    struct row_authenticator row = {.reader_sha256 = TEXT("left from another")};
    struct ky_buf b = KY_BUF_INIT(1024);

    before.field_count--; /* without reader_sha256 */
    EXPECT(KY_OK, ky_msg_encode(&before, &old, &b));
    EXPECT(KY_OK, row_decode(ROW_AUTHENTICATOR, ky_buf_span(&b), &row));
    assert_true(row.usable_from_s == 7 && row.reader_sha256.len == 0);
    before.field_count--;
    ky_buf_reset(&b);
    EXPECT(KY_OK, ky_msg_encode(&before, &old, &b));
    EXPECT(KY_INVALID, row_decode(ROW_AUTHENTICATOR, ky_buf_span(&b), &row));
    ky_buf_free(&b);
}

static void test_round_trip(void **state)
{
    (void)state;
    for_each(round_trip);
    for_each(empty_round_trip);
}

static void test_bad_lengths(void **state)
{
    (void)state;
    for_each(bad_lengths);
}

static void test_bad_text(void **state)
{
    (void)state;
    for_each(bad_text);
}

static void test_no_room(void **state)
{
    (void)state;
    for_each(no_room);
}

static void test_leaf(void **state)
{
    (void)state;
    uint8_t leaf[32];
    size_t n = from_hex("0102000000000000 0304000000000000 0900 aabb", leaf, sizeof(leaf));
    struct ledger_leaf l = {0};
    EXPECT(KY_OK, ledger_leaf_parse(KY_SPAN(leaf, n), &l));
    assert_true(l.index == 0x201 && l.time_us == 0x403 && l.type == LEDGER_INTENT);
    assert_true(ky_span_eq(l.body, TEXT("\xaa\xbb")));
    for (size_t len = 0; len < LEDGER_LEAF_HEADER; len++)
        EXPECT(KY_INVALID, ledger_leaf_parse(KY_SPAN(leaf, len), &l));
    leaf[16] = 0;
    EXPECT(KY_INVALID, ledger_leaf_parse(KY_SPAN(leaf, n), &l));
    uint8_t *huge = calloc(1, LEDGER_LEAF_MAX + 1);
    assert_non_null(huge);
    huge[16] = LEDGER_STOP;
    EXPECT(KY_OK, ledger_leaf_parse(KY_SPAN(huge, LEDGER_LEAF_MAX), &l));
    EXPECT(KY_INVALID, ledger_leaf_parse(KY_SPAN(huge, LEDGER_LEAF_MAX + 1), &l));
    free(huge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),      cmocka_unit_test(test_types_are_unique),
        cmocka_unit_test(test_lookup),      cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_bad_lengths), cmocka_unit_test(test_bad_text),
        cmocka_unit_test(test_no_room),     cmocka_unit_test(test_largest_fits),
        cmocka_unit_test(test_leaf),        cmocka_unit_test(test_older_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
