/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request of many hashes as several jobs, so that idle vaults sign it together. Outside it stays one job: its continuation is
 * called once, with all signatures in the request's order or with the first failure (I4). Inside a turn only.
 */
#ifndef KYSO_SPLIT_H
#define KYSO_SPLIT_H

#include "jobs.h"

/* In how many parts this job is worth being sent now: 1 unless vaults are idle and nothing else waits for them. */
uint32_t split_parts(const struct authority *a, const struct job *job);
/* As job_submit(), in so many parts. */
KY_MUST_CHECK struct ky_status split_submit(struct authority *a, const struct job *job,
                                            const struct job_sign *m, uint32_t parts);
/* The whole has failed or its last part has come: what is left of it is signed for nobody. */
bool split_is_void(const struct job_slot *s);
/* Waits for a vault, and so do all parts of the same whole. */
bool split_is_queued(const struct job_slot *s);
/* A vault has it now, or no longer has it. */
void split_moved(const struct job_slot *s, bool away);
/* A part has ended; its slot is free. True when the whole has ended with it: *out_job is its job, out_result what came of it. */
bool split_settle(struct job_part part, const struct job_result *r, struct job *out_job,
                  struct job_result *out_result, struct ky_buf *out_bytes);

/* The same when nobody is told any more. */
void split_forget(struct job_part part);

#endif
