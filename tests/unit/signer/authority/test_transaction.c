/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transactions and SADs: begin, authorize by code, spend in parts, wait, cancel, expire, and what a
 * SAD of another is worth.
 */
#include "world.h"

#include <string.h>

static struct door_tx begin_msg(struct world *w, const char *id, uint8_t seed)
{
    return sign_msg(w, id, seed);
}

static void begin(struct world *w, const char *id, struct answer *got)
{
    struct door_tx m = begin_msg(w, id, 1);

    ask(w, FRONT_SIGNER, &door_tx_begin_schema, &m, got);
    assert_int_equal(DOOR_R_TX, got->type);
    assert_int_equal(TX_PENDING, got->tx.state);
}

/* Authorize of a new transaction over three hashes, by code. */
static void authorize3(struct world *w, struct answer *got, uint8_t hashes[96])
{
    for (size_t i = 0; i < 96; i++)
        hashes[i] = (uint8_t)(i / 32 + 10);
    world_authorize(w, "auth", KY_SPAN(hashes, 96), got);
}

static void begin_names_what_is_digested(void **state)
{
    struct world *w = *state;
    struct answer got;
    struct ledger_tx record;
    struct ky_tx_fields f = {.server_id = text("ca.example"),
                             .client = text(WORLD_RP),
                             .relying_party = text(WORLD_RP),
                             .subject_id = text("079000000001"),
                             .credential_id = text(w->credential),
                             .credential_epoch = 1,
                             .algorithm = {.scheme = KY_ECDSA, .hash = KY_SHA256},
                             .display_text = text("Hop dong 42")};
    uint8_t digest[32];

    begin(w, "b1", &got);
    f.transaction_id = got.tx.transaction_id;
    f.hashes = begin_msg(w, "b1", 1).hashes;
    f.not_after_s = got.tx.not_after_s;
    memcpy(f.nonce, got.tx.nonce, sizeof(f.nonce));
    ky_sha256(text("a public key"), f.key_spki_sha256);
    ky_tx_digest(&f, digest);
    assert_memory_equal(digest, got.tx.tx_digest, 32);
    assert_int_equal(2, got.tx.matching_code.len);
    assert_int_equal(0, got.tx.sad.len);
    assert_int_equal(WORLD_START_S + 120, got.tx.not_after_s);
    assert_true(ledger_last(w, LEDGER_BEGIN, &record));
    assert_int_equal(32, record.matching_code.len); /* its salted hash only */
    assert_false(ky_span_all_zero(KY_SPAN_OF(record.display_sha256)));
}

static void fault_28_begin_repeats_and_limits(void **state)
{
    struct world *w = *state;
    struct answer first, got;
    struct door_tx m = begin_msg(w, "b1", 1);

    begin(w, "b1", &first);
    ask(w, FRONT_SIGNER, &door_tx_begin_schema, &m, &got);
    assert_memory_equal(first.bytes, got.bytes, first.cut);
    assert_int_equal(1, ledger_count(w, LEDGER_BEGIN));
    m = begin_msg(w, "b2", 2); /* a second pending one */
    ask(w, FRONT_SIGNER, &door_tx_begin_schema, &m, &got);
    assert_int_equal(KY_BUSY, got.code);
    for (int i = 0; i < 2; i++) { /* two more in the five minutes; each expires */
        world_advance(w, 121000000);
        world_run(w);
        m = begin_msg(w, i == 0 ? "b3" : "b4", 3);
        m.ttl_s = 1;
        ask(w, FRONT_SIGNER, &door_tx_begin_schema, &m, &got);
        assert_int_equal(DOOR_R_TX, got.type);
    }
    world_advance(w, 2000000);
    m = begin_msg(w, "b5", 5); /* fault 28: the fourth */
    ask(w, FRONT_SIGNER, &door_tx_begin_schema, &m, &got);
    assert_int_equal(KY_BUSY, got.code);
    assert_in_range(got.retry_after_ms, 1, 300000);
    world_advance(w, 300000000u);
    ask(w, FRONT_SIGNER, &door_tx_begin_schema, &m, &got);
    assert_int_equal(DOOR_R_TX, got.type);
}

static void authorize_repeats_the_same_sad(void **state)
{
    struct world *w = *state;
    struct answer first, got;
    uint8_t hashes[96];
    struct ledger_authorized record;
    uint8_t hash[32];

    authorize3(w, &first, hashes);
    assert_true(ledger_last(w, LEDGER_AUTHORIZED, &record));
    ky_sha256(first.tx.sad, hash);
    assert_memory_equal(hash, record.sad_sha256, 32);
    struct door_tx m = sign_msg(w, "auth", 1);
    m.proof = KY_PROOF_TOTP;
    m.hashes = KY_SPAN(hashes, 96);
    ask(w, FRONT_SIGNER, &door_tx_authorize_schema, &m, &got);
    assert_memory_equal(first.bytes, got.bytes, first.cut);
    assert_int_equal(1, ledger_count(w, LEDGER_AUTHORIZED));
    m.hashes.len = 64;
    ask(w, FRONT_SIGNER, &door_tx_authorize_schema, &m, &got);
    assert_denied(w, &got, KY_CONFLICT, KY_CONFLICT);
}

