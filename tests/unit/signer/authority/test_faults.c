/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults of proofs that need a whole authority: old devices, another server's words, twins of a
 * signature, revocation in the queue, and P19: whichever bit of a proof or of a request is flipped,
 * it is refused, nothing is spent and nobody learns which bit it was.
 */
#include "world.h"

#include <openssl/ecdsa.h>
#include <string.h>

#include "kyso/wire.h"

/* Fault 24: a device that was removed after it had signed. */
static void fault_24_approval_of_a_device_removed_since(void **state)
{
    struct world *w = *state;
    struct answer tx, got;
    struct approval p;

    world_begin(w, "b1", &tx);
    approve_inline(w, "s1", &tx, &p);
    world_remove(w, w->device_id);
    ask(w, FRONT_SIGNER, &door_sign_schema, &p.m, &got);
    assert_denied(w, &got, KY_DENIED, KY_PROOF_UNCONFIRMED);
    assert_int_equal(0, ledger_count(w, LEDGER_INTENT));
}

/* Fault 25: everything is the same but the server that the person was asked by. */
static void fault_25_approval_for_another_server(void **state)
{
    struct world *w = *state;
    struct answer tx, got;
    struct approval p;
    const struct {
        const char *server;
        bool ours;
    } cases[] = {{"cb.example", false}, {"ca.example.", false}, {"ca.example", true}};

    world_begin(w, "b1", &tx);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ky_tx_fields f = {.server_id = text(cases[i].server),
                                 .client = text(WORLD_RP),
                                 .relying_party = text(WORLD_RP),
                                 .transaction_id = tx.tx.transaction_id,
                                 .subject_id = text("079000000001"),
                                 .credential_id = text(w->credential),
                                 .credential_epoch = 1,
                                 .algorithm = {.scheme = KY_ECDSA, .hash = KY_SHA256},
                                 .hashes = sign_msg(w, "b1", 1).hashes,
                                 .display_text = text("Hop dong 42"),
                                 .not_after_s = tx.tx.not_after_s};
        uint8_t digest[32];

        memcpy(f.nonce, tx.tx.nonce, sizeof(f.nonce));
        ky_sha256(text("a public key"), f.key_spki_sha256);
        ky_tx_digest(&f, digest);
        approve_inline(w, "s1", &tx, &p);
        device_sign(w->device, digest, KY_DECISION_APPROVE, tx.tx.matching_code, p.signature,
                    &p.m.proof_signature.len);
        ask(w, FRONT_SIGNER, &door_sign_schema, &p.m, &got);
        if (!cases[i].ours)
            assert_denied(w, &got, KY_DENIED, KY_PROOF_WRONG);
    }
    assert_int_equal(DOOR_R_SIGN, got.type);
    assert_int_equal(1, ledger_count(w, LEDGER_INTENT));
}

/* The same signature with n - s, as DER; or with r = 0. */
static size_t other_form(struct ky_span der, bool zero_r, uint8_t out[80])
{
    const uint8_t *in = der.data;
    uint8_t *at = out;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &in, (long)der.len);
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    BIGNUM *r = BN_dup(ECDSA_SIG_get0_r(sig)), *s = BN_new();

    assert_non_null(sig);
    assert_int_equal(1, BN_sub(s, EC_GROUP_get0_order(group), ECDSA_SIG_get0_s(sig)));
    if (zero_r)
        BN_zero(r);
    assert_int_equal(1, ECDSA_SIG_set0(sig, r, s));
    int n = i2d_ECDSA_SIG(sig, &at);
    assert_in_range(n, 8, 80);
    ECDSA_SIG_free(sig);
    EC_GROUP_free(group);
    return (size_t)n;
}

/*
 * Fault 26: either s is honest; what was spent is the transaction, so the twin of its approval is
 * worth nothing.
 */
