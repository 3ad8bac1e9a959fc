/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions and the three object calls that everything else is made of. Each
 * function runs on the session's own thread.
 */
#include "session.h"

#include "ckr.h"

static struct ky_status session_start(struct hsm_session *s)
{
    CK_SESSION_INFO info;
    CK_RV rv = s->module->fn->C_OpenSession(s->module->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION,
                                            NULL, NULL, &s->handle);

    if (rv != CKR_OK) {
        s->handle = CK_INVALID_HANDLE;
        return KY_STATUS_CAUSE(KY_TOKEN_MODULE, rv);
    }
    s->serial++;
    rv = s->module->fn->C_GetSessionInfo(s->handle, &info);
    if (rv != CKR_OK)
        return KY_STATUS_CAUSE(KY_TOKEN_MODULE, rv);
    /* When every session died at once the login died with them, and the PIN is gone by now. */
    if (info.state != CKS_RW_USER_FUNCTIONS && info.state != CKS_RO_USER_FUNCTIONS)
        return KY_STATUS_CAUSE(KY_TOKEN_LOGIN, CKR_USER_NOT_LOGGED_IN);
    return KY_STATUS(KY_OK);
}

struct ky_status hsm_session_open(const struct hsm_module *m, uint32_t index,
                                  struct hsm_session *out)
{
    *out = (struct hsm_session){.module = m, .serial = (uint64_t)index << 32};
    return session_start(out);
}

struct ky_status hsm_session_renew(struct hsm_session *s)
{
    hsm_session_close(s);
    return session_start(s);
}

void hsm_session_close(struct hsm_session *s)
{
    if (s->module != NULL && s->handle != CK_INVALID_HANDLE)
        (void)s->module->fn->C_CloseSession(s->handle);
    s->handle = CK_INVALID_HANDLE;
}

struct ky_status hsm_session_find(const struct hsm_session *s, CK_ATTRIBUTE *templ,
                                  CK_ULONG templ_count, CK_OBJECT_HANDLE *out, CK_ULONG cap,
                                  CK_ULONG *out_count)
{
    const CK_FUNCTION_LIST *fn = s->module->fn;
    CK_ULONG total = 0;
    CK_ULONG got = 0;
    CK_RV rv = fn->C_FindObjectsInit(s->handle, templ, templ_count);

    if (rv != CKR_OK)
        return hsm_ckr_status(rv);
    do {
        rv = fn->C_FindObjects(s->handle, out + total, cap - total, &got);
        if (rv == CKR_OK && got > cap - total)
            rv = CKR_DEVICE_ERROR; /* more than there was room for */
        if (rv == CKR_OK)
            total += got;
    } while (rv == CKR_OK && got > 0 && total < cap);
    (void)fn->C_FindObjectsFinal(s->handle);
    if (rv == CKR_OK)
        *out_count = total;
    return hsm_ckr_status(rv);
}

struct ky_status hsm_session_attr(const struct hsm_session *s, CK_OBJECT_HANDLE object,
                                  CK_ATTRIBUTE_TYPE type, void *out, size_t cap, size_t *out_len)
{
    CK_ATTRIBUTE a = {.type = type, .pValue = out, .ulValueLen = cap};
    CK_RV rv = s->module->fn->C_GetAttributeValue(s->handle, object, &a, 1);

    if (rv == CKR_BUFFER_TOO_SMALL || rv == CKR_ATTRIBUTE_TYPE_INVALID ||
        rv == CKR_ATTRIBUTE_SENSITIVE)
        return KY_STATUS_CAUSE(KY_INVALID, rv);
    if (rv != CKR_OK)
        return hsm_ckr_status(rv);
    if (a.ulValueLen == CK_UNAVAILABLE_INFORMATION || a.ulValueLen > cap)
        return KY_STATUS_CAUSE(KY_INVALID, CKR_ATTRIBUTE_TYPE_INVALID);
    *out_len = a.ulValueLen;
    return KY_STATUS(KY_OK);
}

void hsm_session_destroy(const struct hsm_session *s, CK_OBJECT_HANDLE *object)
{
    if (*object != CK_INVALID_HANDLE)
        (void)s->module->fn->C_DestroyObject(s->handle, *object);
    *object = CK_INVALID_HANDLE;
}
