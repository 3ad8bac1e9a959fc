/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The capped bump allocator that messages are unpacked into. One owner, the front's thread (or the
 * authority's, for operations). Keeps: a message never costs more heap than the block, and
 * what was in it is wiped before the block is used again.
 */
#include <stdlib.h>

#include "kyso/grpc.h"
#include "kyso/secret.h"

#define ARENA_ALIGN 16u

struct ky_status ky_arena_init(struct ky_arena *a, size_t cap)
{
    *a = (struct ky_arena){0};
    if (cap == 0 || cap > KY_ARENA_MAX)
        return KY_STATUS(KY_INVALID);
    a->block = malloc(cap);
    if (a->block == NULL)
        return KY_STATUS(KY_NOMEM);
    a->cap = cap;
    return KY_STATUS(KY_OK);
}

void ky_arena_reset(struct ky_arena *a)
{
    ky_wipe(a->block, a->used);
    a->used = 0;
    a->exhausted = false;
}

void ky_arena_wipe(struct ky_arena *a)
{
    ky_arena_reset(a);
    free(a->block);
    *a = (struct ky_arena){0};
}

void *ky_arena_alloc(struct ky_arena *a, size_t n)
{
    if (n > a->cap - a->used) {
        a->exhausted = true;
        return NULL;
    }
    void *at = a->block + a->used;
    size_t left = a->cap - a->used;
    size_t rounded = (n + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN; /* n <= cap: cannot wrap */
    a->used += rounded < left ? rounded : left;
    return at;
}
