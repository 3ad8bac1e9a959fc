/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enroll-citizens: many people in one operation, in bites of a vault's time: keys of one type, then CSRs, then authenticators.
 * Between bites a batch is the context of its job, which owns it. The authority's thread, inside a turn.
 * Keeps: I4 for each CSR; a row that fails does so alone, a key that no vault survives among them.
 */
#include "operate_citizens.h"

#include <stdlib.h>
#include <string.h>

#include "kyso/wire.h"

#define CITIZENS_MAX 100u
#define RSA_MAX      25u
#define KEYS_AT_ONCE 50u /* about 15 ms of a vault; of RSA one */
#define SIGN_AT_ONCE 25u
#define MESSAGE_MOST 256u
#define NAMES_MAX    (KY_LIST_MAX * (KY_NAME_MAX + 4u))

struct batch {
    uint64_t operation;
    uint32_t signers;
    bool one_by_one; /* a vault ended with many CSRs: the rest is asked for singly */
    size_t operation_len, made_len;
    struct citizen citizens[CITIZENS_MAX];
    uint8_t bytes[]; /* the operation, then what was made: CSRs and envelopes */
};

static bool is_rsa(uint8_t key_type)
{
    return key_type == KY_KEY_RSA2048 || key_type == KY_KEY_RSA3072 || key_type == KY_KEY_RSA4096;
}

/* --- from bite to bite ---------------------------------------------------------------------------------------- */

static struct ky_status submit(struct run *r, const struct job *what, const void *message)
{
    const struct batch *b = r->b;
    const struct ky_buf *made = &r->o->made;
    struct batch *next = malloc(sizeof(*next) + b->operation_len + made->len);
    struct job job = *what;
    struct ky_status status = KY_STATUS(KY_BUSY);

    if (next == NULL)
        return status;
    memcpy(next, b, sizeof(*b) + b->operation_len);
    if (made->len > 0)
        memcpy(next->bytes + b->operation_len, made->data, made->len);
    next->made_len = made->len;
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
    struct job_generate_many message = {.kek = authority_token_info(r->o->a)->kek};

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
        status = citizen_settle(r, c, citizen_put_key(r, c, r->m->citizens[i], blob, public_key));
    }
    return status;
}

/* A single one bears its key's name, so that who is to blame can be told. */
static struct ky_status ask_csrs(struct run *r)
{
    const unsigned most = r->b->one_by_one ? 1 : SIGN_AT_ONCE;
    struct job job = {.schema = &job_sign_each_schema, .lane = LANE_BULK};
    struct ky_buf items = KY_BUF_INIT(KY_RECORD_MAX);
    struct ky_status status = KY_STATUS(KY_OK);

    for (size_t i = 0; i < r->m->n_citizens && job.signatures < most && ky_ok(status); i++) {
        struct citizen *c = &r->b->citizens[i];

        if (c->step != NEEDS_CSR)
            continue;
        status = citizen_settle(r, c, citizen_put_csr(r, c, r->m->citizens[i], &items));
        if (c->step != CSR_COMES)
            continue;
        job.signatures++;
        job.key_row = r->b->one_by_one ? c->credential_row : 0;
        job.key_epoch = r->b->one_by_one ? c->epoch : 0;
    }
    const struct job_sign_each message = {.items = ky_buf_span(&items)};
    if (ky_ok(status) && job.signatures > 0)
        status = items.failed ? KY_STATUS(KY_BUSY) : submit(r, &job, &message);
    ky_buf_free(&items);
    return status;
}

/* why: KY_OK, or why no vault signed; then nothing was made. */
static struct ky_status take_csrs(struct run *r, struct ky_status why,
                                  const struct job_r_list *made)
{
    struct ky_reader in = ky_reader(made->items);
    struct ky_status status = KY_STATUS(KY_OK);

    for (size_t i = 0; i < r->m->n_citizens && ky_ok(status); i++) {
        struct citizen *c = &r->b->citizens[i];

        if (c->step == CSR_COMES)
            status = citizen_settle(
                r, c,
                citizen_take_csr(r, c, r->m->citizens[i], why, ky_get_bytes(&in, KY_SIG_MAX)));
    }
    return status;
}

/* I4: what was promised and cannot be. Each may be promised anew. */
static struct ky_status fail_csrs(struct run *r, struct ky_status why)
{
    struct ky_status recorded = KY_STATUS(KY_OK);

    for (size_t i = 0; i < CITIZENS_MAX && ky_ok(recorded); i++) {
        struct citizen *c = &r->b->citizens[i];

        if (c->step != CSR_COMES)
            continue;
        recorded = operate_csr_receipt(r->o, c->intent, why, KY_SPAN(NULL, 0));
        c->step = NEEDS_CSR;
    }
    return recorded;
}

static struct ky_status give(struct run *r)
{
    size_t n = r->m->n_citizens;
    Kyso__V1__EnrolledCitizen **list = ky_arena_alloc(r->o->arena, n * sizeof(*list));
    size_t failed = 0;

