/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slab of entries, chained by row for look-up and by age for eviction. The
 * lock is a leaf: no token call is made while it is held.
 */
#include "cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

struct hsm_cached {
    CK_OBJECT_HANDLE handle;
    uint64_t session; /* serial of the session that made it */
    uint32_t row;
    uint32_t epoch;
    uint32_t pins;
    uint32_t chain; /* next of the same bucket, or of the free list */
    uint32_t older;
    uint32_t newer;
    bool linked; /* still to be found; false once dropped */
    bool lost;   /* its session is closed: the handle may name something else by now */
    bool verified;
    uint8_t verified_sha256[32];
};

struct hsm_cache {
    pthread_mutex_t lock;
    struct hsm_cached *entries; /* owned; cap of them */
    uint32_t *buckets;          /* owned; mask + 1 of them */
    uint32_t mask;
    uint32_t cap;
    uint32_t free;
    uint32_t oldest;
    uint32_t newest;
    uint32_t count; /* linked */
};

static uint32_t *bucket(struct hsm_cache *c, uint32_t row)
{
    return &c->buckets[(row * 2654435761u >> 7) & c->mask];
}

struct hsm_cache *hsm_cache_new(uint32_t cap)
{
    struct hsm_cache *c = calloc(1, sizeof(*c));
    uint32_t n = 16;

    while (n < cap && n < 1u << 24)
        n <<= 1;
    if (c == NULL)
        return NULL;
    c->entries = calloc(cap, sizeof(*c->entries));
    c->buckets = malloc(n * sizeof(*c->buckets));
    if (c->entries == NULL || c->buckets == NULL || pthread_mutex_init(&c->lock, NULL) != 0) {
        free(c->entries);
        free(c->buckets);
        free(c);
        return NULL;
    }
    c->mask = n - 1;
    c->cap = cap;
    c->oldest = c->newest = NONE;
    memset(c->buckets, 0xff, n * sizeof(*c->buckets));
    for (uint32_t i = 0; i < cap; i++)
        c->entries[i].chain = i + 1 < cap ? i + 1 : NONE;
    return c;
}

void hsm_cache_free(struct hsm_cache *c)
{
    if (c == NULL)
        return;
    (void)pthread_mutex_destroy(&c->lock);
    free(c->entries);
    free(c->buckets);
    free(c);
}

/* Everything below, up to the public half, runs with the lock held. */

static void age_remove(struct hsm_cache *c, struct hsm_cached *e)
{
    *(e->older != NONE ? &c->entries[e->older].newer : &c->oldest) = e->newer;
    *(e->newer != NONE ? &c->entries[e->newer].older : &c->newest) = e->older;
}

static void age_append(struct hsm_cache *c, struct hsm_cached *e)
{
    uint32_t i = (uint32_t)(e - c->entries);

    e->older = c->newest;
    e->newer = NONE;
    *(c->newest != NONE ? &c->entries[c->newest].newer : &c->oldest) = i;
    c->newest = i;
}

static void entry_free(struct hsm_cache *c, struct hsm_cached *e)
{
    e->chain = c->free;
    c->free = (uint32_t)(e - c->entries);
}

/*
 * Takes the entry out of sight. Returns the handle to destroy, if nobody uses it and its session
 * lives.
 */
static CK_OBJECT_HANDLE entry_unlink(struct hsm_cache *c, struct hsm_cached *e)
{
    uint32_t i = (uint32_t)(e - c->entries);
    uint32_t *link = bucket(c, e->row);
    CK_OBJECT_HANDLE handle = e->lost ? CK_INVALID_HANDLE : e->handle;

    while (*link != i)
        link = &c->entries[*link].chain;
    *link = e->chain;
    age_remove(c, e);
    e->linked = false;
    c->count--;
    if (e->pins > 0)
        return CK_INVALID_HANDLE;
    entry_free(c, e);
    return handle;
}

static struct hsm_cached *entry_of_row(struct hsm_cache *c, uint32_t row)
{
    for (uint32_t i = *bucket(c, row); i != NONE; i = c->entries[i].chain) {
        if (c->entries[i].row == row)
            return &c->entries[i];
    }
    return NULL;
}

static struct hsm_cached *entry_idle_oldest(struct hsm_cache *c)
{
    for (uint32_t i = c->oldest; i != NONE; i = c->entries[i].newer) {
        if (c->entries[i].pins == 0)
            return &c->entries[i];
    }
    return NULL;
}

static void lock(struct hsm_cache *c)
{
    (void)pthread_mutex_lock(&c->lock);
}

static void unlock(struct hsm_cache *c)
{
    (void)pthread_mutex_unlock(&c->lock);
}

