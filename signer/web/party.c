/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrypt costs tens of milliseconds by design, and the loop has one thread: so the secret that was right last is
 * remembered under a key of this process, and what differs from it is checked a few times a second at most.
 */
#include "party.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "base64.h"
#include "kyso/alg.h"
#include "kyso/record.h"
#include "kyso/secret.h"

#define SALT_LEN     16u
#define KEY_LEN      32u
#define SECRET_LEN   24u
#define LN_STANDARD  14u
#define SCRYPT_BYTES (64u * 1024u * 1024u)
#define LOGIN_RATE   2u
#define LOGIN_BURST  5u

struct secret_hash {
    uint32_t ln, r, p;
    struct ky_span salt, key; /* in bytes */
    struct ky_buf bytes;      /* owned; behind them */
};

static bool may(struct bucket *b, uint32_t rate, uint32_t burst)
{
    const uint64_t cost_us = 1000000u / rate, most_us = cost_us * burst;
    const uint64_t now_us = ky_now_us();

    b->credit_us = b->at_us == 0 ? most_us : b->credit_us + (now_us - b->at_us);
    if (b->credit_us > most_us)
        b->credit_us = most_us;
    b->at_us = now_us;
    if (b->credit_us < cost_us)
        return false;
    b->credit_us -= cost_us;
    return true;
}

bool party_may_ask(struct party *p)
{
    return may(&p->requests, p->config->rate, p->config->rate < 10 ? 10 : p->config->rate);
}

/* out->bytes is the caller's to free, whatever is returned. */
static bool hash_read(const char *text, struct secret_hash *out)
{
    char salt[64], key[64];
    int end = 0;

    *out = (struct secret_hash){.bytes = KY_BUF_INIT(128)};
    if (text == NULL || sscanf(text, "scrypt:%2u:%2u:%2u:%63[^:]:%63[^:]%n", &out->ln, &out->r, &out->p,
                               salt, key, &end) != 5 || text[end] != '\0')
        return false;
    if (!ky_ok(base64_get(ky_span_text(salt), &out->bytes)) || out->bytes.len != SALT_LEN ||
        !ky_ok(base64_get(ky_span_text(key), &out->bytes)) || out->bytes.len != SALT_LEN + KEY_LEN)
        return false;
    out->salt = KY_SPAN(out->bytes.data, SALT_LEN);
    out->key = KY_SPAN(out->bytes.data + SALT_LEN, KEY_LEN);
    return out->ln >= 10 && out->ln <= 15 && out->r >= 1 && out->r <= 8 && out->p >= 1 && out->p <= 4;
}

bool party_secret_is_hash(const char *text)
{
    struct secret_hash h;
    const bool good = hash_read(text, &h);

    ky_buf_free(&h.bytes);
    return good;
}

static bool derive(const struct secret_hash *h, struct ky_span secret, uint8_t out[KEY_LEN])
{
    uint64_t n = 1ull << h->ln, most = SCRYPT_BYTES;
    uint32_t r = h->r, p = h->p;
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "SCRYPT", NULL);
    EVP_KDF_CTX *ctx = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, (void *)(uintptr_t)secret.data, secret.len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)h->salt.data, h->salt.len),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &n),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &r),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &p),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &most),
        OSSL_PARAM_construct_end(),
    };
    const bool good = ctx != NULL && EVP_KDF_derive(ctx, out, KEY_LEN, params) == 1;

    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return good;
}

struct ky_status party_secret_new(char *out_secret, size_t secret_cap, char *out_hash, size_t hash_cap)
{
    uint8_t random[SALT_LEN + SECRET_LEN], key[KEY_LEN];
    struct secret_hash h = {.ln = LN_STANDARD, .r = 8, .p = 1, .salt = KY_SPAN(random, SALT_LEN)};
    struct ky_buf text = KY_BUF_INIT(256);
    struct ky_status st = KY_STATUS(KY_INTERNAL);
    int n;

    if (!ky_ok(ky_random(random, sizeof(random))))
        goto done;
    base64_put(&text, KY_SPAN(random + SALT_LEN, SECRET_LEN));
    if (!ky_span_to_cstr(ky_buf_span(&text), out_secret, secret_cap) ||
        !derive(&h, ky_buf_span(&text), key))
        goto done;
    ky_buf_reset(&text);
    base64_put(&text, h.salt);
    ky_buf_put(&text, ":", 1);
    base64_put(&text, KY_SPAN_OF(key));
    n = snprintf(out_hash, hash_cap, "scrypt:%u:%u:%u:%.*s", h.ln, h.r, h.p, (int)text.len,
                 (const char *)text.data);
    if (n > 0 && (size_t)n < hash_cap)
        st = KY_STATUS(KY_OK);
done:
    ky_buf_free(&text);
    ky_wipe(random, sizeof(random));
    return st;
}

struct ky_status parties_init(struct parties *p, const struct web_config *config)
{
    *p = (struct parties){.count = config->relying_parties_count};
    p->list = calloc(p->count + 1u, sizeof(*p->list));
    if (p->list == NULL)
        return KY_STATUS(KY_NOMEM);
    for (uint32_t i = 0; i < p->count; i++)
        p->list[i].config = &config->relying_parties[i];
    return ky_random(p->key, sizeof(p->key));
}

void parties_wipe(struct parties *p)
{
    free(p->list);
    ky_wipe(p, sizeof(*p));
}

static bool matches(const char *hash, struct ky_span secret)
{
    struct secret_hash h;
    uint8_t key[KEY_LEN];
    const bool good = hash_read(hash, &h) && derive(&h, secret, key) &&
                      ky_span_eq_ct(KY_SPAN_OF(key), h.key);

    ky_buf_free(&h.bytes);
    return good;
}

enum login party_login(struct parties *p, struct ky_span name, struct ky_span secret,
                       struct party **out_party)
{
    struct party *party = NULL;
    uint8_t mark[32];

    for (uint32_t i = 0; i < p->count; i++)
        if (ky_span_eq(ky_span_text(p->list[i].config->name), name))
            party = &p->list[i];
    ky_hmac_sha256(KY_SPAN_OF(p->key), secret, mark);
    if (party != NULL && party->has_known && ky_span_eq_ct(KY_SPAN_OF(mark), KY_SPAN_OF(party->known))) {
        *out_party = party;
        return LOGIN_OK;
    }
    if (!may(party != NULL ? &party->logins : &p->strangers, LOGIN_RATE, LOGIN_BURST))
        return LOGIN_BUSY;
    /* A name that is not ours costs the same check, against somebody's hash. */
    const char *hash = party != NULL ? party->config->secret : p->count > 0 ? p->list[0].config->secret : NULL;
    if (!matches(hash, secret) || party == NULL)
        return LOGIN_WRONG;
    memcpy(party->known, mark, sizeof(mark));
    party->has_known = true;
    *out_party = party;
    return LOGIN_OK;
}
