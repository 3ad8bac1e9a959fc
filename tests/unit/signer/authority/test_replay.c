/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request ids: the same answer again, conflicts, attached repeats, abandoned ones, other kinds.
 * Faults 16, 17; I4.
 */
#include "world.h"

#include <string.h>

static void fault_16_same_id_same_signature(void **state)
{
    struct world *w = *state;
    struct answer first, again;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);

    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &first);
    uint64_t records = store_ledger_size(w->a->store);
    m.proof_secret =
        text("111111"); /* the proof is not part of the content, and is not looked at again */
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &again);
    assert_int_equal(DOOR_R_SIGN, again.type);
    assert_int_equal(first.cut, again.cut);
    assert_memory_equal(first.bytes, again.bytes, first.cut);
    assert_int_equal(records, store_ledger_size(w->a->store));
    assert_int_equal(1, w->vaults[0].signed_jobs);
}

static void fault_16_same_answer_after_restarts(void **state)
{
    struct world *w = *state;
    struct answer first, again;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);

    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &first);
    world_crash(w);
    world_boot(w);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &again);
    assert_memory_equal(first.bytes, again.bytes, first.cut);
    world_stop(w); /* this time from the snapshot */
    world_boot(w);
    assert_true(w->a->side.snapshot_size > 0);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &again);
    assert_int_equal(DOOR_R_SIGN, again.type);
    assert_memory_equal(first.bytes, again.bytes, first.cut);
    assert_int_equal(1, w->vaults[0].signed_jobs);
}

static void fault_17_same_id_other_content(void **state)
{
    struct world *w = *state;
    struct answer got;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);

    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    struct door_tx n = m;
    n.hashes = sign_msg(w, "r1", 2).hashes;
    ask(w, FRONT_SIGNER, &door_sign_schema, &n, &got);
    assert_denied(w, &got, KY_CONFLICT, KY_CONFLICT);
    n = m;
    n.display_text = text("Hop dong 43");
    ask(w, FRONT_SIGNER, &door_sign_schema, &n, &got);
    assert_denied(w, &got, KY_CONFLICT, KY_CONFLICT);
    n = m;
    n.proof = KY_PROOF_NONE;
    ask(w, FRONT_SIGNER, &door_tx_begin_schema, &n, &got); /* the id of another kind of request */
    assert_denied(w, &got, KY_CONFLICT, KY_CONFLICT);
    n = totp_msg(w, "r1", 2, code, 1);
    ask(w, FRONT_SIGNER, &door_sign_schema, &n, &got);
    assert_denied(w, &got, KY_CONFLICT, KY_CONFLICT);
    n.request_id = text("r2");
    ask(w, FRONT_SIGNER, &door_sign_schema, &n, &got); /* the conflict spent nothing */
    assert_int_equal(DOOR_R_SIGN, got.type);
}

static void ids_are_each_clients_own(void **state)
{
    struct world *w = *state;
    struct answer got;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);

    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    memcpy(m.spki, spki_other, 32);
    m.relying_party = text("other");
    m.credential_id = text(w->foreign);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED,
                  KY_PROOF_UNCONFIRMED); /* judged afresh: that citizen has no code */
}

static void repeat_attaches_to_the_flight(void **state)
{
    struct world *w = *state;
    struct answer got;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);
    uint64_t tags[6];
    int busy = 0;

    w->vaults[0].hold = true;
    for (int i = 0; i < 6; i++) {
        tags[i] = front_send(w, FRONT_SIGNER, &door_sign_schema, &m);
        world_turn(w);
        if (front_answer(w, FRONT_SIGNER, tags[i], &got)) {
            assert_int_equal(KY_BUSY, got.code);
            assert_true(got.retry_after_ms > 0);
            busy++;
        }
    }
    assert_int_equal(6 - (int)STATE_FLIGHT_REPLIES, busy);
    assert_int_equal(1, ledger_count(w, LEDGER_INTENT));
    vault_die(w, 0);
    w->vaults[0].hold = false;
    vault_join(w, 0);
    for (int i = 0; i < 5; i++)
        world_turn(w);
    uint32_t answers = 0;
    struct ky_record rec;
    struct ky_status status = KY_STATUS(KY_OK);
    (void)ky_channel_read(&w->fronts[FRONT_SIGNER]).code;
    while (ky_channel_next(&w->fronts[FRONT_SIGNER], &rec, &status))
        answers += rec.type == DOOR_R_SIGN;
    assert_int_equal(STATE_FLIGHT_REPLIES, answers);
    assert_int_equal(1, ledger_count(w, LEDGER_RECEIPT));
}

static void fault_29_suspended_credential_repeats_nothing(void **state)
{
    struct world *w = *state;
    struct answer got;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);

    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    world_set_credential(w, CREDENTIAL_SUSPENDED, 0);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_INACTIVE, KY_INACTIVE);
}

static void refused_id_may_try_again(void **state)
{
    struct world *w = *state;
    struct answer got;
    char code[9];
    struct door_tx m = wrong_msg(w, "r1");

    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_WRONG);
    m = totp_msg(w, "r1", 1, code, 0);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
}

static void window_forgets(void **state)
{
    struct world *w = *state;
    struct answer got;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);

    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(1, w->a->state->replay.tail - w->a->state->replay.head);
    world_advance(w, 86400u * 1000000ull);
    world_run(w);
    assert_int_equal(0, w->a->state->replay.tail - w->a->state->replay.head);
    m = totp_msg(w, "r1", 2, code, 0); /* the id is free for other content */
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(fault_16_same_id_same_signature), T(fault_16_same_answer_after_restarts),
        T(fault_17_same_id_other_content),  T(ids_are_each_clients_own),
        T(repeat_attaches_to_the_flight),   T(fault_29_suspended_credential_repeats_nothing),
        T(refused_id_may_try_again),        T(window_forgets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
