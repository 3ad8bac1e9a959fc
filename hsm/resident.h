/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Citizens' keys that live in the token, by CKA_ID. Enumerated once; a key that
 * another vault made since is searched for once and then remembered. Shared by
 * the vault's threads behind one leaf lock.
 */
#ifndef HSM_RESIDENT_H
#define HSM_RESIDENT_H

#include "session.h"

#define HSM_LABEL_CITIZEN "kyso-citizen"
#define HSM_LABEL_TRIAL   "kyso-probe" /* of everything that a probe makes */

enum { HSM_KEY_ID = 16 };

struct hsm_residents;

/* label: a literal, one of the two: no other keys are found, made or destroyed. */
struct hsm_residents *hsm_residents_new(const char *label);
const char *hsm_residents_label(const struct hsm_residents *r);
void hsm_residents_free(struct hsm_residents *r);
/* At start. Errors: KY_TOKEN_*, KY_NOMEM. */
KY_MUST_CHECK struct ky_status hsm_residents_enumerate(struct hsm_residents *r,
                                                       const struct hsm_session *s);
/*
 * KY_NOT_FOUND: no such key. KY_CORRUPT: two objects carry that CKA_ID, so neither is used.
 *   out_verified  under which public key (its SHA-256) it was seen to sign; all zero = none
 */
KY_MUST_CHECK struct ky_status hsm_residents_find(struct hsm_residents *r,
                                                  const struct hsm_session *s, struct ky_span id,
                                                  CK_OBJECT_HANDLE *out_key,
                                                  uint8_t out_verified[32]);
/* Says so of that handle only: another thread may have found another for the id since. */
void hsm_residents_set_verified(struct hsm_residents *r, struct ky_span id, CK_OBJECT_HANDLE key,
                                const uint8_t spki_sha256[32]);
KY_MUST_CHECK struct ky_status hsm_residents_add(struct hsm_residents *r, struct ky_span id,
                                                 CK_OBJECT_HANDLE key);
void hsm_residents_forget(struct hsm_residents *r, struct ky_span id);
/* Destroys every object of that CKA_ID and our label. KY_NOT_FOUND when there was none. */
KY_MUST_CHECK struct ky_status
hsm_residents_destroy(struct hsm_residents *r, const struct hsm_session *s, struct ky_span id);
size_t hsm_residents_count(struct hsm_residents *r);

#endif
