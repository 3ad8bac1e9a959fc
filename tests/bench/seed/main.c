/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso-seed: enrols a population through the operators' door, as an operator would, many citizens at a time, and writes what a
 * load generator needs of each as one JSON line. Needs a server whose state is marked demo (it returns confirmation codes).
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certify.h"
#include "keys.h"
#include "kyso/alg.h"
#include "kyso/record.h"
#include "kyso/secret.h"
#include "operate.h"

#define IN_FLIGHT_MAX 200u
#define TOTPS_MAX     15u
#define ID_MAX        65u
#define SEED_LEN      20u
#define WHY_MAX       256u

struct options {
    const char *socket, *server_id, *operator_id, *operator_key, *ca, *ca_key, *out, *prefix, *key_type, *storage;
    unsigned citizens, totps, devices, in_flight;
};

enum step { STEP_SUBJECT, STEP_CREDENTIAL, STEP_TOTP, STEP_TOTP_CONFIRM, STEP_DEVICE, STEP_DEVICE_CONFIRM, STEP_CERTIFICATE, STEP_DONE };

struct seeding;
struct citizen {
    struct seeding *seeding;
    struct operate_call call;
    enum step step;
    unsigned totp; /* the one that is being enrolled */
    char subject[ID_MAX], credential[ID_MAX], device[ID_MAX], code[ID_MAX];
    char totp_ids[TOTPS_MAX][ID_MAX];
    uint8_t seeds[TOTPS_MAX][SEED_LEN];
    struct ky_buf spki, device_private;
};

struct seeding {
    const struct options *options;
    struct operate operate;
    struct ca ca;
    struct ky_buf ca_der;
    FILE *out;
    unsigned started, finished;
    bool failed;
};

static bool send_step(struct citizen *c);

static void fail(struct citizen *c, const char *why)
{
    if (!c->seeding->failed)
        (void)fprintf(stderr, "kyso-seed: %s, step %d: %s\n", c->subject, (int)c->step, why);
    c->seeding->failed = true;
}

/* --- what is written of a citizen ----------------------------------------------------------- */

static void put_hex(FILE *f, const char *name, const uint8_t *p, size_t n)
{
    (void)fprintf(f, "\"%s\": \"", name);
    for (size_t i = 0; i < n; i++)
        (void)fprintf(f, "%02x", p[i]);
    (void)fputc('"', f);
}

static bool write_citizen(const struct citizen *c)
{
    const struct options *o = c->seeding->options;
    FILE *f = c->seeding->out;

    (void)fprintf(f, "{\"subject_id\": \"%s\", \"credential_id\": \"%s\", \"key_type\": \"%s\", ", c->subject, c->credential,
                  o->key_type);
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

/* --- the steps: what each sends ---------------------------------------------------------------- */

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
    m.storage = strcmp(c->seeding->options->storage, "resident") == 0 ? KYSO__V1__KEY_STORAGE__KEY_STORAGE_RESIDENT
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
    ProtobufCBinaryData chain[] = {{.len = s->ca_der.len, .data = s->ca_der.data}};
    bool ok = ca_issue(&s->ca, ky_buf_span(&c->spki), c->subject, &der);

    m.credential_id = c->credential;
    m.certificate = (ProtobufCBinaryData){.len = der.len, .data = der.data};
    m.n_chain = 1;
    m.chain = chain;
    op->op_case = KYSO__V1__OPERATION__OP_IMPORT_CERTIFICATE;
    op->import_certificate = &m;
    ok = ok && ky_ok(operate_start(&s->operate, op, &c->call));
    ky_buf_free(&der);
    return ok;
}

/* --- and what each keeps of the result: the step after it, or STEP_SUBJECT for a result that is no good --------------- */

static bool keep_authenticator(struct citizen *c, const Kyso__V1__OperationResult *r, char out_id[ID_MAX])
{
    return r->n_authenticators == 1 && ky_span_to_cstr(ky_span_text(r->authenticators[0]->authenticator_id), out_id, ID_MAX) &&
           ky_span_to_cstr(ky_span_text(r->confirmation_code), c->code, ID_MAX);
}

