/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOOR_SIGN: a one-shot proof or a SAD becomes one committed intent (I1, I3), the intent a job, the job's result one receipt (I4), and
 * only the committed receipt a reply (I2). A repeat of a request id is answered from the ledger. Inside a turn only.
 */
#include "judge.h"
#include "split.h"
#include "transaction.h"

#include <string.h>

/* --- the intent ------------------------------------------------------------------------------------------------ */

static struct ledger_intent intent_of(const struct asked *q)
{
    const struct row_credential *c = &q->credential->credential;
    struct ledger_intent m = {
        .kind = 1,
        .proof = q->m.proof,
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
    };

    memcpy(m.key_spki_sha256, q->credential->spki_sha256, sizeof(m.key_spki_sha256));
    memcpy(m.content_sha256, q->content, sizeof(m.content_sha256));
    return m;
}

static struct job_sign job_of(const struct asked *q)
{
    const struct row_credential *c = &q->credential->credential;
    const char *verify = q->a->config->token.verify;

    return (struct job_sign){
        .purpose = KY_PURPOSE_CITIZEN,
        .storage = c->storage,
        .key_type = c->key_type,
        .scheme = q->algorithm.scheme,
        .hash = q->algorithm.hash,
        .mgf_hash = q->algorithm.mgf_hash,
        .salt_len = q->algorithm.salt_len,
        .verify = verify != NULL && strcmp(verify, "first-use") == 0 ? JOB_VERIFY_FIRST_USE
                                                                     : JOB_VERIFY_ALWAYS,
        .key_row = q->credential->row,
        .key_epoch = c->epoch,
        .blob = c->blob,
        .public_key = c->public_key,
        .digests = q->m.hashes,
    };
}

/* Writes the intent and queues its job. From here on the request ends by a receipt. */
static enum ky_code reserve(struct asked *q, const struct ledger_intent *m,
                            struct ky_span private_data)
{
    struct authority *a = q->a;
    struct job job = {.for_what = JOB_FOR_SIGN,
                      .to = q->to,
                      .schema = &job_sign_schema,
                      .lane = q->lane,
                      .key_type = q->credential->credential.key_type,
                      .signatures = (uint16_t)q->hash_count,
                      .client_row = q->client->row,
                      .key_row = q->credential->row,
                      .key_epoch = q->credential->credential.epoch};
    struct job_sign msg = job_of(q);

    if (!ky_ok(authority_append(a, &ledger_intent_schema, m, private_data, &job.intent)))
        return KY_SEALED;
    struct flight *f = state_flight(a->state, job.intent);
    f->replies[f->reply_count++] = q->to;
    a->sign_in_flight++;
    q->client->in_flight++;
    uint32_t parts = split_parts(a, &job);
    struct ky_status status =
        parts > 1 ? split_submit(a, &job, &msg, parts) : job_submit(a, &job, &msg);
    if (!ky_ok(status)) {
        struct job_result failed = {.status = status, .type = JOB_R_DONE};
        sign_job_done(a, &job, &failed); /* judge_room() asked: only memory can be missing */
    }
    return KY_OK;
}

/* Begin, authorize and spend in one record (I3). */
static enum ky_code sign_totp(struct asked *q)
{
    struct proof proof;
    struct ledger_intent m;
    struct ky_tx_fields f;
    uint8_t random[MAP_KEY_LEN + KY_TX_NONCE_LEN];
    struct ky_buf private_data = KY_BUF_INIT(KY_DISPLAY_TEXT_MAX + 64);
    enum ky_code code = judge_totp(q, &proof);

