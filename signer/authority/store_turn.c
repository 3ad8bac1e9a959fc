/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The turn's MACed head: (turn, size, root, frontier), and the full check of the ledger against
 * the heads that were kept. Authority's thread.
 * Keeps: I6, nothing is loaded under a head whose MAC does not hold.
 */
#include "store_private.h"

#include <string.h>

#include "kyso/alg.h"
#include "kyso/wire.h"

static const char TURN_TAG[] = "kyso.turn";

void store_mac(struct store *s, const struct ky_secret *key, uint8_t out[32])
{
    ky_hmac_sha256(ky_secret_span(key), ky_buf_span(&s->scratch), out);
}

void store_put_peaks(const struct merkle *m, struct ky_buf *out)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        if (m->size >> bit & 1u) {
            ky_buf_put(out, m->peaks[bit], sizeof(m->peaks[bit]));
        }
    }
}

struct ky_status store_get_peaks(struct ky_span peaks, uint64_t size, struct merkle *out)
{
    struct merkle m = {.size = size};
    struct ky_reader r = ky_reader(peaks);
    for (unsigned bit = 0; bit < 64; bit++) {
        if (size >> bit & 1u) {
            struct ky_span peak = ky_get_raw(&r, sizeof(m.peaks[bit]));
            if (!r.failed) {
                memcpy(m.peaks[bit], peak.data, sizeof(m.peaks[bit]));
            }
        }
    }
    if (!ky_reader_done(&r)) {
        return KY_STATUS(KY_CORRUPT);
    }
    *out = m;
    return KY_STATUS(KY_OK);
}

/* HMAC(state key, "kyso.turn" || size || root || turn || frontier) */
static void turn_mac(struct store *s, const struct store_turn *t, uint8_t out[32])
{
    ky_buf_reset(&s->scratch);
    ky_buf_put(&s->scratch, TURN_TAG, sizeof(TURN_TAG) - 1);
    ky_put_u64(&s->scratch, t->tree.size);
    ky_buf_put(&s->scratch, t->root, sizeof(t->root));
    ky_put_u64(&s->scratch, t->turn);
    store_put_peaks(&t->tree, &s->scratch);
    store_mac(s, s->keys.state, out);
}

struct ky_status store_turn_put(struct store *s, uint64_t turn)
{
    struct store_turn t = {.turn = turn, .tree = s->merkle};
    merkle_root(&t.tree, t.root);
    memcpy(s->staged_root, t.root, sizeof(t.root));
    turn_mac(s, &t, t.mac);
    ky_buf_reset(&s->body);
    store_put_peaks(&t.tree, &s->body);
    if (s->body.failed || s->scratch.failed) {
        return store_fail(s, SQLITE_NOMEM);
    }
    store_bind_u64(s, STMT_TURN_ADD, 1, t.turn);
    store_bind_u64(s, STMT_TURN_ADD, 2, t.tree.size);
    store_bind_span(s, STMT_TURN_ADD, 3, KY_SPAN_OF(t.root));
    store_bind_span(s, STMT_TURN_ADD, 4, ky_buf_span(&s->body));
    store_bind_span(s, STMT_TURN_ADD, 5, KY_SPAN_OF(t.mac));
    bool row = false;
    struct ky_status st = store_step(s, STMT_TURN_ADD, &row);
    if (ky_ok(st) && turn > 0 && (turn - 1) % STORE_TURN_KEEP != 0) {
        store_bind_u64(s, STMT_TURN_DROP, 1, turn - 1);
        st = store_step(s, STMT_TURN_DROP, &row);
    }
    return st;
}

/* Takes the columns (turn, size, root, peaks, mac) apart and checks that they agree. */
static struct ky_status turn_from_row(struct store *s, sqlite3_stmt *stmt, struct store_turn *out)
{
    struct store_turn t = {.turn = (uint64_t)sqlite3_column_int64(stmt, 0)};
    struct ky_span root = store_column(stmt, 2);
    struct ky_span mac = store_column(stmt, 4);
    uint8_t want[32];
    if (root.len != sizeof(t.root) || mac.len != sizeof(t.mac)) {
        return KY_STATUS(KY_CORRUPT);
    }
    struct ky_status st =
        store_get_peaks(store_column(stmt, 3), (uint64_t)sqlite3_column_int64(stmt, 1), &t.tree);
    if (!ky_ok(st)) {
        return st;
    }
    memcpy(t.root, root.data, sizeof(t.root));
    memcpy(t.mac, mac.data, sizeof(t.mac));
    merkle_root(&t.tree, want);
    if (!ky_span_eq(KY_SPAN_OF(want), KY_SPAN_OF(t.root))) {
        return KY_STATUS(KY_CORRUPT);
    }
    if (s->keys.state != NULL) {
        turn_mac(s, &t, want);
        if (!ky_span_eq_ct(KY_SPAN_OF(want), KY_SPAN_OF(t.mac))) {
            return KY_STATUS(KY_CORRUPT);
        }
    }
    *out = t;
    return KY_STATUS(KY_OK);
}

