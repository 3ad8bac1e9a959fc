/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection's bytes: read what is there (bounded, for fairness), write once per loop iteration,
 * stop reading from a peer that does not read, close one that is too slow.
 */
#include "conn.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "call.h"
#include "kyso/secret.h"

#define READS_PER_TURN 8u
#define FILLS_PER_TURN                                                                             \
    16u /* of h2_fill: a peer that takes whatever it gets leaves the others a turn */
#define OUT_MAX (256u * 1024u) /* h2_fill stops at a quarter; one HTTP/2 frame may follow */

enum io { IO_OK, IO_AGAIN, IO_END };

void conn_touch(struct conn *c)
{
    if (c->dirty)
        return;
    c->dirty = true;
    TAILQ_INSERT_TAIL(&c->front->dirty, c, dirty_link);
}

void conn_kill(struct conn *c)
{
    c->state = CONN_DEAD;
    conn_touch(c);
}

void conn_offend(struct conn *c, enum door_event_kind kind, uint32_t h2_error)
{
    if (c->state >= CONN_CLOSING)
        return;
    front_count(c->front, kind, c->peer, c->spki);
    if (!c->h2 || nghttp2_session_terminate_session(c->h2, h2_error) != 0) {
        conn_kill(c);
        return;
    }
    c->state = CONN_CLOSING;
    c->written_us = c->front->now_us;
    conn_touch(c);
}

void conn_goaway(struct conn *c, bool final)
{
    if (c->state == CONN_HANDSHAKE) {
        conn_kill(c);
        return;
    }
    if (c->state != CONN_OPEN)
        return;
    c->goaway = true;
    if (!final)
        (void)nghttp2_submit_shutdown_notice(c->h2);
    else
        (void)nghttp2_submit_goaway(c->h2, NGHTTP2_FLAG_NONE,
                                    nghttp2_session_get_last_proc_stream_id(c->h2),
                                    NGHTTP2_NO_ERROR, NULL, 0);
    conn_touch(c);
}

bool conn_backlogged(const struct conn *c)
{
    size_t unsent = c->out.len - c->out_taken;
    return unsent > 0 && unsent + c->queued > FRONT_BACKLOG_MAX;
}

static enum io tls_io(struct conn *c, int result)
{
    int why = SSL_get_error(c->ssl, result);
    if (why == SSL_ERROR_WANT_READ)
        return IO_AGAIN;
    if (why == SSL_ERROR_WANT_WRITE) {
        c->wants_write = true;
        return IO_AGAIN;
    }
    return IO_END; /* an unclean end of TLS is common and carries no data that we would miss */
}

static enum io read_some(struct conn *c, uint8_t *buf, size_t room, size_t *out_n)
{
    ssize_t n;
    if (c->ssl) {
        int got;
        ERR_clear_error();
        got = SSL_read(c->ssl, buf, (int)room);
        if (got <= 0)
            return tls_io(c, got);
        *out_n = (size_t)got;
        return IO_OK;
    }
    n = recv(c->fd, buf, room, 0);
    if (n > 0) {
        *out_n = (size_t)n;
        return IO_OK;
    }
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? IO_AGAIN : IO_END;
}

static enum io write_some(struct conn *c, const uint8_t *p, size_t len, size_t *out_n)
{
    ssize_t n;
    if (c->ssl) {
        int put;
        ERR_clear_error();
        put = SSL_write(c->ssl, p, (int)len);
        if (put <= 0)
            return tls_io(c, put);
        *out_n = (size_t)put;
        return IO_OK;
    }
    n = send(c->fd, p, len, MSG_NOSIGNAL);
    if (n >= 0) {
        *out_n = (size_t)n;
        return IO_OK;
    }
    if (errno != EAGAIN && errno != EINTR)
        return IO_END;
    c->wants_write = true;
    return IO_AGAIN;
}

static void handshake(struct conn *c)
{
    bool wants_write = false;
    struct ky_status st = tls_handshake(c, &wants_write);

    if (wants_write)
        (void)event_add(&c->writable, NULL);
    if (st.code == KY_BUSY)
        return;
    if (!ky_ok(st) || !identity_take(c) || !ky_ok(h2_start(c))) {
        conn_kill(c);
        return;
    }
    c->state = CONN_OPEN;
    c->open_us = c->front->now_us;
    conn_touch(c);
}

static void on_end(struct conn *c)
{
    if (c->partial_since_us != 0) /* item 2: cut off inside a frame */
        front_count(c->front, DOOR_EVENT_BAD_FRAME, c->peer, c->spki);
    conn_kill(c);
}

