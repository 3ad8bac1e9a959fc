/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A credential's life at the operators' door: made by a vault, asked a certificate for (intent and
 * receipt), given one, suspended, resumed, destroyed; and what may not happen in between.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/x509.h>

#include "certificates.h"
#include "door.h"

#define TEXT(s)  ((char *)(uintptr_t)(s))
#define ANY      KYSO__V1__KEY_STORAGE__KEY_STORAGE_UNSPECIFIED
#define WRAPPED  KYSO__V1__KEY_STORAGE__KEY_STORAGE_WRAPPED
#define RESIDENT KYSO__V1__KEY_STORAGE__KEY_STORAGE_RESIDENT
#define STATE(s) KYSO__V1__CREDENTIAL_STATE__CREDENTIAL_STATE_##s

static void create(struct door *d, const char *subject, Kyso__V1__KeyType type,
                   Kyso__V1__KeyStorage storage, size_t parties)
{
    char *names[] = {TEXT("bank.example"), TEXT("*")};

    DOOR_OP(d, CREATE_CREDENTIAL, create_credential, CreateCredential,
            KYSO__V1__CREATE_CREDENTIAL__INIT, message_.subject_id = TEXT(subject),
            message_.key_type = type, message_.storage = storage, message_.relying_parties = names,
            message_.n_relying_parties = parties);
    door_send(d, &op_);
}

static void keys_are_kept_where_the_token_can(void **state)
{
    struct door *d = *state;
    struct row_credential row;
    char id[40];

    door_add_subject(d, "a");
    door_create_credential(d, "a", KYSO__V1__KEY_TYPE__KEY_TYPE_P256, ANY, id);
    door_row(d, id, &row);
    assert_int_equal(row.storage, KY_STORE_WRAPPED);
    assert_int_equal(row.state, STATE(CREATED));
    assert_int_equal(row.epoch, 1);
    assert_true(row.blob.len > 0 && row.public_key.len > 0);
    door_create_credential(d, "a", KYSO__V1__KEY_TYPE__KEY_TYPE_ED25519, ANY, id);
    door_row(d, id, &row);
    assert_int_equal(row.storage, KY_STORE_RESIDENT); /* the token cannot wrap it */
    door_create_credential(d, "a", KYSO__V1__KEY_TYPE__KEY_TYPE_P256, RESIDENT, id);
    door_row(d, id, &row);
    assert_int_equal(row.storage, KY_STORE_RESIDENT);
    create(d, "a", KYSO__V1__KEY_TYPE__KEY_TYPE_ED25519, WRAPPED, 1);
    door_expect_refused(d, KY_UNIMPLEMENTED);
    create(d, "a", KYSO__V1__KEY_TYPE__KEY_TYPE_RSA_4096, ANY, 1); /* not among the token's */
    door_expect_refused(d, KY_UNIMPLEMENTED);
    create(d, "a", KYSO__V1__KEY_TYPE__KEY_TYPE_UNSPECIFIED, ANY, 1);
    door_expect_refused(d, KY_INVALID);
    create(d, "a", KYSO__V1__KEY_TYPE__KEY_TYPE_P256, ANY, 0);
    door_expect_refused(d, KY_INVALID);
    create(d, "b", KYSO__V1__KEY_TYPE__KEY_TYPE_P256, ANY, 1);
    door_expect_refused(d, KY_NOT_FOUND);
    Kyso__V1__ListAllCredentials list = KYSO__V1__LIST_ALL_CREDENTIALS__INIT;
    Kyso__V1__Operation op = door_operation(d);
    op.op_case = KYSO__V1__OPERATION__OP_LIST_CREDENTIALS;
    op.list_credentials = &list;
    list.subject_id = TEXT("a");
    door_send(d, &op);
    assert_int_equal(door_expect_result(d)->n_credentials, 3);
}

static void a_vault_that_fails_leaves_no_credential(void **state)
{
    struct door *d = *state;

    door_add_subject(d, "a");
    create(d, "a", KYSO__V1__KEY_TYPE__KEY_TYPE_P256, ANY, 2);
    assert_true(d->a->has_job);
    core_vault_fails(d->a, KY_DEADLINE);
    core_commit(d->a);
    door_expect_refused(d, KY_DEADLINE);
    d->a->queue_full = true;
    create(d, "a", KYSO__V1__KEY_TYPE__KEY_TYPE_P256, ANY, 2);
    door_expect_refused(d, KY_BUSY);
    assert_int_equal(store_row_count(d->a->store, ROW_CREDENTIAL), 0);
}

