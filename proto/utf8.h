/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8, strictly by RFC 3629. Private to proto/. Any thread. */
#ifndef KYSO_PROTO_UTF8_H
#define KYSO_PROTO_UTF8_H

#include "kyso/span.h"

/* Valid UTF-8 without NUL, so that a C string of it loses nothing. */
bool ky_utf8_is_cstr(struct ky_span s);

#endif
