/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fold as bytes: written lazily, MACed by the store, read at start so that only the tail is replayed. Items of a map
 * are sorted by key, so that equal folds give equal bytes whatever order they grew in. No open intent is ever among them (I4).
 */
#include "state.h"

#include <stdlib.h>
#include <string.h>

#include "kyso/wire.h"

#define SNAPSHOT_FORM 3u

static int by_key(const void *x, const void *y)
{
    const struct map_slot *a = x;
    const struct map_slot *b = y;

    for (int i = 0; i < 2; i++)
        if (a->key.w[i] != b->key.w[i])
            return a->key.w[i] < b->key.w[i] ? -1 : 1;
    return 0;
}

typedef void (*put_fn)(struct ky_buf *out, const void *item);

static void put_map(const struct map *m, struct ky_buf *out, put_fn put)
{
    struct map_slot *sorted = calloc(m->count + 1, sizeof(*sorted));
    size_t n = 0, cursor = 0;

    if (sorted == NULL) {
        out->failed = true;
        return;
    }
    for (const struct map_slot *s = map_next_slot(m, &cursor); s != NULL;
         s = map_next_slot(m, &cursor))
        sorted[n++] = *s;
    qsort(sorted, n, sizeof(*sorted), by_key);
    ky_put_u64(out, n);
    for (size_t i = 0; i < n; i++)
        put(out, sorted[i].value);
    free(sorted);
}

static void put_name(struct ky_buf *out, const struct name *n)
{
    ky_put_bytes(out, name_span(n));
}

static void put_subject(struct ky_buf *out, const void *item)
{
    const struct subject_fold *f = item;
    const struct policy_lockout *l = &f->account.lockout;

    ky_put_u32(out, f->row);
    ky_put_u32(out, l->failures);
    ky_put_u32(out, l->total);
    ky_put_u32(out, l->locks);
    ky_put_u64(out, l->locked_until_s);
    ky_put_u8(out, f->account.not_me);
    for (size_t i = 0; i < STATE_BEGINS_MAX; i++)
        ky_put_u32(out, f->begins_s[i]);
    ky_put_u8(out, f->pending != NULL);
    if (f->pending != NULL)
        ky_buf_put(out, f->pending->key, MAP_KEY_LEN);
}

/* In order of rows: the same bytes as a sorted map of them. */
static void put_steps(const struct step_pages *p, struct ky_buf *out)
{
    ky_put_u64(out, p->count);
    for (uint32_t page = 0; page < p->page_count; page++)
        for (uint32_t i = 0; p->pages[page] != NULL && i < STATE_STEPS_PAGE; i++)
            if (p->pages[page][i] != 0) {
                ky_put_u32(out, page * STATE_STEPS_PAGE + i);
                ky_put_u64(out, p->pages[page][i]);
            }
}

static void put_client(struct ky_buf *out, const void *item)
{
    const struct client_fold *f = item;

    ky_put_u32(out, f->row);
    ky_put_u64(out, f->rate.minute);
    ky_put_u32(out, f->rate.attempts);
    ky_put_u32(out, f->rate.failures);
    ky_put_u64(out, f->suspended_s);
    ky_put_u8(out, f->over_threshold);
}

static void put_tx(struct ky_buf *out, const void *item)
{
    const struct tx *t = item;

    ky_buf_put(out, t->key, sizeof(t->key));
    ky_put_u64(out, t->due_s);
    ky_put_u8(out, t->state);
    ky_put_u8(out, t->scheme);
    ky_put_u8(out, t->hash);
    ky_put_u8(out, t->mgf_hash);
    ky_put_u16(out, t->salt_len);
    ky_put_u32(out, t->client_row);
    ky_put_u32(out, t->subject_row);
    ky_put_u32(out, t->credential_row);
    ky_put_u32(out, t->credential_epoch);
    put_name(out, &t->relying_party);
    ky_buf_put(out, t->spki_sha256, 32);
    ky_buf_put(out, t->content_sha256, 32);
    ky_buf_put(out, t->tx_digest, 32);
    ky_buf_put(out, t->nonce, KY_TX_NONCE_LEN);
    ky_buf_put(out, t->sad_sha256, 32);
    ky_put_u64(out, t->not_after_s);
    ky_put_u64(out, t->sad_not_after_s);
    ky_put_u32(out, t->authenticator_row);
    ky_put_u8(out, t->proof);
    ky_put_bytes(out, KY_SPAN(t->code, t->code_len));
    ky_buf_put(out, t->used, sizeof(t->used));
    ky_put_bytes(out, t->hashes);
    ky_put_bytes(out, t->display);
}

