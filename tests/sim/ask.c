/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What relying parties and people ask: new requests with right, wrong, old and spent
 * proofs; requests sent again, with the same words or others; waits, cancels, decisions.
 */
#include "sim.h"

#include <stdio.h>
#include <string.h>

#include "kyso/wire.h"

#define REPEAT_WITHIN_S 36000u /* far inside replay_window_s */

const char *const party_names[PARTIES] = {WORLD_RP, "other"};

static const uint8_t *party_spki(uint32_t party)
{
    return party == 0 ? spki_bank : spki_other;
}

struct question *ask_new(struct sim *s, int front, const struct ky_schema *schema, const void *msg,
                         uint64_t deadline_us)
{
    if (s->question_count == s->cap)
        sim_fail(s, "simulation", "too many questions");
    struct question *q = &s->questions[s->question_count++];
    *q = (struct question){.front = (uint8_t)front, .kind = (uint8_t)schema->type, .open = true};
    q->tag = front_send_deadline(s->w, front, schema, msg, deadline_us);
    return q;
}

/* --- proofs ---------------------------------------------------------------------------------- */

static void write_code(struct sim *s, struct person *p, char out[9])
{
    uint64_t wall_s = s->w->wall_us / 1000000u;
    uint64_t now_s = sim_chance(s, 70) && s->oracle.now_s > wall_s ? s->oracle.now_s : wall_s;
    uint64_t step = now_s / 30;
    uint32_t roll = sim_pick(s, 100);

    if (roll < 8)
        step += sim_pick(s, 5) - 2;
    else if (roll < 14 && p->last_code[0] != '\0') {
        memcpy(out, p->last_code, 9);
        return;
    }
    assert_true(ky_ok(policy_totp_code(0, 6, KY_SPAN_OF(p->seed), step, out)));
    if (roll >= 95)
        out[roll % 6] = roll == 99 ? 'x' : out[roll % 6] == '9' ? '0' : (char)(out[roll % 6] + 1);
    else
        memcpy(p->last_code, out, 9);
}

static void sign_approval(struct sim *s, struct deal *d, uint8_t decision, char code[4],
                          uint8_t out[80], size_t *out_len)
{
    bool wrong = sim_chance(s, 6);
    uint8_t digest[32];

    memcpy(code, d->code, 4);
    if (wrong && code[0] != '\0')
        code[0] = (char)('1' + (code[0] - '1' + 1) % 9);
    memcpy(digest, d->digest, 32);
    if (sim_chance(s, 5)) {
        digest[0] ^= 1;
        wrong = true;
    }
    device_sign(s->w->device, digest, decision,
                decision == KY_DECISION_APPROVE ? text(code) : (struct ky_span){0}, out, out_len);
    d->approved = d->approved || (!wrong && decision == KY_DECISION_APPROVE && code[0] != '\0');
}

/* --- requests with an id --------------------------------------------------------------------- */

static const struct ky_schema *schema_of(uint8_t kind)
{
    return kind == DOOR_SIGN       ? &door_sign_schema
           : kind == DOOR_TX_BEGIN ? &door_tx_begin_schema
                                   : &door_tx_authorize_schema;
}

static void send_order(struct sim *s, struct order *o, bool fresh_code)
{
    struct person *p = &s->persons[o->person];
    struct deal *d = o->deal == 0 ? NULL : &s->deals[o->deal - 1];
    uint8_t signature[80];
    char matching[4] = "";
    size_t n = 0;
    struct door_tx m = {.request_id = text(o->id),
                        .relying_party = text(party_names[o->client]),
                        .credential_id = text(p->credentials[o->credential].id),
                        .scheme = KY_ECDSA,
                        .hash = KY_SHA256,
                        .hashes = KY_SPAN(o->hashes[0], (size_t)o->count * 32),
                        .display_text = text("Hop dong"),
                        .proof = o->proof};

    memcpy(m.spki, party_spki(o->client), 32);
    if (d != NULL && o->proof != KY_PROOF_SAD)
        m.transaction_id = text(d->id);
    if (o->proof == KY_PROOF_TOTP) {
        if ((fresh_code || o->code_count == 0) && o->code_count < CODES_KEPT)
            write_code(s, p, o->codes[o->code_count++]);
        m.proof_secret = text(o->codes[o->code_count - 1]);
    } else if (o->proof == KY_PROOF_SAD) {
        m.proof_secret = KY_SPAN_OF(o->sad);
    } else if (o->proof == KY_PROOF_APPROVAL && d != NULL) {
        sign_approval(s, d, KY_DECISION_APPROVE, matching, signature, &n);
        m.authenticator_id = text(p->device);
        m.matching_code = text(matching);
        m.proof_signature = KY_SPAN(signature, n);
    }
    struct question *q = ask_new(s, FRONT_SIGNER, schema_of(o->kind), &m, o->deadline_us);
    q->order = (uint32_t)(o - s->orders) + 1;
    sim_trace(s, "ask %s kind %u proof %u party %u person %u hashes %u%s", o->id, o->kind, o->proof,
              o->client, o->person, o->count, o->deadline_us != 0 ? " deadline" : "");
}