/* A whole turn commits or nothing does, so leaves outside [0, size) were put there by someone else. */
static struct ky_status check_bounds(struct store *s, uint64_t size)
{
    sqlite3_stmt *stmt = NULL;
    bool holds = false;
    int rc =
        sqlite3_prepare_v2(s->db,
                           "SELECT (SELECT min(idx) FROM ledger), (SELECT max(idx) FROM ledger),"
                           " (SELECT max(idx) FROM private)",
                           -1, &stmt, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(stmt);
    }
    if (rc == SQLITE_ROW && size == 0) {
        holds = sqlite3_column_type(stmt, 0) == SQLITE_NULL &&
                sqlite3_column_type(stmt, 2) == SQLITE_NULL;
    } else if (rc == SQLITE_ROW) {
        holds = sqlite3_column_type(stmt, 0) != SQLITE_NULL && sqlite3_column_int64(stmt, 0) == 0 &&
                (uint64_t)sqlite3_column_int64(stmt, 1) == size - 1 &&
                sqlite3_column_int64(stmt, 2) <= (int64_t)(size - 1);
    }
    sqlite3_finalize(stmt);
    if (rc != SQLITE_ROW) {
        return store_fail(s, rc);
    }
    return KY_STATUS(holds ? KY_OK : KY_CORRUPT);
}

/* The newest kept turn with at most that many leaves. */
static struct ky_status newest_turn(struct store *s, int64_t size, bool *out_any,
                                    struct store_turn *out)
{
    sqlite3_stmt *stmt = NULL;
    struct ky_status st = KY_STATUS(KY_OK);
    int rc = sqlite3_prepare_v2(s->db,
                                "SELECT turn, size, root, peaks, mac FROM turns WHERE size <= ?1"
                                " ORDER BY turn DESC LIMIT 1",
                                -1, &stmt, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_bind_int64(stmt, 1, size);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(stmt);
    }
    *out_any = rc == SQLITE_ROW;
    if (rc == SQLITE_ROW) {
        st = turn_from_row(s, stmt, out);
    } else if (rc != SQLITE_DONE) {
        st = store_fail(s, rc);
    }
    sqlite3_finalize(stmt);
    return st;
}

struct ky_status store_turn_load(struct store *s)
{
    struct store_turn head = {0};
    bool any = false;
    struct ky_status st = newest_turn(s, INT64_MAX, &any, &head);
    if (ky_ok(st)) {
        st = any ? check_bounds(s, head.tree.size) : KY_STATUS(KY_CORRUPT);
    }
    if (ky_ok(st)) {
        s->merkle = head.tree;
        memcpy(s->head_root, head.root, sizeof(head.root));
        s->committed = head.tree.size;
        s->turns = head.turn;
    }
    return st;
}

struct ky_status store_turn_before(struct store *s, uint64_t size, struct merkle *out_tree)
{
    struct store_turn t = {0};
    bool any = false;
    struct ky_status st = store_usable(s);
    if (ky_ok(st)) {
        st = newest_turn(s, (int64_t)size, &any, &t);
    }
    if (ky_ok(st)) {
        *out_tree = t.tree;
    }
    return st;
}

struct checking {
    struct store *s;
    sqlite3_stmt *stmt;
    struct merkle tree;
    struct store_turn next; /* the kept turn that comes next */
    bool have_next;
    uint64_t last_turn;
};

static struct ky_status next_turn(struct checking *c)
{
    int rc = sqlite3_step(c->stmt);
    c->have_next = rc == SQLITE_ROW;
    if (rc == SQLITE_ROW) {
        return turn_from_row(c->s, c->stmt, &c->next);
    }
    return rc == SQLITE_DONE ? KY_STATUS(KY_OK) : store_fail(c->s, rc);
}

/* Several turns may have one size: a turn that wrote no leaf. */
static struct ky_status compare_turns(struct checking *c)
{
    struct ky_status st = KY_STATUS(KY_OK);
    uint8_t root[32];
    while (ky_ok(st) && c->have_next && c->next.tree.size <= c->tree.size) {
        merkle_root(&c->tree, root);
        if (c->next.tree.size != c->tree.size ||
            !ky_span_eq(KY_SPAN_OF(root), KY_SPAN_OF(c->next.root))) {
            return KY_STATUS(KY_CORRUPT);
        }
        c->last_turn = c->next.turn;
        st = next_turn(c);
    }
    return st;
}

static struct ky_status check_leaf(void *ctx, struct ky_span leaf, struct ky_span private_data)
{
    struct checking *c = ctx;
    (void)private_data;
    merkle_append(&c->tree, leaf);
    return compare_turns(c);
}

struct ky_status store_ledger_check(struct store *s)
{
    struct checking c = {.s = s};
    struct ky_status st = store_usable(s);
    if (!ky_ok(st)) {
        return st;
    }
    int rc = sqlite3_prepare_v2(
        s->db, "SELECT turn, size, root, peaks, mac FROM turns ORDER BY turn", -1, &c.stmt, NULL);
    st = rc == SQLITE_OK ? next_turn(&c) : store_fail(s, rc);
    if (ky_ok(st)) {
        st = compare_turns(&c);
    }
    if (ky_ok(st)) {
        st = store_ledger_read(s, 0, 0, check_leaf, &c);
    }
    if (ky_ok(st) && (c.have_next || c.tree.size != s->committed || c.last_turn != s->turns)) {
        st = KY_STATUS(KY_CORRUPT);
    }
    sqlite3_finalize(c.stmt);
    return st;
}
