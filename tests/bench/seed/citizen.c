/* SPDX-License-Identifier: Apache-2.0 */
/* The table at the end names what each step sends. */
#include "citizen.h"

#include <string.h>

#include "keys.h"
#include "kyso/alg.h"
#include "kyso/secret.h"

/* --- what is written of a citizen ----------------------------------------------------------- */

static void put_hex(FILE *f, const char *name, const uint8_t *p, size_t n)
{
    (void)fprintf(f, "\"%s\": \"", name);
    for (size_t i = 0; i < n; i++)
        (void)fprintf(f, "%02x", p[i]);
    (void)fputc('"', f);
}

bool citizen_write(const struct citizen *c)
{
    const struct options *o = c->seeding->options;
    FILE *f = c->seeding->out;

    (void)fprintf(f, "{\"subject_id\": \"%s\", \"credential_id\": \"%s\", \"key_type\": \"%s\", ",
                  c->subject, c->credential, o->key_type);
    put_hex(f, "public_key", c->spki.data, c->spki.len);
    (void)fprintf(f, ", \"totps\": [");
    for (unsigned i = 0; i < o->totps; i++) {
        (void)fprintf(f, "%s{\"authenticator_id\": \"%s\", ", i > 0 ? ", " : "", c->totp_ids[i]);
        put_hex(f, "seed", c->seeds[i], SEED_LEN);
        (void)fputc('}', f);
    }
    (void)fputc(']', f);
    if (o->devices > 0) {
        (void)fprintf(f, ", \"device\": {\"authenticator_id\": \"%s\", ", c->device);
        put_hex(f, "key", c->device_private.data, c->device_private.len);
        (void)fputc('}', f);
    }
    return fputs("}\n", f) >= 0;
}

/* --- the steps: what each sends -------------------------------------------------------------- */

static bool send_subject(struct citizen *c, Kyso__V1__Operation *op)
{
    Kyso__V1__AddSubject m = KYSO__V1__ADD_SUBJECT__INIT;

    m.subject_id = c->subject;
    m.name = c->subject;
    op->op_case = KYSO__V1__OPERATION__OP_ADD_SUBJECT;
    op->add_subject = &m;
    return ky_ok(operate_start(&c->seeding->operate, op, &c->call));
}

static bool send_credential(struct citizen *c, Kyso__V1__Operation *op)
{
    Kyso__V1__CreateCredential m = KYSO__V1__CREATE_CREDENTIAL__INIT;
    char all[] = "*";
    char *parties[] = {all};

    m.subject_id = c->subject;
    m.key_type = (Kyso__V1__KeyType)ky_key_type_by_name(c->seeding->options->key_type);
    m.storage = strcmp(c->seeding->options->storage, "resident") == 0
                    ? KYSO__V1__KEY_STORAGE__KEY_STORAGE_RESIDENT
                    : KYSO__V1__KEY_STORAGE__KEY_STORAGE_WRAPPED;
    m.n_relying_parties = 1;
    m.relying_parties = parties;
    op->op_case = KYSO__V1__OPERATION__OP_CREATE_CREDENTIAL;
    op->create_credential = &m;
    return ky_ok(operate_start(&c->seeding->operate, op, &c->call));
}

static bool send_totp(struct citizen *c, Kyso__V1__Operation *op)
{
    Kyso__V1__EnrollTotp m = KYSO__V1__ENROLL_TOTP__INIT;

    if (!ky_ok(ky_random(c->seeds[c->totp], SEED_LEN)))
        return false;
    m.subject_id = c->subject;
    m.digits = 6;
    m.seed = (ProtobufCBinaryData){.len = SEED_LEN, .data = c->seeds[c->totp]};
    op->op_case = KYSO__V1__OPERATION__OP_ENROLL_TOTP;
    op->enroll_totp = &m;
    return ky_ok(operate_start(&c->seeding->operate, op, &c->call));
}

static bool send_confirm(struct citizen *c, Kyso__V1__Operation *op)
{
    Kyso__V1__ConfirmAuthenticator m = KYSO__V1__CONFIRM_AUTHENTICATOR__INIT;

    m.authenticator_id = c->step == STEP_TOTP_CONFIRM ? c->totp_ids[c->totp] : c->device;
    m.code = c->code;
    op->op_case = KYSO__V1__OPERATION__OP_CONFIRM_AUTHENTICATOR;
    op->confirm_authenticator = &m;
    return ky_ok(operate_start(&c->seeding->operate, op, &c->call));
}

