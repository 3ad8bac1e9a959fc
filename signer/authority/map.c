/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The map's slots double at three quarters full; each put then moves MOVE_SLOTS of the old table, which is empty long before the
 * new one is full. Numbers as keys are mixed, so that dense rows spread; keys chosen by a client reach a map only after SHA-256.
 */
#include "map.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAP  64u
#define MOVE_SLOTS 16u

struct map_key map_key_bytes(const uint8_t bytes[MAP_KEY_LEN])
{
    struct map_key k;

    memcpy(k.w, bytes, sizeof(k.w));
    return k;
}

struct map_key map_key_number(uint64_t hi, uint64_t lo)
{
    return (struct map_key){.w = {lo, hi}};
}

static bool same(struct map_key a, struct map_key b)
{
    return a.w[0] == b.w[0] && a.w[1] == b.w[1];
}

static size_t home(const struct map_table *t, struct map_key k)
{
    uint64_t x = k.w[0] ^ (k.w[1] * 0x9e3779b97f4a7c15u);

    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    return (size_t)x & (t->cap - 1);
}

/* The slot of the key, or the free one where it would go. A table is never full. */
static size_t probe(const struct map_table *t, struct map_key key)
{
    size_t i = home(t, key);

    while (t->slots[i].value != NULL && !same(t->slots[i].key, key))
        i = (i + 1) & (t->cap - 1);
    return i;
}

static void *table_get(const struct map_table *t, struct map_key key)
{
    return t->cap == 0 ? NULL : t->slots[probe(t, key)].value;
}

static bool table_new(struct map_table *out, size_t cap)
{
    out->slots = calloc(cap, sizeof(*out->slots)); /* a large one comes as untouched zero pages */
    out->cap = out->slots == NULL ? 0 : cap;
    return out->slots != NULL;
}

/* Empties slot `hole`: what stands behind it moves up, unless it is at home there. */
static void table_vacate(struct map_table *t, size_t hole)
{
    size_t mask = t->cap - 1;

    for (size_t i = (hole + 1) & mask; t->slots[i].value != NULL; i = (i + 1) & mask) {
        size_t from = home(t, t->slots[i].key);
        if (((i - from) & mask) < ((i - hole) & mask))
            continue; /* already at or after its home: may not move before it */
        t->slots[hole] = t->slots[i];
        hole = i;
    }
    t->slots[hole].value = NULL;
}

static void *table_remove(struct map_table *t, struct map_key key)
{
    size_t at = t->cap == 0 ? 0 : probe(t, key);
    void *was = t->cap == 0 ? NULL : t->slots[at].value;

    if (was != NULL)
        table_vacate(t, at);
    return was;
}

/* Vacating a slot pulls later ones up, never an earlier one back: what is below `moved` stays empty. */
static void move_some(struct map *m)
{
    for (size_t n = 0; n < MOVE_SLOTS && m->old.cap != 0; n++) {
        struct map_slot *s = &m->old.slots[m->moved];
        while (s->value != NULL) {
            m->now.slots[probe(&m->now, s->key)] = *s;
            table_vacate(&m->old, m->moved);
        }
        if (++m->moved == m->old.cap) {
            free(m->old.slots);
            m->old = (struct map_table){0};
        }
    }
}

static bool grow(struct map *m)
{
    struct map_table bigger;

    while (m->old.cap != 0)
        move_some(m); /* not reached while MOVE_SLOTS is more than 2 */
    if (!table_new(&bigger, m->now.cap == 0 ? FIRST_CAP : m->now.cap * 2))
        return false;
    m->old = m->now;
    m->moved = 0;
    m->now = bigger;
    return true;
}

void *map_get(const struct map *m, struct map_key key)
{
    void *found = table_get(&m->now, key);

    return found != NULL ? found : table_get(&m->old, key);
}

bool map_put(struct map *m, struct map_key key, void *value)
{
    if ((m->count + 1) * 4 > m->now.cap * 3 && !grow(m))
        return false;
    move_some(m);
    bool there = table_remove(&m->old, key) != NULL;
    struct map_slot *s = &m->now.slots[probe(&m->now, key)];
    m->count += !there && s->value == NULL;
    *s = (struct map_slot){.key = key, .value = value};
    return true;
}

void *map_remove(struct map *m, struct map_key key)
{
    void *was = table_remove(&m->now, key);

    if (was == NULL)
        was = table_remove(&m->old, key);
    m->count -= was != NULL;
    return was;
}

const struct map_slot *map_next_slot(const struct map *m, size_t *cursor)
{
    while (*cursor < m->now.cap + m->old.cap) {
        size_t i = (*cursor)++;
        const struct map_slot *s =
            i < m->now.cap ? &m->now.slots[i] : &m->old.slots[i - m->now.cap];
        if (s->value != NULL)
            return s;
    }
    return NULL;
}

void *map_next(const struct map *m, size_t *cursor)
{
    const struct map_slot *s = map_next_slot(m, cursor);

    return s == NULL ? NULL : s->value;
}

void map_free(struct map *m)
{
    free(m->now.slots);
    free(m->old.slots);
    *m = (struct map){0};
}
