/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Creation and read-back from the same tables. Every boolean is stated because
 * defaults are wrong where it hurts: an AES key is born able to encrypt, decrypt
 * and sign, and a modifiable or copyable KEK can be given DECRYPT by whoever
 * holds the PIN. Main thread, before any worker.
 */
#include "keys.h"

#include <string.h>

#include "ckr.h"
#include "spki.h"

enum { SECRET_LEN = 32 };

static const struct hsm_flag root_flags[] = {
    {CKA_TOKEN, CK_TRUE},        {CKA_PRIVATE, CK_TRUE},  {CKA_SENSITIVE, CK_TRUE},
    {CKA_EXTRACTABLE, CK_FALSE}, {CKA_SIGN, CK_TRUE},     {CKA_VERIFY, CK_FALSE},
    {CKA_ENCRYPT, CK_FALSE},     {CKA_DECRYPT, CK_FALSE}, {CKA_WRAP, CK_FALSE},
    {CKA_UNWRAP, CK_FALSE},      {CKA_DERIVE, CK_FALSE},  {CKA_MODIFIABLE, CK_FALSE},
};
static const struct hsm_flag kek_flags[] = {
    {CKA_TOKEN, CK_TRUE},        {CKA_PRIVATE, CK_TRUE},  {CKA_SENSITIVE, CK_TRUE},
    {CKA_EXTRACTABLE, CK_FALSE}, {CKA_WRAP, CK_TRUE},     {CKA_UNWRAP, CK_TRUE},
    {CKA_ENCRYPT, CK_FALSE},     {CKA_DECRYPT, CK_FALSE}, {CKA_SIGN, CK_FALSE},
    {CKA_VERIFY, CK_FALSE},      {CKA_DERIVE, CK_FALSE},  {CKA_MODIFIABLE, CK_FALSE},
};
/* What CKA_UNWRAP_TEMPLATE demands of every key that leaves a blob. */
static const struct hsm_flag kek_unwrap_flags[] = {
    {CKA_TOKEN, CK_FALSE},
    {CKA_SENSITIVE, CK_TRUE},
    {CKA_EXTRACTABLE, CK_FALSE},
};
static const struct hsm_flag signer_flags[] = {
    {CKA_TOKEN, CK_TRUE},        {CKA_PRIVATE, CK_TRUE},   {CKA_SENSITIVE, CK_TRUE},
    {CKA_EXTRACTABLE, CK_FALSE}, {CKA_SIGN, CK_TRUE},      {CKA_SIGN_RECOVER, CK_FALSE},
    {CKA_DECRYPT, CK_FALSE},     {CKA_UNWRAP, CK_FALSE},   {CKA_DERIVE, CK_FALSE},
    {CKA_MODIFIABLE, CK_FALSE},
};
/* Beside those, where the token knows it for its objects. */
static const struct hsm_flag restrict_flags[] = {{CKA_COPYABLE, CK_FALSE}};
static const struct hsm_flag ledger_public_flags[] = {
    {CKA_TOKEN, CK_TRUE},    {CKA_PRIVATE, CK_FALSE}, {CKA_VERIFY, CK_TRUE},
    {CKA_ENCRYPT, CK_FALSE}, {CKA_WRAP, CK_FALSE},    {CKA_MODIFIABLE, CK_FALSE},
};

static void add_restrictions(struct hsm_template *t, const struct hsm_caps *caps,
                             const CK_MECHANISM_TYPE *allowed)
{
    if (!caps->restricts)
        return;
    hsm_template_flags(t, restrict_flags, HSM_COUNT(restrict_flags));
    if (allowed != NULL)
        hsm_template_add(t, CKA_ALLOWED_MECHANISMS, allowed, sizeof(*allowed));
}

static struct ky_status check_restrictions(const struct hsm_session *s, CK_OBJECT_HANDLE key,
                                           const struct hsm_caps *caps,
                                           const CK_MECHANISM_TYPE *allowed)
{
    struct ky_status st = KY_STATUS(KY_OK);

    if (!caps->restricts)
        return st;
    st = hsm_flags_check(s, key, restrict_flags, HSM_COUNT(restrict_flags));
    if (ky_ok(st) && allowed != NULL)
        st = hsm_attr_check(s, key, CKA_ALLOWED_MECHANISMS, allowed, sizeof(*allowed));
    return st;
}

