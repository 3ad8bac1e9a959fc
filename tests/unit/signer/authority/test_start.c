/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts and stops: provisioning, orphan intents, the anchor, what seals a node, checkpoints and
 * snapshots. I4; P2, P6; faults 48-51, 58.
 */
#include "world.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kyso/wire.h"

static void expect_sealed(struct world *w, const char *part)
{
    world_start(w);
    world_run(w);
    assert_int_equal(PHASE_SEALED, w->a->phase);
    const struct control_msg *m = world_told(w, CONTROL_SEALED);
    assert_non_null(m);
    if (strstr(m->text, part) == NULL)
        fail_msg("sealed because \"%s\", not \"%s\"", m->text, part);
    assert_null(world_told(w, CONTROL_READY));
}

static void copy(const char *dir, const char *from, const char *to)
{
    char command[512];

    snprintf(
        command, sizeof(command),
        "for s in '' -wal; do rm -f '%s/%s'$s; test ! -e '%s/%s'$s || cp '%s/%s'$s '%s/%s'$s; done",
        dir, to, dir, from, dir, from, dir, to);
    assert_int_equal(0, system(command));
}

static void sign_one(struct world *w, const char *id, uint8_t seed, int64_t step, enum ky_code code)
{
    struct answer got;
    char otp[9];
    struct door_tx m = totp_msg(w, id, seed, otp, step);

    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(code == KY_OK ? DOOR_R_SIGN : DOOR_REFUSED, got.type);
    assert_int_equal(code, got.code);
}

static void provisioning_writes_what_it_must(void **state)
{
    struct world *w = *state;
    struct ledger_genesis genesis;
    struct row_operator op;

    assert_true(ledger_last(w, LEDGER_GENESIS, &genesis));
    assert_true(ky_span_eq(text("ca.example"), genesis.server_id));
    assert_int_equal(1, genesis.demo);
    assert_int_equal(1, ledger_count(w, LEDGER_GENESIS));
    assert_int_equal(1, authority_operator_by_id(w->a, text("op1")));
    assert_true(ky_ok(store_row_get(w->a->store, ROW_OPERATOR, 1, &op)));
    assert_true(ky_span_eq(KY_SPAN(w->device_spki, w->device_spki_len), op.public_key));
    struct ledger_start start;
    assert_true(ledger_last(w, LEDGER_START, &start));
    assert_int_equal(1, start.clean);
}

static void two_people_always_but_in_a_demo(void **state)
{
    struct world *w = *state;
    struct config config = *w->a->config;
    const struct config *before = w->a->config;

    w->a->config = &config;
    assert_false(authority_dual_control(w->a));
    config.policy.dual_control = true;
    assert_true(authority_dual_control(w->a));
    config.policy.dual_control = false;
    config.demo = false; /* the ledger says demo, the configuration does not any more */
    assert_true(authority_dual_control(w->a));
    config.demo = true;
    w->a->state->demo = false;
    assert_true(authority_dual_control(w->a));
    w->a->state->demo = true;
    w->a->config = before;
}

static void one_key_is_one_operator(void **state)
{
    struct world *w = *state;
    struct ky_buf operators = KY_BUF_INIT(512);

    world_stop(w);
    memset(w->anchor_len, 0, sizeof(w->anchor_len));
    copy(w->dir, "nothing", "kyso.db");
    ky_put_bytes(&operators, text("op1"));
    ky_put_bytes(&operators, KY_SPAN(w->device_spki, w->device_spki_len));
    ky_put_bytes(&operators, text("op2"));
    ky_put_bytes(&operators, KY_SPAN(w->device_spki, w->device_spki_len));
    world_start(w);
    w->a->boot.create = true;
    w->a->boot.operators = ky_buf_span(&operators);
    world_run(w);
    assert_int_equal(PHASE_SEALED, w->a->phase);
    assert_non_null(strstr(world_told(w, CONTROL_SEALED)->text, "has that key"));
    ky_buf_free(&operators);
}

/*
 * Half of an anchor's object is as good as none: the other slot has the last but one, and the next
 * write heals it.
 */
