/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vaults of a schedule: each keeps the jobs it was sent and answers some of them at some later
 * step, out of order, well or badly. Forged answers (another attempt, generation or vault) carry
 * signatures that no vault made: a receipt with one is a breach. On arrival I1, I5 and the deadline
 * are judged.
 */
#include "sim.h"

#include <string.h>
#include <unistd.h>

static struct sim *sim_of(struct world *w)
{
    return (struct sim *)w->watcher;
}

/* Who has any of these hashes now? */
static const struct held *owner_of(const struct sim *s, const struct held *job)
{
    for (uint32_t i = 0; i < s->held_count; i++) {
        const struct held *h = &s->held[i];
        for (uint32_t k = 0; h->state != HELD_NOT && k < h->count * job->count; k++)
            if (memcmp(h->digests[k / job->count], job->digests[k % job->count], 32) == 0)
                return h;
    }
    return NULL;
}

static void judge(struct sim *s, const struct held *job, const struct job_sign *m)
{
    for (uint32_t k = 0; k < job->count; k++) {
        const struct o_intent *in = oracle_intent_of(s, job->digests[k]);
        if (in == NULL)
            sim_fail(s, "I1", "vault %u was sent a hash that no committed intent names",
                     job->vault);
        if (in->key_row != m->key_row || in->epoch != m->key_epoch)
            sim_fail(s, "I1", "intent %lu names key %u, the job key %u", (unsigned long)in->index,
                     in->key_row, m->key_row);
        if (in->receipt != 0)
            sim_fail(s, "I4", "intent %lu is signed after its receipt", (unsigned long)in->index);
        if (s->orders[in->order].deadline_us != job->deadline_us)
            sim_fail(s, "deadline", "the job of intent %lu has another than its request",
                     (unsigned long)in->index);
    }
    if (job->deadline_us != 0 && s->w->mono_us > job->deadline_us)
        sim_fail(s, "deadline", "vault %u was sent a job whose time had passed", job->vault);
    const struct held *other = owner_of(s, job);
    if (other != NULL)
        sim_fail(s, "I5", "vaults %u and %u have the same hash", other->vault, job->vault);
}

static struct held *free_place(struct sim *s)
{
    for (uint32_t i = 0; i < s->held_count; i++)
        if (s->held[i].state == HELD_NOT)
            return &s->held[i];
    if (s->held_count == s->cap)
        sim_fail(s, "simulation", "too many jobs at vaults");
    return &s->held[s->held_count++];
}

void vaults_take(struct world *w, uint32_t vault, const struct ky_record *rec,
                 const struct job_sign *m)
{
    struct sim *s = sim_of(w);
    struct held job = {.state = HELD_RUNNING,
                       .vault = vault,
                       .generation = m->generation,
                       .attempt = m->attempt,
                       .key_row = m->key_row,
                       .count = (uint32_t)(m->digests.len / 32),
                       .tag = rec->tag,
                       .deadline_us = rec->deadline_us};

    if (job.count == 0 || job.count > HASHES || m->hash != KY_SHA256)
        sim_fail(s, "I1", "a job of %zu bytes of hashes", m->digests.len);
    memcpy(job.digests, m->digests.data, m->digests.len);
    sim_trace(s, "vault %u has job %lu of %u", vault, (unsigned long)job.tag, job.count);
    judge(s, &job, m);
    const struct o_intent *in = oracle_intent_of(s, job.digests[0]);
    s->figures[DID_SPLIT] += job.count < in->count;
    s->figures[DID_REDISPATCH] += job.attempt > 1;
    *free_place(s) = job;
}

/* --- answers --------------------------------------------------------------------------------- */

static void send_done(struct sim *s, const struct held *job, enum ky_code code)
{
    struct job_r_done m = {
        .generation = job->generation, .attempt = job->attempt, .code = (uint16_t)code, .cause = 5};

    assert_true(ky_ok(
        ky_channel_send(&s->w->vaults[job->vault].channel, &job_r_done_schema, &m, job->tag, 0)));
}

/* An answer of this shape; made = with signatures that count. */
static void send_signatures(struct sim *s, const struct held *job, uint32_t count, uint16_t len,
                            bool made)
{
    uint8_t all[64 * (HASHES + 1)];
    struct job_r_sign m = {.generation = job->generation,
                           .attempt = job->attempt,
                           .count = (uint16_t)count,
                           .sig_len = len};

    for (uint32_t i = 0; i < count; i++) {
        uint8_t *sig = all + 64u * i;
        for (int k = 0; k < 64; k++)
            sig[k] = (uint8_t)sim_draw(s);
        if (!made)
            continue;
        if (s->made_count == s->cap)
            sim_fail(s, "simulation", "too many signatures");
        struct made *x = &s->made[s->made_count++];
        memcpy(x->signature, sig, 32);
        memcpy(x->digest, job->digests[i], 32);
        x->key_row = job->key_row;
    }
    m.signatures = KY_SPAN(all, (size_t)count * len);
    assert_true(ky_ok(
        ky_channel_send(&s->w->vaults[job->vault].channel, &job_r_sign_schema, &m, job->tag, 0)));
}

static void remember(struct sim *s, const struct held *job)
{
    s->stale[s->stale_count++ % (sizeof(s->stale) / sizeof(s->stale[0]))] = *job;
}

