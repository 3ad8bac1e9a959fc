/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who gets a vault when vaults are short: lanes, clients in turn, dear keys, key generation, and
 * who is turned away. P16.
 */
#include "world.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cost.h"
#include "vaults.h"

static struct fake_job of(uint8_t lane, uint8_t key_type, uint32_t client_row, uint32_t key_row)
{
    return (struct fake_job){
        .lane = lane, .key_type = key_type, .client_row = client_row, .key_row = key_row};
}

static void generate(struct world *w, uint32_t count)
{
    struct job job = {
        .for_what = JOB_FOR_SIGN, .intent = UINT64_MAX, .schema = &job_generate_schema};
    struct job_generate m = {.key_type = KY_KEY_RSA4096, .storage = KY_STORE_WRAPPED};

    for (uint32_t i = 0; i < count; i++)
        assert_true(ky_ok(job_submit(w->a, &job, &m)));
}

static void no_vault(struct world *w)
{
    w->config.limits.queue = 1000;
    w->config.limits.sign_deadline_ms = 60000; /* what is held is no hang */
    vault_die(w, 0);
    world_run(w);
}

static void join_held(struct world *w, uint32_t index)
{
    w->vaults[index].hold = true;
    vault_join(w, index);
}

/* How many of the first n jobs that came to a vault were for this key. */
static uint32_t among(const struct fake_vault *v, uint32_t n, uint32_t key_row)
{
    uint32_t found = 0;

    for (uint32_t i = 0; i < n && i < v->row_count; i++)
        found += v->rows[i] == key_row;
    return found;
}

static void citizen_overtakes_bulk(void **state)
{
    struct world *w = *state;

    no_vault(w);
    submit_jobs(w, 60, of(LANE_BULK, KY_KEY_P256, BANK, 11));
    submit_jobs(w, 1, of(LANE_CITIZEN, KY_KEY_P256, BANK, 12));
    submit_jobs(w, 1, of(LANE_CITIZEN, KY_KEY_P256, OTHER, 13));
    join_held(w, 0);
    world_run(w);
    assert_int_equal(0, among(&w->vaults[0], 2, 11));
}

static void bulk_has_an_eighth(void **state)
{
    struct world *w = *state;

    no_vault(w);
    submit_jobs(w, 150, of(LANE_BULK, KY_KEY_P256, BANK, 11));
    submit_jobs(w, 150, of(LANE_CITIZEN, KY_KEY_P256, OTHER, 12));
    join_held(w, 0);
    world_run(w);
    assert_in_range(w->vaults[0].row_count, 64, 300);
    assert_in_range(among(&w->vaults[0], 64, 11), 6, 8);
}

/* Equal time: who asks for more, or for dearer things, waits for his own. */
static void clients_take_turns(void **state)
{
    struct world *w = *state;

    no_vault(w);
    submit_jobs(w, 150, of(LANE_CITIZEN, KY_KEY_P256, BANK, 11));
    submit_jobs(w, 10, of(LANE_CITIZEN, KY_KEY_P256, OTHER, 12));
    join_held(w, 0);
    world_run(w);
    assert_int_equal(10, among(&w->vaults[0], 30, 12));
}

static void turns_are_by_time_not_by_number(void **state)
{
    struct world *w = *state;

    no_vault(w);
    w->config.token.sessions = 20; /* enough is given at once to see the order */
    submit_jobs(w, 100, of(LANE_CITIZEN, KY_KEY_P256, BANK, 11));
    submit_jobs(w, 20, of(LANE_CITIZEN, KY_KEY_RSA2048, OTHER, 12));
    w->a->jobs.cheap_us = 0; /* not about keeping RSA off */
    join_held(w, 0);
    world_run(w);
    uint32_t ec = among(&w->vaults[0], 36, 11);
    assert_in_range(ec, 30, 35); /* 17 of these take as long as one of those */
}

