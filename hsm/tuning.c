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

enum { KEY_KINDS_MAX = 8 };

/*
 * OpenSSL hands a built-in provider no pointer of ours, so this is the one place to keep it.
 * Written before any thread.
 */
static struct {
    OSSL_PROVIDER *stock;  /* owned; never released: its tables are in use until the end */
    OSSL_PROVIDER *narrow; /* owned; never released */
    /* The stock rows of the kinds below, and an empty one. */
    OSSL_ALGORITHM key_kinds[KEY_KINDS_MAX + 1];
} lent;

/* The names by which OpenSSL's own code asks for the kinds of key that a vault meets. */
static const char *const kinds[] = {"RSA", "EC", "ED25519"};

/* Whether a row's names ("EC:id-ecPublicKey:1.2...") begin with this one. */
static bool is_kind(const OSSL_ALGORITHM *row, const char *kind)
{
    size_t len = strlen(kind);

    return strncmp(row->algorithm_names, kind, len) == 0 &&
           (row->algorithm_names[len] == ':' || row->algorithm_names[len] == '\0');
}

static bool wanted(const OSSL_ALGORITHM *row)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (is_kind(row, kinds[i]))
            return true;
    }
    return false;
}

/*
 * EVP_PKCS82PKEY lists these each time even when there is no decoder for any: the fewer the better.
 */
static bool pick_key_kinds(void)
{
    int no_cache = 0;
    size_t n = 0;
    const OSSL_ALGORITHM *row =
        OSSL_PROVIDER_query_operation(lent.stock, OSSL_OP_KEYMGMT, &no_cache);

    for (; row != NULL && row->algorithm_names != NULL && n < KEY_KINDS_MAX; row++) {
        if (wanted(row))
            lent.key_kinds[n++] = *row;
    }
    return n == sizeof(kinds) / sizeof(kinds[0]);
}

static const OSSL_ALGORITHM *query(void *provctx, int operation, int *no_cache)
{
    (void)provctx;
    *no_cache = 0;
    switch (operation) {
    case OSSL_OP_KEYMGMT:
        return lent.key_kinds;
    case OSSL_OP_DECODER:
    case OSSL_OP_STORE:
        return NULL;
    default:
        return OSSL_PROVIDER_query_operation(lent.stock, operation, no_cache);
    }
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
    if (lent.stock == NULL || !pick_key_kinds() ||
        OSSL_PROVIDER_add_builtin(NULL, PROVIDER_NAME, provider_init) != 1 ||
        (lent.narrow = OSSL_PROVIDER_load(NULL, PROVIDER_NAME)) == NULL) {
        ERR_clear_error();
        return KY_STATUS(KY_INTERNAL);
    }
    *out_effective = OSSL_PROVIDER_available(NULL, "default") != 1;
    return KY_STATUS(KY_OK);
}
