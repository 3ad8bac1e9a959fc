/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enroll-citizens: many people in one operation, in bites of a vault's time: keys of one type, then CSRs, then authenticators.
 * A row goes by what stands in the database when its turn comes, so a repeat completes what is missing and makes nothing twice.
 * Between bites a batch is the context of its job, which owns it. The authority's thread, inside a turn.
 * Keeps: I1 and I4 for each CSR; a row that fails does so alone; a seed leaves sealed.
 */
#include <stdlib.h>
#include <string.h>

#include "kyso/wire.h"

#include "envelope.h"
#include "operate.h"

#define CITIZENS_MAX 100u
#define RSA_MAX      25u
#define KEYS_AT_ONCE 50u /* about 15 ms of a vault; of RSA one */
#define SIGN_AT_ONCE 25u
#define MADE_MAX     ((CITIZENS_MAX * 2u) * 1024u)
#define NAMES_MAX    (KY_LIST_MAX * (KY_NAME_MAX + 4u))
#define STATE(s)     ((uint8_t)KYSO__V1__CREDENTIAL_STATE__CREDENTIAL_STATE_##s)

enum step { NEEDS_KEY, KEY_COMES, NEEDS_CSR, CSR_COMES, NEEDS_SEED, IS_DONE };

struct citizen {
    uint8_t step;
    uint8_t key_type;
    uint32_t subject_row, credential_row, epoch; /* 0 = none yet */
    uint64_t intent;
    const char *error; /* static text, or NULL */
    size_t csr_at, csr_len, seed_at, seed_len; /* in what was made */
    char credential_id[AUTHORITY_ID_MAX];
    char authenticator_id[AUTHORITY_ID_MAX];
};
struct batch {
    uint64_t operation;
    uint32_t signers;
    size_t operation_len, made_len;
    struct citizen citizens[CITIZENS_MAX];
    uint8_t bytes[]; /* the operation, then what was made: CSRs and envelopes */
};
struct run { /* one bite */
    struct operation *o;
    const Kyso__V1__EnrollCitizens *m;
    struct batch *b;
    struct ky_buf made;
    X509 *reader; /* of the rows that name none; owned, or NULL */
};

static bool is_rsa(uint8_t key_type)
{
    return key_type == KY_KEY_RSA2048 || key_type == KY_KEY_RSA3072 || key_type == KY_KEY_RSA4096;
}

/* --- a row's end ------------------------------------------------------------------------------------------- */

static bool spoils_all(const struct run *r, enum ky_code code)
{
    return code == KY_SEALED || code == KY_STORE || code == KY_IO || code == KY_NOMEM ||
           r->o->arena->exhausted;
}

/* What a row came to: a failure of its own is recorded and told in the result; any other ends the operation. */
static struct ky_status settle(struct run *r, struct citizen *c, struct ky_status status)
{
    struct ledger_denied denied = {.reason = (uint16_t)status.code,
                                   .request_type = DOOR_OPERATE,
                                   .subject_row = c->subject_row,
                                   .credential_row = c->credential_row};
    const char *why = r->o->why;

    r->o->why = NULL;
    if (ky_ok(status) || spoils_all(r, status.code))
        return status;
    c->step = IS_DONE;
    c->error = why != NULL ? why : ky_code_info(status.code)->public_text;
    return authority_append(r->o->a, &ledger_denied_schema, &denied, KY_SPAN(NULL, 0), NULL);
}

/* --- what stands ------------------------------------------------------------------------------------------- */

static struct ky_status note_credential(struct operation *o, uint32_t number, void *ctx)
{
    struct citizen *c = ctx;
    struct row_credential row;
    struct ky_status status = store_row_get(authority_store(o->a), ROW_CREDENTIAL, number, &row);

    if (!ky_ok(status) || row.key_type != c->key_type || row.storage != KY_STORE_WRAPPED ||
        row.state == STATE(DESTROYED) || row.state == STATE(REVOKED) || c->credential_row != 0)
        return status;
    c->credential_row = number;
    c->epoch = row.epoch;
    c->step = row.state == STATE(CREATED) ? NEEDS_CSR : NEEDS_SEED;
    (void)ky_span_to_cstr(row.credential_id, c->credential_id, sizeof(c->credential_id));
    return status;
}

static struct ky_status find(struct run *r, struct citizen *c, const Kyso__V1__EnrollCitizen *m)
{
    struct ky_span id = ky_span_text(m->subject_id);
    struct row_subject row;
    struct ky_status status =
        operate_unique(r->o, STORE_BY_SUBJECT_ID, id, &c->subject_row);

