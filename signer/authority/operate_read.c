/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations that change nothing: the status screen, pages of the ledger (committed records only), a copy of the database.
 * The authority's thread, inside a turn.
 */
#include <stdio.h>
#include <string.h>

#include "operate.h"

#define LEDGER_PAGE       500u
#define LEDGER_PAGE_MAX   1000u
#define LEDGER_PAGE_BYTES (128u * 1024u)

static const char *role_name(uint8_t door)
{
    switch (door) {
    case 0:
        return "vault";
    case KY_DOOR_SIGNER:
        return "front-signer";
    case KY_DOOR_APPROVER:
        return "front-approver";
    case KY_DOOR_OPERATOR:
        return "front-operator";
    default:
        return "other";
    }
}

static void give_roles(struct operation *o, const struct authority_stats *stats,
                       Kyso__V1__Status *m)
{
    Kyso__V1__RoleStatus *roles =
        ky_arena_alloc(o->arena, (stats->role_count + 1) * sizeof(*roles));

    m->roles = ky_arena_alloc(o->arena, (stats->role_count + 1) * sizeof(*m->roles));
    if (roles == NULL || m->roles == NULL)
        return;
    for (uint32_t i = 0; i < stats->role_count; i++) {
        const struct authority_role *from = &stats->roles[i];

        kyso__v1__role_status__init(&roles[i]);
        roles[i].role = operate_text(o, ky_span_text(role_name(from->door)));
        roles[i].index = from->index;
        roles[i].state = operate_text(o, ky_span_text(from->state != 0 ? "serving" : "away"));
        roles[i].restarts = from->restarts;
        roles[i].jobs = from->jobs;
        m->roles[m->n_roles++] = &roles[i];
    }
}

static void give_pool(struct operation *o, const struct authority_stats *stats, Kyso__V1__Status *m)
{
    Kyso__V1__PoolStatus *pool = ky_arena_alloc(o->arena, KY_KEY_TYPE_COUNT * sizeof(*pool));

    m->pool = ky_arena_alloc(o->arena, KY_KEY_TYPE_COUNT * sizeof(*m->pool));
    for (uint32_t type = 1; type < KY_KEY_TYPE_COUNT && pool != NULL && m->pool != NULL; type++) {
        if (stats->pool_wanted[type] == 0 && stats->pool[type] == 0)
            continue;
        kyso__v1__pool_status__init(&pool[type]);
        pool[type].key_type = (Kyso__V1__KeyType)type;
        pool[type].keys = stats->pool[type];
        pool[type].wanted = stats->pool_wanted[type];
        m->pool[m->n_pool++] = &pool[type];
    }
}

static void give_figures(struct operation *o, const struct authority_stats *stats,
                         Kyso__V1__Status *m)
{
    m->sealed = stats->sealed;
    m->sealed_reason = operate_text(o, ky_span_text(stats->sealed_reason));
    m->codes_suspended = stats->codes_suspended;
    m->ledger_size = stats->ledger_size;
    m->ledger_root = operate_bytes(o, KY_SPAN_OF(stats->ledger_root));
    m->uptime_s = stats->uptime_s;
    m->turns = stats->turns;
    m->signatures = stats->signatures;
    m->denials = stats->denials;
    m->queue = stats->queue;
    m->in_flight = stats->in_flight;
    m->checkpoint = operate_text(o, stats->checkpoint);
    m->crl = operate_text(o, ky_span_text(stats->crl));
    m->token = operate_text(o, stats->token);
    m->anchor_size = stats->anchor_size;
    m->anchor_age_ms = stats->anchor_age_us / 1000;
    m->checkpoint_size = stats->checkpoint_size;
    m->checkpoint_age_ms = stats->checkpoint_age_us / 1000;
    m->signatures_per_min = stats->signatures_per_min;
    m->denials_per_min = stats->denials_per_min;
    m->transactions = stats->open_transactions;
    m->suspended_clients = stats->suspended_clients;
    m->expiring = stats->expiring;
    m->credentials_read = stats->credentials_read;
    m->backup = operate_text(o, ky_span_text(stats->backup));
    m->clock = operate_text(o, ky_span_text(stats->clock));
    m->clock_error_us = stats->clock_error_us;
}

