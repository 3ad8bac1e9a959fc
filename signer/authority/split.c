/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Splitting a request over vaults. The parts share one struct job_group, which the last of their slots to end releases. A part that
 * fails ends the whole at once; parts that are still queued then are dropped when the queue meets them, results still to come are
 * dropped by split_settle(). Only a whole of which no part has been sent can be cancelled. Authority's thread.
 */
#include "split.h"

#include "cost.h"
#include "vaults.h"

#include <stdlib.h>
#include <string.h>

#define PART_HASHES      8u /* fewer are not worth another unwrap */
#define PART_HASHES_DEAR 2u
#define PARTS_MAX        16u

struct job_group {
    struct job job; /* the whole's */
    uint16_t count, sig_len;
    uint16_t missing; /* signatures that have not come */
    uint16_t slots;   /* parts that still have one */
    int away;         /* parts at a vault */
    bool ended;       /* the continuation has had its call */
    uint8_t signatures[];
};

uint32_t split_parts(const struct authority *a, const struct job *job)
{
    uint32_t worth =
        job->signatures / (cost_is_dear(job->key_type) ? PART_HASHES_DEAR : PART_HASHES);

    if (worth < 2 || a->jobs.queue.count > 0)
        return 1;
    uint32_t idle = vaults_idle(a);
    worth = worth < idle ? worth : idle;
    return worth == 0 ? 1 : worth < PARTS_MAX ? worth : PARTS_MAX;
}

/* The first part carries the tag that a cancellation names. */
static struct ky_status submit_part(struct authority *a, const struct job_sign *m,
                                    struct job_part part)
{
    struct job job = part.group->job;
    struct job_sign some = *m;
    size_t len = ky_hash_len(m->hash);

    job.context = NULL;
    job.signatures = part.count;
    if (part.from > 0)
        job.to.door = 0;
    some.digests = KY_SPAN(m->digests.data + part.from * len, part.count * len);
    return job_submit_part(a, &job, &some, part);
}

struct ky_status split_submit(struct authority *a, const struct job *job, const struct job_sign *m,
                              uint32_t parts)
{
    const struct ky_key_info *key = ky_key_info(m->key_type);
    uint32_t n = job->signatures;
    struct job_group *g = key == NULL ? NULL : calloc(1, sizeof(*g) + (size_t)n * key->sig_len);
    struct ky_status status = KY_STATUS(KY_OK);
    uint32_t from = 0;

    if (g == NULL)
        return KY_STATUS(KY_NOMEM);
    g->job = *job;
    g->count = g->missing = (uint16_t)n;
    g->sig_len = key->sig_len;
    for (uint32_t i = 0; ky_ok(status) && i < parts; i++) {
        uint32_t to = n * (i + 1) / parts;
        status = submit_part(a, m, (struct job_part){g, (uint16_t)from, (uint16_t)(to - from)});
        g->slots += ky_ok(status);
        from = to;
    }
    g->ended = !ky_ok(status); /* the caller says so; parts that were queued are void */
    if (g->slots == 0)
        free(g);
    return status;
}

bool split_is_void(const struct job_slot *s)
{
    return s->part.group != NULL && s->part.group->ended;
}

bool split_is_queued(const struct job_slot *s)
{
    const struct job_group *g = s->part.group;

    return s->vault == NULL && (g == NULL || (g->away == 0 && g->missing == g->count));
}

void split_moved(const struct job_slot *s, bool away)
{
    if (s->part.group != NULL)
        s->part.group->away += away ? 1 : -1;
}

static struct ky_status take_part(struct job_group *g, struct job_part part,
                                  const struct job_result *r)
{
    struct job_r_sign m;

    if (!ky_ok(r->status))
        return r->status;
    if (r->type != JOB_R_SIGN || !ky_ok(ky_msg_decode(&job_r_sign_schema, r->payload, &m)) ||
        m.count != part.count || m.sig_len != g->sig_len ||
        m.signatures.len != (size_t)part.count * g->sig_len)
        return KY_STATUS(KY_INTERNAL);
    memcpy(g->signatures + (size_t)part.from * g->sig_len, m.signatures.data, m.signatures.len);
    g->missing = (uint16_t)(g->missing - part.count);
    return r->status;
}

bool split_settle(struct job_part part, const struct job_result *r, struct job *out_job,
                  struct job_result *out_result, struct ky_buf *out_bytes)
{
    struct job_group *g = part.group;
    struct job_r_sign all = {.count = g->count,
                             .sig_len = g->sig_len,
                             .signatures = KY_SPAN(g->signatures, (size_t)g->count * g->sig_len)};
    struct ky_status status = KY_STATUS(KY_OK);
    bool last = false;

    if (!g->ended) {
        status = take_part(g, part, r);
        if (ky_ok(status) && g->missing == 0)
            status = ky_msg_encode(&job_r_sign_schema, &all, out_bytes);
        if (out_bytes->failed)
            status = KY_STATUS(KY_NOMEM);
        last = g->ended = !ky_ok(status) || g->missing == 0;
    }
    if (last) {
        *out_job = g->job;
        *out_result = (struct job_result){.status = status,
                                          .type = ky_ok(status) ? JOB_R_SIGN : JOB_R_DONE,
                                          .payload = ky_buf_span(out_bytes)};
    }
    split_forget(part);
    return last;
}

void split_forget(struct job_part part)
{
    if (--part.group->slots == 0)
        free(part.group);
}
