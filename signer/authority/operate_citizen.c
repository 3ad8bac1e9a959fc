/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One citizen of many: what a row needs is read from the database when its turn comes, so a repeat completes what is missing and makes
 * nothing twice. The authority's thread, inside a turn.
 * Keeps: I1 and I4 for its CSR; nobody is certified for more than the batch says; a seed leaves sealed.
 */
#include <string.h>

#include "kyso/wire.h"

#include "enroll.h"
#include "operate_citizens.h"

#define CSR_MOST 128u /* of a request without key, signature and name */
#define STATE(s) ((uint8_t)KYSO__V1__CREDENTIAL_STATE__CREDENTIAL_STATE_##s)

/* --- what stands ------------------------------------------------------------------------------------------- */

struct search {
    const struct run *run;
    struct citizen *citizen;
};

static struct ky_status note_credential(struct operation *o, uint32_t number, void *ctx)
{
    const struct search *s = ctx;
    struct citizen *c = s->citizen;
    struct row_credential row;
    struct ky_status status = store_row_get(authority_store(o->a), ROW_CREDENTIAL, number, &row);

    if (!ky_ok(status) || row.key_type != c->key_type || row.storage != KY_STORE_WRAPPED ||
        row.state == STATE(DESTROYED) || row.state == STATE(REVOKED) || c->credential_row != 0)
        return status;
    c->credential_row = number;
    c->epoch = row.epoch;
    c->step = row.state == STATE(CREATED) ? NEEDS_CSR : NEEDS_SEED;
    (void)ky_span_to_cstr(row.credential_id, c->credential_id, sizeof(c->credential_id));
    /* One person could have made it in advance, for more than two people now sign for. */
    return row.max_hashes == s->run->m->max_hashes &&
                   ky_span_eq(row.relying_parties, ky_buf_span(&s->run->names))
               ? status
               : operate_no(o, KY_CONFLICT,
                            "the person's credential has other relying_parties or max_hashes");
}

static struct ky_status find(struct run *r, struct citizen *c, const Kyso__V1__EnrollCitizen *m)
{
    struct ky_span id = ky_span_text(m->subject_id);
    struct search search = {.run = r, .citizen = c};
    struct row_subject row;
    struct ky_status status = operate_unique(r->o, STORE_BY_SUBJECT_ID, id, &c->subject_row);

    c->step = NEEDS_KEY;
    c->credential_row = 0;
    if (!ky_ok(status) || c->subject_row == 0)
        return status;
    status = store_row_get(authority_store(r->o->a), ROW_SUBJECT, c->subject_row, &row);
    if (!ky_ok(status))
        return status;
    if (!ky_span_eq(row.subject_id, id) || !ky_span_eq(row.name, ky_span_text(m->name)))
        return operate_no(r->o, KY_CONFLICT, "the person exists under another name");
    return operate_each_of(r->o, STORE_CREDENTIALS_OF, c->subject_row, note_credential, &search);
}

static const char *row_problem(struct run *r, const struct citizen *c,
                               const Kyso__V1__EnrollCitizen *m, X509_NAME **out_dn)
{
    const char *why = operate_subject_problem(ky_span_text(m->subject_id), ky_span_text(m->name));
    const struct job_r_info *token = authority_token_info(r->o->a);

    if (why != NULL)
        return why;
    if (c->key_type >= KY_KEY_TYPE_COUNT)
        return "key_type is out of bounds";
    if ((token->wrappable & UINT32_C(1) << c->key_type) == 0)
        return "the token cannot make and wrap a key of that type";
    return ky_ok(dn_parse(ky_span_text(m->subject_dn), out_dn)) ? NULL
                                                                : "subject_dn: CN=...,O=...,C=VN";
}

/* The row's own, or the batch's, or nobody. */
static struct ky_status reader_of(struct run *r, const Kyso__V1__EnrollCitizen *m,
                                  struct envelope_reader *out)
{
    if (m->seal_to.len > 0)
        return envelope_reader_load(KY_SPAN(m->seal_to.data, m->seal_to.len),
                                    authority_now_s(r->o->a), out, &r->o->why);
    *out = r->reader;
    if (out->certificate != NULL)
        (void)X509_up_ref(out->certificate);
    return KY_STATUS(KY_OK);
}

/* An answer that is too long would be so at each repeat, with new intents: a row takes its share before it is begun. */
static struct ky_status take_room(struct run *r, const struct citizen *c,
                                  const Kyso__V1__EnrollCitizen *m, X509_NAME *dn,
                                  const struct envelope_reader *reader)
{
    size_t most =
        CSR_MOST + 2u * ky_key_info(c->key_type)->sig_len + (size_t)i2d_X509_NAME(dn, NULL);

    if (reader->certificate != NULL)
        most += envelope_most(reader, ENROLL_LETTER_MOST(strlen(m->subject_id)));
    if (most > r->room)
        return operate_no(r->o, KY_INVALID,
                          "the batch's answer has no room for this row: another batch");
    r->room -= most;
    return KY_STATUS(KY_OK);
}

struct ky_status citizen_look(struct run *r, struct citizen *c, const Kyso__V1__EnrollCitizen *m)
{
    struct envelope_reader reader = {.certificate = NULL};
    X509_NAME *dn = NULL;

