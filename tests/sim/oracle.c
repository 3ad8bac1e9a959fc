/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the committed leaves say, judged by rules of its own: proofs against what people really
 * sent, spends, locks, revocations, receipts. It knows the records' form and nothing of the
 * authority's state.
 */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

struct o_intent *oracle_intent_of(struct sim *s, const uint8_t hash[32])
{
    for (uint32_t i = s->oracle.intent_count; i > 0; i--) {
        struct o_intent *in = &s->oracle.intents[i - 1];
        for (uint32_t k = 0; k < in->count; k++)
            if (memcmp(s->orders[in->order].hashes[k], hash, 32) == 0)
                return in;
    }
    return NULL;
}

struct o_tx *oracle_tx(struct sim *s, struct ky_span id)
{
    for (uint32_t i = s->oracle.tx_count; i > 0; i--)
        if (ky_span_eq(id, text(s->oracle.txs[i - 1].id)))
            return &s->oracle.txs[i - 1];
    return NULL;
}

/* The order that a record names: id and client, and the hashes where they tell more. */
struct order *oracle_order(struct sim *s, struct ky_span id, uint32_t client_row,
                           struct ky_span hashes)
{
    for (uint32_t i = s->order_count; i > 0; i--) {
        struct order *o = &s->orders[i - 1];
        if (ky_span_eq(id, text(o->id)) && (o->client == 0 ? BANK : OTHER) == client_row &&
            (hashes.len == 0 || ky_span_eq(hashes, KY_SPAN(o->hashes[0], (size_t)o->count * 32))))
            return o;
    }
    return NULL;
}

uint32_t oracle_order_number(const struct sim *s, const struct order *o)
{
    return (uint32_t)(o - s->orders);
}

void oracle_must_be_usable(struct sim *s, uint32_t credential, uint32_t epoch, uint32_t client,
                           const char *what)
{
    const struct oracle *k = &s->oracle;

    if (k->credentials[credential].off || k->credentials[credential].epoch != epoch)
        sim_fail(s, "P21", "%s for credential %u, which is off or of another epoch", what,
                 credential);
    if (k->clients[client].off)
        sim_fail(s, "P21", "%s for a client that is suspended", what);
}

struct o_tx *oracle_open_tx(struct sim *s, struct ky_span id, const char *what)
{
    struct o_tx *t = oracle_tx(s, id);

    if (t == NULL || t->ended)
        sim_fail(s, "P1", "%s of a transaction that is unknown or has ended", what);
    if (t->index < s->oracle.voided)
        sim_fail(s, "P6", "%s of a transaction older than the last unclean start", what);
    return t;
}

/* --- one function per record ----------------------------------------------------------------- */

static void on_begin(struct sim *s, uint64_t index, const void *msg)
{
    const struct ledger_tx *m = msg;
    struct o_tx *t = &s->oracle.txs[s->oracle.tx_count++];
    const struct order *o = oracle_order(s, m->request_id, m->client_row, m->hashes);

    if (o == NULL)
        sim_fail(s, "record", "a transaction that nobody asked for");
    oracle_must_be_usable(s, m->credential_row, m->credential_epoch, m->client_row,
                          "a transaction");
    *t = (struct o_tx){.index = index,
                       .order = oracle_order_number(s, o),
                       .credential = m->credential_row,
                       .client = m->client_row,
                       .subject = m->subject_row,
                       .epoch = m->credential_epoch,
                       .not_after_s = m->not_after_s};
    assert_true(ky_span_to_cstr(m->transaction_id, t->id, sizeof(t->id)));
}

static void on_authorized(struct sim *s, uint64_t index, const void *msg)
{
    const struct ledger_authorized *m = msg;
    struct o_tx *t = oracle_open_tx(s, m->transaction_id, "an authorization");

    if (t->authorized != 0)
        sim_fail(s, "P1", "%s is authorized twice", t->id);
    if (s->oracle.now_s >= t->not_after_s)
        sim_fail(s, "deadline", "%s is authorized after its time", t->id);
    if (s->oracle.credentials[t->credential].off ||
        s->oracle.credentials[t->credential].epoch != t->epoch)
        sim_fail(s, "P21", "%s is authorized for a credential that is off or has changed", t->id);
    if (s->oracle.subjects[t->subject].not_me != 0)
        sim_fail(s, "P21", "an authorization after a \"not me\"");
    if (m->proof == KY_PROOF_TOTP) {
        const struct order *o = oracle_order(s, m->request_id, t->client, (struct ky_span){0});
        if (o == NULL)
            sim_fail(s, "record", "an authorization that nobody asked for");
        spends_step(s, o, t->subject, m->authenticator_row, m->step);
    } else if (!spends_device_said_yes(s, t)) {
        sim_fail(s, "proof", "%s is authorized and no device said so", t->id);
    } else if (s->oracle.authenticators[m->authenticator_row].off) {
        sim_fail(s, "P21", "%s is authorized by a device that was removed", t->id);
    }
    t->authorized = index;
    t->authenticator = m->authenticator_row;
    t->sad_not_after_s = m->not_after_s;
    memcpy(t->sad_sha256, m->sad_sha256, 32);
}

