/* SPDX-License-Identifier: Apache-2.0 */
/*
 * I2, I6; P3, P4; faults 46, 47: when the ledger cannot be written, nothing of the turn is seen and
 * nothing is exempt.
 */
#include "world.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "store_private.h"

static void limit_files(rlim_t bytes)
{
    struct rlimit l;

    assert_int_equal(0, getrlimit(RLIMIT_FSIZE, &l));
    l.rlim_cur = bytes;
    assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &l));
}

/* What a front sees until now: records but heartbeats, and the last heartbeat's word. */
static int drain_front(struct world *w, int front, int *serving)
{
    struct ky_record rec;
    struct ky_status status = KY_STATUS(KY_OK);
    struct door_heartbeat beat;
    int n = 0;

    (void)ky_channel_read(&w->fronts[front]).code;
    while (ky_channel_next(&w->fronts[front], &rec, &status)) {
        if (rec.type != DOOR_HEARTBEAT) {
            n++;
            continue;
        }
        assert_true(ky_ok(ky_msg_decode(&door_heartbeat_schema, rec.payload, &beat)));
        *serving = beat.serving;
    }
    return n;
}

static void fail_the_commit(struct world *w)
{
    (void)signal(SIGXFSZ, SIG_IGN);
    limit_files(1); /* every write past the first byte fails with EFBIG: a full disk, to SQLite */
    world_turn(w);
    limit_files(RLIM_INFINITY);
}

static void failed_commit_of_an_intent(void **state)
{
    struct world *w = *state;
    int serving = -1;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);

    drain_front(w, FRONT_SIGNER, &serving);
    assert_int_equal(DOOR_SERVING, serving);
    front_send(w, FRONT_SIGNER, &door_sign_schema, &m);
    fail_the_commit(w);
    assert_int_equal(PHASE_SEALED, w->a->phase);
    assert_non_null(world_told(w, CONTROL_SEALED));
    world_run(w);
    assert_int_equal(0, w->vaults[0].signed_jobs); /* I1: no intent, no job */
    assert_int_equal(0, drain_front(w, FRONT_SIGNER, &serving));
    assert_int_equal(DOOR_SEALED, serving);
}

static void failed_commit_of_a_receipt(void **state)
{
    struct world *w = *state;
    int serving = -1;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);

    front_send(w, FRONT_SIGNER, &door_sign_schema, &m);
    world_turn(w); /* the intent is committed, the signature made */
    assert_int_equal(1, w->vaults[0].signed_jobs);
    fail_the_commit(w);
    world_run(w);
    assert_int_equal(0, drain_front(w, FRONT_SIGNER, &serving)); /* I2: it never leaves */
    world_crash(w);
    world_boot(w);
    struct ledger_receipt receipt;
    assert_true(ledger_last(w, LEDGER_RECEIPT, &receipt));
    assert_int_equal(LEDGER_ABANDONED, receipt.outcome);
}

/* After this turn's first record none fits into the ledger any more. */
static void no_second_record(void *context, int what, const char *db, const char *table,
                             sqlite3_int64 row)
{
    struct world *w = context;

    (void)what, (void)db, (void)table, (void)row;
    w->a->store->leaf.max = 1;
}

/*
 * What the last look at the queue gives up has receipts like everything else: without them nothing
 * of the turn is committed.
 */
static void receipt_that_fails_before_the_commit(void **state)
{
    struct world *w = *state;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);
    struct door_tx wrong = sign_msg(w, "r2", 2);

    vault_die(w, 0);
    world_run(w);
    front_send_deadline(w, FRONT_SIGNER, &door_sign_schema, &m, w->mono_us + 50000);
    world_run(w);
    assert_int_equal(1, ledger_count(w, LEDGER_INTENT));
    world_advance(w, 60000);
    wrong.proof = KY_PROOF_TOTP;
    wrong.proof_secret = text("000000");
    front_send(w, FRONT_SIGNER, &door_sign_schema, &wrong);
    (void)sqlite3_update_hook(w->a->store->db, no_second_record, w);
    world_turn(w);
    assert_int_equal(PHASE_SEALED, w->a->phase);
    world_crash(w);
    world_boot(w);
    assert_int_equal(0, ledger_count(w, LEDGER_DENIED));
    assert_int_equal(1, ledger_count(w, LEDGER_RECEIPT)); /* of the start, for the orphan */
}