    c->key_type = m->key_type == 0 ? KY_KEY_P256 : (uint8_t)m->key_type;
    const char *why = row_problem(r, c, m, &dn);
    struct ky_status status =
        why != NULL ? operate_no(r->o, KY_INVALID, why) : reader_of(r, m, &reader);
    if (ky_ok(status))
        status = take_room(r, c, m, dn, &reader);
    if (ky_ok(status))
        status = find(r, c, m);
    X509_NAME_free(dn);
    X509_free(reader.certificate);
    return status;
}

/* --- its key, its CSR, its seed ------------------------------------------------------------------------------- */

struct ky_status citizen_put_key(struct run *r, struct citizen *c, const Kyso__V1__EnrollCitizen *m,
                                 struct ky_span blob, struct ky_span public_key)
{
    struct row_subject subject = {.subject_id = ky_span_text(m->subject_id),
                                  .name = ky_span_text(m->name)};
    struct row_credential row = {.storage = KY_STORE_WRAPPED,
                                 .key_type = c->key_type,
                                 .max_hashes = r->m->max_hashes,
                                 .relying_parties = ky_buf_span(&r->names),
                                 .blob = blob,
                                 .public_key = public_key};
    struct ky_status status = find(r, c, m);

    if (!ky_ok(status) || c->step != NEEDS_KEY) /* somebody was faster: this key is nobody's */
        return status;
    if (c->subject_row == 0)
        status = operate_put_subject(r->o, &subject, &c->subject_row);
    row.subject_row = c->subject_row;
    if (ky_ok(status))
        status = operate_put_credential(r->o, &row, c->credential_id, &c->credential_row);
    c->step = NEEDS_CSR;
    return status;
}

struct ky_status citizen_put_csr(struct run *r, struct citizen *c, const Kyso__V1__EnrollCitizen *m,
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
    if (ky_ok(status) && dispatch_quarantined(r->o->a, c->credential_row))
        status = operate_no(r->o, KY_UNAVAILABLE, "vaults ended with this key: it is set aside");
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

struct ky_status citizen_put_seed(struct run *r, struct citizen *c,
                                  const Kyso__V1__EnrollCitizen *m)
{
    struct ky_buf *made = &r->o->made;
    struct envelope_reader reader;
    struct ky_status status = reader_of(r, m, &reader);

    c->step = IS_DONE;
    if (!ky_ok(status) || reader.certificate == NULL)
        return status;
    c->seed_at = made->len;
    status = operate_sealed_totp(r->o, m->subject_id, (uint8_t)r->m->hash,
                                 r->m->digits != 0 ? (uint8_t)r->m->digits : 6, &reader,
                                 c->authenticator_id, made);
    c->seed_len = made->len - c->seed_at;
    X509_free(reader.certificate);
    return status;
}

struct ky_status citizen_take_csr(struct run *r, struct citizen *c,
                                  const Kyso__V1__EnrollCitizen *m, struct ky_status why,
                                  struct ky_span raw)
{
    struct ky_buf *made = &r->o->made;
    struct ky_status status = ky_ok(why) && raw.len == 0 ? KY_STATUS(KY_TOKEN_REQUEST) : why;

    if (!ky_ok(why))
        r->o->why = "no vault signed with this key";
    c->csr_at = made->len;
    if (ky_ok(status))
        status = operate_csr_finish(r->o, c->credential_row, c->epoch, ky_span_text(m->subject_dn),
                                    raw, made);
    c->csr_len = made->len - c->csr_at;
    struct ky_status recorded = operate_csr_receipt(r->o, c->intent, status, raw);
    c->step = NEEDS_SEED;
    if (!ky_ok(recorded))
        return recorded;
    return ky_ok(status) ? citizen_put_seed(r, c, m) : status;
}

/* --- a row's end ------------------------------------------------------------------------------------------- */

static bool spoils_all(const struct run *r, enum ky_code code)
{
    return code == KY_SEALED || code == KY_STORE || code == KY_IO || code == KY_NOMEM ||
           r->o->arena->exhausted;
}

struct ky_status citizen_settle(struct run *r, struct citizen *c, struct ky_status status)
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

Kyso__V1__EnrolledCitizen *citizen_result(struct run *r, const struct citizen *c)
{
    Kyso__V1__EnrolledCitizen *e = ky_arena_alloc(r->o->arena, sizeof(*e));
    uint8_t *made = r->o->made.data;

    if (e == NULL)
        return NULL;
    kyso__v1__enrolled_citizen__init(e);
    if (c->error != NULL) {
        e->error = operate_text(r->o, ky_span_text(c->error));
        return e;
    }
    e->credential_id = operate_text(r->o, ky_span_text(c->credential_id));
    e->authenticator_id = operate_text(r->o, ky_span_text(c->authenticator_id));
    if (c->csr_len > 0)
        e->csr = (ProtobufCBinaryData){.len = c->csr_len, .data = made + c->csr_at};
    if (c->seed_len > 0)
        e->sealed_seed = (ProtobufCBinaryData){.len = c->seed_len, .data = made + c->seed_at};
    return e;
}
