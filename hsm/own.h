/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the server's own keys must be in the token, stated once: it makes them and it checks
 * them. Also the template of a resident key of a citizen's.
 */
#ifndef HSM_OWN_H
#define HSM_OWN_H

#include "attr.h"
#include "mechanism.h"

enum hsm_own_key { HSM_OWN_ROOT, HSM_OWN_KEK, HSM_OWN_LEDGER, HSM_OWN_COUNT };

#define HSM_KEK_LABEL_MAX 20u

struct hsm_own_template {
    char label[HSM_KEK_LABEL_MAX]; /* a KEK's */
    struct hsm_template t;
    struct hsm_template nested; /* t points into both: it stays where it is */
};

const char *hsm_own_label(enum hsm_own_key which);
/* Class and key type; ledger_type: KY_KEY_ED25519 or KY_KEY_P256. */
void hsm_own_key_kind(enum hsm_own_key which, uint8_t ledger_type, struct hsm_template *t);
/* What such a key must be for good: label, rights, restrictions. caps is borrowed as long as out is. */
void hsm_own_key_template(enum hsm_own_key which, uint8_t ledger_type, const struct hsm_caps *caps,
                          struct hsm_own_template *out);
/* The same for a KEK that came by rotation: generation 1 is kyso-kek, 2 kyso-kek-2. */
void hsm_kek_template(uint32_t generation, const struct hsm_caps *caps,
                      struct hsm_own_template *out);
void hsm_kek_label(uint32_t generation, char out[HSM_KEK_LABEL_MAX]);
/* What it is at a ceremony, until it has been wrapped once: a session object that may leave. */
void hsm_own_key_newborn(enum hsm_own_key which, struct hsm_template *t);
/* One of the two secret keys, by either template. */
CK_RV hsm_own_secret_generate(const struct hsm_session *s, enum hsm_own_key which,
                              const struct hsm_template *what, CK_OBJECT_HANDLE *out);
void hsm_own_ledger_public(struct hsm_template *t); /* the ledger's public key in the token */
CK_RV hsm_own_ledger_generate(const struct hsm_session *s, uint8_t ledger_type,
                              const struct hsm_template *what, const struct hsm_template *pub,
                              CK_OBJECT_HANDLE *out_pub, CK_OBJECT_HANDLE *out);

/*
 * What a private signing key in the token must be, the ledger's (allowed: its one mechanism) and
 * citizens' resident keys (NULL). Stated in a template, read back from an object.
 */
void hsm_token_signer_template(struct hsm_template *t, const struct hsm_caps *caps,
                               const CK_MECHANISM_TYPE *allowed);
KY_MUST_CHECK struct ky_status hsm_token_signer_check(const struct hsm_session *s,
                                                      CK_OBJECT_HANDLE key,
                                                      const struct hsm_caps *caps,
                                                      const CK_MECHANISM_TYPE *allowed);
/*
 * Reads everything of the template back. CKA_LOCAL and CKA_NEVER_EXTRACTABLE are not asked for: a key
 * of a ceremony was unwrapped. KY_CORRUPT with the attribute's number as cause.
 */
KY_MUST_CHECK struct ky_status hsm_own_key_check(const struct hsm_session *s,
                                                 enum hsm_own_key which, CK_OBJECT_HANDLE key,
                                                 uint8_t ledger_type, const struct hsm_caps *caps);

#endif