    for (size_t i = 0; i < n && list != NULL; i++) {
        list[i] = citizen_result(r, &r->b->citizens[i]);
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
    for (size_t i = 0; i < r->m->n_citizens && ky_ok(status); i++) {
        struct citizen *c = &r->b->citizens[i];

        if (c->step == NEEDS_SEED)
            status = citizen_settle(r, c, citizen_put_seed(r, c, r->m->citizens[i]));
    }
    return ky_ok(status) ? give(r) : status;
}

/* Goes on where status lets it. Then the run is over. */
static struct ky_status finish(struct run *r, struct ky_status status)
{
    if (ky_ok(status))
        status = go_on(r);
    if (!ky_ok(status) && r->b != NULL) {
        struct ky_status recorded = fail_csrs(r, status);

        status = ky_ok(recorded) ? status : recorded;
    }
    ky_buf_free(&r->names);
    X509_free(r->reader.certificate);
    return status;
}

/* --- the operation -------------------------------------------------------------------------------------------- */

static const char *problem(const Kyso__V1__EnrollCitizens *m)
{
    size_t rsa = 0;

    for (size_t i = 0; i < m->n_citizens; i++)
        rsa += is_rsa((uint8_t)m->citizens[i]->key_type);
    if (m->n_citizens == 0 || m->n_citizens > CITIZENS_MAX || rsa > RSA_MAX)
        return "citizens: 1 to 100, of these at most 25 with RSA keys";
    if (m->n_relying_parties == 0 || m->max_hashes > KY_HASHES_MAX)
        return "relying_parties: 1 to 100 names, or \"*\"; max_hashes within its bounds";
    return (m->digits != 0 && (m->digits < 6 || m->digits > 8)) || m->hash > 2
               ? "digits: 6, 7 or 8; hash: SHA-1, SHA-256 or SHA-512"
               : NULL;
}

/* What all rows share. */
static struct ky_status load(struct run *r)
{
    const Kyso__V1__EnrollCitizens *m = r->m;

    if (!ky_ok(operate_put_names(m->n_relying_parties, m->relying_parties, true, &r->names)))
        return operate_no(r->o, KY_INVALID, "relying_parties: 1 to 100 names, or \"*\"");
    return m->seal_to.len == 0
               ? KY_STATUS(KY_OK)
               : envelope_reader_load(KY_SPAN(m->seal_to.data, m->seal_to.len),
                                      authority_now_s(r->o->a), &r->reader, &r->o->why);
}

static struct ky_status begin(struct run *r)
{
    struct operation *o = r->o;
    struct ky_status status = KY_STATUS(KY_OK);

    r->b = calloc(1, sizeof(*r->b) + o->bytes.len);
    if (r->b == NULL)
        return KY_STATUS(KY_BUSY);
    r->b->operation = o->index;
    r->b->signers = o->signers;
    r->b->operation_len = o->bytes.len;
    memcpy(r->b->bytes, o->bytes.data, o->bytes.len);
    r->room = KY_RESULT_MAX - MESSAGE_MOST - r->m->n_citizens * CITIZEN_ANSWER_MOST;
    for (size_t i = 0; i < r->m->n_citizens && ky_ok(status); i++) {
        struct citizen *c = &r->b->citizens[i];

        status = citizen_settle(r, c, citizen_look(r, c, r->m->citizens[i]));
    }
    return status;
}

struct ky_status operate_enroll_citizens(struct operation *o)
{
    struct run r = {.o = o, .m = o->op->enroll_citizens, .names = KY_BUF_INIT(NAMES_MAX)};
    const char *why = problem(r.m);

    if (why != NULL)
        return operate_no(o, KY_INVALID, why);
    struct ky_status status = load(&r);
    if (ky_ok(status))
        status = begin(&r);
    status = finish(&r, status);
    free(r.b);
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
    ky_buf_put(&o->made, r->b->bytes + r->b->operation_len, r->b->made_len);
    return o->made.failed ? KY_STATUS(KY_BUSY) : load(r);
}

static struct ky_status take(struct run *r, const struct job *job, const struct job_result *result)
{
    bool csrs = job->schema == &job_sign_each_schema;
    struct ky_status why = result->status;
    struct job_r_list made = {.generation = 0};

    if (ky_ok(why) && (result->type != JOB_R_LIST ||
                       !ky_ok(ky_msg_decode(&job_r_list_schema, result->payload, &made))))
        return operate_no(r->o, KY_INTERNAL, "the vault's answer is malformed");
    if (!ky_ok(why) && (!csrs || why.code == KY_DEADLINE || why.code == KY_CANCELLED))
        return operate_no(r->o, why.code, "no vault did it");
    if (!ky_ok(why) && !r->b->one_by_one) {
        r->b->one_by_one = true;
        return fail_csrs(r, why);
    }
    return csrs ? take_csrs(r, why, &made) : take_keys(r, &made);
}

struct ky_status operate_citizens_done(struct operation *o, const struct job *job,
                                       const struct job_result *result)
{
    struct run r = {.o = o, .b = job->context, .names = KY_BUF_INIT(NAMES_MAX)};
    struct ky_status status = resume(&r);

    if (ky_ok(status))
        status = take(&r, job, result);
    return finish(&r, status);
}