static void one_unreadable_anchor_is_no_outage(void **state)
{
    struct world *w = *state;

    for (int slot = 0; slot < 2; slot++) {
        world_stop(w);
        w->anchor_unreadable[slot] = true;
        world_boot(w);
        assert_int_equal(PHASE_SERVE, w->a->phase);
        for (int i = 0; i < 3; i++) {
            world_advance(w, 1100000);
            world_run(w);
        }
        assert_int_equal(PHASE_SERVE, w->a->phase);
    }
    world_stop(w);
    assert_false(w->anchor_unreadable[0] || w->anchor_unreadable[1]);
}

static void never_made_twice(void **state)
{
    struct world *w = *state;

    world_stop(w);
    world_start(w);
    w->a->boot.create = true;
    world_run(w);
    assert_int_equal(PHASE_SEALED, w->a->phase);
    assert_non_null(strstr(world_told(w, CONTROL_SEALED)->text, "anchors a ledger already"));
    world_crash(w);
    memset(w->anchor_len, 0,
           sizeof(w->anchor_len)); /* even with a blank token: the file is there */
    world_start(w);
    w->a->boot.create = true;
    world_run(w);
    assert_int_equal(PHASE_SEALED, w->a->phase);
    assert_non_null(strstr(world_told(w, CONTROL_SEALED)->text, "there already"));
}

/*
 * kill -9 between intent and receipt: one receipt, the id answers "new proof needed", the code
 * stays spent.
 */
static void orphans_are_abandoned(void **state)
{
    struct world *w = *state;
    struct answer got;
    struct ledger_receipt receipt;
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);

    w->vaults[0].hold = true;
    front_send(w, FRONT_SIGNER, &door_sign_schema, &m);
    world_run(w);
    assert_int_equal(1, ledger_count(w, LEDGER_INTENT));
    world_crash(w);
    w->vaults[0].hold = false;
    world_boot(w);
    assert_int_equal(1, ledger_count(w, LEDGER_RECEIPT));
    assert_true(ledger_last(w, LEDGER_RECEIPT, &receipt));
    assert_int_equal(LEDGER_ABANDONED, receipt.outcome);
    assert_int_equal(KY_PROOF_NEEDED, receipt.code);
    assert_int_equal(0, w->a->state->flights.count);
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_PROOF_NEEDED, KY_PROOF_NEEDED);
    sign_one(w, "r2", 2, 0, KY_DENIED);
    assert_int_equal(0, w->vaults[0].signed_jobs);
    world_crash(w);
    world_boot(w); /* and again: no second receipt */
    assert_int_equal(1, ledger_count(w, LEDGER_RECEIPT));
}

static void older_database_seals(void **state)
{
    struct world *w = *state;

    world_stop(w);
    copy(w->dir, "kyso.db", "old.db");
    world_boot(w);
    sign_one(w, "r1", 1, 0, KY_OK);
    world_advance(w, 1100000); /* the next anchor */
    world_run(w);
    world_crash(w);
    copy(w->dir, "old.db", "kyso.db");
    expect_sealed(w, "older than the token's anchor");
    struct answer got;
    char code[9];
    struct door_tx m = totp_msg(w, "r2", 1, code, 1);
    uint64_t tag = front_send(w, FRONT_SIGNER, &door_sign_schema, &m);
    world_run(w);
    assert_false(
        front_answer(w, FRONT_SIGNER, tag, &got)); /* a sealed node says nothing but heartbeats */
}

