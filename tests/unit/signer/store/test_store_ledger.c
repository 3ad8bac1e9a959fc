/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leaves: append, commit, reopen, read back; the tree against a recursive reading of RFC 6962; one
 * writer; what may and may not be opened; each tampering found.
 */
#include "store_test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "kyso/alg.h"

struct counted {
    uint64_t count;
    uint64_t private_len;
    uint32_t sum;
};

static struct ky_status count_leaf(void *ctx, struct ky_span leaf, struct ky_span private_data)
{
    struct counted *c = ctx;
    struct ledger_leaf head;
    struct ledger_event event;
    OK(ledger_leaf_parse(leaf, &head));
    OK(ky_msg_decode(&ledger_event_schema, head.body, &event));
    c->count++;
    c->sum += event.count;
    c->private_len += private_data.len;
    return KY_STATUS(KY_OK);
}

static void committed_turns_survive_and_staged_ones_do_not(void **state)
{
    struct bench *b = *state;
    struct counted c = {0};
    bench_turn(b, 1, 3);
    bench_turn(b, 4, 2);
    OK(bench_event(b, 100));
    assert_int_equal(store_ledger_size(b->store), 6);
    OK(store_ledger_read(b->store, 0, 0, count_leaf, &c));
    assert_int_equal(c.count, 5); /* staged leaves are not read */
    bench_reopen(b);
    assert_int_equal(store_ledger_size(b->store), 5);
    assert_int_equal(store_turns(b->store), 2);
    c = (struct counted){0};
    OK(store_ledger_read(b->store, 1, 3, count_leaf, &c));
    assert_int_equal(c.count, 3);
    assert_int_equal(c.sum, 2 + 3 + 4);
    OK(store_ledger_check(b->store));
}

static void an_empty_commit_is_no_turn(void **state)
{
    struct bench *b = *state;
    OK(store_commit(b->store));
    assert_int_equal(store_turns(b->store), 0);
}

static void private_data_stands_beside_its_leaf(void **state)
{
    struct bench *b = *state;
    struct ledger_event event = {.door = 1};
    struct counted c = {0};
    uint64_t index = 99;
    OK(store_append(b->store, &ledger_event_schema, &event, 1, ky_span_text("salt and text"),
                    &index));
    assert_int_equal(index, 0);
    OK(bench_event(b, 1));
    OK(store_commit(b->store));
    OK(store_ledger_read(b->store, 0, 0, count_leaf, &c));
    assert_int_equal(c.private_len, 13);
}

static void an_over_long_message_stages_nothing(void **state)
{
    struct bench *b = *state;
    static uint8_t big[LEDGER_LEAF_MAX + 1];
    struct ledger_event event = {.door = 1};
    struct ledger_stop stop = {.reason = KY_SPAN_OF(big)};
    memset(big, 'a', sizeof(big));
    EXPECT(KY_INVALID,
           store_append(b->store, &ledger_stop_schema, &stop, 1, KY_SPAN(NULL, 0), NULL));
    EXPECT(KY_INVALID,
           store_append(b->store, &ledger_event_schema, &event, 1, KY_SPAN_OF(big), NULL));
    assert_int_equal(store_ledger_size(b->store), 0);
    OK(store_sealed(b->store));
    bench_turn(b, 1, 1);
}

/* --- RFC 6962 s.2.1, read literally ---------------------------------------------------------- */

struct leaves {
    struct ky_span at[300];
    size_t count;
};

static struct ky_status keep_leaf(void *ctx, struct ky_span leaf, struct ky_span private_data)
{
    struct leaves *l = ctx;
    uint8_t *copy = malloc(leaf.len);
    (void)private_data;
    assert_non_null(copy);
    memcpy(copy, leaf.data, leaf.len);
    l->at[l->count++] = KY_SPAN(copy, leaf.len);
    return KY_STATUS(KY_OK);
}

