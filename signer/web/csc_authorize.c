/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credentials/authorize, authorizeCheck and extendTransaction. A SAD of ours is the name of an authorization that is
 * held here with the signer's SAD; a handle is the same name before the citizen has approved. The signer binds hashes
 * and key; the signature's scheme is left open, because the API names it when it signs. The loop's thread.
 */
#include <string.h>
#include <time.h>

#include "csc.h"
#include "kyso/record.h"
#include "kyso/secret.h"
#include "kyso/tx.h"

#define DESCRIPTION_MAX 500u
#define CODE_MAX        16u
#define REMEMBERED_US   600000000u /* a SAD that is over is still called so */

/* --- what is asked for --------------------------------------------------------------------------------- */

struct asked {
    const char *description, *code; /* code NULL: the citizen's device is asked */
};

static bool get_count(struct csc_call *c, uint32_t count)
{
    const json_t *n = json_object_get(c->in, "numSignatures");

    if (!json_is_integer(n))
        csc_missing(c, "integer", "numSignatures");
    else if (json_integer_value(n) > KY_HASHES_MAX)
        csc_fail(c, 400, "invalid_request", "Numbers of signatures is too high");
    else if (json_integer_value(n) != count) /* what is authorized is what is listed */
        csc_fail(c, 400, "invalid_request", "Invalid value for parameter numSignatures");
    else
        return true;
    return false;
}

static bool refuse_proof(struct csc_call *c)
{
    if (c->version == 1)
        csc_fail(c, 400, "invalid_otp", "The OTP is invalid");
    else
        csc_fail(c, 400, "invalid_authentication_data", "The authentication data is invalid");
    return false;
}

/* v2: authData [{id, value}]; OTP is the only object there is. */
static bool get_auth_data(struct csc_call *c, const char **out_code)
{
    const json_t *list = json_object_get(c->in, "authData"), *one, *value;
    size_t i;

    if (list != NULL && !json_is_array(list)) {
        csc_missing(c, "array", "authData");
        return false;
    }
    json_array_foreach(list, i, one)
    {
        const char *id = json_string_value(json_object_get(one, "id"));

        value = json_object_get(one, "value");
        if (id == NULL || strcmp(id, "OTP") != 0 || !json_is_string(value) || *out_code != NULL)
            return refuse_proof(c);
        *out_code = json_string_value(value);
    }
    return true;
}

static bool get_asked(struct csc_call *c, struct asked *out)
{
    const char *pin = "";

    *out = (struct asked){.description = ""};
    if (!csc_get_text(c, "description", false, &out->description))
        return false;
    if (strlen(out->description) > DESCRIPTION_MAX ||
        !ky_span_is_display_text(ky_span_text(out->description))) {
        csc_invalid(c, "description");
        return false;
    }
    if (c->version == 2 ? !get_auth_data(c, &out->code)
                        : !csc_get_text(c, "OTP", false, &out->code) || !csc_get_text(c, "PIN", false, &pin))
        return false;
    if (*pin != '\0') { /* no credential has one */
        csc_fail(c, 400, "invalid_pin", "The PIN is invalid");
        return false;
    }
    if (out->code != NULL && *out->code == '\0' && c->version == 1)
        out->code = NULL;
    return out->code == NULL || strlen(out->code) <= CODE_MAX || refuse_proof(c);
}

/* --- what came of it ------------------------------------------------------------------------------------ */

static void drop(struct csc_call *c)
{
    struct held *h = held_get(c->web->held, HELD_GRANT, c->party, c->text);

    if (h != NULL)
        held_drop(c->web->held, h);
}

static void fail_authorize(struct csc_call *c, const struct client_outcome *o)
{
    drop(c);
    if (o->code == KY_DENIED || o->code == KY_PROOF_NEEDED || o->code == KY_TX_ENDED)
        (void)refuse_proof(c);
    else if (o->code == KY_INACTIVE)
        csc_fail_inactive(c);
    else
        csc_fail_outcome(c, o);
}

static void reply_sad(struct csc_call *c, struct held *h)
{
    struct grant *g = h->grant;
    const uint64_t now_us = ky_now_us();

    if (g->until_us == 0) {
        g->until_us = now_us + c->web->config->limits.sad_s * 1000000ull;
        g->until_us = g->until_us < g->end_us ? g->until_us : g->end_us;
        h->until_us = g->until_us + REMEMBERED_US;
    }
    csc_reply(c, 200, json_pack("{s:s,s:i}", "SAD", c->text, "expiresIn",
                                (int)(g->until_us > now_us ? (g->until_us - now_us) / 1000000u : 0)));
}

static void take_sad(struct grant *g, const Kyso__V1__Transaction *t)
{
    const int64_t left_s = t->not_after - (int64_t)time(NULL);

    if (t->sad.len != sizeof(g->sad))
        return;
    memcpy(g->sad, t->sad.data, sizeof(g->sad));
    g->has_sad = true;
    g->end_us = ky_now_us() + (uint64_t)(left_s > 0 ? left_s : 0) * 1000000u;
}

