/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's messages as JSON objects: what --json prints, and what text is laid out from.
 */
#include <string.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/x509.h>

#include "cli.h"
#include "kyso/alg.h"

static const char *const credential_states[] = {"unknown",   "created", "active",
                                                "suspended", "expired", "destroyed",
                                                "revoked"};
static const char *const transaction_states[] = {"unknown",  "pending", "authorized", "spent",
                                                 "rejected", "expired", "cancelled"};
static const char *const storages[] = {"unknown", "wrapped", "resident"};
static const char *const otp_hashes[] = {"sha1", "sha256", "sha512"};

#define NAME_OF(table, v) ((size_t)(v) < sizeof(table) / sizeof(table)[0] ? (table)[v] : "unknown")

const char *show_transaction_state(Kyso__V1__TransactionState s)
{
    return NAME_OF(transaction_states, s);
}

static json_t *texts(size_t n, char *const *list)
{
    json_t *a = json_array();

    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(a, json_string(list[i]));
    return a;
}

/* RFC 2253 order and escapes, but names stay in their own script. */
static json_t *show_name(const X509_NAME *name)
{
    BIO *b = BIO_new(BIO_s_mem());
    char *text = NULL;
    json_t *v = NULL;

    if (b != NULL && X509_NAME_print_ex(b, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0) {
        long n = BIO_get_mem_data(b, &text);

        v = json_stringn(text, (size_t)n); /* NULL when it is not UTF-8 */
    }
    BIO_free(b);
    return v != NULL ? v : json_string("unreadable");
}

void show_certificate(json_t *o, struct ky_span der)
{
    const unsigned char *p = der.data;
    X509 *x = d2i_X509(NULL, &p, (long)der.len);
    struct tm until;
    char text[32];

    if (x != NULL && ASN1_TIME_to_tm(X509_get0_notAfter(x), &until) == 1) {
        (void)json_object_set_new(o, "certificate_subject", show_name(X509_get_subject_name(x)));
        (void)json_object_set_new(o, "certificate_issuer", show_name(X509_get_issuer_name(x)));
        (void)json_object_set_new(o, "certificate_until",
                                  json_string(output_time((int64_t)timegm(&until), text)));
    }
    X509_free(x);
}

static json_t *show_chain(const Kyso__V1__Credential *c)
{
    json_t *chain = json_array();

    for (size_t i = 0; i < c->n_chain; i++)
        (void)json_array_append_new(chain,
                                    output_base64(KY_SPAN(c->chain[i].data, c->chain[i].len)));
    return chain;
}

json_t *show_credential(const Kyso__V1__Credential *c, bool bytes)
{
    const struct ky_key_info *k = ky_key_info((uint8_t)c->key_type);
    json_t *o =
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:i,s:i}", "credential", c->credential_id, "subject",
                  c->subject_id, "key_type", k != NULL ? k->name : "unknown", "storage",
                  NAME_OF(storages, c->storage), "state", NAME_OF(credential_states, c->state),
                  "epoch", (int)c->epoch, "max_hashes", (int)c->max_hashes);

    if (c->certificate.len > 0)
        show_certificate(o, KY_SPAN(c->certificate.data, c->certificate.len));
    if (bytes) {
        (void)json_object_set_new(o, "public_key",
                                  output_base64(KY_SPAN(c->public_key.data, c->public_key.len)));
        (void)json_object_set_new(o, "certificate",
                                  output_base64(KY_SPAN(c->certificate.data, c->certificate.len)));
        (void)json_object_set_new(o, "chain", show_chain(c));
    }
    return o;
}

json_t *show_client(const Kyso__V1__Client *c)
{
    const Kyso__V1__AddClient *a = c->settings;
    json_t *o;
    json_t *pins = json_array();
    json_t *proofs = json_array();

    if (a == NULL) {
        json_decref(proofs);
        json_decref(pins);
        return json_object();
    }
    for (size_t i = 0; i < a->n_spki_sha256; i++)
        (void)json_array_append_new(
            pins, output_hex(KY_SPAN(a->spki_sha256[i].data, a->spki_sha256[i].len)));
    if (a->allow_totp)
        (void)json_array_append_new(proofs, json_string("totp"));
    if (a->allow_approval)
        (void)json_array_append_new(proofs, json_string("approval"));
    o = json_pack("{s:s,s:s,s:s,s:o,s:o,s:o,s:o,s:i,s:b}", "client", a->name, "may",
                  a->may_sign      ? "sign"
                  : a->may_approve ? "approve"
                                   : "nothing",
                  "state",
                  c->removed     ? "removed"
                  : c->suspended ? "suspended"
                                 : "active",
                  "proofs", proofs, "delegate", texts(a->n_relying_parties, a->relying_parties),
                  "subjects", texts(a->n_subjects, a->subjects), "spki_sha256", pins, "max_hashes",
                  (int)a->max_hashes, "signed_requests", a->request_key.len > 0);
    return o;
}

