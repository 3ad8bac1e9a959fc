/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power cuts: after every write, truncation, sync and removal of the database's files, each in
 * several ways (tape.h), the authority starts on what the disk may hold then. P2, P5, I4; faults
 * 47, 48: it serves, all that was acknowledged is there, and nothing of a turn in part. Some of
 * those starts are recorded and cut in turn.
 *   KYSO_CRASH_SEED=N    repeats a printed seed
 *   KYSO_CRASH_CUT=N     makes only the cut with that number
 *   KYSO_CRASH_ROUNDS=N  a longer life
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kyso/secret.h"
#include "life.h"
#include "splitmix.h"
#include "store_private.h"

#define FAIL_EVERY 11u /* one sync in so many fails */
#define NAMES      (1u << 18)
#define HEADS      8u
#define NEST_EVERY 97u /* one start in so many is cut itself */

struct sweep {
    struct life life;
    uint64_t seed, random;
    uint64_t only; /* 0 = all */
    uint64_t cuts, deep_cuts;
    uint64_t tapes, syncs;
    uint64_t names[NAMES]; /* of disks that were tried */
    bool deep;             /* in a start that is cut itself */
};

/* --- what must hold after a start ------------------------------------------------------------ */

struct reading {
    const struct life *life;
    const struct moment *acknowledged;
    struct merkle tree;
    uint64_t heads
        /* ends of turns from the acknowledged one on that are in this ledger, with their roots */
        [HEADS];
    uint32_t head_count;
    uint32_t intents, receipts;
    uint64_t step; /* the last that a record spends */
    uint64_t head; /* before this start wrote */
};

static void note_head(struct reading *r)
{
    uint8_t root[32];

    if (r->tree.size < r->acknowledged->safe || r->head_count == HEADS)
        return;
    merkle_root(&r->tree, root);
    for (uint32_t i = 0; i < r->life->moment_count; i++) {
        const struct moment *m = &r->life->moments[i];
        if (m->size == r->tree.size && ky_span_eq(KY_SPAN_OF(root), KY_SPAN_OF(m->root))) {
            r->heads[r->head_count++] = m->size;
            return;
        }
    }
}

static void note_record(struct reading *r, const struct ledger_leaf *l)
{
    struct ledger_intent intent;
    struct ledger_authorized authorized;
    struct ledger_anchored anchored;
    struct ledger_start start;

    if (l->type == LEDGER_INTENT) {
        assert_true(ky_ok(ky_msg_decode(&ledger_intent_schema, l->body, &intent)));
        r->intents++;
        r->step = intent.step > r->step ? intent.step : r->step;
    } else if (l->type == LEDGER_AUTHORIZED) {
        assert_true(ky_ok(ky_msg_decode(&ledger_authorized_schema, l->body, &authorized)));
        r->step = authorized.step > r->step ? authorized.step : r->step;
    } else if (l->type == LEDGER_ANCHORED) {
        assert_true(ky_ok(ky_msg_decode(&ledger_anchored_schema, l->body, &anchored)));
        r->head = anchored.head_size;
    } else if (l->type == LEDGER_START) {
        assert_true(ky_ok(ky_msg_decode(&ledger_start_schema, l->body, &start)));
        r->head = start.clean ? l->index : r->head;
    }
    r->receipts += l->type == LEDGER_RECEIPT;
}

static struct ky_status read_leaf(void *context, struct ky_span leaf, struct ky_span private_data)
{
    struct reading *r = context;
    struct ledger_leaf l;
    struct ky_status status = ledger_leaf_parse(leaf, &l);

    (void)private_data;
    if (ky_ok(status))
        note_record(r, &l);
    merkle_append(&r->tree, leaf);
    note_head(r);
    return status;
}

/* NULL, or what is wrong. */
static const char *judge_ledger(struct life *l, const struct moment *acknowledged)
{
    struct reading r = {.life = l, .acknowledged = acknowledged};
    bool whole = false;

    if (!ky_ok(store_ledger_read(l->w->a->store, 0, 0, read_leaf, &r)))
        return "the ledger cannot be read";
    if (r.head_count == 0 || (acknowledged->safe > 0 && r.heads[0] != acknowledged->safe))
        return "what was acknowledged is not there";
    for (uint32_t i = 0; i < r.head_count; i++)
        whole = whole || r.heads[i] == r.head;
    if (!whole)
        return "the head is not the end of a turn";
    if (r.intents != r.receipts || l->w->a->state->flights.count != 0)
        return "an intent without a receipt, or two for one (I4)";
    if (r.intents < acknowledged->jobs)
        return "a signature without an intent (I1)";
    if (state_last_step(l->w->a->state, l->w->totp_row) < r.step)
        return "a spent code is not spent (P5)";
    return NULL;
}