    c->step = NEEDS_KEY;
    c->credential_row = 0;
    if (!ky_ok(status) || c->subject_row == 0)
        return status;
    status = store_row_get(authority_store(r->o->a), ROW_SUBJECT, c->subject_row, &row);
    if (!ky_ok(status))
        return status;
    if (!ky_span_eq(row.subject_id, id) || !ky_span_eq(row.name, ky_span_text(m->name)))
        return operate_no(r->o, KY_CONFLICT, "the person exists under another name");
    return operate_each_of(r->o, STORE_CREDENTIALS_OF, c->subject_row, note_credential, c);
}

static const char *row_problem(struct run *r, const struct citizen *c,
                               const Kyso__V1__EnrollCitizen *m)
{
    const char *why = operate_subject_problem(ky_span_text(m->subject_id), ky_span_text(m->name));
    const struct job_r_info *token = authority_token_info(r->o->a);
    X509_NAME *name = NULL;

    if (why != NULL)
        return why;
    if (c->key_type >= KY_KEY_TYPE_COUNT)
        return "key_type is out of bounds";
    if ((token->wrappable & UINT32_C(1) << c->key_type) == 0)
        return "the token cannot make and wrap a key of that type";
    if (!ky_ok(dn_parse(ky_span_text(m->subject_dn), &name)))
        return "subject_dn: CN=...,O=...,C=VN";
    X509_NAME_free(name);
    return NULL;
}

/* --- keys --------------------------------------------------------------------------------------------------- */

static struct ky_status put_row(struct run *r, struct citizen *c, const Kyso__V1__EnrollCitizen *m,
                                struct ky_span blob, struct ky_span public_key)
{
    struct ky_buf names = KY_BUF_INIT(NAMES_MAX);
    struct row_subject subject = {.subject_id = ky_span_text(m->subject_id),
                                  .name = ky_span_text(m->name)};
    struct row_credential row = {.storage = KY_STORE_WRAPPED,
                                 .key_type = c->key_type,
                                 .max_hashes = r->m->max_hashes,
                                 .blob = blob,
                                 .public_key = public_key};
    struct ky_status status = find(r, c, m);

    if (!ky_ok(status) || c->step != NEEDS_KEY) /* somebody was faster: this key is nobody's */
        return status;
    if (c->subject_row == 0)
        status = operate_put_subject(r->o, &subject, &c->subject_row);
    if (ky_ok(status))
        status = operate_put_names(r->m->n_relying_parties, r->m->relying_parties, true, &names);
    row.subject_row = c->subject_row;
    row.relying_parties = ky_buf_span(&names);
    if (ky_ok(status))
        status = operate_put_credential(r->o, &row, c->credential_id, &c->credential_row);
    c->step = NEEDS_CSR;
    ky_buf_free(&names);
    return status;
}

static struct ky_status take_keys(struct run *r, const struct job_r_list *made)
{
    struct ky_reader in = ky_reader(made->items);
    struct ky_status status = KY_STATUS(KY_OK);

    for (size_t i = 0; i < r->m->n_citizens && ky_ok(status); i++) {
        struct citizen *c = &r->b->citizens[i];

        if (c->step != KEY_COMES)
            continue;
        struct ky_span blob = ky_get_bytes(&in, KY_BLOB_MAX);
        struct ky_span public_key = ky_get_bytes(&in, KY_SPKI_MAX);

        if (blob.len == 0 || public_key.len == 0)
            return operate_no(r->o, KY_INTERNAL, "the vault's answer is malformed");
        status = settle(r, c, put_row(r, c, r->m->citizens[i], blob, public_key));
    }
    return status;
}

/* --- from bite to bite ---------------------------------------------------------------------------------------- */

static struct ky_status submit(struct run *r, const struct job *what, const void *message)
{
    const struct batch *b = r->b;
    struct batch *next = malloc(sizeof(*next) + b->operation_len + r->made.len);
    struct job job = *what;
    struct ky_status status = KY_STATUS(KY_BUSY);

    if (next == NULL)
        return status;
    memcpy(next, b, sizeof(*b) + b->operation_len);
    if (r->made.len > 0)
        memcpy(next->bytes + b->operation_len, r->made.data, r->made.len);
    next->made_len = r->made.len;
    job.for_what = JOB_FOR_CITIZENS;
    job.to = r->o->to;
    job.context = next;
    status = job_submit(r->o->a, &job, message);
    if (ky_ok(status))
        r->o->deferred = true;
    else
        free(next);
    return status;
}

