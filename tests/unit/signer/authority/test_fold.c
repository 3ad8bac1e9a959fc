/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event sourcing: what was there live is what a replay rebuilds, from the first record and from any
 * snapshot, after random work.
 */
#include "world.h"

#include <string.h>

#include "kyso/wire.h"

static uint32_t random_state;

static uint32_t draw(uint32_t n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % n;
}

static void digest(const struct state *s, uint8_t out[32])
{
    struct ky_buf b = KY_BUF_INIT(64u << 20);

    state_encode(s, &b);
    assert_false(b.failed);
    ky_sha256(ky_buf_span(&b), out);
    ky_buf_free(&b);
}

static struct ky_status fold(void *context, struct ky_span leaf, struct ky_span private_data)
{
    struct ledger_leaf l;
    struct state *s = context;

    assert_true(ky_ok(ledger_leaf_parse(leaf, &l)));
    state_collect(s, l.time_us / 1000000u);
    return state_replay_leaf(s, leaf, private_data);
}

/* From `s` (a new state, or a decoded one) with everything after `from`. */
static void expect_same(struct world *w, struct state *s, uint64_t from)
{
    uint8_t live[32], folded[32];

    assert_true(ky_ok(store_ledger_read(w->a->store, from, 0, fold, s)));
    state_collect(s, w->a->wall_us / 1000000u);
    digest(w->a->state, live);
    digest(s, folded);
    assert_memory_equal(live, folded, 32);
}

/*
 * What the doors of this world do not write: operations, unlocks, suspensions, a distrusted start.
 */
static void rare_record(struct world *w)
{
    const struct ky_span none = {0};
    struct ledger_operation operation = {.name = text("get-status"),
                                         .expires_s = authority_now_s(w->a) + draw(60),
                                         .nonce = {(uint8_t)draw(256), (uint8_t)draw(256)}};
    struct ledger_unlocked unlocked = {.subject_row = w->subject_row};
    struct ledger_client_state lifted = {.client_row = w->client_row};
    struct ledger_anchored anchored = {.refuse_until_step_time_s = authority_now_s(w->a)};
    const struct ky_schema *const schemas[] = {&ledger_operation_schema, &ledger_unlocked_schema,
                                               &ledger_client_state_schema,
                                               &ledger_anchored_schema};
    const void *const messages[] = {&operation, &unlocked, &lifted, &anchored};
    uint32_t which = draw(8) < 5 ? 0 : 1 + draw(3);

    assert_true(ky_ok(authority_append(w->a, schemas[which], messages[which], none, NULL)));
    world_run(w);
}

static void one_step(struct world *w)
{
    char ids[2][8] = {{'a', (char)('0' + draw(10)), (char)('0' + draw(8))},
                      {'s', (char)('0' + draw(10))}};
    char code[9];
    const char *id = ids[0];
    struct door_tx m = totp_msg(w, id, (uint8_t)draw(4), code, (int64_t)draw(5) / 2 - 1);
    struct answer got;
    static uint8_t last_id[TX_ID_LEN];
    static size_t last_len;

    switch (draw(7)) {
    case 0:
    case 1:
        ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
        break;
    case 2:
        m.proof = KY_PROOF_NONE;
        m.ttl_s = 1 + draw(40);
        ask(w, FRONT_SIGNER, &door_tx_begin_schema, &m, &got);
        if (got.type == DOOR_R_TX) {
            last_len = got.tx.transaction_id.len;
            memcpy(last_id, got.tx.transaction_id.data, last_len);
        }
        break;
    case 3:
        m.transaction_id = draw(2) ? KY_SPAN(last_id, last_len) : (struct ky_span){0};
        ask(w, FRONT_SIGNER, &door_tx_authorize_schema, &m, &got);
        if (got.type == DOOR_R_TX && got.tx.sad.len == KY_SAD_LEN && draw(2)) {
            struct door_tx s = m;
            struct answer done;
            s.request_id = text(ids[1]);
            s.transaction_id = (struct ky_span){0};
            s.proof = KY_PROOF_SAD;
            s.proof_secret = got.tx.sad;
            ask(w, FRONT_SIGNER, &door_sign_schema, &s, &done);
        }
        break;
    case 4:
        w->vaults[0].hold = true; /* leave one in flight, then lose its vault */
        front_send(w, FRONT_SIGNER, &door_sign_schema, &m);
        world_run(w);
        vault_die(w, 0);
        w->vaults[0].hold = false;
        vault_join(w, 0);
        world_run(w);
        break;
    case 5:
        rare_record(w);
        break;
    default: {
        struct door_tx_ref c = {.relying_party = text(WORLD_RP),
                                .transaction_id = KY_SPAN(last_id, last_len)};
        memcpy(c.spki, spki_bank, 32);
        ask(w, FRONT_SIGNER, &door_tx_cancel_schema, &c, &got);
        break;
    }
    }
    world_advance(w, draw(20) * 1000000u);
}

