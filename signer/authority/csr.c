/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PKCS #10 request in two steps with a vault between them. Both steps build the same
 * CertificationRequestInfo from the same inputs, so nothing but the inputs has to be kept while the vault signs.
 * Keeps: I1 (the bytes are ours alone), I7 (the finished request verifies, or is withheld).
 */
#include "csr.h"

#include <openssl/evp.h>

#include "kyso/wire.h"

static const struct {
    struct ky_algorithm algorithm;
    int nid;              /* signatureAlgorithm */
    bool null_parameters; /* RFC 4055 s.5: NULL for RSA; RFC 5758 s.3.2: absent for ECDSA */
} csr_algorithms[KY_KEY_TYPE_COUNT] = {
    [KY_KEY_P256] = {{.scheme = KY_ECDSA, .hash = KY_SHA256}, NID_ecdsa_with_SHA256, false},
    [KY_KEY_P384] = {{.scheme = KY_ECDSA, .hash = KY_SHA384}, NID_ecdsa_with_SHA384, false},
    [KY_KEY_RSA2048] = {{.scheme = KY_RSA_PKCS1, .hash = KY_SHA256},
                        NID_sha256WithRSAEncryption,
                        true},
    [KY_KEY_RSA3072] = {{.scheme = KY_RSA_PKCS1, .hash = KY_SHA256},
                        NID_sha256WithRSAEncryption,
                        true},
    [KY_KEY_RSA4096] = {{.scheme = KY_RSA_PKCS1, .hash = KY_SHA256},
                        NID_sha256WithRSAEncryption,
                        true},
    [KY_KEY_ED25519] = {{.scheme = KY_EDDSA}, NID_ED25519, false},
};

struct ky_status csr_algorithm(uint8_t key_type, struct ky_algorithm *out_algorithm)
{
    if (key_type >= KY_KEY_TYPE_COUNT || csr_algorithms[key_type].nid == 0)
        return KY_STATUS(KY_UNIMPLEMENTED);
    *out_algorithm = csr_algorithms[key_type].algorithm;
    return KY_STATUS(KY_OK);
}

/* X.690 s.8.1.3: a definite length in as few bytes as it needs. */
static void put_header(struct ky_buf *out, uint8_t tag, size_t len)
{
    ky_put_u8(out, tag);
    if (len >= 0x80)
        ky_put_u8(out, len > 0xff ? 0x82 : 0x81);
    if (len > 0xff)
        ky_put_u8(out, (uint8_t)(len >> 8));
    ky_put_u8(out, (uint8_t)len);
}

static void put_span(struct ky_buf *out, struct ky_span s)
{
    ky_buf_put(out, s.data, s.len);
}

/* CertificationRequestInfo (RFC 2986 s.4.1), put together from parts that are DER already: no key is decoded for it. */
static struct ky_status csr_build(const struct csr_request *r, struct ky_buf *out)
{
    static const uint8_t version[] = {0x02, 0x01, 0x00};
    static const uint8_t no_attributes[] = {0xa0, 0x00};
    struct ky_status status = KY_STATUS(KY_INVALID);
    X509_NAME *name = NULL;
    uint8_t *name_der = NULL;
    int name_len = 0;

    if (r->public_key.len == 0 || r->public_key.len > KY_SPKI_MAX)
        return status;
    status = dn_parse(r->subject_dn, &name);
    if (!ky_ok(status))
        return status;
    name_len = i2d_X509_NAME(name, &name_der);
    if (name_len > 0) {
        put_header(out, 0x30,
                   sizeof(version) + (size_t)name_len + r->public_key.len + sizeof(no_attributes));
        put_span(out, KY_SPAN_OF(version));
        put_span(out, KY_SPAN(name_der, (size_t)name_len));
        put_span(out, r->public_key);
        put_span(out, KY_SPAN_OF(no_attributes));
    }
    status = name_len > 0 && !out->failed ? KY_STATUS(KY_OK) : KY_STATUS(KY_NOMEM);
    OPENSSL_free(name_der);
    X509_NAME_free(name);
    return status;
}

