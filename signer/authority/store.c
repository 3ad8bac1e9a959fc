/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's engine: staging leaves, the turn's transaction, reading leaves back.
 * Authority's thread only.
 * Keeps: I6. The first error of any statement or sync seals the store and is never retried; a turn is
 * one transaction, so it is there whole or not at all.
 */
#include "store_private.h"

#include <string.h>

#include "kyso/wire.h"

struct ky_status store_usable(const struct store *s)
{
    return s->failure;
}

void store_seal(struct store *s, int rc)
{
    if (!ky_ok(s->failure)) {
        return; /* the first one is the reason */
    }
    s->failure = KY_STATUS_CAUSE(KY_SEALED, rc);
    /* After a failed sync the pages may look clean and yet not be on the disk: a checkpoint would trust them. */
    (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
}

struct ky_status store_fail(struct store *s, int rc)
{
    store_seal(s, rc);
    return KY_STATUS_CAUSE(KY_STORE, rc);
}

struct ky_status store_sealed(const struct store *s)
{
    return s->failure;
}

void store_reset(struct store *s, enum store_stmt which)
{
    (void)sqlite3_reset(s->stmts[which]);
    (void)sqlite3_clear_bindings(s->stmts[which]);
}

struct ky_status store_step(struct store *s, enum store_stmt which, bool *out_row)
{
    int rc = sqlite3_step(s->stmts[which]);
    if (rc == SQLITE_ROW) {
        *out_row = true;
        return KY_STATUS(KY_OK);
    }
    store_reset(s, which);
    if (rc != SQLITE_DONE) {
        return store_fail(s, rc);
    }
    *out_row = false;
    return KY_STATUS(KY_OK);
}

/* A bind fails only for want of memory or a wrong number; the statement then meets a NOT NULL column and fails. */
void store_bind_u64(struct store *s, enum store_stmt which, int at, uint64_t v)
{
    (void)sqlite3_bind_int64(s->stmts[which], at, (sqlite3_int64)v);
}

void store_bind_span(struct store *s, enum store_stmt which, int at, struct ky_span v)
{
    (void)sqlite3_bind_blob64(s->stmts[which], at, v.len == 0 ? (const uint8_t *)"" : v.data, v.len,
                              SQLITE_STATIC);
}

struct ky_span store_column(sqlite3_stmt *stmt, int at)
{
    const uint8_t *data = sqlite3_column_blob(stmt, at);
    return KY_SPAN(data, data == NULL ? 0 : (size_t)sqlite3_column_bytes(stmt, at));
}

/* Done before a turn and not after one, so that a failure here leaves no turn whose fate is open. */
struct ky_status store_checkpoint_wal(struct store *s)
{
    int rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (rc == SQLITE_LOCKED) {
        return KY_STATUS(KY_OK); /* a read of ours is under way: the next turn does it */
    }
    if (rc != SQLITE_OK) {
        return store_fail(s, sqlite3_extended_errcode(s->db));
    }
    s->wal_frames = 0;
    return KY_STATUS(KY_OK);
}

struct ky_status store_begin(struct store *s)
{
    struct ky_status st = store_usable(s);
    if (!ky_ok(st) || s->in_turn) {
        return st;
    }
    if (s->mode == STORE_READ_ONLY) {
        return KY_STATUS(KY_INVALID);
    }
    if (s->wal_frames >= s->wal_limit) {
        st = store_checkpoint_wal(s);
    }
    bool row = false;
    if (ky_ok(st)) {
        st = store_step(s, STMT_BEGIN, &row);
    }
    s->in_turn = ky_ok(st);
    return st;
}

struct ky_status store_commit(struct store *s)
{
    struct ky_status st = store_usable(s);
    if (!ky_ok(st) || !s->in_turn) {
        return st;
    }
    if (sqlite3_get_autocommit(s->db)) {
        return store_fail(s,
                          SQLITE_ABORT); /* the transaction is gone, and what was staged with it */
    }
    bool row = false;
    st = store_turn_put(s, s->turns + 1);
    if (ky_ok(st)) {
        st = store_step(s, STMT_COMMIT, &row);
    }
    if (ky_ok(st)) {
        s->turns++;
        s->committed = s->merkle.size;
        memcpy(s->head_root, s->staged_root, sizeof(s->head_root));
        s->in_turn = false;
    }
    return st;
}

uint64_t store_turns(const struct store *s)
{
    return s->turns;
}

uint64_t store_ledger_size(const struct store *s)
{
    return s->merkle.size;
}

const struct merkle *store_merkle(const struct store *s)
{
    return &s->merkle;
}

static struct ky_status put_private(struct store *s, uint64_t index, struct ky_span data)
{
    if (data.len == 0) {
        return KY_STATUS(KY_OK);
    }
    bool row = false;
    store_bind_u64(s, STMT_PRIVATE, 1, index);
    store_bind_span(s, STMT_PRIVATE, 2, data);
    return store_step(s, STMT_PRIVATE, &row);
}

struct ky_status store_append(struct store *s, const struct ky_schema *schema, const void *msg,
                              uint64_t time_us, struct ky_span private_data, uint64_t *out_index)
{
    uint64_t index = s->merkle.size;
    if (private_data.len > LEDGER_LEAF_MAX) {
        return KY_STATUS(KY_INVALID);
    }
    ky_buf_reset(&s->leaf);
    ky_put_u64(&s->leaf, index);
    ky_put_u64(&s->leaf, time_us);
    ky_put_u16(&s->leaf, schema->type);
    struct ky_status st = ky_msg_encode(schema, msg, &s->leaf);
    if (!ky_ok(st)) {
        return st;
    }
    if (s->leaf.failed) {
        return KY_STATUS(KY_INVALID);
    }
    st = store_begin(s);
    if (!ky_ok(st)) {
        return st;
    }
    bool row = false;
    store_bind_u64(s, STMT_LEAF, 1, index);
    store_bind_span(s, STMT_LEAF, 2, ky_buf_span(&s->leaf));
    st = store_step(s, STMT_LEAF, &row);
    if (ky_ok(st)) {
        st = put_private(s, index, private_data);
    }
    if (!ky_ok(st)) {
        return st;
    }
    merkle_append(&s->merkle, ky_buf_span(&s->leaf));
    if (out_index != NULL) {
        *out_index = index;
    }
    return st;
}

/* One reading. From the first leaf, or from the snapshot's size, to the head it hashes along: that proves every leaf of it. */
struct reading {
    uint64_t next;
    uint64_t end;
    bool proves;
    struct merkle tree;
    uint8_t head[32]; /* root at `end`, if it proves */
};

static struct reading reading_of(const struct store *s, uint64_t from, uint64_t limit)
{
    struct reading r = {.next = from, .end = s->committed};
    if (limit != 0 && limit < s->committed - from) {
        r.end = from + limit;
    }
    r.proves = r.end == s->committed && (from == 0 || from == s->snapshot.size);
    if (r.proves && from != 0) {
        r.tree = s->snapshot;
    }
    memcpy(r.head, s->head_root, sizeof(r.head));
    return r;
}

static struct ky_status read_leaf(struct reading *r, sqlite3_stmt *stmt, store_leaf_fn fn,
                                  void *ctx)
{
    struct ky_span leaf = store_column(stmt, 1);
    struct ledger_leaf head;
    struct ky_status st = ledger_leaf_parse(leaf, &head);
    if (!ky_ok(st) || head.index != r->next || (uint64_t)sqlite3_column_int64(stmt, 0) != r->next) {
        return KY_STATUS(KY_CORRUPT);
    }
    r->next++;
    if (r->proves) {
        merkle_append(&r->tree, leaf);
    }
    return fn(ctx, leaf, store_column(stmt, 2));
}

static struct ky_status end_reading(const struct reading *r)
{
    uint8_t root[32];
    merkle_root(&r->tree, root);
    bool holds =
        r->next == r->end && (!r->proves || ky_span_eq(KY_SPAN_OF(root), KY_SPAN_OF(r->head)));
    return KY_STATUS(holds ? KY_OK : KY_CORRUPT);
}

struct ky_status store_ledger_read(struct store *s, uint64_t from, uint64_t limit, store_leaf_fn fn,
                                   void *ctx)
{
    struct ky_status st = store_usable(s);
    sqlite3_stmt *stmt = NULL;
    if (!ky_ok(st) || from >= s->committed) {
        return st;
    }
    struct reading r = reading_of(s, from, limit);
    /* A statement of its own: fn may read again. */
    int rc = sqlite3_prepare_v2(
        s->db,
        "SELECT l.idx, l.leaf, p.data FROM ledger l LEFT JOIN private p ON p.idx = l.idx"
        " WHERE l.idx >= ?1 AND l.idx < ?2 ORDER BY l.idx",
        -1, &stmt, NULL);
    if (rc == SQLITE_OK) {
        (void)sqlite3_bind_int64(stmt, 1, (sqlite3_int64)from);
        (void)sqlite3_bind_int64(stmt, 2, (sqlite3_int64)r.end);
        while (ky_ok(st) && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
            st = read_leaf(&r, stmt, fn, ctx);
        }
    }
    (void)sqlite3_finalize(stmt);
    if (ky_ok(st) && rc != SQLITE_DONE) {
        return store_fail(s, rc);
    }
    return ky_ok(st) ? end_reading(&r) : st;
}
