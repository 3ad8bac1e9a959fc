/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Birth, backup and restoring of the server's own keys. Every object that is not meant to stay is
 * destroyed on every path; a half-made set is the caller's to wipe with C_InitToken. Main thread.
 */
#include "backup.h"

#include <string.h>

#include "ckr.h"
#include "spki.h"

static const struct hsm_flag backup_key_flags[] = {
    {CKA_TOKEN, CK_FALSE},       {CKA_PRIVATE, CK_TRUE},  {CKA_SENSITIVE, CK_TRUE},
    {CKA_EXTRACTABLE, CK_FALSE}, {CKA_WRAP, CK_TRUE},     {CKA_UNWRAP, CK_TRUE},
    {CKA_ENCRYPT, CK_FALSE},     {CKA_DECRYPT, CK_FALSE}, {CKA_SIGN, CK_FALSE},
    {CKA_VERIFY, CK_FALSE},      {CKA_DERIVE, CK_FALSE},
};
static const struct hsm_flag newborn_public_flags[] = {
    {CKA_TOKEN, CK_FALSE},
    {CKA_PRIVATE, CK_FALSE},
    {CKA_VERIFY, CK_TRUE},
};

struct ky_status hsm_backup_key(const struct hsm_session *s, const struct ky_secret *bytes,
                                CK_OBJECT_HANDLE *out_key)
{
    static const CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    static const CK_KEY_TYPE type = CKK_AES;
    struct hsm_template t = {.count = 0};

    if (bytes->len != HSM_BACKUP_KEY_LEN)
        return KY_STATUS(KY_INVALID);
    hsm_template_add(&t, CKA_CLASS, &class, sizeof(class));
    hsm_template_add(&t, CKA_KEY_TYPE, &type, sizeof(type));
    hsm_template_flags(&t, backup_key_flags, HSM_COUNT(backup_key_flags));
    hsm_template_add(&t, CKA_VALUE, bytes->bytes, bytes->len);
    return hsm_ckr_status(s->module->fn->C_CreateObject(s->handle, t.attrs, t.count, out_key));
}

static struct ky_status newborn(const struct hsm_session *s, enum hsm_own_key which,
                                struct hsm_backup *b, CK_OBJECT_HANDLE *out)
{
    struct hsm_template t = {.count = 0};
    struct hsm_template tpub = {.count = 0};
    CK_OBJECT_HANDLE pub = CK_INVALID_HANDLE;
    struct ky_status st;

    hsm_own_key_newborn(which, &t);
    if (which != HSM_OWN_LEDGER)
        return hsm_ckr_status(hsm_own_secret_generate(s, which, &t, out));
    hsm_template_flags(&tpub, newborn_public_flags, HSM_COUNT(newborn_public_flags));
    st = hsm_ckr_status(hsm_own_ledger_generate(s, b->ledger_type, &t, &tpub, &pub, out));
    if (ky_ok(st))
        st = hsm_keys_spki(s, pub, b->ledger_type, b->ledger_spki, &b->ledger_spki_len);
    hsm_session_destroy(s, &pub);
    return st;
}

static struct ky_status wrap(const struct hsm_session *s, const struct hsm_caps *caps,
                             CK_OBJECT_HANDLE key, CK_OBJECT_HANDLE what,
                             uint8_t out[HSM_BACKUP_BLOB_MAX], size_t *out_len)
{
    CK_MECHANISM mechanism = {caps->wrap, NULL, 0};
    CK_ULONG len = HSM_BACKUP_BLOB_MAX;
    CK_RV rv = s->module->fn->C_WrapKey(s->handle, &mechanism, key, what, out, &len);

    if (rv == CKR_OK && len <= HSM_BACKUP_BLOB_MAX)
        *out_len = len;
    return rv == CKR_OK && len > HSM_BACKUP_BLOB_MAX
               ? KY_STATUS_CAUSE(KY_TOKEN_MODULE, CKR_BUFFER_TOO_SMALL)
               : hsm_ckr_status(rv);
}

