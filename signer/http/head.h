/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of an HTTP/1.x request (RFC 9112), read strictly: CRLF only, no folding, no chunks, one length,
 * one host, no escapes in a path. What a proxy and this server could understand differently is refused.
 * Pure: any thread.
 */
#ifndef KYSO_HTTP_HEAD_H
#define KYSO_HTTP_HEAD_H

#include "kyso/span.h"

#define HTTP_HEAD_MAX    8192u
#define HTTP_HEADERS_MAX 64u

struct http_head { /* spans into the bytes that were parsed */
    struct ky_span method;
    struct ky_span path; /* "/", or segments of unreserved and sub-delimiting characters */
    struct ky_span query;
    struct http_field {
        struct ky_span name, value;
    } fields[HTTP_HEADERS_MAX];
    size_t field_count;
    uint64_t content_length;
    bool keep_alive;
    bool expects_continue;
};

/* bytes end with the empty line. 0, or the status to refuse with: 400, 414, 417, 431, 501, 505. */
int http_head_parse(struct ky_span bytes, struct http_head *out);

bool http_same_name(struct ky_span a, const char *b); /* ASCII case does not count */

#endif
