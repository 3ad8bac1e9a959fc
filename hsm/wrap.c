/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CKM_AES_KEY_WRAP_PAD under the KEK. The KEK's unwrap template must be met word
 * for word: silence about one of its attributes is refused by the token.
 */
#include "wrap.h"

#include "ckr.h"

static const struct hsm_flag unwrapped_flags[] = {
    {CKA_TOKEN, CK_FALSE},       {CKA_PRIVATE, CK_TRUE}, {CKA_SENSITIVE, CK_TRUE},
    {CKA_EXTRACTABLE, CK_FALSE}, {CKA_SIGN, CK_TRUE},    {CKA_SIGN_RECOVER, CK_FALSE},
    {CKA_DECRYPT, CK_FALSE},     {CKA_UNWRAP, CK_FALSE}, {CKA_DERIVE, CK_FALSE},
};

struct ky_status hsm_wrap(const struct hsm_session *s, const struct hsm_kek *kek,
                          const struct hsm_caps *caps, CK_OBJECT_HANDLE key, uint8_t *out,
                          size_t *out_len)
{
    CK_MECHANISM mechanism = {caps->wrap, NULL, 0};
    const size_t room = *out_len - sizeof(kek->generation);
    CK_ULONG len = room;
    CK_RV rv = s->module->fn->C_WrapKey(s->handle, &mechanism, kek->key, key, out, &len);

    if (rv != CKR_OK)
        return hsm_ckr_status(rv);
    if (len > room || len % 8 != 0) /* a length of the token's is not believed */
        return KY_STATUS_CAUSE(KY_TOKEN_MODULE, CKR_BUFFER_TOO_SMALL);
    for (unsigned shift = 0; kek->generation > 1 && shift < 32; shift += 8)
        out[len++] = (uint8_t)(kek->generation >> shift);
    *out_len = len;
    return KY_STATUS(KY_OK);
}

struct ky_status hsm_unwrap(const struct hsm_session *s, struct hsm_keys *keys,
                            const struct hsm_caps *caps, uint8_t key_type, struct ky_span blob,
                            CK_OBJECT_HANDLE *out_key)
{
    const CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_MECHANISM mechanism = {caps->wrap, NULL, 0};
    struct hsm_template t = {.count = 0};
    struct ky_span wrapped;
    uint32_t generation = ky_blob_kek(blob, &wrapped);
    struct hsm_kek kek;
    CK_RV rv = CKR_OK;
    struct ky_status st;

    if (generation == 0)
        return KY_STATUS_CAUSE(KY_TOKEN_REQUEST, CKR_WRAPPED_KEY_INVALID);
    st = hsm_kek_get(s, keys, caps, generation, &kek);
    if (!ky_ok(st))
        return st;
    hsm_template_add(&t, CKA_CLASS, &class, sizeof(class));
    hsm_template_add(&t, CKA_KEY_TYPE, &hsm_mechanism(key_type)->key_type, sizeof(CK_KEY_TYPE));
    hsm_template_flags(&t, unwrapped_flags, HSM_COUNT(unwrapped_flags));
    rv = s->module->fn->C_UnwrapKey(s->handle, &mechanism, kek.key,
                                    (CK_BYTE_PTR)(uintptr_t)wrapped.data, wrapped.len, t.attrs,
                                    t.count, out_key);
    /* The last: a KEK that was rotated away, and its blob is of an old copy of the row. */
    if (rv == CKR_GENERAL_ERROR || rv == CKR_FUNCTION_FAILED ||
        (rv == CKR_UNWRAPPING_KEY_HANDLE_INVALID && generation < keys->keks[0].generation))
        return KY_STATUS_CAUSE(KY_TOKEN_REQUEST, rv);
    return hsm_ckr_status(rv);
}