static void on_ended(struct sim *s, uint64_t index, const void *msg)
{
    const struct ledger_ended *m = msg;
    struct o_tx *t = oracle_tx(s, m->transaction_id);

    if (t == NULL || t->ended)
        sim_fail(s, "P1", "an end of a transaction that is unknown or has ended");
    t->ended = true;
    s->figures[DID_EXPIRE] += m->state == TX_EXPIRED;
    if (m->not_me) {
        s->oracle.subjects[t->subject].not_me = index;
        s->figures[DID_NOT_ME]++;
    }
}

static void on_denied(struct sim *s, uint64_t index, const void *msg)
{
    const struct ledger_denied *m = msg;
    struct order *o = oracle_order(s, m->request_id, m->client_row, (struct ky_span){0});

    (void)index;
    sim_trace(s, "  of %s: %s", o == NULL ? "-" : o->id,
              ky_code_info((enum ky_code)m->reason)->name);
    s->figures[DID_DENY]++;
    s->figures[DID_CONFLICT] += m->reason == KY_CONFLICT;
    s->figures[DID_FLOOR] += m->reason == KY_PROOF_FLOORED;
    if (m->request_id.len > 0 && o == NULL)
        sim_fail(s, "record", "a denial of what nobody asked");
    if (o != NULL)
        s->orders[o->family].denied++;
    else
        s->oracle.denied++;
    bool of_code = m->request_type == DOOR_SIGN || m->request_type == DOOR_TX_AUTHORIZE;
    if (of_code && o != NULL && o->proof == KY_PROOF_TOTP && m->subject_row != 0 &&
        (m->reason == KY_PROOF_WRONG || m->reason == KY_PROOF_REPLAYED ||
         m->reason == KY_PROOF_MALFORMED))
        spends_failure(s, m->subject_row);
}

static void on_unlocked(struct sim *s, uint64_t index, const void *msg)
{
    (void)index;
    s->oracle.subjects[((const struct ledger_unlocked *)msg)->subject_row] = (struct o_subject){0};
}

static void on_client_state(struct sim *s, uint64_t index, const void *msg)
{
    (void)s;
    (void)index;
    (void)msg; /* by failures: new requests are refused, what flies may be released */
}

static void on_operation(struct sim *s, uint64_t index, const void *msg)
{
    const struct ledger_operation *m = msg;

    s->oracle.operation = index + 1;
    s->oracle.op = NULL;
    for (uint32_t i = 0; i < s->operation_count; i++)
        if (memcmp(s->operations[i].nonce, m->nonce, 16) == 0)
            s->oracle.op = &s->operations[i];
    if (s->oracle.op == NULL || s->oracle.op->done)
        sim_fail(s, "operation", "one that no operator signed, or for the second time");
    s->oracle.op->done = true;
    s->figures[DID_OPERATE]++;
}

/* The row that an operation wrote: what it means for older authority. */
static void on_admin(struct sim *s, uint64_t index, const void *msg)
{
    const struct ledger_admin *m = msg;
    struct oracle *k = &s->oracle;
    assert_in_range(m->row, 1, ROWS - 1);
    struct o_row *row = m->table == ROW_CREDENTIAL      ? &k->credentials[m->row]
                        : m->table == ROW_AUTHENTICATOR ? &k->authenticators[m->row]
                        : m->table == ROW_CLIENT        ? &k->clients[m->row]
                                                        : NULL;

    if (row == NULL)
        return;
    if (m->operation == 0) { /* enrolled by the test */
        *row = (struct o_row){.epoch = 1};
        return;
    }
    if (k->op == NULL || m->operation + 1 != k->operation || k->op->row != m->row)
        sim_fail(s, "operation", "a row was written for no operation");
    row->off = k->op->op != OP_RESUME && k->op->op != OP_CLIENT_ON;
    row->acked_at = 0;
    row->changed = index;
    row->epoch++;
    for (uint32_t i = 0; i < k->intent_count; i++)
        s->figures[DID_REVOKE_FLYING] += row->off && k->intents[i].receipt == 0;
}

static void on_anchored(struct sim *s, uint64_t index, const void *msg)
{
    uint64_t step = ((const struct ledger_anchored *)msg)->refuse_until_step_time_s / STEP_S;

    s->oracle.voided = index;
    s->oracle.anchored = true;
    if (step < s->oracle.now_s / STEP_S + 1)
        sim_fail(s, "P6", "the floor after an unclean start is below the codes of now");
    s->oracle.floor_step = step;
    for (uint32_t i = 0; i < s->oracle.tx_count; i++)
        s->oracle.txs[i].ended = true;
}

