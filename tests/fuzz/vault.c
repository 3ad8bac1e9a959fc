/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vault's side of its channel, over a played token. Input: what the token does at each call (a
 * piece: a byte a call), then jobs (type, payload as a piece). Whatever the authority and the token
 * say, each job has one reply that encodes and names its job, and no signature is in it that was
 * not verified (I7).
 */
#include <openssl/evp.h>
#include <string.h>

#include "fuzz.h"
#include "vault.h"

static struct ky_reader mood; /* of the token: 0 when it has run out */
static unsigned verified;     /* signatures that held, since the job began */

/* --- the token ------------------------------------------------------------------------------- */

static CK_RV outcome(void)
{
    static const CK_RV bad[] = {
        CKR_DEVICE_ERROR,        CKR_SESSION_HANDLE_INVALID, CKR_KEY_HANDLE_INVALID,
        CKR_DEVICE_MEMORY,       CKR_GENERAL_ERROR,          CKR_OPERATION_ACTIVE,
        CKR_BUFFER_TOO_SMALL,    CKR_USER_NOT_LOGGED_IN,     CKR_FUNCTION_FAILED,
        CKR_WRAPPED_KEY_INVALID, CKR_DATA_LEN_RANGE,
    };
    uint8_t m = ky_get_u8(&mood);

    return m < 0x80 ? CKR_OK : bad[m % FUZZ_COUNT(bad)];
}

/* A length that a token may claim: what is right, or anything. */
static void claim(CK_ULONG *len, CK_ULONG right)
{
    uint8_t m = ky_get_u8(&mood);

    if (m < 0x80)
        *len = right < *len ? right : *len;
    else
        *len = m == 0xff ? (CK_ULONG)-1 : m % 128u < *len ? m % 128u : *len;
}

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *app, CK_NOTIFY notify,
                          CK_SESSION_HANDLE *out)
{
    (void)slot, (void)flags, (void)app, (void)notify;
    *out = 7;
    return outcome();
}
static CK_RV close_session(CK_SESSION_HANDLE s)
{
    (void)s;
    return outcome();
}
static CK_RV session_info(CK_SESSION_HANDLE s, CK_SESSION_INFO *out)
{
    (void)s;
    *out = (CK_SESSION_INFO){.state = (ky_get_u8(&mood) & 1) ? CKS_RW_PUBLIC_SESSION
                                                             : CKS_RW_USER_FUNCTIONS};
    return outcome();
}
static CK_RV find_init(CK_SESSION_HANDLE s, CK_ATTRIBUTE *t, CK_ULONG n)
{
    (void)s, (void)t, (void)n;
    return outcome();
}
static CK_RV find(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE *out, CK_ULONG most, CK_ULONG *count)
{
    (void)s;
    *count = ky_get_u8(&mood) % 4;
    if (*count > most)
        *count = most;
    for (CK_ULONG i = 0; i < *count; i++)
        out[i] = 20 + i;
    return outcome();
}
static CK_RV find_final(CK_SESSION_HANDLE s)
{
    (void)s;
    return CKR_OK;
}
static CK_RV get_attributes(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE *t, CK_ULONG n)
{
    (void)s, (void)o;
    for (CK_ULONG i = 0; i < n; i++) {
        CK_ULONG room = t[i].pValue == NULL ? 1024 : t[i].ulValueLen;

        claim(&room, 67);
        if (t[i].pValue != NULL && room <= t[i].ulValueLen)
            memset(t[i].pValue, ky_get_u8(&mood), room);
        t[i].ulValueLen = room;
    }
    return outcome();
}
static CK_RV create_object(CK_SESSION_HANDLE s, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *out)
{
    (void)s, (void)t, (void)n;
    *out = 30;
    return outcome();
}
static CK_RV destroy_object(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o)
{
    (void)s;
    FUZZ_CHECK(o != CK_INVALID_HANDLE);
    return outcome();
}
static CK_RV generate_pair(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_ATTRIBUTE *pub, CK_ULONG pub_n,
                           CK_ATTRIBUTE *priv, CK_ULONG priv_n, CK_OBJECT_HANDLE *out_pub,
                           CK_OBJECT_HANDLE *out_priv)
{
    (void)s, (void)m, (void)pub, (void)pub_n, (void)priv, (void)priv_n;
    *out_pub = 40;
    *out_priv = 41;
    return outcome();
}
static CK_RV wrap(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE kek, CK_OBJECT_HANDLE key,
                  CK_BYTE *out, CK_ULONG *len)
{
    (void)s, (void)m, (void)kek, (void)key;
    claim(len, 144);
    if (out != NULL && *len <= KY_BLOB_MAX)
        memset(out, 0x77, *len);
    return outcome();
}
static CK_RV unwrap(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE kek, CK_BYTE *blob,
                    CK_ULONG len, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *out)
{
    (void)s, (void)m, (void)kek, (void)t, (void)n;
    FUZZ_CHECK(blob != NULL && len > 0 && len <= KY_BLOB_MAX);
    *out = 50;
    return outcome();
}
static CK_RV sign_init(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    (void)s, (void)m;
    FUZZ_CHECK(key != CK_INVALID_HANDLE);
    return outcome();
}
static CK_RV sign(CK_SESSION_HANDLE s, CK_BYTE *data, CK_ULONG n, CK_BYTE *out, CK_ULONG *len)
{
    CK_ULONG room = *len;

    (void)s;
    FUZZ_CHECK(data != NULL && n > 0 && out != NULL);
    claim(len, room);
    if (*len <= room)
        memset(out, 0x11, *len);
    return outcome();
}

