/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Software verification under a job's public key: invariant I7. One verifier per
 * thread; EC keys are re-pointed in place, which costs the mathematics and little else.
 */
#ifndef HSM_VERIFY_H
#define HSM_VERIFY_H

#include <openssl/evp.h>

#include "spki.h"

struct hsm_verifier {
    EVP_PKEY *curve_key[KY_KEY_TYPE_COUNT]; /* owned; EC only, reused for every key of that curve */
    EVP_PKEY_CTX *curve_ctx[KY_KEY_TYPE_COUNT]; /* owned */
    EVP_PKEY *key;                              /* owned; RSA and Ed25519: the current key */
    uint8_t key_type;                           /* of the current key; 0 = none */
    size_t spki_len; /* of the current key, so that a repeat costs nothing */
    uint8_t spki[KY_SPKI_MAX];
};

/* Zero-initialise. */
void hsm_verifier_wipe(struct hsm_verifier *v);
/* Errors: KY_INVALID: not a valid key of that type. */
KY_MUST_CHECK struct ky_status hsm_verifier_set_key(struct hsm_verifier *v, uint8_t key_type,
                                                    struct ky_span spki);
/*
 * The raw signature over one digest (Ed25519: over those bytes as the message), under the current
 * key and a checked algorithm. Errors: KY_TOKEN_WRONG_SIGNATURE.
 */
KY_MUST_CHECK struct ky_status hsm_verify(struct hsm_verifier *v, const struct ky_algorithm *a,
                                          struct ky_span digest, struct ky_span sig);

#endif
