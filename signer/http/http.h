/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small HTTP/1.1 server on libevent for kyso's web processes: a table of routes, JSON in and out, and
 * a bound on everything a stranger may hold: connections, bytes of a request, time. It is strict where
 * leniency lets requests be smuggled past a proxy (head.h). One thread: the event base's.
 */
#ifndef KYSO_HTTP_H
#define KYSO_HTTP_H

#include <event2/event.h>
#include <jansson.h>

#include "kyso/span.h"
#include "kyso/status.h"

#define HTTP_WHY_MAX 256u

struct http_server;
struct http_call; /* one request, from its last byte to its answer; alive until it was answered, whoever hangs up */

/* Answers now, or keeps the call and answers later: exactly once, by http_reply_json, http_reply or http_refuse. */
typedef void (*http_handler)(void *arg, struct http_call *call);

struct http_route {
    const char *method; /* "GET" (answers HEAD too) or "POST" */
    const char *path;   /* "/csc/v2/info"; a segment of "*" stands for any one: http_wildcard() */
    http_handler handle;
};

struct http_settings { /* everything borrowed for the server's life */
    const char *listen;      /* "127.0.0.1:8080", "[::1]:0"; port 0 = any */
    const char *certificate; /* PEM chain and key: TLS 1.2 or 1.3; NULL = plain, behind a proxy */
    const char *key;
    const struct http_route *routes;
    size_t route_count;
    /* How the server's own refusals (no route, malformed, too large) read; NULL = {"error": why}. */
    void (*refuse)(void *arg, struct http_call *call, int status, const char *why);
    void (*on_stopped)(void *arg); /* after http_server_stop, once nobody is connected; NULL = not wanted */
    void *arg;
    const char *content_policy; /* Content-Security-Policy; NULL = nothing at all */
    size_t body_max;            /* 0 = 64 KiB */
    uint32_t connections;       /* 0 = 1024; beyond them nobody is accepted */
    uint32_t patience_ms;       /* 0 = 10 000: for a whole head, for a whole body, for an answer to be taken */
    uint32_t idle_ms;           /* 0 = 30 000: between two requests */
};

/* out_why (HTTP_WHY_MAX bytes) tells a person what failed. Errors: KY_INVALID (address, files), KY_IO (bind), KY_NOMEM. */
KY_MUST_CHECK struct ky_status http_server_open(struct event_base *base,
                                                const struct http_settings *settings,
                                                struct http_server **out_server, char *out_why);
uint16_t http_server_port(const struct http_server *s);
/* Accepts nobody more, sends away who is idle; requests that are being answered are answered. */
void http_server_stop(struct http_server *s);
/* No call may be waiting for its answer any more. Nulls the caller's pointer. */
void http_server_close(struct http_server **server);

/* --- the request: all borrowed until the answer -------------------------------------------------- */

struct ky_span http_header(const struct http_call *c, const char *name); /* empty = absent or empty; the first if several */
struct ky_span http_cookie(const struct http_call *c, const char *name);
struct ky_span http_path(const struct http_call *c);
struct ky_span http_wildcard(const struct http_call *c, size_t i); /* what the route's i-th "*" stood for */
struct ky_span http_body(const struct http_call *c);
/* The body as a JSON object (no duplicate keys, depth 16 at most). NULL: already refused with 400 or 415. */
json_t *http_json(struct http_call *c);

/* --- the answer -------------------------------------------------------------------------------------- */

/* Adds a header to the answer to come; name and value are the program's own words, or checked. */
void http_set_header(struct http_call *c, const char *name, const char *value);
void http_reply(struct http_call *c, int status, const char *type, struct ky_span body);
void http_reply_json(struct http_call *c, int status, json_t *body); /* takes the reference */
void http_refuse(struct http_call *c, int status, const char *why);  /* by settings.refuse */

#endif
