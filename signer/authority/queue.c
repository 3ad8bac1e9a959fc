/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lanes and shares. The server's own jobs go first; citizens who wait go before bulk, which has an eighth of the time while both
 * wait. In a lane each share spends a credit and then lets the others spend theirs, so that clients get equal time of the vaults
 * whatever they ask for. Dear keys (RSA) have shares of their own, because they may be kept off a vault that cheap ones may use.
 */
#include "queue.h"

#include "cost.h"
#include "jobs.h"
#include "vaults.h"

#define QUANTUM_US 1000 /* of vault time, before another client's turn */
#define BULK_WAITS 7u   /* citizens' time for each of bulk's, while both wait */

static struct share *share_of(struct authority *a, const struct job_slot *s)
{
    struct client *c = s->job.client_row == 0 ? NULL : authority_client(a, s->job.client_row);

    if (c == NULL || (s->job.lane != LANE_CITIZEN && s->job.lane != LANE_BULK))
        return &a->jobs.queue.own[s->job.lane];
    return &c->shares[s->job.lane == LANE_BULK][cost_is_dear(s->job.key_type)];
}

static void ring_add(struct lane *l, struct share *h)
{
    h->next = l->turn != NULL ? l->turn : h;
    h->prev = l->turn != NULL ? l->turn->prev : h;
    h->next->prev = h;
    h->prev->next = h;
    if (l->turn == NULL)
        l->turn = h;
    l->shares++;
    if (h->era != l->era)
        h->credit_us = 0; /* while nobody waited nobody was kept waiting */
    h->era = l->era;
}

static void give_back_loan(struct share *h)
{
    h->credit_us -= h->lent_us;
    h->lent_us = 0;
}

static void ring_remove(struct lane *l, struct share *h)
{
    h->next->prev = h->prev;
    h->prev->next = h->next;
    if (l->turn == h)
        l->turn = h->next == h ? NULL : h->next;
    h->next = h->prev = NULL;
    l->shares--;
    l->era += l->shares == 0;
    give_back_loan(h);
    if (h->credit_us > 0)
        h->credit_us = 0; /* nobody saves up while away */
}

/* Counts it in, and its share into the ring when this is its first job. */
static void count_in(struct job_queue *q, struct job_slot *s)
{
    struct lane *l = &q->lanes[s->job.lane];

    if (s->share->next == NULL)
        ring_add(l, s->share);
    s->share->cost_us += s->cost_us;
    l->cost_us += s->cost_us;
    q->count++;
}

void queue_put(struct authority *a, struct job_slot *s)
{
    if (s->job.schema->type == JOB_GENERATE || s->job.schema->type == JOB_GENERATE_MANY)
        s->job.lane = LANE_GENERATE;
    s->kind = cost_kind(&s->job);
    s->cost_us = cost_us(a, s->kind, s->job.signatures);
    s->share = share_of(a, s);
    if (s->job.lane == LANE_CITIZEN)
        a->jobs.citizen_us = a->mono_us;
    if (s->job.client_row != 0 && !cost_is_dear(s->job.key_type))
        a->jobs.cheap_us = a->mono_us;
    job_list_append(&s->share->jobs, s);
    count_in(&a->jobs.queue, s);
}

void queue_put_back(struct job_queue *q, struct job_slot *s)
{
    job_list_prepend(&s->share->jobs, s);
    count_in(q, s);
}

void queue_remove(struct job_queue *q, struct job_slot *s)
{
    struct lane *l = &q->lanes[s->job.lane];

    job_list_remove(&s->share->jobs, s);
    s->share->cost_us -= s->cost_us;
    l->cost_us -= s->cost_us;
    q->count--;
    if (s->share->jobs.count == 0)
        ring_remove(l, s->share);
    if (l->shares == 0 && s->job.lane == LANE_BULK)
        q->bulk_due_us = 0;
}

/* --- one pass --------------------------------------------------------------------------------------------- */

void queue_begin(struct job_queue *q)
{
    q->pass++;
}

