/* SPDX-License-Identifier: Apache-2.0 */
/*
 * K servers and one queue, in the order of arrival: when would a network HSM with K places be done
 * with this call? A booking is a time, not a held semaphore: nobody has to give it back, so a
 * process that is killed loses nothing but its own place's time, and a late wake-up costs the
 * caller and not the queue.
 */
#ifndef LATENCY_SLOTS_H
#define LATENCY_SLOTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { SLOTS_MAX = 1024 };

struct slots { /* in this process's memory, or in a file that several map */
    uint64_t magic;
    pthread_mutex_t lock; /* robust, shared between processes */
    uint32_t count;
    uint64_t random;             /* state of the jitter */
    uint64_t free_ns[SLOTS_MAX]; /* CLOCK_MONOTONIC: when each place is free */
};

/*
 * path NULL: memory of this process alone. Otherwise a file that the first caller makes; all must
 * ask for the same count. NULL: errno says why, EINVAL is another count or no such file of ours.
 * Stays mapped until the process ends.
 */
struct slots *slots_open(const char *path, uint32_t count);

/*
 * Pure but for s: takes the place that is free first for hold_ns, not before now_ns. Returns when
 * it is over.
 */
uint64_t slots_take(struct slots *s, uint64_t now_ns, uint64_t hold_ns);

/* The same now, under the lock, for base_ns give or take up to jitter_ns (uniform). Any thread. */
uint64_t slots_book(struct slots *s, uint64_t base_ns, uint64_t jitter_ns);

uint64_t slots_now(void);
/* To the microsecond or so, whatever the thread's timer slack was. */
void slots_sleep_until(uint64_t end_ns);

#endif
