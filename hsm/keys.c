/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three keys found, made where they are absent, and held against the tables of own.c.
 * Main thread, before any worker.
 */
#include "keys.h"

#include <stdlib.h>
#include <string.h>

#include "ckr.h"
#include "spki.h"

enum { SECRETS_MAX = 64 }; /* far more than a token of ours has */

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
    struct hsm_own_template own;

    hsm_own_key_template(HSM_OWN_ROOT, 0, caps, &own);
    return hsm_own_secret_generate(s, HSM_OWN_ROOT, &own.t, out);
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

/* --- KEKs ---------------------------------------------------------------------------------------- */

struct ky_status hsm_kek_find(const struct hsm_session *s, uint32_t generation,
                              CK_OBJECT_HANDLE *out)
{
    char label[HSM_KEK_LABEL_MAX];

    hsm_kek_label(generation, label);
    return find_one(s, CKO_SECRET_KEY, label, out);
}

/* 0: it is no KEK. */
static uint32_t generation_of(const struct hsm_session *s, CK_OBJECT_HANDLE key)
{
    static const char first[] = HSM_LABEL_KEK;
    char label[HSM_KEK_LABEL_MAX] = "";
    char canonical[HSM_KEK_LABEL_MAX];
    size_t len = 0;
    unsigned long n = 1;

    if (!ky_ok(hsm_session_attr(s, key, CKA_LABEL, label, sizeof(label) - 1, &len)) ||
        strncmp(label, first, sizeof(first) - 1) != 0)
        return 0;
    label[len] = '\0';
    if (label[sizeof(first) - 1] == '-')
        n = strtoul(label + sizeof(first), NULL, 10);
    if (n == 0 || n > UINT32_MAX)
        return 0;
    hsm_kek_label((uint32_t)n, canonical);
    return strcmp(label, canonical) == 0 ? (uint32_t)n : 0;
}

/* All that the token has, the newest first. KY_CORRUPT: more than there can be, or two of one generation. */
static struct ky_status find_keks(const struct hsm_session *s, struct hsm_kek out[HSM_KEKS])
{
    static const CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    struct hsm_template t = {.count = 0};
    CK_OBJECT_HANDLE found[SECRETS_MAX];
    CK_ULONG count = 0;
    struct ky_status st;

    hsm_template_add(&t, CKA_CLASS, &class, sizeof(class));
    st = hsm_session_find(s, t.attrs, t.count, found, SECRETS_MAX, &count);
    for (CK_ULONG i = 0; ky_ok(st) && i < count; i++) {
        struct hsm_kek kek = {found[i], generation_of(s, found[i])};

        if (kek.generation == 0)
            continue;
        if (out[HSM_KEKS - 1].generation != 0 || kek.generation == out[0].generation)
            return KY_STATUS_CAUSE(KY_CORRUPT, CKA_LABEL);
        if (kek.generation > out[0].generation) {
            out[1] = out[0];
            out[0] = kek;
        } else {
            out[1] = kek;
        }
    }
    return ky_ok(st) && count == SECRETS_MAX ? KY_STATUS_CAUSE(KY_CORRUPT, CKA_LABEL) : st;
}

struct ky_status hsm_kek_get(const struct hsm_session *s, struct hsm_keys *keys,
                             const struct hsm_caps *caps, uint32_t generation, struct hsm_kek *out)
{
    const struct ky_status gone = KY_STATUS_CAUSE(KY_TOKEN_REQUEST, CKR_UNWRAPPING_KEY_HANDLE_INVALID);
    struct hsm_kek kek = {CK_INVALID_HANDLE, generation};
    struct ky_status st;

    if (keys->keks[0].generation == 0)
        return KY_STATUS(KY_UNSUPPORTED);
    for (size_t i = 0; i < HSM_KEKS; i++)
        if (generation == 0 || keys->keks[i].generation == generation) {
            *out = keys->keks[i];
            return KY_STATUS(KY_OK);
        }
    if (generation < keys->keks[0].generation)
        return gone;
    st = hsm_kek_find(s, generation, &kek.key);
    if (ky_ok(st) && kek.key == CK_INVALID_HANDLE)
        return gone;
    if (ky_ok(st))
        st = hsm_own_key_check(s, HSM_OWN_KEK, kek.key, 0, caps);
    if (!ky_ok(st))
        return st;
    atomic_store_explicit(&keys->outdated, true, memory_order_relaxed);
    *out = kek;
    return st;
}