static void random_work_folds_alike(void **state)
{
    struct world *w = *state;
    struct ky_buf snapshot = KY_BUF_INIT(64u << 20);
    uint64_t at = 0;

    random_state = 20260101;
    w->a->state->limits.replay_window_s = 600;
    w->a->state->limits.lockout.first_lock_s = 60;
    w->a->state->limits.lockout.total_tries = 1000;
    const struct state_limits with = w->a->state->limits;
    for (int i = 0; i < 400; i++) {
        one_step(w);
        if (i == 200) {
            state_encode(w->a->state, &snapshot);
            at = store_ledger_size(w->a->store);
        }
    }
    world_run(w);
    assert_true(ledger_count(w, LEDGER_RECEIPT) > 10);
    assert_true(ledger_count(w, LEDGER_DENIED) > 10);
    assert_true(ledger_count(w, LEDGER_ENDED) > 3);
    assert_true(ledger_count(w, LEDGER_AUTHORIZED) > 3);
    assert_true(ledger_count(w, LEDGER_OPERATION) > 10);
    assert_true(ledger_count(w, LEDGER_ANCHORED) > 0);

    struct state *whole = NULL;
    assert_true(ky_ok(state_new(&with, &whole)));
    expect_same(w, whole, 0);
    struct state *tail = NULL;
    assert_true(ky_ok(state_new(&with, &tail)));
    assert_true(ky_ok(state_decode(tail, ky_buf_span(&snapshot))));
    expect_same(w, tail, at);
    state_free(&whole);
    state_free(&tail);
    ky_buf_free(&snapshot);
}

static void damaged_snapshots_are_refused(void **state)
{
    struct world *w = *state;
    struct ky_buf b = KY_BUF_INIT(64u << 20);
    struct state *s = NULL;

    state_encode(w->a->state, &b);
    for (size_t cut = 0; cut < b.len; cut += 7) {
        assert_true(ky_ok(state_new(&w->a->state->limits, &s)));
        assert_false(ky_ok(state_decode(s, KY_SPAN(b.data, cut))));
        state_free(&s);
    }
    ky_buf_free(&b);
}

/* I4: an intent that a snapshot had not would never get its receipt. */
static void nothing_in_flight_is_put_into_a_snapshot(void **state)
{
    struct world *w = *state;
    struct ky_buf b = KY_BUF_INIT(64u << 20);
    struct ledger_leaf leaf = {.index = 1, .time_us = w->wall_us, .type = LEDGER_INTENT};
    struct ledger_intent csr = {.kind = 2};
    struct state *s = NULL;

    assert_true(ky_ok(state_new(&w->a->state->limits, &s)));
    assert_true(ky_ok(state_apply(s, &leaf, &csr, (struct ky_span){0})));
    state_encode(s, &b);
    assert_true(b.failed);
    state_free(&s);
    ky_buf_free(&b);
}

/* I3, I4 as the fold itself keeps them, whatever a ledger may say. */
static void impossible_records_are_refused(void **state)
{
    struct world *w = *state;
    struct state *s = NULL;
    struct ledger_leaf leaf = {.index = 7, .time_us = w->wall_us, .type = LEDGER_RECEIPT};
    struct ledger_receipt receipt = {.intent = 5, .outcome = LEDGER_SIGNED};
    struct ledger_ended ended = {.transaction_id = text("t00000000000000000000000000000000"),
                                 .state = TX_EXPIRED};
    struct ledger_intent intent = {.kind = 1,
                                   .proof = KY_PROOF_TOTP,
                                   .authenticator_row = 1,
                                   .step = 9,
                                   .subject_row = 1,
                                   .transaction_id = text("t00000000000000000000000000000001")};
    const struct ky_span none = {0};

    assert_true(ky_ok(state_new(&w->a->state->limits, &s)));
    assert_int_equal(KY_CORRUPT, state_apply(s, &leaf, &receipt, none).code);
    leaf.type = LEDGER_ENDED;
    assert_int_equal(KY_CORRUPT, state_apply(s, &leaf, &ended, none).code);
    leaf.type = LEDGER_INTENT;
    assert_int_equal(KY_OK, state_apply(s, &leaf, &intent, none).code);
    leaf.index = 8;
    assert_int_equal(KY_CORRUPT,
                     state_apply(s, &leaf, &intent, none).code); /* one step, two intents */
    leaf.type = LEDGER_RECEIPT;
    receipt.intent = 7;
    assert_int_equal(KY_OK, state_apply(s, &leaf, &receipt, none).code);
    assert_int_equal(KY_CORRUPT, state_apply(s, &leaf, &receipt, none).code);
    state_free(&s);
}

/*
 * Of a nation, most never fail: what a right code leaves behind is its step alone, wherever its row
 * is.
 */
