/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PKCS #10 request in two steps with a vault between them. Both steps build the same
 * CertificationRequestInfo from the same inputs, so nothing but the inputs has to be kept while the vault signs.
 * Keeps: I1 (the bytes are ours alone), I7 (the finished request verifies, or is withheld).
 */
#include "csr.h"

#include <openssl/evp.h>

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

static struct ky_status csr_build(const struct csr_request *r, X509_REQ **out_req)
{
    struct ky_status status = KY_STATUS(KY_INVALID);
    const uint8_t *p = r->public_key.data;
    X509_NAME *name = NULL;
    EVP_PKEY *key = NULL;
    X509_REQ *req = NULL;

    status = dn_parse(r->subject_dn, &name);
    if (!ky_ok(status))
        goto done;
    status = KY_STATUS(KY_INVALID);
    if (r->public_key.len == 0 || r->public_key.len > KY_SPKI_MAX)
        goto done;
    key = d2i_PUBKEY(NULL, &p, (long)r->public_key.len);
    if (key == NULL || p != r->public_key.data + r->public_key.len)
        goto done;
    req = X509_REQ_new();
    if (req == NULL || X509_REQ_set_version(req, X509_REQ_VERSION_1) != 1 ||
        X509_REQ_set_subject_name(req, name) != 1 || X509_REQ_set_pubkey(req, key) != 1)
        goto done;
    *out_req = req;
    req = NULL;
    status = KY_STATUS(KY_OK);
done:
    X509_REQ_free(req);
    EVP_PKEY_free(key);
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
    struct ky_algorithm algorithm;
    X509_REQ *req = NULL;
    uint8_t *tbs = NULL;
    struct ky_status status = csr_algorithm(r->key_type, &algorithm);

    if (!ky_ok(status))
        return status;
    status = csr_build(r, &req);
    if (!ky_ok(status))
        return status;
    int tbs_len = i2d_re_X509_REQ_tbs(req, &tbs);
    if (tbs_len > 0)
        put_input(&algorithm, KY_SPAN(tbs, (size_t)tbs_len), out);
    status = tbs_len > 0 && !out->failed ? KY_STATUS(KY_OK) : KY_STATUS(KY_NOMEM);
    OPENSSL_free(tbs);
    X509_REQ_free(req);
    return status;
}

/* PKCS #10 wants ECDSA in DER; vaults give it raw. */
static ASN1_BIT_STRING *signature_bits(const struct csr_request *r, struct ky_span raw)
{
    uint8_t der[KY_SIG_MAX + 16];
    struct ky_span value = raw;
    size_t len = 0;
    const struct ky_key_info *info = ky_key_info(r->key_type);

    if (info == NULL || raw.len != info->sig_len)
        return NULL;
    if (csr_algorithms[r->key_type].algorithm.scheme == KY_ECDSA) {
        if (!ky_ok(ky_ecdsa_raw_to_der(raw, der, sizeof(der), &len)))
            return NULL;
        value = KY_SPAN(der, len);
    }
    ASN1_BIT_STRING *bits = ASN1_BIT_STRING_new();
    if (bits == NULL || ASN1_STRING_set(bits, value.data, (int)value.len) != 1) {
        ASN1_BIT_STRING_free(bits);
        return NULL;
    }
    bits->flags &=
        ~(ASN1_STRING_FLAG_BITS_LEFT | 0x07); /* whole bytes, whatever their last bits are */
    bits->flags |= ASN1_STRING_FLAG_BITS_LEFT;
    return bits;
}

static bool set_signature(X509_REQ *req, const struct csr_request *r, struct ky_span raw)
{
    ASN1_BIT_STRING *bits = signature_bits(r, raw);
    X509_ALGOR *algorithm = X509_ALGOR_new();
    bool ok =
        bits != NULL && algorithm != NULL &&
        X509_ALGOR_set0(algorithm, OBJ_nid2obj(csr_algorithms[r->key_type].nid),
                        csr_algorithms[r->key_type].null_parameters ? V_ASN1_NULL : V_ASN1_UNDEF,
                        NULL) == 1 &&
        X509_REQ_set1_signature_algo(req, algorithm) == 1;

    if (ok)
        X509_REQ_set0_signature(req, bits);
    else
        ASN1_BIT_STRING_free(bits);
    X509_ALGOR_free(algorithm);
    return ok;
}

struct ky_status csr_assemble(const struct csr_request *r, struct ky_span raw_signature,
                              struct ky_buf *out_der)
{
    struct ky_algorithm algorithm;
    X509_REQ *req = NULL;
    uint8_t *der = NULL;
    struct ky_status status = csr_algorithm(r->key_type, &algorithm);

    if (!ky_ok(status))
        return status;
    status = csr_build(r, &req);
    if (!ky_ok(status))
        return status;
    status = KY_STATUS(KY_TOKEN_WRONG_SIGNATURE);
    if (!set_signature(req, r, raw_signature) ||
        X509_REQ_verify(req, X509_REQ_get0_pubkey(req)) != 1)
        goto done;
    int len = i2d_X509_REQ(req, &der);
    status = KY_STATUS(KY_INTERNAL);
    if (len <= 0)
        goto done;
    ky_buf_put(out_der, der, (size_t)len);
    status = out_der->failed ? KY_STATUS(KY_NOMEM) : KY_STATUS(KY_OK);
done:
    OPENSSL_free(der);
    X509_REQ_free(req);
    return status;
}
