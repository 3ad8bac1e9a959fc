/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small gRPC client: one HTTP/2 connection over mutual TLS 1.3, or in the clear over a Unix
 * socket, with any number of calls in flight. One thread per connection; no timers or threads
 * of its own. Use it blocking (client_unary), with client_poll over a set of connections,
 * or inside any event loop by client_fd, client_events and client_drive.
 * The program ignores SIGPIPE.
 */
#ifndef KYSO_CLIENT_H
#define KYSO_CLIENT_H

#include <protobuf-c/protobuf-c.h>

#include "kyso/span.h"
#include "kyso/status.h"

#define CLIENT_MESSAGE_MAX (1024u * 1024u) /* of one message, either way */
#define CLIENT_TEXT_MAX    256u

struct client;      /* a connection */
struct client_call; /* one call on it; lives until its on_end has returned */

struct client_target {       /* strings are borrowed while client_open runs */
    const char *unix_path;   /* h2c over a Unix socket; or these: */
    const char *endpoint;    /* "127.0.0.1:7443", "[::1]:7443", "host:port" */
    const char *certificate; /* PEM: chain, the client's first */
    const char *key;         /* PEM, not encrypted */
    const char *ca;          /* PEM: who may have issued the server's certificate */
    const char
        *server_name; /* name or address the certificate must carry; NULL = the endpoint's host */
    struct ssl_ctx_st *tls; /* of client_tls_load; NULL = the files are read by client_open */
};

struct client_outcome {
    int grpc_status;            /* 0..16 */
    enum ky_code code;          /* KY_OK, or our reading of the refusal */
    bool transport;             /* the server never answered: connection lost or refused */
    char text[CLIENT_TEXT_MAX]; /* the server's message, or what happened to the connection */
    char detail_code[32];       /* kyso.v1.ErrorDetail, empty and 0 when there was none */
    uint32_t retry;             /* kyso.v1.Retry */
    uint32_t retry_after_ms;
};

/*
 * Called from client_drive and client_close, on the connection's thread. They may start, send,
 * finish and cancel calls; they may not close the connection.
 */
struct client_handler {
    void (*on_message)(void *arg, struct client_call *call,
                       struct ky_span message); /* NULL = not wanted */
    void (*on_end)(void *arg, struct client_call *call, const struct client_outcome *outcome);
    void *arg; /* borrowed until on_end has returned */
};

/*
 * Reads the target's files once, for who connects again when it may open no file any more. The
 * caller frees it by SSL_CTX_free. Errors: KY_INVALID.
 */
KY_MUST_CHECK struct ky_status client_tls_load(const struct client_target *target,
                                               struct ssl_ctx_st **out_tls, char *out_why);
/*
 * Connects and shakes hands, waiting at most timeout_us; with 0 over TLS it waits for nothing, calls
 * may be started at once, and client_drive goes on (at most 5 s; what fails ends the calls). out_why (CLIENT_TEXT_MAX bytes) tells a
 * person what failed. Errors: KY_UNAVAILABLE (cannot connect), KY_UNAUTHENTICATED (a certificate
 * was refused), KY_INVALID (target, files).
 */
KY_MUST_CHECK struct ky_status client_open(const struct client_target *target, uint64_t timeout_us,
                                           struct client **out_client, char *out_why);
/* Ends every open call (KY_CANCELLED) and nulls the caller's pointer. */
void client_close(struct client **client);

/* --- event loop ---------------------------------------------------------------------------- */

int client_fd(const struct client *c);
short client_events(const struct client *c); /* POLLIN and POLLOUT as wanted now */
uint64_t client_deadline_us(
    const struct client *c); /* CLOCK_MONOTONIC of the first call to expire; 0 = none */
bool client_is_open(const struct client *c); /* false: start nothing more here */
size_t client_in_flight(const struct client *c);
/*
 * Reads, writes and expires what is due. KY_UNAVAILABLE once the connection has gone: its calls
 * have ended.
 */
KY_MUST_CHECK struct ky_status client_drive(struct client *c);
/*
 * Waits for any of n connections (at most timeout_ms, or the first deadline) and drives all.
 * KY_UNAVAILABLE: none is left open.
 */
KY_MUST_CHECK struct ky_status client_poll(struct client *const *clients, size_t n, int timeout_ms);

/* --- calls ----------------------------------------------------------------------------------- */

/*
 * Opens a call to "/package.Service/Method". Nothing is written before the next drive.
 *   timeout_us  sent as grpc-timeout and kept here too; 0 = none
 * A stream stays open for client_send until client_finish. Errors: KY_UNAVAILABLE, KY_NOMEM.
 */
KY_MUST_CHECK struct ky_status client_start(struct client *c, const char *path, uint64_t timeout_us,
                                            const struct client_handler *handler,
                                            struct client_call **out_call);
/* Queues one message. Errors: KY_INVALID (too long), KY_NOMEM, KY_TX_ENDED (already finished). */
KY_MUST_CHECK struct ky_status client_send(struct client_call *call,
                                           const ProtobufCMessage *message);
void client_finish(struct client_call *call); /* no more messages from us */
/* Waits here for longer than the server was told: what comes after its deadline is then seen. */
void client_outwait(struct client_call *call, uint64_t us);
void client_cancel(
    struct client_call *call); /* on_end comes with KY_CANCELLED from a later drive */

/* client_start, client_send and client_finish: one unary call in flight. */
KY_MUST_CHECK struct ky_status client_unary_start(struct client *c, const char *path,
                                                  const ProtobufCMessage *request,
                                                  uint64_t timeout_us,
                                                  const struct client_handler *handler);
/*
 * One unary call, waiting for its end (other calls on the connection go on meanwhile).
 *   out_reply  freed with protobuf_c_message_free_unpacked(reply, NULL)
 * The status' code is out_outcome's; out_outcome is always written.
 */
KY_MUST_CHECK struct ky_status client_unary(struct client *c, const char *path,
                                            const ProtobufCMessage *request, uint64_t timeout_us,
                                            const ProtobufCMessageDescriptor *reply_type,
                                            ProtobufCMessage **out_reply,
                                            struct client_outcome *out_outcome);

#endif