json_t *show_authenticator(const Kyso__V1__Authenticator *a)
{
    json_t *o = json_pack("{s:s,s:s,s:s,s:s}", "authenticator", a->authenticator_id, "subject",
                          a->subject_id, "kind", a->kind, "state", a->state);

    if (a->label != NULL && a->label[0] != '\0')
        (void)json_object_set_new(o, "label", json_string(a->label));
    if (a->kind != NULL && strcmp(a->kind, "totp") == 0) {
        (void)json_object_set_new(o, "digits", json_integer(a->digits));
        (void)json_object_set_new(o, "hash", json_string(NAME_OF(otp_hashes, a->hash)));
    }
    return o;
}

json_t *show_user(const Kyso__V1__User *u)
{
    static const char *const roles[] = {"unknown", "security-officer", "administrator", "operator",
                                        "auditor"};
    json_t *o = json_pack("{s:s,s:s,s:s}", "user", u->name, "role", NAME_OF(roles, u->role), "state",
                          u->removed                                               ? "removed"
                          : u->not_after != 0 && u->not_after < (int64_t)time(NULL) ? "expired"
                                                                                    : "active");

    show_certificate(o, KY_SPAN(u->certificate.data, u->certificate.len));
    return o;
}

static json_t *show_role(const Kyso__V1__RoleStatus *r)
{
    return json_pack("{s:s,s:i,s:s,s:I,s:I}", "role", r->role, "index", (int)r->index, "state",
                     r->state, "restarts", (json_int_t)r->restarts, "jobs", (json_int_t)r->jobs);
}

const char *show_key_type(Kyso__V1__KeyType type)
{
    const struct ky_key_info *k = ky_key_info((uint8_t)type);

    return k != NULL ? k->name : "unknown";
}

static json_t *show_pool(const Kyso__V1__Status *s)
{
    json_t *pool = json_object();

    for (size_t i = 0; i < s->n_pool; i++)
        (void)json_object_set_new(pool, show_key_type(s->pool[i]->key_type),
                                  json_pack("{s:i,s:i}", "keys", (int)s->pool[i]->keys, "wanted",
                                            (int)s->pool[i]->wanted));
    return pool;
}

json_t *show_status(const Kyso__V1__Status *s)
{
    json_t *roles = json_array();
    json_t *o;

    for (size_t i = 0; i < s->n_roles; i++)
        (void)json_array_append_new(roles, show_role(s->roles[i]));
    o = json_pack(
        "{s:s,s:s,s:b,s:b,s:s,s:I,s:o,s:I,s:I,s:I,s:I,s:i,s:i,s:I,s:I,s:o,s:o,s:s,s:b,s:o}", "server",
        s->server_id, "version", s->version, "demo", s->demo, "sealed", s->sealed, "sealed_reason",
        s->sealed_reason, "ledger_size", (json_int_t)s->ledger_size, "ledger_root",
        output_hex(KY_SPAN(s->ledger_root.data, s->ledger_root.len)), "uptime_s",
        (json_int_t)s->uptime_s, "turns", (json_int_t)s->turns, "signatures",
        (json_int_t)s->signatures, "denials", (json_int_t)s->denials, "queue", (int)s->queue,
        "in_flight", (int)s->in_flight, "subjects", (json_int_t)s->subjects, "credentials",
        (json_int_t)s->credentials, "roles", roles, "ledger_public_key",
        output_base64(KY_SPAN(s->ledger_public_key.data, s->ledger_public_key.len)), "checkpoint",
        s->checkpoint, "codes_suspended", s->codes_suspended, "pool", show_pool(s));
    (void)json_object_update_new(
        o, json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:i,s:i,s:i,s:s,s:I}", "token", s->token, "anchor_size",
                     (json_int_t)s->anchor_size, "anchor_age_ms", (json_int_t)s->anchor_age_ms, "checkpoint_size",
                     (json_int_t)s->checkpoint_size, "checkpoint_age_ms", (json_int_t)s->checkpoint_age_ms,
                     "signatures_per_min", (json_int_t)s->signatures_per_min, "denials_per_min", (json_int_t)s->denials_per_min,
                     "transactions", (int)s->transactions, "suspended_clients", (int)s->suspended_clients,
                     "certificates_expiring", (int)s->expiring, "clock", s->clock, "clock_error_us",
                     (json_int_t)s->clock_error_us));
    if (s->backup[0] != '\0')
        (void)json_object_set_new(o, "backup", json_string(s->backup));
    if (s->crl != NULL && s->crl[0] != '\0')
        (void)json_object_set_new(o, "crl", json_string(s->crl));
    return o;
}

void show_credentials(struct cli *cli, bool expiring, json_t *rows)
{
    static const struct output_column columns[] = {
        {"credential", "CREDENTIAL"}, {"subject", "SUBJECT"}, {"key_type", "KEY"},
        {"storage", "STORAGE"},       {"state", "STATE"},     {"epoch", "EPOCH"},
        {NULL, NULL},
    };
    static const struct output_column renew[] = {
        {"certificate_until", "UNTIL"}, {"credential", "CREDENTIAL"}, {"subject", "SUBJECT"},
        {"key_type", "KEY"},            {"state", "STATE"},           {NULL, NULL},
    };

    output_table(cli, "credentials", rows, expiring ? renew : columns);
}
