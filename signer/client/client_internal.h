/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the client's three files share: the transport (connect.c), the session and its calls
 * (session.c, call.c) and the reading of a refusal (outcome.c).
 */
#ifndef KYSO_CLIENT_INTERNAL_H
#define KYSO_CLIENT_INTERNAL_H

#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>

#include "client.h"
#include "kyso/pool.h"

#define CLIENT_HOST_MAX 128u

struct client_call {
    struct client *client; /* borrowed: a call never outlives its connection */
    struct client_call *prev, *next;
    int32_t stream_id;
    uint64_t deadline_us;
    struct client_handler handler;
    size_t out_taken;
    bool finished; /* no more from us */
    bool deferred; /* nghttp2 waits for client_send */
    bool expired;
    bool cancelled;
    bool overlong;
    int http_status;
    int grpc_status; /* -1 until the trailers */
    /* from here on: emptied, not zeroed, when the memory serves another call */
    struct ky_buf out; /* framed messages not yet given to nghttp2 */
    struct ky_buf in;
    struct ky_buf details;
    char text[CLIENT_TEXT_MAX];
};

struct client {
    int fd;              /* owned */
    SSL_CTX *ctx;        /* owned; NULL on a Unix socket */
    SSL *ssl;            /* owned */
    nghttp2_session *h2; /* owned */
    struct ky_buf out;   /* bytes of the session not yet written */
    size_t out_written;
    bool read_wants_write; /* TLS */
    short opening;         /* not yet shaken hands: what for we wait, POLLIN or POLLOUT */
    uint64_t open_until_us;
    bool gone;
    bool closing;
    char why[CLIENT_TEXT_MAX];
    char authority[CLIENT_HOST_MAX];
    struct client_call *calls;
    struct client_call *spare; /* ended, with their buffers: linked by next */
    struct client_call *met;   /* whom nghttp2 spoke of last; NULL = nobody who lives */
    size_t in_flight, spare_count;
    struct ky_pool pool; /* of nghttp2's small blocks */
    uint64_t timeout_us; /* what `timeout` says */
    char timeout[16];
    uint64_t first_deadline_us; /* a lower bound; 0 = none */
};

/* connect.c */
enum client_io { CLIENT_IO_DONE, CLIENT_IO_AGAIN, CLIENT_IO_GONE };
enum client_io client_read_bytes(struct client *c, uint8_t *to, size_t cap, size_t *out_n);
bool client_has_bytes(
    const struct client *c); /* read from the socket, not yet by client_read_bytes */
enum client_io client_write_bytes(struct client *c, const uint8_t *from, size_t n, size_t *out_n);
KY_MUST_CHECK struct ky_status client_connect(struct client *c, const struct client_target *t,
                                              uint64_t deadline_us);
/* One step; *out_wants: 0 when done. */
KY_MUST_CHECK struct ky_status client_shake_hands(struct client *c, short *out_wants);
void client_disconnect(struct client *c);

/* session.c */
KY_MUST_CHECK struct ky_status client_session_new(struct client *c);

/* call.c */
void client_call_end(struct client_call *call, uint32_t h2_error); /* reports, unlinks and frees */
void client_expire(struct client *c, uint64_t now_us);
void client_free_spares(struct client *c);

/* outcome.c */
void client_outcome_read(const struct client_call *call, uint32_t h2_error,
                         struct client_outcome *out);
void client_percent_decode(const uint8_t *in, size_t n, char *out, size_t cap);
bool client_base64(const uint8_t *in, size_t n, struct ky_buf *out); /* padding optional */

#endif
