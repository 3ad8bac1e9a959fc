/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls: starting, sending, deadlines, the end, and the blocking unary call on top of them.
 * A call belongs to its connection's list from client_start until its on_end has returned.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client_internal.h"
#include "kyso/record.h"
#include "kyso/secret.h"

#define DETAILS_MAX  4096u
#define SPARE_MAX    1024u
#define SPARE_BUFFER 8192u /* a call that grew further gives its memory back */

static void link_call(struct client *c, struct client_call *call)
{
    call->next = c->calls;
    if (c->calls != NULL)
        c->calls->prev = call;
    c->calls = call;
    c->in_flight++;
    if (call->deadline_us != 0 &&
        (c->first_deadline_us == 0 || call->deadline_us < c->first_deadline_us))
        c->first_deadline_us = call->deadline_us;
}

static void unlink_call(struct client *c, struct client_call *call)
{
    if (call->prev != NULL)
        call->prev->next = call->next;
    else
        c->calls = call->next;
    if (call->next != NULL)
        call->next->prev = call->prev;
    c->in_flight--;
}

static void free_call(struct client_call *call)
{
    ky_buf_free(&call->out);
    ky_buf_free(&call->in);
    ky_buf_free(&call->details);
    free(call);
}

static void put_aside(struct client_call *call)
{
    struct client *c = call->client;

    if (c->spare_count >= SPARE_MAX || call->out.cap > SPARE_BUFFER ||
        call->in.cap > SPARE_BUFFER) {
        free_call(call);
        return;
    }
    ky_buf_reset(&call->out);
    ky_buf_reset(&call->in);
    ky_buf_reset(&call->details);
    call->next = c->spare;
    c->spare = call;
    c->spare_count++;
}

void client_free_spares(struct client *c)
{
    while (c->spare != NULL) {
        struct client_call *call = c->spare;

        c->spare = call->next;
        free_call(call);
    }
    c->spare_count = 0;
}

static struct client_call *new_call(struct client *c)
{
    struct client_call *call = c->spare;

    if (call != NULL) {
        c->spare = call->next;
        c->spare_count--;
        memset(call, 0, offsetof(struct client_call, out));
        call->text[0] = '\0';
    } else {
        call = calloc(1, sizeof *call);
        if (call == NULL)
            return NULL;
        call->out = KY_BUF_INIT(4u * CLIENT_MESSAGE_MAX);
        call->in = KY_BUF_INIT(2u * CLIENT_MESSAGE_MAX);
        call->details = KY_BUF_INIT(DETAILS_MAX);
    }
    call->client = c;
    call->grpc_status = -1;
    return call;
}

void client_call_end(struct client_call *call, uint32_t h2_error)
{
    struct client_outcome outcome;

    unlink_call(call->client, call);
    if (call->client->met == call)
        call->client->met = NULL;
    /* A reset connection still owns the stream: it must not find a freed call there. */
    (void)nghttp2_session_set_stream_user_data(call->client->h2, call->stream_id, NULL);
    client_outcome_read(call, h2_error, &outcome);
    if (call->handler.on_end != NULL)
        call->handler.on_end(call->handler.arg, call, &outcome);
    put_aside(call);
}

/*
 * Ends what was cancelled or is due at once: a stream that waits for the server's stream limit has
 * no other end.
 */
void client_expire(struct client *c, uint64_t now_us)
{
    struct client_call *next;
    uint64_t first = 0;

    if (now_us < c->first_deadline_us)
        return;
    c->first_deadline_us = 0;
    for (struct client_call *call = c->calls; call != NULL; call = next) {
        bool due = call->deadline_us != 0 && call->deadline_us <= now_us;

        next = call->next;
        if (call->cancelled || due) {
            call->expired = !call->cancelled;
            (void)nghttp2_submit_rst_stream(c->h2, NGHTTP2_FLAG_NONE, call->stream_id,
                                            NGHTTP2_CANCEL);
            client_call_end(call, NGHTTP2_CANCEL);
        } else if (call->deadline_us != 0 && (first == 0 || call->deadline_us < first)) {
            first = call->deadline_us;
        }
    }
    if (first != 0 && (c->first_deadline_us == 0 || first < c->first_deadline_us))
        c->first_deadline_us = first; /* an on_end may have started a call that is due sooner */
}

