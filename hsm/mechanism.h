/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key types and schemes in PKCS#11's words: one row per key type, and what this
 * token was found able to do. Nothing is assumed of a token that did not say so.
 */
#ifndef HSM_MECHANISM_H
#define HSM_MECHANISM_H

#include "kyso/alg.h"
#include "session.h"

struct hsm_mechanism {
    CK_KEY_TYPE key_type;
    CK_MECHANISM_TYPE keygen;
    CK_MECHANISM_TYPE sign;
    const uint8_t *params; /* CKA_EC_PARAMS, DER; NULL for RSA */
    size_t params_len;
};

struct hsm_caps {
    uint32_t key_types; /* bit per enum ky_key_type */
    uint32_t wrappable; /* bit per enum ky_key_type */
    bool pss;
    CK_MECHANISM_TYPE wrap; /* AES key wrap with padding */
    /* Token objects carry CKA_COPYABLE and CKA_ALLOWED_MECHANISMS (keys.c finds out). NSS softokn's do not. */
    bool restricts;
    bool unrestricted; /* the operator takes a token whose objects do not */
};

struct hsm_sign_mechanism { /* a CK_MECHANISM and the parameter it points to */
    CK_MECHANISM mechanism;
    CK_RSA_PKCS_PSS_PARAMS pss;
};

const struct hsm_mechanism *hsm_mechanism(uint8_t key_type); /* NULL when unknown */
/* Asks the token; generates nothing. */
void hsm_caps_probe(const struct hsm_module *m, struct hsm_caps *out);
/*
 * The mechanism for a checked (key type, algorithm). out must stay where it is: it points into
 * itself.
 */
void hsm_sign_mechanism_set(uint8_t key_type, const struct ky_algorithm *a,
                            struct hsm_sign_mechanism *out);
/* "key-types=p256,rsa2048 wrappable=p256 pss=1", cut to cap. */
void hsm_caps_describe(const struct hsm_caps *caps, char *out, size_t cap);

#endif
