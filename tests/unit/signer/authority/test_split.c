/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request of many hashes over idle vaults: one intent, one receipt, one answer, whatever happens
 * to a part. I4, I5.
 */
#include "world.h"

#include <string.h>
#include <unistd.h>

#define HASHES 40u

static uint8_t hashes[HASHES * 32];

static struct door_tx dossier(struct world *w, const char *id, char code[9])
{
    struct door_tx m = totp_msg(w, id, 1, code, 0);

    w->config.limits.max_hashes = 64;
    for (uint32_t i = 0; i < HASHES; i++)
        hashes[i * 32] = (uint8_t)(i + 1);
    m.hashes = KY_SPAN_OF(hashes);
    return m;
}

static uint64_t send_dossier(struct world *w, const char *id, uint64_t deadline_us)
{
    char code[9];
    struct door_tx m = dossier(w, id, code);

    return front_send_deadline(w, FRONT_SIGNER, &door_sign_schema, &m, deadline_us);
}

static void two_vaults(struct world *w, bool hold)
{
    vault_join(w, 1);
    world_run(w);
    w->vaults[0].hold = w->vaults[1].hold = hold;
}

static void assert_signed_in_order(const struct answer *got)
{
    uint8_t want[64];

    assert_int_equal(DOOR_R_SIGN, got->type);
    assert_int_equal(HASHES, got->sign.count);
    for (uint32_t i = 0; i < HASHES; i++) {
        vault_signature(KY_SPAN(hashes + i * 32, 32), want);
        assert_memory_equal(want, got->sign.signatures.data + i * 64, 64);
    }
}

static void assert_one_receipt(struct world *w, uint8_t outcome, enum ky_code code)
{
    struct ledger_receipt receipt;

    assert_int_equal(1, ledger_count(w, LEDGER_INTENT));
    assert_int_equal(1, ledger_count(w, LEDGER_RECEIPT));
    assert_true(ledger_last(w, LEDGER_RECEIPT, &receipt));
    assert_int_equal(outcome, receipt.outcome);
    assert_int_equal(code, receipt.code);
    assert_int_equal(outcome == LEDGER_SIGNED ? HASHES * 64 : 0, receipt.signatures.len);
    assert_int_equal(0, w->a->sign_in_flight);
}

static void idle_vaults_share_and_order_stays(void **state)
{
    struct world *w = *state;
    struct answer got;

    two_vaults(w, true);
    uint64_t tag = send_dossier(w, "r1", 0);
    world_run(w);
    assert_int_equal(1, w->vaults[0].held);
    assert_int_equal(1, w->vaults[1].held);
    vault_answer_held(w, 1); /* the later hashes first */
    world_run(w);
    assert_int_equal(0, ledger_count(w, LEDGER_RECEIPT));
    vault_answer_held(w, 0);
    world_run(w);
    assert_true(front_answer(w, FRONT_SIGNER, tag, &got));
    assert_signed_in_order(&got);
    assert_one_receipt(w, LEDGER_SIGNED, KY_OK);
    assert_true(dispatch_idle(w->a));
}

static void busy_vaults_get_it_whole(void **state)
{
    struct world *w = *state;
    char code[9];

    two_vaults(w, true);
    struct door_tx m = totp_msg(w, "r1", 1, code, 1);
    m.credential_id = text(w->credential2);
    front_send(w, FRONT_SIGNER, &door_sign_schema, &m);
    world_run(w);
    w->wall_us += 60000000; /* another code */
    send_dossier(w, "r2", 0);
    world_run(w);
    assert_int_equal(2, w->vaults[0].held + w->vaults[1].held);
}

