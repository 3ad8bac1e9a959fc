/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Figures in one shared page: the authority and the supervisor write their own, the status
 * process maps it read-only. A scrape costs the writers nothing, and an authority that hangs
 * shows as an old heartbeat instead of an unanswered question.
 */
#ifndef KYSO_METRICS_H
#define KYSO_METRICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KY_METRICS_FD = 7 }; /* where a role finds the page's memory file */

enum metric {
    /* written by the authority */
    METRIC_HEARTBEAT_US, /* CLOCK_MONOTONIC of its last turn loop */
    METRIC_SERVING,
    METRIC_SEALED,
    METRIC_TURNS,
    METRIC_REQUESTS,
    METRIC_SIGNATURES,
    METRIC_DENIALS,
    METRIC_REPLAYS,
    METRIC_QUEUE,
    METRIC_IN_FLIGHT,
    METRIC_LEDGER_SIZE,
    METRIC_CHECKPOINT_SIZE,
    METRIC_COMMIT_US, /* sum */
    METRIC_JOBS_FAILED,
    METRIC_LATE_RESULTS,
    METRIC_VAULTS, /* joined now */
    METRIC_SHED,   /* refused for load or deadline */
    METRIC_CODES_SUSPENDED,
    METRIC_POOL_KEYS,
    METRIC_POOL_WANTED,
    METRIC_CLOCK_SYNCED,
    METRIC_CERTIFICATES_EXPIRING,
    /* written by the supervisor */
    METRIC_RESTARTS_AUTHORITY,
    METRIC_RESTARTS_VAULT,
    METRIC_RESTARTS_FRONT,
    METRIC_LATCH_CLOSED,
    METRIC_SHARES_MISSING,
    METRIC_COUNT
};

struct metrics_page {
    _Atomic uint64_t value[METRIC_COUNT];
};

struct metric_info {
    const char *name; /* "kyso_signatures_total" */
    const char *type; /* "counter" or "gauge" */
    const char *help;
};
const struct metric_info *metric_info(enum metric m);

/*
 * Maps KY_METRICS_FD; NULL when it is not there (a role started by a test): metrics_* then do
 * nothing.
 */
struct metrics_page *metrics_map(bool writable);

static inline void metrics_set(struct metrics_page *p, enum metric m, uint64_t v)
{
    if (p)
        atomic_store_explicit(&p->value[m], v, memory_order_relaxed);
}
static inline void metrics_add(struct metrics_page *p, enum metric m, uint64_t n)
{
    if (p)
        atomic_fetch_add_explicit(&p->value[m], n, memory_order_relaxed);
}
static inline uint64_t metrics_get(const struct metrics_page *p, enum metric m)
{
    return p ? atomic_load_explicit(&p->value[m], memory_order_relaxed) : 0;
}

#endif
