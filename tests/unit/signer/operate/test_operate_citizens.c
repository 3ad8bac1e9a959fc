/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many people in one operation: what each gets, that a row fails alone, that a repeat completes and
 * doubles nothing, what is owed when a vault fails between, and who can read a seed that leaves.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/cms.h>

#include "certificates.h"
#include "door.h"

#define TEXT(s) ((char *)(uintptr_t)(s))
#define MANY    30u /* more than one bite of CSRs */

struct reader { /* who opens envelopes */
    EVP_PKEY *key;
    X509 *certificate;
    uint8_t der[4096];
    size_t len;
};

static struct reader reader_new(struct door *d, uint8_t key_type, const char *usage)
{
    struct reader r = {.key = test_key(key_type)};
    struct test_certificate t = {.subject = "Printer",
                                 .issuer = "Kyso Test CA",
                                 .key = r.key,
                                 .issuer_key = d->stranger,
                                 .from_s = -86400L * 365 * 20,
                                 .to_s = 86400L * 365 * 20,
                                 .key_usage = usage};
    const uint8_t *p = r.der;

    r.len = test_certificate(&t, r.der);
    r.certificate = d2i_X509(NULL, &p, (long)r.len);
    assert_non_null(r.certificate);
    return r;
}

static void reader_free(struct reader *r)
{
    EVP_PKEY_free(r->key);
    X509_free(r->certificate);
}

static void open_envelope(const struct reader *r, ProtobufCBinaryData sealed, char out[700])
{
    const uint8_t *p = sealed.data;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)sealed.len);
    BIO *text = BIO_new(BIO_s_mem());

    assert_non_null(cms);
    assert_int_equal(CMS_decrypt(cms, r->key, r->certificate, NULL, text, 0), 1);
    int n = BIO_read(text, out, 699);
    assert_true(n > 0);
    out[n] = '\0';
    BIO_free(text);
    CMS_ContentInfo_free(cms);
}

struct people {
    char ids[MANY][32];
    Kyso__V1__EnrollCitizen rows[MANY];
    Kyso__V1__EnrollCitizen *list[MANY];
};

static struct people *people_new(size_t n)
{
    struct people *p = calloc(1, sizeof(*p));

    assert_non_null(p);
    for (size_t i = 0; i < n; i++) {
        kyso__v1__enroll_citizen__init(&p->rows[i]);
        (void)snprintf(p->ids[i], sizeof(p->ids[i]), "citizen-%zu", i);
        p->rows[i].subject_id = p->ids[i];
        p->rows[i].name = TEXT("Nguyen Van A");
        p->rows[i].subject_dn = TEXT("CN=Nguyen Van A,C=VN");
        p->list[i] = &p->rows[i];
    }
    return p;
}

static void enroll(struct door *d, struct people *p, size_t n, const struct reader *reader)
{
    static char any[] = "*";
    static char *parties[] = {any};

    DOOR_OP(d, ENROLL_CITIZENS, enroll_citizens, EnrollCitizens, KYSO__V1__ENROLL_CITIZENS__INIT,
            message_.citizens = p->list, message_.n_citizens = n,
            message_.relying_parties = parties, message_.n_relying_parties = 1);
    if (reader != NULL)
        message_.seal_to =
            (ProtobufCBinaryData){.len = reader->len, .data = (uint8_t *)(uintptr_t)reader->der};
    door_send(d, &op_);
}

static const Kyso__V1__OperationResult *finish(struct door *d, size_t n)
{
    while (d->a->has_job) {
        core_vault(d->a);
        core_commit(d->a);
    }
    const Kyso__V1__OperationResult *r = door_expect_result(d);
    assert_int_equal(r->n_enrolled, n);
    return r;
}

static void check_csr(const Kyso__V1__EnrolledCitizen *e)
{
    const uint8_t *p = e->csr.data;
    X509_REQ *req = d2i_X509_REQ(NULL, &p, (long)e->csr.len);

    assert_non_null(req);
    assert_int_equal(X509_REQ_verify(req, X509_REQ_get0_pubkey(req)), 1);
    X509_REQ_free(req);
}

static unsigned rows(struct door *d, enum row_table table)
{
    return store_row_count(d->a->store, table);
}