static ssize_t give_data(nghttp2_session *h2, int32_t stream_id, uint8_t *to, size_t cap,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct client_call *call = nghttp2_session_get_stream_user_data(h2, stream_id);
    size_t n;

    (void)source;
    (void)user;
    if (call == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    n = call->out.len - call->out_taken;
    if (n == 0 && !call->finished) {
        call->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    n = n < cap ? n : cap;
    if (n > 0)
        memcpy(to, call->out.data + call->out_taken, n);
    call->out_taken += n;
    if (call->out_taken == call->out.len) {
        ky_wipe(call->out.data, call->out.len); /* codes and SADs pass through here */
        ky_buf_reset(&call->out);
        call->out_taken = 0;
        if (call->finished)
            *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)n;
}

/* At most eight digits and a unit (gRPC over HTTP/2). */
static void format_timeout(uint64_t us, char out[16])
{
    if (us < 100000000u)
        (void)snprintf(out, 16, "%uu", (unsigned)us);
    else if (us / 1000u < 100000000u)
        (void)snprintf(out, 16, "%um", (unsigned)(us / 1000u));
    else
        (void)snprintf(out, 16, "99999999S");
}

/* Names are literals, lower case, and live as long as the program. */
static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .value = (uint8_t *)(uintptr_t)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value),
                        .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME};
}

static nghttp2_nv fixed(const char *name, const char *value)
{
    nghttp2_nv nv = header(name, value);

    nv.flags |= NGHTTP2_NV_FLAG_NO_COPY_VALUE;
    return nv;
}

static const char *timeout_text(struct client *c, uint64_t timeout_us)
{
    if (c->timeout_us != timeout_us) {
        format_timeout(timeout_us, c->timeout);
        c->timeout_us = timeout_us;
    }
    return c->timeout;
}

static int32_t submit(struct client *c, const char *path, uint64_t timeout_us,
                      struct client_call *call)
{
    nghttp2_data_provider provider = {.read_callback = give_data};
    nghttp2_nv nv[] = {
        fixed(":method", "POST"),
        fixed(":scheme", c->ssl != NULL ? "https" : "http"),
        header(":path", path),
        fixed(":authority", c->authority),
        fixed("te", "trailers"),
        fixed("content-type", "application/grpc"),
        fixed("user-agent", "kyso/" KYSO_VERSION),
        header("grpc-timeout", timeout_us != 0 ? timeout_text(c, timeout_us) : ""),
    };
    size_t n = sizeof nv / sizeof nv[0] - (timeout_us == 0);

    return nghttp2_submit_request(c->h2, NULL, nv, n, &provider, call);
}

struct ky_status client_start(struct client *c, const char *path, uint64_t timeout_us,
                              const struct client_handler *handler, struct client_call **out_call)
{
    struct client_call *call;

    if (!client_is_open(c))
        return KY_STATUS(KY_UNAVAILABLE);
    call = new_call(c);
    if (call == NULL)
        return KY_STATUS(KY_NOMEM);
    call->handler = *handler;
    call->deadline_us = timeout_us != 0 ? ky_now_us() + timeout_us : 0;
    call->stream_id = submit(c, path, timeout_us, call);
    if (call->stream_id < 0) {
        free_call(call);
        return KY_STATUS(KY_UNAVAILABLE);
    }
    link_call(c, call);
    *out_call = call;
    return KY_STATUS(KY_OK);
}

static void resume(struct client_call *call)
{
    if (call->deferred) {
        call->deferred = false;
        (void)nghttp2_session_resume_data(call->client->h2, call->stream_id);
    }
}

struct ky_status client_send(struct client_call *call, const ProtobufCMessage *message)
{
    size_t n = protobuf_c_message_get_packed_size(message);
    uint8_t *p;

