/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all processes on one fault token share and what outlives them: how often each rule met a
 * call and fired, wrong PINs, open sessions. A file beside the script, SCRIPT.state, read and
 * written only between state_lock and state_unlock. Without a script each process has a state of
 * its own.
 */
#ifndef KYSO_FAULT_STATE_H
#define KYSO_FAULT_STATE_H

#include <stdbool.h>
#include <sys/types.h>

#include "script.h"

enum { HOLDERS_MAX = 64 };

struct state {
    /* Of one version of the script: all zero again when another is read. */
    uint64_t version;
    uint64_t lives;
    uint64_t met[RULES_MAX];
    uint64_t fired[RULES_MAX];
    /* Of the token. */
    uint64_t pin_failures;
    struct holder {
        pid_t pid;
        uint32_t sessions;
    } holders[HOLDERS_MAX];
};

/* path NULL: a private one. false: errno says why. */
bool state_open(const char *path);

/* Between processes; threads of one process hold the module's own lock around it. */
struct state *state_lock(void);
void state_unlock(void);

/*
 * A process begins with this version of the script; returns its number among those that did, from
 * 1.
 */
uint64_t state_begin(struct state *s, uint64_t version);

/* Sessions of processes that live. */
uint32_t state_sessions(struct state *s);

/* Adds to this process's own. */
void state_count_sessions(struct state *s, int change);
void state_forget_sessions(struct state *s);

#endif
