/* SPDX-License-Identifier: Apache-2.0 */
/* What the played vaults have and made. */
#ifndef KYSO_SIM_HELD_H
#define KYSO_SIM_HELD_H

#include "asked.h"

struct sim;
enum held_state { HELD_NOT, HELD_RUNNING, HELD_GIVEN_UP };
struct held { /* a job at a vault */
    enum held_state state;
    uint32_t vault, generation, attempt, key_row, count;
    uint64_t tag, deadline_us;
    uint8_t digests[HASHES][32];
};
struct made {              /* a signature that a vault made of a job it had */
    uint8_t signature[32]; /* its first half */
    uint8_t digest[32];
    uint32_t key_row;
};
struct sim_vault {
    bool hung, doomed; /* answers nothing; was told to be killed */
    uint64_t back_us;  /* when a dead one is replaced */
};

void vaults_take(struct world *w, uint32_t vault, const struct ky_record *rec,
                 const struct job_sign *m);
void vaults_work(struct sim *s);
void vaults_lost(struct sim *s, uint32_t index); /* what it held is nobody's */

#endif
