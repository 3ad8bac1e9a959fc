/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows, versions and secondary keys: what is put is got, and whatever was changed behind our back
 * is refused.
 */
#include "store_test.h"

#include <stdio.h>
#include <string.h>

#include <sqlite3.h>

#include "kyso/alg.h"
#include "kyso/wire.h"

static void expect_subject(struct bench *b, uint32_t row, const char *id)
{
    struct row_subject subject;
    OK(store_row_get(b->store, ROW_SUBJECT, row, &subject));
    assert_true(ky_span_eq(subject.subject_id, ky_span_text(id)));
}

static void rows_are_numbered_and_versioned(void **state)
{
    struct bench *b = *state;
    struct row_subject subject;
    uint32_t row = 0;
    EXPECT(KY_NOT_FOUND, store_row_get(b->store, ROW_SUBJECT, 1, &subject));
    OK(bench_subject(b, 0, "cccd:1", &row));
    assert_int_equal(row, 1);
    OK(bench_subject(b, 0, "cccd:2", &row));
    assert_int_equal(row, 2);
    expect_subject(b, 1, "cccd:1"); /* staged ones are seen */
    OK(store_commit(b->store));
    OK(bench_subject(b, 1, "cccd:1b", NULL));
    OK(store_commit(b->store));
    EXPECT(KY_NOT_FOUND, bench_subject(b, 4, "cccd:4", NULL));
    EXPECT(KY_INVALID, store_row_put(b->store, ROW_TABLE_END, 0, &subject, 0, 0, NULL));
    bench_reopen(b);
    assert_int_equal(store_row_count(b->store, ROW_SUBJECT), 2);
    assert_int_equal(store_row_count(b->store, ROW_CREDENTIAL), 0);
    assert_int_equal(store_ledger_size(b->store), 3); /* one LEDGER_ADMIN for each write */
    expect_subject(b, 1, "cccd:1b");
    expect_subject(b, 2, "cccd:2");
    EXPECT(KY_NOT_FOUND, store_row_get(b->store, ROW_SUBJECT, 3, &subject));
}

static void spans_live_until_the_next_read_of_their_table(void **state)
{
    struct bench *b = *state;
    struct row_subject subject;
    struct row_operator op = {.operator_id = ky_span_text("op-1"),
                              .public_key = ky_span_text("key")};
    OK(bench_subject(b, 0, "cccd:1", NULL));
    OK(store_row_put(b->store, ROW_OPERATOR, 0, &op, 0, 0, NULL));
    OK(store_commit(b->store));
    OK(store_row_get(b->store, ROW_SUBJECT, 1, &subject));
    OK(store_row_get(b->store, ROW_OPERATOR, 1, &op));
    bench_turn(b, 1, 10);
    assert_true(ky_span_eq(subject.subject_id, ky_span_text("cccd:1")));
}

static void an_over_long_row_stages_nothing(void **state)
{
    struct bench *b = *state;
    static uint8_t big[8192];
    struct row_operator op = {.operator_id = KY_SPAN_OF(big)};
    memset(big, 'a', sizeof(big));
    EXPECT(KY_INVALID, store_row_put(b->store, ROW_OPERATOR, 0, &op, 0, 0, NULL));
    assert_int_equal(store_row_count(b->store, ROW_OPERATOR), 0);
    assert_int_equal(store_ledger_size(b->store), 0);
    OK(store_sealed(b->store));
}

struct admins {
    struct ledger_admin at[4];
    size_t count;
};

static struct ky_status keep_admin(void *ctx, struct ky_span leaf, struct ky_span private_data)
{
    struct admins *a = ctx;
    struct ledger_leaf head;
    (void)private_data;
    OK(ledger_leaf_parse(leaf, &head));
    assert_int_equal(head.type, LEDGER_ADMIN);
    OK(ky_msg_decode(&ledger_admin_schema, head.body, &a->at[a->count++]));
    return KY_STATUS(KY_OK);
}