/* A stuck client holds nobody else up. */
static void dear_keys_leave_one_vault_clear(void **state)
{
    struct world *w = *state;

    no_vault(w);
    submit_jobs(w, 1, of(LANE_BULK, KY_KEY_P256, BANK, 11));
    submit_jobs(w, 200, of(LANE_CITIZEN, KY_KEY_RSA2048, BANK, 12));
    join_held(w, 0);
    join_held(w, 1);
    world_run(w);
    assert_int_equal(1, w->vaults[0].row_count);
    assert_int_equal(11, w->vaults[0].rows[0]);
    assert_in_range(w->vaults[1].row_count, 2, 60); /* and not all at once */
    world_advance(w, 9000000);
    world_run(w);
    assert_int_equal(1, w->vaults[0].row_count);
    world_advance(w, 1500000); /* nobody with a cheap key any more: both work */
    world_run(w);
    assert_in_range(w->vaults[0].row_count, 3, 60);
}

static void bulk_leaves_one_vault_nearly_clear(void **state)
{
    struct world *w = *state;

    no_vault(w);
    submit_jobs(w, 1, of(LANE_CITIZEN, KY_KEY_P256, OTHER, 12));
    submit_jobs(w, 400, of(LANE_BULK, KY_KEY_P256, BANK, 11));
    join_held(w, 0);
    join_held(w, 1);
    world_run(w);
    assert_in_range(w->vaults[0].row_count, 2, 40);
    assert_in_range(w->vaults[1].row_count, 100, 250);
    world_advance(w, 9000000);
    world_run(w);
    assert_in_range(w->vaults[0].row_count, 2, 40);
    world_advance(w, 1500000);
    world_run(w);
    assert_in_range(w->vaults[0].row_count, 100, 250);
}

static void one_vault_generates_and_others_sign(void **state)
{
    struct world *w = *state;

    no_vault(w);
    generate(w, 3);
    join_held(w, 0);
    join_held(w, 1);
    world_run(w);
    assert_int_equal(1, w->vaults[0].generating + w->vaults[1].generating);
    uint32_t signs = w->vaults[0].generating > 0; /* the other one */
    submit_jobs(w, 900, of(LANE_BULK, KY_KEY_P256, BANK, 11));
    world_run(w);
    assert_true(w->vaults[signs].row_count > 100);
    assert_int_equal(0, w->vaults[1 - signs].row_count); /* not even when the other is full */
}

static void alone_it_generates_between_signatures(void **state)
{
    struct world *w = *state;

    no_vault(w);
    generate(w, 2);
    submit_jobs(w, 1, of(LANE_CITIZEN, KY_KEY_P256, BANK, 11));
    join_held(w, 0);
    world_run(w);
    assert_int_equal(1, w->vaults[0].generating); /* one at a time */
    assert_int_equal(1, w->vaults[0].row_count);  /* there is no other */
}

/* A long job is not put behind another one: who comes next would wait for both. */
static void second_job_ahead_is_a_short_one(void **state)
{
    struct world *w = *state;
    struct fake_job long_one = of(LANE_BULK, KY_KEY_RSA2048, BANK, 11);

    no_vault(w);
    long_one.signatures = 64;
    submit_jobs(w, 3, long_one);
    join_held(w, 0);
    world_run(w);
    assert_int_equal(1, w->vaults[0].row_count);
    submit_jobs(w, 3, of(LANE_CITIZEN, KY_KEY_RSA2048, OTHER, 12));
    world_run(w);
    assert_int_equal(2, w->vaults[0].row_count);
    assert_int_equal(12, w->vaults[0].rows[1]);
}

/* What one client had while nobody else waited is not held against it. */
static void debts_end_when_nobody_waits(void **state)
{
    struct world *w = *state;
    struct fake_job dear = of(LANE_CITIZEN, KY_KEY_RSA2048, BANK, 11);

    w->config.token.sessions = 20;
    w->config.limits.queue = 1000;
    dear.signatures = 64;
    submit_jobs(w, 1, dear);
    world_run(w);
    assert_true(dispatch_idle(w->a));
    no_vault(w);
    submit_jobs(w, 40, of(LANE_CITIZEN, KY_KEY_RSA2048, BANK, 11));
    submit_jobs(w, 40, of(LANE_CITIZEN, KY_KEY_RSA2048, OTHER, 12));
    join_held(w, 0);
    world_run(w);
    assert_in_range(among(&w->vaults[0], 20, 11), 8, 12);
}