static struct ky_status unwrap(const struct hsm_session *s, const struct hsm_caps *caps,
                               CK_OBJECT_HANDLE key, const struct hsm_backup *b,
                               enum hsm_own_key which, const struct hsm_template *what,
                               CK_OBJECT_HANDLE *out)
{
    CK_MECHANISM mechanism = {caps->wrap, NULL, 0};
    struct hsm_template t = {.count = 0};

    hsm_own_key_kind(which, b->ledger_type, &t);
    for (CK_ULONG i = 0; i < what->count; i++)
        hsm_template_add(&t, what->attrs[i].type, what->attrs[i].pValue, what->attrs[i].ulValueLen);
    return hsm_ckr_status(s->module->fn->C_UnwrapKey(s->handle, &mechanism, key,
                                                     (CK_BYTE_PTR)(uintptr_t)b->blobs[which].bytes,
                                                     b->blobs[which].len, t.attrs, t.count, out));
}

static struct ky_status make_one(const struct hsm_session *s, const struct hsm_caps *caps,
                                 CK_OBJECT_HANDLE key, enum hsm_own_key which,
                                 struct hsm_backup *b)
{
    CK_OBJECT_HANDLE born = CK_INVALID_HANDLE;
    struct ky_status st = newborn(s, which, b, &born);

    if (ky_ok(st))
        st = wrap(s, caps, key, born, b->blobs[which].bytes, &b->blobs[which].len);
    hsm_session_destroy(s, &born);
    return st;
}

struct ky_status hsm_backup_make(const struct hsm_session *s, const struct hsm_caps *caps,
                                 CK_OBJECT_HANDLE key, struct hsm_backup *out)
{
    struct hsm_backup b = {.kek = 1,
                           .ledger_type = caps->wrappable & (1u << KY_KEY_ED25519) ? KY_KEY_ED25519
                                                                                   : KY_KEY_P256};
    struct ky_status st = KY_STATUS(KY_OK);

    if (caps->wrap == 0 || !(caps->wrappable & (1u << b.ledger_type)))
        return KY_STATUS(KY_UNSUPPORTED);
    for (enum hsm_own_key i = 0; ky_ok(st) && i < HSM_OWN_COUNT; i++)
        st = make_one(s, caps, key, i, &b);
    if (ky_ok(st))
        *out = b;
    return st;
}

struct ky_status hsm_backup_renew_kek(const struct hsm_session *s, const struct hsm_caps *caps,
                                      CK_OBJECT_HANDLE key, struct hsm_backup *backup)
{
    struct ky_status st = make_one(s, caps, key, HSM_OWN_KEK, backup);

    if (ky_ok(st))
        backup->kek++;
    return st;
}

/* Tokens do not make a public key of a private one that they unwrap. */
static struct ky_status install_public(const struct hsm_session *s, const struct hsm_backup *b)
{
    static const CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
    const struct hsm_mechanism *mech = hsm_mechanism(b->ledger_type);
    struct hsm_template t = {.count = 0};
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    uint8_t point[2 + 0x7f] = {0x04}; /* DER OCTET STRING */
    struct hsm_public pub;
    struct ky_status st =
        hsm_spki_parse(b->ledger_type, KY_SPAN(b->ledger_spki, b->ledger_spki_len), &pub);

    if (!ky_ok(st) || pub.point.len > 0x7f)
        return ky_ok(st) ? KY_STATUS(KY_INVALID) : st;
    point[1] = (uint8_t)pub.point.len;
    memcpy(point + 2, pub.point.data, pub.point.len);
    hsm_own_ledger_public(&t);
    hsm_template_add(&t, CKA_CLASS, &class, sizeof(class));
    hsm_template_add(&t, CKA_KEY_TYPE, &mech->key_type, sizeof(mech->key_type));
    hsm_template_add(&t, CKA_EC_PARAMS, mech->params, mech->params_len);
    hsm_template_add(&t, CKA_EC_POINT, point, 2 + pub.point.len);
    return hsm_ckr_status(s->module->fn->C_CreateObject(s->handle, t.attrs, t.count, &made));
}

static struct ky_status install_one(const struct hsm_session *s, const struct hsm_caps *caps,
                                    CK_OBJECT_HANDLE key, const struct hsm_backup *backup,
                                    enum hsm_own_key which)
{
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    struct hsm_own_template own;
    struct ky_status st;

    if (which == HSM_OWN_KEK)
        hsm_kek_template(backup->kek, caps, &own);
    else
        hsm_own_key_template(which, backup->ledger_type, caps, &own);
    st = unwrap(s, caps, key, backup, which, &own.t, &made);
    return ky_ok(st) ? hsm_own_key_check(s, which, made, backup->ledger_type, caps) : st;
}

