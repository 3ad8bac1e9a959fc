/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP/2 session: opening and closing, nghttp2's callbacks, reading and writing, and
 * waiting on several connections at once.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client_internal.h"
#include "kyso/record.h"

#define READ_CHUNK 16384u /* a TLS record */
#define POOL_MAX   (4u * 1024u * 1024u)
#define OUT_MAX    (1024u * 1024u)
#define OUT_GATHER (64u * 1024u)
#define WINDOW     (4 * 1024 * 1024)
#define POLL_MAX   256u
#define OPEN_US    5000000u

/* Callbacks come in runs for one stream. */
static struct client_call *call_of(struct client *c, int32_t stream_id)
{
    if (c->met == NULL || c->met->stream_id != stream_id)
        c->met = nghttp2_session_get_stream_user_data(c->h2, stream_id);
    return c->met;
}

/* Of up to seven digits; what is no number stays what it was. */
static void set_number(const uint8_t *value, size_t n, int *out)
{
    int v = 0;

    for (size_t i = 0; i < n; i++) {
        if (n > 7 || value[i] < '0' || value[i] > '9')
            return;
        v = v * 10 + (value[i] - '0');
    }
    if (n > 0)
        *out = v;
}

static bool named(const uint8_t *name, size_t n, const char *expected)
{
    return ky_span_eq(KY_SPAN(name, n), ky_span_text(expected));
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    struct client_call *call = call_of(user, frame->hd.stream_id);

    (void)h2;
    (void)flags;
    if (call == NULL)
        return 0;
    if (named(name, name_len, ":status"))
        set_number(value, value_len, &call->http_status);
    else if (named(name, name_len, "grpc-status"))
        set_number(value, value_len, &call->grpc_status);
    else if (named(name, name_len, "grpc-message"))
        client_percent_decode(value, value_len, call->text, sizeof call->text);
    else if (named(name, name_len, "grpc-status-details-bin") &&
             !client_base64(value, value_len, &call->details))
        ky_buf_reset(&call->details);
    return 0;
}

/* Hands out every whole message; false when the stream must end. */
static bool deliver(struct client_call *call)
{
    struct ky_buf *in = &call->in;
    size_t at = 0;

    while (in->len - at >= 5) {
        const uint8_t *p = in->data + at;
        uint32_t n = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];

        if (p[0] != 0 || n > CLIENT_MESSAGE_MAX)
            return false;
        if (in->len - at - 5 < n)
            break;
        if (call->handler.on_message != NULL)
            call->handler.on_message(call->handler.arg, call, KY_SPAN(p + 5, n));
        at += 5 + (size_t)n;
    }
    ky_buf_consume(in, at);
    return true;
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t stream_id, const uint8_t *data,
                   size_t n, void *user)
{
    struct client_call *call = call_of(user, stream_id);

    (void)flags;
    if (call == NULL || call->overlong)
        return 0;
    ky_buf_put(&call->in, data, n);
    if (call->in.failed || !deliver(call)) {
        call->overlong = true;
        (void)nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, stream_id, NGHTTP2_CANCEL);
    }
    return 0;
}

static int on_close(nghttp2_session *h2, int32_t stream_id, uint32_t error, void *user)
{
    struct client_call *call = call_of(user, stream_id);

    (void)h2;
    if (call != NULL)
        client_call_end(call, error);
    return 0;
}

