/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which vault takes a job, and how much work is given ahead to one that is busy. Authority's thread.
 */
#ifndef KYSO_VAULTS_H
#define KYSO_VAULTS_H

#include "authority_private.h"

bool vault_is_up(const struct peer *p);
uint32_t vaults_idle(const struct authority *a);     /* have nothing to do */
uint64_t vaults_least_us(const struct authority *a); /* of work, at any; UINT64_MAX = none is up */
/* Counts the vaults for one pass over the queue. */
void vaults_look(struct authority *a);
struct peer *vaults_choose(const struct authority *a,
                           const struct job_slot *s); /* NULL = none takes it now */
/* The queued job is this vault's (I5). False: its channel is full, and nothing has changed. */
bool vaults_give(struct authority *a, struct job_slot *s, struct peer *v);
/* The opposite, whatever came of it. */
void vaults_release(struct authority *a, struct job_slot *s);
/* The next turn may wait until then, and be larger for it: no vault runs dry meanwhile. 0 or past: it may not. */
uint64_t vaults_rest_until_us(const struct authority *a);
uint32_t vaults_window(const struct authority *a); /* jobs that one vault runs at the same time */

#endif
