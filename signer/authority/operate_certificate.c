/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From key to certificate: make-csr (the one other thing a citizen's key ever signs, while the credential is being
 * created, over bytes we built: I1) and import-certificate. The authority's thread, inside a turn.
 * Keeps: I1 and I4 for intents of kind csr; a certificate belongs to one credential.
 */
#include <stdlib.h>
#include <string.h>

#include "kyso/wire.h"

#include "certificate.h"
#include "operate.h"

#define STATE(s)   ((uint8_t)KYSO__V1__CREDENTIAL_STATE__CREDENTIAL_STATE_##s)
#define INTENT_CSR 2u
#define CHAIN_MAX  (32u * 1024u)

struct csr_wish { /* a job's context */
    uint32_t credential_row;
    uint32_t epoch;
    uint64_t operation;
    size_t dn_len;
    uint8_t dn[CSR_DN_MAX];
};

static struct ky_status record_intent(struct operation *o, uint32_t number,
                                      const struct row_credential *c, const struct csr_job *csr,
                                      uint64_t *out_intent)
{
    struct ledger_intent intent = {
        .kind = INTENT_CSR,
        .subject_row = c->subject_row,
        .credential_row = number,
        .credential_epoch = c->epoch,
        .scheme = csr->algorithm.scheme,
        .hash = csr->algorithm.hash,
        .hashes = ky_buf_span(&csr->input),
        .not_after_s = authority_now_s(o->a),
    };

    ky_sha256(c->public_key, intent.key_spki_sha256);
    return authority_append(o->a, &ledger_intent_schema, &intent, KY_SPAN(NULL, 0), out_intent);
}

struct ky_status operate_csr_intent(struct operation *o, uint32_t number,
                                    const struct row_credential *c, struct csr_job *csr,
                                    uint64_t *out_intent)
{
    struct ky_status status = csr_algorithm(c->key_type, &csr->algorithm);

    csr->request.public_key = c->public_key;
    csr->request.key_type = c->key_type;
    if (ky_ok(status))
        status = csr_input(&csr->request, &csr->input);
    if (!ky_ok(status))
        return operate_no(o, status.code, "subject_dn: CN=...,O=...,C=VN");
    return record_intent(o, number, c, csr, out_intent);
}

struct job_sign operate_csr_message(const struct row_credential *c, const struct csr_job *csr)
{
    return (struct job_sign){
        .purpose = KY_PURPOSE_CITIZEN,
        .storage = c->storage,
        .key_type = c->key_type,
        .scheme = csr->algorithm.scheme,
        .hash = csr->algorithm.hash,
        .verify = JOB_VERIFY_ALWAYS,
        .blob = c->blob,
        .public_key = c->public_key,
        .digests = ky_buf_span(&csr->input),
    };
}

struct ky_status operate_csr_receipt(struct operation *o, uint64_t intent,
                                     struct ky_status outcome, struct ky_span raw)
{
    struct ledger_receipt receipt = {
        .intent = intent,
        .outcome = ky_ok(outcome) ? LEDGER_SIGNED : LEDGER_FAILED,
        .code = (uint16_t)outcome.code,
        .cause = outcome.cause,
    };

    if (ky_ok(outcome)) {
        receipt.sig_len = (uint16_t)raw.len;
        receipt.signatures = raw;
    }
    return authority_append(o->a, &ledger_receipt_schema, &receipt, KY_SPAN(NULL, 0), NULL);
}

struct ky_status operate_csr_finish(struct operation *o, uint32_t number, uint32_t epoch,
                                    struct ky_span dn, struct ky_span raw, struct ky_buf *out_der)
{
    struct row_credential row;
    struct ky_status status = store_row_get(authority_store(o->a), ROW_CREDENTIAL, number, &row);

    if (!ky_ok(status))
        return status;
    if (row.state != STATE(CREATED) ||
        row.epoch != epoch) /* P21: it changed while the vault was signing */
        return operate_no(o, KY_INACTIVE, "the credential changed meanwhile");
    const struct csr_request request = {
        .public_key = row.public_key, .key_type = row.key_type, .subject_dn = dn};
    return csr_assemble(&request, raw, out_der);
}

