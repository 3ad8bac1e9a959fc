/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fault 55, P24: the wall clock jumps by a second, a step, an hour, stands still, goes back, over
 * restarts too. No step's code is taken twice, whatever the clock says; nothing that had ended
 * opens again; deadlines do not move with it.
 */
#include "world.h"

#include <stdio.h>

#define STEPS_KEPT 512u

struct spent {
    uint64_t steps[STEPS_KEPT];
    uint32_t count;
    uint32_t asked;
};

static bool was_spent(const struct spent *s, uint64_t step)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->steps[i] == step)
            return true;
    return false;
}

/* Tries one step's code; it may be taken only if it never was. */
static void try_step(struct world *w, struct spent *s, uint64_t step)
{
    struct answer got;
    char id[16], code[9];

    (void)snprintf(id, sizeof(id), "r%u", s->asked++);
    struct door_tx m = totp_msg(w, id, 1, code, (int64_t)step - (int64_t)(w->wall_us / 30000000u));
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    if (got.type != DOOR_R_SIGN) {
        assert_true(got.code == KY_DENIED || got.code == KY_PROOF_NEEDED);
        return;
    }
    assert_false(was_spent(s, step));
    assert_in_range(s->count, 0, STEPS_KEPT - 1);
    s->steps[s->count++] = step;
}

/* Around what the clock says now, and everything that was ever taken. */
static void try_everything(struct world *w, struct spent *s)
{
    uint64_t now = w->wall_us / 30000000u;
    uint32_t before = s->count;

    for (uint64_t step = now - 3; step <= now + 3; step++)
        try_step(w, s, step);
    for (uint32_t i = 0; i < before; i++)
        try_step(w, s, s->steps[i]);
}

static void fault_55_no_jump_takes_a_code_twice(void **state)
{
    static const int64_t jumps_s[] = {0,     1,    -1,     30, -30,   0,      3600, -3600,
                                      -3600, 7200, -86400, 31, 86400, -90000, 90000};
    struct world *w = *state;
    struct spent s = {.count = 0};

    for (uint32_t i = 0; i < 2 * sizeof(jumps_s) / sizeof(jumps_s[0]); i++) {
        world_endless_tries(w);
        w->wall_us += (uint64_t)(jumps_s[i % (sizeof(jumps_s) / sizeof(jumps_s[0]))] * 1000000);
        w->mono_us += 1000000; /* only this one is sure to go on */
        try_everything(w, &s);
        if (i % 5 == 2) {
            world_stop(w);
            world_boot(w);
        } else if (i % 5 == 4) {
            world_crash(w);
            world_boot(w);
        }
    }
    assert_in_range(s.count, 5, STEPS_KEPT); /* it went on taking new ones */
    assert_int_equal(s.count, ledger_count(w, LEDGER_INTENT));
}

/*
 * A SAD and a pending transaction that have ended stay so when the clock goes back, in this process
 * and in the next.
 */
static void fault_55_what_has_ended_stays_ended(void **state)
{
    struct world *w = *state;
    struct answer auth, got;
    uint8_t hashes[64] = {[0] = 1, [32] = 2};

    world_authorize(w, "a1", KY_SPAN_OF(hashes), &auth);
    world_advance(w, 301000000u);
    world_run(w);
    w->wall_us -= 301000000u;
    struct door_tx m = sad_msg(w, "s1", auth.tx.sad, KY_SPAN(hashes, 32));
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_TX_ENDED, KY_TX_ENDED);
    world_stop(w);
    world_boot(w);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_REFUSED, got.type);
    assert_int_equal(0, ledger_count(w, LEDGER_INTENT));
}

/* Never spent, only too old: it does not become young again, in this process or in the next. */
static void fault_55_an_old_code_stays_old(void **state)
{
    struct world *w = *state;
    struct answer got;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);

    world_advance(w, 600000000u);
    world_run(w);
    w->wall_us -= 600000000u;
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_WRONG);
    world_stop(w);
    world_boot(w);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_WRONG);
}

/*
 * A lock ends when its time has passed by a clock that never goes back: neither sooner nor, for a
 * jump, never.
 */
static void fault_55_a_lock_is_not_shortened(void **state)
{
    struct world *w = *state;
    struct answer got;
    char code[9];
    struct door_tx m = wrong_msg(w, "r");

    for (int i = 0; i < 5; i++)
        ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    w->wall_us -= 3600000000u;
    m = totp_msg(w, "r1", 1, code, 0);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_LOCKED);
    world_stop(w);
    world_boot(w);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_LOCKED);
    w->wall_us += UINT64_C(4501000000);
    m = totp_msg(w, "r2", 1, code, 0);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
}

/* Deadlines are of the other clock. */
static void fault_55_deadlines_do_not_jump(void **state)
{
    static const int64_t jumps_s[] = {3600, -3600};
    struct world *w = *state;
    struct answer got;
    char code[9];

    for (size_t i = 0; i < 2; i++) {
        struct door_tx m = totp_msg(w, i == 0 ? "r1" : "r2", 1, code, 0);

        w->vaults[0].hold = true;
        uint64_t tag =
            front_send_deadline(w, FRONT_SIGNER, &door_sign_schema, &m, w->mono_us + 1000000);
        world_run(w);
        w->wall_us += (uint64_t)(jumps_s[i] * 1000000);
        world_run(w);
        assert_false(front_answer(w, FRONT_SIGNER, tag, &got)); /* neither late nor killed */
        assert_null(world_told(w, CONTROL_KILL));
        w->vaults[0].hold = false;
        vault_answer_held(w, 0);
        world_run(w);
        assert_true(front_answer(w, FRONT_SIGNER, tag, &got));
        assert_int_equal(DOOR_R_SIGN, got.type);
        w->wall_us += 7300000000u; /* past where the first jump took it */
    }
}

