/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs and who has them (I5). A queued job is sent only after the commit of the turn that queued it (I1); it goes to another vault only after
 * the supervisor has waited for the one that had it, and a result counts only from that vault, generation and attempt.
 */
#include "authority_private.h"
#include "cost.h"
#include "jobs.h"
#include "queue.h"
#include "split.h"
#include "vaults.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "kyso/wire.h"

#define DARK_US  1000000u /* a vault that is only being replaced is back sooner */
#define PATIENCE 4u       /* times what a job was thought to cost */
#define LONGEST  8u       /* times the limit for one signature */

typedef void (*done_fn)(struct authority *a, const struct job *job, const struct job_result *r);

static const done_fn done_table[JOB_FOR_COUNT] = {
    [JOB_FOR_SIGN] = sign_job_done,         [JOB_FOR_CREDENTIAL] = operate_job_done,
    [JOB_FOR_CSR] = operate_job_done,       [JOB_FOR_DESTROY] = operate_job_done,
    [JOB_FOR_CHECKPOINT] = ledger_job_done, [JOB_FOR_ANCHOR] = ledger_job_done,
    [JOB_FOR_POOL] = keypool_job_done,
    [JOB_FOR_BOOT] = boot_job_done,         [JOB_FOR_CITIZENS] = operate_job_done,
};

/* --- settling ------------------------------------------------------------------------------------------------ */

static void slot_done(struct authority *a, struct job_slot *s, struct ky_status status,
                      uint16_t type, struct ky_span payload)
{
    struct job_result r = {.status = status, .type = type, .payload = payload};
    struct job job = s->job;
    struct job_part part = s->part;
    struct ky_buf whole = KY_BUF_INIT(KY_RECORD_MAX);

    job_slot_release(&a->jobs, s); /* first: the continuation may submit another */
    if (part.group == NULL || split_settle(part, &r, &job, &r, &whole)) {
        done_table[job.for_what](a, &job, &r);
        free(job.context);
    }
    ky_buf_free(&whole);
}

static void queue_fail(struct authority *a, struct job_slot *s, enum ky_code code)
{
    queue_remove(&a->jobs.queue, s);
    slot_done(a, s, KY_STATUS(code), JOB_R_DONE, (struct ky_span){0});
}

/* How many vaults a key took along, and when the last: a pointer's value in the map. */
struct suspect {
    uint32_t kills;
    uint64_t last_s;
};

static struct suspect suspect_of(const struct authority *a, uint32_t key_row)
{
    uintptr_t bits = (uintptr_t)map_get(&a->jobs.killers, map_key_number(0, key_row));

    return (struct suspect){.kills = bits & 0xff, .last_s = bits >> 8};
}

static uint32_t suspect_more(struct authority *a, uint32_t key_row)
{
    uint32_t kills = suspect_of(a, key_row).kills;
    uintptr_t bits = (uintptr_t)(a->mono_us / 1000000) << 8;

    kills += kills < 0xff;
    (void)!map_put(&a->jobs.killers, map_key_number(0, key_row), (void *)(bits | kills));
    return kills;
}

/* Not for ever: it may have been the token's bad hour. Then one more death is enough. */
bool dispatch_quarantined(const struct authority *a, uint32_t key_row)
{
    if (key_row == 0 || a->jobs.killers.count == 0)
        return false;
    struct suspect s = suspect_of(a, key_row);
    return s.kills >= KEY_KILLS_MAX && a->mono_us / 1000000 - s.last_s < QUARANTINE_S;
}

bool dispatch_dark(const struct authority *a)
{
    if (a->mono_us - a->jobs.vault_us <= DARK_US)
        return false;
    for (const struct peer *p = a->peers; p != NULL; p = p->next)
        if (p->door == 0 && !p->dead && !p->killed)
            return false;
    return true;
}

static void run_alone(struct authority *a, struct job_slot *s)
{
    a->jobs.alone += !s->alone;
    s->alone = true;
}

/* Whose key it was nobody can tell: who asked asks again for each by itself, before more vaults end with it. */
static bool is_of_many(const struct job_slot *s)
{
    return s->job.schema == &job_sign_each_schema && s->job.key_row == 0;
}

/* Back to the head of the queue, or to its end when it has had its tries. */
static void give_back(struct authority *a, struct job_slot *s, bool was_running)
{
    vaults_release(a, s);
    s->tries += was_running;
    if (s->tries >= (is_of_many(s) ? 1 : JOB_ATTEMPTS) ||
        dispatch_quarantined(a, s->job.key_row) || split_is_void(s)) {
        slot_done(a, s, KY_STATUS(KY_UNAVAILABLE), JOB_R_DONE, (struct ky_span){0});
        return;
    }
    a->redispatched++;
    if (a->jobs.alone > 0) /* it comes before those that do, and must not be in their way */
        run_alone(a, s);
    queue_put_back(&a->jobs.queue, s);
}