/* Two histories from one past, the one in the database longer than the one that the token saw. */
static void forked_database_seals(void **state)
{
    struct world *w = *state;
    uint8_t anchors[2][256];
    size_t len[2];

    world_stop(w);
    copy(w->dir, "kyso.db", "old.db");
    memcpy(anchors, w->anchors, sizeof(anchors));
    memcpy(len, w->anchor_len, sizeof(len));
    world_boot(w);
    sign_one(w, "r1", 1, 0, KY_OK);
    world_advance(w, 1100000);
    world_run(w);
    uint8_t of_first[2][256];
    size_t len_first[2];
    memcpy(of_first, w->anchors, sizeof(of_first));
    memcpy(len_first, w->anchor_len, sizeof(len_first));
    world_crash(w);
    copy(w->dir, "old.db", "kyso.db"); /* another history, with the token of before */
    memcpy(w->anchors, anchors, sizeof(anchors));
    memcpy(w->anchor_len, len, sizeof(len));
    world_boot(w);
    for (int i = 0; i < 4; i++)
        sign_one(w, "other", 1, 2, KY_DENIED);
    world_crash(w);
    memcpy(w->anchors, of_first,
           sizeof(of_first)); /* longer, but not the one that the token knows */
    memcpy(w->anchor_len, len_first, sizeof(len_first));
    expect_sealed(w, "forked");
}

static void run_sql(struct world *w, const char *sql)
{
    char path[128];
    sqlite3 *db = NULL;

    snprintf(path, sizeof(path), "%s/kyso.db", w->dir);
    assert_int_equal(SQLITE_OK, sqlite3_open(path, &db));
    assert_int_equal(SQLITE_OK, sqlite3_exec(db, sql, NULL, NULL, NULL));
    assert_int_equal(SQLITE_OK, sqlite3_close(db));
}

/*
 * The other history's database, as long as the anchored one, under the anchored one's snapshot:
 * every MAC holds.
 */
static void snapshot_of_another_history_seals(void **state)
{
    struct world *w = *state;
    struct world before;
    char sql[256];

    world_stop(w);
    copy(w->dir, "kyso.db", "old.db");
    before = *w;
    world_boot(w);
    sign_one(w, "other", 1, 2, KY_DENIED);
    sign_one(w, "other", 1, 2, KY_DENIED);
    world_stop(w);
    copy(w->dir, "kyso.db", "fork.db");
    copy(w->dir, "old.db", "kyso.db");
    memcpy(w->anchors, before.anchors, sizeof(w->anchors));
    memcpy(w->anchor_len, before.anchor_len, sizeof(w->anchor_len));
    world_boot(w);
    sign_one(w, "r1", 1, 0, KY_OK); /* an intent and a receipt: two records as well */
    world_stop(w);
    copy(w->dir, "kyso.db", "real.db");
    copy(w->dir, "fork.db", "kyso.db");
    snprintf(sql, sizeof(sql),
             "ATTACH '%s/real.db' AS real; REPLACE INTO snapshot SELECT * FROM real.snapshot;",
             w->dir);
    run_sql(w, sql);
    expect_sealed(w, "cannot be read back");
}

/*
 * A crash after the last snapshot and before the last anchor: the ledger still runs through the
 * older one.
 */
static void snapshot_younger_than_the_anchor_opens(void **state)
{
    struct world *w = *state;
    uint8_t anchors[2][256];
    size_t len[2];

    sign_one(w, "r1", 1, 0, KY_OK);
    world_advance(w, 1100000);
    world_run(w);
    memcpy(anchors, w->anchors, sizeof(anchors));
    memcpy(len, w->anchor_len, sizeof(len));
    sign_one(w, "r2", 2, 1, KY_OK);
    world_stop(w);
    memcpy(w->anchors, anchors, sizeof(anchors));
    memcpy(w->anchor_len, len, sizeof(len));
    world_boot(w);
    assert_int_equal(PHASE_SERVE, w->a->phase);
    assert_int_equal(1, ledger_count(w, LEDGER_ANCHORED));
}

/*
 * The same, but the snapshot is of another history, and the leaves before it were put in for the
 * anchor's sake.
 */
