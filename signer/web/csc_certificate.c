/* SPDX-License-Identifier: Apache-2.0 */
/* A credential as the API shows it: key, certificates, and how its owner authorizes. The loop's thread. */
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "base64.h"
#include "csc.h"

#define CERTIFICATE_TEXT_MAX (2u * KY_CERTIFICATE_MAX)

static json_t *base64_json(struct ky_span bytes)
{
    struct ky_buf text = KY_BUF_INIT(CERTIFICATE_TEXT_MAX);
    json_t *out;

    base64_put(&text, bytes);
    out = text.failed ? NULL : json_stringn((const char *)text.data, text.len);
    ky_buf_free(&text);
    return out;
}

/* RFC 4514, in UTF-8. */
static json_t *name_json(const X509_NAME *name)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    long n = 0;
    json_t *out;

    if (bio != NULL && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) >= 0)
        n = BIO_get_mem_data(bio, &text);
    out = json_stringn(n > 0 ? text : "", (size_t)n); /* NULL when it is no UTF-8 */
    BIO_free(bio);
    return out != NULL ? out : json_string("");
}

static json_t *time_json(const ASN1_TIME *t)
{
    struct tm tm;
    char text[32] = "";

    if (ASN1_TIME_to_tm(t, &tm) == 1)
        (void)strftime(text, sizeof(text), "%Y%m%d%H%M%SZ", &tm);
    return json_string(text);
}

static json_t *serial_json(const X509 *x)
{
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
    char *hex = number != NULL ? BN_bn2hex(number) : NULL;
    json_t *out = json_string(hex != NULL ? hex : "");

    OPENSSL_free(hex);
    BN_free(number);
    return out;
}

static void add_details(json_t *cert, struct ky_span der)
{
    const unsigned char *at = der.data;
    X509 *x = d2i_X509(NULL, &at, (long)der.len);

    if (x != NULL)
        (void)json_object_update_new(
            cert, json_pack("{s:o,s:o,s:o,s:o,s:o}", "issuerDN", name_json(X509_get_issuer_name(x)), "serialNumber",
                            serial_json(x), "subjectDN", name_json(X509_get_subject_name(x)), "validFrom",
                            time_json(X509_get0_notBefore(x)), "validTo", time_json(X509_get0_notAfter(x))));
    X509_free(x);
    ERR_clear_error(); /* TLS on this thread reads the same queue */
}

static const char *certificate_status(int state)
{
    switch (state) {
    case KYSO__V1__CREDENTIAL_STATE__CREDENTIAL_STATE_ACTIVE:
        return "valid";
    case KYSO__V1__CREDENTIAL_STATE__CREDENTIAL_STATE_EXPIRED:
        return "expired";
    case KYSO__V1__CREDENTIAL_STATE__CREDENTIAL_STATE_SUSPENDED:
        return "suspended";
    case KYSO__V1__CREDENTIAL_STATE__CREDENTIAL_STATE_REVOKED:
    case KYSO__V1__CREDENTIAL_STATE__CREDENTIAL_STATE_DESTROYED:
        return "revoked";
    default:
        return NULL;
    }
}

static json_t *certificate_json(const Kyso__V1__Credential *m, const char *which, bool details)
{
    const struct ky_span der = KY_SPAN(m->certificate.data, m->certificate.len);
    const char *status = certificate_status((int)m->state);
    json_t *cert = json_object(), *list;

    if (status != NULL && der.len > 0)
        (void)json_object_set_new(cert, "status", json_string(status));
    if (strcmp(which, "none") != 0) {
        list = json_array();
        if (der.len > 0)
            (void)json_array_append_new(list, base64_json(der));
        for (size_t i = 0; strcmp(which, "chain") == 0 && i < m->n_chain; i++)
            (void)json_array_append_new(list, base64_json(KY_SPAN(m->chain[i].data, m->chain[i].len)));
        (void)json_object_set_new(cert, "certificates", list);
    }
    if (details && der.len > 0)
        add_details(cert, der);
    return cert;
}

static json_t *key_json(const Kyso__V1__Credential *m)
{
    const struct ky_key_info *key = ky_key_info((uint8_t)m->key_type);
    const bool active = m->state == KYSO__V1__CREDENTIAL_STATE__CREDENTIAL_STATE_ACTIVE;
    json_t *o = json_pack("{s:s,s:o,s:i}", "status", active ? "enabled" : "disabled", "algo",
                          csc_key_algorithms((int)m->key_type), "len", key != NULL ? key->bits : 0);

    if (o != NULL && csc_curve((int)m->key_type) != NULL)
        (void)json_object_set_new(o, "curve", json_string(csc_curve((int)m->key_type)));
    return o;
}

static json_t *authorization_json(unsigned version, bool details)
{
    json_t *otp;

    if (!details)
        return version == 1 ? json_pack("{s:s}", "authMode", "explicit")
                            : json_pack("{s:{s:s}}", "auth", "mode", "explicit");
    otp = json_pack("{s:s,s:s,s:s,s:s}", "format", "N", "label", "OTP", "description",
                    "The code of the citizen's generator; without it their device is asked", "type",
                    version == 1 ? "offline" : "Password");
    if (version == 2) {
        (void)json_object_update_new(otp, json_pack("{s:s,s:s}", "id", "OTP", "generator", "totp"));
        return json_pack("{s:{s:s,s:s,s:[o]}}", "auth", "mode", "explicit", "expression", "OTP", "objects", otp);
    }
    (void)json_object_set_new(otp, "presence", json_string("optional"));
    return json_pack("{s:s,s:{s:s},s:o}", "authMode", "explicit", "PIN", "presence", "false", "OTP", otp);
}

json_t *csc_credential_json(const struct csc_call *c, const Kyso__V1__Credential *m, const char *certificates,
                            bool cert_info, bool auth_info)
{
    json_t *o = json_pack("{s:o,s:o,s:s,s:i,s:s}", "key", key_json(m), "cert",
                          certificate_json(m, certificates, cert_info), "SCAL", "2", "multisign",
                          (int)(m->max_hashes != 0 ? m->max_hashes : KY_HASHES_MAX), "lang",
                          c->web->config->service.lang);

    if (o != NULL)
        (void)json_object_update_new(o, authorization_json(c->version, auth_info));
    return o;
}