/* The next keys that are missing, of one type. */
static struct ky_status ask_keys(struct run *r)
{
    struct job job = {.schema = &job_generate_many_schema};
    struct job_generate_many message = {.count = 0};

    for (size_t i = 0; i < r->m->n_citizens; i++) {
        struct citizen *c = &r->b->citizens[i];

        if (c->step != NEEDS_KEY || (message.count > 0 && c->key_type != message.key_type) ||
            message.count == (is_rsa(message.key_type) ? 1 : KEYS_AT_ONCE))
            continue;
        job.key_type = message.key_type = c->key_type;
        message.count++;
        c->step = KEY_COMES;
    }
    return message.count > 0 ? submit(r, &job, &message) : KY_STATUS(KY_OK);
}

/* --- CSRs ----------------------------------------------------------------------------------------------------- */

/* Appends what a vault is to sign, its intent recorded. */
static struct ky_status put_csr(struct run *r, struct citizen *c, const Kyso__V1__EnrollCitizen *m,
                                struct ky_buf *items)
{
    struct csr_job csr = {.request.subject_dn = ky_span_text(m->subject_dn),
                          .input = KY_BUF_INIT(CSR_DER_MAX)};
    struct ky_buf item = KY_BUF_INIT(KY_RECORD_MAX);
    struct row_credential row;
    struct ky_status status =
        store_row_get(authority_store(r->o->a), ROW_CREDENTIAL, c->credential_row, &row);

    if (ky_ok(status) && row.state != STATE(CREATED))
        status = operate_no(r->o, KY_INACTIVE, "the credential changed meanwhile");
    if (ky_ok(status))
        status = operate_csr_intent(r->o, c->credential_row, &row, &csr, &c->intent);
    if (ky_ok(status)) {
        const struct job_sign message = operate_csr_message(&row, &csr);

        c->step = CSR_COMES;
        c->epoch = row.epoch;
        if (!ky_ok(ky_msg_encode(&job_sign_schema, &message, &item)))
            status = KY_STATUS(KY_NOMEM); /* never the row's own failure: a receipt is owed */
        ky_put_bytes(items, ky_buf_span(&item));
    }
    ky_buf_free(&item);
    ky_buf_free(&csr.input);
    return status;
}

static struct ky_status ask_csrs(struct run *r)
{
    struct job job = {.schema = &job_sign_each_schema, .lane = LANE_BULK};
    struct ky_buf items = KY_BUF_INIT(KY_RECORD_MAX);
    struct ky_status status = KY_STATUS(KY_OK);

    for (size_t i = 0; i < r->m->n_citizens && job.signatures < SIGN_AT_ONCE && ky_ok(status);
         i++) {
        struct citizen *c = &r->b->citizens[i];

        if (c->step != NEEDS_CSR)
            continue;
        status = settle(r, c, put_csr(r, c, r->m->citizens[i], &items));
        if (c->step == CSR_COMES)
            job.signatures++;
    }
    const struct job_sign_each message = {.items = ky_buf_span(&items)};
    if (ky_ok(status) && job.signatures > 0)
        status = items.failed ? KY_STATUS(KY_BUSY) : submit(r, &job, &message);
    ky_buf_free(&items);
    return status;
}

/* --- authenticators -------------------------------------------------------------------------------------------- */

static struct ky_status put_seed(struct run *r, struct citizen *c, const Kyso__V1__EnrollCitizen *m)
{
    X509 *own = NULL;
    struct ky_status status = KY_STATUS(KY_OK);

    c->step = IS_DONE;
    if (m->seal_to.len > 0)
        status = envelope_reader(KY_SPAN(m->seal_to.data, m->seal_to.len),
                                 authority_now_s(r->o->a), &own, &r->o->why);
    if (!ky_ok(status) || (own == NULL && r->reader == NULL))
        return status;
    c->seed_at = r->made.len;
    status = operate_sealed_totp(r->o, m->subject_id, (uint8_t)r->m->hash,
                                 r->m->digits != 0 ? (uint8_t)r->m->digits : 6,
                                 own != NULL ? own : r->reader, c->authenticator_id, &r->made);
    c->seed_len = r->made.len - c->seed_at;
    X509_free(own);
    return status;
}

static struct ky_status take_csr(struct run *r, struct citizen *c, const Kyso__V1__EnrollCitizen *m,
                                 struct ky_span raw)
{
    struct ky_status status = KY_STATUS(KY_TOKEN_REQUEST);

