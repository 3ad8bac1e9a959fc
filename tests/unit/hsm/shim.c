/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PKCS#11 module that passes everything to a real one and misbehaves on order.
 * KYSO_SHIM_MODULE names the real module; KYSO_SHIM is a list "what:first:count:effect", separated
 * by commas: calls first .. first+count-1 (from 1) of `what` (open, init, sign, unwrap, token,
 * generate: C_GenerateKey, copyable and length: C_GetAttributeValue of that alone) meet `effect`: a
 * CK_RV in hexadecimal, or flip (one bit of the signature), short (its length), alias (signs with another
 * key), zero (the length), hold (waits until somebody writes to the named pipe KYSO_SHIM_HOLD). For token, the effect
 * is token flags to add. KYSO_SHIM_LOGINS names a file that gets one byte per C_Login.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum what { OPEN, INIT, SIGN, UNWRAP, TOKEN, GENERATE, COPYABLE, LENGTH, WHAT_COUNT };
enum { FAULTS_MAX = 8 };

static const char *const what_names[WHAT_COUNT] = {"open",  "init",     "sign",     "unwrap",
                                                   "token", "generate", "copyable", "length"};

struct fault {
    enum what what;
    unsigned first;
    unsigned count;
    char effect[16];
};

static struct {
    pthread_mutex_t lock;
    CK_FUNCTION_LIST *real;
    CK_FUNCTION_LIST list;
    struct fault faults[FAULTS_MAX];
    size_t fault_count;
    unsigned calls[WHAT_COUNT];
    /* Of the last C_SignInit that was left alone: what alias signs with. */
    _Atomic CK_OBJECT_HANDLE honest_key;
} shim = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const char *effect_now(enum what w)
{
    const char *effect = NULL;

    (void)pthread_mutex_lock(&shim.lock);
    shim.calls[w]++;
    for (size_t i = 0; i < shim.fault_count; i++) {
        const struct fault *f = &shim.faults[i];

        if (f->what == w && shim.calls[w] >= f->first && shim.calls[w] - f->first < f->count)
            effect = f->effect;
    }
    (void)pthread_mutex_unlock(&shim.lock);
    return effect;
}

static CK_RV rv_of(const char *effect)
{
    return strtoul(effect, NULL, 16);
}

static CK_RV shim_open(CK_SLOT_ID slot, CK_FLAGS flags, void *app, CK_NOTIFY notify,
                       CK_SESSION_HANDLE *out)
{
    const char *effect = effect_now(OPEN);

    return effect != NULL ? rv_of(effect) : shim.real->C_OpenSession(slot, flags, app, notify, out);
}

static CK_RV shim_init(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    const char *effect = effect_now(INIT);

    if (effect == NULL)
        shim.honest_key = key;
    else if (strcmp(effect, "alias") == 0)
        key = shim.honest_key;
    else
        return rv_of(effect);
    return shim.real->C_SignInit(s, m, key);
}

/* Opening a named pipe to read waits for its writer. */
static void hold(void)
{
    int fd = open(getenv("KYSO_SHIM_HOLD"), O_RDONLY | O_CLOEXEC);

    if (fd >= 0)
        (void)close(fd);
}

static CK_RV shim_sign(CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *sig,
                       CK_ULONG *sig_len)
{
    const char *effect = effect_now(SIGN);
    CK_RV rv = CKR_OK;

    if (effect != NULL && strcmp(effect, "hold") == 0) {
        hold();
        effect = NULL;
    }
    rv = shim.real->C_Sign(s, in, in_len, sig, sig_len);
    if (effect == NULL || rv != CKR_OK)
        return rv;
    if (strcmp(effect, "flip") == 0)
        sig[*sig_len - 1] ^= 1;
    else if (strcmp(effect, "short") == 0)
        *sig_len -= 1;
    else
        return rv_of(effect);
    return CKR_OK;
}

static CK_RV shim_unwrap(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE kek, CK_BYTE *blob,
                         CK_ULONG blob_len, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *out)
{
    const char *effect = effect_now(UNWRAP);

    return effect != NULL ? rv_of(effect)
                          : shim.real->C_UnwrapKey(s, m, kek, blob, blob_len, t, n, out);
}

