/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash map from 16 bytes to a pointer: open addressing, linear probing, deletion by shifting back. Keys are random, hashed already, or
 * numbers (map_key_number). It grows a few slots at a time, for the accounts of the fold (state.subjects): moving a million at
 * once takes 50 to 100 ms, twice that 100 to 250, and an authority that does not beat for 100 ms counts as dead.
 * Authority's thread only.
 */
#ifndef KYSO_MAP_H
#define KYSO_MAP_H

#include "kyso/span.h"

#define MAP_KEY_LEN 16u

struct map_key {
    uint64_t w[2];
};
struct map_slot {
    struct map_key key;
    void *value; /* borrowed; NULL = free slot */
};
struct map_table {
    struct map_slot *slots; /* owned */
    size_t cap;             /* a power of two, or 0 */
};
struct map { /* zero-initialised: empty */
    struct map_table now;
    struct map_table old; /* while growing: what is still to be moved */
    size_t moved;         /* slots of `old` below this are empty */
    size_t count;
};

struct map_key map_key_bytes(const uint8_t bytes[MAP_KEY_LEN]);
struct map_key map_key_number(uint64_t hi, uint64_t lo);

void *map_get(const struct map *m, struct map_key key); /* NULL when absent */
/* Adds or replaces; value is not NULL. False when there is no memory (nothing changed). */
KY_MUST_CHECK bool map_put(struct map *m, struct map_key key, void *value);
void *map_remove(struct map *m, struct map_key key); /* what was there, or NULL */
/* Iteration: *cursor starts at 0; NULL at the end. The map must not change meanwhile. */
const struct map_slot *map_next_slot(const struct map *m, size_t *cursor);
void *map_next(const struct map *m, size_t *cursor); /* its value */
void map_free(struct map *m); /* the slots, not the values */

#endif
