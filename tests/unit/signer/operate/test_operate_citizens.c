/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many people in one operation: what each gets, that a row fails alone, that a repeat completes and
 * doubles nothing, and what is owed when a vault fails between.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certificates.h"
#include "people.h"

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
    people_enroll(d, p, MANY, &reader);
    assert_int_equal(d->a->operations, 1);
    const Kyso__V1__OperationResult *r = people_finish(d, MANY);
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
    people_enroll(d, p, 3, NULL); /* no reader: no authenticator */
    const Kyso__V1__OperationResult *r = people_finish(d, 3);
    assert_string_equal(r->enrolled[1]->credential_id, id);
    assert_int_equal(rows(d, ROW_AUTHENTICATOR), 0);
    people_enroll(d, p, 4, &reader);
    r = people_finish(d, 4);
    assert_string_equal(r->enrolled[1]->credential_id, id);
    open_envelope(&reader, r->enrolled[2]->sealed_seed, text);
    people_enroll(d, p, 4, &reader);
    r = people_finish(d, 4);
    check_csr(r->enrolled[3]);
    open_envelope(&reader, r->enrolled[2]->sealed_seed, again);
    assert_string_equal(text, again);
    assert_int_equal(rows(d, ROW_SUBJECT), 4);
    assert_int_equal(rows(d, ROW_CREDENTIAL), 4);
    assert_int_equal(rows(d, ROW_AUTHENTICATOR), 4);
    door_import(d, id); /* active: neither request nor seed */
    people_enroll(d, p, 2, &reader);
    r = people_finish(d, 2);
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
    people_enroll(d, p, 3, NULL);
    const Kyso__V1__OperationResult *r = people_finish(d, 3);
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

    people_enroll(d, p, 1, NULL);
    (void)people_finish(d, 1);
    OK(store_row_get(d->a->store, ROW_CREDENTIAL, 1, &row));
    row.state = KYSO__V1__CREDENTIAL_STATE__CREDENTIAL_STATE_REVOKED;
    row.epoch++;
    OK(authority_row_put(d->a, ROW_CREDENTIAL, 1, &row, 0, NULL));
    people_enroll(d, p, 1, NULL);
    check_csr(people_finish(d, 1)->enrolled[0]);
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
    people_enroll(d, p, 7, NULL);
    core_vault(d->a);         /* keys of 5, 6 */
    d->a->vault_refuses = 2u; /* the second of these */
    const Kyso__V1__OperationResult *r = people_finish(d, 7);
    for (size_t i = 0; i < 6; i++) {
        assert_true(errors[i][0] == '\0' ? r->enrolled[i]->error[0] == '\0'
                                         : strstr(r->enrolled[i]->error, errors[i]) != NULL);
        assert_true((r->enrolled[i]->csr.len > 0) == (errors[i][0] == '\0'));
    }
    assert_string_not_equal(r->enrolled[6]->error, "");
    assert_int_equal(d->a->denials, 6);
    assert_int_equal(d->a->denied.request_type, DOOR_OPERATE);
    assert_int_equal(d->a->intents, 2);
    assert_int_equal(d->a->receipts, 2);
    d->a->vault_refuses = 0;
    d->a->vault_lies = true; /* I7 */
    people_enroll(d, p, 7, NULL);
    r = people_finish(d, 7);
    assert_int_equal(r->enrolled[5]->csr.len, 0);
    assert_string_not_equal(r->enrolled[5]->error, "");
    assert_int_equal(d->a->receipt.outcome, LEDGER_FAILED);
    free(p);
}

