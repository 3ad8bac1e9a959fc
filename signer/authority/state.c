/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state_apply(): one function per record type, from a table. Intents and receipts are here (I4: an
 * intent leaves the map of flights by its one receipt); transactions, accounts and the replay index have files of
 * their own. Authority's thread only.
 */
#include "state.h"

#include <stdlib.h>
#include <string.h>

struct ky_span name_span(const struct name *n)
{
    return KY_SPAN(n->text, n->len);
}

void name_set(struct name *n, struct ky_span s)
{
    n->len = (uint8_t)(s.len <= KY_NAME_MAX ? s.len : KY_NAME_MAX);
    if (n->len > 0)
        memcpy(n->text, s.data, n->len);
}

/* --- flights -------------------------------------------------------------------------------------- */

struct flight *state_flight(const struct state *s, uint64_t intent)
{
    return map_get(&s->flights, map_key_number(0, intent));
}

struct flight *state_flight_new(struct state *s, uint64_t intent)
{
    struct flight *f = s->free_flights;

    if (state_flight(s, intent) != NULL) /* a snapshot that names it twice */
        return NULL;
    if (f != NULL)
        s->free_flights = f->next_free;
    else
        f = malloc(sizeof(*f));
    if (f == NULL)
        return NULL;
    memset(f, 0, sizeof(*f));
    f->intent = intent;
    if (!map_put(&s->flights, map_key_number(0, intent), f)) {
        free(f);
        return NULL;
    }
    return f;
}

void state_flight_end(struct state *s, struct flight *f)
{
    map_remove(&s->flights, map_key_number(0, f->intent));
    f->next_free = s->free_flights;
    s->free_flights = f;
}

/* --- one function per record --------------------------------------------------------------------- */

typedef struct ky_status (*apply_fn)(struct state *s, const struct ledger_leaf *leaf,
                                     const void *msg, struct ky_span private_data);

static struct ky_status apply_nothing(struct state *s, const struct ledger_leaf *leaf,
                                      const void *msg, struct ky_span private_data)
{
    (void)s;
    (void)leaf;
    (void)msg;
    (void)private_data;
    return KY_STATUS(KY_OK);
}

static struct ky_status apply_genesis(struct state *s, const struct ledger_leaf *leaf,
                                      const void *msg, struct ky_span private_data)
{
    const struct ledger_genesis *m = msg;

    (void)private_data;
    if (leaf->index != 0)
        return KY_STATUS(KY_CORRUPT);
    name_set(&s->server_id, m->server_id);
    s->demo = m->demo != 0;
    return KY_STATUS(KY_OK);
}

/* Operators choose them: hashed like every key that comes from outside. */
static struct map_key nonce_key(const uint8_t nonce[16])
{
    uint8_t hash[32];

    ky_sha256(KY_SPAN(nonce, 16), hash);
    return map_key_bytes(hash);
}

bool state_nonce_put(struct state *s, const uint8_t nonce[16], uint64_t expires_s)
{
    struct operation_nonce *n = map_get(&s->nonces, nonce_key(nonce));

    if (n == NULL) {
        n = calloc(1, sizeof(*n));
        if (n == NULL || !map_put(&s->nonces, nonce_key(nonce), n)) {
            free(n);
            return false;
        }
    }
    memcpy(n->nonce, nonce, sizeof(n->nonce));
    n->expires_s = expires_s;
    return true;
}

static struct ky_status apply_operation(struct state *s, const struct ledger_leaf *leaf,
                                        const void *msg, struct ky_span private_data)
{
    const struct ledger_operation *m = msg;

    (void)leaf;
    (void)private_data;
    return KY_STATUS(state_nonce_put(s, m->nonce, m->expires_s) ? KY_OK : KY_NOMEM);
}

static struct ky_status apply_begin(struct state *s, const struct ledger_leaf *leaf,
                                    const void *msg, struct ky_span private_data)
{
    return state_tx_begin(s, msg, private_data, leaf->time_us / 1000000u);
}

static struct ky_status apply_authorized(struct state *s, const struct ledger_leaf *leaf,
                                         const void *msg, struct ky_span private_data)
{
    (void)private_data;
    return state_tx_authorized(s, msg, leaf->time_us / 1000000u);
}

static struct ky_status apply_ended(struct state *s, const struct ledger_leaf *leaf,
                                    const void *msg, struct ky_span private_data)
{
    (void)private_data;
    return state_tx_ended(s, msg, leaf->time_us / 1000000u);
}

