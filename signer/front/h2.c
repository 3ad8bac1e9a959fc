/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 by nghttp2: callbacks into calls, and the limits that the library leaves to us. Frames
 * that cost the peer nothing and us something are paid for with tokens; a peer without tokens,
 * with an endless header list or with broken frames is sent away.
 */
#include <string.h>

#include "call.h"

#define TOKENS_MAX   2000u
#define TOKENS_START 1000u
#define TOKEN_US     10000u /* one is earned by waiting so long */
#define TOKENS_PER_FRAME                                                                           \
    4u /* earned by a request, by its data and by a reply; each frame costs one */
#define TOKENS_INVALID_FRAME   50u /* spent by a frame that breaks the rules */
#define RESET_BURST            1000u
#define RESETS_PER_S           200u
#define CONTINUATIONS_MAX      8u
#define STREAM_WINDOW          (256u * 1024u) /* more than the longest message, so that one always fits */
#define OPERATOR_STREAM_WINDOW (512u * 1024u)
#define CONNECTION_WINDOW      (1024 * 1024)
#define POOL_MAX               (4u * 1024u * 1024u)
#define PREFACE                24u /* "PRI * HTTP/2.0 ..." */

static void tokens_earn(struct conn *c, uint32_t n)
{
    c->tokens = c->tokens + n > TOKENS_MAX ? TOKENS_MAX : c->tokens + n;
}

static void tokens_spend(struct conn *c, uint32_t n)
{
    uint64_t now_us = c->front->now_us;
    if (now_us - c->tokens_us >= TOKEN_US) {
        uint64_t earned = (now_us - c->tokens_us) / TOKEN_US;
        tokens_earn(c, earned > TOKENS_MAX ? TOKENS_MAX : (uint32_t)earned);
        c->tokens_us = now_us;
    }
    if (c->tokens < n)
        conn_offend(c, DOOR_EVENT_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM);
    else
        c->tokens -= n;
}

/* Callbacks come in runs for one stream; call_free forgets it. */
static struct call *call_of(struct conn *c, int32_t stream_id)
{
    if (!c->met || c->met->stream_id != stream_id)
        c->met = nghttp2_session_get_stream_user_data(c->h2, stream_id);
    return c->met;
}

static int on_begin_headers(nghttp2_session *s, const nghttp2_frame *frame, void *user)
{
    struct conn *c = user;
    struct call *call;

    if (c->state != CONN_OPEN || frame->hd.type != NGHTTP2_HEADERS ||
        frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    call = call_new(c, frame->hd.stream_id);
    if (!call) /* nothing was begun: the client may send it again elsewhere */
        return nghttp2_submit_rst_stream(s, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                         NGHTTP2_REFUSED_STREAM);
    c->met = call;
    return nghttp2_session_set_stream_user_data(s, frame->hd.stream_id, call);
}

static int on_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    struct conn *c = user;
    struct call *call = call_of(c, frame->hd.stream_id);

    (void)s, (void)flags;
    if (c->state == CONN_OPEN && call &&
        !call_header(call, KY_SPAN(name, name_len), KY_SPAN(value, value_len)))
        conn_offend(c, DOOR_EVENT_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM);
    return 0;
}

static int on_invalid_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name,
                             size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                             void *user)
{
    (void)s, (void)frame, (void)name, (void)name_len, (void)value, (void)value_len, (void)flags;
    tokens_spend(user, TOKENS_INVALID_FRAME);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void on_call_frame(struct conn *c, const nghttp2_frame *frame)
{
    struct call *call = call_of(c, frame->hd.stream_id);
    bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

    if (frame->hd.type == NGHTTP2_HEADERS || frame->hd.length > 0)
        tokens_earn(c, TOKENS_PER_FRAME);
    if (!call || c->state != CONN_OPEN)
        return;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        call_headers_done(call);
    if (end)
        call_end(call);
}

static int on_frame_recv(nghttp2_session *s, const nghttp2_frame *frame, void *user)
{
    struct conn *c = user;

    (void)s;
    c->first_frame = true;
    if (c->state == CONN_OPEN &&
        (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA))
        on_call_frame(c, frame);
    return 0;
}

static int on_invalid_frame_recv(nghttp2_session *s, const nghttp2_frame *frame, int error,
                                 void *user)
{
    struct conn *c = user;
    (void)s, (void)frame, (void)error;
    front_count(c->front, DOOR_EVENT_BAD_FRAME, c->peer, c->spki);
    if (c->state == CONN_OPEN)
        tokens_spend(c, TOKENS_INVALID_FRAME);
    return 0;
}

static int on_data_chunk_recv(nghttp2_session *s, uint8_t flags, int32_t stream_id,
                              const uint8_t *data, size_t len, void *user)
{
    struct conn *c = user;
    struct call *call = call_of(c, stream_id);

    (void)flags;
    /* Held bytes are bounded by call and by front, so the connection's window goes back at once. */
    if (nghttp2_session_consume_connection(s, len) == NGHTTP2_ERR_NOMEM)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (call && c->state == CONN_OPEN)
        call_data(call, data, len);
    else
        (void)nghttp2_session_consume_stream(s, stream_id, len);
    return 0;
}

static int on_stream_close(nghttp2_session *s, int32_t stream_id, uint32_t error, void *user)
{
    struct call *call = call_of(user, stream_id);
    (void)s, (void)error;
    if (call)
        call_free(call);
    return 0;
}

/* The answer is out while the request still comes: say that the rest is not wanted (RFC 9113 s.8.1). */
static int on_frame_send(nghttp2_session *s, const nghttp2_frame *frame, void *user)
{
    struct conn *c = user;
    struct call *call;

    if (frame->hd.type == NGHTTP2_DATA)
        tokens_earn(c, TOKENS_PER_FRAME);
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR &&
        c->state == CONN_OPEN)
        front_count(c->front, /* the library's own verdict; ours is counted in conn_offend */
                    frame->goaway.error_code == NGHTTP2_ENHANCE_YOUR_CALM ? DOOR_EVENT_FLOOD
                                                                          : DOOR_EVENT_BAD_FRAME,
                    c->peer, c->spki);
    if (frame->hd.type == NGHTTP2_HEADERS && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
        (call = call_of(c, frame->hd.stream_id)) && !call->remote_done)
        return nghttp2_submit_rst_stream(s, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                         NGHTTP2_NO_ERROR);
    return 0;
}

