/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso approve: plays the citizen's device. It shows every field that it signs about, recomputes
 * the transaction digest from just those fields, and signs the challenge with the matching code.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "approve_check.h"
#include "cli.h"
#include "keys.h"
#include "kyso/alg.h"

struct approval {
    struct cli *cli;
    struct client *client;               /* owned */
    Kyso__V1__ListPendingReply *pending; /* owned; holds tx unless it was fetched */
    const Kyso__V1__PendingTransaction *tx;
    ProtobufCMessage *fetched; /* owned */
    uint8_t digest[32];
    uint8_t decision; /* enum ky_decision */
    char code[9];
    uint64_t timeout_us;
};

static json_t *describe(const Kyso__V1__PendingTransaction *tx, const uint8_t *digest)
{
    json_t *hashes = json_array();
    json_t *choices = json_array();
    char until[32];
    json_t *o;
    const char *scheme =
        tx->algorithm != NULL ? ky_scheme_name((uint8_t)tx->algorithm->scheme) : NULL;
    const char *hash = tx->algorithm != NULL ? ky_hash_name((uint8_t)tx->algorithm->hash) : NULL;

    for (size_t i = 0; i < tx->n_hashes; i++)
        (void)json_array_append_new(hashes,
                                    output_hex(KY_SPAN(tx->hashes[i].data, tx->hashes[i].len)));
    for (size_t i = 0; i < tx->n_matching_choices; i++)
        (void)json_array_append_new(choices, json_string(tx->matching_choices[i]));
    o = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:i,s:o,s:s,s:s,s:o,s:s,s:s,s:o,s:s,s:o}",
                  "transaction", tx->transaction_id, "server", tx->server_id, "client", tx->client,
                  "relying_party", tx->relying_party, "subject", tx->subject_id, "credential",
                  tx->credential_id, "epoch", (int)tx->credential_epoch, "key_sha256",
                  output_hex(KY_SPAN(tx->key_spki_sha256.data, tx->key_spki_sha256.len)), "scheme",
                  scheme != NULL ? scheme : "any of the key", "hash", hash != NULL ? hash : "unknown",
                  "hashes", hashes, "text", tx->display_text, "until",
                  output_time(tx->not_after, until), "nonce",
                  output_hex(KY_SPAN(tx->nonce.data, tx->nonce.len)), "state",
                  show_transaction_state(tx->state), "matching_choices", choices);
    if (digest != NULL)
        (void)json_object_set_new(o, "tx_digest", output_hex(KY_SPAN(digest, 32)));
    return o;
}

static int list_pending(struct approval *a)
{
    Kyso__V1__ListPendingRequest r = KYSO__V1__LIST_PENDING_REQUEST__INIT;
    ProtobufCMessage *reply = NULL;
    int rc;

    r.authenticator_id = (char *)(uintptr_t)cli_get(a->cli, "--authenticator");
    rc = server_call(a->cli, a->client, "/kyso.v1.Approver/ListPending", &r.base, a->timeout_us,
                     &kyso__v1__list_pending_reply__descriptor, &reply);
    if (rc == CLI_OK)
        a->pending = (Kyso__V1__ListPendingReply *)reply;
    return rc;
}

static int fetch_named(struct approval *a, const char *id)
{
    Kyso__V1__GetPendingRequest r = KYSO__V1__GET_PENDING_REQUEST__INIT;
    int rc;

    r.authenticator_id = (char *)(uintptr_t)cli_get(a->cli, "--authenticator");
    r.transaction_id = (char *)(uintptr_t)id;
    rc = server_call(a->cli, a->client, "/kyso.v1.Approver/GetTransaction", &r.base, a->timeout_us,
                     &kyso__v1__pending_transaction__descriptor, &a->fetched);
    if (rc == CLI_OK)
        a->tx = (const Kyso__V1__PendingTransaction *)a->fetched;
    return rc;
}

