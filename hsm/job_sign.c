/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JOB_SIGN. Keeps I1's purpose rule (a citizen's job never reaches the ledger key,
 * nor the other way round) and I7: nothing is put into a result that was not
 * verified under the job's public key, or, for EC keys in first-use mode, made by a
 * handle that was.
 */
#include <string.h>

#include "ckr.h"
#include "sign.h"
#include "vault.h"
#include "wrap.h"

#include "kyso/wire.h"

struct bound { /* a key ready to sign, until bound_release */
    CK_OBJECT_HANDLE handle;
    struct hsm_cached *cached; /* pinned, or NULL */
    bool own;                  /* neither cached nor resident: destroy it */
    bool hot;
    bool verified; /* first use: already seen to sign under this public key */
};

struct sign_plan { /* what is signed, checked */
    struct ky_algorithm algorithm;
    uint8_t key_type;
    struct ky_span inputs;
    size_t input_len; /* of each */
    uint16_t count;
    bool first_use;
    uint8_t spki_sha256[32]; /* first use only */
};

static struct ky_status bind_wrapped(struct hsm_worker *w, const struct job_sign *in,
                                     const struct sign_plan *p, struct bound *out)
{
    struct hsm_vault *v = w->vault;
    struct bound b = {.cached = NULL};
    struct ky_status st = KY_STATUS(KY_OK);

    if (in->key_row != 0)
        b.cached = hsm_cache_get(v->cache, in->key_row, in->key_epoch);
    b.hot = b.cached != NULL;
    if (b.hot) {
        b.handle = hsm_cached_handle(b.cached);
        b.verified = p->first_use && hsm_cached_verified(v->cache, b.cached, p->spki_sha256);
        *out = b;
        return st;
    }
    st = hsm_unwrap(&w->session, &v->keys, &v->caps, in->key_type, in->blob, &b.handle);
    if (!ky_ok(st))
        return st;
    atomic_fetch_add_explicit(&v->unwraps, 1, memory_order_relaxed);
    if (in->key_row != 0)
        b.cached = hsm_cache_put(v->cache, &w->session, in->key_row, in->key_epoch, b.handle);
    b.own = b.cached == NULL;
    *out = b;
    return st;
}

static struct ky_status bind_resident(struct hsm_worker *w, const struct job_sign *in,
                                      const struct sign_plan *p, struct bound *out)
{
    struct bound b = {.hot = true};
    uint8_t verified[32];
    struct ky_status st =
        hsm_residents_find(w->vault->residents, &w->session, in->blob, &b.handle, verified);

    if (st.code == KY_NOT_FOUND || st.code == KY_CORRUPT || st.code == KY_INVALID)
        return KY_STATUS_CAUSE(KY_TOKEN_REQUEST, st.code == KY_CORRUPT ? CKR_TEMPLATE_INCONSISTENT
                                                                       : CKR_OBJECT_HANDLE_INVALID);
    b.verified = p->first_use && ky_span_eq(KY_SPAN_OF(verified), KY_SPAN_OF(p->spki_sha256));
    if (ky_ok(st))
        *out = b;
    return st;
}

/* A handle that failed, or whose signature did, is never used again. */
static void bound_release(struct hsm_worker *w, const struct job_sign *in,
                          const struct sign_plan *p, struct bound *b, struct ky_status st)
{
    struct hsm_vault *v = w->vault;
    bool drop = st.code == KY_TOKEN_WRONG_SIGNATURE ||
                (st.code == KY_TOKEN_REQUEST && hsm_ckr_class(st.cause) == HSM_CLASS_HANDLE);

    if (b->cached != NULL) {
        if (ky_ok(st) && p->first_use && !b->verified)
            hsm_cached_set_verified(v->cache, b->cached, p->spki_sha256);
        hsm_cache_release(v->cache, &w->session, b->cached, drop);
    } else if (b->own) {
        hsm_session_destroy(&w->session, &b->handle);
    } else if (drop) {
        hsm_residents_forget(v->residents, in->blob);
    } else if (ky_ok(st) && p->first_use && !b->verified) {
        hsm_residents_set_verified(v->residents, in->blob, b->handle, p->spki_sha256);
    }
}