static void sad_spends_each_hash_once(void **state)
{
    struct world *w = *state;
    struct answer auth, got;
    uint8_t hashes[96];
    uint8_t other[32] = {77};
    struct ledger_intent intent;

    authorize3(w, &auth, hashes);
    struct door_tx m = sad_msg(w, "s1", auth.tx.sad, KY_SPAN(hashes + 32, 32));
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
    m = sad_msg(w, "s2", auth.tx.sad, KY_SPAN(hashes, 64)); /* one of them is used */
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_HASH_SPENT);
    m = sad_msg(w, "s3", auth.tx.sad, KY_SPAN_OF(other));
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_HASH_NOT_IN_SAD);
    uint8_t two[64];
    memcpy(two, hashes, 32);
    memcpy(two + 32, hashes + 64, 32);
    m = sad_msg(w, "s4", auth.tx.sad, KY_SPAN_OF(two));
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
    assert_int_equal(2, got.sign.count);
    assert_true(ledger_last(w, LEDGER_INTENT, &intent));
    assert_int_equal(1, intent.ends_transaction);
    m = sad_msg(w, "s5", auth.tx.sad, KY_SPAN(hashes, 32)); /* past its count */
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_TX_ENDED, KY_TX_ENDED);
    /* It answers for ten minutes more, and does not hold its hashes for that. */
    const struct tx *t = state_tx_by_id(w->a->state, auth.tx.transaction_id);
    assert_int_equal(TX_SPENT, t->state);
    assert_int_equal(0, t->hashes.len);
    world_stop(w); /* a snapshot of it, and back */
    world_boot(w);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_TX_ENDED, KY_TX_ENDED);
}

static void fault_25_sad_is_bound(void **state)
{
    struct world *w = *state;
    struct answer auth, got;
    uint8_t hashes[96];
    uint8_t wrong[32];

    authorize3(w, &auth, hashes);
    memcpy(wrong, auth.tx.sad.data, 32);
    wrong[31] ^= 1;
    struct door_tx m = sad_msg(w, "s1", KY_SPAN_OF(wrong), KY_SPAN(hashes, 32));
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_OTHER_TX);
    m = sad_msg(w, "s2", auth.tx.sad, KY_SPAN(hashes, 32));
    m.credential_id = text(w->credential2);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_OTHER_TX);
    m = sad_msg(w, "s3", auth.tx.sad, KY_SPAN(hashes, 32));
    memcpy(m.spki, spki_other, 32);
    m.relying_party = text("other");
    m.credential_id = text(w->foreign);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_OTHER_TX);
    m = sad_msg(w, "s4", KY_SPAN(auth.tx.sad.data, 16), KY_SPAN(hashes, 32));
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_MALFORMED);
    assert_int_equal(0, ledger_count(w, LEDGER_INTENT));
}

static void sad_expires_to_the_second(void **state)
{
    struct world *w = *state;
    struct answer auth, got;
    uint8_t hashes[96];

    authorize3(w, &auth, hashes);
    assert_int_equal(WORLD_START_S + 300, auth.tx.not_after_s);
    world_advance(w, 300u * 1000000u - 1000);
    struct door_tx m = sad_msg(w, "s1", auth.tx.sad, KY_SPAN(hashes, 32));
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
    world_advance(w, 2000);
    m = sad_msg(w, "s2", auth.tx.sad, KY_SPAN(hashes + 32, 32));
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_TX_ENDED, KY_TX_ENDED);
}

static void fault_24_sad_dies_with_the_credentials_epoch(void **state)
{
    struct world *w = *state;
    struct answer auth, got;
    uint8_t hashes[96];

    authorize3(w, &auth, hashes);
    struct row_credential c = cache_get(w->a, ROW_CREDENTIAL, w->credential_row)->credential;
    c.epoch++;
    assert_true(ky_ok(authority_row_put(w->a, ROW_CREDENTIAL, w->credential_row, &c, 0, NULL)));
    struct door_tx m = sad_msg(w, "s1", auth.tx.sad, KY_SPAN(hashes, 32));
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_TX_ENDED, KY_TX_ENDED);
}

static void sads_survive_clean_starts_only(void **state)
{
    struct world *w = *state;
    struct answer auth, got;
    uint8_t hashes[96];

    authorize3(w, &auth, hashes);
    world_stop(w);
    world_boot(w);
    struct door_tx m = sad_msg(w, "s1", auth.tx.sad, KY_SPAN(hashes, 32));
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
    world_crash(w);
    world_boot(w);
    m = sad_msg(w, "s2", auth.tx.sad, KY_SPAN(hashes + 32, 32));
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_TX_ENDED, KY_TX_ENDED);
}

