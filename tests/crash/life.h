/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server's life on tape: a whole authority (world.h) decides, commits, moves its WAL, stops and
 * starts again, while every operation on its files is recorded beside what had been acknowledged by
 * then. One thread.
 */
#ifndef KYSO_CRASH_LIFE_H
#define KYSO_CRASH_LIFE_H

#include "tape.h"
#include "world.h"

#define LIFE_MOMENTS 4096u
#define LIFE_TOLD    256u

struct moment {    /* what holds from now on, whatever happens */
    uint64_t size; /* of the ledger, as the store has it */
    uint8_t root[32];
    uint64_t safe; /* the same since the server serves: nobody is told of what a start finds */
    uint64_t wall_us, mono_us;
    uint8_t anchors[2][256]; /* in the token */
    size_t anchor_len[2];
    uint32_t told; /* signatures that a client has */
    uint32_t jobs; /* that a vault has signed */
};
struct told { /* a signature that a client has, and how to ask for it again */
    char request_id[16];
    uint8_t hash[32];
    uint8_t signature[64];
};
struct life {
    struct world *w;
    struct tape *tape; /* borrowed; NULL: nothing is recorded */
    struct moment moments[LIFE_MOMENTS];
    uint32_t moment_count;
    struct told told[LIFE_TOLD];
    uint32_t told_count;
    uint32_t requests;
};

void life_path(const struct life *l, char out[128]);
/* From now on the tape runs, and what happened before is a moment too; with NULL it stops. */
void life_record(struct life *l, struct tape *t);
/* The number of the present moment. */
uint32_t life_note(struct life *l);
/*
 * Some dozens of turns: codes, denials, approvals, SADs, failures, rows, a WAL moved often, a clean
 * stop in the middle.
 */
void life_live(struct life *l, unsigned rounds);

struct door_tx life_request(const struct life *l, const struct told *t, const char *request_id);

#endif