static int find_transaction(struct approval *a)
{
    const char *id = cli_get(a->cli, "--transaction");
    int rc;

    if (id != NULL)
        return fetch_named(a, id);
    rc = list_pending(a);
    if (rc != CLI_OK)
        return rc;
    if (a->pending->n_transactions != 1)
        return cli_fail(a->cli, CLI_FAILED,
                        a->pending->n_transactions == 0 ? "begin one: kyso sign ... --approval"
                                                        : "choose: --list, then --transaction ID",
                        "%zu transactions are pending for this device", a->pending->n_transactions);
    a->tx = a->pending->transactions[0];
    return CLI_OK;
}

/* The hashes must be exactly those of the files, in order. */
static int expect_files(struct approval *a)
{
    const char *files[KY_HASHES_MAX];
    size_t n = cli_all(a->cli, "--expect-file", files, KY_HASHES_MAX);
    uint8_t digest[64];

    if (n == 0)
        return CLI_OK;
    for (size_t i = 0; i < n; i++) {
        if (!ky_ok(file_digest(files[i], (uint8_t)a->tx->algorithm->hash, digest)))
            return cli_fail(a->cli, CLI_FAILED, "check its name and rights", "cannot read %s",
                            files[i]);
        if (n != a->tx->n_hashes ||
            !ky_span_eq(KY_SPAN(a->tx->hashes[i].data, a->tx->hashes[i].len),
                        KY_SPAN(digest, ky_hash_len((uint8_t)a->tx->algorithm->hash))))
            return cli_fail(a->cli, CLI_UNVERIFIED, "do not approve; reject it with --not-me",
                            "the transaction is not about %s", files[i]);
    }
    return CLI_OK;
}

static int check_transaction(struct approval *a)
{
    const char *expected = cli_get(a->cli, "--expect-digest");
    const char *field = NULL;
    uint8_t want[32];

    if (!ky_ok(approve_digest(a->tx, a->digest, &field)))
        return cli_fail(a->cli, CLI_UNVERIFIED, "do not approve it",
                        "the transaction's %s is not what it must be", field);
    if (expected != NULL && (cli_hex(expected, want, sizeof want) != (int)sizeof want ||
                             !ky_span_eq(KY_SPAN_OF(want), KY_SPAN_OF(a->digest))))
        return cli_fail(a->cli, CLI_UNVERIFIED,
                        "do not approve; the fields were changed on the way",
                        "the fields do not give the expected transaction digest");
    return expect_files(a);
}

/* The citizen types what the relying party shows. */
static int get_code(struct approval *a)
{
    const char *given = cli_get(a->cli, "--code");
    char line[16] = "";

    if (given == NULL && !a->cli->json && isatty(STDIN_FILENO) == 1) {
        (void)fprintf(a->cli->err, "Which code does %s show you? ", a->tx->relying_party);
        if (fgets(line, sizeof line, stdin) != NULL) {
            line[strcspn(line, "\r\n")] = '\0';
            given = line;
        }
    }
    if (given == NULL || given[0] == '\0' || strlen(given) > 8 ||
        strspn(given, "0123456789") != strlen(given))
        return cli_fail(a->cli, CLI_USAGE, "give --code NN, the number the relying party shows",
                        "the matching code is missing");
    memcpy(a->code, given, strlen(given) + 1);
    return CLI_OK;
}

static int sign_decision(struct approval *a, struct ky_buf *out)
{
    const char *path = cli_get(a->cli, "--device-key");
    uint8_t challenge[32];
    EVP_PKEY *key;
    bool ok;

    if (path == NULL && a->decision == KY_DECISION_REJECT)
        return CLI_OK;
    if (path == NULL)
        return cli_fail(a->cli, CLI_USAGE, "give --device-key PEM",
                        "the device's key must sign this");
    key = keys_load_private(path);
    ky_approval_challenge(a->digest, a->decision, ky_span_text(a->code), challenge);
    ok = key != NULL && ky_ok(keys_sign(key, KY_SPAN_OF(challenge), out));
    EVP_PKEY_free(key);
    return ok ? CLI_OK
              : cli_fail(a->cli, CLI_USAGE, "it must be a PEM P-256 or Ed25519 private key",
                         "cannot sign with %s", path);
}

