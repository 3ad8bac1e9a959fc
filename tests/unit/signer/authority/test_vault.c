/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs and vaults: death and redispatch, hangs, late results, quarantine, deadlines, cancellation,
 * revocation in flight. I4, I5; P8, P9, P21; faults 29, 37, 38, 41.
 */
#include "world.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static uint64_t send_totp(struct world *w, const char *id, int64_t step)
{
    char code[9];
    struct door_tx m = totp_msg(w, id, 1, code, step);

    return front_send(w, FRONT_SIGNER, &door_sign_schema, &m);
}

static void dead_vault_hands_its_job_on(void **state)
{
    struct world *w = *state;
    struct answer got;

    w->vaults[0].hold = true;
    uint64_t tag = send_totp(w, "r1", 0);
    world_run(w);
    assert_int_equal(1, w->vaults[0].held);
    vault_join(w, 1);
    world_run(w);
    assert_int_equal(0, w->vaults[1].signed_jobs); /* I5: not before the first one is known dead */
    vault_die(w, 0);
    world_run(w);
    assert_true(front_answer(w, FRONT_SIGNER, tag, &got));
    assert_int_equal(DOOR_R_SIGN, got.type);
    assert_int_equal(1, w->vaults[1].signed_jobs);
    assert_int_equal(1, ledger_count(w, LEDGER_INTENT));
    assert_int_equal(1, ledger_count(w, LEDGER_RECEIPT));
}

static void last_words_of_a_dead_vault_count(void **state)
{
    struct world *w = *state;
    struct answer got;

    uint64_t tag = send_totp(w, "r1", 0);
    assert_true(ky_ok(ky_channel_flush(&w->fronts[FRONT_SIGNER])));
    world_turn(w); /* decided, sent, and answered into the pipe */
    vault_join(w, 1);
    vault_die(w, 0);
    world_run(w);
    assert_true(front_answer(w, FRONT_SIGNER, tag, &got));
    assert_int_equal(DOOR_R_SIGN, got.type);
    assert_int_equal(0, w->vaults[1].signed_jobs);
}

static void hung_vault_is_killed_at_the_deadline(void **state)
{
    struct world *w = *state;
    struct answer got;

    w->vaults[0].hold = true;
    uint64_t tag = send_totp(w, "r1", 0);
    world_run(w);
    for (int i = 0; i < 90; i++) { /* 1.9 s in steps: not yet */
        world_advance(w, 21000);
        world_turn(w);
    }
    assert_null(world_told(w, CONTROL_KILL));
    for (int i = 0; i < 10; i++) {
        world_advance(w, 21000);
        world_turn(w);
    }
    const struct control_msg *kill = world_told(w, CONTROL_KILL);
    assert_non_null(kill);
    assert_int_equal(0, kill->index);
    assert_int_equal(w->vaults[0].generation, kill->generation);
    vault_join(w, 1);
    vault_die(w, 0);
    world_run(w);
    assert_true(front_answer(w, FRONT_SIGNER, tag, &got));
    assert_int_equal(DOOR_R_SIGN, got.type);
}

static void late_results_are_dropped(void **state)
{
    struct world *w = *state;
    struct answer got;

    w->vaults[0].hold = true;
    uint64_t tag = send_totp(w, "r1", 0);
    world_run(w);
    uint32_t generation = w->vaults[0].generation;
    vault_answer_late(w, 0, generation - 1, w->vaults[0].last_attempt);
    vault_answer_late(w, 0, generation, w->vaults[0].last_attempt + 1);
    w->vaults[0].last_tag += 1u << 20;
    vault_answer_late(w, 0, generation, w->vaults[0].last_attempt);
    world_run(w);
    assert_int_equal(3, w->a->late_results);
    assert_int_equal(0, ledger_count(w, LEDGER_RECEIPT));
    assert_false(front_answer(w, FRONT_SIGNER, tag, &got));
}

