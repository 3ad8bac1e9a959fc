/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every schema: records between roles, ledger leaves, database rows. Input: family, schema,
 * encoding. What decodes is the one encoding of its message and within the schema's maxima; what
 * does not leaves nothing behind.
 */
#include <string.h>

#include "all_schemas.h"
#include "fuzz.h"

#define STRUCT_MAX 1024u

static size_t longest(const struct ky_schema *s)
{
    static const size_t widths[] = {
        [KY_F_U8] = 1,  [KY_F_U16] = 2, [KY_F_CODE] = 2,  [KY_F_U32] = 4,
        [KY_F_U64] = 8, [KY_F_FIX] = 0, [KY_F_BYTES] = 4, [KY_F_TEXT] = 4,
    };
    size_t n = 0;

    for (size_t i = 0; i < s->field_count; i++)
        n += widths[s->fields[i].type] + s->fields[i].max;
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static _Alignas(max_align_t) uint8_t msg[STRUCT_MAX];
    struct ky_reader r = ky_reader(KY_SPAN(data, size));
    const struct family *f = &families[ky_get_u8(&r) % FUZZ_COUNT(families)];
    const struct ky_schema *s = f->schemas[ky_get_u8(&r) % f->count];
    struct ky_span in = fuzz_rest(&r);
    struct ky_buf again = KY_BUF_INIT(size);

    FUZZ_CHECK(s->size <= sizeof(msg));
    if (ky_ok(ky_msg_decode(s, in, msg))) {
        FUZZ_CHECK(in.len <= longest(s));
        FUZZ_CHECK(ky_ok(ky_msg_encode(s, msg, &again)));
        FUZZ_CHECK(ky_span_eq(ky_buf_span(&again), in));
    } else {
        FUZZ_CHECK(ky_span_all_zero(KY_SPAN(msg, s->size)));
    }
    ky_buf_free(&again);
    return 0;
}