void hsm_token_signer_template(struct hsm_template *t, const struct hsm_caps *caps,
                               const CK_MECHANISM_TYPE *allowed)
{
    hsm_template_flags(t, signer_flags, HSM_COUNT(signer_flags));
    add_restrictions(t, caps, allowed);
}

struct ky_status hsm_token_signer_check(const struct hsm_session *s, CK_OBJECT_HANDLE key,
                                        const struct hsm_caps *caps,
                                        const CK_MECHANISM_TYPE *allowed)
{
    struct ky_status st = hsm_flags_check(s, key, signer_flags, HSM_COUNT(signer_flags));

    return ky_ok(st) ? check_restrictions(s, key, caps, allowed) : st;
}

/* *out_key is CK_INVALID_HANDLE when there is none. KY_CORRUPT when there are several. */
static struct ky_status find_one(const struct hsm_session *s, CK_OBJECT_CLASS class,
                                 const char *label, CK_OBJECT_HANDLE *out_key)
{
    struct hsm_template t = {.count = 0};
    CK_OBJECT_HANDLE found[2] = {CK_INVALID_HANDLE, CK_INVALID_HANDLE};
    CK_ULONG count = 0;
    struct ky_status st;

    hsm_template_add(&t, CKA_CLASS, &class, sizeof(class));
    hsm_template_add(&t, CKA_LABEL, label, strlen(label));
    st = hsm_session_find(s, t.attrs, t.count, found, 2, &count);
    if (!ky_ok(st))
        return st;
    if (count > 1)
        return KY_STATUS_CAUSE(KY_CORRUPT, CKA_LABEL);
    *out_key = count == 1 ? found[0] : CK_INVALID_HANDLE;
    return st;
}

static CK_RV generate_root(const struct hsm_session *s, const struct hsm_caps *caps,
                           CK_OBJECT_HANDLE *out)
{
    static const CK_MECHANISM_TYPE allowed = CKM_SHA256_HMAC;
    const CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    const CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    const CK_ULONG len = SECRET_LEN;
    CK_MECHANISM mechanism = {CKM_GENERIC_SECRET_KEY_GEN, NULL, 0};
    struct hsm_template t = {.count = 0};

    hsm_template_add(&t, CKA_CLASS, &class, sizeof(class));
    hsm_template_add(&t, CKA_KEY_TYPE, &type, sizeof(type));
    hsm_template_add(&t, CKA_LABEL, HSM_LABEL_ROOT, strlen(HSM_LABEL_ROOT));
    hsm_template_add(&t, CKA_VALUE_LEN, &len, sizeof(len));
    hsm_template_flags(&t, root_flags, HSM_COUNT(root_flags));
    add_restrictions(&t, caps, &allowed);
    return s->module->fn->C_GenerateKey(s->handle, &mechanism, t.attrs, t.count, out);
}

/* What a token says of a key with attributes that it does not know. */
static bool knows_not(CK_RV rv)
{
    return rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_VALUE_INVALID ||
           rv == CKR_TEMPLATE_INCONSISTENT || rv == CKR_GENERAL_ERROR; /* the last is NSS softokn's */
}

/* The first key of all: where the operator allows it, a token that knows no restrictions is asked without. */
static struct ky_status make_root(const struct hsm_session *s, const struct hsm_caps *caps,
                                  CK_OBJECT_HANDLE *out)
{
    struct hsm_caps as = *caps;
    CK_RV rv = CKR_OK;

    as.restricts = true;
    rv = generate_root(s, &as, out);
    if (!knows_not(rv))
        return hsm_ckr_status(rv);
    if (!caps->unrestricted)
        return KY_STATUS_CAUSE(KY_UNSUPPORTED, CKA_COPYABLE);
    as.restricts = false;
    return hsm_ckr_status(generate_root(s, &as, out));
}

