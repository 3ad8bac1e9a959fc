/* SPDX-License-Identifier: Apache-2.0 */
/* Object identifiers of hashes, keys, curves and signatures, and the parameters of PSS. Pure: any thread. */
#include "csc.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base64.h"

#define RSA       "1.2.840.113549.1.1.1"
#define PSS       "1.2.840.113549.1.1.10"
#define PARAM_MAX 256u

static const char *const hash_oids[KY_HASH_COUNT] = {
    [KY_SHA256] = "2.16.840.1.101.3.4.2.1",
    [KY_SHA384] = "2.16.840.1.101.3.4.2.2",
    [KY_SHA512] = "2.16.840.1.101.3.4.2.3",
};
/* signAlgo: what it says of scheme and hash (0: another parameter does). */
static const struct {
    const char *oid;
    uint8_t scheme, hash;
} sign_oids[] = {
    {RSA, KY_RSA_PKCS1, 0},
    {"1.2.840.113549.1.1.11", KY_RSA_PKCS1, KY_SHA256},
    {"1.2.840.113549.1.1.12", KY_RSA_PKCS1, KY_SHA384},
    {"1.2.840.113549.1.1.13", KY_RSA_PKCS1, KY_SHA512},
    {PSS, KY_RSA_PSS, 0},
    {"1.2.840.10045.4.3.2", KY_ECDSA, KY_SHA256},
    {"1.2.840.10045.4.3.3", KY_ECDSA, KY_SHA384},
    {"1.2.840.10045.4.3.4", KY_ECDSA, KY_SHA512},
    {"1.3.101.112", KY_EDDSA, 0},
};
static const char *const curve_oids[KY_KEY_TYPE_COUNT] = {
    [KY_KEY_P256] = "1.2.840.10045.3.1.7",
    [KY_KEY_P384] = "1.3.132.0.34",
    [KY_KEY_ED25519] = "1.3.101.112",
};

uint8_t csc_hash(const char *oid)
{
    for (uint8_t h = 1; h < KY_HASH_COUNT; h++)
        if (strcmp(oid, hash_oids[h]) == 0)
            return h;
    return KY_HASH_NONE;
}

const char *csc_curve(int key_type)
{
    return key_type > 0 && key_type < KY_KEY_TYPE_COUNT ? curve_oids[key_type] : NULL;
}

json_t *csc_key_algorithms(int key_type)
{
    const struct ky_key_info *key = ky_key_info((uint8_t)key_type);
    json_t *list = json_array();

    for (size_t i = 0; i < sizeof(sign_oids) / sizeof(sign_oids[0]); i++)
        if (key_type == 0 ||
            (key != NULL && (key->scheme == sign_oids[i].scheme ||
                             (key->scheme == KY_RSA_PKCS1 && sign_oids[i].scheme == KY_RSA_PSS))))
            (void)json_array_append_new(list, json_string(sign_oids[i].oid));
    return list;
}

/* An AlgorithmIdentifier of a hash; absent is SHA-1, which is none of ours. */
static uint8_t hash_of(const X509_ALGOR *a)
{
    const ASN1_OBJECT *object = NULL;
    char oid[64];

    if (a == NULL)
        return KY_HASH_NONE;
    X509_ALGOR_get0(&object, NULL, NULL, a);
    return OBJ_obj2txt(oid, sizeof(oid), object, 1) > 0 ? csc_hash(oid) : KY_HASH_NONE;
}

static uint8_t mgf_hash_of(const X509_ALGOR *mgf)
{
    const ASN1_OBJECT *object = NULL;
    const void *value = NULL;
    int type = V_ASN1_UNDEF;
    X509_ALGOR *inner;
    uint8_t hash;

    if (mgf == NULL)
        return KY_HASH_NONE;
    X509_ALGOR_get0(&object, &type, &value, mgf);
    if (OBJ_obj2nid(object) != NID_mgf1 || type != V_ASN1_SEQUENCE)
        return KY_HASH_NONE;
    inner = ASN1_item_unpack(value, ASN1_ITEM_rptr(X509_ALGOR));
    hash = hash_of(inner);
    X509_ALGOR_free(inner);
    return hash;
}

/* RFC 8017 A.2.3: RSASSA-PSS-params. The defaults name SHA-1, so hash and mask have to be said. */
static bool read_pss(struct ky_span der, struct csc_algorithm *out)
{
    const unsigned char *at = der.data;
    RSA_PSS_PARAMS *p = d2i_RSA_PSS_PARAMS(NULL, &at, (long)der.len);
    const int64_t salt = p == NULL ? -1 : p->saltLength != NULL ? ASN1_INTEGER_get(p->saltLength) : 20;
    const bool good = p != NULL && at == der.data + der.len && salt >= 0 && salt <= KY_SIG_MAX &&
                      (p->trailerField == NULL || ASN1_INTEGER_get(p->trailerField) == 1) &&
                      (out->hash = hash_of(p->hashAlgorithm)) != KY_HASH_NONE &&
                      (out->mgf_hash = mgf_hash_of(p->maskGenAlgorithm)) != KY_HASH_NONE;

    out->salt_len = (uint16_t)salt;
    RSA_PSS_PARAMS_free(p);
    ERR_clear_error(); /* TLS on this thread reads the same queue */
    return good;
}

const char *csc_algorithm_read(const char *sign_algo, const char *params_base64, uint8_t hash,
                               struct csc_algorithm *out, bool *out_missing)
{
    struct ky_buf der = KY_BUF_INIT(PARAM_MAX);
    bool good = true;
    size_t i = 0;

    *out_missing = false;
    while (i < sizeof(sign_oids) / sizeof(sign_oids[0]) && strcmp(sign_algo, sign_oids[i].oid) != 0)
        i++;
    if (i == sizeof(sign_oids) / sizeof(sign_oids[0]))
        return "signAlgo";
    *out = (struct csc_algorithm){.scheme = sign_oids[i].scheme, .hash = sign_oids[i].hash};
    if (out->scheme == KY_RSA_PSS) {
        *out_missing = params_base64 == NULL;
        if (!*out_missing)
            good = ky_ok(base64_get(ky_span_text(params_base64), &der)) && read_pss(ky_buf_span(&der), out) &&
                   (hash == KY_HASH_NONE || hash == out->hash);
        ky_buf_free(&der);
        return *out_missing || !good ? "signAlgoParams" : NULL;
    }
    if (out->hash == KY_HASH_NONE) {
        out->hash = hash;
        *out_missing = hash == KY_HASH_NONE;
    }
    return *out_missing ? "hash" : NULL;
}
