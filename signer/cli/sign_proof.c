/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The citizen's proof: a code, an approval that is waited for, or a SAD from before.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <liboath/oath.h>

#include "kyso/door.h"
#include "sign_job.h"

#define WAIT_MS     20000u
#define DEFAULT_TTL 120u

static const struct {
    const char *option;
    enum sign_proof proof;
} proofs[] = {
    {"--totp", SIGN_PROOF_CODE},
    {"--totp-secret", SIGN_PROOF_SECRET},
    {"--approval", SIGN_PROOF_APPROVAL},
    {"--sad", SIGN_PROOF_SAD},
};
#define PROOFS (sizeof proofs / sizeof proofs[0])

int sign_choose_proof(struct sign_job *job)
{
    size_t given = 0;

    for (size_t i = 0; i < PROOFS; i++) { /* what is typed wins over the environment */
        if (cli_has(job->cli, proofs[i].option)) {
            job->proof = proofs[i].proof;
            given++;
        }
    }
    for (size_t i = 0; i < PROOFS && given == 0; i++) {
        if (cli_get(job->cli, proofs[i].option) != NULL) {
            job->proof = proofs[i].proof;
            given++;
        }
    }
    if (given == 1)
        return CLI_OK;
    return cli_fail(job->cli, CLI_USAGE,
                    "give one of --totp CODE, --approval, --sad HEX (or --totp-secret in a demo)",
                    "the citizen's proof is %s", given == 0 ? "missing" : "given more than once");
}

static int call_sign(struct sign_job *job, Kyso__V1__SignRequest *r, struct ky_request_fields *f,
                     Kyso__V1__SignReply **out_reply)
{
    ProtobufCMessage *reply = NULL;
    int rc;

    r->request_id = job->request_id;
    r->request = &job->request;
    f->type = DOOR_SIGN;
    f->request_id = ky_span_text(r->request_id);
    rc = sign_request(job, f, &r->request_signature);
    if (rc != CLI_OK)
        return rc;
    rc = server_call(job->cli, job->client, "/kyso.v1.Signer/Sign", &r->base, job->timeout_us,
                     &kyso__v1__sign_reply__descriptor, &reply);
    if (rc == CLI_OK)
        *out_reply = (Kyso__V1__SignReply *)reply;
    return rc;
}

static int sign_by_code(struct sign_job *job, const struct ky_secret *code,
                        Kyso__V1__SignReply **out_reply)
{
    Kyso__V1__SignRequest r = KYSO__V1__SIGN_REQUEST__INIT;
    Kyso__V1__TotpProof totp = KYSO__V1__TOTP_PROOF__INIT;
    struct ky_request_fields f = {.proof = KY_PROOF_TOTP};
    const char *authenticator = cli_get(job->cli, "--authenticator");
    char text[12] = "";
    int rc;

    if (!ky_span_to_cstr(ky_secret_span(code), text, sizeof text))
        return cli_fail(job->cli, CLI_USAGE, "it has 6 to 8 digits", "--totp is not a code");
    totp.code = text;
    if (authenticator != NULL)
        totp.authenticator_id = (char *)(uintptr_t)authenticator;
    r.proof_case = KYSO__V1__SIGN_REQUEST__PROOF_TOTP;
    r.totp = &totp;
    f.authenticator_id = ky_span_text(totp.authenticator_id);
    f.proof_secret = ky_span_text(text);
    rc = call_sign(job, &r, &f, out_reply);
    ky_wipe(text, sizeof text);
    return rc;
}

/* The code of this moment, from the seed in base32. */
static int compute_code(struct sign_job *job, const struct ky_secret *seed,
                        struct ky_secret *out_code)
{
    static const int flags[] = {0, OATH_TOTP_HMAC_SHA256, OATH_TOTP_HMAC_SHA512};
    uint32_t digits = cli_number(job->cli, "--totp-digits", 6);
    int hash = cli_choice(job->cli, "--totp-hash", 1);
    char *raw = NULL;
    size_t n = 0;
    char code[12] = "";
    bool ok = digits >= 6 && digits <= 8 &&
              oath_base32_decode((const char *)seed->bytes, seed->len, &raw, &n) == OATH_OK &&
              oath_totp_generate2(raw, n, time(NULL), OATH_TOTP_DEFAULT_TIME_STEP_SIZE,
                                  OATH_TOTP_DEFAULT_START_TIME, digits, flags[hash - 1],
                                  code) == OATH_OK &&
              ky_ok(ky_secret_set(out_code, ky_span_text(code)));

