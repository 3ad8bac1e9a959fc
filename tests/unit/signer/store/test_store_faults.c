/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults 46 and 47, promise P4: every single write and sync of a workload fails once, in each way a
 * disk can fail, and works again at once. The store is sealed from then on; what was acknowledged
 * is there after a restart; a turn that was not is there whole or not at all, and not at all when a
 * write failed.
 */
#include <stdio.h>

#include "fault_vfs.h"
#include "store_private.h"
#include "store_test.h"

#define TURNS    8u
#define PER_TURN 5u /* leaves: four events and one row's record */

struct outcome {
    uint32_t acknowledged; /* turns */
    bool tried;            /* one more turn failed in its commit */
};

/* Once sealed, always sealed, although the disk works again. */
static void expect_sealed(struct bench *b)
{
    struct row_subject subject;
    struct ky_buf blob = KY_BUF_INIT(1024);
    uint64_t size = 0;
    uint32_t row = 0;
    size_t count = 0;
    for (int i = 0; i < 2; i++) {
        EXPECT(KY_SEALED, store_sealed(b->store));
        EXPECT(KY_SEALED, store_commit(b->store));
        EXPECT(KY_SEALED, bench_event(b, 1));
        EXPECT(KY_SEALED, bench_subject(b, 0, "late", NULL));
        EXPECT(KY_SEALED, store_row_get(b->store, ROW_SUBJECT, 1, &subject));
        EXPECT(KY_SEALED, store_lookup_add(b->store, STORE_BY_SEED, ky_span_text("k"), 1));
        EXPECT(KY_SEALED,
               store_lookup(b->store, STORE_BY_SEED, ky_span_text("k"), 0, &row, 1, &count));
        EXPECT(KY_SEALED, store_snapshot_write(b->store, ky_span_text("state")));
        EXPECT(KY_SEALED, store_snapshot_read(b->store, &blob, &size));
        EXPECT(KY_SEALED, store_ledger_check(b->store));
    }
}

static struct ky_status stage_turn(struct bench *b)
{
    struct ky_status st = KY_STATUS(KY_OK);
    for (uint32_t i = 0; ky_ok(st) && i + 1 < PER_TURN; i++) {
        st = bench_event(b, i);
    }
    return ky_ok(st) ? bench_subject(b, 0, "cccd:1", NULL) : st;
}

static struct ky_status run_turn(struct bench *b, struct outcome *o)
{
    bool fired_before =
        fault_fired(); /* while closing: nobody is told, and nothing depends on it */
    struct ky_status st = stage_turn(b);
    if (ky_ok(st)) {
        st = store_commit(b->store);
        o->tried = !ky_ok(st);
    }
    if (ky_ok(st)) {
        o->acknowledged++;
    }
    assert_int_equal(ky_ok(st), fault_fired() == fired_before); /* no failure goes unseen */
    return st;
}

/*
 * Half of the turns, a restart, a snapshot, the other half; checkpoints every few frames. Ends at
 * the first failure.
 */
static void run_workload(struct bench *b, struct outcome *o)
{
    struct ky_status st = KY_STATUS(KY_OK);
    for (uint32_t turn = 0; ky_ok(st) && turn < TURNS; turn++) {
        if (turn == TURNS / 2) {
            bench_close(b);
            if (!ky_ok(bench_start(b))) {
                return;
            }
            st = store_snapshot_write(b->store, ky_span_text("state"));
        }
        b->store->wal_limit = 6;
        if (ky_ok(st)) {
            st = run_turn(b, o);
        }
    }
    if (!ky_ok(st)) {
        assert_int_equal(st.code, KY_STORE);
        expect_sealed(b);
    }
}

static void expect_whole_turns(struct bench *b, const struct outcome *o, enum fault_kind kind)
{
    struct row_subject subject;
    uint64_t size = store_ledger_size(b->store);
    bool extra = size == (uint64_t)(o->acknowledged + 1) * PER_TURN;
    if (size != (uint64_t)o->acknowledged * PER_TURN &&
        !(extra && o->tried && kind == FAULT_SYNC)) {
        fail_msg("%u turns acknowledged, %u leaves found", o->acknowledged, (unsigned)size);
    }
    OK(store_ledger_check(b->store));
    for (uint32_t row = 1; row <= store_row_count(b->store, ROW_SUBJECT); row++) {
        OK(store_row_get(b->store, ROW_SUBJECT, row, &subject));
    }
}

/* The nth operation fails. Returns false when the workload has fewer. */
static bool one_round(enum fault_kind kind, unsigned n)
{
    void *state = NULL;
    struct outcome o = {0};
    assert_int_equal(bench_setup(&state), 0);
    struct bench *b = state;
    fault_arm(kind, n);
    run_workload(b, &o);
    store_close(&b->store);
    bool fired = fault_fired();
    fault_arm(kind, 0);
    OK(bench_start(b));
    expect_whole_turns(b, &o, kind);
    OK(stage_turn(b)); /* and it goes on */
    OK(store_commit(b->store));
    bench_reopen(b);
    assert_int_equal(bench_teardown(&state), 0);
    return fired;
}

static void every_operation_once(enum fault_kind kind, unsigned at_least)
{
    unsigned n = 1;
    while (one_round(kind, n)) {
        n++;
    }
    if (n <= at_least) {
        fail_msg("only %u operations: the workload does not reach the disk", n - 1);
    }
}

static void fault_46_every_write_meets_a_full_disk(void **state)
{
    (void)state;
    every_operation_once(FAULT_FULL, 60);
}

static void fault_46_every_write_fails(void **state)
{
    (void)state;
    every_operation_once(FAULT_EIO, 60);
}

static void fault_46_every_write_is_cut_short(void **state)
{
    (void)state;
    every_operation_once(FAULT_SHORT, 60);
}

static void fault_47_every_sync_fails(void **state)
{
    (void)state;
    every_operation_once(FAULT_SYNC, 10);
}

/* A database that could not be made leaves nothing behind that would be taken for one. */
static void creation_fails_cleanly(void **state)
{
    static const enum fault_kind kinds[] = {FAULT_FULL, FAULT_SHORT, FAULT_SYNC};
    struct bench *b = *state;
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        for (unsigned n = 1;; n++) {
            bench_close(b);
            assert_int_equal(remove(b->path), 0);
            fault_arm(kinds[k], n);
            struct ky_status st = store_open(b->path, STORE_CREATE, &b->keys, &b->store);
            bool fired = fault_fired();
            fault_arm(kinds[k], 0);
            assert_int_equal(ky_ok(st), !fired);
            if (!fired) {
                break;
            }
            OK(store_open(b->path, STORE_CREATE, &b->keys, &b->store));
            bench_turn(b, 1, 1);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fault_46_every_write_meets_a_full_disk),
        cmocka_unit_test(fault_46_every_write_fails),
        cmocka_unit_test(fault_46_every_write_is_cut_short),
        cmocka_unit_test(fault_47_every_sync_fails),
        cmocka_unit_test_setup_teardown(creation_fails_cleanly, bench_setup, bench_teardown),
    };
    fault_install();
    return cmocka_run_group_tests_name("store_faults", tests, NULL, NULL);
}