static void the_admin_record_names_row_version_and_hash(void **state)
{
    struct bench *b = *state;
    struct admins a = {0};
    struct row_operator op = {.operator_id = ky_span_text("op-1"),
                              .public_key = ky_span_text("key")};
    struct ky_buf body = KY_BUF_INIT(1024);
    uint8_t hash[32];
    OK(store_row_put(b->store, ROW_OPERATOR, 0, &op, 77, 0, NULL));
    op.removed = 1;
    OK(store_row_put(b->store, ROW_OPERATOR, 1, &op, 78, 0, NULL));
    OK(store_commit(b->store));
    OK(store_ledger_read(b->store, 0, 0, keep_admin, &a));
    assert_int_equal(a.count, 2);
    assert_int_equal(a.at[1].table, ROW_OPERATOR);
    assert_int_equal(a.at[1].row, 1);
    assert_int_equal(a.at[1].version, 2);
    assert_int_equal(a.at[0].operation, 77);
    OK(ky_msg_encode(&row_operator_schema, &op, &body));
    ky_sha256(ky_buf_span(&body), hash);
    assert_memory_equal(a.at[1].row_sha256, hash, 32);
    ky_buf_free(&body);
}

/* Subjects 1 and 2, each at version 2; the first versions are kept aside as old_rows. */
static void two_rows_with_a_past(struct bench *b)
{
    OK(bench_subject(b, 0, "cccd:1", NULL));
    OK(bench_subject(b, 0, "cccd:2", NULL));
    OK(store_commit(b->store));
    bench_sql(b, "CREATE TABLE old_rows AS SELECT * FROM rows");
    OK(bench_start(b));
    OK(bench_subject(b, 1, "cccd:1", NULL)); /* same body: only the version tells them apart */
    OK(bench_subject(b, 2, "cccd:2b", NULL));
    OK(store_commit(b->store));
    bench_sql(b, "CREATE TABLE good_rows AS SELECT * FROM rows");
}

static void each_changed_row_is_refused(void **state)
{
    static const char *const cases[] = {
        "UPDATE rows SET body = (SELECT body FROM old_rows o WHERE o.id = rows.id),"
        " mac = (SELECT mac FROM old_rows o WHERE o.id = rows.id),"
        " version = (SELECT version FROM old_rows o WHERE o.id = rows.id)",
        "UPDATE rows SET body = (SELECT body FROM old_rows o WHERE o.id = rows.id),"
        " mac = (SELECT mac FROM old_rows o WHERE o.id = rows.id)",
        "UPDATE rows SET id = -1 WHERE id = 4294967297; UPDATE rows SET id = 4294967297 WHERE id = "
        "4294967298;"
        "UPDATE rows SET id = 4294967298 WHERE id = -1",
        "UPDATE rows SET body = substr(body, 1, 5) || x'7a' || substr(body, 7)",
        "UPDATE rows SET body = body || x'00'",
        "UPDATE rows SET body = x''",
        "UPDATE rows SET mac = substr(mac, 1, 31) || x'00'",
        "UPDATE rows SET mac = x''",
        "UPDATE rows SET version = version + 1",
        "UPDATE rows SET version = version + 4294967296",
        "DELETE FROM rows",
    };
    struct bench *b = *state;
    struct row_subject subject;
    two_rows_with_a_past(b);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bench_sql(b, "DELETE FROM rows; INSERT INTO rows SELECT * FROM good_rows");
        bench_sql(b, cases[i]);
        OK(bench_start(b)); /* the ledger is whole: found when the row is read */
        struct ky_status first = store_row_get(b->store, ROW_SUBJECT, 1, &subject);
        struct ky_status second = store_row_get(b->store, ROW_SUBJECT, 2, &subject);
        if (first.code != KY_CORRUPT || second.code != KY_CORRUPT) {
            fail_msg("%s: codes %d and %d", cases[i], (int)first.code, (int)second.code);
        }
        OK(store_sealed(b->store));
        bench_close(b);
    }
    bench_sql(b, "DELETE FROM rows; INSERT INTO rows SELECT * FROM good_rows");
    OK(bench_start(b));
    expect_subject(b, 2, "cccd:2b");
}

