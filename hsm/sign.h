/* SPDX-License-Identifier: Apache-2.0 */
/* One C_Sign: the bytes that go in, and the exact length that must come out. */
#ifndef HSM_SIGN_H
#define HSM_SIGN_H

#include "mechanism.h"

/*
 * Signs one digest with a checked (key type, algorithm). ECDSA: the digest, cut to the field
 * (FIPS 186-5 s.6.4); PKCS#1 v1.5: DigestInfo (RFC 8017 s.9.2); Ed25519: the digest bytes are the
 * message.
 *   out_sig  sig_len bytes of the key type
 * Errors: KY_TOKEN_*, KY_TOKEN_WRONG_SIGNATURE when the token's output has another length. The
 * session's thread.
 */
KY_MUST_CHECK struct ky_status hsm_sign(const struct hsm_session *s, CK_OBJECT_HANDLE key,
                                        uint8_t key_type, const struct ky_algorithm *a,
                                        struct ky_span digest, uint8_t *out_sig);
/* HMAC-SHA256 in the token. out holds 32 bytes. */
KY_MUST_CHECK struct ky_status hsm_hmac(const struct hsm_session *s, CK_OBJECT_HANDLE key,
                                        struct ky_span in, uint8_t out[32]);

#endif
