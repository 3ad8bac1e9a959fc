/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on credentials: create (a vault makes the key), list, show, suspend, resume, revoke, destroy. Every change raises the
 * epoch, so what was queued or is at a vault under the old one is not released (P21). The authority's thread, inside a turn.
 */
#include <stdlib.h>
#include <string.h>

#include "kyso/wire.h"

#include "operate.h"

#define STATE(s)  ((uint8_t)KYSO__V1__CREDENTIAL_STATE__CREDENTIAL_STATE_##s)
#define EXPIRING_PAGE 24u /* a certificate has at most 8 KiB, an answer 256 */
#define NAMES_MAX (KY_LIST_MAX * (KY_NAME_MAX + 4u))

struct credential_wish { /* a job's context: what the row will say when the key exists */
    uint32_t subject_row;
    uint64_t operation;
    uint32_t max_hashes;
    uint8_t key_type;
    uint8_t storage;
    size_t names_len;
    uint8_t names[];
};

/* Wrapped where the token can wrap that type and nothing else was asked; KY_STORE_NONE when it cannot be done. */
static uint8_t storage_for(const struct job_r_info *token, uint8_t key_type, uint8_t asked)
{
    uint32_t bit = UINT32_C(1) << key_type;
    bool wrappable = (token->wrappable & bit) != 0;

    if ((token->key_types & bit) == 0 || (asked == KY_STORE_WRAPPED && !wrappable))
        return KY_STORE_NONE;
    if (asked != KY_STORE_NONE)
        return asked;
    return wrappable ? KY_STORE_WRAPPED : KY_STORE_RESIDENT;
}

static struct ky_status submit_generate(struct operation *o, const struct credential_wish *wish,
                                        struct ky_span names)
{
    struct credential_wish *context = malloc(sizeof(*context) + names.len);
    struct job job = {.for_what = JOB_FOR_CREDENTIAL,
                      .to = o->to,
                      .schema = &job_generate_schema,
                      .context = context};
    struct job_generate message = {.key_type = wish->key_type,
                                  .storage = wish->storage,
                                  .kek = authority_token_info(o->a)->kek};
    struct ky_status status = KY_STATUS(KY_BUSY);

    if (context == NULL)
        return status;
    *context = *wish;
    context->names_len = names.len;
    memcpy(context->names, names.data, names.len);
    status = ky_random(message.key_id, sizeof(message.key_id));
    if (ky_ok(status))
        status = job_submit(o->a, &job, &message);
    if (ky_ok(status))
        o->deferred = true;
    else
        free(context);
    return status;
}

static struct ky_status note_state(struct operation *o, uint32_t number, void *ctx)
{
    bool *can_sign = ctx;
    struct row_credential c;
    struct ky_status status = store_row_get(authority_store(o->a), ROW_CREDENTIAL, number, &c);

    if (ky_ok(status) && (c.state == STATE(ACTIVE) || c.state == STATE(SUSPENDED)))
        *can_sign = true;
    return status;
}

struct ky_status operate_can_sign(struct operation *o, uint32_t subject_row, bool *out_can_sign)
{
    *out_can_sign = false;
    return operate_each_of(o, STORE_CREDENTIALS_OF, subject_row, note_state, out_can_sign);
}

struct ky_status operate_put_credential(struct operation *o, struct row_credential *row,
                                        char out_id[AUTHORITY_ID_MAX], uint32_t *out_number)
{
    struct store *store = authority_store(o->a);
    uint8_t key[4];
    struct ky_status status =
        authority_id_make('c', store_row_count(store, ROW_CREDENTIAL) + 1, out_id);

    if (!ky_ok(status))
        return status;
    row->credential_id = ky_span_text(out_id);
    row->state = STATE(CREATED);
    row->epoch = 1;
    status = authority_row_put(o->a, ROW_CREDENTIAL, 0, row, o->index, out_number);
    if (!ky_ok(status))
        return status;
    operate_subject_key(row->subject_row, key);
    return store_lookup_add(store, STORE_CREDENTIALS_OF, KY_SPAN_OF(key), *out_number);
}

