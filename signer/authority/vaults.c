/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vault works in the order of its channel, so what it has been given is what a newcomer waits for. It is given as much as keeps it
 * busy while the authority commits, measured in its time. One vault, the *clear* one, is kept nearly empty of what can wait as long as
 * somebody who cannot wait was seen lately: bulk when citizens come, dear keys when cheap ones come. While a vault generates a key, the
 * others sign. Authority's thread; keeps I5.
 */
#include "vaults.h"

#include "cost.h"
#include "queue.h"
#include "split.h"

#define AHEAD_US       12000u    /* given ahead to a vault, and two turns' worth */
#define CLEAR_AHEAD_US 2000u     /* ... of bulk, to the clear one */
#define SEEN_FOR_US    10000000u /* how long "lately" is: people come seldom, and hardly alone */
#define SILENT_US      50000u /* with work and without a word: who can, goes to another vault */
#define LEAN_US        2000u /* a vault that has the key hot may be so much busier than the least busy */
#define PLENTY_US      5000u /* of work at every vault: more cannot make them sign faster */
#define REST_US        2000u /* from the start of a turn to the next, while there is plenty */
#define REST_MAX_US    4000u /* ... where that leaves plenty */
#define TURNS_AHEAD    2u    /* jobs for each session, however much they add up to */
#define CHEAP_AHEAD    2u    /* jobs that generate cheap keys, at a vault that does */
#define GENERATE_SHARE 4u    /* of the vaults may generate at once, but always one */

bool vault_is_up(const struct peer *p)
{
    return p->door == 0 && !p->ended && !p->killed && !p->dead && !p->retiring;
}

uint32_t vaults_window(const struct authority *a)
{
    return a->config->token.sessions == 0 ? 1 : a->config->token.sessions;
}

uint32_t vaults_idle(const struct authority *a)
{
    uint32_t n = 0;

    for (const struct peer *p = a->peers; p != NULL; p = p->next)
        n += vault_is_up(p) && p->outstanding == 0;
    return n;
}

uint64_t vaults_least_us(const struct authority *a)
{
    uint64_t least_us = UINT64_MAX;

    for (const struct peer *p = a->peers; p != NULL; p = p->next)
        if (vault_is_up(p) && p->load_us < least_us)
            least_us = p->load_us;
    return least_us;
}

void vaults_look(struct authority *a)
{
    struct vaults *v = &a->jobs.vaults;

    v->up = v->generating = 0;
    v->clear = NULL;
    for (struct peer *p = a->peers; p != NULL; p = p->next) {
        if (!vault_is_up(p))
            continue;
        v->up++;
        v->generating += p->generating > 0;
        if (p->generating == 0 && (v->clear == NULL || p->index < v->clear->index))
            v->clear = p;
    }
}

static bool lately(const struct authority *a, uint64_t seen_us)
{
    return seen_us != 0 && a->mono_us - seen_us < SEEN_FOR_US;
}

/* One dear key after the other, so that a vault that is alone signs between two; of cheap ones the next job is at hand. */
static bool generates_here(const struct vaults *all, const struct peer *p,
                           const struct job_slot *s)
{
    if (p->generating > 0)
        return p->generating < CHEAP_AHEAD && s->job.key_type != KY_KEY_NONE &&
               !cost_is_dear(s->job.key_type) && p->outstanding == p->generating;
    return all->generating < (all->up < GENERATE_SHARE ? 1 : all->up / GENERATE_SHARE);
}

/* A key that is suspect is tried by one vault at a time. */
static bool runs_alone_here(const struct authority *a, const struct peer *here,
                            const struct job_slot *s)
{
    if (!s->alone || here->outstanding > 0)
        return false;
    for (const struct peer *p = a->peers; p != NULL && s->job.key_row != 0; p = p->next)
        if (p->first != NULL && p->first->alone && p->first->job.key_row == s->job.key_row)
            return false;
    return true;
}

/* Must this job stay off the clear vault for the sake of others that were seen lately? */
static bool is_kept_off(const struct authority *a, const struct peer *p, const struct job_slot *s)
{
    const struct vaults *all = &a->jobs.vaults;

    if (p != all->clear || s->job.lane == LANE_SERVER)
        return false;
    if (cost_is_dear(s->job.key_type) && lately(a, a->jobs.cheap_us) &&
        all->up - all->generating > 1)
        return true;
    return s->job.lane == LANE_BULK && lately(a, a->jobs.citizen_us) &&
           p->bulk_us >= CLEAR_AHEAD_US;
}

