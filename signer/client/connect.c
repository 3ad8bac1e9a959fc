/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's transport: a non-blocking socket, over TLS 1.3 with both certificates or plain on a
 * Unix socket. The server is known by its CA and by its name or address; HTTP/2 is demanded by
 * ALPN.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "client_internal.h"
#include "kyso/record.h"

#define READ_AHEAD (2u * 16640u) /* two full TLS records by one recv(2) */

static const unsigned char alpn_h2[] = {2, 'h', '2'};

static void explain(struct client *c, const char *what, const char *why)
{
    (void)snprintf(c->why, sizeof c->why, "%s: %s", what, why);
}

static void explain_tls(struct client *c, const char *what)
{
    unsigned long e = ERR_peek_last_error();
    const char *reason = e != 0 ? ERR_reason_error_string(e) : NULL;
    long verify = c->ssl != NULL ? SSL_get_verify_result(c->ssl) : X509_V_OK;

    if (verify != X509_V_OK)
        reason = X509_verify_cert_error_string(verify);
    explain(c, what, reason != NULL ? reason : "the connection was closed");
    ERR_clear_error();
}

static void explain_file(const char *path, char *out_why)
{
    unsigned long e = ERR_peek_last_error();
    bool absent = access(path, R_OK) != 0;
    const char *reason = absent ? strerror(errno) : ERR_reason_error_string(e);

    (void)snprintf(out_why, CLIENT_TEXT_MAX, "%s: %s", path,
                   reason != NULL ? reason : "not what it must be");
    ERR_clear_error();
}

static bool wait_fd(int fd, short events, uint64_t deadline_us)
{
    uint64_t now = ky_now_us();
    struct pollfd p = {.fd = fd, .events = events};

    if (now >= deadline_us)
        return false;
    return poll(&p, 1, (int)((deadline_us - now) / 1000u) + 1) > 0;
}

/* "host:port" or "[v6]:port" */
static bool split_endpoint(const char *endpoint, char host[CLIENT_HOST_MAX], char port[8])
{
    const char *colon = strrchr(endpoint, ':');
    const char *from = endpoint;
    size_t n;

    if (colon == NULL || colon == endpoint || strlen(colon + 1) == 0 || strlen(colon + 1) > 7)
        return false;
    n = (size_t)(colon - endpoint);
    if (endpoint[0] == '[') {
        if (n < 3 || endpoint[n - 1] != ']')
            return false;
        from++;
        n -= 2;
    }
    return ky_span_to_cstr(KY_SPAN((const uint8_t *)from, n), host, CLIENT_HOST_MAX) &&
           ky_span_to_cstr(ky_span_text(colon + 1), port, 8);
}

/* Starts and awaits one connect(2), or with deadline 0 only starts it; returns 0 or an errno. */
static int connect_within(int fd, const struct sockaddr *addr, socklen_t len, uint64_t deadline_us)
{
    int error = 0;
    socklen_t error_len = sizeof error;

    if (connect(fd, addr, len) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return errno;
    if (deadline_us == 0)
        return 0;
    if (!wait_fd(fd, POLLOUT, deadline_us))
        return ETIMEDOUT;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len) != 0)
        return errno;
    return error;
}

static struct ky_status open_unix(struct client *c, const char *path, uint64_t deadline_us)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int error;

    if (!ky_span_to_cstr(ky_span_text(path), addr.sun_path, sizeof addr.sun_path)) {
        explain(c, path, "the socket's path is too long");
        return KY_STATUS(KY_INVALID);
    }
    (void)snprintf(c->authority, sizeof c->authority, "localhost");
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return KY_STATUS_CAUSE(KY_UNAVAILABLE, errno);
    error = connect_within(c->fd, (const struct sockaddr *)&addr, sizeof addr, deadline_us);
    if (error != 0) {
        explain(c, path, strerror(error));
        return KY_STATUS_CAUSE(KY_UNAVAILABLE, error);
    }
    return KY_STATUS(KY_OK);
}

