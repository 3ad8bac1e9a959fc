/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The job table and what surrounds each job: decoding, deadline, retry, reply. A
 * job is retried once for each kind of recovery, and never after an outcome that
 * another try could turn into a second act.
 */
#include <assert.h>
#include <string.h>

#include "ckr.h"
#include "sign.h"
#include "vault.h"

static_assert(KY_CODE_COUNT <= 64, "a bit per code");
enum { JOB_BYTES_MAX = KY_HASHES_MAX * KY_SIG_MAX + 1024 };

static const char *const derive_labels[] = {"row-mac", "seed-enc", "state"};

static struct ky_status job_derive(struct hsm_worker *w, struct hsm_job *job)
{
    struct ky_span label = job->in.derive.label;
    uint8_t mac[32];
    bool known = false;
    struct ky_status st = KY_STATUS(KY_OK);

    for (size_t i = 0; i < HSM_COUNT(derive_labels); i++)
        known = known || ky_span_eq(label, ky_span_text(derive_labels[i]));
    if (!known)
        return KY_STATUS(KY_TOKEN_REQUEST);
    st = hsm_hmac(&w->session, w->vault->keys.root, label, mac);
    if (ky_ok(st))
        ky_buf_put(&job->bytes, mac, sizeof(mac));
    ky_wipe(mac, sizeof(mac));
    job->out.bytes = (struct job_r_bytes){.value = ky_buf_span(&job->bytes)};
    job->reply = &job_r_bytes_schema;
    return st;
}

static struct ky_status job_destroy(struct hsm_worker *w, struct hsm_job *job)
{
    const struct job_key_ref *in = &job->in.key_ref;
    struct ky_status st = KY_STATUS(KY_OK);

    hsm_cache_forget_row(w->vault->cache, &w->session, in->key_row);
    if (in->key_id.len > 0) /* a wrapped key has no object of its own: forgetting is all there is */
        st = hsm_residents_destroy(w->vault->residents, &w->session, in->key_id);
    job->reply = &job_r_done_schema;
    return st.code == KY_NOT_FOUND ? KY_STATUS(KY_OK) : st;
}

static struct ky_status job_forget(struct hsm_worker *w, struct hsm_job *job)
{
    const struct job_key_ref *in = &job->in.key_ref;

    hsm_cache_forget_row(w->vault->cache, &w->session, in->key_row);
    hsm_residents_forget(w->vault->residents, in->key_id);
    job->reply = NULL;
    return KY_STATUS(KY_OK);
}

static struct ky_status job_info(struct hsm_worker *w, struct hsm_job *job)
{
    const struct hsm_vault *v = w->vault;
    char token[160];

    hsm_module_describe(&v->module, token, sizeof(token));
    ky_buf_put(&job->bytes, token, strlen(token));
    if (job->bytes.failed)
        return KY_STATUS(KY_NOMEM);
    job->out.info = (struct job_r_info){
        .token = ky_buf_span(&job->bytes),
        .key_types = v->caps.key_types,
        .wrappable = v->caps.wrappable,
        .pss = v->caps.pss ? 1 : 0,
        .ledger_key = KY_SPAN(v->keys.ledger_spki, v->keys.ledger_spki_len),
        .ledger_key_type = v->keys.ledger_type,
        .kek = v->keys.keks[0].generation,
    };
    job->reply = &job_r_info_schema;
    return KY_STATUS(KY_OK);
}

struct job_row {
    uint16_t type;
    const struct ky_schema *schema;
    struct ky_status (*run)(struct hsm_worker *w, struct hsm_job *job);
    bool once; /* never retried here: a second try could leave a second object */
};

static const struct job_row job_rows[] = {
    {JOB_SIGN, &job_sign_schema, hsm_job_sign, false},
    {JOB_GENERATE, &job_generate_schema, hsm_job_generate, true},
    {JOB_DERIVE, &job_derive_schema, job_derive, false},
    {JOB_DESTROY, &job_destroy_schema, job_destroy, false},
    {JOB_FORGET, &job_forget_schema, job_forget, false},
    {JOB_ANCHOR_WRITE, &job_anchor_write_schema, hsm_job_anchor_write, false},
    {JOB_ANCHOR_READ, &job_anchor_read_schema, hsm_job_anchor_read, false},
    {JOB_INFO, &job_info_schema, job_info, false},
    {JOB_GENERATE_MANY, &job_generate_many_schema, hsm_job_generate_many, false},
    {JOB_SIGN_EACH, &job_sign_each_schema, hsm_job_sign_each, false},
};

