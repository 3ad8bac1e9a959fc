/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BeginTransaction and Authorize, and the records by which transactions are authorized and end. Inside a turn only.
 */
#include "transaction.h"

#include <string.h>

#define BEGINS_WINDOW_S 300u

/* --- pieces ------------------------------------------------------------------------------------------------------- */

struct ky_tx_fields transaction_fields(const struct asked *q, struct ky_span id,
                                       const uint8_t nonce[KY_TX_NONCE_LEN], uint64_t not_after_s)
{
    struct ky_tx_fields f = judge_fields(q);
    const struct cache_entry *subject =
        cache_get(q->a, ROW_SUBJECT, q->credential->credential.subject_row);

    f.transaction_id = id;
    f.subject_id = subject == NULL ? (struct ky_span){0} : subject->subject.subject_id;
    f.credential_epoch = q->credential->credential.epoch;
    memcpy(f.key_spki_sha256, q->credential->spki_sha256, sizeof(f.key_spki_sha256));
    f.not_after_s = not_after_s;
    memcpy(f.nonce, nonce, KY_TX_NONCE_LEN);
    return f;
}

static void sad_of(const struct authority *a, const struct tx *t, uint8_t out[KY_SAD_LEN])
{
    static const char tag[] = "kyso.sad";
    uint8_t text[sizeof(tag) - 1 + TX_ID_LEN + 1 + KY_TX_NONCE_LEN];

    memcpy(text, tag, sizeof(tag) - 1);
    tx_id_write(t->key, (char *)text + sizeof(tag) - 1);
    memcpy(text + sizeof(tag) - 1 + TX_ID_LEN, t->nonce, KY_TX_NONCE_LEN);
    ky_hmac_sha256(ky_secret_span(&a->state_key), KY_SPAN(text, sizeof(text) - 1), out);
}

void transaction_end(struct authority *a, const struct tx *t, uint8_t state, enum ky_code reason,
                     const struct proof *by, bool not_me)
{
    char id[TX_ID_LEN + 1];
    struct ledger_ended m = {.state = state,
                             .reason = (uint16_t)reason,
                             .not_me = not_me,
                             .authenticator_row = by == NULL ? 0 : by->authenticator_row};

    tx_id_write(t->key, id);
    m.transaction_id = ky_span_text(id);
    if (!ky_ok(authority_append(a, &ledger_ended_schema, &m, (struct ky_span){0}, NULL)))
        return; /* sealed: the turn's replies are dropped */
}

bool transaction_authorize(struct authority *a, const struct tx *t, uint8_t proof,
                           const struct proof *by, struct ky_span request_id, uint32_t ttl_s)
{
    uint8_t sad[KY_SAD_LEN];
    char id[TX_ID_LEN + 1];
    struct ledger_authorized m = {.request_id = request_id,
                                  .proof = proof,
                                  .authenticator_row = by->authenticator_row,
                                  .step = by->step};

    tx_id_write(t->key, id);
    m.transaction_id = ky_span_text(id);
    ttl_s = ttl_s == 0 ? SAD_TTL_S : ttl_s;
    m.not_after_s = authority_now_s(a) + (ttl_s > SAD_TTL_MAX_S ? SAD_TTL_MAX_S : ttl_s);
    sad_of(a, t, sad);
    ky_sha256(KY_SPAN_OF(sad), m.sad_sha256);
    ky_wipe(sad, sizeof(sad));
    memcpy(m.evidence_sha256, by->evidence_sha256, sizeof(m.evidence_sha256));
    return ky_ok(authority_append(a, &ledger_authorized_schema, &m, (struct ky_span){0}, NULL));
}

void transaction_reply(struct authority *a, const struct reply_to *to, const struct tx *t,
                       struct ky_span request_id, bool with_code)
{
    uint8_t sad[KY_SAD_LEN];
    char id[TX_ID_LEN + 1];
    uint64_t now_s = authority_now_s(a);
    struct door_r_tx m = {
        .request_id = request_id, .state = t->state, .not_after_s = t->not_after_s};

