/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole front but for TLS, sockets and its loop: HTTP/2 bytes in, records out, a played
 * authority's records back. Input: the door, then steps (the table below): raw bytes, whole gRPC
 * requests, answers, time. Whatever comes, the records that leave can be read, a connection's end
 * leaves nothing behind, and memory stays within 256 KiB a call (P14).
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "all_schemas.h"
#include "call.h"
#include "fuzz.h"
#include "kyso/control.h"
#include "log.h"
#include "requests.h"

#define ASKED_MAX     64u
#define CONN_HEAP_MAX (1024u * 1024u) /* output and HTTP/2 state of one connection */
#define PREFACE       "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

enum { FD_FAR = 100, FD_CONN }; /* beside KY_CHANNEL_FD: numbers, for nothing is opened */

struct stage {
    struct front front;
    struct config config;
    struct ky_channel far;             /* the authority's end */
    struct ky_buf to_front, from_front; /* what is under way between the two */
    struct conn *conn;                 /* borrowed from the front; it may be gone */
    int32_t next_stream;
    struct ky_buf bytes; /* what is being made for the front */
    uint64_t asked[ASKED_MAX];
    size_t asked_count;
    uint32_t calls_most;
    size_t heap;
};
static struct stage *stage;

/* --- the system, played: sockets in memory, no events, no log -------------------------------- */

ssize_t __wrap_send(int fd, const void *p, size_t n, int flags);
ssize_t __wrap_send(int fd, const void *p, size_t n, int flags)
{
    (void)flags;
    if (fd == KY_CHANNEL_FD)
        ky_buf_put(&stage->from_front, p, n);
    return (ssize_t)n; /* a client reads everything at once */
}

ssize_t __wrap_read(int fd, void *to, size_t room);
ssize_t __wrap_read(int fd, void *to, size_t room)
{
    struct ky_buf *b = fd == FD_FAR ? &stage->from_front : &stage->to_front;
    size_t n = b->len < room ? b->len : room;

    if (n == 0) {
        errno = EAGAIN;
        return -1;
    }
    memcpy(to, b->data, n);
    ky_buf_consume(b, n);
    return (ssize_t)n;
}

int __wrap_close(int fd);
int __wrap_close(int fd)
{
    FUZZ_CHECK(fd == FD_CONN);
    return 0;
}

int __wrap_event_add(struct event *e, const struct timeval *t);
int __wrap_event_add(struct event *e, const struct timeval *t)
{
    (void)e, (void)t;
    return 0;
}

int __wrap_event_del(struct event *e);
int __wrap_event_del(struct event *e)
{
    (void)e;
    return 0;
}

int __wrap_evutil_make_socket_nonblocking(evutil_socket_t fd);
int __wrap_evutil_make_socket_nonblocking(evutil_socket_t fd)
{
    (void)fd;
    return 0;
}

void __wrap_log_emit(enum log_level level, const char *event, const struct log_pair *pairs, int n);
void __wrap_log_emit(enum log_level level, const char *event, const struct log_pair *pairs, int n)
{
    (void)level, (void)event, (void)pairs, (void)n;
}

/* A front as the operators' door opens it: no TLS. */
static void stage_open(void)
{
    struct stage *s = stage = calloc(1, sizeof(*s));

    FUZZ_CHECK(s != NULL);
    s->to_front = s->from_front = s->bytes = KY_BUF_INIT(4u * 1024u * 1024u);
    s->config.limits.queue = 64;
    s->config.limits.per_client = 64;
    s->config.limits.heartbeat_ms = 60000;
    s->config.doors.max_connections = 8;
    s->config.doors.max_streams = 256;
    s->config.doors.max_connection_age_s = 3600;
    ky_channel_init(&s->far, FD_FAR, KY_RECORD_MAX);
    FUZZ_CHECK(ky_ok(front_open(&s->front, &s->config, KY_DOOR_OPERATOR, 0)));
}

static bool alive(const struct stage *s)
{
    return TAILQ_FIRST(&s->front.conns) == s->conn;
}

/* What the loop does after each round; conn_flush may free the connection. */
static void flush(struct stage *s)
{
    struct conn *c;

    while ((c = TAILQ_FIRST(&s->front.dirty))) {
        TAILQ_REMOVE(&s->front.dirty, c, dirty_link);
        c->dirty = false;
        conn_flush(c);
    }
    link_flush(&s->front);
}

