/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The object itself: its life, sealing (I6) and the one way to append. One thread.
 */
#include "authority_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kyso/wire.h"

#define TX_MAX (256u * 1024u)

struct ky_status authority_new(const struct config *config, const struct authority_hooks *hooks,
                               struct authority **out_authority)
{
    struct authority *a = calloc(1, sizeof(*a));
    const struct config_policy *p = &config->policy;
    struct state_limits limits = {
        .lockout = {.tries = p->lock_tries,
                    .first_lock_s = p->lock_first_s,
                    .max_lock_s = p->lock_max_s,
                    .total_tries = p->lock_total},
        .client = {.failures_per_minute = p->client_failures_per_minute,
                   .failure_percent = p->client_failure_percent},
        .replay_window_s = config->limits.replay_window_s,
        .replay_max = config->limits.replay_requests,
        .tx_max = TX_MAX,
    };

    if (a == NULL)
        return KY_STATUS(KY_NOMEM);
    a->config = config;
    a->hooks = *hooks;
    a->scratch = KY_BUF_INIT(KY_RECORD_MAX);
    a->info_bytes = KY_BUF_INIT(KY_RECORD_MAX);
    a->side.checkpoint_body = KY_BUF_INIT(4096);
    crl_open(&a->crl);
    a->side.checkpoint = KY_BUF_INIT(8192);
    a->started_us = hooks->mono_us(hooks->context);
    dispatch_init(a);
    struct ky_status status = state_new(&limits, &a->state);
    if (ky_ok(status))
        status = ky_random(a->boot.boot_id, sizeof(a->boot.boot_id));
    if (!ky_ok(status)) {
        authority_free(&a);
        return status;
    }
    *out_authority = a;
    return status;
}

void authority_free(struct authority **authority)
{
    struct authority *a = *authority;

    if (a == NULL)
        return;
    peers_free(a);
    dispatch_free(a);
    cache_free(a);
    while (a->waiters != NULL) {
        struct waiter *next = a->waiters->next;
        free(a->waiters);
        a->waiters = next;
    }
    authority_free_rows(a);
    expiry_free(a);
    state_free(&a->state);
    backup_abandon(a);
    store_close(&a->store);
    ky_buf_free(&a->scratch);
    ky_buf_free(&a->info_bytes);
    ky_buf_free(&a->side.checkpoint_body);
    crl_close(&a->crl);
    ky_buf_free(&a->side.checkpoint);
    ky_secret_wipe(&a->row_mac);
    ky_secret_wipe(&a->seed_key);
    ky_secret_wipe(&a->state_key);
    policy_device_key_free(&a->device_key);
    policy_device_key_free(&a->request_key);
    unsealer_close(&a->unsealer);
    ky_wipe(&a->random, sizeof(a->random));
    free(a);
    *authority = NULL;
}

void authority_seal(struct authority *a, const char *reason)
{
    struct control_msg m = {.type = CONTROL_SEALED};

    a->failed = true;
    if (a->phase == PHASE_SEALED)
        return;
    a->phase = PHASE_SEALED;
    snprintf(a->sealed_reason, sizeof(a->sealed_reason), "%s", reason);
    snprintf(m.text, sizeof(m.text), "%s", reason);
    log_event(LOG_ERROR, "sealed", LOG_STR("reason", a->sealed_reason));
    a->hooks.control(a->hooks.context, &m);
}

/* --- small views ----------------------------------------------------------------------------------------- */

uint64_t authority_now_s(const struct authority *a)
{
    return a->wall_us / 1000000u;
}

uint64_t authority_now_us(const struct authority *a)
{
    return a->wall_us;
}

struct store *authority_store(struct authority *a)
{
    return a->store;
}

const struct ky_secret *authority_seed_key(const struct authority *a)
{
    return &a->seed_key;
}

const struct ky_secret *authority_state_key(const struct authority *a)
{
    return &a->state_key;
}

struct ky_span authority_server_id(const struct authority *a)
{
    return ky_span_text(a->config->server_id);
}

bool authority_is_demo(const struct authority *a)
{
    return a->config->demo && a->state->demo; /* only what the ledger's first record says, too */
}

const char *authority_passkey_origin(const struct authority *a)
{
    return a->config->passkeys.origin;
}

bool authority_dual_control(const struct authority *a)
{
    return !authority_is_demo(a) || a->config->policy.dual_control;
}

const struct job_r_info *authority_token_info(const struct authority *a)
{
    return &a->info;
}

struct subject_account authority_subject_account(const struct authority *a, uint32_t subject_row)
{
    const struct subject_fold *f = state_subject(a->state, subject_row);