/*
 * ... but while others wait it is, however often there was no room meanwhile; and it is paid off.
 */
static void debts_are_paid_by_the_time_of_others(void **state)
{
    struct world *w = *state;
    struct fake_vault *v = &w->vaults[0];
    struct fake_job dear = of(LANE_CITIZEN, KY_KEY_RSA2048, BANK, 11);

    no_vault(w);
    dear.signatures = 64;
    submit_jobs(w, 2, dear);
    join_held(w, 0);
    world_run(w);
    assert_int_equal(1, v->row_count);
    const struct fake_vault then = *v;
    submit_jobs(w, 200, of(LANE_CITIZEN, KY_KEY_RSA2048, OTHER, 12));
    world_run(w); /* they are committed, the long one is still in front */
    memcpy(v->held_job, then.held_job, then.held_len);
    v->held_len = then.held_len;
    v->last_tag = then.last_tag;
    for (int i = 0; i < 150 && among(v, 400, 11) < 2; i++) {
        vault_answer_held(w, 0);
        world_turn(w);
    }
    assert_int_equal(2, among(v, 400, 11));
    assert_in_range(v->row_count, 60, 90);
}

/*
 * A job that is longer than what is ever given ahead goes when it is its turn, though short ones
 * keep the vault busy.
 */
static void long_job_takes_its_turn_among_short_ones(void **state)
{
    struct world *w = *state;
    struct fake_job dear = of(LANE_BULK, KY_KEY_RSA2048, BANK, 11);

    no_vault(w);
    dear.signatures = 64;
    submit_jobs(w, 400, of(LANE_BULK, KY_KEY_P256, OTHER, 12));
    join_held(w, 0);
    world_run(w);
    assert_in_range(w->vaults[0].row_count, 100, 250);
    submit_jobs(w, 1, dear);
    for (int i = 0; i < 40 && among(&w->vaults[0], 400, 11) == 0; i++) {
        vault_answer_held(w, 0); /* room for one */
        world_turn(w);
    }
    assert_int_equal(1, among(&w->vaults[0], 400, 11));
}

static void only_what_was_given_is_charged(void **state)
{
    struct world *w = *state;
    const struct share *h = &authority_client(w->a, BANK)->shares[0][1];
    struct peer *p = peer_find(w->a, 0, 0, w->vaults[0].generation);
    size_t max = p->channel.out.max;

    p->channel.out.max = 1; /* full */
    submit_jobs(w, 2, of(LANE_CITIZEN, KY_KEY_RSA2048, BANK, 11));
    world_run(w);
    assert_int_equal(0, w->vaults[0].row_count);
    assert_int_equal(2, w->a->jobs.queue.count);
    assert_int_equal(0, h->credit_us);
    p->channel.out.max = max;
    world_run(w);
    assert_int_equal(2, w->vaults[0].row_count);
    assert_true(dispatch_idle(w->a));
}

/* --- turned away ----------------------------------------------------------------------------- */

static void full_of(struct world *w, uint32_t client_row, uint32_t seconds)
{
    no_vault(w);
    submit_jobs(w, 500, of(LANE_CITIZEN, KY_KEY_P256, client_row, 11));
    struct job_queue *q = &w->a->jobs.queue;
    uint64_t more_us = seconds * 1000000ull - q->lanes[LANE_CITIZEN].cost_us;
    struct share *h = &authority_client(w->a, client_row)->shares[0][0];
    h->jobs.last->cost_us += (uint32_t)more_us; /* one of them takes long */
    h->cost_us += more_us;
    q->lanes[LANE_CITIZEN].cost_us += more_us;
}

static void ask_totp(struct world *w, uint64_t deadline_us, struct answer *out)
{
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);
    uint64_t tag = front_send_deadline(w, FRONT_SIGNER, &door_sign_schema, &m, deadline_us);

    world_run(w);
    (void)front_answer(w, FRONT_SIGNER, tag, out);
}

