/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fault 57: an authority whose n-th allocation fails, for each n of a day in which everything
 * happens once. Whatever is refused or sealed then, nobody holds a signature that the ledger does
 * not, and the next start opens what was left. $KYSO_STARVE_STRIDE is how many allocations lie
 * between two days; 1 misses none.
 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "starve.h"

struct day {
    struct world *w;
    uint64_t left; /* allocations until the refused one; 0 = it was refused */
    uint32_t number, asked, released;
    char id[24];
};

/*
 * A turn in which memory may be missing: only the authority's, not the fronts' and vaults' that are
 * played beside it.
 */
static void starved_turn(struct day *d)
{
    struct world *w = d->w;

    for (int i = 0; i < FRONT_COUNT; i++)
        (void)ky_channel_flush(&w->fronts[i]).code;
    for (struct peer *p = w->a->peers; p != NULL; p = p->next)
        p->readable = true;
    (void)starve(d->left);
    (void)authority_turn(w->a);
    d->left = starve(0);
    w->mono_us += 100;
    vault_pump(w);
}

static bool ask_starved(struct day *d, int front, const struct ky_schema *schema, const void *msg,
                        struct answer *got)
{
    uint64_t tag = front_send(d->w, front, schema, msg);

    for (int i = 0; i < 4; i++)
        starved_turn(d);
    bool answered = front_answer(d->w, front, tag, got);
    d->released += answered && got->type == DOOR_R_SIGN;
    return answered && got->type != DOOR_REFUSED;
}

static const char *next_id(struct day *d)
{
    (void)snprintf(d->id, sizeof(d->id), "d%u-%u", d->number, d->asked++);
    return d->id;
}

static void sign_by_code(struct day *d)
{
    struct answer got;
    char code[9];
    struct door_tx m = totp_msg(d->w, next_id(d), 1, code, 0);

    (void)ask_starved(d, FRONT_SIGNER, &door_sign_schema, &m, &got);
    m.display_text = text("Hop dong 43");
    (void)ask_starved(d, FRONT_SIGNER, &door_sign_schema, &m,
                      &got); /* a conflict, where it was known */
}

static void sign_by_approval(struct day *d)
{
    struct answer tx, got;
    struct approval p;
    struct door_tx m = sign_msg(d->w, next_id(d), 1);

    if (!ask_starved(d, FRONT_SIGNER, &door_tx_begin_schema, &m, &tx))
        return;
    approve_inline(d->w, next_id(d), &tx, &p);
    (void)ask_starved(d, FRONT_SIGNER, &door_sign_schema, &p.m, &got);
}

static void sign_by_sad(struct day *d)
{
    struct answer auth, got;
    char code[9];
    struct door_tx m = totp_msg(d->w, next_id(d), 1, code, 1);

    if (!ask_starved(d, FRONT_SIGNER, &door_tx_authorize_schema, &m, &auth))
        return;
    m = sign_msg(d->w, next_id(d), 1);
    m.proof = KY_PROOF_SAD;
    m.proof_secret = auth.tx.sad;
    (void)ask_starved(d, FRONT_SIGNER, &door_sign_schema, &m, &got);
}

static void refuse(struct day *d)
{
    struct answer got;
    struct door_tx m = wrong_msg(d->w, next_id(d));

    (void)ask_starved(d, FRONT_SIGNER, &door_sign_schema, &m, &got);
    memcpy(m.spki, spki_nobody, 32);
    (void)ask_starved(d, FRONT_SIGNER, &door_sign_schema, &m, &got);
}

/* I1, I2, I4: released is a subset of the ledger, and the ledger is whole. */
static void ledger_holds(struct day *d, uint64_t released_before)
{
    struct world *w = d->w;

    if (w->a->phase != PHASE_SERVE) {
        assert_int_equal(PHASE_SEALED, w->a->phase);
        world_crash(w);
        world_boot(w);
    }
    world_run(w);
    assert_int_equal(0, w->a->sign_in_flight);
    assert_int_equal(ledger_count(w, LEDGER_INTENT), ledger_count(w, LEDGER_RECEIPT));
    assert_in_range(released_before + d->released, 0, ledger_count(w, LEDGER_RECEIPT));
    assert_in_range(w->vaults[0].signed_jobs, 0, ledger_count(w, LEDGER_INTENT));
}

static uint64_t stride(uint64_t otherwise)
{
    const char *told = getenv("KYSO_STARVE_STRIDE");

    return told == NULL ? otherwise : strtoul(told, NULL, 10);
}

static void fault_57_any_allocation_of_a_day(void **state)
{
    const uint64_t step = stride(5);
    struct world *w = *state;
    uint64_t n = 1, released = 0;
    uint32_t number = 0, sealed = 0;

    for (bool whole = false; !whole; n += step) {
        struct day d = {.w = w, .left = n, .number = number++};

        w->a->state->limits.lockout.tries = w->a->state->limits.lockout.total_tries = UINT32_MAX;
        w->a->state->limits.client.failures_per_minute = UINT32_MAX;
        sign_by_code(&d);
        sign_by_approval(&d);
        sign_by_sad(&d);
        refuse(&d);
        whole = d.left != 0; /* none was refused: the day has no more of them */
        sealed += w->a->phase == PHASE_SEALED;
        ledger_holds(&d, released);
        released += d.released;
        if (whole)
            assert_int_equal(3, d.released);
        world_advance(w, UINT64_C(200000000)); /* other codes, and what is pending has ended */
        world_run(w);
    }
    print_message("%u days, %u of them ended sealed, %llu signatures\n", number, sealed,
                  (unsigned long long)released);
}

/* The start: it opens or it does not, and what is there afterwards opens. */
static void fault_57_any_allocation_of_a_start(void **state)
{
    const uint64_t step = stride(29);
    struct world *w = *state;
    uint64_t left = 0, n = 1;

    for (; left == 0; n += step) {
        world_crash(w);
        world_start(w);
        struct day d = {.w = w, .left = n};
        for (int i = 0; i < 8; i++)
            starved_turn(&d);
        left = d.left;
        if (left != 0)
            assert_int_equal(PHASE_SERVE, w->a->phase);
    }
    world_crash(w);
    world_boot(w);
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(fault_57_any_allocation_of_a_day),
        T(fault_57_any_allocation_of_a_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
