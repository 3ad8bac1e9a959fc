/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of policy/ share: cmocka, hex, and a comparison of statuses that says
 * which row of a table failed.
 */
#ifndef KYSO_POLICY_TEST_H
#define KYSO_POLICY_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kyso/policy.h"

#define EXPECT(expected, status, row)                                                              \
    do {                                                                                           \
        const enum ky_code got_ = (status).code;                                                   \
        if (got_ != (expected)) {                                                                  \
            fail_msg("%s: code %d, expected %d", (row), (int)got_, (int)(expected));               \
        }                                                                                          \
    } while (0)

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

static inline uint8_t hex_nibble(char c)
{
    const char *const digits = "0123456789abcdef";
    const char *const at = strchr(digits, c);
    assert_non_null(at);
    return (uint8_t)(at - digits);
}

/* Decodes into out and returns a span over exactly the bytes decoded. */
static inline struct ky_span unhex(const char *hex, uint8_t *out, size_t cap)
{
    const size_t len = strlen(hex) / 2;
    assert_true(len <= cap);
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)(hex_nibble(hex[2 * i]) << 4 | hex_nibble(hex[2 * i + 1]));
    }
    return KY_SPAN(out, len);
}

static inline struct ky_span text(const char *s)
{
    return KY_SPAN((const uint8_t *)s, strlen(s));
}

#endif