static struct ky_status make_kek(const struct hsm_session *s, const struct hsm_caps *caps,
                                 CK_OBJECT_HANDLE *out)
{
    struct hsm_own_template own;

    if (caps->wrap == 0) /* a token that cannot wrap serves resident keys only */
        return KY_STATUS(KY_OK);
    hsm_own_key_template(HSM_OWN_KEK, 0, caps, &own);
    return hsm_ckr_status(hsm_own_secret_generate(s, HSM_OWN_KEK, &own.t, out));
}

static struct ky_status make_ledger(const struct hsm_session *s, const struct hsm_caps *caps,
                                    CK_OBJECT_HANDLE *out)
{
    uint8_t key_type = caps->key_types & (1u << KY_KEY_ED25519) ? KY_KEY_ED25519 : KY_KEY_P256;
    CK_OBJECT_HANDLE pub = CK_INVALID_HANDLE;
    struct hsm_template tpub = {.count = 0};
    struct hsm_own_template own;

    if (!(caps->key_types & (1u << key_type)))
        return KY_STATUS(KY_UNSUPPORTED);
    hsm_own_ledger_public(&tpub);
    hsm_own_key_template(HSM_OWN_LEDGER, key_type, caps, &own);
    return hsm_ckr_status(hsm_own_ledger_generate(s, key_type, &own.t, &tpub, &pub, out));
}

static struct ky_status (*const makers[HSM_OWN_COUNT])(const struct hsm_session *s,
                                                       const struct hsm_caps *caps,
                                                       CK_OBJECT_HANDLE *out) = {
    [HSM_OWN_ROOT] = make_root,
    [HSM_OWN_KEK] = make_kek,
    [HSM_OWN_LEDGER] = make_ledger,
};

struct ky_status hsm_keys_provision(const struct hsm_session *s, struct hsm_caps *caps)
{
    struct ky_status st = KY_STATUS(KY_OK);

    for (size_t i = 0; ky_ok(st) && i < HSM_OWN_COUNT; i++) {
        CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
        struct hsm_kek keks[HSM_KEKS] = {{.generation = 0}};

        st = i == HSM_OWN_KEK
                 ? find_keks(s, keks)
                 : find_one(s, i == HSM_OWN_LEDGER ? CKO_PRIVATE_KEY : CKO_SECRET_KEY,
                            hsm_own_label((enum hsm_own_key)i), &key);
        if (keks[0].generation != 0)
            key = keks[0].key;
        if (ky_ok(st) && key == CK_INVALID_HANDLE)
            st = makers[i](s, caps, &key);
        if (ky_ok(st) && i == 0)
            st = learn_restricts(s, key, caps);
    }
    return st;
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
        st = hsm_own_key_check(s, HSM_OWN_ROOT, k->root, 0, caps);
    return st;
}

static struct ky_status load_keks(const struct hsm_session *s, const struct hsm_caps *caps,
                                 struct hsm_keys *k)
{
    struct ky_status st = KY_STATUS(KY_OK);

    if (caps->wrap == 0)
        return st;
    st = find_keks(s, k->keks);
    if (ky_ok(st) && k->keks[0].generation == 0)
        st = KY_STATUS(KY_NOT_FOUND);
    for (size_t i = 0; ky_ok(st) && i < HSM_KEKS && k->keks[i].generation != 0; i++)
        st = hsm_own_key_check(s, HSM_OWN_KEK, k->keks[i].key, 0, caps);
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
    st = hsm_own_key_check(s, HSM_OWN_LEDGER, k->ledger, k->ledger_type, caps);
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
        st = load_keks(s, caps, &k);
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