static void put_replay(struct ky_buf *out, const void *item)
{
    const struct replay *e = item;

    ky_buf_put(out, e->key, sizeof(e->key));
    ky_buf_put(out, e->content, sizeof(e->content));
    ky_buf_put(out, e->tx, sizeof(e->tx)); /* the union's bytes, whichever it is */
    ky_put_u32(out, e->at_s);
    ky_put_u8(out, e->kind);
    ky_put_u8(out, e->state);
}

static void put_nonce(struct ky_buf *out, const void *item)
{
    const struct operation_nonce *n = item;

    ky_buf_put(out, n->nonce, sizeof(n->nonce));
    ky_put_u64(out, n->expires_s);
}

void state_encode(const struct state *s, struct ky_buf *out)
{
    if (s->flights.count > 0)
        out->failed = true;
    ky_put_u32(out, SNAPSHOT_FORM);
    ky_put_u64(out, s->records);
    ky_put_u64(out, s->last_time_us);
    ky_put_u64(out, s->floor_step);
    put_name(out, &s->server_id);
    ky_put_u8(out, s->demo);
    put_map(&s->tx_by_id, out, put_tx);
    put_map(&s->subjects, out, put_subject);
    put_steps(&s->steps, out);
    put_map(&s->clients, out, put_client);
    ky_put_u64(out, s->replay.tail - s->replay.head);
    const struct replay_ring *ring = &s->replay;
    for (uint64_t q = ring->head; q < ring->tail; q++)
        put_replay(out, state_replay_at(ring, q));
    put_map(&s->nonces, out, put_nonce);
}

/* --- and back ----------------------------------------------------------------------------------------------- */

static void get_fixed(struct ky_reader *r, uint8_t *out, size_t n)
{
    struct ky_span s = ky_get_raw(r, n);

    if (s.len == n)
        memcpy(out, s.data, n);
}

static void get_name(struct ky_reader *r, struct name *out)
{
    name_set(out, ky_get_bytes(r, KY_NAME_MAX));
}

static bool get_subject(struct state *s, struct ky_reader *r)
{
    struct subject_fold *f = state_subject_touch(s, ky_get_u32(r));
    uint8_t key[MAP_KEY_LEN] = {0};

    if (f == NULL)
        return false;
    f->account.lockout.failures = ky_get_u32(r);
    f->account.lockout.total = ky_get_u32(r);
    f->account.lockout.locks = ky_get_u32(r);
    f->account.lockout.locked_until_s = ky_get_u64(r);
    f->account.not_me = ky_get_u8(r) != 0;
    for (size_t i = 0; i < STATE_BEGINS_MAX; i++)
        f->begins_s[i] = ky_get_u32(r);
    if (ky_get_u8(r) != 0) {
        get_fixed(r, key, sizeof(key));
        f->pending = state_tx(s, key);
    }
    return !r->failed;
}

static bool get_step(struct state *s, struct ky_reader *r)
{
    uint32_t row = ky_get_u32(r);
    uint64_t step = ky_get_u64(r);

    return !r->failed && state_step_put(s, row, step);
}

