/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fault token: a PKCS#11 module that passes everything to a real one, SoftHSM2 unless told
 * otherwise, and obeys a script. README.md has the grammar. KYSO_FAULT_SCRIPT names the script
 * (absent: it only passes on), KYSO_FAULT_LOG a file that gets a line for each call. The wrappers
 * are here; obey.c decides, personality.c has what lasts.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "keys.h"
#include "obey.h"
#include "personality.h"

#ifndef FAULT_DEFAULT_MODULE
#error "FAULT_DEFAULT_MODULE: path of libsofthsm2.so"
#endif

enum { SIGNATURE_MAX = 1024, BLOB_MAX = 8192 };

/* real and list are written by the first C_GetFunctionList, which comes before any thread. */
static struct {
    CK_FUNCTION_LIST *real;
    CK_FUNCTION_LIST list;
    _Atomic CK_SLOT_ID slot; /* of the last C_OpenSession */
    /* Under the module's lock: */
    CK_BYTE stale[SIGNATURE_MAX];
    CK_ULONG stale_len;
} module;

/* --- life ------------------------------------------------------------------------------------ */

static CK_RV fault_C_Initialize(void *args)
{
    struct call c = {.fn = FN_C_Initialize};

    return call_end(&c, call_begin(&c) ? module.real->C_Initialize(args) : c.rv);
}

static CK_RV fault_C_Finalize(void *reserved)
{
    struct call c = {.fn = FN_C_Finalize};
    CK_RV rv = call_begin(&c) ? module.real->C_Finalize(reserved) : c.rv;

    if (rv == CKR_OK)
        personality_all_closed();
    return call_end(&c, rv);
}

static CK_RV fault_C_GetSlotList(CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *count)
{
    struct call c = {.fn = FN_C_GetSlotList};

    return call_end(&c, call_begin(&c) ? module.real->C_GetSlotList(present, slots, count) : c.rv);
}

static CK_RV fault_C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO *out)
{
    struct call c = {.fn = FN_C_GetTokenInfo};
    CK_RV rv = call_begin(&c) ? module.real->C_GetTokenInfo(slot, out) : c.rv;

    if (rv == CKR_OK)
        out->flags |= personality_pin_flags();
    return call_end(&c, rv);
}

static CK_RV fault_C_GetMechanismInfo(CK_SLOT_ID slot, CK_MECHANISM_TYPE type,
                                      CK_MECHANISM_INFO *out)
{
    struct call c = {.fn = FN_C_GetMechanismInfo};

    return call_end(&c, call_begin(&c) ? module.real->C_GetMechanismInfo(slot, type, out) : c.rv);
}

/* --- sessions -------------------------------------------------------------------------------- */

static CK_RV fault_C_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, void *app, CK_NOTIFY notify,
                                 CK_SESSION_HANDLE *out)
{
    struct call c = {.fn = FN_C_OpenSession};
    CK_RV rv = c.rv;

    if (!call_begin(&c))
        return call_end(&c, c.rv);
    rv = personality_session_open();
    if (rv != CKR_OK)
        return call_end(&c, rv);
    module.slot = slot;
    rv = module.real->C_OpenSession(slot, flags, app, notify, out);
    if (rv != CKR_OK)
        personality_session_closed(CK_INVALID_HANDLE);
    return call_end(&c, rv);
}

static CK_RV fault_C_CloseSession(CK_SESSION_HANDLE s)
{
    struct call c = {.fn = FN_C_CloseSession, .session = s};
    CK_RV rv = call_begin(&c) ? module.real->C_CloseSession(s) : c.rv;

    if (rv == CKR_OK)
        personality_session_closed(s);
    return call_end(&c, rv);
}

static CK_RV fault_C_GetSessionInfo(CK_SESSION_HANDLE s, CK_SESSION_INFO *out)
{
    struct call c = {.fn = FN_C_GetSessionInfo, .session = s};

    return call_end(&c, call_begin(&c) ? module.real->C_GetSessionInfo(s, out) : c.rv);
}

