/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's life in a schedule: turns, time, faults of the disk, crashes at any turn with or
 * without its answers seen, clean stops, and at the end a time in which everything works, after
 * which nothing may be left.
 */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "db_files.h"
#include "fault_vfs.h"

#define BOOT_TURNS 60u
#define HEAL_TURNS 1500u
#define STOP_TURNS 60u

static struct { /* the state that every schedule starts from, a clean stop */
    struct db_files files;
    struct world world;
    struct person persons[PERSONS];
} template;

/* --- turns ----------------------------------------------------------------------------------- */

static void look(struct sim *s)
{
    vault_pump(s->w);
    answers_take(s);
}

/*
 * In a turn: what peers can read while records are staged and not yet committed must rest on older
 * records alone.
 */
static void on_clock(struct world *w)
{
    struct sim *s = (struct sim *)w->watcher;

    if (!s->in_turn || s->lose || w->a == NULL || w->a->store == NULL)
        return;
    oracle_read(s);
    if (store_ledger_size(w->a->store) > s->oracle.tree.size)
        look(s);
}

static void turn(struct sim *s)
{
    struct authority *a = s->w->a;

    s->turn++;
    if (s->w->wall_us > s->wall_most_us)
        s->wall_most_us = s->w->wall_us;
    world_send(s->w);
    s->in_turn = true;
    (void)authority_turn(a);
    s->in_turn = false;
    if (s->lose)
        return;
    oracle_read(s);
    look(s);
    if (a->phase == PHASE_SEALED && !fault_fired())
        sim_fail(s, "sealed", "%s", a->sealed_reason);
}

static void pass_time(struct sim *s, uint64_t us)
{
    s->w->mono_us += us;
    s->w->wall_us += s->frozen ? 0 : us;
}

/* --- starts and ends ------------------------------------------------------------------------- */

static void boot_once(struct sim *s)
{
    world_start(s->w);
    for (uint32_t i = 0; i < BOOT_TURNS && s->w->a->phase == PHASE_BOOT; i++) {
        s->w->mono_us += 100;
        turn(s);
    }
}

static void machine_off(struct sim *s)
{
    world_crash(s->w);
    for (uint32_t i = 0; i < WORLD_VAULTS; i++) {
        vaults_lost(s, i);
        s->vaults[i] = (struct sim_vault){0};
    }
    for (uint32_t i = 0; i < s->question_count; i++)
        s->questions[i].open = false; /* its front is gone: nobody hears */
    if (fault_fired()) /* when the old process closed its files: nothing of it is left */
        fault_arm(FAULT_EIO, 0);
    s->lose = false;
    s->oracle.reread = true;
}

static void boot(struct sim *s, bool clean)
{
    s->oracle.expects_anchored = !clean;
    boot_once(s);
    if (s->w->a->phase ==
        PHASE_SEALED) { /* the disk failed at this start: the next one may have it */
        machine_off(s);
        fault_arm(FAULT_EIO, 0);
        s->oracle.expects_anchored = true;
        boot_once(s);
    }
    if (s->w->a->phase != PHASE_SERVE)
        sim_fail(s, "liveness", "it does not start: phase %u, %s", s->w->a->phase,
                 s->w->a->sealed_reason);
    for (uint32_t i = 1; i < s->vault_count; i++)
        vault_join(s->w, i);
}

/* Codes of before an unclean start are refused for a minute: often nobody asks for that long. */
static void wait_for_codes(struct sim *s)
{
    if (sim_chance(s, 70))
        pass_time(s, 61000000);
}

static void crash(struct sim *s)
{
    s->lose = sim_chance(s, 60);
    sim_trace(s, "crash%s", s->lose ? ", nobody sees what was written last" : "");
    turn(s);
    machine_off(s);
    s->figures[DID_CRASH]++;
    if (sim_chance(s, 8))
        fault_arm(sim_chance(s, 50) ? FAULT_SYNC : FAULT_EIO, 1 + sim_pick(s, 3));
    boot(s, false);
    wait_for_codes(s);
}

/* Everything works until nothing is left to do. */
static void heal(struct sim *s)
{
    const struct authority *a = s->w->a;
    bool quiet = false;

    s->healing = true;
    s->frozen = false;
    for (uint32_t i = 0; i < HEAL_TURNS && !quiet; i++) {
        pass_time(s, 20000);
        vaults_work(s);
        turn(s);
        quiet = i > 3 && a->sign_in_flight == 0 && a->waiter_count == 0 &&
                a->jobs.queue.count == 0 && a->jobs.alone == 0;
    }
    answers_check_end(s);
    s->healing = false;
}

