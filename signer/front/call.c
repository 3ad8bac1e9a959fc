/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the first DATA to the trailers. The memory of requests is bounded per call, per connection and per
 * front, and wiped when they were taken: codes and SADs pass through it.
 */
#include "call.h"

#include <stdlib.h>
#include <string.h>

#include "kyso/secret.h"
#include "method.h"

#define GRPC_PREFIX      5u
#define KEEP_BUFFER_MAX  8192u
#define KEEP_STREAM_MAX  (64u * 1024u)
#define LARGE_SHARE      8u /* less than this part of a buffer does not need it */
#define SPARE_CALLS_MAX  1024u
#define FINISHED_STALLS  2u /* how often front_patience.stall_us a status may lie here */
#define UNARY_OUTPUT_MAX (1024u * 1024u)

static struct call *take_spare(struct front *f)
{
    struct call *call = TAILQ_FIRST(&f->spare_calls);
    struct ky_buf in, out;

    if (!call)
        return calloc(1, sizeof(*call));
    TAILQ_REMOVE(&f->spare_calls, call, all);
    f->spare_count--;
    in = call->in;
    out = call->out;
    memset(call, 0, sizeof(*call));
    call->in = in;
    call->out = out;
    return call;
}

void call_due(struct call *call, uint64_t due_us)
{
    struct front *f = call->conn->front;
    if (due_us < f->calls_due_us)
        f->calls_due_us = due_us;
}

void call_set_finished(struct call *call)
{
    struct front *f = call->conn->front;
    call->finished = true;
    call->finished_us = f->now_us;
    call_due(call, call->finished_us + FINISHED_STALLS * f->patience.stall_us);
}

struct call *call_new(struct conn *c, int32_t stream_id)
{
    struct front *f = c->front;
    struct call *call;

    if (f->call_count >= f->call_max || !identity_may_call(c) || !(call = take_spare(f)))
        return NULL;
    call->conn = c;
    call->stream_id = stream_id;
    call->in.max = GRPC_PREFIX + f->message_max;
    call->out.max = UNARY_OUTPUT_MAX;
    call->deadline_us = f->now_us + f->patience.frame_us; /* for the headers */
    call_due(call, call->deadline_us);
    LIST_INIT(&call->slots);
    TAILQ_INSERT_TAIL(&f->calls, call, all);
    LIST_INSERT_HEAD(&c->calls, call, of_conn);
    f->call_count++;
    c->call_count++;
    c->identity->calls++;
    return call;
}

static void wipe_buffer(struct ky_buf *b)
{
    if (b->cap > KEEP_BUFFER_MAX) {
        ky_buf_free(b);
    } else if (b->len > 0) {
        ky_wipe(b->data, b->len);
        ky_buf_reset(b);
    }
}

/*
 * A busy stream fills and empties its buffer at every read. One such buffer waits here for whoever
 * needs it next: it spares the growing, and no idle stream holds one.
 */
static void give_large(struct front *f, struct ky_buf *b)
{
    if (b->cap > f->large.cap && b->cap <= KEEP_STREAM_MAX) {
        struct ky_buf smaller = f->large;

        ky_buf_reset(b);
        f->large = *b;
        smaller.max = b->max;
        *b = smaller;
    }
    ky_buf_free(b);
}

/* Only for what fills a good part of it: the next may have to grow one of its own. */
static void take_large(struct front *f, struct ky_buf *b, size_t n)
{
    struct ky_buf large = f->large;

    if (large.cap == 0 || large.cap <= b->cap || large.cap > b->max || b->len + n > large.cap ||
        b->len + n < large.cap / LARGE_SHARE)
        return;
    large.max = b->max;
    ky_buf_put(&large, b->data, b->len);
    ky_buf_free(b);
    *b = large;
    f->large = KY_BUF_INIT(0);
}

/* A large buffer for little that is left of it; without memory it stays where it is. */
static void shrink(struct front *f, struct ky_buf *b)
{
    struct ky_buf small = KY_BUF_INIT(b->max);

    if (b->cap <= KEEP_BUFFER_MAX || b->len >= b->cap / LARGE_SHARE)
        return;
    ky_buf_put(&small, b->data, b->len);
    if (small.len != b->len)
        return;
    give_large(f, b);
    *b = small;
}

