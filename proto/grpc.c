/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC over HTTP/2 without the HTTP/2: message framing, grpc-timeout, and the error detail.
 * Front's thread. Keeps: a length is checked before a byte of its message is waited for.
 */
#include "kyso/grpc.h"

#include <string.h>

#define FRAME_HEADER 5u /* u8 compressed, u32 big-endian length */

struct ky_status ky_grpc_frame(const ProtobufCMessage *m, struct ky_buf *out)
{
    size_t len = protobuf_c_message_get_packed_size(m);
    if (len > UINT32_MAX)
        return KY_STATUS(KY_INVALID);
    uint8_t *at = ky_buf_grow(out, FRAME_HEADER + len);
    if (at == NULL)
        return KY_STATUS(KY_NOMEM);
    at[0] = 0;
    for (unsigned i = 0; i < 4; i++)
        at[1 + i] = (uint8_t)(len >> (24 - 8 * i));
    protobuf_c_message_pack(m, at + FRAME_HEADER);
    return KY_STATUS(KY_OK);
}

struct ky_status ky_grpc_next(struct ky_span b, size_t *offset, size_t max,
                              struct ky_span *out_message)
{
    if (*offset > b.len)
        return KY_STATUS(KY_INVALID);
    size_t left = b.len - *offset;
    if (left == 0)
        return KY_STATUS(KY_BUSY);
    const uint8_t *h = b.data + *offset;
    if (h[0] > 1)
        return KY_STATUS(KY_INVALID);
    if (h[0] == 1)
        return KY_STATUS(KY_UNIMPLEMENTED);
    if (left < FRAME_HEADER)
        return KY_STATUS(KY_BUSY);
    size_t len = (size_t)h[1] << 24 | (size_t)h[2] << 16 | (size_t)h[3] << 8 | h[4];
    if (len > max)
        return KY_STATUS(KY_INVALID);
    if (left - FRAME_HEADER < len)
        return KY_STATUS(KY_BUSY);
    *out_message = KY_SPAN(h + FRAME_HEADER, len);
    *offset += FRAME_HEADER + len;
    return KY_STATUS(KY_OK);
}

static const struct {
    char unit;
    uint64_t ns;
} timeout_units[] = {
    {'H', 3600u * UINT64_C(1000000000)},
    {'M', 60u * UINT64_C(1000000000)},
    {'S', UINT64_C(1000000000)},
    {'m', 1000000},
    {'u', 1000},
    {'n', 1},
};

struct ky_status ky_grpc_timeout(struct ky_span header, uint64_t *out_us)
{
    uint64_t value = 0;
    if (header.len < 2 || header.len > 9)
        return KY_STATUS(KY_INVALID);
    for (size_t i = 0; i + 1 < header.len; i++) {
        uint8_t c = header.data[i];
        if (c < '0' || c > '9')
            return KY_STATUS(KY_INVALID);
        value = value * 10 + (uint64_t)(c - '0');
    }
    for (size_t i = 0; i < sizeof(timeout_units) / sizeof(timeout_units[0]); i++) {
        if (header.data[header.len - 1] != (uint8_t)timeout_units[i].unit)
            continue;
        uint64_t ns = timeout_units[i].ns;
        /* Up, so that a positive timeout is never none; 8 digits of hours stay below 2^64 us. */
        *out_us = ns >= 1000 ? value * (ns / 1000) : (value + 999) / 1000;
        return KY_STATUS(KY_OK);
    }
    return KY_STATUS(KY_INVALID);
}

static void put_varint(struct ky_buf *b, uint64_t v)
{
    uint8_t bytes[10];
    size_t n = 0;
    do {
        bytes[n] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
        v >>= 7;
        n++;
    } while (v != 0);
    ky_buf_put(b, bytes, n);
}

static void put_number(struct ky_buf *b, uint32_t field, uint64_t v)
{
    if (v == 0)
        return; /* proto3: the default is absent */
    put_varint(b, field << 3);
    put_varint(b, v);
}

static void put_delimited(struct ky_buf *b, uint32_t field, struct ky_span s)
{
    if (s.len == 0)
        return;
    put_varint(b, field << 3 | 2);
    put_varint(b, s.len);
    ky_buf_put(b, s.data, s.len);
}

/* A few short fields, fixed for ever: cheaper written here than a second generated set. */
struct ky_status ky_grpc_details(enum ky_code code, const char *text, uint32_t retry_after_ms,
                                 struct ky_buf *out)
{
    const struct ky_code_info *info = ky_code_info(ky_code_info(code)->wire);
    struct ky_buf detail = KY_BUF_INIT(256);
    struct ky_buf any = KY_BUF_INIT(512);
    put_delimited(&detail, 1, ky_span_text(info->name)); /* kyso.v1.ErrorDetail */
    put_number(&detail, 2, (uint64_t)info->retry);
    put_number(&detail, 3, retry_after_ms);
    put_delimited(&any, 1, ky_span_text("type.googleapis.com/kyso.v1.ErrorDetail"));
    put_delimited(&any, 2, ky_buf_span(&detail));
    put_number(out, 1, (uint64_t)info->grpc); /* google.rpc.Status */
    put_delimited(out, 2, ky_span_text(text ? text : info->public_text));
    put_delimited(out, 3, ky_buf_span(&any));
    bool failed = detail.failed || any.failed || out->failed;
    ky_buf_free(&detail);
    ky_buf_free(&any);
    return KY_STATUS(failed ? KY_NOMEM : KY_OK);
}
