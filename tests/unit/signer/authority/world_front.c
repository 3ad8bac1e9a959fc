/* SPDX-License-Identifier: Apache-2.0 */
/* The fronts, requests as a relying party would make them, and the ledger as the test reads it. */
#include "world.h"

#include <stdio.h>
#include <string.h>

struct ky_span text(const char *s)
{
    return ky_span_text(s);
}

uint64_t front_send_deadline(struct world *w, int front, const struct ky_schema *schema,
                             const void *msg, uint64_t deadline_us)
{
    uint64_t tag = ++w->next_tag;

    assert_true(ky_ok(ky_channel_send(&w->fronts[front], schema, msg, tag, deadline_us)));
    return tag;
}

uint64_t front_send(struct world *w, int front, const struct ky_schema *schema, const void *msg)
{
    return front_send_deadline(w, front, schema, msg, 0);
}

static const struct {
    const struct ky_schema *schema;
    size_t offset;
} replies[] = {
    {&door_r_sign_schema, offsetof(struct answer, sign)},
    {&door_r_tx_schema, offsetof(struct answer, tx)},
    {&door_r_approval_schema, offsetof(struct answer, approval)},
    {&door_r_decision_schema, offsetof(struct answer, decision)},
    {&door_r_approval_list_schema, offsetof(struct answer, list)},
    {&door_r_cred_list_schema, offsetof(struct answer, list)},
    {&door_r_cred_schema, offsetof(struct answer, cred)},
    {&door_r_info_schema, offsetof(struct answer, info)},
    {&door_r_operate_schema, offsetof(struct answer, operate)},
};

void front_decode(const struct ky_record *rec, struct answer *out)
{
    memset(out, 0, offsetof(struct answer, bytes));
    assert_in_range(rec->payload.len, 0, sizeof(out->bytes));
    out->type = rec->type;
    out->cut = rec->payload.len;
    memcpy(out->bytes, rec->payload.data, rec->payload.len);
    struct ky_span payload = KY_SPAN(out->bytes, out->cut);

    if (out->type == DOOR_REFUSED) {
        struct door_refused m;
        assert_true(ky_ok(ky_msg_decode(&door_refused_schema, payload, &m)));
        out->code = (enum ky_code)m.code;
        out->retry_after_ms = m.retry_after_ms;
        return;
    }
    for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++)
        if (replies[i].schema->type == out->type) {
            assert_true(ky_ok(
                ky_msg_decode(replies[i].schema, payload, (uint8_t *)out + replies[i].offset)));
            return;
        }
    fail_msg("an answer of type %u", out->type);
}

bool front_next(struct world *w, int front, struct ky_record *out)
{
    struct ky_status status = KY_STATUS(KY_OK);

    while (ky_channel_next(&w->fronts[front], out, &status))
        if (out->type != DOOR_HEARTBEAT)
            return true;
    return false;
}

bool front_answer(struct world *w, int front, uint64_t tag, struct answer *out)
{
    struct ky_record rec;

    out->type = 0;
    (void)ky_channel_read(&w->fronts[front]).code;
    while (front_next(w, front, &rec))
        if (rec.tag == tag)
            front_decode(&rec, out);
    return out->type != 0;
}

void ask(struct world *w, int front, const struct ky_schema *schema, const void *msg,
         struct answer *out)
{
    uint64_t tag = front_send(w, front, schema, msg);

    world_run(w);
    if (!front_answer(w, front, tag, out))
        fail_msg("no answer to %s", schema->name);
}

/* --- requests -------------------------------------------------------------------------------- */

struct door_tx sign_msg(struct world *w, const char *request_id, uint8_t seed)
{
    static uint8_t hashes[256][32];
    struct door_tx m = {
        .request_id = text(request_id),
        .relying_party = text(WORLD_RP),
        .credential_id = text(w->credential),
        .scheme = KY_ECDSA,
        .hash = KY_SHA256,
        .display_text = text("Hop dong 42"),
    };

    memcpy(m.spki, spki_bank, sizeof(m.spki));
    memset(hashes[seed], seed, 32);
    hashes[seed][31] = 1;
    m.hashes = KY_SPAN(hashes[seed], 32);
    return m;
}

void code_at(const struct world *w, int64_t steps_from_now, char out[9])
{
    uint64_t step = (uint64_t)((int64_t)(w->wall_us / 30000000u) + steps_from_now);

    assert_true(ky_ok(policy_totp_code(0, 6, KY_SPAN_OF(world_seed), step, out)));
}

struct door_tx totp_msg(struct world *w, const char *request_id, uint8_t seed, char code[9],
                        int64_t steps_from_now)
{
    struct door_tx m = sign_msg(w, request_id, seed);

    code_at(w, steps_from_now, code);
    m.proof = KY_PROOF_TOTP;
    m.proof_secret = text(code);
    return m;
}

struct door_tx wrong_msg(struct world *w, const char *request_id)
{
    struct door_tx m = sign_msg(w, request_id, 1);

    m.proof = KY_PROOF_TOTP;
    m.proof_secret = text("000000");
    return m;
}

struct door_tx sad_msg(struct world *w, const char *request_id, struct ky_span sad,
                       struct ky_span hashes)
{
    struct door_tx m = sign_msg(w, request_id, 1);