/* So many rounds for all that can go in this pass. If nobody goes by them there were none: each gives back what it was lent. */
static void lend(const struct job_queue *q, struct lane *l, int64_t us)
{
    struct share *h = l->turn;

    for (uint32_t i = 0; i < l->shares; i++, h = h->next)
        if (h->pass != q->pass) {
            h->credit_us += us;
            h->lent_us += us;
        }
}

/* Whose turn it is in a lane: the next share that is not kept back and has credit left. */
static struct job_slot *lane_next(const struct job_queue *q, struct lane *l)
{
    for (;;) {
        struct share *h = l->turn;
        int64_t most_us = INT64_MIN;
        for (uint32_t i = 0; i < l->shares; i++, h = h->next) {
            if (h->pass == q->pass)
                continue;
            if (h->credit_us > 0)
                return h->jobs.first;
            most_us = h->credit_us > most_us ? h->credit_us : most_us;
        }
        if (most_us == INT64_MIN)
            return NULL;
        lend(q, l, QUANTUM_US * (1 - most_us / QUANTUM_US));
    }
}

struct job_slot *queue_next(struct job_queue *q)
{
    struct job_slot *s = lane_next(q, &q->lanes[LANE_SERVER]);
    struct job_slot *bulk;

    if (s == NULL)
        s = lane_next(q, &q->lanes[LANE_GENERATE]);
    if (s != NULL)
        return s;
    s = lane_next(q, &q->lanes[LANE_CITIZEN]);
    bulk = lane_next(q, &q->lanes[LANE_BULK]);
    if (s == NULL || bulk == NULL)
        return s != NULL ? s : bulk;
    return q->bulk_due_us >= (uint64_t)BULK_WAITS * bulk->cost_us ? bulk : s;
}

void queue_stuck(struct job_queue *q, struct job_slot *s)
{
    s->share->pass = q->pass;
    give_back_loan(s->share);
}

/* Somebody goes by the rounds that were lent: so they have taken place for all. */
static void settle_loans(struct lane *l)
{
    struct share *h = l->turn;

    for (uint32_t i = 0; i < l->shares; i++, h = h->next)
        h->lent_us = 0;
}

void queue_take(struct job_queue *q, struct job_slot *s)
{
    struct lane *l = &q->lanes[s->job.lane];
    uint64_t bulk_us = (uint64_t)BULK_WAITS * s->cost_us;

    if (s->share->lent_us > 0)
        settle_loans(l);
    s->share->credit_us -= s->cost_us;
    l->turn = s->share->credit_us > 0 ? s->share : s->share->next;
    if (s->job.lane == LANE_CITIZEN && q->lanes[LANE_BULK].shares > 0)
        q->bulk_due_us += s->cost_us;
    else if (s->job.lane == LANE_BULK)
        q->bulk_due_us -= bulk_us < q->bulk_due_us ? bulk_us : q->bulk_due_us;
    queue_remove(q, s);
}

/* --- how long a newcomer would wait ------------------------------------------------------------------------- */

uint64_t queue_wait_us(const struct authority *a, const struct client *c, enum job_lane lane)
{
    const struct job_queue *q = &a->jobs.queue;
    const struct lane *l = &q->lanes[lane];
    uint64_t own_us =
        c->shares[lane == LANE_BULK][0].cost_us + c->shares[lane == LANE_BULK][1].cost_us;
    uint64_t turns_us =
        own_us * (l->shares > 0 ? l->shares : 1); /* the others take as much meanwhile */
    uint64_t wait_us = turns_us < l->cost_us ? turns_us : l->cost_us;
    uint64_t least_us = vaults_least_us(a);
    uint32_t vaults = 0;

    if (lane == LANE_BULK)
        wait_us += q->lanes[LANE_CITIZEN].cost_us;
    for (const struct peer *p = a->peers; p != NULL; p = p->next)
        vaults += vault_is_up(p) && p->generating == 0;
    return wait_us / (vaults > 0 ? vaults : 1) + (least_us == UINT64_MAX ? 0 : least_us);
}
