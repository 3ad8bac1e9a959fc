/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streaming SHA-256 on the caller's stack. Private to proto/. Any thread.
 * OpenSSL's own SHA256_* calls, which 3.0 marks as deprecated, because they allocate nothing and
 * cannot fail: a digest that might not have been made has no place in the ledger. The EVP
 * calls fetch and allocate per hash, at several times the cost.
 */
#ifndef KYSO_PROTO_SHA256_H
#define KYSO_PROTO_SHA256_H

#include <openssl/sha.h>

#include "kyso/span.h"

struct sha256 {
    SHA256_CTX ctx;
};

void sha256_init(struct sha256 *h);
void sha256_add(struct sha256 *h, struct ky_span in);
void sha256_end(struct sha256 *h, uint8_t out[32]); /* wipes the state */

#endif