/*
 * The newest signatures that a client had: the same again for their request ids, and none for
 * another.
 */
static const char *judge_answers(struct life *l, const struct moment *acknowledged)
{
    uint32_t jobs = l->w->vaults[0].signed_jobs;
    struct answer got;

    for (uint32_t i = acknowledged->told; i > 0 && i + 2 > acknowledged->told; i--) {
        const struct told *t = &l->told[i - 1];
        struct door_tx m = life_request(l, t, t->request_id);
        ask(l->w, FRONT_SIGNER, &door_sign_schema, &m, &got);
        if (got.type != DOOR_R_SIGN || !ky_span_eq(got.sign.signatures, KY_SPAN_OF(t->signature)))
            return "a signature that a client has is not in the ledger (P2)";
    }
    return l->w->vaults[0].signed_jobs == jobs ? NULL : "a repeat was signed again (P1)";
}

static const char *judge(struct life *l, const struct moment *acknowledged)
{
    if (l->w->a->phase != PHASE_SERVE) {
        const struct control_msg *why = world_told(l->w, CONTROL_SEALED);
        return why == NULL ? "it does not serve" : why->text;
    }
    const char *wrong = judge_ledger(l, acknowledged);
    return wrong == NULL ? judge_answers(l, acknowledged) : wrong;
}

/* --- cutting --------------------------------------------------------------------------------- */

/* As the machine comes up again: the token and the clocks are those of the moment. */
static void start_at(struct life *l, const struct db_files *disk, const struct moment *m)
{
    char path[128];

    life_path(l, path);
    db_files_save(disk, path);
    memcpy(l->w->anchors, m->anchors, sizeof(m->anchors));
    memcpy(l->w->anchor_len, m->anchor_len, sizeof(m->anchor_len));
    l->w->wall_us = m->wall_us;
    l->w->mono_us = m->mono_us;
    l->w->vaults[0].signed_jobs = m->jobs;
    l->told_count = m->told;
    world_start(l->w);
    world_run(l->w);
}

static bool is_new(struct sweep *s, uint64_t name, uint32_t moment)
{
    uint64_t key = name + moment;
    key = splitmix(&key) | 1u;
    size_t at = key % NAMES;

    while (s->names[at] != 0 && s->names[at] != key)
        at = (at + 1) % NAMES;
    bool fresh = s->names[at] == 0;
    s->names[at] = key;
    return fresh;
}

static void sweep(struct sweep *s, const struct tape *t);

/*
 * Starts on what the disk seems to hold. The start itself is recorded and cut each so many times,
 * and whenever less is on the disk than seems to be: `lasting`, else NULL.
 */
static void one_cut(struct sweep *s, const struct db_files *disk, const struct db_files *lasting,
                    uint32_t moment, const char *what)
{
    static const char *const modes[] = {"start", "start that is cut"};
    struct life *l = &s->life;
    struct moment acknowledged = l->moments[moment];
    uint32_t moments = l->moment_count;
    uint64_t number = ++s->cuts;
    bool nest = !s->deep && (lasting != NULL || number % NEST_EVERY == 0);
    struct tape t;

    s->deep_cuts += s->deep;
    if (s->only != 0 && s->only != number && !nest)
        return;
    tape_init(&t);
    db_files_copy(&t.before, lasting == NULL ? disk : lasting);
    if (nest) { /* a disk of its own history: nothing after the cut has happened */
        l->moments[l->moment_count++] = acknowledged;
        life_record(l, &t);
    }
    start_at(l, disk, &acknowledged);
    const char *wrong = judge(l, &acknowledged);
    if (nest)
        (void)life_note(l);
    life_record(l, NULL);
    if (wrong != NULL)
        fail_msg("cut %llu (seed %llu; %s, %s): %s", (unsigned long long)number,
                 (unsigned long long)s->seed, what, modes[s->deep], wrong);
    world_crash(l->w);
    if (nest) {
        s->deep = true;
        sweep(s, &t);
        s->deep = false;
    }
    l->moment_count = moments;
    tape_free(&t);
}