static void put_input(const struct ky_algorithm *a, struct ky_span tbs, struct ky_buf *out)
{
    uint8_t digest[KY_DIGEST_MAX];
    unsigned len = 0;

    if (a->hash == KY_HASH_NONE)
        ky_buf_put(out, tbs.data, tbs.len);
    else if (EVP_Digest(tbs.data, tbs.len, digest, &len,
                        EVP_get_digestbyname(ky_hash_name(a->hash)), NULL) == 1)
        ky_buf_put(out, digest, len);
    else
        out->failed = true;
}

struct ky_status csr_input(const struct csr_request *r, struct ky_buf *out)
{
    struct ky_buf tbs = KY_BUF_INIT(CSR_DER_MAX);
    struct ky_algorithm algorithm;
    struct ky_status status = csr_algorithm(r->key_type, &algorithm);

    if (ky_ok(status))
        status = csr_build(r, &tbs);
    if (ky_ok(status)) {
        put_input(&algorithm, ky_buf_span(&tbs), out);
        status = out->failed ? KY_STATUS(KY_NOMEM) : status;
    }
    ky_buf_free(&tbs);
    return status;
}

static bool put_algorithm(const struct csr_request *r, struct ky_buf *out)
{
    X509_ALGOR *algorithm = X509_ALGOR_new();
    uint8_t *der = NULL;
    int len = 0;

    if (algorithm != NULL &&
        X509_ALGOR_set0(algorithm, OBJ_nid2obj(csr_algorithms[r->key_type].nid),
                        csr_algorithms[r->key_type].null_parameters ? V_ASN1_NULL : V_ASN1_UNDEF,
                        NULL) == 1)
        len = i2d_X509_ALGOR(algorithm, &der);
    if (len > 0)
        ky_buf_put(out, der, (size_t)len);
    OPENSSL_free(der);
    X509_ALGOR_free(algorithm);
    return len > 0;
}

/* PKCS #10 wants ECDSA in DER; vaults give it raw. */
static bool put_signature(const struct csr_request *r, struct ky_span raw, struct ky_buf *out)
{
    const struct ky_key_info *info = ky_key_info(r->key_type);
    uint8_t der[KY_SIG_MAX + 16];
    struct ky_span value = raw;
    size_t len = 0;

    if (info == NULL || raw.len != info->sig_len)
        return false;
    if (csr_algorithms[r->key_type].algorithm.scheme == KY_ECDSA) {
        if (!ky_ok(ky_ecdsa_raw_to_der(raw, der, sizeof(der), &len)))
            return false;
        value = KY_SPAN(der, len);
    }
    put_header(out, 0x03, value.len + 1);
    ky_put_u8(out, 0); /* unused bits */
    put_span(out, value);
    return true;
}

static bool verifies(struct ky_span der)
{
    const uint8_t *p = der.data;
    X509_REQ *req = d2i_X509_REQ(NULL, &p, (long)der.len);
    bool ok = req != NULL && p == der.data + der.len &&
              X509_REQ_verify(req, X509_REQ_get0_pubkey(req)) == 1;

    X509_REQ_free(req);
    return ok;
}

struct ky_status csr_assemble(const struct csr_request *r, struct ky_span raw_signature,
                              struct ky_buf *out_der)
{
    struct ky_buf body = KY_BUF_INIT(CSR_DER_MAX);
    struct ky_buf der = KY_BUF_INIT(CSR_DER_MAX);
    struct ky_algorithm algorithm;
    struct ky_status status = csr_algorithm(r->key_type, &algorithm);

    if (ky_ok(status))
        status = csr_build(r, &body);
    if (!ky_ok(status))
        goto done;
    status = KY_STATUS(KY_TOKEN_WRONG_SIGNATURE);
    if (!put_algorithm(r, &body) || !put_signature(r, raw_signature, &body) || body.failed)
        goto done;
    put_header(&der, 0x30, body.len);
    put_span(&der, ky_buf_span(&body));
    if (der.failed || !verifies(ky_buf_span(&der)))
        goto done;
    put_span(out_der, ky_buf_span(&der));
    status = out_der->failed ? KY_STATUS(KY_NOMEM) : KY_STATUS(KY_OK);
done:
    ky_buf_free(&der);
    ky_buf_free(&body);
    return status;
}