static void long_queue_is_busy_before_any_proof(void **state)
{
    struct world *w = *state;
    struct answer got;

    full_of(w, BANK, 6);
    ask_totp(w, 0, &got);
    assert_int_equal(KY_BUSY, got.code);
    assert_in_range(got.retry_after_ms, 1000, 2000);
    assert_int_equal(0, ledger_count(w, LEDGER_INTENT));
    assert_int_equal(0, authority_last_step(w->a, w->totp_row));
}

static void others_queue_refuses_nobody_else(void **state)
{
    struct world *w = *state;
    struct answer got;

    full_of(w, OTHER, 6);
    ask_totp(w, 0, &got);
    assert_int_equal(0, got.type); /* waits for a vault */
    assert_int_equal(1, ledger_count(w, LEDGER_INTENT));
}

static void deadline_that_cannot_be_met_is_busy(void **state)
{
    struct world *w = *state;
    struct answer got;

    full_of(w, BANK, 0);
    w->a->jobs.queue.lanes[LANE_CITIZEN].cost_us += 400000;
    authority_client(w->a, BANK)->shares[0][0].cost_us += 400000;
    ask_totp(w, w->mono_us + 450000, &got);
    assert_int_equal(KY_BUSY, got.code);
    assert_int_equal(0, ledger_count(w, LEDGER_INTENT));
    ask_totp(w, w->mono_us + 1500000, &got);
    assert_int_equal(0, got.type);
    assert_int_equal(1, ledger_count(w, LEDGER_INTENT));
}

static void one_client_fills_half_of_the_queue(void **state)
{
    struct world *w = *state;
    struct answer got;

    w->config.limits.queue = 4;
    w->vaults[0].hold = true;
    w->a->sign_in_flight = 2;
    authority_client(w->a, BANK)->in_flight = 2;
    ask_totp(w, 0, &got);
    assert_int_equal(KY_BUSY, got.code);
    authority_client(w->a, BANK)->in_flight = 0; /* they are another's */
    ask_totp(w, 0, &got);
    assert_int_equal(0, got.type);
    assert_int_equal(1, ledger_count(w, LEDGER_INTENT));
}

static void vault_is_told_the_deadline(void **state)
{
    struct world *w = *state;
    struct answer got;
    uint64_t deadline_us = w->mono_us + 700000;
    struct ledger_receipt receipt;

    w->vaults[0].hold = true;
    ask_totp(w, deadline_us, &got);
    assert_int_equal(deadline_us, w->vaults[0].deadline_us);
    vault_refuse_held(w, 0, KY_DEADLINE);
    world_run(w);
    assert_true(ledger_last(w, LEDGER_RECEIPT, &receipt));
    assert_int_equal(LEDGER_ABANDONED, receipt.outcome);
    assert_int_equal(0, w->a->jobs_failed);
}

/*
 * Longer than the time left, by itself: refused while it has to wait, tried where nothing else is
 * to do.
 */
