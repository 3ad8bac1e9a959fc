/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server on a loopback socket, its peer played by the test in the same loop: answers now and later, bodies, JSON, routes,
 * pipelining, patience, too many peers, peers that hang up, and stopping.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "http.h"

#define CONNECTIONS 3u
#define HOST        "Host: a\r\n"

static struct world {
    struct event_base *base;
    struct http_server *server;
    struct http_call *held; /* what /later keeps */
    unsigned stopped, handled;
} w;

static void on_hello(void *arg, struct http_call *c)
{
    struct world *x = arg;

    x->handled++;
    http_set_header(c, "X-One", "1");
    http_reply(c, 200, "text/plain", ky_span_text("hello"));
}

static void on_later(void *arg, struct http_call *c)
{
    struct world *x = arg;

    x->handled++;
    x->held = c;
}

static void on_echo(void *arg, struct http_call *c)
{
    json_t *in = http_json(c);

    (void)arg;
    if (in != NULL)
        http_reply_json(c, 200, json_pack("{s:O}", "got", in));
}

static void on_item(void *arg, struct http_call *c)
{
    struct ky_span cookie = http_cookie(c, "b");
    char text[64];

    (void)arg;
    (void)snprintf(text, sizeof(text), "%.*s %.*s %.*s", (int)http_wildcard(c, 0).len,
                   (const char *)http_wildcard(c, 0).data, (int)http_wildcard(c, 1).len,
                   (const char *)http_wildcard(c, 1).data, (int)cookie.len,
                   (const char *)cookie.data);
    http_reply(c, 200, "text/plain", ky_span_text(text));
}

static void on_stopped(void *arg)
{
    ((struct world *)arg)->stopped++;
}

static const struct http_route routes[] = {
    {"GET", "/hello", on_hello},
    {"GET", "/later", on_later},
    {"POST", "/echo", on_echo},
    {"GET", "/item/*/of/*", on_item},
};

static int set_up_patient(uint32_t patience_ms)
{
    const struct http_settings settings = {
        .listen = "127.0.0.1:0",
        .routes = routes,
        .route_count = sizeof(routes) / sizeof(routes[0]),
        .on_stopped = on_stopped,
        .arg = &w,
        .body_max = 10000,
        .connections = CONNECTIONS,
        .patience_ms = patience_ms,
        .idle_ms = 60000,
    };
    char why[HTTP_WHY_MAX];

    w = (struct world){.base = event_base_new()};
    assert_true(ky_ok(http_server_open(w.base, &settings, &w.server, why)));
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    return set_up_patient(60000);
}

static int set_up_impatient(void **state)
{
    (void)state;
    return set_up_patient(100);
}

static int tear_down(void **state)
{
    (void)state;
    http_server_close(&w.server);
    event_base_free(w.base);
    return 0;
}

/* --- the peer ------------------------------------------------------------------------------------------ */

