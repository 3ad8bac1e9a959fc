/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A citizen's key pair. Wrapped: born as a session object, wrapped, destroyed,
 * and the blob is proved by unwrapping it and signing with what comes out.
 * Resident: a token object that can do nothing but sign. Every object that is not
 * the result is destroyed on every path.
 */
#include <string.h>

#include "ckr.h"
#include "sign.h"
#include "vault.h"
#include "wrap.h"

#include "kyso/wire.h"

#define GENERATE_AT_ONCE 64u

/* Extractable for the milliseconds until it is wrapped: the residual that SECURITY.md names. */
static const struct hsm_flag newborn_flags[] = {
    {CKA_TOKEN, CK_FALSE},      {CKA_PRIVATE, CK_TRUE}, {CKA_SENSITIVE, CK_TRUE},
    {CKA_EXTRACTABLE, CK_TRUE}, {CKA_SIGN, CK_TRUE},    {CKA_SIGN_RECOVER, CK_FALSE},
    {CKA_DECRYPT, CK_FALSE},    {CKA_UNWRAP, CK_FALSE}, {CKA_DERIVE, CK_FALSE},
};
static const struct hsm_flag public_flags[] = {
    {CKA_TOKEN, CK_FALSE},   {CKA_PRIVATE, CK_FALSE}, {CKA_VERIFY, CK_TRUE},
    {CKA_ENCRYPT, CK_FALSE}, {CKA_WRAP, CK_FALSE},
};
static const uint8_t f4[] = {0x01, 0x00, 0x01};

struct pair {
    CK_OBJECT_HANDLE pub;
    CK_OBJECT_HANDLE priv;
};

static struct ky_status pair_new(const struct hsm_session *s, uint8_t key_type,
                                 struct hsm_template *priv, struct pair *out)
{
    const struct hsm_mechanism *mech = hsm_mechanism(key_type);
    const CK_ULONG bits = ky_key_info(key_type)->bits;
    CK_MECHANISM mechanism = {mech->keygen, NULL, 0};
    struct hsm_template pub = {.count = 0};

    hsm_template_flags(&pub, public_flags, HSM_COUNT(public_flags));
    if (mech->params != NULL) {
        hsm_template_add(&pub, CKA_EC_PARAMS, mech->params, mech->params_len);
    } else {
        hsm_template_add(&pub, CKA_MODULUS_BITS, &bits, sizeof(bits));
        hsm_template_add(&pub, CKA_PUBLIC_EXPONENT, f4, sizeof(f4));
    }
    return hsm_ckr_status(s->module->fn->C_GenerateKeyPair(s->handle, &mechanism, pub.attrs,
                                                           pub.count, priv->attrs, priv->count,
                                                           &out->pub, &out->priv));
}

struct ky_status hsm_pairwise_test(struct hsm_worker *w, uint8_t key_type, CK_OBJECT_HANDLE key,
                                   struct ky_span spki)
{
    const struct ky_algorithm a = {.scheme = ky_key_info(key_type)->scheme, .hash = KY_SHA256};
    uint8_t digest[32];
    uint8_t sig[KY_SIG_MAX];
    struct ky_status st = ky_random(digest, sizeof(digest));

    if (ky_ok(st))
        st = hsm_verifier_set_key(&w->verifier, key_type, spki);
    if (ky_ok(st))
        st = hsm_sign(&w->session, key, key_type, &a, KY_SPAN_OF(digest), sig);
    if (ky_ok(st))
        st = hsm_verify(&w->verifier, &a, KY_SPAN_OF(digest),
                        KY_SPAN(sig, ky_key_info(key_type)->sig_len));
    return st;
}

struct newborn { /* what a generation yields */
    uint8_t blob[KY_BLOB_MAX];
    size_t blob_len;
    uint8_t spki[KY_SPKI_MAX];
    size_t spki_len;
};

static struct ky_status generate_wrapped(struct hsm_worker *w, uint8_t key_type, uint32_t kek,
                                         struct newborn *out)
{
    struct hsm_vault *v = w->vault;
    struct hsm_kek under;
    struct pair p = {CK_INVALID_HANDLE, CK_INVALID_HANDLE};
    CK_OBJECT_HANDLE again = CK_INVALID_HANDLE;
    struct hsm_template t = {.count = 0};
    struct ky_status st = KY_STATUS(KY_UNSUPPORTED);

