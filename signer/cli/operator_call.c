/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An operator's operation: stamped with the server's name, a nonce and an expiry, signed with
 * each operator's own key over exactly the bytes that travel, and run over the operators' socket.
 */
#include <stdlib.h>
#include <time.h>

#include "cli.h"
#include "keys.h"

#define OPERATION_MAX      (200u * 1024u)
#define EXPIRES_S          120
#define OPERATE_TIMEOUT_US 90000000u /* an RSA-4096 key takes its time */

static const char domain[] = "kyso.v1.operation"; /* its NUL separates it from the bytes */

struct signing {
    const char *names[CLI_OPERATORS_MAX];
    const char *keys[CLI_OPERATORS_MAX];
    size_t count;
    struct ky_buf signatures[CLI_OPERATORS_MAX];
};

static int gather(struct cli *cli, struct signing *s)
{
    size_t keys = cli_all(cli, "--operator-key", s->keys, CLI_OPERATORS_MAX);

    s->count = cli_all(cli, "--operator", s->names, CLI_OPERATORS_MAX);
    for (size_t i = 0; i < CLI_OPERATORS_MAX; i++)
        s->signatures[i] = KY_BUF_INIT(256);
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
    op->expires = (int64_t)time(NULL) + EXPIRES_S;
    return CLI_OK;
}

static int execute(struct cli *cli, struct signing *s, struct ky_span operation,
                   Kyso__V1__OperationResult **out_result)
{
    Kyso__V1__ExecuteRequest request = KYSO__V1__EXECUTE_REQUEST__INIT;
    Kyso__V1__OperatorSignature items[CLI_OPERATORS_MAX];
    Kyso__V1__OperatorSignature *list[CLI_OPERATORS_MAX];
    ProtobufCMessage *reply = NULL;
    Kyso__V1__ExecuteReply *executed;
    int rc = CLI_OK;

    for (size_t i = 0; i < s->count; i++) {
        kyso__v1__operator_signature__init(&items[i]);
        items[i].operator_id = (char *)(uintptr_t)s->names[i];
        items[i].signature =
            (ProtobufCBinaryData){.len = s->signatures[i].len, .data = s->signatures[i].data};
        list[i] = &items[i];
    }
    request.operation =
        (ProtobufCBinaryData){.len = operation.len, .data = (uint8_t *)(uintptr_t)operation.data};
    request.n_signatures = s->count;
    request.signatures = list;
    if (cli->operator_client == NULL)
        rc = server_open_operator(cli, &cli->operator_client);
    if (rc == CLI_OK)
        rc = server_call(cli, cli->operator_client, "/kyso.v1.Operator/Execute", &request.base,
                         OPERATE_TIMEOUT_US, &kyso__v1__execute_reply__descriptor, &reply);
    if (rc != CLI_OK)
        return rc;
    executed = (Kyso__V1__ExecuteReply *)reply;
    *out_result =
        kyso__v1__operation_result__unpack(NULL, executed->result.len, executed->result.data);
    protobuf_c_message_free_unpacked(reply, NULL);
    if (*out_result == NULL)
        return cli_fail(cli, CLI_FAILED, "are kyso and kysod of the same version?",
                        "the server's result cannot be read");
    return CLI_OK;
}

int operator_call(struct cli *cli, Kyso__V1__Operation *op, Kyso__V1__OperationResult **out_result)
{
    struct signing s = {.count = 0};
    struct ky_buf message = KY_BUF_INIT(OPERATION_MAX + sizeof domain);
    uint8_t nonce[16];
    size_t n;
    uint8_t *p;
    int rc = gather(cli, &s);

    if (rc == CLI_OK)
        rc = stamp(cli, op, nonce);
    if (rc != CLI_OK)
        goto done;
    ky_buf_put(&message, domain, sizeof domain);
    n = kyso__v1__operation__get_packed_size(op);
    p = ky_buf_grow(&message, n);
    if (p == NULL) {
        rc = cli_fail(cli, CLI_FAILED, NULL, "the operation is too large");
        goto done;
    }
    (void)kyso__v1__operation__pack(op, p);
    for (size_t i = 0; i < s.count && rc == CLI_OK; i++)
        rc = operator_sign(cli, s.keys[i], ky_buf_span(&message), &s.signatures[i]);
    if (rc == CLI_OK)
        rc = execute(cli, &s, KY_SPAN(message.data + sizeof domain, n), out_result);
done:
    for (size_t i = 0; i < CLI_OPERATORS_MAX; i++)
        ky_buf_free(&s.signatures[i]);
    ky_buf_free(&message);
    return rc;
}

static bool put(json_t *o, const char *key, const char *text)
{
    return text == NULL || text[0] == '\0' || json_object_set_new(o, key, json_string(text)) == 0;
}

int operator_run(struct cli *cli, Kyso__V1__Operation *op)
{
    Kyso__V1__OperationResult *r = NULL;
    int rc = operator_call(cli, op, &r);
    json_t *o;

    if (rc != CLI_OK)
        return rc;
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
    output_object(cli, o);
    kyso__v1__operation_result__free_unpacked(r, NULL);
    return CLI_OK;
}