static void everybody_gets_a_key_a_request_and_a_seed(void **state)
{
    struct door *d = *state;
    struct reader reader = reader_new(d, KY_KEY_P256, "keyAgreement");
    struct people *p = people_new(MANY);
    char text[700], first[700];

    p->rows[1].key_type = KYSO__V1__KEY_TYPE__KEY_TYPE_RSA_2048;
    enroll(d, p, MANY, &reader);
    assert_int_equal(d->a->operations, 1);
    const Kyso__V1__OperationResult *r = finish(d, MANY);
    for (size_t i = 0; i < MANY; i++) {
        struct row_credential row;

        assert_string_equal(r->enrolled[i]->error, "");
        check_csr(r->enrolled[i]);
        door_row(d, r->enrolled[i]->credential_id, &row);
        assert_int_equal(row.key_type, i == 1 ? KY_KEY_RSA2048 : KY_KEY_P256);
        open_envelope(&reader, r->enrolled[i]->sealed_seed, text);
        assert_non_null(strstr(text, "otpauth://totp/Kyso:citizen-"));
        assert_non_null(strstr(text, r->enrolled[i]->authenticator_id));
        assert_string_not_equal(text, i == 0 ? "" : first);
        strcpy(first, text);
    }
    assert_int_equal(rows(d, ROW_SUBJECT), MANY);
    assert_int_equal(rows(d, ROW_CREDENTIAL), MANY);
    assert_int_equal(rows(d, ROW_AUTHENTICATOR), MANY);
    assert_int_equal(d->a->intents, MANY);
    assert_int_equal(d->a->receipts, MANY);
    assert_null(r->seed.data);
    assert_string_equal(r->confirmation_code, "");
    free(p);
    reader_free(&reader);
}

/* The code in the letter confirms that it came. */
static void the_code_in_the_envelope_confirms(void **state)
{
    struct door *d = *state;
    struct reader reader = reader_new(d, KY_KEY_RSA2048, "keyEncipherment");
    struct people *p = people_new(1);
    char text[700], id[40];

    enroll(d, p, 1, &reader);
    const Kyso__V1__OperationResult *r = finish(d, 1);
    open_envelope(&reader, r->enrolled[0]->sealed_seed, text);
    (void)snprintf(id, sizeof(id), "%s", r->enrolled[0]->authenticator_id);
    char *code = strstr(text, "confirmation: ");
    assert_non_null(code);
    code += strlen("confirmation: ");
    code[8] = '\0';
    DOOR_OP(d, CONFIRM_AUTHENTICATOR, confirm_authenticator, ConfirmAuthenticator,
            KYSO__V1__CONFIRM_AUTHENTICATOR__INIT, message_.authenticator_id = id,
            message_.code = code);
    door_send(d, &op_);
    assert_string_equal(door_expect_result(d)->authenticators[0]->state, "active");
    enroll(d, p, 1, &reader); /* confirmed: the seed does not leave again */
    r = finish(d, 1);
    assert_string_equal(r->enrolled[0]->authenticator_id, id);
    assert_int_equal(r->enrolled[0]->sealed_seed.len, 0);
    check_csr(r->enrolled[0]);
    free(p);
    reader_free(&reader);
}

static void a_repeat_completes_and_doubles_nothing(void **state)
{
    struct door *d = *state;
    struct reader reader = reader_new(d, KY_KEY_P256, NULL);
    struct people *p = people_new(4);
    char text[700], again[700];
    char id[40];

    door_add_subject(d, "citizen-0");
    door_add_subject(d, "citizen-1");
    door_create_credential(d, "citizen-1", KYSO__V1__KEY_TYPE__KEY_TYPE_P256, 0, id);
    enroll(d, p, 3, NULL); /* no reader: no authenticator */
    const Kyso__V1__OperationResult *r = finish(d, 3);
    assert_string_equal(r->enrolled[1]->credential_id, id);
    assert_int_equal(rows(d, ROW_AUTHENTICATOR), 0);
    enroll(d, p, 4, &reader);
    r = finish(d, 4);
    assert_string_equal(r->enrolled[1]->credential_id, id);
    open_envelope(&reader, r->enrolled[2]->sealed_seed, text);
    enroll(d, p, 4, &reader);
    r = finish(d, 4);
    check_csr(r->enrolled[3]);
    open_envelope(&reader, r->enrolled[2]->sealed_seed, again);
    assert_string_equal(text, again);
    assert_int_equal(rows(d, ROW_SUBJECT), 4);
    assert_int_equal(rows(d, ROW_CREDENTIAL), 4);
    assert_int_equal(rows(d, ROW_AUTHENTICATOR), 4);
    door_import(d, id); /* active: neither request nor seed */
    enroll(d, p, 2, &reader);
    r = finish(d, 2);
    assert_string_equal(r->enrolled[1]->error, "");
    assert_string_equal(r->enrolled[1]->credential_id, id);
    assert_int_equal(r->enrolled[1]->csr.len, 0);
    assert_int_equal(r->enrolled[1]->sealed_seed.len, 0);
    assert_true(r->enrolled[0]->csr.len > 0 && r->enrolled[0]->sealed_seed.len > 0);
    free(p);
    reader_free(&reader);
}

