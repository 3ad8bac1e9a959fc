/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seed's page and the random block. Nothing of a seed stays after unseal_done(). The cipher's context is ordinary memory, and
 * what it makes of a key begins with the key: between two checks it is keyed with zeros (P25).
 */
#include "unseal.h"

#include <string.h>

#include "seed.h"

#define IV_LEN  12
#define TAG_LEN 16

static const uint8_t no_key[32];

struct ky_status unsealer_open(struct unsealer *u, const struct ky_secret *key)
{
    static const uint8_t blank[SEED_MAX];

    if (key->len != sizeof(no_key))
        return KY_STATUS(KY_INTERNAL);
    struct ky_status status = ky_secret_set(&u->page, KY_SPAN_OF(blank));
    if (!ky_ok(status))
        return status;
    u->cipher = EVP_CIPHER_CTX_new();
    if (u->cipher == NULL ||
        EVP_DecryptInit_ex(u->cipher, EVP_aes_256_gcm(), NULL, no_key, NULL) != 1) {
        unsealer_close(u);
        return KY_STATUS(KY_INTERNAL);
    }
    u->key = key;
    return status;
}

void unsealer_close(struct unsealer *u)
{
    EVP_CIPHER_CTX_free(u->cipher);
    ky_secret_wipe(&u->page);
    u->cipher = NULL;
}

void unseal_done(struct unsealer *u)
{
    if (u->page.bytes != NULL)
        ky_wipe(u->page.bytes, u->page.len);
}

struct ky_status unseal(struct unsealer *u, struct ky_span authenticator_id, uint32_t epoch,
                        struct ky_span sealed, struct ky_span *out_seed)
{
    uint8_t le[4] = {(uint8_t)epoch, (uint8_t)(epoch >> 8), (uint8_t)(epoch >> 16),
                     (uint8_t)(epoch >> 24)};
    uint8_t tag[TAG_LEN];
    int n = 0;
    bool ok;

    if (u->cipher == NULL || sealed.len < SEED_MIN + SEED_OVERHEAD || sealed.len > SEED_SEALED_MAX)
        return KY_STATUS(KY_CORRUPT);
    size_t len = sealed.len - SEED_OVERHEAD;
    memcpy(tag, sealed.data + IV_LEN + len, TAG_LEN);
    ok = EVP_DecryptInit_ex(u->cipher, NULL, NULL, u->key->bytes, sealed.data) == 1 &&
         EVP_DecryptUpdate(u->cipher, NULL, &n, authenticator_id.data, (int)authenticator_id.len) == 1 &&
         EVP_DecryptUpdate(u->cipher, NULL, &n, le, (int)sizeof(le)) == 1 &&
         EVP_DecryptUpdate(u->cipher, u->page.bytes, &n, sealed.data + IV_LEN, (int)len) == 1 &&
         EVP_CIPHER_CTX_ctrl(u->cipher, EVP_CTRL_GCM_SET_TAG, TAG_LEN, tag) == 1 &&
         EVP_DecryptFinal_ex(u->cipher, u->page.bytes + len, &n) == 1;
    ok = EVP_DecryptInit_ex(u->cipher, NULL, NULL, no_key, NULL) == 1 && ok;
    if (!ok) {
        unseal_done(u);
        return KY_STATUS(KY_CORRUPT);
    }
    *out_seed = KY_SPAN(u->page.bytes, len);
    return KY_STATUS(KY_OK);
}

struct ky_status random_draw(struct random_block *b, void *out, size_t n)
{
    if (n > sizeof(b->bytes))
        return ky_random(out, n);
    if (b->left < n) {
        struct ky_status status = ky_random(b->bytes, sizeof(b->bytes));
        if (!ky_ok(status))
            return status;
        b->left = sizeof(b->bytes);
    }
    b->left -= n;
    memcpy(out, b->bytes + b->left, n);
    ky_wipe(b->bytes + b->left, n);
    return KY_STATUS(KY_OK);
}