/* Counted is what a call's request keeps from others, not how far it is filled. */
static size_t held(const struct call *call)
{
    return call->in.len > 0 ? call->in.cap : 0;
}

static void count_held(struct call *call, size_t before)
{
    struct conn *c = call->conn;
    size_t now = held(call);

    c->buffered += now - before;
    c->identity->buffered += now - before;
    c->front->buffered += now - before;
}

void call_drop_input(struct call *call, size_t n)
{
    size_t before = held(call);

    ky_buf_consume(&call->in, n); /* wipes what it moves away from */
    shrink(call->conn->front, &call->in);
    count_held(call, before);
}

static void release_slots(struct call *call, bool tell)
{
    struct slot *s;
    while ((s = LIST_FIRST(&call->slots)))
        link_release(call->conn->front, s, tell);
}

void call_free(struct call *call)
{
    struct conn *c = call->conn;
    struct front *f = c->front;

    call->finished = true; /* so that no stream takes more */
    release_slots(call, true);
    call_drop_input(call, call->in.len);
    c->queued -= call->out.len - call->out_taken;
    wipe_buffer(&call->out);
    if (c->met == call)
        c->met = NULL;
    LIST_REMOVE(call, of_conn);
    TAILQ_REMOVE(&f->calls, call, all);
    c->call_count--;
    f->call_count--;
    c->identity->calls--;
    if (f->spare_count < SPARE_CALLS_MAX) {
        TAILQ_INSERT_HEAD(&f->spare_calls, call, all);
        f->spare_count++;
    } else {
        ky_buf_free(&call->in);
        ky_buf_free(&call->out);
        free(call);
    }
}

static void refuse_message(struct call *call, enum ky_code code, const char *why)
{
    struct conn *c = call->conn;
    front_count(c->front, DOOR_EVENT_BAD_MESSAGE, c->peer, c->spki);
    call_finish(call, code, 0, code == KY_INVALID ? why : NULL);
}

/* A unary request as far as it has come: what can never become one is refused at once. */
static void check_early(struct call *call)
{
    struct ky_span message;
    size_t offset = 0;
    struct ky_status st =
        ky_grpc_next(ky_buf_span(&call->in), &offset, call->conn->front->message_max, &message);
    if (!ky_ok(st) && st.code != KY_BUSY)
        refuse_message(call, st.code, "message: longer than this door takes");
}

void call_data(struct call *call, const uint8_t *p, size_t n)
{
    struct conn *c = call->conn;
    struct front *f = c->front;
    size_t before = held(call);
    bool stream = call->method && method_is_stream(call->method);

    /* A unary request ends within its stream's window; what is given back only lets one go on. */
    if (call->finished || !call->method) {
        (void)nghttp2_session_consume_stream(c->h2, call->stream_id, n);
        return;
    }
    if (f->buffered + n > FRONT_BUFFERED_MAX || c->buffered + n > FRONT_CONN_BUFFERED_MAX ||
        !identity_may_hold(c, n)) {
        call_finish(call, KY_BUSY, FRONT_RETRY_AFTER_MS, NULL);
        return;
    }
    take_large(f, &call->in, n);
    ky_buf_put(&call->in, p, n);
    count_held(call, before);
    if (call->in.failed) {
        call->in.failed = false;
        refuse_message(call, KY_INVALID, "message: longer than this door takes");
        return;
    }
    if (stream)
        stream_advance(call);
    else
        check_early(call);
}

static void submit_unary(struct call *call, struct ky_span message)
{
    char request_id[KY_NAME_MAX + 1];
    const char *why = NULL;
    struct ky_status st;

    if (call->conn->queued > FRONT_BACKLOG_MAX)
        st = KY_STATUS(KY_BUSY);
    else
        st = call_submit(call, message, &why, request_id);
    if (ky_ok(st))
        return;
    call_finish(call, st.code, st.code == KY_INVALID ? 0 : FRONT_RETRY_AFTER_MS, why);
}