struct ky_status client_session_new(struct client *c)
{
    nghttp2_mem mem = {.mem_user_data = &c->pool,
                       .malloc = ky_pool_alloc,
                       .free = ky_pool_free,
                       .calloc = ky_pool_calloc,
                       .realloc = ky_pool_realloc};
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 16384},
    };
    nghttp2_session_callbacks *cb = NULL;
    int rc = nghttp2_session_callbacks_new(&cb);

    c->pool.keep_max = KY_POOL_KEEP(POOL_MAX);
    if (rc == 0) {
        nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
        nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
        rc = nghttp2_session_client_new3(&c->h2, cb, c, NULL, &mem);
        nghttp2_session_callbacks_del(cb);
    }
    if (rc == 0)
        rc = nghttp2_submit_settings(c->h2, NGHTTP2_FLAG_NONE, settings,
                                     sizeof settings / sizeof settings[0]);
    if (rc == 0)
        rc = nghttp2_session_set_local_window_size(c->h2, NGHTTP2_FLAG_NONE, 0, WINDOW);
    return rc == 0 ? KY_STATUS(KY_OK) : KY_STATUS(KY_NOMEM);
}

/* The connection is over: every call ends now, as told by c->why. */
static void go(struct client *c)
{
    c->gone = true;
    while (c->calls != NULL)
        client_call_end(c->calls, NGHTTP2_NO_ERROR);
}

static void fail_session(struct client *c, int error)
{
    (void)snprintf(c->why, sizeof c->why, "connection lost: %s", nghttp2_strerror(error));
    go(c);
}

/* to_the_end: until nothing is there; else a short read is taken for it, and poll will tell. */
static void read_all(struct client *c, bool to_the_end)
{
    uint8_t chunk[READ_CHUNK];
    size_t n = 0;

    while (!c->gone) {
        enum client_io io = client_read_bytes(c, chunk, sizeof chunk, &n);
        ssize_t taken;

        if (io == CLIENT_IO_AGAIN)
            return;
        if (io == CLIENT_IO_GONE) {
            go(c);
            return;
        }
        taken = nghttp2_session_mem_recv(c->h2, chunk, n);
        if (taken < 0)
            fail_session(c, (int)taken);
        if (!to_the_end && n < sizeof chunk && !client_has_bytes(c))
            return;
    }
}

static bool gather(struct client *c)
{
    while (c->out.len < OUT_GATHER) {
        const uint8_t *p = NULL;
        ssize_t n = nghttp2_session_mem_send(c->h2, &p);

        if (n < 0) {
            fail_session(c, (int)n);
            return false;
        }
        if (n == 0)
            break;
        ky_buf_put(&c->out, p, (size_t)n);
    }
    return c->out.len > 0;
}

static void write_all(struct client *c)
{
    while (!c->gone && (c->out.len > 0 || gather(c))) {
        size_t n = 0;
        enum client_io io =
            client_write_bytes(c, c->out.data + c->out_written, c->out.len - c->out_written, &n);

        if (io == CLIENT_IO_AGAIN)
            return;
        if (io == CLIENT_IO_GONE) {
            /*
             * What the server said before it closed (a status, a TLS alert) tells more than EPIPE
             * does.
             */
            read_all(c, true);
            if (!c->gone)
                go(c);
            return;
        }
        c->out_written += n;
        if (c->out_written == c->out.len) {
            ky_buf_reset(&c->out);
            c->out_written = 0;
        }
    }
}

/* Is the way free for HTTP/2? */
static bool is_through(struct client *c)
{
    if (c->gone || c->opening == 0)
        return !c->gone;
    if (!ky_ok(client_shake_hands(c, &c->opening))) {
        go(c);
    } else if (c->opening != 0 && ky_now_us() >= c->open_until_us) {
        (void)snprintf(c->why, sizeof c->why, "%s: connecting took too long", c->authority);
        go(c);
    }
    return !c->gone && c->opening == 0;
}

struct ky_status client_drive(struct client *c)
{
    if (is_through(c))
        read_all(c, false);
    if (!c->gone && c->first_deadline_us != 0)
        client_expire(c, ky_now_us());
    if (!c->gone && c->opening == 0)
        write_all(c);
    if (!c->gone && !nghttp2_session_want_read(c->h2) && !nghttp2_session_want_write(c->h2)) {
        (void)snprintf(c->why, sizeof c->why, "connection lost: the server said goodbye");
        go(c);
    }
    return c->gone ? KY_STATUS(KY_UNAVAILABLE) : KY_STATUS(KY_OK);
}