/* A key that was made in advance becomes a credential's at once; a type that the pool has not goes to a vault. */
static void a_key_from_the_pool_needs_no_vault(void **state)
{
    struct door *d = *state;
    struct row_credential row;

    door_add_subject(d, "a");
    d->a->pool_key_type = KY_KEY_RSA2048;
    d->a->pool_key = (struct pool_key){
        .blob_len = 3, .blob = {1, 2, 3}, .public_key_len = 4, .public_key = {5, 6, 7, 8}};
    create(d, "a", KYSO__V1__KEY_TYPE__KEY_TYPE_RSA_2048, RESIDENT, 1);
    assert_true(d->a->has_job); /* the pool's are wrapped */
    core_vault_fails(d->a, KY_UNAVAILABLE);
    core_commit(d->a);
    create(d, "a", KYSO__V1__KEY_TYPE__KEY_TYPE_RSA_2048, ANY, 2);
    assert_false(d->a->has_job);
    const Kyso__V1__OperationResult *r = door_expect_result(d);
    door_row(d, r->credentials[0]->credential_id, &row);
    assert_int_equal(row.blob.len, 3);
    assert_int_equal(row.public_key.len, 4);
    assert_int_equal(row.key_type, KY_KEY_RSA2048);
    assert_true(row.relying_parties.len > 0);
    create(d, "a", KYSO__V1__KEY_TYPE__KEY_TYPE_RSA_2048, ANY, 1); /* it was the only one */
    assert_true(d->a->has_job);
}

static void make_csr(struct door *d, const char *id, const char *dn)
{
    DOOR_OP(d, MAKE_CSR, make_csr, MakeCsr, KYSO__V1__MAKE_CSR__INIT,
            message_.credential_id = TEXT(id), message_.subject_dn = TEXT(dn));
    door_send(d, &op_);
}

static void check_csr(struct door *d, Kyso__V1__KeyType type, uint16_t sig_len)
{
    struct row_credential row;
    char id[40];
    uint8_t spki_sha256[32];
    unsigned before = d->a->receipts;

    door_create_credential(d, "a", type, ANY, id);
    make_csr(d, id, "CN=Nguyen Van A,C=VN");
    assert_int_equal(d->a->intents, before + 1);
    assert_int_equal(d->a->receipts, before);
    assert_int_equal(d->a->intent.kind, 2);
    door_row(d, id, &row);
    ky_sha256(row.public_key, spki_sha256);
    assert_memory_equal(d->a->intent.key_spki_sha256, spki_sha256, 32);
    core_vault(d->a);
    core_commit(d->a);
    const Kyso__V1__OperationResult *r = door_expect_result(d);
    const uint8_t *p = r->csr.data;
    X509_REQ *req = d2i_X509_REQ(NULL, &p, (long)r->csr.len);
    assert_non_null(req);
    assert_int_equal(X509_REQ_verify(req, d->a->vault_keys[d->a->vault_key_count - 1]), 1);
    X509_REQ_free(req);
    assert_int_equal(d->a->receipts, before + 1);
    assert_int_equal(d->a->receipt.outcome, LEDGER_SIGNED);
    assert_true(d->a->receipt.intent > 0);
    assert_int_equal(d->a->receipt.sig_len, sig_len);
}

static void a_csr_has_an_intent_and_a_receipt(void **state)
{
    struct door *d = *state;

    door_add_subject(d, "a");
    check_csr(d, KYSO__V1__KEY_TYPE__KEY_TYPE_P256, 64);
    check_csr(d, KYSO__V1__KEY_TYPE__KEY_TYPE_P384, 96);
    check_csr(d, KYSO__V1__KEY_TYPE__KEY_TYPE_RSA_2048, 256);
    check_csr(d, KYSO__V1__KEY_TYPE__KEY_TYPE_ED25519, 64);
}

static void csrs_that_are_not_released(void **state)
{
    struct door *d = *state;
    char id[40];

    door_add_subject(d, "a");
    door_create_credential(d, "a", KYSO__V1__KEY_TYPE__KEY_TYPE_P256, ANY, id);
    make_csr(d, id, "Nguyen Van A");
    door_expect_refused(d, KY_INVALID);
    assert_int_equal(d->a->intents, 0); /* nothing was promised yet */
    d->a->queue_full = true;
    make_csr(d, id, "CN=a");
    door_expect_refused(d, KY_BUSY);
    d->a->queue_full = false;
    assert_int_equal(d->a->intents, 1);
    assert_int_equal(d->a->receipts, 1); /* I4 */
    assert_int_equal(d->a->receipt.outcome, LEDGER_FAILED);
    make_csr(d, id, "CN=a");
    d->a->vault_lies = true;
    core_vault(d->a);
    core_commit(d->a);
    door_expect_refused(d, KY_TOKEN_WRONG_SIGNATURE);
    assert_int_equal(d->a->receipts, 2);
    assert_int_equal(d->a->receipt.code, KY_TOKEN_WRONG_SIGNATURE);
    assert_int_equal(d->a->receipt.sig_len, 0);
    d->a->vault_lies = false;
    make_csr(d, id, "CN=a");
    core_vault_fails(d->a, KY_UNAVAILABLE);
    core_commit(d->a);
    door_expect_refused(d, KY_UNAVAILABLE);
    assert_int_equal(d->a->receipts, 3);
}