/*
 * An object that answers for CKA_COPYABLE is of a token that restricts: then both attributes must be right.
 * KY_UNSUPPORTED, CKA_COPYABLE: it does not, and the operator has not allowed that.
 */
static struct ky_status learn_restricts(const struct hsm_session *s, CK_OBJECT_HANDLE root,
                                        struct hsm_caps *caps)
{
    CK_BBOOL value = CK_TRUE;
    size_t len = 0;
    struct ky_status st =
        hsm_session_attr(s, root, CKA_COPYABLE, &value, sizeof(value), &len);

    caps->restricts = ky_ok(st);
    if (st.code == KY_INVALID && !caps->unrestricted)
        return KY_STATUS_CAUSE(KY_UNSUPPORTED, CKA_COPYABLE);
    if (st.code == KY_INVALID) { /* a KEK that can be copied with other rights protects nothing */
        caps->wrap = 0;
        caps->wrappable = 0;
        st = KY_STATUS(KY_OK);
    }
    return st;
}

static struct ky_status make_kek(const struct hsm_session *s, const struct hsm_caps *caps,
                                 CK_OBJECT_HANDLE *out)
{
    const CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    const CK_KEY_TYPE type = CKK_AES;
    const CK_ULONG len = SECRET_LEN;
    CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
    struct hsm_template unwrap = {.count = 0};
    struct hsm_template t = {.count = 0};

    if (caps->wrap == 0) /* a token that cannot wrap serves resident keys only */
        return KY_STATUS(KY_OK);
    hsm_template_flags(&unwrap, kek_unwrap_flags, HSM_COUNT(kek_unwrap_flags));
    hsm_template_add(&t, CKA_CLASS, &class, sizeof(class));
    hsm_template_add(&t, CKA_KEY_TYPE, &type, sizeof(type));
    hsm_template_add(&t, CKA_LABEL, HSM_LABEL_KEK, strlen(HSM_LABEL_KEK));
    hsm_template_add(&t, CKA_VALUE_LEN, &len, sizeof(len));
    hsm_template_flags(&t, kek_flags, HSM_COUNT(kek_flags));
    add_restrictions(&t, caps, &caps->wrap);
    hsm_template_add(&t, CKA_UNWRAP_TEMPLATE, unwrap.attrs, unwrap.count * sizeof(unwrap.attrs[0]));
    return hsm_ckr_status(
        s->module->fn->C_GenerateKey(s->handle, &mechanism, t.attrs, t.count, out));
}

static struct ky_status make_ledger(const struct hsm_session *s, const struct hsm_caps *caps,
                                    CK_OBJECT_HANDLE *out)
{
    uint8_t key_type = caps->key_types & (1u << KY_KEY_ED25519) ? KY_KEY_ED25519 : KY_KEY_P256;
    const struct hsm_mechanism *mech = hsm_mechanism(key_type);
    CK_MECHANISM mechanism = {mech->keygen, NULL, 0};
    CK_OBJECT_HANDLE pub = CK_INVALID_HANDLE;
    struct hsm_template tpub = {.count = 0};
    struct hsm_template tpriv = {.count = 0};

    if (!(caps->key_types & (1u << key_type)))
        return KY_STATUS(KY_UNSUPPORTED);
    hsm_template_add(&tpub, CKA_LABEL, HSM_LABEL_LEDGER, strlen(HSM_LABEL_LEDGER));
    hsm_template_add(&tpub, CKA_ID, HSM_LABEL_LEDGER, strlen(HSM_LABEL_LEDGER));
    hsm_template_add(&tpub, CKA_EC_PARAMS, mech->params, mech->params_len);
    hsm_template_flags(&tpub, ledger_public_flags, HSM_COUNT(ledger_public_flags));
    hsm_template_add(&tpriv, CKA_LABEL, HSM_LABEL_LEDGER, strlen(HSM_LABEL_LEDGER));
    hsm_template_add(&tpriv, CKA_ID, HSM_LABEL_LEDGER, strlen(HSM_LABEL_LEDGER));
    hsm_token_signer_template(&tpriv, caps, &mech->sign);
    return hsm_ckr_status(s->module->fn->C_GenerateKeyPair(
        s->handle, &mechanism, tpub.attrs, tpub.count, tpriv.attrs, tpriv.count, &pub, out));
}

