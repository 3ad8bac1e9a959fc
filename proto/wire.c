/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cursor over little-endian bytes. Any role, any thread; a cursor has one owner.
 * Keeps: no read past the end, and nothing but zeros after the first failure.
 */
#include "kyso/wire.h"

#include "endian_le.h"

struct ky_reader ky_reader(struct ky_span s)
{
    return (struct ky_reader){.p = s.data, .left = s.len};
}

/* The next n bytes, or NULL after marking the reader failed. */
static const uint8_t *take(struct ky_reader *r, size_t n)
{
    if (r->failed || n > r->left) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *at = r->p;
    r->left -= n;
    if (n > 0)
        r->p += n;
    return at;
}

uint8_t ky_get_u8(struct ky_reader *r)
{
    const uint8_t *at = take(r, 1);
    return at == NULL ? 0 : *at;
}

uint16_t ky_get_u16(struct ky_reader *r)
{
    const uint8_t *at = take(r, 2);
    return at == NULL ? 0 : le16_get(at);
}

uint32_t ky_get_u32(struct ky_reader *r)
{
    const uint8_t *at = take(r, 4);
    return at == NULL ? 0 : le32_get(at);
}

uint64_t ky_get_u64(struct ky_reader *r)
{
    const uint8_t *at = take(r, 8);
    return at == NULL ? 0 : le64_get(at);
}

struct ky_span ky_get_raw(struct ky_reader *r, size_t n)
{
    const uint8_t *at = take(r, n);
    return KY_SPAN(at, r->failed ? 0 : n);
}

struct ky_span ky_get_bytes(struct ky_reader *r, size_t max)
{
    uint32_t len = ky_get_u32(r);
    if (len > max) {
        r->failed = true;
        return KY_SPAN(NULL, 0);
    }
    return ky_get_raw(r, len);
}

bool ky_reader_done(const struct ky_reader *r)
{
    return !r->failed && r->left == 0;
}

void ky_put_u8(struct ky_buf *b, uint8_t v)
{
    ky_buf_put(b, &v, sizeof(v));
}

void ky_put_u16(struct ky_buf *b, uint16_t v)
{
    uint8_t *at = ky_buf_grow(b, sizeof(v));
    if (at != NULL)
        le16_put(at, v);
}

void ky_put_u32(struct ky_buf *b, uint32_t v)
{
    uint8_t *at = ky_buf_grow(b, sizeof(v));
    if (at != NULL)
        le32_put(at, v);
}

void ky_put_u64(struct ky_buf *b, uint64_t v)
{
    uint8_t *at = ky_buf_grow(b, sizeof(v));
    if (at != NULL)
        le64_put(at, v);
}

void ky_put_bytes(struct ky_buf *b, struct ky_span s)
{
    if (s.len > UINT32_MAX) {
        b->failed = true;
        return;
    }
    /* One growth, so that a length never stands without its bytes. */
    uint8_t *at = ky_buf_grow(b, 4 + s.len);
    if (at == NULL)
        return;
    le32_put(at, (uint32_t)s.len);
    if (s.len > 0)
        memcpy(at + 4, s.data, s.len);
}
