/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only reader of protobuf messages that strangers send: one pass over the bytes checks them
 * against the descriptor and fills the same structs that protobuf-c would, without recursion and
 * with no memory but the arena's (P14; faults 3 to 7, 11). What has two readings is refused: an
 * unknown field, a field given twice, a value that its type would truncate. Any thread.
 */
#include "kyso/grpc.h"

#include <string.h>

#include "utf8.h"

#define DEPTH_MAX      8u  /* messages inside the outermost one */
#define FIELDS_MAX     64u /* of one message type: the width of `seen` */
#define FIRST_CAPACITY 4u  /* of a repeated field: a power of two */

enum wire_type { WIRE_VARINT = 0, WIRE_LEN = 2 };

/* How a type is read. What kyso.v1 does not use is refused: other types, and repeated numbers. */
static const struct form {
    size_t size;  /* of one value in the struct, or in a repeated field's array; 0: not read */
    uint64_t max; /* of a number: what the struct would truncate is refused */
    enum wire_type wire;
} forms[] = {
    [PROTOBUF_C_TYPE_BOOL] = {sizeof(protobuf_c_boolean), 1, WIRE_VARINT},
    [PROTOBUF_C_TYPE_ENUM] = {sizeof(uint32_t), INT32_MAX, WIRE_VARINT},
    [PROTOBUF_C_TYPE_UINT32] = {sizeof(uint32_t), UINT32_MAX, WIRE_VARINT},
    [PROTOBUF_C_TYPE_UINT64] = {sizeof(uint64_t), UINT64_MAX, WIRE_VARINT},
    [PROTOBUF_C_TYPE_INT64] = {sizeof(uint64_t), UINT64_MAX, WIRE_VARINT},
    [PROTOBUF_C_TYPE_STRING] = {sizeof(char *), 0, WIRE_LEN},
    [PROTOBUF_C_TYPE_BYTES] = {sizeof(ProtobufCBinaryData), 0, WIRE_LEN},
    [PROTOBUF_C_TYPE_MESSAGE] = {sizeof(ProtobufCMessage *), 0, WIRE_LEN},
};

struct frame {
    const ProtobufCMessageDescriptor *type;
    const uint8_t *end;
    uint64_t seen; /* bit per singular field met, oneof members together */
    uint8_t *to;   /* the struct that it fills, in the arena */
};

struct scan {
    struct ky_arena *arena;
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

/* One more element: the array doubles at each power of two. NULL: no room in the arena. */
static uint8_t *append(struct ky_arena *a, uint8_t *to, const ProtobufCFieldDescriptor *f)
{
    size_t size = forms[f->type].size, n;
    uint8_t *array;

    memcpy(&n, to + f->quantifier_offset, sizeof(n));
    memcpy(&array, to + f->offset, sizeof(array));
    if (n == 0 || (n >= FIRST_CAPACITY && (n & (n - 1)) == 0)) {
        uint8_t *wider = ky_arena_alloc(a, (n == 0 ? FIRST_CAPACITY : 2 * n) * size);
        if (wider == NULL)
            return NULL;
        if (n > 0)
            memcpy(wider, array, n * size);
        array = wider;
        memcpy(to + f->offset, &array, sizeof(array));
    }
    array += n * size;
    n++;
    memcpy(to + f->quantifier_offset, &n, sizeof(n));
    return array;
}

/* Where the field's value goes; marks what says that it is there. */
static uint8_t *place_of(struct ky_arena *a, uint8_t *to, const ProtobufCFieldDescriptor *f)
{
    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return append(a, to, f);
    if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        uint32_t which = f->id;
        memcpy(to + f->quantifier_offset, &which, sizeof(which));
    }
    return to + f->offset;
}

static bool take_number(struct scan *s, const ProtobufCFieldDescriptor *f)
{
    const struct frame *fr = &s->stack[s->depth];
    const struct form *form = &forms[f->type];
    uint64_t v;

    if (!take_varint(&s->p, fr->end, &v) || v > form->max)
        return false;
    if (f->type == PROTOBUF_C_TYPE_ENUM &&
        protobuf_c_enum_descriptor_get_value(f->descriptor, (int)v) == NULL)
        return false;
    uint8_t *at = place_of(s->arena, fr->to, f); /* not repeated: there is room */
    uint32_t low = (uint32_t)v;
    if (form->size == sizeof(v))
        memcpy(at, &v, sizeof(v));
    else
        memcpy(at, &low, sizeof(low));
    return true;
}

