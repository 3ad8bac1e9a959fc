/* SPDX-License-Identifier: Apache-2.0 */
/* Templates and their read-back. Pure but for C_GetAttributeValue on the caller's session. */
#include "attr.h"

#include <assert.h>
#include <string.h>

void hsm_template_add(struct hsm_template *t, CK_ATTRIBUTE_TYPE type, const void *value, size_t len)
{
    assert(t->count < HSM_TEMPLATE_MAX);
    /* PKCS#11 takes input templates through a non-const pointer; it does not write to them. */
    t->attrs[t->count++] =
        (CK_ATTRIBUTE){.type = type, .pValue = (void *)(uintptr_t)value, .ulValueLen = len};
}

void hsm_template_flags(struct hsm_template *t, const struct hsm_flag *flags, size_t n)
{
    for (size_t i = 0; i < n; i++)
        hsm_template_add(t, flags[i].type, &flags[i].value, sizeof(flags[i].value));
}

struct ky_status hsm_attr_check(const struct hsm_session *s, CK_OBJECT_HANDLE object,
                                CK_ATTRIBUTE_TYPE type, const void *value, size_t len)
{
    uint8_t got[256];
    size_t got_len = 0;
    struct ky_status st;

    assert(len <= sizeof(got));
    /* NSS softokn gives a number only where there is room for just that. */
    st = hsm_session_attr(s, object, type, got, len, &got_len);

    if (st.code == KY_INVALID)
        return KY_STATUS_CAUSE(KY_CORRUPT, type);
    if (!ky_ok(st))
        return st;
    if (!ky_span_eq(KY_SPAN(got, got_len), KY_SPAN(value, len)))
        return KY_STATUS_CAUSE(KY_CORRUPT, type);
    return KY_STATUS(KY_OK);
}

struct ky_status hsm_flags_check(const struct hsm_session *s, CK_OBJECT_HANDLE object,
                                 const struct hsm_flag *flags, size_t n)
{
    struct ky_status st = KY_STATUS(KY_OK);

    for (size_t i = 0; ky_ok(st) && i < n; i++)
        st = hsm_attr_check(s, object, flags[i].type, &flags[i].value, sizeof(flags[i].value));
    return st;
}