static CK_FUNCTION_LIST token = {
    .C_OpenSession = open_session,
    .C_CloseSession = close_session,
    .C_GetSessionInfo = session_info,
    .C_FindObjectsInit = find_init,
    .C_FindObjects = find,
    .C_FindObjectsFinal = find_final,
    .C_GetAttributeValue = get_attributes,
    .C_CreateObject = create_object,
    .C_DestroyObject = destroy_object,
    .C_GenerateKeyPair = generate_pair,
    .C_WrapKey = wrap,
    .C_UnwrapKey = unwrap,
    .C_SignInit = sign_init,
    .C_Sign = sign,
};

/* --- OpenSSL's verdicts, played too ---------------------------------------------------------- */

static int verdict(void)
{
    bool holds = ky_get_u8(&mood) < 0xc0;

    verified += holds;
    return holds;
}

int __wrap_EVP_PKEY_verify(EVP_PKEY_CTX *ctx, const unsigned char *sig, size_t sig_len,
                           const unsigned char *digest, size_t len);
int __wrap_EVP_PKEY_verify(EVP_PKEY_CTX *ctx, const unsigned char *sig, size_t sig_len,
                           const unsigned char *digest, size_t len)
{
    FUZZ_CHECK(ctx != NULL && sig != NULL && sig_len > 0 && digest != NULL && len > 0);
    return verdict();
}

int __wrap_EVP_DigestVerify(EVP_MD_CTX *ctx, const unsigned char *sig, size_t sig_len,
                            const unsigned char *text, size_t len);
int __wrap_EVP_DigestVerify(EVP_MD_CTX *ctx, const unsigned char *sig, size_t sig_len,
                            const unsigned char *text, size_t len)
{
    FUZZ_CHECK(ctx != NULL && sig != NULL && sig_len > 0 && text != NULL && len > 0);
    return verdict();
}

/* --- jobs ------------------------------------------------------------------------------------ */

static void run_job(struct hsm_worker *w, struct hsm_job *job, struct ky_reader *r)
{
    struct ky_record rec = {.type = ky_get_u8(r), .tag = 9};
    struct ky_buf out = KY_BUF_INIT(KY_RECORD_MAX);

    rec.payload = fuzz_piece(r);
    verified = 0;
    hsm_job_init(job, &rec, false);
    hsm_job_run(w, job);
    if (job->reply == NULL) {
        FUZZ_CHECK(job->type == JOB_FORGET);
        return;
    }
    FUZZ_CHECK(ky_ok(ky_msg_encode(job->reply, &job->out, &out)));
    FUZZ_CHECK(job->out.done.generation == job->in.head.generation &&
               job->out.done.attempt == job->in.head.attempt);
    if (job->reply == &job_r_sign_schema) {
        const struct job_r_sign *signed_ = &job->out.sign;

        FUZZ_CHECK(signed_->signatures.len == (size_t)signed_->count * signed_->sig_len);
        FUZZ_CHECK(verified >= signed_->count || (job->in.sign.verify == JOB_VERIFY_FIRST_USE &&
                                                  job->in.sign.purpose == KY_PURPOSE_CITIZEN));
    }
    ky_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct hsm_config config = {.sessions = 1, .cache_keys = 4};
    struct ky_reader r = ky_reader(KY_SPAN(data, size));
    struct hsm_vault v = {.config = &config,
                          .module = {.fn = &token, .initialised = true},
                          .caps = {.key_types = ~0u, .wrappable = ~0u, .pss = true, .wrap = 1},
                          .keys = {.root = 1, .keks = {{.key = 2, .generation = 1}}, .ledger = 3}};
    struct hsm_worker w = {.vault = &v, .session = {.module = &v.module, .handle = 7}};
    struct hsm_job job = {0};

    v.keys.ledger_type = KY_KEY_ED25519;
    mood = ky_reader(fuzz_piece(&r));
    v.cache = hsm_cache_new(4);
    v.residents = hsm_residents_new(HSM_LABEL_CITIZEN);
    FUZZ_CHECK(v.cache != NULL && v.residents != NULL);
    while (!r.failed && r.left > 0)
        run_job(&w, &job, &r);
    hsm_job_wipe(&job);
    hsm_verifier_wipe(&w.verifier);
    hsm_cache_free(v.cache);
    hsm_residents_free(v.residents);
    return 0;
}