static struct ky_status sign_all(struct hsm_worker *w, const struct sign_plan *p,
                                 CK_OBJECT_HANDLE key, bool verify, struct hsm_job *job)
{
    uint16_t sig_len = ky_key_info(p->key_type)->sig_len;
    uint8_t *out = NULL;
    struct ky_status st = KY_STATUS(KY_OK);

    ky_buf_reset(&job->bytes);
    out = ky_buf_grow(&job->bytes, (size_t)p->count * sig_len);
    if (out == NULL)
        return KY_STATUS(KY_NOMEM);
    for (size_t i = 0; ky_ok(st) && i < p->count; i++) {
        struct ky_span input = KY_SPAN(p->inputs.data + i * p->input_len, p->input_len);
        uint8_t *sig = out + i * sig_len;

        st = hsm_sign(&w->session, key, p->key_type, &p->algorithm, input, sig);
        if (ky_ok(st) && verify) {
            st = hsm_verify(&w->verifier, &p->algorithm, input, KY_SPAN(sig, sig_len));
            verify = !p->first_use; /* one good signature shows which key the handle is */
        }
    }
    if (!ky_ok(st)) {
        ky_wipe(out, (size_t)p->count * sig_len);
        ky_buf_reset(&job->bytes);
        return st;
    }
    job->out.sign = (struct job_r_sign){
        .count = p->count, .sig_len = sig_len, .signatures = ky_buf_span(&job->bytes)};
    job->reply = &job_r_sign_schema;
    return st;
}

/*
 * An Ed25519 CSR signs the CertificationRequestInfo itself (RFC 8410 s.6): one message, longer than
 * any digest, so that neither can be taken for the other.
 */
static bool is_whole_message(const struct job_sign *in)
{
    return in->key_type == KY_KEY_ED25519 && in->scheme == KY_EDDSA && in->hash == KY_HASH_NONE &&
           in->mgf_hash == 0 && in->salt_len == 0 && in->digests.len > KY_DIGEST_MAX;
}

static struct ky_status plan_citizen(struct hsm_worker *w, const struct job_sign *in,
                                     struct sign_plan *out)
{
    struct sign_plan p = {
        .algorithm = {.scheme = in->scheme,
                      .hash = in->hash,
                      .mgf_hash = in->mgf_hash,
                      .salt_len = in->salt_len},
        .key_type = in->key_type,
        .inputs = in->digests,
        .input_len = is_whole_message(in) ? in->digests.len : ky_hash_len(in->hash),
    };
    struct ky_status st =
        is_whole_message(in) ? KY_STATUS(KY_OK) : ky_algorithm_check(in->key_type, &p.algorithm);

    if (!ky_ok(st))
        return st;
    if (in->scheme == KY_RSA_PSS && !w->vault->caps.pss)
        return KY_STATUS(KY_UNSUPPORTED);
    if (in->digests.len == 0 || in->digests.len % p.input_len != 0 ||
        in->digests.len / p.input_len > KY_HASHES_MAX ||
        (in->verify != JOB_VERIFY_ALWAYS && in->verify != JOB_VERIFY_FIRST_USE))
        return KY_STATUS(KY_INVALID);
    p.count = (uint16_t)(in->digests.len / p.input_len);
    /* A faulty RSA signature gives the key away, so RSA is verified every time. */
    p.first_use = in->verify == JOB_VERIFY_FIRST_USE && in->scheme != KY_RSA_PKCS1 &&
                  in->scheme != KY_RSA_PSS;
    if (p.first_use)
        ky_sha256(in->public_key, p.spki_sha256);
    *out = p;
    return st;
}

static struct ky_status sign_citizen(struct hsm_worker *w, struct hsm_job *job)
{
    const struct job_sign *in = &job->in.sign;
    struct bound b = {.handle = CK_INVALID_HANDLE};
    struct sign_plan p;
    struct ky_status st = plan_citizen(w, in, &p);

    if (!ky_ok(st))
        return st;
    if (in->storage == KY_STORE_WRAPPED)
        st = bind_wrapped(w, in, &p, &b);
    else if (in->storage == KY_STORE_RESIDENT)
        st = bind_resident(w, in, &p, &b);
    else
        st = KY_STATUS(KY_INVALID);
    if (!ky_ok(st))
        return st;
    if (!b.verified)
        st = hsm_verifier_set_key(&w->verifier, in->key_type, in->public_key);
    if (ky_ok(st))
        st = sign_all(w, &p, b.handle, !b.verified, job);
    /* I7 in first-use mode: another thread gave the handle's session up meanwhile, before it closed it. */
    if (ky_ok(st) && p.first_use && b.cached != NULL &&
        !hsm_cached_alive(w->vault->cache, b.cached))
        st = KY_STATUS_CAUSE(KY_TOKEN_REQUEST, CKR_KEY_HANDLE_INVALID);
    bound_release(w, in, &p, &b, st);
    if (ky_ok(st))
        job->out.sign.was_hot = b.hot ? 1 : 0;
    return st;
}

