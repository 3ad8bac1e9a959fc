/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel between two roles: batches of records over one non-blocking socket.
 * One owner, the role's event thread. Keeps: no record is handed out before all of it is
 * there, a bad header ends the channel before a byte of its payload is waited for, a
 * record is queued whole or not at all, and what was dropped or written is wiped.
 */
#include "kyso/record.h"

#include <errno.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "endian_le.h"
#include "kyso/secret.h"

/*
 * What one read may bring. Two records fit the buffer: the rest of one, and a full read behind it.
 */
#define READ_SIZE ((size_t)KY_RECORD_MAX)
#define IN_MAX    (2u * (size_t)KY_RECORD_MAX)

void ky_channel_init(struct ky_channel *c, int fd, size_t out_max)
{
    *c = (struct ky_channel){.fd = fd, .in = KY_BUF_INIT(IN_MAX), .out = KY_BUF_INIT(out_max)};
}

void ky_channel_wipe(struct ky_channel *c)
{
    ky_buf_free(&c->in);
    ky_buf_free(&c->out);
    c->taken = 0;
    c->sent = 0;
}

static struct ky_status io_status(int why)
{
    if (why == EPIPE || why == ECONNRESET)
        return KY_STATUS_CAUSE(KY_UNAVAILABLE, why);
    return KY_STATUS_CAUSE(KY_IO, why);
}

void ky_channel_drop(struct ky_channel *c)
{
    ky_buf_consume(&c->in, c->taken);
    c->taken = 0;
}

/* Room for a full read where the maximum allows it. */
static uint8_t *in_room(struct ky_channel *c, size_t *out_room)
{
    ky_channel_drop(c);
    size_t room = IN_MAX - c->in.len;
    *out_room = room < READ_SIZE ? room : READ_SIZE;
    if (*out_room == 0)
        return NULL;
    c->in.failed = false; /* memory that was short may be there again */
    uint8_t *at = ky_buf_grow(&c->in, *out_room);
    if (at != NULL)
        c->in.len -= *out_room; /* reserved, not yet filled */
    return at;
}

struct ky_status ky_channel_read(struct ky_channel *c)
{
    size_t room;
    uint8_t *at = in_room(c, &room);
    if (room == 0)
        return KY_STATUS(KY_OK); /* the caller has not taken what is there */
    if (at == NULL)
        return KY_STATUS(KY_NOMEM);
    ssize_t got;
    do {
        got = read(c->fd, at, room);
    } while (got < 0 && errno == EINTR);
    if (got > 0) {
        c->in.len += (size_t)got;
        return KY_STATUS(KY_OK);
    }
    if (got == 0)
        return KY_STATUS(KY_UNAVAILABLE);
    return errno == EAGAIN || errno == EWOULDBLOCK ? KY_STATUS(KY_OK) : io_status(errno);
}

bool ky_channel_next(struct ky_channel *c, struct ky_record *out, struct ky_status *out_status)
{
    *out_status = KY_STATUS(KY_OK);
    size_t left = c->in.len - c->taken;
    if (left < KY_RECORD_HEADER)
        return false;
    const uint8_t *h = c->in.data + c->taken;
    uint32_t len = le32_get(h);
    uint16_t flags = le16_get(h + 6);
    if (len < KY_RECORD_HEADER || len > KY_RECORD_MAX || flags != 0) {
        *out_status = KY_STATUS(KY_INVALID);
        return false;
    }
    if (left < len)
        return false;
    *out = (struct ky_record){
        .type = le16_get(h + 4),
        .flags = flags,
        .tag = le64_get(h + 8),
        .deadline_us = le64_get(h + 16),
        .payload = KY_SPAN(h + KY_RECORD_HEADER, len - KY_RECORD_HEADER),
    };
    c->taken += len;
    return true;
}

/* Drops what is written, so that the maximum counts only what is still to go. */
static void out_compact(struct ky_channel *c)
{
    ky_buf_consume(&c->out, c->sent);
    c->sent = 0;
}

static struct ky_status out_append(struct ky_channel *c, const struct ky_schema *s, const void *msg,
                                   uint64_t tag, uint64_t deadline_us)
{
    size_t start = c->out.len;
    struct ky_status st = KY_STATUS(KY_NOMEM);
    if (ky_buf_grow(&c->out, KY_RECORD_HEADER) != NULL)
        st = ky_msg_encode(s, msg, &c->out);
    size_t len = c->out.len - start;
    if (ky_ok(st) && len > KY_RECORD_MAX)
        st = KY_STATUS(KY_INVALID);
    if (!ky_ok(st)) {
        c->out.len = start;
        c->out.failed = false;
        return st;
    }
    uint8_t *h = c->out.data + start;
    le32_put(h, (uint32_t)len);
    le16_put(h + 4, s->type);
    le16_put(h + 6, 0);
    le64_put(h + 8, tag);
    le64_put(h + 16, deadline_us);
    return st;
}

struct ky_status ky_channel_send(struct ky_channel *c, const struct ky_schema *s, const void *msg,
                                 uint64_t tag, uint64_t deadline_us)
{
    struct ky_status st = out_append(c, s, msg, tag, deadline_us);
    if (st.code == KY_NOMEM && c->sent > 0) {
        out_compact(c);
        st = out_append(c, s, msg, tag, deadline_us);
    }
    return st.code == KY_NOMEM ? KY_STATUS(KY_BUSY) : st;
}

struct ky_status ky_channel_flush(struct ky_channel *c)
{
    while (ky_channel_has_output(c)) {
        size_t want = c->out.len - c->sent;
        ssize_t put = send(c->fd, c->out.data + c->sent, want, MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return KY_STATUS(KY_OK);
        if (put < 0)
            return io_status(errno);
        c->sent += (size_t)put;
        if ((size_t)put < want)
            return KY_STATUS(KY_OK); /* a short count is a full socket: wait for the next event */
    }
    out_compact(c);
    return KY_STATUS(KY_OK);
}

bool ky_channel_has_output(const struct ky_channel *c)
{
    return c->out.len > c->sent;
}

static uint64_t clock_us(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts); /* cannot fail for these two clocks */
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

uint64_t ky_now_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

uint64_t ky_wall_us(void)
{
    return clock_us(CLOCK_REALTIME);
}
