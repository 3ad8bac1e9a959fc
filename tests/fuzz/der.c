/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ECDSA signatures between DER and r || s, and SubjectPublicKeyInfo, each way. Input: what to
 * convert, the bytes. Each has one form: what is taken is what the other direction makes.
 */
#include <string.h>

#include "fuzz.h"
#include "kyso/alg.h"
#include "spki.h"

static void from_der(struct ky_span der, size_t half)
{
    uint8_t raw[96], again[106];
    size_t n = 0;

    if (!ky_ok(ky_ecdsa_der_to_raw(der, half, raw)))
        return;
    FUZZ_CHECK(ky_ok(ky_ecdsa_raw_to_der(KY_SPAN(raw, 2 * half), again, 2 * half + 10, &n)));
    FUZZ_CHECK(ky_span_eq(KY_SPAN(again, n), der));
}

static void from_raw(struct ky_span raw, size_t half)
{
    uint8_t der[106], again[96];
    size_t n = 0;
    bool zero = raw.len == 2 * half && (ky_span_all_zero(KY_SPAN(raw.data, half)) ||
                                        ky_span_all_zero(KY_SPAN(raw.data + half, half)));
    struct ky_status st = ky_ecdsa_raw_to_der(raw, der, sizeof(der), &n);

    if (raw.len == 2 * half)
        FUZZ_CHECK(ky_ok(st) == !zero);
    if (!ky_ok(st))
        return;
    FUZZ_CHECK(n <= raw.len + 10);
    FUZZ_CHECK(ky_ok(ky_ecdsa_der_to_raw(KY_SPAN(der, n), raw.len / 2, again)));
    FUZZ_CHECK(ky_span_eq(KY_SPAN(again, raw.len), raw));
}

static void from_spki(struct ky_span der, uint8_t key_type)
{
    uint8_t again[KY_SPKI_MAX];
    struct hsm_public key;
    size_t n = 0;

    if (!ky_ok(hsm_spki_parse(key_type, der, &key)))
        return;
    FUZZ_CHECK(key.key_type == key_type);
    if (key.point.len > 0)
        FUZZ_CHECK(ky_ok(hsm_spki_from_point(key_type, key.point, again, &n)));
    else
        FUZZ_CHECK(ky_ok(hsm_spki_from_rsa(key_type, key.modulus, key.exponent, again, &n)));
    FUZZ_CHECK(ky_span_eq(KY_SPAN(again, n), der));
}

/* What tokens say of their public keys. */
static void from_token(struct ky_reader *r, uint8_t key_type)
{
    uint8_t der[KY_SPKI_MAX];
    struct hsm_public key;
    size_t n = 0;
    struct ky_span first = fuzz_piece(r);
    struct ky_status st = r->left == 0
                              ? hsm_spki_from_point(key_type, first, der, &n)
                              : hsm_spki_from_rsa(key_type, first, fuzz_rest(r), der, &n);

    if (!ky_ok(st))
        return;
    FUZZ_CHECK(n <= sizeof(der));
    FUZZ_CHECK(ky_ok(hsm_spki_parse(key_type, KY_SPAN(der, n), &key)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ky_reader r = ky_reader(KY_SPAN(data, size));
    uint8_t what = ky_get_u8(&r);
    uint8_t key_type = (uint8_t)(what >> 4);
    size_t half = key_type % 2 == 0 ? 32 : 48;

    switch (what % 4) {
    case 0:
        from_der(fuzz_rest(&r), half);
        break;
    case 1:
        from_raw(fuzz_rest(&r), half);
        break;
    case 2:
        from_spki(fuzz_rest(&r), key_type);
        break;
    default:
        from_token(&r, key_type);
    }
    return 0;
}