static void another_vaults_result_is_dropped(void **state)
{
    struct world *w = *state;
    struct answer got;

    w->vaults[0].hold = true;
    uint64_t tag = send_totp(w, "r1", 0);
    world_run(w);
    vault_join(w, 1);
    w->vaults[1].last_tag = w->vaults[0].last_tag;
    vault_answer_late(w, 1, w->vaults[1].generation, w->vaults[0].last_attempt);
    world_run(w);
    assert_int_equal(1, w->a->late_results);
    assert_false(front_answer(w, FRONT_SIGNER, tag, &got));
}

static void killer_key_is_quarantined(void **state)
{
    struct world *w = *state;
    struct answer got;
    struct ledger_receipt receipt;

    w->vaults[0].hold = true;
    uint64_t tag = send_totp(w, "r1", 0);
    world_run(w);
    for (uint32_t i = 0; i < KEY_KILLS_MAX; i++) {
        vault_die(w, 0);
        vault_join(w, 0);
        world_run(w);
    }
    assert_true(front_answer(w, FRONT_SIGNER, tag, &got));
    assert_int_equal(KY_UNAVAILABLE, got.code);
    assert_true(ledger_last(w, LEDGER_RECEIPT, &receipt));
    assert_int_equal(LEDGER_FAILED, receipt.outcome);
    uint64_t intents = ledger_count(w, LEDGER_INTENT);
    tag = send_totp(w, "r2", 1); /* no proof is spent on it any more */
    world_run(w);
    assert_true(front_answer(w, FRONT_SIGNER, tag, &got));
    assert_int_equal(KY_UNAVAILABLE, got.code);
    assert_int_equal(intents, ledger_count(w, LEDGER_INTENT));
    struct door_tx m = sign_msg(w, "r1", 1);
    m.proof = KY_PROOF_TOTP;
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_PROOF_NEEDED, KY_PROOF_NEEDED);

    world_advance(w, QUARANTINE_S * 1000000ull); /* tried again, and one death is enough now */
    tag = send_totp(w, "r3", 0);
    world_run(w);
    assert_int_equal(intents + 1, ledger_count(w, LEDGER_INTENT));
    vault_die(w, 0);
    vault_join(w, 0);
    world_run(w);
    assert_true(front_answer(w, FRONT_SIGNER, tag, &got));
    assert_int_equal(KY_UNAVAILABLE, got.code);
    world_advance(w, QUARANTINE_S * 1000000ull);
    w->vaults[0].hold = false;
    tag = send_totp(w, "r4", 0);
    world_run(w);
    assert_true(front_answer(w, FRONT_SIGNER, tag, &got));
    assert_int_equal(DOOR_R_SIGN, got.type);
    assert_false(dispatch_quarantined(w->a, w->credential_row));
}

static uint64_t two_jobs_at_one_vault(struct world *w) /* the second one's tag */
{
    w->config.token.sessions = 4;
    w->vaults[0].hold = true;
    send_totp(w, "r1", 0);
    world_run(w);
    uint64_t tag = send_totp(w, "r2", 1);
    world_run(w);
    assert_int_equal(2, w->vaults[0].held);
    return tag;
}

/* Fault 41: among many jobs nobody knows which one it was. */
static void after_a_death_each_job_runs_by_itself(void **state)
{
    struct world *w = *state;
    struct answer got;

    uint64_t tag = two_jobs_at_one_vault(w);

    vault_die(w, 0);
    vault_join(w, 0);
    world_run(w);
    assert_int_equal(1, w->vaults[0].held);
    vault_die(w, 0);
    w->vaults[0].hold = false;
    vault_join(w, 0);
    world_run(w);
    assert_true(front_answer(w, FRONT_SIGNER, tag, &got));
    assert_int_equal(0, w->a->sign_in_flight);
    assert_int_equal(0, w->a->jobs.alone);
}

/*
 * Fault 32, 33: a token that is away, or a login that is lost, is nobody's key's doing, and the job
 * waits for another vault.
 */