/* Everything that a front sends is a record that an authority can read. */
static void take_records(struct stage *s)
{
    static _Alignas(max_align_t) uint8_t msg[1024];
    struct ky_record rec;
    struct ky_status st = KY_STATUS(KY_OK);

    FUZZ_CHECK(ky_ok(ky_channel_read(&s->far)));
    while (ky_channel_next(&s->far, &rec, &st)) {
        const struct ky_schema *schema = NULL;

        for (size_t i = 0; i < FUZZ_COUNT(door_schemas); i++)
            if (door_schemas[i]->type == rec.type)
                schema = door_schemas[i];
        FUZZ_CHECK(schema != NULL && ky_ok(ky_msg_decode(schema, rec.payload, msg)));
        if (rec.type < DOOR_CANCEL && s->asked_count < ASKED_MAX)
            s->asked[s->asked_count++] = rec.tag;
    }
    FUZZ_CHECK(ky_ok(st));
    ky_channel_drop(&s->far);
}

static void feed(struct stage *s)
{
    if (alive(s) && s->conn->state == CONN_OPEN && !conn_backlogged(s->conn))
        h2_feed(s->conn, s->bytes.data, s->bytes.len);
    ky_buf_reset(&s->bytes);
    if (s->front.call_count > s->calls_most)
        s->calls_most = s->front.call_count;
    FUZZ_CHECK(fuzz_heap() <= s->heap + CONN_HEAP_MAX + s->calls_most * KY_ARENA_MAX);
    FUZZ_CHECK(s->front.request_arena.used == 0 && s->front.request_scratch.len == 0);
}

/* --- steps ------------------------------------------------------------------------------------ */

static void frame(struct stage *s, size_t len, uint8_t type, uint8_t flags, int32_t stream)
{
    const uint8_t head[9] = {(uint8_t)(len >> 16),
                             (uint8_t)(len >> 8),
                             (uint8_t)len,
                             type,
                             flags,
                             (uint8_t)(stream >> 24),
                             (uint8_t)(stream >> 16),
                             (uint8_t)(stream >> 8),
                             (uint8_t)stream};
    ky_buf_put(&s->bytes, head, sizeof(head));
}

static void step_raw(struct stage *s, struct ky_reader *r)
{
    struct ky_span p = fuzz_piece(r);

    ky_buf_put(&s->bytes, p.data, p.len);
    feed(s);
}

/* DATA on this stream, in frames of at most 16 KiB; whole: the bytes are one gRPC message. */
static void data(struct stage *s, int32_t stream, struct ky_span body, bool whole, bool end)
{
    struct ky_buf all = KY_BUF_INIT(body.len + 5);
    size_t at = 0;

    if (whole) {
        const uint8_t prefix[5] = {0, 0, (uint8_t)(body.len >> 16), (uint8_t)(body.len >> 8),
                                   (uint8_t)body.len};
        ky_buf_put(&all, prefix, sizeof(prefix));
    }
    ky_buf_put(&all, body.data, body.len);
    do {
        size_t len = all.len - at < 16384 ? all.len - at : 16384;

        frame(s, len, NGHTTP2_DATA, end && at + len == all.len ? NGHTTP2_FLAG_END_STREAM : 0,
              stream);
        if (len > 0)
            ky_buf_put(&s->bytes, all.data + at, len);
        at += len;
    } while (at < all.len);
    ky_buf_free(&all);
}

static void header(struct ky_buf *b, const char *first, struct ky_span value)
{
    uint8_t len = (uint8_t)(value.len < 127 ? value.len : 126);

    ky_buf_put(b, first, strlen(first));
    ky_buf_put(b, &len, 1);
    ky_buf_put(b, value.data, len);
}

/* Method, flags, body: HEADERS and DATA of one call. */
static void step_call(struct stage *s, struct ky_reader *r)
{
    const char *path = fuzz_requests[ky_get_u8(r) % FUZZ_COUNT(fuzz_requests)].path;
    uint8_t flags = ky_get_u8(r);
    struct ky_span timeout = (flags & 4) != 0 ? fuzz_piece(r) : KY_SPAN(NULL, 0);
    struct ky_span body = fuzz_piece(r);
    struct ky_buf block = KY_BUF_INIT(4096);

    ky_buf_put(&block, "\x83\x86", 2); /* POST, http */
    header(&block, "\x04", ky_span_text(path));
    header(&block, "\x01", ky_span_text("kyso")); /* :authority */
    header(&block, "\x0f\x10", ky_span_text("application/grpc"));
    if (timeout.len > 0) {
        ky_buf_put(&block, "\0\x0cgrpc-timeout", 14);
        header(&block, "", timeout);
    }
    frame(s, block.len, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, s->next_stream);
    ky_buf_put(&s->bytes, block.data, block.len);
    ky_buf_free(&block);
    data(s, s->next_stream, body, (flags & 1) == 0, (flags & 2) == 0);
    s->next_stream += 2;
    feed(s);
}

