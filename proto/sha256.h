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

struct ky_sha256_state {
    SHA256_CTX ctx;
};

void ky_sha256_init(struct ky_sha256_state *h);
void ky_sha256_add(struct ky_sha256_state *h, struct ky_span in);
void ky_sha256_end(struct ky_sha256_state *h, uint8_t out[32]); /* wipes the state */

#endif