static void tree_hash(const struct ky_span *leaf, size_t n, uint8_t out[32])
{
    uint8_t node[4096] = {0};
    if (n == 0) {
        ky_sha256(KY_SPAN(NULL, 0), out);
        return;
    }
    if (n == 1) {
        assert_true(leaf[0].len < sizeof(node));
        memcpy(node + 1, leaf[0].data, leaf[0].len);
        ky_sha256(KY_SPAN(node, 1 + leaf[0].len), out);
        return;
    }
    size_t k = 1;
    while (k * 2 < n) {
        k *= 2;
    }
    node[0] = 1;
    tree_hash(leaf, k, node + 1);
    tree_hash(leaf + k, n - k, node + 33);
    ky_sha256(KY_SPAN(node, 65), out);
}

static void the_frontier_is_the_tree_of_rfc_6962(void **state)
{
    struct bench *b = *state;
    static struct leaves l;
    uint8_t want[32];
    uint8_t got[32];
    uint8_t noise[64];
    l.count = 0;
    for (uint32_t i = 0; i < 300; i++) {
        struct ledger_denied denied = {.reason = 1};
        OK(ky_random(noise, sizeof(noise)));
        memcpy(denied.spki, noise, 32);
        denied.client_row = i;
        OK(store_append(b->store, &ledger_denied_schema, &denied, i, KY_SPAN(NULL, 0), NULL));
        OK(store_commit(b->store));
        OK(store_ledger_read(b->store, i, 1, keep_leaf, &l));
        tree_hash(l.at, l.count, want);
        merkle_root(store_merkle(b->store), got);
        assert_memory_equal(got, want, 32);
    }
    for (size_t i = 0; i < l.count; i++) {
        free((void *)(uintptr_t)l.at[i].data);
    }
    bench_reopen(b);
    merkle_root(store_merkle(b->store), got);
    assert_memory_equal(got, want, 32);
    OK(store_ledger_check(b->store));
}

/* --- what may be opened ---------------------------------------------------------------------- */

static void create_and_open_are_not_each_other(void **state)
{
    struct bench *b = *state;
    struct store *other = NULL;
    char path[256];
    struct stat info;
    bench_turn(b, 1, 1);
    bench_close(b);
    struct ky_status st = store_open(b->path, STORE_CREATE, &b->keys, &other);
    assert_int_equal(st.code, KY_IO);
    assert_int_equal(st.cause, EEXIST);
    (void)snprintf(path, sizeof(path), "%s/absent.db", b->folder);
    st = store_open(path, STORE_OPEN, &b->keys, &other);
    assert_int_equal(st.code, KY_IO);
    assert_int_equal(st.cause, ENOENT);
    assert_int_not_equal(stat(path, &info), 0); /* never made again */
    assert_null(other);
    OK(bench_open(b));
    assert_int_equal(store_ledger_size(b->store), 1);
}

static void an_empty_or_foreign_file_is_refused(void **state)
{
    struct bench *b = *state;
    struct store *other = NULL;
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/other.db", b->folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
    assert_false(ky_ok(store_open(path, STORE_OPEN, &b->keys, &other)));
    f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 1000; i++) {
        assert_true(fputs("this is no database ", f) >= 0);
    }
    assert_int_equal(fclose(f), 0);
    EXPECT(KY_CORRUPT, store_open(path, STORE_OPEN, &b->keys, &other));
    assert_null(other);
}

static void fault_51_a_second_server_is_refused(void **state)
{
    struct bench *b = *state;
    struct store *other = NULL;
    char alias[256];
    char lock[256];
    bench_turn(b, 1, 1);
    struct ky_status st = store_open(b->path, STORE_OPEN, &b->keys, &other);
    assert_int_equal(st.code, KY_SEALED);
    assert_int_equal(st.cause, EWOULDBLOCK);
    EXPECT(KY_SEALED, store_open(b->path, STORE_READ_ONLY, NULL, &other));
    /*
     * Another name for the same file, and the lock file taken away: SQLite's own lock still holds.
     */
    (void)snprintf(alias, sizeof(alias), "%s/alias.db", b->folder);
    (void)snprintf(lock, sizeof(lock), "%s.lock", b->path);
    assert_int_equal(unlink(lock), 0);
    st = store_open(b->path, STORE_OPEN, &b->keys, &other);
    assert_int_equal(st.code, KY_SEALED);
    assert_null(other);
    bench_turn(b, 2, 1); /* undisturbed */
}

