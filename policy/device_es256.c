/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forms of an ES256 signature: raw r || s (RFC 7518 s.3.4, IEEE P1363) or
 * X9.62 DER, which ky_ecdsa_der_to_raw reads strictly. Whatever is not one of the
 * two, or is out of range, is refused before any arithmetic. Pure: any thread.
 */
#include "device_private.h"

#include "kyso/alg.h"

#define ES256_HALF 32u
#define ES256_RAW  (2 * ES256_HALF)

/* The order of P-256's base point, big-endian (SEC 2 v2 s.2.4.2). */
static const uint8_t p256_order[ES256_HALF] = {
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
};

static bool in_scalar_range(const uint8_t *scalar)
{
    if (ky_span_all_zero(KY_SPAN(scalar, ES256_HALF))) {
        return false;
    }
    for (size_t i = 0; i < ES256_HALF; i++) {
        if (scalar[i] != p256_order[i]) {
            return scalar[i] < p256_order[i];
        }
    }
    return false;
}

struct ky_status policy_es256_signature(struct ky_span signature, uint8_t out_der[ES256_DER_MAX],
                                        size_t *out_len)
{
    uint8_t raw[ES256_RAW];
    if (!ky_ok(ky_ecdsa_der_to_raw(signature, ES256_HALF, raw))) {
        if (signature.len != ES256_RAW) {
            return KY_STATUS(KY_PROOF_MALFORMED);
        }
        for (size_t i = 0; i < ES256_RAW; i++) {
            raw[i] = signature.data[i];
        }
    }
    if (!in_scalar_range(raw) || !in_scalar_range(raw + ES256_HALF) ||
        !ky_ok(ky_ecdsa_raw_to_der(KY_SPAN(raw, ES256_RAW), out_der, ES256_DER_MAX, out_len))) {
        return KY_STATUS(KY_PROOF_MALFORMED);
    }
    return KY_STATUS(KY_OK);
}
