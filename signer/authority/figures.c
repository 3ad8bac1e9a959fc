/* SPDX-License-Identifier: Apache-2.0 */
/* What the status screen shows: figures that are there already, and rates over the last minute. Authority's thread. */
#include "authority_private.h"

#include <string.h>

#include "expiry.h"

#define RATE_EACH_US 5000000u

void figures_tick(struct authority *a)
{
    struct rates *r = &a->rates;

    if (r->count > 0 && a->mono_us - r->at[(r->count - 1) % RATE_SAMPLES].mono_us < RATE_EACH_US)
        return;
    r->at[r->count++ % RATE_SAMPLES] = (struct rate_sample){
        .mono_us = a->mono_us, .signatures = a->state->signatures, .denials = a->state->denials};
}

static void stats_rates(const struct authority *a, struct authority_stats *out)
{
    const struct rates *r = &a->rates;
    const struct rate_sample *oldest = &r->at[r->count < RATE_SAMPLES ? 0 : r->count % RATE_SAMPLES];
    uint64_t ms = (a->mono_us - oldest->mono_us) / 1000;

    if (r->count == 0 || ms < 1000)
        return;
    out->signatures_per_min = (a->state->signatures - oldest->signatures) * 60000 / ms;
    out->denials_per_min = (a->state->denials - oldest->denials) * 60000 / ms;
}

static void stats_clients(const struct authority *a, struct authority_stats *out)
{
    for (uint32_t row = 1; row <= a->client_count; row++) {
        const struct client *c = a->clients[row - 1];
        out->suspended_clients += c != NULL && !c->data.removed &&
                                  (c->data.suspended || authority_client_suspended(a, row));
    }
}

static void stats_roles(const struct authority *a, struct authority_stats *out)
{
    for (const struct peer *p = a->peers; p != NULL && out->role_count < AUTHORITY_ROLES_MAX;
         p = p->next)
        out->roles[out->role_count++] = (struct authority_role){.door = p->door,
                                                                .index = p->index,
                                                                .restarts = p->generation - 1,
                                                                .state = !p->ended,
                                                                .jobs = p->jobs};
    for (uint32_t i = 0; i < a->role_count && out->role_count < AUTHORITY_ROLES_MAX; i++) {
        bool ours = false;
        for (const struct peer *p = a->peers; p != NULL; p = p->next)
            ours = ours || (p->door == a->roles[i].door && p->index == a->roles[i].index);
        if (!ours)
            out->roles[out->role_count++] = a->roles[i];
    }
}

void authority_stats(const struct authority *a, struct authority_stats *out)
{
    memset(out, 0, sizeof(*out));
    out->sealed = a->phase == PHASE_SEALED;
    out->sealed_reason = a->sealed_reason;
    out->uptime_s = (a->mono_us - a->started_us) / 1000000u;
    out->codes_suspended = authority_codes_suspended(a);
    out->turns = a->turns;
    out->signatures = a->state->signatures;
    out->denials = a->state->denials;
    out->late_results = a->late_results;
    out->redispatched = a->redispatched;
    out->queue = a->jobs.queue.count;
    out->in_flight = a->jobs.in_flight;
    out->waiters = a->waiter_count;
    out->open_transactions = (uint32_t)a->state->tx_open;
    out->checkpoint = ky_buf_span(&a->side.checkpoint);
    for (uint8_t type = 0; type < KY_KEY_TYPE_COUNT; type++) {
        out->pool[type] = a->pool.count[type];
        out->pool_wanted[type] = keypool_wanted(a, type);
    }
    if (a->store != NULL) {
        out->ledger_size = store_ledger_size(a->store);
        merkle_root(store_merkle(a->store), out->ledger_root);
    }
    out->token = a->info.token;
    out->anchor_size = a->side.anchor_size;
    out->anchor_age_us = a->mono_us - a->side.anchored_us;
    out->checkpoint_size = a->side.published_size;
    out->checkpoint_age_us = a->mono_us - a->side.published_us;
    out->clock = clock_word(a->clock.state);
    out->clock_error_us = a->clock.error_us;
    out->expiring = authority_expiring_count(a, AUTHORITY_SOON_S);
    out->credentials_read = a->expiry.read;
    backup_describe(a, out->backup);
    crl_describe(a, out->crl, sizeof(out->crl));
    stats_rates(a, out);
    stats_clients(a, out);
    stats_roles(a, out);
}