    if (raw != NULL) {
        ky_wipe(raw, n);
        free(raw);
    }
    ky_wipe(code, sizeof code);
    return ok ? CLI_OK
              : cli_fail(job->cli, CLI_USAGE, "a seed in base32, and 6 to 8 digits",
                         "no code can be computed");
}

static int sign_by_sad(struct sign_job *job, struct ky_span sad, Kyso__V1__SignReply **out_reply)
{
    Kyso__V1__SignRequest r = KYSO__V1__SIGN_REQUEST__INIT;
    struct ky_request_fields f = {.proof = KY_PROOF_SAD, .proof_secret = sad};

    r.proof_case = KYSO__V1__SIGN_REQUEST__PROOF_SAD;
    r.sad = (ProtobufCBinaryData){.len = sad.len, .data = (uint8_t *)(uintptr_t)sad.data};
    return call_sign(job, &r, &f, out_reply);
}

static int sign_by_given_sad(struct sign_job *job, const struct ky_secret *hex,
                             Kyso__V1__SignReply **out_reply)
{
    char text[72];
    uint8_t sad[32];
    int rc;

    if (!ky_span_to_cstr(ky_secret_span(hex), text, sizeof text) ||
        cli_hex(text, sad, sizeof sad) != (int)sizeof sad)
        rc = cli_fail(job->cli, CLI_USAGE, "it is 32 bytes: 64 hex digits", "--sad is not a SAD");
    else
        rc = sign_by_sad(job, KY_SPAN_OF(sad), out_reply);
    ky_wipe(text, sizeof text);
    ky_wipe(sad, sizeof sad);
    return rc;
}

static int begin(struct sign_job *job, Kyso__V1__Transaction **out_tx)
{
    Kyso__V1__BeginTransactionRequest r = KYSO__V1__BEGIN_TRANSACTION_REQUEST__INIT;
    char id[80];
    ProtobufCMessage *reply = NULL;
    int rc;

    (void)snprintf(id, sizeof id, "%.60s-b", job->request_id); /* Sign needs an id of its own */
    r.request_id = id;
    r.request = &job->request;
    r.ttl_s = cli_number(job->cli, "--ttl", DEFAULT_TTL);
    struct ky_request_fields f = {
        .type = DOOR_TX_BEGIN, .request_id = ky_span_text(id), .ttl_s = r.ttl_s};
    rc = sign_request(job, &f, &r.request_signature);
    if (rc != CLI_OK)
        return rc;
    rc = server_call(job->cli, job->client, "/kyso.v1.Signer/BeginTransaction", &r.base,
                     job->timeout_us, &kyso__v1__transaction__descriptor, &reply);
    if (rc == CLI_OK)
        *out_tx = (Kyso__V1__Transaction *)reply;
    return rc;
}

/* People see the code; programs get one line of JSON before the result. */
static void announce(struct sign_job *job, const Kyso__V1__Transaction *tx)
{
    json_t *o;

    if (!job->cli->json) {
        (void)fprintf(job->cli->out, "Waiting for the citizen's device. Matching code: ");
        output_clean(job->cli->out, tx->matching_code);
        (void)fprintf(job->cli->out, "   (transaction ");
        output_clean(job->cli->out, tx->transaction_id);
        (void)fprintf(job->cli->out, ")\n");
    } else {
        o = json_pack("{s:{s:s,s:s,s:o,s:I}}", "pending", "transaction", tx->transaction_id,
                      "matching_code", tx->matching_code, "tx_digest",
                      output_hex(KY_SPAN(tx->tx_digest.data, tx->tx_digest.len)), "not_after",
                      (json_int_t)tx->not_after);
        (void)json_dumpf(o, job->cli->out, JSON_COMPACT);
        (void)fputc('\n', job->cli->out);
        json_decref(o);
    }
    (void)fflush(job->cli->out);
}

