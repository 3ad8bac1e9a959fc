/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The approvers' door: what a citizen's device is shown, and what it decides. The client here is the devices' back end, which may
 * neither begin nor sign; the proof is the device's signature. Inside a turn only.
 */
#include "transaction.h"

#include <string.h>

#include "kyso/wire.h"

struct visit { /* one request of this door while it is judged */
    struct authority *a;
    const struct request *r;
    struct reply_to to;
    struct client *client;
    struct cache_entry *device;
    struct ledger_denied why;
};

static void refuse(struct visit *v, enum ky_code code)
{
    if (judge_is_passing(code)) {
        authority_refuse(v->a, &v->to, code, 0);
        return;
    }
    v->why.reason = (uint16_t)code;
    authority_deny(v->a, v->r, &v->why);
}

/* Who asks, for which authenticator. An unknown one and another client's subject get one answer. */
static enum ky_code visit_find(struct visit *v, const uint8_t spki[KY_SPKI_HASH_LEN],
                               struct ky_span authenticator_id)
{
    enum ky_code code = judge_client(v->a, spki, &v->why, &v->client);

    if (code != KY_OK)
        return code;
    v->device = authenticator_by_id(v->a, authenticator_id);
    struct cache_entry *subject =
        v->device == NULL ? NULL
                          : cache_get(v->a, ROW_SUBJECT, v->device->authenticator.subject_row);
    struct policy_request p = {
        .rights = v->client->data.rights,
        .door = v->r->door,
        .request = v->r->type,
        .subject_allowed = subject != NULL &&
                           (v->client->data.subjects.len == 0 ||
                            list_has(v->client->data.subjects, subject->subject.subject_id, false)),
    };
    code = policy_request_allowed(&p).code;
    if (code == KY_NOT_FOUND && v->device == NULL && v->a->cache.corrupt)
        return KY_CORRUPT;
    if (code != KY_OK)
        return code;
    v->why.authenticator_row = v->device->row;
    v->why.subject_row = v->device->authenticator.subject_row;
    return KY_OK;
}

/* ... and it is a device that approves now. */
static enum ky_code visit_open(struct visit *v, const uint8_t spki[KY_SPKI_HASH_LEN],
                               struct ky_span authenticator_id)
{
    enum ky_code code = visit_find(v, spki, authenticator_id);

    if (code == KY_OK && !authenticator_usable(&v->device->authenticator, ROW_AUTH_DEVICE,
                                               v->why.subject_row, authority_now_s(v->a)))
        return KY_PROOF_UNCONFIRMED;
    return code;
}

/* --- showing -------------------------------------------------------------------------------------------------------- */

/* The right code and two others, the same each time this transaction is shown. */
static void put_choices(const struct authority *a, const struct tx *t, struct ky_buf *out)
{
    static const char domain[] = "kyso.choices";
    uint8_t input[sizeof(domain) + sizeof(t->key)];
    uint8_t random[32];
    char code[STATE_CODE_MAX + 1];
    char choices[3][4];

    memcpy(input, domain, sizeof(domain));
    memcpy(input + sizeof(domain), t->key, sizeof(t->key));
    ky_hmac_sha256(ky_secret_span(&a->state_key), KY_SPAN_OF(input), random);
    if (!ky_span_to_cstr(KY_SPAN(t->code, t->code_len), code, sizeof(code)) ||
        !ky_ok(policy_matching_choices(code, random, choices)))
        return;
    for (int i = 0; i < 3; i++)
        ky_put_bytes(out, ky_span_text(choices[i]));
    ky_wipe(code, sizeof(code));
}

struct shown { /* the parts of a door_r_approval that are made for it */
    struct door_r_approval m;
    char id[TX_ID_LEN + 1];
    struct ky_buf choices;
};

