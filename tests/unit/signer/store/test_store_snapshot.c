/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots, the layout's versions, the anchor's form.
 */
#include "store_private.h"
#include "store_test.h"

#include <string.h>

/* --- snapshots ------------------------------------------------------------------------------- */

static void expect_blob(struct bench *b, const char *want, uint64_t want_size)
{
    struct ky_buf blob = KY_BUF_INIT(1024);
    uint64_t size = 0;
    OK(store_snapshot_read(b->store, &blob, &size));
    assert_true(ky_span_eq(ky_buf_span(&blob), ky_span_text(want)));
    assert_int_equal(size, want_size);
    ky_buf_free(&blob);
}

static void a_snapshot_carries_versions_and_size(void **state)
{
    struct bench *b = *state;
    struct row_subject subject;
    struct ky_buf blob = KY_BUF_INIT(1024);
    uint64_t size = 0;
    EXPECT(KY_NOT_FOUND, store_snapshot_read(b->store, &blob, &size));
    OK(bench_subject(b, 0, "cccd:1", NULL));
    OK(bench_subject(b, 0, "cccd:2", NULL));
    OK(bench_subject(b, 2, "cccd:2b", NULL));
    EXPECT(KY_INVALID,
           store_snapshot_write(b->store, ky_span_text("staged"))); /* between turns only */
    OK(store_commit(b->store));
    OK(store_snapshot_write(b->store, ky_span_text("first")));
    assert_int_equal(b->store->wal_frames, 0); /* the next turn does not wait for its checkpoint */
    bench_turn(b, 1, 4);
    bench_close(b);
    OK(bench_open(b));
    assert_int_equal(store_row_count(b->store, ROW_SUBJECT), 0);
    expect_blob(b, "first", 3);
    assert_int_equal(store_row_count(b->store, ROW_SUBJECT), 2);
    OK(store_row_get(b->store, ROW_SUBJECT, 2, &subject)); /* although the tail was not read */
    assert_true(ky_span_eq(subject.subject_id, ky_span_text("cccd:2b")));
    OK(store_snapshot_write(b->store, ky_span_text("second")));
    bench_reopen(b);
    expect_blob(b, "second", 7);
    ky_buf_free(&blob);
}

static void a_blob_that_does_not_fit_is_not_given_in_part(void **state)
{
    struct bench *b = *state;
    struct ky_buf blob = KY_BUF_INIT(4);
    uint64_t size = 99;
    bench_turn(b, 1, 1);
    OK(store_snapshot_write(b->store, ky_span_text("five+")));
    EXPECT(KY_NOMEM, store_snapshot_read(b->store, &blob, &size));
    assert_int_equal(size, 99);
    ky_buf_free(&blob);
    OK(store_snapshot_write(b->store, ky_span_text("")));
    expect_blob(b, "", 1);
}

static void a_changed_snapshot_is_refused(void **state)
{
    static const char *const cases[] = {
        "UPDATE snapshot SET body = 'x' || substr(body, 2)",
        "UPDATE snapshot SET body = body || x'00'",
        "UPDATE snapshot SET body = 5",
        "UPDATE snapshot SET versions = zeroblob(length(versions))",
        "UPDATE snapshot SET versions = versions || x'00'",
        "UPDATE snapshot SET peaks = zeroblob(length(peaks))",
        "UPDATE snapshot SET size = size - 1",
        "UPDATE snapshot SET mac = zeroblob(32)",
        "UPDATE snapshot SET mac = x''",
        /* a part moved over the border between two columns */
        "UPDATE snapshot SET versions = versions || substr(body, 1, 1), body = substr(body, 2)",
    };
    struct bench *b = *state;
    OK(bench_subject(b, 0, "cccd:1", NULL));
    bench_turn(b, 1, 2);
    OK(store_snapshot_write(b->store, ky_span_text("state")));
    bench_sql(b, "CREATE TABLE good AS SELECT * FROM snapshot");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bench_sql(b, "DELETE FROM snapshot; INSERT INTO snapshot SELECT * FROM good");
        bench_sql(b, cases[i]);
        struct ky_status st = bench_start(b);
        if (st.code != KY_CORRUPT) {
            fail_msg("%s: code %d", cases[i], (int)st.code);
        }
    }
    bench_sql(b, "DELETE FROM snapshot; INSERT INTO snapshot SELECT * FROM good");
    OK(bench_start(b));
}

