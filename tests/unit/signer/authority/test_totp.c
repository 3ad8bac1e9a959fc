/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sign with a TOTP code: what signs, what is refused and how it is recorded. Faults 9, 14, 18-21,
 * 24; P17, P24.
 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void signs_and_records(void **state)
{
    struct world *w = *state;
    struct answer got;
    struct ledger_intent intent;
    struct ledger_receipt receipt;
    uint8_t want[64];
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);

    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
    assert_int_equal(1, got.sign.count);
    vault_signature(m.hashes, want);
    assert_memory_equal(want, got.sign.signatures.data, 64);
    assert_true(ledger_last(w, LEDGER_INTENT, &intent));
    assert_int_equal(KY_PROOF_TOTP, intent.proof);
    assert_int_equal(WORLD_START_S / 30, intent.step);
    assert_int_equal(w->totp_row, intent.authenticator_row);
    assert_true(ky_span_eq(m.hashes, intent.hashes));
    assert_true(ledger_last(w, LEDGER_RECEIPT, &receipt));
    assert_int_equal(LEDGER_SIGNED, receipt.outcome);
    assert_int_equal(1, ledger_count(w, LEDGER_INTENT));
    assert_int_equal(0, w->a->sign_in_flight);
}

static void fault_18_same_step_is_spent(void **state)
{
    struct world *w = *state;
    struct answer got;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);

    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
    m = totp_msg(w, "r2", 2, code, 0);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_REPLAYED);
}

static void fault_18_two_at_once_spend_once(void **state)
{
    struct world *w = *state;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);
    uint64_t first = front_send(w, FRONT_SIGNER, &door_sign_schema, &m);

    m = totp_msg(w, "r2", 2, code, 0);
    uint64_t second = front_send(w, FRONT_SIGNER, &door_sign_schema, &m);
    world_turn(w); /* one turn decides both */
    assert_int_equal(1, w->vaults[0].signed_jobs);
    world_run(w);
    assert_int_equal(1, ledger_count(w, LEDGER_INTENT));
    struct ky_record rec;
    struct ky_status status = KY_STATUS(KY_OK);
    uint16_t types[2] = {0};
    (void)ky_channel_read(&w->fronts[FRONT_SIGNER]).code;
    while (ky_channel_next(&w->fronts[FRONT_SIGNER], &rec, &status)) {
        if (rec.tag == first)
            types[0] = rec.type;
        if (rec.tag == second)
            types[1] = rec.type;
    }
    assert_int_equal(DOOR_R_SIGN, types[0]);
    assert_int_equal(DOOR_REFUSED, types[1]);
}

static void fault_19_older_step_after_newer(void **state)
{
    struct world *w = *state;
    struct answer got;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);

    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
    m = totp_msg(w, "r2", 2, code, -1);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_REPLAYED);
}

/* Fault 20: t-1, t-1 again, then t: accept, deny, accept. */
static void fault_20_older_then_newer(void **state)
{
    struct world *w = *state;
    struct answer got;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, -1);

    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
    m = totp_msg(w, "r2", 2, code, -1);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_REPLAYED);
    m = totp_msg(w, "r3", 3, code, 0);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
}

static void fault_18_spent_through_another_credential(void **state)
{
    struct world *w = *state;
    struct answer got;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);

    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    m = totp_msg(w, "r2", 1, code, 0);
    m.credential_id = text(w->credential2);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_REPLAYED);
}

static void fault_18_spent_after_clean_restart(void **state)
{
    struct world *w = *state;
    struct answer got;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);

    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
    world_stop(w);
    world_boot(w);
    assert_int_equal(0, ledger_count(w, LEDGER_ANCHORED));
    m = totp_msg(w, "r2", 2, code, 0);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_REPLAYED);
    m = totp_msg(w, "r3", 3, code, 1); /* a fresh step still works: the restart was clean */
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
}

