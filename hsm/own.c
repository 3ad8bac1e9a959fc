/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Creation and read-back from the same tables. Every boolean is stated because
 * defaults are wrong where it hurts: an AES key is born able to encrypt, decrypt
 * and sign, and a modifiable or copyable KEK can be given DECRYPT by whoever
 * holds the PIN. A session's own thread.
 */
#include "own.h"

#include <stdio.h>
#include <string.h>

#include "ckr.h"

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
    {CKA_TOKEN, CK_TRUE},        {CKA_PRIVATE, CK_TRUE}, {CKA_SENSITIVE, CK_TRUE},
    {CKA_EXTRACTABLE, CK_FALSE}, {CKA_SIGN, CK_TRUE},    {CKA_SIGN_RECOVER, CK_FALSE},
    {CKA_DECRYPT, CK_FALSE},     {CKA_UNWRAP, CK_FALSE}, {CKA_DERIVE, CK_FALSE},
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

static const struct own_key {
    const char *label;
    CK_OBJECT_CLASS class;
    CK_KEY_TYPE type;         /* of the two secret keys */
    CK_MECHANISM_TYPE keygen; /* of the two secret keys */
    const struct hsm_flag *flags;
    size_t flag_count;
} own_keys[HSM_OWN_COUNT] = {
    [HSM_OWN_ROOT] = {HSM_LABEL_ROOT, CKO_SECRET_KEY, CKK_GENERIC_SECRET,
                      CKM_GENERIC_SECRET_KEY_GEN, root_flags, HSM_COUNT(root_flags)},
    [HSM_OWN_KEK] = {HSM_LABEL_KEK, CKO_SECRET_KEY, CKK_AES, CKM_AES_KEY_GEN, kek_flags,
                     HSM_COUNT(kek_flags)},
    [HSM_OWN_LEDGER] = {HSM_LABEL_LEDGER, CKO_PRIVATE_KEY, 0, 0, signer_flags,
                        HSM_COUNT(signer_flags)},
};

/* The one mechanism that it may be used with. */
static const CK_MECHANISM_TYPE *own_mechanism(enum hsm_own_key which, uint8_t ledger_type,
                                              const struct hsm_caps *caps)
{
    static const CK_MECHANISM_TYPE root_mechanism = CKM_SHA256_HMAC;

    return which == HSM_OWN_ROOT  ? &root_mechanism
           : which == HSM_OWN_KEK ? &caps->wrap
                                  : &hsm_mechanism(ledger_type)->sign;
}

const char *hsm_own_label(enum hsm_own_key which)
{
    return own_keys[which].label;
}

void hsm_own_key_kind(enum hsm_own_key which, uint8_t ledger_type, struct hsm_template *t)
{
    const struct own_key *k = &own_keys[which];

    hsm_template_add(t, CKA_CLASS, &k->class, sizeof(k->class));
    hsm_template_add(t, CKA_KEY_TYPE,
                     which == HSM_OWN_LEDGER ? &hsm_mechanism(ledger_type)->key_type : &k->type,
                     sizeof(k->type));
}

void hsm_own_key_template(enum hsm_own_key which, uint8_t ledger_type, const struct hsm_caps *caps,
                          struct hsm_own_template *out)
{
    static const struct hsm_flag fixed[] = {{CKA_MODIFIABLE, CK_FALSE}};
    const struct own_key *k = &own_keys[which];

    *out = (struct hsm_own_template){.t.count = 0};
    hsm_template_add(&out->t, CKA_LABEL, k->label, strlen(k->label));
    for (size_t i = 0; i < k->flag_count; i++)
        if (k->flags[i].type != CKA_MODIFIABLE)
            hsm_template_flags(&out->t, &k->flags[i], 1);
    add_restrictions(&out->t, caps, own_mechanism(which, ledger_type, caps));
    if (which == HSM_OWN_LEDGER)
        hsm_template_add(&out->t, CKA_ID, k->label, strlen(k->label));
    if (which == HSM_OWN_KEK) {
        hsm_template_flags(&out->nested, kek_unwrap_flags, HSM_COUNT(kek_unwrap_flags));
        hsm_template_add(&out->t, CKA_UNWRAP_TEMPLATE, out->nested.attrs,
                         out->nested.count * sizeof(out->nested.attrs[0]));
    }
    /* Last: SoftHSM2 takes nothing after it of a key that is unwrapped. */
    hsm_template_flags(&out->t, fixed, HSM_COUNT(fixed));
}

void hsm_kek_label(uint32_t generation, char out[HSM_KEK_LABEL_MAX])
{
    (void)snprintf(out, HSM_KEK_LABEL_MAX, generation > 1 ? "%s-%u" : "%s", HSM_LABEL_KEK, generation);
}

