/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lockout's schedule, its behaviour under every kind of clock, and a client's
 * suspension. P17, P18, P24.
 */
#include "policy_test.h"

static const struct policy_lockout_limits defaults = {
    .tries = 5, .first_lock_s = 900, .max_lock_s = 86400, .total_tries = 20};
#define T0 UINT64_C(1800000000)

/* Fails until locked; returns how many failures that took. */
static uint32_t fail_until_locked(const struct policy_lockout_limits *l, struct policy_lockout *s,
                                  uint64_t now)
{
    uint32_t n = 0;
    while (!policy_lockout_is_locked(s, now)) {
        policy_lockout_failure(l, s, now);
        n++;
        assert_true(n <= 1000);
    }
    return n;
}

static void test_schedule(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {900, 1800, 3600};
    struct policy_lockout s = {0};
    uint64_t now = T0;
    assert_false(policy_lockout_is_locked(&s, 0));
    for (size_t i = 0; i < ROWS(lengths); i++) {
        assert_int_equal(fail_until_locked(&defaults, &s, now), 5);
        assert_int_equal(s.locked_until_s, now + lengths[i]);
        assert_true(policy_lockout_is_locked(&s, now + lengths[i] - 1));
        now += lengths[i];
        assert_false(policy_lockout_is_locked(&s, now));
    }
    /* The twentieth failure without a success: an operator has to act. */
    assert_int_equal(fail_until_locked(&defaults, &s, now), 5);
    assert_int_equal(s.total, 20);
    assert_int_equal(s.locked_until_s, UINT64_MAX);
    assert_true(policy_lockout_is_locked(&s, UINT64_MAX));
    policy_lockout_success(&s);
    assert_false(policy_lockout_is_locked(&s, 0));
}

static void test_doubling_stops_at_the_maximum(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {900,   1800,  3600,  7200,  14400,
                                       28800, 57600, 86400, 86400, 86400};
    struct policy_lockout_limits l = defaults;
    l.total_tries = UINT32_MAX;
    struct policy_lockout s = {0};
    uint64_t now = T0;
    for (size_t i = 0; i < ROWS(lengths); i++) {
        assert_int_equal(fail_until_locked(&l, &s, now), 5);
        assert_int_equal(s.locked_until_s - now, lengths[i]);
        now = s.locked_until_s;
    }
    /* Billions of locks later it is still the maximum: nothing has wrapped. */
    s.locks = UINT32_MAX;
    assert_int_equal(fail_until_locked(&l, &s, now), 5);
    assert_int_equal(s.locked_until_s - now, 86400);
    assert_int_equal(s.locks, UINT32_MAX);

    l.max_lock_s = 1000;
    s = (struct policy_lockout){.locks = 3};
    (void)fail_until_locked(&l, &s, T0);
    assert_int_equal(s.locked_until_s, T0 + 1000);
    l.max_lock_s = 10; /* below the first */
    s = (struct policy_lockout){0};
    (void)fail_until_locked(&l, &s, T0);
    assert_int_equal(s.locked_until_s, T0 + 10);
    l = (struct policy_lockout_limits){1, UINT32_MAX, UINT32_MAX, UINT32_MAX};
    s = (struct policy_lockout){.locks = 40};
    (void)fail_until_locked(&l, &s, T0);
    assert_int_equal(s.locked_until_s, T0 + UINT32_MAX);
}

static void test_success_clears(void **state)
{
    (void)state;
    struct policy_lockout s = {0};
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < 4; i++) {
            policy_lockout_failure(&defaults, &s, T0);
        }
        assert_false(policy_lockout_is_locked(&s, T0));
        policy_lockout_success(&s);
        assert_int_equal(s.failures + s.total + s.locks, 0);
    }
    /* The next lock after a success is a first one again. */
    (void)fail_until_locked(&defaults, &s, T0);
    policy_lockout_success(&s);
    (void)fail_until_locked(&defaults, &s, T0);
    assert_int_equal(s.locked_until_s, T0 + 900);
}

static void test_failures_while_locked_change_nothing(void **state)
{
    (void)state;
    struct policy_lockout s = {0};
    (void)fail_until_locked(&defaults, &s, T0);
    const struct policy_lockout before = s;
    for (int i = 0; i < 100; i++) {
        policy_lockout_failure(&defaults, &s, T0 + 899);
    }
    assert_int_equal(s.total, before.total);
    assert_int_equal(s.failures, before.failures);
    assert_int_equal(s.locks, before.locks);
    assert_int_equal(s.locked_until_s, before.locked_until_s);
}

static void fault_55_clock_jumps(void **state)
{
    (void)state;
    static const int64_t jumps[] = {-1, -30, -3600, -86400, -(int64_t)T0};
    struct policy_lockout s = {0};
    (void)fail_until_locked(&defaults, &s, T0);
    for (size_t i = 0; i < ROWS(jumps); i++) {
        const uint64_t now = (uint64_t)((int64_t)T0 + jumps[i]);
        assert_true(policy_lockout_is_locked(&s, now));
        /* Nor does anything done at that time bring the end nearer. */
        struct policy_lockout other = s;
        policy_lockout_failure(&defaults, &other, now);
        assert_true(other.locked_until_s >= s.locked_until_s);
        policy_lockout_not_me(&other);
        assert_true(other.locked_until_s >= s.locked_until_s);
    }
    /* An ended lock comes back when the clock goes back before its end. */
    assert_false(policy_lockout_is_locked(&s, T0 + 900));
    assert_true(policy_lockout_is_locked(&s, T0 + 870));
}