/* After an unclean start every step up to now + window is refused, spent or not. */
static void unclean_restart_refuses_the_window(void **state)
{
    struct world *w = *state;
    struct answer got;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);

    world_advance(w, 2000000); /* an anchor, then records after it */
    world_run(w);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    world_crash(w);
    world_boot(w);
    assert_int_equal(1, ledger_count(w, LEDGER_ANCHORED));
    struct ledger_denied denied;
    m = totp_msg(w, "r2", 2, code, 0);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_REPLAYED);
    m = totp_msg(w, "r3", 2, code, 1);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_PROOF_NEEDED, KY_PROOF_FLOORED);
    assert_true(ledger_last(w, LEDGER_DENIED, &denied));
    assert_int_equal(0, denied.charged); /* an honest citizen, who cannot know of the crash */
    world_advance(w, 60000000u);
    m = totp_msg(w, "r4", 2, code, 0);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
}

/* P6: put back to exactly what the last anchor saw, by whoever copied the file at that moment. */
static void rollback_to_the_anchor_refuses_the_window(void **state)
{
    struct world *w = *state;
    struct answer got;
    char code[9], command[256];

    world_advance(w, 2000000);
    world_run(w);
    assert_int_equal(w->a->side.anchor_size, store_ledger_size(w->a->store));
    snprintf(command, sizeof(command), "cd '%s' && for s in '' -wal; do cp kyso.db$s old$s; done",
             w->dir);
    assert_int_equal(0, system(command));
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
    world_crash(w); /* within the anchor's second */
    snprintf(command, sizeof(command), "cd '%s' && for s in '' -wal; do cp old$s kyso.db$s; done",
             w->dir);
    assert_int_equal(0, system(command));
    world_boot(w);
    m = totp_msg(w, "r2", 2, code, 0);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_PROOF_NEEDED, KY_PROOF_FLOORED);
}

static void test_compliance_39_clock_backwards_reopens_nothing(void **state)
{
    struct world *w = *state;
    struct answer got;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);

    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
    w->wall_us -= 3600000000u;
    m = totp_msg(w, "r2", 2, code, 0); /* right for the clock as it stands now */
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_WRONG);
}

static void fault_21_bad_codes_are_charged_and_lock(void **state)
{
    static const char *const codes[] = {"000000", "12345", "123456789", "\xd9\xa1\xd9\xa2\xd9\xa3",
                                        "999999"};
    struct world *w = *state;
    struct answer got;
    struct ledger_denied denied;
    char code[9];

    for (int i = 0; i < 5; i++) {
        struct door_tx m = sign_msg(w, "r1", 1);
        m.proof = KY_PROOF_TOTP;
        m.proof_secret = text(codes[i]);
        ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
        assert_denied(w, &got, KY_DENIED,
                      strlen(codes[i]) == 6 && i != 3 ? KY_PROOF_WRONG : KY_PROOF_MALFORMED);
        assert_true(ledger_last(w, LEDGER_DENIED, &denied));
        assert_int_equal(AUTHORITY_CHARGE_SUBJECT, denied.charged);
        assert_int_equal(w->subject_row, denied.subject_row);
    }
    struct door_tx m = totp_msg(w, "r1", 1, code, 0); /* the right one: too late */
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_LOCKED);
    assert_int_equal(0, ledger_count(w, LEDGER_INTENT));
    world_advance(w, 900u * 1000000u);
    m = totp_msg(w, "r1", 1, code, 0);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
}

struct outcomes { /* of the LEDGER_DENIED records */
    uint32_t looked_at, locked;
};

static void count_outcome(void *context, uint64_t time_us, const struct ledger_denied *m)
{
    struct outcomes *n = context;

    (void)time_us;
    n->looked_at += m->reason == KY_PROOF_WRONG && m->charged == AUTHORITY_CHARGE_SUBJECT;
    n->locked += m->reason == KY_PROOF_LOCKED && m->charged == 0;
}

