/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Latencies in microseconds, in buckets that are linear within each power of two: exact below 128
 * us, within 1.6 % above.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_SUB     64u /* buckets per power of two */
#define HISTOGRAM_BUCKETS (HISTOGRAM_SUB * 36u)

struct histogram { /* zero-initialise */
    uint64_t count;
    uint64_t sum_us, max_us;
    uint64_t bucket[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t us);
/* The value that a share (0..1) of the latencies do not exceed; 0 when there are none. */
uint64_t histogram_at(const struct histogram *h, double share);
/* The largest value of bucket i, and its count: for a printed distribution. */
uint64_t histogram_bound(size_t i);

#endif
