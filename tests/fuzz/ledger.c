/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leaves of the ledger: taken apart, shown as JSON, read back from an export. Input: private bytes,
 * then a leaf. Whatever a record carries, its line is one JSON object that gives the leaf back.
 */
#include <jansson.h>
#include <string.h>

#include "base64.h"
#include "fuzz.h"
#include "ledger_json.h"
#include "ledger_verify.h"

#define LINE_MAX_BYTES (1024u * 1024u)

static void check_line(struct ky_span line, struct ky_span leaf)
{
    json_t *o = json_loadb((const char *)line.data, line.len, JSON_DECODE_INT_AS_REAL, NULL);
    const char *text = json_string_value(json_object_get(o, "leaf"));
    static struct ky_buf back = KY_BUF_INIT(LEDGER_LEAF_MAX);

    ky_buf_reset(&back);
    FUZZ_CHECK(json_is_object(o) && text != NULL);
    FUZZ_CHECK(json_is_string(json_object_get(o, "type")));
    FUZZ_CHECK(ky_ok(base64_get(ky_span_text(text), &back)));
    FUZZ_CHECK(ky_span_eq(ky_buf_span(&back), leaf));
    json_decref(o);
}

/* A tree of this one leaf, under its own root and under another. */
static void check_tree(struct ky_span leaf)
{
    struct ledger_verifier v, w;
    uint8_t root[32];

    ledger_verify_init(&v);
    if (!ky_ok(ledger_verify_leaf(&v, leaf))) {
        FUZZ_CHECK(!ky_ok(ledger_verify_end(&v)));
        return;
    }
    ledger_verify_root(&v, root);
    for (int wrong = 0; wrong < 2; wrong++) {
        root[0] ^= (uint8_t)wrong;
        ledger_verify_init(&w);
        FUZZ_CHECK(ky_ok(ledger_verify_expect(&w, 1, root)));
        FUZZ_CHECK(ky_ok(ledger_verify_leaf(&w, leaf)) == !wrong);
        FUZZ_CHECK(ky_ok(ledger_verify_end(&w)) == !wrong);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static _Alignas(max_align_t) uint8_t msg[1024];
    struct ky_reader r = ky_reader(KY_SPAN(data, size));
    struct ky_span private_data = fuzz_piece(&r), leaf = fuzz_rest(&r);
    static struct ky_buf line = KY_BUF_INIT(LINE_MAX_BYTES);
    struct ledger_leaf parsed;
    bool sound = ky_ok(ledger_leaf_parse(leaf, &parsed)) &&
                 ky_ok(ky_msg_decode(ledger_schema(parsed.type), parsed.body, msg)) &&
                 parsed.time_us / 1000000u <= 253402300799u;

    ky_buf_reset(&line);
    if (ky_ok(ledger_leaf_to_json(leaf, private_data, &line)))
        check_line(ky_buf_span(&line), leaf);
    else
        FUZZ_CHECK(!sound);
    check_tree(leaf);
    return 0;
}