    if (!(v->caps.wrappable & (1u << key_type)))
        return st;
    st = hsm_kek_get(&w->session, &v->keys, &v->caps, kek, &under);
    if (!ky_ok(st))
        return st;
    hsm_template_flags(&t, newborn_flags, HSM_COUNT(newborn_flags));
    st = pair_new(&w->session, key_type, &t, &p);
    if (!ky_ok(st))
        goto done;
    st = hsm_keys_spki(&w->session, p.pub, key_type, out->spki, &out->spki_len);
    if (!ky_ok(st))
        goto done;
    out->blob_len = sizeof(out->blob);
    st = hsm_wrap(&w->session, &under, &v->caps, p.priv, out->blob, &out->blob_len);
    hsm_session_destroy(&w->session, &p.priv);
    if (!ky_ok(st))
        goto done;
    st = hsm_unwrap(&w->session, &v->keys, &v->caps, key_type,
                    KY_SPAN(out->blob, out->blob_len), &again);
    if (ky_ok(st))
        st = hsm_pairwise_test(w, key_type, again, KY_SPAN(out->spki, out->spki_len));
done:
    hsm_session_destroy(&w->session, &again);
    hsm_session_destroy(&w->session, &p.priv);
    hsm_session_destroy(&w->session, &p.pub);
    return st;
}

static struct ky_status generate_resident(struct hsm_worker *w, const struct job_generate *in,
                                          struct newborn *out)
{
    struct pair p = {CK_INVALID_HANDLE, CK_INVALID_HANDLE};
    CK_OBJECT_HANDLE known = CK_INVALID_HANDLE;
    uint8_t verified[32];
    struct ky_span id = KY_SPAN_OF(in->key_id);
    struct hsm_template t = {.count = 0};
    struct ky_status st =
        hsm_residents_find(w->vault->residents, &w->session, id, &known, verified);

    /* A second object under one CKA_ID would make both useless. */
    if (st.code != KY_NOT_FOUND)
        return ky_ok(st) ? KY_STATUS(KY_CONFLICT) : st;
    const char *label = hsm_residents_label(w->vault->residents);
    hsm_template_add(&t, CKA_LABEL, label, strlen(label));
    hsm_template_add(&t, CKA_ID, id.data, id.len);
    hsm_token_signer_template(&t, &w->vault->caps, NULL);
    st = pair_new(&w->session, in->key_type, &t, &p);
    if (!ky_ok(st))
        goto done;
    st = hsm_token_signer_check(&w->session, p.priv, &w->vault->caps, NULL);
    if (ky_ok(st))
        st = hsm_keys_spki(&w->session, p.pub, in->key_type, out->spki, &out->spki_len);
    if (ky_ok(st))
        st = hsm_pairwise_test(w, in->key_type, p.priv, KY_SPAN(out->spki, out->spki_len));
    if (ky_ok(st))
        st = hsm_residents_add(w->vault->residents, id, p.priv);
    if (!ky_ok(st))
        goto done;
    p.priv = CK_INVALID_HANDLE; /* stays */
    out->blob_len = sizeof(in->key_id);
    memcpy(out->blob, in->key_id, sizeof(in->key_id));
done:
    hsm_session_destroy(&w->session, &p.priv);
    hsm_session_destroy(&w->session, &p.pub);
    return st;
}

struct ky_status hsm_job_generate(struct hsm_worker *w, struct hsm_job *job)
{
    const struct job_generate *in = &job->in.generate;
    struct newborn born = {.blob_len = 0};
    struct ky_status st = KY_STATUS(KY_INVALID);

    if (hsm_mechanism(in->key_type) == NULL)
        return st;
    if (!(w->vault->caps.key_types & (1u << in->key_type)))
        return KY_STATUS(KY_UNSUPPORTED);
    if (in->storage == KY_STORE_WRAPPED)
        st = generate_wrapped(w, in->key_type, in->kek, &born);
    else if (in->storage == KY_STORE_RESIDENT)
        st = generate_resident(w, in, &born);
    if (!ky_ok(st))
        return st;
    ky_buf_put(&job->bytes, born.blob, born.blob_len);
    ky_buf_put(&job->bytes, born.spki, born.spki_len);
    if (job->bytes.failed)
        return KY_STATUS(KY_NOMEM);
    job->out.generate = (struct job_r_generate){
        .blob = KY_SPAN(job->bytes.data, born.blob_len),
        .public_key = KY_SPAN(job->bytes.data + born.blob_len, born.spki_len),
    };
    job->reply = &job_r_generate_schema;
    return st;
}

struct ky_status hsm_job_generate_many(struct hsm_worker *w, struct hsm_job *job)
{
    const struct job_generate_many *in = &job->in.generate_many;
    struct newborn born;
    struct ky_status st = KY_STATUS(KY_OK);

    if (hsm_mechanism(in->key_type) == NULL || in->count == 0 || in->count > GENERATE_AT_ONCE)
        return KY_STATUS(KY_INVALID);
    for (uint16_t i = 0; i < in->count && ky_ok(st); i++) {
        st = generate_wrapped(w, in->key_type, in->kek, &born);
        if (!ky_ok(st))
            break;
        ky_put_bytes(&job->bytes, KY_SPAN(born.blob, born.blob_len));
        ky_put_bytes(&job->bytes, KY_SPAN(born.spki, born.spki_len));
    }
    if (ky_ok(st) && job->bytes.failed)
        st = KY_STATUS(KY_NOMEM);
    job->out.list = (struct job_r_list){.items = ky_buf_span(&job->bytes)};
    job->reply = &job_r_list_schema;
    return st;
}