/* --- make-csr ---------------------------------------------------------------------------------------------- */

static struct ky_status submit_csr(struct operation *o, uint32_t number,
                                   const struct row_credential *c, const struct csr_job *csr,
                                   uint64_t intent)
{
    struct csr_wish *context = malloc(sizeof(*context));
    struct job job = {.for_what = JOB_FOR_CSR,
                      .intent = intent,
                      .to = o->to,
                      .schema = &job_sign_schema,
                      .key_row = number,
                      .key_epoch = c->epoch,
                      .context = context};
    struct job_sign message = operate_csr_message(c, csr);
    struct ky_status status = KY_STATUS(KY_BUSY);

    if (context == NULL)
        return status;
    message.key_row = number;
    message.key_epoch = c->epoch;
    *context = (struct csr_wish){.credential_row = number,
                                 .epoch = c->epoch,
                                 .operation = o->index,
                                 .dn_len = csr->request.subject_dn.len};
    memcpy(context->dn, csr->request.subject_dn.data, context->dn_len);
    status = job_submit(o->a, &job, &message);
    if (ky_ok(status))
        o->deferred = true;
    else
        free(context);
    return status;
}

static struct ky_status promise_csr(struct operation *o, uint32_t number,
                                    const struct row_credential *c, struct csr_job *csr)
{
    uint64_t intent = 0;
    struct ky_status status = operate_csr_intent(o, number, c, csr, &intent);

    if (!ky_ok(status))
        return status;
    status = submit_csr(o, number, c, csr, intent);
    if (ky_ok(status))
        return status;
    struct ky_status recorded = operate_csr_receipt(o, intent, status, KY_SPAN(NULL, 0));
    return ky_ok(recorded) ? status : recorded;
}

struct ky_status operate_make_csr(struct operation *o)
{
    const Kyso__V1__MakeCsr *m = o->op->make_csr;
    struct csr_job csr = {.request.subject_dn = ky_span_text(m->subject_dn),
                          .input = KY_BUF_INIT(CSR_DER_MAX)};
    struct row_credential row;
    uint32_t number = 0;
    struct ky_status status = operate_credential(o, m->credential_id, &number, &row);

    if (!ky_ok(status))
        return status;
    if (row.state != STATE(CREATED))
        return operate_no(o, KY_INACTIVE,
                          "a CSR is made only while the credential is being created");
    status = promise_csr(o, number, &row, &csr);
    ky_buf_free(&csr.input);
    return status;
}

/* KY_OK with the CSR in o->result, or why this signature is not released. */
static struct ky_status finish_csr(struct operation *o, const struct csr_wish *wish,
                                   const struct job_result *r, struct job_r_sign *out_made)
{
    struct ky_buf der = KY_BUF_INIT(CSR_DER_MAX);
    struct ky_status status = r->status;

    if (!ky_ok(status))
        return operate_no(o, status.code, "no vault signed the CSR");
    if (r->type != JOB_R_SIGN || !ky_ok(ky_msg_decode(&job_r_sign_schema, r->payload, out_made)) ||
        out_made->count != 1 || out_made->signatures.len != out_made->sig_len)
        return operate_no(o, KY_INTERNAL, "the vault's answer is malformed");
    status = operate_csr_finish(o, wish->credential_row, wish->epoch,
                                KY_SPAN(wish->dn, wish->dn_len), out_made->signatures, &der);
    if (ky_ok(status)) {
        o->result.csr = operate_bytes(o, ky_buf_span(&der));
        o->result.message = operate_message(o, "certificate request, %zu bytes", der.len);
    }
    ky_buf_free(&der);
    return status;
}

struct ky_status operate_csr_signed(struct operation *o, const struct job *job,
                                    const struct job_result *r)
{
    const struct csr_wish *wish = job->context;
    struct job_r_sign made = {.count = 0};

    o->index = wish->operation;
    o->denied.credential_row = wish->credential_row;
    struct ky_status status = finish_csr(o, wish, r, &made);
    struct ky_status recorded = operate_csr_receipt(o, job->intent, status, made.signatures);
    return ky_ok(recorded) ? status : recorded;
}