/*
 * Results leave after the jobs that made them, so any of what it had may have been the one: only a
 * vault that had nothing else tells whose fault it was. Parts of one request are at several vaults:
 * if these die together, that is one death, and the parts must be tried one by one like all others.
 */
static void blame(struct authority *a, const struct peer *vault)
{
    const struct job_slot *only = vault->outstanding == 1 ? vault->first : NULL;
    uint32_t row =
        only != NULL && (only->part.group == NULL || only->alone) ? only->job.key_row : 0;

    for (struct job_slot *s = vault->first; s != NULL; s = s->next)
        run_alone(a, s);
    if (row != 0 && suspect_more(a, row) >= KEY_KILLS_MAX)
        log_event(LOG_ERROR, "key-quarantined", LOG_U64("credential", row));
}

void dispatch_vault_gone(struct authority *a, struct peer *vault)
{
    uint32_t at = vault->outstanding;

    if (!vault->gave_up)
        blame(a, vault);
    while (vault->last != NULL) /* from the end, so that the queue's head keeps their order */
        give_back(a, vault->last, at-- <= vaults_window(a));
}

static void kill_vault(struct authority *a, struct peer *v)
{
    struct control_msg m = {.type = CONTROL_KILL, .index = v->index, .generation = v->generation};

    if (v->killed || v->dead)
        return;
    v->killed = true;
    log_event(LOG_WARN, "vault-killed", LOG_U64("index", v->index),
              LOG_U64("generation", v->generation));
    a->hooks.control(a->hooks.context, &m);
}

static bool result_is_ours(const struct job_slot *s, const struct peer *vault,
                           const struct ky_record *r)
{
    struct ky_reader in = ky_reader(r->payload);
    uint32_t generation = ky_get_u32(&in);
    uint32_t attempt = ky_get_u32(&in);

    return s != NULL && s->vault == vault && !in.failed && generation == vault->generation &&
           attempt == s->attempt;
}

void dispatch_result(struct authority *a, struct peer *vault, const struct ky_record *r)
{
    struct job_slot *s = job_slot_by_id(&a->jobs, r->tag);
    struct job_r_done done;

    vault->jobs++;
    if (!result_is_ours(s, vault, r)) {
        a->late_results++;
        log_event(LOG_WARN, "late-result", LOG_U64("index", vault->index),
                  LOG_U64("generation", vault->generation));
        return;
    }
    if (r->type != JOB_R_DONE) {
        cost_done(a, vault, s);
        vaults_release(a, s);
        if (s->job.key_row != 0 && a->jobs.killers.count > 0)
            (void)map_remove(&a->jobs.killers, map_key_number(0, s->job.key_row));
        slot_done(a, s, KY_STATUS(KY_OK), r->type, r->payload);
        return;
    }
    if (!ky_ok(ky_msg_decode(&job_r_done_schema, r->payload, &done)))
        done = (struct job_r_done){.code = KY_INTERNAL};
    struct ky_status status = KY_STATUS_CAUSE(
        done.code < KY_CODE_COUNT ? (enum ky_code)done.code : KY_INTERNAL, done.cause);
    if (ky_ok(status)) {
        cost_done(a, vault, s);
    } else if (status.code == KY_DEADLINE) {
        a->shed++;
    } else {
        a->jobs_failed++;
        log_event(LOG_WARN, "job-failed", LOG_CODE(status), LOG_STR("job", s->job.schema->name));
    }
    /* A vault that lost its login has no PIN to log in again, and ends as one whose module failed. */
    if (status.code == KY_TOKEN_MODULE || status.code == KY_TOKEN_LOGIN) {
        vault->gave_up = true;
        kill_vault(a, vault); /* the job stays its own until waitpid has seen it end */
        return;
    }
    if (status.code == KY_TOKEN_SESSION || status.code == KY_BUSY) {
        give_back(a, s, true);
        return;
    }
    vaults_release(a, s);
    slot_done(a, s, status, r->type, r->payload);
}

/* --- sending ------------------------------------------------------------------------------------------------- */

static void send_forgets(struct authority *a)
{
    struct dispatcher *d = &a->jobs;

    for (struct peer *p = a->peers; p != NULL && d->forget_count > 0; p = p->next)
        for (uint32_t i = 0; i < d->forget_count && p->door == 0 && !p->ended && !p->killed; i++) {
            struct job_key_ref m = {.generation = p->generation, .key_row = d->forget[i]};
            if (!ky_ok(ky_channel_send(&p->channel, &job_forget_schema, &m, 0, 0)))
                break; /* the epoch in each job keeps old handles out anyway */
        }
    d->forget_count = 0;
}

