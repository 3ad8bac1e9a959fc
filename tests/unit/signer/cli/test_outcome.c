/* SPDX-License-Identifier: Apache-2.0 */
/* What a server says at a call's end is read within bounds, whatever it says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client_internal.h"

static void percent_escapes(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"plain", "plain"}, {"a%20b", "a b"}, {"100%", "100%"},       {"%zz", "%zz"},
        {"%4", "%4"},       {"%C4%91", "đ"},  {"x%0Ay%1B[", "x y ["}, {"", ""},
    };
    char out[64];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        client_percent_decode((const uint8_t *)rows[i].in, strlen(rows[i].in), out, sizeof out);
        assert_string_equal(out, rows[i].out);
    }
    client_percent_decode((const uint8_t *)"123456789", 9, out, 5);
    assert_string_equal(out, "1234");
}

static void base64_with_and_without_padding(void **state)
{
    struct ky_buf b = KY_BUF_INIT(16);

    (void)state;
    assert_true(client_base64((const uint8_t *)"Zm9vYg==", 8, &b));
    assert_true(client_base64((const uint8_t *)"YXI", 3, &b));
    assert_int_equal(b.len, 6);
    assert_memory_equal(b.data, "foobar", 6);
    assert_false(client_base64((const uint8_t *)"Zm9v*", 5, &b));
    assert_false(
        client_base64((const uint8_t *)"AAAAAAAAAAAAAAAAAAAAAAAA", 24, &b)); /* past the maximum */
    ky_buf_free(&b);
}

/*
 * google.rpc.Status { code: 8, message: "full", details: [Any { ErrorDetail { code: "busy", retry:
 * 1, after: 250 } }] }
 */
static const uint8_t good[] = "\x08\x08\x12\x04"
                              "full\x1a\x36\x0a\x27type.googleapis.com/kyso.v1.ErrorDetail"
                              "\x12\x0b\x0a\x04"
                              "busy\x10\x01\x18\xfa\x01";

static void read_outcome(const uint8_t *bytes, size_t n, struct client_outcome *out)
{
    struct client_call call = {.grpc_status = 8, .details = KY_BUF_INIT(4096)};

    ky_buf_put(&call.details, bytes, n);
    client_outcome_read(&call, 0, out);
    ky_buf_free(&call.details);
}

static void details_are_read(void **state)
{
    struct client_outcome o;

    (void)state;
    read_outcome(good, sizeof good - 1, &o);
    assert_int_equal(o.code, KY_BUSY);
    assert_string_equal(o.detail_code, "busy");
    assert_int_equal(o.retry, 1);
    assert_int_equal(o.retry_after_ms, 250);
}

static void broken_details_leave_the_status(void **state)
{
    uint8_t bytes[sizeof good];
    struct client_outcome o;

    (void)state;
    for (size_t n = 0; n < sizeof good - 1;
         n++) { /* every truncation, in memory of just that size */
        uint8_t *cut = malloc(n + 1);

        memcpy(cut, good, n);
        read_outcome(cut, n, &o);
        assert_int_equal(o.grpc_status, 8);
        assert_int_equal(o.code, KY_BUSY); /* by the gRPC status alone */
        free(cut);
    }
    for (size_t bit = 0; bit < (sizeof good - 1) * 8; bit++) { /* every flipped bit */
        memcpy(bytes, good, sizeof good);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        read_outcome(bytes, sizeof good - 1, &o);
        assert_int_equal(o.grpc_status, 8);
        assert_true(memchr(o.detail_code, '\0', sizeof o.detail_code) != NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percent_escapes),
        cmocka_unit_test(base64_with_and_without_padding),
        cmocka_unit_test(details_are_read),
        cmocka_unit_test(broken_details_leave_the_status),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