/* P17: 64 parallel guesses in one turn show five outcomes, then the lock. */
static void parallel_guesses_see_five(void **state)
{
    struct world *w = *state;
    struct door_tx m = wrong_msg(w, "r");
    struct outcomes n = {0, 0};

    for (int i = 0; i < 64; i++)
        front_send(w, FRONT_SIGNER, &door_sign_schema, &m);
    world_turn(w);
    assert_int_equal(64, ledger_count(w, LEDGER_DENIED));
    ledger_each_denied(w, count_outcome, &n);
    assert_int_equal(5, n.looked_at); /* a sixth guess is not even compared */
    assert_int_equal(59, n.locked);
    assert_int_equal(1, authority_subject_account(w->a, w->subject_row).lockout.locks);
    assert_int_equal(5, authority_subject_account(w->a, w->subject_row).lockout.total);
}

static void fault_14_unknown_and_foreign_look_alike(void **state)
{
    struct world *w = *state;
    struct answer absent, foreign;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);

    m.credential_id = text("c7f-0123456789abcdef");
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &absent);
    assert_denied(w, &absent, KY_NOT_FOUND, KY_NOT_FOUND);
    m.credential_id = text(w->foreign);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &foreign);
    assert_denied(w, &foreign, KY_NOT_FOUND, KY_NOT_FOUND);
    assert_int_equal(absent.cut, foreign.cut);
    assert_memory_equal(absent.bytes, foreign.bytes, absent.cut);
}

static void guessed_id_of_a_real_row(void **state)
{
    struct world *w = *state;
    struct answer got;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);

    m.credential_id = text("c1-0000000000000000");
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_NOT_FOUND, KY_NOT_FOUND);
}

static void fault_13_strangers_and_wrong_doors(void **state)
{
    struct world *w = *state;
    struct answer got;
    struct ledger_denied denied;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);

    memcpy(m.spki, spki_nobody, 32);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_UNAUTHENTICATED, KY_UNAUTHENTICATED);
    assert_true(ledger_last(w, LEDGER_DENIED, &denied));
    assert_memory_equal(spki_nobody, denied.spki, 32);
    memcpy(m.spki, spki_approver, 32);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_NO_RIGHT);
    memcpy(m.spki, spki_bank, 32);
    ask(w, FRONT_APPROVER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_WRONG_DOOR);
    m.relying_party = text("another-bank"); /* no delegate right */
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_NOT_FOUND, KY_NOT_FOUND);
    assert_int_equal(0, ledger_count(w, LEDGER_INTENT));
}

/* Nothing of that is recorded as an intent, reaches a vault or spends the code. */
static void signs_after_all(struct world *w, const struct door_tx *m)
{
    struct answer got;

    assert_int_equal(0, ledger_count(w, LEDGER_INTENT));
    assert_int_equal(0, w->vaults[0].row_count);
    ask(w, FRONT_SIGNER, &door_sign_schema, m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
}

static void fault_09_zero_hash_and_sha1_are_recorded(void **state)
{
    static const uint8_t zero[32];
    struct world *w = *state;
    struct answer got;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);
    struct door_tx n = m;

    n.hashes = KY_SPAN_OF(zero);
    ask(w, FRONT_SIGNER, &door_sign_schema, &n, &got);
    assert_denied(w, &got, KY_DENIED, KY_HASH_FORBIDDEN);
    n = m;
    n.hash = 9; /* SHA-1 has no number here */
    ask(w, FRONT_SIGNER, &door_sign_schema, &n, &got);
    assert_denied(w, &got, KY_DENIED, KY_HASH_FORBIDDEN);
    assert_int_equal(2, ledger_count(w, LEDGER_DENIED));
    signs_after_all(w, &m);
}