static void what_was_promised_gets_its_receipt(void **state)
{
    struct door *d = *state;
    struct people *p = people_new(MANY);

    people_enroll(d, p, MANY, NULL);
    core_vault_fails(d->a, KY_UNAVAILABLE);
    core_commit(d->a);
    door_expect_refused(d, KY_UNAVAILABLE);
    assert_int_equal(rows(d, ROW_SUBJECT), 0);
    people_enroll(d, p, MANY, NULL);
    core_vault(d->a);
    assert_int_equal(d->a->intents, 25);
    core_vault_fails(d->a, KY_DEADLINE);
    core_commit(d->a);
    door_expect_refused(d, KY_DEADLINE);
    assert_int_equal(d->a->receipts, 25); /* I4 */
    assert_int_equal(d->a->receipt.outcome, LEDGER_FAILED);
    people_enroll(d, p, MANY, NULL);
    d->a->queue_full = true;
    core_vault(d->a); /* 25 are signed; the other five find no room */
    core_commit(d->a);
    door_expect_refused(d, KY_BUSY);
    assert_int_equal(d->a->intents, 55);
    assert_int_equal(d->a->receipts, 55);
    d->a->queue_full = false;
    people_enroll(d, p, MANY, NULL);
    assert_int_equal(people_finish(d, MANY)->enrolled[29]->error[0], '\0');
    assert_int_equal(rows(d, ROW_CREDENTIAL), MANY);
    free(p);
}

/*
 * Fault 41. Of many nobody knows whose key it was: each is asked for by itself, under its key's name, and the one that no vault
 * survives fails alone.
 */
static void a_key_that_no_vault_survives_fails_alone(void **state)
{
    struct door *d = *state;
    struct people *p = people_new(3);

    people_enroll(d, p, 3, NULL);
    core_vault(d->a);
    assert_int_equal(d->a->job.signatures, 3);
    assert_int_equal(d->a->job.key_row, 0);
    core_vault_fails(d->a, KY_UNAVAILABLE);
    core_commit(d->a);
    assert_int_equal(d->a->receipts, 3);
    for (uint32_t row = 1; row <= 3; row++) {
        assert_int_equal(d->a->job.signatures, 1);
        assert_int_equal(d->a->job.key_row, row);
        if (row == 2)
            core_vault_fails(d->a, KY_UNAVAILABLE);
        else
            core_vault(d->a);
        core_commit(d->a);
    }
    const Kyso__V1__OperationResult *r = people_finish(d, 3);
    check_csr(r->enrolled[0]);
    assert_non_null(strstr(r->enrolled[1]->error, "no vault"));
    check_csr(r->enrolled[2]);
    assert_int_equal(d->a->intents, 6);
    assert_int_equal(d->a->receipts, 6);
    d->a->quarantined = 2;
    people_enroll(d, p, 3, NULL);
    assert_int_equal(d->a->job.signatures, 2);
    r = people_finish(d, 3);
    check_csr(r->enrolled[0]);
    assert_non_null(strstr(r->enrolled[1]->error, "set aside"));
    check_csr(r->enrolled[2]);
    assert_int_equal(d->a->intents, 8);
    free(p);
}

/* One person may have made it, for more than these two sign for. */
static void a_credential_of_other_rights_is_not_adopted(void **state)
{
    struct door *d = *state;
    struct people *p = people_new(3);
    struct row_credential row;
    char id[40];

    for (size_t i = 0; i < 2; i++) {
        door_add_subject(d, p->ids[i]);
        door_create_credential(d, p->ids[i], KYSO__V1__KEY_TYPE__KEY_TYPE_P256, 0, id);
    }
    p->party = TEXT("bank");
    people_enroll(d, p, 3, NULL);
    const Kyso__V1__OperationResult *r = people_finish(d, 3);
    assert_non_null(strstr(r->enrolled[0]->error, "relying_parties"));
    assert_int_equal(r->enrolled[0]->csr.len, 0);
    assert_int_equal(d->a->denied.reason, KY_CONFLICT);
    assert_int_equal(d->a->denied.credential_row, 2);
    check_csr(r->enrolled[2]);
    door_row(d, r->enrolled[2]->credential_id, &row);
    assert_true(ky_span_eq(row.relying_parties, KY_SPAN((const uint8_t *)"\4\0\0\0bank", 8)));
    p->party = TEXT("*");
    p->max_hashes = 1;
    people_enroll(d, p, 1, NULL);
    r = people_finish(d, 1);
    assert_non_null(strstr(r->enrolled[0]->error, "max_hashes"));
    p->max_hashes = 0;
    people_enroll(d, p, 1, NULL);
    check_csr(people_finish(d, 1)->enrolled[0]);
    free(p);
}