static void set_callbacks(nghttp2_session_callbacks *cb)
{
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(cb, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk_recv);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
    nghttp2_session_callbacks_set_send_data_callback(cb, status_send_body);
}

struct ky_status h2_open(struct front *f)
{
    f->h2_pool.keep_max = KY_POOL_KEEP(POOL_MAX);
    if (nghttp2_session_callbacks_new(&f->h2_callbacks) != 0 ||
        nghttp2_option_new(&f->h2_option) != 0)
        return KY_STATUS(KY_NOMEM);
    set_callbacks(f->h2_callbacks);
    nghttp2_option_set_no_auto_window_update(f->h2_option, 1);
    nghttp2_option_set_no_closed_streams(f->h2_option, 1);
    nghttp2_option_set_stream_reset_rate_limit(f->h2_option, RESET_BURST, RESETS_PER_S);
    nghttp2_option_set_max_continuations(f->h2_option, CONTINUATIONS_MAX);
    return KY_STATUS(KY_OK);
}

void h2_close(struct front *f)
{
    nghttp2_session_callbacks_del(f->h2_callbacks);
    nghttp2_option_del(f->h2_option);
    f->h2_callbacks = NULL;
    f->h2_option = NULL;
    ky_pool_wipe(&f->h2_pool);
}

struct ky_status h2_start(struct conn *c)
{
    uint32_t window = c->ssl ? STREAM_WINDOW : OPERATOR_STREAM_WINDOW;
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, c->front->config->doors.max_streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, FRONT_HEADER_LIST_MAX},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 0},
    };
    nghttp2_mem mem = {.mem_user_data = &c->front->h2_pool,
                       .malloc = ky_pool_alloc,
                       .free = ky_pool_free,
                       .calloc = ky_pool_calloc,
                       .realloc = ky_pool_realloc};
    if (nghttp2_session_server_new3(&c->h2, c->front->h2_callbacks, c, c->front->h2_option, &mem) !=
        0)
        return KY_STATUS(KY_NOMEM);
    if (nghttp2_submit_settings(c->h2, NGHTTP2_FLAG_NONE, settings,
                                sizeof(settings) / sizeof(settings[0])) != 0 ||
        nghttp2_session_set_local_window_size(c->h2, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW) != 0)
        return KY_STATUS(KY_NOMEM);
    c->frame_left = PREFACE;
    c->tokens = TOKENS_START;
    c->tokens_us = c->front->now_us;
    return KY_STATUS(KY_OK);
}

static void begin_payload(struct conn *c, const uint8_t length[3])
{
    c->frame_head = 0;
    c->frame_left = (uint32_t)length[0] << 16 | (uint32_t)length[1] << 8 | length[2];
    tokens_spend(c, 1);
}

/* Of a frame's header: all of it when it is there, else byte by byte. Returns how many it took. */
static size_t follow_head(struct conn *c, const uint8_t *p, size_t n)
{
    if (c->frame_head == 0) {
        c->partial_since_us = c->front->now_us;
        if (n >= H2_FRAME_HEAD) {
            begin_payload(c, p);
            return H2_FRAME_HEAD;
        }
    }
    if (c->frame_head < sizeof(c->frame_length))
        c->frame_length[c->frame_head] = *p;
    if (++c->frame_head == H2_FRAME_HEAD)
        begin_payload(c, c->frame_length);
    return 1;
}

/*
 * Follows the frames' boundaries, which nghttp2 does not tell: one that is begun has to be finished in
 * time, and each costs a token, also those that the library passes over in silence.
 */
static void follow_frames(struct conn *c, const uint8_t *p, size_t n)
{
    while (n > 0 && c->state == CONN_OPEN) {
        size_t step;
        if (c->frame_left > 0) {
            step = n < c->frame_left ? n : c->frame_left;
            c->frame_left -= (uint32_t)step;
        } else {
            step = follow_head(c, p, n);
        }
        if (c->frame_head == 0 && c->frame_left == 0)
            c->partial_since_us = 0;
        p += step;
        n -= step;
    }
}

void h2_feed(struct conn *c, const uint8_t *p, size_t n)
{
    ssize_t taken;

    follow_frames(c, p, n);
    c->reading = true;
    taken = nghttp2_session_mem_recv(c->h2, p, n);
    c->reading = false;
    if (taken < 0) {
        enum door_event_kind kind =
            taken == NGHTTP2_ERR_FLOODED ? DOOR_EVENT_FLOOD : DOOR_EVENT_BAD_FRAME;
        front_count(c->front, kind, c->peer, c->spki);
        conn_kill(c);
    }
}

void h2_fill(struct conn *c)
{
    while (c->out.len - c->out_taken < H2_FILL_MAX) {
        const uint8_t *p;
        ssize_t n = nghttp2_session_mem_send(c->h2, &p);
        if (n < 0)
            conn_kill(c);
        if (n <= 0)
            return;
        ky_buf_put(&c->out, p, (size_t)n);
    }
}