static bool keep_credential(struct citizen *c, const Kyso__V1__OperationResult *r)
{
    if (r->n_credentials != 1)
        return false;
    ky_buf_put(&c->spki, r->credentials[0]->public_key.data, r->credentials[0]->public_key.len);
    return ky_span_to_cstr(ky_span_text(r->credentials[0]->credential_id), c->credential, ID_MAX) && c->spki.len > 0;
}

static enum step after_authenticators(const struct citizen *c)
{
    return c->seeding->options->devices > 0 ? STEP_DEVICE : STEP_CERTIFICATE;
}

static enum step keep(struct citizen *c, const Kyso__V1__OperationResult *r)
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

static bool start_citizen(struct citizen *c)
{
    struct seeding *s = c->seeding;

    c->spki.max = KY_SPKI_MAX;
    c->device_private.max = 512;
    ky_buf_reset(&c->spki);
    ky_buf_reset(&c->device_private);
    c->totp = 0;
    c->step = STEP_SUBJECT;
    (void)snprintf(c->subject, sizeof c->subject, "%.40s%u", s->options->prefix, ++s->started);
    return send_step(c);
}

static void step_done(void *arg, const Kyso__V1__OperationResult *result, const char *why)
{
    struct citizen *c = arg;
    struct seeding *s = c->seeding;
    enum step next;

    if (result == NULL) {
        fail(c, why);
        return;
    }
    next = keep(c, result);
    if (next == STEP_SUBJECT) {
        fail(c, "the result lacks what it should hold (is the state marked demo?)");
        return;
    }
    c->step = next;
    if (next == STEP_DONE) {
        if (!write_citizen(c))
            fail(c, "cannot write");
        s->finished++;
        if (s->started < s->options->citizens && !s->failed && !start_citizen(c))
            fail(c, "the connection is gone");
    } else if (!s->failed && !send_step(c)) {
        fail(c, "the connection is gone");
    }
}

static bool send_step(struct citizen *c)
{
    static bool (*const send[])(struct citizen *c, Kyso__V1__Operation *op) = {
        [STEP_SUBJECT] = send_subject,         [STEP_CREDENTIAL] = send_credential,
        [STEP_TOTP] = send_totp,               [STEP_TOTP_CONFIRM] = send_confirm,
        [STEP_DEVICE] = send_device,           [STEP_DEVICE_CONFIRM] = send_confirm,
        [STEP_CERTIFICATE] = send_certificate,
    };
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;

    c->call = (struct operate_call){.done = step_done, .arg = c};
    return send[c->step](c, &op);
}

static bool seed(struct seeding *s, struct citizen *citizens)
{
    const struct options *o = s->options;
    uint64_t shown = 0;
    uint64_t began = ky_now_us();

    for (unsigned i = 0; i < o->in_flight && s->started < o->citizens && !s->failed; i++) {
        citizens[i].seeding = s;
        if (!start_citizen(&citizens[i]))
            fail(&citizens[i], "the connection is gone");
    }
    while (s->finished < o->citizens && !s->failed) {
        uint64_t now = ky_now_us();

        if (!ky_ok(client_poll(&s->operate.client, 1, 1000)) && !s->failed) {
            (void)fprintf(stderr, "kyso-seed: the connection is gone\n");
            s->failed = true;
        }
        if (now - shown >= 1000000u) {
            (void)fprintf(stderr, "\r%u of %u citizens, %.0f/s   ", s->finished, o->citizens,
                          (double)s->finished * 1e6 / (double)(now - began + 1));
            shown = now;
        }
    }
    (void)fprintf(stderr, "\r%u citizens in %.1f s          \n", s->finished, (double)(ky_now_us() - began) / 1e6);
    return !s->failed;
}