/*
 * An older snapshot is honest, if slower: the tail that follows it is longer. A newer one than the
 * ledger is not.
 */
static void a_snapshot_of_another_time(void **state)
{
    struct bench *b = *state;
    struct row_subject subject;
    OK(bench_subject(b, 0, "cccd:1", NULL));
    OK(store_commit(b->store));
    OK(store_snapshot_write(b->store, ky_span_text("old")));
    bench_sql(
        b,
        "CREATE TABLE old AS SELECT * FROM snapshot; CREATE TABLE old_turns AS SELECT * FROM turns;"
        "CREATE TABLE old_ledger AS SELECT * FROM ledger");
    OK(bench_start(b));
    OK(bench_subject(b, 1, "cccd:1b", NULL));
    OK(store_commit(b->store));
    OK(store_snapshot_write(b->store, ky_span_text("new")));
    bench_sql(b, "CREATE TABLE new AS SELECT * FROM snapshot; DELETE FROM snapshot;"
                 "INSERT INTO snapshot SELECT * FROM old");
    OK(bench_start(b));
    OK(store_row_get(b->store, ROW_SUBJECT, 1, &subject));
    assert_true(ky_span_eq(subject.subject_id, ky_span_text("cccd:1b")));
    bench_sql(b, "DELETE FROM snapshot; INSERT INTO snapshot SELECT * FROM new; DELETE FROM turns;"
                 "INSERT INTO turns SELECT * FROM old_turns; DELETE FROM ledger;"
                 "INSERT INTO ledger SELECT * FROM old_ledger");
    EXPECT(KY_CORRUPT, bench_start(b));
}

/* --- the layout's version -------------------------------------------------------------------- */

static void an_older_layout_is_upgraded_in_place(void **state)
{
    struct bench *b = *state;
    OK(bench_subject(b, 0, "cccd:1", NULL));
    bench_turn(b, 1, 3);
    /* Version 0: a layout from before secondary keys and snapshots. */
    bench_sql(
        b,
        "DROP TABLE lookup; DROP TABLE snapshot; UPDATE meta SET value = 0 WHERE key = 'schema'");
    OK(bench_start(b));
    assert_int_equal(store_ledger_size(b->store), 4);
    OK(store_ledger_check(b->store));
    OK(store_lookup_add(b->store, STORE_BY_SUBJECT_ID, ky_span_text("cccd:1"), 1));
    OK(store_commit(b->store));
    OK(store_snapshot_write(b->store, ky_span_text("state")));
    bench_reopen(b);
}

static void a_newer_or_unknown_layout_is_refused(void **state)
{
    static const char *const cases[] = {
        "UPDATE meta SET value = 2 WHERE key = 'schema'",
        "UPDATE meta SET value = -1 WHERE key = 'schema'",
        "UPDATE meta SET value = 4294967297 WHERE key = 'schema'",
        "DELETE FROM meta",
    };
    struct bench *b = *state;
    bench_turn(b, 1, 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bench_sql(b, cases[i]);
        struct ky_status st = bench_start(b);
        assert_int_equal(st.code, KY_STORE);
        assert_int_equal(st.cause, SQLITE_SCHEMA);
    }
    bench_sql(b, "INSERT INTO meta VALUES('schema', 1)");
    OK(bench_start(b));
}

static int64_t query_int(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int64_t v = sqlite3_column_int64(stmt, 0);
    assert_int_equal(sqlite3_finalize(stmt), SQLITE_OK);
    return v;
}

