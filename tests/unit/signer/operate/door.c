/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signed requests to the operators' door, and the few steps that most tests begin with.
 */
#include "door.h"

#include <stdlib.h>
#include <string.h>

#include "certificates.h"
#include "kyso/wire.h"

static void add_operator(struct door *d, const char *id, EVP_PKEY *key, bool removed)
{
    uint8_t spki[700];
    struct row_operator row = {.operator_id = ky_span_text(id), .removed = removed};

    row.public_key = KY_SPAN(spki, test_spki(key, spki));
    OK(store_row_put(d->a->store, ROW_OPERATOR, 0, &row, 0, d->a->now_us, NULL));
}

static int setup(void **state, bool demo)
{
    struct door *d = calloc(1, sizeof(*d));

    assert_non_null(d);
    d->a = core_new(demo);
    d->alice = test_key(KY_KEY_P256);
    d->bob = test_key(KY_KEY_ED25519);
    d->carol = test_key(KY_KEY_P256);
    d->stranger = test_key(KY_KEY_P256);
    add_operator(d, "alice", d->alice, false);
    add_operator(d, "bob", d->bob, false);
    add_operator(d, "carol", d->carol, true);
    core_commit(d->a);
    *state = d;
    return 0;
}

int door_setup(void **state)
{
    return setup(state, false);
}

int door_setup_demo(void **state)
{
    return setup(state, true);
}

int door_teardown(void **state)
{
    struct door *d = *state;

    core_free(d->a);
    EVP_PKEY_free(d->alice);
    EVP_PKEY_free(d->bob);
    EVP_PKEY_free(d->carol);
    EVP_PKEY_free(d->stranger);
    free(d);
    return 0;
}

Kyso__V1__Operation door_operation(struct door *d)
{
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;

    for (size_t i = 0; i < sizeof(d->nonce) && ++d->nonce[i] == 0; i++)
        ;
    op.server_id = (char *)(uintptr_t)CORE_SERVER_ID;
    op.nonce.data = d->nonce;
    op.nonce.len = sizeof(d->nonce);
    op.expires = (int64_t)authority_now_s(d->a) + 100;
    return op;
}

void door_sign(struct ky_buf *signatures, const char *id, EVP_PKEY *key, struct ky_span operation)
{
    struct ky_buf message = KY_BUF_INIT(KY_RECORD_MAX);
    uint8_t sig[128];

    ky_buf_put(&message, "kyso.v1.operation", 18); /* with its NUL */
    ky_buf_put(&message, operation.data, operation.len);
    assert_false(message.failed);
    size_t n = test_sign_message(key, ky_buf_span(&message), sig);
    ky_put_bytes(signatures, ky_span_text(id));
    ky_put_bytes(signatures, KY_SPAN(sig, n));
    ky_buf_free(&message);
}

void door_send_raw(struct door *d, struct ky_span operation, struct ky_span signatures)
{
    struct door_operate m = {.uid = 1000, .operation = operation, .signatures = signatures};
    struct request r = {.door = KY_DOOR_OPERATOR, .tag = 7, .type = DOOR_OPERATE};
    struct ky_buf payload = KY_BUF_INIT(KY_RECORD_MAX);

    core_clear(d->a);
    OK(ky_msg_encode(&door_operate_schema, &m, &payload));
    operate_request(d->a, &r, ky_buf_span(&payload));
    core_commit(d->a);
    ky_buf_free(&payload);
}

static void send_signed(struct door *d, const Kyso__V1__Operation *op, bool both)
{
    struct ky_buf signatures = KY_BUF_INIT(4096);
    size_t n = kyso__v1__operation__get_packed_size(op);
    uint8_t *bytes = malloc(n);

    assert_non_null(bytes);
    assert_int_equal(kyso__v1__operation__pack(op, bytes), n);
    door_sign(&signatures, "alice", d->alice, KY_SPAN(bytes, n));
    if (both)
        door_sign(&signatures, "bob", d->bob, KY_SPAN(bytes, n));
    door_send_raw(d, KY_SPAN(bytes, n), ky_buf_span(&signatures));
    ky_buf_free(&signatures);
    free(bytes);
}

void door_send(struct door *d, const Kyso__V1__Operation *op)
{
    send_signed(d, op, false);
}

void door_send_both(struct door *d, const Kyso__V1__Operation *op)
{
    send_signed(d, op, true);
}

void door_expect_refused(struct door *d, enum ky_code code)
{
    assert_null(d->a->result);
    assert_false(d->a->has_job);
    assert_int_equal(d->a->refused, code);
    assert_true(d->a->denials > 0);
    assert_int_equal(d->a->denied.reason, code);
    assert_int_equal(d->a->denied.request_type, DOOR_OPERATE);
    d->a->denials = 0;
}

Kyso__V1__OperationResult *door_expect_result(struct door *d)
{
    assert_int_equal(d->a->refused, KY_OK);
    assert_non_null(d->a->result);
    return d->a->result;
}

void door_add_subject(struct door *d, const char *id)
{
    DOOR_OP(d, ADD_SUBJECT, add_subject, AddSubject, KYSO__V1__ADD_SUBJECT__INIT,
            message_.subject_id = (char *)(uintptr_t)id,
            message_.name = (char *)(uintptr_t) "Nguyen Van A");
    door_send(d, &op_);
    (void)door_expect_result(d);
}

void door_create_credential(struct door *d, const char *subject, Kyso__V1__KeyType type,
                            Kyso__V1__KeyStorage storage, char out_id[40])
{
    char *parties[] = {(char *)(uintptr_t) "*"};

    DOOR_OP(d, CREATE_CREDENTIAL, create_credential, CreateCredential,
            KYSO__V1__CREATE_CREDENTIAL__INIT, message_.subject_id = (char *)(uintptr_t)subject,
            message_.key_type = type, message_.storage = storage,
            message_.relying_parties = parties, message_.n_relying_parties = 1);
    door_send(d, &op_);
    assert_true(d->a->has_job);
    assert_null(d->a->result);
    core_vault(d->a);
    core_commit(d->a);
    const Kyso__V1__OperationResult *r = door_expect_result(d);
    assert_int_equal(r->n_credentials, 1);
    (void)snprintf(out_id, 40, "%s", r->credentials[0]->credential_id);
}

void door_row(struct door *d, const char *credential_id, struct row_credential *out)
{
    uint32_t row = authority_id_row('c', ky_span_text(credential_id));

    assert_true(row != 0);
    OK(store_row_get(d->a->store, ROW_CREDENTIAL, row, out));
}

void door_import(struct door *d, const char *credential_id)
{
    struct row_credential row;
    uint8_t der[4096];

    door_row(d, credential_id, &row);
    const uint8_t *p = row.public_key.data;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)row.public_key.len);
    /* The turn's clock stands in 2026; the certificate's in the present: it holds for either. */
    struct test_certificate t = {.subject = "Nguyen Van A",
                                 .issuer = "Kyso Test CA",
                                 .key = key,
                                 .issuer_key = d->stranger,
                                 .to_s = 86400L * 365 * 20};
    size_t n = test_certificate(&t, der);
    DOOR_OP(d, IMPORT_CERTIFICATE, import_certificate, ImportCertificate,
            KYSO__V1__IMPORT_CERTIFICATE__INIT,
            message_.credential_id = (char *)(uintptr_t)credential_id,
            message_.certificate.data = der, message_.certificate.len = n);
    door_send(d, &op_);
    (void)door_expect_result(d);
    EVP_PKEY_free(key);
}
