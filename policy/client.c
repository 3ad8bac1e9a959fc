/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Suspension of a client whose proofs fail too often within a minute: spraying one
 * guess over many people locks nobody, so it is the client that is stopped.
 * Pure: any thread.
 */
#include "kyso/policy.h"

#define MINUTE_S 60u

static uint32_t add_one(uint32_t v)
{
    return v == UINT32_MAX ? v : v + 1;
}

/*
 * A clock that steps back across one boundary (a correction of seconds) stays in the
 * window it had, so that flapping buys no fresh allowance; a larger step back starts a
 * window, so that one bad hour does not leave a client in the same minute for long.
 */
static bool starts_window(const struct policy_client_rate *r, uint64_t minute)
{
    return minute > r->minute || r->minute - minute > 1;
}

bool policy_client_outcome(const struct policy_client_limits *l, struct policy_client_rate *r,
                           bool failed, uint64_t now_s)
{
    const uint64_t minute = now_s / MINUTE_S;
    if (starts_window(r, minute)) {
        *r = (struct policy_client_rate){.minute = minute};
    }
    r->attempts = add_one(r->attempts);
    if (failed) {
        r->failures = add_one(r->failures);
    }
    /* Failures above the larger of the two thresholds, without dividing. */
    return failed && r->failures > l->failures_per_minute &&
           (uint64_t)r->failures * 100 > (uint64_t)r->attempts * l->failure_percent;
}