static struct ky_status put_new_credential(struct operation *o, const struct credential_wish *wish,
                                           struct ky_span names, struct ky_span blob,
                                           struct ky_span public_key)
{
    struct row_subject subject;
    char id[AUTHORITY_ID_MAX];
    uint32_t number = 0;
    struct row_credential row = {
        .subject_row = wish->subject_row,
        .storage = wish->storage,
        .key_type = wish->key_type,
        .max_hashes = wish->max_hashes,
        .relying_parties = names,
        .blob = blob,
        .public_key = public_key,
    };
    struct ky_status status =
        store_row_get(authority_store(o->a), ROW_SUBJECT, wish->subject_row, &subject);

    if (ky_ok(status))
        status = operate_put_credential(o, &row, id, &number);
    if (!ky_ok(status))
        return status;
    operate_give_credential(o, &row, subject.subject_id);
    o->result.message = operate_message(o, "credential %s created", id);
    return status;
}

/* One that was made in advance, or else a new one. */
static struct ky_status put_pool_key(struct operation *o, const struct credential_wish *wish,
                                     struct ky_span names)
{
    struct pool_key key;
    struct ky_status status = authority_take_key(o->a, wish->key_type, wish->operation, &key);

    if (status.code == KY_NOT_FOUND)
        return submit_generate(o, wish, names);
    return ky_ok(status) ? put_new_credential(o, wish, names, KY_SPAN(key.blob, key.blob_len),
                                              KY_SPAN(key.public_key, key.public_key_len))
                         : status;
}

struct ky_status operate_create_credential(struct operation *o)
{
    const Kyso__V1__CreateCredential *m = o->op->create_credential;
    struct credential_wish wish = {
        .operation = o->index, .key_type = (uint8_t)m->key_type, .max_hashes = m->max_hashes};
    struct ky_buf names = KY_BUF_INIT(NAMES_MAX);
    struct row_subject subject;
    struct ky_status status = operate_subject(o, m->subject_id, &wish.subject_row, &subject);

    if (!ky_ok(status))
        goto done;
    if (wish.key_type == KY_KEY_NONE || wish.key_type >= KY_KEY_TYPE_COUNT ||
        m->max_hashes > KY_HASHES_MAX) {
        status = operate_no(o, KY_INVALID, "key_type or max_hashes is out of bounds");
        goto done;
    }
    if (m->n_relying_parties == 0 ||
        !ky_ok(operate_put_names(m->n_relying_parties, m->relying_parties, true, &names))) {
        status = operate_no(o, KY_INVALID, "relying_parties: 1 to 100 names, or \"*\"");
        goto done;
    }
    wish.storage = storage_for(authority_token_info(o->a), wish.key_type, (uint8_t)m->storage);
    if (wish.storage == KY_STORE_NONE)
        status = operate_no(o, KY_UNIMPLEMENTED, "the token cannot make or keep that key so");
    else if (wish.storage == KY_STORE_WRAPPED)
        status = put_pool_key(o, &wish, ky_buf_span(&names));
    else
        status = submit_generate(o, &wish, ky_buf_span(&names));
done:
    ky_buf_free(&names);
    return status;
}

struct ky_status operate_credential_made(struct operation *o, const struct job *job,
                                         const struct job_result *r)
{
    const struct credential_wish *wish = job->context;
    struct job_r_generate made;

    o->index = wish->operation;
    o->denied.subject_row = wish->subject_row;
    if (!ky_ok(r->status))
        return operate_no(o, r->status.code, "no vault made the key");
    if (r->type != JOB_R_GENERATE ||
        !ky_ok(ky_msg_decode(&job_r_generate_schema, r->payload, &made)) || made.blob.len == 0 ||
        made.public_key.len == 0)
        return operate_no(o, KY_INTERNAL, "the vault's answer is malformed");
    return put_new_credential(o, wish, KY_SPAN(wish->names, wish->names_len), made.blob,
                              made.public_key);
}

/* --- list and show ----------------------------------------------------------------------------------------- */

