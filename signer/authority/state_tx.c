/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transactions: pending -> authorized -> spent | rejected | expired | cancelled. Each stands in a wheel of seconds under the time at
 * which something about it falls due, so that expiry costs nothing per request. An ended one answers for a while, then goes.
 */
#include "state.h"

#include <stdlib.h>
#include <string.h>

#include "kyso/wire.h"

void tx_id_write(const uint8_t key[MAP_KEY_LEN], char out[TX_ID_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";

    out[0] = 't';
    for (size_t i = 0; i < MAP_KEY_LEN; i++) {
        out[1 + 2 * i] = digits[key[i] >> 4];
        out[2 + 2 * i] = digits[key[i] & 15];
    }
    out[TX_ID_LEN] = '\0';
}

static int nibble(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool tx_id_parse(struct ky_span id, uint8_t out_key[MAP_KEY_LEN])
{
    if (id.len != TX_ID_LEN || id.data[0] != 't')
        return false;
    for (size_t i = 0; i < MAP_KEY_LEN; i++) {
        int hi = nibble(id.data[1 + 2 * i]);
        int lo = nibble(id.data[2 + 2 * i]);
        if (hi < 0 || lo < 0)
            return false;
        out_key[i] = (uint8_t)(hi << 4 | lo);
    }
    return true;
}

bool tx_is_open(const struct tx *t)
{
    return t->state == TX_PENDING || t->state == TX_AUTHORIZED;
}

struct tx *state_tx(const struct state *s, const uint8_t key[MAP_KEY_LEN])
{
    return map_get(&s->tx_by_id, map_key_bytes(key));
}

struct tx *state_tx_by_id(const struct state *s, struct ky_span id)
{
    uint8_t key[MAP_KEY_LEN];

    return tx_id_parse(id, key) ? state_tx(s, key) : NULL;
}

struct tx *state_tx_by_sad(const struct state *s, const uint8_t sad_sha256[32])
{
    struct tx *t = map_get(&s->tx_by_sad, map_key_bytes(sad_sha256));

    return t != NULL && ky_span_eq_ct(KY_SPAN(t->sad_sha256, 32), KY_SPAN(sad_sha256, 32)) ? t
                                                                                           : NULL;
}

/* --- the wheel ----------------------------------------------------------------------------------------- */

static void unfile(struct tx *t)
{
    if (t->wheel_at == NULL)
        return;
    *t->wheel_at = t->wheel_next;
    if (t->wheel_next != NULL)
        t->wheel_next->wheel_at = t->wheel_at;
    t->wheel_at = NULL;
    t->wheel_next = NULL;
}

static void file_at(struct tx *t, struct tx **head)
{
    unfile(t);
    t->wheel_next = *head;
    if (*head != NULL)
        (*head)->wheel_at = &t->wheel_next;
    t->wheel_at = head;
    *head = t;
}

void state_tx_file(struct state *s, struct tx *t, uint64_t due_s)
{
    t->due_s = due_s;
    /* A second already swept would not come round again for two hours. */
    file_at(t, &s->wheel[(due_s > s->wheel_s ? due_s : s->wheel_s + 1) % STATE_WHEEL]);
}

static bool has_sad(const struct tx *t)
{
    return !ky_span_all_zero(KY_SPAN_OF(t->sad_sha256));
}

static void drop_tail(struct tx *t)
{
    free(t->tail);
    t->tail = NULL;
    t->hashes = t->display = (struct ky_span){0};
}

void state_tx_free(struct state *s, struct tx *t)
{
    unfile(t);
    if (has_sad(t))
        map_remove(&s->tx_by_sad, map_key_bytes(t->sad_sha256));
    map_remove(&s->tx_by_id, map_key_bytes(t->key));
    ky_wipe(t->code, sizeof(t->code));
    drop_tail(t);
    free(t);
}

void state_tx_free_all(struct state *s)
{
    size_t cursor = 0;

    for (struct tx *t = map_next(&s->tx_by_id, &cursor); t != NULL;
         t = map_next(&s->tx_by_id, &cursor)) {
        drop_tail(t);
        free(t);
    }
    map_free(&s->tx_by_id);
    map_free(&s->tx_by_sad);
}

static void sweep(struct state *s, struct tx **head, uint64_t now_s)
{
    struct tx *next;

    for (struct tx *t = *head; t != NULL; t = next) {
        next = t->wheel_next;
        if (t->due_s > now_s)
            continue; /* of a later round */
        if (tx_is_open(t))
            file_at(t, &s->overdue); /* its end is a decision: a record, then state_tx_end */
        else
            state_tx_free(s, t);
    }
}

void state_tx_collect(struct state *s, uint64_t now_s)
{
    uint64_t from = s->wheel_s + 1;

    if (now_s - s->wheel_s >= STATE_WHEEL)
        from = now_s - STATE_WHEEL + 1;
    for (uint64_t second = from; second <= now_s; second++)
        sweep(s, &s->wheel[second % STATE_WHEEL], now_s);
    s->wheel_s = now_s;
}

struct tx *state_tx_due(const struct state *s)
{
    return s->overdue;
}

/* --- the records ---------------------------------------------------------------------------------------- */

static void leave_push(struct state *s, struct tx *t)
{
    struct subject_fold *f = map_get(&s->subjects, map_key_number(0, t->subject_row));

    if (f != NULL && f->pending == t)
        f->pending = NULL;
}

void state_tx_end(struct state *s, struct tx *t, uint8_t state, uint64_t now_s)
{
    if (!tx_is_open(t))
        return;
    leave_push(s, t);
    ky_wipe(t->code, sizeof(t->code));
    t->code_len = 0;
    t->state = state;
    if (has_sad(t))
        drop_tail(t); /* its 256 hashes for ten minutes more would be half a gigabyte at 28 000 signatures a second */
    s->tx_open--;
    state_tx_file(s, t, now_s + STATE_ENDED_KEEP_S);
}

void state_tx_void_all(struct state *s, uint64_t now_s)
{
    size_t cursor = 0;

    for (struct tx *t = map_next(&s->tx_by_id, &cursor); t != NULL;
         t = map_next(&s->tx_by_id, &cursor))
        state_tx_end(s, t, TX_EXPIRED, now_s);
}

/*
 * One item of the private data: salt || text, whose hash the record tells (empty or zero: there is none). An erased side table
 * leaves the text empty; no leaf covers that table, so another text is told by its hash. False for such a one.
 */
static bool private_text(struct ky_reader *r, struct ky_span hash, struct ky_span *out)
{
    uint8_t actual[32];

    *out = (struct ky_span){0};
    if (ky_span_all_zero(hash) || r->left == 0)
        return true;
    struct ky_span item = ky_get_bytes(r, 16 + KY_DISPLAY_TEXT_MAX);
    ky_sha256(item, actual);
    if (item.len <= 16 || !ky_span_eq(KY_SPAN_OF(actual), hash))
        return false;
    *out = KY_SPAN(item.data + 16, item.len - 16);
    return true;
}

/* A transaction with its variable bytes beside it. */
static struct tx *tx_new(const struct tx *from, struct ky_span code, struct ky_span hashes,
                         struct ky_span display)
{
    struct tx *t = malloc(sizeof(*t));
    uint8_t *tail = malloc(hashes.len + display.len + 1);

    if (t == NULL || tail == NULL) {
        free(t);
        free(tail);
        return NULL;
    }
    *t = *from;
    t->tail = tail;
    t->wheel_next = NULL;
    t->wheel_at = NULL;
    if (code.len > 0 && code.len <= sizeof(t->code)) {
        memcpy(t->code, code.data, code.len);
        t->code_len = (uint8_t)code.len;
    }
    if (hashes.len > 0)
        memcpy(t->tail, hashes.data, hashes.len);
    if (display.len > 0)
        memcpy(t->tail + hashes.len, display.data, display.len);
    t->hashes = KY_SPAN(t->tail, hashes.len);
    t->display = KY_SPAN(t->tail + hashes.len, display.len);
    return t;
}

static bool tx_add(struct state *s, struct tx *t)
{
    if (t == NULL || state_tx(s, t->key) != NULL ||
        !map_put(&s->tx_by_id, map_key_bytes(t->key), t)) {
        if (t != NULL)
            drop_tail(t);
        free(t);
        return false;
    }
    if (tx_is_open(t))
        s->tx_open++;
    return true;
}

bool state_tx_restore(struct state *s, const struct tx *from, struct ky_span code,
                      struct ky_span hashes, struct ky_span display)
{
    struct tx *t = tx_new(from, code, hashes, display);

    if (!tx_add(s, t))
        return false;
    state_tx_file(s, t, t->due_s);
    return !has_sad(t) || map_put(&s->tx_by_sad, map_key_bytes(t->sad_sha256), t);
}

static struct ky_status note_push(struct state *s, struct tx *t, uint64_t now_s)
{
    struct subject_fold *f = state_subject_touch(s, t->subject_row);

    if (f == NULL)
        return KY_STATUS(KY_NOMEM);
    memmove(f->begins_s + 1, f->begins_s, sizeof(f->begins_s) - sizeof(f->begins_s[0]));
    f->begins_s[0] = (uint32_t)now_s;
    f->pending = t;
    return KY_STATUS(KY_OK);
}

static struct ky_status note_request(struct state *s, const struct tx *t, struct ky_span request_id,
                                     uint8_t kind, uint64_t now_s)
{
    struct replay e = {.at_s = (uint32_t)now_s, .kind = kind, .state = REPLAY_TX};

    if (request_id.len == 0)
        return KY_STATUS(KY_OK);
    state_replay_key(t->client_row, name_span(&t->relying_party), request_id, e.key);
    memcpy(e.content, t->content_sha256, sizeof(e.content));
    memcpy(e.tx, t->key, sizeof(e.tx));
    return state_replay_put(s, &e);
}

struct ky_status state_tx_begin(struct state *s, const struct ledger_tx *m,
                                struct ky_span private_data, uint64_t now_s)
{
    struct ky_reader r = ky_reader(private_data);
    struct tx from = {
        .state = TX_PENDING,
        .scheme = m->scheme,
        .hash = m->hash,
        .mgf_hash = m->mgf_hash,
        .salt_len = m->salt_len,
        .client_row = m->client_row,
        .subject_row = m->subject_row,
        .credential_row = m->credential_row,
        .credential_epoch = m->credential_epoch,
        .not_after_s = m->not_after_s,
    };

    if (!tx_id_parse(m->transaction_id, from.key) || state_tx(s, from.key) != NULL ||
        m->hashes.len > (size_t)KY_HASHES_MAX * KY_DIGEST_MAX)
        return KY_STATUS(KY_CORRUPT);
    name_set(&from.relying_party, m->relying_party);
    memcpy(from.spki_sha256, m->key_spki_sha256, sizeof(from.spki_sha256));
    memcpy(from.content_sha256, m->content_sha256, sizeof(from.content_sha256));
    memcpy(from.tx_digest, m->tx_digest, sizeof(from.tx_digest));
    memcpy(from.nonce, m->nonce, sizeof(from.nonce));
    struct ky_span display, code;
    if (!private_text(&r, KY_SPAN_OF(m->display_sha256), &display) ||
        !private_text(&r, m->matching_code, &code))
        return KY_STATUS(KY_CORRUPT);
    struct tx *t = tx_new(&from, code, m->hashes, display);
    if (!tx_add(s, t))
        return KY_STATUS(KY_NOMEM);
    state_tx_file(s, t, m->not_after_s);
    struct ky_status status = m->matching_code.len > 0 ? note_push(s, t, now_s) : KY_STATUS(KY_OK);
    return ky_ok(status) ? note_request(s, t, m->request_id, REPLAY_BEGIN, now_s) : status;
}

struct ky_status state_tx_authorized(struct state *s, const struct ledger_authorized *m,
                                     uint64_t now_s)
{
    struct tx *t = state_tx_by_id(s, m->transaction_id);

    if (t == NULL || t->state != TX_PENDING)
        return KY_STATUS(KY_CORRUPT);
    leave_push(s, t);
    t->state = TX_AUTHORIZED;
    t->proof = m->proof;
    t->authenticator_row = m->authenticator_row;
    t->sad_not_after_s = m->not_after_s;
    memcpy(t->sad_sha256, m->sad_sha256, sizeof(t->sad_sha256));
    state_tx_file(s, t, m->not_after_s);
    if (!map_put(&s->tx_by_sad, map_key_bytes(t->sad_sha256), t))
        return KY_STATUS(KY_NOMEM);
    struct ky_status status = state_account_proved(s, m->proof, t->client_row, t->subject_row,
                                                   m->authenticator_row, m->step, now_s);
    return ky_ok(status) ? note_request(s, t, m->request_id, REPLAY_AUTHORIZE, now_s) : status;
}

struct ky_status state_tx_ended(struct state *s, const struct ledger_ended *m, uint64_t now_s)
{
    struct tx *t = state_tx_by_id(s, m->transaction_id);

    if (t == NULL || !tx_is_open(t) || m->state < TX_REJECTED || m->state > TX_CANCELLED)
        return KY_STATUS(KY_CORRUPT);
    if (m->not_me) {
        struct subject_fold *f = state_subject_touch(s, t->subject_row);
        if (f == NULL)
            return KY_STATUS(KY_NOMEM);
        f->account.not_me = true;
        policy_lockout_not_me(&f->account.lockout);
    }
    state_tx_end(s, t, m->state, now_s);
    return KY_STATUS(KY_OK);
}

struct ky_status state_tx_spend(struct state *s, const struct ledger_intent *m, uint64_t now_s)
{
    struct tx *t = state_tx_by_id(s, m->transaction_id);
    uint8_t take[KY_HASHES_MAX / 8] = {0};
    uint32_t left = 0;

    if (t == NULL || !tx_is_open(t))
        return KY_STATUS(KY_CORRUPT);
    if (!ky_ok(policy_sad_take(t->hashes, m->hashes, ky_hash_len(t->hash), t->used, take, &left)))
        return KY_STATUS(KY_CORRUPT);
    for (size_t i = 0; i < sizeof(take); i++)
        t->used[i] |= take[i];
    if (left == 0)
        state_tx_end(s, t, TX_SPENT, now_s);
    return KY_STATUS(KY_OK);
}
