/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signatures/signHash and signPolling. The signer's request id is made of what is asked for, so a repeat after a lost
 * answer gets the same signatures and spends nothing. The loop's thread.
 */
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "csc.h"
#include "kyso/secret.h"

#define SIGNATURE_TEXT_MAX 1024u
#define VALIDITY_MAX_MS    3600000

struct parameters {
    struct csc_algorithm algorithm;
    bool later; /* operationMode A */
};

/* --- answers ---------------------------------------------------------------------------------------------- */

static json_t *signatures_json(const Kyso__V1__SignReply *r)
{
    struct ky_buf text = KY_BUF_INIT(SIGNATURE_TEXT_MAX);
    json_t *list = json_array();

    for (size_t i = 0; i < r->n_signatures; i++) {
        ky_buf_reset(&text);
        base64_put(&text, KY_SPAN(r->signatures[i].data, r->signatures[i].len));
        (void)json_array_append_new(list, json_stringn((const char *)text.data, text.len));
    }
    ky_buf_free(&text);
    return json_pack("{s:o}", "signatures", list);
}

static void on_signed(void *arg, const struct client_outcome *o, const ProtobufCMessage *reply)
{
    struct csc_call *c = arg;

    if (reply != NULL) {
        csc_reply(c, 200, signatures_json((const void *)reply));
        return;
    }
    switch (o->code) {
    case KY_DENIED: /* all of them are listed: one is spent */
        csc_fail(c, 400, "invalid_request", "Hash is not authorized by the SAD");
        break;
    case KY_TX_ENDED:
    case KY_PROOF_NEEDED:
        csc_fail(c, 400, "invalid_request", "SAD expired");
        break;
    case KY_INVALID: /* the key is of another kind, or the salt too long for it */
        csc_invalid(c, "signAlgo");
        break;
    case KY_INACTIVE:
        csc_fail_inactive(c);
        break;
    default:
        csc_fail_outcome(c, o);
    }
}

/* --- the request ---------------------------------------------------------------------------------------------- */

static bool get_algorithm(struct csc_call *c, struct csc_algorithm *out)
{
    const char *algo = NULL, *params = NULL, *wrong;
    bool missing = false;
    uint8_t hash;

    if (!csc_get_text(c, "signAlgo", true, &algo) || !csc_get_text(c, "signAlgoParams", false, &params) ||
        !csc_get_hash(c, false, &hash))
        return false;
    wrong = csc_algorithm_read(algo, params, hash, out, &missing);
    if (wrong == NULL)
        return true;
    if (strcmp(wrong, "hash") == 0)
        wrong = CSC_HASH_NAME(c);
    if (missing)
        csc_missing(c, "string", wrong);
    else
        csc_invalid(c, wrong);
    return false;
}

static bool get_mode(struct csc_call *c, bool *out_later)
{
    const json_t *validity = json_object_get(c->in, "validity_period");
    const char *mode = "S", *uri = NULL;

    *out_later = false;
    if (c->version == 1)
        return true;
    if (!csc_get_text(c, "operationMode", false, &mode) || !csc_get_text(c, "response_uri", false, &uri))
        return false;
    *out_later = strcmp(mode, "A") == 0;
    if (!*out_later && strcmp(mode, "S") != 0)
        csc_invalid(c, "operationMode");
    else if (validity != NULL && !json_is_integer(validity))
        csc_invalid(c, "validity_period");
    else if (validity != NULL && (json_integer_value(validity) < 1 || json_integer_value(validity) > VALIDITY_MAX_MS))
        csc_fail(c, 400, "invalid_request", "Out of bounds parameter validity_period");
    else if (uri != NULL) /* nobody is called from here: signPolling tells */
        csc_invalid(c, "response_uri");
    else
        return true;
    return false;
}

