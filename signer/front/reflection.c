/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC server reflection (v1 and v1alpha, the same messages) from the descriptor set that is
 * built in. Both sides are small enough to read and write by hand: no generated code for them.
 */
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "kyso/descriptors.h"
#include "method.h"

#define FILES_MAX          16u
#define REPLY_MAX          (64u * 1024u)
#define GRPC_NOT_FOUND     5u
#define GRPC_UNIMPLEMENTED 12u

struct reflection {
    struct {
        struct ky_span bytes; /* a FileDescriptorProto; borrowed from the constant set */
        struct ky_span name;
        struct ky_span package;
    } files[FILES_MAX];
    size_t count;
};

/* A protobuf reader for trusted constants and one small request: varints and delimited fields. */
struct pb {
    const uint8_t *p, *end;
    bool bad;
};

static uint64_t pb_varint(struct pb *b)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && b->p < b->end; shift += 7) {
        uint8_t byte = *b->p++;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return v;
    }
    b->bad = true;
    return 0;
}

/* The next field: its number, and its bytes when it is delimited. False at the end or on nonsense. */
static bool pb_next(struct pb *b, uint32_t *out_field, struct ky_span *out)
{
    uint64_t tag, len;

    if (b->bad || b->p >= b->end)
        return false;
    tag = pb_varint(b);
    *out_field = (uint32_t)(tag >> 3);
    *out = KY_SPAN(NULL, 0);
    if ((tag & 7) == 0) {
        (void)pb_varint(b);
        return !b->bad;
    }
    len = (tag & 7) == 2 ? pb_varint(b) : UINT64_MAX;
    if (b->bad || len > (uint64_t)(b->end - b->p)) {
        b->bad = true;
        return false;
    }
    *out = KY_SPAN(b->p, (size_t)len);
    b->p += len;
    return true;
}

static struct pb pb_reader(struct ky_span s)
{
    return (struct pb){.p = s.data, .end = s.data + s.len};
}

static void put_varint(struct ky_buf *b, uint64_t v)
{
    do {
        uint8_t byte = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80u : 0u));
        ky_buf_put(b, &byte, 1);
        v >>= 7;
    } while (v);
}

static void put_field(struct ky_buf *b, uint32_t field, struct ky_span s)
{
    put_varint(b, (uint64_t)field << 3 | 2);
    put_varint(b, s.len);
    ky_buf_put(b, s.data, s.len);
}

struct ky_status reflection_open(struct front *f)
{
    struct pb set = pb_reader(KY_SPAN(kyso_descriptor_set, kyso_descriptor_set_len));
    struct reflection *r = calloc(1, sizeof(*r));
    struct ky_span file, value;
    uint32_t field;

    f->reflection = r;
    if (!r)
        return KY_STATUS(KY_NOMEM);
    while (r->count < FILES_MAX && pb_next(&set, &field, &file)) {
        struct pb b = pb_reader(file);
        r->files[r->count].bytes = file;
        while (pb_next(&b, &field, &value)) {
            if (field == 1)
                r->files[r->count].name = value;
            else if (field == 2)
                r->files[r->count].package = value;
        }
        r->count++;
    }
    return KY_STATUS(set.bad ? KY_CORRUPT : KY_OK);
}

void reflection_close(struct front *f)
{
    free(f->reflection);
    f->reflection = NULL;
}

/* Does a message, enum or service (fields 4, 5, 6) of this file, or a method of it, bear the name? */
static bool declares(struct ky_span file, struct ky_span name)
{
    struct pb b = pb_reader(file);
    struct ky_span item, value;
    uint32_t field, inner;

    while (pb_next(&b, &field, &item)) {
        struct pb d = pb_reader(item);
        if (field < 4 || field > 6)
            continue;
        while (pb_next(&d, &inner, &value))
            if (inner == 1 && value.len <= name.len &&
                ky_span_eq(value, KY_SPAN(name.data, value.len)) &&
                (value.len == name.len || name.data[value.len] == '.'))
                return true;
    }
    return false;
}

static struct ky_span by_symbol(const struct reflection *r, struct ky_span symbol)
{
    for (size_t i = 0; i < r->count; i++) {
        struct ky_span package = r->files[i].package;
        if (symbol.len <= package.len + 1 ||
            !ky_span_eq(KY_SPAN(symbol.data, package.len), package) ||
            symbol.data[package.len] != '.')
            continue;
        if (declares(r->files[i].bytes,
                     KY_SPAN(symbol.data + package.len + 1, symbol.len - package.len - 1)))
            return r->files[i].bytes;
    }
    return KY_SPAN(NULL, 0);
}

static struct ky_span by_name(const struct reflection *r, struct ky_span name)
{
    for (size_t i = 0; i < r->count; i++)
        if (ky_span_eq(r->files[i].name, name))
            return r->files[i].bytes;
    return KY_SPAN(NULL, 0);
}

static void put_error(struct ky_buf *reply, uint32_t code, const char *text)
{
    struct ky_buf error = KY_BUF_INIT(256);
    put_varint(&error, 1 << 3);
    put_varint(&error, code);
    put_field(&error, 2, ky_span_text(text));
    put_field(reply, 7, ky_buf_span(&error));
    ky_buf_free(&error);
}

static void put_file(struct ky_buf *reply, struct ky_span file)
{
    struct ky_buf response = KY_BUF_INIT(REPLY_MAX);
    if (file.len == 0) {
        put_error(reply, GRPC_NOT_FOUND, "no such file or symbol");
        return;
    }
    put_field(&response, 1, file);
    put_field(reply, 4, ky_buf_span(&response));
    ky_buf_free(&response);
}

static void put_services(struct ky_buf *reply, enum ky_door door)
{
    struct ky_buf list = KY_BUF_INIT(4096);
    const char *name;
    for (unsigned i = 0; (name = method_service(door, i)); i++) {
        struct ky_buf service = KY_BUF_INIT(256);
        put_field(&service, 1, ky_span_text(name));
        put_field(&list, 1, ky_buf_span(&service));
        ky_buf_free(&service);
    }
    put_field(reply, 6, ky_buf_span(&list));
    ky_buf_free(&list);
}

/* ServerReflectionRequest: 3 file_by_filename, 4 file_containing_symbol, 7 list_services. */
void reflection_answer(struct call *call, struct ky_span message)
{
    struct front *f = call->conn->front;
    struct pb b = pb_reader(message);
    struct ky_buf reply = KY_BUF_INIT(2 * REPLY_MAX);
    struct ky_span value, asked = KY_SPAN(NULL, 0);
    uint32_t field, kind = 0;

    while (pb_next(&b, &field, &value)) {
        if (field >= 3 && field <= 7) {
            kind = field;
            asked = value;
        }
    }
    if (b.bad || kind == 0) {
        call_finish(call, KY_INVALID, 0, "message: malformed");
        goto done;
    }
    if (++f->reflections > FRONT_REFLECTIONS_PER_S) {
        call_finish(call, KY_BUSY, FRONT_RETRY_AFTER_MS, NULL);
        goto done;
    }
    put_field(&reply, 2, message); /* original_request */
    if (kind == 3)
        put_file(&reply, by_name(f->reflection, asked));
    else if (kind == 4)
        put_file(&reply, by_symbol(f->reflection, asked));
    else if (kind == 7)
        put_services(&reply, f->door);
    else
        put_error(&reply, GRPC_UNIMPLEMENTED, "extensions are not used here");
    call_reply_raw(call, ky_buf_span(&reply));
done:
    ky_buf_free(&reply);
}