static int dial(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(http_server_port(w.server))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

struct heard {
    char text[32768];
    size_t len;
    bool ended;
};

/* Turns the loop until the peer has heard `enough`, or (NULL) the end of the connection. */
static void hear(int fd, struct heard *h, const char *enough)
{
    time_t until = time(NULL) + 30;

    *h = (struct heard){.len = 0};
    while (!h->ended && (enough == NULL || strstr(h->text, enough) == NULL)) {
        (void)event_base_loop(w.base, EVLOOP_NONBLOCK);
        ssize_t n = recv(fd, h->text + h->len, sizeof(h->text) - h->len - 1, MSG_DONTWAIT);
        if (n > 0)
            h->len += (size_t)n;
        h->ended = n == 0 || (n < 0 && errno != EAGAIN);
        if (time(NULL) > until)
            fail_msg("nothing more came after: %s", h->text);
    }
}

static struct heard ask(const char *text, const char *enough)
{
    struct heard h;
    int fd = dial();

    say(fd, text);
    hear(fd, &h, enough);
    (void)close(fd);
    return h;
}

static unsigned status_of(const struct heard *h)
{
    unsigned status = 0;

    (void)sscanf(h->text, "HTTP/1.1 %u ", &status);
    return status;
}

/* --- tests --------------------------------------------------------------------------------------------- */

static void test_answer(void **state)
{
    struct heard h = ask("GET /hello HTTP/1.1\r\n" HOST "\r\n", "hello");

    (void)state;
    assert_int_equal(status_of(&h), 200);
    assert_non_null(strstr(h.text, "\r\nX-One: 1\r\n"));
    assert_non_null(strstr(h.text, "\r\nContent-Length: 5\r\n"));
    assert_non_null(strstr(h.text, "\r\nContent-Security-Policy: default-src 'none'"));
    assert_non_null(strstr(h.text, "\r\nX-Content-Type-Options: nosniff\r\n"));
    assert_non_null(strstr(h.text, "\r\nCache-Control: no-store\r\n"));
    assert_null(strstr(h.text, "Connection: close"));
    h = ask("HEAD /hello HTTP/1.1\r\nConnection: close\r\n" HOST "\r\n", NULL);
    assert_int_equal(status_of(&h), 200);
    assert_null(strstr(h.text, "hello"));
}

static void test_refusals(void **state)
{
    static const struct {
        const char *text;
        unsigned status;
    } rows[] = {
        {"GET /nothing HTTP/1.1\r\n" HOST "\r\n", 404},
        {"POST /hello HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", 405},
        {"GET /hello/ HTTP/1.1\r\n" HOST "\r\n", 404},
        {"GET /item//of/2 HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET / HTTP/9.9\r\n" HOST "\r\n", 505},
        {"POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501},
        {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 10001\r\n\r\n", 413},
        {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}", 415},
        {"POST /echo HTTP/1.1\r\n" HOST "Content-Type: text/json\r\nContent-Length: 2\r\n\r\n{}", 415},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct heard h = ask(rows[i].text, "}");
        if (status_of(&h) != rows[i].status)
            fail_msg("%s: %s", rows[i].text, h.text);
    }
}

static void test_json(void **state)
{
    static const struct {
        const char *body;
        const char *answer;
    } rows[] = {
        {"{\"a\":[1,\"\\\"[[[[\"]}", "200"},
        {"{\"a\":1,\"a\":2}", "400"},
        {"[1]", "400"},
        {"{\"a\":1}x", "400"},
        {"{\"a\":\"\xff\"}", "400"},
        {"{\"a\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}", "400"},
        {"{\"a\":[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]}", "200"},
        {"", "400"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[512];
        struct heard h;

        (void)snprintf(text, sizeof(text),
                       "POST /echo HTTP/1.1\r\n" HOST
                       "content-type: Application/JSON; charset=utf-8\r\nContent-Length: %zu\r\n\r\n%s",
                       strlen(rows[i].body), rows[i].body);
        h = ask(text, "}");
        if (strncmp(h.text + 9, rows[i].answer, 3) != 0)
            fail_msg("%s: %s", rows[i].body, h.text);
    }
}

static void test_wildcards_and_cookies(void **state)
{
    struct heard h = ask("GET /item/a.b/of/c HTTP/1.1\r\n" HOST
                         "Cookie: bb=1; b=two; c=3\r\n\r\n", "a.b c two");

    (void)state;
    assert_int_equal(status_of(&h), 200);
}

/* Two requests in one write, the second's body in pieces: one after the other, each answered once. */
static void test_one_after_another(void **state)
{
    struct heard h;
    int fd = dial();

    (void)state;
    say(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\nPOST /echo HTTP/1.1\r\n" HOST
            "Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n{\"a\"");
    hear(fd, &h, "100 Continue\r\n\r\n");
    say(fd, ":1}GET /hello HTTP/1.1\r\nConnection: close\r\n" HOST "\r\n");
    hear(fd, &h, NULL);
    assert_non_null(strstr(h.text, "{\"got\":{\"a\":1}}HTTP/1.1 200 OK"));
    assert_int_equal(w.handled, 2);
    (void)close(fd);
}

static void test_later(void **state)
{
    struct heard h;
    int fd = dial();

    (void)state;
    say(fd, "GET /later HTTP/1.1\r\n" HOST "\r\nGET /hello HTTP/1.1\r\n" HOST "\r\n");
    while (w.held == NULL)
        (void)event_base_loop(w.base, EVLOOP_ONCE);
    (void)event_base_loop(w.base, EVLOOP_NONBLOCK);
    assert_int_equal(w.handled, 1); /* nothing is read meanwhile */
    http_reply(w.held, 200, "text/plain", ky_span_text("at last"));
    hear(fd, &h, "hello");
    assert_non_null(strstr(h.text, "at last"));
    (void)close(fd);
    /* Who hangs up before the answer costs nothing but that answer. */
    w.held = NULL;
    fd = dial();
    say(fd, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    while (w.held == NULL)
        (void)event_base_loop(w.base, EVLOOP_ONCE);
    (void)close(fd);
    (void)event_base_loop(w.base, EVLOOP_NONBLOCK);
    http_reply(w.held, 200, "text/plain", ky_span_text("nobody hears"));
    h = ask("GET /hello HTTP/1.1\r\n" HOST "\r\n", "hello");
}

static void test_patience(void **state)
{
    static const char *const slow[] = {
        "GET /hel",
        "POST /echo HTTP/1.1\r\n" HOST "Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(slow) / sizeof(slow[0]); i++) {
        struct heard h = ask(slow[i], NULL);
        assert_int_equal(status_of(&h), 408);
    }
}

static void test_too_large_a_head(void **state)
{
    struct heard h;
    char text[9000];
    int fd = dial();

    (void)state;
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    memcpy(text, "GET /", 5);
    say(fd, text);
    hear(fd, &h, NULL);
    assert_int_equal(status_of(&h), 431);
    (void)close(fd);
}

/* The one too many is not accepted until another has gone. */
static void test_too_many(void **state)
{
    struct heard h;
    int held[CONNECTIONS];

    (void)state;
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        held[i] = dial();
        say(held[i], "GET /hello HTTP/1.1\r\n" HOST "\r\n");
        hear(held[i], &h, "hello");
    }
    int fd = dial(); /* the kernel's queue takes it */
    say(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    for (int i = 0; i < 10; i++)
        (void)event_base_loop(w.base, EVLOOP_NONBLOCK);
    assert_int_equal(w.handled, CONNECTIONS);
    (void)close(held[0]);
    hear(fd, &h, "hello");
    (void)close(fd);
    for (unsigned i = 1; i < CONNECTIONS; i++)
        (void)close(held[i]);
}

static void test_stop(void **state)
{
    struct heard h;
    int idle = dial(), busy = dial();

    (void)state;
    say(idle, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    hear(idle, &h, "hello");
    say(busy, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    while (w.held == NULL)
        (void)event_base_loop(w.base, EVLOOP_ONCE);
    http_server_stop(w.server);
    hear(idle, &h, NULL);
    assert_int_equal(w.stopped, 0);
    http_reply(w.held, 200, "text/plain", ky_span_text("the last"));
    hear(busy, &h, NULL);
    assert_non_null(strstr(h.text, "Connection: close"));
    assert_non_null(strstr(h.text, "the last"));
    (void)close(idle);
    (void)close(busy);
    while (w.stopped == 0)
        (void)event_base_loop(w.base, EVLOOP_ONCE);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_answer),
        CASE(test_refusals),
        CASE(test_json),
        CASE(test_wildcards_and_cookies),
        CASE(test_one_after_another),
        CASE(test_later),
        cmocka_unit_test_setup_teardown(test_patience, set_up_impatient, tear_down),
        CASE(test_too_large_a_head),
        CASE(test_too_many),
        CASE(test_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