static void put_aside(struct conn *c)
{
    if (c->again)
        return;
    c->again = true;
    TAILQ_INSERT_TAIL(&c->front->again, c, again_link);
}

/*
 * Has a read of n bytes most likely emptied the socket? Under TLS a short record with nothing behind
 * it in OpenSSL's buffer is the last one of what the peer wrote.
 */
static bool is_drained(const struct conn *c, size_t n)
{
    return c->ssl ? n < SSL3_RT_MAX_PLAIN_LENGTH && !SSL_has_pending(c->ssl) : n < FRONT_READ_CHUNK;
}

void conn_read(struct conn *c)
{
    struct front *f = c->front;

    front_clock(f);
    if (c->state == CONN_HANDSHAKE)
        handshake(c);
    for (unsigned i = 0; c->state == CONN_OPEN; i++) {
        size_t n = 0;
        enum io io;
        if (conn_backlogged(c))
            break; /* conn_flush reads on when it has drained */
        if (i == READS_PER_TURN) {
            put_aside(c);
            break;
        }
        io = read_some(c, f->read_chunk, FRONT_READ_CHUNK, &n);
        if (io == IO_AGAIN)
            break;
        if (io == IO_END) {
            on_end(c);
            break;
        }
        front_clock(f);
        h2_feed(c, f->read_chunk, n);
        ky_wipe(f->read_chunk, n);
        if (is_drained(c, n))
            break; /* level-triggered: it will say when there is more */
    }
    if (c->state != CONN_HANDSHAKE)
        conn_touch(c);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    conn_read(arg);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    (void)fd;
    (void)what;
    c->wants_write = false;
    if (c->state == CONN_HANDSHAKE || c->state == CONN_OPEN)
        conn_read(c); /* TLS may have waited for the write to go on reading */
    conn_touch(c);
}

/* False: nothing more can be written now. */
static bool write_out(struct conn *c)
{
    while (c->out_taken < c->out.len) {
        size_t n = 0;
        enum io io = write_some(c, c->out.data + c->out_taken, c->out.len - c->out_taken, &n);
        if (io == IO_END)
            conn_kill(c);
        if (io != IO_OK)
            return false;
        c->out_taken += n;
        c->written_us = c->front->now_us;
    }
    ky_buf_reset(&c->out);
    c->out_taken = 0;
    return true;
}

static void compact_out(struct conn *c)
{
    if (c->out_taken > 0) {
        ky_buf_consume(&c->out, c->out_taken);
        c->out_taken = 0;
    }
}

static void pump(struct conn *c, unsigned *fills)
{
    bool flowing = true;
    while (flowing && c->h2 && c->state != CONN_DEAD) {
        if ((*fills)-- == 0) {
            *fills = 0;
            c->wants_write = true; /* and goes on as soon as the loop has been round */
            return;
        }
        if (c->out.len == 0)
            c->written_us = c->front->now_us;
        h2_fill(c);
        if (c->out.len == 0)
            return;
        flowing = write_out(c);
    }
}

/* Streams that stopped because the peer did not read: there is room again. */
static bool resume_held(struct conn *c)
{
    struct call *call;
    if (!c->held || c->state != CONN_OPEN || c->queued > FRONT_BACKLOG_MAX / 2)
        return false;
    c->held = false;
    LIST_FOREACH(call, &c->calls, of_conn)
    stream_advance(call);
    return true;
}

static bool is_finished(const struct conn *c)
{
    if (c->state == CONN_DEAD)
        return true;
    if (!c->h2 || c->out.len > 0)
        return false;
    if (c->state == CONN_CLOSING || (c->goaway && c->front->goaway_final && c->call_count == 0))
        return true;
    return !nghttp2_session_want_read(c->h2) && !nghttp2_session_want_write(c->h2);
}

void conn_flush(struct conn *c)
{
    bool was_backlogged = conn_backlogged(c);
    unsigned fills = FILLS_PER_TURN;

    do {
        compact_out(c);
        pump(c, &fills);
    } while (fills > 0 && resume_held(c));
    if (is_finished(c)) {
        conn_free(c);
        return;
    }
    if (c->wants_write)
        (void)event_add(&c->writable, NULL);
    if (conn_backlogged(c) || c->state == CONN_CLOSING) { /* what it still says is not read */
        event_del(&c->readable);
    } else if (was_backlogged) {
        (void)event_add(&c->readable, NULL);
        put_aside(c); /* TLS may hold bytes that no event announces */
    }
}

