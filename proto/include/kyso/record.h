/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records on the socketpairs between roles: a fixed header and one message.
 * They travel in batches: a channel gathers records and writes them with one
 * write(2), and hands out every whole record that one read(2) brought.
 * The channel borrows its descriptor (non-blocking) and never opens one.
 */
#ifndef KYSO_RECORD_H
#define KYSO_RECORD_H

#include "kyso/msg.h"

#define KY_RECORD_HEADER 24u
#define KY_RECORD_MAX (256u * 1024u) /* header and payload */

struct ky_record {
    uint16_t type;        /* a schema's type */
    uint16_t flags;       /* 0 for now; anything else is refused */
    uint64_t tag;         /* the sender's name for the request; a reply repeats it */
    uint64_t deadline_us; /* CLOCK_MONOTONIC; 0 = none */
    struct ky_span payload; /* borrowed from the channel until its next read */
};

struct ky_channel {
    int fd;            /* borrowed */
    struct ky_buf in;
    struct ky_buf out;
    size_t taken;      /* bytes of `in` already handed out */
};

void ky_channel_init(struct ky_channel *c, int fd, size_t out_max);
void ky_channel_wipe(struct ky_channel *c); /* frees the buffers, leaves fd */

/* Reads once. KY_OK also when nothing was there; KY_UNAVAILABLE at end of file; KY_IO. */
KY_MUST_CHECK struct ky_status ky_channel_read(struct ky_channel *c);
/* The next whole record, or false. A malformed header sets *out_status to KY_INVALID: close the channel. */
bool ky_channel_next(struct ky_channel *c, struct ky_record *out, struct ky_status *out_status);
/* Queues a record. KY_BUSY when the out buffer is at its maximum (nothing was queued). */
KY_MUST_CHECK struct ky_status ky_channel_send(struct ky_channel *c, const struct ky_schema *s, const void *msg,
                                               uint64_t tag, uint64_t deadline_us);
/* Writes what is queued, as much as the socket takes. */
KY_MUST_CHECK struct ky_status ky_channel_flush(struct ky_channel *c);
bool ky_channel_has_output(const struct ky_channel *c);

uint64_t ky_now_us(void);      /* CLOCK_MONOTONIC, microseconds */
uint64_t ky_wall_us(void);     /* CLOCK_REALTIME, microseconds since the epoch */

#endif
