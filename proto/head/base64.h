/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 (RFC 4648 s.4, padded, one line) of public bytes. Any thread.
 */
#ifndef KYSO_BASE64_H
#define KYSO_BASE64_H

#include "kyso/span.h"
#include "kyso/status.h"

void base64_put(struct ky_buf *out, struct ky_span in);
/* Appends the decoded bytes. Only the canonical form is taken. Errors: KY_INVALID. */
KY_MUST_CHECK struct ky_status base64_get(struct ky_span text, struct ky_buf *out);

#endif
