/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An operator's operation: stamped with the server's name, a nonce and an expiry, signed with
 * each operator's own key over exactly the bytes that travel, and run over the operators' socket; or,
 * with --propose, written to a file for the next to sign: a serialized ExecuteRequest.
 */
#include <stdlib.h>
#include <time.h>

#include "cli.h"
#include "keys.h"

#define EXPIRES_S          120
#define EXPIRES_PROPOSED_S (86400 - 600) /* the server takes a day; clocks may differ */
#define OPERATE_TIMEOUT_US 90000000u /* an RSA-4096 key takes its time */

#define EXECUTE "/kyso.v1.Operator/Execute"

static const char domain[] = "kyso.v1.operation"; /* its NUL separates it from the bytes */

struct signing {
    const char *names[CLI_OPERATORS_MAX];
    const char *keys[CLI_OPERATORS_MAX];
    size_t count;
    struct ky_buf bytes[CLI_OPERATORS_MAX]; /* of the signatures, owned */
    size_t total;                           /* of them and those that a proposal brought */
    Kyso__V1__OperatorSignature items[CLI_OPERATORS_MAX];
    Kyso__V1__OperatorSignature *list[CLI_OPERATORS_MAX];
    const struct client_handler *handler; /* borrowed: who hears of the end; NULL = wait for it */
};

static int gather(struct cli *cli, struct signing *s)
{
    size_t keys = cli_all(cli, "--operator-key", s->keys, CLI_OPERATORS_MAX);

    s->count = cli_all(cli, "--operator", s->names, CLI_OPERATORS_MAX);
    for (size_t i = 0; i < CLI_OPERATORS_MAX; i++)
        s->bytes[i] = KY_BUF_INIT(256);
    if (s->count == 0 || keys == 0)
        return cli_fail(
            cli, CLI_USAGE,
            "give --operator NAME --operator-key PEM, or set KYSO_OPERATOR and KYSO_OPERATOR_KEY",
            "an operator must sign this");
    if (s->count != keys)
        return cli_fail(cli, CLI_USAGE, "give one --operator-key after each --operator",
                        "%zu operators but %zu keys", s->count, keys);
    return CLI_OK;
}

int operator_sign(struct cli *cli, const char *path, struct ky_span message, struct ky_buf *out)
{
    EVP_PKEY *key = keys_load_private(path);
    struct ky_status st = key != NULL ? keys_sign(key, message, out) : KY_STATUS(KY_INVALID);

    EVP_PKEY_free(key);
    if (key == NULL)
        return cli_fail(cli, CLI_USAGE, "it must be a PEM private key that you may read",
                        "cannot read the key %s", path);
    if (!ky_ok(st))
        return cli_fail(cli, CLI_USAGE, "make one with: kyso operator keygen FILE",
                        "%s is neither a P-256 nor an Ed25519 key", path);
    return CLI_OK;
}

/* Fills in server id, nonce and expiry; the nonce's memory is the caller's. */
static int stamp(struct cli *cli, Kyso__V1__Operation *op, uint8_t nonce[16])
{
    const char *id = cli_get(cli, "--server-id");
    int rc;

    if (id == NULL) {
        rc = server_config(cli);
        if (rc != CLI_OK)
            return rc;
        id = cli->config->server_id;
    }
    if (!ky_ok(ky_random(nonce, 16)))
        return cli_fail(cli, CLI_FAILED, NULL, "no random numbers");
    op->server_id = (char *)(uintptr_t)id;
    op->nonce = (ProtobufCBinaryData){.len = 16, .data = nonce};
    op->expires =
        (int64_t)time(NULL) + (cli_get(cli, "--propose") != NULL ? EXPIRES_PROPOSED_S : EXPIRES_S);
    return CLI_OK;
}