static void files_are_private(void **state)
{
    struct bench *b = *state;
    static const char *const suffix[] = {"", "-wal", ".lock"};
    struct stat info;
    char path[256];
    bench_turn(b, 1, 1);
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof(path), "%s%s", b->path, suffix[i]);
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(info.st_mode & 0777, 0600);
    }
    (void)snprintf(path, sizeof(path), "%s-shm", b->path);
    assert_int_not_equal(stat(path, &info),
                         0); /* the WAL's index is in memory: nobody else can join */
}

static void an_export_needs_no_keys_and_cannot_write(void **state)
{
    struct bench *b = *state;
    struct counted c = {0};
    bench_turn(b, 1, 5);
    bench_close(b);
    OK(store_open(b->path, STORE_READ_ONLY, NULL, &b->store));
    OK(store_ledger_read(b->store, 0, 0, count_leaf, &c));
    assert_int_equal(c.count, 5);
    OK(store_ledger_check(b->store));
    EXPECT(KY_INVALID, bench_event(b, 6));
    EXPECT(KY_INVALID, store_open(b->path, STORE_OPEN, NULL, &b->store));
}

static void an_export_upgrades_nothing(void **state)
{
    struct bench *b = *state;
    bench_turn(b, 1, 5);
    bench_sql(b, "UPDATE meta SET value = 0");
    EXPECT(KY_STORE, store_open(b->path, STORE_READ_ONLY, NULL, &b->store));
    assert_null(b->store);
    OK(bench_start(b));
}

/* In a child that may read the files and change nothing. */
static void export_as_a_stranger(struct bench *b)
{
    struct counted c = {0};
    struct store *s = NULL;
    if (geteuid() == 0 && setuid(65534) != 0) {
        _exit(2);
    }
    if (access(b->path, R_OK) != 0) {
        _exit(77); /* the folder above is closed to strangers */
    }
    if (access(b->path, W_OK) == 0 || !ky_ok(store_open(b->path, STORE_READ_ONLY, NULL, &s))) {
        _exit(3);
    }
    struct ky_status st = store_ledger_read(s, 0, 0, count_leaf, &c);
    store_close(&s);
    _exit(ky_ok(st) && c.count == 5 ? 0 : 4);
}

