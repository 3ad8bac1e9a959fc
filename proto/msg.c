/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The codec for every record, ledger leaf and row: one loop over a schema each way.
 * Any role, any thread. Keeps: what this encodes, this decodes, and nothing else has a
 * decoding; a text that could not be shown is refused on the way in and on the way out.
 */
#include "kyso/msg.h"

#include "endian_le.h"

static const uint8_t *field_at(const void *msg, const struct ky_field *f)
{
    return (const uint8_t *)msg + f->offset;
}

static struct ky_span span_at(const void *msg, const struct ky_field *f)
{
    struct ky_span s;
    memcpy(&s, field_at(msg, f), sizeof(s));
    return s;
}

static bool span_fits(const struct ky_field *f, struct ky_span s)
{
    return s.len <= f->max && (f->type == KY_F_BYTES || ky_span_is_display_text(s));
}

/* Encoded bytes of an integer or FIX field; 4, its length prefix, for a span. */
static size_t field_fixed_len(const struct ky_field *f)
{
    static const uint8_t widths[] = {
        [KY_F_U8] = 1,  [KY_F_U16] = 2,   [KY_F_CODE] = 2, [KY_F_U32] = 4,
        [KY_F_U64] = 8, [KY_F_BYTES] = 4, [KY_F_TEXT] = 4,
    };
    return f->type == KY_F_FIX ? f->max : widths[f->type];
}

static bool field_is_span(const struct ky_field *f)
{
    return f->type == KY_F_BYTES || f->type == KY_F_TEXT;
}

/*
 * The whole encoding's length, every bound checked, so that writing it needs one growth and no
 * check.
 */
static bool measure(const struct ky_schema *s, const void *msg, size_t *out_len)
{
    size_t len = 0;
    for (size_t i = 0; i < s->field_count; i++) {
        const struct ky_field *f = &s->fields[i];
        len += field_fixed_len(f);
        if (field_is_span(f)) {
            struct ky_span v = span_at(msg, f);
            if (!span_fits(f, v))
                return false;
            len += v.len;
        }
    }
    *out_len = len;
    return true;
}

static uint8_t *write_int(uint8_t *to, const uint8_t *from, enum ky_field_type type)
{
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    switch (type) {
    case KY_F_U8:
        *to = *from;
        return to + 1;
    case KY_F_U16:
    case KY_F_CODE:
        memcpy(&u16, from, sizeof(u16));
        le16_put(to, u16);
        return to + 2;
    case KY_F_U32:
        memcpy(&u32, from, sizeof(u32));
        le32_put(to, u32);
        return to + 4;
    default:
        memcpy(&u64, from, sizeof(u64));
        le64_put(to, u64);
        return to + 8;
    }
}

static uint8_t *write_field(uint8_t *to, const struct ky_field *f, const void *msg)
{
    if (field_is_span(f)) {
        struct ky_span v = span_at(msg, f);
        le32_put(to, (uint32_t)v.len);
        if (v.len > 0)
            memcpy(to + 4, v.data, v.len);
        return to + 4 + v.len;
    }
    if (f->type == KY_F_FIX) {
        memcpy(to, field_at(msg, f), f->max);
        return to + f->max;
    }
    return write_int(to, field_at(msg, f), f->type);
}

struct ky_status ky_msg_encode(const struct ky_schema *s, const void *msg, struct ky_buf *out)
{
    size_t len;
    if (!measure(s, msg, &len))
        return KY_STATUS(KY_INVALID);
    if (len == 0)
        return KY_STATUS(KY_OK);
    uint8_t *to = ky_buf_grow(out, len);
    if (to == NULL)
        return KY_STATUS(KY_NOMEM);
    for (size_t i = 0; i < s->field_count; i++)
        to = write_field(to, &s->fields[i], msg);
    return KY_STATUS(KY_OK);
}

static void read_int(uint8_t *to, const uint8_t *from, enum ky_field_type type)
{
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    switch (type) {
    case KY_F_U8:
        *to = *from;
        return;
    case KY_F_U16:
    case KY_F_CODE:
        u16 = le16_get(from);
        memcpy(to, &u16, sizeof(u16));
        return;
    case KY_F_U32:
        u32 = le32_get(from);
        memcpy(to, &u32, sizeof(u32));
        return;
    default:
        u64 = le64_get(from);
        memcpy(to, &u64, sizeof(u64));
    }
}

/* Reads one field from the front of *in. */
static bool read_field(struct ky_span *in, const struct ky_field *f, void *out_msg)
{
    uint8_t *to = (uint8_t *)out_msg + f->offset;
    size_t n = field_fixed_len(f);
    if (n > in->len)
        return false;
    const uint8_t *from = in->data;
    in->data += n;
    in->len -= n;
    if (f->type == KY_F_FIX) {
        memcpy(to, from, n);
        return true;
    }
    if (!field_is_span(f)) {
        read_int(to, from, f->type);
        return true;
    }
    struct ky_span v = KY_SPAN(in->data, le32_get(from));
    if (v.len > in->len || !span_fits(f, v))
        return false;
    memcpy(to, &v, sizeof(v));
    in->data += v.len;
    in->len -= v.len;
    return true;
}

struct ky_status ky_msg_decode(const struct ky_schema *s, struct ky_span in, void *out_msg)
{
    memset(out_msg, 0, s->size);
    for (size_t i = 0; i < s->field_count; i++) {
        if (!read_field(&in, &s->fields[i], out_msg))
            goto refuse;
    }
    if (in.len == 0)
        return KY_STATUS(KY_OK);
refuse:
    memset(out_msg, 0, s->size); /* no half-read message for a caller that looks anyway */
    return KY_STATUS(KY_INVALID);
}
