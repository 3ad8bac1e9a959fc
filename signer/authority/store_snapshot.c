/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots of the fold, so that a start replays only the tail. One is kept; the next replaces
 * it in its own transaction. Authority's thread, between turns.
 * Keeps: a snapshot is read only under its MAC over (size, frontier, versions, blob).
 */
#include "store_private.h"

#include "kyso/alg.h"
#include "kyso/wire.h"

#define VERSIONS_MAX (1024u * 1024u * 1024u)

static const char SNAPSHOT_TAG[] = "kyso.snapshot";

struct snapshot {
    uint64_t size;
    struct ky_span peaks;
    struct ky_span versions;
    struct ky_span blob;
};

/* The parts enter as their hashes: a blob of many megabytes is not copied to be MACed. */
static void snapshot_mac(struct store *s, const struct snapshot *in, uint8_t out[32])
{
    const struct ky_span parts[] = {in->peaks, in->versions, in->blob};
    uint8_t hash[32];
    ky_buf_reset(&s->scratch);
    ky_buf_put(&s->scratch, SNAPSHOT_TAG, sizeof(SNAPSHOT_TAG) - 1);
    ky_put_u64(&s->scratch, in->size);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        ky_sha256(parts[i], hash);
        ky_buf_put(&s->scratch, hash, sizeof(hash));
    }
    store_mac(s, s->keys.state, out);
}

/* Per table: u32 count, then each row's version. */
static void put_versions(const struct store *s, struct ky_buf *out)
{
    for (uint32_t table = ROW_SUBJECT; table < ROW_TABLE_END; table++) {
        const struct store_versions *v = &s->versions[table];
        ky_put_u32(out, v->count);
        for (uint32_t i = 0; i < v->count; i++) {
            ky_put_u32(out, v->of[i]);
        }
    }
}

static struct ky_status get_versions(struct store *s, struct ky_span in)
{
    struct ky_reader r = ky_reader(in);
    for (uint32_t table = ROW_SUBJECT; table < ROW_TABLE_END; table++) {
        /* One from before a table was: it has no rows. */
        uint32_t count = ky_reader_done(&r) ? 0 : ky_get_u32(&r);

        s->versions[table].count = 0;
        for (uint32_t row = 1; row <= count && !r.failed; row++) {
            struct ky_status st = store_versions_set(s, table, row, ky_get_u32(&r));
            if (!ky_ok(st)) {
                return st;
            }
        }
    }
    return KY_STATUS(ky_reader_done(&r) ? KY_OK : KY_CORRUPT);
}

static struct ky_status put_snapshot(struct store *s, const struct snapshot *snap)
{
    uint8_t mac[32];
    bool found = false;
    snapshot_mac(s, snap, mac);
    store_bind_u64(s, STMT_SNAPSHOT_PUT, 1, snap->size);
    store_bind_span(s, STMT_SNAPSHOT_PUT, 2, snap->peaks);
    store_bind_span(s, STMT_SNAPSHOT_PUT, 3, snap->versions);
    store_bind_span(s, STMT_SNAPSHOT_PUT, 4, snap->blob);
    store_bind_span(s, STMT_SNAPSHOT_PUT, 5, KY_SPAN_OF(mac));
    struct ky_status st =
        store_step(s, STMT_SNAPSHOT_PUT, &found); /* outside a turn: commits by itself */
    /* Megabytes in the WAL: whoever asked for the snapshot waits for them, not the next turn. */
    return ky_ok(st) ? store_checkpoint_wal(s) : st;
}

struct ky_status store_snapshot_write(struct store *s, struct ky_span blob)
{
    struct ky_buf versions = KY_BUF_INIT(VERSIONS_MAX);
    struct ky_buf peaks = KY_BUF_INIT(64u * 32u);
    struct ky_status st = store_usable(s);
    if (!ky_ok(st)) {
        return st;
    }
    if (s->in_turn || s->mode == STORE_READ_ONLY) {
        return KY_STATUS(KY_INVALID);
    }
    put_versions(s, &versions);
    store_put_peaks(&s->merkle, &peaks);
    if (versions.failed || peaks.failed) {
        st = KY_STATUS(KY_NOMEM);
    } else {
        struct snapshot snap = {.size = s->committed,
                                .peaks = ky_buf_span(&peaks),
                                .versions = ky_buf_span(&versions),
                                .blob = blob};
        st = put_snapshot(s, &snap);
    }
    ky_buf_free(&versions);
    ky_buf_free(&peaks);
    return st;
}

/* Straight from the pages: a column would be a second copy of hundreds of megabytes. */
static struct ky_status read_body(struct store *s, struct ky_buf *out)
{
    sqlite3_blob *body = NULL;
    struct ky_status st = KY_STATUS(KY_NOMEM);
    int rc = sqlite3_blob_open(s->db, "main", "snapshot", "body", 1, 0, &body);
    if (rc == SQLITE_OK) {
        size_t len = (size_t)sqlite3_blob_bytes(body);
        ky_buf_reset(out);
        uint8_t *to = ky_buf_grow(out, len);
        if (to != NULL || len == 0) {
            rc = sqlite3_blob_read(body, to, (int)len, 0);
            st = KY_STATUS(KY_OK);
        }
    }
    (void)sqlite3_blob_close(body);
    if (rc == SQLITE_ERROR) {
        return KY_STATUS(KY_CORRUPT); /* no bytes in that column */
    }
    return rc == SQLITE_OK ? st : store_fail(s, rc);
}

static struct ky_status take_snapshot(struct store *s, struct ky_buf *out_blob, uint64_t *out_size)
{
    sqlite3_stmt *stmt = s->stmts[STMT_SNAPSHOT_GET];
    struct snapshot snap = {.size = (uint64_t)sqlite3_column_int64(stmt, 0),
                            .peaks = store_column(stmt, 1),
                            .versions = store_column(stmt, 2)};
    struct merkle tree;
    uint8_t want[32];
    struct ky_status st = read_body(s, out_blob);
    if (!ky_ok(st)) {
        return st;
    }
    snap.blob = ky_buf_span(out_blob);
    snapshot_mac(s, &snap, want);
    if (!ky_span_eq_ct(KY_SPAN_OF(want), store_column(stmt, 3)) || snap.size > s->committed) {
        return KY_STATUS(KY_CORRUPT);
    }
    st = store_get_peaks(snap.peaks, snap.size, &tree);
    if (ky_ok(st)) {
        st = get_versions(s, snap.versions);
    }
    if (ky_ok(st)) {
        s->snapshot = tree;
        *out_size = snap.size;
    }
    return st;
}

struct ky_status store_snapshot_read(struct store *s, struct ky_buf *out_blob, uint64_t *out_size)
{
    bool found = false;
    struct ky_status st = store_usable(s);
    if (!ky_ok(st)) {
        return st;
    }
    if (s->keys.state == NULL || s->in_turn) {
        return KY_STATUS(KY_INVALID);
    }
    st = store_step(s, STMT_SNAPSHOT_GET, &found);
    if (!ky_ok(st) || !found) {
        return ky_ok(st) ? KY_STATUS(KY_NOT_FOUND) : st;
    }
    st = take_snapshot(s, out_blob, out_size);
    store_reset(s, STMT_SNAPSHOT_GET);
    return st;
}
