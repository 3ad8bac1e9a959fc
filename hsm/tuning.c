/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SoftHSM2 turns a PKCS#8 blob into a key with EVP_PKCS82PKEY in OpenSSL's default context. OpenSSL
 * 3.0 then builds a chain from every decoder and every kind of key it knows, each time; when the
 * context has no decoder at all it falls back to its own parser, which is several times faster than
 * all that. So the default context gets one provider that has no decoders: it lends out what the
 * stock provider, loaded in a context of its own, implements. Main thread, before the module is
 * loaded; nothing here runs later but OpenSSL asking for a table.
 */
#include "tuning.h"

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <string.h>

#define PROVIDER_NAME "kyso-software-token"

enum { KINDS = 7, LENT_MAX = 16 };

/*
 * What a software token and verify.c ask for, by the first of a row's names; nothing else is lent. To
 * list decoders, OpenSSL copies a list for each algorithm that the context has ever made known, and one
 * fetch makes known all of its kind: of ciphers alone the stock provider has some 140.
 */
static const struct kind {
    int operation;
    const char *names[LENT_MAX]; /* ended by NULL */
} kinds[KINDS] = {
    {OSSL_OP_KEYMGMT, {"RSA", "EC", "ED25519"}},
    {OSSL_OP_SIGNATURE, {"RSA", "ECDSA", "ED25519"}},
    {OSSL_OP_ASYM_CIPHER, {"RSA"}},
    {OSSL_OP_DIGEST, {"SHA1", "SHA2-224", "SHA2-256", "SHA2-384", "SHA2-512"}},
    {OSSL_OP_MAC, {"HMAC"}},
    {OSSL_OP_RAND, {"CTR-DRBG", "SEED-SRC"}},
    {OSSL_OP_CIPHER,
     {"AES-128-ECB", "AES-192-ECB", "AES-256-ECB", "AES-128-CBC", "AES-192-CBC", "AES-256-CBC",
      "AES-256-CTR", "AES-128-WRAP", "AES-192-WRAP", "AES-256-WRAP", "AES-128-WRAP-PAD",
      "AES-192-WRAP-PAD", "AES-256-WRAP-PAD"}},
};

/*
 * OpenSSL hands a built-in provider no pointer of ours, so this is the one place to keep it.
 * Written before any thread.
 */
static struct {
    OSSL_PROVIDER *stock;  /* owned; never released: its tables are in use until the end */
    OSSL_PROVIDER *narrow; /* owned; never released */
    OSSL_ALGORITHM rows[KINDS][LENT_MAX + 1]; /* stock rows of each kind, and an empty one */
} lent;

/* Whether a row's names ("EC:id-ecPublicKey:1.2...") begin with this one. */
static bool is_named(const OSSL_ALGORITHM *row, const char *name)
{
    size_t len = strlen(name);

    return strncmp(row->algorithm_names, name, len) == 0 &&
           (row->algorithm_names[len] == ':' || row->algorithm_names[len] == '\0');
}

/* The rows of one kind, in the stock provider's order. False: it lacks one. */
static bool pick(size_t k)
{
    int no_cache = 0;
    size_t asked = 0;
    size_t n = 0;
    const OSSL_ALGORITHM *row =
        OSSL_PROVIDER_query_operation(lent.stock, kinds[k].operation, &no_cache);

    while (asked < LENT_MAX && kinds[k].names[asked] != NULL)
        asked++;
    for (; row != NULL && row->algorithm_names != NULL; row++) {
        for (size_t i = 0; i < asked && n < LENT_MAX; i++) {
            if (is_named(row, kinds[k].names[i]))
                lent.rows[k][n++] = *row;
        }
    }
    return n == asked;
}

static bool pick_all(void)
{
    bool all = true;

    for (size_t k = 0; all && k < KINDS; k++)
        all = pick(k);
    return all;
}

static const OSSL_ALGORITHM *query(void *provctx, int operation, int *no_cache)
{
    (void)provctx;
    *no_cache = 0;
    for (size_t k = 0; k < KINDS; k++) {
        if (kinds[k].operation == operation)
            return lent.rows[k];
    }
    /* A newborn Ed25519 key is written by an encoder; those are kept apart and cost nothing. */
    return operation == OSSL_OP_ENCODER
               ? OSSL_PROVIDER_query_operation(lent.stock, operation, no_cache)
               : NULL;
}

/* The stock implementations are handed the stock provider's own context, so that is ours too. */
static int provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
                         const OSSL_DISPATCH **out, void **provctx)
{
    static const OSSL_DISPATCH table[] = {
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query},
        {0, NULL},
    };

    (void)handle;
    (void)in;
    *out = table;
    *provctx = OSSL_PROVIDER_get0_provider_ctx(lent.stock);
    return 1;
}

struct ky_status hsm_tuning_apply(bool *out_effective)
{
    OSSL_LIB_CTX *apart = OSSL_LIB_CTX_new(); /* lives as long as what it lends */

    if (apart == NULL)
        return KY_STATUS(KY_NOMEM);
    lent.stock = OSSL_PROVIDER_load(apart, "default");
    if (lent.stock == NULL || !pick_all() ||
        OSSL_PROVIDER_add_builtin(NULL, PROVIDER_NAME, provider_init) != 1 ||
        (lent.narrow = OSSL_PROVIDER_load(NULL, PROVIDER_NAME)) == NULL) {
        ERR_clear_error();
        return KY_STATUS(KY_INTERNAL);
    }
    *out_effective = OSSL_PROVIDER_available(NULL, "default") != 1;
    return KY_STATUS(KY_OK);
}
