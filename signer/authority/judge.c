/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of judging: who asks, whether it was asked before, whether it may be asked, and whether the proof holds.
 * Reads state and rows; changes nothing but by the record of a refusal. Keeps P17: no outcome without its charge.
 */
#include "judge.h"
#include "cost.h"
#include "queue.h"
#include "vaults.h"

#include <string.h>

#define CODE_MAX       16u
#define CITIZEN_HASHES 8u /* more at once are no citizen who waits */
#define RETRY_MIN_MS   50u
#define RETRY_MAX_MS   2000u

bool judge_is_passing(enum ky_code code)
{
    return code == KY_BUSY || code == KY_UNAVAILABLE || code == KY_DEADLINE || code == KY_SEALED;
}

void judge_refuse(struct asked *q, enum ky_code code)
{
    if (judge_is_passing(code)) {
        authority_refuse(q->a, &q->to, code, q->retry_after_ms);
        return;
    }
    q->why.reason = (uint16_t)code;
    authority_deny(q->a, q->r, &q->why);
}

enum ky_code judge_client(struct authority *a, const uint8_t spki[KY_SPKI_HASH_LEN],
                          struct ledger_denied *why, struct client **out_client)
{
    struct client *c = authority_client_by_spki(a, spki);

    if (c == NULL) {
        memcpy(why->spki, spki, sizeof(why->spki));
        return KY_UNAUTHENTICATED;
    }
    why->client_row = c->row;
    *out_client = c;
    return c->data.suspended || authority_client_suspended(a, c->row) ? KY_CLIENT_SUSPENDED : KY_OK;
}

enum ky_code judge_open(struct asked *q, struct authority *a, const struct request *r,
                        const struct ky_schema *schema, struct ky_span payload)
{
    *q = (struct asked){.a = a, .r = r, .to = request_reply_to(r)};
    if (!ky_ok(ky_msg_decode(schema, payload, &q->m)))
        return KY_INVALID;
    enum ky_code code = judge_client(a, q->m.spki, &q->why, &q->client);
    if (code != KY_OK)
        return code;
    if (!ky_span_is_name(q->m.request_id, KY_NAME_MAX) ||
        !ky_span_is_name(q->m.relying_party, KY_NAME_MAX))
        return KY_INVALID;
    q->why.request_id = q->m.request_id;
    if (q->m.transaction_id.len > 0) {
        if (!ky_span_is_name(q->m.transaction_id, KY_NAME_MAX))
            return KY_INVALID;
        q->why.transaction_id = q->m.transaction_id;
    }
    q->algorithm = (struct ky_algorithm){.scheme = q->m.scheme,
                                         .hash = q->m.hash,
                                         .mgf_hash = q->m.mgf_hash,
                                         .salt_len = q->m.salt_len};
    return judge_signature(q);
}

struct ky_tx_fields judge_fields(const struct asked *q)
{
    return (struct ky_tx_fields){
        .server_id = authority_server_id(q->a),
        .client = q->client->data.name,
        .relying_party = q->m.relying_party,
        .credential_id = q->m.credential_id,
        .algorithm = q->algorithm,
        .hashes = q->m.hashes,
        .display_text = q->m.display_text,
    };
}

enum ky_code judge_signature(struct asked *q)
{
    struct ky_span key = q->client->data.request_key;

    if (key.len == 0)
        return KY_OK;
    struct ky_tx_fields f = judge_fields(q);
    const struct ky_request_fields r = {
        .type = (uint8_t)q->r->type,
        .request_id = q->m.request_id,
        .ttl_s = q->m.ttl_s,
        .proof = q->m.proof,
        .authenticator_id = q->m.authenticator_id,
        .proof_secret = q->m.proof_secret,
        .matching_code = q->m.matching_code,
        .proof_signature = q->m.proof_signature,
        .expires_s = q->m.expires_s,
    };
    uint8_t digest[32];

    if (!ky_ok(policy_device_key_load(policy_key_type(key), key, &q->a->request_key)))
        return KY_INTERNAL; /* it was checked when it was pinned */
    f.transaction_id = q->m.transaction_id;
    ky_request_digest(&f, &r, digest);
    return policy_request_verify(q->a->request_key, digest, q->m.request_signature, r.expires_s,
                                 authority_now_s(q->a))
        .code;
}