static void leaves_put_in_for_the_anchor_seal(void **state)
{
    struct world *w = *state;
    struct world before, real;
    char sql[512];

    world_stop(w);
    copy(w->dir, "kyso.db", "old.db");
    before = *w;
    world_boot(w);
    sign_one(w, "r1", 1, 0, KY_OK);
    world_advance(w, 1100000);
    world_run(w);
    uint64_t anchored = w->a->side.anchor_size;
    world_crash(w);
    copy(w->dir, "kyso.db", "real.db");
    real = *w;
    copy(w->dir, "old.db", "kyso.db");
    memcpy(w->anchors, before.anchors, sizeof(w->anchors));
    memcpy(w->anchor_len, before.anchor_len, sizeof(w->anchor_len));
    world_boot(w);
    for (int i = 0; i < 6; i++)
        sign_one(w, "other", 1, 2, KY_DENIED);
    assert_true(store_ledger_size(w->a->store) > anchored);
    world_stop(w);
    world_boot(w);
    sign_one(w, "other", 1, 2, KY_DENIED);
    world_crash(w);
    memcpy(w->anchors, real.anchors, sizeof(w->anchors));
    memcpy(w->anchor_len, real.anchor_len, sizeof(w->anchor_len));
    snprintf(sql, sizeof(sql),
             "ATTACH '%s/real.db' AS real;"
             "REPLACE INTO ledger SELECT * FROM real.ledger WHERE idx < %llu;",
             w->dir, (unsigned long long)anchored);
    run_sql(w, sql);
    expect_sealed(w, "forked");
}

static void missing_database_is_not_made_again(void **state)
{
    struct world *w = *state;
    char path[128];

    world_stop(w);
    snprintf(path, sizeof(path), "%s/kyso.db", w->dir);
    assert_int_equal(0, unlink(path));
    expect_sealed(w, "missing");
    assert_int_not_equal(0, access(path, F_OK));
}

static void another_token_seals(void **state)
{
    struct world *w = *state;

    world_stop(w);
    memset(w->anchor_len, 0, sizeof(w->anchor_len));
    expect_sealed(w, "no anchor");
}

static void fault_51_second_server_is_refused(void **state)
{
    struct world *w = *state;
    struct world *other = calloc(1, sizeof(*other));

    *other = *w;
    memset(other->vaults, 0, sizeof(other->vaults));
    expect_sealed(other, "another server");
    world_crash(other);
    free(other);
    sign_one(w, "r1", 1, 0, KY_OK);
}

/*
 * A copy of this server has begun beside it, and the token has the copy's anchor where this one's
 * was.
 */
static void fault_51_moved_anchor_seals(void **state)
{
    struct world *w = *state;
    struct answer got;
    char code[9];

    world_advance(w, 1100000);
    world_run(w);
    struct anchor copy_of = w->a->side.anchor_pending;
    struct ky_buf value = KY_BUF_INIT(ANCHOR_LEN);
    copy_of.root[0] ^= 1; /* it has the state key, and a ledger of its own */
    anchor_encode(&copy_of, &w->a->state_key, &value);
    for (int i = 0; i < 2; i++)
        memcpy(w->anchors[i], value.data, ANCHOR_LEN);
    ky_buf_free(&value);
    sign_one(w, "r1", 1, 0, KY_OK); /* within the interval nobody knows */
    world_advance(w, 1100000);
    world_run(w);
    assert_non_null(strstr(world_told(w, CONTROL_SEALED)->text, "another server"));
    struct door_tx m = totp_msg(w, "r2", 1, code, 1);
    uint64_t tag = front_send(w, FRONT_SIGNER, &door_sign_schema, &m);
    world_run(w);
    assert_false(front_answer(w, FRONT_SIGNER, tag, &got));
}

/*
 * The vault died when the anchor was written and before it said so: the same again is no other
 * server's.
 */
static void an_anchor_is_tried_again_as_it_was(void **state)
{
    struct world *w = *state;

    w->anchor_lost = true;
    sign_one(w, "r1", 1, 0, KY_OK);
    world_advance(w, 1100000);
    world_run(w);
    assert_true(w->a->side.anchor_again);
    w->anchor_lost = false;
    sign_one(w, "r2", 1, 1, KY_OK);
    for (int i = 0; i < 2; i++) {
        world_advance(w, 1100000);
        world_run(w);
    }
    assert_null(world_told(w, CONTROL_SEALED));
    assert_int_equal(w->a->side.anchor_size, store_ledger_size(w->a->store));
}

