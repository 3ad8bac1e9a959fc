/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RFC 5480 (EC), RFC 8410 (Ed25519) and RFC 3279 (RSA) keys. Curve keys are a
 * fixed prefix and the point; RSA is read and written element by element and a
 * parse is accepted only when writing it again gives the same bytes. Pure.
 */
#include "spki.h"

#include <string.h>

static const uint8_t prefix_p256[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                      0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                      0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
static const uint8_t prefix_p384[] = {0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86,
                                      0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
                                      0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00};
static const uint8_t prefix_ed25519[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                         0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
static const uint8_t rsa_algorithm[] = {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                        0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};

static const struct curve_row {
    const uint8_t *prefix;
    size_t prefix_len;
    size_t point_len;
    bool uncompressed; /* SEC 1: first byte 04 */
} curves[KY_KEY_TYPE_COUNT] = {
    [KY_KEY_P256] = {prefix_p256, sizeof(prefix_p256), 65, true},
    [KY_KEY_P384] = {prefix_p384, sizeof(prefix_p384), 97, true},
    [KY_KEY_ED25519] = {prefix_ed25519, sizeof(prefix_ed25519), 32, false},
};

static const struct curve_row *curve_of(uint8_t key_type)
{
    if (key_type >= KY_KEY_TYPE_COUNT || curves[key_type].prefix == NULL)
        return NULL;
    return &curves[key_type];
}

static struct ky_status curve_parse(const struct curve_row *c, struct ky_span der,
                                    struct hsm_public *out)
{
    if (der.len != c->prefix_len + c->point_len || memcmp(der.data, c->prefix, c->prefix_len) != 0)
        return KY_STATUS(KY_INVALID);
    out->point = KY_SPAN(der.data + c->prefix_len, c->point_len);
    if (c->uncompressed && out->point.data[0] != 0x04)
        return KY_STATUS(KY_INVALID);
    return KY_STATUS(KY_OK);
}

/*
 * Takes one element of `tag` off the front of *in. Lengths of up to two bytes: all that our keys
 * need.
 */
static bool der_take(struct ky_span *in, uint8_t tag, struct ky_span *out)
{
    size_t head = 2;
    size_t len = 0;

    if (in->len < 2 || in->data[0] != tag)
        return false;
    len = in->data[1];
    if (len == 0x81 && in->len >= 3) {
        len = in->data[2];
        head = 3;
    } else if (len == 0x82 && in->len >= 4) {
        len = (size_t)in->data[2] << 8 | in->data[3];
        head = 4;
    } else if (len >= 0x80) {
        return false;
    }
    if (len > in->len - head)
        return false;
    *out = KY_SPAN(in->data + head, len);
    *in = KY_SPAN(in->data + head + len, in->len - head - len);
    return true;
}

static size_t der_head(uint8_t *out, uint8_t tag, size_t len)
{
    size_t n = 0;

    out[n++] = tag;
    if (len >= 0x100) {
        out[n++] = 0x82;
        out[n++] = (uint8_t)(len >> 8);
    } else if (len >= 0x80) {
        out[n++] = 0x81;
    }
    out[n++] = (uint8_t)len;
    return n;
}

static size_t head_len(size_t len)
{
    return len >= 0x100 ? 4 : len >= 0x80 ? 3 : 2;
}

static struct ky_span strip_zeros(struct ky_span n)
{
    while (n.len > 0 && n.data[0] == 0)
        n = KY_SPAN(n.data + 1, n.len - 1);
    return n;
}

static size_t unsigned_len(struct ky_span n)
{
    return n.len + (n.data[0] >= 0x80 ? 1 : 0);
}

static size_t put_unsigned(uint8_t *out, struct ky_span n)
{
    size_t len = unsigned_len(n);
    size_t at = der_head(out, 0x02, len);

    if (len > n.len)
        out[at++] = 0;
    memcpy(out + at, n.data, n.len);
    return at + n.len;
}

struct ky_status hsm_spki_from_rsa(uint8_t key_type, struct ky_span modulus,
                                   struct ky_span exponent, uint8_t *out, size_t *out_len)
{
    const struct ky_key_info *info = ky_key_info(key_type);
    struct ky_span n = strip_zeros(modulus);
    struct ky_span e = strip_zeros(exponent);
    size_t numbers = 0;
    size_t key = 0;
    size_t at = 0;

    if (info == NULL || info->scheme != KY_RSA_PKCS1 || n.len != info->bits / 8u ||
        n.data[0] < 0x80 || e.len == 0 || e.len > 8 || !(e.data[e.len - 1] & 1))
        return KY_STATUS(KY_INVALID);
    numbers =
        head_len(unsigned_len(n)) + unsigned_len(n) + head_len(unsigned_len(e)) + unsigned_len(e);
    key = 1 + head_len(numbers) + numbers; /* the BIT STRING's content */
    at = der_head(out, 0x30, sizeof(rsa_algorithm) + head_len(key) + key);
    memcpy(out + at, rsa_algorithm, sizeof(rsa_algorithm));
    at += sizeof(rsa_algorithm);
    at += der_head(out + at, 0x03, key);
    out[at++] = 0;
    at += der_head(out + at, 0x30, numbers);
    at += put_unsigned(out + at, n);
    at += put_unsigned(out + at, e);
    *out_len = at;
    return KY_STATUS(KY_OK);
}

static struct ky_status rsa_parse(uint8_t key_type, struct ky_span der, struct hsm_public *out)
{
    struct ky_span rest = der;
    struct ky_span outer, alg, bits, seq, n, e;
    uint8_t again[KY_SPKI_MAX];
    size_t again_len = 0;
    struct ky_status st = KY_STATUS(KY_OK);

    if (!der_take(&rest, 0x30, &outer) || !der_take(&outer, 0x30, &alg) ||
        !der_take(&outer, 0x03, &bits) || bits.len < 1)
        return KY_STATUS(KY_INVALID);
    bits = KY_SPAN(bits.data + 1, bits.len - 1);
    if (!der_take(&bits, 0x30, &seq) || !der_take(&seq, 0x02, &n) || !der_take(&seq, 0x02, &e))
        return KY_STATUS(KY_INVALID);
    st = hsm_spki_from_rsa(key_type, n, e, again, &again_len);
    if (!ky_ok(st) || !ky_span_eq(der, KY_SPAN(again, again_len)))
        return KY_STATUS(KY_INVALID);
    out->modulus = strip_zeros(n);
    out->exponent = strip_zeros(e);
    return KY_STATUS(KY_OK);
}

struct ky_status hsm_spki_parse(uint8_t key_type, struct ky_span der, struct hsm_public *out)
{
    const struct curve_row *c = curve_of(key_type);
    struct hsm_public p = {.key_type = key_type};
    struct ky_status st = KY_STATUS(KY_INVALID);

    if (ky_key_info(key_type) == NULL || der.len > KY_SPKI_MAX)
        return st;
    st = c != NULL ? curve_parse(c, der, &p) : rsa_parse(key_type, der, &p);
    if (ky_ok(st))
        *out = p;
    return st;
}

struct ky_status hsm_spki_from_point(uint8_t key_type, struct ky_span point, uint8_t *out,
                                     size_t *out_len)
{
    const struct curve_row *c = curve_of(key_type);
    struct hsm_public check = {.key_type = key_type};
    const uint8_t *raw = point.data;

    if (c == NULL)
        return KY_STATUS(KY_INVALID);
    /*
     * An uncompressed point and a DER OCTET STRING both begin with 04: the length tells them apart.
     */
    if (point.len == c->point_len + 2 && raw[0] == 0x04 && raw[1] == c->point_len)
        raw += 2;
    else if (point.len == c->point_len + 3 && raw[0] == 0x03 && raw[1] == c->point_len + 1 &&
             raw[2] == 0)
        raw += 3;
    else if (point.len != c->point_len)
        return KY_STATUS(KY_INVALID);
    memcpy(out, c->prefix, c->prefix_len);
    memcpy(out + c->prefix_len, raw, c->point_len);
    *out_len = c->prefix_len + c->point_len;
    return curve_parse(c, KY_SPAN(out, *out_len), &check);
}