static void cut_here(struct sweep *s, const struct tape_head *h, uint32_t moment)
{
    static const struct {
        enum tape_mode mode;
        const char *name;
    } ways[] = {{TAPE_ALL, "all written"},
                {TAPE_SYNCED, "only what is synced"},
                {TAPE_TORN, "last write torn"},
                {TAPE_RANDOM, "some of it"},
                {TAPE_RANDOM, "some of it"}};
    struct db_files disk;
    char what[96];
    uint64_t name = 0;

    db_files_init(&disk);
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        tape_cut(h, ways[i].mode, &s->random, &disk, &name);
        (void)snprintf(what, sizeof(what), "before operation %zu of %zu, %s", h->at, h->tape->count,
                       ways[i].name);
        if (is_new(s, name ^ (s->tapes), moment))
            one_cut(s, &disk, NULL, moment, what);
    }
    db_files_free(&disk);
}

/*
 * Fault 47: this sync fails, which seals the node. What it should have covered can still be read
 * but is never written any more: an operator's start believes it sees it, and whatever that start
 * is answered for must outlive a power cut all the same.
 */
static void failed_sync(struct sweep *s, const struct tape_head *h, uint32_t moment)
{
    struct db_files seems, lasting;
    uint64_t name = 0;

    db_files_init(&seems);
    db_files_init(&lasting);
    tape_cut(h, TAPE_ALL, &s->random, &seems, &name);
    tape_cut(h, TAPE_SYNCED, &s->random, &lasting, &name);
    one_cut(s, &seems, &lasting, moment, "after a sync that failed");
    db_files_free(&seems);
    db_files_free(&lasting);
}

static void sweep(struct sweep *s, const struct tape *t)
{
    struct tape_head h;
    uint32_t last = s->life.moment_count - 1;

    s->tapes++;
    tape_head_init(&h, t);
    for (;;) {
        uint32_t moment = h.at < t->count ? t->ops[h.at].moment : last;
        cut_here(s, &h, moment);
        if (h.at == t->count)
            break;
        if (!s->deep && t->ops[h.at].kind == FAULT_OP_SYNC && s->syncs++ % FAIL_EVERY == 0)
            failed_sync(s, &h, moment);
        tape_head_step(&h);
    }
    tape_head_free(&h);
}

/* --- the life -------------------------------------------------------------------------------- */

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *s = getenv(name);
    return s == NULL || s[0] == '\0' ? otherwise : strtoull(s, NULL, 10);
}

static void fault_48_every_operation_may_be_the_last(void **state)
{
    struct sweep *s = calloc(1, sizeof(*s));
    struct tape t;
    char path[128];

    assert_non_null(s);
    assert_true(ky_ok(ky_random(&s->seed, sizeof(s->seed))));
    s->seed = number_from("KYSO_CRASH_SEED", s->seed);
    s->random = s->seed;
    s->only = number_from("KYSO_CRASH_CUT", 0);
    s->life.w = *state;
    tape_init(&t);
    s->life.w->config.limits.replay_requests = 1024; /* thousands of starts: less memory to make */
    world_stop(s->life.w);
    life_path(&s->life, path);
    db_files_load(&t.before, path);
    life_record(&s->life, &t);
    life_live(&s->life, (unsigned)number_from("KYSO_CRASH_ROUNDS", 3));
    life_record(&s->life, NULL);
    world_crash(s->life.w);
    print_message("KYSO_CRASH_SEED=%llu: %zu operations, %u moments, %u signatures\n",
                  (unsigned long long)s->seed, t.count, s->life.moment_count, s->life.told_count);
    sweep(s, &t);
    print_message("%llu cuts, %llu of them in a start\n", (unsigned long long)s->cuts,
                  (unsigned long long)s->deep_cuts);
    tape_free(&t);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fault_48_every_operation_may_be_the_last, world_setup,
                                        world_teardown),
    };
    fault_install();
    return cmocka_run_group_tests_name("crash_power", tests, NULL, NULL);
}