const struct replay *judge_repeat(struct asked *q)
{
    struct ky_tx_fields f = judge_fields(q);

    ky_tx_content_digest(&f, q->content);
    state_replay_key(q->client->row, q->m.relying_party, q->m.request_id, q->replay_key);
    return state_replay(q->a->state, q->replay_key);
}

/* --- rights ------------------------------------------------------------------------------------------------ */

static bool subject_listed(const struct client *c, struct ky_span subject_id)
{
    return c->data.subjects.len == 0 || list_has(c->data.subjects, subject_id, false);
}

enum ky_code judge_allowed(struct asked *q, struct cache_entry *credential, uint32_t hash_count)
{
    struct authority *a = q->a;
    const struct client *c = q->client;
    struct cache_entry *subject =
        credential == NULL ? NULL : cache_get(a, ROW_SUBJECT, credential->credential.subject_row);
    struct policy_request p = {
        .rights = c->data.rights,
        .door = q->r->door,
        .request = q->r->type,
        .proof = q->m.proof,
        .for_itself = ky_span_eq(q->m.relying_party, c->data.name),
        .delegated = list_has(c->data.relying_parties, q->m.relying_party, false),
        .credential_allows = credential != NULL && list_has(credential->credential.relying_parties,
                                                            q->m.relying_party, true),
        .subject_allowed = subject != NULL && subject_listed(c, subject->subject.subject_id),
        .hash_count = hash_count,
        .client_max_hashes = c->data.max_hashes,
        .credential_max_hashes = credential == NULL ? 0 : credential->credential.max_hashes,
        .server_max_hashes = a->config->limits.max_hashes,
    };

    if (credential != NULL) {
        q->why.credential_row = credential->row;
        q->why.subject_row = credential->credential.subject_row;
    }
    q->credential = credential;
    enum ky_code code = policy_request_allowed(&p).code;
    return code == KY_NOT_FOUND && credential == NULL && a->cache.corrupt ? KY_CORRUPT : code;
}

enum ky_code judge_tenancy(struct authority *a, const struct request *r, const struct client *c,
                           struct ky_span relying_party, struct ky_span subject_id)
{
    struct policy_request p = {
        .rights = c->data.rights,
        .door = r->door,
        .request = r->type,
        .for_itself = ky_span_eq(relying_party, c->data.name),
        .delegated = list_has(c->data.relying_parties, relying_party, false),
        .subject_allowed = subject_listed(c, subject_id),
    };

    (void)a;
    return policy_request_allowed(&p).code;
}

enum ky_code judge_signable(struct asked *q)
{
    const struct ky_key_info *key = ky_key_info(q->credential->credential.key_type);
    struct ky_algorithm algorithm = q->algorithm;

    /* A transaction may leave the scheme open: any of its key's, named when it is signed. */
    if (q->r->type != DOOR_SIGN && algorithm.scheme == KY_SCHEME_NONE && key != NULL)
        algorithm.scheme = key->scheme;
    if (!credential_usable(&q->credential->credential, authority_now_s(q->a)))
        return KY_INACTIVE;
    if (crl_refuses(q->a))
        return KY_CRL_STALE;
    if (clock_refuses(q->a))
        return KY_CLOCK_UNSYNCED;
    return policy_hashes_check(q->credential->credential.key_type, &algorithm, q->m.hashes,
                               &q->hash_count)
        .code;
}

uint32_t judge_hash_count(const struct door_tx *m)
{
    size_t len = ky_hash_len(m->hash);

    return len == 0 ? 1 : (uint32_t)((m->hashes.len + len - 1) / len);
}

/*
 * What the request takes by itself once it is its turn: with less time left dispatch would only throw it away, its proof spent. A
 * vault that is idle tries it, as dispatch does.
 */
static uint64_t needs_us(const struct asked *q)
{
    const struct authority *a = q->a;
    const struct job job = {.lane = q->lane,
                            .key_type = q->credential->credential.key_type,
                            .signatures = (uint16_t)q->hash_count};

    return a->turn_us +
           (vaults_idle(a) > a->jobs.queue.count ? 0 : cost_us(a, cost_kind(&job), q->hash_count));
}

