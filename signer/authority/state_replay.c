/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The replay index: (client, relying party, request id) to what became of it. Entries stand in a ring in the order of
 * their records, so that the oldest are dropped without a search; signatures themselves stay in the ledger.
 */
#include "state.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK 4096u

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

static struct replay *at(const struct replay_ring *r, uint64_t sequence)
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

const struct replay *state_replay_at(const struct replay_ring *r, uint64_t sequence)
{
    return at(r, sequence);
}

struct replay *state_replay_find(struct state *s, const uint8_t key[MAP_KEY_LEN])
{
    uint64_t sequence = 0;

    return replay_index_find(&s->replay, key, &sequence) ? at(&s->replay, sequence) : NULL;
}

const struct replay *state_replay(const struct state *s, const uint8_t key[MAP_KEY_LEN])
{
    uint64_t sequence = 0;

    return replay_index_find(&s->replay, key, &sequence) ? at(&s->replay, sequence) : NULL;
}

static void drop_oldest(struct replay_ring *r)
{
    replay_index_remove(r, r->head);
    r->head++;
    if (r->head % CHUNK == 0) {
        struct replay **chunk = &r->chunks[(r->head / CHUNK - 1) % r->chunk_cap];
        free(*chunk);
        *chunk = NULL;
    }
}

/*
 * A full index forgets its oldest request id before its time, rather than refuse everybody: a repeat of
 * that one then finds its proof spent (I3) instead of its signature.
 */
struct ky_status state_replay_put(struct state *s, const struct replay *entry)
{
    struct replay_ring *r = &s->replay;
    struct replay *slot = state_replay_find(s, entry->key);

    if (slot != NULL) { /* Authorize right after its own Begin: one request, two records */
        *slot = *entry;
        return KY_STATUS(KY_OK);
    }
    if (r->index.cap == 0 && !replay_index_open(&r->index, s->limits.replay_max))
        return KY_STATUS(KY_NOMEM);
    while (r->tail > r->head &&
           (r->tail - r->head >= s->limits.replay_max || replay_index_full(&r->index)))
        drop_oldest(r);
    slot = push(r);
    if (slot == NULL)
        return KY_STATUS(KY_NOMEM);
    *slot = *entry;
    replay_index_put(r, r->tail);
    r->tail++;
    return KY_STATUS(KY_OK);
}

void state_replay_collect(struct state *s, uint64_t now_s)
{
    struct replay_ring *r = &s->replay;

    while (r->head < r->tail) {
        if ((uint64_t)at(r, r->head)->at_s + s->limits.replay_window_s > now_s)
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
    replay_index_free(&r->index);
}