static void on_authorized(void *arg, const struct client_outcome *o, const ProtobufCMessage *reply)
{
    const Kyso__V1__Transaction *t = (const void *)reply;
    struct csc_call *c = arg;
    struct held *h = held_get(c->web->held, HELD_GRANT, c->party, c->text);

    if (reply != NULL && h != NULL)
        take_sad(h->grant, t);
    if (reply != NULL && h != NULL && h->grant->has_sad) {
        reply_sad(c, h);
    } else if (reply != NULL) { /* a repeat of what is spent or over by now */
        drop(c);
        (void)refuse_proof(c);
    } else {
        fail_authorize(c, o);
    }
}

static void on_begun(void *arg, const struct client_outcome *o, const ProtobufCMessage *reply)
{
    const Kyso__V1__Transaction *t = (const void *)reply;
    struct csc_call *c = arg;
    struct held *h = held_get(c->web->held, HELD_GRANT, c->party, c->text);

    if (reply == NULL || h == NULL ||
        !ky_span_to_cstr(ky_span_text(t->transaction_id), h->grant->transaction_id,
                         sizeof(h->grant->transaction_id))) {
        fail_authorize(c, o);
        return;
    }
    /* The matching code is no part of the API: the relying party shows it to the citizen. */
    csc_reply(c, 202, json_pack("{s:s,s:s,s:i}", "handle", c->text, "matchingCode", t->matching_code, "expiresIn",
                                (int)(t->not_after - (int64_t)time(NULL))));
}

/* --- credentials/authorize --------------------------------------------------------------------------------- */

/* Room is made before the citizen's proof is spent. */
static const struct grant *hold(struct csc_call *c, struct grant *g)
{
    const struct web_config_limits *l = &c->web->config->limits;
    struct held *h;

    if (!ky_ok(held_put(c->web->held, HELD_GRANT, c->party, l->pending_s + 60, g->count * ky_hash_len(g->hash), c->text, &h))) {
        csc_fail(c, 429, "temporarily_unavailable", "Too many requests");
        return NULL;
    }
    h->grant = g;
    c->grant = NULL;
    memcpy(g->credential_id, c->credential_id, sizeof(g->credential_id));
    return g;
}

/*
 * With a code, a repeat of the same request has the same id: its answer was lost, and the code is spent. Without one
 * each request asks the citizen anew. The key is this process': who reads the ledger learns no code.
 */
static void request_id_of(const struct csc_call *c, const struct grant *g, const struct asked *asked, char out[33])
{
    const char *texts[] = {"authorize", c->party->config->name, c->credential_id, asked->code, asked->description};
    struct ky_buf bytes = KY_BUF_INIT(KY_HASHES_MAX * KY_DIGEST_MAX + 1024u);
    uint8_t id[32];

    for (size_t i = 0; asked->code != NULL && i < sizeof(texts) / sizeof(texts[0]); i++)
        ky_buf_put(&bytes, texts[i], strlen(texts[i]) + 1);
    if (asked->code != NULL)
        ky_buf_put(&bytes, g->hashes, g->count * ky_hash_len(g->hash));
    else
        ky_buf_put(&bytes, c->text, strlen(c->text)); /* random */
    ky_hmac_sha256(KY_SPAN_OF(c->web->parties.key), ky_buf_span(&bytes), id);
    csc_request_id(id, out);
    ky_buf_free(&bytes);
}

static void ask_signer(struct csc_call *c, const struct grant *g, const struct asked *asked)
{
    Kyso__V1__Algorithm algorithm = KYSO__V1__ALGORITHM__INIT;
    Kyso__V1__SignatureRequest request = KYSO__V1__SIGNATURE_REQUEST__INIT;
    Kyso__V1__AuthorizeRequest authorize = KYSO__V1__AUTHORIZE_REQUEST__INIT;
    Kyso__V1__BeginTransactionRequest begin = KYSO__V1__BEGIN_TRANSACTION_REQUEST__INIT;
    Kyso__V1__TotpProof totp = KYSO__V1__TOTP_PROOF__INIT;
    ProtobufCBinaryData hashes[KY_HASHES_MAX];
    char id[33];

    request_id_of(c, g, asked, id);
    csc_put_hashes(g, hashes);
    algorithm.hash = (Kyso__V1__HashAlgorithm)g->hash;
    request.relying_party = c->party->config->name;
    request.credential_id = c->credential_id;
    request.algorithm = &algorithm;
    request.n_hashes = g->count;
    request.hashes = hashes;
    request.display_text = (char *)(uintptr_t)asked->description;
    if (asked->code == NULL) {
        begin.request_id = id;
        begin.request = &request;
        begin.ttl_s = c->web->config->limits.pending_s;
        csc_ask(c, "BeginTransaction", &begin.base, CSC_READ_US, &kyso__v1__transaction__descriptor, on_begun);
        return;
    }
    totp.code = (char *)(uintptr_t)asked->code;
    authorize.request_id = id;
    authorize.request = &request;
    authorize.ttl_s = c->web->config->limits.transaction_s;
    authorize.proof_case = KYSO__V1__AUTHORIZE_REQUEST__PROOF_TOTP;
    authorize.totp = &totp;
    csc_ask(c, "Authorize", &authorize.base, CSC_READ_US, &kyso__v1__transaction__descriptor, on_authorized);
}

