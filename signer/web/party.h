/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Relying parties: who they are by name and secret, and how much each may ask. Secrets are kept as scrypt
 * hashes, "scrypt:LN:R:P:salt:key" with salt and key in Base64. The loop's thread.
 */
#ifndef KYSO_WEB_PARTY_H
#define KYSO_WEB_PARTY_H

#include "config.h"

struct bucket { /* of tokens, filled by time */
    uint64_t at_us;
    uint64_t credit_us; /* one use costs 1 s / rate */
};

struct party {
    const struct web_party_config *config; /* borrowed for the program's life */
    struct bucket requests, logins;
    uint32_t held;         /* units of held.h */
    uint8_t known[32];     /* the last secret that was right, under the process' key: scrypt is for strangers */
    bool has_known;
};

struct parties {
    struct party *list; /* owned */
    uint32_t count;
    struct bucket strangers; /* logins under no name of ours */
    uint8_t key[32];         /* of `known` */
};

KY_MUST_CHECK struct ky_status parties_init(struct parties *p, const struct web_config *config);
void parties_wipe(struct parties *p);

enum login { LOGIN_OK, LOGIN_WRONG, LOGIN_BUSY };
/* Whatever is wrong takes as long as the rest. */
enum login party_login(struct parties *p, struct ky_span name, struct ky_span secret,
                       struct party **out_party);
bool party_may_ask(struct party *p);

bool party_secret_is_hash(const char *text); /* NULL is none */
/* A new random secret and its hash, both texts; 64 and 128 bytes at least. Errors: KY_INTERNAL. */
KY_MUST_CHECK struct ky_status party_secret_new(char *out_secret, size_t secret_cap, char *out_hash,
                                                size_t hash_cap);

#endif