static struct ky_status apply_intent(struct state *s, const struct ledger_leaf *leaf,
                                     const void *msg, struct ky_span private_data)
{
    const struct ledger_intent *m = msg;
    uint64_t now_s = leaf->time_us / 1000000u;
    size_t hash_len = ky_hash_len(m->hash);
    struct ky_status status = KY_STATUS(KY_OK);
    struct flight *f;

    (void)private_data;
    f = state_flight_new(s, leaf->index);
    if (f == NULL)
        return KY_STATUS(KY_NOMEM);
    f->kind = m->kind;
    f->scheme = m->scheme;
    f->count = (uint16_t)(hash_len == 0 ? 0 : m->hashes.len / hash_len);
    f->client_row = m->client_row;
    f->subject_row = m->subject_row;
    f->credential_row = m->credential_row;
    f->credential_epoch = m->credential_epoch;
    if (m->kind != 1)
        return status; /* a CSR: no client, no proof of a citizen's */
    name_set(&f->request_id, m->request_id);
    if (!tx_id_parse(m->transaction_id, f->tx_key))
        return KY_STATUS(KY_CORRUPT);
    const struct tx *t = m->proof == KY_PROOF_SAD ? state_tx(s, f->tx_key) : NULL;
    f->authenticator_row = t != NULL ? t->authenticator_row : m->authenticator_row;
    if (m->proof == KY_PROOF_SAD || m->proof == KY_PROOF_APPROVAL)
        status = state_tx_spend(s, m, now_s);
    if (ky_ok(status))
        status = state_account_proved(s, m->proof, m->client_row, m->subject_row,
                                      m->authenticator_row, m->step, now_s);
    if (!ky_ok(status))
        return status;
    struct replay entry = {.intent = leaf->index,
                           .at_s = (uint32_t)now_s,
                           .kind = REPLAY_SIGN,
                           .state = REPLAY_FLYING};
    state_replay_key(m->client_row, m->relying_party, m->request_id, entry.key);
    memcpy(entry.content, m->content_sha256, sizeof(entry.content));
    memcpy(f->replay_key, entry.key, sizeof(f->replay_key));
    return state_replay_put(s, &entry);
}

static struct ky_status apply_receipt(struct state *s, const struct ledger_leaf *leaf,
                                      const void *msg, struct ky_span private_data)
{
    const struct ledger_receipt *m = msg;
    struct flight *f = state_flight(s, m->intent);

    (void)private_data;
    if (f == NULL)
        return KY_STATUS(KY_CORRUPT); /* I4: a second receipt, or one without intent */
    struct replay *r = f->kind == 1 ? state_replay(s, f->replay_key) : NULL;
    if (r != NULL && r->kind == REPLAY_SIGN && r->intent == m->intent) {
        r->receipt = leaf->index;
        r->state = m->outcome == LEDGER_SIGNED ? REPLAY_SIGNED : REPLAY_DEAD;
    }
    if (m->outcome == LEDGER_SIGNED)
        s->signatures += f->count;
    state_flight_end(s, f);
    return KY_STATUS(KY_OK);
}

static struct ky_status apply_denied(struct state *s, const struct ledger_leaf *leaf,
                                     const void *msg, struct ky_span private_data)
{
    (void)private_data;
    s->denials++;
    return state_account_denied(s, msg, leaf->time_us / 1000000u);
}

static struct ky_status apply_unlocked(struct state *s, const struct ledger_leaf *leaf,
                                       const void *msg, struct ky_span private_data)
{
    const struct ledger_unlocked *m = msg;
    struct subject_fold *f = state_subject_touch(s, m->subject_row);

    (void)leaf;
    (void)private_data;
    if (f == NULL)
        return KY_STATUS(KY_NOMEM);
    f->account = (struct subject_account){0};
    return KY_STATUS(KY_OK);
}

static struct ky_status apply_client_state(struct state *s, const struct ledger_leaf *leaf,
                                           const void *msg, struct ky_span private_data)
{
    const struct ledger_client_state *m = msg;
    struct client_fold *f = state_client_touch(s, m->client_row);

    (void)private_data;
    if (f == NULL)
        return KY_STATUS(KY_NOMEM);
    state_client_suspend(s, f, m->suspended != 0 ? leaf->time_us / 1000000u : 0);
    f->over_threshold = false;
    if (m->suspended == 0)
        f->rate = (struct policy_client_rate){0};
    return KY_STATUS(KY_OK);
}

static struct ky_status apply_anchored(struct state *s, const struct ledger_leaf *leaf,
                                       const void *msg, struct ky_span private_data)
{
    const struct ledger_anchored *m = msg;
    uint64_t step = m->refuse_until_step_time_s / POLICY_TOTP_PERIOD_S;

    (void)private_data;
    if (step > s->floor_step)
        s->floor_step = step;
    state_tx_void_all(s, leaf->time_us / 1000000u);
    return KY_STATUS(KY_OK);
}