static void own_time_counts_unless_a_vault_is_idle(void **state)
{
    struct world *w = *state;
    struct answer got;

    w->a->jobs.cost_ns[2 * KY_KEY_P256] = 200000000;
    w->vaults[0].hold = true;
    submit_jobs(w, 1, of(LANE_BULK, KY_KEY_P256, OTHER, 11));
    world_run(w);
    ask_totp(w, w->mono_us + 150000, &got);
    assert_int_equal(KY_BUSY, got.code);
    assert_int_equal(0, ledger_count(w, LEDGER_INTENT));
    assert_int_equal(0, authority_last_step(w->a, w->totp_row));
    w->vaults[0].hold = false;
    vault_answer_held(w, 0);
    world_run(w);
    assert_true(dispatch_idle(w->a));
    ask_totp(w, w->mono_us + 150000, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
}

/* What vaults have been given is in front of a newcomer, too. */
static void work_at_vaults_counts_as_waiting(void **state)
{
    struct world *w = *state;
    struct answer got;
    struct fake_job long_one = of(LANE_BULK, KY_KEY_RSA2048, OTHER, 11);

    w->vaults[0].hold = true;
    long_one.signatures = 64; /* 70 ms */
    submit_jobs(w, 1, long_one);
    world_run(w);
    ask_totp(w, w->mono_us + 100000, &got);
    assert_int_equal(KY_BUSY, got.code);
    assert_int_equal(0, ledger_count(w, LEDGER_INTENT));
    ask_totp(w, w->mono_us + 400000, &got);
    assert_int_equal(1, ledger_count(w, LEDGER_INTENT));
}

/*
 * What an overload taught must not outlive it: nothing would ever be signed that could put it
 * right.
 */
static void wild_estimate_is_put_right(void **state)
{
    struct world *w = *state;
    struct answer got;
    char id[8], code[9];

    for (uint32_t i = 0; i < 2 * KY_KEY_TYPE_COUNT; i++)
        w->a->jobs.cost_ns[i] = 4000000000u;
    for (uint8_t i = 1; i <= 3; i++) {
        (void)snprintf(id, sizeof(id), "r%u", i);
        struct door_tx m = totp_msg(w, id, i, code, 0);
        uint64_t tag =
            front_send_deadline(w, FRONT_SIGNER, &door_sign_schema, &m, w->mono_us + 500000);
        world_run(w);
        assert_true(front_answer(w, FRONT_SIGNER, tag, &got));
        assert_int_equal(DOOR_R_SIGN, got.type);
        world_advance(w, 30000000u);
    }
    assert_true(cost_us(w->a, 2 * KY_KEY_P256, 1) < 3500000);
}

/* An idle server's turns are far apart, not long. */
static void idle_server_meets_a_short_deadline(void **state)
{
    struct world *w = *state;
    struct answer got;

    for (int i = 0; i < 100; i++) {
        w->mono_us += HEARTBEAT_US;
        world_turn(w);
    }
    ask_totp(w, w->mono_us + 15000, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
}

/* A turn may wait for company while every vault has plenty to do, and only then. */
static void rests_while_there_is_plenty(void **state)
{
    struct world *w = *state;

    vault_join(w, 1);
    world_run(w);
    for (struct peer *p = w->a->peers; p != NULL; p = p->next)
        p->load_us = p->door == 0 ? 20000 : 0;
    assert_in_range(vaults_rest_until_us(w->a), w->a->mono_us + 1, w->a->mono_us + 5000);
    for (struct peer *p = w->a->peers; p != NULL; p = p->next)
        p->load_us = p->door == 0 && p->index == 0 ? 20000 : 0;
    assert_int_equal(0, vaults_rest_until_us(w->a));
    for (struct peer *p = w->a->peers; p != NULL; p = p->next)
        p->load_us = 0;
    vault_die(w, 0);
    vault_die(w, 1);
    assert_int_equal(0, vaults_rest_until_us(w->a));
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(citizen_overtakes_bulk),
        T(bulk_has_an_eighth),
        T(clients_take_turns),
        T(turns_are_by_time_not_by_number),
        T(dear_keys_leave_one_vault_clear),
        T(bulk_leaves_one_vault_nearly_clear),
        T(one_vault_generates_and_others_sign),
        T(alone_it_generates_between_signatures),
        T(second_job_ahead_is_a_short_one),
        T(debts_end_when_nobody_waits),
        T(debts_are_paid_by_the_time_of_others),
        T(long_job_takes_its_turn_among_short_ones),
        T(only_what_was_given_is_charged),
        T(long_queue_is_busy_before_any_proof),
        T(others_queue_refuses_nobody_else),
        T(deadline_that_cannot_be_met_is_busy),
        T(one_client_fills_half_of_the_queue),
        T(vault_is_told_the_deadline),
        T(own_time_counts_unless_a_vault_is_idle),
        T(work_at_vaults_counts_as_waiting),
        T(wild_estimate_is_put_right),
        T(idle_server_meets_a_short_deadline),
        T(rests_while_there_is_plenty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