static void answer_badly(struct sim *s, struct held *job)
{
    static const enum ky_code codes[] = {
        KY_TOKEN_REQUEST,         KY_TOKEN_SESSION, KY_BUSY,        KY_TOKEN_SESSION, KY_BUSY,
        KY_TOKEN_WRONG_SIGNATURE, KY_TOKEN_MODULE,  KY_TOKEN_LOGIN, KY_UNSUPPORTED,   KY_OK};
    enum ky_code code = codes[sim_pick(s, sizeof(codes) / sizeof(codes[0]))];

    sim_trace(s, "vault %u fails job %lu: %s", job->vault, (unsigned long)job->tag,
              ky_code_info(code)->name);
    if (sim_chance(s, 25)) { /* not the shape it must have */
        bool more = sim_chance(s, 50);
        send_signatures(s, job, more ? job->count + 1 : job->count - 1, 64, false);
        job->state = HELD_NOT;
        return;
    }
    send_done(s, job, code);
    job->state = HELD_NOT;
    if (code == KY_TOKEN_MODULE || code == KY_TOKEN_LOGIN)
        job->state = HELD_GIVEN_UP; /* only its end tells that it signs no more */
    else
        remember(s, job);
}

/* As if of another attempt or generation, or from another vault: nobody may believe it. */
static void forge(struct sim *s, struct held job)
{
    uint32_t off = sim_chance(s, 50) ? 1 : UINT32_MAX;
    uint32_t owner = job.vault;

    switch (sim_pick(s, 3)) {
    case 0:
        job.attempt += off;
        break;
    case 1:
        job.generation += off;
        break;
    default:
        job.vault = (job.vault + 1) % s->vault_count;
        job.generation = s->w->vaults[job.vault].generation;
        if (job.vault == owner)
            return;
    }
    if (!s->w->vaults[job.vault].alive)
        return;
    s->figures[DID_LATE]++;
    sim_trace(s, "vault %u forges job %lu", job.vault, (unsigned long)job.tag);
    send_signatures(s, &job, job.count, 64, false);
}

static void answer(struct sim *s, struct held *job)
{
    if (job->deadline_us != 0 && s->w->mono_us > job->deadline_us) { /* as a vault does */
        send_done(s, job, KY_DEADLINE);
        job->state = HELD_NOT;
        return;
    }
    if (!s->healing && sim_chance(s, 4))
        forge(s, *job);
    if (!s->healing && sim_chance(s, 12)) {
        answer_badly(s, job);
        return;
    }
    sim_trace(s, "vault %u signs job %lu", job->vault, (unsigned long)job->tag);
    send_signatures(s, job, job->count, 64, true);
    remember(s, job);
    job->state = HELD_NOT;
}

/* An answer that was given goes out once more, long after, with other signatures. */
static void repeat_stale(struct sim *s)
{
    struct held job = s->stale[sim_pick(s, s->stale_count < 8 ? s->stale_count : 8)];

    if (!s->w->vaults[job.vault].alive)
        return;
    s->figures[DID_LATE]++;
    sim_trace(s, "vault %u repeats job %lu", job.vault, (unsigned long)job.tag);
    send_signatures(s, &job, job.count, 64, false);
}

/* --- life ------------------------------------------------------------------------------------ */

void vaults_lost(struct sim *s, uint32_t index)
{
    for (uint32_t i = 0; i < s->held_count; i++)
        if (s->held[i].vault == index)
            s->held[i].state = HELD_NOT;
}

static void die(struct sim *s, uint32_t index)
{
    sim_trace(s, "vault %u ends", index);
    (void)ky_channel_flush(&s->w->vaults[index].channel).code; /* its last words */
    vaults_lost(s, index);
    vault_die(s->w, index);
    s->vaults[index] = (struct sim_vault){.back_us = s->w->mono_us + 1000u * sim_pick(s, 300)};
    s->figures[DID_KILL]++;
}

static void hear_control(struct sim *s)
{
    for (uint32_t i = 0; i < s->w->told_count; i++) {
        const struct control_msg *m = &s->w->told[i];
        if (m->type == CONTROL_KILL && m->index < WORLD_VAULTS &&
            s->w->vaults[m->index].generation == m->generation)
            s->vaults[m->index].doomed = true;
    }
    s->w->told_count = 0;
}

static void live(struct sim *s, uint32_t index)
{
    struct sim_vault *v = &s->vaults[index];

    if (!s->w->vaults[index].alive) {
        if (s->w->mono_us >= v->back_us || s->healing) {
            sim_trace(s, "vault %u is back", index);
            vault_join(s->w, index);
        }
        return;
    }
    if ((v->doomed && (s->healing || sim_chance(s, 40))) ||
        (!s->healing && sim_pick(s, 150) == 0)) {
        die(s, index);
        return;
    }
    if (s->healing)
        v->hung = false;
    else if (v->hung ? sim_pick(s, 20) == 0 : sim_pick(s, 80) == 0)
        v->hung = !v->hung;
}

void vaults_work(struct sim *s)
{
    hear_control(s);
    for (uint32_t i = 0; i < s->vault_count; i++)
        live(s, i);
    uint32_t from = s->held_count == 0 ? 0 : sim_pick(s, s->held_count);
    for (uint32_t i = 0; i < s->held_count; i++) { /* out of order: from anywhere, some */
        struct held *job = &s->held[(from + i) % s->held_count];
        if (job->state == HELD_RUNNING && !s->vaults[job->vault].hung &&
            (s->healing || sim_chance(s, 45)))
            answer(s, job);
    }
    if (!s->healing && s->stale_count > 0 && sim_chance(s, 6))
        repeat_stale(s);
    for (uint32_t i = 0; i < s->vault_count; i++)
        if (s->w->vaults[i].alive)
            (void)ky_channel_flush(&s->w->vaults[i].channel).code;
}