/* As long as can be: rows that the answer has no room for are not begun, and all others fit. */
static void an_answer_is_never_too_long(void **state)
{
    struct door *d = *state;
    EVP_PKEY *key = EVP_RSA_gen(4096);
    struct reader reader = reader_of_key(d, key, NULL);
    struct people *p = people_new(PEOPLE_MAX);
    unsigned fit = 0;
    char dn[512] = "CN=Nguyen Van A";

    while (strlen(dn) < 440)
        strcat(dn, ",OU=a department with a name of sixty characters such as it may be");
    EVP_PKEY_up_ref(key);
    d->a->rsa4096 = key;
    d->a->token.wrappable |= 1u << KY_KEY_RSA4096;
    for (size_t i = 0; i < PEOPLE_MAX; i++) {
        p->rows[i].subject_dn = dn;
        p->rows[i].key_type = i % 4 == 3 ? KYSO__V1__KEY_TYPE__KEY_TYPE_RSA_4096
                                         : KYSO__V1__KEY_TYPE__KEY_TYPE_UNSPECIFIED;
    }
    people_enroll(d, p, PEOPLE_MAX, &reader);
    const Kyso__V1__OperationResult *r = people_finish(d, PEOPLE_MAX);
    for (size_t i = 0; i < PEOPLE_MAX; i++) {
        const Kyso__V1__EnrolledCitizen *e = r->enrolled[i];

        fit += e->error[0] == '\0';
        assert_true(e->error[0] == '\0' ? e->csr.len > 0 && e->sealed_seed.len > 0
                                        : strstr(e->error, "no room") != NULL);
    }
    assert_in_range(fit, 80, PEOPLE_MAX - 1);
    assert_int_equal(d->a->intents, fit);
    assert_int_equal(rows(d, ROW_CREDENTIAL), fit);
    assert_in_range(kyso__v1__operation_result__get_packed_size(r), 150u * 1024u, KY_RESULT_MAX);
    free(p);
    reader_free(&reader);
}

/* P21: destroyed while a vault was signing. */
static void a_credential_that_changed_gets_no_request(void **state)
{
    struct door *d = *state;
    struct people *p = people_new(1);
    struct row_credential row;

    people_enroll(d, p, 1, NULL);
    core_vault(d->a);
    struct job waiting = d->a->job;
    d->a->has_job = false;
    OK(store_row_get(d->a->store, ROW_CREDENTIAL, 1, &row));
    row.epoch++;
    OK(authority_row_put(d->a, ROW_CREDENTIAL, 1, &row, 0, NULL));
    d->a->job = waiting;
    d->a->has_job = true;
    const Kyso__V1__OperationResult *r = people_finish(d, 1);
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

    people_enroll(d, p, 0, NULL);
    door_expect_refused(d, KY_INVALID);
    people_enroll(d, p, 1, &signer);
    door_expect_refused(d, KY_INVALID);
    people_enroll(d, p, 1, &edwards);
    door_expect_refused(d, KY_INVALID);
    d->a->now_us += UINT64_C(86400) * 365 * 100 * 1000000;
    people_enroll(d, p, 1, &signer);
    door_expect_refused(d, KY_INVALID);
    for (size_t i = 0; i < MANY; i++)
        p->rows[i].key_type = KYSO__V1__KEY_TYPE__KEY_TYPE_RSA_2048;
    people_enroll(d, p, MANY, NULL);
    door_expect_refused(d, KY_INVALID);
    free(p);
    reader_free(&signer);
    reader_free(&edwards);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(everybody_gets_a_key_a_request_and_a_seed, door_setup,
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
        cmocka_unit_test_setup_teardown(a_key_that_no_vault_survives_fails_alone, door_setup,
                                        door_teardown),
        cmocka_unit_test_setup_teardown(a_credential_of_other_rights_is_not_adopted, door_setup,
                                        door_teardown),
        cmocka_unit_test_setup_teardown(an_answer_is_never_too_long, door_setup, door_teardown),
        cmocka_unit_test_setup_teardown(a_credential_that_changed_gets_no_request, door_setup,
                                        door_teardown),
        cmocka_unit_test_setup_teardown(batches_that_cannot_be, door_setup, door_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
