/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What protobuf-c does not check, checked before it sees the bytes: a scan of the wire format
 * against the descriptor, without recursion and without allocation (P14; faults 3 to 7, 11).
 * Two parsers must never read one message in two ways, so whatever has two readings is refused. Any
 * thread.
 */
#include "kyso/grpc.h"

#include "utf8.h"

#define DEPTH_MAX  8u  /* messages inside the outermost one */
#define FIELDS_MAX 64u /* of one message type: the width of `seen` */

enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_LEN = 2, WIRE_32 = 5 };

struct frame {
    const ProtobufCMessageDescriptor *type;
    const uint8_t *end;
    uint64_t seen; /* bit per singular field met, oneof members together */
};

struct scan {
    const uint8_t *p;
    struct frame stack[DEPTH_MAX + 1];
    unsigned depth;
};

/* At most ten bytes and 64 bits. */
static bool take_varint(const uint8_t **p, const uint8_t *end, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70 && *p < end; shift += 7) {
        uint8_t b = *(*p)++;
        if (shift == 63 && b > 1)
            return false;
        v |= (uint64_t)(b & 0x7f) << shift;
        if ((b & 0x80) == 0) {
            *out = v;
            return true;
        }
    }
    return false;
}

static enum wire_type wire_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return WIRE_32;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return WIRE_64;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return WIRE_LEN;
    default:
        return WIRE_VARINT;
    }
}

/* A value that the C struct would truncate is refused, not truncated. */
static bool varint_fits(const ProtobufCFieldDescriptor *f, uint64_t v)
{
    int64_t as_signed = (int64_t)v;
    switch (f->type) {
    case PROTOBUF_C_TYPE_BOOL:
        return v <= 1;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_SINT32: /* zigzag */
        return v <= UINT32_MAX;
    case PROTOBUF_C_TYPE_INT32:
        return as_signed >= INT32_MIN && as_signed <= INT32_MAX;
    case PROTOBUF_C_TYPE_ENUM:
        return as_signed >= INT32_MIN && as_signed <= INT32_MAX &&
               protobuf_c_enum_descriptor_get_value(f->descriptor, (int)as_signed) != NULL;
    default:
        return true;
    }
}

/* A repeated scalar may come packed: the same checks, value by value. */
static bool check_packed(const ProtobufCFieldDescriptor *f, const uint8_t *p, const uint8_t *end)
{
    enum wire_type w = wire_of(f->type);
    if (w != WIRE_VARINT)
        return (size_t)(end - p) % (w == WIRE_32 ? 4u : 8u) == 0;
    while (p < end) {
        uint64_t v;
        if (!take_varint(&p, end, &v) || !varint_fits(f, v))
            return false;
    }
    return true;
}

/* Marks a singular field as met; false when it, or its oneof, was met before. */
static bool mark_seen(struct frame *fr, const ProtobufCFieldDescriptor *f)
{
    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return true;
    uint64_t bits = UINT64_C(1) << (f - fr->type->fields);
    if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        for (unsigned i = 0; i < fr->type->n_fields; i++) {
            const ProtobufCFieldDescriptor *o = &fr->type->fields[i];
            if ((o->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 &&
                o->quantifier_offset == f->quantifier_offset)
                bits |= UINT64_C(1) << i;
        }
    }
    if ((fr->seen & bits) != 0)
        return false;
    fr->seen |= bits;
    return true;
}

static bool push(struct scan *s, const ProtobufCMessageDescriptor *type, const uint8_t *end)
{
    if (s->depth == DEPTH_MAX || type->n_fields > FIELDS_MAX)
        return false;
    s->stack[++s->depth] = (struct frame){.type = type, .end = end};
    return true;
}

static bool check_delimited(struct scan *s, const ProtobufCFieldDescriptor *f)
{
    const uint8_t *end = s->stack[s->depth].end;
    uint64_t len;
    if (!take_varint(&s->p, end, &len) || len > (uint64_t)(end - s->p))
        return false;
    struct ky_span body = KY_SPAN(s->p, (size_t)len);
    if (f->type == PROTOBUF_C_TYPE_MESSAGE)
        return push(s, f->descriptor, s->p + len); /* the loop goes on inside it */
    s->p += len;
    if (f->type == PROTOBUF_C_TYPE_STRING)
        return ky_utf8_is_cstr(body);
    return f->type == PROTOBUF_C_TYPE_BYTES || check_packed(f, body.data, body.data + body.len);
}

static bool check_fixed(struct scan *s, size_t width)
{
    if ((size_t)(s->stack[s->depth].end - s->p) < width)
        return false;
    s->p += width;
    return true;
}

static bool check_field(struct scan *s)
{
    struct frame *fr = &s->stack[s->depth];
    uint64_t tag;
    if (!take_varint(&s->p, fr->end, &tag) || tag > UINT32_MAX || tag >> 3 == 0)
        return false;
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field(fr->type, (unsigned)(tag >> 3));
    if (f == NULL || !mark_seen(fr, f))
        return false;
    enum wire_type wire = (enum wire_type)(tag & 7);
    bool packed = wire == WIRE_LEN && f->label == PROTOBUF_C_LABEL_REPEATED;
    if (wire != wire_of(f->type) && !packed)
        return false;
    uint64_t v;
    switch (wire) {
    case WIRE_VARINT:
        return take_varint(&s->p, fr->end, &v) && varint_fits(f, v);
    case WIRE_LEN:
        return check_delimited(s, f);
    default:
        return check_fixed(s, wire == WIRE_32 ? 4 : 8);
    }
}

static bool scan_message(const ProtobufCMessageDescriptor *d, struct ky_span in)
{
    if (d->n_fields > FIELDS_MAX)
        return false;
    if (in.len == 0)
        return true;
    struct scan s = {.p = in.data};
    s.stack[0] = (struct frame){.type = d, .end = in.data + in.len};
    for (;;) {
        if (s.p < s.stack[s.depth].end) {
            if (!check_field(&s))
                return false;
        } else if (s.depth == 0) {
            return true;
        } else {
            s.depth--;
        }
    }
}

struct ky_status ky_pb_unpack(struct ky_arena *a, const ProtobufCMessageDescriptor *d,
                              struct ky_span in, ProtobufCMessage **out)
{
    static const uint8_t nothing[1] = {0};
    if (!scan_message(d, in))
        return KY_STATUS(KY_INVALID);
    ProtobufCMessage *m =
        protobuf_c_message_unpack(d, &a->allocator, in.len, in.len == 0 ? nothing : in.data);
    if (m == NULL)
        return KY_STATUS(KY_INVALID); /* it asks for more than the arena: the sender's doing */
    *out = m;
    return KY_STATUS(KY_OK);
}
