/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64, records as lines of JSON, and the streaming check of a ledger against its checkpoints.
 */
#include "store_test.h"

#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "ledger_json.h"
#include "ledger_verify.h"

/* RFC 4648 s.10, and the forms that say the same in another way. */
static void base64_has_one_form(void **state)
{
    static const struct {
        const char *plain;
        const char *text;
    } good[] = {{"", ""},
                {"f", "Zg=="},
                {"fo", "Zm8="},
                {"foo", "Zm9v"},
                {"foob", "Zm9vYg=="},
                {"fooba", "Zm9vYmE="},
                {"foobar", "Zm9vYmFy"}};
    static const char *const bad[] = {"Z",    "Zg",   "Zg=",      "Zh==",   "Zm9=",   "=m9v",
                                      "Z===", "====", "Zg==Zg==", "Zm9v\n", "Zm 9v=", "Zm-_"};
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct ky_buf out = KY_BUF_INIT(64);
        base64_put(&out, ky_span_text(good[i].plain));
        assert_true(ky_span_eq(ky_buf_span(&out), ky_span_text(good[i].text)));
        ky_buf_reset(&out);
        OK(base64_get(ky_span_text(good[i].text), &out));
        assert_true(ky_span_eq(ky_buf_span(&out), ky_span_text(good[i].plain)));
        ky_buf_free(&out);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct ky_buf out = KY_BUF_INIT(64);
        if (ky_ok(base64_get(ky_span_text(bad[i]), &out))) {
            fail_msg("taken: %s", bad[i]);
        }
        ky_buf_free(&out);
    }
}

/* --- JSON ------------------------------------------------------------------------------------ */

static struct ky_status keep_leaf(void *ctx, struct ky_span leaf, struct ky_span private_data)
{
    struct ky_buf *json = ctx;
    OK(ledger_leaf_to_json(leaf, private_data, json));
    return KY_STATUS(KY_OK);
}

static void a_record_is_one_line_of_json(void **state)
{
    struct bench *b = *state;
    struct ledger_stop stop = {.boot = {0xde, 0xad},
                               .reason = ky_span_text("say \"ký\\số\"\tnow\n")};
    struct ky_buf json = KY_BUF_INIT(4096);
    OK(store_append(b->store, &ledger_stop_schema, &stop, 1767225600000001u, ky_span_text("salt"),
                    NULL));
    OK(store_commit(b->store));
    OK(store_ledger_read(b->store, 0, 0, keep_leaf, &json));
    ky_buf_put(&json, "", 1);
    char *leaf = strstr((char *)json.data, ",\"leaf\":\"");
    assert_non_null(leaf);
    *leaf = '\0';
    assert_string_equal((char *)json.data,
                        "{\"index\":0,\"time\":\"2026-01-01T00:00:00.000001Z\",\"type\":\"stop\","
                        "\"boot\":\"dead0000000000000000000000000000\","
                        "\"reason\":\"say \\\"ký\\\\số\\\"\\u0009now\\u000a\","
                        "\"private\":\"73616c74\"");
    ky_buf_free(&json);
}

static void every_type_has_a_view_and_no_leaf_breaks_it(void **state)
{
    (void)state;
    for (uint16_t type = LEDGER_GENESIS; type <= LEDGER_CEREMONY; type++) {
        const struct ky_schema *schema = ledger_schema(type);
        uint8_t head[LEDGER_LEAF_HEADER] = {[16] = (uint8_t)type};
        struct ky_buf leaf = KY_BUF_INIT(LEDGER_LEAF_MAX);
        struct ky_buf json = KY_BUF_INIT(65536);
        void *msg = calloc(1, schema->size);
        assert_non_null(msg);
        ky_buf_put(&leaf, head, sizeof(head));
        OK(ky_msg_encode(schema, msg, &leaf));
        OK(ledger_leaf_to_json(ky_buf_span(&leaf), KY_SPAN(NULL, 0), &json));
        for (size_t len = 0; len < leaf.len; len++) {
            EXPECT(KY_CORRUPT,
                   ledger_leaf_to_json(KY_SPAN(leaf.data, len), KY_SPAN(NULL, 0), &json));
        }
        free(msg);
        ky_buf_free(&leaf);
        ky_buf_free(&json);
    }
    static const uint8_t unknown[LEDGER_LEAF_HEADER + 1] = {[16] = 0xff, [17] = 0xff};
    static const uint8_t late[LEDGER_LEAF_HEADER] = {[15] = 0xff, [16] = 0xff, [17] = 0xff};
    struct ky_buf json = KY_BUF_INIT(65536);
    OK(ledger_leaf_to_json(KY_SPAN_OF(unknown), KY_SPAN(NULL, 0), &json));
    assert_non_null(memmem(json.data, json.len, "\"type\":\"unknown-65535\"", 22));
    EXPECT(KY_CORRUPT,
           ledger_leaf_to_json(KY_SPAN_OF(late), KY_SPAN(NULL, 0), &json)); /* past the year 9999 */
    ky_buf_free(&json);
    json = KY_BUF_INIT(20);
    EXPECT(KY_NOMEM, ledger_leaf_to_json(KY_SPAN_OF(unknown), KY_SPAN(NULL, 0), &json));
    ky_buf_free(&json);
}

