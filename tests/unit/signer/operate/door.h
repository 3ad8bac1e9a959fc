/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operators' side of a test: three operators with keys, and requests signed by them.
 */
#ifndef KYSO_TEST_DOOR_H
#define KYSO_TEST_DOOR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core.h"

#define OK(expr) assert_int_equal((expr).code, KY_OK)

struct door {                      /* a test's state */
    struct authority *a;           /* owned */
    EVP_PKEY *alice, *bob, *carol; /* P-256, Ed25519, P-256 removed */
    EVP_PKEY *stranger;
    uint8_t nonce[16]; /* of the next operation: counted up by send() */
};

int door_setup(void **state); /* not a demo */
int door_setup_demo(void **state);
int door_teardown(void **state);

/* An operation with this server's id, a fresh nonce and an expiry in 100 s. */
Kyso__V1__Operation door_operation(struct door *d);
/* Appends one operator's signature over the operation's bytes. */
void door_sign(struct ky_buf *signatures, const char *id, EVP_PKEY *key, struct ky_span operation);
/* Sends exact bytes. */
void door_send_raw(struct door *d, struct ky_span operation, struct ky_span signatures);
/* Packs, signs with alice (and bob), sends. Leaves result, refusal or job in d->a. */
void door_send(struct door *d, const Kyso__V1__Operation *op);
void door_send_both(struct door *d, const Kyso__V1__Operation *op);
/* A refusal with this code and its ledger record. */
void door_expect_refused(struct door *d, enum ky_code code);
Kyso__V1__OperationResult *door_expect_result(struct door *d);

/* Shorthands that succeed. Ids are copied out. */
void door_add_subject(struct door *d, const char *id);
void door_create_credential(struct door *d, const char *subject, Kyso__V1__KeyType type,
                            Kyso__V1__KeyStorage storage, char out_id[40]);
void door_import(struct door *d, const char *credential_id); /* a fresh, good certificate */
void door_row(struct door *d, const char *credential_id, struct row_credential *out);

#define DOOR_OP(d, Case, field, Message, init, ...)                                                \
    Kyso__V1__##Message message_ = init;                                                           \
    Kyso__V1__Operation op_ = door_operation(d);                                                   \
    __VA_ARGS__;                                                                                   \
    op_.op_case = KYSO__V1__OPERATION__OP_##Case;                                                  \
    op_.field = &message_

#endif