/* Another version's: nothing of it is read, and a start folds the ledger instead. */
static void a_snapshot_of_another_form_is_passed_over(void **state)
{
    struct world *w = *state;
    struct ky_buf b = KY_BUF_INIT(1u << 20), before = KY_BUF_INIT(1u << 20),
                  after = KY_BUF_INIT(1u << 20);
    struct state *s = NULL;

    sign_one(w, "r1", 1, 0, KY_OK);
    ky_buf_put(&b, store_merkle(w->a->store)->peaks, sizeof(store_merkle(w->a->store)->peaks));
    size_t form_at = b.len;
    state_encode(w->a->state, &b);
    b.data[form_at]--;
    assert_true(ky_ok(state_new(&w->a->state->limits, &s)));
    assert_int_equal(KY_UNIMPLEMENTED,
                     state_decode(s, KY_SPAN(b.data + form_at, b.len - form_at)).code);
    state_encode(s, &before);
    state_free(&s);
    assert_true(ky_ok(state_new(&w->a->state->limits, &s)));
    state_encode(s, &after);
    assert_true(ky_span_eq(ky_buf_span(&before), ky_buf_span(&after)));
    state_free(&s);
    assert_true(ky_ok(store_snapshot_write(w->a->store, ky_buf_span(&b))));
    world_crash(w);
    world_boot(w);
    assert_int_equal(PHASE_SERVE, w->a->phase);
    assert_int_equal(0, w->a->side.snapshot_size);
    assert_int_equal(1, w->a->state->signatures);
    ky_buf_free(&b);
    ky_buf_free(&before);
    ky_buf_free(&after);
}

struct late { /* one slot's bytes */
    size_t slot;
    uint8_t bytes[256];
};

static void put_anchor(struct world *w, const struct late *l)
{
    memcpy(w->anchors[l->slot], l->bytes, ANCHOR_LEN);
}

/* It arrives when the slots have been read, and before the first write over it. */
static void arrive(struct world *w)
{
    if (w->watcher == NULL || w->a == NULL || !w->a->boot.anchoring)
        return;
    put_anchor(w, w->watcher);
    w->watcher = NULL;
}

static void arrive_unreadable(struct world *w)
{
    arrive(w);
    w->anchor_reads_fail = w->watcher == NULL;
}

static void two_anchors(struct world *w)
{
    for (int i = 0; i < 2; i++) {
        world_advance(w, 30000000);
        sign_one(w, i ? "even" : "odd", 1, 0, KY_OK);
        world_advance(w, 1100000);
        world_run(w);
    }
}

/* Over a network a killed vault's write may arrive in the next life, or after that has written the slot: it is on our ledger. */
static void fault_51_our_own_late_anchor_is_overwritten(void **state)
{
    struct world *w = *state;
    struct late late = {0}, old = {0};

    sign_one(w, "r1", 1, 0, KY_OK);
    w->anchor_lost = true;
    late.slot = old.slot = (w->a->side.anchor_sequence + 1) & 1;
    memcpy(old.bytes, w->anchors[old.slot], ANCHOR_LEN);
    world_advance(w, 1100000);
    world_run(w);
    memcpy(late.bytes, w->anchors[late.slot], ANCHOR_LEN);
    assert_memory_not_equal(old.bytes, late.bytes, ANCHOR_LEN);
    world_crash(w);
    put_anchor(w, &old);
    w->anchor_lost = false;
    w->watcher = &late;
    w->on_clock = arrive;
    world_boot(w);
    assert_null(w->watcher);
    assert_int_equal(PHASE_SERVE, w->a->phase);
    assert_memory_not_equal(late.bytes, w->anchors[late.slot], ANCHOR_LEN);
    world_advance(w, 60000000); /* of an unclean start */
    put_anchor(w, &late);
    two_anchors(w);
    assert_int_equal(PHASE_SERVE, w->a->phase);
    assert_memory_not_equal(late.bytes, w->anchors[late.slot], ANCHOR_LEN);
    world_stop(w);
    world_boot(w); /* in order: it asks for no codes to be refused */
    assert_int_equal(1, ledger_count(w, LEDGER_ANCHORED));
    put_anchor(w, &old); /* this one was overwritten long ago: nobody's late write */
    for (uint8_t i = 0; i < 3 && w->a->phase == PHASE_SERVE; i++) {
        const char id[] = {'z', (char)('0' + i), '\0'};
        char code[9];
        world_advance(w, 30000000);
        struct door_tx m = totp_msg(w, id, 1, code, 1);
        front_send(w, FRONT_SIGNER, &door_sign_schema, &m);
        world_run(w);
    }
    assert_int_equal(PHASE_SEALED, w->a->phase);
    assert_non_null(strstr(world_told(w, CONTROL_SEALED)->text, "another server"));
}

