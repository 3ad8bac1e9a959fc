/* SPDX-License-Identifier: Apache-2.0 */
/* Private keys to blobs and back, under the KEK. A session's own thread. */
#ifndef HSM_WRAP_H
#define HSM_WRAP_H

#include "keys.h"

/*
 * *out_len: the room in out (at least KY_BLOB_MAX), then the blob's length. The blob names its KEK (ky_blob_kek).
 * Errors: KY_TOKEN_*.
 */
KY_MUST_CHECK struct ky_status hsm_wrap(const struct hsm_session *s, const struct hsm_kek *kek,
                                        const struct hsm_caps *caps, CK_OBJECT_HANDLE key,
                                        uint8_t *out, size_t *out_len);
/*
 * Under the KEK that the blob names. A session object that can sign and nothing else. Destroy it on every path. A blob that does not
 * unwrap is KY_TOKEN_REQUEST whatever the token calls it: it must not cost the session.
 */
KY_MUST_CHECK struct ky_status hsm_unwrap(const struct hsm_session *s, struct hsm_keys *keys,
                                          const struct hsm_caps *caps, uint8_t key_type,
                                          struct ky_span blob, CK_OBJECT_HANDLE *out_key);

#endif