static bool is_late(const struct authority *a, const struct job_slot *s)
{
    uint64_t deadline_us = s->job.to.deadline_us;
    uint64_t start_us = a->mono_us + a->turn_us;

    return deadline_us != 0 &&
           (start_us > deadline_us || (start_us + s->cost_us > deadline_us && vaults_idle(a) == 0));
}

/*
 * Why a queued job must not be sent any more, or KY_OK. Signed too late it would be for nobody; but idle vaults try whatever has
 * time left, because an estimate that refused everything would never be put right.
 */
static enum ky_code past_sending(const struct authority *a, const struct job_slot *s)
{
    if (is_late(a, s))
        return KY_DEADLINE;
    return dispatch_quarantined(a, s->job.key_row) ? KY_UNAVAILABLE : KY_OK;
}

static bool send_next(struct authority *a, struct job_slot *s, bool committed_only)
{
    if (committed_only && s->turn == a->turns)
        return false; /* I1; what else its share has is younger still */
    if (split_is_void(s)) {
        queue_fail(a, s, KY_CANCELLED);
        return true;
    }
    enum ky_code code = past_sending(a, s);
    if (code != KY_OK && committed_only) { /* after the commit it waits: its receipt needs one */
        a->shed += code == KY_DEADLINE;
        queue_fail(a, s, code);
    }
    if (code != KY_OK)
        return committed_only;
    struct peer *v = vaults_choose(a, s);
    return v != NULL && vaults_give(a, s, v);
}

void dispatch_send(struct authority *a, bool committed_only)
{
    struct job_queue *q = &a->jobs.queue;
    struct job_slot *s;

    if (!committed_only)
        send_forgets(a);
    vaults_look(a);
    queue_begin(q);
    while ((s = queue_next(q)) != NULL)
        if (!send_next(a, s, committed_only))
            queue_stuck(q, s);
}

void authority_forget_key(struct authority *a, uint32_t key_row)
{
    if (a->jobs.forget_count < sizeof(a->jobs.forget) / sizeof(a->jobs.forget[0]))
        a->jobs.forget[a->jobs.forget_count++] = key_row;
}

/* --- time ---------------------------------------------------------------------------------------------------- */

/* One signature has the configured time whatever was estimated; many have what they may need, within bounds. */
static uint64_t limit_us(const struct authority *a, const struct job_slot *s)
{
    const struct config_limits *l = &a->config->limits;
    uint64_t one_us = 1000u * (uint64_t)l->sign_deadline_ms;

    if (s->job.lane == LANE_GENERATE)
        return 1000u * (uint64_t)l->generate_deadline_ms;
    uint64_t most_us = one_us * (s->job.signatures < LONGEST ? s->job.signatures : LONGEST);
    uint64_t needs_us = (uint64_t)PATIENCE * s->cost_us;
    needs_us = needs_us < most_us ? needs_us : most_us;
    return needs_us > one_us ? needs_us : one_us;
}

/* A job's time runs from when it can be running: within the first `sessions` of what its vault has. */
static void watch_vault(struct authority *a, struct peer *v)
{
    uint32_t at = 0;

    for (struct job_slot *s = v->first; s != NULL && at < vaults_window(a); s = s->next, at++) {
        if (s->started_us == 0)
            s->started_us = a->mono_us;
        else if (a->mono_us - s->started_us > limit_us(a, s))
            kill_vault(a, v);
    }
}

/* A vault reads the end of its channel as leave to go; the supervisor then sees it end. */
static void let_go(struct peer *v)
{
    if (!v->retiring || v->ended || v->outstanding > 0 || ky_channel_has_output(&v->channel))
        return;
    v->ended = true;
    (void)shutdown(v->fd, SHUT_WR);
}

void dispatch_tick(struct authority *a)
{
    if (a->mono_us - a->tick_us < HEARTBEAT_US)
        return;
    a->tick_us = a->mono_us;
    for (struct peer *p = a->peers; p != NULL; p = p->next)
        if (p->door == 0) {
            watch_vault(a, p);
            let_go(p);
            if (!p->dead && !p->killed)
                a->jobs.vault_us = a->mono_us;
        }
}

const struct job *dispatch_queued(const struct authority *a, const struct reply_to *who)
{
    const struct job_slot *s = map_get(&a->jobs.by_tag, job_tag_key(who));

    return s == NULL || !split_is_queued(s) ? NULL : &s->job;
}

void dispatch_cancel(struct authority *a, const struct reply_to *who)
{
    struct job_slot *s = map_get(&a->jobs.by_tag, job_tag_key(who));

    if (s != NULL && split_is_queued(s))
        queue_fail(a, s, KY_CANCELLED);
}