void hsm_kek_template(uint32_t generation, const struct hsm_caps *caps,
                      struct hsm_own_template *out)
{
    hsm_own_key_template(HSM_OWN_KEK, 0, caps, out);
    hsm_kek_label(generation, out->label);
    out->t.attrs[0] = (CK_ATTRIBUTE){CKA_LABEL, out->label, strlen(out->label)};
}

void hsm_own_key_newborn(enum hsm_own_key which, struct hsm_template *t)
{
    static const struct hsm_flag born[] = {{CKA_TOKEN, CK_FALSE}, {CKA_EXTRACTABLE, CK_TRUE}};
    const struct own_key *k = &own_keys[which];

    hsm_template_flags(t, born, HSM_COUNT(born));
    for (size_t i = 0; i < k->flag_count; i++)
        if (k->flags[i].type != CKA_TOKEN && k->flags[i].type != CKA_EXTRACTABLE &&
            k->flags[i].type != CKA_MODIFIABLE)
            hsm_template_flags(t, &k->flags[i], 1);
}

CK_RV hsm_own_secret_generate(const struct hsm_session *s, enum hsm_own_key which,
                              const struct hsm_template *what, CK_OBJECT_HANDLE *out)
{
    const CK_ULONG len = SECRET_LEN;
    CK_MECHANISM mechanism = {own_keys[which].keygen, NULL, 0};
    struct hsm_template t = *what;

    hsm_own_key_kind(which, 0, &t);
    hsm_template_add(&t, CKA_VALUE_LEN, &len, sizeof(len));
    return s->module->fn->C_GenerateKey(s->handle, &mechanism, t.attrs, t.count, out);
}

CK_RV hsm_own_ledger_generate(const struct hsm_session *s, uint8_t ledger_type,
                              const struct hsm_template *what, const struct hsm_template *pub,
                              CK_OBJECT_HANDLE *out_pub, CK_OBJECT_HANDLE *out)
{
    const struct hsm_mechanism *mech = hsm_mechanism(ledger_type);
    CK_MECHANISM mechanism = {mech->keygen, NULL, 0};
    struct hsm_template tpriv = *what;
    struct hsm_template tpub = *pub;

    hsm_template_add(&tpub, CKA_EC_PARAMS, mech->params, mech->params_len);
    return s->module->fn->C_GenerateKeyPair(s->handle, &mechanism, tpub.attrs, tpub.count,
                                            tpriv.attrs, tpriv.count, out_pub, out);
}

void hsm_own_ledger_public(struct hsm_template *t)
{
    hsm_template_add(t, CKA_LABEL, HSM_LABEL_LEDGER, strlen(HSM_LABEL_LEDGER));
    hsm_template_add(t, CKA_ID, HSM_LABEL_LEDGER, strlen(HSM_LABEL_LEDGER));
    hsm_template_flags(t, ledger_public_flags, HSM_COUNT(ledger_public_flags));
}

static struct ky_status check_secret(const struct hsm_session *s, CK_OBJECT_HANDLE key,
                                     CK_KEY_TYPE type)
{
    static const struct hsm_flag unwrapped = {CKA_LOCAL, CK_FALSE};
    const CK_ULONG len = SECRET_LEN;
    const CK_ULONG unknown = 0;
    struct ky_status st = hsm_attr_check(s, key, CKA_KEY_TYPE, &type, sizeof(type));

    if (!ky_ok(st))
        return st;
    st = hsm_attr_check(s, key, CKA_VALUE_LEN, &len, sizeof(len));
    /* SoftHSM2 does not know how long a key is that it has unwrapped. */
    if (st.code == KY_CORRUPT && ky_ok(hsm_flags_check(s, key, &unwrapped, 1)))
        st = hsm_attr_check(s, key, CKA_VALUE_LEN, &unknown, sizeof(unknown));
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

struct ky_status hsm_own_key_check(const struct hsm_session *s, enum hsm_own_key which,
                                   CK_OBJECT_HANDLE key, uint8_t ledger_type,
                                   const struct hsm_caps *caps)
{
    const struct own_key *k = &own_keys[which];
    struct ky_status st = KY_STATUS(KY_OK);

    if (k->class == CKO_SECRET_KEY)
        st = check_secret(s, key, k->type);
    if (ky_ok(st))
        st = check_restrictions(s, key, caps, own_mechanism(which, ledger_type, caps));
    if (ky_ok(st))
        st = hsm_flags_check(s, key, k->flags, k->flag_count);
    return ky_ok(st) && which == HSM_OWN_KEK ? check_unwrap_template(s, key) : st;
}
