/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WaitTransaction, CancelTransaction, and the end of what nobody decided in time. Waiters are answered by looking again at what
 * they wait for, after a turn that moved a transaction and at each tick. Inside a turn only.
 */
#include "transaction.h"

#include <stdlib.h>
#include <string.h>

#define WAIT_MAX_MS 60000u

/* The caller's own transaction, or NULL after the refusal is written. */
static struct tx *own_transaction(struct authority *a, const struct request *r,
                                  const struct ky_schema *schema, struct ky_span payload,
                                  struct door_tx_ref *m)
{
    struct asked q = {.a = a, .r = r};
    struct tx *t = NULL;
    enum ky_code code = KY_INVALID;

    if (ky_ok(ky_msg_decode(schema, payload, m)))
        code = judge_client(a, m->spki, &q.why, &q.client);
    if (code == KY_OK && !ky_span_is_name(m->relying_party, KY_NAME_MAX))
        code = KY_INVALID;
    if (code == KY_OK && r->type == DOOR_TX_CANCEL) {
        q.m.relying_party = m->relying_party;
        q.m.transaction_id = m->transaction_id;
        q.m.expires_s = m->expires_s;
        q.m.request_signature = m->request_signature;
        code = judge_signature(&q);
    }
    if (code == KY_OK)
        code = judge_tenancy(a, r, q.client, m->relying_party, (struct ky_span){0});
    if (code == KY_OK) {
        t = state_tx_by_id(a->state, m->transaction_id);
        if (t == NULL || t->client_row != q.client->row ||
            !ky_span_eq(name_span(&t->relying_party), m->relying_party))
            code = KY_NOT_FOUND;
    }
    if (code == KY_OK)
        return t;
    q.why.reason = (uint16_t)code;
    authority_deny(a, r, &q.why);
    return NULL;
}

void tx_wait_request(struct authority *a, const struct request *r, struct ky_span payload)
{
    struct door_tx_ref m;
    struct reply_to to = request_reply_to(r);
    struct tx *t = own_transaction(a, r, &door_tx_wait_schema, payload, &m);

    if (t == NULL)
        return;
    if (t->state != TX_PENDING || m.timeout_ms == 0) {
        transaction_reply(a, &to, t, (struct ky_span){0}, false);
        return;
    }
    struct waiter *w = a->waiter_count < WAITERS_MAX ? malloc(sizeof(*w)) : NULL;
    if (w == NULL) {
        authority_refuse(a, &to, KY_BUSY, 1000);
        return;
    }
    *w = (struct waiter){.to = to};
    memcpy(w->tx_key, t->key, sizeof(w->tx_key));
    w->until_us =
        a->mono_us + 1000u * (uint64_t)(m.timeout_ms > WAIT_MAX_MS ? WAIT_MAX_MS : m.timeout_ms);
    if (to.deadline_us != 0 && to.deadline_us < w->until_us)
        w->until_us = to.deadline_us;
    w->next = a->waiters;
    a->waiters = w;
    a->waiter_count++;
}

void tx_cancel_request(struct authority *a, const struct request *r, struct ky_span payload)
{
    struct door_tx_ref m;
    struct reply_to to = request_reply_to(r);
    struct tx *t = own_transaction(a, r, &door_tx_cancel_schema, payload, &m);
    struct ledger_denied why = {.reason = KY_TX_ENDED, .transaction_id = m.transaction_id};

    if (t == NULL)
        return;
    if (!tx_is_open(t) && t->state != TX_CANCELLED) {
        why.client_row = t->client_row;
        authority_deny(a, r, &why);
        return;
    }
    if (tx_is_open(t))
        transaction_end(a, t, TX_CANCELLED, KY_CANCELLED, NULL, false);
    transaction_reply(a, &to, t, (struct ky_span){0}, false);
}

static void drop_waiter(struct authority *a, struct waiter **at)
{
    struct waiter *w = *at;

    *at = w->next;
    a->waiter_count--;
    free(w);
}

void transaction_forget_waiter(struct authority *a, const struct reply_to *who)
{
    for (struct waiter **at = &a->waiters; *at != NULL; at = &(*at)->next) {
        const struct reply_to *to = &(*at)->to;
        if (to->tag == who->tag && to->front_index == who->front_index && to->door == who->door &&
            to->front_generation == who->front_generation) {
            drop_waiter(a, at);
            return;
        }
    }
}

void tx_waiters_refuse(struct authority *a, enum ky_code code)
{
    while (a->waiters != NULL) {
        authority_refuse(a, &a->waiters->to, code, 0);
        drop_waiter(a, &a->waiters);
    }
}

static void answer_waiters(struct authority *a)
{
    struct waiter **at = &a->waiters;

    while (*at != NULL) {
        struct waiter *w = *at;
        const struct tx *t = state_tx(a->state, w->tx_key);
        if (t != NULL && t->state == TX_PENDING && a->mono_us < w->until_us) {
            at = &w->next;
            continue;
        }
        if (t != NULL)
            transaction_reply(a, &w->to, t, (struct ky_span){0}, false);
        else
            authority_refuse(a, &w->to, KY_TX_ENDED, 0);
        drop_waiter(a, at);
    }
}

void tx_tick(struct authority *a)
{
    uint32_t budget = TURN_REQUESTS;

    for (struct tx *t = state_tx_due(a->state); t != NULL && budget > 0 && !a->failed;
         t = state_tx_due(a->state)) {
        transaction_end(a, t, TX_EXPIRED, KY_TX_ENDED, NULL, false);
        budget--;
    }
    if (a->tx_moved || a->tick_us == a->mono_us)
        answer_waiters(a);
    a->tx_moved = false;
}
