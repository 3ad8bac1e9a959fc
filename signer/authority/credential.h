/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The row cache: credentials, subjects and authenticators as decisions look at them, decoded once. Bounded; what was not used
 * lately goes first. An entry lives until the turn that last fetched it ends, unless its row is written: only operators'
 * operations do that, and they read the store itself.
 */
#ifndef KYSO_CREDENTIAL_H
#define KYSO_CREDENTIAL_H

#include "authority.h"
#include "map.h"

#define CACHE_MAX                 32768u
#define CREDENTIAL_AUTHENTICATORS 16u

enum {
    CREDENTIAL_CREATED = 1,
    CREDENTIAL_ACTIVE,
    CREDENTIAL_SUSPENDED,
    CREDENTIAL_EXPIRED,
    CREDENTIAL_DESTROYED,
    CREDENTIAL_REVOKED
};

struct cache_entry {
    struct cache_entry *newer, *older;
    uint8_t table;
    uint32_t row;
    uint64_t linked_turn, used_turn; /* the same: it may go once that turn is over */
    struct ky_buf bytes; /* owned: what the spans below point into */
    union {
        struct row_credential credential;
        struct row_subject subject;
        struct row_authenticator authenticator;
    };
    uint8_t spki_sha256[32];          /* credential: of the public key */
    uint32_t authenticators[CREDENTIAL_AUTHENTICATORS]; /* subject: its authenticators' rows */
    uint32_t authenticator_count;
};
struct cache {
    struct map entries; /* owned */
    struct cache_entry *newest, *oldest;
    bool corrupt; /* the last lookup by public id met a row that does not hold (MAC, version) */
};

/* NULL when there is no such row, or it does not hold (KY_CORRUPT is logged and looks like absence). */
struct cache_entry *cache_get(struct authority *a, enum row_table table, uint32_t row);
void cache_drop(struct authority *a, enum row_table table, uint32_t row);
void cache_free(struct authority *a);

/* By public id: letter, row and random digits all have to agree. Sets cache.corrupt. */
struct cache_entry *credential_by_id(struct authority *a, struct ky_span id);
struct cache_entry *authenticator_by_id(struct authority *a, struct ky_span id);
/* ACTIVE and within the certificate's validity at now_s. */
bool credential_usable(const struct row_credential *c, uint64_t now_s);
/* Its state as a client sees it: EXPIRED when the certificate is over. */
uint8_t credential_state(const struct row_credential *c, uint64_t now_s);
/* Confirmed, of that kind and subject, and its waiting time over. */
bool authenticator_usable(const struct row_authenticator *x, uint8_t kind, uint32_t subject_row,
                          uint64_t now_s);
/* Not removed since it gave its word. */
bool authenticator_stands(struct authority *a, uint32_t row);
/* Is this text among repeated ky_put_bytes? "*" in the list matches all when `star`. */
bool list_has(struct ky_span list, struct ky_span text, bool star);

#endif