static int send_decision(struct approval *a, struct ky_span signature)
{
    Kyso__V1__DecisionRequest approve = KYSO__V1__DECISION_REQUEST__INIT;
    Kyso__V1__RejectRequest reject = KYSO__V1__REJECT_REQUEST__INIT;
    ProtobufCBinaryData sig = {.len = signature.len, .data = (uint8_t *)(uintptr_t)signature.data};
    bool yes = a->decision == KY_DECISION_APPROVE;
    ProtobufCMessage *reply = NULL;
    json_t *o;
    int rc;

    approve.authenticator_id = reject.authenticator_id =
        (char *)(uintptr_t)cli_get(a->cli, "--authenticator");
    approve.transaction_id = reject.transaction_id = a->tx->transaction_id;
    approve.matching_code = a->code;
    approve.signature = reject.signature = sig;
    reject.not_me = a->decision == KY_DECISION_NOT_ME;
    rc = server_call(a->cli, a->client,
                     yes ? "/kyso.v1.Approver/Approve" : "/kyso.v1.Approver/Reject",
                     yes ? &approve.base : &reject.base, a->timeout_us,
                     &kyso__v1__decision_reply__descriptor, &reply);
    if (rc != CLI_OK)
        return rc;
    o = json_pack("{s:s,s:s,s:s}", "message",
                  yes             ? "Approved."
                  : reject.not_me ? "Rejected, and the account is locked."
                                  : "Rejected.",
                  "transaction", a->tx->transaction_id, "state",
                  show_transaction_state(((Kyso__V1__DecisionReply *)reply)->state));
    protobuf_c_message_free_unpacked(reply, NULL);
    output_object(a->cli, o);
    return CLI_OK;
}

static int show_list(struct approval *a)
{
    static const struct output_column columns[] = {
        {"transaction", "TRANSACTION"},
        {"relying_party", "RELYING PARTY"},
        {"text", "TEXT"},
        {"until", "UNTIL"},
        {"matching_choices", "CODES"},
        {NULL, NULL},
    };
    json_t *rows = json_array();
    int rc = list_pending(a);

    for (size_t i = 0; rc == CLI_OK && i < a->pending->n_transactions; i++)
        (void)json_array_append_new(rows, describe(a->pending->transactions[i], NULL));
    if (rc == CLI_OK)
        output_table(a->cli, "transactions", rows, columns);
    else
        json_decref(rows);
    return rc;
}

static int decide(struct approval *a)
{
    struct ky_buf signature = KY_BUF_INIT(256);
    int rc = find_transaction(a);

    if (rc == CLI_OK)
        rc = check_transaction(a);
    if (rc == CLI_OK && !a->cli->json)
        output_object(a->cli, describe(a->tx, a->digest));
    if (rc == CLI_OK && a->decision == KY_DECISION_APPROVE)
        rc = get_code(a);
    if (rc == CLI_OK)
        rc = sign_decision(a, &signature);
    if (rc == CLI_OK)
        rc = send_decision(a, ky_buf_span(&signature));
    ky_buf_free(&signature);
    return rc;
}

int cmd_approve(struct cli *cli)
{
    struct approval a = {.cli = cli,
                         .timeout_us = cli_number(cli, "--timeout", 10) * UINT64_C(1000000)};
    int rc;

    a.decision = cli_has(cli, "--not-me")   ? KY_DECISION_NOT_ME
                 : cli_has(cli, "--reject") ? KY_DECISION_REJECT
                                            : KY_DECISION_APPROVE;
    rc = server_open(cli, CLI_DOOR_APPROVER, &a.client);
    if (rc == CLI_OK)
        rc = cli_has(cli, "--list") ? show_list(&a) : decide(&a);
    if (a.fetched != NULL)
        protobuf_c_message_free_unpacked(a.fetched, NULL);
    if (a.pending != NULL)
        kyso__v1__list_pending_reply__free_unpacked(a.pending, NULL);
    client_close(&a.client);
    return rc;
}
