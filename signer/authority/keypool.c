/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys made in advance, so that nobody waits for RSA: rows of their own under row-mac, each handed out at most once, because the row
 * that gives its key away and the credential's row that takes it are of one turn. A row is used again for the next key. Refilled from
 * half of what is configured, dear types first, one job at a time, when nothing else is to do. Authority's thread.
 */
#include "authority_private.h"
#include "cost.h"
#include "vaults.h"

#include <stdlib.h>
#include <string.h>

#include "kyso/wire.h"

#define KEYS_AT_ONCE 16u       /* of a cheap type */
#define QUIET_US     1000000u  /* since a citizen was here, where one vault does everything */
#define AGAIN_US     10000000u /* after a failure */

static const uint8_t order[] = {KY_KEY_RSA4096, KY_KEY_RSA3072, KY_KEY_RSA2048, KY_KEY_P384,
                                KY_KEY_P256};

uint32_t keypool_wanted(const struct authority *a, uint8_t key_type)
{
    const struct config_pool *c = &a->config->token.pool;
    const uint32_t wanted[KY_KEY_TYPE_COUNT] = {
        [KY_KEY_P256] = c->p256,       [KY_KEY_P384] = c->p384,       [KY_KEY_RSA2048] = c->rsa2048,
        [KY_KEY_RSA3072] = c->rsa3072, [KY_KEY_RSA4096] = c->rsa4096,
    };

    return key_type < KY_KEY_TYPE_COUNT ? wanted[key_type] : 0;
}

uint32_t keypool_sum(const struct authority *a, bool wanted)
{
    uint32_t sum = 0;

    for (uint8_t type = 0; type < KY_KEY_TYPE_COUNT; type++)
        sum += wanted ? keypool_wanted(a, type) : a->pool.count[type];
    return sum;
}

/* What a row holds now. */
static struct ky_status note(struct authority *a, uint32_t row, uint8_t type)
{
    struct keypool *p = &a->pool;

    if (row > p->rows) {
        uint8_t *more = realloc(p->types, row);

        if (more == NULL)
            return KY_STATUS(KY_NOMEM);
        memset(more + p->rows, KY_KEY_NONE, row - p->rows);
        p->types = more;
        p->rows = row;
    }
    uint8_t was = p->types[row - 1];

    p->count[was] -= was != KY_KEY_NONE;
    p->count[type] += type != KY_KEY_NONE;
    p->types[row - 1] = type;
    return KY_STATUS(KY_OK);
}

static uint32_t row_with(const struct keypool *p, uint8_t type)
{
    const uint8_t *at = p->rows > 0 ? memchr(p->types, type, p->rows) : NULL;

    return at != NULL ? (uint32_t)(at - p->types) + 1 : 0;
}

/* A row that does not hold is passed over, and is free. */
struct ky_status keypool_load(struct authority *a)
{
    struct ky_status status = KY_STATUS(KY_OK);

    for (uint32_t row = 1; ky_ok(status) && row <= store_row_count(a->store, ROW_POOL_KEY); row++) {
        struct row_pool_key key;
        struct ky_status got = store_row_get(a->store, ROW_POOL_KEY, row, &key);
        bool holds = ky_ok(got) && key.blob.len > 0 && key.key_type < KY_KEY_TYPE_COUNT;

        if (!ky_ok(got) && got.code != KY_CORRUPT)
            return got;
        if (!ky_ok(got))
            log_event(LOG_ERROR, "row-refused", LOG_U64("pool_key", row));
        status = note(a, row, holds ? key.key_type : KY_KEY_NONE);
    }
    return status;
}

struct ky_status authority_take_key(struct authority *a, uint8_t key_type, uint64_t operation,
                                    struct pool_key *out)
{
    uint32_t row = row_with(&a->pool, key_type);
    struct row_pool_key key;

