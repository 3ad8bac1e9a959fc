/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC's framing and its timeout header. Messages come out the same however much of the stream is
 * there at a time; a timeout is never none and never overflows. Input: what, a maximum, the bytes.
 */
#include <string.h>

#include "fuzz.h"
#include "kyso/grpc.h"

#define HEADER 5u

static void frames(struct ky_span all, size_t max)
{
    size_t offset = 0, seen;
    struct ky_span whole, part;
    struct ky_status st = KY_STATUS(KY_OK);

    while (ky_ok(st = ky_grpc_next(all, &offset, max, &whole))) {
        FUZZ_CHECK(whole.len <= max && whole.data + whole.len == all.data + offset);
        /* one byte less is no message, and takes nothing */
        seen = offset - whole.len - HEADER;
        st = ky_grpc_next(KY_SPAN(all.data, offset - 1), &seen, max, &part);
        FUZZ_CHECK(st.code == KY_BUSY && seen == offset - whole.len - HEADER);
    }
    FUZZ_CHECK(offset <= all.len);
    FUZZ_CHECK(st.code == KY_BUSY || st.code == KY_INVALID || st.code == KY_UNIMPLEMENTED);
}

static void timeout(struct ky_span header)
{
    uint64_t us = 0;

    if (!ky_ok(ky_grpc_timeout(header, &us)))
        return;
    FUZZ_CHECK(header.len >= 2 && header.len <= 9);
    FUZZ_CHECK(us <= UINT64_C(99999999) * 3600u * 1000000u);
    for (size_t i = 0; i + 1 < header.len; i++)
        FUZZ_CHECK(us > 0 || header.data[i] == '0');
}

static void details(struct ky_reader *r)
{
    enum ky_code code = (enum ky_code)(ky_get_u8(r) % KY_CODE_COUNT);
    uint32_t retry_ms = ky_get_u32(r);
    char text[128];
    struct ky_buf out = KY_BUF_INIT(1024);
    struct ky_span rest = fuzz_rest(r);

    if (memchr(rest.data == NULL ? (const uint8_t *)"" : rest.data, 0, rest.len) == NULL &&
        ky_span_to_cstr(rest, text, sizeof(text)))
        FUZZ_CHECK(ky_ok(ky_grpc_details(code, text, retry_ms, &out)) && out.len <= out.max);
    ky_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ky_reader r = ky_reader(KY_SPAN(data, size));
    uint8_t what = ky_get_u8(&r);

    if (what % 4 == 0)
        timeout(fuzz_rest(&r));
    else if (what % 4 == 1)
        details(&r);
    else
        frames(fuzz_rest(&r), (size_t)what * 16);
    return 0;
}