/* Who waits for a vault longer than this is better off asking again; bulk is patient. */
static bool is_in_time(struct asked *q)
{
    static const uint64_t patience_us[LANE_COUNT] = {
        [LANE_CITIZEN] = 5000000, [LANE_BULK] = 60000000};
    const struct authority *a = q->a;

    q->lane =
        q->m.proof == KY_PROOF_SAD || q->hash_count > CITIZEN_HASHES ? LANE_BULK : LANE_CITIZEN;
    uint64_t wait_us = queue_wait_us(a, q->client, (enum job_lane)q->lane);
    uint64_t left_us = q->to.deadline_us == 0 ? UINT64_MAX : q->to.deadline_us - a->mono_us;
    uint64_t most_us = patience_us[q->lane];
    if (left_us / 3 < most_us)
        most_us = left_us / 3; /* the machine may be slower then than it was */
    if (wait_us <= most_us && wait_us + needs_us(q) <= left_us)
        return true;
    q->retry_after_ms = wait_us < RETRY_MAX_MS * 1000u ? (uint32_t)(wait_us / 1000) : RETRY_MAX_MS;
    if (q->retry_after_ms < RETRY_MIN_MS)
        q->retry_after_ms = RETRY_MIN_MS;
    return false;
}

/*
 * A client may have as many requests in flight as there is room left: one alone fills half of the queue, and whatever some have
 * filled, there is room for one more.
 */
static bool has_share(const struct asked *q)
{
    const struct config_limits *l = &q->a->config->limits;
    uint32_t left = l->queue > q->a->sign_in_flight ? l->queue - q->a->sign_in_flight : 0;

    return q->client->in_flight < l->per_client && q->client->in_flight < left;
}

enum ky_code judge_room(struct asked *q)
{
    q->retry_after_ms = RETRY_MIN_MS;
    if (q->credential != NULL && dispatch_quarantined(q->a, q->credential->row))
        return KY_UNAVAILABLE;
    if (dispatch_dark(q->a)) {
        q->retry_after_ms = 1000; /* the supervisor tries as often */
        return KY_UNAVAILABLE;
    }
    if (!has_share(q) || !dispatch_has_room(q->a) || (q->r->type == DOOR_SIGN && !is_in_time(q)))
        return KY_BUSY;
    if (!state_has_room(q->a->state)) {
        q->retry_after_ms = 10000;
        return KY_BUSY;
    }
    q->retry_after_ms = 0;
    return KY_OK;
}

/* --- codes --------------------------------------------------------------------------------------------------- */

static enum ky_code try_code(struct asked *q, struct cache_entry *x, struct proof *out)
{
    struct authority *a = q->a;
    const struct row_authenticator *row = &x->authenticator;
    struct policy_totp p = {
        .hash = row->otp_hash,
        .digits = row->otp_digits,
        .window = (uint8_t)a->config->policy.totp_window,
        .last_step = state_last_step(a->state, x->row),
        .floor_step = a->state->floor_step,
    };
    struct ky_span seed;
    struct ky_status status =
        unseal(&a->unsealer, row->authenticator_id, row->epoch, row->sealed_seed, &seed);

    if (!ky_ok(status)) {
        log_event(LOG_ERROR, "record-refused", LOG_CODE(status), LOG_U64("authenticator", x->row));
        return KY_PROOF_UNCONFIRMED;
    }
    status = policy_totp_check(&p, seed, q->m.proof_secret, authority_now_s(a), &out->step);
    unseal_done(&a->unsealer);
    if (ky_ok(status))
        out->authenticator_row = x->row;
    return status.code == KY_INVALID ? KY_PROOF_UNCONFIRMED : status.code;
}

/* The most telling of several refusals, for the record only. */
static enum ky_code worse(enum ky_code x, enum ky_code y)
{
    static const enum ky_code order[] = {KY_PROOF_REPLAYED, KY_PROOF_FLOORED, KY_PROOF_WRONG,
                                         KY_PROOF_MALFORMED};

    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        if (x == order[i] || y == order[i])
            return order[i];
    return x;
}

static enum ky_code try_all(struct asked *q, const struct cache_entry *subject, struct proof *out)
{
    uint64_t now_s = authority_now_s(q->a);
    enum ky_code code = KY_PROOF_UNCONFIRMED;