void csc_credentials_authorize(struct csc_call *c)
{
    struct asked asked;
    const struct grant *g;
    uint8_t hash;

    if (!csc_get_credential(c) || !csc_get_hash(c, c->version == 2, &hash) ||
        !csc_get_hashes(c, hash) || !get_count(c, c->grant->count) || !get_asked(c, &asked))
        return;
    g = hold(c, c->grant);
    if (g != NULL)
        ask_signer(c, g, &asked);
}

/* --- credentials/authorizeCheck -------------------------------------------------------------------------------- */

static void on_checked(void *arg, const struct client_outcome *o, const ProtobufCMessage *reply)
{
    const Kyso__V1__Transaction *t = (const void *)reply;
    struct csc_call *c = arg;
    struct held *h = held_get(c->web->held, HELD_GRANT, c->party, c->text);

    if (reply == NULL || h == NULL) {
        if (reply != NULL || o->code == KY_NOT_FOUND)
            csc_invalid(c, "handle");
        else
            csc_fail_outcome(c, o);
        return;
    }
    if (!h->grant->has_sad && t->state == KYSO__V1__TRANSACTION_STATE__TRANSACTION_STATE_AUTHORIZED)
        take_sad(h->grant, t);
    if (h->grant->has_sad)
        reply_sad(c, h);
    else if (t->state == KYSO__V1__TRANSACTION_STATE__TRANSACTION_STATE_PENDING)
        csc_reply(c, 202, json_pack("{s:s}", "handle", c->text));
    else
        csc_fail(c, 400, "access_denied",
                 t->state == KYSO__V1__TRANSACTION_STATE__TRANSACTION_STATE_EXPIRED
                     ? "The authorization has expired"
                     : "The authorization was refused");
}

void csc_credentials_authorize_check(struct csc_call *c)
{
    Kyso__V1__WaitTransactionRequest m = KYSO__V1__WAIT_TRANSACTION_REQUEST__INIT;
    const char *handle = NULL;
    struct held *h;

    if (!csc_get_text(c, "handle", true, &handle))
        return;
    h = held_get(c->web->held, HELD_GRANT, c->party, handle);
    if (h == NULL || h->grant->transaction_id[0] == '\0' ||
        !ky_span_to_cstr(ky_span_text(handle), c->text, sizeof(c->text))) {
        csc_invalid(c, "handle");
        return;
    }
    if (h->grant->has_sad) { /* the answer was lost */
        reply_sad(c, h);
        return;
    }
    m.relying_party = c->party->config->name;
    m.transaction_id = h->grant->transaction_id;
    csc_ask(c, "WaitTransaction", &m.base, CSC_READ_US, &kyso__v1__transaction__descriptor, on_checked);
}

/* --- credentials/extendTransaction --------------------------------------------------------------------------- */

bool csc_get_sad(struct csc_call *c, struct held **out)
{
    const char *sad = NULL;
    struct held *h;

    if (!csc_get_text(c, "SAD", true, &sad) || !csc_get_credential(c))
        return false;
    h = held_get(c->web->held, HELD_GRANT, c->party, sad);
    if (h == NULL || !h->grant->has_sad)
        csc_invalid(c, "SAD");
    else if (strcmp(h->grant->credential_id, c->credential_id) != 0)
        csc_invalid(c, "credentialID");
    else if (ky_now_us() >= h->grant->until_us)
        csc_fail(c, 400, "invalid_request", "SAD expired");
    else {
        *out = h;
        return true;
    }
    return false;
}

/* Never more than was authorized: the new SAD is for some of the old one's hashes, and the old one is over. */
void csc_credentials_extend(struct csc_call *c)
{
    struct held *old, *h;
    struct grant *g;
    uint8_t hash;

    if (!csc_get_sad(c, &old) || !csc_get_hash(c, false, &hash) ||
        !csc_get_hashes(c, hash))
        return;
    if (!csc_grant_lists(old->grant, c->grant)) {
        csc_fail(c, 400, "invalid_request", "Hash is not authorized by the SAD");
        return;
    }
    if (!ky_ok(held_put(c->web->held, HELD_GRANT, c->party, 1, c->grant->count * ky_hash_len(c->grant->hash), c->text, &h))) {
        csc_fail(c, 429, "temporarily_unavailable", "Too many requests");
        return;
    }
    h->grant = g = c->grant;
    c->grant = NULL;
    memcpy(g->credential_id, old->grant->credential_id, sizeof(g->credential_id));
    memcpy(g->sad, old->grant->sad, sizeof(g->sad));
    g->has_sad = true;
    g->end_us = old->grant->end_us;
    held_drop(c->web->held, old);
    reply_sad(c, h);
}