struct ky_status operate_get_status(struct operation *o)
{
    Kyso__V1__Status *m = ky_arena_alloc(o->arena, sizeof(*m));
    struct authority_stats stats;

    if (m == NULL)
        return KY_STATUS(KY_BUSY);
    kyso__v1__status__init(m);
    authority_stats(o->a, &stats);
    give_figures(o, &stats, m);
    give_roles(o, &stats, m);
    give_pool(o, &stats, m);
    m->server_id = operate_text(o, authority_server_id(o->a));
    m->version = operate_message(o, "%s", KYSO_VERSION);
    m->demo = authority_is_demo(o->a);
    m->subjects = store_row_count(authority_store(o->a), ROW_SUBJECT);
    m->credentials = store_row_count(authority_store(o->a), ROW_CREDENTIAL);
    m->ledger_public_key = operate_bytes(o, authority_token_info(o->a)->ledger_key);
    o->result.status = m;
    return KY_STATUS(KY_OK);
}

struct ky_status operate_make_backup(struct operation *o)
{
    struct ky_status status = authority_backup(o->a);

    if (!ky_ok(status))
        return operate_no(o, status.code == KY_CONFLICT ? KY_CONFLICT : KY_UNAVAILABLE, "no copy can be made now");
    o->result.message = operate_message(o, "the copy is being made; the status says how far it is");
    return status;
}

struct page { /* of an export, while it is filled */
    struct operation *o;
    Kyso__V1__LedgerChunk *chunk;
    uint64_t next;
    size_t limit;
    size_t bytes;
    bool full;
};

/* KY_BUSY only ends the walk: the page is full. */
static struct ky_status take_leaf(void *ctx, struct ky_span leaf, struct ky_span private_data)
{
    struct page *p = ctx;
    size_t bytes = leaf.len + private_data.len;

    if (p->chunk->n_records == p->limit ||
        (p->chunk->n_records > 0 && p->bytes + bytes > LEDGER_PAGE_BYTES)) {
        p->full = true;
        return KY_STATUS(KY_BUSY);
    }
    Kyso__V1__LedgerRecord *record = ky_arena_alloc(p->o->arena, sizeof(*record));
    if (record == NULL)
        return KY_STATUS(KY_NOMEM);
    kyso__v1__ledger_record__init(record);
    record->index = p->next++;
    record->leaf = operate_bytes(p->o, leaf);
    record->private_data = operate_bytes(p->o, private_data);
    p->chunk->records[p->chunk->n_records++] = record;
    p->bytes += bytes;
    return KY_STATUS(KY_OK);
}

struct ky_status operate_read_ledger(struct operation *o)
{
    const Kyso__V1__ReadLedger *m = o->op->read_ledger;
    struct page page = {.o = o, .next = m->from, .limit = m->limit != 0 ? m->limit : LEDGER_PAGE};
    struct authority_stats stats;

    if (page.limit > LEDGER_PAGE_MAX)
        return operate_no(o, KY_INVALID, "limit: at most 1000");
    page.chunk = ky_arena_alloc(o->arena, sizeof(*page.chunk));
    if (page.chunk == NULL)
        return KY_STATUS(KY_BUSY);
    kyso__v1__ledger_chunk__init(page.chunk);
    page.chunk->records = ky_arena_alloc(o->arena, page.limit * sizeof(*page.chunk->records));
    if (page.chunk->records == NULL)
        return KY_STATUS(KY_BUSY);
    struct ky_status status =
        store_ledger_read(authority_store(o->a), m->from, page.limit, take_leaf, &page);
    if (!ky_ok(status) && !page.full)
        return status;
    authority_stats(o->a, &stats);
    page.chunk->size = stats.ledger_size;
    page.chunk->checkpoint = operate_text(o, stats.checkpoint);
    page.chunk->ledger_public_key = operate_bytes(o, authority_token_info(o->a)->ledger_key);
    o->result.ledger = page.chunk;
    return KY_STATUS(KY_OK);
}