/* More of a call that is open. */
static void step_data(struct stage *s, struct ky_reader *r)
{
    uint8_t back = ky_get_u8(r), flags = ky_get_u8(r);

    data(s, s->next_stream - 2 * (int32_t)(1 + back % 8), fuzz_piece(r), (flags & 1) == 0,
         (flags & 2) == 0);
    feed(s);
}

static void step_reset(struct stage *s, struct ky_reader *r)
{
    const uint8_t cancel[4] = {0, 0, 0, NGHTTP2_CANCEL};

    frame(s, sizeof(cancel), NGHTTP2_RST_STREAM, 0,
          s->next_stream - 2 * (int32_t)(1 + ky_get_u8(r) % 8));
    ky_buf_put(&s->bytes, cancel, sizeof(cancel));
    feed(s);
}

/* The authority says something: to a request that it has, or to none. */
static void step_answer(struct stage *s, struct ky_reader *r)
{
    uint8_t which = ky_get_u8(r);
    uint16_t type = (uint16_t)(DOOR_REFUSED + ky_get_u8(r) % 48);
    struct ky_span payload = fuzz_piece(r);
    uint64_t tag = s->asked_count > 0 ? s->asked[which % s->asked_count] : which;

    flush(s);
    take_records(s);
    /* flags: a malformed record */
    fuzz_put_record(&s->to_front, type, which == 0xff, tag, payload);
    event_get_callback(&s->front.link.readable)(KY_CHANNEL_FD, EV_READ, &s->front);
    FUZZ_CHECK(s->front.reply_arena.used == 0 && s->front.reply_scratch.len == 0);
}

/* Time goes by: deadlines, patience, the heartbeat's age. */
static void step_time(struct stage *s, struct ky_reader *r)
{
    struct front *f = &s->front;
    struct call *call;

    f->now_us += (uint64_t)ky_get_u16(r) * 1000u;
    link_tick(f, f->now_us);
    TAILQ_FOREACH(call, &f->calls, all)
    call_tick(call, f->now_us);
    if (alive(s))
        conn_tick(s->conn, f->now_us, (int64_t)(f->now_us / 1000000u));
}

static void step_flush(struct stage *s, struct ky_reader *r)
{
    (void)r;
    flush(s);
    take_records(s);
}

static void step_goaway(struct stage *s, struct ky_reader *r)
{
    bool final = ky_get_u8(r) & 1;

    if (alive(s))
        conn_goaway(s->conn, final);
}

/* --- one connection -------------------------------------------------------------------------- */

static void begin(struct stage *s, uint8_t how)
{
    static const uint8_t settings[9] = {0, 0, 0, NGHTTP2_SETTINGS};
    struct front *f = &s->front;

    front_clock(f);
    f->door = (enum ky_door)(KY_DOOR_SIGNER + how % 3);
    f->message_max =
        f->door == KY_DOOR_OPERATOR ? FRONT_OPERATOR_MESSAGE_MAX : FRONT_MESSAGE_MAX;
    f->link.heartbeat_us = f->now_us;
    f->link.serving = (how & 0x40) == 0;
    f->reflections = 0;
    s->heap = fuzz_heap();
    conn_accept(f, FD_CONN, "fuzz", 0);
    s->conn = TAILQ_FIRST(&f->conns);
    s->next_stream = 1;
    s->asked_count = s->calls_most = 0;
    if ((how & 0x80) == 0) {
        ky_buf_put(&s->bytes, PREFACE, sizeof(PREFACE) - 1);
        ky_buf_put(&s->bytes, settings, sizeof(settings));
        feed(s);
    }
}

static void mend_link(struct front *f)
{
    f->link.lost = false;
    ky_buf_reset(&f->link.channel.in);
    f->link.channel.taken = 0;
}

static void end(struct stage *s)
{
    static const struct identity_list nobody[FRONT_IDENTITIES];
    struct front *f = &s->front;

    flush(s);
    if (alive(s) && s->conn != NULL)
        conn_free(s->conn);
    FUZZ_CHECK(f->conn_count == 0 && f->call_count == 0 && TAILQ_EMPTY(&f->dirty));
    FUZZ_CHECK(f->buffered == 0 && f->link.used == 0 && TAILQ_EMPTY(&f->link.waiting));
    FUZZ_CHECK(memcmp(f->identities, nobody, sizeof(nobody)) == 0);
    mend_link(f);
    link_flush(f);
    take_records(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const steps[])(struct stage *, struct ky_reader *) = {
        step_raw,   step_call, step_data,  step_reset,
        step_answer, step_time, step_flush, step_goaway,
    };
    struct ky_reader r = ky_reader(KY_SPAN(data, size));

    if (stage == NULL)
        stage_open();
    begin(stage, ky_get_u8(&r));
    while (!r.failed && r.left > 0)
        steps[ky_get_u8(&r) % FUZZ_COUNT(steps)](stage, &r);
    end(stage);
    return 0;
}