static const struct job_row *row_of(uint16_t type)
{
    for (size_t i = 0; i < HSM_COUNT(job_rows); i++) {
        if (job_rows[i].type == type)
            return &job_rows[i];
    }
    return NULL;
}

/* The record's payload, or the job's copy of it. False: no memory for one. */
static bool payload_of(struct hsm_job *job, const struct ky_record *record, bool keep,
                       struct ky_span *out)
{
    *out = record->payload;
    if (!keep)
        return true;
    job->payload.max = KY_RECORD_MAX;
    ky_buf_reset(&job->payload);
    ky_buf_put(&job->payload, record->payload.data, record->payload.len);
    *out = ky_buf_span(&job->payload);
    return !job->payload.failed;
}

void hsm_job_init(struct hsm_job *job, const struct ky_record *record, bool keep)
{
    const struct job_row *row = row_of(record->type);
    struct ky_span payload;

    job->type = record->type;
    job->tag = record->tag;
    job->deadline_us = record->deadline_us;
    memset(&job->in, 0, sizeof(job->in));
    job->reply = NULL;
    job->bytes.max = JOB_BYTES_MAX;
    ky_buf_reset(&job->bytes);
    if (row == NULL)
        job->status = KY_STATUS(KY_INVALID);
    else if (!payload_of(job, record, keep, &payload))
        job->status = KY_STATUS(KY_NOMEM);
    else
        job->status = ky_msg_decode(row->schema, payload, &job->in);
}

void hsm_job_wipe(struct hsm_job *job)
{
    ky_buf_free(&job->bytes);
    ky_buf_free(&job->payload);
}

const char *hsm_job_name(const struct hsm_job *job)
{
    const struct job_row *row = row_of(job->type);

    return row != NULL ? row->schema->name : "unknown";
}

/* What the outcome asks for before a second try; true: try again. */
static bool recover(struct hsm_worker *w, struct ky_status *st)
{
    struct hsm_vault *v = w->vault;

    switch (st->code) {
    case KY_TOKEN_SESSION:
        hsm_cache_forget_session(v->cache, w->session.serial);
        *st = hsm_session_renew(&w->session);
        return ky_ok(*st);
    case KY_BUSY:
        hsm_cache_shrink(v->cache, &w->session);
        return true;
    case KY_TOKEN_WRONG_SIGNATURE: /* the handle is dropped: the blob may give a sound one */
        return true;
    case KY_TOKEN_REQUEST:
        return hsm_ckr_class(st->cause) == HSM_CLASS_HANDLE;
    default:
        return false;
    }
}

/*
 * Each kind of recovery once: when all sessions die together, a job may meet its own dead session
 * first and then a handle that another thread's session took along.
 */
static struct ky_status run_with_retry(struct hsm_worker *w, const struct job_row *row,
                                       struct hsm_job *job)
{
    uint64_t tried = 0;

    for (;;) {
        struct ky_status st = row->run(w, job);
        struct ky_status recovery = st;
        uint64_t kind = 1ull << st.code;

        if (ky_ok(st))
            return st;
        if (!recover(w, &recovery))
            /* A session that cannot be replaced is the module's failure, and outranks the job's. */
            return st.code == KY_TOKEN_SESSION ? recovery : st;
        if (row->once || (tried & kind) != 0)
            return st;
        tried |= kind;
        ky_buf_reset(&job->bytes);
    }
}

void hsm_job_run(struct hsm_worker *w, struct hsm_job *job)
{
    const struct job_row *row = row_of(job->type);
    struct job_plain head = job->in.head;

    if (ky_ok(job->status) && job->deadline_us != 0 && ky_now_us() > job->deadline_us)
        job->status = KY_STATUS(KY_DEADLINE);
    memset(&job->out, 0, sizeof(job->out));
    if (ky_ok(job->status))
        job->status = run_with_retry(w, row, job);
    if (job->reply != &job_r_done_schema && ky_ok(job->status)) {
        /* Every reply begins with generation and attempt, as every job does. */
        job->out.done.generation = head.generation;
        job->out.done.attempt = head.attempt;
        return;
    }
    job->reply = job->type == JOB_FORGET ? NULL : &job_r_done_schema;
    job->out.done = (struct job_r_done){.generation = head.generation,
                                        .attempt = head.attempt,
                                        .code = (uint16_t)job->status.code,
                                        .cause = job->status.cause};
}