static bool show(struct visit *v, const struct tx *t, struct shown *s)
{
    struct authority *a = v->a;
    const struct client *client = authority_client(a, t->client_row);
    const struct cache_entry *c = cache_get(a, ROW_CREDENTIAL, t->credential_row);
    const struct cache_entry *subject = cache_get(a, ROW_SUBJECT, t->subject_row);

    if (client == NULL || c == NULL || subject == NULL)
        return false;
    tx_id_write(t->key, s->id);
    s->choices = KY_BUF_INIT(256);
    if (t->state == TX_PENDING)
        put_choices(a, t, &s->choices);
    s->m = (struct door_r_approval){
        .transaction_id = ky_span_text(s->id),
        .server_id = authority_server_id(a),
        .client = client->data.name,
        .relying_party = name_span(&t->relying_party),
        .subject_id = subject->subject.subject_id,
        .credential_id = c->credential.credential_id,
        .credential_epoch = t->credential_epoch,
        .scheme = t->scheme,
        .hash = t->hash,
        .mgf_hash = t->mgf_hash,
        .salt_len = t->salt_len,
        .hashes = t->hashes,
        .display_text = t->display,
        .not_after_s = t->not_after_s,
        .state = tx_is_open(t) && authority_now_s(a) >= t->due_s ? TX_EXPIRED : t->state,
        .choices = ky_buf_span(&s->choices),
    };
    memcpy(s->m.key_spki_sha256, t->spki_sha256, sizeof(s->m.key_spki_sha256));
    memcpy(s->m.nonce, t->nonce, sizeof(s->m.nonce));
    return true;
}

void approval_list_request(struct authority *a, const struct request *r, struct ky_span payload)
{
    struct visit v = {.a = a, .r = r, .to = request_reply_to(r)};
    struct door_approval_ref m;
    struct door_r_list list = {0};
    struct ky_buf item = KY_BUF_INIT(KY_RECORD_MAX);
    struct shown s = {0};
    enum ky_code code = KY_INVALID;

    if (ky_ok(ky_msg_decode(&door_approval_list_schema, payload, &m)))
        code = visit_open(&v, m.spki, m.authenticator_id);
    if (code != KY_OK) {
        refuse(&v, code);
        return;
    }
    const struct subject_fold *f = state_subject(a->state, v.why.subject_row);
    ky_buf_reset(&a->scratch);
    if (f != NULL && f->pending != NULL && authority_now_s(a) < f->pending->not_after_s &&
        show(&v, f->pending, &s) && ky_ok(ky_msg_encode(&door_r_approval_schema, &s.m, &item)))
        ky_put_bytes(&a->scratch, ky_buf_span(&item));
    list.items = ky_buf_span(&a->scratch);
    authority_reply(a, &v.to, &door_r_approval_list_schema, &list);
    ky_buf_free(&item);
    ky_buf_free(&s.choices);
}

/* The named transaction, if it is this device's person's. */
static struct tx *visit_tx(const struct visit *v, struct ky_span id)
{
    struct tx *t = state_tx_by_id(v->a->state, id);

    return t != NULL && t->subject_row == v->why.subject_row && t->subject_row != 0 ? t : NULL;
}

void approval_get_request(struct authority *a, const struct request *r, struct ky_span payload)
{
    struct visit v = {.a = a, .r = r, .to = request_reply_to(r)};
    struct door_approval_ref m;
    struct shown s = {0};
    enum ky_code code = KY_INVALID;

    if (ky_ok(ky_msg_decode(&door_approval_get_schema, payload, &m)))
        code = visit_open(&v, m.spki, m.authenticator_id);
    if (code == KY_OK) {
        struct tx *t = visit_tx(&v, m.transaction_id);
        code = t != NULL && show(&v, t, &s) ? KY_OK : KY_NOT_FOUND;
    }
    if (code == KY_OK)
        authority_reply(a, &v.to, &door_r_approval_schema, &s.m);
    else
        refuse(&v, code);
    ky_buf_free(&s.choices);
}

/* --- deciding ---------------------------------------------------------------------------------------------------------- */

static enum ky_code judge_decision(struct visit *v, const struct door_decide *m, struct tx *t,
                                   struct proof *out)
{
    struct device_word w = {.authenticator_id = m->authenticator_id,
                            .matching_code = m->matching_code,
                            .signature = m->signature,
                            .decision = m->decision};
    struct cache_entry *c = cache_get(v->a, ROW_CREDENTIAL, t->credential_row);

    if (t->state != TX_PENDING || authority_now_s(v->a) >= t->not_after_s)
        return KY_TX_ENDED;
    if (m->decision == KY_DECISION_REJECT && m->signature.len == 0) {
        out->authenticator_row = v->device->row; /* refusing needs no proof: it can only prevent */
        return KY_OK;
    }
    if (m->decision != KY_DECISION_APPROVE)
        w.matching_code = (struct ky_span){0};
    else if (c == NULL || c->credential.epoch != t->credential_epoch ||
             !credential_usable(&c->credential, authority_now_s(v->a)))
        return KY_INACTIVE;
    enum ky_code code = judge_device(v->a, t, &w, &v->why, out);
    if (code == KY_PROOF_WRONG_CODE)
        transaction_end(v->a, t, TX_REJECTED, code, out, false);
    return code;
}

