/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Borrowed ranges and the growable buffer. Any role, any thread; a buffer has one owner.
 * A buffer's memory is wiped whenever it is given back, since codes and SADs pass through.
 */
#include "kyso/span.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "kyso/secret.h"

struct ky_span ky_span_text(const char *s)
{
    return KY_SPAN((const uint8_t *)s, s == NULL ? 0 : strlen(s));
}

bool ky_span_eq(struct ky_span a, struct ky_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool ky_span_eq_ct(struct ky_span a, struct ky_span b)
{
    return a.len == b.len && (a.len == 0 || CRYPTO_memcmp(a.data, b.data, a.len) == 0);
}

bool ky_span_all_zero(struct ky_span s)
{
    uint8_t any = 0;
    for (size_t i = 0; i < s.len; i++)
        any |= s.data[i];
    return any == 0;
}

/* One per byte that a name may hold: A-Z a-z 0-9 . _ : @ - */
static const bool name_bytes[256] = {
    ['-'] = true, ['.'] = true, ['0'] = true, ['1'] = true, ['2'] = true, ['3'] = true,
    ['4'] = true, ['5'] = true, ['6'] = true, ['7'] = true, ['8'] = true, ['9'] = true,
    [':'] = true, ['@'] = true, ['A'] = true, ['B'] = true, ['C'] = true, ['D'] = true,
    ['E'] = true, ['F'] = true, ['G'] = true, ['H'] = true, ['I'] = true, ['J'] = true,
    ['K'] = true, ['L'] = true, ['M'] = true, ['N'] = true, ['O'] = true, ['P'] = true,
    ['Q'] = true, ['R'] = true, ['S'] = true, ['T'] = true, ['U'] = true, ['V'] = true,
    ['W'] = true, ['X'] = true, ['Y'] = true, ['Z'] = true, ['_'] = true, ['a'] = true,
    ['b'] = true, ['c'] = true, ['d'] = true, ['e'] = true, ['f'] = true, ['g'] = true,
    ['h'] = true, ['i'] = true, ['j'] = true, ['k'] = true, ['l'] = true, ['m'] = true,
    ['n'] = true, ['o'] = true, ['p'] = true, ['q'] = true, ['r'] = true, ['s'] = true,
    ['t'] = true, ['u'] = true, ['v'] = true, ['w'] = true, ['x'] = true, ['y'] = true,
    ['z'] = true,
};

bool ky_span_is_name(struct ky_span s, size_t max)
{
    if (s.len == 0 || s.len > max)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!name_bytes[s.data[i]])
            return false;
    }
    return true;
}

bool ky_span_to_cstr(struct ky_span s, char *out, size_t cap)
{
    if (cap == 0)
        return false;
    out[0] = '\0';
    if (s.len >= cap || (s.len > 0 && memchr(s.data, 0, s.len) != NULL))
        return false;
    if (s.len > 0)
        memcpy(out, s.data, s.len);
    out[s.len] = '\0';
    return true;
}

/* Not realloc: that would leave an unwiped copy behind. */
static bool buf_reserve(struct ky_buf *b, size_t want)
{
    size_t cap = b->cap < 256 ? 256 : b->cap;
    while (cap < want)
        cap = cap > b->max / 2 ? b->max : cap * 2;
    if (cap > b->max)
        cap = b->max;
    uint8_t *bigger = malloc(cap);
    if (bigger == NULL)
        return false;
    if (b->len > 0)
        memcpy(bigger, b->data, b->len);
    if (b->data != NULL) {
        ky_wipe(b->data, b->len);
        free(b->data);
    }
    b->data = bigger;
    b->cap = cap;
    return true;
}

uint8_t *ky_buf_grow(struct ky_buf *b, size_t n)
{
    bool fits = !b->failed && b->len <= b->max && n <= b->max - b->len;
    if (fits && b->len + n > b->cap)
        fits = buf_reserve(b, b->len + n);
    if (!fits || b->data == NULL) {
        b->failed = b->failed || !fits;
        return NULL;
    }
    uint8_t *at = b->data + b->len;
    b->len += n;
    return at;
}

void ky_buf_put(struct ky_buf *b, const void *p, size_t n)
{
    if (n == 0)
        return;
    uint8_t *at = ky_buf_grow(b, n);
    if (at != NULL)
        memcpy(at, p, n);
}

void ky_buf_consume(struct ky_buf *b, size_t n)
{
    if (n > b->len)
        n = b->len;
    if (n == 0)
        return;
    memmove(b->data, b->data + n, b->len - n);
    ky_wipe(b->data + (b->len - n), n);
    b->len -= n;
}

void ky_buf_reset(struct ky_buf *b)
{
    if (b->data != NULL)
        ky_wipe(b->data, b->len);
    b->len = 0;
    b->failed = false;
}

void ky_buf_free(struct ky_buf *b)
{
    if (b->data != NULL) {
        ky_wipe(b->data, b->cap);
        free(b->data);
    }
    *b = KY_BUF_INIT(b->max);
}

struct ky_span ky_buf_span(const struct ky_buf *b)
{
    return KY_SPAN(b->data, b->len);
}
