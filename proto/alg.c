/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key types, hashes and schemes as tables, and which fits which. Constant: any role, any thread.
 */
#include "kyso/alg.h"

#include <string.h>

#include "endian_le.h"

static const struct ky_key_info key_table[KY_KEY_TYPE_COUNT] = {
    [KY_KEY_P256] = {"p256", KY_ECDSA, 256, 64, "prime256v1"},
    [KY_KEY_P384] = {"p384", KY_ECDSA, 384, 96, "secp384r1"},
    [KY_KEY_RSA2048] = {"rsa2048", KY_RSA_PKCS1, 2048, 256, NULL},
    [KY_KEY_RSA3072] = {"rsa3072", KY_RSA_PKCS1, 3072, 384, NULL},
    [KY_KEY_RSA4096] = {"rsa4096", KY_RSA_PKCS1, 4096, 512, NULL},
    [KY_KEY_ED25519] = {"ed25519", KY_EDDSA, 256, 64, NULL},
};

static const struct {
    const char *name;
    size_t len;
} hash_table[KY_HASH_COUNT] = {
    [KY_SHA256] = {"SHA256", 32},
    [KY_SHA384] = {"SHA384", 48},
    [KY_SHA512] = {"SHA512", 64},
};

static const char *const scheme_table[KY_SCHEME_COUNT] = {
    [KY_ECDSA] = "ecdsa",
    [KY_RSA_PKCS1] = "rsa-pkcs1",
    [KY_RSA_PSS] = "rsa-pss",
    [KY_EDDSA] = "eddsa",
};

const struct ky_key_info *ky_key_info(uint8_t key_type)
{
    if (key_type >= KY_KEY_TYPE_COUNT || key_table[key_type].name == NULL)
        return NULL;
    return &key_table[key_type];
}

uint8_t ky_key_type_by_name(const char *name)
{
    for (uint8_t t = 1; name != NULL && t < KY_KEY_TYPE_COUNT; t++) {
        if (strcmp(name, key_table[t].name) == 0)
            return t;
    }
    return KY_KEY_NONE;
}

const char *ky_hash_name(uint8_t hash)
{
    return hash < KY_HASH_COUNT ? hash_table[hash].name : NULL;
}

size_t ky_hash_len(uint8_t hash)
{
    return hash < KY_HASH_COUNT ? hash_table[hash].len : 0;
}

const char *ky_scheme_name(uint8_t scheme)
{
    return scheme < KY_SCHEME_COUNT ? scheme_table[scheme] : NULL;
}

/*
 * RFC 8017 s.9.1.1: emLen >= hLen + sLen + 2. Our moduli are whole bytes, so emLen is their length.
 */
static bool pss_fits(const struct ky_key_info *key, const struct ky_algorithm *a)
{
    if (a->mgf_hash != 0 && a->mgf_hash != a->hash)
        return false;
    return a->salt_len + ky_hash_len(a->hash) + 2 <= key->bits / 8u;
}

struct ky_status ky_algorithm_check(uint8_t key_type, const struct ky_algorithm *a)
{
    const struct ky_key_info *key = ky_key_info(key_type);
    bool fits = key != NULL && ky_hash_len(a->hash) != 0;
    if (fits && a->scheme == KY_RSA_PSS)
        fits = key->scheme == KY_RSA_PKCS1 && pss_fits(key, a);
    else if (fits)
        fits = a->scheme == key->scheme && a->mgf_hash == 0 && a->salt_len == 0;
    return KY_STATUS(fits ? KY_OK : KY_INVALID);
}

uint32_t ky_blob_kek(struct ky_span blob, struct ky_span *out_wrapped)
{
    const size_t tail = blob.len % 8;
    uint32_t kek = tail == 0 ? 1 : tail == 4 ? le32_get(blob.data + blob.len - tail) : 0;

    *out_wrapped = KY_SPAN(blob.data, blob.len - tail);
    return blob.len < 8 || (tail != 0 && kek == 1) ? 0 : kek;
}
