/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CMS with an external signature. OpenSSL keeps the structure; only the DER of the signed
 * attributes, which it offers no call for, is put together here (a sorted SET OF, X.690 s.11.6).
 */
#include "cms.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/ess.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/rsa.h>

#define ATTRIBUTES_MAX 16
#define DER_MAX        (1024u * 1024u)

struct cms {
    CMS_ContentInfo *info;  /* owned */
    CMS_SignerInfo *signer; /* borrowed from info */
};

struct attribute {
    unsigned char *der; /* owned by OpenSSL's allocator */
    int len;
};

static int compare_der(const void *a, const void *b)
{
    const struct attribute *x = a;
    const struct attribute *y = b;
    int shorter = x->len < y->len ? x->len : y->len;
    int order = memcmp(x->der, y->der, (size_t)shorter); /* public bytes */

    return order != 0 ? order : x->len - y->len;
}

static void put_header(struct ky_buf *out, uint8_t tag, size_t n)
{
    uint8_t head[4] = {tag};
    size_t used = 2;

    if (n < 0x80) {
        head[1] = (uint8_t)n;
    } else if (n < 0x100) {
        head[1] = 0x81;
        head[used++] = (uint8_t)n;
    } else {
        head[1] = 0x82;
        head[used++] = (uint8_t)(n >> 8);
        head[used++] = (uint8_t)n;
    }
    ky_buf_put(out, head, used);
}

/*
 * RFC 5652 s.5.4: the digest is over the attributes as a SET OF (tag 0x31), not over [0] as they
 * travel.
 */
static bool attributes_der(CMS_SignerInfo *signer, struct ky_buf *out)
{
    struct attribute list[ATTRIBUTES_MAX];
    int n = CMS_signed_get_attr_count(signer);
    int done = 0;
    size_t total = 0;
    bool ok = n > 0 && n <= ATTRIBUTES_MAX;

    for (; ok && done < n; done++) {
        list[done].der = NULL;
        list[done].len = i2d_X509_ATTRIBUTE(CMS_signed_get_attr(signer, done), &list[done].der);
        ok = list[done].len > 0;
        total += ok ? (size_t)list[done].len : 0;
    }
    ok = ok && total < 0x10000;
    if (ok) {
        qsort(list, (size_t)n, sizeof list[0], compare_der);
        put_header(out, 0x31, total);
        for (int i = 0; i < n; i++)
            ky_buf_put(out, list[i].der, (size_t)list[i].len);
    }
    for (int i = 0; i < done; i++)
        OPENSSL_free(list[i].der);
    return ok && !out->failed;
}

static const EVP_MD *md_of(uint8_t hash)
{
    const char *name = ky_hash_name(hash);

    return name != NULL ? EVP_get_digestbyname(name) : NULL;
}

static X509_ALGOR *digest_algorithm(const EVP_MD *md)
{
    X509_ALGOR *a = X509_ALGOR_new();

    if (a != NULL)
        X509_ALGOR_set_md(a, md);
    return a;
}

/* RSASSA-PSS parameters (RFC 4055 s.3.1) into the signer's algorithm. */
static bool set_pss(X509_ALGOR *signature, const struct ky_algorithm *a)
{
    RSA_PSS_PARAMS *pss = RSA_PSS_PARAMS_new();
    X509_ALGOR *inner = digest_algorithm(md_of(a->mgf_hash != 0 ? a->mgf_hash : a->hash));
    ASN1_STRING *packed_hash = NULL;
    ASN1_STRING *packed = NULL;
    bool ok = false;

    if (pss == NULL || inner == NULL)
        goto done;
    pss->hashAlgorithm = digest_algorithm(md_of(a->hash));
    pss->maskGenAlgorithm = X509_ALGOR_new();
    pss->saltLength = ASN1_INTEGER_new();
    if (pss->hashAlgorithm == NULL || pss->maskGenAlgorithm == NULL || pss->saltLength == NULL ||
        ASN1_INTEGER_set(pss->saltLength, a->salt_len) != 1 ||
        ASN1_item_pack(inner, ASN1_ITEM_rptr(X509_ALGOR), &packed_hash) == NULL ||
        X509_ALGOR_set0(pss->maskGenAlgorithm, OBJ_nid2obj(NID_mgf1), V_ASN1_SEQUENCE,
                        packed_hash) != 1)
        goto done;
    packed_hash = NULL; /* the mask's now */
    if (ASN1_item_pack(pss, ASN1_ITEM_rptr(RSA_PSS_PARAMS), &packed) == NULL ||
        X509_ALGOR_set0(signature, OBJ_nid2obj(NID_rsassaPss), V_ASN1_SEQUENCE, packed) != 1)
        goto done;
    packed = NULL;
    ok = true;
done:
    ASN1_STRING_free(packed_hash);
    ASN1_STRING_free(packed);
    X509_ALGOR_free(inner);
    RSA_PSS_PARAMS_free(pss);
    return ok;
}