static bool get_client(struct state *s, struct ky_reader *r)
{
    struct client_fold *f = state_client_touch(s, ky_get_u32(r));

    if (f == NULL)
        return false;
    f->rate.minute = ky_get_u64(r);
    f->rate.attempts = ky_get_u32(r);
    f->rate.failures = ky_get_u32(r);
    state_client_suspend(s, f, ky_get_u64(r));
    f->over_threshold = ky_get_u8(r) != 0;
    return !r->failed;
}

static bool get_tx(struct state *s, struct ky_reader *r)
{
    struct tx t = {0};

    get_fixed(r, t.key, sizeof(t.key));
    t.due_s = ky_get_u64(r);
    t.state = ky_get_u8(r);
    t.scheme = ky_get_u8(r);
    t.hash = ky_get_u8(r);
    t.mgf_hash = ky_get_u8(r);
    t.salt_len = ky_get_u16(r);
    t.client_row = ky_get_u32(r);
    t.subject_row = ky_get_u32(r);
    t.credential_row = ky_get_u32(r);
    t.credential_epoch = ky_get_u32(r);
    get_name(r, &t.relying_party);
    get_fixed(r, t.spki_sha256, 32);
    get_fixed(r, t.content_sha256, 32);
    get_fixed(r, t.tx_digest, 32);
    get_fixed(r, t.nonce, KY_TX_NONCE_LEN);
    get_fixed(r, t.sad_sha256, 32);
    t.not_after_s = ky_get_u64(r);
    t.sad_not_after_s = ky_get_u64(r);
    t.authenticator_row = ky_get_u32(r);
    t.proof = ky_get_u8(r);
    struct ky_span code = ky_get_bytes(r, STATE_CODE_MAX);
    get_fixed(r, t.used, sizeof(t.used));
    struct ky_span hashes = ky_get_bytes(r, KY_HASHES_MAX * KY_DIGEST_MAX);
    struct ky_span display = ky_get_bytes(r, KY_DISPLAY_TEXT_MAX);
    return !r->failed && state_tx_restore(s, &t, code, hashes, display);
}

static bool get_replay(struct state *s, struct ky_reader *r)
{
    struct replay e = {0};

    get_fixed(r, e.key, sizeof(e.key));
    get_fixed(r, e.content, sizeof(e.content));
    get_fixed(r, e.tx, sizeof(e.tx));
    e.at_s = ky_get_u32(r);
    e.kind = ky_get_u8(r);
    e.state = ky_get_u8(r);
    return !r->failed && ky_ok(state_replay_put(s, &e));
}

static bool get_nonce(struct state *s, struct ky_reader *r)
{
    uint8_t nonce[16] = {0};

    get_fixed(r, nonce, sizeof(nonce));
    uint64_t expires_s = ky_get_u64(r);
    return !r->failed && state_nonce_put(s, nonce, expires_s);
}

struct ky_status state_decode(struct state *s, struct ky_span in)
{
    typedef bool (*get_fn)(struct state *, struct ky_reader *);
    static const get_fn items[] = {get_tx, get_subject, get_step, get_client, get_replay, get_nonce};
    struct ky_reader r = ky_reader(in);

    if (ky_get_u32(&r) != SNAPSHOT_FORM)
        return KY_STATUS(r.failed ? KY_CORRUPT : KY_UNIMPLEMENTED);
    s->records = ky_get_u64(&r);
    s->last_time_us = ky_get_u64(&r);
    s->floor_step = ky_get_u64(&r);
    get_name(&r, &s->server_id);
    s->demo = ky_get_u8(&r) != 0;
    for (size_t k = 0; k < sizeof(items) / sizeof(items[0]); k++) {
        uint64_t n = ky_get_u64(&r);
        for (uint64_t i = 0; i < n && !r.failed; i++)
            if (!items[k](s, &r))
                return KY_STATUS(r.failed ? KY_CORRUPT : KY_NOMEM);
    }
    return ky_reader_done(&r) ? KY_STATUS(KY_OK) : KY_STATUS(KY_CORRUPT);
}