/* Signs with the keys that were named; the lists' memory is s's. */
static int sign_all(struct cli *cli, struct signing *s, Kyso__V1__ExecuteRequest *request)
{
    struct ky_buf message = KY_BUF_INIT(CLI_OPERATION_MAX + sizeof domain);
    int rc = CLI_OK;

    ky_buf_put(&message, domain, sizeof domain);
    ky_buf_put(&message, request->operation.data, request->operation.len);
    if (message.failed || request->n_signatures + s->count > CLI_OPERATORS_MAX)
        rc = cli_fail(cli, CLI_FAILED, NULL, "the operation is too large, or too many signed it");
    for (size_t i = 0; i < request->n_signatures && rc == CLI_OK; i++)
        s->list[s->total++] = request->signatures[i];
    for (size_t i = 0; i < s->count && rc == CLI_OK; i++) {
        rc = operator_sign(cli, s->keys[i], ky_buf_span(&message), &s->bytes[i]);
        kyso__v1__operator_signature__init(&s->items[i]);
        s->items[i].operator_id = (char *)(uintptr_t)s->names[i];
        s->items[i].signature =
            (ProtobufCBinaryData){.len = s->bytes[i].len, .data = s->bytes[i].data};
        s->list[s->total++] = &s->items[i];
    }
    ky_buf_free(&message);
    return rc;
}

/* --propose: nobody is asked. The file names a person, so it is for its owner only. */
static int propose(struct cli *cli, const char *path, const Kyso__V1__ExecuteRequest *request)
{
    struct ky_buf file = KY_BUF_INIT(CLI_OPERATION_MAX + 4096);
    uint8_t *p = ky_buf_grow(&file, kyso__v1__execute_request__get_packed_size(request));
    struct ky_status st = KY_STATUS(KY_NOMEM);

    if (p != NULL) {
        (void)kyso__v1__execute_request__pack(request, p);
        st = file_write(path, ky_buf_span(&file), 0600);
    }
    ky_buf_free(&file);
    if (!ky_ok(st))
        return cli_fail(cli, CLI_FAILED, "check the folder and its rights", "cannot write %s", path);
    output_object(cli, json_pack("{s:s,s:s,s:i}", "message",
                                 "Nothing is done yet: somebody else runs kyso operation show and "
                                 "approve on this file.",
                                 "proposal", path, "signatures", (int)request->n_signatures));
    return CLI_PROPOSED;
}

Kyso__V1__OperationResult *operator_result(const Kyso__V1__ExecuteReply *reply)
{
    return kyso__v1__operation_result__unpack(NULL, reply->result.len, reply->result.data);
}

static int execute(struct cli *cli, const Kyso__V1__ExecuteRequest *request,
                   const struct client_handler *handler, Kyso__V1__OperationResult **out_result)
{
    ProtobufCMessage *reply = NULL;
    int rc = CLI_OK;

    if (cli->operator_client == NULL)
        rc = server_open_operator(cli, &cli->operator_client);
    if (rc == CLI_OK && handler != NULL)
        return ky_ok(client_unary_start(cli->operator_client, EXECUTE, &request->base,
                                        OPERATE_TIMEOUT_US, handler))
                   ? CLI_OK
                   : cli_fail(cli, CLI_UNREACHABLE, "see: kyso status", "the connection is gone");
    if (rc == CLI_OK)
        rc = server_call(cli, cli->operator_client, EXECUTE, &request->base, OPERATE_TIMEOUT_US,
                         &kyso__v1__execute_reply__descriptor, &reply);
    if (rc != CLI_OK)
        return rc;
    *out_result = operator_result((const Kyso__V1__ExecuteReply *)reply);
    protobuf_c_message_free_unpacked(reply, NULL);
    if (*out_result == NULL)
        return cli_fail(cli, CLI_FAILED, "are kyso and kysod of the same version?",
                        "the server's result cannot be read");
    return CLI_OK;
}

