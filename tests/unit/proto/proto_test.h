/* SPDX-License-Identifier: Apache-2.0 */
/* What the proto tests share: cmocka in its order, bytes from hexadecimal text, a status check. */
#ifndef KYSO_PROTO_TEST_H
#define KYSO_PROTO_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kyso/span.h"
#include "kyso/status.h"

#define ROWS(array)        (sizeof(array) / sizeof((array)[0]))
#define EXPECT(want, call) assert_int_equal(want, (call).code)
#define TEXT(literal)      KY_SPAN((const uint8_t *)(literal), sizeof(literal) - 1)

/* Bytes of a hexadecimal string, spaces allowed, into out; returns how many. */
static inline size_t from_hex(const char *hex, uint8_t *out, size_t cap)
{
    size_t n = 0;
    while (*hex != '\0') {
        if (*hex == ' ') {
            hex++;
            continue;
        }
        const char pair[3] = {hex[0], hex[1], '\0'};
        assert_true(n < cap);
        char *end;
        out[n++] = (uint8_t)strtoul(pair, &end, 16);
        assert_true(end == pair + 2);
        hex += 2;
    }
    return n;
}

/* A heap copy of exactly s.len bytes, so that the sanitizer sees a read past its end. */
static inline uint8_t *tight_copy(struct ky_span s)
{
    uint8_t *copy = malloc(s.len == 0 ? 1 : s.len);
    assert_non_null(copy);
    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    return copy;
}

#endif