static void test_ends_of_time(void **state)
{
    (void)state;
    static const uint64_t ends[] = {UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - 899, UINT64_MAX - 900};
    for (size_t i = 0; i < ROWS(ends); i++) {
        struct policy_lockout s = {0};
        assert_int_equal(fail_until_locked(&defaults, &s, ends[i]), 5);
        assert_int_equal(s.locked_until_s, UINT64_MAX);
    }
    struct policy_lockout_limits l = {
        .tries = UINT32_MAX, .first_lock_s = 1, .max_lock_s = 1, .total_tries = UINT32_MAX};
    struct policy_lockout s = {.failures = UINT32_MAX - 1, .total = UINT32_MAX - 1};
    policy_lockout_failure(&l, &s, T0);
    assert_int_equal(s.locked_until_s, UINT64_MAX);
    l = (struct policy_lockout_limits){0};
    s = (struct policy_lockout){0};
    policy_lockout_failure(&l, &s, T0);
    assert_int_equal(s.locked_until_s, UINT64_MAX);
}

static void test_not_me(void **state)
{
    (void)state;
    struct policy_lockout s = {0};
    policy_lockout_not_me(&s);
    assert_true(policy_lockout_is_locked(&s, 0));
    assert_true(policy_lockout_is_locked(&s, T0));
    assert_true(policy_lockout_is_locked(&s, UINT64_MAX));
    policy_lockout_failure(&defaults, &s, T0);
    assert_int_equal(s.locked_until_s, UINT64_MAX);
    policy_lockout_success(&s);
    assert_false(policy_lockout_is_locked(&s, T0));
}

/* --- clients --- */

static const struct policy_client_limits client_defaults = {.failures_per_minute = 50,
                                                            .failure_percent = 5};

/* Records so many outcomes; true when the last one suspends. */
static bool outcomes(struct policy_client_rate *r, uint32_t count, bool failed, uint64_t now)
{
    bool suspend = false;
    for (uint32_t i = 0; i < count; i++) {
        suspend = policy_client_outcome(&client_defaults, r, failed, now);
    }
    return suspend;
}

static void test_client_thresholds(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t good, bad;
        bool suspend;
    } rows[] = {
        {"one failure", 0, 1, false},
        {"50 failures", 0, 50, false},
        {"51 failures", 0, 51, true},
        {"51 of 1000", 949, 51, true},
        {"51 of 1020: exactly 5 %", 969, 51, false},
        {"51 of 1019", 968, 51, true},
        {"100 of 2000", 1900, 100, false},
        {"101 of 2000", 1899, 101, true},
        {"50 of 100", 50, 50, false},
        {"500 of 10000", 9500, 500, false},
        {"501 of 10000", 9499, 501, true},
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct policy_client_rate r = {0};
        assert_false(outcomes(&r, rows[i].good, false, T0));
        if (outcomes(&r, rows[i].bad, true, T0) != rows[i].suspend) {
            fail_msg("%s", rows[i].name);
        }
        assert_int_equal(r.attempts, rows[i].good + rows[i].bad);
        assert_int_equal(r.failures, rows[i].bad);
    }
}

static void test_client_window(void **state)
{
    (void)state;
    const uint64_t minute = T0 - T0 % 60;
    struct policy_client_rate r = {0};
    assert_false(outcomes(&r, 50, true, minute + 59));
    assert_false(outcomes(&r, 50, true, minute + 60)); /* a new minute */
    assert_true(outcomes(&r, 1, true, minute + 119));
    /* A step back over one boundary stays; a longer one starts afresh. */
    r = (struct policy_client_rate){0};
    assert_false(outcomes(&r, 50, true, minute));
    assert_true(outcomes(&r, 1, true, minute - 1));
    r = (struct policy_client_rate){0};
    assert_false(outcomes(&r, 50, true, minute));
    assert_false(outcomes(&r, 1, true, minute - 61));
    assert_int_equal(r.attempts, 1);
    assert_int_equal(r.minute, minute / 60 - 2);
    /* A success never suspends, not even above the threshold. */
    r = (struct policy_client_rate){0};
    assert_true(outcomes(&r, 51, true, minute));
    assert_false(outcomes(&r, 1, false, minute));
    assert_true(outcomes(&r, 1, true, minute));
}

static void test_client_far_ends(void **state)
{
    (void)state;
    struct policy_client_rate r = {
        .minute = UINT64_MAX / 60, .attempts = UINT32_MAX, .failures = UINT32_MAX};
    assert_true(policy_client_outcome(&client_defaults, &r, true, UINT64_MAX));
    assert_int_equal(r.attempts, UINT32_MAX);
    assert_int_equal(r.failures, UINT32_MAX);
    const struct policy_client_limits all = {.failures_per_minute = 0, .failure_percent = 0};
    r = (struct policy_client_rate){0};
    assert_true(policy_client_outcome(&all, &r, true, 0));
    const struct policy_client_limits huge = {.failures_per_minute = 0,
                                              .failure_percent = UINT32_MAX};
    r = (struct policy_client_rate){.attempts = UINT32_MAX, .failures = UINT32_MAX};
    assert_false(policy_client_outcome(&huge, &r, true, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schedule),
        cmocka_unit_test(test_doubling_stops_at_the_maximum),
        cmocka_unit_test(test_success_clears),
        cmocka_unit_test(test_failures_while_locked_change_nothing),
        cmocka_unit_test(fault_55_clock_jumps),
        cmocka_unit_test(test_ends_of_time),
        cmocka_unit_test(test_not_me),
        cmocka_unit_test(test_client_thresholds),
        cmocka_unit_test(test_client_window),
        cmocka_unit_test(test_client_far_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
