/* SPDX-License-Identifier: Apache-2.0 */
/* What estimates learn from, and what they must not learn from. */
#include "world.h"

#include <stdlib.h>

#include "cost.h"

struct bed {
    struct authority *a;
    struct config config;
    struct peer v;
    struct job_slot s;
};

static int setup(void **state)
{
    struct bed *b = calloc(1, sizeof(*b));

    assert_non_null(b);
    b->a = calloc(1, sizeof(*b->a));
    assert_non_null(b->a);
    b->a->config = &b->config;
    b->config.token.sessions = 1;
    cost_init(&b->a->jobs);
    b->s.job = (struct job){.lane = LANE_BULK, .key_type = KY_KEY_P256, .signatures = 1};
    b->s.kind = cost_kind(&b->s.job);
    b->s.cost_us = cost_us(b->a, b->s.kind, 1);
    b->a->mono_us = 1000000;
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bed *b = *state;

    free(b->a);
    free(b);
    return 0;
}

/*
 * `jobs` answers of what was queued at the first estimate, `us` after the last ones; the vault has
 * more to do unless it is left idle.
 */
static void answers(struct bed *b, uint32_t jobs, uint64_t us, bool left_idle)
{
    b->a->mono_us += us;
    if (b->v.outstanding == 0)
        b->v.outstanding = 1; /* they are there until they are answered */
    for (uint32_t i = 0; i < jobs; i++)
        cost_done(b->a, &b->v, &b->s);
    b->v.outstanding = left_idle ? 0 : 1;
}

static uint32_t now_us(const struct bed *b)
{
    return cost_us(b->a, b->s.kind, 1);
}

static void busy_vault_teaches_both_ways(void **state)
{
    struct bed *b = *state;

    cost_sending(b->a, &b->v);
    for (int i = 0; i < 200; i++) {
        answers(b, 10, 7000, false);
    }
    assert_in_range(now_us(b), 690, 710);
    for (int i = 0; i < 200; i++) {
        answers(b, 100, 8000, false);
    }
    assert_in_range(now_us(b), 78, 82);
}

static void idle_vault_teaches_only_that_it_is_less(void **state)
{
    struct bed *b = *state;
    uint32_t first = now_us(b);

    for (int i = 0; i < 50; i++) { /* one at a time, with pauses: 300 us each are no measure */
        cost_sending(b->a, &b->v);
        answers(b, 1, 300, true);
        b->a->mono_us += 20000;
    }
    assert_int_equal(first, now_us(b));
    for (int i = 0; i < 50; i++) {
        cost_sending(b->a, &b->v);
        answers(b, 1, 30, true);
        b->a->mono_us += 20000;
    }
    assert_in_range(now_us(b), 28, 35);
}

/*
 * Eight sessions of which some are free: 4 ms each, one after another, says nothing of eight at
 * once.
 */
static void vault_with_free_sessions_teaches_only_that_it_is_less(void **state)
{
    struct bed *b = *state;
    uint32_t first = now_us(b);

    b->config.token.sessions = 8;
    cost_sending(b->a, &b->v);
    for (int i = 0; i < 50; i++)
        answers(b, 2, 8000, false);
    assert_int_equal(first, now_us(b));
    for (int i = 0; i < 100; i++) {
        b->v.outstanding = 8;
        b->a->mono_us += 8000;
        for (int j = 0; j < 16; j++)
            cost_done(b->a, &b->v, &b->s);
    }
    assert_in_range(now_us(b), 480, 520);
}

static void one_hang_is_no_habit(void **state)
{
    struct bed *b = *state;
    uint32_t first = now_us(b);

    cost_sending(b->a, &b->v);
    answers(b, 1, 2000000, false);
    answers(b, 1, 1, false);
    assert_in_range(now_us(b), first + 1, first * 3 / 2);
}

static void generation_teaches_nothing(void **state)
{
    struct bed *b = *state;
    struct job_slot g = {.job.lane = LANE_GENERATE};
    uint32_t first = now_us(b);

    g.kind = cost_kind(&g.job);
    g.cost_us = cost_us(b->a, g.kind, 0);
    cost_sending(b->a, &b->v);
    b->a->mono_us += 1500000;
    cost_done(b->a, &b->v, &g);
    answers(b, 1, 0, false);
    answers(b, 1, 10000, false);
    assert_int_equal(first, now_us(b));
    assert_int_equal(g.cost_us, cost_us(b->a, g.kind, 0));
}

static void kinds_are_apart(void **state)
{
    struct bed *b = *state;
    struct job job = b->s.job;

    job.lane = LANE_CITIZEN;
    assert_int_not_equal(b->s.kind, cost_kind(&job));
    job = b->s.job;
    job.signatures = 0;
    assert_int_not_equal(b->s.kind, cost_kind(&job));
    job = b->s.job;
    job.key_type = KY_KEY_RSA2048;
    assert_int_not_equal(b->s.kind, cost_kind(&job));
    assert_true(cost_is_dear(KY_KEY_RSA2048));
    assert_true(cost_is_dear(KY_KEY_RSA4096));
    assert_false(cost_is_dear(KY_KEY_P256));
    assert_false(cost_is_dear(KY_KEY_ED25519));
    assert_false(cost_is_dear(KY_KEY_NONE));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(busy_vault_teaches_both_ways),
        T(idle_vault_teaches_only_that_it_is_less),
        T(vault_with_free_sessions_teaches_only_that_it_is_less),
        T(one_hang_is_no_habit),
        T(generation_teaches_nothing),
        T(kinds_are_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