    tx_id_write(t->key, id);
    m.transaction_id = ky_span_text(id);
    memcpy(m.tx_digest, t->tx_digest, sizeof(m.tx_digest));
    memcpy(m.nonce, t->nonce, sizeof(m.nonce));
    if (with_code && t->state == TX_PENDING)
        m.matching_code = KY_SPAN(t->code, t->code_len);
    if (t->state == TX_AUTHORIZED)
        m.not_after_s = t->sad_not_after_s;
    if (t->state == TX_AUTHORIZED && now_s < t->sad_not_after_s) {
        sad_of(a, t, sad);
        m.sad = KY_SPAN_OF(sad);
    } else if (tx_is_open(t) && now_s >= t->due_s) {
        m.state = TX_EXPIRED;
    }
    authority_reply(a, to, &door_r_tx_schema, &m);
    ky_wipe(sad, sizeof(sad));
}

/* --- begin -------------------------------------------------------------------------------------------------------- */

/* One push at a time, and so many in five minutes: a phone is not rung to exhaustion. */
static enum ky_code check_pushes(struct asked *q)
{
    const struct subject_fold *f =
        state_subject(q->a->state, q->credential->credential.subject_row);
    uint64_t now_s = authority_now_s(q->a);
    uint32_t limit = q->a->config->policy.begins_per_5min;

    if (f == NULL)
        return KY_OK;
    if (f->account.not_me)
        return KY_PROOF_LOCKED;
    if (f->pending != NULL && now_s < f->pending->not_after_s) {
        q->retry_after_ms = (uint32_t)(f->pending->not_after_s - now_s) * 1000u;
        return KY_BUSY;
    }
    uint64_t oldest = f->begins_s[limit - 1];
    if (oldest == 0 || oldest + BEGINS_WINDOW_S <= now_s)
        return KY_OK;
    q->retry_after_ms = (uint32_t)(oldest + BEGINS_WINDOW_S - now_s) * 1000u;
    return KY_BUSY;
}

/* Appends LEDGER_BEGIN for the request's own words. code is empty where no device is asked. */
static struct tx *begin(struct asked *q, struct ky_span code, uint32_t ttl_s)
{
    struct authority *a = q->a;
    const struct row_credential *c = &q->credential->credential;
    uint8_t random[MAP_KEY_LEN + KY_TX_NONCE_LEN];
    uint8_t code_sha256[32];
    struct ky_buf private_data = KY_BUF_INIT(KY_DISPLAY_TEXT_MAX + 128);
    struct tx *t = NULL;
    struct ledger_tx m = {
        .request_id = q->m.request_id,
        .client_row = q->client->row,
        .relying_party = q->m.relying_party,
        .subject_row = c->subject_row,
        .credential_row = q->credential->row,
        .credential_epoch = c->epoch,
        .scheme = q->algorithm.scheme,
        .hash = q->algorithm.hash,
        .mgf_hash = q->algorithm.mgf_hash,
        .salt_len = q->algorithm.salt_len,
        .hashes = q->m.hashes,
        .not_after_s = authority_now_s(a) + ttl_s,
    };

    if (!ky_ok(random_draw(&a->random, random, sizeof(random))) ||
        !ky_ok(authority_salted(a, q->m.display_text, &private_data, m.display_sha256)) ||
        !ky_ok(authority_salted(a, code, &private_data, code_sha256)))
        goto done;
    if (code.len > 0)
        m.matching_code = KY_SPAN_OF(code_sha256);
    tx_id_write(random, q->tx_id);
    m.transaction_id = ky_span_text(q->tx_id);
    memcpy(m.nonce, random + MAP_KEY_LEN, sizeof(m.nonce));
    memcpy(m.key_spki_sha256, q->credential->spki_sha256, sizeof(m.key_spki_sha256));
    memcpy(m.content_sha256, q->content, sizeof(m.content_sha256));
    struct ky_tx_fields f = transaction_fields(q, m.transaction_id, m.nonce, m.not_after_s);
    ky_tx_digest(&f, m.tx_digest);
    if (ky_ok(authority_append(a, &ledger_begin_schema, &m, ky_buf_span(&private_data), NULL)))
        t = state_tx(a->state, random);
done:
    ky_buf_free(&private_data);
    return t;
}