    if (code != KY_OK)
        return code;
    code = KY_UNAVAILABLE;
    m = intent_of(q);
    if (!ky_ok(random_draw(&q->a->random, random, sizeof(random))) ||
        !ky_ok(authority_salted(q->a, q->m.display_text, &private_data, m.display_sha256)))
        goto done;
    tx_id_write(random, q->tx_id);
    memcpy(m.nonce, random + MAP_KEY_LEN, sizeof(m.nonce));
    m.transaction_id = ky_span_text(q->tx_id);
    m.not_after_s = authority_now_s(q->a) + q->a->config->limits.pending_ttl_s;
    m.authenticator_row = proof.authenticator_row;
    m.step = proof.step;
    m.ends_transaction = 1;
    f = transaction_fields(q, m.transaction_id, m.nonce, m.not_after_s);
    ky_tx_digest(&f, m.tx_digest);
    code = reserve(q, &m, ky_buf_span(&private_data));
done:
    ky_buf_free(&private_data);
    return code;
}

static void from_tx(struct asked *q, struct ledger_intent *m, const struct tx *t)
{
    tx_id_write(t->key, q->tx_id);
    m->transaction_id = ky_span_text(q->tx_id);
    m->not_after_s = t->not_after_s;
    memcpy(m->tx_digest, t->tx_digest, sizeof(m->tx_digest));
    memcpy(m->nonce, t->nonce, sizeof(m->nonce));
}

/* Does the request say what the transaction says of key, algorithm and tenancy? The hashes are each proof's own matter. */
static enum ky_code same_transaction(const struct asked *q, const struct tx *t)
{
    if (t == NULL || t->client_row != q->client->row ||
        !ky_span_eq(name_span(&t->relying_party), q->m.relying_party) ||
        t->credential_row != q->credential->row)
        return KY_PROOF_OTHER_TX;
    if (t->credential_epoch != q->credential->credential.epoch)
        return KY_TX_ENDED; /* the credential has changed since */
    if (t->hash != q->algorithm.hash ||
        (t->scheme != KY_SCHEME_NONE && /* else left open: judge_signable() has checked that it fits */
         (t->scheme != q->algorithm.scheme || t->mgf_hash != q->algorithm.mgf_hash ||
          t->salt_len != q->algorithm.salt_len)))
        return KY_PROOF_OTHER_TX;
    return KY_OK;
}

static enum ky_code sign_sad(struct asked *q)
{
    uint8_t hash[32];
    uint8_t take[KY_HASHES_MAX / 8] = {0};
    uint32_t left = 0;

    if (q->m.proof_secret.len != KY_SAD_LEN)
        return KY_PROOF_MALFORMED;
    ky_sha256(q->m.proof_secret, hash);
    const struct tx *t = state_tx_by_sad(q->a->state, hash);
    enum ky_code code = same_transaction(q, t);
    if (code != KY_OK)
        return code;
    struct ledger_intent m = intent_of(q);
    from_tx(q, &m, t);
    q->why.transaction_id = m.transaction_id;
    if (t->state != TX_AUTHORIZED || authority_now_s(q->a) >= t->sad_not_after_s)
        return KY_TX_ENDED;
    if (authority_subject_account(q->a, t->subject_row).not_me)
        return KY_PROOF_LOCKED;
    if (!authenticator_stands(q->a, t->authenticator_row))
        return KY_PROOF_UNCONFIRMED;
    code = policy_sad_take(t->hashes, q->m.hashes, ky_hash_len(t->hash), t->used, take, &left).code;
    if (code != KY_OK)
        return code;
    m.ends_transaction = left == 0;
    return reserve(q, &m, (struct ky_span){0});
}

static enum ky_code sign_approval(struct asked *q)
{
    struct tx *t = state_tx_by_id(q->a->state, q->m.transaction_id);
    struct device_word w = {.authenticator_id = q->m.authenticator_id,
                            .matching_code = q->m.matching_code,
                            .signature = q->m.proof_signature,
                            .decision = KY_DECISION_APPROVE};
    struct proof proof;
    enum ky_code code = same_transaction(q, t);

