/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workbench of the store's tests. Every file lies in one temporary folder, which goes away at
 * the end.
 */
#include "store_test.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <sqlite3.h>

#define TIME_US 1767225600000000u /* 2026-01-01 */

void bench_keys(struct bench *b)
{
    static const uint8_t row_mac[32] = "row-mac key of the store's tests";
    static const uint8_t state_key[32] = "state key of the store's tests!!";
    OK(ky_secret_set(&b->row_mac, KY_SPAN_OF(row_mac)));
    OK(ky_secret_set(&b->state, KY_SPAN_OF(state_key)));
    b->keys = (struct store_keys){.row_mac = &b->row_mac, .state = &b->state};
}

int bench_setup(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    assert_non_null(b);
    const char *parent = getenv("TMPDIR");
    int n = snprintf(b->folder, sizeof(b->folder), "%s/kyso-store-XXXXXX",
                     parent == NULL ? P_tmpdir : parent);
    assert_true(n > 0 && (size_t)n < sizeof(b->folder));
    assert_non_null(mkdtemp(b->folder));
    (void)snprintf(b->path, sizeof(b->path), "%s/ledger.db", b->folder);
    bench_keys(b);
    OK(store_open(b->path, STORE_CREATE, &b->keys, &b->store));
    *state = b;
    return 0;
}

int bench_teardown(void **state)
{
    struct bench *b = *state;
    char name[PATH_MAX];
    store_close(&b->store);
    DIR *dir = opendir(b->folder);
    assert_non_null(dir);
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        (void)snprintf(name, sizeof(name), "%s/%s", b->folder, e->d_name);
        (void)unlink(name);
    }
    (void)closedir(dir);
    assert_int_equal(rmdir(b->folder), 0);
    ky_secret_wipe(&b->row_mac);
    ky_secret_wipe(&b->state);
    free(b);
    return 0;
}

void bench_close(struct bench *b)
{
    store_close(&b->store);
    assert_null(b->store);
}

struct ky_status bench_open(struct bench *b)
{
    assert_null(b->store);
    return store_open(b->path, STORE_OPEN, &b->keys, &b->store);
}

void bench_reopen(struct bench *b)
{
    bench_close(b);
    OK(bench_start(b));
}

/* The fold, as far as the store cares. */
static struct ky_status fold(void *ctx, struct ky_span leaf, struct ky_span private_data)
{
    struct bench *b = ctx;
    struct ledger_leaf head;
    struct ledger_admin admin;
    (void)private_data;
    struct ky_status st = ledger_leaf_parse(leaf, &head);
    if (ky_ok(st) && head.type == LEDGER_ADMIN) {
        st = ky_msg_decode(&ledger_admin_schema, head.body, &admin);
        if (ky_ok(st)) {
            store_row_version(b->store, admin.table, admin.row, admin.version);
        }
    }
    return st;
}

struct ky_status bench_start(struct bench *b)
{
    struct ky_buf blob = KY_BUF_INIT(1024u * 1024u);
    uint64_t from = 0;
    struct ky_status st = bench_open(b);
    if (!ky_ok(st)) {
        return st;
    }
    st = store_snapshot_read(b->store, &blob, &from);
    if (ky_ok(st) || st.code == KY_NOT_FOUND) {
        st = store_ledger_read(b->store, from, 0, fold, b);
    }
    if (ky_ok(st)) {
        st = store_sealed(b->store);
    }
    ky_buf_free(&blob);
    if (!ky_ok(st)) {
        store_close(&b->store);
    }
    return st;
}

void bench_sql(struct bench *b, const char *sql)
{
    sqlite3 *db = NULL;
    char *error = NULL;
    store_close(&b->store);
    assert_int_equal(sqlite3_open_v2(b->path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK) {
        fail_msg("%s: %s", sql, error);
    }
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

struct ky_status bench_event(struct bench *b, uint32_t n)
{
    struct ledger_event event = {.door = 1, .kind = DOOR_EVENT_BAD_FRAME, .count = n};
    return store_append(b->store, &ledger_event_schema, &event, TIME_US + n, KY_SPAN(NULL, 0),
                        NULL);
}

void bench_turn(struct bench *b, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        OK(bench_event(b, first + i));
    }
    OK(store_commit(b->store));
}

struct ky_status bench_subject(struct bench *b, uint32_t row, const char *id, uint32_t *out_row)
{
    struct row_subject subject = {.subject_id = ky_span_text(id),
                                  .name = ky_span_text("Nguy\u1ec5n V\u0103n A")};
    return store_row_put(b->store, ROW_SUBJECT, row, &subject, 0, TIME_US, out_row);
}
