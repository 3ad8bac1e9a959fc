/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of devices, operators and relying parties' requests: kept with a verification context, which is dear to make, and pointed at one
 * public key after another. The two key forms have one DER encoding each, so a key is recognised by
 * its exact bytes. A key belongs to one thread at a time: its context is scratch.
 */
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "kyso/policy.h"

#include "device_private.h"

#define ED25519_LEN     32u
#define ED25519_SIG_LEN 64u

struct policy_device_key {
    uint8_t type;
    EVP_PKEY *pkey;         /* owned */
    EVP_PKEY_CTX *pkey_ctx; /* owned; ES256, set up for verification */
    EVP_MD_CTX *md_ctx;     /* owned; Ed25519 */
};

/* SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING } up to the point (RFC 5480). */
static const uint8_t es256_prefix[] = {
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
    0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
};
/* SEQUENCE { SEQUENCE { id-Ed25519 }, BIT STRING } up to the key (RFC 8410 s.4). */
static const uint8_t ed25519_prefix[] = {
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
};

static EVP_PKEY *es256_load(struct ky_span point);
static EVP_PKEY *ed25519_load(struct ky_span key);
static struct ky_status es256_verify(struct policy_device_key *key, struct ky_span message,
                                     struct ky_span signature);
static struct ky_status ed25519_verify(struct policy_device_key *key, struct ky_span message,
                                       struct ky_span signature);

static const struct device_form {
    struct ky_span prefix;
    size_t key_len;
    EVP_PKEY *(*load)(struct ky_span key);
    struct ky_status (*verify)(struct policy_device_key *key, struct ky_span message,
                               struct ky_span signature);
} forms[] = {
    [POLICY_DEVICE_ES256] = {{es256_prefix, sizeof(es256_prefix)}, 65, es256_load, es256_verify},
    [POLICY_DEVICE_ED25519] = {{ed25519_prefix, sizeof(ed25519_prefix)},
                               ED25519_LEN,
                               ed25519_load,
                               ed25519_verify},
};

/*
 * Taking the point in checks that it is on the curve, and P-256's cofactor is 1: a full check of its
 * order could find nothing more and would triple the time.
 */
static EVP_PKEY *es256_load(struct ky_span point)
{
    /* Uncompressed only: one key, one spelling. */
    if (point.data[0] != 0x04) {
        return NULL;
    }
    EVP_PKEY *pkey = NULL;
    char group[] = "prime256v1";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)(uintptr_t)point.data,
                                          point.len),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

/*
 * The y coordinates, little-endian, of the points whose order divides 8. Under such
 * a key one signature can fit many messages; no device makes one.
 */