static CK_RV fault_C_Login(CK_SESSION_HANDLE s, CK_USER_TYPE user, CK_BYTE *pin, CK_ULONG len)
{
    struct call c = {.fn = FN_C_Login, .session = s};
    CK_RV rv = personality_login_allowed();

    if (!call_begin(&c))
        rv = c.rv;
    else if (rv == CKR_OK)
        rv = module.real->C_Login(s, user, pin, len);
    personality_login_done(rv);
    return call_end(&c, rv);
}

static CK_RV fault_C_InitToken(CK_SLOT_ID slot, CK_BYTE *pin, CK_ULONG len, CK_BYTE *label)
{
    struct call c = {.fn = FN_C_InitToken};

    return call_end(&c, call_begin(&c) ? module.real->C_InitToken(slot, pin, len, label) : c.rv);
}

static CK_RV fault_C_InitPIN(CK_SESSION_HANDLE s, CK_BYTE *pin, CK_ULONG len)
{
    struct call c = {.fn = FN_C_InitPIN, .session = s};

    return call_end(&c, call_begin(&c) ? module.real->C_InitPIN(s, pin, len) : c.rv);
}

static CK_RV fault_C_SetPIN(CK_SESSION_HANDLE s, CK_BYTE *old, CK_ULONG old_len, CK_BYTE *pin,
                            CK_ULONG len)
{
    struct call c = {.fn = FN_C_SetPIN, .session = s};

    return call_end(&c, call_begin(&c) ? module.real->C_SetPIN(s, old, old_len, pin, len) : c.rv);
}

static void lose(CK_SESSION_HANDLE session, bool all)
{
    if (all) {
        (void)module.real->C_CloseAllSessions(module.slot);
        personality_all_closed();
    } else if (module.real->C_CloseSession(session) == CKR_OK) {
        personality_session_closed(session);
    }
}

/* --- objects --------------------------------------------------------------------------------- */

static CK_RV fault_C_CreateObject(CK_SESSION_HANDLE s, CK_ATTRIBUTE *t, CK_ULONG n,
                                  CK_OBJECT_HANDLE *out)
{
    struct call c = {.fn = FN_C_CreateObject, .session = s};

    return call_end(&c, call_begin(&c) ? module.real->C_CreateObject(s, t, n, out) : c.rv);
}

static CK_RV fault_C_CopyObject(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *t,
                                CK_ULONG n, CK_OBJECT_HANDLE *out)
{
    struct call c = {.fn = FN_C_CopyObject, .session = s};

    return call_end(&c, call_begin(&c) ? module.real->C_CopyObject(s, object, t, n, out) : c.rv);
}

static CK_RV fault_C_DestroyObject(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object)
{
    struct call c = {.fn = FN_C_DestroyObject, .session = s};
    CK_RV rv = call_begin(&c) ? module.real->C_DestroyObject(s, object) : c.rv;

    if (rv == CKR_OK) {
        obey_lock();
        keys_forget(object);
        obey_unlock();
    }
    return call_end(&c, rv);
}

static void not_local(CK_ATTRIBUTE *t, CK_ULONG n)
{
    for (CK_ULONG i = 0; i < n; i++)
        if (t[i].type == CKA_LOCAL && t[i].pValue != NULL && t[i].ulValueLen == sizeof(CK_BBOOL))
            *(CK_BBOOL *)t[i].pValue = CK_FALSE;
}

static CK_RV fault_C_GetAttributeValue(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object,
                                       CK_ATTRIBUTE *t, CK_ULONG n)
{
    struct call c = {.fn = FN_C_GetAttributeValue, .session = s};
    CK_RV rv = call_begin(&c) ? module.real->C_GetAttributeValue(s, object, t, n) : c.rv;
    bool local = true;

    obey_lock();
    local = !obey_settings()->not_local;
    obey_unlock();
    if (!local)
        not_local(t, n);
    return call_end(&c, rv);
}

static CK_RV fault_C_SetAttributeValue(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object,
                                       CK_ATTRIBUTE *t, CK_ULONG n)
{
    struct call c = {.fn = FN_C_SetAttributeValue, .session = s};

    return call_end(&c, call_begin(&c) ? module.real->C_SetAttributeValue(s, object, t, n) : c.rv);
}