static const struct own_key {
    const char *label;
    CK_OBJECT_CLASS class;
    struct ky_status (*make)(const struct hsm_session *s, const struct hsm_caps *caps,
                             CK_OBJECT_HANDLE *out);
} own_keys[] = {
    {HSM_LABEL_ROOT, CKO_SECRET_KEY, make_root},
    {HSM_LABEL_KEK, CKO_SECRET_KEY, make_kek},
    {HSM_LABEL_LEDGER, CKO_PRIVATE_KEY, make_ledger},
};

struct ky_status hsm_keys_provision(const struct hsm_session *s, struct hsm_caps *caps)
{
    struct ky_status st = KY_STATUS(KY_OK);

    for (size_t i = 0; ky_ok(st) && i < HSM_COUNT(own_keys); i++) {
        CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;

        st = find_one(s, own_keys[i].class, own_keys[i].label, &key);
        if (ky_ok(st) && key == CK_INVALID_HANDLE)
            st = own_keys[i].make(s, caps, &key);
        if (ky_ok(st) && i == 0)
            st = learn_restricts(s, key, caps);
    }
    return st;
}

static struct ky_status check_secret(const struct hsm_session *s, CK_OBJECT_HANDLE key,
                                     CK_KEY_TYPE type, const struct hsm_caps *caps,
                                     CK_MECHANISM_TYPE allowed)
{
    const CK_ULONG len = SECRET_LEN;
    struct ky_status st = hsm_attr_check(s, key, CKA_KEY_TYPE, &type, sizeof(type));

    if (ky_ok(st))
        st = hsm_attr_check(s, key, CKA_VALUE_LEN, &len, sizeof(len));
    if (ky_ok(st))
        st = check_restrictions(s, key, caps, &allowed);
    return st;
}

static struct ky_status check_unwrap_template(const struct hsm_session *s, CK_OBJECT_HANDLE kek)
{
    const CK_FUNCTION_LIST *fn = s->module->fn;
    const struct ky_status wrong = KY_STATUS_CAUSE(KY_CORRUPT, CKA_UNWRAP_TEMPLATE);
    CK_BBOOL values[HSM_COUNT(kek_unwrap_flags)] = {0xff, 0xff, 0xff};
    CK_ATTRIBUTE nested[HSM_COUNT(kek_unwrap_flags)] = {{0, NULL, 0}};
    CK_ATTRIBUTE a = {CKA_UNWRAP_TEMPLATE, nested, sizeof(nested)};

    /*
     * Without storage first, for types and lengths; then the values. One attribute more does not
     * fit.
     */
    if (fn->C_GetAttributeValue(s->handle, kek, &a, 1) != CKR_OK || a.ulValueLen != sizeof(nested))
        return wrong;
    for (size_t i = 0; i < HSM_COUNT(nested); i++) {
        if (nested[i].ulValueLen != sizeof(values[i]))
            return wrong;
        nested[i].pValue = &values[i];
    }
    if (fn->C_GetAttributeValue(s->handle, kek, &a, 1) != CKR_OK)
        return wrong;
    for (size_t i = 0; i < HSM_COUNT(kek_unwrap_flags); i++) {
        bool stated = false;

        for (size_t j = 0; j < HSM_COUNT(nested); j++)
            stated = stated || (nested[j].type == kek_unwrap_flags[i].type &&
                                values[j] == kek_unwrap_flags[i].value);
        if (!stated)
            return wrong;
    }
    return KY_STATUS(KY_OK);
}

static struct ky_status load_secret(const struct hsm_session *s, const char *label,
                                    CK_OBJECT_HANDLE *out)
{
    struct ky_status st = find_one(s, CKO_SECRET_KEY, label, out);

    if (ky_ok(st) && *out == CK_INVALID_HANDLE)
        st = KY_STATUS(KY_NOT_FOUND);
    return st;
}