static void request_id_of(const struct csc_call *c, const struct csc_algorithm *a, const uint8_t sad[32], char out[33])
{
    const uint8_t algorithm[] = {a->scheme, a->mgf_hash, (uint8_t)(a->salt_len >> 8), (uint8_t)a->salt_len};
    const struct grant *g = c->grant;
    struct ky_buf bytes = KY_BUF_INIT(KY_HASHES_MAX * KY_DIGEST_MAX + 64u);
    uint8_t id[32];

    ky_buf_put(&bytes, algorithm, sizeof(algorithm));
    ky_buf_put(&bytes, g->hashes, g->count * ky_hash_len(g->hash));
    ky_hmac_sha256(KY_SPAN(sad, 32), ky_buf_span(&bytes), id);
    ky_buf_free(&bytes);
    csc_request_id(id, out);
}

static void ask_signer(struct csc_call *c, const struct csc_algorithm *a, uint8_t sad[32])
{
    Kyso__V1__PssParameters pss = KYSO__V1__PSS_PARAMETERS__INIT;
    Kyso__V1__Algorithm algorithm = KYSO__V1__ALGORITHM__INIT;
    Kyso__V1__SignatureRequest request = KYSO__V1__SIGNATURE_REQUEST__INIT;
    Kyso__V1__SignRequest m = KYSO__V1__SIGN_REQUEST__INIT;
    ProtobufCBinaryData hashes[KY_HASHES_MAX];
    char id[33];

    csc_put_hashes(c->grant, hashes);
    request_id_of(c, a, sad, id);
    pss.salt_length = a->salt_len;
    pss.mgf_hash = (Kyso__V1__HashAlgorithm)a->mgf_hash;
    algorithm.scheme = (Kyso__V1__SignatureScheme)a->scheme;
    algorithm.hash = (Kyso__V1__HashAlgorithm)a->hash;
    algorithm.pss = a->scheme == KY_RSA_PSS ? &pss : NULL;
    request.relying_party = c->party->config->name;
    request.credential_id = c->credential_id;
    request.algorithm = &algorithm;
    request.n_hashes = c->grant->count;
    request.hashes = hashes;
    m.request_id = id;
    m.request = &request;
    m.proof_case = KYSO__V1__SIGN_REQUEST__PROOF_SAD;
    m.sad = (ProtobufCBinaryData){.len = 32, .data = sad};
    csc_ask(c, "Sign", &m.base, CSC_SIGN_US, &kyso__v1__sign_reply__descriptor, on_signed);
}

/* Answers with a response id now; the signatures are kept. false: answered otherwise. */
static bool answer_later(struct csc_call *c)
{
    struct result *r = calloc(1, sizeof(*r));
    struct held *h;

    if (r == NULL || !ky_ok(held_put(c->web->held, HELD_RESULT, c->party, c->web->config->limits.result_s, c->grant->count * SIGNATURE_TEXT_MAX, c->text, &h))) {
        free(r);
        csc_fail(c, 429, "temporarily_unavailable", "Too many requests");
        return false;
    }
    h->result = r;
    http_reply_json(c->http, 200, json_pack("{s:s}", "responseID", c->text));
    c->in = NULL;
    c->http = NULL;
    c->detached = true;
    return true;
}

void csc_sign_hash(struct csc_call *c)
{
    struct csc_algorithm algorithm;
    uint8_t sad[32];
    struct held *h;
    bool later;

    if (!csc_get_sad(c, &h) || !get_algorithm(c, &algorithm) ||
        !csc_get_hashes(c, algorithm.hash) || !get_mode(c, &later))
        return;
    if (!csc_grant_lists(h->grant, c->grant)) {
        csc_fail(c, 400, "invalid_request", "Hash is not authorized by the SAD");
        return;
    }
    memcpy(sad, h->grant->sad, sizeof(sad));
    if (!later || answer_later(c))
        ask_signer(c, &algorithm, sad);
    ky_wipe(sad, sizeof(sad));
}

/* --- signatures/signPolling ----------------------------------------------------------------------------------- */

void csc_sign_polling(struct csc_call *c)
{
    const char *id = NULL;
    struct held *h;

    if (!csc_get_text(c, "responseID", true, &id))
        return;
    h = held_get(c->web->held, HELD_RESULT, c->party, id);
    if (h == NULL)
        csc_invalid(c, "responseID");
    else if (h->result->status == 0)
        csc_reply(c, 202, json_pack("{s:s}", "responseID", id));
    else
        csc_reply(c, h->result->status, json_incref(h->result->body));
}
