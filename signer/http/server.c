/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections: accepting, TLS, reading a request within its bounds, patience, the end. The states are http_private.h's.
 * Keeps: a peer holds one head and one body at most, and no state but HANDLED outlasts its timer; while a handler has a
 * request nothing more is read, and only its answer frees the call.
 */
#include "http_private.h"

#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BODY_MAX    (64u * 1024u)
#define CONNECTIONS 1024u
#define PATIENCE_MS 10000u
#define IDLE_MS     30000u
#define LINGER_MS   1000u
#define MORE_MAX    4096u
#define NO_FILES_MS 100u

static void forget_request(struct http_call *c)
{
    json_decref(c->json);
    c->json = NULL;
    ky_buf_reset(&c->head_bytes); /* wipes: tokens and codes pass through here */
    ky_buf_reset(&c->body);
    ky_buf_reset(&c->more);
    c->more.failed = false;
    c->head = (struct http_head){.keep_alive = true};
    c->head_only = false;
    memset(c->wildcards, 0, sizeof(c->wildcards));
}

static void free_call(struct http_call *c)
{
    struct http_server *s = c->server;

    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        s->calls = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    forget_request(c);
    ky_buf_free(&c->head_bytes);
    ky_buf_free(&c->body);
    ky_buf_free(&c->more);
    if (c->timer != NULL)
        event_free(c->timer);
    if (c->bev != NULL)
        bufferevent_free(c->bev);
    free(c);
    if (s->count-- == s->settings.connections && !s->stopping)
        (void)evconnlistener_enable(s->listener);
    if (s->count == 0 && s->stopping && s->settings.on_stopped != NULL)
        s->settings.on_stopped(s->settings.arg);
}

static void set_patience(struct http_call *c, uint32_t ms)
{
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};

    (void)event_add(c->timer, &tv);
}

/* The request is malformed or too large: whatever follows it on this connection has no known beginning. */
static void refuse_and_end(struct http_call *c, int status, const char *why)
{
    (void)bufferevent_disable(c->bev, EV_READ);
    c->ends = true;
    c->state = HTTP_HANDLED;
    http_refuse(c, status, why);
}

static const char *why_of(int status)
{
    switch (status) {
    case 414:
        return "the request's target is too long";
    case 417:
        return "that expectation cannot be met";
    case 431:
        return "the request's head is too large";
    case 501:
        return "a transfer encoding is not taken: send a length";
    case 505:
        return "HTTP/1.1 or 1.0 is spoken here";
    default:
        return "the request's head is malformed";
    }
}

/* --- reading ------------------------------------------------------------------------------------------- */

static void run(struct http_call *c)
{
    (void)bufferevent_disable(c->bev, EV_READ);
    (void)event_del(c->timer);
    c->state = HTTP_HANDLED;
    http_dispatch(c);
}

static void read_body(struct http_call *c)
{
    struct evbuffer *in = bufferevent_get_input(c->bev);
    size_t n = (size_t)c->head.content_length;

    if (evbuffer_get_length(in) < n)
        return;
    uint8_t *to = ky_buf_grow(&c->body, n);
    if (n > 0 && (to == NULL || evbuffer_remove(in, to, n) != (int)n))
        refuse_and_end(c, 413, "the body is too large");
    else
        run(c);
}

static void begin_body(struct http_call *c)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    size_t n = (size_t)c->head.content_length;

    c->state = HTTP_BODY;
    if (c->head.expects_continue && evbuffer_get_length(bufferevent_get_input(c->bev)) < n)
        (void)bufferevent_write(c->bev, go_on, sizeof(go_on) - 1);
    bufferevent_setwatermark(c->bev, EV_READ, n, n < HTTP_HEAD_MAX ? HTTP_HEAD_MAX : n);
    set_patience(c, c->server->settings.patience_ms);
    read_body(c);
}

static void read_head(struct http_call *c)
{
    struct evbuffer *in = bufferevent_get_input(c->bev);
    struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
    size_t have = evbuffer_get_length(in), n = (size_t)end.pos + 4;
    int status;

    if (end.pos < 0 && have < HTTP_HEAD_MAX) {
        if (have > 0 && c->ends) { /* a first byte: from now on it is not idle but slow */
            c->ends = false;
            set_patience(c, c->server->settings.patience_ms);
        }
        return;
    }
    c->ends = false;
    if (end.pos < 0 || n > HTTP_HEAD_MAX) {
        refuse_and_end(c, 431, why_of(431));
        return;
    }
    uint8_t *to = ky_buf_grow(&c->head_bytes, n);
    status = to != NULL && evbuffer_remove(in, to, n) == (int)n
                 ? http_head_parse(ky_buf_span(&c->head_bytes), &c->head)
                 : 431;
    if (status == 0 && c->head.content_length > c->server->settings.body_max)
        refuse_and_end(c, 413, "the body is too large");
    else if (status != 0)
        refuse_and_end(c, status, why_of(status));
    else
        begin_body(c);
}

