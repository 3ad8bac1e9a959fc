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

struct ky_status hsm_wrap(const struct hsm_session *s, const struct hsm_keys *keys,
                          const struct hsm_caps *caps, CK_OBJECT_HANDLE key, uint8_t *out,
                          size_t *out_len)
{
    CK_MECHANISM mechanism = {caps->wrap, NULL, 0};
    CK_ULONG len = *out_len;
    CK_RV rv = CKR_OK;

    if (keys->kek == CK_INVALID_HANDLE)
        return KY_STATUS(KY_UNSUPPORTED);
    rv = s->module->fn->C_WrapKey(s->handle, &mechanism, keys->kek, key, out, &len);
    if (rv != CKR_OK)
        return hsm_ckr_status(rv);
    if (len > *out_len) /* a length of the token's is not believed */
        return KY_STATUS_CAUSE(KY_TOKEN_MODULE, CKR_BUFFER_TOO_SMALL);
    *out_len = len;
    return KY_STATUS(KY_OK);
}

struct ky_status hsm_unwrap(const struct hsm_session *s, const struct hsm_keys *keys,
                            const struct hsm_caps *caps, uint8_t key_type, struct ky_span blob,
                            CK_OBJECT_HANDLE *out_key)
{
    const CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_MECHANISM mechanism = {caps->wrap, NULL, 0};
    struct hsm_template t = {.count = 0};
    CK_RV rv = CKR_OK;

    if (keys->kek == CK_INVALID_HANDLE)
        return KY_STATUS(KY_UNSUPPORTED);
    if (blob.len == 0) /* some modules read the length of nothing from what lies there */
        return KY_STATUS(KY_TOKEN_REQUEST);
    hsm_template_add(&t, CKA_CLASS, &class, sizeof(class));
    hsm_template_add(&t, CKA_KEY_TYPE, &hsm_mechanism(key_type)->key_type, sizeof(CK_KEY_TYPE));
    hsm_template_flags(&t, unwrapped_flags, HSM_COUNT(unwrapped_flags));
    rv = s->module->fn->C_UnwrapKey(s->handle, &mechanism, keys->kek,
                                    (CK_BYTE_PTR)(uintptr_t)blob.data, blob.len, t.attrs, t.count,
                                    out_key);
    if (rv == CKR_GENERAL_ERROR || rv == CKR_FUNCTION_FAILED)
        return KY_STATUS_CAUSE(KY_TOKEN_REQUEST, rv);
    return hsm_ckr_status(rv);
}
