/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 by groups of three bytes. Keeps: one text for one value, so that a signed note or a record
 * cannot be rewritten without a trace: non-zero spare bits and misplaced padding are refused.
 */
#include "base64.h"

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_put(struct ky_buf *out, struct ky_span in)
{
    for (size_t i = 0; i < in.len; i += 3) {
        size_t have = in.len - i < 3 ? in.len - i : 3;
        uint32_t group = (uint32_t)in.data[i] << 16;
        group |= have > 1 ? (uint32_t)in.data[i + 1] << 8 : 0;
        group |= have > 2 ? in.data[i + 2] : 0u;
        char quad[4] = {ALPHABET[group >> 18], ALPHABET[group >> 12 & 63u],
                        have > 1 ? ALPHABET[group >> 6 & 63u] : '=',
                        have > 2 ? ALPHABET[group & 63u] : '='};
        ky_buf_put(out, quad, sizeof(quad));
    }
}

static int value_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes one group of four; pad is how many '=' end it. */
static bool get_quad(const uint8_t *quad, size_t pad, struct ky_buf *out)
{
    uint32_t group = 0;
    for (size_t i = 0; i < 4; i++) {
        int v = i < 4 - pad ? value_of(quad[i]) : 0;
        if (v < 0) {
            return false;
        }
        group = group << 6 | (uint32_t)v;
    }
    uint8_t bytes[3] = {(uint8_t)(group >> 16), (uint8_t)(group >> 8), (uint8_t)group};
    for (size_t i = 3 - pad; i < 3; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    ky_buf_put(out, bytes, 3 - pad);
    return true;
}

struct ky_status base64_get(struct ky_span text, struct ky_buf *out)
{
    if (text.len % 4 != 0) {
        return KY_STATUS(KY_INVALID);
    }
    for (size_t i = 0; i < text.len; i += 4) {
        const uint8_t *quad = text.data + i;
        bool last = i + 4 == text.len;
        size_t pad = last && quad[3] == '=' ? (quad[2] == '=' ? 2u : 1u) : 0u;
        if (!get_quad(quad, pad, out)) {
            return KY_STATUS(KY_INVALID);
        }
    }
    return KY_STATUS(out->failed ? KY_INVALID : KY_OK);
}