static void a_right_code_leaves_a_step_only(void **state)
{
    static const uint32_t rows[] = {
        1, STATE_STEPS_PAGE - 1, STATE_STEPS_PAGE, 5 * STATE_STEPS_PAGE + 7, 3u << 20, UINT32_MAX};
    struct world *w = *state;
    struct state *s = NULL, *back = NULL;
    struct ky_buf b = KY_BUF_INIT(1u << 20), again = KY_BUF_INIT(1u << 20);
    const uint64_t now_s = w->wall_us / 1000000u;
    const struct ledger_denied wrong = {.charged = AUTHORITY_CHARGE_SUBJECT, .subject_row = 6};

    assert_true(ky_ok(state_new(&w->a->state->limits, &s)));
    assert_true(ky_ok(state_new(&w->a->state->limits, &back)));
    for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(0, state_last_step(s, rows[i]));
        assert_true(ky_ok(state_account_proved(s, KY_PROOF_TOTP, 0, 5, rows[i], 90 + i, now_s)));
        assert_int_equal(KY_CORRUPT,
                         state_account_proved(s, KY_PROOF_TOTP, 0, 5, rows[i], 90 + i, now_s).code);
    }
    assert_null(state_subject(s, 5));
    assert_int_equal(0, state_last_step(s, 2));
    assert_int_equal(0, state_last_step(s, STATE_STEPS_PAGE + 1));
    assert_true(ky_ok(state_account_denied(s, &wrong, now_s)));
    assert_int_equal(1, state_subject(s, 6)->account.lockout.failures);
    assert_true(ky_ok(state_account_proved(s, KY_PROOF_TOTP, 0, 6, 2, 90, now_s)));
    assert_int_equal(0, state_subject(s, 6)->account.lockout.failures);

    state_encode(s, &b);
    assert_true(ky_ok(state_decode(back, ky_buf_span(&b))));
    for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(90 + i, state_last_step(back, rows[i]));
    assert_int_equal(7, back->steps.count);
    state_encode(back, &again);
    assert_true(ky_span_eq(ky_buf_span(&b), ky_buf_span(&again)));
    state_free(&s);
    state_free(&back);
    ky_buf_free(&b);
    ky_buf_free(&again);
}

/* Many at once, some expired, in whatever slots: each is known exactly as long as it lives. */
static void nonces_live_until_they_expire(void **state)
{
    struct world *w = *state;
    struct state *s = NULL;
    uint8_t nonce[16] = {0};

    assert_true(ky_ok(state_new(&w->a->state->limits, &s)));
    for (uint32_t i = 0; i < 3000; i++) {
        memcpy(nonce, &i, sizeof(i));
        assert_true(state_nonce_put(s, nonce, WORLD_START_S + i % 7));
    }
    for (uint64_t now = WORLD_START_S; now < WORLD_START_S + 9; now++) {
        state_collect(s, now);
        for (uint32_t i = 0; i < 3000; i++) {
            memcpy(nonce, &i, sizeof(i));
            assert_int_equal(WORLD_START_S + i % 7 >= now, state_nonce_spent(s, nonce, now));
        }
    }
    assert_int_equal(0, s->nonces.count);
    state_free(&s);
}

struct begun { /* the last LEDGER_BEGIN and its private data */
    struct state *s;
    bool change;
    int seen;
};

static struct ky_status fold_begun(void *context, struct ky_span leaf, struct ky_span private_data)
{
    struct begun *b = context;
    struct ledger_leaf l;
    uint8_t copy[256];

    assert_true(ky_ok(ledger_leaf_parse(leaf, &l)));
    if (l.type != LEDGER_BEGIN)
        return KY_STATUS(KY_OK);
    assert_in_range(private_data.len, 40, sizeof(copy));
    memcpy(copy, private_data.data, private_data.len);
    copy[private_data.len - 1] ^= b->change; /* the matching code's last digit */
    b->seen++;
    return state_replay_leaf(b->s, leaf, KY_SPAN(copy, private_data.len));
}

/*
 * No leaf covers the side table: a display text or matching code put there by hand is told by the
 * record's hash.
 */
static void changed_private_text_is_refused(void **state)
{
    struct world *w = *state;
    struct door_tx m = sign_msg(w, "b1", 1);
    struct answer got;
    struct begun b = {.s = NULL};

    ask(w, FRONT_SIGNER, &door_tx_begin_schema, &m, &got);
    assert_int_equal(DOOR_R_TX, got.type);
    for (int change = 0; change < 2; change++) {
        b.change = change;
        assert_true(ky_ok(state_new(&w->a->state->limits, &b.s)));
        assert_int_equal(change ? KY_CORRUPT : KY_OK,
                         store_ledger_read(w->a->store, 1, 0, fold_begun, &b).code);
        state_free(&b.s);
    }
    assert_int_equal(2, b.seen);
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(nothing_in_flight_is_put_into_a_snapshot),
        T(random_work_folds_alike),         T(damaged_snapshots_are_refused),
        T(impossible_records_are_refused),  T(nonces_live_until_they_expire),
        T(changed_private_text_is_refused), T(a_right_code_leaves_a_step_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