static void repeats_wait_for_the_whole(void **state)
{
    struct world *w = *state;
    struct answer again;

    two_vaults(w, true);
    uint64_t first = send_dossier(w, "r1", 0);
    world_run(w);
    vault_answer_held(w, 0);
    uint64_t second = send_dossier(w, "r1", 0);
    world_run(w);
    vault_answer_held(w, 1);
    world_run(w);
    struct ky_record rec;
    struct ky_status status = KY_STATUS(KY_OK);
    uint32_t answers = 0;
    (void)ky_channel_read(&w->fronts[FRONT_SIGNER]).code;
    while (ky_channel_next(&w->fronts[FRONT_SIGNER], &rec, &status))
        answers += rec.type == DOOR_R_SIGN && (rec.tag == first || rec.tag == second);
    assert_int_equal(2, answers);
    uint64_t third = send_dossier(w, "r1", 0);
    world_run(w);
    assert_true(front_answer(w, FRONT_SIGNER, third, &again));
    assert_signed_in_order(&again);
    assert_one_receipt(w, LEDGER_SIGNED, KY_OK);
}

static void failed_part_fails_all_at_once(void **state)
{
    struct world *w = *state;
    struct answer got;

    two_vaults(w, true);
    w->vaults[1].hold = false;
    w->vaults[1].fail = KY_TOKEN_REQUEST;
    uint64_t tag = send_dossier(w, "r1", 0);
    world_run(w);
    assert_true(front_answer(w, FRONT_SIGNER, tag, &got));
    assert_int_equal(KY_INTERNAL, got.code);
    assert_one_receipt(w, LEDGER_FAILED, KY_TOKEN_REQUEST);
    assert_false(dispatch_idle(w->a)); /* I5: the other part is still its vault's */
    vault_answer_held(w, 0);
    world_run(w);
    assert_true(dispatch_idle(w->a));
    assert_one_receipt(w, LEDGER_FAILED, KY_TOKEN_REQUEST);
}

static void hung_part_of_a_failed_whole_costs_its_vault(void **state)
{
    struct world *w = *state;

    two_vaults(w, true);
    w->vaults[1].hold = false;
    w->vaults[1].fail = KY_TOKEN_REQUEST;
    send_dossier(w, "r1", 0);
    world_run(w);
    for (int i = 0; i < 100; i++) {
        world_advance(w, 21000);
        world_turn(w);
    }
    assert_non_null(world_told(w, CONTROL_KILL));
    vault_die(w, 0);
    w->vaults[1].fail = KY_OK;
    uint32_t before = w->vaults[1].signed_jobs;
    world_run(w);
    assert_true(dispatch_idle(w->a));
    assert_int_equal(before, w->vaults[1].signed_jobs); /* nobody wants it any more */
    assert_one_receipt(w, LEDGER_FAILED, KY_TOKEN_REQUEST);
}

enum death { UNREAD, HELD, ANSWERED, SETTLED };

static void die_at(struct world *w, enum death when)
{
    struct answer got;

    two_vaults(w, true);
    uint64_t tag = send_dossier(w, "r1", 0);
    if (when == UNREAD) {
        assert_true(ky_ok(ky_channel_flush(&w->fronts[FRONT_SIGNER])));
        for (struct peer *p = w->a->peers; p != NULL; p = p->next)
            p->readable = true;
        (void)authority_turn(w->a);
    } else {
        world_run(w);
    }
    if (when >= ANSWERED)
        vault_answer_held(w, 1);
    if (when == SETTLED)
        world_run(w);
    vault_die(w, 1);
    w->vaults[0].hold = false;
    world_run(w);
    if (when != UNREAD)
        vault_answer_held(w, 0);
    world_run(w);
    assert_true(front_answer(w, FRONT_SIGNER, tag, &got));
    assert_signed_in_order(&got);
    assert_one_receipt(w, LEDGER_SIGNED, KY_OK);
    assert_int_equal(when == UNREAD ? 2 : when == HELD ? 1 : 0, w->vaults[0].signed_jobs);
    assert_true(dispatch_idle(w->a));
}

static void death_before_it_read_its_part(void **state)
{
    die_at(*state, UNREAD);
}

static void death_while_it_signs_its_part(void **state)
{
    die_at(*state, HELD);
}