static struct order *order_new(struct sim *s, uint8_t kind, uint8_t proof)
{
    if (s->order_count == s->cap)
        sim_fail(s, "simulation", "too many orders");
    struct order *o = &s->orders[s->order_count++];

    *o = (struct order){
        .family = s->order_count - 1, .kind = kind, .proof = proof, .at_s = s->oracle.now_s};
    snprintf(o->id, sizeof(o->id), "r%u", s->order_count);
    o->client = o->credential = (uint8_t)sim_pick(s, PARTIES);
    o->person = (uint8_t)sim_pick(s, PERSONS);
    if (sim_chance(s, o->person == SHARED ? 50 : 3))
        o->credential = (uint8_t)(1 - o->client);
    if (sim_chance(s, 25))
        o->deadline_us = s->w->mono_us + 1000u * (1 + sim_pick(s, sim_chance(s, 50) ? 60 : 3000));
    return o;
}

static void fill_hashes(struct sim *s, struct order *o, uint32_t count)
{
    o->count = count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t words[3] = {(uint32_t)s->seed, ++s->serial, i};
        ky_sha256(KY_SPAN((const uint8_t *)words, sizeof(words)), o->hashes[i]);
    }
}

static void ask_totp(struct sim *s)
{
    struct order *o = order_new(s, DOOR_SIGN, KY_PROOF_TOTP);

    fill_hashes(s, o, sim_chance(s, 15) ? HASHES : 1 + sim_pick(s, 4));
    send_order(s, o, true);
}

static void ask_begin(struct sim *s)
{
    struct order *o = order_new(s, DOOR_TX_BEGIN, KY_PROOF_NONE);

    fill_hashes(s, o, 1 + sim_pick(s, 4));
    send_order(s, o, false);
}

static void ask_authorize(struct sim *s)
{
    struct order *o = order_new(s, DOOR_TX_AUTHORIZE, KY_PROOF_TOTP);

    fill_hashes(s, o, 1 + sim_pick(s, 8));
    send_order(s, o, true);
}

/*
 * One of the latest transactions, rather an open one; the order that begun it tells who and what.
 * NULL = none yet.
 */
static struct deal *some_deal(struct sim *s)
{
    uint32_t of = s->deal_count < 8 ? s->deal_count : 8;
    struct deal *d = NULL;

    for (int tries = 0; of > 0 && tries < 3; tries++) {
        d = &s->deals[s->deal_count - 1 - sim_pick(s, of)];
        if (!oracle_tx(s, text(d->id))->ended)
            break;
    }
    return d;
}

static struct order *order_on(struct sim *s, struct deal *d, uint8_t kind, uint8_t proof)
{
    struct order *o = order_new(s, kind, proof);
    const struct order *of = &s->orders[d->begun_by];

    o->deal = (uint32_t)(d - s->deals) + 1;
    o->person = of->person;
    o->credential = of->credential;
    o->client = sim_chance(s, 96) ? of->client : (uint8_t)(1 - of->client);
    return o;
}

static void ask_on_deal(struct sim *s)
{
    struct deal *d = some_deal(s);

    if (d == NULL) {
        ask_begin(s);
        return;
    }
    const struct order *of = &s->orders[d->begun_by];
    uint32_t roll = sim_pick(s, 10);
    if (d->has_sad && roll < 8) {
        struct order *o = order_on(s, d, DOOR_SIGN, KY_PROOF_SAD);
        o->count = 1 + sim_pick(s, of->count);
        uint32_t from = sim_pick(s, of->count);
        for (uint32_t i = 0; i < o->count; i++)
            memcpy(o->hashes[i], of->hashes[(from + i) % of->count], 32);
        if (sim_chance(s, 5))
            o->hashes[0][0] ^= 1;
        memcpy(o->sad, d->sad, 32);
        o->sad[0] ^= sim_chance(s, 4);
        send_order(s, o, false);
    } else if (roll < 5) {
        struct order *o = order_on(s, d, DOOR_SIGN, KY_PROOF_APPROVAL);
        o->count = of->count;
        memcpy(o->hashes, of->hashes, sizeof(o->hashes));
        if (sim_chance(s, 4))
            o->hashes[0][0] ^= 1;
        send_order(s, o, false);
    } else {
        send_order(s,
                   order_on(s, d, DOOR_TX_AUTHORIZE,
                            sim_chance(s, 50) ? KY_PROOF_TOTP : KY_PROOF_APPROVAL),
                   true);
    }
}

