/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The token as one who grows a population needs it: a login, the three derived keys, the anchor of
 * the ledger. hsm/'s own code does the work, without a vault's process around it.
 */
#ifndef BENCH_GROWTH_TOKEN_H
#define BENCH_GROWTH_TOKEN_H

#include "config.h"
#include "store.h"

struct token;
struct token_keys {
    struct ky_secret row_mac, seed, state;
};

/* Logs in with the PIN of config's pin_file. Says what failed and returns NULL. */
struct token *token_open(const struct config_token *config);
void token_close(struct token **t); /* a no-op on NULL */
KY_MUST_CHECK struct ky_status token_derive(struct token *t, struct token_keys *out_keys);
void token_keys_wipe(struct token_keys *keys);
/* The younger of the two. Errors: KY_NOT_FOUND, KY_CORRUPT, KY_TOKEN_*. */
KY_MUST_CHECK struct ky_status token_anchor_read(struct token *t, const struct ky_secret *state_key,
                                                 struct anchor *out);
KY_MUST_CHECK struct ky_status
token_anchor_write(struct token *t, const struct ky_secret *state_key, const struct anchor *anchor);

#endif