static void set_state(struct door *d, const char *id, Kyso__V1__CredentialState to)
{
    DOOR_OP(d, SET_CREDENTIAL_STATE, set_credential_state, SetCredentialState,
            KYSO__V1__SET_CREDENTIAL_STATE__INIT, message_.credential_id = TEXT(id),
            message_.state = to);
    door_send(d, &op_);
}

/* P21: destroyed while a vault was signing. */
static void a_csr_of_a_changed_credential_is_withheld(void **state)
{
    struct door *d = *state;
    char id[40];

    door_add_subject(d, "a");
    door_create_credential(d, "a", KYSO__V1__KEY_TYPE__KEY_TYPE_P256, ANY, id);
    make_csr(d, id, "CN=a");
    struct job waiting = d->a->job;
    set_state(d, id, STATE(DESTROYED));
    (void)door_expect_result(d);
    core_clear(d->a);
    d->a->job = waiting;
    core_vault(d->a);
    core_commit(d->a);
    door_expect_refused(d, KY_INACTIVE);
    assert_int_equal(d->a->receipt.outcome, LEDGER_FAILED);
    assert_int_equal(d->a->receipt.sig_len, 0);
}

/* --- import ---------------------------------------------------------------------------------- */

static void import_bytes(struct door *d, const char *id, struct ky_span der, struct ky_span issuer)
{
    ProtobufCBinaryData chain[1] = {{issuer.len, (uint8_t *)(uintptr_t)issuer.data}};

    DOOR_OP(d, IMPORT_CERTIFICATE, import_certificate, ImportCertificate,
            KYSO__V1__IMPORT_CERTIFICATE__INIT, message_.credential_id = TEXT(id),
            message_.certificate.data = (uint8_t *)(uintptr_t)der.data,
            message_.certificate.len = der.len, message_.chain = chain,
            message_.n_chain = issuer.len > 0);
    door_send(d, &op_);
}

static void certificates_that_do_not_belong(void **state)
{
    struct door *d = *state;
    struct row_credential row;
    uint8_t der[4096], ca[4096], long_der[4100];
    char id[40];
    struct ky_span none = KY_SPAN(NULL, 0);

    door_add_subject(d, "a");
    door_create_credential(d, "a", KYSO__V1__KEY_TYPE__KEY_TYPE_P256, ANY, id);
    struct test_certificate t = {.subject = "A",
                                 .issuer = "CA",
                                 .key = d->stranger,
                                 .issuer_key = d->alice,
                                 .to_s = 86400L * 7300};
    import_bytes(d, id, KY_SPAN(der, test_certificate(&t, der)), none);
    door_expect_refused(d, KY_INVALID); /* another key */
    t.key = d->a->vault_keys[0];
    size_t n = test_certificate(&t, der);
    memcpy(long_der, der, n);
    long_der[n] = 0;
    import_bytes(d, id, KY_SPAN(long_der, n + 1), none);
    door_expect_refused(d, KY_INVALID);
    struct test_certificate c = {.subject = "Another CA",
                                 .issuer = "Another CA",
                                 .key = d->alice,
                                 .issuer_key = d->alice,
                                 .to_s = 86400L * 7300,
                                 .is_ca = true};
    import_bytes(d, id, KY_SPAN(der, n), KY_SPAN(ca, test_certificate(&c, ca)));
    door_expect_refused(d, KY_INVALID); /* its name does not link */
    door_row(d, id, &row);
    assert_int_equal(row.state, STATE(CREATED));
    c.subject = "CA";
    c.issuer = "CA";
    import_bytes(d, id, KY_SPAN(der, n), KY_SPAN(ca, test_certificate(&c, ca)));
    const Kyso__V1__OperationResult *r = door_expect_result(d);
    assert_int_equal(r->credentials[0]->state, STATE(ACTIVE));
    assert_int_equal(r->credentials[0]->n_chain, 1);
    door_row(d, id, &row);
    assert_int_equal(row.state, STATE(ACTIVE));
    assert_int_equal(row.epoch, 2);
    assert_true(ky_span_eq(row.certificate, KY_SPAN(der, n)));
    assert_true(row.not_after_s > row.not_before_s);
    import_bytes(d, id, KY_SPAN(der, n), none);
    door_expect_refused(d, KY_INACTIVE); /* once */
    make_csr(d, id, "CN=a");
    door_expect_refused(d, KY_INACTIVE); /* I1: only while it is being created */
    d->a->now_us += UINT64_C(86400) * 365 * 100 * 1000000;
    Kyso__V1__ShowCredential show = KYSO__V1__SHOW_CREDENTIAL__INIT;
    Kyso__V1__Operation op = door_operation(d);
    op.op_case = KYSO__V1__OPERATION__OP_SHOW_CREDENTIAL;
    op.show_credential = &show;
    show.credential_id = id;
    door_send(d, &op);
    assert_int_equal(door_expect_result(d)->credentials[0]->state, STATE(EXPIRED));
}