static struct door_tx_ref ref(struct ky_span id, uint32_t timeout_ms)
{
    struct door_tx_ref m = {
        .relying_party = text(WORLD_RP), .transaction_id = id, .timeout_ms = timeout_ms};

    memcpy(m.spki, spki_bank, 32);
    return m;
}

static void wait_wakes_and_times_out(void **state)
{
    struct world *w = *state;
    struct answer tx, got;

    begin(w, "b1", &tx);
    struct door_tx_ref m = ref(tx.tx.transaction_id, 5000);
    uint64_t tag = front_send(w, FRONT_SIGNER, &door_tx_wait_schema, &m);
    world_run(w);
    assert_false(front_answer(w, FRONT_SIGNER, tag, &got));
    world_advance(w, 5100000);
    world_run(w);
    assert_true(front_answer(w, FRONT_SIGNER, tag, &got));
    assert_int_equal(TX_PENDING, got.tx.state);
    m.timeout_ms = 60000;
    tag = front_send(w, FRONT_SIGNER, &door_tx_wait_schema, &m);
    world_run(w);
    struct door_tx_ref cancel = ref(tx.tx.transaction_id, 0);
    front_send(w, FRONT_SIGNER, &door_tx_cancel_schema, &cancel);
    world_run(w);
    assert_true(front_answer(w, FRONT_SIGNER, tag, &got));
    assert_int_equal(TX_CANCELLED, got.tx.state);
    assert_int_equal(0, w->a->waiter_count);
    m.timeout_ms = 0;
    ask(w, FRONT_SIGNER, &door_tx_wait_schema, &m, &got);
    assert_int_equal(TX_CANCELLED, got.tx.state);
    memcpy(m.spki, spki_other, 32); /* another's transaction is an absent one */
    m.relying_party = text("other");
    ask(w, FRONT_SIGNER, &door_tx_wait_schema, &m, &got);
    assert_denied(w, &got, KY_NOT_FOUND, KY_NOT_FOUND);
}

static void pending_expires_by_a_record(void **state)
{
    struct world *w = *state;
    struct answer tx, got;
    struct ledger_ended record;

    begin(w, "b1", &tx);
    struct door_tx_ref m = ref(tx.tx.transaction_id, 60000);
    world_advance(w, 119000000);
    uint64_t tag = front_send(w, FRONT_SIGNER, &door_tx_wait_schema, &m);
    world_run(w);
    world_advance(w, 2000000);
    world_run(w);
    assert_true(ledger_last(w, LEDGER_ENDED, &record));
    assert_int_equal(TX_EXPIRED, record.state);
    assert_true(front_answer(w, FRONT_SIGNER, tag, &got));
    assert_int_equal(TX_EXPIRED, got.tx.state);
    char code[9];
    struct door_tx a = totp_msg(w, "a1", 1, code, 0);
    a.transaction_id = tx.tx.transaction_id;
    ask(w, FRONT_SIGNER, &door_tx_authorize_schema, &a, &got);
    assert_denied(w, &got, KY_TX_ENDED, KY_TX_ENDED);
    world_advance(w, 700000000);
    world_run(w);
    assert_int_equal(0, w->a->state->tx_by_id.count); /* and is forgotten */
}

static void pending_authorized_by_code(void **state)
{
    struct world *w = *state;
    struct answer tx, got;
    char code[9];
    struct ledger_authorized record;

    begin(w, "b1", &tx);
    struct door_tx a = totp_msg(w, "a1", 1, code, 0);
    a.transaction_id = tx.tx.transaction_id;
    ask(w, FRONT_SIGNER, &door_tx_authorize_schema, &a, &got);
    assert_int_equal(TX_AUTHORIZED, got.tx.state);
    assert_true(ledger_last(w, LEDGER_AUTHORIZED, &record));
    assert_int_equal(KY_PROOF_TOTP, record.proof);
    assert_int_equal(WORLD_START_S / 30, record.step);
    struct door_tx_ref cancel = ref(tx.tx.transaction_id, 0);
    ask(w, FRONT_SIGNER, &door_tx_cancel_schema, &cancel, &got);
    assert_int_equal(TX_CANCELLED, got.tx.state);
    struct door_tx one = totp_msg(w, "r1", 2, code, 0); /* its step stays spent */
    ask(w, FRONT_SIGNER, &door_sign_schema, &one, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_REPLAYED);
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(begin_names_what_is_digested),
        T(fault_28_begin_repeats_and_limits),
        T(authorize_repeats_the_same_sad),
        T(sad_spends_each_hash_once),
        T(fault_25_sad_is_bound),
        T(sad_expires_to_the_second),
        T(fault_24_sad_dies_with_the_credentials_epoch),
        T(sads_survive_clean_starts_only),
        T(wait_wakes_and_times_out),
        T(pending_expires_by_a_record),
        T(pending_authorized_by_code),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