static CK_RV fault_C_FindObjectsInit(CK_SESSION_HANDLE s, CK_ATTRIBUTE *t, CK_ULONG n)
{
    struct call c = {.fn = FN_C_FindObjectsInit, .session = s};
    CK_RV rv = CKR_OK;

    if (!call_begin(&c))
        return call_end(&c, c.rv);
    rv = personality_operation_begin(s);
    if (rv == CKR_OK) {
        rv = module.real->C_FindObjectsInit(s, t, n);
        if (rv != CKR_OK)
            personality_operation_end(s);
    }
    return call_end(&c, rv);
}

static CK_RV fault_C_FindObjects(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE *out, CK_ULONG max,
                                 CK_ULONG *count)
{
    struct call c = {.fn = FN_C_FindObjects, .session = s};

    return call_end(&c, call_begin(&c) ? module.real->C_FindObjects(s, out, max, count) : c.rv);
}

static CK_RV fault_C_FindObjectsFinal(CK_SESSION_HANDLE s)
{
    struct call c = {.fn = FN_C_FindObjectsFinal, .session = s};
    CK_RV rv = call_begin(&c) ? module.real->C_FindObjectsFinal(s) : c.rv;

    personality_operation_end(s);
    return call_end(&c, rv);
}

/* --- signing --------------------------------------------------------------------------------- */

/* The key that the real module is told: another one when the script says so. */
static CK_OBJECT_HANDLE told(const struct call *c, CK_MECHANISM_TYPE mechanism,
                             CK_OBJECT_HANDLE key)
{
    obey_lock();
    keys_sign_init(key, c->session, mechanism);
    key = keys_other(key, mechanism, obey_rotation() + call_is(c, ACT_ALIAS));
    obey_unlock();
    return key;
}

static CK_RV fault_C_SignInit(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    struct call c = {.fn = FN_C_SignInit, .session = s};
    CK_RV rv = CKR_OK;

    obey_lock();
    c.unwrapped = keys_is_unwrapped(key);
    obey_unlock();
    if (!call_begin(&c))
        return call_end(&c, c.rv);
    rv = personality_operation_begin(s);
    if (rv == CKR_OK) {
        rv = module.real->C_SignInit(s, m, told(&c, m->mechanism, key));
        if (rv != CKR_OK)
            personality_operation_end(s);
    }
    return call_end(&c, rv);
}

/* The signature that another call was given before, where there is one of that length. */
static void make_stale(CK_BYTE *sig, CK_ULONG len)
{
    obey_lock();
    if (module.stale_len == len)
        memcpy(sig, module.stale, len);
    obey_unlock();
}

static void keep(const CK_BYTE *sig, CK_ULONG len)
{
    obey_lock();
    if (len <= SIGNATURE_MAX) {
        memcpy(module.stale, sig, len);
        module.stale_len = len;
    }
    obey_unlock();
}

static void spoil(const struct call *c, CK_BYTE *sig, CK_ULONG *len)
{
    if (call_is(c, ACT_FLIP))
        sig[*len - 1] ^= 1;
    else if (call_is(c, ACT_LENGTH))
        *len = (CK_ULONG)((long)*len + c->rule.number);
    else if (call_is(c, ACT_STALE))
        make_stale(sig, *len);
    else
        keep(sig, *len);
}

static CK_RV fault_C_Sign(CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *sig,
                          CK_ULONG *sig_len)
{
    struct call c = {.fn = FN_C_Sign, .session = s, .data = in, .data_len = in_len};
    CK_RV rv = CKR_OK;

    obey_lock();
    c.unwrapped = keys_session_signs_unwrapped(s);
    obey_unlock();
    if (!call_begin(&c)) {
        personality_operation_end(s);
        return call_end(&c, c.rv);
    }
    rv = personality_operation_check(s);
    if (rv == CKR_OK)
        rv = module.real->C_Sign(s, in, in_len, sig, sig_len);
    if (sig != NULL && rv != CKR_BUFFER_TOO_SMALL)
        personality_operation_end(s);
    if (sig != NULL && rv == CKR_OK)
        spoil(&c, sig, sig_len);
    return call_end(&c, rv);
}

/* --- keys ------------------------------------------------------------------------------------ */

