/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open addressing, linear probing, deletion by shifting back. Keys are cut from SHA-256: their own bits spread them.
 * Sequence numbers are kept modulo a number that no ring is as long as, so the ring's head tells them whole.
 */
#include "replay_index.h"

#include <stdlib.h>
#include <string.h>

#include "state.h"

#define REPLAY_AT_MOD UINT64_C(0xffffffff)
#define CAP_MAX       ((size_t)1 << 31)

bool replay_index_open(struct replay_index *x, size_t max)
{
    size_t cap = 64;

    while (cap < CAP_MAX && cap / 4 * 3 < max)
        cap *= 2;
    x->slots = calloc(cap, sizeof(*x->slots));
    if (x->slots == NULL)
        return false;
    x->cap = cap;
    x->count = 0;
    return true;
}

void replay_index_free(struct replay_index *x)
{
    free(x->slots);
    *x = (struct replay_index){0};
}

bool replay_index_full(const struct replay_index *x)
{
    return x->count >= x->cap / 4 * 3;
}

static uint32_t tag_of(const uint8_t key[MAP_KEY_LEN])
{
    uint32_t tag;

    memcpy(&tag, key, sizeof(tag));
    return tag;
}

static uint64_t sequence_of(const struct replay_ring *r, const struct replay_slot *s)
{
    uint64_t after = (s->at - 1 + REPLAY_AT_MOD - r->head % REPLAY_AT_MOD) % REPLAY_AT_MOD;

    return r->head + after;
}

/* The slot of the key, or the free one where it would go. */
static size_t probe(const struct replay_ring *r, const uint8_t key[MAP_KEY_LEN])
{
    const struct replay_index *x = &r->index;
    uint32_t tag = tag_of(key);
    size_t i = tag & (x->cap - 1);

    for (; x->slots[i].at != 0; i = (i + 1) & (x->cap - 1))
        if (x->slots[i].tag == tag &&
            ky_span_eq(KY_SPAN(key, MAP_KEY_LEN),
                       KY_SPAN_OF(state_replay_at(r, sequence_of(r, &x->slots[i]))->key)))
            break;
    return i;
}

bool replay_index_find(const struct replay_ring *r, const uint8_t key[MAP_KEY_LEN],
                       uint64_t *out_sequence)
{
    if (r->index.cap == 0)
        return false;
    const struct replay_slot *s = &r->index.slots[probe(r, key)];
    if (s->at != 0)
        *out_sequence = sequence_of(r, s);
    return s->at != 0;
}

void replay_index_put(struct replay_ring *r, uint64_t sequence)
{
    const uint8_t *key = state_replay_at(r, sequence)->key;

    r->index.slots[probe(r, key)] =
        (struct replay_slot){.tag = tag_of(key), .at = (uint32_t)(sequence % REPLAY_AT_MOD) + 1};
    r->index.count++;
}

void replay_index_remove(struct replay_ring *r, uint64_t sequence)
{
    struct replay_index *x = &r->index;
    size_t mask = x->cap - 1;
    size_t hole = probe(r, state_replay_at(r, sequence)->key);

    if (x->slots[hole].at == 0)
        return;
    for (size_t i = (hole + 1) & mask; x->slots[i].at != 0; i = (i + 1) & mask) {
        size_t from = x->slots[i].tag & mask;
        if (((i - from) & mask) < ((i - hole) & mask))
            continue; /* already at or after its home: may not move before it */
        x->slots[hole] = x->slots[i];
        hole = i;
    }
    x->slots[hole].at = 0;
    x->count--;
}