/* Their key was on its way when somebody else made them: they have that one, and this is nobody's. */
static void a_person_named_twice_has_one_key(void **state)
{
    struct door *d = *state;
    struct people *p = people_new(3);

    p->rows[2].subject_id = p->rows[0].subject_id;
    enroll(d, p, 3, NULL);
    const Kyso__V1__OperationResult *r = finish(d, 3);
    assert_int_equal(d->a->vault_key_count, 3);
    assert_int_equal(rows(d, ROW_SUBJECT), 2);
    assert_int_equal(rows(d, ROW_CREDENTIAL), 2);
    assert_string_equal(r->enrolled[0]->credential_id, r->enrolled[2]->credential_id);
    check_csr(r->enrolled[2]);
    free(p);
}

/* Who was revoked is enrolled anew. */
static void a_revoked_credential_counts_for_nothing(void **state)
{
    struct door *d = *state;
    struct people *p = people_new(1);
    struct row_credential row;

    enroll(d, p, 1, NULL);
    (void)finish(d, 1);
    OK(store_row_get(d->a->store, ROW_CREDENTIAL, 1, &row));
    row.state = KYSO__V1__CREDENTIAL_STATE__CREDENTIAL_STATE_REVOKED;
    row.epoch++;
    OK(authority_row_put(d->a, ROW_CREDENTIAL, 1, &row, 0, NULL));
    enroll(d, p, 1, NULL);
    check_csr(finish(d, 1)->enrolled[0]);
    assert_int_equal(rows(d, ROW_SUBJECT), 1);
    assert_int_equal(rows(d, ROW_CREDENTIAL), 2);
    free(p);
}

static void a_bad_row_fails_alone(void **state)
{
    struct door *d = *state;
    struct people *p = people_new(7);
    uint8_t no_certificate[3] = {1, 2, 3};
    static const char *const errors[] = {"subject_id", "subject_dn", "another name", "wrap",
                                         "seal_to",    "",           "wrong signature"};

    door_add_subject(d, "citizen-2");
    p->rows[0].subject_id = TEXT("not a name");
    p->rows[1].subject_dn = TEXT("Nguyen Van A");
    p->rows[2].name = TEXT("Tran Thi B");
    p->rows[3].key_type = KYSO__V1__KEY_TYPE__KEY_TYPE_ED25519;
    p->rows[4].seal_to = (ProtobufCBinaryData){.len = 3, .data = no_certificate};
    enroll(d, p, 7, NULL);
    core_vault(d->a);          /* keys of 4, 5, 6 */
    d->a->vault_refuses = 4u;  /* the third of these */
    const Kyso__V1__OperationResult *r = finish(d, 7);
    for (size_t i = 0; i < 6; i++) {
        assert_true(errors[i][0] == '\0' ? r->enrolled[i]->error[0] == '\0'
                                         : strstr(r->enrolled[i]->error, errors[i]) != NULL);
        assert_true((r->enrolled[i]->csr.len > 0) == (errors[i][0] == '\0'));
    }
    assert_string_not_equal(r->enrolled[6]->error, "");
    assert_int_equal(d->a->denials, 6);
    assert_int_equal(d->a->denied.request_type, DOOR_OPERATE);
    assert_int_equal(d->a->intents, 3);
    assert_int_equal(d->a->receipts, 3);
    d->a->vault_refuses = 0;
    d->a->vault_lies = true; /* I7 */
    enroll(d, p, 7, NULL);
    r = finish(d, 7);
    assert_int_equal(r->enrolled[5]->csr.len, 0);
    assert_string_not_equal(r->enrolled[5]->error, "");
    assert_int_equal(d->a->receipt.outcome, LEDGER_FAILED);
    free(p);
}

static void what_was_promised_gets_its_receipt(void **state)
{
    struct door *d = *state;
    struct people *p = people_new(MANY);

    enroll(d, p, MANY, NULL);
    core_vault_fails(d->a, KY_UNAVAILABLE);
    core_commit(d->a);
    door_expect_refused(d, KY_UNAVAILABLE);
    assert_int_equal(rows(d, ROW_SUBJECT), 0);
    enroll(d, p, MANY, NULL);
    core_vault(d->a);
    assert_int_equal(d->a->intents, 25);
    core_vault_fails(d->a, KY_UNAVAILABLE);
    core_commit(d->a);
    door_expect_refused(d, KY_UNAVAILABLE);
    assert_int_equal(d->a->receipts, 25); /* I4 */
    assert_int_equal(d->a->receipt.outcome, LEDGER_FAILED);
    enroll(d, p, MANY, NULL);
    d->a->queue_full = true;
    core_vault(d->a); /* 25 are signed; the other five find no room */
    core_commit(d->a);
    door_expect_refused(d, KY_BUSY);
    assert_int_equal(d->a->intents, 55);
    assert_int_equal(d->a->receipts, 55);
    d->a->queue_full = false;
    enroll(d, p, MANY, NULL);
    assert_int_equal(finish(d, MANY)->enrolled[29]->error[0], '\0');
    assert_int_equal(rows(d, ROW_CREDENTIAL), MANY);
    free(p);
}