static void fault_26_either_s_once_and_no_other_form(void **state)
{
    struct world *w = *state;
    struct answer tx, got;
    struct approval p;
    uint8_t twin[80];

    for (uint8_t i = 0; i < 2; i++) {
        char ids[3][8] = {"b0", "s0", "t0"};

        for (size_t k = 0; k < 3; k++)
            ids[k][1] = (char)('0' + i);
        world_begin(w, ids[0], &tx);
        approve_inline(w, ids[1], &tx, &p);
        struct ky_span first = p.m.proof_signature;
        p.m.proof_signature = KY_SPAN(twin, other_form(first, true, twin));
        ask(w, FRONT_SIGNER, &door_sign_schema, &p.m, &got);
        assert_int_equal(KY_DENIED, got.code);
        p.signature[first.len] = 0; /* one byte behind the DER */
        p.m.proof_signature = KY_SPAN(p.signature, first.len + 1);
        ask(w, FRONT_SIGNER, &door_sign_schema, &p.m, &got);
        assert_denied(w, &got, KY_DENIED, KY_PROOF_MALFORMED);
        struct ky_span second = KY_SPAN(twin, other_form(first, false, twin));
        p.m.proof_signature = i == 0 ? first : second;
        ask(w, FRONT_SIGNER, &door_sign_schema, &p.m, &got);
        assert_int_equal(DOOR_R_SIGN, got.type);
        p.m.request_id = text(ids[2]);
        p.m.proof_signature = i == 0 ? second : first;
        ask(w, FRONT_SIGNER, &door_sign_schema, &p.m, &got);
        assert_denied(w, &got, KY_TX_ENDED, KY_TX_ENDED);
        assert_int_equal(i + 1, ledger_count(w, LEDGER_INTENT));
    }
}

/* Fault 29, P21: revoked while it waits for a vault. */
static void fault_29_revoked_while_queued(void **state)
{
    struct world *w = *state;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);

    vault_die(w, 0);
    world_run(w);
    uint64_t tag = front_send(w, FRONT_SIGNER, &door_sign_schema, &m);
    world_run(w);
    assert_int_equal(1, ledger_count(w, LEDGER_INTENT));
    world_set_credential(w, CREDENTIAL_SUSPENDED, 0);
    vault_join(w, 0);
    world_run(w);
    assert_not_released(w, tag, KY_INACTIVE, KY_INACTIVE);
}

/* Fault 29, P21: signed, its result in the channel, its receipt not yet written. */
static void fault_29_revoked_after_signing(void **state)
{
    struct world *w = *state;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);
    uint64_t tag = front_send(w, FRONT_SIGNER, &door_sign_schema, &m);

    world_turn(w);
    assert_int_equal(1, w->vaults[0].signed_jobs);
    assert_int_equal(0, ledger_count(w, LEDGER_RECEIPT));
    world_set_credential(w, CREDENTIAL_SUSPENDED, 0);
    world_run(w);
    assert_not_released(w, tag, KY_INACTIVE, KY_INACTIVE);
}

/* --- P19 ------------------------------------------------------------------------------------- */

struct flips {
    struct world *w;
    struct door_tx *m;
    uint8_t denied[512]; /* the answer that every denial must be */
    size_t denied_len;
    uint32_t count;
};

static void refused_alike(struct flips *f)
{
    struct answer got;
    uint64_t tag = ++f->w->next_tag;

    f->count++;
    if (!ky_ok(ky_channel_send(&f->w->fronts[FRONT_SIGNER], &door_sign_schema, f->m, tag, 0)))
        return; /* no longer text: it has no form as a record */
    world_turn(f->w);
    assert_true(front_answer(f->w, FRONT_SIGNER, tag, &got));
    assert_int_equal(DOOR_REFUSED, got.type);
    if (got.code !=
        /* its form alone, or nobody's: told in clear, and before any proof is looked at */
        KY_DENIED) {
        assert_true(got.code == KY_INVALID || got.code == KY_NOT_FOUND ||
                    got.code == KY_UNAUTHENTICATED);
        return;
    }
    if (f->denied_len == 0) {
        assert_in_range(got.cut, 1, sizeof(f->denied));
        memcpy(f->denied, got.bytes, got.cut);
        f->denied_len = got.cut;
    }
    assert_int_equal(f->denied_len, got.cut);
    assert_memory_equal(f->denied, got.bytes, got.cut);
}

