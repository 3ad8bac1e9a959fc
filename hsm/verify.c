/* SPDX-License-Identifier: Apache-2.0 */
/*
 * I7 in OpenSSL. Keys are imported from numbers, never decoded from DER. Whatever
 * fails, the answer is the same: the signature is not released.
 */
#include "verify.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <string.h>

void hsm_verifier_wipe(struct hsm_verifier *v)
{
    for (size_t t = 0; t < KY_KEY_TYPE_COUNT; t++) {
        EVP_PKEY_CTX_free(v->curve_ctx[t]);
        EVP_PKEY_free(v->curve_key[t]);
    }
    EVP_PKEY_free(v->key);
    *v = (struct hsm_verifier){.key = NULL};
}

static EVP_PKEY *import_params(const char *type, OSSL_PARAM *params)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);

    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static EVP_PKEY *import_ec(const char *group, struct ky_span point)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)(uintptr_t)group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)(uintptr_t)point.data,
                                          point.len),
        OSSL_PARAM_construct_end(),
    };

    return import_params("EC", params);
}

static EVP_PKEY *import_rsa(const struct hsm_public *p)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = NULL;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *n = BN_bin2bn(p->modulus.data, (int)p->modulus.len, NULL);
    BIGNUM *e = BN_bin2bn(p->exponent.data, (int)p->exponent.len, NULL);

    if (build == NULL || n == NULL || e == NULL ||
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) != 1 ||
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) != 1)
        goto done;
    params = OSSL_PARAM_BLD_to_param(build);
    if (params != NULL)
        key = import_params("RSA", params);
done:
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    BN_free(n);
    BN_free(e);
    return key;
}

static bool curve_set(struct hsm_verifier *v, const struct hsm_public *p)
{
    EVP_PKEY **key = &v->curve_key[p->key_type];
    EVP_PKEY_CTX **ctx = &v->curve_ctx[p->key_type];

    if (*ctx != NULL)
        return EVP_PKEY_set1_encoded_public_key(*key, p->point.data, p->point.len) == 1;
    *key = import_ec(ky_key_info(p->key_type)->curve, p->point);
    if (*key == NULL)
        return false;
    *ctx = EVP_PKEY_CTX_new(*key, NULL);
    if (*ctx != NULL && EVP_PKEY_verify_init(*ctx) == 1)
        return true;
    EVP_PKEY_CTX_free(*ctx);
    EVP_PKEY_free(*key);
    *ctx = NULL;
    *key = NULL;
    return false;
}

static bool single_set(struct hsm_verifier *v, const struct hsm_public *p)
{
    EVP_PKEY_free(v->key);
    v->key = p->key_type == KY_KEY_ED25519
                 ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, p->point.data, p->point.len)
                 : import_rsa(p);
    return v->key != NULL;
}

struct ky_status hsm_verifier_set_key(struct hsm_verifier *v, uint8_t key_type, struct ky_span spki)
{
    struct hsm_public p;
    bool ok = false;
    struct ky_status st = KY_STATUS(KY_OK);

    if (v->key_type == key_type && ky_span_eq(spki, KY_SPAN(v->spki, v->spki_len)))
        return st;
    st = hsm_spki_parse(key_type, spki, &p);
    if (!ky_ok(st))
        return st;
    v->key_type = KY_KEY_NONE;
    ok = ky_key_info(key_type)->scheme == KY_ECDSA ? curve_set(v, &p) : single_set(v, &p);
    if (!ok) {
        ERR_clear_error();
        return KY_STATUS(KY_INVALID);
    }
    v->key_type = key_type;
    v->spki_len = spki.len;
    memcpy(v->spki, spki.data, spki.len);
    return st;
}

static bool verify_ecdsa(struct hsm_verifier *v, struct ky_span digest, struct ky_span sig)
{
    uint8_t der[KY_SIG_MAX];
    size_t len = 0;
    size_t half = ky_key_info(v->key_type)->sig_len / 2u;

    if (!ky_ok(ky_ecdsa_raw_to_der(sig, der, sizeof(der), &len)))
        return false;
    /* FIPS 186-5 s.6.4: the leftmost bits, as many as the group order has. */
    return EVP_PKEY_verify(v->curve_ctx[v->key_type], der, len, digest.data,
                           digest.len < half ? digest.len : half) == 1;
}

static bool verify_eddsa(struct hsm_verifier *v, struct ky_span message, struct ky_span sig)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, v->key) == 1 &&
              EVP_DigestVerify(ctx, sig.data, sig.len, message.data, message.len) == 1;

    EVP_MD_CTX_free(ctx);
    return ok;
}

static const EVP_MD *md_of(uint8_t hash)
{
    static const EVP_MD *(*const table[KY_HASH_COUNT])(void) = {
        [KY_SHA256] = EVP_sha256, [KY_SHA384] = EVP_sha384, [KY_SHA512] = EVP_sha512};

    return hash < KY_HASH_COUNT && table[hash] != NULL ? table[hash]() : NULL;
}

static bool pss_set(EVP_PKEY_CTX *ctx, const struct ky_algorithm *a)
{
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_signature_md(ctx, md_of(a->hash)) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, md_of(a->mgf_hash != 0 ? a->mgf_hash : a->hash)) ==
               1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, a->salt_len) == 1;
}

static bool pkcs1_set(EVP_PKEY_CTX *ctx, const struct ky_algorithm *a)
{
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
           EVP_PKEY_CTX_set_signature_md(ctx, md_of(a->hash)) == 1;
}

static bool verify_rsa(struct hsm_verifier *v, const struct ky_algorithm *a, struct ky_span digest,
                       struct ky_span sig)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(v->key, NULL);
    bool ok = ctx != NULL && EVP_PKEY_verify_init(ctx) == 1 &&
              (a->scheme == KY_RSA_PSS ? pss_set(ctx, a) : pkcs1_set(ctx, a)) &&
              EVP_PKEY_verify(ctx, sig.data, sig.len, digest.data, digest.len) == 1;

    EVP_PKEY_CTX_free(ctx);
    return ok;
}

struct ky_status hsm_verify(struct hsm_verifier *v, const struct ky_algorithm *a,
                            struct ky_span digest, struct ky_span sig)
{
    bool ok = false;

    if (v->key_type == KY_KEY_NONE || sig.len != ky_key_info(v->key_type)->sig_len)
        ok = false;
    else if (a->scheme == KY_ECDSA)
        ok = verify_ecdsa(v, digest, sig);
    else if (a->scheme == KY_EDDSA)
        ok = verify_eddsa(v, digest, sig);
    else
        ok = verify_rsa(v, a, digest, sig);
    if (!ok)
        ERR_clear_error();
    return ok ? KY_STATUS(KY_OK) : KY_STATUS(KY_TOKEN_WRONG_SIGNATURE);
}
