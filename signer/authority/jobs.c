/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slots that jobs live in from their submission to their continuation: a slab that grows to the queue's bound and keeps its
 * payload buffers, so that a request allocates nothing here. Authority's thread.
 */
#include "jobs.h"

#include "cost.h"
#include "queue.h"
#include "split.h"

#include <stdlib.h>
#include <string.h>

#define INDEX_BITS  20u
#define INDEX_MASK  ((1u << INDEX_BITS) - 1u)
#define QUEUE_EXTRA 64u   /* the server's own jobs always fit beside the requests' */
#define SLOT_KEEP   8192u /* larger payload buffers are given back */

void job_list_append(struct job_list *l, struct job_slot *s)
{
    s->next = NULL;
    s->prev = l->last;
    *(l->last != NULL ? &l->last->next : &l->first) = s;
    l->last = s;
    l->count++;
}

void job_list_prepend(struct job_list *l, struct job_slot *s)
{
    s->prev = NULL;
    s->next = l->first;
    *(l->first != NULL ? &l->first->prev : &l->last) = s;
    l->first = s;
    l->count++;
}

void job_chain_remove(struct job_slot **first, struct job_slot **last, struct job_slot *s)
{
    *(s->prev != NULL ? &s->prev->next : first) = s->next;
    *(s->next != NULL ? &s->next->prev : last) = s->prev;
    s->prev = NULL;
    s->next = NULL;
}

void job_list_remove(struct job_list *l, struct job_slot *s)
{
    job_chain_remove(&l->first, &l->last, s);
    l->count--;
}

struct map_key job_tag_key(const struct reply_to *to)
{
    return map_key_number(PAIR((uint32_t)to->door << 24 | to->front_index, to->front_generation),
                          to->tag);
}

static struct job_slot *slot_new(struct dispatcher *d)
{
    struct job_slot *s = d->free.first;

    if (s != NULL) {
        job_list_remove(&d->free, s);
        return s;
    }
    if (d->slot_count > INDEX_MASK)
        return NULL;
    if (d->slot_count == d->slot_cap) {
        uint32_t cap = d->slot_cap == 0 ? 256 : d->slot_cap * 2;
        struct job_slot **more = realloc(d->slots, cap * sizeof(struct job_slot *));
        if (more == NULL)
            return NULL;
        d->slots = more;
        d->slot_cap = cap;
    }
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->payload = KY_BUF_INIT(KY_RECORD_MAX);
    s->index = d->slot_count;
    d->slots[d->slot_count++] = s;
    return s;
}

void job_slot_release(struct dispatcher *d, struct job_slot *s)
{
    if (s->job.to.door != 0)
        (void)map_remove(&d->by_tag, job_tag_key(&s->job.to));
    if (s->payload.cap > SLOT_KEEP)
        ky_buf_free(&s->payload);
    s->payload.max = KY_RECORD_MAX;
    d->alone -= s->alone;
    s->alone = false;
    s->used = false;
    s->vault = NULL;
    job_list_append(&d->free, s);
}

struct job_slot *job_slot_by_id(const struct dispatcher *d, uint64_t id)
{
    uint32_t index = (uint32_t)id & INDEX_MASK;
    struct job_slot *s = index < d->slot_count ? d->slots[index] : NULL;

    return s != NULL && s->used && s->job.id == id ? s : NULL;
}

void dispatch_init(struct authority *a)
{
    cost_init(&a->jobs);
    a->jobs.affinity = calloc(AFFINITY_SLOTS, sizeof(struct affinity)); /* without it: least busy */
}

void dispatch_free(struct authority *a)
{
    struct dispatcher *d = &a->jobs;

    for (uint32_t i = 0; i < d->slot_count; i++) {
        if (d->slots[i]->used)
            free(d->slots[i]->job.context);
        if (d->slots[i]->used && d->slots[i]->part.group != NULL)
            split_forget(d->slots[i]->part);
        ky_buf_free(&d->slots[i]->payload);
        free(d->slots[i]);
    }
    free(d->slots);
    free(d->affinity);
    map_free(&d->by_tag);
    map_free(&d->killers);
}

/* --- taking a job ------------------------------------------------------------------------------------------ */

bool dispatch_has_room(const struct authority *a)
{
    return a->jobs.queue.count < a->config->limits.queue;
}

bool dispatch_idle(const struct authority *a)
{
    return a->jobs.queue.count == 0 && a->jobs.in_flight == 0;
}

bool dispatch_has_older(const struct authority *a, uint64_t turn)
{
    for (uint32_t i = 0; i < a->jobs.slot_count; i++)
        if (a->jobs.slots[i]->used && a->jobs.slots[i]->turn <= turn)
            return true;
    return false;
}

struct ky_status job_submit(struct authority *a, const struct job *job, const void *msg)
{
    return job_submit_part(a, job, msg, (struct job_part){0});
}

struct ky_status job_submit_part(struct authority *a, const struct job *job, const void *msg,
                                 struct job_part part)
{
    struct dispatcher *d = &a->jobs;
    uint32_t cap = a->config->limits.queue + QUEUE_EXTRA;
    struct job_slot *s = d->queue.count < cap ? slot_new(d) : NULL;

    if (s == NULL)
        return KY_STATUS(KY_BUSY);
    ky_buf_reset(&s->payload);
    struct ky_status status = ky_msg_encode(job->schema, msg, &s->payload);
    if (!ky_ok(status) || s->payload.failed || s->payload.len < 8) {
        s->job.to.door = 0;
        job_slot_release(d, s);
        return ky_ok(status) ? KY_STATUS(KY_NOMEM) : status;
    }
    s->job = *job;
    s->part = part;
    s->job.id = ++d->sequence << INDEX_BITS | s->index;
    s->attempt = 0;
    s->tries = 0;
    s->turn = a->turns;
    s->started_us = 0;
    s->vault = NULL;
    s->used = true;
    if (job->to.door != 0 && !map_put(&d->by_tag, job_tag_key(&job->to), s))
        s->job.to.door =
            0; /* no memory for the index: the answer would be lost, so nobody is answered */
    queue_put(a, s);
    return status;
}