    if (code != KY_OK)
        return code;
    if (t->state != TX_PENDING) /* an ended one may not have its hashes any more */
        return KY_TX_ENDED;
    if (!ky_span_eq(t->hashes, q->m.hashes) || !ky_span_eq(t->display, q->m.display_text))
        return KY_PROOF_OTHER_TX;
    if (authority_now_s(q->a) >= t->not_after_s)
        return KY_TX_ENDED;
    code = judge_device(q->a, t, &w, &q->why, &proof);
    if (code == KY_PROOF_WRONG_CODE)
        transaction_end(q->a, t, TX_REJECTED, code, &proof, false);
    if (code != KY_OK)
        return code;
    struct ledger_intent m = intent_of(q);
    from_tx(q, &m, t);
    m.authenticator_row = proof.authenticator_row;
    m.step = proof.step;
    memcpy(m.evidence_sha256, proof.evidence_sha256, sizeof(m.evidence_sha256));
    m.ends_transaction = 1;
    return reserve(q, &m, (struct ky_span){0});
}

static enum ky_code sign_decide(struct asked *q)
{
    static enum ky_code (*const by_proof[])(struct asked *) = {[KY_PROOF_TOTP] = sign_totp,
                                                               [KY_PROOF_APPROVAL] = sign_approval,
                                                               [KY_PROOF_SAD] = sign_sad};
    const struct replay *known = judge_repeat(q);

    if (known != NULL)
        return sign_repeat(q, known);
    enum ky_code code =
        judge_allowed(q, credential_by_id(q->a, q->m.credential_id), judge_hash_count(&q->m));
    if (code == KY_OK)
        code = judge_signable(q);
    if (code == KY_OK)
        code = judge_room(q);
    if (code != KY_OK)
        return code;
    return by_proof[q->m.proof](q); /* policy_request_allowed() has checked the kind */
}

void sign_request(struct authority *a, const struct request *r, struct ky_span payload)
{
    struct asked q;
    enum ky_code code = judge_open(&q, a, r, &door_sign_schema, payload);

    if (code == KY_OK)
        code = sign_decide(&q);
    if (code != KY_OK)
        judge_refuse(&q, code);
}

/* --- the receipt ----------------------------------------------------------------------------------------------- */

static bool is_whole(const struct row_credential *c, const struct flight *f,
                     const struct job_r_sign *s)
{
    const struct ky_key_info *key = ky_key_info(c->key_type);

    return key != NULL && s->count == f->count && s->sig_len == key->sig_len &&
           s->signatures.len == (size_t)s->count * s->sig_len;
}

/*
 * What the result is worth now. P21: a credential that has changed or expired since the intent releases nothing, nor does the
 * word of an authenticator that was removed.
 */
static struct ky_status weigh(struct authority *a, const struct flight *f,
                              const struct job_result *r, struct job_r_sign *out)
{
    struct cache_entry *c = cache_get(a, ROW_CREDENTIAL, f->credential_row);
    const struct client *client = authority_client(a, f->client_row);

    if (!ky_ok(r->status))
        return r->status;
    if (r->type != JOB_R_SIGN || !ky_ok(ky_msg_decode(&job_r_sign_schema, r->payload, out)))
        return KY_STATUS(KY_INTERNAL);
    if (c == NULL || !credential_usable(&c->credential, authority_now_s(a)) ||
        c->credential.epoch != f->credential_epoch)
        return KY_STATUS(KY_INACTIVE);
    if (!is_whole(&c->credential, f, out))
        return KY_STATUS(KY_INTERNAL);
    if (!authenticator_stands(a, f->authenticator_row))
        return KY_STATUS(KY_PROOF_UNCONFIRMED);
    if (authority_subject_account(a, f->subject_row).not_me)
        return KY_STATUS(KY_PROOF_LOCKED);
    if (client == NULL || client->data.removed || client->data.suspended)
        return KY_STATUS(KY_CLIENT_SUSPENDED);
    return r->status;
}