static enum ky_code decide(struct visit *v, const struct door_decide *m)
{
    struct tx *t = visit_tx(v, m->transaction_id);
    struct proof proof = {0};

    if (t == NULL)
        return KY_NOT_FOUND;
    v->why.transaction_id = m->transaction_id;
    v->why.credential_row = t->credential_row;
    enum ky_code code = judge_decision(v, m, t, &proof);
    if (code != KY_OK)
        return code;
    if (m->decision == KY_DECISION_APPROVE) {
        if (!transaction_authorize(v->a, t, KY_PROOF_APPROVAL, &proof, (struct ky_span){0}, 0))
            return KY_SEALED;
    } else {
        transaction_end(v->a, t, TX_REJECTED, KY_CANCELLED, &proof,
                        m->decision == KY_DECISION_NOT_ME);
    }
    struct door_r_decision reply = {.transaction_id = m->transaction_id, .state = t->state};
    authority_reply(v->a, &v->to, &door_r_decision_schema, &reply);
    return KY_OK;
}

void approval_decide_request(struct authority *a, const struct request *r, struct ky_span payload)
{
    struct visit v = {.a = a, .r = r, .to = request_reply_to(r)};
    struct door_decide m;
    enum ky_code code = KY_INVALID;

    if (ky_ok(ky_msg_decode(&door_approval_decide_schema, payload, &m)) &&
        m.decision >= KY_DECISION_APPROVE && m.decision <= KY_DECISION_NOT_ME)
        code = visit_open(&v, m.spki, m.authenticator_id);
    if (code == KY_OK)
        code = decide(&v, &m);
    if (code != KY_OK)
        refuse(&v, code);
}

/* --- passkeys ----------------------------------------------------------------------------------------------------------- */

static void tell_passkey(struct visit *v, struct ky_span authenticator_id)
{
    const struct cache_entry *x = authenticator_by_id(v->a, authenticator_id);
    const struct cache_entry *subject = cache_get(v->a, ROW_SUBJECT, v->why.subject_row);

    if (x == NULL || subject == NULL) {
        authority_refuse(v->a, &v->to, KY_UNAVAILABLE, 0);
        return;
    }
    struct door_r_passkey m = {
        .authenticator_id = x->authenticator.authenticator_id,
        .subject_id = subject->subject.subject_id,
        .label = x->authenticator.label,
        .public_key = x->authenticator.device_key,
        .usable_from_s = x->authenticator.usable_from_s,
    };
    authority_reply(v->a, &v->to, &door_r_passkey_schema, &m);
}

void passkey_get_request(struct authority *a, const struct request *r, struct ky_span payload)
{
    struct visit v = {.a = a, .r = r, .to = request_reply_to(r)};
    struct door_approval_ref m;
    enum ky_code code = KY_INVALID;

    if (ky_ok(ky_msg_decode(&door_passkey_get_schema, payload, &m)))
        code = visit_open(&v, m.spki, m.authenticator_id);
    if (code == KY_OK && v.device->authenticator.device_key_type != POLICY_PASSKEY)
        code = KY_PROOF_UNCONFIRMED;
    if (code == KY_OK)
        tell_passkey(&v, m.authenticator_id);
    else
        refuse(&v, code);
}

/* The code of the link is the proof; a wrong one is counted against the link, and charged to nobody. */
void passkey_enroll_request(struct authority *a, const struct request *r, struct ky_span payload)
{
    struct visit v = {.a = a, .r = r, .to = request_reply_to(r)};
    struct door_passkey m;
    enum ky_code code = KY_INVALID;

    if (ky_ok(ky_msg_decode(&door_passkey_enroll_schema, payload, &m)))
        code = visit_find(&v, m.spki, m.authenticator_id);
    if (code == KY_OK)
        code = operate_passkey(a, v.client->row, m.authenticator_id, m.code, m.public_key);
    if (code == KY_OK)
        tell_passkey(&v, m.authenticator_id);
    else
        refuse(&v, code);
}
