/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Response headers and bodies: 200, trailers, trailers-only refusals with grpc-message and
 * grpc-status-details-bin, and the HTTP errors for what is not gRPC at all.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "call.h"

#define MESSAGE_HEADER_MAX 512u
#define DETAILS_MAX        512u

static nghttp2_nv fixed(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .value = (uint8_t *)(uintptr_t)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value),
                        .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

static nghttp2_nv copied(const char *name, const char *value)
{
    nghttp2_nv nv = fixed(name, value);
    nv.flags = NGHTTP2_NV_FLAG_NO_COPY_NAME;
    return nv;
}

static const char *public_text(const struct call *call)
{
    return call->why ? call->why : ky_code_info(ky_code_info(call->code)->wire)->public_text;
}

/* Percent-encoding of the gRPC specification: printable ASCII but '%' stands for itself. */
static void encode_message(const char *text, char out[MESSAGE_HEADER_MAX])
{
    size_t n = 0;
    for (; *text && n + 4 < MESSAGE_HEADER_MAX; text++) {
        unsigned char ch = (unsigned char)*text;
        if (ch >= 0x20 && ch < 0x7f && ch != '%')
            out[n++] = (char)ch;
        else
            n += (size_t)snprintf(out + n, 4, "%%%02X", ch);
    }
    out[n] = '\0';
}

static bool encode_details(const struct call *call, char out[DETAILS_MAX * 4 / 3 + 4])
{
    struct ky_buf b = KY_BUF_INIT(DETAILS_MAX);
    bool ok = false;
    int len;

    /* The same text as in grpc-message: clients compare the two. */
    if (!ky_ok(ky_grpc_details(call->code, public_text(call), call->retry_after_ms, &b)))
        goto done;
    len = EVP_EncodeBlock((unsigned char *)out, b.data, (int)b.len);
    while (len > 0 && out[len - 1] == '=')
        len--;
    out[len] = '\0';
    ok = true;
done:
    ky_buf_free(&b);
    return ok;
}

struct trailer {
    nghttp2_nv nv[5];
    size_t n;
    char number[12];
    char message[MESSAGE_HEADER_MAX];
    char details[DETAILS_MAX * 4 / 3 + 4];
};

static void add_status(struct trailer *t, const struct call *call)
{
    if (call->code == KY_OK) {
        t->nv[t->n++] = fixed("grpc-status", "0");
        return;
    }
    (void)snprintf(t->number, sizeof(t->number), "%d",
                   ky_code_info(ky_code_info(call->code)->wire)->grpc);
    encode_message(public_text(call), t->message);
    t->nv[t->n++] = copied("grpc-status", t->number);
    t->nv[t->n++] = copied("grpc-message", t->message);
    if (encode_details(call, t->details))
        t->nv[t->n++] = copied("grpc-status-details-bin", t->details);
}

/*
 * How much of the body comes next. The library does not copy it: what it copies it keeps, and frees
 * unwiped, and SADs and an operator's seeds are in it.
 */
static ssize_t read_body(nghttp2_session *s, int32_t stream_id, uint8_t *buf, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct call *call = source->ptr;
    size_t left = call->out.len - call->out_taken;
    size_t n = left < room ? left : room;

    (void)s, (void)stream_id, (void)buf, (void)user;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n < left)
        return (ssize_t)n;
    if (call->finished) {
        *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (status_submit_trailers(call) != 0)
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        return (ssize_t)n;
    }
    if (n > 0)
        return (ssize_t)n;
    call->deferred = true;
    return NGHTTP2_ERR_DEFERRED;
}

int status_send_body(nghttp2_session *s, nghttp2_frame *frame, const uint8_t *head, size_t n,
                     nghttp2_data_source *source, void *user)
{
    struct call *call = source->ptr;
    struct conn *c = user;

    (void)s, (void)frame;
    if (c->out.len - c->out_taken >= H2_FILL_MAX)
        return NGHTTP2_ERR_WOULDBLOCK; /* it asks again when more is wanted */
    ky_buf_put(&c->out, head, H2_FRAME_HEAD);
    ky_buf_put(&c->out, call->out.data + call->out_taken, n);
    if (c->out.failed)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    call->out_taken += n;
    c->queued -= n;
    if (n > 0)
        c->body_us = c->front->now_us;
    if (call->out_taken == call->out.len) {
        ky_buf_reset(&call->out);
        call->out_taken = 0;
    }
    return 0;
}

int status_submit_headers(struct call *call)
{
    nghttp2_nv nv[] = {fixed(":status", "200"), fixed("content-type", "application/grpc")};
    nghttp2_data_provider body = {.source.ptr = call, .read_callback = read_body};
    return nghttp2_submit_response(call->conn->h2, call->stream_id, nv, 2, &body);
}

int status_submit_trailers(struct call *call)
{
    struct trailer t; /* only t.n is read unset: this runs once per call */
    t.n = 0;
    add_status(&t, call);
    return nghttp2_submit_trailer(call->conn->h2, call->stream_id, t.nv, t.n);
}

int status_submit_trailers_only(struct call *call)
{
    struct trailer t; /* only t.n is read unset: this runs once per call */
    t.n = 0;
    t.nv[t.n++] = fixed(":status", "200");
    t.nv[t.n++] = fixed("content-type", "application/grpc");
    add_status(&t, call);
    return nghttp2_submit_response(call->conn->h2, call->stream_id, t.nv, t.n, NULL);
}

int status_submit_http(struct call *call, const char *http_status)
{
    nghttp2_nv nv[] = {fixed(":status", http_status)};
    return nghttp2_submit_response(call->conn->h2, call->stream_id, nv, 1, NULL);
}
