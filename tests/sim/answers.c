/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What callers see, held against what was committed by then: no outcome before its record (I2), the
 * same answer to the same id, nothing of what was revoked, one answer to each question. And what
 * must be left when all is over: nothing.
 */
#include "sim.h"

#include <string.h>

static struct question *question_of(struct sim *s, uint64_t tag)
{
    for (uint32_t i = s->question_count; i > 0; i--)
        if (s->questions[i - 1].tag == tag)
            return &s->questions[i - 1];
    return NULL;
}

/* Not a judgement: the caller's luck, and not recorded. */
static bool is_passing(enum ky_code code)
{
    return code == KY_BUSY || code == KY_UNAVAILABLE || code == KY_DEADLINE;
}

static struct o_intent *intent_of_family(struct sim *s, uint32_t family)
{
    for (uint32_t i = 0; i < s->oracle.intent_count; i++)
        if (s->orders[s->oracle.intents[i].order].family == family)
            return &s->oracle.intents[i];
    return NULL;
}

static void on_signed(struct sim *s, const struct question *q, const struct answer *got)
{
    struct order *o = &s->orders[q->order - 1];
    const struct o_intent *in = oracle_intent_of(s, o->hashes[0]);
    const struct o_row *c =
        &s->oracle.credentials[s->persons[o->person].credentials[o->credential].row];
    uint8_t hash[32];

    ky_sha256(got->sign.signatures, hash);
    if (in == NULL || s->orders[in->order].family != o->family || in->receipt == 0 ||
        in->outcome != LEDGER_SIGNED)
        sim_fail(s, "I2", "%s has signatures without a committed receipt", o->id);
    if (memcmp(hash, in->answer, 32) != 0 || got->sign.count != o->count)
        sim_fail(s, "replay", "%s has other signatures than its receipt", o->id);
    if (c->off && c->acked_at != 0 && c->acked_at < s->turn)
        sim_fail(s, "P21", "%s is answered with signatures after the revocation was acknowledged",
                 o->id);
    s->figures[DID_REPEAT] += o->answered;
    o->answered = true;
}

static void on_refused(struct sim *s, const struct question *q, const struct answer *got)
{
    if (is_passing(got->code)) {
        s->figures[DID_BUSY] += got->code == KY_BUSY;
        return;
    }
    if (q->order != 0) {
        const struct o_intent *in = intent_of_family(s, s->orders[q->order - 1].family);
        struct order *family = &s->orders[s->orders[q->order - 1].family];
        if (family->denied_seen < family->denied) {
            family->denied_seen++;
            return;
        }
        if (in != NULL && in->receipt != 0 && in->outcome != LEDGER_SIGNED)
            return; /* its receipt says why */
    }
    if (s->oracle.denied_seen == s->oracle.denied)
        sim_fail(s, "P17", "a refusal (%s) was seen before its record",
                 ky_code_info(got->code)->name);
    s->oracle.denied_seen++;
}

static struct deal *deal_of(struct sim *s, struct ky_span id)
{
    for (uint32_t i = 0; i < s->deal_count; i++)
        if (ky_span_eq(id, text(s->deals[i].id)))
            return &s->deals[i];
    if (s->deal_count == s->cap)
        sim_fail(s, "simulation", "too many transactions");
    struct deal *d = &s->deals[s->deal_count++];
    *d = (struct deal){0};
    assert_true(ky_span_to_cstr(id, d->id, sizeof(d->id)));
    return d;
}

static void on_tx(struct sim *s, const struct question *q, const struct answer *got)
{
    const struct door_r_tx *m = &got->tx;
    const struct o_tx *t = oracle_tx(s, m->transaction_id);
    uint8_t hash[32];

    if (t == NULL)
        sim_fail(s, "I2", "a transaction is told before it is committed");
    struct deal *d = deal_of(s, m->transaction_id);
    d->begun_by = t->order;
    memcpy(d->digest, m->tx_digest, 32);
    if (m->matching_code.len > 0)
        assert_true(ky_span_to_cstr(m->matching_code, d->code, sizeof(d->code)));
    if ((m->state == TX_AUTHORIZED || m->state == TX_SPENT) && t->authorized == 0 && !t->ended)
        sim_fail(s, "I2", "%s is said to be authorized before it is", t->id);
    if (m->sad.len > 0) {
        ky_sha256(m->sad, hash);
        if (m->sad.len != 32 || t->authorized == 0 || memcmp(hash, t->sad_sha256, 32) != 0)
            sim_fail(s, "I2", "%s: a SAD that no record names", t->id);
        memcpy(d->sad, m->sad.data, 32);
        d->has_sad = true;
    }
    s->figures[DID_WAIT] += q->kind == DOOR_TX_WAIT;
    if (q->kind == DOOR_TX_CANCEL && m->state == TX_CANCELLED) {
        s->figures[DID_CANCEL]++;
        if (!t->ended)
            sim_fail(s, "I2", "%s is said to be cancelled before it is", t->id);
    }
}