/* Public half. One row holds at most one epoch at a time, so a row names an entry. */

struct hsm_cached *hsm_cache_get(struct hsm_cache *c, uint32_t row, uint32_t epoch)
{
    struct hsm_cached *e = NULL;

    lock(c);
    e = entry_of_row(c, row);
    if (e != NULL && e->epoch == epoch) {
        e->pins++;
        age_remove(c, e);
        age_append(c, e);
    } else {
        e = NULL;
    }
    unlock(c);
    return e;
}

struct hsm_cached *hsm_cache_put(struct hsm_cache *c, const struct hsm_session *s, uint32_t row,
                                 uint32_t epoch, CK_OBJECT_HANDLE handle)
{
    CK_OBJECT_HANDLE replaced = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE evicted = CK_INVALID_HANDLE;
    struct hsm_cached *e = NULL;

    lock(c);
    e = entry_of_row(c, row);
    if (e != NULL)
        replaced = entry_unlink(c, e);
    if (c->free == NONE && (e = entry_idle_oldest(c)) != NULL)
        evicted = entry_unlink(c, e);
    e = NULL;
    if (c->free != NONE) {
        e = &c->entries[c->free];
        c->free = e->chain;
        *e = (struct hsm_cached){.handle = handle,
                                 .session = s->serial,
                                 .row = row,
                                 .epoch = epoch,
                                 .pins = 1,
                                 .linked = true,
                                 .chain = *bucket(c, row)};
        *bucket(c, row) = (uint32_t)(e - c->entries);
        age_append(c, e);
        c->count++;
    }
    unlock(c);
    hsm_session_destroy(s, &replaced);
    hsm_session_destroy(s, &evicted);
    return e;
}

CK_OBJECT_HANDLE hsm_cached_handle(const struct hsm_cached *e)
{
    return e->handle;
}

bool hsm_cached_alive(struct hsm_cache *c, const struct hsm_cached *e)
{
    bool yes = false;

    lock(c);
    yes = !e->lost;
    unlock(c);
    return yes;
}

bool hsm_cached_verified(struct hsm_cache *c, const struct hsm_cached *e,
                         const uint8_t spki_sha256[32])
{
    bool yes = false;

    lock(c);
    yes = e->verified && ky_span_eq(KY_SPAN(e->verified_sha256, 32), KY_SPAN(spki_sha256, 32));
    unlock(c);
    return yes;
}

void hsm_cached_set_verified(struct hsm_cache *c, struct hsm_cached *e,
                             const uint8_t spki_sha256[32])
{
    lock(c);
    e->verified = true;
    memcpy(e->verified_sha256, spki_sha256, 32);
    unlock(c);
}

void hsm_cache_release(struct hsm_cache *c, const struct hsm_session *s, struct hsm_cached *e,
                       bool drop)
{
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;

    lock(c);
    e->pins--;
    if (e->linked && drop) {
        handle = entry_unlink(c, e);
    } else if (!e->linked && e->pins == 0) {
        handle = e->lost ? CK_INVALID_HANDLE : e->handle;
        entry_free(c, e);
    }
    unlock(c);
    hsm_session_destroy(s, &handle);
}

void hsm_cache_forget_row(struct hsm_cache *c, const struct hsm_session *s, uint32_t row)
{
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    struct hsm_cached *e = NULL;

    lock(c);
    e = entry_of_row(c, row);
    if (e != NULL)
        handle = entry_unlink(c, e);
    unlock(c);
    hsm_session_destroy(s, &handle);
}

void hsm_cache_forget_session(struct hsm_cache *c, uint64_t serial)
{
    lock(c);
    for (uint32_t i = 0; i < c->cap; i++) {
        struct hsm_cached *e = &c->entries[i];

        if (e->session != serial || (!e->linked && e->pins == 0))
            continue;
        e->lost = true;
        if (e->linked)
            (void)entry_unlink(c, e);
    }
    unlock(c);
}

void hsm_cache_shrink(struct hsm_cache *c, const struct hsm_session *s)
{
    uint32_t target = hsm_cache_count(c) / 2;

    for (bool more = true; more;) {
        CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
        struct hsm_cached *e = NULL;

        lock(c);
        e = c->count > target ? entry_idle_oldest(c) : NULL;
        if (e != NULL)
            handle = entry_unlink(c, e);
        unlock(c);
        hsm_session_destroy(s, &handle);
        more = e != NULL;
    }
}

uint32_t hsm_cache_count(struct hsm_cache *c)
{
    uint32_t n = 0;

    lock(c);
    n = c->count;
    unlock(c);
    return n;
}