static void an_export_from_a_medium_that_cannot_be_written(void **state)
{
    struct bench *b = *state;
    int status = 0;
    bench_turn(b, 1, 5);
    bench_close(b); /* a clean stop leaves no WAL: the file alone is the ledger */
    assert_int_equal(chmod(b->path, 0444), 0);
    assert_int_equal(chmod(b->folder, 0555), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        export_as_a_stranger(b);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(chmod(b->folder, 0700), 0);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- tampering ------------------------------------------------------------------------------- */

static void each_change_behind_our_back_is_found(void **state)
{
    static const struct {
        const char *sql;
        enum ky_code at_start; /* KY_OK: only the full check can tell */
    } cases[] = {
        {"UPDATE turns SET root = zeroblob(32) WHERE turn = 9", KY_CORRUPT},
        {"UPDATE turns SET mac = zeroblob(32) WHERE turn = 9", KY_CORRUPT},
        {"UPDATE turns SET size = size - 1 WHERE turn = 9", KY_CORRUPT},
        {"UPDATE turns SET turn = 10 WHERE turn = 9", KY_CORRUPT},
        {"UPDATE turns SET peaks = zeroblob(length(peaks)) WHERE turn = 9", KY_CORRUPT},
        {"UPDATE turns SET peaks = x'' WHERE turn = 9", KY_CORRUPT},
        {"DELETE FROM turns", KY_CORRUPT},
        {"DELETE FROM turns WHERE turn = 9",
         KY_CORRUPT}, /* turn 0 becomes the head: leaves beyond it */
        {"DELETE FROM ledger WHERE idx = 26", KY_CORRUPT},
        {"DELETE FROM ledger WHERE idx = 0", KY_CORRUPT},
        {"DELETE FROM ledger WHERE idx = 13", KY_CORRUPT},
        {"INSERT INTO ledger SELECT 27, leaf FROM ledger WHERE idx = 26", KY_CORRUPT},
        {"INSERT INTO private VALUES(27, x'00')", KY_CORRUPT},
        {"UPDATE ledger SET leaf = substr(leaf, 1, 20) || x'ff' || substr(leaf, 22) WHERE idx = 13",
         KY_CORRUPT},
        {"UPDATE ledger SET leaf = (SELECT leaf FROM ledger WHERE idx = 12) WHERE idx = 13",
         KY_CORRUPT},
        {"UPDATE ledger SET idx = -5 WHERE idx = 13; UPDATE ledger SET idx = 13 WHERE idx = 12;"
         "UPDATE ledger SET idx = 12 WHERE idx = -5",
         KY_CORRUPT},
    };
    struct bench *b = *state;
    char script[1024];
    for (uint32_t i = 0; i < 9; i++) {
        bench_turn(b, i * 3, 3);
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        (void)snprintf(script, sizeof(script), "%s.good", b->path);
        (void)unlink(script);
        (void)snprintf(script, sizeof(script), "VACUUM INTO '%s.good'", b->path);
        bench_sql(b, script);
        bench_sql(b, cases[i].sql);
        struct ky_status st = bench_start(b);
        if (st.code != cases[i].at_start) {
            fail_msg("%s: code %d", cases[i].sql, (int)st.code);
        }
        char good[256];
        (void)snprintf(good, sizeof(good), "%s.good", b->path);
        assert_int_equal(rename(good, b->path), 0);
        OK(bench_start(b));
        bench_close(b);
    }
}

static void the_full_check_finds_what_a_start_from_a_snapshot_does_not_read(void **state)
{
    struct bench *b = *state;
    bench_turn(b, 0, 20);
    OK(store_snapshot_write(b->store, ky_span_text("state")));
    bench_turn(b, 20, 5);
    bench_sql(
        b,
        "UPDATE ledger SET leaf = substr(leaf, 1, 20) || x'ff' || substr(leaf, 22) WHERE idx = 3");
    OK(bench_start(b));
    EXPECT(KY_CORRUPT, store_ledger_check(b->store));
    bench_sql(b, "CREATE TABLE good AS SELECT * FROM ledger;"
                 "UPDATE ledger SET leaf = substr(leaf, 1, 20) || x'ff' || substr(leaf, 22)"
                 " WHERE idx = 22");
    EXPECT(KY_CORRUPT, bench_start(b)); /* the tail is proved by reading it */
    bench_sql(
        b, "UPDATE ledger SET leaf = (SELECT leaf FROM good WHERE good.idx = 22) WHERE idx = 22");
    OK(bench_start(b));
    struct counted c = {0};
    EXPECT(KY_CORRUPT,
           store_ledger_read(b->store, 0, 0, count_leaf, &c)); /* whoever reads it all is told */
    OK(store_ledger_read(b->store, 0, 25 - 1, count_leaf, &c));
}

static void another_key_is_refused(void **state)
{
    struct bench *b = *state;
    bench_turn(b, 1, 1);
    bench_close(b);
    b->keys.state = &b->row_mac;
    EXPECT(KY_CORRUPT, bench_open(b));
    b->keys.state = &b->state;
    OK(bench_open(b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)
        TEST(committed_turns_survive_and_staged_ones_do_not),
        TEST(an_empty_commit_is_no_turn),
        TEST(private_data_stands_beside_its_leaf),
        TEST(an_over_long_message_stages_nothing),
        TEST(the_frontier_is_the_tree_of_rfc_6962),
        TEST(create_and_open_are_not_each_other),
        TEST(an_empty_or_foreign_file_is_refused),
        TEST(fault_51_a_second_server_is_refused),
        TEST(files_are_private),
        TEST(an_export_needs_no_keys_and_cannot_write),
        TEST(an_export_upgrades_nothing),
        TEST(an_export_from_a_medium_that_cannot_be_written),
        TEST(each_change_behind_our_back_is_found),
        TEST(the_full_check_finds_what_a_start_from_a_snapshot_does_not_read),
        TEST(another_key_is_refused),
    };
    return cmocka_run_group_tests_name("store_ledger", tests, NULL, NULL);
}