static void on_decision(struct sim *s, const struct answer *got)
{
    const struct o_tx *t = oracle_tx(s, got->decision.transaction_id);

    if (t == NULL || (got->decision.state == TX_AUTHORIZED ? t->authorized == 0 : !t->ended))
        sim_fail(s, "I2", "a decision is told before it is committed");
}

/* From the next turn on nothing of what this revoked may be seen. */
static void on_operated(struct sim *s, const struct question *q)
{
    struct operation *op = &s->operations[q->operation - 1];
    struct oracle *k = &s->oracle;

    if (!op->done)
        sim_fail(s, "I2", "an operation is told before it is committed");
    if ((op->op == OP_SUSPEND) && k->credentials[op->row].off)
        k->credentials[op->row].acked_at = s->turn;
    if (op->op == OP_REMOVE_TOTP || op->op == OP_REMOVE_DEVICE)
        k->authenticators[op->row].acked_at = s->turn;
}

static void take(struct sim *s, const struct ky_record *rec)
{
    struct question *q = question_of(s, rec->tag);
    static struct answer got;

    if (q == NULL || !q->open)
        sim_fail(s, "answers", "a second answer, or one to nobody (type %u)", rec->type);
    q->open = false;
    front_decode(rec, &got);
    sim_trace(s, "answer to %s: %u %s", q->order != 0 ? s->orders[q->order - 1].id : "-", rec->type,
              rec->type == DOOR_REFUSED ? ky_code_info(got.code)->name : "");
    if (rec->type == DOOR_REFUSED)
        on_refused(s, q, &got);
    else if (rec->type == DOOR_R_SIGN && q->kind == DOOR_SIGN)
        on_signed(s, q, &got);
    else if (rec->type == DOOR_R_TX && q->kind != DOOR_SIGN)
        on_tx(s, q, &got);
    else if (rec->type == DOOR_R_DECISION && q->kind == DOOR_APPROVAL_DECIDE)
        on_decision(s, &got);
    else if (rec->type == DOOR_R_OPERATE && q->kind == DOOR_OPERATE)
        on_operated(s, q);
    else
        sim_fail(s, "answers", "type %u is no answer to a question of type %u", rec->type, q->kind);
}

void answers_take(struct sim *s)
{
    struct ky_record rec;

    for (int i = 0; i < FRONT_COUNT; i++) {
        (void)ky_channel_read(&s->w->fronts[i]).code;
        while (front_next(s->w, i, &rec))
            take(s, &rec);
    }
}

/* --- the end --------------------------------------------------------------------------------- */

void answers_check_end(struct sim *s)
{
    const struct authority *a = s->w->a;

    for (uint32_t i = 0; i < s->question_count; i++)
        if (s->questions[i].open && !s->questions[i].may_stay)
            sim_fail(s, "liveness", "a question of type %u is never answered",
                     s->questions[i].kind);
    for (uint32_t i = 0; i < s->oracle.intent_count; i++)
        if (s->oracle.intents[i].receipt == 0)
            sim_fail(s, "I4", "intent %lu has no receipt",
                     (unsigned long)s->oracle.intents[i].index);
    if (a->sign_in_flight != 0 || a->waiter_count != 0 || a->state->flights.count != 0)
        sim_fail(s, "leak", "%u in flight, %u waiters, %zu flights", a->sign_in_flight,
                 a->waiter_count, a->state->flights.count);
    if (a->jobs.queue.count != 0 || a->jobs.by_tag.count != 0 || a->jobs.alone != 0)
        sim_fail(s, "leak", "%u queued, %zu tags, %u alone", a->jobs.queue.count,
                 a->jobs.by_tag.count, a->jobs.alone);
    if (a->jobs.free.count + a->jobs.in_flight != a->jobs.slot_count)
        sim_fail(s, "leak", "%u of %u slots are free", a->jobs.free.count, a->jobs.slot_count);
    for (uint32_t i = 0; i < a->client_count; i++)
        if (a->clients[i] != NULL && a->clients[i]->in_flight != 0)
            sim_fail(s, "leak", "client %u has %u in flight", i + 1, a->clients[i]->in_flight);
}