static void steps_run_in_order_and_all_or_none(void **state)
{
    (void)state;
    const struct store_step steps[] = {
        {.from = 0, .sql = "CREATE TABLE t(a)"},
        {.from = 2, .sql = "INSERT INTO t VALUES(2)"},
        {.from = 1, .sql = "INSERT INTO t VALUES(1)"},
        {.from = 3, .sql = "INSERT INTO t VALUES(3); INSERT INTO absent VALUES(1)"},
    };
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "CREATE TABLE meta(key TEXT PRIMARY KEY, value);"
                                  "INSERT INTO meta VALUES('schema', 0)",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(store_upgrade(db, steps, 3, 3), SQLITE_OK);
    assert_int_equal(query_int(db, "SELECT value FROM meta"), 3);
    assert_int_equal(query_int(db, "SELECT group_concat(a, '') FROM t"), 12);
    assert_int_equal(store_upgrade(db, steps, 3, 4), SQLITE_SCHEMA); /* no step leads there */
    assert_int_equal(store_upgrade(db, steps, 4, 4),
                     SQLITE_ERROR); /* the last step fails half-way */
    assert_int_equal(query_int(db, "SELECT value FROM meta"), 3);
    assert_int_equal(query_int(db, "SELECT count(*) FROM t"), 2);
    assert_int_equal(store_upgrade(db, steps, 4, 2), SQLITE_SCHEMA);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* --- turn rows ------------------------------------------------------------------------------- */

static void one_turn_row_in_4096_is_kept(void **state)
{
    struct bench *b = *state;
    /* Four thousand syncs would be all this test waits for. */
    assert_int_equal(sqlite3_exec(b->store->db, "PRAGMA synchronous = OFF", NULL, NULL, NULL),
                     SQLITE_OK);
    for (uint32_t i = 0; i < STORE_TURN_KEEP + 3; i++) {
        bench_turn(b, i, 1);
    }
    OK(store_ledger_check(b->store));
    assert_int_equal(query_int(b->store->db, "SELECT group_concat(turn, '') FROM turns"), 40964099);
    struct merkle tree = {.size = 1};
    OK(store_turn_before(b->store, STORE_TURN_KEEP - 1, &tree));
    assert_int_equal(tree.size, 0);
    OK(store_turn_before(b->store, STORE_TURN_KEEP + 2, &tree));
    assert_int_equal(tree.size, STORE_TURN_KEEP);
    OK(store_turn_before(b->store, UINT32_MAX, &tree));
    assert_int_equal(tree.size, STORE_TURN_KEEP + 3);
    bench_sql(b, "CREATE TABLE good AS SELECT * FROM turns;"
                 "UPDATE turns SET mac = zeroblob(32) WHERE turn = 4096");
    OK(bench_open(b));
    EXPECT(KY_CORRUPT, store_turn_before(b->store, STORE_TURN_KEEP + 2, &tree));
    bench_sql(b, "DELETE FROM turns; INSERT INTO turns SELECT * FROM good");
    bench_sql(
        b,
        "UPDATE ledger SET leaf = substr(leaf, 1, 20) || x'ff' || substr(leaf, 22) WHERE idx = 7");
    OK(bench_open(b));
    EXPECT(KY_CORRUPT, store_ledger_check(b->store));
}

/* --- the anchor ------------------------------------------------------------------------------ */

static void an_anchor_holds_under_its_key_only(void **state)
{
    struct bench *b = *state;
    struct anchor in = {.size = 1u << 20, .root = {1, 2, 3}, .sequence = 77, .clean = 1};
    struct anchor out = {0};
    struct ky_buf form = KY_BUF_INIT(256);
    anchor_encode(&in, &b->state, &form);
    assert_false(form.failed);
    assert_int_equal(form.len, ANCHOR_LEN);
    OK(anchor_decode(ky_buf_span(&form), &b->state, &out));
    assert_int_equal(out.size, in.size);
    assert_memory_equal(out.root, in.root, 32);
    assert_int_equal(out.sequence, 77);
    assert_int_equal(out.clean, 1);
    EXPECT(KY_CORRUPT, anchor_decode(ky_buf_span(&form), &b->row_mac, &out));
    EXPECT(KY_INVALID, anchor_decode(KY_SPAN(form.data, form.len - 1), &b->state, &out));
    EXPECT(KY_INVALID, anchor_decode(KY_SPAN(NULL, 0), &b->state, &out));
    for (size_t bit = 0; bit < form.len * 8; bit++) {
        form.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(ky_ok(anchor_decode(ky_buf_span(&form), &b->state, &out)));
        form.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ky_buf_free(&form);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)
        TEST(a_snapshot_carries_versions_and_size),
        TEST(a_blob_that_does_not_fit_is_not_given_in_part),
        TEST(a_changed_snapshot_is_refused),
        TEST(a_snapshot_of_another_time),
        TEST(an_older_layout_is_upgraded_in_place),
        TEST(a_newer_or_unknown_layout_is_refused),
        cmocka_unit_test(steps_run_in_order_and_all_or_none),
        TEST(one_turn_row_in_4096_is_kept),
        TEST(an_anchor_holds_under_its_key_only),
    };
    return cmocka_run_group_tests_name("store_snapshot", tests, NULL, NULL);
}
