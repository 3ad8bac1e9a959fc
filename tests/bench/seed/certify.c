/* SPDX-License-Identifier: Apache-2.0 */
/* The same profile that deploy/lib/issue-certificate gives. */
#include "certify.h"

#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "keys.h"

#define YEAR_S 31536000L

bool ca_load(struct ca *ca, const char *certificate, const char *key)
{
    *ca = (struct ca){.key = keys_load_private(key)};
    if (keys_load_certificates(certificate, &ca->certificate, 1) != 1)
        ca->certificate = NULL;
    return ca->certificate != NULL && ca->key != NULL &&
           RAND_bytes((unsigned char *)&ca->serial, 7) == 1;
}

void ca_free(struct ca *ca)
{
    X509_free(ca->certificate);
    EVP_PKEY_free(ca->key);
    *ca = (struct ca){.serial = 0};
}

static bool extend(X509 *x, const struct ca *ca, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *e;
    bool ok;

    X509V3_set_ctx(&ctx, ca->certificate, x, NULL, NULL, 0);
    e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    ok = e != NULL && X509_add_ext(x, e, -1) == 1;
    X509_EXTENSION_free(e);
    return ok;
}

static bool append(X509 *x, struct ky_buf *out)
{
    int n = i2d_X509(x, NULL);
    uint8_t *p = n > 0 ? ky_buf_grow(out, (size_t)n) : NULL;

    return p != NULL && i2d_X509(x, &p) == n;
}

bool ca_issue(struct ca *ca, struct ky_span spki, const char *common_name, struct ky_buf *out_der)
{
    const uint8_t *p = spki.data;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)spki.len);
    X509 *x = X509_new();
    X509_NAME *name = x != NULL ? X509_get_subject_name(x) : NULL;
    bool ok = key != NULL && name != NULL && X509_set_version(x, X509_VERSION_3) == 1 &&
              ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), ++ca->serial) == 1 &&
              X509_gmtime_adj(X509_getm_notBefore(x), -60) != NULL &&
              X509_gmtime_adj(X509_getm_notAfter(x), YEAR_S) != NULL &&
              X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                         (const unsigned char *)common_name, -1, -1, 0) == 1 &&
              X509_set_issuer_name(x, X509_get_subject_name(ca->certificate)) == 1 &&
              X509_set_pubkey(x, key) == 1 &&
              extend(x, ca, NID_basic_constraints, "critical,CA:FALSE") &&
              extend(x, ca, NID_key_usage, "critical,digitalSignature,nonRepudiation") &&
              extend(x, ca, NID_subject_key_identifier, "hash") &&
              extend(x, ca, NID_authority_key_identifier, "keyid") &&
              X509_sign(x, ca->key, EVP_sha256()) > 0 && append(x, out_der);

    X509_free(x);
    EVP_PKEY_free(key);
    return ok;
}