/* A copy in the arena, with a NUL behind it: the input may be gone before the message is. */
static uint8_t *copy_of(struct ky_arena *a, struct ky_span body)
{
    uint8_t *at = ky_arena_alloc(a, body.len + 1);
    if (at == NULL)
        return NULL;
    if (body.len > 0)
        memcpy(at, body.data, body.len);
    at[body.len] = 0;
    return at;
}

static bool put_bytes(struct scan *s, const ProtobufCFieldDescriptor *f, struct ky_span body)
{
    uint8_t *at = place_of(s->arena, s->stack[s->depth].to, f);
    uint8_t *copy = at != NULL ? copy_of(s->arena, body) : NULL;
    ProtobufCBinaryData binary = {.len = body.len, .data = copy};

    if (copy == NULL)
        return false;
    if (f->type == PROTOBUF_C_TYPE_BYTES)
        memcpy(at, &binary, sizeof(binary));
    else
        memcpy(at, &copy, sizeof(copy));
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

static ProtobufCMessage *message_new(struct ky_arena *a, const ProtobufCMessageDescriptor *type)
{
    ProtobufCMessage *m = ky_arena_alloc(a, type->sizeof_message);
    if (m != NULL)
        protobuf_c_message_init(type, m);
    return m;
}

/* Begins a message inside another: the loop goes on in it. */
static bool push(struct scan *s, const ProtobufCFieldDescriptor *f, const uint8_t *end)
{
    const ProtobufCMessageDescriptor *type = f->descriptor;
    uint8_t *at;
    ProtobufCMessage *m;

    if (s->depth == DEPTH_MAX || type->n_fields > FIELDS_MAX ||
        (at = place_of(s->arena, s->stack[s->depth].to, f)) == NULL ||
        (m = message_new(s->arena, type)) == NULL)
        return false;
    memcpy(at, &m, sizeof(m));
    s->stack[++s->depth] = (struct frame){.type = type, .end = end, .to = (uint8_t *)m};
    return true;
}

static bool take_delimited(struct scan *s, const ProtobufCFieldDescriptor *f)
{
    const uint8_t *end = s->stack[s->depth].end;
    uint64_t len;
    if (!take_varint(&s->p, end, &len) || len > (uint64_t)(end - s->p))
        return false;
    struct ky_span body = KY_SPAN(s->p, (size_t)len);
    if (f->type == PROTOBUF_C_TYPE_MESSAGE)
        return push(s, f, s->p + len);
    s->p += len;
    if (f->type == PROTOBUF_C_TYPE_STRING && !ky_utf8_is_cstr(body))
        return false;
    return put_bytes(s, f, body);
}

/* By number: most messages count theirs from 1 without a gap. */
static const ProtobufCFieldDescriptor *field_of(const ProtobufCMessageDescriptor *type,
                                                unsigned number)
{
    if (number <= type->n_fields && type->fields[number - 1].id == number)
        return &type->fields[number - 1];
    return protobuf_c_message_descriptor_get_field(type, number);
}

static bool take_field(struct scan *s)
{
    struct frame *fr = &s->stack[s->depth];
    uint64_t tag;
    if (!take_varint(&s->p, fr->end, &tag) || tag > UINT32_MAX || tag >> 3 == 0)
        return false;
    const ProtobufCFieldDescriptor *f = field_of(fr->type, (unsigned)(tag >> 3));
    if (f == NULL || !mark_seen(fr, f))
        return false;
    const struct form *form = &forms[f->type];
    if (form->size == 0 || form->wire != (tag & 7))
        return false;
    if (form->wire == WIRE_LEN)
        return take_delimited(s, f);
    return f->label != PROTOBUF_C_LABEL_REPEATED && take_number(s, f);
}

static bool take_message(struct scan *s)
{
    for (;;) {
        if (s->p < s->stack[s->depth].end) {
            if (!take_field(s))
                return false;
        } else if (s->depth == 0) {
            return true;
        } else {
            s->depth--;
        }
    }
}

struct ky_status ky_pb_unpack(struct ky_arena *a, const ProtobufCMessageDescriptor *d,
                              struct ky_span in, ProtobufCMessage **out)
{
    struct scan s;
    ProtobufCMessage *m = d->n_fields <= FIELDS_MAX ? message_new(a, d) : NULL;

    if (m == NULL)
        return KY_STATUS(KY_INVALID);
    if (in.len > 0) {
        s.arena = a;
        s.p = in.data;
        s.depth = 0;
        s.stack[0] = (struct frame){.type = d, .end = in.data + in.len, .to = (uint8_t *)m};
        if (!take_message(&s)) /* the sender's doing too when it asks for more than the arena */
            return KY_STATUS(KY_INVALID);
    }
    *out = m;
    return KY_STATUS(KY_OK);
}