/* Somebody's anchor that cannot be looked at is nobody's to serve beside: neither at a start nor for long. */
static void fault_51_a_disputed_anchor_that_cannot_be_read_seals(void **state)
{
    struct world *w = *state;
    struct late other = {.bytes = {7}};

    sign_one(w, "r1", 1, 0, KY_OK);
    other.slot = (w->a->side.anchor_sequence + 1) & 1;
    put_anchor(w, &other);
    w->anchor_reads_fail = true;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(PHASE_SERVE, w->a->phase); /* a token may fail to answer, but not for long */
        world_advance(w, 1100000);
        world_run(w);
    }
    assert_int_equal(PHASE_SEALED, w->a->phase);
    assert_non_null(strstr(world_told(w, CONTROL_SEALED)->text, "another server"));
}

static void fault_51_a_disputed_anchor_is_not_served_beside(void **state)
{
    struct world *w = *state;
    struct late other = {.bytes = {7}};

    sign_one(w, "r1", 1, 0, KY_OK);
    other.slot = (w->a->side.anchor_sequence + 1) & 1;
    world_crash(w);
    w->watcher = &other;
    w->on_clock = arrive_unreadable;
    world_start(w);
    for (int i = 0; i < 4 && w->a->phase != PHASE_SEALED; i++) {
        world_run(w);
        assert_int_not_equal(PHASE_SERVE, w->a->phase);
    }
    assert_null(w->watcher);
    assert_int_equal(PHASE_SEALED, w->a->phase);
    assert_non_null(strstr(world_told(w, CONTROL_SEALED)->text, "another server"));
}

static void another_server_id_seals(void **state)
{
    static char id[] = "other.example";
    struct world *w = *state;

    world_stop(w);
    w->config.server_id = id;
    expect_sealed(w, "server_id");
}

static void checkpoints_are_published(void **state)
{
    struct world *w = *state;
    char path[128];
    char note[1024] = {0};

    sign_one(w, "r1", 1, 0, KY_OK);
    world_advance(w, 10100000);
    world_run(w);
    snprintf(path, sizeof(path), "%s/checkpoint", w->dir);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_true(fread(note, 1, sizeof(note) - 1, f) > 60);
    fclose(f);
    char want[64];
    snprintf(want, sizeof(want), "ca.example\n%llu\n",
             (unsigned long long)store_ledger_size(w->a->store));
    assert_memory_equal(want, note, strlen(want));
    assert_non_null(strstr(note, "\xe2\x80\x94 ca.example "));
    struct authority_stats stats;
    authority_stats(w->a, &stats);
    assert_true(ky_span_eq(text(note), stats.checkpoint));
}

static void drain_finishes_and_says_so(void **state)
{
    struct world *w = *state;
    struct answer got;
    struct control_msg drain = {.type = CONTROL_DRAIN};
    char code[9];
    struct door_tx m = totp_msg(w, "r1", 1, code, 0);

    w->vaults[0].hold = true;
    uint64_t first = front_send(w, FRONT_SIGNER, &door_sign_schema, &m);
    world_run(w);
    peer_control(w->a, &drain, -1);
    m = totp_msg(w, "r2", 2, code, 1);
    uint64_t second = front_send(w, FRONT_SIGNER, &door_sign_schema, &m);
    world_run(w);
    assert_int_equal(PHASE_DRAIN, w->a->phase);
    assert_true(front_answer(w, FRONT_SIGNER, second, &got)); /* admits nothing */
    assert_int_equal(KY_UNAVAILABLE, got.code);
    vault_die(w, 0);
    w->vaults[0].hold = false;
    vault_join(w, 0);
    world_run(w);
    assert_true(front_answer(w, FRONT_SIGNER, first, &got)); /* loses nothing */
    assert_int_equal(DOOR_R_SIGN, got.type);
    assert_int_equal(PHASE_DONE, w->a->phase);
    assert_int_equal(1, ledger_count(w, LEDGER_STOP));
    assert_int_equal(w->a->side.snapshot_size, store_ledger_size(w->a->store));
    assert_int_equal(1, w->a->side.anchor_pending.clean);
}

