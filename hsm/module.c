/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading, the token, the login. Runs on the vault's main thread before any
 * worker exists. The PIN is read here and nowhere else, and tried at most once.
 */
#include "module.h"

#include <dlfcn.h>
#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ckr.h"

enum { SLOTS_MAX = 256 };

/* p11-kit has no way to pass pReserved, so a module that needs an argument is opened directly. */
static struct ky_status module_load_raw(const char *path, CK_FUNCTION_LIST **out_fn)
{
    CK_C_GetFunctionList get_list = NULL;
    void *dl = dlopen(path, RTLD_NOW | RTLD_LOCAL);

    if (dl == NULL)
        return KY_STATUS_CAUSE(KY_TOKEN_MODULE, CKR_LIBRARY_LOAD_FAILED);
    *(void **)&get_list = dlsym(dl, "C_GetFunctionList");
    if (get_list == NULL)
        return KY_STATUS_CAUSE(KY_TOKEN_MODULE, CKR_LIBRARY_LOAD_FAILED);
    return hsm_ckr_status(get_list(out_fn));
}

static struct ky_status module_load(const struct hsm_config *config, CK_FUNCTION_LIST **out_fn)
{
    if (config->module == NULL || config->module[0] != '/')
        return KY_STATUS(KY_INVALID);
    if (config->init_args != NULL && config->init_args[0] != '\0')
        return module_load_raw(config->module, out_fn);
    *out_fn = p11_kit_module_load(config->module, P11_KIT_MODULE_UNMANAGED);
    return *out_fn != NULL ? KY_STATUS(KY_OK)
                           : KY_STATUS_CAUSE(KY_TOKEN_MODULE, CKR_LIBRARY_LOAD_FAILED);
}

struct ky_status hsm_module_open(const struct hsm_config *config, struct hsm_module *out)
{
    struct hsm_module m = {.anchor = CK_INVALID_HANDLE};
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
    struct ky_status st = KY_STATUS(KY_NOMEM);

    /* NSS may decide by the folder's speed to serve from a copy in memory, which misses what other vaults write: their anchors. */
    if (setenv("NSS_SDB_USE_CACHE", "no", 0) != 0)
        return st;
    st = module_load(config, &m.fn);
    if (!ky_ok(st))
        return st;
    if (config->init_args != NULL && config->init_args[0] != '\0')
        args.pReserved = (void *)(uintptr_t)config->init_args;
    st = hsm_ckr_status(m.fn->C_Initialize(&args));
    if (!ky_ok(st))
        return st;
    m.initialised = true;
    *out = m;
    return KY_STATUS(KY_OK);
}

static struct ky_status uri_parse(const char *text, P11KitUri **out_uri)
{
    P11KitUri *uri = p11_kit_uri_new();
    struct ky_status st = KY_STATUS(KY_INVALID);

    if (uri == NULL)
        return KY_STATUS(KY_NOMEM);
    if (text == NULL || p11_kit_uri_parse(text, P11_KIT_URI_FOR_ANY, uri) != P11_KIT_URI_OK)
        goto done;
    /* A PIN in a URI lives in files and process lists. */
    if (p11_kit_uri_get_pin_value(uri) != NULL || p11_kit_uri_any_unrecognized(uri))
        goto done;
    *out_uri = uri;
    uri = NULL;
    st = KY_STATUS(KY_OK);
done:
    if (uri != NULL)
        p11_kit_uri_free(uri);
    return st;
}

/* Takes the match after `skip` others; *out_found: how many there are. */
static struct ky_status find(struct hsm_module *m, const P11KitUri *uri, bool initialised,
                             unsigned skip, unsigned *out_found)
{
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG count = SLOTS_MAX;
    struct ky_status st = hsm_ckr_status(m->fn->C_GetSlotList(CK_TRUE, slots, &count));

    *out_found = 0;
    for (CK_ULONG i = 0; ky_ok(st) && i < count; i++) {
        CK_TOKEN_INFO info;

        if (m->fn->C_GetTokenInfo(slots[i], &info) != CKR_OK ||
            initialised != ((info.flags & CKF_TOKEN_INITIALIZED) != 0) ||
            !p11_kit_uri_match_token_info((P11KitUri *)(uintptr_t)uri, &info))
            continue;
        if (++*out_found != skip + 1)
            continue;
        m->slot = slots[i];
        m->token = info;
    }
    return st;
}

