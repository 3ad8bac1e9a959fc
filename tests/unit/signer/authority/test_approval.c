/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Approvals, inline and through the approvers' door: what binds them, what ends them. Faults 25-27;
 * P19.
 */
#include "world.h"

#include <stdio.h>
#include <string.h>

#include "kyso/wire.h"

static void inline_signs_once(void **state)
{
    struct world *w = *state;
    struct answer tx, got;
    struct approval p;
    struct ledger_intent intent;
    uint8_t evidence[32];

    world_begin(w, "b1", &tx);
    approve_inline(w, "s1", &tx, &p);
    ask(w, FRONT_SIGNER, &door_sign_schema, &p.m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
    assert_true(ky_span_eq(tx.tx.transaction_id, got.sign.transaction_id));
    assert_true(ledger_last(w, LEDGER_INTENT, &intent));
    ky_sha256(p.m.proof_signature, evidence);
    assert_memory_equal(evidence, intent.evidence_sha256, 32);
    assert_int_equal(1, intent.ends_transaction);
    approve_inline(w, "s2", &tx, &p); /* fault 26: a fresh signature over a spent transaction */
    ask(w, FRONT_SIGNER, &door_sign_schema, &p.m, &got);
    assert_denied(w, &got, KY_TX_ENDED, KY_TX_ENDED);
    assert_int_equal(1, ledger_count(w, LEDGER_INTENT));
}

static void fault_25_every_binding_matters(void **state)
{
    struct world *w = *state;
    struct answer tx, got;
    struct approval p;

    world_begin(w, "b1", &tx);
    approve_inline(w, "s1", &tx, &p);
    struct door_tx m = p.m;
    m.hashes = sign_msg(w, "s1", 2).hashes;
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_OTHER_TX);
    m = p.m;
    m.display_text = text("something else");
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_OTHER_TX);
    m = p.m;
    m.credential_id = text(w->credential2);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_OTHER_TX);
    m = p.m;
    m.transaction_id = text("t00000000000000000000000000000000");
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_OTHER_TX);
    m = p.m;
    m.authenticator_id = text(w->other_device); /* another person's */
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_UNCONFIRMED);
    m = p.m;
    m.authenticator_id = text(w->totp);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_UNCONFIRMED);
    m = p.m;
    memcpy(m.spki, spki_other, 32);
    m.relying_party = text("other");
    m.credential_id = text(w->foreign);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_OTHER_TX);
    p.signature[p.m.proof_signature.len - 1] ^= 1;
    ask(w, FRONT_SIGNER, &door_sign_schema, &p.m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_WRONG);
    assert_int_equal(0, authority_subject_account(w->a, w->subject_row)
                            .lockout.total); /* nobody is locked by that */
    p.signature[p.m.proof_signature.len - 1] ^= 1;
    ask(w, FRONT_SIGNER, &door_sign_schema, &p.m, &got); /* and the right one still works */
    assert_int_equal(DOOR_R_SIGN, got.type);
}

static void fault_25_approval_of_another_transaction(void **state)
{
    struct world *w = *state;
    struct answer first, second, got;
    struct approval p;
    struct door_tx_ref cancel = {.relying_party = text(WORLD_RP)};

    world_begin(w, "b1", &first);
    approve_inline(w, "s1", &first, &p);
    memcpy(cancel.spki, spki_bank, 32);
    cancel.transaction_id = first.tx.transaction_id;
    ask(w, FRONT_SIGNER, &door_tx_cancel_schema, &cancel, &got);
    world_begin(w, "b2", &second); /* same words, another nonce */
    p.m.transaction_id = second.tx.transaction_id;
    ask(w, FRONT_SIGNER, &door_sign_schema, &p.m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_WRONG);
}

static void wrong_matching_code_ends_it(void **state)
{
    struct world *w = *state;
    struct answer tx, got;
    struct approval p;
    struct ledger_ended ended;

    world_begin(w, "b1", &tx);
    approve_inline(w, "s1", &tx, &p);
    const char *other = ky_span_eq(tx.tx.matching_code, text("55")) ? "56" : "55";
    p.m.matching_code = text(other);
    device_sign(w->device, tx.tx.tx_digest, KY_DECISION_APPROVE, text(other), p.signature,
                &p.m.proof_signature.len);
    ask(w, FRONT_SIGNER, &door_sign_schema, &p.m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_WRONG_CODE);
    assert_true(ledger_last(w, LEDGER_ENDED, &ended));
    assert_int_equal(TX_REJECTED, ended.state);
    assert_int_equal(KY_PROOF_WRONG_CODE, ended.reason);
    approve_inline(w, "s2", &tx, &p);
    ask(w, FRONT_SIGNER, &door_sign_schema, &p.m, &got);
    assert_denied(w, &got, KY_TX_ENDED, KY_TX_ENDED);
}

