/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lockout of a subject: growing pauses after runs of wrong proofs, and a lock that
 * only an operator opens after too many without any success. Pure: any thread.
 * The end of a lock is an instant, never a countdown: a clock set back can
 * only lengthen it, and no call ever moves it to an earlier instant but a success.
 */
#include "kyso/policy.h"

#define LOCKED_FOR_GOOD UINT64_MAX

static uint32_t add_one(uint32_t v)
{
    return v == UINT32_MAX ? v : v + 1;
}

/* first, 2 * first, 4 * first ... at most max. */
static uint64_t lock_length(const struct policy_lockout_limits *l, uint32_t locks_before)
{
    uint64_t length = l->first_lock_s;
    for (uint32_t i = 0; i < locks_before && length != 0 && length < l->max_lock_s; i++) {
        length *= 2;
    }
    return length < l->max_lock_s ? length : l->max_lock_s;
}

bool policy_lockout_is_locked(const struct policy_lockout *s, uint64_t now_s)
{
    return s->locked_until_s == LOCKED_FOR_GOOD || now_s < s->locked_until_s;
}

/*
 * While locked no proof is looked at, so there is no failure to count; counting one would
 * let anybody who knows a name keep its owner locked out for ever.
 */
void policy_lockout_failure(const struct policy_lockout_limits *l, struct policy_lockout *s,
                            uint64_t now_s)
{
    if (policy_lockout_is_locked(s, now_s)) {
        return;
    }
    s->failures = add_one(s->failures);
    s->total = add_one(s->total);
    if (s->total >= l->total_tries) {
        s->locked_until_s = LOCKED_FOR_GOOD;
        return;
    }
    if (s->failures < l->tries) {
        return;
    }
    const uint64_t length = lock_length(l, s->locks);
    s->locked_until_s = now_s > LOCKED_FOR_GOOD - length ? LOCKED_FOR_GOOD : now_s + length;
    s->locks = add_one(s->locks);
    s->failures = 0;
}

void policy_lockout_success(struct policy_lockout *s)
{
    *s = (struct policy_lockout){0};
}

void policy_lockout_not_me(struct policy_lockout *s)
{
    s->locked_until_s = LOCKED_FOR_GOOD;
}