static void every_bit_of_a_row_counts(void **state)
{
    struct bench *b = *state;
    struct row_subject subject;
    sqlite3 *db = NULL;
    sqlite3_stmt *set = NULL;
    uint8_t body[512];
    OK(bench_subject(b, 0, "cccd:1", NULL));
    OK(store_commit(b->store));
    bench_sql(b, "CREATE TABLE good_rows AS SELECT * FROM rows");
    for (int bit = 0;; bit += 7) { /* 7 is prime to 8: every position in a byte has its turn */
        assert_int_equal(sqlite3_open(b->path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(db, "SELECT body FROM good_rows", -1, &set, NULL),
                         SQLITE_OK);
        assert_int_equal(sqlite3_step(set), SQLITE_ROW);
        int len = sqlite3_column_bytes(set, 0);
        assert_true(len <= (int)sizeof(body));
        memcpy(body, sqlite3_column_blob(set, 0), (size_t)len);
        assert_int_equal(sqlite3_finalize(set), SQLITE_OK);
        if (bit >= len * 8) {
            assert_int_equal(sqlite3_close(db), SQLITE_OK);
            break;
        }
        body[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(sqlite3_prepare_v2(db, "UPDATE rows SET body = ?1", -1, &set, NULL),
                         SQLITE_OK);
        assert_int_equal(sqlite3_bind_blob(set, 1, body, len, SQLITE_STATIC), SQLITE_OK);
        assert_int_equal(sqlite3_step(set), SQLITE_DONE);
        assert_int_equal(sqlite3_finalize(set), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        OK(bench_start(b));
        EXPECT(KY_CORRUPT, store_row_get(b->store, ROW_SUBJECT, 1, &subject));
        bench_close(b);
    }
}

/* As the release before wrote row 1: the row's bytes end sooner, its MAC is good. */
static void put_older(struct bench *b, enum row_table table, const void *row, uint16_t fields)
{
    struct ky_schema before = *row_schema((uint8_t)table);
    struct ky_buf macced = KY_BUF_INIT(4096);
    uint8_t mac[32];
    char hex[2][512] = {"", ""}, sql[1200];

    OK(store_row_put(b->store, table, 0, row, 0, 0, NULL));
    OK(store_commit(b->store));
    before.field_count = fields;
    ky_buf_put(&macced, "kyso.row", 8);
    ky_put_u8(&macced, (uint8_t)table);
    ky_put_u32(&macced, 1);
    ky_put_u32(&macced, 1);
    size_t at = macced.len;
    OK(ky_msg_encode(&before, row, &macced));
    ky_hmac_sha256(ky_secret_span(&b->row_mac), ky_buf_span(&macced), mac);
    for (size_t i = at; i < macced.len; i++)
        (void)snprintf(hex[0] + 2 * (i - at), 3, "%02x", macced.data[i]);
    for (size_t i = 0; i < sizeof(mac); i++)
        (void)snprintf(hex[1] + 2 * i, 3, "%02x", mac[i]);
    (void)snprintf(sql, sizeof(sql), "UPDATE rows SET body = x'%s', mac = x'%s' WHERE id >> 32 = %d", hex[0],
                   hex[1], (int)table);
    ky_buf_free(&macced);
    bench_sql(b, sql);
    OK(bench_start(b));
}

static void a_client_row_of_the_older_form_is_read(void **state)
{
    struct bench *b = *state;
    struct row_client row = {.name = ky_span_text("bank"), .rights = ROW_RIGHT_SIGN};

    put_older(b, ROW_CLIENT, &row, 8);
    OK(store_row_get(b->store, ROW_CLIENT, 1, &row));
    assert_true(ky_span_eq(row.name, ky_span_text("bank")));
    assert_int_equal(row.rights, ROW_RIGHT_SIGN);
    assert_int_equal(row.request_key.len, 0);
}

static void an_operator_row_from_before_roles_is_read(void **state)
{
    struct bench *b = *state;
    struct row_operator row = {.operator_id = ky_span_text("alice"),
                               .public_key = ky_span_text("key"),
                               .role = 4};

    put_older(b, ROW_OPERATOR, &row, 3);
    OK(store_row_get(b->store, ROW_OPERATOR, 1, &row));
    assert_true(ky_span_eq(row.operator_id, ky_span_text("alice")));
    assert_true(ky_span_eq(row.public_key, ky_span_text("key")));
    assert_int_equal(row.role, 0);
    assert_int_equal(row.certificate.len, 0);
}

static void a_version_out_of_order_seals(void **state)
{
    struct bench *b = *state;
    store_row_version(b->store, ROW_CLIENT, 1, 1);
    store_row_version(b->store, ROW_CLIENT, 1, 2);
    OK(store_sealed(b->store));
    store_row_version(b->store, ROW_CLIENT, 4000000000u,
                      1); /* rows are dense: no memory for that */
    EXPECT(KY_SEALED, store_sealed(b->store));
    EXPECT(KY_SEALED, bench_event(b, 1));
}

/* --- secondary keys -------------------------------------------------------------------------- */

static void unique_keys_have_one_row(void **state)
{
    struct bench *b = *state;
    uint32_t rows[2] = {0};
    size_t count = 9;
    struct ky_span key = ky_span_text("cccd:1");
    OK(store_lookup(b->store, STORE_BY_SUBJECT_ID, key, 0, rows, 2, &count));
    assert_int_equal(count, 0);
    OK(store_lookup_add(b->store, STORE_BY_SUBJECT_ID, key, 7));
    OK(store_lookup_add(b->store, STORE_BY_SUBJECT_ID, key, 7));
    EXPECT(KY_CONFLICT, store_lookup_add(b->store, STORE_BY_SUBJECT_ID, key, 8));
    OK(store_lookup_add(b->store, STORE_BY_SEED, key, 8)); /* kinds do not meet */
    OK(store_commit(b->store));
    bench_reopen(b);
    OK(store_lookup(b->store, STORE_BY_SUBJECT_ID, key, 0, rows, 2, &count));
    assert_int_equal(count, 1);
    assert_int_equal(rows[0], 7);
    OK(store_lookup_remove(b->store, STORE_BY_SUBJECT_ID, key, 7));
    OK(store_lookup_add(b->store, STORE_BY_SUBJECT_ID, key, 8));
    OK(store_commit(b->store));
}

static void many_rows_of_one_key_come_in_pages(void **state)
{
    struct bench *b = *state;
    static const uint8_t owner[4] = {1, 0, 0, 0};
    static const uint8_t other[4] = {1, 0, 0, 1};
    uint32_t rows[10];
    size_t count = 0;
    for (uint32_t row = 25; row > 0; row--) {
        OK(store_lookup_add(b->store, STORE_CREDENTIALS_OF, KY_SPAN_OF(owner), row));
    }
    OK(store_lookup_add(b->store, STORE_CREDENTIALS_OF, KY_SPAN_OF(other), 99));
    OK(store_commit(b->store));
    uint32_t after = 0;
    uint32_t want = 1;
    do {
        OK(store_lookup(b->store, STORE_CREDENTIALS_OF, KY_SPAN_OF(owner), after, rows, 10,
                        &count));
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(rows[i], want++);
        }
        after = count > 0 ? rows[count - 1] : 0;
    } while (count == 10);
    assert_int_equal(want, 26);
    OK(store_lookup(b->store, STORE_CREDENTIALS_OF, KY_SPAN_OF(owner), 0, rows, 0, &count));
    assert_int_equal(count, 0);
}

static void bad_lookups_are_refused(void **state)
{
    struct bench *b = *state;
    static const uint8_t longest[STORE_KEY_MAX + 1] = {1};
    EXPECT(KY_INVALID, store_lookup_add(b->store, (enum store_lookup)0, ky_span_text("k"), 1));
    EXPECT(KY_INVALID, store_lookup_add(b->store, (enum store_lookup)8, ky_span_text("k"), 1));
    EXPECT(KY_INVALID, store_lookup_add(b->store, STORE_BY_SEED, ky_span_text(""), 1));
    EXPECT(KY_INVALID, store_lookup_add(b->store, STORE_BY_SEED, KY_SPAN_OF(longest), 1));
    OK(store_lookup_add(b->store, STORE_BY_SEED, KY_SPAN(longest, STORE_KEY_MAX), 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)
        TEST(rows_are_numbered_and_versioned),
        TEST(spans_live_until_the_next_read_of_their_table),
        TEST(an_over_long_row_stages_nothing),
        TEST(the_admin_record_names_row_version_and_hash),
        TEST(each_changed_row_is_refused),
        TEST(every_bit_of_a_row_counts),
        TEST(a_client_row_of_the_older_form_is_read),
        TEST(an_operator_row_from_before_roles_is_read),
        TEST(a_version_out_of_order_seals),
        TEST(unique_keys_have_one_row),
        TEST(many_rows_of_one_key_come_in_pages),
        TEST(bad_lookups_are_refused),
    };
    return cmocka_run_group_tests_name("store_rows", tests, NULL, NULL);
}
