/* SPDX-License-Identifier: Apache-2.0 */
/* The operation's bytes are what is signed; the reply's bytes are a result of their own. */
#include "operate.h"

#include <time.h>

#include "keys.h"
#include "kyso/secret.h"

#define OPERATION_MAX (64u * 1024u)
#define EXPIRES_S     250
#define CALL_US       60000000u

static const char domain[] = "kyso.v1.operation"; /* with its NUL */

static void on_message(void *arg, struct client_call *call, struct ky_span message)
{
    struct operate_call *c = arg;
    Kyso__V1__ExecuteReply *reply =
        kyso__v1__execute_reply__unpack(NULL, message.len, message.data);

    (void)call;
    if (reply == NULL)
        return;
    if (c->result == NULL)
        c->result = kyso__v1__operation_result__unpack(NULL, reply->result.len, reply->result.data);
    kyso__v1__execute_reply__free_unpacked(reply, NULL);
}

static void on_end(void *arg, struct client_call *call, const struct client_outcome *outcome)
{
    struct operate_call *c = arg;
    Kyso__V1__OperationResult *result = c->result;

    (void)call;
    c->result = NULL;
    if (outcome->grpc_status == 0 && result != NULL)
        c->done(c->arg, result, NULL);
    else
        c->done(c->arg, NULL,
                outcome->text[0] != '\0' ? outcome->text : ky_code_info(outcome->code)->name);
    if (result != NULL)
        kyso__v1__operation_result__free_unpacked(result, NULL);
}

struct ky_status operate_start(struct operate *o, Kyso__V1__Operation *op,
                               struct operate_call *call)
{
    Kyso__V1__ExecuteRequest request = KYSO__V1__EXECUTE_REQUEST__INIT;
    Kyso__V1__OperatorSignature signature = KYSO__V1__OPERATOR_SIGNATURE__INIT;
    Kyso__V1__OperatorSignature *signatures[] = {&signature};
    struct client_handler h = {.on_message = on_message, .on_end = on_end, .arg = call};
    struct ky_buf message = KY_BUF_INIT(OPERATION_MAX);
    struct ky_buf made = KY_BUF_INIT(256);
    uint8_t nonce[16];
    uint8_t *p = NULL;
    size_t n = 0;
    struct ky_status st = ky_random(nonce, sizeof nonce);

    op->server_id = (char *)(uintptr_t)o->server_id;
    op->nonce = (ProtobufCBinaryData){.len = sizeof nonce, .data = nonce};
    op->expires = (int64_t)time(NULL) + EXPIRES_S;
    n = kyso__v1__operation__get_packed_size(op);
    ky_buf_put(&message, domain, sizeof domain);
    p = ky_buf_grow(&message, n);
    if (!ky_ok(st) || p == NULL)
        goto done;
    (void)kyso__v1__operation__pack(op, p);
    st = keys_sign(o->key, ky_buf_span(&message), &made);
    if (!ky_ok(st))
        goto done;
    signature.operator_id = (char *)(uintptr_t)o->operator_id;
    signature.signature = (ProtobufCBinaryData){.len = made.len, .data = made.data};
    request.operation = (ProtobufCBinaryData){.len = n, .data = message.data + sizeof domain};
    request.n_signatures = 1;
    request.signatures = signatures;
    st = client_unary_start(o->client, "/kyso.v1.Operator/Execute", &request.base, CALL_US, &h);
done:
    ky_buf_free(&made);
    ky_buf_free(&message);
    return st;
}
