/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whom a vault's death is blamed on, what becomes of a poisonous key's other jobs, and when a vault
 * is thought to hang. P8, P9; faults 37, 38, 41.
 */
#include "world.h"

#define POISON 77u

static struct fake_job poison(void)
{
    return (struct fake_job){
        .lane = LANE_BULK, .key_type = KY_KEY_P256, .client_row = BANK, .key_row = POISON};
}

static void hold_both(struct world *w)
{
    w->config.limits.queue = 1000;
    w->vaults[0].hold = w->vaults[1].hold = true;
}

static uint32_t came(const struct world *w)
{
    return w->vaults[0].row_count + w->vaults[1].row_count;
}

/*
 * Two hundred requests of a key that kills every vault cost the first vault and the two that found
 * out.
 */
static void many_jobs_of_a_poisonous_key_cost_three_vaults(void **state)
{
    struct world *w = *state;
    uint32_t deaths = 0;

    hold_both(w);
    submit_jobs(w, 200, poison());
    world_run(w);
    for (; w->vaults[0].row_count > 0 && deaths < 10; deaths++) {
        vault_die(w, 0);
        vault_join(w, 0);
        world_run(w);
    }
    assert_int_equal(3, deaths);
    assert_true(dispatch_quarantined(w->a, POISON));
    assert_true(dispatch_idle(w->a));
    assert_int_equal(0, w->a->jobs.alone);
}

static void suspect_key_is_tried_by_one_vault_at_a_time(void **state)
{
    struct world *w = *state;

    hold_both(w);
    w->config.token.sessions = 4;
    submit_jobs(w, 4, poison());
    world_run(w);
    assert_int_equal(4, w->vaults[0].row_count);
    vault_die(w, 0);
    vault_join(w, 0);
    vault_join(w, 1);
    world_run(w);
    assert_int_equal(1, came(w));
    uint32_t at = w->vaults[1].row_count;
    vault_answer_held(w, at); /* it is not this one: the next */
    world_run(w);
    assert_int_equal(2, came(w));
}

/* Different keys that are suspect do not wait for one another. */
static void suspects_of_other_keys_run_elsewhere(void **state)
{
    struct world *w = *state;
    struct fake_job other = poison();

    hold_both(w);
    w->config.token.sessions = 4;
    other.key_row++;
    other.client_row = OTHER;
    submit_jobs(w, 1, poison());
    submit_jobs(w, 1, other);
    world_run(w);
    vault_die(w, 0);
    vault_join(w, 0);
    vault_join(w, 1);
    world_run(w);
    assert_int_equal(1, w->vaults[0].row_count);
    assert_int_equal(1, w->vaults[1].row_count);
}

/* Its parts are at two vaults by themselves; that both die is one event. */
static void deaths_with_parts_of_one_request_blame_no_key(void **state)
{
    static uint8_t hashes[40 * 32];
    struct world *w = *state;
    struct answer got;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);

    for (uint32_t i = 0; i < 40; i++)
        hashes[i * 32] = (uint8_t)(i + 1);
    m.hashes = KY_SPAN_OF(hashes);
    w->config.limits.max_hashes = 64;
    vault_join(w, 1);
    world_run(w);
    hold_both(w);
    uint64_t tag = front_send(w, FRONT_SIGNER, &door_sign_schema, &m);
    world_run(w);
    assert_int_equal(1, w->vaults[0].held);
    assert_int_equal(1, w->vaults[1].held);
    vault_die(w, 0);
    vault_die(w, 1);
    world_run(w);
    assert_false(dispatch_quarantined(w->a, w->credential_row));
    w->vaults[0].hold = w->vaults[1].hold = false;
    vault_join(w, 0);
    vault_join(w, 1);
    world_run(w);
    assert_true(front_answer(w, FRONT_SIGNER, tag, &got));
    assert_int_equal(DOOR_R_SIGN, got.type);
    assert_int_equal(40, got.sign.count);
}

/* --- hangs ----------------------------------------------------------------------------------- */

static bool killed_within(struct world *w, uint64_t us)
{
    for (uint64_t at = 0; at < us; at += 21000) {
        world_advance(w, 21000);
        world_turn(w);
    }
    return world_told(w, CONTROL_KILL) != NULL;
}

/* 256 RSA-4096 signatures take two seconds when all is well, and more when not. */
static void long_legal_work_is_no_hang(void **state)
{
    struct world *w = *state;
    struct fake_job work = poison();

    hold_both(w);
    work.key_type = KY_KEY_RSA4096;
    work.signatures = 256;
    submit_jobs(w, 1, work);
    world_run(w);
    assert_false(killed_within(w, 7000000));
    assert_true(killed_within(w, 1500000));
}

/* However dear one signature was thought to be, a hang costs two seconds (P8). */
static void one_signature_has_two_seconds(void **state)
{
    struct world *w = *state;

    hold_both(w);
    for (uint32_t i = 0; i < COST_KINDS; i++)
        w->a->jobs.cost_ns[i] = 4000000000u;
    submit_jobs(w, 1, poison());
    world_run(w);
    assert_false(killed_within(w, 1900000));
    assert_true(killed_within(w, 200000));
}

/* Long before it is killed (P8): its own keys' requests go elsewhere. */
static void silent_vault_gets_nothing_new(void **state)
{
    struct world *w = *state;

    vault_join(w, 1);
    world_run(w);
    hold_both(w);
    submit_jobs(w, 1, poison());
    world_run(w);
    struct fake_vault *hangs = &w->vaults[w->vaults[1].row_count];
    struct fake_vault *other = &w->vaults[w->vaults[0].row_count];
    submit_jobs(w, 1, poison());
    world_run(w);
    assert_int_equal(2, hangs->row_count); /* where the key is hot */
    world_advance(w, 60000);
    submit_jobs(w, 1, poison());
    world_run(w);
    assert_int_equal(2, hangs->row_count);
    assert_int_equal(1, other->row_count);
    world_advance(w, 60000); /* now neither says a word: the less busy one */
    submit_jobs(w, 1, poison());
    world_run(w);
    assert_int_equal(2, hangs->row_count);
    assert_int_equal(2, other->row_count);
}

/* Refusing takes no time, and failing says nothing of what signing takes. */
static void answers_without_work_teach_nothing(void **state)
{
    static const enum ky_code codes[] = {KY_DEADLINE, KY_TOKEN_REQUEST};
    struct world *w = *state;
    uint32_t kind = 2 * KY_KEY_P256 + 1;
    uint32_t before = w->a->jobs.cost_ns[kind];

    for (int c = 0; c < 2; c++)
        for (int i = 0; i < 20; i++) {
            w->vaults[0].fail = codes[c];
            submit_jobs(w, 50, poison());
            world_run(w);
            assert_true(dispatch_idle(w->a));
        }
    assert_int_equal(before, w->a->jobs.cost_ns[kind]);
    w->vaults[0].fail = KY_OK;
    for (int i = 0; i < 20; i++) {
        submit_jobs(w, 50, poison());
        world_run(w);
    }
    assert_true(w->a->jobs.cost_ns[kind] < before); /* these do: 50 at once are quick */
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(many_jobs_of_a_poisonous_key_cost_three_vaults),
        T(suspect_key_is_tried_by_one_vault_at_a_time),
        T(suspects_of_other_keys_run_elsewhere),
        T(deaths_with_parts_of_one_request_blame_no_key),
        T(long_legal_work_is_no_hang),
        T(one_signature_has_two_seconds),
        T(silent_vault_gets_nothing_new),
        T(answers_without_work_teach_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
