/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What leaves for one reader only: a text in CMS EnvelopedData (RFC 5652 s.6) for the holder of a certificate's
 * key, the person or whoever prints the letter. `openssl cms -decrypt` opens it. Any thread; no state.
 */
#ifndef KYSO_ENVELOPE_H
#define KYSO_ENVELOPE_H

#include <openssl/x509.h>

#include "kyso/span.h"
#include "kyso/status.h"

#define ENVELOPE_MAX 4096u /* of one: a short text for one RSA-4096 key */

struct envelope_reader {
    X509 *certificate; /* owned: X509_free(); NULL = nobody */
    uint8_t sha256[32];
};
/*
 * Who may be sealed to at now_s: EC (P-256, P-384, P-521) or RSA from 2048 bits, the certificate within its validity, its key usage
 * not against it. Who issued it is the operators' affair: their signature covers it.
 * Errors: KY_INVALID, and why.
 */
KY_MUST_CHECK struct ky_status envelope_reader_load(struct ky_span der, uint64_t now_s,
                                                    struct envelope_reader *out_reader,
                                                    const char **out_why);
/* How long an envelope of such a text is at most. */
size_t envelope_most(const struct envelope_reader *reader, size_t text_len);
/* Appends the DER. AES-256-CBC; the key by ECDH with SHA-256, or by RSA-OAEP with SHA-256. Errors: KY_INTERNAL, KY_NOMEM. */
KY_MUST_CHECK struct ky_status envelope_seal(const struct envelope_reader *reader,
                                             struct ky_span text, struct ky_buf *out);

#endif