static void flip_bytes(struct flips *f, void *field, size_t len)
{
    uint8_t *at = field;

    for (size_t i = 0; i < 8 * len; i++) {
        at[i / 8] = (uint8_t)(at[i / 8] ^ 1u << i % 8);
        refused_alike(f);
        at[i / 8] = (uint8_t)(at[i / 8] ^ 1u << i % 8);
    }
}

static void flip_span(struct flips *f, struct ky_span *field)
{
    const struct ky_span was = *field;
    uint8_t copy[256];

    assert_in_range(was.len, 1, sizeof(copy));
    memcpy(copy, was.data, was.len);
    *field = KY_SPAN(copy, was.len);
    flip_bytes(f, copy, was.len);
    field->len--; /* and one byte less */
    refused_alike(f);
    *field = was;
}

static void flip_request(struct flips *f)
{
    struct door_tx *m = f->m;

    flip_span(f, &m->relying_party);
    flip_span(f, &m->credential_id);
    flip_span(f, &m->hashes);
    flip_bytes(f, m->spki, sizeof(m->spki));
    flip_bytes(f, &m->scheme, 1);
    flip_bytes(f, &m->hash, 1);
    flip_bytes(f, &m->mgf_hash, 1);
    flip_bytes(f, &m->salt_len, 2);
}

static void nothing_was_spent(struct flips *f, uint32_t at_least)
{
    struct answer got;

    assert_in_range(f->count, at_least, UINT32_MAX);
    assert_int_equal(0, ledger_count(f->w, LEDGER_INTENT));
    assert_int_equal(0, f->w->vaults[0].signed_jobs);
    ask(f->w, FRONT_SIGNER, &door_sign_schema, f->m, &got);
    assert_int_equal(DOOR_R_SIGN, got.type);
}

static void p19_every_bit_of_an_approval(void **state)
{
    struct world *w = *state;
    struct answer tx;
    struct approval p;
    struct flips f = {.w = w, .m = &p.m};

    world_endless_tries(w);
    world_begin(w, "b1", &tx);
    approve_inline(w, "s1", &tx, &p);
    flip_request(&f);
    flip_span(&f, &p.m.display_text);
    flip_span(&f, &p.m.transaction_id);
    flip_span(&f, &p.m.authenticator_id);
    flip_span(&f, &p.m.matching_code); /* not what the device signed: it ends nothing */
    flip_span(&f, &p.m.proof_signature);
    nothing_was_spent(&f, 1800);
}

static void p19_every_bit_of_a_code(void **state)
{
    struct world *w = *state;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);
    struct flips f = {.w = w, .m = &m};

    world_endless_tries(w);
    flip_span(&f, &m.proof_secret);
    assert_int_equal(49, f.count);
    nothing_was_spent(&f, 49);
}

static void p19_every_bit_of_a_sad(void **state)
{
    struct world *w = *state;
    struct answer auth;
    struct door_tx m = sign_msg(w, "s1", 1);
    struct flips f = {.w = w, .m = &m};

    world_endless_tries(w);
    world_authorize(w, "a1", m.hashes, &auth);
    m = sad_msg(w, "s1", auth.tx.sad, m.hashes);
    flip_request(&f);
    flip_span(&f, &m.proof_secret);
    nothing_was_spent(&f, 950);
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(fault_24_approval_of_a_device_removed_since),
        T(fault_25_approval_for_another_server),
        T(fault_26_either_s_once_and_no_other_form),
        T(fault_29_revoked_while_queued),
        T(fault_29_revoked_after_signing),
        T(p19_every_bit_of_an_approval),
        T(p19_every_bit_of_a_code),
        T(p19_every_bit_of_a_sad),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