    c->csr_at = r->made.len;
    if (raw.len > 0)
        status = operate_csr_finish(r->o, c->credential_row, c->epoch, ky_span_text(m->subject_dn),
                                    raw, &r->made);
    c->csr_len = r->made.len - c->csr_at;
    struct ky_status recorded = operate_csr_receipt(r->o, c->intent, status, raw);
    c->step = NEEDS_SEED;
    if (!ky_ok(recorded))
        return recorded;
    return ky_ok(status) ? put_seed(r, c, m) : status;
}

static struct ky_status take_csrs(struct run *r, const struct job_r_list *made)
{
    struct ky_reader in = ky_reader(made->items);
    struct ky_status status = KY_STATUS(KY_OK);

    for (size_t i = 0; i < r->m->n_citizens && ky_ok(status); i++) {
        struct citizen *c = &r->b->citizens[i];

        if (c->step == CSR_COMES)
            status = settle(r, c, take_csr(r, c, r->m->citizens[i], ky_get_bytes(&in, KY_SIG_MAX)));
    }
    return status;
}

/* --- the result --------------------------------------------------------------------------------------------- */

static Kyso__V1__EnrolledCitizen *result_of(struct run *r, const struct citizen *c)
{
    Kyso__V1__EnrolledCitizen *e = ky_arena_alloc(r->o->arena, sizeof(*e));

    if (e == NULL)
        return NULL;
    kyso__v1__enrolled_citizen__init(e);
    if (c->error != NULL) {
        e->error = operate_text(r->o, ky_span_text(c->error));
        return e;
    }
    e->credential_id = operate_text(r->o, ky_span_text(c->credential_id));
    e->authenticator_id = operate_text(r->o, ky_span_text(c->authenticator_id));
    e->csr = operate_bytes(r->o, KY_SPAN(r->made.data + c->csr_at, c->csr_len));
    e->sealed_seed = operate_bytes(r->o, KY_SPAN(r->made.data + c->seed_at, c->seed_len));
    return e;
}

static struct ky_status give(struct run *r)
{
    size_t n = r->m->n_citizens;
    Kyso__V1__EnrolledCitizen **list = ky_arena_alloc(r->o->arena, n * sizeof(*list));
    size_t failed = 0;

    for (size_t i = 0; i < n && list != NULL; i++) {
        list[i] = result_of(r, &r->b->citizens[i]);
        failed += r->b->citizens[i].error != NULL;
    }
    r->o->result.n_enrolled = n;
    r->o->result.enrolled = list;
    r->o->result.message =
        operate_message(r->o, "%zu citizen(s) enrolled, %zu failed", n - failed, failed);
    return KY_STATUS(KY_OK); /* an arena that ran out makes the answer KY_BUSY */
}

/* Asks a vault for what is missing next; with nothing missing, answers. */
static struct ky_status go_on(struct run *r)
{
    struct ky_status status = ask_keys(r);

    if (ky_ok(status) && !r->o->deferred)
        status = ask_csrs(r);
    if (!ky_ok(status) || r->o->deferred)
        return status;
    for (size_t i = 0; i < r->m->n_citizens && ky_ok(status); i++)
        if (r->b->citizens[i].step == NEEDS_SEED)
            status = settle(r, &r->b->citizens[i],
                            put_seed(r, &r->b->citizens[i], r->m->citizens[i]));
    return ky_ok(status) ? give(r) : status;
}

/* I4: what was promised and cannot be. */
static struct ky_status give_up(struct run *r, struct ky_status why)
{
    struct ky_status recorded = KY_STATUS(KY_OK);

    for (size_t i = 0; i < CITIZENS_MAX && ky_ok(recorded); i++)
        if (r->b->citizens[i].step == CSR_COMES)
            recorded = operate_csr_receipt(r->o, r->b->citizens[i].intent, why, KY_SPAN(NULL, 0));
    return ky_ok(recorded) ? why : recorded;
}

/* --- the operation -------------------------------------------------------------------------------------------- */