    m.proof = KY_PROOF_SAD;
    m.proof_secret = sad;
    m.hashes = hashes;
    return m;
}

void device_sign(EVP_PKEY *key, const uint8_t tx_digest[32], uint8_t decision, struct ky_span code,
                 uint8_t *out, size_t *out_len)
{
    uint8_t challenge[32];
    EVP_MD_CTX *c = EVP_MD_CTX_new();

    *out_len = 80;
    ky_approval_challenge(tx_digest, decision, code, challenge);
    assert_int_equal(1, EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, key));
    assert_int_equal(1, EVP_DigestSign(c, out, out_len, challenge, sizeof(challenge)));
    EVP_MD_CTX_free(c);
}

void world_begin(struct world *w, const char *id, struct answer *got)
{
    struct door_tx m = sign_msg(w, id, 1);

    ask(w, FRONT_SIGNER, &door_tx_begin_schema, &m, got);
    assert_int_equal(DOOR_R_TX, got->type);
}

void world_authorize(struct world *w, const char *id, struct ky_span hashes, struct answer *got)
{
    char code[9];
    struct door_tx m = totp_msg(w, id, 1, code, 0);

    m.hashes = hashes;
    ask(w, FRONT_SIGNER, &door_tx_authorize_schema, &m, got);
    assert_int_equal(DOOR_R_TX, got->type);
    assert_int_equal(TX_AUTHORIZED, got->tx.state);
    assert_int_equal(KY_SAD_LEN, got->tx.sad.len);
}

void approve_inline(struct world *w, const char *id, const struct answer *tx, struct approval *out)
{
    out->m = sign_msg(w, id, 1);
    out->m.proof = KY_PROOF_APPROVAL;
    out->m.transaction_id = tx->tx.transaction_id;
    out->m.authenticator_id = text(w->device_id);
    out->m.matching_code = tx->tx.matching_code;
    out->m.proof_signature.data = out->signature;
    device_sign(w->device, tx->tx.tx_digest, KY_DECISION_APPROVE, tx->tx.matching_code,
                out->signature, &out->m.proof_signature.len);
}

/* --- the ledger ------------------------------------------------------------------------------ */

struct search {
    uint16_t type;
    uint64_t count;
    uint8_t last[8192];
    size_t last_len;
};

static struct ky_status look(void *context, struct ky_span leaf, struct ky_span private_data)
{
    struct search *s = context;
    struct ledger_leaf l;
    struct ky_status status = ledger_leaf_parse(leaf, &l);

    (void)private_data;
    if (!ky_ok(status) || l.type != s->type)
        return status;
    s->count++;
    assert_in_range(l.body.len, 0, sizeof(s->last));
    memcpy(s->last, l.body.data, l.body.len);
    s->last_len = l.body.len;
    return status;
}

uint64_t ledger_count(struct world *w, uint16_t type)
{
    struct search s = {.type = type};

    assert_true(ky_ok(store_ledger_read(w->a->store, 0, 0, look, &s)));
    return s.count;
}

bool ledger_last(struct world *w, uint16_t type, void *msg)
{
    static struct search s;

    s = (struct search){.type = type};
    assert_true(ky_ok(store_ledger_read(w->a->store, 0, 0, look, &s)));
    return s.count > 0 &&
           ky_ok(ky_msg_decode(ledger_schema(type), KY_SPAN(s.last, s.last_len), msg));
}

struct denied_walk {
    denied_fn fn;
    void *context;
};

static struct ky_status walk_denied(void *context, struct ky_span leaf, struct ky_span private_data)
{
    const struct denied_walk *walk = context;
    struct ledger_leaf l;
    struct ledger_denied m;

    (void)private_data;
    assert_true(ky_ok(ledger_leaf_parse(leaf, &l)));
    if (l.type != LEDGER_DENIED)
        return KY_STATUS(KY_OK);
    assert_true(ky_ok(ky_msg_decode(&ledger_denied_schema, l.body, &m)));
    walk->fn(walk->context, l.time_us, &m);
    return KY_STATUS(KY_OK);
}

void ledger_each_denied(struct world *w, denied_fn fn, void *context)
{
    struct denied_walk walk = {fn, context};

    assert_true(ky_ok(store_ledger_read(w->a->store, 0, 0, walk_denied, &walk)));
}

void assert_not_released(struct world *w, uint64_t tag, enum ky_code wire, enum ky_code precise)
{
    struct answer got;
    struct ledger_receipt receipt;

    assert_true(front_answer(w, FRONT_SIGNER, tag, &got));
    assert_int_equal(wire, got.code);
    assert_true(ledger_last(w, LEDGER_RECEIPT, &receipt));
    assert_int_equal(LEDGER_FAILED, receipt.outcome);
    assert_int_equal(precise, receipt.code);
    assert_int_equal(0, receipt.signatures.len);
}

void assert_denied(struct world *w, const struct answer *got, enum ky_code wire,
                   enum ky_code precise)
{
    struct ledger_denied m;

    assert_int_equal(DOOR_REFUSED, got->type);
    assert_string_equal(ky_code_info(wire)->name, ky_code_info(got->code)->name);
    assert_true(ledger_last(w, LEDGER_DENIED, &m));
    assert_string_equal(ky_code_info(precise)->name, ky_code_info((enum ky_code)m.reason)->name);
}