/* Waits for a request; `ends` says until its first byte that nothing is lost by ending. */
static void await_request(struct http_call *c)
{
    forget_request(c);
    c->state = HTTP_HEAD;
    c->ends = true;
    bufferevent_setwatermark(c->bev, EV_READ, 0, HTTP_HEAD_MAX);
    set_patience(c, c->server->settings.idle_ms);
    (void)bufferevent_enable(c->bev, EV_READ);
    if (evbuffer_get_length(bufferevent_get_input(c->bev)) > 0)
        read_head(c);
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct http_call *c = arg;

    if (c->state == HTTP_HEAD)
        read_head(c);
    else if (c->state == HTTP_BODY)
        read_body(c);
    else if (c->state == HTTP_LINGERING)
        (void)evbuffer_drain(bufferevent_get_input(bev), SIZE_MAX);
}

/* --- answering, ending ----------------------------------------------------------------------------------- */

/* Closing with unread input would reset the connection, and the answer with it. */
static void linger(struct http_call *c)
{
    c->state = HTTP_LINGERING;
    (void)shutdown(bufferevent_getfd(c->bev), SHUT_WR);
    bufferevent_setwatermark(c->bev, EV_READ, 0, HTTP_HEAD_MAX);
    (void)evbuffer_drain(bufferevent_get_input(c->bev), SIZE_MAX);
    set_patience(c, LINGER_MS);
    (void)bufferevent_enable(c->bev, EV_READ);
}

/* The output is empty: the answer has been taken by the kernel. */
static void on_written(struct bufferevent *bev, void *arg)
{
    struct http_call *c = arg;

    if (c->state != HTTP_ANSWERING || evbuffer_get_length(bufferevent_get_output(bev)) > 0)
        return; /* it was 100 Continue */
    if (c->ends)
        linger(c);
    else if (c->server->stopping)
        free_call(c);
    else
        await_request(c);
}

void http_answered(struct http_call *c)
{
    if (c->gone) {
        free_call(c);
        return;
    }
    c->state = HTTP_ANSWERING;
    set_patience(c, c->server->settings.patience_ms);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct http_call *c = arg;

    (void)bev;
    ERR_clear_error();
    if (what & BEV_EVENT_CONNECTED)
        return;
    if (c->state == HTTP_HANDLED)
        c->gone = true;
    else
        free_call(c);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct http_call *c = arg;

    (void)fd;
    (void)what;
    if ((c->state == HTTP_HEAD && !c->ends) || c->state == HTTP_BODY)
        refuse_and_end(c, 408, "the request took too long");
    else
        free_call(c);
}

/* --- accepting ------------------------------------------------------------------------------------------- */

static struct bufferevent *open_socket(struct http_server *s, evutil_socket_t fd)
{
    struct bufferevent *bev = NULL;

    if (s->tls == NULL)
        return bufferevent_socket_new(s->base, fd, BEV_OPT_CLOSE_ON_FREE);
    SSL *ssl = SSL_new(s->tls);
    if (ssl != NULL)
        bev = bufferevent_openssl_socket_new(s->base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                             BEV_OPT_CLOSE_ON_FREE);
    if (bev == NULL)
        SSL_free(ssl);
    else
        bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    return bev;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *addr,
                      int addr_len, void *arg)
{
    struct http_server *s = arg;
    struct http_call *c = calloc(1, sizeof(*c));
    int on = 1;

    (void)addr;
    (void)addr_len;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (c == NULL || (c->timer = evtimer_new(s->base, on_timer, c)) == NULL ||
        (c->bev = open_socket(s, fd)) == NULL) {
        if (c != NULL && c->timer != NULL)
            event_free(c->timer);
        free(c);
        (void)close(fd);
        return;
    }
    c->server = s;
    c->head_bytes = KY_BUF_INIT(HTTP_HEAD_MAX);
    c->body = KY_BUF_INIT(s->settings.body_max);
    c->more = KY_BUF_INIT(MORE_MAX);
    c->next = s->calls;
    if (c->next != NULL)
        c->next->prev = c;
    s->calls = c;
    if (++s->count == s->settings.connections)
        (void)evconnlistener_disable(listener);
    bufferevent_setcb(c->bev, on_read, on_written, on_event, c);
    await_request(c);
}

static void accept_again(evutil_socket_t fd, short what, void *arg)
{
    struct http_server *s = arg;

    (void)fd;
    (void)what;
    if (!s->stopping && s->count < s->settings.connections)
        (void)evconnlistener_enable(s->listener);
}

/* Out of descriptors: without a pause the loop would do nothing else. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    struct http_server *s = arg;
    const struct timeval soon = {.tv_usec = NO_FILES_MS * 1000};

    (void)evconnlistener_disable(listener);
    (void)event_add(s->again, &soon);
}

/* --- the server ------------------------------------------------------------------------------------------ */

static struct ky_status open_tls(struct http_server *s, char *out_why)
{
    const struct http_settings *t = &s->settings;