/*
 * The last anchor is the head: an event or an expiry that came later would make the next start
 * distrust everything.
 */
static void nothing_is_recorded_after_the_stop(void **state)
{
    struct world *w = *state;
    struct answer got;
    struct door_event late = {.kind = DOOR_EVENT_FLOOD, .count = 1};
    struct control_msg drain = {.type = CONTROL_DRAIN};
    struct door_tx m = sign_msg(w, "b1", 1);

    ask(w, FRONT_SIGNER, &door_tx_begin_schema, &m, &got);
    assert_int_equal(DOOR_R_TX, got.type);
    world_run(w);
    peer_control(w->a, &drain, -1);
    for (int i = 0; i < 8 && w->a->phase != PHASE_CLOSE; i++)
        world_turn(w);
    assert_int_equal(PHASE_CLOSE, w->a->phase);
    world_advance(w, 121000000);
    assert_true(ky_ok(ky_channel_send(&w->fronts[FRONT_SIGNER], &door_event_schema, &late, 0, 0)));
    world_run(w);
    assert_int_equal(PHASE_DONE, w->a->phase);
    assert_int_equal(w->a->side.anchor_pending.size, store_ledger_size(w->a->store));
}

/*
 * P6: a copy made while stopped stands at a clean anchor. The token has forgotten that one before a
 * proof can be spent.
 */
static void the_token_knows_of_a_start_before_it_serves(void **state)
{
    struct world *w = *state;

    world_stop(w);
    world_start(w);
    for (int i = 0; i < 8 && w->a->phase != PHASE_SERVE; i++) {
        assert_null(world_told(w, CONTROL_READY));
        world_turn(w);
    }
    assert_int_equal(PHASE_SERVE, w->a->phase);
    assert_int_equal(store_ledger_size(w->a->store), w->a->side.anchor_size);
    assert_int_equal(0, w->a->side.anchor_pending.clean);
    world_run(w);
}

static void figures(void **state)
{
    struct world *w = *state;
    struct authority_stats s;

    sign_one(w, "r1", 1, 0, KY_OK);
    sign_one(w, "r2", 1, 0, KY_DENIED);
    authority_stats(w->a, &s);
    assert_int_equal(1, s.signatures);
    assert_int_equal(1, s.denials);
    assert_int_equal(0, s.in_flight);
    assert_int_equal(FRONT_COUNT + 1, s.role_count);
    assert_false(s.sealed);
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(provisioning_writes_what_it_must),
        T(two_people_always_but_in_a_demo),
        T(one_key_is_one_operator),
        T(one_unreadable_anchor_is_no_outage),
        T(never_made_twice),
        T(orphans_are_abandoned),
        T(older_database_seals),
        T(forked_database_seals),
        T(snapshot_of_another_history_seals),
        T(a_snapshot_of_another_form_is_passed_over),
        T(snapshot_younger_than_the_anchor_opens),
        T(leaves_put_in_for_the_anchor_seal),
        T(missing_database_is_not_made_again),
        T(another_token_seals),
        T(fault_51_second_server_is_refused),
        T(fault_51_moved_anchor_seals),
        T(an_anchor_is_tried_again_as_it_was),
        T(fault_51_our_own_late_anchor_is_overwritten),
        T(fault_51_a_disputed_anchor_that_cannot_be_read_seals),
        T(fault_51_a_disputed_anchor_is_not_served_beside),
        T(another_server_id_seals),
        T(checkpoints_are_published),
        T(drain_finishes_and_says_so),
        T(nothing_is_recorded_after_the_stop),
        T(the_token_knows_of_a_start_before_it_serves),
        T(figures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
