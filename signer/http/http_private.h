/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the server's two files share: a connection, which is also the one request on it (http_call), is taken in and
 * sent away by server.c; message.c makes sense of a request and writes its answer.
 */
#ifndef KYSO_HTTP_PRIVATE_H
#define KYSO_HTTP_PRIVATE_H

#include <event2/bufferevent.h>
#include <openssl/ssl.h>

#include "head.h"
#include "http.h"

#define HTTP_WILDCARDS_MAX 4u

enum http_state {
    HTTP_HEAD,      /* waits for a head; idle while nothing of it is there */
    HTTP_BODY,      /* waits for the body */
    HTTP_HANDLED,   /* the handler has it: it ends by an answer and nothing else */
    HTTP_ANSWERING, /* until the peer has taken the answer */
    HTTP_LINGERING, /* said goodbye: what still comes is thrown away, so that the answer is not lost to a reset */
};

struct http_call {
    struct http_server *server;
    struct http_call *prev, *next;
    struct bufferevent *bev; /* owned, with its socket */
    struct event *timer;     /* owned: the state's patience */
    enum http_state state;
    bool gone;      /* the peer is, while HANDLED */
    bool ends;      /* the connection does, after this answer */
    bool head_only; /* the method is HEAD */
    struct ky_buf head_bytes, body, more; /* more: the answer's own headers */
    struct http_head head;
    json_t *json; /* owned */
    struct ky_span wildcards[HTTP_WILDCARDS_MAX];
};

struct http_server {
    struct event_base *base;
    struct http_settings settings;
    SSL_CTX *tls; /* owned; NULL = plain */
    struct evconnlistener *listener; /* owned */
    struct event *again;             /* owned: accepts once more after a pause */
    struct http_call *calls;
    uint32_t count;
    uint16_t port;
    bool stopping;
};

/* message.c: the body is complete, finds the route and runs its handler, or refuses */
void http_dispatch(struct http_call *c);
/* server.c: the answer has been put into the bufferevent */
void http_answered(struct http_call *c);

#endif