static void a_vault_that_gives_up_blames_no_key(void **state)
{
    static const enum ky_code codes[] = {KY_TOKEN_MODULE, KY_TOKEN_LOGIN};
    struct world *w = *state;
    struct answer got;

    for (int c = 0; c < 2; c++) {
        char id[] = {'r', (char)('a' + c), '\0'};
        world_advance(w, 30000000);
        uint64_t tag = send_totp(w, id, 0);
        w->vaults[0].fail = codes[c];
        world_run(w);
        for (uint32_t i = 0; i < KEY_KILLS_MAX; i++) {
            assert_false(front_answer(w, FRONT_SIGNER, tag, &got));
            w->vaults[0].fail = i + 1 < KEY_KILLS_MAX ? codes[c] : KY_OK;
            vault_die(w, 0);
            vault_join(w, 0);
            world_run(w);
        }
        assert_false(dispatch_quarantined(w->a, w->credential_row));
        assert_true(front_answer(w, FRONT_SIGNER, tag, &got));
        assert_int_equal(DOOR_R_SIGN, got.type);
    }
    assert_int_equal(2, w->a->state->signatures);
}

/* A busy key has many jobs at a vault: the death of that one vault is not the death of two. */
static void one_death_quarantines_no_key(void **state)
{
    struct world *w = *state;
    struct answer got;

    uint64_t tag = two_jobs_at_one_vault(w);

    vault_die(w, 0);
    w->vaults[0].hold = false;
    vault_join(w, 0);
    world_run(w);
    assert_true(front_answer(w, FRONT_SIGNER, tag, &got));
    assert_int_equal(DOOR_R_SIGN, got.type);
    assert_int_equal(2, w->a->state->signatures);
    assert_false(dispatch_quarantined(w->a, w->credential_row));
}

static void token_failures_end_in_a_receipt(void **state)
{
    static const enum ky_code codes[] = {KY_TOKEN_REQUEST, KY_TOKEN_WRONG_SIGNATURE,
                                         KY_TOKEN_SESSION};
    struct world *w = *state;
    struct answer got;
    struct ledger_receipt receipt;

    for (int i = 0; i < 3; i++) {
        char id[] = {'r', (char)('a' + i), '\0'};
        w->vaults[0].fail = codes[i];
        world_advance(w, 30000000);
        uint64_t tag = send_totp(w, id, 0);
        world_run(w);
        assert_true(front_answer(w, FRONT_SIGNER, tag, &got));
        assert_int_equal(i < 2 ? KY_INTERNAL : KY_UNAVAILABLE, got.code);
        assert_true(ledger_last(w, LEDGER_RECEIPT, &receipt));
        assert_int_equal(LEDGER_FAILED, receipt.outcome);
        assert_int_equal(0, receipt.signatures.len);
    }
    assert_int_equal(3, ledger_count(w, LEDGER_RECEIPT));
    assert_int_equal(0, w->a->sign_in_flight);
}

/* P21, fault 29: suspended while in the HSM, acknowledged, and nothing is released. */
static void fault_29_revoked_in_flight_is_not_released(void **state)
{
    struct world *w = *state;

    w->vaults[0].hold = true;
    uint64_t tag = send_totp(w, "r1", 0);
    world_run(w);
    world_set_credential(w, CREDENTIAL_SUSPENDED, 0);
    world_set_credential(w, CREDENTIAL_ACTIVE, 0); /* even resumed at once: its epoch has moved */
    vault_answer_late(w, 0, w->vaults[0].generation, w->vaults[0].last_attempt);
    world_run(w);
    assert_not_released(w, tag, KY_INACTIVE, KY_INACTIVE);
}

/* P21: an authenticator that is removed, and acknowledged so, has given no more signatures. */
static void fault_29_removed_authenticator_in_flight_is_not_released(void **state)
{
    struct world *w = *state;

    w->vaults[0].hold = true;
    uint64_t tag = send_totp(w, "r1", 0);
    world_run(w);
    world_remove(w, w->totp);
    vault_answer_late(w, 0, w->vaults[0].generation, w->vaults[0].last_attempt);
    world_run(w);
    assert_not_released(w, tag, KY_DENIED, KY_PROOF_UNCONFIRMED);
}