/* What a front would not let through, from a front that does. */
static void fault_08_digest_sizes_and_schemes(void **state)
{
    static const uint8_t bytes[] =
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef+";
    static const size_t sizes[] = {0, 31, 33, 65};
    struct world *w = *state;
    struct answer got;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct door_tx n = m;
        n.hashes = KY_SPAN(bytes, sizes[i]);
        ask(w, FRONT_SIGNER, &door_sign_schema, &n, &got);
        assert_denied(w, &got, KY_INVALID, KY_INVALID);
    }
    struct door_tx n = m;
    n.scheme = KY_RSA_PKCS1;
    ask(w, FRONT_SIGNER, &door_sign_schema, &n, &got);
    assert_denied(w, &got, KY_INVALID, KY_INVALID);
    signs_after_all(w, &m);
}

static void inactive_credentials(void **state)
{
    struct world *w = *state;
    struct answer got;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);

    world_set_credential(w, CREDENTIAL_SUSPENDED, WORLD_START_S + 1000000);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_INACTIVE, KY_INACTIVE);
    world_set_credential(w, CREDENTIAL_ACTIVE, WORLD_START_S - 1);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_INACTIVE, KY_INACTIVE);
    world_set_credential(w, CREDENTIAL_ACTIVE, WORLD_START_S + 1000000);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
}

/*
 * P18, for one client: over the threshold it is suspended by a record, and its next request is
 * refused as that.
 */
static void spraying_suspends_the_client(void **state)
{
    struct world *w = *state;
    struct answer got;
    struct ledger_client_state record;
    struct door_tx m = sign_msg(w, "r", 1);
    char code[9];

    w->a->state->limits.client.failures_per_minute = 3;
    m.proof = KY_PROOF_TOTP;
    m.proof_secret = text("000000");
    for (int i = 0; i < 4; i++)
        ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_true(ledger_last(w, LEDGER_CLIENT_STATE, &record));
    assert_int_equal(w->client_row, record.client_row);
    assert_int_equal(1, record.suspended);
    m = totp_msg(w, "r1", 1, code, 0);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_CLIENT_SUSPENDED);
    assert_int_equal(1, ledger_count(w, LEDGER_CLIENT_STATE));
}

/* Fault 24: a sealed seed of another epoch does not open. */
static void fault_24_authenticators_that_do_not_count(void **state)
{
    struct world *w = *state;
    struct answer got;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);
    struct row_authenticator x = cache_get(w->a, ROW_AUTHENTICATOR, w->totp_row)->authenticator;

    m.authenticator_id = text(w->device_id);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_UNCONFIRMED);
    m.authenticator_id = (struct ky_span){0};
    x.epoch = 2;
    assert_true(ky_ok(authority_row_put(w->a, ROW_AUTHENTICATOR, w->totp_row, &x, 0, NULL)));
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_UNCONFIRMED);
    x = cache_get(w->a, ROW_AUTHENTICATOR, w->totp_row)->authenticator;
    x.epoch = 1;
    x.state = ROW_AUTH_UNCONFIRMED;
    assert_true(ky_ok(authority_row_put(w->a, ROW_AUTHENTICATOR, w->totp_row, &x, 0, NULL)));
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_UNCONFIRMED);
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(signs_and_records),
        T(fault_18_same_step_is_spent),
        T(fault_18_two_at_once_spend_once),
        T(fault_19_older_step_after_newer),
        T(fault_20_older_then_newer),
        T(fault_18_spent_through_another_credential),
        T(fault_18_spent_after_clean_restart),
        T(unclean_restart_refuses_the_window),
        T(rollback_to_the_anchor_refuses_the_window),
        T(test_compliance_39_clock_backwards_reopens_nothing),
        T(fault_21_bad_codes_are_charged_and_lock),
        T(parallel_guesses_see_five),
        T(fault_14_unknown_and_foreign_look_alike),
        T(guessed_id_of_a_real_row),
        T(fault_13_strangers_and_wrong_doors),
        T(fault_09_zero_hash_and_sha1_are_recorded),
        T(fault_08_digest_sizes_and_schemes),
        T(inactive_credentials),
        T(spraying_suspends_the_client),
        T(fault_24_authenticators_that_do_not_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