/* A restart over an erased side table: the code is gone, and with it the transaction. */
static void erased_code_matches_nothing(void **state)
{
    struct world *w = *state;
    struct answer tx, got;
    struct approval p;

    world_begin(w, "b1", &tx);
    state_tx_by_id(w->a->state, tx.tx.transaction_id)->code_len = 0;
    tx.tx.matching_code = (struct ky_span){0};
    approve_inline(w, "s1", &tx, &p);
    ask(w, FRONT_SIGNER, &door_sign_schema, &p.m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_WRONG_CODE);
    assert_int_equal(0, ledger_count(w, LEDGER_INTENT));
}

/* Fault 27. */
static void fault_27_ttl_to_the_millisecond(void **state)
{
    struct world *w = *state;
    struct answer tx, got;
    struct approval p;

    world_begin(w, "b1", &tx);
    approve_inline(w, "s1", &tx, &p);
    world_advance(w, 120000000u - 1000);
    ask(w, FRONT_SIGNER, &door_sign_schema, &p.m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
    world_begin(w, "b2", &tx);
    approve_inline(w, "s2", &tx, &p);
    world_advance(w, 120000000u + 1000);
    ask(w, FRONT_SIGNER, &door_sign_schema, &p.m, &got);
    assert_denied(w, &got, KY_TX_ENDED, KY_TX_ENDED);
}

/* --- the approvers' door --------------------------------------------------------------------- */

struct decision {
    struct door_decide m;
    uint8_t signature[80];
};

static void decide_msg(struct world *w, const struct answer *tx, uint8_t decision,
                       struct decision *out)
{
    struct ky_span code =
        decision == KY_DECISION_APPROVE ? tx->tx.matching_code : (struct ky_span){0};

    out->m = (struct door_decide){.authenticator_id = text(w->device_id),
                                  .transaction_id = tx->tx.transaction_id,
                                  .decision = decision,
                                  .matching_code = code,
                                  .signature = {.data = out->signature}};
    memcpy(out->m.spki, spki_approver, 32);
    device_sign(w->device, tx->tx.tx_digest, decision, code, out->signature, &out->m.signature.len);
}

static struct door_approval_ref approval_ref(const char *device, struct ky_span id)
{
    struct door_approval_ref m = {.authenticator_id = text(device), .transaction_id = id};

    memcpy(m.spki, spki_approver, 32);
    return m;
}

static void device_sees_and_approves(void **state)
{
    struct world *w = *state;
    struct answer tx, shown, again, got;
    uint8_t digest[32];

    world_begin(w, "b1", &tx);
    struct door_approval_ref r = approval_ref(w->device_id, tx.tx.transaction_id);
    ask(w, FRONT_APPROVER, &door_approval_get_schema, &r, &shown);
    assert_int_equal(DOOR_R_APPROVAL, shown.type);
    struct ky_tx_fields f = {
        .server_id = shown.approval.server_id,
        .client = shown.approval.client,
        .relying_party = shown.approval.relying_party,
        .transaction_id = shown.approval.transaction_id,
        .subject_id = shown.approval.subject_id,
        .credential_id = shown.approval.credential_id,
        .credential_epoch = shown.approval.credential_epoch,
        .algorithm = {.scheme = shown.approval.scheme, .hash = shown.approval.hash},
        .hashes = shown.approval.hashes,
        .display_text = shown.approval.display_text,
        .not_after_s = shown.approval.not_after_s,
    };
    memcpy(f.key_spki_sha256, shown.approval.key_spki_sha256, 32);
    memcpy(f.nonce, shown.approval.nonce, sizeof(f.nonce));
    ky_tx_digest(&f, digest);
    assert_memory_equal(digest, tx.tx.tx_digest, 32); /* what is shown is what is signed */
    struct ky_reader choices = ky_reader(shown.approval.choices);
    int right = 0;
    for (int i = 0; i < 3; i++)
        right += ky_span_eq(ky_get_bytes(&choices, 8), tx.tx.matching_code);
    assert_int_equal(1, right);
    assert_true(ky_reader_done(&choices));
    ask(w, FRONT_APPROVER, &door_approval_get_schema, &r, &again);
    assert_memory_equal(shown.bytes, again.bytes, shown.cut); /* the same three each time */
    ask(w, FRONT_APPROVER, &door_approval_list_schema, &r, &got);
    assert_in_range(got.list.items.len, 100, 2000);

    struct decision d;
    decide_msg(w, &tx, KY_DECISION_APPROVE, &d);
    struct door_tx_ref wait = {.relying_party = text(WORLD_RP),
                               .transaction_id = tx.tx.transaction_id,
                               .timeout_ms = 60000};
    memcpy(wait.spki, spki_bank, 32);
    uint64_t tag = front_send(w, FRONT_SIGNER, &door_tx_wait_schema, &wait);
    ask(w, FRONT_APPROVER, &door_approval_decide_schema, &d.m, &got);
    assert_int_equal(TX_AUTHORIZED, got.decision.state);
    assert_true(front_answer(w, FRONT_SIGNER, tag, &got));
    assert_int_equal(KY_SAD_LEN, got.tx.sad.len);
    struct door_tx m = sign_msg(w, "s1", 1);
    m.proof = KY_PROOF_SAD;
    m.proof_secret = got.tx.sad;
    struct answer done;
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &done);
    assert_int_equal(DOOR_R_SIGN, done.type);
    ask(w, FRONT_APPROVER, &door_approval_decide_schema, &d.m, &got);
    assert_denied(w, &got, KY_TX_ENDED, KY_TX_ENDED);
}