/* --- import ------------------------------------------------------------------------------------------------ */

static struct ky_status put_chain(struct operation *o, const Kyso__V1__ImportCertificate *m,
                                  struct ky_span spans[CERTIFICATE_CHAIN_MAX], struct ky_buf *out)
{
    if (m->n_chain > CERTIFICATE_CHAIN_MAX)
        return operate_no(o, KY_INVALID, "the chain is too long");
    for (size_t i = 0; i < m->n_chain; i++) {
        spans[i] = KY_SPAN(m->chain[i].data, m->chain[i].len);
        ky_put_bytes(out, spans[i]);
    }
    return out->failed ? operate_no(o, KY_INVALID, "the chain is too long") : KY_STATUS(KY_OK);
}

static struct ky_status check_import(struct operation *o, const struct row_credential *row,
                                     const struct certificate_import *in,
                                     struct certificate_facts *facts)
{
    uint32_t other = 0;
    const char *why = NULL;

    if (row->state != STATE(CREATED))
        return operate_no(o, KY_INACTIVE,
                          "a certificate is imported only while the credential is being created");
    struct ky_status status = certificate_check(in, facts, &why);
    if (!ky_ok(status))
        return operate_no(o, status.code, why);
    status = operate_unique(o, STORE_BY_CERTIFICATE, KY_SPAN_OF(facts->sha256), &other);
    if (ky_ok(status) && other != 0)
        return operate_no(o, KY_CONFLICT, "another credential has that certificate");
    if (ky_ok(status))
        status = operate_unique(o, STORE_BY_SERIAL, KY_SPAN_OF(facts->serial_key), &other);
    if (ky_ok(status) && other != 0)
        return operate_no(o, KY_CONFLICT, "another credential has that issuer's serial number");
    return status;
}

struct ky_status operate_import_certificate(struct operation *o)
{
    const Kyso__V1__ImportCertificate *m = o->op->import_certificate;
    struct ky_span spans[CERTIFICATE_CHAIN_MAX];
    struct ky_buf chain = KY_BUF_INIT(CHAIN_MAX);
    struct certificate_facts facts;
    struct row_credential row;
    struct row_subject subject;
    uint32_t number = 0;
    struct ky_status status = operate_credential(o, m->credential_id, &number, &row);

    if (ky_ok(status))
        status = put_chain(o, m, spans, &chain);
    if (!ky_ok(status))
        goto done;
    const struct certificate_import in = {
        .der = KY_SPAN(m->certificate.data, m->certificate.len),
        .chain = spans,
        .chain_len = m->n_chain,
        .public_key = row.public_key,
        .now_s = authority_now_s(o->a),
    };
    status = check_import(o, &row, &in, &facts);
    if (ky_ok(status))
        status = store_row_get(authority_store(o->a), ROW_SUBJECT, row.subject_row, &subject);
    if (!ky_ok(status))
        goto done;
    row.state = STATE(ACTIVE);
    row.epoch++;
    row.certificate = in.der;
    row.chain = ky_buf_span(&chain);
    row.not_before_s = facts.not_before_s;
    row.not_after_s = facts.not_after_s;
    operate_give_credential(o, &row, subject.subject_id);
    o->result.message = operate_message(o, "credential %s is active", m->credential_id);
    status = authority_row_put(o->a, ROW_CREDENTIAL, number, &row, o->index, NULL);
    if (ky_ok(status))
        status = store_lookup_add(authority_store(o->a), STORE_BY_CERTIFICATE,
                                  KY_SPAN_OF(facts.sha256), number);
    if (ky_ok(status))
        status = store_lookup_add(authority_store(o->a), STORE_BY_SERIAL,
                                  KY_SPAN_OF(facts.serial_key), number);
    if (ky_ok(status))
        authority_forget_key(o->a, number);
done:
    ky_buf_free(&chain);
    return status;
}