static void ask_again(struct sim *s)
{
    uint32_t of = s->order_count < 24 ? s->order_count : 24;

    if (of == 0)
        return;
    struct order *o = &s->orders[s->order_count - 1 - sim_pick(s, of)];
    if (o->at_s + REPEAT_WITHIN_S < s->oracle.now_s || s->order_count == s->cap)
        return;
    if (o->deadline_us != 0 && o->deadline_us < s->w->mono_us)
        return;              /* the deadline is the order's, for the oracle's sake */
    if (sim_chance(s, 25)) { /* the same id, other words */
        struct order *other = &s->orders[s->order_count++];
        *other = *o;
        other->denied = other->denied_seen = 0;
        other->code_count = 0;
        other->answered = false;
        if (other->deal == 0)
            fill_hashes(s, other, other->count);
        o = other;
    }
    send_order(s, o, sim_chance(s, 50));
}

/* --- the rest -------------------------------------------------------------------------------- */

static void ask_about(struct sim *s)
{
    static uint32_t const timeouts_ms[] = {0, 50, 1000};
    struct deal *d = some_deal(s);

    if (d == NULL)
        return;
    const struct order *of = &s->orders[d->begun_by];
    struct door_tx_ref m = {.relying_party = text(party_names[of->client]),
                            .transaction_id = text(d->id),
                            .timeout_ms = timeouts_ms[sim_pick(s, 3)]};
    memcpy(m.spki, party_spki(of->client), 32);
    bool cancel = sim_chance(s, 25);
    sim_trace(s, "%s %s", cancel ? "cancel" : "wait for", d->id);
    (void)ask_new(s, FRONT_SIGNER, cancel ? &door_tx_cancel_schema : &door_tx_wait_schema, &m, 0);
}

static void decide(struct sim *s)
{
    struct deal *d = some_deal(s);
    uint8_t signature[80];
    char code[4] = "";
    size_t n = 0;

    if (d == NULL)
        return;
    uint32_t roll = sim_pick(s, 20);
    struct door_decide m = {.authenticator_id =
                                text(s->persons[s->orders[d->begun_by].person].device),
                            .transaction_id = text(d->id),
                            .decision = roll < 15   ? KY_DECISION_APPROVE
                                        : roll < 19 ? KY_DECISION_REJECT
                                                    : KY_DECISION_NOT_ME};
    memcpy(m.spki, spki_approver, 32);
    sign_approval(s, d, m.decision, code, signature, &n);
    m.signature = KY_SPAN(signature, n);
    if (m.decision == KY_DECISION_APPROVE)
        m.matching_code = text(code);
    sim_trace(s, "the device decides %u on %s", m.decision, d->id);
    (void)ask_new(s, FRONT_APPROVER, &door_approval_decide_schema, &m, 0);
}

/* The caller goes away: an answer may still be on its way. */
static void hang_up(struct sim *s)
{
    static const struct door_cancel m = {0};
    uint32_t of = s->question_count < 8 ? s->question_count : 8;

    if (of == 0)
        return;
    struct question *q = &s->questions[s->question_count - 1 - sim_pick(s, of)];
    if (!q->open || q->front != FRONT_SIGNER)
        return;
    q->may_stay = true;
    sim_trace(s, "the caller of %s hangs up", q->order != 0 ? s->orders[q->order - 1].id : "-");
    assert_true(
        ky_ok(ky_channel_send(&s->w->fronts[FRONT_SIGNER], &door_cancel_schema, &m, q->tag, 0)));
}

void ask_something(struct sim *s)
{
    static const struct {
        uint32_t weight;
        void (*fn)(struct sim *s);
    } kinds[] = {{26, ask_totp},  {8, ask_begin}, {14, ask_authorize}, {26, ask_on_deal},
                 {12, ask_again}, {5, ask_about}, {6, decide},         {3, hang_up}};
    uint32_t roll = sim_pick(s, 100);

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (roll < kinds[i].weight) {
            kinds[i].fn(s);
            return;
        }
        roll -= kinds[i].weight;
    }
}
