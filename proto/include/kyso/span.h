/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Borrowed byte ranges and a growable buffer with a hard maximum.
 * A span never owns: its header says how long the memory behind it lives.
 */
#ifndef KYSO_SPAN_H
#define KYSO_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KY_MUST_CHECK __attribute__((warn_unused_result))

struct ky_span {
    const uint8_t *data; /* borrowed; may be NULL when len is 0 */
    size_t len;
};

#define KY_SPAN(ptr, n)   ((struct ky_span){.data = (ptr), .len = (n)})
#define KY_SPAN_OF(array) ((struct ky_span){.data = (array), .len = sizeof(array)})

struct ky_span ky_span_text(const char *s);          /* without the NUL; s may be NULL */
bool ky_span_eq(struct ky_span a, struct ky_span b); /* public bytes only */
/* secrets: constant time for equal lengths */
bool ky_span_eq_ct(struct ky_span a, struct ky_span b);
bool ky_span_all_zero(struct ky_span s);
/*
 * Valid UTF-8 (RFC 3629), no NUL, no C0 control but LF and TAB, no DEL or C1, no bidi mark,
 * override or isolate (U+061C, U+200E-F, U+202A-E, U+2066-9).
 */
bool ky_span_is_display_text(struct ky_span s);
/* 1..max bytes of [A-Za-z0-9._:@-], the form of every identifier of ours. */
bool ky_span_is_name(struct ky_span s, size_t max);
/* Copies into a C string; false when it does not fit (out is then empty). */
bool ky_span_to_cstr(struct ky_span s, char *out, size_t cap);

/*
 * A growable buffer. Zero-initialise with a maximum; growth past it sets `failed` and drops the
 * bytes.
 */
struct ky_buf {
    uint8_t *data; /* owned */
    size_t len;
    size_t cap;
    size_t max;
    bool failed;
};

#define KY_BUF_INIT(maximum) ((struct ky_buf){.max = (maximum)})

uint8_t *ky_buf_grow(struct ky_buf *b, size_t n); /* n uninitialised bytes at the end, or NULL */
void ky_buf_put(struct ky_buf *b, const void *p, size_t n);
void ky_buf_consume(struct ky_buf *b, size_t n); /* drops n bytes from the front */
void ky_buf_reset(struct ky_buf *b);             /* wipes, keeps the memory */
void ky_buf_free(struct ky_buf *b);              /* wipes, then frees */
struct ky_span ky_buf_span(const struct ky_buf *b);

#endif