static void on_start(struct sim *s, uint64_t index, const void *msg)
{
    (void)msg;
    if (s->oracle.expects_anchored && !s->oracle.anchored)
        sim_fail(s, "P6", "an unclean start without a floor");
    for (uint32_t i = 0; i < s->oracle.intent_count; i++)
        if (s->oracle.intents[i].receipt == 0 || s->oracle.intents[i].receipt > index)
            sim_fail(s, "I4", "intent %lu outlived a start without a receipt",
                     (unsigned long)s->oracle.intents[i].index);
    s->oracle.anchored = false;
}

typedef void (*leaf_fn)(struct sim *s, uint64_t index, const void *msg);
static const leaf_fn rules[] = {
    [LEDGER_START] = on_start,
    [LEDGER_ADMIN] = on_admin,
    [LEDGER_OPERATION] = on_operation,
    [LEDGER_BEGIN] = on_begin,
    [LEDGER_AUTHORIZED] = on_authorized,
    [LEDGER_ENDED] = on_ended,
    [LEDGER_INTENT] = spends_intent,
    [LEDGER_RECEIPT] = spends_receipt,
    [LEDGER_DENIED] = on_denied,
    [LEDGER_UNLOCKED] = on_unlocked,
    [LEDGER_CLIENT_STATE] = on_client_state,
    [LEDGER_ANCHORED] = on_anchored,
};

static struct ky_status take(void *context, struct ky_span leaf, struct ky_span private_data)
{
    struct sim *s = context;
    struct oracle *k = &s->oracle;
    struct ledger_leaf l;
    _Alignas(16) uint8_t msg[1024];

    (void)private_data;
    if (!ky_ok(ledger_leaf_parse(leaf, &l)) || l.index != k->tree.size)
        sim_fail(s, "record", "leaf %lu is not a leaf, or not the next",
                 (unsigned long)k->tree.size);
    const struct ky_schema *schema = ledger_schema(l.type);
    assert_true(schema != NULL && schema->size <= sizeof(msg));
    if (!ky_ok(ky_msg_decode(schema, l.body, msg)))
        sim_fail(s, "record", "leaf %lu cannot be read", (unsigned long)l.index);
    if (l.time_us / 1000000u < k->now_s)
        sim_fail(s, "P24", "leaf %lu is of an earlier time than the one before",
                 (unsigned long)l.index);
    if (l.time_us > s->wall_most_us)
        sim_fail(s, "P24", "leaf %lu is of a time that no clock has shown", (unsigned long)l.index);
    k->now_s = l.time_us / 1000000u;
    merkle_append(&k->tree, leaf);
    sim_trace(s, "leaf %lu: %s", (unsigned long)l.index, schema->name);
    if (l.type < sizeof(rules) / sizeof(rules[0]) && rules[l.type] != NULL)
        rules[l.type](s, l.index, msg);
    if (k->intent_count == k->cap || k->tx_count == k->cap)
        sim_fail(s, "simulation", "too many records");
    return KY_STATUS(KY_OK);
}

void oracle_start(struct sim *s)
{
    struct oracle *k = &s->oracle;
    struct o_intent *intents = k->intents;
    struct o_tx *txs = k->txs;

    *k = (struct oracle){.intents = intents, .txs = txs, .cap = s->cap};
}

static struct ky_status hash_again(void *context, struct ky_span leaf, struct ky_span private_data)
{
    (void)private_data;
    merkle_append(context, leaf);
    return KY_STATUS(KY_OK);
}

static void reread(struct sim *s)
{
    struct merkle again = {0};
    uint8_t old[32], now[32];

    s->oracle.reread = false;
    if (store_ledger_size(s->w->a->store) < s->oracle.tree.size ||
        !ky_ok(store_ledger_read(s->w->a->store, 0, s->oracle.tree.size, hash_again, &again)))
        sim_fail(s, "P2", "committed leaves are gone after a restart");
    merkle_root(&s->oracle.tree, old);
    merkle_root(&again, now);
    if (memcmp(old, now, 32) != 0)
        sim_fail(s, "P2", "committed leaves have changed after a restart");
}

void oracle_read(struct sim *s)
{
    struct store *store = s->w->a->store;

    /* A store that failed reads no more: what it may have committed is read after the restart. */
    if (store == NULL || !ky_ok(store_sealed(store)))
        return;
    if (s->oracle.reread)
        reread(s);
    if (store_ledger_size(store) <= s->oracle.tree.size)
        return;
    if (!ky_ok(store_ledger_read(store, s->oracle.tree.size, 0, take, s)))
        sim_fail(s, "record", "the ledger cannot be read");
}
