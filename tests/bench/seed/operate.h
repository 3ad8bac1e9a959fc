/* SPDX-License-Identifier: Apache-2.0 */
/* Signed operations over the operators' socket, many in flight. */
#ifndef BENCH_OPERATE_H
#define BENCH_OPERATE_H

#include <openssl/evp.h>

#include "client.h"
#include "kyso/v1/operator.pb-c.h"

struct operate {
    struct client *client; /* owned */
    const char *server_id; /* borrowed, like the next */
    const char *operator_id;
    EVP_PKEY *key; /* owned */
};

/* Called with the result, or NULL and why not. */
typedef void operate_done(void *arg, const Kyso__V1__OperationResult *result, const char *why);

struct operate_call { /* one in flight; kept by the caller until done was called */
    operate_done *done;
    void *arg;
    Kyso__V1__OperationResult *result; /* owned by the call */
};

/* Stamps, signs and sends. Errors: those of the client. */
KY_MUST_CHECK struct ky_status operate_start(struct operate *o, Kyso__V1__Operation *op,
                                             struct operate_call *call);

#endif