/* Long polls until the transaction is no longer pending. */
static int wait_decision(struct sign_job *job, Kyso__V1__Transaction **tx)
{
    Kyso__V1__WaitTransactionRequest w = KYSO__V1__WAIT_TRANSACTION_REQUEST__INIT;
    int rc = CLI_OK;

    w.relying_party = job->request.relying_party;
    w.transaction_id = job->transaction_id;
    w.timeout_ms = WAIT_MS;
    while (rc == CLI_OK && (*tx)->state == KYSO__V1__TRANSACTION_STATE__TRANSACTION_STATE_PENDING) {
        ProtobufCMessage *reply = NULL;
        int64_t not_after = (*tx)->not_after;

        rc = server_call(job->cli, job->client, "/kyso.v1.Signer/WaitTransaction", &w.base,
                         job->timeout_us + WAIT_MS * 1000u, &kyso__v1__transaction__descriptor,
                         &reply);
        if (rc != CLI_OK)
            break;
        kyso__v1__transaction__free_unpacked(*tx, NULL);
        *tx = (Kyso__V1__Transaction *)reply;
        if ((*tx)->state == KYSO__V1__TRANSACTION_STATE__TRANSACTION_STATE_PENDING &&
            time(NULL) > not_after + 5)
            return cli_fail(job->cli, CLI_FAILED, "begin again", "nobody decided in time");
    }
    return rc;
}

static int sign_by_approval(struct sign_job *job, Kyso__V1__SignReply **out_reply)
{
    Kyso__V1__Transaction *tx = NULL;
    int rc = begin(job, &tx);

    if (rc != CLI_OK)
        return rc;
    (void)snprintf(job->transaction_id, sizeof job->transaction_id, "%s", tx->transaction_id);
    announce(job, tx);
    rc = wait_decision(job, &tx);
    if (rc == CLI_OK && tx->state != KYSO__V1__TRANSACTION_STATE__TRANSACTION_STATE_AUTHORIZED)
        rc = cli_fail(job->cli, CLI_FAILED, "begin again if the citizen wants it",
                      "not authorized: the transaction is %s", show_transaction_state(tx->state));
    if (rc == CLI_OK)
        rc = sign_by_sad(job, KY_SPAN(tx->sad.data, tx->sad.len), out_reply);
    if (tx->sad.data != NULL)
        ky_wipe(tx->sad.data, tx->sad.len);
    kyso__v1__transaction__free_unpacked(tx, NULL);
    return rc;
}

int sign_with_proof(struct sign_job *job, Kyso__V1__SignReply **out_reply)
{
    static const char *const options[] = {[SIGN_PROOF_CODE] = "--totp",
                                          [SIGN_PROOF_SECRET] = "--totp-secret",
                                          [SIGN_PROOF_SAD] = "--sad"};
    struct ky_secret given = {.len = 0};
    struct ky_secret code = {.len = 0};
    int rc = CLI_OK;

    if (job->proof == SIGN_PROOF_APPROVAL)
        return sign_by_approval(job, out_reply);
    if (!ky_ok(cli_secret(job->cli, options[job->proof], &given)))
        rc = cli_fail(job->cli, CLI_USAGE, "its value, or @FILE", "cannot read %s",
                      options[job->proof]);
    else if (job->proof == SIGN_PROOF_SECRET)
        rc = compute_code(job, &given, &code);
    if (rc == CLI_OK && job->proof == SIGN_PROOF_SAD)
        rc = sign_by_given_sad(job, &given, out_reply);
    else if (rc == CLI_OK)
        rc = sign_by_code(job, job->proof == SIGN_PROOF_SECRET ? &code : &given, out_reply);
    ky_secret_wipe(&code);
    ky_secret_wipe(&given);
    return rc;
}
