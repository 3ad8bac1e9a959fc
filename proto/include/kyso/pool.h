/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A heap of small blocks for one thread: what was freed is kept, by size, and given out again last
 * first. For libraries that take an allocator and ask for the same few sizes for each call
 * (nghttp2): with hundreds of calls at once the C library's cache of a few blocks a size is
 * always empty or full. Blocks are not wiped, as free(3) does not: nothing secret belongs in them.
 */
#ifndef KYSO_POOL_H
#define KYSO_POOL_H

#include <stddef.h>

#define KY_POOL_CLASSES 16u

/* What a program keeps: nothing under a sanitizer, so that it sees every use after a free. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KY_POOL_KEEP(bytes) 0u
#else
#define KY_POOL_KEEP(bytes) (bytes)
#endif

struct ky_pool { /* zero-initialise, then set keep_max */
    struct ky_pool_block *kept[KY_POOL_CLASSES];
    size_t kept_bytes, keep_max;
};

/*
 * As malloc, calloc, realloc and free, in the form that nghttp2_mem takes: pool is a struct ky_pool, and a
 * block belongs to it until it is freed there.
 */
void *ky_pool_alloc(size_t n, void *pool);
void *ky_pool_calloc(size_t count, size_t n, void *pool);
void *ky_pool_realloc(void *block, size_t n, void *pool);
void ky_pool_free(void *block, void *pool);
void ky_pool_wipe(struct ky_pool *p); /* gives back what is kept; blocks still out stay valid */

#endif
