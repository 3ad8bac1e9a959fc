/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a decision needs often and the system gives slowly: an unsealed seed for the length of one check, in one locked
 * page that stays mapped (mapping and locking one per code cost more than the check), and random bytes drawn by the block.
 * One thread.
 */
#ifndef KYSO_UNSEAL_H
#define KYSO_UNSEAL_H

#include <openssl/evp.h>

#include "kyso/secret.h"

#define RANDOM_BLOCK 4096u

struct unsealer {           /* zero-initialised: nothing held */
    EVP_CIPHER_CTX *cipher;      /* owned; keyed for the length of one unseal() */
    const struct ky_secret *key; /* borrowed from unsealer_open until unsealer_close */
    struct ky_secret page;       /* the seed's place, wiped after each use */
};
/* key: seed-enc, 32 bytes. Errors: KY_NOMEM, KY_INTERNAL. */
KY_MUST_CHECK struct ky_status unsealer_open(struct unsealer *u, const struct ky_secret *key);
void unsealer_close(struct unsealer *u);
/* As seed_open() of seed.h, without its allocations. out_seed lives until unseal_done(), which every path calls.
 * Errors: KY_CORRUPT. */
KY_MUST_CHECK struct ky_status unseal(struct unsealer *u, struct ky_span authenticator_id,
                                      uint32_t epoch, struct ky_span sealed,
                                      struct ky_span *out_seed);
void unseal_done(struct unsealer *u);

struct random_block { /* for ids, nonces and salts: each byte is handed out once and wiped here */
    uint8_t bytes[RANDOM_BLOCK];
    size_t left;
};
KY_MUST_CHECK struct ky_status random_draw(struct random_block *b, void *out, size_t n);

#endif
