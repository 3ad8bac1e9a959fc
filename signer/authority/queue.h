/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs that wait for a vault: lanes, and in a lane clients that take turns by what their jobs cost. One pass over the queue
 * asks for the next job until there is none; a job that cannot go now keeps its share back for the rest of the pass.
 */
#ifndef KYSO_QUEUE_H
#define KYSO_QUEUE_H

#include "authority_private.h"

/* The slot's kind, cost and share are set here, from its job. */
void queue_put(struct authority *a, struct job_slot *s);
/* Before all others of its share: what a vault gave back. */
void queue_put_back(struct job_queue *q, struct job_slot *s);
void queue_remove(struct job_queue *q, struct job_slot *s);

void queue_begin(struct job_queue *q);
struct job_slot *queue_next(struct job_queue *q); /* still queued; NULL = nothing more can go */
void queue_stuck(struct job_queue *q, struct job_slot *s);
/* A vault has got it: out of the queue, and charged to its share. */
void queue_take(struct job_queue *q, struct job_slot *s);

/* How long a job of this client and lane would wait for a vault, as far as can be told. */
uint64_t queue_wait_us(const struct authority *a, const struct client *c, enum job_lane lane);

#endif