/* What the kernel says of the clock, asked again after a minute. */
static void clock_becomes(struct world *w, uint8_t state)
{
    w->clock_state = state;
    world_advance(w, 60000000u);
    world_run(w);
}

/* A start says it; after that each change is one record, and no change is none. */
static void test_compliance_39_synchronisation_is_recorded(void **state)
{
    struct world *w = *state;
    struct ledger_start start;
    struct ledger_clock clock;

    assert_true(ledger_last(w, LEDGER_START, &start));
    assert_int_equal(CLOCK_SYNCED, start.clock_sync);
    clock_becomes(w, CLOCK_SYNCED);
    assert_int_equal(0, ledger_count(w, LEDGER_CLOCK));
    clock_becomes(w, CLOCK_UNSYNCED);
    clock_becomes(w, CLOCK_UNSYNCED);
    assert_int_equal(1, ledger_count(w, LEDGER_CLOCK));
    assert_true(ledger_last(w, LEDGER_CLOCK, &clock));
    assert_int_equal(CLOCK_UNSYNCED, clock.state);
    assert_int_equal(1234, clock.error_us);
    clock_becomes(w, CLOCK_SYNCED);
    assert_int_equal(2, ledger_count(w, LEDGER_CLOCK));
    w->clock_state = CLOCK_UNKNOWN;
    world_stop(w);
    world_boot(w); /* what was recorded is read again */
    assert_true(ledger_last(w, LEDGER_START, &start));
    assert_int_equal(CLOCK_UNKNOWN, start.clock_sync);
    assert_int_equal(2, ledger_count(w, LEDGER_CLOCK));
}

/* By default it is served with an alarm; with "refuse" nothing is authorized or signed until the clock is right again. */
static void test_compliance_39_an_unsynchronised_clock_refuses_if_asked(void **state)
{
    static char refuse[] = "refuse";
    struct world *w = *state;
    struct answer tx, got;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 2);
    struct approval approval;

    clock_becomes(w, CLOCK_UNSYNCED);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
    world_begin(w, "b1", &tx);
    w->config.clock.when_unsynced = refuse;
    m = totp_msg(w, "r2", 1, code, 1);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_CLOCK_UNSYNCED);
    m.transaction_id = tx.tx.transaction_id;
    ask(w, FRONT_SIGNER, &door_tx_authorize_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_CLOCK_UNSYNCED);
    approve_inline(w, "a1", &tx, &approval);
    ask(w, FRONT_SIGNER, &door_sign_schema, &approval.m, &got);
    assert_denied(w, &got, KY_DENIED, KY_CLOCK_UNSYNCED);
    clock_becomes(w, CLOCK_UNKNOWN);
    m = totp_msg(w, "r3", 1, code, 1);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_CLOCK_UNSYNCED);
    clock_becomes(w, CLOCK_SYNCED);
    m = totp_msg(w, "r4", 1, code, 1);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type); /* nothing was spent or charged meanwhile */
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

static struct ky_status hash_leaf(void *tree, struct ky_span leaf, struct ky_span private_data)
{
    merkle_append(tree, leaf);
    merkle_append(tree, private_data);
    return KY_STATUS(KY_OK);
}

/* Of the first records, with the texts beside them. */
static void hash_records(struct world *w, uint64_t count, uint8_t out_root[32])
{
    struct merkle tree = {.size = 0};

    assert_true(ky_ok(store_ledger_read(w->a->store, 0, count, hash_leaf, &tree)));
    assert_int_equal(tree.size, 2 * count);
    merkle_root(&tree, out_root);
}

/* Ten years and restarts go by: what is forgotten in memory stays on the ledger. */
static void test_compliance_38_nothing_deletes_a_record(void **state)
{
    struct world *w = *state;
    uint8_t before[32], after[32];
    struct answer got;

    world_begin(w, "r1", &got);
    uint64_t count = store_ledger_size(w->a->store);
    hash_records(w, count, before);
    for (int quarter = 0; quarter < 40; quarter++) {
        world_advance(w, UINT64_C(91) * 86400 * 1000000);
        world_run(w);
        if (quarter % 10 == 0) {
            world_stop(w);
            world_boot(w);
        }
    }
    hash_records(w, count, after);
    assert_memory_equal(before, after, sizeof(before));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(fault_55_no_jump_takes_a_code_twice), T(fault_55_what_has_ended_stays_ended),
        T(fault_55_an_old_code_stays_old),      T(fault_55_a_lock_is_not_shortened),
        T(fault_55_deadlines_do_not_jump),
        T(test_compliance_38_nothing_deletes_a_record),
        T(test_compliance_39_synchronisation_is_recorded),
        T(test_compliance_39_an_unsynchronised_clock_refuses_if_asked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
