/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One front process: a door, its listening socket, its connections and the link to the authority.
 * A single thread runs libevent; every loop iteration reads what is ready, then writes once per
 * connection and once to the authority. A front holds no key, seed, PIN or database handle.
 */
#ifndef FRONT_H
#define FRONT_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <sys/queue.h>

#include "config.h"
#include "kyso/door.h"
#include "kyso/grpc.h"
#include "kyso/pool.h"
#include "link.h"

#define FRONT_READ_CHUNK           (32u * 1024u)
#define FRONT_MESSAGE_MAX          (64u * 1024u)  /* signer and approver */
#define FRONT_OPERATOR_MESSAGE_MAX (256u * 1024u) /* operator */
#define FRONT_HEADER_LIST_MAX      (16u * 1024u)
#define FRONT_BACKLOG_MAX          (1024u * 1024u) /* reply bytes a peer may leave unread */
#define FRONT_CONN_BUFFERED_MAX                                                                    \
    (4096u * 1024u) /* memory one connection may hold for unfinished requests */
#define FRONT_BUFFERED_MAX   (64u * 1024u * 1024u) /* and all together, half of it for one client */
#define FRONT_RETRY_AFTER_MS 100u
#define FRONT_IDENTITIES     256u /* buckets */
#define FRONT_CALLS_BEYOND_QUEUE                                                                   \
    1024u /* calls that wait for nothing: half-sent, health, idle streams */
#define FRONT_REFLECTIONS_PER_S 200u /* each scans the descriptors: a tool asks a few dozen times */

/* How long a peer may take over things; microseconds. */
struct front_patience {
    uint64_t handshake_us; /* accept to the end of TLS, and from there to the first frame */
    uint64_t frame_us;     /* first to last byte of one HTTP/2 frame */
    uint64_t stall_us;     /* without taking a byte of what waits for it */
    uint64_t call_us;      /* default deadline of a call without grpc-timeout */
    uint64_t drain_us;     /* after CONTROL_DRAIN */
};

struct front_event_count {
    uint32_t count;
    char peer[64];
    uint8_t spki[KY_SPKI_HASH_LEN];
};

struct conn;
struct call;
struct method;
struct reflection;
TAILQ_HEAD(conn_list, conn);
TAILQ_HEAD(call_list, call);
LIST_HEAD(identity_list, identity);

struct front {
    struct event_base *base; /* owned */
    uint64_t now_us;         /* by front_clock; never zero once the front is open */
    struct config *config;   /* owned */
    enum ky_door door;
    uint32_t index;
    struct front_patience patience;
    uint32_t message_max;
    SSL_CTX *tls;                            /* owned; NULL on the operator's door */
    nghttp2_session_callbacks *h2_callbacks; /* owned */
    nghttp2_option *h2_option;               /* owned */
    struct ky_pool h2_pool;                  /* of all sessions' small blocks */
    struct reflection *reflection;           /* owned */

    struct front_link link;
    struct ky_arena request_arena; /* of the one request that is being converted */
    struct ky_buf request_scratch; /* the same */
    struct ky_arena reply_arena;   /* of the one reply */
    struct ky_buf reply_scratch;
    uint8_t *read_chunk; /* owned, FRONT_READ_CHUNK bytes */

    struct event accept_event;
    struct event control_event;
    struct event term_event;
    struct event tick_event;
    bool accepting;
    uint64_t accept_again_us; /* out of descriptors until then */

    struct conn_list conns;
    uint32_t conn_count;
    struct conn_list dirty; /* have output to write or are to be freed */
    struct conn_list again; /* left bytes unread for fairness */
    struct call_list calls;
    struct call_list spare_calls;
    uint64_t calls_due_us; /* no call is due before; 0 = look at them all */
    uint32_t call_count, call_max, spare_count;
    struct ky_buf large; /* a request buffer between two uses, empty; cap 0 = none */
    size_t buffered;     /* memory held for unfinished requests */
    struct identity_list identities[FRONT_IDENTITIES]; /* owned; by the first byte of their keys */
    uint8_t health;                                    /* as health_changed saw it last */
    uint32_t reflections;                              /* answered in this second */

    struct front_event_count events[DOOR_EVENT_FLOOD + 1];
    uint64_t second_us; /* when the once-a-second work ran last */
    bool draining;
    bool goaway_final;
    uint64_t drain_since_us;
    bool stop;
    int exit_code;
};

/* Takes ownership of config. Opens nothing but memory and the link; errors are logged. */
KY_MUST_CHECK struct ky_status front_open(struct front *f, struct config *config, enum ky_door door,
                                          uint32_t index);
void front_close(struct front *f);
/* Runs until drained or until the authority or the supervisor is gone. Returns the exit status. */
int front_run(struct front *f);
void front_drain(struct front *f);
void front_stop(struct front *f, int exit_code);

/* Counts a refusal that never became a request; told to the authority once a second. */
void front_count(struct front *f, enum door_event_kind kind, const char *peer, const uint8_t *spki);

/*
 * Reads the clock, once for all that was read together: by then it is at most one chunk or one
 * batch of replies old, which is milliseconds less than any patience here.
 */
void front_clock(struct front *f);

/* Has more than limit_us passed since then? A time later than now_us is no time ago. */
static inline bool front_older(uint64_t now_us, uint64_t then_us, uint64_t limit_us)
{
    return now_us > then_us && now_us - then_us > limit_us;
}

/* listener.c */
KY_MUST_CHECK struct ky_status listener_open(struct front *f);
void listener_pause(struct front *f, uint64_t until_us);
void listener_resume(struct front *f); /* when there is room and no drain */
void listener_close(struct front *f);
uint16_t listener_port(void); /* of KY_LISTEN_FD; 0 for a Unix socket */

#endif