    if (row == 0 || key_type == KY_KEY_NONE)
        return KY_STATUS(KY_NOT_FOUND);
    struct ky_status status = store_row_get(a->store, ROW_POOL_KEY, row, &key);
    if (ky_ok(status) && key.key_type == key_type && key.blob.len > 0) {
        out->blob_len = key.blob.len;
        out->public_key_len = key.public_key.len;
        memcpy(out->blob, key.blob.data, key.blob.len);
        memcpy(out->public_key, key.public_key.data, key.public_key.len);
    } else if (ky_ok(status) || status.code == KY_CORRUPT) {
        status = KY_STATUS(KY_NOT_FOUND);
    }
    const struct row_pool_key gone = {.key_type = key_type};
    struct ky_status written = authority_row_put(a, ROW_POOL_KEY, row, &gone, operation, NULL);
    if (ky_ok(written))
        written = note(a, row, KY_KEY_NONE);
    return ky_ok(written) ? status : written;
}

/* --- refilling ---------------------------------------------------------------------------------------------- */

static bool is_idle(const struct authority *a)
{
    uint32_t up = 0;

    for (const struct peer *p = a->peers; p != NULL; p = p->next)
        up += vault_is_up(p);
    return dispatch_idle(a) && up > 0 &&
           (up > 1 || a->mono_us - a->jobs.citizen_us >= QUIET_US);
}

static bool is_due(struct authority *a, uint8_t type)
{
    struct keypool *p = &a->pool;
    uint32_t wanted = keypool_wanted(a, type);

    if (wanted == 0 || (a->info.wrappable & UINT32_C(1) << type) == 0)
        return false;
    p->filling[type] = p->count[type] < wanted &&
                       (p->filling[type] || p->count[type] < (wanted + 1) / 2);
    return p->filling[type];
}

static void make_keys(struct authority *a, uint8_t type)
{
    uint32_t missing = keypool_wanted(a, type) - a->pool.count[type];
    uint32_t most = cost_is_dear(type) ? 1 : KEYS_AT_ONCE;
    struct job job = {
        .for_what = JOB_FOR_POOL, .schema = &job_generate_many_schema, .key_type = type};
    struct job_generate_many m = {.key_type = type,
                                  .count = (uint16_t)(missing < most ? missing : most),
                                  .kek = a->info.kek};

    a->pool.busy = ky_ok(job_submit(a, &job, &m));
}

void keypool_tick(struct authority *a)
{
    struct keypool *p = &a->pool;

    if (a->phase != PHASE_SERVE || p->busy || a->mono_us < p->not_before_us || !is_idle(a))
        return;
    for (size_t i = 0; i < sizeof(order) && !p->busy; i++)
        if (is_due(a, order[i]))
            make_keys(a, order[i]);
}

static struct ky_status put_key(struct authority *a, uint8_t type, struct ky_span blob,
                                struct ky_span public_key)
{
    const struct row_pool_key key = {.key_type = type, .blob = blob, .public_key = public_key};
    uint32_t row = row_with(&a->pool, KY_KEY_NONE);
    struct ky_status status = KY_STATUS(KY_INTERNAL);

    if (blob.len > 0 && public_key.len > 0)
        status = authority_row_put(a, ROW_POOL_KEY, row, &key, 0, &row);
    return ky_ok(status) ? note(a, row, type) : status;
}

void keypool_job_done(struct authority *a, const struct job *job, const struct job_result *r)
{
    struct job_r_list made;
    struct ky_status status = r->status;

    a->pool.busy = false;
    if (ky_ok(status) && r->type == JOB_R_LIST)
        status = ky_msg_decode(&job_r_list_schema, r->payload, &made);
    if (ky_ok(status)) {
        struct ky_reader in = ky_reader(made.items);

        while (ky_ok(status) && !ky_reader_done(&in)) {
            struct ky_span blob = ky_get_bytes(&in, KY_BLOB_MAX);

            status = put_key(a, job->key_type, blob, ky_get_bytes(&in, KY_SPKI_MAX));
        }
    }
    if (ky_ok(status))
        return;
    a->pool.not_before_us = a->mono_us + AGAIN_US;
    log_event(LOG_ERROR, "job-failed", LOG_CODE(status), LOG_STR("job", "pool"));
}