static CK_RV shim_generate(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_ATTRIBUTE *t, CK_ULONG n,
                           CK_OBJECT_HANDLE *out)
{
    const char *effect = effect_now(GENERATE);

    return effect != NULL ? rv_of(effect) : shim.real->C_GenerateKey(s, m, t, n, out);
}

static CK_RV shim_attribute(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *t,
                            CK_ULONG n)
{
    const char *effect = n != 1                       ? NULL
                         : t->type == CKA_COPYABLE    ? effect_now(COPYABLE)
                         : t->type == CKA_VALUE_LEN   ? effect_now(LENGTH)
                                                      : NULL;

    if (effect != NULL && strcmp(effect, "zero") == 0) {
        if (t->pValue != NULL)
            memset(t->pValue, 0, t->ulValueLen);
        return CKR_OK;
    }
    return effect != NULL ? rv_of(effect) : shim.real->C_GetAttributeValue(s, object, t, n);
}

static CK_RV shim_token(CK_SLOT_ID slot, CK_TOKEN_INFO *out)
{
    const char *effect = effect_now(TOKEN);
    CK_RV rv = shim.real->C_GetTokenInfo(slot, out);

    if (rv == CKR_OK && effect != NULL)
        out->flags |= rv_of(effect);
    return rv;
}

static CK_RV shim_login(CK_SESSION_HANDLE s, CK_USER_TYPE user, CK_BYTE *pin, CK_ULONG len)
{
    const char *path = getenv("KYSO_SHIM_LOGINS");
    int fd = path != NULL ? open(path, O_WRONLY | O_APPEND | O_CREAT, 0600) : -1;

    if (fd >= 0) {
        if (write(fd, "x", 1) != 1)
            abort();
        (void)close(fd);
    }
    return shim.real->C_Login(s, user, pin, len);
}

static void parse_faults(const char *text)
{
    char copy[256];
    char *save = NULL;

    (void)snprintf(copy, sizeof(copy), "%s", text);
    for (char *p = strtok_r(copy, ",", &save); p != NULL; p = strtok_r(NULL, ",", &save)) {
        struct fault f;
        char name[16];

        if (shim.fault_count == FAULTS_MAX ||
            sscanf(p, "%15[^:]:%u:%u:%15s", name, &f.first, &f.count, f.effect) != 4)
            abort();
        for (f.what = OPEN; f.what < WHAT_COUNT && strcmp(what_names[f.what], name) != 0; f.what++)
            ;
        if (f.what == WHAT_COUNT)
            abort();
        shim.faults[shim.fault_count++] = f;
    }
}

static CK_RV load(void)
{
    const char *path = getenv("KYSO_SHIM_MODULE");
    const char *faults = getenv("KYSO_SHIM");
    CK_C_GetFunctionList get_list = NULL;
    void *dl = path != NULL ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;

    if (dl == NULL)
        return CKR_GENERAL_ERROR;
    *(void **)&get_list = dlsym(dl, "C_GetFunctionList");
    if (get_list == NULL || get_list(&shim.real) != CKR_OK)
        return CKR_GENERAL_ERROR;
    if (faults != NULL)
        parse_faults(faults);
    shim.list = *shim.real;
    shim.list.C_OpenSession = shim_open;
    shim.list.C_SignInit = shim_init;
    shim.list.C_Sign = shim_sign;
    shim.list.C_UnwrapKey = shim_unwrap;
    shim.list.C_GenerateKey = shim_generate;
    shim.list.C_GetAttributeValue = shim_attribute;
    shim.list.C_GetTokenInfo = shim_token;
    shim.list.C_Login = shim_login;
    return CKR_OK;
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **out)
{
    CK_RV rv = shim.real == NULL ? load() : CKR_OK;

    if (rv == CKR_OK) {
        shim.list.C_GetFunctionList = C_GetFunctionList;
        *out = &shim.list;
    }
    return rv;
}
