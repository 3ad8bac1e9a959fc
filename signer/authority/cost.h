/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a job costs: microseconds of one vault, estimated by kind and learned from how long busy vaults took. The one measure by
 * which clients take turns, vaults are filled and newcomers are turned away. Authority's thread.
 */
#ifndef KYSO_COST_H
#define KYSO_COST_H

#include "authority_private.h"

void cost_init(struct dispatcher *d);
uint8_t cost_kind(const struct job *job);
uint32_t cost_us(const struct authority *a, uint8_t kind, uint32_t signatures);
/* Is a signature of this key type worth many of the cheapest? RSA, and P-384 where it is not optimised. */
bool cost_is_dear(uint8_t key_type);
/* A vault is about to get a job, has done one: what its window of time says is learned when it is long enough. */
void cost_sending(struct authority *a, struct peer *v);
void cost_done(struct authority *a, struct peer *v, const struct job_slot *s);

#endif
