/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The map's slots double at three quarters full. Numbers as keys are mixed, so that dense rows
 * spread; keys chosen by a client reach a map only after SHA-256.
 */
#include "map.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 64u

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

static size_t home(const struct map *m, struct map_key k)
{
    uint64_t x = k.w[0] ^ (k.w[1] * 0x9e3779b97f4a7c15u);

    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    return (size_t)x & (m->cap - 1);
}

/* The slot of the key, or the free one where it would go. The map is never full. */
static size_t probe(const struct map *m, struct map_key key)
{
    size_t i = home(m, key);

    while (m->slots[i].value != NULL && !same(m->slots[i].key, key))
        i = (i + 1) & (m->cap - 1);
    return i;
}

void *map_get(const struct map *m, struct map_key key)
{
    return m->cap == 0 ? NULL : m->slots[probe(m, key)].value;
}

static bool grow(struct map *m)
{
    struct map bigger = {.cap = m->cap == 0 ? FIRST_CAP : m->cap * 2};

    bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
    if (bigger.slots == NULL)
        return false;
    for (size_t i = 0; i < m->cap; i++)
        if (m->slots[i].value != NULL)
            bigger.slots[probe(&bigger, m->slots[i].key)] = m->slots[i];
    bigger.count = m->count;
    free(m->slots);
    *m = bigger;
    return true;
}

bool map_put(struct map *m, struct map_key key, void *value)
{
    if ((m->count + 1) * 4 > m->cap * 3 && !grow(m))
        return false;
    size_t i = probe(m, key);
    if (m->slots[i].value == NULL)
        m->count++;
    m->slots[i] = (struct map_slot){.key = key, .value = value};
    return true;
}

void *map_remove(struct map *m, struct map_key key)
{
    if (m->cap == 0)
        return NULL;
    size_t mask = m->cap - 1;
    size_t hole = probe(m, key);
    void *was = m->slots[hole].value;
    if (was == NULL)
        return NULL;
    for (size_t i = (hole + 1) & mask; m->slots[i].value != NULL; i = (i + 1) & mask) {
        size_t from = home(m, m->slots[i].key);
        if (((i - from) & mask) < ((i - hole) & mask))
            continue; /* already at or after its home: may not move before it */
        m->slots[hole] = m->slots[i];
        hole = i;
    }
    m->slots[hole].value = NULL;
    m->count--;
    return was;
}

void *map_next(const struct map *m, size_t *cursor)
{
    while (*cursor < m->cap) {
        void *v = m->slots[(*cursor)++].value;
        if (v != NULL)
            return v;
    }
    return NULL;
}

void map_free(struct map *m)
{
    free(m->slots);
    *m = (struct map){0};
}