static struct ky_status open_tcp(struct client *c, const char *host, const char *port,
                                 uint64_t deadline_us)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int error = getaddrinfo(host, port, &hints, &list);
    int one = 1;

    if (error != 0) {
        explain(c, host, gai_strerror(error));
        return KY_STATUS(KY_UNAVAILABLE);
    }
    error = EADDRNOTAVAIL;
    for (struct addrinfo *a = list; a != NULL && error != 0; a = a->ai_next) {
        c->fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (c->fd < 0) {
            error = errno;
            continue;
        }
        error = connect_within(c->fd, a->ai_addr, a->ai_addrlen, deadline_us);
        if (error != 0) {
            (void)close(c->fd);
            c->fd = -1;
        }
    }
    freeaddrinfo(list);
    if (error != 0) {
        explain(c, c->authority, strerror(error));
        return KY_STATUS_CAUSE(KY_UNAVAILABLE, error);
    }
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return KY_STATUS(KY_OK);
}

static bool load_files(SSL_CTX *ctx, const struct client_target *t, const char **out_what)
{
    const char *what = NULL;

    if (SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_alpn_protos(ctx, alpn_h2, sizeof alpn_h2) != 0)
        what = "TLS 1.3 settings";
    else if (t->ca == NULL || SSL_CTX_load_verify_locations(ctx, t->ca, NULL) != 1)
        what = t->ca != NULL ? t->ca : "the CA file";
    else if (t->certificate != NULL && SSL_CTX_use_certificate_chain_file(ctx, t->certificate) != 1)
        what = t->certificate;
    else if (t->key != NULL && SSL_CTX_use_PrivateKey_file(ctx, t->key, SSL_FILETYPE_PEM) != 1)
        what = t->key;
    *out_what = what;
    return what == NULL;
}

struct ky_status client_tls_load(const struct client_target *t, struct ssl_ctx_st **out_tls, char *out_why)
{
    const char *what = "TLS";
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    out_why[0] = '\0';
    if (ctx == NULL || !load_files(ctx, t, &what)) {
        explain_file(what, out_why);
        SSL_CTX_free(ctx);
        return KY_STATUS(KY_INVALID);
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_default_read_buffer_len(ctx, READ_AHEAD);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    *out_tls = ctx;
    return KY_STATUS(KY_OK);
}

static bool expect_name(SSL *ssl, const char *name)
{
    struct in6_addr any;

    if (inet_pton(AF_INET, name, &any) == 1 || inet_pton(AF_INET6, name, &any) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

static bool start_tls(struct client *c, const char *name)
{
    c->ssl = SSL_new(c->ctx);
    if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1 || !expect_name(c->ssl, name))
        return false;
    SSL_set_connect_state(c->ssl);
    return true;
}

struct ky_status client_shake_hands(struct client *c, short *out_wants)
{
    const unsigned char *alpn = NULL;
    unsigned int alpn_len = 0;
    int rc;

    *out_wants = 0;
    ERR_clear_error(); /* SSL_get_error reads the thread's queue: another's error is not this call's */
    rc = SSL_do_handshake(c->ssl);
    if (rc != 1) {
        int e = SSL_get_error(c->ssl, rc);
        bool refused = SSL_get_verify_result(c->ssl) != X509_V_OK;

        if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
            *out_wants = e == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
            return KY_STATUS(KY_OK);
        }
        explain_tls(c, refused ? "the server's certificate was refused" : "TLS");
        return KY_STATUS(refused ? KY_UNAUTHENTICATED : KY_UNAVAILABLE);
    }
    SSL_get0_alpn_selected(c->ssl, &alpn, &alpn_len);
    if (alpn_len != 2 || alpn[0] != 'h' || alpn[1] != '2') {
        explain(c, c->authority, "the server does not speak HTTP/2 (no h2 in ALPN)");
        return KY_STATUS(KY_UNAVAILABLE);
    }
    return KY_STATUS(KY_OK);
}

static struct ky_status shake_hands_within(struct client *c, uint64_t deadline_us)
{
    short wants = 0;
    struct ky_status st = client_shake_hands(c, &wants);

