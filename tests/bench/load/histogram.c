/* SPDX-License-Identifier: Apache-2.0 */
/* Log-linear buckets. */
#include "histogram.h"

#define SUB_BITS 6u /* HISTOGRAM_SUB = 1 << SUB_BITS */

static size_t bucket_of(uint64_t us)
{
    unsigned shift = 0;
    size_t i = 0;

    if (us >= 2 * HISTOGRAM_SUB)
        shift = 63u - (unsigned)__builtin_clzll(us) - SUB_BITS;
    i = (size_t)shift * HISTOGRAM_SUB + (size_t)(us >> shift);
    return i < HISTOGRAM_BUCKETS ? i : HISTOGRAM_BUCKETS - 1;
}

uint64_t histogram_bound(size_t i)
{
    uint64_t shift = i < 2 * HISTOGRAM_SUB ? 0 : i / HISTOGRAM_SUB - 1;
    uint64_t within = (uint64_t)i - shift * HISTOGRAM_SUB;

    return ((within + 1) << shift) - 1;
}

void histogram_add(struct histogram *h, uint64_t us)
{
    h->bucket[bucket_of(us)]++;
    h->count++;
    h->sum_us += us;
    if (us > h->max_us)
        h->max_us = us;
}

uint64_t histogram_at(const struct histogram *h, double share)
{
    uint64_t rank = (uint64_t)(share * (double)h->count + 0.999999);
    uint64_t seen = 0;

    if (rank == 0)
        rank = 1;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->bucket[i];
        if (seen >= rank)
            return histogram_bound(i) < h->max_us ? histogram_bound(i) : h->max_us;
    }
    return h->max_us;
}
