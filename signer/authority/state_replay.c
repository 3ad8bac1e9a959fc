/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The replay index: (client, relying party, request id) to what became of it. Entries stand in a ring in the order of their
 * records, so that the oldest are dropped without a search; signatures themselves stay in the ledger. Slots tell where in the
 * ring a key stands: 32 bits of the key and the place, so a million ids cost 16 MB, and an absent key is told without a look at
 * the ring. They are made once, for as many ids as may ever be remembered, and touched as they fill: never a turn held up by growth.
 * Authority's thread only.
 */
#include "state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK  4096u
#define AT_MOD UINT64_C(0xffffffff) /* more than any ring holds, so its head tells numbers whole */

void state_replay_key(uint32_t client_row, struct ky_span relying_party, struct ky_span request_id,
                      uint8_t out[MAP_KEY_LEN])
{
    uint8_t text[6 + 2 * KY_NAME_MAX];
    uint8_t hash[32];
    size_t n = 0;

    memcpy(text, &client_row, sizeof(client_row));
    n = sizeof(client_row);
    text[n++] = (uint8_t)relying_party.len;
    if (relying_party.len > 0 && relying_party.len <= KY_NAME_MAX)
        memcpy(text + n, relying_party.data, relying_party.len);
    n += relying_party.len <= KY_NAME_MAX ? relying_party.len : 0;
    if (request_id.len > 0 && request_id.len <= KY_NAME_MAX)
        memcpy(text + n, request_id.data, request_id.len);
    n += request_id.len <= KY_NAME_MAX ? request_id.len : 0;
    ky_sha256(KY_SPAN(text, n), hash);
    memcpy(out, hash, MAP_KEY_LEN);
}

struct replay *state_replay_at(const struct replay_ring *r, uint64_t sequence)
{
    return &r->chunks[(sequence / CHUNK) % r->chunk_cap][sequence % CHUNK];
}

/* More chunk pointers: each is put where its sequence number says under the new capacity. */
static bool widen(struct replay_ring *r)
{
    size_t cap = r->chunk_cap == 0 ? 4 : r->chunk_cap * 2;
    struct replay **chunks = calloc(cap, sizeof(struct replay *));

    if (chunks == NULL)
        return false;
    if (r->chunk_cap > 0)
        for (uint64_t c = r->head / CHUNK; c <= r->tail / CHUNK; c++)
            if (chunks[c % cap] == NULL) {
                chunks[c % cap] = r->chunks[c % r->chunk_cap];
                r->chunks[c % r->chunk_cap] = NULL;
            }
    free(r->chunks);
    r->chunks = chunks;
    r->chunk_cap = cap;
    return true;
}

static struct replay *push(struct replay_ring *r)
{
    uint64_t c = r->tail / CHUNK;

    if ((r->chunk_cap == 0 || c - r->head / CHUNK >= r->chunk_cap) && !widen(r))
        return NULL;
    struct replay **chunk = &r->chunks[c % r->chunk_cap];
    if (*chunk == NULL)
        *chunk = malloc(CHUNK * sizeof(struct replay));
    return *chunk == NULL ? NULL : &(*chunk)[r->tail % CHUNK];
}

/* --- the slots: open addressing, linear probing, deletion by shifting back; SHA-256 has spread the keys ------------ */

bool state_replay_open(struct state *s)
{
    struct replay_ring *r = &s->replay;
    size_t cap = 64;

    while (cap / 4 * 3 < s->limits.replay_max)
        cap *= 2;
    r->slots = calloc(cap, sizeof(*r->slots));
    r->slot_mask = cap - 1;
    return r->slots != NULL;
}

static uint32_t tag_of(const uint8_t key[MAP_KEY_LEN])
{
    uint32_t tag;

    memcpy(&tag, key, sizeof(tag));
    return tag;
}

static struct replay *entry_of(const struct replay_ring *r, const struct replay_slot *s)
{
    return state_replay_at(r, r->head + (s->at - 1 + AT_MOD - r->head % AT_MOD) % AT_MOD);
}

/* The slot of the key, or the free one where it would go. */
static struct replay_slot *probe(const struct replay_ring *r, const uint8_t key[MAP_KEY_LEN])
{
    uint32_t tag = tag_of(key);
    size_t i = tag & r->slot_mask;

    for (; r->slots[i].at != 0; i = (i + 1) & r->slot_mask)
        if (r->slots[i].tag == tag &&
            ky_span_eq(KY_SPAN(key, MAP_KEY_LEN), KY_SPAN_OF(entry_of(r, &r->slots[i])->key)))
            break;
    return &r->slots[i];
}

struct replay *state_replay(const struct state *s, const uint8_t key[MAP_KEY_LEN])
{
    const struct replay_slot *found = probe(&s->replay, key);

    return found->at != 0 ? entry_of(&s->replay, found) : NULL;
}

static void vacate(struct replay_ring *r, struct replay_slot *slot)
{
    size_t mask = r->slot_mask;
    size_t hole = (size_t)(slot - r->slots);

    for (size_t i = (hole + 1) & mask; r->slots[i].at != 0; i = (i + 1) & mask) {
        size_t from = r->slots[i].tag & mask;
        if (((i - from) & mask) < ((i - hole) & mask))
            continue; /* already at or after its home: may not move before it */
        r->slots[hole] = r->slots[i];
        hole = i;
    }
    r->slots[hole].at = 0;
}

/* --- ring and slots together ------------------------------------------------------------------------------ */

static void drop_oldest(struct replay_ring *r)
{
    struct replay_slot *slot = probe(r, state_replay_at(r, r->head)->key);

    assert(slot->at != 0); /* each entry has its slot */
    vacate(r, slot);
    r->head++;
    if (r->head % CHUNK == 0) {
        struct replay **chunk = &r->chunks[(r->head / CHUNK - 1) % r->chunk_cap];
        free(*chunk);
        *chunk = NULL;
    }
}

/*
 * A full ring forgets its oldest request id before its time, rather than refuse everybody: a repeat of
 * that one then finds its proof spent (I3) instead of its signature.
 */
struct ky_status state_replay_put(struct state *s, const struct replay *entry)
{
    struct replay_ring *r = &s->replay;
    struct replay *known = state_replay(s, entry->key);

    if (known != NULL) { /* Authorize right after its own Begin: one request, two records */
        *known = *entry;
        return KY_STATUS(KY_OK);
    }
    if (r->tail - r->head >= s->limits.replay_max)
        drop_oldest(r);
    struct replay *last = push(r);
    if (last == NULL)
        return KY_STATUS(KY_NOMEM);
    *last = *entry;
    *probe(r, entry->key) =
        (struct replay_slot){.tag = tag_of(entry->key), .at = (uint32_t)(r->tail % AT_MOD) + 1};
    r->tail++;
    return KY_STATUS(KY_OK);
}

void state_replay_collect(struct state *s, uint64_t now_s)
{
    struct replay_ring *r = &s->replay;

    while (r->head < r->tail) {
        if ((uint64_t)state_replay_at(r, r->head)->at_s + s->limits.replay_window_s > now_s)
            break;
        drop_oldest(r);
    }
}

void state_replay_free(struct state *s)
{
    struct replay_ring *r = &s->replay;

    for (size_t i = 0; i < r->chunk_cap; i++)
        free(r->chunks[i]);
    free(r->chunks);
    free(r->slots);
}