int client_fd(const struct client *c)
{
    return c->fd;
}

short client_events(const struct client *c)
{
    if (c->opening != 0)
        return c->opening;
    bool write = c->out.len > 0 || c->read_wants_write || nghttp2_session_want_write(c->h2) != 0;

    return (short)(POLLIN | (write ? POLLOUT : 0));
}

uint64_t client_deadline_us(const struct client *c)
{
    if (c->opening == 0 || (c->first_deadline_us != 0 && c->first_deadline_us < c->open_until_us))
        return c->first_deadline_us;
    return c->open_until_us;
}

bool client_is_open(const struct client *c)
{
    return !c->gone && nghttp2_session_check_request_allowed(c->h2) != 0;
}

size_t client_in_flight(const struct client *c)
{
    return c->in_flight;
}

static int wait_ms(struct client *const *clients, size_t n, int timeout_ms)
{
    uint64_t now = ky_now_us();
    int wait = timeout_ms;

    for (size_t i = 0; i < n; i++) {
        uint64_t due = client_deadline_us(clients[i]);
        int ms;

        if (clients[i]->gone || due == 0)
            continue;
        ms = due <= now ? 0 : due - now > 60000000u ? 60000 : (int)((due - now) / 1000u) + 1;
        if (wait < 0 || ms < wait)
            wait = ms;
    }
    return wait;
}

struct ky_status client_poll(struct client *const *clients, size_t n, int timeout_ms)
{
    struct pollfd fds[POLL_MAX];
    bool any = false;

    if (n > POLL_MAX)
        return KY_STATUS(KY_INVALID);
    for (size_t i = 0; i < n; i++) {
        if (!clients[i]->gone && clients[i]->opening == 0)
            write_all(clients[i]);
        fds[i] = (struct pollfd){.fd = clients[i]->gone ? -1 : clients[i]->fd,
                                 .events = client_events(clients[i])};
        any = any || !clients[i]->gone;
    }
    if (any)
        (void)poll(fds, (nfds_t)n,
                   wait_ms(clients, n, timeout_ms)); /* EINTR: drive and come back */
    any = false;
    for (size_t i = 0; i < n; i++)
        any = ky_ok(client_drive(clients[i])) || any;
    return any ? KY_STATUS(KY_OK) : KY_STATUS(KY_UNAVAILABLE);
}

struct ky_status client_open(const struct client_target *target, uint64_t timeout_us,
                             struct client **out_client, char *out_why)
{
    struct client *c = calloc(1, sizeof *c);
    struct ky_status st;

    out_why[0] = '\0';
    if (c == NULL)
        return KY_STATUS(KY_NOMEM);
    c->fd = -1;
    c->out = KY_BUF_INIT(OUT_MAX);
    c->open_until_us = ky_now_us() + (timeout_us != 0 ? timeout_us : OPEN_US);
    st = client_connect(c, target, timeout_us != 0 ? c->open_until_us : 0);
    if (ky_ok(st))
        st = client_session_new(c);
    if (!ky_ok(st)) {
        (void)snprintf(out_why, CLIENT_TEXT_MAX, "%s", c->why);
        c->gone = true;
        client_close(&c);
        return st;
    }
    *out_client = c;
    return st;
}

void client_close(struct client **client)
{
    struct client *c = *client;

    if (c == NULL)
        return;
    *client = NULL;
    c->closing = true;
    while (c->calls != NULL)
        client_call_end(c->calls, NGHTTP2_CANCEL);
    if (c->h2 != NULL && !c->gone && c->opening == 0) {
        (void)nghttp2_session_terminate_session(c->h2, NGHTTP2_NO_ERROR);
        write_all(c);
    }
    nghttp2_session_del(c->h2);
    client_free_spares(c);
    ky_pool_wipe(&c->pool);
    client_disconnect(c);
    ky_buf_free(&c->out);
    free(c);
}