struct ky_status hsm_backup_install(const struct hsm_session *s, const struct hsm_caps *caps,
                                    CK_OBJECT_HANDLE key, const struct hsm_backup *backup)
{
    struct ky_status st = KY_STATUS(KY_OK);

    for (enum hsm_own_key i = 0; ky_ok(st) && i < HSM_OWN_COUNT; i++)
        st = install_one(s, caps, key, backup, i);
    return ky_ok(st) ? install_public(s, backup) : st;
}

struct ky_status hsm_backup_install_kek(const struct hsm_session *s, const struct hsm_caps *caps,
                                        CK_OBJECT_HANDLE key, const struct hsm_backup *backup)
{
    CK_OBJECT_HANDLE there = CK_INVALID_HANDLE;
    struct ky_status st = hsm_kek_find(s, backup->kek, &there);

    return ky_ok(st) && there == CK_INVALID_HANDLE ? install_one(s, caps, key, backup, HSM_OWN_KEK)
                                                   : st;
}

/* Key wrap has one result for one key: two KEKs that give the same are the same. */
static struct ky_status same_kek(const struct hsm_session *s, const struct hsm_caps *caps,
                                 CK_OBJECT_HANDLE a, CK_OBJECT_HANDLE b)
{
    CK_OBJECT_HANDLE probe = CK_INVALID_HANDLE;
    struct hsm_template t = {.count = 0};
    uint8_t by_a[HSM_BACKUP_BLOB_MAX];
    uint8_t by_b[HSM_BACKUP_BLOB_MAX];
    size_t a_len = 0;
    size_t b_len = 0;
    struct ky_status st;

    hsm_own_key_newborn(HSM_OWN_ROOT, &t);
    st = hsm_ckr_status(hsm_own_secret_generate(s, HSM_OWN_ROOT, &t, &probe));
    if (ky_ok(st))
        st = wrap(s, caps, a, probe, by_a, &a_len);
    if (ky_ok(st))
        st = wrap(s, caps, b, probe, by_b, &b_len);
    hsm_session_destroy(s, &probe);
    if (ky_ok(st) && !ky_span_eq(KY_SPAN(by_a, a_len), KY_SPAN(by_b, b_len)))
        st = KY_STATUS_CAUSE(KY_CORRUPT, CKA_VALUE);
    return st;
}

struct ky_status hsm_backup_open_kek(const struct hsm_session *s, const struct hsm_caps *caps,
                                     CK_OBJECT_HANDLE key, const struct hsm_backup *backup,
                                     struct hsm_kek *out)
{
    struct hsm_kek opened = {CK_INVALID_HANDLE, backup->kek};
    CK_OBJECT_HANDLE there = CK_INVALID_HANDLE;
    struct hsm_template t = {.count = 0};
    struct ky_status st;

    hsm_own_key_newborn(HSM_OWN_KEK, &t);
    st = unwrap(s, caps, key, backup, HSM_OWN_KEK, &t, &opened.key);
    if (ky_ok(st))
        st = hsm_kek_find(s, backup->kek, &there);
    if (ky_ok(st) && there != CK_INVALID_HANDLE)
        st = same_kek(s, caps, there, opened.key);
    if (ky_ok(st))
        *out = opened;
    else
        hsm_session_destroy(s, &opened.key);
    return st;
}

struct ky_status hsm_backup_compare(const struct hsm_session *s, const struct hsm_caps *caps,
                                    CK_OBJECT_HANDLE key, const struct hsm_backup *backup)
{
    struct ky_status st = KY_STATUS(KY_OK);

    for (enum hsm_own_key i = 0; ky_ok(st) && i < HSM_OWN_COUNT; i++) {
        CK_OBJECT_HANDLE opened = CK_INVALID_HANDLE;
        struct hsm_template t = {.count = 0};
        uint8_t again[HSM_BACKUP_BLOB_MAX];
        size_t len = 0;

        hsm_own_key_newborn(i, &t);
        st = unwrap(s, caps, key, backup, i, &t, &opened);
        if (ky_ok(st))
            st = wrap(s, caps, key, opened, again, &len);
        hsm_session_destroy(s, &opened);
        if (ky_ok(st) &&
            !ky_span_eq(KY_SPAN(again, len), KY_SPAN(backup->blobs[i].bytes, backup->blobs[i].len)))
            st = KY_STATUS(KY_CORRUPT);
    }
    return st;
}
