/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operators' door: an operation passes through as the bytes that were signed, unparsed;
 * the authority verifies before it parses.
 */
#include "kyso/tx.h"
#include "kyso/v1/operator.pb-c.h"
#include "kyso/wire.h"
#include "method.h"

#define SIGNATURES_MAX 8u
#define SIGNATURE_MAX  512u

static struct ky_status signature_in(struct convert *c, const Kyso__V1__OperatorSignature *m)
{
    struct ky_span name;
    struct ky_status st = convert_name(
        c, m->operator_id, "signatures.operator_id: a name of 1 to 64 characters is needed", &name);
    if (!ky_ok(st))
        return st;
    if (m->signature.len == 0 || m->signature.len > SIGNATURE_MAX)
        return convert_refuse(c, "signatures.signature: 1 to 512 bytes are needed");
    ky_put_bytes(c->scratch, name);
    ky_put_bytes(c->scratch, convert_bytes(&m->signature));
    return KY_STATUS(KY_OK);
}

CONVERT_IN(operator_execute_in)
{
    const Kyso__V1__ExecuteRequest *m = (const void *)in;
    struct door_operate *r = &out->operate;
    struct ky_status st;

    if (m->operation.len == 0)
        return convert_refuse(c, "operation: is needed");
    if (m->n_signatures > SIGNATURES_MAX)
        return convert_refuse(c, "signatures: at most 8");
    for (size_t i = 0; i < m->n_signatures; i++)
        if (!ky_ok(st = signature_in(c, m->signatures[i])))
            return st;
    if (c->scratch->failed)
        return KY_STATUS(KY_NOMEM);
    r->uid = c->uid;
    r->operation = convert_bytes(&m->operation);
    r->signatures = ky_buf_span(c->scratch);
    return KY_STATUS(KY_OK);
}

CONVERT_OUT(operator_execute_out)
{
    Kyso__V1__ExecuteReply *m = convert_message(c, &kyso__v1__execute_reply__descriptor);
    if (!m)
        return KY_STATUS(KY_NOMEM);
    m->result = convert_binary(in->operate.result);
    *out = &m->base;
    return KY_STATUS(KY_OK);
}
