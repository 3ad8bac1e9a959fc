/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ECDSA signatures between r || s and the DER SEQUENCE of two INTEGERs (RFC 3279 s.2.2.3).
 * Strict both ways: one DER form per pair, no zero, no negative, nothing after it. Pure, any
 * thread.
 */
#include <string.h>

#include "kyso/alg.h"

#define HALF_MAX    48u /* P-384; keeps every DER length under 128, so in one byte */
#define TAG_INT     0x02
#define TAG_SEQ     0x30
#define INT_MAX_LEN (2u + 1u + HALF_MAX)

/* One INTEGER at out (INT_MAX_LEN bytes); returns its length, or 0 for the number zero. */
static size_t int_to_der(const uint8_t *n, size_t len, uint8_t *out)
{
    while (len > 0 && *n == 0) {
        n++;
        len--;
    }
    if (len == 0)
        return 0;
    size_t sign = *n >> 7; /* X.690 s.8.3.2: a leading 1 bit would make it negative */
    out[0] = TAG_INT;
    out[1] = (uint8_t)(len + sign);
    out[2] = 0;
    memcpy(out + 2 + sign, n, len);
    return 2 + sign + len;
}

struct ky_status ky_ecdsa_raw_to_der(struct ky_span raw, uint8_t *out_der, size_t cap,
                                     size_t *out_len)
{
    uint8_t ints[2 * INT_MAX_LEN];
    size_t half = raw.len / 2;
    if (half == 0 || half > HALF_MAX || raw.len % 2 != 0)
        return KY_STATUS(KY_INVALID);
    size_t r_len = int_to_der(raw.data, half, ints);
    size_t s_len = int_to_der(raw.data + half, half, ints + r_len);
    size_t body = r_len + s_len;
    if (r_len == 0 || s_len == 0 || cap < 2 + body)
        return KY_STATUS(KY_INVALID);
    out_der[0] = TAG_SEQ;
    out_der[1] = (uint8_t)body;
    memcpy(out_der + 2, ints, body);
    *out_len = 2 + body;
    return KY_STATUS(KY_OK);
}

/* Takes one positive INTEGER of minimal form from *in into half bytes, right-aligned. */
static bool int_from_der(struct ky_span *in, size_t half, uint8_t *out)
{
    if (in->len < 3 || in->data[0] != TAG_INT)
        return false;
    size_t len = in->data[1];
    const uint8_t *n = in->data + 2;
    if (len == 0 || len > 0x7f || len > in->len - 2)
        return false;
    in->data += 2 + len;
    in->len -= 2 + len;
    if ((n[0] & 0x80) != 0)
        return false; /* negative */
    if (n[0] == 0) {
        /* Zero itself, or a pad that the next bit does not call for: X.690 s.8.3.2. */
        if (len == 1 || (n[1] & 0x80) == 0)
            return false;
        n++;
        len--;
    }
    if (len > half)
        return false;
    memset(out, 0, half - len);
    memcpy(out + (half - len), n, len);
    return true;
}

struct ky_status ky_ecdsa_der_to_raw(struct ky_span der, size_t half, uint8_t *out_raw)
{
    uint8_t raw[2 * HALF_MAX];
    if (half == 0 || half > HALF_MAX || der.len < 2 || der.data[0] != TAG_SEQ ||
        der.data[1] > 0x7f || der.data[1] != der.len - 2)
        return KY_STATUS(KY_INVALID);
    struct ky_span body = KY_SPAN(der.data + 2, der.len - 2);
    if (!int_from_der(&body, half, raw) || !int_from_der(&body, half, raw + half) || body.len != 0)
        return KY_STATUS(KY_INVALID);
    memcpy(out_raw, raw, 2 * half);
    return KY_STATUS(KY_OK);
}