static struct ky_status give_one(struct operation *o, uint32_t row, void *ctx)
{
    const struct row_subject *subject = ctx;
    struct row_credential c;
    struct ky_status status = store_row_get(authority_store(o->a), ROW_CREDENTIAL, row, &c);

    c.chain = KY_SPAN(NULL, 0); /* show-credential has it: a long list must fit one answer */
    if (ky_ok(status))
        operate_give_credential(o, &c, subject->subject_id);
    return status;
}

/* Anybody's. A row may have changed since it was noted; what is shown is what it says. */
static struct ky_status list_expiring(struct operation *o)
{
    const Kyso__V1__ListAllCredentials *m = o->op->list_credentials;
    uint64_t within_s = UINT64_C(86400) * m->expiring_days;
    struct ky_status status = KY_STATUS(KY_OK);
    struct row_credential c;
    struct row_subject subject;
    uint32_t row = m->from > 0 ? m->from - 1 : 0;

    while (ky_ok(status) && o->result.n_credentials < EXPIRING_PAGE &&
           (row = authority_expiring(o->a, row, within_s)) != 0) {
        status = store_row_get(authority_store(o->a), ROW_CREDENTIAL, row, &c);
        if (ky_ok(status))
            status = store_row_get(authority_store(o->a), ROW_SUBJECT, c.subject_row, &subject);
        c.chain = KY_SPAN(NULL, 0);
        if (ky_ok(status))
            operate_give_credential(o, &c, subject.subject_id);
    }
    o->result.next_from = row > 0 ? row + 1 : 0;
    o->result.message = operate_message(o, "%zu credential(s)", o->result.n_credentials);
    return status;
}

struct ky_status operate_list_credentials(struct operation *o)
{
    const Kyso__V1__ListAllCredentials *m = o->op->list_credentials;
    struct row_subject subject;
    uint32_t number = 0;

    if (m->expiring_days != 0)
        return m->subject_id[0] == '\0' ? list_expiring(o)
                                        : operate_no(o, KY_INVALID, "a subject or expiring_days");
    struct ky_status status = operate_subject(o, m->subject_id, &number, &subject);

    if (ky_ok(status))
        status = operate_each_of(o, STORE_CREDENTIALS_OF, number, give_one, &subject);
    if (ky_ok(status))
        o->result.message = operate_message(o, "%zu credential(s)", o->result.n_credentials);
    return status;
}

struct ky_status operate_show_credential(struct operation *o)
{
    struct row_credential row;
    struct row_subject subject;
    uint32_t number = 0;
    struct ky_status status =
        operate_credential(o, o->op->show_credential->credential_id, &number, &row);

    if (ky_ok(status))
        status = store_row_get(authority_store(o->a), ROW_SUBJECT, row.subject_row, &subject);
    if (ky_ok(status))
        operate_give_credential(o, &row, subject.subject_id);
    return status;
}

/* --- suspend, resume, revoke, destroy -------------------------------------------------------------------------------- */

struct destroy_wish {
    uint32_t credential_row;
};

/* NULL, or why the change is not allowed. */
static const char *check_change(const struct row_credential *c, uint8_t to, uint64_t now_s)
{
    if (to == STATE(SUSPENDED))
        return c->state == STATE(ACTIVE) ? NULL : "only an active credential can be suspended";
    if (to == STATE(ACTIVE)) {
        if (c->state != STATE(SUSPENDED))
            return "only a suspended credential can be resumed";
        return c->not_after_s > now_s ? NULL : "its certificate has expired";
    }
    if (to == STATE(REVOKED))
        return c->state == STATE(ACTIVE) || c->state == STATE(SUSPENDED)
                   ? NULL
                   : "only an active or suspended credential can be revoked";
    if (to != STATE(DESTROYED))
        return "the state is one of suspended, active, revoked, destroyed";
    /* A resident key's object may have outlived the first try: its name is kept for another. */
    return c->state != STATE(DESTROYED) || c->storage == KY_STORE_RESIDENT
               ? NULL
               : "it is destroyed already";
}