/* What counts is the work in front of the job, not the job: a long one that had to fit would never go while short ones come. */
static bool has_room(const struct authority *a, const struct peer *p, const struct job_slot *s)
{
    const struct vaults *all = &a->jobs.vaults;
    uint32_t window = vaults_window(a);
    uint64_t ahead_us = AHEAD_US + 2 * a->turn_us;

    if (a->jobs.alone > 0)
        return runs_alone_here(a, p, s);
    if (s->job.lane == LANE_GENERATE)
        return generates_here(all, p, s);
    if ((p->generating > 0 && all->generating < all->up) || is_kept_off(a, p, s))
        return false;
    if (p->outstanding < window || p->load_us < ahead_us)
        return p->outstanding < VAULT_CREDIT * window;
    return p->outstanding < TURNS_AHEAD * window && s->cost_us <= ahead_us;
}

uint64_t vaults_rest_until_us(const struct authority *a)
{
    uint64_t least_us = vaults_least_us(a);

    if (least_us == UINT64_MAX || least_us < PLENTY_US)
        return 0;
    uint64_t spare_us = least_us - PLENTY_US;
    return a->mono_us + (spare_us < REST_US       ? REST_US
                         : spare_us < REST_MAX_US ? spare_us
                                                  : REST_MAX_US);
}

/* What a newcomer would wait for. A vault that hangs has nothing else before it, so it comes after all that answer. */
static uint64_t wait_us(const struct authority *a, const struct peer *p)
{
    bool silent = p->outstanding > 0 && a->mono_us > p->window.until_us + SILENT_US;

    return p->load_us + (silent ? UINT32_MAX : 0);
}

struct peer *vaults_choose(const struct authority *a, const struct job_slot *s)
{
    const struct affinity *hot =
        s->job.key_row == 0 || s->part.group != NULL || a->jobs.affinity == NULL
            ? NULL
            : &a->jobs.affinity[s->job.key_row % AFFINITY_SLOTS];
    struct peer *least = NULL;
    struct peer *known = NULL;

    for (struct peer *p = a->peers; p != NULL; p = p->next) {
        if (!vault_is_up(p) || !has_room(a, p, s))
            continue;
        if (least == NULL || wait_us(a, p) < wait_us(a, least))
            least = p;
        if (hot != NULL && hot->key_row == s->job.key_row && p->index == hot->vault_index)
            known = p;
    }
    return known != NULL && wait_us(a, known) <= wait_us(a, least) + LEAN_US ? known : least;
}

bool vaults_give(struct authority *a, struct job_slot *s, struct peer *v)
{
    /* The payload is encoded already: one fixed field of its length carries it as it is. */
    const struct ky_field raw = {
        .name = "payload", .max = (uint32_t)s->payload.len, .type = KY_F_FIX};
    struct ky_schema schema = *s->job.schema;
    uint32_t head[2] = {v->generation, s->attempt + 1};

    for (size_t i = 0; i < sizeof(head); i++)
        s->payload.data[i] = (uint8_t)(head[i / 4] >> (8 * (i % 4)));
    schema.fields = &raw;
    schema.field_count = 1;
    /* With the deadline: a vault signs nothing after it. */
    if (!ky_ok(ky_channel_send(&v->channel, &schema, s->payload.data, s->job.id,
                               s->job.to.deadline_us)))
        return false;
    queue_take(&a->jobs.queue, s);
    cost_sending(a, v);
    split_moved(s, true);
    s->attempt++;
    s->vault = v;
    s->prev = v->last;
    s->next = NULL;
    *(v->last != NULL ? &v->last->next : &v->first) = s;
    v->last = s;
    v->outstanding++;
    v->load_us += s->cost_us;
    v->bulk_us += s->job.lane == LANE_BULK ? s->cost_us : 0;
    v->generating += s->job.lane == LANE_GENERATE;
    a->jobs.vaults.generating += s->job.lane == LANE_GENERATE && v->generating == 1;
    a->jobs.in_flight++;
    if (s->job.key_row != 0 && a->jobs.affinity != NULL)
        a->jobs.affinity[s->job.key_row % AFFINITY_SLOTS] =
            (struct affinity){.key_row = s->job.key_row, .vault_index = v->index};
    return true;
}

void vaults_release(struct authority *a, struct job_slot *s)
{
    struct peer *v = s->vault;

    job_chain_remove(&v->first, &v->last, s);
    v->outstanding--;
    v->load_us -= s->cost_us;
    v->bulk_us -= s->job.lane == LANE_BULK ? s->cost_us : 0;
    v->generating -= s->job.lane == LANE_GENERATE;
    split_moved(s, false);
    a->jobs.in_flight--;
    s->vault = NULL;
    s->started_us = 0;
}
