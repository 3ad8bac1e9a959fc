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

/*
 * Header, little-endian: u32 length of header and payload, u16 type, u16 flags, u64 tag, u64
 * deadline.
 */
#define KY_RECORD_HEADER 24u
#define KY_RECORD_MAX    (256u * 1024u) /* header and payload */

struct ky_record {
    uint16_t type;          /* a schema's type */
    uint16_t flags;         /* 0 for now; anything else is refused */
    uint64_t tag;           /* the sender's name for the request; a reply repeats it */
    uint64_t deadline_us;   /* CLOCK_MONOTONIC; 0 = none */
    struct ky_span payload; /* borrowed from the channel until its next drop or read */
};

struct ky_channel {
    int fd; /* borrowed */
    struct ky_buf in;
    struct ky_buf out;
    size_t taken; /* bytes of `in` already handed out */
    size_t sent;  /* bytes of `out` already written */
};

void ky_channel_init(struct ky_channel *c, int fd, size_t out_max);
void ky_channel_wipe(struct ky_channel *c); /* frees the buffers, leaves fd */

/*
 * Reads once, up to KY_RECORD_MAX bytes. KY_OK also when nothing was there, or when the caller has
 * left so many records untaken that there is no room. KY_UNAVAILABLE at end of file or reset;
 * KY_IO; KY_NOMEM.
 */
KY_MUST_CHECK struct ky_status ky_channel_read(struct ky_channel *c);
/*
 * The next whole record, or false. A malformed header sets *out_status to KY_INVALID: close the
 * channel.
 */
bool ky_channel_next(struct ky_channel *c, struct ky_record *out, struct ky_status *out_status);
/*
 * Drops the records that were handed out and wipes their bytes: codes, SADs and seeds pass through.
 * Reading does it too.
 */
void ky_channel_drop(struct ky_channel *c);
/*
 * Queues a record, whole or not at all. KY_BUSY when the out buffer is at its maximum; KY_INVALID
 * when a field is over its maximum or the record over KY_RECORD_MAX.
 */
KY_MUST_CHECK struct ky_status ky_channel_send(struct ky_channel *c, const struct ky_schema *s,
                                               const void *msg, uint64_t tag, uint64_t deadline_us);
/*
 * Writes what is queued, as much as the socket takes. KY_UNAVAILABLE when the peer is gone; KY_IO.
 */
KY_MUST_CHECK struct ky_status ky_channel_flush(struct ky_channel *c);
bool ky_channel_has_output(const struct ky_channel *c);

uint64_t ky_now_us(void);  /* CLOCK_MONOTONIC, microseconds */
uint64_t ky_wall_us(void); /* CLOCK_REALTIME, microseconds since the epoch */

#endif
