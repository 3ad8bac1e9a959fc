/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DER SubjectPublicKeyInfo of the six key types, both ways, without OpenSSL's
 * decoders (they are slow, and absent in a process with a filtering provider).
 */
#ifndef HSM_SPKI_H
#define HSM_SPKI_H

#include "kyso/alg.h"

struct hsm_public { /* spans borrowed from the SubjectPublicKeyInfo */
    uint8_t key_type;
    struct ky_span point;   /* EC: 04||X||Y. Ed25519: 32 bytes */
    struct ky_span modulus; /* RSA: big-endian, no leading zero */
    struct ky_span exponent;
};

/* Accepts exactly the canonical encoding of that key type. Errors: KY_INVALID. */
KY_MUST_CHECK struct ky_status hsm_spki_parse(uint8_t key_type, struct ky_span der,
                                              struct hsm_public *out);
/*
 * CKA_EC_POINT, as a DER OCTET STRING, a BIT STRING or raw. out holds KY_SPKI_MAX bytes. Errors:
 * KY_INVALID.
 */
KY_MUST_CHECK struct ky_status hsm_spki_from_point(uint8_t key_type, struct ky_span point,
                                                   uint8_t *out, size_t *out_len);
/* CKA_MODULUS and CKA_PUBLIC_EXPONENT. out holds KY_SPKI_MAX bytes. Errors: KY_INVALID. */
KY_MUST_CHECK struct ky_status hsm_spki_from_rsa(uint8_t key_type, struct ky_span modulus,
                                                 struct ky_span exponent, uint8_t *out,
                                                 size_t *out_len);

#endif
