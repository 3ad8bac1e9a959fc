/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What kyso-web remembers between two requests, in memory only: access tokens, authorizations and results
 * that are waited for. Each is found by a text that was given out once; the table knows its SHA-256. Bounded,
 * also for one relying party; everything ends by itself. The loop's thread.
 */
#ifndef KYSO_WEB_HELD_H
#define KYSO_WEB_HELD_H

#include <jansson.h>

#include "kyso/alg.h"
#include "party.h"

#define HELD_TEXT_MAX 48u /* 32 random bytes in Base64 for URLs, and NUL */
#define CSC_ID_MAX    65u

enum held_kind { HELD_TOKEN = 1, HELD_GRANT, HELD_RESULT };

/* What the citizen has authorized, or is asked to. */
struct grant {
    char credential_id[CSC_ID_MAX];
    char transaction_id[CSC_ID_MAX];
    uint8_t sad[32]; /* the signer's; with has_sad */
    bool has_sad;
    uint64_t end_us;   /* of the signer's SAD, once there is one */
    uint64_t until_us; /* of ours, which is sooner: extendTransaction gives another */
    uint8_t hash;    /* enum ky_hash */
    uint32_t count;
    uint8_t hashes[]; /* count digests */
};

/* An answer that is asked for later. */
struct result {
    int status; /* HTTP; 0 = not yet */
    json_t *body; /* owned */
};

struct held {
    uint8_t key[32];
    enum held_kind kind;
    uint32_t units;
    uint64_t until_us;
    struct party *party; /* borrowed */
    union {
        struct grant *grant;   /* owned */
        struct result *result; /* owned */
    };
    struct held *next;
};

struct held_table;

struct held_table *held_new(uint32_t most); /* NULL: no memory */
void held_free(struct held_table **table);
/*
 * Makes an entry that a new random text names (out_text: HELD_TEXT_MAX bytes); bytes: what else it will own. The table
 * counts both: a unit for the entry and one for each KiB. KY_BUSY: the table, or this
 * party's share of it, is full. KY_NOMEM.
 */
KY_MUST_CHECK struct ky_status held_put(struct held_table *t, enum held_kind kind, struct party *party,
                                        uint32_t life_s, size_t bytes, char *out_text, struct held **out_held);
/* NULL: not there, over, of another kind or (party not NULL) another party's. Good until the next held_put or held_drop. */
struct held *held_get(struct held_table *t, enum held_kind kind, const struct party *party, const char *text);
void held_drop(struct held_table *t, struct held *held); /* with what it owns */
void held_expire(struct held_table *t);                  /* once a second */

#endif
