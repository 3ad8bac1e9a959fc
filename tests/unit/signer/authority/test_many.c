/* SPDX-License-Identifier: Apache-2.0 */
/*
 * P1 and P18 by numbers: one code for 64 requests at once, and one guess at each of many people's
 * codes. $KYSO_ROUNDS is how often, $KYSO_PEOPLE how many.
 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CROWD 64u

static uint32_t number(const char *name, uint32_t otherwise)
{
    const char *told = getenv(name);

    return told == NULL ? otherwise : (uint32_t)strtoul(told, NULL, 10);
}

/* Answers that have come: signatures and refusals. */
static void count_answers(struct world *w, uint32_t *out_signed, uint32_t *out_refused)
{
    struct ky_record rec;
    struct ky_status status = KY_STATUS(KY_OK);

    (void)ky_channel_read(&w->fronts[FRONT_SIGNER]).code;
    while (ky_channel_next(&w->fronts[FRONT_SIGNER], &rec, &status)) {
        *out_signed += rec.type == DOOR_R_SIGN;
        *out_refused += rec.type == DOOR_REFUSED;
    }
}

static void p1_one_code_64_requests(void **state)
{
    const uint32_t rounds = number("KYSO_ROUNDS", 50);
    struct world *w = *state;

    w->a->state->limits.lockout.tries = w->a->state->limits.lockout.total_tries = UINT32_MAX;
    w->a->state->limits.client.failures_per_minute = UINT32_MAX;
    for (uint32_t round = 0; round < rounds; round++) {
        uint32_t signed_ones = 0, refused = 0;
        char code[9], id[24];

        for (uint8_t i = 0; i < CROWD; i++) {
            (void)snprintf(id, sizeof(id), "r%u-%u", round, i);
            struct door_tx m = totp_msg(w, id, i, code, 0);
            front_send(w, FRONT_SIGNER, &door_sign_schema, &m);
            if (i % 16 == round % 16)
                world_turn(w); /* in one turn, or over several */
        }
        world_run(w);
        count_answers(w, &signed_ones, &refused);
        assert_int_equal(1, signed_ones);
        assert_int_equal(CROWD - 1, refused);
        assert_int_equal(round + 1, w->vaults[0].signed_jobs);
        world_advance(w, 30000000);
    }
    assert_int_equal(rounds, ledger_count(w, LEDGER_INTENT));
}

/* --- P18: one guess at each person's code ---------------------------------------------------- */

#define GUESSES_PER_TURN 10u  /* each turn a tenth of a second */
#define FIRST_SPRAYER    100u /* the first byte of its key's hash */

struct spray {
    struct world *w;
    char (*people)[AUTHORITY_ID_MAX]; /* owned */
    uint32_t count;
    uint64_t began_us;
    uint64_t looked_at, last_us; /* guesses that were compared, and when the last one was */
};

static void settle_in(struct spray *s, uint32_t clients)
{
    s->count = number("KYSO_PEOPLE", 600);
    s->people = calloc(s->count, sizeof(*s->people));
    assert_non_null(s->people);
    for (uint32_t i = 0; i < clients; i++) {
        char name[24];

        (void)snprintf(name, sizeof(name), "sprayer-%u", i);
        world_add_client(s->w, name, (uint8_t)(FIRST_SPRAYER + i));
    }
    for (uint32_t i = 0; i < s->count; i++) {
        char id[16];

        (void)snprintf(id, sizeof(id), "%012u", 100000000u + i);
        world_add_person(s->w, id, s->people[i]);
        if (i % 256 == 0)
            world_turn(s->w);
    }
    world_run(s->w);
    s->began_us = s->w->wall_us;
}

static void guess(struct spray *s, uint32_t person, uint32_t client)
{
    char name[24];
    struct door_tx m = sign_msg(s->w, "guess", 1);

    (void)snprintf(name, sizeof(name), "sprayer-%u", client);
    memset(m.spki, 0, sizeof(m.spki));
    m.spki[0] = (uint8_t)(FIRST_SPRAYER + client);
    m.relying_party = text(name);
    m.credential_id = text(s->people[person]);
    m.proof = KY_PROOF_TOTP;
    m.proof_secret = text("000000");
    front_send(s->w, FRONT_SIGNER, &door_sign_schema, &m);
}

static void count_guess(void *context, uint64_t time_us, const struct ledger_denied *m)
{
    struct spray *s = context;

    assert_true(m->reason == KY_PROOF_WRONG || m->reason == KY_CLIENT_SUSPENDED ||
                m->reason == KY_PROOF_LOCKED);
    assert_int_equal(m->reason == KY_PROOF_WRONG ? AUTHORITY_CHARGE_SUBJECT : 0, m->charged);
    if (m->reason == KY_PROOF_WRONG) {
        s->looked_at++;
        s->last_us = time_us;
    }
}

