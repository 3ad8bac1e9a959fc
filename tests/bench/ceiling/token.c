/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PKCS#11 with nothing around it. The templates state what the server's vault states, so that both
 * pay for the same objects.
 */
#include "token.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define SLOTS_MAX 64u
#define COUNT(a)  (sizeof(a) / sizeof((a)[0]))

/* DER of the OID prime256v1 */
static const CK_BYTE p256_params[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
/* DigestInfo of SHA-256 up to the digest (RFC 8017 s.9.2) */
static const uint8_t sha256_info[] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                      0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};

static CK_BBOOL yes = CK_TRUE;
static CK_BBOOL no = CK_FALSE;

static bool done(CK_RV rv, const char *what)
{
    if (rv != CKR_OK)
        (void)fprintf(stderr, "kyso-bench-ceiling: %s: CK_RV 0x%lx\n", what, rv);
    return rv == CKR_OK;
}

static bool find_slot(struct token *t, const char *label)
{
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG n = SLOTS_MAX;
    CK_TOKEN_INFO info;
    char padded[sizeof info.label + 1];

    if (!done(t->fn->C_GetSlotList(CK_TRUE, slots, &n), "C_GetSlotList"))
        return false;
    (void)snprintf(padded, sizeof padded, "%-32s", label);
    for (CK_ULONG i = 0; i < n; i++) {
        if (t->fn->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
            (info.flags & CKF_TOKEN_INITIALIZED) &&
            strncmp((const char *)info.label, padded, sizeof info.label) == 0) {
            t->slot = slots[i];
            return true;
        }
    }
    (void)fprintf(stderr, "kyso-bench-ceiling: no token is named %s\n", label);
    return false;
}

bool token_open(struct token *t, const char *module, const char *label, const char *pin)
{
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
    CK_C_GetFunctionList get_list = NULL;
    void *dl = dlopen(module, RTLD_NOW | RTLD_LOCAL);

    if (dl != NULL)
        *(void **)&get_list = dlsym(dl, "C_GetFunctionList");
    if (get_list == NULL) {
        (void)fprintf(stderr, "kyso-bench-ceiling: %s is no PKCS#11 module\n", module);
        return false;
    }
    return done(get_list(&t->fn), "C_GetFunctionList") &&
           done(t->fn->C_Initialize(&args), "C_Initialize") && find_slot(t, label) &&
           done(t->fn->C_OpenSession(t->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL,
                                     &t->anchor),
                "C_OpenSession") &&
           done(t->fn->C_Login(t->anchor, CKU_USER, (CK_UTF8CHAR_PTR)(uintptr_t)pin, strlen(pin)),
                "C_Login");
}

void token_close(struct token *t)
{
    if (t->fn != NULL)
        (void)t->fn->C_Finalize(NULL);
    t->fn = NULL;
}

bool token_session_open(struct token_session *s, const struct token *t, enum token_key key_type)
{
    s->token = t;
    s->key_type = key_type;
    s->kek = CK_INVALID_HANDLE;
    return done(
        t->fn->C_OpenSession(t->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s->handle),
        "C_OpenSession");
}

bool token_kek_make(struct token_session *s)
{
    CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ULONG len = 32;
    CK_ATTRIBUTE t[] = {
        {CKA_TOKEN, &no, sizeof no},       {CKA_PRIVATE, &yes, sizeof yes},
        {CKA_SENSITIVE, &yes, sizeof yes}, {CKA_EXTRACTABLE, &no, sizeof no},
        {CKA_WRAP, &yes, sizeof yes},      {CKA_UNWRAP, &yes, sizeof yes},
        {CKA_ENCRYPT, &no, sizeof no},     {CKA_DECRYPT, &no, sizeof no},
        {CKA_SIGN, &no, sizeof no},        {CKA_VALUE_LEN, &len, sizeof len},
    };

    return done(s->token->fn->C_GenerateKey(s->handle, &mechanism, t, COUNT(t), &s->kek),
                "C_GenerateKey");
}