static bool send_device(struct citizen *c, Kyso__V1__Operation *op)
{
    Kyso__V1__EnrollDevice m = KYSO__V1__ENROLL_DEVICE__INIT;
    char label[] = "load";
    struct ky_buf spki = KY_BUF_INIT(KY_SPKI_MAX);
    EVP_PKEY *key = keys_generate(KEYS_P256);
    int n = key != NULL ? i2d_PrivateKey(key, NULL) : 0;
    uint8_t *p = n > 0 ? ky_buf_grow(&c->device_private, (size_t)n) : NULL;
    bool ok = p != NULL && i2d_PrivateKey(key, &p) == n && ky_ok(keys_spki(key, &spki));

    m.subject_id = c->subject;
    m.key_type = KYSO__V1__DEVICE_KEY_TYPE__DEVICE_KEY_TYPE_ES256;
    m.public_key = (ProtobufCBinaryData){.len = spki.len, .data = spki.data};
    m.label = label;
    op->op_case = KYSO__V1__OPERATION__OP_ENROLL_DEVICE;
    op->enroll_device = &m;
    ok = ok && ky_ok(operate_start(&c->seeding->operate, op, &c->call));
    ky_buf_free(&spki);
    EVP_PKEY_free(key);
    return ok;
}

static bool send_certificate(struct citizen *c, Kyso__V1__Operation *op)
{
    Kyso__V1__ImportCertificate m = KYSO__V1__IMPORT_CERTIFICATE__INIT;
    struct seeding *s = c->seeding;
    struct ky_buf der = KY_BUF_INIT(KY_CERTIFICATE_MAX);
    bool ok = ca_issue(&s->ca, ky_buf_span(&c->spki), c->subject, &der);

    m.credential_id = c->credential;
    m.certificate = (ProtobufCBinaryData){.len = der.len, .data = der.data};
    /* no chain: checking it again for each is a fifth of what a citizen costs the authority */
    op->op_case = KYSO__V1__OPERATION__OP_IMPORT_CERTIFICATE;
    op->import_certificate = &m;
    ok = ok && ky_ok(operate_start(&s->operate, op, &c->call));
    ky_buf_free(&der);
    return ok;
}

/* --- and what each keeps of the result ------------------------------------------------------- */

static bool keep_authenticator(struct citizen *c, const Kyso__V1__OperationResult *r,
                               char out_id[ID_MAX])
{
    return r->n_authenticators == 1 &&
           ky_span_to_cstr(ky_span_text(r->authenticators[0]->authenticator_id), out_id, ID_MAX) &&
           ky_span_to_cstr(ky_span_text(r->confirmation_code), c->code, ID_MAX);
}

static bool keep_credential(struct citizen *c, const Kyso__V1__OperationResult *r)
{
    if (r->n_credentials != 1)
        return false;
    ky_buf_put(&c->spki, r->credentials[0]->public_key.data, r->credentials[0]->public_key.len);
    return ky_span_to_cstr(ky_span_text(r->credentials[0]->credential_id), c->credential, ID_MAX) &&
           c->spki.len > 0;
}

static enum step after_authenticators(const struct citizen *c)
{
    return c->seeding->options->devices > 0 ? STEP_DEVICE : STEP_CERTIFICATE;
}

enum step citizen_keep(struct citizen *c, const Kyso__V1__OperationResult *r)
{
    const struct options *o = c->seeding->options;

    switch (c->step) {
    case STEP_SUBJECT:
        return STEP_CREDENTIAL;
    case STEP_CREDENTIAL:
        if (!keep_credential(c, r))
            return STEP_SUBJECT;
        return o->totps > 0 ? STEP_TOTP : after_authenticators(c);
    case STEP_TOTP:
        return keep_authenticator(c, r, c->totp_ids[c->totp]) ? STEP_TOTP_CONFIRM : STEP_SUBJECT;
    case STEP_TOTP_CONFIRM:
        return ++c->totp < o->totps ? STEP_TOTP : after_authenticators(c);
    case STEP_DEVICE:
        return keep_authenticator(c, r, c->device) ? STEP_DEVICE_CONFIRM : STEP_SUBJECT;
    case STEP_DEVICE_CONFIRM:
        return STEP_CERTIFICATE;
    default:
        return STEP_DONE;
    }
}

bool citizen_send(struct citizen *c, operate_done *done)
{
    static bool (*const send[])(struct citizen * c, Kyso__V1__Operation * op) = {
        [STEP_SUBJECT] = send_subject,
        [STEP_CREDENTIAL] = send_credential,
        [STEP_TOTP] = send_totp,
        [STEP_TOTP_CONFIRM] = send_confirm,
        [STEP_DEVICE] = send_device,
        [STEP_DEVICE_CONFIRM] = send_confirm,
        [STEP_CERTIFICATE] = send_certificate,
    };
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;

    c->call = (struct operate_call){.done = done, .arg = c};
    return send[c->step](c, &op);
}