/* A request id that made or authorized a transaction stands for that transaction. */
static enum ky_code repeat_tx(struct asked *q, const struct replay *e, uint8_t kind)
{
    bool named = kind == REPLAY_AUTHORIZE && q->m.transaction_id.len > 0;
    uint8_t key[MAP_KEY_LEN];

    if (e->state != REPLAY_TX || e->kind != kind)
        return KY_CONFLICT;
    bool same = named ? tx_id_parse(q->m.transaction_id, key) &&
                            ky_span_eq(KY_SPAN_OF(key), KY_SPAN_OF(e->tx))
                      : ky_span_eq(KY_SPAN_OF(e->content), KY_SPAN(q->content, sizeof(e->content)));
    if (!same)
        return KY_CONFLICT;
    const struct tx *t = state_tx(q->a->state, e->tx);
    if (t == NULL)
        return KY_TX_ENDED;
    q->a->replays++;
    transaction_reply(q->a, &q->to, t, q->m.request_id, kind == REPLAY_BEGIN);
    return KY_OK;
}

/* What Begin, and Authorize of a new transaction, are judged by before any proof. */
static enum ky_code judge_new(struct asked *q)
{
    size_t hash_len = ky_hash_len(q->m.hash);
    enum ky_code code =
        judge_allowed(q, credential_by_id(q->a, q->m.credential_id),
                      (uint32_t)(hash_len == 0 ? 1 : (q->m.hashes.len + hash_len - 1) / hash_len));

    if (code == KY_OK)
        code = judge_signable(q);
    return code == KY_OK ? judge_room(q) : code;
}

static enum ky_code begin_decide(struct asked *q)
{
    const struct replay *known = judge_repeat(q);
    uint32_t ttl_s = q->m.ttl_s == 0 ? q->a->config->limits.pending_ttl_s : q->m.ttl_s;
    uint8_t random[8];
    char code[4];

    if (known != NULL)
        return repeat_tx(q, known, REPLAY_BEGIN);
    enum ky_code no = judge_new(q);
    if (no == KY_OK)
        no = check_pushes(q);
    if (no == KY_OK && !ky_ok(ky_random(random, sizeof(random))))
        no = KY_UNAVAILABLE;
    if (no != KY_OK)
        return no;
    policy_matching_code(random, code);
    struct tx *t = begin(q, ky_span_text(code), ttl_s > TX_TTL_MAX_S ? TX_TTL_MAX_S : ttl_s);
    ky_wipe(code, sizeof(code));
    if (t == NULL)
        return KY_UNAVAILABLE;
    transaction_reply(q->a, &q->to, t, q->m.request_id, true);
    return KY_OK;
}

void tx_begin_request(struct authority *a, const struct request *r, struct ky_span payload)
{
    struct asked q;
    enum ky_code code = judge_open(&q, a, r, &door_tx_begin_schema, payload);

    if (code == KY_OK)
        code = begin_decide(&q);
    if (code != KY_OK)
        judge_refuse(&q, code);
}

/* --- authorize ------------------------------------------------------------------------------------------------------ */

static enum ky_code authorize_new(struct asked *q)
{
    struct proof proof;
    enum ky_code code = judge_new(q);

    if (code != KY_OK)
        return code;
    if (q->m.proof != KY_PROOF_TOTP)
        return KY_INVALID; /* a device approves what is pending */
    code = judge_totp(q, &proof);
    if (code != KY_OK)
        return code;
    struct tx *t = begin(q, (struct ky_span){0}, q->a->config->limits.pending_ttl_s);
    if (t == NULL ||
        !transaction_authorize(q->a, t, q->m.proof, &proof, q->m.request_id, q->m.ttl_s))
        return KY_UNAVAILABLE;
    transaction_reply(q->a, &q->to, t, q->m.request_id, false);
    return KY_OK;
}