static void fault_24_removed_authenticators_sad_is_void(void **state)
{
    struct world *w = *state;
    struct answer auth, got;
    uint8_t hashes[64] = {[0] = 1, [32] = 2};

    world_authorize(w, "a1", KY_SPAN_OF(hashes), &auth);
    struct door_tx s = sad_msg(w, "s1", auth.tx.sad, KY_SPAN(hashes, 32));
    w->vaults[0].hold = true;
    uint64_t tag = front_send(w, FRONT_SIGNER, &door_sign_schema, &s);
    world_run(w);
    world_remove(w, w->totp);
    vault_answer_late(w, 0, w->vaults[0].generation, w->vaults[0].last_attempt);
    world_run(w);
    assert_true(front_answer(w, FRONT_SIGNER, tag, &got));
    assert_int_equal(KY_DENIED, got.code);
    s.request_id = text("s2");
    s.hashes = KY_SPAN(hashes + 32, 32);
    ask(w, FRONT_SIGNER, &door_sign_schema, &s, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_UNCONFIRMED);
    assert_int_equal(1, ledger_count(w, LEDGER_INTENT));
}

static void expired_in_flight_is_not_released(void **state)
{
    struct world *w = *state;
    struct answer got;

    w->vaults[0].hold = true;
    uint64_t tag = send_totp(w, "r1", 0);
    world_run(w);
    world_advance(w, 31ull * 86400 * 1000000);
    vault_answer_late(w, 0, w->vaults[0].generation, w->vaults[0].last_attempt);
    world_run(w);
    assert_true(front_answer(w, FRONT_SIGNER, tag, &got));
    assert_int_equal(KY_INACTIVE, got.code);
}

static void past_deadline_spends_nothing(void **state)
{
    struct world *w = *state;
    struct answer got;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);
    uint64_t tag = front_send_deadline(w, FRONT_SIGNER, &door_sign_schema, &m, w->mono_us - 1);

    world_run(w);
    assert_true(front_answer(w, FRONT_SIGNER, tag, &got));
    assert_int_equal(KY_DEADLINE, got.code);
    assert_int_equal(0, ledger_count(w, LEDGER_INTENT));
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
}

static void queued_past_deadline_is_abandoned(void **state)
{
    struct world *w = *state;
    struct answer got;
    struct ledger_receipt receipt;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);

    vault_die(w, 0); /* nobody to send it to */
    world_run(w);
    uint64_t tag = front_send_deadline(w, FRONT_SIGNER, &door_sign_schema, &m, w->mono_us + 50000);
    world_run(w);
    assert_int_equal(1, ledger_count(w, LEDGER_INTENT));
    world_advance(w, 60000);
    world_run(w);
    assert_true(front_answer(w, FRONT_SIGNER, tag, &got));
    assert_int_equal(KY_DEADLINE, got.code);
    assert_true(ledger_last(w, LEDGER_RECEIPT, &receipt));
    assert_int_equal(LEDGER_ABANDONED, receipt.outcome);
    vault_join(w, 0);
    world_run(w);
    assert_int_equal(0, w->vaults[0].signed_jobs); /* an abandoned intent never signs */
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_PROOF_NEEDED, KY_PROOF_NEEDED);
}

static void cancelled_in_the_queue_is_abandoned(void **state)
{
    struct world *w = *state;
    struct door_cancel gone = {0};
    struct ledger_receipt receipt;

    vault_die(w, 0);
    world_run(w);
    uint64_t tag = send_totp(w, "r1", 0);
    world_run(w);
    assert_true(
        ky_ok(ky_channel_send(&w->fronts[FRONT_SIGNER], &door_cancel_schema, &gone, tag, 0)));
    world_run(w);
    assert_true(ledger_last(w, LEDGER_RECEIPT, &receipt));
    assert_int_equal(LEDGER_ABANDONED, receipt.outcome);
    assert_int_equal(KY_CANCELLED, receipt.code);
    vault_join(w, 0);
    world_run(w);
    assert_int_equal(0, w->vaults[0].signed_jobs);
}

