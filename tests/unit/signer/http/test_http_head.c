/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of a request: what is taken, and every dressing by which one request could look like two, or like another.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "head.h"

#define HOST "Host: a\r\n"

static const struct {
    const char *name;
    const char *text;
    int status;
} heads[] = {
    {"plain", "GET / HTTP/1.1\r\n" HOST "\r\n", 0},
    {"a query", "GET /a/b.css?x=1&y=%20 HTTP/1.1\r\n" HOST "\r\n", 0},
    {"http 1.0 needs no host", "GET / HTTP/1.0\r\n\r\n", 0},
    {"a body", "POST /x HTTP/1.1\r\n" HOST "Content-Length: 12\r\n\r\n", 0},
    {"an obsolete byte in a value", "GET / HTTP/1.1\r\n" HOST "X: \xc3\xa9\r\n\r\n", 0},
    {"no host", "GET / HTTP/1.1\r\n\r\n", 400},
    {"two hosts", "GET / HTTP/1.1\r\n" HOST HOST "\r\n", 400},
    {"bare line feeds", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
    {"a line feed inside a value", "GET / HTTP/1.1\r\n" HOST "X: a\nY: b\r\n\r\n", 400},
    {"a carriage return inside a value", "GET / HTTP/1.1\r\n" HOST "X: a\rY: b\r\n\r\n", 400},
    {"a folded line", "GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n", 400},
    {"a blank before the colon", "POST / HTTP/1.1\r\n" HOST "Content-Length : 3\r\n\r\n", 400},
    {"no colon", "GET / HTTP/1.1\r\n" HOST "Nothing\r\n\r\n", 400},
    {"no name", "GET / HTTP/1.1\r\n" HOST ": x\r\n\r\n", 400},
    {"two lengths", "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 3\r\n\r\n", 400},
    {"a list of lengths", "POST / HTTP/1.1\r\n" HOST "Content-Length: 3, 3\r\n\r\n", 400},
    {"a signed length", "POST / HTTP/1.1\r\n" HOST "Content-Length: +3\r\n\r\n", 400},
    {"a hexadecimal length", "POST / HTTP/1.1\r\n" HOST "Content-Length: 0x3\r\n\r\n", 400},
    {"an endless length", "POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551619\r\n\r\n", 400},
    {"no length's digits", "POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", 400},
    {"chunks", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", 501},
    {"chunks and a length",
     "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\ntransfer-encoding: xchunked\r\n\r\n", 501},
    {"two blanks", "GET  / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"no target", "GET HTTP/1.1\r\n" HOST "\r\n", 400},
    {"a whole address", "GET http://b/ HTTP/1.1\r\n" HOST "\r\n", 400},
    {"an escape", "GET /%2e%2e/x HTTP/1.1\r\n" HOST "\r\n", 400},
    {"a way up", "GET /../x HTTP/1.1\r\n" HOST "\r\n", 400},
    {"an empty segment", "GET //x HTTP/1.1\r\n" HOST "\r\n", 400},
    {"a fragment", "GET /x?a#b HTTP/1.1\r\n" HOST "\r\n", 400},
    {"a backslash", "GET /\\x HTTP/1.1\r\n" HOST "\r\n", 400},
    {"http 2", "GET / HTTP/2.0\r\n" HOST "\r\n", 505},
    {"no http", "GET / ICAP/1.0\r\n" HOST "\r\n", 400},
    {"no version", "GET /\r\n" HOST "\r\n", 400},
    {"something after the end", "GET / HTTP/1.1\r\n" HOST "\r\nX", 400},
    {"another expectation", "POST / HTTP/1.1\r\n" HOST "Expect: magic\r\n\r\n", 417},
    {"nothing", "", 400},
};

static void test_heads(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        struct http_head h;
        /* exactly as long as it is: a byte too far is seen */
        size_t n = strlen(heads[i].text);
        uint8_t *copy = malloc(n + (n == 0));

        memcpy(copy, heads[i].text, n);
        int status = http_head_parse(KY_SPAN(copy, n), &h);
        if (status != heads[i].status)
            fail_msg("%s: %d, not %d", heads[i].name, status, heads[i].status);
        for (size_t k = 0; k < n && heads[i].status == 0; k++) /* cut off: never taken */
            assert_int_not_equal(http_head_parse(KY_SPAN(copy, k), &h), 0);
        free(copy);
    }
}

static void test_parts(void **state)
{
    static const char text[] = "POST /a/b?c=d HTTP/1.1\r\n" HOST
                               "Content-Length: 0012\r\nEXPECT: 100-Continue\r\nX-One: \t v w \t\r\n\r\n";
    struct http_head h;

    (void)state;
    assert_int_equal(http_head_parse(ky_span_text(text), &h), 0);
    assert_true(ky_span_eq(h.method, ky_span_text("POST")));
    assert_true(ky_span_eq(h.path, ky_span_text("/a/b")));
    assert_true(ky_span_eq(h.query, ky_span_text("c=d")));
    assert_int_equal(h.content_length, 12);
    assert_true(h.keep_alive && h.expects_continue);
    assert_int_equal(h.field_count, 4);
    assert_true(ky_span_eq(h.fields[3].value, ky_span_text("v w")));
    assert_int_equal(http_head_parse(ky_span_text("GET / HTTP/1.1\r\n" HOST "Connection: Close\r\n\r\n"), &h), 0);
    assert_false(h.keep_alive);
    assert_int_equal(http_head_parse(ky_span_text("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), &h), 0);
    assert_false(h.keep_alive);
}

static void test_too_much(void **state)
{
    char text[HTTP_HEAD_MAX + 64] = "GET / HTTP/1.1\r\n" HOST;
    struct http_head h;

    (void)state;
    for (int i = 0; i < 64; i++)
        strcat(text, "A: b\r\n");
    strcat(text, "\r\n");
    assert_int_equal(http_head_parse(ky_span_text(text), &h), 431);
    (void)snprintf(text, sizeof(text), "GET /%02100d HTTP/1.1\r\n" HOST "\r\n", 7);
    assert_int_equal(http_head_parse(ky_span_text(text), &h), 414);
    memset(text, 'A', sizeof(text));
    assert_int_equal(http_head_parse(KY_SPAN((const uint8_t *)text, sizeof(text)), &h), 431);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
