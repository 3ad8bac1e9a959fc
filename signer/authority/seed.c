/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealing of TOTP seeds under a key that only the token can derive. Pure but for randomness. Every
 * intermediate that held a seed is wiped before return.
 */
#include "seed.h"

#include <string.h>

#include <openssl/evp.h>

#define IV_LEN  12
#define TAG_LEN 16
#define KEY_LEN 32u
#define ID_MAX  64u

static bool put_aad(EVP_CIPHER_CTX *c, struct ky_span id, uint32_t epoch)
{
    uint8_t le[4] = {(uint8_t)epoch, (uint8_t)(epoch >> 8), (uint8_t)(epoch >> 16),
                     (uint8_t)(epoch >> 24)};
    int n = 0;

    return EVP_CipherUpdate(c, NULL, &n, id.data, (int)id.len) == 1 &&
           EVP_CipherUpdate(c, NULL, &n, le, (int)sizeof(le)) == 1;
}

struct ky_status seed_seal(const struct ky_secret *key, struct ky_span authenticator_id,
                           uint32_t epoch, struct ky_span seed, uint8_t out_sealed[SEED_SEALED_MAX],
                           size_t *out_len)
{
    struct ky_status status = KY_STATUS(KY_INTERNAL);
    uint8_t *body = out_sealed + IV_LEN;
    EVP_CIPHER_CTX *c = NULL;
    int n = 0;

    if (key->len != KEY_LEN || seed.len < SEED_MIN || seed.len > SEED_MAX ||
        authenticator_id.len == 0 || authenticator_id.len > ID_MAX)
        return KY_STATUS(KY_INVALID);
    if (!ky_ok(ky_random(out_sealed, IV_LEN)))
        goto done;
    c = EVP_CIPHER_CTX_new();
    if (c == NULL || EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key->bytes, out_sealed) != 1 ||
        !put_aad(c, authenticator_id, epoch) ||
        EVP_EncryptUpdate(c, body, &n, seed.data, (int)seed.len) != 1 ||
        EVP_EncryptFinal_ex(c, body + seed.len, &n) != 1 ||
        EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG_LEN, body + seed.len) != 1)
        goto done;
    *out_len = seed.len + SEED_OVERHEAD;
    status = KY_STATUS(KY_OK);
done:
    EVP_CIPHER_CTX_free(c);
    return status;
}

struct ky_status seed_open(const struct ky_secret *key, struct ky_span authenticator_id,
                           uint32_t epoch, struct ky_span sealed, struct ky_secret *out_seed)
{
    struct ky_status status = KY_STATUS(KY_CORRUPT);
    uint8_t plain[SEED_MAX];
    uint8_t tag[TAG_LEN];
    EVP_CIPHER_CTX *c = NULL;
    int n = 0;

    if (key->len != KEY_LEN || authenticator_id.len == 0 || authenticator_id.len > ID_MAX ||
        sealed.len < SEED_MIN + SEED_OVERHEAD || sealed.len > SEED_SEALED_MAX)
        return KY_STATUS(KY_INVALID);
    size_t len = sealed.len - SEED_OVERHEAD;
    memcpy(tag, sealed.data + IV_LEN + len, TAG_LEN);
    c = EVP_CIPHER_CTX_new();
    if (c == NULL || EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key->bytes, sealed.data) != 1 ||
        !put_aad(c, authenticator_id, epoch) ||
        EVP_DecryptUpdate(c, plain, &n, sealed.data + IV_LEN, (int)len) != 1 ||
        EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG_LEN, tag) != 1 ||
        EVP_DecryptFinal_ex(c, plain + len, &n) != 1)
        goto done;
    status = ky_secret_set(out_seed, KY_SPAN(plain, len));
done:
    EVP_CIPHER_CTX_free(c);
    ky_wipe(plain, sizeof(plain));
    return status;
}
