/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Free lists by multiples of 64 bytes; whatever is larger goes to malloc. One owner, one thread.
 */
#include "kyso/pool.h"

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define STEP 64u

struct ky_pool_block {                               /* in front of what the caller has */
    alignas(max_align_t) struct ky_pool_block *next; /* while it is kept */
    size_t size; /* all of it: a multiple of STEP, or more than the classes reach */
};

static struct ky_pool_block *block_of(void *at)
{
    return (struct ky_pool_block *)at - 1;
}

static bool has_class(size_t size)
{
    return size <= (size_t)STEP * KY_POOL_CLASSES;
}

void *ky_pool_alloc(size_t n, void *pool)
{
    struct ky_pool *p = pool;
    struct ky_pool_block *b;
    size_t size;

    if (n > SIZE_MAX - sizeof(*b) - STEP)
        return NULL;
    size = (n + sizeof(*b) + STEP - 1) / STEP * STEP;
    b = has_class(size) ? p->kept[size / STEP - 1] : NULL;
    if (b != NULL) {
        p->kept[size / STEP - 1] = b->next;
        p->kept_bytes -= size;
        return b + 1;
    }
    b = malloc(size);
    if (b == NULL)
        return NULL;
    b->size = size;
    return b + 1;
}

void *ky_pool_calloc(size_t count, size_t n, void *pool)
{
    void *at = n == 0 || count <= SIZE_MAX / n ? ky_pool_alloc(count * n, pool) : NULL;
    return at != NULL ? memset(at, 0, count * n) : NULL;
}

void *ky_pool_realloc(void *block, size_t n, void *pool)
{
    size_t had = block != NULL ? block_of(block)->size - sizeof(struct ky_pool_block) : 0;
    void *at;

    if (n <= had && block != NULL)
        return block;
    at = ky_pool_alloc(n, pool);
    if (at != NULL && block != NULL) {
        memcpy(at, block, had);
        ky_pool_free(block, pool);
    }
    return at;
}

void ky_pool_free(void *block, void *pool)
{
    struct ky_pool *p = pool;
    struct ky_pool_block *b;

    if (block == NULL)
        return;
    b = block_of(block);
    if (!has_class(b->size) || p->kept_bytes + b->size > p->keep_max) {
        free(b);
        return;
    }
    b->next = p->kept[b->size / STEP - 1];
    p->kept[b->size / STEP - 1] = b;
    p->kept_bytes += b->size;
}

void ky_pool_wipe(struct ky_pool *p)
{
    for (size_t i = 0; i < KY_POOL_CLASSES; i++) {
        while (p->kept[i] != NULL) {
            struct ky_pool_block *b = p->kept[i];
            p->kept[i] = b->next;
            free(b);
        }
    }
    p->kept_bytes = 0;
}