static struct conn *conn_new(struct front *f, int fd, const char *peer, uint32_t uid)
{
    struct conn *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->front = f;
    c->fd = fd;
    c->uid = uid;
    c->out = KY_BUF_INIT(OUT_MAX);
    front_clock(f);
    c->accepted_us = f->now_us;
    LIST_INIT(&c->calls);
    (void)ky_span_to_cstr(ky_span_text(peer), c->peer, sizeof(c->peer));
    event_assign(&c->readable, f->base, fd, EV_READ | EV_PERSIST, on_readable, c);
    event_assign(&c->writable, f->base, fd, EV_WRITE, on_writable, c);
    TAILQ_INSERT_TAIL(&f->conns, c, all);
    f->conn_count++;
    return c;
}

void conn_accept(struct front *f, int fd, const char *peer, uint32_t uid)
{
    struct conn *c = conn_new(f, fd, peer, uid);
    struct ky_status st;

    if (!c) {
        (void)close(fd);
        return;
    }
    if (f->tls) {
        st = tls_new(c);
    } else {
        st = identity_take(c) ? h2_start(c) : KY_STATUS(KY_BUSY);
        c->state = CONN_OPEN;
        c->open_us = c->accepted_us;
        conn_touch(c);
    }
    if (!ky_ok(st) || event_add(&c->readable, NULL) != 0)
        conn_kill(c);
}

void conn_free(struct conn *c)
{
    struct front *f = c->front;
    struct call *call;

    while ((call = LIST_FIRST(&c->calls)))
        call_free(call);
    identity_give(c);
    nghttp2_session_del(c->h2);
    event_del(&c->readable);
    event_del(&c->writable);
    if (c->ssl) {
        ERR_clear_error();
        if (SSL_is_init_finished(c->ssl))
            (void)SSL_shutdown(c->ssl); /* says goodbye once; the answer is not waited for */
        SSL_free(c->ssl);
    }
    (void)close(c->fd);
    ky_buf_free(&c->out);
    if (c->dirty)
        TAILQ_REMOVE(&f->dirty, c, dirty_link);
    if (c->again)
        TAILQ_REMOVE(&f->again, c, again_link);
    TAILQ_REMOVE(&f->conns, c, all);
    f->conn_count--;
    free(c);
    listener_resume(f);
}

static bool is_slow(const struct conn *c, uint64_t now_us)
{
    const struct front_patience *p = &c->front->patience;
    /* Others wait outside: who is not through by now makes room sooner. */
    bool full = c->front->conn_count >= c->front->config->doors.max_connections;
    if (c->state == CONN_HANDSHAKE)
        return front_older(now_us, c->accepted_us, full ? p->handshake_us / 8 : p->handshake_us);
    if (!c->first_frame && front_older(now_us, c->open_us, p->handshake_us))
        return true;
    if (c->partial_since_us && front_older(now_us, c->partial_since_us, p->frame_us) &&
        !conn_backlogged(c))
        return true;
    if (c->out.len > c->out_taken && front_older(now_us, c->written_us, p->stall_us))
        return true;
    return c->queued > 0 && front_older(now_us, c->body_us, p->stall_us);
}

/* With a reset: a peer that does not read would keep our last bytes in the kernel as long as it likes. */
static void cut_off(struct conn *c)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    front_count(c->front, DOOR_EVENT_FLOOD, c->peer, c->spki);
    conn_kill(c);
}

void conn_tick(struct conn *c, uint64_t now_us, int64_t wall_s)
{
    uint64_t age_us = (uint64_t)c->front->config->doors.max_connection_age_s * 1000000u;

    if (c->out.len == 0 && c->call_count == 0)
        ky_buf_free(&c->out); /* an idle connection holds no buffer for long */
    if (c->state == CONN_DEAD)
        return;
    if (is_slow(c, now_us)) {
        cut_off(c);
    } else if (c->not_after_s && wall_s > c->not_after_s) { /* item 13: expired while connected */
        conn_offend(c, DOOR_EVENT_BAD_CERTIFICATE, NGHTTP2_NO_ERROR);
    } else if (c->state == CONN_OPEN && front_older(now_us, c->open_us, 2 * age_us)) {
        conn_kill(c);
    } else if (c->state == CONN_OPEN && !c->goaway && front_older(now_us, c->open_us, age_us)) {
        conn_goaway(c, true); /* a new connection shows its certificate again */
    }
}