/* With the signatures that it has and this operator's: run, or written. */
static int sign_and_run(struct cli *cli, Kyso__V1__ExecuteRequest *request, struct signing *s,
                        Kyso__V1__OperationResult **out_result)
{
    const char *path = cli_get(cli, "--propose");
    Kyso__V1__ExecuteRequest signed_by_all = *request;
    int rc = sign_all(cli, s, request);

    signed_by_all.n_signatures = s->total;
    signed_by_all.signatures = s->list;
    if (rc == CLI_OK)
        rc = path != NULL ? propose(cli, path, &signed_by_all)
                          : execute(cli, &signed_by_all, s->handler, out_result);
    for (size_t i = 0; i < CLI_OPERATORS_MAX; i++)
        ky_buf_free(&s->bytes[i]);
    return rc;
}

static int call(struct cli *cli, Kyso__V1__Operation *op, const struct client_handler *handler,
                Kyso__V1__OperationResult **out_result)
{
    Kyso__V1__ExecuteRequest request = KYSO__V1__EXECUTE_REQUEST__INIT;
    struct signing s = {.count = 0, .handler = handler};
    struct ky_buf packed = KY_BUF_INIT(CLI_OPERATION_MAX);
    uint8_t nonce[16];
    uint8_t *p;
    int rc = gather(cli, &s);

    if (rc == CLI_OK)
        rc = stamp(cli, op, nonce);
    if (rc != CLI_OK)
        goto done;
    p = ky_buf_grow(&packed, kyso__v1__operation__get_packed_size(op));
    if (p == NULL) {
        rc = cli_fail(cli, CLI_FAILED, NULL, "the operation is too large");
        goto done;
    }
    (void)kyso__v1__operation__pack(op, p);
    request.operation = (ProtobufCBinaryData){.len = packed.len, .data = packed.data};
    rc = sign_and_run(cli, &request, &s, out_result);
done:
    ky_buf_free(&packed);
    return rc;
}

int operator_call(struct cli *cli, Kyso__V1__Operation *op, Kyso__V1__OperationResult **out_result)
{
    return call(cli, op, NULL, out_result);
}

int operator_start(struct cli *cli, Kyso__V1__Operation *op, const struct client_handler *handler)
{
    return call(cli, op, handler, NULL);
}

static bool put(json_t *o, const char *key, const char *text)
{
    return text == NULL || text[0] == '\0' || json_object_set_new(o, key, json_string(text)) == 0;
}

void operator_print(struct cli *cli, const Kyso__V1__OperationResult *r)
{
    json_t *o;

    if (r->n_credentials == 1)
        o = show_credential(r->credentials[0], cli->json);
    else if (r->n_clients == 1)
        o = show_client(r->clients[0]);
    else if (r->n_authenticators == 1)
        o = show_authenticator(r->authenticators[0]);
    else
        o = json_object();
    (void)put(o, "message", r->message);
    (void)put(o, "subject", r->subject_id);
    (void)put(o, "name", r->subject_name);
    (void)put(o, "state", r->subject_state);
    (void)put(o, "confirmation_code", r->confirmation_code);
    (void)put(o, "enrolment_link", r->enrolment_link);
    output_object(cli, o);
}

int operator_run(struct cli *cli, Kyso__V1__Operation *op)
{
    Kyso__V1__OperationResult *r = NULL;
    int rc = operator_call(cli, op, &r);

    if (rc == CLI_OK)
        operator_print(cli, r);
    if (r != NULL)
        kyso__v1__operation_result__free_unpacked(r, NULL);
    return rc;
}

int operator_approve(struct cli *cli, Kyso__V1__ExecuteRequest *proposal)
{
    struct signing s = {.count = 0};
    Kyso__V1__OperationResult *r = NULL;
    int rc = gather(cli, &s);

    if (rc == CLI_OK)
        rc = sign_and_run(cli, proposal, &s, &r);
    if (rc == CLI_OK)
        operator_print(cli, r);
    if (r != NULL)
        kyso__v1__operation_result__free_unpacked(r, NULL);
    return rc;
}
