/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CMS EnvelopedData by OpenSSL, with what it would choose for an old reader's sake chosen better: no SHA-1, no PKCS #1 v1.5.
 * The text is the caller's to wipe; OpenSSL wipes the content key. CMS_encrypt() and CMS_final() would leave a copy of the text in
 * memory that they free: the text is written to the cipher itself.
 */
#include "envelope.h"

#include <openssl/cms.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "kyso/alg.h"

#define CMS_MOST                                                                                   \
    384u /* of an envelope, without text, issuer's name and what is as long as the key */

static const struct {
    int key;           /* EVP_PKEY_base_id */
    const char *group; /* as OpenSSL calls it; RSA has none */
    int least_bits;
    uint32_t usage; /* what a key usage extension must allow (RFC 5280 s.4.2.1.3) */
} kinds[] = {
    {EVP_PKEY_EC, "prime256v1", 256, KU_KEY_AGREEMENT},
    {EVP_PKEY_EC, "secp384r1", 384, KU_KEY_AGREEMENT},
    {EVP_PKEY_EC, "secp521r1", 521, KU_KEY_AGREEMENT},
    {EVP_PKEY_RSA, "", 2048, KU_KEY_ENCIPHERMENT},
};

static const char *reader_problem(X509 *x, uint64_t now_s)
{
    EVP_PKEY *key = X509_get0_pubkey(x);
    char group[32] = "";
    time_t now = (time_t)now_s;

    /* 0 says that it cannot be read */
    if (X509_cmp_time(X509_get0_notBefore(x), &now) >= 0 ||
        X509_cmp_time(X509_get0_notAfter(x), &now) <= 0)
        return "seal_to: the certificate is not valid now";
    if (key != NULL)
        (void)EVP_PKEY_get_group_name(key, group, sizeof(group), NULL);
    for (size_t i = 0; key != NULL && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (EVP_PKEY_base_id(key) != kinds[i].key || strcmp(group, kinds[i].group) != 0 ||
            EVP_PKEY_bits(key) < kinds[i].least_bits)
            continue;
        return (X509_get_key_usage(x) & kinds[i].usage) != 0
                   ? NULL
                   : "seal_to: the certificate's key usage does not allow it";
    }
    return "seal_to: the certificate's key is neither P-256, P-384, P-521 nor RSA from 2048 bits";
}

struct ky_status envelope_reader_load(struct ky_span der, uint64_t now_s,
                                      struct envelope_reader *out_reader, const char **out_why)
{
    const uint8_t *p = der.data;
    X509 *x = d2i_X509(NULL, &p, (long)der.len);

    *out_why = "seal_to is not a DER certificate";
    if (x != NULL && p == der.data + der.len)
        *out_why = reader_problem(x, now_s);
    if (*out_why != NULL) {
        X509_free(x);
        return KY_STATUS(KY_INVALID);
    }
    out_reader->certificate = x;
    ky_sha256(der, out_reader->sha256);
    return KY_STATUS(KY_OK);
}

size_t envelope_most(const struct envelope_reader *reader, size_t text_len)
{
    X509 *x = reader->certificate;

    return text_len + CMS_MOST + (size_t)EVP_PKEY_size(X509_get0_pubkey(x)) +
           (size_t)i2d_X509_NAME(X509_get_issuer_name(x), NULL);
}

static bool set_algorithms(CMS_RecipientInfo *r, X509 *certificate)
{
    EVP_PKEY_CTX *c = CMS_RecipientInfo_get0_pkey_ctx(r);

    if (c == NULL)
        return false;
    if (EVP_PKEY_base_id(X509_get0_pubkey(certificate)) == EVP_PKEY_EC)
        return EVP_PKEY_CTX_set_ecdh_kdf_md(c, EVP_sha256()) == 1;
    return EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_OAEP_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_oaep_md(c, EVP_sha256()) == 1;
}

struct ky_status envelope_seal(const struct envelope_reader *reader, struct ky_span text,
                               struct ky_buf *out)
{
    struct ky_status status = KY_STATUS(KY_INTERNAL);
    CMS_ContentInfo *cms = CMS_EnvelopedData_create(EVP_aes_256_cbc());
    BIO *cipher = NULL;
    CMS_RecipientInfo *r = NULL;
    uint8_t *der = NULL;
    int len = 0;

    if (cms == NULL || CMS_set_detached(cms, 0) != 1)
        goto done;
    r = CMS_add1_recipient_cert(cms, reader->certificate, CMS_KEY_PARAM);
    if (r == NULL || !set_algorithms(r, reader->certificate) ||
        (cipher = CMS_dataInit(cms, NULL)) == NULL ||
        BIO_write(cipher, text.data, (int)text.len) != (int)text.len || BIO_flush(cipher) != 1 ||
        CMS_dataFinal(cms, cipher) != 1)
        goto done;
    len = i2d_CMS_ContentInfo(cms, &der);
    if (len <= 0)
        goto done;
    ky_buf_put(out, der, (size_t)len);
    status = out->failed ? KY_STATUS(KY_NOMEM) : KY_STATUS(KY_OK);
done:
    OPENSSL_free(der);
    BIO_free_all(cipher);
    CMS_ContentInfo_free(cms);
    return status;
}
