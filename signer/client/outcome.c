/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a call's end: the gRPC status, its percent-encoded message, and our ErrorDetail inside
 * grpc-status-details-bin (a google.rpc.Status, whose few fields are walked here).
 */
#include <stdio.h>
#include <string.h>

#include "client_internal.h"
#include "kyso/v1/types.pb-c.h"

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (uint8_t)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* gRPC over HTTP/2: an escape that is none stays as it is. Control bytes never reach a terminal. */
void client_percent_decode(const uint8_t *in, size_t n, char *out, size_t cap)
{
    size_t used = 0;

    for (size_t i = 0; i < n && used + 1 < cap; i++) {
        uint8_t c = in[i];

        if (c == '%' && i + 2 < n && hex_digit(in[i + 1]) >= 0 && hex_digit(in[i + 2]) >= 0) {
            c = (uint8_t)(hex_digit(in[i + 1]) * 16 + hex_digit(in[i + 2]));
            i += 2;
        }
        out[used++] = (char)(c < 0x20 || c == 0x7f ? ' ' : c);
    }
    out[used] = '\0';
}

static int base64_digit(uint8_t c)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != 0 ? strchr(alphabet, c) : NULL;

    return at != NULL ? (int)(at - alphabet) : -1;
}

bool client_base64(const uint8_t *in, size_t n, struct ky_buf *out)
{
    uint32_t bits = 0;
    unsigned have = 0;

    while (n > 0 && in[n - 1] == '=')
        n--;
    for (size_t i = 0; i < n; i++) {
        int v = base64_digit(in[i]);
        uint8_t byte;

        if (v < 0)
            return false;
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have < 8)
            continue;
        have -= 8;
        byte = (uint8_t)(bits >> have);
        ky_buf_put(out, &byte, 1);
    }
    return !out->failed;
}

static bool get_varint(struct ky_span *s, uint64_t *out)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 64 && s->len > 0; shift += 7) {
        uint8_t b = *s->data++;

        s->len--;
        v |= (uint64_t)(b & 0x7f) << shift;
        if ((b & 0x80) == 0) {
            *out = v;
            return true;
        }
    }
    return false;
}

/* The first length-delimited field of that number. */
static bool find_field(struct ky_span s, uint64_t number, struct ky_span *out)
{
    uint64_t tag, value;

    while (s.len > 0) {
        if (!get_varint(&s, &tag) || !get_varint(&s, &value))
            return false;
        if ((tag & 7) == 0)
            continue;
        if ((tag & 7) != 2 || value > s.len)
            return false;
        if (tag >> 3 == number) {
            *out = KY_SPAN(s.data, (size_t)value);
            return true;
        }
        s.data += value;
        s.len -= (size_t)value;
    }
    return false;
}

static void read_detail(struct ky_span status, struct client_outcome *out)
{
    static const char suffix[] = "/kyso.v1.ErrorDetail";
    struct ky_span any, url, value;
    Kyso__V1__ErrorDetail *d;

    if (!find_field(status, 3, &any) || !find_field(any, 1, &url) || url.len < sizeof suffix - 1 ||
        !ky_span_eq(KY_SPAN(url.data + url.len - (sizeof suffix - 1), sizeof suffix - 1),
                    ky_span_text(suffix)) ||
        !find_field(any, 2, &value))
        return;
    d = kyso__v1__error_detail__unpack(NULL, value.len, value.data);
    if (d == NULL)
        return;
    (void)ky_span_to_cstr(ky_span_text(d->code), out->detail_code, sizeof out->detail_code);
    out->retry = (uint32_t)d->retry;
    out->retry_after_ms = d->retry_after_ms;
    kyso__v1__error_detail__free_unpacked(d, NULL);
}

/*
 * Our code: by the detail's name when it has one, else the first public code of that gRPC status.
 */
static enum ky_code code_of(const struct client_outcome *o)
{
    for (int i = 0; o->detail_code[0] != '\0' && i < KY_CODE_COUNT; i++)
        if (strcmp(ky_code_info((enum ky_code)i)->name, o->detail_code) == 0)
            return (enum ky_code)i;
    for (int i = 0; i < KY_CODE_COUNT; i++) {
        const struct ky_code_info *info = ky_code_info((enum ky_code)i);

        if (info->wire == (enum ky_code)i && info->grpc == o->grpc_status)
            return (enum ky_code)i;
    }
    return KY_INTERNAL;
}

static void set_local(struct client_outcome *out, int grpc, enum ky_code code, const char *text)
{
    out->grpc_status = grpc;
    out->code = code;
    (void)snprintf(out->text, sizeof out->text, "%s", text);
}

void client_outcome_read(const struct client_call *call, uint32_t h2_error,
                         struct client_outcome *out)
{
    *out = (struct client_outcome){.retry_after_ms = 0};
    if (call->grpc_status >= 0) {
        out->grpc_status = call->grpc_status;
        if (call->text[0] != '\0')
            (void)snprintf(out->text, sizeof out->text, "%s", call->text);
        read_detail(ky_buf_span(&call->details), out);
        out->code = out->grpc_status == 0 ? KY_OK : code_of(out);
        return;
    }
    if (call->overlong) {
        set_local(out, 13, KY_INTERNAL, "the server sent a message that is compressed or too long");
    } else if (call->expired) {
        set_local(out, 4, KY_DEADLINE, "the deadline passed before the server answered");
    } else if (call->cancelled || call->client->closing) {
        set_local(out, 1, KY_CANCELLED, "cancelled");
    } else if (call->client->gone || h2_error == NGHTTP2_REFUSED_STREAM) {
        set_local(out, 14, KY_UNAVAILABLE,
                  call->client->gone ? call->client->why : "the server is closing this connection");
        out->transport = true;
    } else if (call->http_status != 0 && call->http_status != 200) {
        set_local(out, 14, KY_UNAVAILABLE, "the server answered with an HTTP error, not with gRPC");
        out->transport = true;
    } else {
        set_local(out, h2_error == NGHTTP2_CANCEL ? 1 : 13,
                  h2_error == NGHTTP2_CANCEL ? KY_CANCELLED : KY_INTERNAL,
                  "the server ended the stream without a status");
    }
}
