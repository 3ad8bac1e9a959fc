/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's own keys in the token: kyso-root (derivation), the KEK, the ledger
 * key. Found once by label and checked attribute by attribute; one attribute
 * wrong and the vault does not serve.
 */
#ifndef HSM_KEYS_H
#define HSM_KEYS_H

#include <stdatomic.h>

#include "own.h"

enum { HSM_KEKS = 2 }; /* while a rotation is on its way; else one */

struct hsm_kek {
    CK_OBJECT_HANDLE key;
    uint32_t generation; /* from 1; 0: there is none */
};

struct hsm_keys {
    CK_OBJECT_HANDLE root;
    struct hsm_kek keks[HSM_KEKS]; /* the newest first */
    atomic_bool outdated;          /* one was asked for that came later */
    CK_OBJECT_HANDLE ledger;
    uint8_t ledger_type; /* KY_KEY_ED25519 or KY_KEY_P256 */
    size_t ledger_spki_len;
    uint8_t ledger_spki[KY_SPKI_MAX];
};

/*
 * Makes those of the three that are absent. Both learn from kyso-root whether the token restricts
 * keys; where it does not, no KEK is made or used, and caps has no wrapping any more. Errors:
 * KY_UNSUPPORTED, KY_CORRUPT (several under one label), KY_TOKEN_*.
 */
KY_MUST_CHECK struct ky_status hsm_keys_provision(const struct hsm_session *s,
                                                  struct hsm_caps *caps);
/* Errors: KY_NOT_FOUND, KY_CORRUPT with the attribute's number as cause, KY_TOKEN_*. */
KY_MUST_CHECK struct ky_status hsm_keys_load(const struct hsm_session *s, struct hsm_caps *caps,
                                             struct hsm_keys *out);
/*
 * The KEK of that generation; 0: the newest that is known. One that came after the keys were loaded is looked for in the token each
 * time, and they are outdated. Errors: KY_UNSUPPORTED (the token does not wrap), KY_TOKEN_*, KY_CORRUPT.
 */
KY_MUST_CHECK struct ky_status hsm_kek_get(const struct hsm_session *s, struct hsm_keys *keys,
                                           const struct hsm_caps *caps, uint32_t generation,
                                           struct hsm_kek *out);
/* Of a generation, in the token: CK_INVALID_HANDLE when there is none. Errors: KY_TOKEN_*, KY_CORRUPT (several). */
KY_MUST_CHECK struct ky_status hsm_kek_find(const struct hsm_session *s, uint32_t generation,
                                            CK_OBJECT_HANDLE *out);
/*
 * The SubjectPublicKeyInfo of a public key object. out holds KY_SPKI_MAX bytes. Errors: KY_INVALID,
 * KY_TOKEN_*.
 */
KY_MUST_CHECK struct ky_status hsm_keys_spki(const struct hsm_session *s,
                                             CK_OBJECT_HANDLE public_key, uint8_t key_type,
                                             uint8_t *out, size_t *out_len);

#endif