static CK_RV fault_C_GenerateKey(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_ATTRIBUTE *t, CK_ULONG n,
                                 CK_OBJECT_HANDLE *out)
{
    struct call c = {.fn = FN_C_GenerateKey, .session = s};

    return call_end(&c, call_begin(&c) ? module.real->C_GenerateKey(s, m, t, n, out) : c.rv);
}

static CK_RV fault_C_GenerateKeyPair(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_ATTRIBUTE *pub,
                                     CK_ULONG pub_n, CK_ATTRIBUTE *priv, CK_ULONG priv_n,
                                     CK_OBJECT_HANDLE *out_pub, CK_OBJECT_HANDLE *out_priv)
{
    struct call c = {.fn = FN_C_GenerateKeyPair, .session = s};

    return call_end(&c, call_begin(&c) ? module.real->C_GenerateKeyPair(s, m, pub, pub_n, priv,
                                                                        priv_n, out_pub, out_priv)
                                       : c.rv);
}

static CK_RV fault_C_WrapKey(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE kek,
                             CK_OBJECT_HANDLE key, CK_BYTE *out, CK_ULONG *out_len)
{
    struct call c = {.fn = FN_C_WrapKey, .session = s};

    return call_end(&c,
                    call_begin(&c) ? module.real->C_WrapKey(s, m, kek, key, out, out_len) : c.rv);
}

static CK_RV unwrap(const struct call *c, CK_MECHANISM *m, CK_OBJECT_HANDLE kek, CK_BYTE *blob,
                    CK_ULONG len, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *out)
{
    CK_BYTE flipped[BLOB_MAX];
    CK_RV rv = personality_object_room();

    if (rv != CKR_OK)
        return rv;
    if (call_is(c, ACT_FLIP) && len > 0 && len <= sizeof(flipped)) {
        memcpy(flipped, blob, len);
        flipped[len / 2] ^= 1;
        blob = flipped;
    }
    rv = module.real->C_UnwrapKey(c->session, m, kek, blob, len, t, n, out);
    if (rv == CKR_OK)
        personality_unwrapped(*out, c->session);
    return rv;
}

static CK_RV fault_C_UnwrapKey(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE kek,
                               CK_BYTE *blob, CK_ULONG len, CK_ATTRIBUTE *t, CK_ULONG n,
                               CK_OBJECT_HANDLE *out)
{
    struct call c = {.fn = FN_C_UnwrapKey, .session = s};

    return call_end(&c, call_begin(&c) ? unwrap(&c, m, kek, blob, len, t, n, out) : c.rv);
}

static CK_RV fault_C_GenerateRandom(CK_SESSION_HANDLE s, CK_BYTE *out, CK_ULONG len)
{
    struct call c = {.fn = FN_C_GenerateRandom, .session = s};

    return call_end(&c, call_begin(&c) ? module.real->C_GenerateRandom(s, out, len) : c.rv);
}

/* --- loading --------------------------------------------------------------------------------- */

static CK_RV load_real(void)
{
    const char *path =
        obey_settings()->module[0] != '\0' ? obey_settings()->module : FAULT_DEFAULT_MODULE;
    CK_C_GetFunctionList get_list = NULL;
    void *dl = dlopen(path, RTLD_NOW | RTLD_LOCAL);

    if (dl != NULL)
        *(void **)&get_list = dlsym(dl, "C_GetFunctionList");
    if (get_list == NULL) {
        (void)fprintf(stderr, "fault token: %s: no PKCS#11 module\n", path);
        return CKR_ARGUMENTS_BAD;
    }
    return get_list(&module.real);
}

static void wrap_all(void)
{
    module.list = *module.real;
    module.list.C_GetFunctionList = C_GetFunctionList;
#define FAULT_WRAP(name) module.list.name = fault_##name;
    FAULT_FUNCTIONS(FAULT_WRAP)
#undef FAULT_WRAP
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **out)
{
    CK_RV rv = CKR_OK;

    if (module.real == NULL) {
        obey_on_lose(lose);
        rv = obey_open() ? load_real() : CKR_ARGUMENTS_BAD;
        if (rv == CKR_OK)
            wrap_all();
    }
    if (rv == CKR_OK)
        *out = &module.list;
    return rv;
}
