/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The anchor: the head of the ledger that the token remembers. Its form only, no I/O, any thread.
 * (The checkpoint's is in checkpoint.h.)
 */
#ifndef KYSO_ANCHOR_H
#define KYSO_ANCHOR_H

#include "kyso/secret.h"

struct anchor {
    uint64_t size;
    uint8_t root[32];
    uint64_t sequence;
    uint8_t clean;
};
/* "kyso.anchor" u8 form u64 size, root, u64 sequence, u8 clean, HMAC-SHA256 of all that */
#define ANCHOR_LEN 93u
void anchor_encode(const struct anchor *a, const struct ky_secret *state_key, struct ky_buf *out);
/* Errors: KY_INVALID (not an anchor), KY_CORRUPT (MAC). */
KY_MUST_CHECK struct ky_status anchor_decode(struct ky_span in, const struct ky_secret *state_key,
                                             struct anchor *out);

#endif