    for (; ky_ok(st) && wants != 0; st = client_shake_hands(c, &wants))
        if (!wait_fd(c->fd, wants, deadline_us)) {
            explain(c, c->authority, "the TLS handshake took too long");
            return KY_STATUS(KY_UNAVAILABLE);
        }
    return st;
}

struct ky_status client_connect(struct client *c, const struct client_target *t,
                                uint64_t deadline_us)
{
    char host[CLIENT_HOST_MAX];
    char port[8];
    struct ky_status st;

    if (t->unix_path != NULL)
        return open_unix(c, t->unix_path, deadline_us);
    if (t->endpoint == NULL || !split_endpoint(t->endpoint, host, port)) {
        explain(c, t->endpoint != NULL ? t->endpoint : "no endpoint", "expected host:port");
        return KY_STATUS(KY_INVALID);
    }
    (void)snprintf(c->authority, sizeof c->authority, "%s", t->endpoint);
    if (t->tls != NULL && SSL_CTX_up_ref(t->tls) == 1)
        c->ctx = t->tls;
    else if (!ky_ok(st = client_tls_load(t, &c->ctx, c->why)))
        return st;
    st = open_tcp(c, host, port, deadline_us);
    if (!ky_ok(st))
        return st;
    if (!start_tls(c, t->server_name != NULL ? t->server_name : host))
        return KY_STATUS(KY_INVALID);
    c->opening = deadline_us == 0 ? POLLOUT : 0;
    return c->opening != 0 ? st : shake_hands_within(c, deadline_us);
}

void client_disconnect(struct client *c)
{
    if (c->ssl != NULL && !c->gone)
        (void)SSL_shutdown(c->ssl); /* our close_notify; nobody waits for theirs */
    SSL_free(c->ssl);
    c->ssl = NULL;
    SSL_CTX_free(c->ctx);
    c->ctx = NULL;
    if (c->fd >= 0)
        (void)close(c->fd);
    c->fd = -1;
}

static enum client_io plain_result(struct client *c, ssize_t n, size_t *out_n)
{
    if (n > 0) {
        *out_n = (size_t)n;
        return CLIENT_IO_DONE;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return CLIENT_IO_AGAIN;
    explain(c, "connection lost", n == 0 ? "closed by the server" : strerror(errno));
    return CLIENT_IO_GONE;
}

static enum client_io tls_result(struct client *c, int rc)
{
    switch (SSL_get_error(c->ssl, rc)) {
    case SSL_ERROR_WANT_WRITE:
        c->read_wants_write = true;
        return CLIENT_IO_AGAIN;
    case SSL_ERROR_WANT_READ:
        return CLIENT_IO_AGAIN;
    default:
        explain_tls(c, "connection lost");
        return CLIENT_IO_GONE;
    }
}

enum client_io client_read_bytes(struct client *c, uint8_t *to, size_t cap, size_t *out_n)
{
    int rc;

    if (c->ssl == NULL)
        return plain_result(c, recv(c->fd, to, cap, 0), out_n);
    c->read_wants_write = false;
    ERR_clear_error();
    rc = SSL_read_ex(c->ssl, to, cap, out_n);
    return rc == 1 ? CLIENT_IO_DONE : tls_result(c, rc);
}

bool client_has_bytes(const struct client *c)
{
    return c->ssl != NULL && SSL_has_pending(c->ssl);
}

enum client_io client_write_bytes(struct client *c, const uint8_t *from, size_t n, size_t *out_n)
{
    int rc;

    if (c->ssl == NULL)
        return plain_result(c, send(c->fd, from, n, MSG_NOSIGNAL), out_n);
    ERR_clear_error();
    rc = SSL_write_ex(c->ssl, from, n, out_n);
    return rc == 1 ? CLIENT_IO_DONE : tls_result(c, rc);
}