static const apply_fn apply_table[] = {
    [LEDGER_GENESIS] = apply_genesis,
    [LEDGER_START] = apply_nothing,
    [LEDGER_STOP] = apply_nothing,
    [LEDGER_ADMIN] = apply_nothing, /* rows: the store keeps their versions */
    [LEDGER_OPERATION] = apply_operation,
    [LEDGER_BEGIN] = apply_begin,
    [LEDGER_AUTHORIZED] = apply_authorized,
    [LEDGER_ENDED] = apply_ended,
    [LEDGER_INTENT] = apply_intent,
    [LEDGER_RECEIPT] = apply_receipt,
    [LEDGER_DENIED] = apply_denied,
    [LEDGER_UNLOCKED] = apply_unlocked,
    [LEDGER_CLIENT_STATE] = apply_client_state,
    [LEDGER_EVENT] = apply_nothing,
    [LEDGER_ANCHORED] = apply_anchored,
    [LEDGER_CEREMONY] = apply_nothing,
    [LEDGER_DESTROYED] = apply_nothing,
    [LEDGER_ACTIVATED] = apply_nothing,
    [LEDGER_CRL] = apply_nothing, /* the rows that it changes have records of their own */
    [LEDGER_PASSKEY] = apply_nothing,
    [LEDGER_KEK] = apply_nothing, /* as of a CRL */
    [LEDGER_CLOCK] = apply_nothing,
};

struct ky_status state_apply(struct state *s, const struct ledger_leaf *leaf, const void *msg,
                             struct ky_span private_data)
{
    if (leaf->type >= sizeof(apply_table) / sizeof(apply_table[0]) ||
        apply_table[leaf->type] == NULL)
        return KY_STATUS(KY_CORRUPT);
    struct ky_status status = apply_table[leaf->type](s, leaf, msg, private_data);
    if (!ky_ok(status))
        return status;
    s->records++;
    if (leaf->time_us > s->last_time_us)
        s->last_time_us = leaf->time_us;
    return status;
}

union ledger_any {
    struct ledger_genesis genesis;
    struct ledger_start start;
    struct ledger_stop stop;
    struct ledger_admin admin;
    struct ledger_operation operation;
    struct ledger_tx tx;
    struct ledger_authorized authorized;
    struct ledger_ended ended;
    struct ledger_intent intent;
    struct ledger_receipt receipt;
    struct ledger_denied denied;
    struct ledger_unlocked unlocked;
    struct ledger_client_state client_state;
    struct ledger_event event;
    struct ledger_anchored anchored;
    struct ledger_ceremony ceremony;
    struct ledger_destroyed destroyed;
    struct ledger_crl crl;
    struct ledger_kek kek;
    struct ledger_clock clock;
};

struct ky_status state_replay_leaf(struct state *s, struct ky_span leaf,
                                   struct ky_span private_data)
{
    struct ledger_leaf l;
    union ledger_any any;
    struct ky_status status = ledger_leaf_parse(leaf, &l);

    if (!ky_ok(status))
        return status;
    const struct ky_schema *schema = ledger_schema(l.type);
    if (schema == NULL || schema->size > sizeof(any))
        return KY_STATUS(KY_CORRUPT);
    status = ky_msg_decode(schema, l.body, &any);
    return ky_ok(status) ? state_apply(s, &l, &any, private_data) : status;
}

/* --- life ----------------------------------------------------------------------------------------- */

struct ky_status state_new(const struct state_limits *limits, struct state **out_state)
{
    struct state *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return KY_STATUS(KY_NOMEM);
    s->limits = *limits;
    s->wheel = calloc(STATE_WHEEL, sizeof(struct tx *));
    if (s->wheel == NULL || !state_replay_open(s)) {
        free(s->wheel);
        free(s);
        return KY_STATUS(KY_NOMEM);
    }
    *out_state = s;
    return KY_STATUS(KY_OK);
}

static void free_values(struct map *m)
{
    size_t cursor = 0;

    for (void *v = map_next(m, &cursor); v != NULL; v = map_next(m, &cursor))
        free(v);
    map_free(m);
}

void state_free(struct state **state)
{
    struct state *s = *state;

    if (s == NULL)
        return;
    free_values(&s->subjects);
    state_steps_free(s);
    free_values(&s->clients);
    state_tx_free_all(s);
    free_values(&s->flights);
    while (s->free_flights != NULL) {
        struct flight *next = s->free_flights->next_free;
        free(s->free_flights);
        s->free_flights = next;
    }
    free_values(&s->nonces);
    state_replay_free(s);
    free(s->wheel);
    free(s);
    *state = NULL;
}

bool state_nonce_spent(const struct state *s, const uint8_t nonce[16], uint64_t now_s)
{
    (void)now_s;
    return map_get(&s->nonces, nonce_key(nonce)) != NULL;
}

static void collect_nonces(struct state *s, uint64_t now_s)
{
    size_t cursor = 0;

    for (struct operation_nonce *n = map_next(&s->nonces, &cursor); n != NULL;
         n = map_next(&s->nonces, &cursor)) {
        if (n->expires_s >= now_s)
            continue;
        map_remove(&s->nonces, nonce_key(n->nonce));
        free(n);
        cursor--; /* another may have moved into its slot */
    }
}

void state_collect(struct state *s, uint64_t now_s)
{
    if (now_s <= s->wheel_s)
        return;
    collect_nonces(s, now_s);
    state_replay_collect(s, now_s);
    state_tx_collect(s, now_s);
}

bool state_has_room(const struct state *s)
{
    return s->tx_by_id.count < s->limits.tx_max;
}
