/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A citizen's key from one KEK to the next. The old KEK is a session object that custodians have restored: what it unwraps may be
 * wrapped again, which the token's own forbids. The new blob is proved as at birth: unwrapped by the token's KEK, it signs under the
 * row's public key. No object stays. A session's own thread.
 */
#include "rewrap.h"

#include "ckr.h"
#include "wrap.h"

/* Extractable for the microseconds until it is wrapped. */
static const struct hsm_flag passing_flags[] = {
    {CKA_TOKEN, CK_FALSE},      {CKA_PRIVATE, CK_TRUE}, {CKA_SENSITIVE, CK_TRUE},
    {CKA_EXTRACTABLE, CK_TRUE}, {CKA_SIGN, CK_FALSE},   {CKA_SIGN_RECOVER, CK_FALSE},
    {CKA_DECRYPT, CK_FALSE},    {CKA_UNWRAP, CK_FALSE}, {CKA_DERIVE, CK_FALSE},
};

static struct ky_status open_old(const struct hsm_worker *w, const struct hsm_kek *old,
                                 const struct hsm_rewrap *in, CK_OBJECT_HANDLE *out)
{
    static const CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    const struct hsm_session *s = &w->session;
    CK_MECHANISM mechanism = {w->vault->caps.wrap, NULL, 0};
    struct hsm_template t = {.count = 0};
    struct ky_span wrapped;

    if (hsm_mechanism(in->key_type) == NULL ||
        ky_blob_kek(in->blob, &wrapped) != old->generation)
        return KY_STATUS(KY_INVALID);
    hsm_template_add(&t, CKA_CLASS, &class, sizeof(class));
    hsm_template_add(&t, CKA_KEY_TYPE, &hsm_mechanism(in->key_type)->key_type, sizeof(CK_KEY_TYPE));
    hsm_template_flags(&t, passing_flags, HSM_COUNT(passing_flags));
    return hsm_ckr_status(s->module->fn->C_UnwrapKey(s->handle, &mechanism, old->key,
                                                     (CK_BYTE_PTR)(uintptr_t)wrapped.data,
                                                     wrapped.len, t.attrs, t.count, out));
}

struct ky_status hsm_rewrap(struct hsm_worker *w, const struct hsm_kek *old,
                            const struct hsm_rewrap *in, uint8_t out[KY_BLOB_MAX], size_t *out_len)
{
    struct hsm_vault *v = w->vault;
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE again = CK_INVALID_HANDLE;
    size_t len = KY_BLOB_MAX;
    struct ky_status st = open_old(w, old, in, &key);

    if (ky_ok(st))
        st = hsm_wrap(&w->session, &v->keys.keks[0], &v->caps, key, out, &len);
    hsm_session_destroy(&w->session, &key);
    if (ky_ok(st))
        st = hsm_unwrap(&w->session, &v->keys, &v->caps, in->key_type, KY_SPAN(out, len), &again);
    if (ky_ok(st))
        st = hsm_pairwise_test(w, in->key_type, again, in->public_key);
    hsm_session_destroy(&w->session, &again);
    if (ky_ok(st))
        *out_len = len;
    return st;
}
