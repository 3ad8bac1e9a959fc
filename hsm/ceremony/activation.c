/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ECDH on P-256 with a fresh key on either side, HKDF (RFC 5869) over all that both ends know, AES-256-GCM under a key that
 * seals one message. So a share that is kept by somebody opens neither at the next start nor under another custodian's number.
 */
#include "activation.h"

#include <openssl/ec.h>
#include <stdio.h>
#include <string.h>

#include "kyso/alg.h"

enum { KEY = 32, TAG = ACTIVATION_SEALED - SHARE_LEN };
static const char form[sizeof(((struct activation_hello *)NULL)->form)] = "kysoact1";

const char *const activation_answers[ACTIVATION_ANSWERS] = {
    [ACTIVATION_TAKEN] = "taken",
    [ACTIVATION_WHOLE] = "taken: it was the last that was needed",
    [ACTIVATION_NOT_OPENED] = "sealed to another start of the server, or changed on the way",
    [ACTIVATION_NOT_COMMITTED] = "not the share that was given out: its commitment differs",
    [ACTIVATION_TWICE] = "here already: it takes another custodian",
    [ACTIVATION_FAILED] = "refused: the server's log says why, and it begins again",
};

static void hash_set(const struct share_set *set, uint8_t out[32])
{
    static const char tag[] = "kyso activation custody v1";
    struct ky_buf in = KY_BUF_INIT(sizeof(tag) + sizeof(*set));
    const uint8_t sizes[2] = {(uint8_t)set->m, (uint8_t)set->n};

    ky_buf_put(&in, tag, sizeof(tag));
    ky_buf_put(&in, set->nonce, sizeof(set->nonce));
    ky_buf_put(&in, sizes, sizeof(sizes));
    ky_buf_put(&in, set->joined, sizeof(set->joined));
    ky_buf_put(&in, set->commitments[SHARE_ACTIVATION], (size_t)set->n * 32);
    ky_sha256(ky_buf_span(&in), out);
    ky_buf_free(&in);
}

bool activation_asks_for(const struct activation_hello *hello, const struct share_set *set)
{
    uint8_t custody[32];

    hash_set(set, custody);
    return ky_span_eq(KY_SPAN_OF(hello->form), KY_SPAN((const uint8_t *)form, sizeof(form))) &&
           ky_span_eq(KY_SPAN_OF(hello->custody), KY_SPAN_OF(custody));
}

void activation_name(const struct activation_hello *hello, uint8_t out[32])
{
    struct { /* bytes alone: no padding */
        char tag[25];
        uint8_t custody[32], nonce[16], key[ACTIVATION_POINT];
    } in = {.tag = "kyso activation start v1"};

    memcpy(in.custody, hello->custody, sizeof(in.custody));
    memcpy(in.nonce, hello->nonce, sizeof(in.nonce));
    memcpy(in.key, hello->key, sizeof(in.key));
    ky_sha256(KY_SPAN((const uint8_t *)&in, sizeof(in)), out);
}

void activation_print(const struct activation_hello *hello, char out[ACTIVATION_PRINT])
{
    uint8_t name[32];

    activation_name(hello, name);
    for (size_t i = 0; i < 8; i++)
        (void)snprintf(out + 5 * i, 6, "%02x%02x%s", name[2 * i], name[2 * i + 1],
                       i < 7 ? " " : "");
}

static struct ky_status public_point(EVP_PKEY *pair, uint8_t out[ACTIVATION_POINT])
{
    unsigned char *point = NULL;
    size_t len = EVP_PKEY_get1_encoded_public_key(pair, &point);
    bool fits = len == ACTIVATION_POINT;

    if (fits)
        memcpy(out, point, len);
    OPENSSL_free(point);
    return KY_STATUS(fits ? KY_OK : KY_INTERNAL);
}

struct ky_status activation_begin(const struct share_set *set, struct activation_key *out)
{
    struct ky_status st;

    *out =
        (struct activation_key){.pair = EVP_EC_gen("P-256"), .hello = {.needed = (uint8_t)set->m}};
    if (out->pair == NULL)
        return KY_STATUS(KY_NOMEM);
    memcpy(out->hello.form, form, sizeof(form));
    hash_set(set, out->hello.custody);
    st = public_point(out->pair, out->hello.key);
    return ky_ok(st) ? ky_random(out->hello.nonce, sizeof(out->hello.nonce)) : st;
}

void activation_end(struct activation_key *key)
{
    EVP_PKEY_free(key->pair);
    *key = (struct activation_key){.pair = NULL};
}

