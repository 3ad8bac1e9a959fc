/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run cost the server, read from outside: CPU of kysod's children by program name, and
 * counters from /metrics.
 */
#ifndef BENCH_ROLES_H
#define BENCH_ROLES_H

#include <stdbool.h>
#include <stdint.h>

#define ROLES_MAX     8u
#define ROLE_NAME_MAX 32u

struct role_cpu {
    char name[ROLE_NAME_MAX];
    uint64_t us;
};

struct roles { /* totals since each process began */
    struct role_cpu role[ROLES_MAX];
    unsigned count;
    bool has_server; /* /metrics answered: */
    uint64_t turns, commit_us;
    uint64_t signatures; /* released */
    uint64_t vault_restarts;
};

/* kysod 0 or status NULL leave their part empty. Includes this process as "load". */
void roles_read(long kysod, const char *status_endpoint, struct roles *out);
/* Microseconds of CPU that a role used between two readings; 0 when it was absent. */
uint64_t roles_used_us(const struct roles *from, const struct roles *to, const char *name);

#endif
