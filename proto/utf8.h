/* SPDX-License-Identifier: Apache-2.0 */
/* One code point at a time, strictly by RFC 3629. Private to proto/. Any thread. */
#ifndef KYSO_PROTO_UTF8_H
#define KYSO_PROTO_UTF8_H

#include "kyso/span.h"

/*
 * Bytes of the first code point of s (1..4), stored in *out_point; 0 when s is empty, truncated,
 * overlong, a surrogate or above U+10FFFF.
 */
size_t ky_utf8_next(struct ky_span s, uint32_t *out_point);
/* Valid UTF-8 without NUL, so that a C string of it loses nothing. */
bool ky_utf8_is_cstr(struct ky_span s);

#endif