static bool add_attributes(CMS_SignerInfo *signer, const struct cms_content *c)
{
    ASN1_TIME *when =
        ASN1_TIME_adj(NULL, c->signing_time, 0, 0); /* UTCTime until 2049: RFC 5652 s.11.3 */
    bool ok = when != NULL &&
              CMS_signed_add1_attr_by_NID(signer, NID_pkcs9_contentType, V_ASN1_OBJECT,
                                          OBJ_nid2obj(NID_pkcs7_data), -1) == 1 &&
              CMS_signed_add1_attr_by_NID(signer, NID_pkcs9_messageDigest, V_ASN1_OCTET_STRING,
                                          c->digest.data, (int)c->digest.len) == 1 &&
              CMS_signed_add1_attr_by_NID(signer, NID_pkcs9_signingTime, when->type, when, -1) == 1;

    ASN1_TIME_free(when);
    return ok;
}

static struct ky_status build(struct cms *cms, const struct cms_content *c)
{
    const EVP_MD *md = md_of(c->algorithm.hash);
    X509_ALGOR *signature = NULL;

    cms->info = CMS_sign(NULL, NULL, NULL, NULL, CMS_PARTIAL | CMS_DETACHED | CMS_BINARY);
    if (cms->info == NULL)
        return KY_STATUS(KY_NOMEM);
    /*
     * The certificate's public key stands in for the private one that never leaves the HSM.
     * CMS_CADES adds ESS.
     */
    cms->signer =
        CMS_add1_signer(cms->info, c->certificate, X509_get0_pubkey(c->certificate), md,
                        CMS_PARTIAL | CMS_DETACHED | CMS_BINARY | CMS_NOSMIMECAP | CMS_CADES);
    if (cms->signer == NULL || !add_attributes(cms->signer, c))
        return KY_STATUS(KY_INVALID);
    for (size_t i = 0; i < c->chain_count; i++)
        if (CMS_add1_cert(cms->info, c->chain[i]) != 1)
            return KY_STATUS(KY_INVALID);
    CMS_SignerInfo_get0_algs(cms->signer, NULL, NULL, NULL, &signature);
    if (c->algorithm.scheme == KY_RSA_PSS && !set_pss(signature, &c->algorithm))
        return KY_STATUS(KY_INVALID);
    return KY_STATUS(KY_OK);
}

struct ky_status cms_begin(const struct cms_content *c, struct cms **out_cms,
                           uint8_t out_to_sign[64])
{
    struct cms *cms;
    struct ky_buf der = KY_BUF_INIT(0x20000);
    struct ky_status st;

    if (c->algorithm.scheme == KY_EDDSA)
        return KY_STATUS(KY_UNSUPPORTED);
    if (md_of(c->algorithm.hash) == NULL || c->digest.len != ky_hash_len(c->algorithm.hash))
        return KY_STATUS(KY_INVALID);
    cms = calloc(1, sizeof *cms);
    if (cms == NULL)
        return KY_STATUS(KY_NOMEM);
    st = build(cms, c);
    if (ky_ok(st) &&
        (!attributes_der(cms->signer, &der) ||
         EVP_Digest(der.data, der.len, out_to_sign, NULL, md_of(c->algorithm.hash), NULL) != 1))
        st = KY_STATUS(KY_INVALID);
    ky_buf_free(&der);
    ERR_clear_error();
    if (ky_ok(st))
        *out_cms = cms;
    else
        cms_free(&cms);
    return st;
}

struct ky_status cms_finish(struct cms *cms, struct ky_span signature, struct ky_buf *out_der)
{
    unsigned char *der = NULL;
    int n;

    if (ASN1_OCTET_STRING_set(CMS_SignerInfo_get0_signature(cms->signer), signature.data,
                              (int)signature.len) != 1)
        return KY_STATUS(KY_NOMEM);
    n = i2d_CMS_ContentInfo(cms->info, &der);
    ERR_clear_error();
    if (n <= 0)
        return KY_STATUS(KY_INVALID);
    ky_buf_put(out_der, der, (size_t)n);
    OPENSSL_free(der);
    return out_der->failed ? KY_STATUS(KY_NOMEM) : KY_STATUS(KY_OK);
}

void cms_free(struct cms **cms)
{
    if (*cms == NULL)
        return;
    CMS_ContentInfo_free((*cms)->info);
    free(*cms);
    *cms = NULL;
}
