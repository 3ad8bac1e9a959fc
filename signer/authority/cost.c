/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kinds are key type and lane: bulk comes with warm keys or with many hashes for one unwrap, citizens with cold ones. What a
 * vault did is set against the time since it last did something; an answer without work (a refusal, a deadline) is none. Only a
 * vault that had work for all its sessions throughout says what work takes; another can only show that an estimate is too high.
 * No clock is read but the turn's.
 */
#include "cost.h"

#include "vaults.h"

#define WINDOW_US   5000u
#define LEARN_SHARE 8 /* of the difference, each window */
#define DEAR_NS     500000u

enum { KIND_GENERATE = COST_KINDS - 2, KIND_OTHER = COST_KINDS - 1 };

/* A start: P-256 and RSA as SoftHSM2 signs them, warm. */
static const uint32_t first_ns[KY_KEY_TYPE_COUNT] = {
    [KY_KEY_NONE] = 200000,     [KY_KEY_P256] = 60000,      [KY_KEY_P384] = 800000,
    [KY_KEY_RSA2048] = 1100000, [KY_KEY_RSA3072] = 3500000, [KY_KEY_RSA4096] = 7500000,
    [KY_KEY_ED25519] = 60000,
};
_Static_assert(2 * KY_KEY_TYPE_COUNT <= KIND_GENERATE, "each kind has its place");

void cost_init(struct dispatcher *d)
{
    for (uint32_t i = 0; i < 2 * KY_KEY_TYPE_COUNT; i++)
        d->cost_ns[i] = first_ns[i / 2];
    d->cost_ns[KIND_OTHER] = 1000000;
    d->cost_ns[KIND_GENERATE] = 500000000;
}

bool cost_is_dear(uint8_t key_type)
{
    return key_type < KY_KEY_TYPE_COUNT && first_ns[key_type] >= DEAR_NS;
}

uint8_t cost_kind(const struct job *job)
{
    if (job->lane == LANE_GENERATE)
        return KIND_GENERATE;
    if (job->signatures == 0 || job->key_type >= KY_KEY_TYPE_COUNT)
        return KIND_OTHER;
    return (uint8_t)(2 * job->key_type + (job->lane == LANE_BULK));
}

uint32_t cost_us(const struct authority *a, uint8_t kind, uint32_t signatures)
{
    uint64_t us = (uint64_t)a->jobs.cost_ns[kind] * (signatures > 0 ? signatures : 1) / 1000;

    return us == 0 ? 1 : us > COST_MAX_US ? COST_MAX_US : (uint32_t)us;
}

static void learn(struct authority *a, const struct cost_window *w)
{
    uint64_t took_us = w->until_us - w->since_us;

    for (uint8_t kind = 0; kind < COST_KINDS; kind++) {
        int64_t was = a->jobs.cost_ns[kind];
        if ((w->kinds & 1u << kind) == 0 || kind == KIND_GENERATE)
            continue;
        int64_t now = was * (int64_t)took_us / (int64_t)w->cost_us;
        now = now < was / 4 ? was / 4 : now > was * 4 ? was * 4 : now; /* one hang is not a habit */
        if (w->idle && now > was)
            continue;
        now = was + (now - was) / LEARN_SHARE;
        a->jobs.cost_ns[kind] = now < 1000 ? 1000 : now > UINT32_MAX ? UINT32_MAX : (uint32_t)now;
    }
}

static void close_window(struct authority *a, struct peer *v)
{
    struct cost_window *w = &v->window;

    if (w->cost_us > 0 && w->until_us > w->since_us && (w->kinds & 1u << KIND_GENERATE) == 0)
        learn(a, w);
    *w = (struct cost_window){.since_us = w->until_us, .until_us = w->until_us};
}

void cost_sending(struct authority *a, struct peer *v)
{
    if (v->outstanding > 0)
        return;
    v->window.idle = true; /* since it last did something */
    close_window(a, v);
    v->window.since_us = v->window.until_us = a->mono_us;
}

void cost_done(struct authority *a, struct peer *v, const struct job_slot *s)
{
    struct cost_window *w = &v->window;

    if (w->until_us != a->mono_us && w->until_us - w->since_us >= WINDOW_US)
        close_window(a, v); /* all answers of that turn are in */
    w->until_us = a->mono_us;
    w->idle = w->idle || v->outstanding < vaults_window(a); /* a place of it was free */
    /* As it is estimated now: what stood in the queue since the estimate was half as high would double it again. */
    w->cost_us += cost_us(a, s->kind, s->job.signatures);
    w->kinds |= 1u << s->kind;
}