static bool parse(int argc, char **argv, struct options *o)
{
    const struct {
        const char *name;
        const char **text;
        unsigned *number;
    } entries[] = {
        {"socket", &o->socket, NULL},       {"server-id", &o->server_id, NULL}, {"operator", &o->operator_id, NULL},
        {"operator-key", &o->operator_key, NULL}, {"ca", &o->ca, NULL},         {"ca-key", &o->ca_key, NULL},
        {"out", &o->out, NULL},             {"prefix", &o->prefix, NULL},       {"key-type", &o->key_type, NULL},
        {"storage", &o->storage, NULL},     {"citizens", NULL, &o->citizens},   {"totps", NULL, &o->totps},
        {"devices", NULL, &o->devices},     {"in-flight", NULL, &o->in_flight},
    };
    enum { N = sizeof entries / sizeof entries[0] };
    struct option names[N + 1] = {{NULL, 0, NULL, 0}};
    int at = 0;
    int c;

    for (int i = 0; i < N; i++)
        names[i] = (struct option){entries[i].name, required_argument, NULL, 1};
    while ((c = getopt_long(argc, argv, "", names, &at)) == 1) {
        if (entries[at].text != NULL)
            *entries[at].text = optarg;
        else
            *entries[at].number = (unsigned)strtoul(optarg, NULL, 10);
    }
    return c == -1 && optind == argc && o->socket != NULL && o->server_id != NULL && o->operator_key != NULL &&
           o->ca != NULL && o->ca_key != NULL && o->out != NULL && o->citizens >= 1 && o->totps <= TOTPS_MAX &&
           o->devices <= 1 && o->totps + o->devices >= 1 && o->in_flight >= 1 && o->in_flight <= IN_FLIGHT_MAX &&
           ky_key_type_by_name(o->key_type) != 0;
}

static bool open_all(struct seeding *s)
{
    const struct options *o = s->options;
    struct client_target target = {.unix_path = o->socket};
    char why[CLIENT_TEXT_MAX] = "";
    bool ok = ca_load(&s->ca, o->ca, o->ca_key) && ca_own_der(&s->ca, &s->ca_der);

    s->operate.server_id = o->server_id;
    s->operate.operator_id = o->operator_id;
    s->operate.key = keys_load_private(o->operator_key);
    s->out = fopen(o->out, "w");
    if (!ok || s->operate.key == NULL || s->out == NULL) {
        (void)fprintf(stderr, "kyso-seed: cannot read %s, %s or %s, or write %s\n", o->ca, o->ca_key, o->operator_key, o->out);
        return false;
    }
    ok = ky_ok(client_open(&target, 10000000u, &s->operate.client, why));
    if (!ok)
        (void)fprintf(stderr, "kyso-seed: %s\n", why);
    return ok;
}

int main(int argc, char **argv)
{
    struct options o = {.operator_id = "demo", .prefix = "citizen-", .key_type = "p256", .storage = "wrapped",
                        .citizens = 100, .totps = 1, .in_flight = 64};
    struct seeding s = {.options = &o, .ca_der = KY_BUF_INIT(KY_CERTIFICATE_MAX)};
    struct citizen *citizens = calloc(IN_FLIGHT_MAX, sizeof *citizens);
    bool ok = citizens != NULL;

    (void)signal(SIGPIPE, SIG_IGN);
    if (!parse(argc, argv, &o)) {
        (void)fprintf(stderr,
                      "usage: kyso-seed --socket PATH --server-id ID --operator-key PEM --ca PEM --ca-key PEM --out FILE\n"
                      "    [--operator demo] [--citizens 100] [--totps 1 (0..15)] [--devices 0|1] [--key-type p256]\n"
                      "    [--storage wrapped|resident] [--prefix citizen-] [--in-flight 64]\n");
        free(citizens);
        return 2;
    }
    ok = ok && open_all(&s) && seed(&s, citizens);
    s.failed = true; /* what still comes starts nothing */
    client_close(&s.operate.client);
    for (unsigned i = 0; citizens != NULL && i < IN_FLIGHT_MAX; i++) {
        ky_buf_free(&citizens[i].spki);
        ky_buf_free(&citizens[i].device_private);
    }
    free(citizens);
    EVP_PKEY_free(s.operate.key);
    ca_free(&s.ca);
    ky_buf_free(&s.ca_der);
    if (s.out != NULL && fclose(s.out) != 0)
        ok = false;
    return ok ? 0 : 1;
}