static const uint8_t ed25519_small_order[][ED25519_LEN] = {
    {0x00},
    {0x01},
    {0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4,
     0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6,
     0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
    {0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b,
     0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39,
     0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
    {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
};

/* y < 2^255 - 19, the sign bit already cleared: RFC 8032 s.5.1.3 refuses the rest. */
static bool ed25519_is_reduced(const uint8_t y[ED25519_LEN])
{
    if (y[31] != 0x7f || y[0] < 0xed) {
        return true;
    }
    for (size_t i = 1; i < ED25519_LEN - 1; i++) {
        if (y[i] != 0xff) {
            return true;
        }
    }
    return false;
}

static EVP_PKEY *ed25519_load(struct ky_span key)
{
    uint8_t y[ED25519_LEN];
    for (size_t i = 0; i < ED25519_LEN; i++) {
        y[i] = key.data[i];
    }
    y[31] &= 0x7f;
    if (!ed25519_is_reduced(y)) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof(ed25519_small_order) / ED25519_LEN; i++) {
        if (ky_span_eq(KY_SPAN_OF(y), KY_SPAN_OF(ed25519_small_order[i]))) {
            return NULL;
        }
    }
    return EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, key.data, key.len);
}

static bool prepare(struct policy_device_key *key)
{
    if (key->type == POLICY_DEVICE_ED25519) {
        key->md_ctx = EVP_MD_CTX_new();
        return key->md_ctx != NULL;
    }
    key->pkey_ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    return key->pkey_ctx != NULL && EVP_PKEY_verify_init(key->pkey_ctx) == 1;
}

/*
 * Another point in a key that is set up already: a third cheaper than to make one. A point off the curve is refused. The context is
 * set up again (half a microsecond): nobody promises that it has not taken a copy of the key that it was set up with.
 */
static bool repoint(struct policy_device_key *key, uint8_t type, struct ky_span point)
{
    return key != NULL && key->type == type && type == POLICY_DEVICE_ES256 &&
           point.data[0] == 0x04 &&
           EVP_PKEY_set1_encoded_public_key(key->pkey, point.data, point.len) == 1 &&
           EVP_PKEY_verify_init(key->pkey_ctx) == 1;
}

static struct ky_status make(uint8_t type, struct ky_span bytes, struct policy_device_key **out_key)
{
    struct policy_device_key *key = OPENSSL_zalloc(sizeof(*key));

    if (key == NULL) {
        return KY_STATUS(KY_NOMEM);
    }
    key->type = type;
    key->pkey = forms[type].load(bytes);
    if (key->pkey != NULL && prepare(key)) {
        *out_key = key;
        return KY_STATUS(KY_OK);
    }
    const enum ky_code code = key->pkey == NULL ? KY_INVALID : KY_NOMEM;
    policy_device_key_free(&key);
    return KY_STATUS(code);
}

uint8_t policy_key_type(struct ky_span spki_der)
{
    for (uint8_t type = POLICY_DEVICE_ES256; type <= POLICY_DEVICE_ED25519; type++) {
        const struct device_form *form = &forms[type];
        if (spki_der.len == form->prefix.len + form->key_len &&
            ky_span_eq(KY_SPAN(spki_der.data, form->prefix.len), form->prefix)) {
            return type;
        }
    }
    return 0;
}

struct ky_status policy_device_key_load(uint8_t type, struct ky_span spki_der,
                                        struct policy_device_key **io_key)
{
    if (type == 0 || policy_key_type(spki_der) != type) {
        policy_device_key_free(io_key);
        return KY_STATUS(KY_INVALID);
    }
    const struct device_form *form = &forms[type];
    const struct ky_span bytes = KY_SPAN(spki_der.data + form->prefix.len, form->key_len);
    if (repoint(*io_key, type, bytes)) {
        return KY_STATUS(KY_OK);
    }
    policy_device_key_free(io_key);
    const struct ky_status status = make(type, bytes, io_key);
    ERR_clear_error(); /* the thread's queue must not blame the caller's next TLS or database call */
    return status;
}

void policy_device_key_free(struct policy_device_key **key)
{
    if (key == NULL || *key == NULL) {
        return;
    }
    EVP_MD_CTX_free((*key)->md_ctx);
    EVP_PKEY_CTX_free((*key)->pkey_ctx);
    EVP_PKEY_free((*key)->pkey);
    OPENSSL_free(*key);
    *key = NULL;
}

static struct ky_status verdict(int rc)
{
    if (rc == 1) {
        return KY_STATUS(KY_OK);
    }
    ERR_clear_error();
    return KY_STATUS(KY_PROOF_WRONG);
}

static struct ky_status es256_verify(struct policy_device_key *key, struct ky_span message,
                                     struct ky_span signature)
{
    uint8_t der[ES256_DER_MAX];
    size_t der_len = 0;
    const struct ky_status status = policy_es256_signature(signature, der, &der_len);
    if (!ky_ok(status)) {
        return status;
    }
    uint8_t digest[32];
    ky_sha256(message, digest);
    return verdict(EVP_PKEY_verify(key->pkey_ctx, der, der_len, digest, sizeof(digest)));
}

static struct ky_status ed25519_verify(struct policy_device_key *key, struct ky_span message,
                                       struct ky_span signature)
{
    if (signature.len != ED25519_SIG_LEN) {
        return KY_STATUS(KY_PROOF_MALFORMED);
    }
    /* One-shot contexts may be started again but not used twice (OpenSSL 3.4 enforces it). */
    if (EVP_DigestVerifyInit(key->md_ctx, NULL, NULL, NULL, key->pkey) != 1) {
        ERR_clear_error();
        return KY_STATUS(KY_NOMEM);
    }
    return verdict(
        EVP_DigestVerify(key->md_ctx, signature.data, signature.len, message.data, message.len));
}

struct ky_status policy_device_verify(struct policy_device_key *key, const uint8_t challenge[32],
                                      struct ky_span signature)
{
    return forms[key->type].verify(key, KY_SPAN(challenge, 32), signature);
}

struct ky_status policy_key_verify_message(struct policy_device_key *key, struct ky_span message,
                                           struct ky_span signature)
{
    return forms[key->type].verify(key, message, signature);
}

struct ky_status policy_request_verify(struct policy_device_key *key, const uint8_t digest[32],
                                       struct ky_span signature, uint64_t expires_s, uint64_t now_s)
{
    if (signature.len == 0) {
        return KY_STATUS(KY_REQUEST_UNSIGNED);
    }
    if (expires_s <= now_s || expires_s - now_s > POLICY_REQUEST_LIFE_S) {
        return KY_STATUS(KY_REQUEST_STALE);
    }
    return KY_STATUS(ky_ok(policy_device_verify(key, digest, signature)) ? KY_OK
                                                                         : KY_REQUEST_FORGED);
}