    if (call->finished || call->cancelled)
        return KY_STATUS(KY_TX_ENDED);
    if (n > CLIENT_MESSAGE_MAX)
        return KY_STATUS(KY_INVALID);
    p = ky_buf_grow(&call->out, 5 + n);
    if (p == NULL)
        return KY_STATUS(KY_NOMEM);
    p[0] = 0;
    p[1] = (uint8_t)(n >> 24);
    p[2] = (uint8_t)(n >> 16);
    p[3] = (uint8_t)(n >> 8);
    p[4] = (uint8_t)n;
    (void)protobuf_c_message_pack(message, p + 5);
    resume(call);
    return KY_STATUS(KY_OK);
}

void client_finish(struct client_call *call)
{
    call->finished = true;
    resume(call);
}

void client_outwait(struct client_call *call, uint64_t us)
{
    if (call->deadline_us != 0)
        call->deadline_us += us; /* the connection's first deadline is a lower bound */
}

void client_cancel(struct client_call *call)
{
    call->cancelled = true;
    call->client->first_deadline_us = 1; /* due at the next drive */
}

struct ky_status client_unary_start(struct client *c, const char *path,
                                    const ProtobufCMessage *request, uint64_t timeout_us,
                                    const struct client_handler *handler)
{
    struct client_call *call = NULL;
    struct ky_status st;

    st = client_start(c, path, timeout_us, handler, &call);
    if (!ky_ok(st))
        return st;
    st = client_send(call, request);
    if (!ky_ok(st)) {
        call->handler = (struct client_handler){.arg = NULL};
        client_cancel(call);
        return st;
    }
    client_finish(call);
    return st;
}

struct unary {
    const ProtobufCMessageDescriptor *type;
    ProtobufCMessage *reply;
    unsigned messages;
    bool ended;
    struct client_outcome outcome;
};

static void unary_message(void *arg, struct client_call *call, struct ky_span message)
{
    struct unary *u = arg;

    (void)call;
    if (u->messages++ == 0)
        u->reply = protobuf_c_message_unpack(u->type, NULL, message.len, message.data);
}

static void unary_end(void *arg, struct client_call *call, const struct client_outcome *outcome)
{
    struct unary *u = arg;

    (void)call;
    u->outcome = *outcome;
    u->ended = true;
}

struct ky_status client_unary(struct client *c, const char *path, const ProtobufCMessage *request,
                              uint64_t timeout_us, const ProtobufCMessageDescriptor *reply_type,
                              ProtobufCMessage **out_reply, struct client_outcome *out_outcome)
{
    struct unary u = {.type = reply_type};
    struct client_handler h = {.on_message = unary_message, .on_end = unary_end, .arg = &u};
    struct ky_status st = client_unary_start(c, path, request, timeout_us, &h);

    if (!ky_ok(st)) {
        u.outcome = (struct client_outcome){.grpc_status = st.code == KY_UNAVAILABLE ? 14 : 13,
                                            .code = st.code,
                                            .transport = st.code == KY_UNAVAILABLE};
        (void)snprintf(u.outcome.text, sizeof u.outcome.text, "%s",
                       c->gone ? c->why : "the call could not be started");
    }
    while (ky_ok(st) && !u.ended)
        if (!ky_ok(client_poll(&c, 1, -1)) && !u.ended)
            break; /* cannot happen: a lost connection ends its calls */
    if (u.outcome.grpc_status == 0 && (u.messages != 1 || u.reply == NULL)) {
        u.outcome = (struct client_outcome){.grpc_status = 13, .code = KY_INTERNAL};
        (void)snprintf(u.outcome.text, sizeof u.outcome.text,
                       "the server's answer could not be read");
    }
    *out_outcome = u.outcome;
    if (u.outcome.grpc_status != 0 && u.reply != NULL) {
        protobuf_c_message_free_unpacked(u.reply, NULL);
        u.reply = NULL;
    }
    if (u.outcome.grpc_status == 0)
        *out_reply = u.reply;
    return KY_STATUS(u.outcome.code);
}