static void death_after_its_last_words(void **state)
{
    die_at(*state, ANSWERED);
}

static void death_after_its_part_is_settled(void **state)
{
    die_at(*state, SETTLED);
}

/* No more jobs for this one. */
static void retire(struct world *w, uint32_t index)
{
    struct control_msg m = {
        .type = CONTROL_RETIRE, .index = index, .generation = w->vaults[index].generation};

    peer_control(w->a, &m, -1);
}

/* Both parts come back to the queue. */
static uint64_t given_back(struct world *w, uint64_t deadline_us)
{
    two_vaults(w, true);
    uint64_t tag = send_dossier(w, "r1", deadline_us);
    world_run(w);
    for (uint32_t i = 0; i < 2; i++) {
        retire(w, i);
        vault_refuse_held(w, i, KY_BUSY);
    }
    world_run(w);
    vault_die(w, 0);
    vault_die(w, 1);
    world_run(w);
    assert_int_equal(0, ledger_count(w, LEDGER_RECEIPT));
    return tag;
}

static void signs_nothing_more(struct world *w)
{
    w->vaults[0].hold = w->vaults[1].hold = false;
    vault_join(w, 0);
    vault_join(w, 1);
    world_run(w);
    assert_int_equal(0, w->vaults[0].signed_jobs + w->vaults[1].signed_jobs);
    assert_true(dispatch_idle(w->a));
}

static void queued_parts_past_their_deadline_are_abandoned_once(void **state)
{
    struct world *w = *state;
    struct answer got;
    uint64_t tag = given_back(w, w->mono_us + 50000);

    world_advance(w, 60000);
    world_run(w);
    assert_true(front_answer(w, FRONT_SIGNER, tag, &got));
    assert_int_equal(KY_DEADLINE, got.code);
    assert_one_receipt(w, LEDGER_ABANDONED, KY_DEADLINE);
    signs_nothing_more(w);
}

static void cancelled_parts_are_abandoned_once(void **state)
{
    struct world *w = *state;
    struct door_cancel gone = {0};
    uint64_t tag = given_back(w, 0);

    assert_true(
        ky_ok(ky_channel_send(&w->fronts[FRONT_SIGNER], &door_cancel_schema, &gone, tag, 0)));
    world_run(w);
    assert_one_receipt(w, LEDGER_ABANDONED, KY_CANCELLED);
    signs_nothing_more(w);
}

static bool first_part_at(const struct world *w, uint32_t index)
{
    const struct peer *p = peer_find(w->a, 0, index, w->vaults[index].generation);

    return p->first != NULL && p->first->part.from == 0;
}

static void cancel_of_a_part_that_signs_waits_for_its_receipt(void **state)
{
    struct world *w = *state;
    struct door_cancel gone = {0};

    two_vaults(w, true);
    uint64_t tag = send_dossier(w, "r1", 0);
    world_run(w);
    uint32_t first = first_part_at(w, 1);
    retire(w, 1 - first);
    vault_die(w, first); /* the part that the tag names waits again, the other is at its vault */
    world_run(w);
    assert_true(
        ky_ok(ky_channel_send(&w->fronts[FRONT_SIGNER], &door_cancel_schema, &gone, tag, 0)));
    world_run(w);
    assert_int_equal(0, ledger_count(w, LEDGER_RECEIPT));
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(idle_vaults_share_and_order_stays),
        T(busy_vaults_get_it_whole),
        T(repeats_wait_for_the_whole),
        T(failed_part_fails_all_at_once),
        T(hung_part_of_a_failed_whole_costs_its_vault),
        T(death_before_it_read_its_part),
        T(death_while_it_signs_its_part),
        T(death_after_its_last_words),
        T(death_after_its_part_is_settled),
        T(queued_parts_past_their_deadline_are_abandoned_once),
        T(cancelled_parts_are_abandoned_once),
        T(cancel_of_a_part_that_signs_waits_for_its_receipt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