/* The row says destroyed before the object goes: nothing is signed in between, and a failure can be tried again. */
static struct ky_status submit_destroy(struct operation *o, uint32_t number, struct ky_span key_id)
{
    struct destroy_wish *context = malloc(sizeof(*context));
    struct job job = {.for_what = JOB_FOR_DESTROY,
                      .to = o->to,
                      .schema = &job_destroy_schema,
                      .context = context};
    struct job_key_ref message = {.key_row = number, .key_id = key_id};

    if (context == NULL)
        return KY_STATUS(KY_BUSY);
    context->credential_row = number;
    struct ky_status status = job_submit(o->a, &job, &message);
    if (ky_ok(status))
        o->deferred = true;
    else
        free(context);
    return status;
}

/* So that backups can be told what they must forget. */
static struct ky_status record_destroyed(struct operation *o, uint32_t number,
                                         const struct row_credential *c)
{
    struct ledger_destroyed record = {
        .credential_row = number, .storage = c->storage, .operation = o->index};

    ky_sha256(c->blob, record.blob_sha256);
    return authority_append(o->a, &ledger_destroyed_schema, &record, KY_SPAN(NULL, 0), NULL);
}

static const char *state_word(uint8_t state)
{
    return state == STATE(ACTIVE)      ? "active"
           : state == STATE(SUSPENDED) ? "suspended"
           : state == STATE(REVOKED)   ? "revoked"
                                       : "destroyed";
}

struct ky_status operate_set_credential_state(struct operation *o)
{
    const Kyso__V1__SetCredentialState *m = o->op->set_credential_state;
    uint8_t to = (uint8_t)m->state;
    uint8_t key_id[KY_NAME_MAX];
    struct row_credential row;
    struct row_subject subject;
    uint32_t number = 0;
    struct ky_status status = operate_credential(o, m->credential_id, &number, &row);

    if (!ky_ok(status))
        return status;
    const char *why = check_change(&row, to, authority_now_s(o->a));
    if (why != NULL)
        return operate_no(o, KY_INACTIVE, why);
    status = store_row_get(authority_store(o->a), ROW_SUBJECT, row.subject_row, &subject);
    if (!ky_ok(status))
        return status;
    bool has_object = to == STATE(DESTROYED) && row.storage == KY_STORE_RESIDENT;
    if (has_object && row.blob.len > sizeof(key_id))
        return KY_STATUS(KY_CORRUPT);
    size_t key_id_len = has_object ? row.blob.len : 0;
    if (key_id_len > 0)
        memcpy(key_id, row.blob.data, key_id_len);
    if (to == STATE(DESTROYED) && row.state != STATE(DESTROYED))
        status = record_destroyed(o, number, &row);
    if (!ky_ok(status))
        return status;
    row.state = to;
    row.epoch++;
    if (to == STATE(DESTROYED) && !has_object)
        row.blob = KY_SPAN(NULL, 0);
    operate_give_credential(o, &row, subject.subject_id);
    o->result.message = operate_message(o, "credential %s is %s, epoch %u", m->credential_id,
                                        state_word(to), row.epoch);
    status = authority_row_put(o->a, ROW_CREDENTIAL, number, &row, o->index, NULL);
    if (!ky_ok(status))
        return status;
    authority_forget_key(o->a, number);
    return has_object ? submit_destroy(o, number, KY_SPAN(key_id, key_id_len)) : status;
}

struct ky_status operate_key_destroyed(struct operation *o, const struct job *job,
                                       const struct job_result *r)
{
    const struct destroy_wish *wish = job->context;
    struct row_credential row;
    struct row_subject subject;

    o->denied.credential_row = wish->credential_row;
    if (!ky_ok(r->status))
        return operate_no(o, r->status.code,
                          "the credential is destroyed; its object in the token is not: repeat");
    struct ky_status status =
        store_row_get(authority_store(o->a), ROW_CREDENTIAL, wish->credential_row, &row);
    if (ky_ok(status))
        status = store_row_get(authority_store(o->a), ROW_SUBJECT, row.subject_row, &subject);
    if (!ky_ok(status))
        return status;
    operate_give_credential(o, &row, subject.subject_id);
    o->result.message = operate_message(o, "credential destroyed, its key removed from the token");
    return status;
}