/* The disk may fail at the end, too: then the next start may be clean or not. */
static void stop(struct sim *s)
{
    struct control_msg m = {.type = CONTROL_DRAIN};

    sim_trace(s, "clean stop");
    s->healing = true;
    peer_control(s->w->a, &m, -1);
    for (uint32_t i = 0; i < STOP_TURNS && s->w->a->phase < PHASE_DONE; i++) {
        pass_time(s, 20000);
        vaults_work(s);
        turn(s);
    }
    s->healing = false;
    if (s->w->a->phase != PHASE_DONE && !fault_fired())
        sim_fail(s, "liveness", "it does not stop: phase %u", s->w->a->phase);
    machine_off(s);
    s->figures[DID_STOP]++;
}

/* --- what goes wrong ------------------------------------------------------------------------- */

static void disk_fails(struct sim *s)
{
    static const enum fault_kind kinds[] = {FAULT_FULL, FAULT_EIO, FAULT_SHORT, FAULT_SYNC,
                                            FAULT_SYNC};

    fault_arm(kinds[sim_pick(s, 5)], 1 + sim_pick(s, 4));
    sim_trace(s, "the disk will fail");
}

/* A fault that has struck seals, in that turn or the next; then only a start helps. */
static void after_fault(struct sim *s)
{
    for (int i = 0; i < 3; i++) {
        ask_something(s);
        s->w->mono_us += 100;
        turn(s);
    }
    if (s->w->a->phase != PHASE_SEALED)
        sim_fail(s, "I6", "the disk failed and the authority goes on");
    sim_trace(s, "sealed: %s", s->w->a->sealed_reason);
    s->figures[DID_FAULT]++;
    machine_off(s);
    fault_arm(FAULT_EIO, 0);
    boot(s, false);
    wait_for_codes(s);
}

static void clock_jumps(struct sim *s)
{
    static const int64_t by_s[] = {1, -1, 30, -30, 3600, -3600, -30, -60, 30};
    int64_t jump = by_s[sim_pick(s, sizeof(by_s) / sizeof(by_s[0]))];

    s->frozen = sim_pick(s, 6) == 0;
    s->w->wall_us = (uint64_t)((int64_t)s->w->wall_us + jump * 1000000);
    s->figures[DID_CLOCK_BACK] += jump < 0;
    sim_trace(s, "the clock jumps by %ld s%s", (long)jump, s->frozen ? " and stands" : "");
}

/*
 * Who lost an authenticator gets another, with a new seed, if the disk keeps it: a failed sync may
 * have.
 */
static void enrol_again(struct sim *s)
{
    struct person before[PERSONS];
    uint32_t newest = 0;

    memcpy(before, s->persons, sizeof(before));
    for (uint32_t i = 0; i < PERSONS; i++) {
        struct person *p = &s->persons[i];
        if (s->oracle.authenticators[p->totp_row].off) {
            p->seed[0] = (uint8_t)(PERSONS + ++s->seeds); /* nobody had it */
            p->last_code[0] = '\0';
            newest = p->totp_row = add_totp(s->w, p->subject_row, KY_SPAN_OF(p->seed), p->totp);
        }
        if (s->oracle.authenticators[p->device_row].off)
            newest = p->device_row = add_device(s->w, p->subject_row, p->device);
    }
    turn(s);
    if (!fault_fired())
        return;
    after_fault(s);
    if (newest > store_row_count(s->w->a->store, ROW_AUTHENTICATOR))
        memcpy(s->persons, before, sizeof(before));
}

/* --- a schedule ------------------------------------------------------------------------------ */

static void step(struct sim *s)
{
    uint32_t roll = sim_pick(s, 1000);
    uint32_t pace = sim_pick(s, 100);

    pass_time(s, pace < 76   ? sim_pick(s, 3000)
                 : pace < 90 ? 20000 + sim_pick(s, 180000)
                 : pace < 94 ? 500000 + sim_pick(s, 2500000)
                             : STEP_S * 1000000u); /* the next code */
    for (uint32_t i = sim_pick(s, 4); i > 0; i--)
        ask_something(s);
    if (roll < 30)
        clock_jumps(s);
    else if (roll < 70)
        ask_operator(s);
    else if (roll < 75)
        disk_fails(s);
    else if (roll < 95)
        enrol_again(s);
    vaults_work(s);
    if (roll >= 990) {
        crash(s);
        return;
    }
    if (roll >= 987) {
        stop(s);
        boot(s, true);
        return;
    }
    turn(s);
    if (fault_fired())
        after_fault(s);
}

