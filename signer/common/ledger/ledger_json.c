/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A leaf as JSON. Pure. Keeps: whatever bytes a record carries, the line is valid JSON.
 */
#include "ledger_json.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base64.h"
#include "kyso/wire.h"

static void put_text(struct ky_buf *out, const char *s)
{
    ky_buf_put(out, s, strlen(s));
}

__attribute__((format(printf, 2, 3))) static void put_format(struct ky_buf *out, const char *format,
                                                             ...)
{
    char text[96];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof(text)) {
        out->failed = true;
        return;
    }
    ky_buf_put(out, text, (size_t)n);
}

static void put_hex(struct ky_buf *out, struct ky_span v)
{
    static const char digits[] = "0123456789abcdef";
    put_text(out, "\"");
    for (size_t i = 0; i < v.len; i++) {
        char pair[2] = {digits[v.data[i] >> 4], digits[v.data[i] & 15u]};
        ky_buf_put(out, pair, sizeof(pair));
    }
    put_text(out, "\"");
}

/* The decoder has let only valid UTF-8 through. */
static void put_string(struct ky_buf *out, struct ky_span v)
{
    put_text(out, "\"");
    for (size_t i = 0; i < v.len; i++) {
        uint8_t c = v.data[i];
        if (c == '"' || c == '\\') {
            put_text(out, "\\");
        }
        if (c < 0x20) {
            put_format(out, "\\u%04x", (unsigned)c);
        } else {
            ky_buf_put(out, &c, 1);
        }
    }
    put_text(out, "\"");
}

static void put_field(struct ky_buf *out, const struct ky_field *f, const uint8_t *msg)
{
    const uint8_t *at = msg + f->offset;
    uint16_t u16 = 0;
    uint32_t u32 = 0;
    uint64_t u64 = 0;
    struct ky_span span = KY_SPAN(NULL, 0);
    put_format(out, ",\"%s\":", f->name);
    switch (f->type) {
    case KY_F_U8:
        put_format(out, "%u", (unsigned)*at);
        break;
    case KY_F_U16:
        memcpy(&u16, at, sizeof(u16));
        put_format(out, "%u", (unsigned)u16);
        break;
    case KY_F_CODE:
        memcpy(&u16, at, sizeof(u16));
        put_format(out, "\"%s\"", ky_code_info((enum ky_code)u16)->name);
        break;
    case KY_F_U32:
        memcpy(&u32, at, sizeof(u32));
        put_format(out, "%" PRIu32, u32);
        break;
    case KY_F_U64:
        memcpy(&u64, at, sizeof(u64));
        put_format(out, "%" PRIu64, u64);
        break;
    case KY_F_FIX:
        put_hex(out, KY_SPAN(at, f->max));
        break;
    case KY_F_BYTES:
        memcpy(&span, at, sizeof(span));
        put_hex(out, span);
        break;
    case KY_F_TEXT:
        memcpy(&span, at, sizeof(span));
        put_string(out, span);
        break;
    }
}

/* RFC 3339, UTC, microseconds. False past the year 9999. */
static bool put_time(struct ky_buf *out, uint64_t time_us)
{
    struct tm tm;
    char text[32];
    time_t seconds = (time_t)(time_us / 1000000u);
    if (time_us / 1000000u > 253402300799u || gmtime_r(&seconds, &tm) == NULL ||
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm) == 0) {
        return false;
    }
    put_format(out, ",\"time\":\"%s.%06uZ\"", text, (unsigned)(time_us % 1000000u));
    return true;
}

static struct ky_status put_fields(struct ky_buf *out, const struct ky_schema *schema,
                                   struct ky_span body)
{
    uint8_t *msg = calloc(1, schema->size);
    if (msg == NULL) {
        return KY_STATUS(KY_NOMEM);
    }
    struct ky_status st = ky_msg_decode(schema, body, msg);
    if (!ky_ok(st)) {
        st = KY_STATUS(KY_CORRUPT);
    }
    for (uint16_t i = 0; ky_ok(st) && i < schema->field_count; i++) {
        put_field(out, &schema->fields[i], msg);
    }
    free(msg);
    return st;
}

struct ky_status ledger_leaf_to_json(struct ky_span leaf, struct ky_span private_data,
                                     struct ky_buf *out)
{
    struct ky_reader r =
        ky_reader(leaf); /* not ledger_leaf_parse: a newer server's types are shown too */
    uint64_t index = ky_get_u64(&r);
    uint64_t time_us = ky_get_u64(&r);
    uint16_t type = ky_get_u16(&r);
    const struct ky_schema *schema = ledger_schema(type);
    struct ky_status st = KY_STATUS(KY_OK);
    if (r.failed || leaf.len > LEDGER_LEAF_MAX) {
        return KY_STATUS(KY_CORRUPT);
    }
    put_format(out, "{\"index\":%" PRIu64, index);
    if (!put_time(out, time_us)) {
        return KY_STATUS(KY_CORRUPT);
    }
    if (schema != NULL) {
        put_format(out, ",\"type\":\"%s\"", schema->name);
        st = put_fields(out, schema, KY_SPAN(r.p, r.left));
    } else {
        put_format(out, ",\"type\":\"unknown-%u\"", (unsigned)type);
    }
    if (private_data.len > 0) {
        put_text(out, ",\"private\":");
        put_hex(out, private_data);
    }
    put_text(out, ",\"leaf\":\"");
    base64_put(out, leaf);
    put_text(out, "\"}");
    return ky_ok(st) && out->failed ? KY_STATUS(KY_NOMEM) : st;
}