/* --- the streaming check --------------------------------------------------------------------- */

struct stream {
    struct ledger_verifier v;
    uint64_t change; /* the leaf whose last byte is flipped; UINT64_MAX = none */
    uint64_t drop;
    struct ky_status last;
};

static struct ky_status feed(void *ctx, struct ky_span leaf, struct ky_span private_data)
{
    struct stream *s = ctx;
    struct ledger_leaf head;
    uint8_t copy[256];
    (void)private_data;
    OK(ledger_leaf_parse(leaf, &head));
    assert_true(leaf.len <= sizeof(copy));
    memcpy(copy, leaf.data, leaf.len);
    copy[leaf.len - 1] ^= head.index == s->change ? 1u : 0u;
    if (head.index != s->drop) {
        s->last = ledger_verify_leaf(&s->v, KY_SPAN(copy, leaf.len));
    }
    return KY_STATUS(KY_OK);
}

static void the_streaming_check_meets_every_checkpoint(void **state)
{
    struct bench *b = *state;
    static struct stream s;
    uint8_t at[3][32];
    uint8_t root[32];
    static const uint64_t sizes[3] = {0, 13, 30};
    uint64_t done = 0;
    for (size_t i = 0; i < 3; i++) {
        if (sizes[i] > done) {
            bench_turn(b, (uint32_t)done, (uint32_t)(sizes[i] - done));
        }
        done = sizes[i];
        merkle_root(store_merkle(b->store), at[i]);
    }
    bench_turn(b, 30, 4);
    for (uint64_t change = 0; change < 36; change++) {
        for (int drop = 0; drop < 2; drop++) {
            ledger_verify_init(&s.v);
            s.change = drop ? UINT64_MAX : change;
            s.drop = drop ? change : UINT64_MAX;
            for (size_t i = 3; i-- > 0;) {
                OK(ledger_verify_expect(&s.v, sizes[i], at[i]));
            }
            OK(store_ledger_read(b->store, 0, 0, feed, &s));
            /*
             * After the last checkpoint a change cannot be seen, and dropping the very last leaf
             * neither.
             */
            bool seen = drop ? change < 33 : change < 30;
            EXPECT(seen ? KY_CORRUPT : KY_OK, ledger_verify_end(&s.v));
            assert_int_equal(ky_ok(s.last), !seen);
        }
    }
    merkle_root(store_merkle(b->store), root);
    ledger_verify_init(&s.v);
    OK(ledger_verify_expect(&s.v, 35, root)); /* signed for more than there is: it was cut */
    s.change = s.drop = UINT64_MAX;
    OK(store_ledger_read(b->store, 0, 0, feed, &s));
    EXPECT(KY_CORRUPT, ledger_verify_end(&s.v));
    assert_int_equal(ledger_verify_size(&s.v), 34);
    ledger_verify_root(&s.v, at[0]);
    assert_memory_equal(at[0], root, 32);
    EXPECT(KY_INVALID, ledger_verify_expect(&s.v, 33, root));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)
        cmocka_unit_test(base64_has_one_form),
        TEST(a_record_is_one_line_of_json),
        cmocka_unit_test(every_type_has_a_view_and_no_leaf_breaks_it),
        TEST(the_streaming_check_meets_every_checkpoint),
    };
    return cmocka_run_group_tests_name("ledger_lines", tests, NULL, NULL);
}
