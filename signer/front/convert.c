/* SPDX-License-Identifier: Apache-2.0 */
/* What the three doors' conversions share: identifiers, arena allocations, lists of records. */
#include <string.h>

#include "kyso/tx.h"
#include "kyso/wire.h"
#include "method.h"

struct ky_status convert_refuse(struct convert *c, const char *why)
{
    c->why = why;
    return KY_STATUS(KY_INVALID);
}

struct ky_status convert_optional_name(struct convert *c, const char *in, const char *why,
                                       struct ky_span *out)
{
    struct ky_span s = ky_span_text(in);
    if (s.len > 0 && !ky_span_is_name(s, KY_NAME_MAX))
        return convert_refuse(c, why);
    *out = s;
    return KY_STATUS(KY_OK);
}

struct ky_status convert_name(struct convert *c, const char *in, const char *why,
                              struct ky_span *out)
{
    if (!in || in[0] == '\0')
        return convert_refuse(c, why);
    return convert_optional_name(c, in, why, out);
}

struct ky_span convert_bytes(const ProtobufCBinaryData *b)
{
    return KY_SPAN(b->data, b->len);
}

void *convert_alloc(struct convert *c, size_t n)
{
    return ky_arena_alloc(c->arena, n > 0 ? n : 1);
}

char *convert_text(struct convert *c, struct ky_span s)
{
    char *text = convert_alloc(c, s.len + 1);
    if (!text)
        return NULL;
    if (s.len > 0)
        memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    return text;
}

ProtobufCBinaryData convert_binary(struct ky_span s)
{
    /* protobuf-c has no const here; packing only reads. */
    return (ProtobufCBinaryData){.len = s.len, .data = (uint8_t *)(uintptr_t)s.data};
}

struct ky_status convert_items(struct convert *c, struct ky_span list, size_t max,
                               struct ky_span **out_items, size_t *out_count)
{
    struct ky_span *items = convert_alloc(c, max * sizeof(*items));
    struct ky_reader r = ky_reader(list);
    size_t n = 0;

    if (!items)
        return KY_STATUS(KY_NOMEM);
    while (r.left > 0 && !r.failed && n < max)
        items[n++] = ky_get_bytes(&r, list.len);
    if (!ky_reader_done(&r))
        return KY_STATUS(KY_CORRUPT);
    *out_items = items;
    *out_count = n;
    return KY_STATUS(KY_OK);
}

void *convert_message(struct convert *c, const ProtobufCMessageDescriptor *d)
{
    ProtobufCMessage *m = convert_alloc(c, d->sizeof_message);
    if (m)
        protobuf_c_message_init(d, m);
    return m;
}
