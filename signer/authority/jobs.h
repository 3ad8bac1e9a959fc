/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists and slots of jobs, between jobs.c and dispatch.c only.
 */
#ifndef KYSO_JOBS_H
#define KYSO_JOBS_H

#include "authority_private.h"

void job_list_append(struct job_list *l, struct job_slot *s);
void job_list_prepend(struct job_list *l, struct job_slot *s);
void job_list_remove(struct job_list *l, struct job_slot *s);
void job_chain_remove(struct job_slot **first, struct job_slot **last, struct job_slot *s);
struct map_key job_tag_key(const struct reply_to *to);
/* job_submit() of a part. */
KY_MUST_CHECK struct ky_status job_submit_part(struct authority *a, const struct job *job,
                                               const void *msg, struct job_part part);
/* The slot is free again; its context is the caller's. */
void job_slot_release(struct dispatcher *d, struct job_slot *s);
/* NULL unless a job of exactly this id is live: a late result's id names none. */
struct job_slot *job_slot_by_id(const struct dispatcher *d, uint64_t id);

#endif