static enum ky_code prove_pending(struct asked *q, struct tx *t, struct proof *out)
{
    struct device_word w = {.authenticator_id = q->m.authenticator_id,
                            .matching_code = q->m.matching_code,
                            .signature = q->m.proof_signature,
                            .decision = KY_DECISION_APPROVE};

    if (q->m.proof == KY_PROOF_TOTP)
        return judge_totp(q, out);
    enum ky_code code = judge_device(q->a, t, &w, &q->why, out);
    if (code == KY_PROOF_WRONG_CODE)
        transaction_end(q->a, t, TX_REJECTED, code, out, false);
    return code;
}

/* A pending transaction is named; whatever the request says besides must be what that says. */
static bool says_other(const struct asked *q, const struct tx *t, const struct cache_entry *c)
{
    const struct door_tx *m = &q->m;

    return (m->credential_id.len > 0 &&
            !ky_span_eq(m->credential_id, c->credential.credential_id)) ||
           (m->hashes.len > 0 && !ky_span_eq(m->hashes, t->hashes)) ||
           (m->display_text.len > 0 && !ky_span_eq(m->display_text, t->display)) ||
           (m->scheme != 0 && m->scheme != t->scheme) || (m->hash != 0 && m->hash != t->hash) ||
           (m->mgf_hash != 0 && m->mgf_hash != t->mgf_hash) ||
           (m->salt_len != 0 && m->salt_len != t->salt_len);
}

static enum ky_code authorize_pending(struct asked *q)
{
    struct tx *t = state_tx_by_id(q->a->state, q->m.transaction_id);
    struct proof proof;

    if (t == NULL || t->client_row != q->client->row ||
        !ky_span_eq(name_span(&t->relying_party), q->m.relying_party))
        return KY_PROOF_OTHER_TX;
    if (t->state != TX_PENDING) /* an ended one may not have its hashes any more */
        return KY_TX_ENDED;
    struct cache_entry *c = cache_get(q->a, ROW_CREDENTIAL, t->credential_row);
    enum ky_code code = judge_allowed(q, c, (uint32_t)(t->hashes.len / ky_hash_len(t->hash)));
    if (code != KY_OK)
        return code;
    if (says_other(q, t, c))
        return KY_PROOF_OTHER_TX;
    if (authority_now_s(q->a) >= t->not_after_s ||
        t->credential_epoch != c->credential.epoch)
        return KY_TX_ENDED;
    if (!credential_usable(&c->credential, authority_now_s(q->a)))
        return KY_INACTIVE;
    if (crl_refuses(q->a))
        return KY_CRL_STALE;
    if (clock_refuses(q->a))
        return KY_CLOCK_UNSYNCED;
    code = judge_room(q);
    if (code == KY_OK)
        code = prove_pending(q, t, &proof);
    if (code != KY_OK)
        return code;
    if (!transaction_authorize(q->a, t, q->m.proof, &proof, q->m.request_id, q->m.ttl_s))
        return KY_UNAVAILABLE;
    transaction_reply(q->a, &q->to, t, q->m.request_id, false);
    return KY_OK;
}

void tx_authorize_request(struct authority *a, const struct request *r, struct ky_span payload)
{
    struct asked q;
    enum ky_code code = judge_open(&q, a, r, &door_tx_authorize_schema, payload);

    if (code == KY_OK) {
        const struct replay *known = judge_repeat(&q);
        if (known != NULL)
            code = repeat_tx(&q, known, REPLAY_AUTHORIZE);
        else
            code = q.m.transaction_id.len > 0 ? authorize_pending(&q) : authorize_new(&q);
    }
    if (code != KY_OK)
        judge_refuse(&q, code);
}
