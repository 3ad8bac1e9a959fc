/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 and HMAC-SHA-256 that cannot fail. Any role, any thread.
 * HMAC stands here in its two lines of RFC 2104 for the same reason: OpenSSL's may run out of
 * memory.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "sha256.h"

#include <string.h>

#include "kyso/alg.h"
#include "kyso/secret.h"

#define BLOCK_LEN 64u

void ky_sha256_init(struct ky_sha256_state *h)
{
    SHA256_Init(&h->ctx);
}

void ky_sha256_add(struct ky_sha256_state *h, struct ky_span in)
{
    if (in.len > 0)
        SHA256_Update(&h->ctx, in.data, in.len);
}

void ky_sha256_end(struct ky_sha256_state *h, uint8_t out[32])
{
    SHA256_Final(out, &h->ctx); /* cleanses the block it holds */
}

void ky_sha256(struct ky_span in, uint8_t out[32])
{
    struct ky_sha256_state h;
    ky_sha256_init(&h);
    ky_sha256_add(&h, in);
    ky_sha256_end(&h, out);
}

static void hmac_pass(const uint8_t key[BLOCK_LEN], uint8_t pad, struct ky_span in, uint8_t out[32])
{
    uint8_t block[BLOCK_LEN];
    for (size_t i = 0; i < BLOCK_LEN; i++)
        block[i] = key[i] ^ pad;
    struct ky_sha256_state h;
    ky_sha256_init(&h);
    ky_sha256_add(&h, KY_SPAN_OF(block));
    ky_sha256_add(&h, in);
    ky_sha256_end(&h, out);
    ky_wipe(&h, sizeof(h));
    ky_wipe(block, sizeof(block));
}

void ky_hmac_sha256(struct ky_span key, struct ky_span in, uint8_t out[32])
{
    uint8_t padded[BLOCK_LEN] = {0};
    uint8_t inner[32];
    if (key.len > BLOCK_LEN)
        ky_sha256(key, padded);
    else if (key.len > 0)
        memcpy(padded, key.data, key.len);
    hmac_pass(padded, 0x36, in, inner);
    hmac_pass(padded, 0x5c, KY_SPAN_OF(inner), out);
    ky_wipe(padded, sizeof(padded));
    ky_wipe(inner, sizeof(inner));
}