static struct ky_status load_root(const struct hsm_session *s, struct hsm_caps *caps,
                                  struct hsm_keys *k)
{
    struct ky_status st = load_secret(s, HSM_LABEL_ROOT, &k->root);

    if (ky_ok(st))
        st = learn_restricts(s, k->root, caps);
    if (ky_ok(st))
        st = check_secret(s, k->root, CKK_GENERIC_SECRET, caps, CKM_SHA256_HMAC);
    if (ky_ok(st))
        st = hsm_flags_check(s, k->root, root_flags, HSM_COUNT(root_flags));
    return st;
}

static struct ky_status load_kek(const struct hsm_session *s, const struct hsm_caps *caps,
                                 struct hsm_keys *k)
{
    struct ky_status st = KY_STATUS(KY_OK);

    if (caps->wrap == 0)
        return st;
    st = load_secret(s, HSM_LABEL_KEK, &k->kek);
    if (ky_ok(st))
        st = check_secret(s, k->kek, CKK_AES, caps, caps->wrap);
    if (ky_ok(st))
        st = hsm_flags_check(s, k->kek, kek_flags, HSM_COUNT(kek_flags));
    if (ky_ok(st))
        st = check_unwrap_template(s, k->kek);
    return st;
}

static struct ky_status load_ledger(const struct hsm_session *s, const struct hsm_caps *caps,
                                    struct hsm_keys *k)
{
    CK_OBJECT_HANDLE pub = CK_INVALID_HANDLE;
    CK_KEY_TYPE type = 0;
    size_t len = 0;
    struct ky_status st = find_one(s, CKO_PRIVATE_KEY, HSM_LABEL_LEDGER, &k->ledger);

    if (ky_ok(st))
        st = find_one(s, CKO_PUBLIC_KEY, HSM_LABEL_LEDGER, &pub);
    if (!ky_ok(st))
        return st;
    if (k->ledger == CK_INVALID_HANDLE || pub == CK_INVALID_HANDLE)
        return KY_STATUS(KY_NOT_FOUND);
    st = hsm_session_attr(s, k->ledger, CKA_KEY_TYPE, &type, sizeof(type), &len);
    if (!ky_ok(st))
        return st;
    k->ledger_type = type == CKK_EC_EDWARDS ? KY_KEY_ED25519 : KY_KEY_P256;
    st = hsm_token_signer_check(s, k->ledger, caps, &hsm_mechanism(k->ledger_type)->sign);
    if (ky_ok(st))
        st = hsm_keys_spki(s, pub, k->ledger_type, k->ledger_spki, &k->ledger_spki_len);
    return st;
}

struct ky_status hsm_keys_load(const struct hsm_session *s, struct hsm_caps *caps,
                               struct hsm_keys *out)
{
    struct hsm_keys k = {.root = CK_INVALID_HANDLE};
    struct ky_status st = load_root(s, caps, &k);

    if (ky_ok(st))
        st = load_kek(s, caps, &k);
    if (ky_ok(st))
        st = load_ledger(s, caps, &k);
    if (ky_ok(st))
        *out = k;
    return st;
}

struct ky_status hsm_keys_spki(const struct hsm_session *s, CK_OBJECT_HANDLE public_key,
                               uint8_t key_type, uint8_t *out, size_t *out_len)
{
    uint8_t a[KY_SPKI_MAX];
    uint8_t e[16];
    size_t a_len = 0;
    size_t e_len = 0;
    bool rsa = ky_key_info(key_type)->scheme == KY_RSA_PKCS1;
    struct ky_status st =
        hsm_session_attr(s, public_key, rsa ? CKA_MODULUS : CKA_EC_POINT, a, sizeof(a), &a_len);

    if (ky_ok(st) && rsa)
        st = hsm_session_attr(s, public_key, CKA_PUBLIC_EXPONENT, e, sizeof(e), &e_len);
    if (!ky_ok(st))
        return st;
    return rsa ? hsm_spki_from_rsa(key_type, KY_SPAN(a, a_len), KY_SPAN(e, e_len), out, out_len)
               : hsm_spki_from_point(key_type, KY_SPAN(a, a_len), out, out_len);
}
