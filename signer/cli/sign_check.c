/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What came back is checked under the credential's own public key before it is called a signature.
 */
#include <openssl/err.h>
#include <openssl/rsa.h>

#include "sign_job.h"

static bool check_edwards(EVP_PKEY *key, struct ky_span digest, struct ky_span signature)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md != NULL && EVP_DigestVerifyInit(md, NULL, NULL, NULL, key) == 1 &&
              EVP_DigestVerify(md, signature.data, signature.len, digest.data, digest.len) == 1;

    EVP_MD_CTX_free(md);
    return ok;
}

static bool set_padding(EVP_PKEY_CTX *ctx, const struct ky_algorithm *a)
{
    uint8_t mgf = a->mgf_hash != 0 ? a->mgf_hash : a->hash;

    if (a->scheme == KY_RSA_PKCS1)
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
    if (a->scheme == KY_RSA_PSS)
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, a->salt_len) == 1 &&
               EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_get_digestbyname(ky_hash_name(mgf))) == 1;
    return true;
}

bool sign_check(EVP_PKEY *key, const struct ky_algorithm *a, bool raw, struct ky_span digest,
                struct ky_span signature)
{
    uint8_t der[160];
    size_t der_len = 0;
    EVP_PKEY_CTX *ctx = NULL;
    bool ok = false;

    if (a->scheme == KY_EDDSA)
        return check_edwards(key, digest, signature);
    if (a->scheme == KY_ECDSA && raw) {
        if (!ky_ok(ky_ecdsa_raw_to_der(signature, der, sizeof der, &der_len)))
            return false;
        signature = KY_SPAN(der, der_len);
    }
    ctx = EVP_PKEY_CTX_new(key, NULL);
    ok = ctx != NULL && EVP_PKEY_verify_init(ctx) == 1 && set_padding(ctx, a) &&
         EVP_PKEY_CTX_set_signature_md(ctx, EVP_get_digestbyname(ky_hash_name(a->hash))) == 1 &&
         EVP_PKEY_verify(ctx, signature.data, signature.len, digest.data, digest.len) == 1;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}