    return f == NULL ? (struct subject_account){0} : f->account;
}

uint64_t authority_last_step(const struct authority *a, uint32_t authenticator_row)
{
    return state_last_step(a->state, authenticator_row);
}

bool authority_client_suspended(const struct authority *a, uint32_t client_row)
{
    const struct client_fold *f = state_client(a->state, client_row);

    return f != NULL && f->suspended_s != 0;
}

bool authority_codes_suspended(const struct authority *a)
{
    const struct config_policy *p = &a->config->policy;
    uint64_t now_s = authority_now_s(a);
    uint32_t count = 0;

    if (now_s >= a->state->newest_suspension_s + p->spray_window_s)
        return false; /* as always: no walk */
    for (uint32_t row = 1; row <= a->client_count; row++) {
        const struct client_fold *f = state_client(a->state, row);
        count += f != NULL && f->suspended_s != 0 && now_s < f->suspended_s + p->spray_window_s &&
                 !a->clients[row - 1]->data.removed;
    }
    return count >= p->spray_clients;
}

bool authority_operation_spent(const struct authority *a, const uint8_t nonce[16])
{
    return state_nonce_spent(a->state, nonce, authority_now_s(a));
}

/* --- records --------------------------------------------------------------------------------------------- */

struct ky_status authority_salted(struct authority *a, struct ky_span text,
                                  struct ky_buf *private_data, uint8_t out_hash[32])
{
    uint8_t salt[16];

    memset(out_hash, 0, 32);
    if (text.len == 0)
        return KY_STATUS(KY_OK);
    struct ky_status status = random_draw(&a->random, salt, sizeof(salt));
    if (!ky_ok(status))
        return status;
    ky_put_u32(private_data, (uint32_t)(sizeof(salt) + text.len));
    size_t at = private_data->len;
    ky_buf_put(private_data, salt, sizeof(salt));
    ky_buf_put(private_data, text.data, text.len);
    if (private_data->failed)
        return KY_STATUS(KY_NOMEM);
    ky_sha256(KY_SPAN(private_data->data + at, private_data->len - at), out_hash);
    return status;
}

static struct ky_status append_one(struct authority *a, const struct ky_schema *schema,
                                   const void *msg, struct ky_span private_data,
                                   uint64_t *out_index)
{
    struct ledger_leaf leaf = {.time_us = a->wall_us, .type = schema->type};

    if (a->store == NULL || a->failed || a->phase == PHASE_SEALED)
        return KY_STATUS(KY_SEALED);
    struct ky_status status =
        store_append(a->store, schema, msg, a->wall_us, private_data, &leaf.index);
    if (ky_ok(status))
        status = state_apply(a->state, &leaf, msg, private_data);
    if (!ky_ok(status)) {
        log_event(LOG_ERROR, "record-refused", LOG_CODE(status), LOG_STR("record", schema->name));
        authority_seal(a, "a record could not be written");
        return status;
    }
    a->tx_moved = a->tx_moved || schema->type == LEDGER_AUTHORIZED ||
                  schema->type == LEDGER_ENDED || schema->type == LEDGER_INTENT;
    if (out_index != NULL)
        *out_index = leaf.index;
    return status;
}

/* A client whose failures have passed the threshold is suspended by the very next record. */
static void suspend_if_over(struct authority *a, uint32_t client_row)
{
    const struct client_fold *f = state_client(a->state, client_row);
    struct ledger_client_state m = {
        .client_row = client_row, .suspended = 1, .reason = KY_PROOF_WRONG};

    if (f == NULL || !f->over_threshold || f->suspended_s != 0)
        return;
    log_event(LOG_WARN, "client-suspended", LOG_U64("client", client_row));
    (void)append_one(a, &ledger_client_state_schema, &m, (struct ky_span){0}, NULL).code;
}

struct ky_status authority_append(struct authority *a, const struct ky_schema *schema,
                                  const void *msg, struct ky_span private_data, uint64_t *out_index)
{
    struct ky_status status = append_one(a, schema, msg, private_data, out_index);

    if (ky_ok(status) && schema->type == LEDGER_DENIED)
        suspend_if_over(a, ((const struct ledger_denied *)msg)->client_row);
    return status;
}

void authority_deny(struct authority *a, const struct request *r, struct ledger_denied *why)
{
    struct reply_to to = request_reply_to(r);

    why->request_type = r->type;
    if (ky_ok(authority_append(a, &ledger_denied_schema, why, (struct ky_span){0}, NULL)))
        authority_refuse(a, &to, why->reason == KY_CORRUPT ? KY_NOT_FOUND : why->reason, 0);
}
