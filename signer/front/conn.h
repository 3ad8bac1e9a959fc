/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection: socket, TLS, HTTP/2 session, output buffer and the peer's identity. Nothing
 * frees a connection inside a callback: it is marked, and freed when the loop flushes.
 */
#ifndef FRONT_CONN_H
#define FRONT_CONN_H

#include "front.h"

enum conn_state {
    CONN_HANDSHAKE,
    CONN_OPEN,
    CONN_CLOSING, /* what is queued is still written */
    CONN_DEAD,    /* freed at the next flush */
};

LIST_HEAD(conn_calls, call);

struct conn {
    TAILQ_ENTRY(conn) all;
    TAILQ_ENTRY(conn) dirty_link;
    TAILQ_ENTRY(conn) again_link;
    struct front *front; /* borrowed for life */
    int fd;              /* owned */
    SSL *ssl;            /* owned; NULL on the operator's door */
    nghttp2_session *h2; /* owned; NULL until the handshake is done */
    struct event readable, writable;
    enum conn_state state;
    bool dirty, again;
    bool reading; /* inside nghttp2_session_mem_recv */
    bool wants_write;
    bool held; /* a stream stopped taking requests because of `queued` */
    bool goaway;
    bool first_frame; /* the peer's SETTINGS arrived */
    struct ky_buf out;
    size_t out_taken;
    size_t queued;   /* reply bytes waiting in calls */
    size_t buffered; /* memory of unfinished requests */
    struct conn_calls calls;
    struct call *met; /* whom nghttp2 spoke of last; NULL = nobody who lives */
    uint32_t call_count;
    uint64_t accepted_us;
    uint64_t open_us;
    uint64_t partial_since_us; /* first byte of a frame that is not whole yet; 0 = none */
    uint32_t frame_left;       /* bytes to come of its payload (at first: of the preface) */
    uint8_t frame_head;        /* bytes had of its header */
    uint8_t frame_length[3];
    uint64_t written_us; /* last progress of out */
    uint64_t body_us;    /* last progress of queued */
    uint32_t tokens;     /* control frames it may still send for nothing */
    uint64_t tokens_us;
    int64_t not_after_s; /* of the client's certificate; 0 = none */
    uint32_t uid;
    uint8_t spki[KY_SPKI_HASH_LEN];
    struct identity *identity; /* borrowed from the front; NULL until the handshake is done */
    char peer[64];
};

/*
 * What one client (a key; on the operators' door a uid) holds of this front, over all its connections. Each figure has a limit, so
 * that one client alone cannot leave the others without connections, calls or memory.
 */
struct identity {
    LIST_ENTRY(identity) others;
    uint8_t key[KY_SPKI_HASH_LEN];
    uint32_t conns, calls;
    size_t buffered;
};

/* Takes the descriptor; closes it on failure. */
void conn_accept(struct front *f, int fd, const char *peer, uint32_t uid);
void conn_touch(struct conn *c); /* flush it at the end of this iteration */
void conn_kill(struct conn *c);  /* no further byte in or out */
/* Counts the offence, says GOAWAY and closes once that is written. */
void conn_offend(struct conn *c, enum door_event_kind kind, uint32_t h2_error);
void conn_goaway(struct conn *c, bool final);
void conn_read(struct conn *c);
void conn_flush(struct conn *c); /* may free it */
void conn_free(struct conn *c);
void conn_tick(struct conn *c, uint64_t now_us, int64_t wall_s);
bool conn_backlogged(const struct conn *c);

/* identity.c */
bool identity_take(struct conn *c); /* false: too many connections, or no memory */
void identity_give(struct conn *c);
bool identity_may_call(const struct conn *c);
bool identity_may_hold(const struct conn *c, size_t n); /* n more bytes of unfinished requests */

/* tls.c */
KY_MUST_CHECK struct ky_status tls_open(struct front *f);
/* KY_OK: done and identified; KY_BUSY: in progress; else close. */
KY_MUST_CHECK struct ky_status tls_handshake(struct conn *c, bool *out_wants_write);
KY_MUST_CHECK struct ky_status tls_new(struct conn *c);

/* h2.c */
KY_MUST_CHECK struct ky_status h2_open(struct front *f);
void h2_close(struct front *f);
KY_MUST_CHECK struct ky_status h2_start(struct conn *c);
void h2_feed(struct conn *c, const uint8_t *p, size_t n);
#define H2_FRAME_HEAD 9u
#define H2_FILL_MAX   (64u * 1024u)
void h2_fill(struct conn *c); /* frames into c->out, up to a socket's worth */

#endif