static void cancel_spares_what_a_repeat_waits_for(void **state)
{
    struct world *w = *state;
    struct door_cancel gone = {0};
    struct answer got;

    vault_die(w, 0);
    world_run(w);
    uint64_t first = send_totp(w, "r1", 0);
    uint64_t again = send_totp(w, "r1", 0);
    world_run(w);
    assert_true(
        ky_ok(ky_channel_send(&w->fronts[FRONT_SIGNER], &door_cancel_schema, &gone, first, 0)));
    world_run(w);
    assert_int_equal(0, ledger_count(w, LEDGER_RECEIPT));
    vault_join(w, 0);
    world_run(w);
    assert_true(front_answer(w, FRONT_SIGNER, again, &got));
    assert_int_equal(DOOR_R_SIGN, got.type);
}

static void full_queue_is_busy_before_any_proof(void **state)
{
    struct world *w = *state;
    struct answer got;
    char code[9];

    w->config.limits.per_client = 1;
    w->vaults[0].hold = true;
    send_totp(w, "r1", 0);
    world_run(w);
    struct door_tx m = totp_msg(w, "r2", 2, code, 1);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(KY_BUSY, got.code);
    assert_true(got.retry_after_ms > 0);
    assert_int_equal(WORLD_START_S / 30, authority_last_step(w->a, w->totp_row));
}

/* A front that comes back as another process gets none of the old one's answers. */
static void answers_do_not_reach_another_front(void **state)
{
    struct world *w = *state;
    struct ky_record rec;
    struct ky_status status = KY_STATUS(KY_OK);
    struct control_msg dead = {
        .type = CONTROL_PEER_DEAD, .door = KY_DOOR_SIGNER, .generation = w->front_generation};
    struct control_msg next = {
        .type = CONTROL_PEER, .door = KY_DOOR_SIGNER, .generation = w->front_generation + 1};
    struct ky_channel other;
    int pair[2];
    int beats = 0;

    w->vaults[0].hold = true;
    send_totp(w, "r1", 0);
    world_run(w);
    peer_control(w->a, &dead, -1);
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair));
    peer_control(w->a, &next, pair[1]);
    ky_channel_init(&other, pair[0], 65536);
    world_advance(w, 30000);
    vault_answer_late(w, 0, w->vaults[0].generation, w->vaults[0].last_attempt);
    for (struct peer *p = w->a->peers; p != NULL; p = p->next)
        p->readable = true;
    (void)authority_turn(w->a);
    assert_int_equal(1, ledger_count(w, LEDGER_RECEIPT)); /* kept for the repeat */
    (void)ky_channel_read(&other).code;
    for (; ky_channel_next(&other, &rec, &status); beats++)
        assert_int_equal(DOOR_HEARTBEAT, rec.type);
    assert_true(beats > 0);
    ky_channel_wipe(&other);
    close(pair[0]);
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(dead_vault_hands_its_job_on),
        T(last_words_of_a_dead_vault_count),
        T(hung_vault_is_killed_at_the_deadline),
        T(late_results_are_dropped),
        T(another_vaults_result_is_dropped),
        T(killer_key_is_quarantined),
        T(a_vault_that_gives_up_blames_no_key),
        T(after_a_death_each_job_runs_by_itself),
        T(token_failures_end_in_a_receipt),
        T(fault_29_revoked_in_flight_is_not_released),
        T(one_death_quarantines_no_key),
        T(fault_29_removed_authenticator_in_flight_is_not_released),
        T(fault_24_removed_authenticators_sad_is_void),
        T(expired_in_flight_is_not_released),
        T(past_deadline_spends_nothing),
        T(queued_past_deadline_is_abandoned),
        T(cancelled_in_the_queue_is_abandoned),
        T(cancel_spares_what_a_repeat_waits_for),
        T(full_queue_is_busy_before_any_proof),
        T(answers_do_not_reach_another_front),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