static void failed_commit_of_a_denial(void **state)
{
    struct world *w = *state;
    int serving = -1;
    struct door_tx m = wrong_msg(w, "r1");

    front_send(w, FRONT_SIGNER, &door_sign_schema, &m);
    fail_the_commit(w);
    world_run(w);
    assert_int_equal(
        0, drain_front(w, FRONT_SIGNER, &serving)); /* P17: no outcome without its charge */
}

/* P4: the disk is well again, the node is not. */
static void stays_sealed(void **state)
{
    struct world *w = *state;
    int serving = -1;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);

    front_send(w, FRONT_SIGNER, &door_sign_schema, &m);
    fail_the_commit(w);
    drain_front(w, FRONT_SIGNER, &serving);
    struct door_info info;
    memcpy(info.spki, spki_bank, 32);
    for (int i = 0; i < 3; i++) {
        world_advance(w, 1000000);
        m = totp_msg(w, "r2", 2, code, 0);
        front_send(w, FRONT_SIGNER, &door_sign_schema, &m);
        front_send(w, FRONT_SIGNER, &door_info_schema, &info);
        world_run(w);
    }
    assert_int_equal(0, drain_front(w, FRONT_SIGNER, &serving));
    assert_int_equal(DOOR_SEALED, serving);
    assert_int_equal(0, w->vaults[0].signed_jobs);
}

static void replies_wait_for_the_commit(void **state)
{
    struct world *w = *state;
    int serving = -1;
    struct door_info info;

    memcpy(info.spki, spki_bank, 32);
    front_send(w, FRONT_SIGNER, &door_info_schema, &info); /* records nothing itself */
    struct door_tx m = sign_msg(w, "r1", 1);
    m.proof = KY_PROOF_TOTP;
    front_send(w, FRONT_SIGNER, &door_sign_schema, &m);
    fail_the_commit(w);
    assert_int_equal(0, drain_front(w, FRONT_SIGNER, &serving)); /* but shares the turn's fate */
}

/*
 * A front that reads slowly: its buffer holds an older answer that was sent and one that was not,
 * and is too full for another until the sent one is dropped. What is cut is this turn's all the
 * same.
 */
static void a_full_buffer_does_not_let_it_out(void **state)
{
    struct world *w = *state;
    int serving = -1;
    struct door_refused old = {.code = KY_BUSY};
    struct door_tx m = sign_msg(w, "r1", 1);
    struct peer *front = peer_find(w->a, KY_DOOR_SIGNER, 0, w->front_generation);

    drain_front(w, FRONT_SIGNER, &serving);
    assert_false(ky_channel_has_output(&front->channel));
    assert_true(ky_ok(ky_channel_send(&front->channel, &door_refused_schema, &old, 1, 0)));
    front->channel.sent = front->channel.out.len;
    assert_true(ky_ok(ky_channel_send(&front->channel, &door_refused_schema, &old, 2, 0)));
    front->channel.out.max = front->channel.out.len + front->channel.sent / 2;
    m.proof = KY_PROOF_TOTP;
    m.proof_secret = text("000000");
    front_send(w, FRONT_SIGNER, &door_sign_schema, &m);
    fail_the_commit(w);
    assert_int_equal(PHASE_SEALED, w->a->phase);
    world_run(w);
    assert_int_equal(1, drain_front(w, FRONT_SIGNER, &serving)); /* the older answer alone */
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(failed_commit_of_an_intent),  T(failed_commit_of_a_receipt),
        T(receipt_that_fails_before_the_commit),
        T(failed_commit_of_a_denial),   T(stays_sealed),
        T(replies_wait_for_the_commit), T(a_full_buffer_does_not_let_it_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