/* --- states ---------------------------------------------------------------------------------- */

static void every_change_raises_the_epoch(void **state)
{
    struct door *d = *state;
    struct row_credential row;
    char id[40];

    door_add_subject(d, "a");
    door_create_credential(d, "a", KYSO__V1__KEY_TYPE__KEY_TYPE_P256, WRAPPED, id);
    set_state(d, id, STATE(SUSPENDED));
    door_expect_refused(d, KY_INACTIVE); /* not yet active */
    door_import(d, id);
    unsigned forgotten = d->a->forgotten;
    set_state(d, id, STATE(SUSPENDED));
    assert_int_equal(door_expect_result(d)->credentials[0]->state, STATE(SUSPENDED));
    set_state(d, id, STATE(SUSPENDED));
    door_expect_refused(d, KY_INACTIVE);
    set_state(d, id, STATE(ACTIVE));
    (void)door_expect_result(d);
    set_state(d, id, STATE(CREATED));
    door_expect_refused(d, KY_INACTIVE);
    set_state(d, id, STATE(EXPIRED));
    door_expect_refused(d, KY_INACTIVE);
    set_state(d, id, STATE(DESTROYED));
    (void)door_expect_result(d);
    door_row(d, id, &row);
    assert_int_equal(row.state, STATE(DESTROYED));
    assert_int_equal(row.epoch, 5);
    assert_int_equal(row.blob.len, 0);
    assert_int_equal(d->a->forgotten - forgotten, 3);
    assert_false(d->a->has_job);
    set_state(d, id, STATE(ACTIVE));
    door_expect_refused(d, KY_INACTIVE);
    set_state(d, id, STATE(DESTROYED));
    door_expect_refused(d, KY_INACTIVE);
    set_state(d, "c00000001-0000000000000000", STATE(DESTROYED)); /* the right row, other digits */
    door_expect_refused(d, KY_NOT_FOUND);
    set_state(d, "c0000ffff-0000000000000000", STATE(DESTROYED));
    door_expect_refused(d, KY_NOT_FOUND);
}

static void a_resident_key_is_removed_from_the_token(void **state)
{
    struct door *d = *state;
    struct row_credential row;
    char id[40];

    door_add_subject(d, "a");
    door_create_credential(d, "a", KYSO__V1__KEY_TYPE__KEY_TYPE_ED25519, RESIDENT, id);
    set_state(d, id, STATE(DESTROYED));
    assert_true(d->a->has_job);
    door_row(d, id, &row);
    assert_int_equal(row.state, STATE(DESTROYED)); /* before the object goes */
    core_vault_fails(d->a, KY_UNAVAILABLE);
    core_commit(d->a);
    door_expect_refused(d, KY_UNAVAILABLE);
    set_state(d, id, STATE(DESTROYED)); /* so it can be tried again */
    assert_true(d->a->has_job);
    core_vault(d->a);
    core_commit(d->a);
    (void)door_expect_result(d);
    assert_int_equal(d->a->vault_destroyed, 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, door_setup, door_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_key_from_the_pool_needs_no_vault, door_setup,
                                        door_teardown),
        TEST(keys_are_kept_where_the_token_can),
        TEST(a_vault_that_fails_leaves_no_credential),
        TEST(a_csr_has_an_intent_and_a_receipt),
        TEST(csrs_that_are_not_released),
        TEST(a_csr_of_a_changed_credential_is_withheld),
        TEST(certificates_that_do_not_belong),
        TEST(every_change_raises_the_epoch),
        TEST(a_resident_key_is_removed_from_the_token),
    };

    return cmocka_run_group_tests_name("operate credential", tests, NULL, NULL);
}
