/* SPDX-License-Identifier: Apache-2.0 */
/*
 * C_SignInit and C_Sign into a buffer larger than any signature: size queries
 * lie on some tokens. The caller verifies what comes out (I7).
 */
#include "sign.h"

#include <string.h>

#include "ckr.h"

enum { SIGN_BUFFER = 1024, INPUT_MAX = 20 + KY_DIGEST_MAX };

/* RFC 8017 s.9.2 note 1: DER of DigestInfo up to the digest. */
static const struct {
    uint8_t len;
    uint8_t bytes[20];
} digest_info[KY_HASH_COUNT] = {
    [KY_SHA256] = {19,
                   {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04,
                    0x02, 0x01, 0x05, 0x00, 0x04, 0x20}},
    [KY_SHA384] = {19,
                   {0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04,
                    0x02, 0x02, 0x05, 0x00, 0x04, 0x30}},
    [KY_SHA512] = {19,
                   {0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04,
                    0x02, 0x03, 0x05, 0x00, 0x04, 0x40}},
};

static struct ky_status sign_raw(const struct hsm_session *s, CK_MECHANISM *mechanism,
                                 CK_OBJECT_HANDLE key, struct ky_span in, uint8_t *out,
                                 size_t expect)
{
    const CK_FUNCTION_LIST *fn = s->module->fn;
    uint8_t buffer[SIGN_BUFFER];
    CK_ULONG len = sizeof(buffer);
    CK_RV rv = fn->C_SignInit(s->handle, mechanism, key);

    if (rv != CKR_OK)
        return hsm_ckr_status(rv);
    rv = fn->C_Sign(s->handle, (CK_BYTE_PTR)(uintptr_t)in.data, in.len, buffer, &len);
    if (rv != CKR_OK)
        return hsm_ckr_status(rv);
    if (len != expect)
        return KY_STATUS(KY_TOKEN_WRONG_SIGNATURE);
    memcpy(out, buffer, expect);
    return KY_STATUS(KY_OK);
}

struct ky_status hsm_sign(const struct hsm_session *s, CK_OBJECT_HANDLE key, uint8_t key_type,
                          const struct ky_algorithm *a, struct ky_span digest, uint8_t *out_sig)
{
    struct hsm_sign_mechanism mech;
    uint8_t input[INPUT_MAX];
    struct ky_span in = digest;
    size_t sig_len = ky_key_info(key_type)->sig_len;

    hsm_sign_mechanism_set(key_type, a, &mech);
    if (a->scheme == KY_ECDSA && in.len > sig_len / 2)
        in.len = sig_len / 2;
    if (a->scheme == KY_RSA_PKCS1) {
        size_t head = digest_info[a->hash].len;

        if (digest.len > KY_DIGEST_MAX)
            return KY_STATUS(KY_INVALID);
        memcpy(input, digest_info[a->hash].bytes, head);
        memcpy(input + head, digest.data, digest.len);
        in = KY_SPAN(input, head + digest.len);
    }
    return sign_raw(s, &mech.mechanism, key, in, out_sig, sig_len);
}

struct ky_status hsm_hmac(const struct hsm_session *s, CK_OBJECT_HANDLE key, struct ky_span in,
                          uint8_t out[32])
{
    CK_MECHANISM mechanism = {CKM_SHA256_HMAC, NULL, 0};

    return sign_raw(s, &mechanism, key, in, out, 32);
}