/*
 * One message: whole for Ed25519, its SHA-256 for P-256. The key, its type and its algorithm are
 * ours, not the job's.
 */
static struct ky_status sign_ledger(struct hsm_worker *w, struct hsm_job *job)
{
    const struct job_sign *in = &job->in.sign;
    const struct hsm_keys *k = &w->vault->keys;
    struct ky_span spki = KY_SPAN(k->ledger_spki, k->ledger_spki_len);
    struct sign_plan p = {
        .algorithm = {.scheme = ky_key_info(k->ledger_type)->scheme, .hash = KY_SHA256},
        .key_type = k->ledger_type,
        .inputs = in->digests,
        .input_len = in->digests.len,
        .count = 1,
    };
    uint8_t digest[32];
    struct ky_status st = KY_STATUS(KY_OK);

    if (in->digests.len == 0)
        return KY_STATUS(KY_INVALID);
    if (in->blob.len != 0 || (in->key_type != KY_KEY_NONE && in->key_type != k->ledger_type) ||
        (in->public_key.len != 0 && !ky_span_eq(in->public_key, spki)))
        return KY_STATUS(KY_TOKEN_REQUEST);
    if (k->ledger_type != KY_KEY_ED25519) {
        ky_sha256(in->digests, digest);
        p.inputs = KY_SPAN_OF(digest);
        p.input_len = sizeof(digest);
    }
    st = hsm_verifier_set_key(&w->verifier, k->ledger_type, spki);
    if (ky_ok(st))
        st = sign_all(w, &p, k->ledger, true, job);
    if (ky_ok(st))
        job->out.sign.was_hot = 1;
    return st;
}

struct ky_status hsm_job_sign(struct hsm_worker *w, struct hsm_job *job)
{
    switch (job->in.sign.purpose) {
    case KY_PURPOSE_CITIZEN:
        return sign_citizen(w, job);
    case KY_PURPOSE_LEDGER:
        return sign_ledger(w, job);
    default:
        return KY_STATUS(KY_TOKEN_REQUEST);
    }
}

/* What speaks of one key alone spoils no other's signature. */
static bool is_of_this_key(enum ky_code code)
{
    return code == KY_TOKEN_REQUEST || code == KY_TOKEN_WRONG_SIGNATURE || code == KY_INVALID ||
           code == KY_UNSUPPORTED;
}

static struct ky_status sign_one_of_many(struct hsm_worker *w, struct ky_span item,
                                         struct hsm_job *one)
{
    ky_buf_reset(&one->bytes);
    struct ky_status st = ky_msg_decode(&job_sign_schema, item, &one->in.sign);

    if (ky_ok(st) && (one->in.sign.purpose != KY_PURPOSE_CITIZEN ||
                      one->in.sign.storage != KY_STORE_WRAPPED))
        st = KY_STATUS(KY_TOKEN_REQUEST);
    if (ky_ok(st))
        st = sign_citizen(w, one);
    if (st.code == KY_TOKEN_WRONG_SIGNATURE) /* a fresh handle may give a sound one */
        st = sign_citizen(w, one);
    if (!ky_ok(st))
        ky_buf_reset(&one->bytes);
    return is_of_this_key(st.code) ? KY_STATUS(KY_OK) : st;
}

struct ky_status hsm_job_sign_each(struct hsm_worker *w, struct hsm_job *job)
{
    struct ky_reader r = ky_reader(job->in.sign_each.items);
    struct hsm_job one = {.bytes = KY_BUF_INIT(KY_SIG_MAX)};
    struct ky_status st = KY_STATUS(KY_OK);

    while (ky_ok(st) && !ky_reader_done(&r)) {
        struct ky_span item = ky_get_bytes(&r, KY_RECORD_MAX);

        st = r.failed ? KY_STATUS(KY_INVALID) : sign_one_of_many(w, item, &one);
        if (ky_ok(st))
            ky_put_bytes(&job->bytes, ky_buf_span(&one.bytes));
    }
    if (ky_ok(st) && job->bytes.failed)
        st = KY_STATUS(KY_NOMEM);
    ky_buf_free(&one.bytes);
    job->out.list = (struct job_r_list){.items = ky_buf_span(&job->bytes)};
    job->reply = &job_r_list_schema;
    return st;
}
