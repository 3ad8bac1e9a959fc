/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One simulated machine: the real authority over its real store in memory, and everything else
 * played: people, relying parties, operators, vaults, the disk's faults, the clocks, crashes. One
 * thread; every choice comes from the seed. What is true is kept here apart from the authority:
 * what was asked (struct order), what the vaults made (struct made), what was committed (struct
 * oracle).
 */
#ifndef KYSO_SIM_H
#define KYSO_SIM_H

#include "asked.h"
#include "held.h"
#include "oracle.h"

enum figure {
    DID_SIGN,
    DID_REPEAT,
    DID_CONFLICT,
    DID_DENY,
    DID_LOCK,
    DID_FLOOR,
    DID_SAD,
    DID_APPROVAL,
    DID_WAIT,
    DID_CANCEL,
    DID_NOT_ME,
    DID_ABANDON,
    DID_SPLIT,
    DID_REDISPATCH,
    DID_LATE,
    DID_KILL,
    DID_CRASH,
    DID_STOP,
    DID_FAULT,
    DID_OPERATE,
    DID_REVOKE_FLYING,
    DID_CLOCK_BACK,
    DID_EXPIRE,
    DID_BUSY,
    FIGURES
};
extern const char *const figure_names[FIGURES];

struct sim {
    struct world *w;
    uint64_t seed, random, step, steps, turn;
    bool trace;
    uint64_t *figures; /* of all seeds */
    struct person persons[PERSONS];
    struct deal *deals;
    struct order *orders;
    struct question *questions;
    struct operation *operations;
    struct held *held;
    struct made *made;
    uint32_t deal_count, order_count, question_count, operation_count, held_count, made_count, cap;
    struct sim_vault vaults[WORLD_VAULTS];
    uint32_t vault_count;
    struct held stale[8]; /* answers already given: sent again, forged */
    uint32_t stale_count;
    bool frozen; /* the wall clock stands */
    bool lose;   /* the machine dies in this turn: what was flushed is never read */
    bool in_turn, healing;
    uint32_t seeds, serial;
    uint64_t wall_most_us; /* that the authority has been shown */
    struct oracle oracle;
};

/* main.c */
uint64_t sim_draw(struct sim *s);
uint32_t sim_pick(struct sim *s, uint32_t n); /* 0 .. n-1 */
bool sim_chance(struct sim *s, uint32_t percent);
void sim_trace(const struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void sim_fail(const struct sim *s, const char *rule, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* machine.c */
void sim_setup(struct sim *s); /* makes the template: a state with people and relying parties */
void sim_run(
    struct sim *s); /* one schedule: a machine put back to the template, its steps, its end */
void sim_close(struct sim *s);

/* ask.c */
void ask_something(struct sim *s);
/* Sends it; the question is open until its answer. */
struct question *ask_new(struct sim *s, int front, const struct ky_schema *schema, const void *msg,
                         uint64_t deadline_us);
extern const char *const party_names[PARTIES];

/* operators.c */
void ask_operator(struct sim *s);

/* answers.c */
void answers_take(struct sim *s);
void answers_check_end(struct sim *s);

#endif