/* What a caller is told when there is no signature. */
static enum ky_code told(struct ky_status status)
{
    switch (status.code) {
    case KY_DEADLINE:
    case KY_CANCELLED:
    case KY_INACTIVE:
    case KY_UNAVAILABLE:
    case KY_PROOF_LOCKED:
    case KY_PROOF_UNCONFIRMED:
    case KY_CLIENT_SUSPENDED:
        return status.code;
    case KY_TOKEN_LOGIN:
    case KY_TOKEN_MODULE:
    case KY_TOKEN_SESSION:
    case KY_BUSY:
        return KY_UNAVAILABLE;
    default:
        return KY_INTERNAL;
    }
}

static void tell(struct authority *a, const struct flight *f, struct ky_status status,
                 const struct job_r_sign *s)
{
    char id[TX_ID_LEN + 1];
    struct door_r_sign m = {.request_id = name_span(&f->request_id), .scheme = f->scheme};

    tx_id_write(f->tx_key, id);
    m.transaction_id = ky_span_text(id);
    if (ky_ok(status)) {
        m.count = s->count;
        m.sig_len = s->sig_len;
        m.signatures = s->signatures;
    }
    for (uint32_t i = 0; i < f->reply_count; i++) {
        if (ky_ok(status))
            authority_reply(a, &f->replies[i], &door_r_sign_schema, &m);
        else
            authority_refuse(a, &f->replies[i], told(status), 0);
    }
}

void sign_job_done(struct authority *a, const struct job *job, const struct job_result *r)
{
    struct flight *at = state_flight(a->state, job->intent);
    struct job_r_sign s = {0};

    if (at == NULL) /* sealed meanwhile */
        return;
    struct flight f = *at; /* the receipt takes it out of the fold */
    struct client *client = authority_client(a, f.client_row);
    struct ky_status status = weigh(a, &f, r, &s);
    struct ledger_receipt m = {.intent = job->intent, .outcome = LEDGER_SIGNED};
    if (ky_ok(status)) {
        m.sig_len = s.sig_len;
        m.signatures = s.signatures;
    } else {
        bool abandoned = status.code == KY_DEADLINE || status.code == KY_CANCELLED;
        m.outcome = abandoned ? LEDGER_ABANDONED : LEDGER_FAILED;
        m.code = (uint16_t)status.code;
        m.cause = status.cause;
        if (status.code == KY_TOKEN_WRONG_SIGNATURE)
            log_event(LOG_ERROR, "job-failed", LOG_CODE(status),
                      LOG_U64("credential", f.credential_row));
    }
    a->sign_in_flight--;
    if (client != NULL && client->in_flight > 0)
        client->in_flight--;
    if (ky_ok(authority_append(a, &ledger_receipt_schema, &m, (struct ky_span){0}, NULL)))
        tell(a, &f, status, &s);
}

/* --- the caller went away ----------------------------------------------------------------------------------------- */

static bool same_caller(const struct reply_to *x, const struct reply_to *y)
{
    return x->door == y->door && x->front_index == y->front_index &&
           x->front_generation == y->front_generation && x->tag == y->tag;
}

void cancel_request(struct authority *a, const struct request *r, struct ky_span payload)
{
    struct reply_to who = request_reply_to(r);
    const struct job *job = dispatch_queued(a, &who);
    struct flight *f =
        job == NULL || job->for_what != JOB_FOR_SIGN ? NULL : state_flight(a->state, job->intent);

    (void)payload;
    transaction_forget_waiter(a, &who);
    if (f == NULL)
        return; /* at a vault, or answered: its receipt is written whoever reads it */
    for (uint32_t i = 0; i < f->reply_count && f->reply_count > 1; i++)
        if (same_caller(&f->replies[i], &who)) {
            f->replies[i] = f->replies[--f->reply_count];
            return; /* a repeat of the same request still waits for it */
        }
    dispatch_cancel(a, &who);
}