bool token_key_make(const struct token_session *s, bool on_token, bool extractable,
                    CK_OBJECT_HANDLE *out_key)
{
    static CK_BYTE exponent[] = {1, 0, 1};
    CK_ULONG bits = 2048;
    CK_BBOOL token = on_token ? CK_TRUE : CK_FALSE;
    CK_BBOOL extract = extractable ? CK_TRUE : CK_FALSE;
    CK_MECHANISM mechanism = {
        s->key_type == TOKEN_P256 ? CKM_EC_KEY_PAIR_GEN : CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
    CK_ATTRIBUTE pub_ec[] = {{CKA_TOKEN, &no, sizeof no},
                             {CKA_EC_PARAMS, (void *)(uintptr_t)p256_params, sizeof p256_params}};
    CK_ATTRIBUTE pub_rsa[] = {{CKA_TOKEN, &no, sizeof no},
                              {CKA_MODULUS_BITS, &bits, sizeof bits},
                              {CKA_PUBLIC_EXPONENT, exponent, sizeof exponent}};
    CK_ATTRIBUTE priv[] = {
        {CKA_TOKEN, &token, sizeof token}, {CKA_PRIVATE, &yes, sizeof yes},
        {CKA_SENSITIVE, &yes, sizeof yes}, {CKA_EXTRACTABLE, &extract, sizeof extract},
        {CKA_SIGN, &yes, sizeof yes},      {CKA_DECRYPT, &no, sizeof no},
    };
    CK_ATTRIBUTE *pub = s->key_type == TOKEN_P256 ? pub_ec : pub_rsa;
    CK_ULONG pub_n = s->key_type == TOKEN_P256 ? COUNT(pub_ec) : COUNT(pub_rsa);
    CK_OBJECT_HANDLE half = CK_INVALID_HANDLE;

    return done(s->token->fn->C_GenerateKeyPair(s->handle, &mechanism, pub, pub_n, priv,
                                                COUNT(priv), &half, out_key),
                "C_GenerateKeyPair") &&
           token_key_destroy(s, half);
}

bool token_key_wrap(const struct token_session *s, CK_OBJECT_HANDLE key,
                    struct token_blob *out_blob)
{
    CK_MECHANISM mechanism = {CKM_AES_KEY_WRAP_PAD, NULL, 0};

    out_blob->len = sizeof out_blob->bytes;
    return done(s->token->fn->C_WrapKey(s->handle, &mechanism, s->kek, key, out_blob->bytes,
                                        &out_blob->len),
                "C_WrapKey");
}

bool token_key_unwrap(const struct token_session *s, const struct token_blob *blob,
                      CK_OBJECT_HANDLE *out_key)
{
    CK_MECHANISM mechanism = {CKM_AES_KEY_WRAP_PAD, NULL, 0};
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_KEY_TYPE type = s->key_type == TOKEN_P256 ? CKK_EC : CKK_RSA;
    CK_ATTRIBUTE t[] = {
        {CKA_CLASS, &class, sizeof class}, {CKA_KEY_TYPE, &type, sizeof type},
        {CKA_TOKEN, &no, sizeof no},       {CKA_PRIVATE, &yes, sizeof yes},
        {CKA_SENSITIVE, &yes, sizeof yes}, {CKA_EXTRACTABLE, &no, sizeof no},
        {CKA_SIGN, &yes, sizeof yes},      {CKA_SIGN_RECOVER, &no, sizeof no},
        {CKA_DECRYPT, &no, sizeof no},     {CKA_UNWRAP, &no, sizeof no},
        {CKA_DERIVE, &no, sizeof no},
    };

    return done(s->token->fn->C_UnwrapKey(s->handle, &mechanism, s->kek,
                                          (CK_BYTE_PTR)(uintptr_t)blob->bytes, blob->len, t,
                                          COUNT(t), out_key),
                "C_UnwrapKey");
}

bool token_key_destroy(const struct token_session *s, CK_OBJECT_HANDLE key)
{
    return done(s->token->fn->C_DestroyObject(s->handle, key), "C_DestroyObject");
}

bool token_sign(const struct token_session *s, CK_OBJECT_HANDLE key, uint64_t counter)
{
    CK_MECHANISM mechanism = {s->key_type == TOKEN_P256 ? CKM_ECDSA : CKM_RSA_PKCS, NULL, 0};
    uint8_t input[sizeof sha256_info + 32];
    CK_BYTE signature[TOKEN_SIG_MAX];
    CK_ULONG len = sizeof signature;
    size_t head = s->key_type == TOKEN_P256 ? 0 : sizeof sha256_info;

    memcpy(input, sha256_info, head);
    memset(input + head, 0x5a, 32);
    memcpy(input + head, &counter, sizeof counter);
    return done(s->token->fn->C_SignInit(s->handle, &mechanism, key), "C_SignInit") &&
           done(s->token->fn->C_Sign(s->handle, input, head + 32, signature, &len), "C_Sign");
}