static void other_devices_see_nothing(void **state)
{
    struct world *w = *state;
    struct answer tx, got;
    struct decision d;

    world_begin(w, "b1", &tx);
    struct door_approval_ref r = approval_ref(w->other_device, tx.tx.transaction_id);
    ask(w, FRONT_APPROVER, &door_approval_get_schema, &r, &got);
    assert_denied(w, &got, KY_NOT_FOUND, KY_NOT_FOUND);
    ask(w, FRONT_APPROVER, &door_approval_list_schema, &r, &got);
    assert_int_equal(0, got.list.items.len);
    decide_msg(w, &tx, KY_DECISION_APPROVE, &d);
    d.m.authenticator_id = text(w->other_device);
    ask(w, FRONT_APPROVER, &door_approval_decide_schema, &d.m, &got);
    assert_denied(w, &got, KY_NOT_FOUND, KY_NOT_FOUND);
    r = approval_ref("a99-0123456789abcdef", tx.tx.transaction_id);
    ask(w, FRONT_APPROVER, &door_approval_get_schema, &r, &got);
    assert_denied(w, &got, KY_NOT_FOUND, KY_NOT_FOUND);
    memcpy(r.spki, spki_bank, 32); /* a relying party's certificate on this door */
    ask(w, FRONT_APPROVER, &door_approval_get_schema, &r, &got);
    assert_denied(w, &got, KY_DENIED, KY_NO_RIGHT);
}

static void rejections(void **state)
{
    struct world *w = *state;
    struct answer tx, got;
    struct decision d;
    struct ledger_ended ended;

    world_begin(w, "b1", &tx);
    decide_msg(w, &tx, KY_DECISION_REJECT, &d);
    d.m.signature.len = 0;
    ask(w, FRONT_APPROVER, &door_approval_decide_schema, &d.m, &got);
    assert_int_equal(TX_REJECTED, got.decision.state);
    assert_true(ledger_last(w, LEDGER_ENDED, &ended));
    assert_int_equal(0, ended.not_me);
    world_begin(w, "b2", &tx);
    decide_msg(w, &tx, KY_DECISION_NOT_ME, &d);
    d.m.signature.len = 0; /* unsigned: cannot lock anybody */
    ask(w, FRONT_APPROVER, &door_approval_decide_schema, &d.m, &got);
    assert_int_equal(DOOR_REFUSED, got.type);
    assert_false(authority_subject_account(w->a, w->subject_row).not_me);
    decide_msg(w, &tx, KY_DECISION_APPROVE, &d); /* a signature over another decision */
    d.m.decision = KY_DECISION_NOT_ME;
    ask(w, FRONT_APPROVER, &door_approval_decide_schema, &d.m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_WRONG);
}

static void not_me_locks_until_unlocked(void **state)
{
    struct world *w = *state;
    struct answer tx, got;
    struct decision d;
    char code[9];
    struct ledger_unlocked unlocked = {.subject_row = w->subject_row};

    world_begin(w, "b1", &tx);
    decide_msg(w, &tx, KY_DECISION_NOT_ME, &d);
    ask(w, FRONT_APPROVER, &door_approval_decide_schema, &d.m, &got);
    assert_int_equal(TX_REJECTED, got.decision.state);
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_LOCKED);
    m = sign_msg(w, "b2", 1);
    ask(w, FRONT_SIGNER, &door_tx_begin_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_LOCKED);
    world_advance(w, 200000ull * 1000000);
    m = totp_msg(w, "r1", 1, code, 0);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_LOCKED);
    assert_true(ky_ok(
        authority_append(w->a, &ledger_unlocked_schema, &unlocked, (struct ky_span){0}, NULL)));
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
}

static void approvals_work_while_codes_are_locked(void **state)
{
    struct world *w = *state;
    struct answer tx, got;
    struct approval p;
    struct door_tx m = wrong_msg(w, "r1");

    for (int i = 0; i < 5; i++)
        ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    world_begin(w, "b1", &tx);
    approve_inline(w, "s1", &tx, &p);
    ask(w, FRONT_SIGNER, &door_sign_schema, &p.m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
    assert_int_equal(
        1, authority_subject_account(w->a, w->subject_row).lockout.locks); /* and unlock nothing */
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(inline_signs_once),
        T(fault_25_every_binding_matters),
        T(fault_25_approval_of_another_transaction),
        T(wrong_matching_code_ends_it),
        T(erased_code_matches_nothing),
        T(fault_27_ttl_to_the_millisecond),
        T(device_sees_and_approves),
        T(other_devices_see_nothing),
        T(rejections),
        T(not_me_locks_until_unlocked),
        T(approvals_work_while_codes_are_locked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