struct ky_status hsm_module_find_token(struct hsm_module *m, const char *text)
{
    unsigned found = 0;
    P11KitUri *uri = NULL;
    struct ky_status st = uri_parse(text, &uri);

    if (ky_ok(st))
        st = find(m, uri, true, 0, &found);
    if (ky_ok(st) && found != 1)
        st = KY_STATUS_CAUSE(KY_NOT_FOUND, found);
    if (uri != NULL)
        p11_kit_uri_free(uri);
    return st;
}

/* A label in a token's form; NULL: one that matches any. */
static void set_label(P11KitUri *uri, const char *label)
{
    CK_TOKEN_INFO *want = p11_kit_uri_get_token_info(uri);

    memset(want->label, label != NULL ? ' ' : 0, sizeof(want->label));
    if (label != NULL)
        memcpy(want->label, label, strnlen(label, sizeof(want->label)));
}

struct ky_status hsm_module_find_other(struct hsm_module *m, const char *text, const char *label,
                                       unsigned skip)
{
    unsigned found = 0;
    P11KitUri *uri = NULL;
    struct ky_status st = uri_parse(text, &uri);

    if (ky_ok(st)) {
        set_label(uri, label);
        st = find(m, uri, label != NULL, skip, &found);
    }
    if (ky_ok(st) && found <= skip)
        st = KY_STATUS(KY_NOT_FOUND);
    if (uri != NULL)
        p11_kit_uri_free(uri);
    return st;
}

struct ky_status hsm_module_label(const char *text, uint8_t out[32])
{
    P11KitUri *uri = NULL;
    struct ky_status st = uri_parse(text, &uri);

    if (ky_ok(st)) {
        const CK_TOKEN_INFO *named = p11_kit_uri_get_token_info(uri);

        memcpy(out, named->label, sizeof(named->label));
        if (out[0] == '\0' || out[0] == ' ')
            st = KY_STATUS(KY_INVALID);
    }
    if (uri != NULL)
        p11_kit_uri_free(uri);
    return st;
}

struct ky_status hsm_module_login(struct hsm_module *m, const struct ky_secret *pin)
{
    CK_RV rv = CKR_OK;

    if (pin->len == 0)
        return KY_STATUS_CAUSE(KY_TOKEN_LOGIN, CKR_PIN_LEN_RANGE);
    rv = m->fn->C_GetTokenInfo(m->slot, &m->token);
    if (rv != CKR_OK)
        return KY_STATUS_CAUSE(KY_TOKEN_MODULE, rv); /* no login was tried */
    if (m->token.flags & (CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED))
        return KY_STATUS_CAUSE(KY_TOKEN_LOGIN, CKR_PIN_LOCKED);
    rv = m->fn->C_OpenSession(m->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &m->anchor);
    if (rv != CKR_OK)
        return KY_STATUS_CAUSE(KY_TOKEN_MODULE, rv);
    rv = m->fn->C_Login(m->anchor, CKU_USER, pin->bytes, pin->len);
    return rv == CKR_OK ? KY_STATUS(KY_OK) : KY_STATUS_CAUSE(KY_TOKEN_LOGIN, rv);
}

void hsm_module_close(struct hsm_module *m)
{
    if (m->initialised)
        (void)m->fn->C_Finalize(NULL);
    m->initialised = false;
    m->anchor = CK_INVALID_HANDLE;
}

/* Token strings are blank-padded and not terminated. */
static int padded_len(const unsigned char *s, int n)
{
    while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\0'))
        n--;
    return n;
}

void hsm_module_describe(const struct hsm_module *m, char *out, size_t cap)
{
    const CK_TOKEN_INFO *t = &m->token;

    (void)snprintf(
        out, cap, "label=%.*s model=%.*s serial=%.*s", padded_len(t->label, sizeof(t->label)),
        (const char *)t->label, padded_len(t->model, sizeof(t->model)), (const char *)t->model,
        padded_len(t->serialNumber, sizeof(t->serialNumber)), (const char *)t->serialNumber);
}