/* P21: destroyed while a vault was signing. */
static void a_credential_that_changed_gets_no_request(void **state)
{
    struct door *d = *state;
    struct people *p = people_new(1);
    struct row_credential row;

    enroll(d, p, 1, NULL);
    core_vault(d->a);
    struct job waiting = d->a->job;
    d->a->has_job = false;
    OK(store_row_get(d->a->store, ROW_CREDENTIAL, 1, &row));
    row.epoch++;
    OK(authority_row_put(d->a, ROW_CREDENTIAL, 1, &row, 0, NULL));
    d->a->job = waiting;
    d->a->has_job = true;
    const Kyso__V1__OperationResult *r = finish(d, 1);
    assert_string_equal(r->enrolled[0]->error, "the credential changed meanwhile");
    assert_int_equal(d->a->receipt.outcome, LEDGER_FAILED);
    assert_int_equal(d->a->receipt.sig_len, 0);
    free(p);
}

static void batches_that_cannot_be(void **state)
{
    struct door *d = *state;
    struct reader signer = reader_new(d, KY_KEY_P256, "digitalSignature");
    struct reader edwards = reader_new(d, KY_KEY_ED25519, NULL);
    struct people *p = people_new(MANY);

    enroll(d, p, 0, NULL);
    door_expect_refused(d, KY_INVALID);
    enroll(d, p, 1, &signer);
    door_expect_refused(d, KY_INVALID);
    enroll(d, p, 1, &edwards);
    door_expect_refused(d, KY_INVALID);
    d->a->now_us += UINT64_C(86400) * 365 * 100 * 1000000;
    enroll(d, p, 1, &signer);
    door_expect_refused(d, KY_INVALID);
    for (size_t i = 0; i < MANY; i++)
        p->rows[i].key_type = KYSO__V1__KEY_TYPE__KEY_TYPE_RSA_2048;
    enroll(d, p, MANY, NULL);
    door_expect_refused(d, KY_INVALID);
    free(p);
    reader_free(&signer);
    reader_free(&edwards);
}

/* Outside a demo a seed of ours leaves sealed, and only so. */
static void one_seed_sealed(void **state)
{
    struct door *d = *state;
    struct reader reader = reader_new(d, KY_KEY_P384, "keyAgreement");
    char text[700];

    door_add_subject(d, "a");
    DOOR_OP(d, ENROLL_TOTP, enroll_totp, EnrollTotp, KYSO__V1__ENROLL_TOTP__INIT,
            message_.subject_id = TEXT("a"));
    door_send(d, &op_);
    door_expect_refused(d, KY_OPERATOR_REFUSED);
    message_.seal_to = (ProtobufCBinaryData){.len = reader.len, .data = reader.der};
    op_ = door_operation(d);
    op_.op_case = KYSO__V1__OPERATION__OP_ENROLL_TOTP;
    op_.enroll_totp = &message_;
    door_send(d, &op_);
    const Kyso__V1__OperationResult *r = door_expect_result(d);
    open_envelope(&reader, r->sealed_seed, text);
    assert_non_null(strstr(text, "otpauth://totp/Kyso:a?secret="));
    assert_int_equal(r->seed.len, 0);
    assert_string_equal(r->otpauth_uri, "");
    assert_string_equal(r->confirmation_code, "");
    reader_free(&reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(everybody_gets_a_key_a_request_and_a_seed, door_setup,
                                        door_teardown),
        cmocka_unit_test_setup_teardown(the_code_in_the_envelope_confirms, door_setup,
                                        door_teardown),
        cmocka_unit_test_setup_teardown(a_repeat_completes_and_doubles_nothing, door_setup,
                                        door_teardown),
        cmocka_unit_test_setup_teardown(a_person_named_twice_has_one_key, door_setup,
                                        door_teardown),
        cmocka_unit_test_setup_teardown(a_revoked_credential_counts_for_nothing, door_setup,
                                        door_teardown),
        cmocka_unit_test_setup_teardown(a_bad_row_fails_alone, door_setup, door_teardown),
        cmocka_unit_test_setup_teardown(what_was_promised_gets_its_receipt, door_setup,
                                        door_teardown),
        cmocka_unit_test_setup_teardown(a_credential_that_changed_gets_no_request, door_setup,
                                        door_teardown),
        cmocka_unit_test_setup_teardown(batches_that_cannot_be, door_setup, door_teardown),
        cmocka_unit_test_setup_teardown(one_seed_sealed, door_setup, door_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