/* The x coordinate that both ends come to. KY_INVALID: the other's is no point of the curve. */
static struct ky_status agree(EVP_PKEY *own, const uint8_t other[ACTIVATION_POINT],
                              uint8_t out[KEY])
{
    EVP_PKEY *peer = EVP_PKEY_new();
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(own, NULL);
    size_t len = KEY;
    struct ky_status st = KY_STATUS(KY_NOMEM);

    if (peer == NULL || c == NULL)
        goto done;
    st = KY_STATUS(KY_INVALID);
    if (EVP_PKEY_copy_parameters(peer, own) == 1 &&
        EVP_PKEY_set1_encoded_public_key(peer, other, ACTIVATION_POINT) == 1 &&
        EVP_PKEY_derive_init(c) == 1 && EVP_PKEY_derive_set_peer(c, peer) == 1 &&
        EVP_PKEY_derive(c, out, &len) == 1 && len == KEY)
        st = KY_STATUS(KY_OK);
done:
    EVP_PKEY_CTX_free(c);
    EVP_PKEY_free(peer);
    return st;
}

/* The key of one message. from: its custodian and key are set. */
static struct ky_status derive(EVP_PKEY *own, const uint8_t other[ACTIVATION_POINT],
                               const struct activation_hello *hello,
                               const struct activation_share *from, uint8_t out[KEY])
{
    struct { /* bytes alone: no padding */
        char tag[25];
        uint8_t start[32], custodian, key[ACTIVATION_POINT], block;
    } in = {.tag = "kyso activation share v1", .custodian = from->custodian, .block = 1};
    uint8_t agreed[KEY];
    uint8_t extracted[KEY];
    struct ky_status st = agree(own, other, agreed);

    activation_name(hello, in.start);
    memcpy(in.key, from->key, sizeof(in.key));
    if (ky_ok(st)) {
        ky_hmac_sha256(KY_SPAN_OF(hello->nonce), KY_SPAN_OF(agreed), extracted);
        ky_hmac_sha256(KY_SPAN_OF(extracted), KY_SPAN((const uint8_t *)&in, sizeof(in)), out);
    }
    ky_wipe(agreed, sizeof(agreed));
    ky_wipe(extracted, sizeof(extracted));
    return st;
}

/* AES-256-GCM; the nonce is zero because no key is used twice. */
static bool seal(const uint8_t key[KEY], const uint8_t plain[SHARE_LEN],
                 uint8_t out[ACTIVATION_SEALED])
{
    static const uint8_t nonce[12];
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int n = 0;
    bool ok = c != NULL && EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
              EVP_EncryptUpdate(c, out, &n, plain, SHARE_LEN) == 1 &&
              EVP_EncryptFinal_ex(c, out + n, &n) == 1 &&
              EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, TAG, out + SHARE_LEN) == 1;

    EVP_CIPHER_CTX_free(c);
    return ok;
}

static bool unseal(const uint8_t key[KEY], const uint8_t sealed[ACTIVATION_SEALED],
                   uint8_t out[SHARE_LEN])
{
    static const uint8_t nonce[12];
    uint8_t tag[TAG];
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int n = 0;
    bool ok;

    memcpy(tag, sealed + SHARE_LEN, TAG);
    ok = c != NULL && EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
         EVP_DecryptUpdate(c, out, &n, sealed, SHARE_LEN) == 1 &&
         EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, TAG, tag) == 1 &&
         EVP_DecryptFinal_ex(c, out + n, &n) == 1;
    EVP_CIPHER_CTX_free(c);
    return ok;
}

struct ky_status activation_seal(const struct activation_hello *hello, uint8_t custodian,
                                 const struct ky_secret *share, struct activation_share *out)
{
    struct activation_share made = {.custodian = custodian};
    EVP_PKEY *own = EVP_EC_gen("P-256");
    uint8_t key[KEY];
    struct ky_status st = own != NULL ? public_point(own, made.key) : KY_STATUS(KY_NOMEM);

    if (ky_ok(st))
        st = derive(own, hello->key, hello, &made, key);
    if (ky_ok(st) && !seal(key, share->bytes, made.sealed))
        st = KY_STATUS(KY_NOMEM);
    if (ky_ok(st))
        *out = made;
    ky_wipe(key, sizeof(key));
    EVP_PKEY_free(own);
    return st;
}

struct ky_status activation_open(const struct activation_key *key,
                                 const struct activation_share *from, struct ky_secret *out_share)
{
    uint8_t plain[SHARE_LEN];
    uint8_t with[KEY];
    struct ky_status st = derive(key->pair, from->key, &key->hello, from, with);

    if (!ky_ok(st) || !unseal(with, from->sealed, plain))
        st = KY_STATUS(KY_CORRUPT);
    else
        st = ky_secret_set(out_share, KY_SPAN_OF(plain));
    ky_wipe(plain, sizeof(plain));
    ky_wipe(with, sizeof(with));
    return st;
}