    if (t->certificate == NULL)
        return KY_STATUS(KY_OK);
    s->tls = SSL_CTX_new(TLS_server_method());
    if (s->tls == NULL)
        return KY_STATUS(KY_NOMEM);
    (void)SSL_CTX_set_options(s->tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                          SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
    (void)SSL_CTX_set_session_cache_mode(s->tls, SSL_SESS_CACHE_OFF);
    if (SSL_CTX_set_min_proto_version(s->tls, TLS1_2_VERSION) == 1 &&
        SSL_CTX_set_cipher_list(s->tls, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1 &&
        SSL_CTX_use_certificate_chain_file(s->tls, t->certificate) == 1 &&
        SSL_CTX_use_PrivateKey_file(s->tls, t->key, SSL_FILETYPE_PEM) == 1 &&
        SSL_CTX_check_private_key(s->tls) == 1)
        return KY_STATUS(KY_OK);
    (void)snprintf(out_why, HTTP_WHY_MAX, "cannot use %s with %s", t->certificate, t->key);
    ERR_clear_error();
    return KY_STATUS(KY_INVALID);
}

static in_port_t *port_of(struct sockaddr_storage *addr)
{
    return addr->ss_family == AF_INET6 ? &((struct sockaddr_in6 *)addr)->sin6_port
                                       : &((struct sockaddr_in *)addr)->sin_port;
}

/* libevent reads no port 0. */
static bool parse_listen(const char *text, struct sockaddr_storage *out, int *out_len)
{
    char copy[64];
    size_t n = strlen(text);
    bool any = n > 2 && strcmp(text + n - 2, ":0") == 0;

    (void)snprintf(copy, sizeof(copy), "%.*s%s", (int)(any ? n - 1 : n), text, any ? "1" : "");
    if (strchr(copy, ':') == NULL ||
        evutil_parse_sockaddr_port(copy, (struct sockaddr *)out, out_len) != 0)
        return false;
    if (any)
        *port_of(out) = 0;
    return *port_of(out) != 0 || any;
}

static struct ky_status open_listener(struct http_server *s, char *out_why)
{
    struct sockaddr_storage addr = {.ss_family = AF_UNSPEC};
    int len = sizeof(addr);
    socklen_t bound_len = sizeof(addr);

    if (!parse_listen(s->settings.listen, &addr, &len)) {
        (void)snprintf(out_why, HTTP_WHY_MAX, "%s is not ADDRESS:PORT", s->settings.listen);
        return KY_STATUS(KY_INVALID);
    }
    s->listener = evconnlistener_new_bind(
        s->base, on_accept, s, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE,
        128, (struct sockaddr *)&addr, len);
    if (s->listener == NULL || getsockname(evconnlistener_get_fd(s->listener),
                                           (struct sockaddr *)&addr, &bound_len) != 0) {
        (void)snprintf(out_why, HTTP_WHY_MAX, "cannot listen on %s", s->settings.listen);
        return KY_STATUS(KY_IO);
    }
    s->port = ntohs(*port_of(&addr));
    evconnlistener_set_error_cb(s->listener, on_accept_error);
    return KY_STATUS(KY_OK);
}

static void fill(uint32_t *value, uint32_t standard)
{
    *value = *value == 0 ? standard : *value;
}

struct ky_status http_server_open(struct event_base *base, const struct http_settings *settings,
                                  struct http_server **out_server, char *out_why)
{
    struct http_server *s = calloc(1, sizeof(*s));
    struct ky_status st;

    out_why[0] = '\0';
    if (s == NULL)
        return KY_STATUS(KY_NOMEM);
    s->base = base;
    s->settings = *settings;
    s->settings.body_max = settings->body_max == 0 ? BODY_MAX : settings->body_max;
    fill(&s->settings.connections, CONNECTIONS);
    fill(&s->settings.patience_ms, PATIENCE_MS);
    fill(&s->settings.idle_ms, IDLE_MS);
    s->again = evtimer_new(base, accept_again, s);
    st = s->again != NULL ? open_tls(s, out_why) : KY_STATUS(KY_NOMEM);
    if (ky_ok(st))
        st = open_listener(s, out_why);
    if (ky_ok(st))
        *out_server = s;
    else
        http_server_close(&s);
    return st;
}

uint16_t http_server_port(const struct http_server *s)
{
    return s->port;
}

void http_server_stop(struct http_server *s)
{
    struct http_call *next;

    s->stopping = true;
    (void)evconnlistener_disable(s->listener);
    if (s->count == 0 && s->settings.on_stopped != NULL)
        s->settings.on_stopped(s->settings.arg);
    for (struct http_call *c = s->calls; c != NULL; c = next) {
        next = c->next;
        if (c->state == HTTP_HEAD && c->ends)
            free_call(c);
    }
}

void http_server_close(struct http_server **server)
{
    struct http_server *s = *server;

    if (s == NULL)
        return;
    *server = NULL;
    s->stopping = true;
    s->settings.on_stopped = NULL;
    while (s->calls != NULL)
        free_call(s->calls);
    if (s->listener != NULL)
        evconnlistener_free(s->listener);
    if (s->again != NULL)
        event_free(s->again);
    SSL_CTX_free(s->tls);
    free(s);
}
