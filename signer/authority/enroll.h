/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The short secrets of enrolment: what a seed is known by, confirmation codes, the
 * URI behind a QR code, and what an existing device signs. Any thread; no state.
 */
#ifndef KYSO_ENROLL_H
#define KYSO_ENROLL_H

#include "kyso/alg.h"
#include "kyso/secret.h"

#define ENROLL_URI_MAX       512u
#define ENROLL_CODE_DIGITS   8u
#define ENROLL_CONFIRM_TRIES 5u     /* wrong codes, then the authenticator is removed */
#define ENROLL_CODE_VALID_S  (30u * 86400u) /* a confirmation code's life: letters take their time */

#define ENROLL_LETTER_MOST(subject_len) (3u * (subject_len) + 256u) /* the sealed text's length: URI, id, code */

/* What STORE_BY_SEED is keyed by: HMAC-SHA256(state key, tag || 0x00 || seed). */
KY_MUST_CHECK struct ky_status enroll_seed_fingerprint(const struct ky_secret *state_key,
                                                       struct ky_span seed, uint8_t out[32]);
/* HMAC of a confirmation code, bound to the authenticator it was made for. */
KY_MUST_CHECK struct ky_status enroll_code_mac(const struct ky_secret *state_key,
                                               struct ky_span authenticator_id, struct ky_span code,
                                               uint8_t out[32]);
/*
 * An authenticator's confirmation code: ENROLL_CODE_DIGITS digits of a MAC of its id, and a NUL, so that it can be told again
 * without being kept. Errors: KY_NOMEM.
 */
KY_MUST_CHECK struct ky_status enroll_code(const struct ky_secret *state_key,
                                           struct ky_span authenticator_id,
                                           char out[ENROLL_CODE_DIGITS + 1]);
/* The usual length for a hash (RFC 4226 s.4 R6, RFC 6238 s.5.1): its own output's. 0 when the hash is unknown. */
size_t enroll_seed_len(uint8_t otp_hash);
/*
 * otpauth://totp/Kyso:SUBJECT?secret=BASE32&issuer=Kyso&algorithm=SHA256&digits=6&period=30.
 * It contains the seed: out is wiped by its caller. Errors: KY_INVALID.
 */
KY_MUST_CHECK struct ky_status enroll_otpauth_uri(struct ky_span subject_id, struct ky_span seed,
                                                  uint8_t otp_hash, uint8_t digits,
                                                  char out[ENROLL_URI_MAX]);

/* SHA-256("kyso.v1.enroll" || 0x00 || subject || 0x00 || new public key): what an existing device signs to let another in.
 * Errors: KY_NOMEM. */
KY_MUST_CHECK struct ky_status enroll_challenge(struct ky_span subject_id,
                                                struct ky_span public_key, uint8_t out[32]);

#endif