void call_end(struct call *call)
{
    struct ky_span message;
    size_t offset = 0;
    struct ky_status st;

    call->remote_done = true;
    if (call->finished || !call->method)
        return;
    if (method_is_stream(call->method)) {
        stream_advance(call);
        return;
    }
    st = ky_grpc_next(ky_buf_span(&call->in), &offset, call->conn->front->message_max, &message);
    if (!ky_ok(st) || offset != call->in.len) {
        refuse_message(call, ky_ok(st) || st.code == KY_BUSY ? KY_INVALID : st.code,
                       "message: exactly one whole message is needed");
        return;
    }
    if (call->method->kind == METHOD_HEALTH_CHECK)
        health_check(call, message);
    else if (call->method->kind == METHOD_HEALTH_WATCH)
        health_watch(call, message);
    else
        submit_unary(call, message);
    call_drop_input(call, call->in.len);
}

static void send_reply(struct call *call, size_t before)
{
    struct conn *c = call->conn;
    size_t n = call->out.len - before;

    if (call->out.failed) {
        call->out.len = before; /* a head without its message */
        call->out.failed = false;
        call_finish(call, KY_INTERNAL, 0, NULL);
        return;
    }
    if (c->queued == 0)
        c->body_us = c->front->now_us;
    c->queued += n;
    if (call->method->kind == METHOD_UNARY || call->method->kind == METHOD_HEALTH_CHECK)
        call_set_finished(call);
    if (!call->started) {
        call->started = true;
        if (status_submit_headers(call) != 0)
            conn_kill(c);
    } else if (call->deferred) {
        call->deferred = false;
        if (nghttp2_session_resume_data(c->h2, call->stream_id) == NGHTTP2_ERR_NOMEM)
            conn_kill(c);
    }
    conn_touch(c);
}

void call_reply(struct call *call, const ProtobufCMessage *message)
{
    size_t before = call->out.len;
    struct ky_status st;

    if (call->finished)
        return;
    st = ky_grpc_frame(message, &call->out);
    if (!ky_ok(st))
        call->out.failed = true;
    send_reply(call, before);
}

void call_reply_raw(struct call *call, struct ky_span message)
{
    size_t before = call->out.len;
    uint8_t head[GRPC_PREFIX] = {0, (uint8_t)(message.len >> 24), (uint8_t)(message.len >> 16),
                                 (uint8_t)(message.len >> 8), (uint8_t)message.len};
    if (call->finished)
        return;
    ky_buf_put(&call->out, head, sizeof(head));
    ky_buf_put(&call->out, message.data, message.len);
    send_reply(call, before);
}

void call_finish(struct call *call, enum ky_code code, uint32_t retry_after_ms, const char *why)
{
    struct conn *c = call->conn;
    int error = 0;

    if (call->finished)
        return;
    call_set_finished(call);
    call->code = code;
    call->retry_after_ms = retry_after_ms;
    call->why = why;
    release_slots(call, true);
    if (!call->advancing)
        call_drop_input(call, call->in.len);
    if (!call->started) {
        error = status_submit_trailers_only(call);
    } else if (call->deferred) {
        call->deferred = false;
        error = nghttp2_session_resume_data(c->h2, call->stream_id);
    }
    if (error == NGHTTP2_ERR_NOMEM)
        conn_kill(c);
    conn_touch(c);
}

void call_tick(struct call *call, uint64_t now_us)
{
    struct conn *c = call->conn;
    uint64_t due_us = call->deadline_us;

    if (call->finished && call->finished_us)
        due_us = call->finished_us + FINISHED_STALLS * c->front->patience.stall_us;
    if (due_us && now_us < due_us) {
        call_due(call, due_us);
    } else if (due_us && (call->finished || !call->method)) {
        /* A status that the peer will not fetch, however busy it looks; a header list without an end. */
        conn_offend(c, DOOR_EVENT_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM);
    } else if (due_us) {
        call_finish(call, KY_DEADLINE, 0, NULL);
    }
    if (!call->finished && call->method && call->method->kind == METHOD_HEALTH_WATCH)
        health_tick(call);
}