    for (uint32_t i = 0; i < subject->authenticator_count; i++) {
        struct cache_entry *x = cache_get(q->a, ROW_AUTHENTICATOR, subject->authenticators[i]);
        if (x == NULL ||
            !authenticator_usable(&x->authenticator, ROW_AUTH_TOTP, subject->row, now_s))
            continue;
        if (q->m.authenticator_id.len > 0 &&
            !ky_span_eq(q->m.authenticator_id, x->authenticator.authenticator_id))
            continue;
        enum ky_code one = try_code(q, x, out);
        if (one == KY_OK)
            return one;
        enum ky_code said = worse(code, one);
        if (said != code)
            q->why.authenticator_row = x->row;
        code = said;
    }
    return code;
}

enum ky_code judge_totp(struct asked *q, struct proof *out)
{
    uint32_t row = q->credential->credential.subject_row;
    struct subject_account account = authority_subject_account(q->a, row);
    struct cache_entry *subject = cache_get(q->a, ROW_SUBJECT, row);

    *out = (struct proof){0};
    if (authority_codes_suspended(q->a))
        return KY_PROOF_LOCKED;
    if (account.not_me || policy_lockout_is_locked(&account.lockout, authority_now_s(q->a)))
        return KY_PROOF_LOCKED;
    if (subject == NULL)
        return KY_PROOF_UNCONFIRMED;
    enum ky_code code = try_all(q, subject, out);
    if (code == KY_PROOF_FLOORED) /* an honest citizen after a crash: the next code will do */
        q->retry_after_ms = POLICY_TOTP_PERIOD_S * 1000u;
    else if (code != KY_OK && code != KY_PROOF_UNCONFIRMED)
        q->why.charged = AUTHORITY_CHARGE_SUBJECT;
    return code;
}

/* --- devices -------------------------------------------------------------------------------------------------- */

static enum ky_code verify_device(struct authority *a, const struct cache_entry *x,
                                  const struct tx *t, const struct device_word *w, uint64_t *out_step)
{
    const struct row_authenticator *row = &x->authenticator;
    const bool passkey = row->device_key_type == POLICY_PASSKEY;
    const struct policy_passkey p = {
        .origin = ky_span_text(a->config->passkeys.origin),
        .synced = a->config->passkeys.synced,
        .last_counter = (uint32_t)state_last_step(a->state, x->row),
    };
    uint8_t challenge[32];
    uint32_t counter = 0;

    if (w->matching_code.len > CODE_MAX)
        return KY_PROOF_MALFORMED;
    if (!ky_ok(policy_device_key_load(passkey ? POLICY_DEVICE_ES256 : row->device_key_type,
                                      row->device_key, &a->device_key)))
        return KY_PROOF_UNCONFIRMED;
    ky_approval_challenge(t->tx_digest, w->decision, w->matching_code, challenge);
    if (!passkey)
        return policy_device_verify(a->device_key, challenge, w->signature).code;
    enum ky_code code =
        policy_passkey_verify(a->device_key, &p, challenge, w->signature, &counter).code;
    *out_step = counter;
    return code;
}

enum ky_code judge_device(struct authority *a, const struct tx *t, const struct device_word *w,
                          struct ledger_denied *why, struct proof *out)
{
    struct cache_entry *x = authenticator_by_id(a, w->authenticator_id);

    *out = (struct proof){0};
    if (x == NULL || !authenticator_usable(&x->authenticator, ROW_AUTH_DEVICE, t->subject_row,
                                           authority_now_s(a))) {
        why->charged = AUTHORITY_CHARGE_CLIENT;
        return KY_PROOF_UNCONFIRMED;
    }
    why->authenticator_row = x->row;
    if (authority_subject_account(a, t->subject_row).not_me)
        return KY_PROOF_LOCKED;
    enum ky_code code = verify_device(a, x, t, w, &out->step);
    if (code != KY_OK) {
        why->charged = AUTHORITY_CHARGE_CLIENT;
        return code;
    }
    out->authenticator_row = x->row;
    ky_sha256(w->signature, out->evidence_sha256);
    /* No code: its text was erased. Nothing matches it, an empty one least of all. */
    if (w->decision == KY_DECISION_APPROVE &&
        (t->code_len == 0 || !ky_span_eq_ct(w->matching_code, KY_SPAN(t->code, t->code_len))))
        return KY_PROOF_WRONG_CODE;
    return KY_OK;
}