static const char *problem(const Kyso__V1__EnrollCitizens *m)
{
    struct ky_buf names = KY_BUF_INIT(NAMES_MAX);
    bool named = m->n_relying_parties > 0 &&
                 ky_ok(operate_put_names(m->n_relying_parties, m->relying_parties, true, &names));
    size_t rsa = 0;

    ky_buf_free(&names);
    for (size_t i = 0; i < m->n_citizens; i++)
        rsa += is_rsa((uint8_t)m->citizens[i]->key_type);
    if (m->n_citizens == 0 || m->n_citizens > CITIZENS_MAX || rsa > RSA_MAX)
        return "citizens: 1 to 100, of these at most 25 with RSA keys";
    if (!named || m->max_hashes > KY_HASHES_MAX)
        return "relying_parties: 1 to 100 names, or \"*\"; max_hashes within its bounds";
    return (m->digits != 0 && (m->digits < 6 || m->digits > 8)) || m->hash > 2
               ? "digits: 6, 7 or 8; hash: SHA-1, SHA-256 or SHA-512"
               : NULL;
}

static struct ky_status load_reader(struct run *r)
{
    if (r->m->seal_to.len == 0)
        return KY_STATUS(KY_OK);
    return envelope_reader(KY_SPAN(r->m->seal_to.data, r->m->seal_to.len),
                           authority_now_s(r->o->a), &r->reader, &r->o->why);
}

static struct ky_status look_at_rows(struct run *r)
{
    struct ky_status status = KY_STATUS(KY_OK);

    for (size_t i = 0; i < r->m->n_citizens && ky_ok(status); i++) {
        const Kyso__V1__EnrollCitizen *m = r->m->citizens[i];
        struct citizen *c = &r->b->citizens[i];

        c->key_type = m->key_type == 0 ? KY_KEY_P256 : (uint8_t)m->key_type;
        const char *why = row_problem(r, c, m);
        status = settle(r, c, why != NULL ? operate_no(r->o, KY_INVALID, why) : find(r, c, m));
    }
    return status;
}

struct ky_status operate_enroll_citizens(struct operation *o)
{
    struct run r = {
        .o = o, .m = o->op->enroll_citizens, .made = KY_BUF_INIT(MADE_MAX), .reader = NULL};
    const char *why = problem(r.m);

    if (why != NULL)
        return operate_no(o, KY_INVALID, why);
    struct ky_status status = load_reader(&r);
    if (!ky_ok(status))
        return status;
    r.b = calloc(1, sizeof(*r.b) + o->bytes.len);
    status = KY_STATUS(KY_BUSY);
    if (r.b == NULL)
        goto done;
    r.b->operation = o->index;
    r.b->signers = o->signers;
    r.b->operation_len = o->bytes.len;
    memcpy(r.b->bytes, o->bytes.data, o->bytes.len);
    status = look_at_rows(&r);
    if (ky_ok(status))
        status = go_on(&r);
    if (!ky_ok(status))
        status = give_up(&r, status);
done:
    free(r.b);
    ky_buf_free(&r.made);
    X509_free(r.reader);
    return status;
}

/* The operation once more, from its bytes, and what was made so far. */
static struct ky_status resume(struct run *r)
{
    struct operation *o = r->o;
    ProtobufCMessage *message = NULL;
    struct ky_span bytes = KY_SPAN(r->b->bytes, r->b->operation_len);

    o->index = r->b->operation;
    o->signers = r->b->signers;
    if (o->arena->exhausted ||
        !ky_ok(ky_pb_unpack(o->arena, &kyso__v1__operation__descriptor, bytes, &message)))
        return KY_STATUS(KY_BUSY);
    r->m = ((const Kyso__V1__Operation *)message)->enroll_citizens;
    ky_buf_put(&r->made, r->b->bytes + r->b->operation_len, r->b->made_len);
    return r->made.failed ? KY_STATUS(KY_BUSY) : load_reader(r);
}

static struct ky_status take(struct run *r, const struct job *job, const struct job_result *result)
{
    struct job_r_list made;

    if (!ky_ok(result->status))
        return operate_no(r->o, result->status.code, "no vault did it");
    if (result->type != JOB_R_LIST ||
        !ky_ok(ky_msg_decode(&job_r_list_schema, result->payload, &made)))
        return operate_no(r->o, KY_INTERNAL, "the vault's answer is malformed");
    return job->schema == &job_sign_each_schema ? take_csrs(r, &made) : take_keys(r, &made);
}

struct ky_status operate_citizens_done(struct operation *o, const struct job *job,
                                       const struct job_result *result)
{
    struct run r = {
        .o = o, .b = job->context, .made = KY_BUF_INIT(MADE_MAX), .reader = NULL};
    struct ky_status status = resume(&r);

    if (ky_ok(status))
        status = take(&r, job, result);
    if (ky_ok(status))
        status = go_on(&r);
    if (!ky_ok(status))
        status = give_up(&r, status);
    ky_buf_free(&r.made);
    X509_free(r.reader);
    return status;
}
