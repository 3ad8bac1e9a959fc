/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds entries of the replay ring by key. A slot holds a place in the ring and 32 bits of the key, so a million ids cost 16 MB, and a
 * key that is absent is told so without a look at the ring. Made once, for as many as the ring may ever hold: it
 * never grows, so it never holds a turn up. Authority's thread only.
 */
#ifndef KYSO_REPLAY_INDEX_H
#define KYSO_REPLAY_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kyso/status.h"
#include "map.h"

struct replay_ring;
struct replay_slot {
    uint32_t tag; /* of the key; tells the slot's home too */
    uint32_t at;  /* sequence number modulo REPLAY_AT_MOD, plus 1; 0 = free slot */
};
struct replay_index { /* zero-initialised: finds nothing */
    struct replay_slot *slots; /* owned */
    size_t cap;                /* a power of two, or 0 */
    size_t count;
};

/* Room for `max` entries, whose memory is taken as it is touched. */
KY_MUST_CHECK bool replay_index_open(struct replay_index *x, size_t max);
void replay_index_free(struct replay_index *x);
/* Full: the ring must forget one first. */
bool replay_index_full(const struct replay_index *x);
/* False when it is absent. The ring holds the keys. */
bool replay_index_find(const struct replay_ring *r, const uint8_t key[MAP_KEY_LEN],
                       uint64_t *out_sequence);
/* The entry stands in the ring, its key is in no slot yet, and the index is not full. */
void replay_index_put(struct replay_ring *r, uint64_t sequence);
void replay_index_remove(struct replay_ring *r, uint64_t sequence);

#endif
