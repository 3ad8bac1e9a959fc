/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UTF-8 by RFC 3629 s.4, and the display-text rule built on it (fault 11): what a
 * citizen reads before approving must not be able to reorder or hide itself.
 * Pure, any thread.
 */
#include "utf8.h"

#include <string.h>

struct utf8_lead {
    uint8_t mask; /* bits that tell the length */
    uint8_t match;
    uint8_t len;
    uint32_t least; /* a smaller code point in this length is overlong */
};

static const struct utf8_lead utf8_leads[] = {
    {0x80, 0x00, 1, 0},
    {0xe0, 0xc0, 2, 0x80},
    {0xf0, 0xe0, 3, 0x800},
    {0xf8, 0xf0, 4, 0x10000},
};

static const struct utf8_lead *utf8_lead_of(uint8_t byte)
{
    for (size_t i = 0; i < sizeof(utf8_leads) / sizeof(utf8_leads[0]); i++) {
        if ((byte & utf8_leads[i].mask) == utf8_leads[i].match)
            return &utf8_leads[i];
    }
    return NULL;
}

/*
 * Bytes of the first code point of s (1..4), stored in *out_point; 0 when s is empty, truncated,
 * overlong, a surrogate or above U+10FFFF.
 */
static size_t utf8_next(struct ky_span s, uint32_t *out_point)
{
    if (s.len == 0)
        return 0;
    const struct utf8_lead *lead = utf8_lead_of(s.data[0]);
    if (lead == NULL || s.len < lead->len)
        return 0;
    uint32_t point = s.data[0] & (uint8_t)~lead->mask;
    for (size_t i = 1; i < lead->len; i++) {
        if ((s.data[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (s.data[i] & 0x3f);
    }
    if (point < lead->least || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
        return 0;
    *out_point = point;
    return lead->len;
}

/* Eight bytes, each 0x20..0x7e: identifiers and most texts pass by this test alone. */
static bool eight_are_printable(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    const uint64_t ones = 0x0101010101010101u;
    const uint64_t high = 0x8080808080808080u;
    uint64_t below = (v - ones * 0x20) & ~v; /* high bit: a byte under 0x20 */
    uint64_t above = (v + ones) | v;         /* high bit: a byte over 0x7e */
    return ((below | above) & high) == 0;
}

/* Most texts are identifiers: what of them passes by the cheap tests is skipped. */
static struct ky_span skip_printable(struct ky_span s)
{
    const size_t whole = s.len;
    while (s.len >= 8 && eight_are_printable(s.data)) {
        s.data += 8;
        s.len -= 8;
    }
    if (s.len < 8 && whole >= 8 && eight_are_printable(s.data + s.len - 8))
        s = KY_SPAN(s.data + s.len, 0); /* looked at again with some that had passed */
    while (s.len > 0 && s.data[0] >= 0x20 && s.data[0] < 0x7f) {
        s.data++;
        s.len--;
    }
    return s;
}

bool ky_utf8_is_cstr(struct ky_span s)
{
    while ((s = skip_printable(s)).len > 0) {
        uint32_t point;
        size_t n = utf8_next(s, &point);
        if (n == 0 || point == 0)
            return false;
        s.data += n;
        s.len -= n;
    }
    return true;
}

struct point_range {
    uint32_t first;
    uint32_t last;
};

/* Controls, and every character that changes the direction of what follows (Unicode UAX #9). */
static const struct point_range hidden_points[] = {
    {0x0000, 0x0008}, {0x000b, 0x001f}, {0x007f, 0x009f}, {0x061c, 0x061c},
    {0x200e, 0x200f}, {0x202a, 0x202e}, {0x2066, 0x2069},
};

static bool point_is_hidden(uint32_t point)
{
    for (size_t i = 0; i < sizeof(hidden_points) / sizeof(hidden_points[0]); i++) {
        if (point >= hidden_points[i].first && point <= hidden_points[i].last)
            return true;
    }
    return false;
}

bool ky_span_is_display_text(struct ky_span s)
{
    while ((s = skip_printable(s)).len > 0) {
        uint32_t point;
        size_t n = utf8_next(s, &point);
        if (n == 0 || point_is_hidden(point))
            return false;
        s.data += n;
        s.len -= n;
    }
    return true;
}
