/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of device keys share: ES256's encodings, apart from OpenSSL.
 */
#ifndef KYSO_POLICY_DEVICE_PRIVATE_H
#define KYSO_POLICY_DEVICE_PRIVATE_H

#include "kyso/span.h"
#include "kyso/status.h"

#define ES256_DER_MAX 74u /* ky_ecdsa_raw_to_der's cap for 64 raw bytes */

/*
 * A signature as a device sent it, strict DER or 64 raw bytes, to canonical DER with r and s in 1..n-1.
 * Errors: KY_PROOF_MALFORMED.
 */
KY_MUST_CHECK struct ky_status
policy_es256_signature(struct ky_span signature, uint8_t out_der[ES256_DER_MAX], size_t *out_len);

#endif