static void spray_from(struct spray *s, uint32_t clients)
{
    uint32_t signed_ones = 0, refused = 0;

    settle_in(s, clients);
    for (uint32_t i = 0; i < s->count; i++) {
        guess(s, i, i % clients);
        if (i % GUESSES_PER_TURN == 0) {
            world_advance(s->w, 100000);
            world_turn(s->w);
            count_answers(s->w, &signed_ones, &refused);
        }
    }
    world_run(s->w);
    count_answers(s->w, &signed_ones, &refused);
    assert_int_equal(0, signed_ones);
    assert_int_equal(s->count, refused);
    ledger_each_denied(s->w, count_guess, s);
    assert_in_range(s->last_us - s->began_us, 0, 60000000);
    free(s->people);
}

static void p18_one_client_is_suspended_and_nobody_else(void **state)
{
    struct spray s = {.w = *state};
    struct answer got;
    char code[9];

    spray_from(&s, 1);
    assert_int_equal(51, s.looked_at);
    assert_int_equal(1, ledger_count(s.w, LEDGER_CLIENT_STATE));
    struct door_tx m = totp_msg(s.w, "honest", 1, code, 0);
    ask(s.w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
}

static void p18_three_of_five_clients_cost_everybody_the_codes(void **state)
{
    struct spray s = {.w = *state};
    struct world *w = s.w;
    struct answer got, tx;
    struct approval p;
    char code[9];
    struct ledger_client_state lifted = {0};

    spray_from(&s, 5);
    assert_in_range(s.looked_at, 3 * 51, 5 * 51);
    assert_in_range(ledger_count(w, LEDGER_CLIENT_STATE), 3, 5);
    struct door_tx m = totp_msg(w, "honest", 1, code, 0);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_LOCKED);
    world_begin(w, "b1", &tx); /* a device's word is another matter */
    approve_inline(w, "s1", &tx, &p);
    ask(w, FRONT_SIGNER, &door_sign_schema, &p.m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
    world_stop(w); /* and from a snapshot */
    world_boot(w);
    assert_true(w->a->codes_suspended);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_LOCKED);
    for (uint32_t row = 1; authority_codes_suspended(w->a);
         row++) { /* an operator deals with them */
        assert_in_range(row, 1, w->a->client_count);
        lifted.client_row = row;
        if (authority_client_suspended(w->a, row))
            assert_true(ky_ok(authority_append(w->a, &ledger_client_state_schema, &lifted,
                                               (struct ky_span){0}, NULL)));
    }
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
}

/* Nobody acts: the clients stay suspended, and the people have their codes again. */
static void p18_the_codes_come_back_with_the_window(void **state)
{
    struct spray s = {.w = *state};
    struct world *w = s.w;
    struct answer got;
    char code[9];

    spray_from(&s, 3);
    world_stop(w); /* the window is that of the ledger's times, whatever was between */
    world_advance(w, s.last_us + 3500u * UINT64_C(1000000) - w->wall_us);
    world_boot(w);
    struct door_tx m = totp_msg(w, "honest", 1, code, 0);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_LOCKED);
    world_advance(w, 120u * UINT64_C(1000000));
    m = totp_msg(w, "honest", 1, code, 0);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
    assert_false(w->a->codes_suspended);
    uint32_t suspended = 0;
    for (uint32_t row = 1; row <= w->a->client_count; row++)
        suspended += authority_client_suspended(w->a, row);
    assert_int_equal(3, suspended);
}

/*
 * No operation reaches a removed client any more: a suspension that stayed on it cannot hold the
 * tier.
 */
static void p18_a_removed_client_counts_no_more(void **state)
{
    struct spray s = {.w = *state};
    struct world *w = s.w;
    struct answer got;
    char code[9];

    spray_from(&s, 5);
    for (uint32_t row = 1; row <= w->a->client_count; row++) {
        struct row_client gone = authority_client(w->a, row)->data;

        gone.removed = 1;
        if (authority_client_suspended(w->a, row))
            assert_true(ky_ok(authority_row_put(w->a, ROW_CLIENT, row, &gone, 0, NULL)));
    }
    world_run(w);
    struct door_tx m = totp_msg(w, "honest", 1, code, 0);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(p1_one_code_64_requests),
        T(p18_one_client_is_suspended_and_nobody_else),
        T(p18_three_of_five_clients_cost_everybody_the_codes),
        T(p18_the_codes_come_back_with_the_window),
        T(p18_a_removed_client_counts_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