static const char *in_state(const struct world *w, const char *name, char out[128])
{
    snprintf(out, 128, "%s/%s", w->dir, name);
    return out;
}

static void put_back(struct sim *s)
{
    struct world *w = s->w;
    char path[128];

    db_files_save(&template.files, in_state(w, "kyso.db", path));
    (void)unlink(in_state(w, "checkpoint", path));
    *w = template.world;
    w->watcher = s;
    w->on_clock = on_clock;
    w->on_job = vaults_take;
    memcpy(s->persons, template.persons, sizeof(s->persons));
    s->deal_count = s->order_count = s->question_count = s->operation_count = 0;
    s->held_count = s->made_count = s->stale_count = s->seeds = s->serial = 0;
    s->step = s->turn = s->wall_most_us = 0;
    s->frozen = s->lose = s->in_turn = s->healing = false;
    memset(s->vaults, 0, sizeof(s->vaults));
    fault_arm(FAULT_EIO, 0);
    oracle_start(s);
}

void sim_run(struct sim *s)
{
    put_back(s);
    s->vault_count = 1 + sim_pick(s, WORLD_VAULTS);
    boot(s, true);
    for (s->step = 1; s->step <= s->steps; s->step++)
        step(s);
    fault_arm(FAULT_EIO, 0);
    heal(s);
    stop(s);
    if (sim_chance(s, 10)) {
        boot(s, true);
        stop(s);
    }
}

/* --- the template ---------------------------------------------------------------------------- */

static void add_people(struct sim *s)
{
    static const char *const parties[PARTIES] = {WORLD_RP, "other"};

    for (uint32_t i = 0; i < PERSONS; i++) {
        struct person *p = &template.persons[i];
        snprintf(p->id, sizeof(p->id), "0790000001%02u", i);
        memset(p->seed, (int)i + 1, sizeof(p->seed));
        p->subject_row = add_subject(s->w, p->id);
        p->totp_row = add_totp(s->w, p->subject_row, KY_SPAN_OF(p->seed), p->totp);
        p->device_row = add_device(s->w, p->subject_row, p->device);
        for (uint32_t k = 0; k < PARTIES; k++)
            p->credentials[k].row = add_credential(
                s->w, p->subject_row, i == SHARED ? "*" : parties[k], p->credentials[k].id);
    }
    world_run(s->w);
}

static void *array(struct sim *s, size_t size)
{
    void *p = calloc(s->cap, size);

    assert_non_null(p);
    return p;
}

void sim_setup(struct sim *s)
{
    void *state = NULL;
    char path[128];

    fault_install();
    if (access("/dev/shm", W_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 1);
    assert_int_equal(0, world_setup(&state));
    s->w = state;
    s->w->config.limits.replay_requests = 1u << 12; /* enough, and quick to set up */
    add_people(s);
    world_stop(s->w);
    template.world = *s->w;
    db_files_init(&template.files);
    db_files_load(&template.files, in_state(s->w, "kyso.db", path));
    s->cap = (uint32_t)s->steps * 16 + 256;
    s->deals = array(s, sizeof(*s->deals));
    s->orders = array(s, sizeof(*s->orders));
    s->questions = array(s, sizeof(*s->questions));
    s->operations = array(s, sizeof(*s->operations));
    s->held = array(s, sizeof(*s->held));
    s->made = array(s, sizeof(*s->made));
    s->oracle.intents = array(s, sizeof(*s->oracle.intents));
    s->oracle.txs = array(s, sizeof(*s->oracle.txs));
}

void sim_close(struct sim *s)
{
    void *arrays[] = {s->deals, s->orders, s->questions,      s->operations,
                      s->held,  s->made,   s->oracle.intents, s->oracle.txs};

    for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
        free(arrays[i]);
    db_files_free(&template.files);
    void *state = s->w;
    assert_int_equal(0, world_teardown(&state));
}
