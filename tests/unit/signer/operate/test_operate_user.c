/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The people at the operators' door: who they are, what their roles let through, when it takes two of them. Each refusal leaves
 * a record and changes nothing. Compliance 31 to 33.
 */
#include <stdio.h>
#include <string.h>

#include "certificates.h"
#include "door.h"
#include "kyso/policy.h"
#include "kyso/wire.h"
#include "operate.h"

#define TEXT(s)  ((char *)(uintptr_t)(s))
#define ROLE(r)  KYSO__V1__ROLE__ROLE_##r
#define YEARS(n) (86400L * 365 * (n))

struct person {
    const char *name, *subject;
    EVP_PKEY *key;
    Kyso__V1__Role role;
    long from_s, to_s; /* of the certificate, from the present: the door's clock stands in 2026 */
    bool bare;         /* only the key */
};

static void add_user(struct door *d, const struct person *p, enum ky_code want)
{
    uint8_t der[4096];
    struct test_certificate t = {.subject = p->subject,
                                 .issuer = p->subject,
                                 .key = p->key,
                                 .issuer_key = p->key,
                                 .from_s = p->from_s != 0 ? p->from_s : -YEARS(10),
                                 .to_s = p->to_s != 0 ? p->to_s : YEARS(20)};
    size_t n = p->bare ? test_spki(p->key, der) : test_certificate(&t, der);
    ProtobufCBinaryData bytes = {.len = n, .data = der};

    DOOR_OP(d, ADD_USER, add_user, AddUser, KYSO__V1__ADD_USER__INIT, message_.name = TEXT(p->name),
            message_.role = p->role);
    *(p->bare ? &message_.public_key : &message_.certificate) = bytes;
    door_send_both(d, &op_);
    if (want == KY_OK)
        (void)door_expect_result(d);
    else
        door_expect_refused(d, want);
}

static void set_role(struct door *d, const char *name, Kyso__V1__Role role, enum ky_code want)
{
    DOOR_OP(d, SET_ROLE, set_role, SetRole, KYSO__V1__SET_ROLE__INIT, message_.name = TEXT(name),
            message_.role = role);
    door_send_both(d, &op_);
    if (want == KY_OK)
        (void)door_expect_result(d);
    else
        door_expect_refused(d, want);
}

static void remove_user(struct door *d, const char *name, enum ky_code want)
{
    DOOR_OP(d, REMOVE_USER, remove_user, RemoveUser, KYSO__V1__REMOVE_USER__INIT,
            message_.name = TEXT(name));
    door_send_both(d, &op_);
    if (want == KY_OK)
        (void)door_expect_result(d);
    else
        door_expect_refused(d, want);
}

struct signer {
    const char *id;
    EVP_PKEY *key;
};

static void send_by(struct door *d, const Kyso__V1__Operation *op, const struct signer *signers, size_t n)
{
    struct ky_buf signatures = KY_BUF_INIT(4096), bytes = KY_BUF_INIT(16384);
    uint8_t *room = ky_buf_grow(&bytes, kyso__v1__operation__get_packed_size(op));

    assert_non_null(room);
    kyso__v1__operation__pack(op, room);
    for (size_t i = 0; i < n; i++)
        door_sign(&signatures, signers[i].id, signers[i].key, ky_buf_span(&bytes));
    door_send_raw(d, ky_buf_span(&bytes), ky_buf_span(&signatures));
    ky_buf_free(&signatures);
    ky_buf_free(&bytes);
}

static bool status_by(struct door *d, const char *name, EVP_PKEY *key)
{
    DOOR_OP(d, GET_STATUS, get_status, GetStatus, KYSO__V1__GET_STATUS__INIT, (void)0);
    send_by(d, &op_, &(struct signer){name, key}, 1);
    if (d->a->result != NULL)
        return true;
    door_expect_refused(d, KY_OPERATOR_REFUSED);
    return false;
}

static int setup_dual(void **state)
{
    int rc = door_setup(state);

    ((struct door *)*state)->a->dual_control = true;
    return rc;
}

/* A page from `from`, as alice sees it. */
static const Kyso__V1__OperationResult *list_users(struct door *d, uint32_t from, bool removed)
{
    DOOR_OP(d, LIST_USERS, list_users, ListUsers, KYSO__V1__LIST_USERS__INIT, message_.from = from,
            message_.removed = removed);
    send_by(d, &op_, &(struct signer){"alice", d->alice}, 1);
    return door_expect_result(d);
}

static void people_are_added_listed_and_removed(void **state)
{
    struct door *d = *state;
    EVP_PKEY *key = test_key(KY_KEY_P256);
    struct person dora = {"dora", "Dora", key, ROLE(OPERATOR), 0, 0, false};

    assert_false(status_by(d, "dora", key));
    add_user(d, &dora, KY_OK);
    assert_string_equal(d->a->operation_name, "add-user");
    assert_string_equal(d->a->operation_operators, "alice,bob");
    assert_string_equal(d->a->operation_target, "dora");
    assert_true(status_by(d, "dora", key));
    const Kyso__V1__OperationResult *r = list_users(d, 0, true);
    assert_int_equal(r->n_users, 4);
    assert_int_equal(r->next_from, 0);
    assert_int_equal(r->users[0]->role, ROLE(ADMINISTRATOR)); /* alice's row is from before roles */
    assert_true(r->users[2]->removed);
    assert_string_equal(r->users[3]->name, "dora");
    assert_int_equal(r->users[3]->role, ROLE(OPERATOR));
    assert_true(r->users[3]->certificate.len > 0 && r->users[3]->not_after > (int64_t)CORE_NOW_S);
    r = list_users(d, 0, false);
    assert_int_equal(r->n_users, 3);
    assert_string_equal(r->users[2]->name, "dora");
    add_user(d, &dora, KY_CONFLICT);
    remove_user(d, "dora", KY_OK);
    assert_false(status_by(d, "dora", key));
    remove_user(d, "dora", KY_NOT_FOUND);
    remove_user(d, "nobody", KY_NOT_FOUND);
    set_role(d, "dora", ROLE(ADMINISTRATOR), KY_NOT_FOUND);
    EVP_PKEY_free(key);
}

static void a_name_is_one_persons_for_good(void **state)
{
    struct door *d = *state;
    EVP_PKEY *key = test_key(KY_KEY_P256), *renewed = test_key(KY_KEY_ED25519);
    struct row_operator row;

    add_user(d, &(struct person){"dora", "Dora", key, ROLE(OPERATOR), 0, 0, false}, KY_OK);
    remove_user(d, "dora", KY_OK);
    /* neither another's, nor her own again: else what stands of her key and subject would be forgotten */
    add_user(d, &(struct person){"dora", "Else", renewed, ROLE(OPERATOR), 0, 0, false}, KY_CONFLICT);
    add_user(d, &(struct person){"dora", "Dora", key, ROLE(OPERATOR), 0, 0, false}, KY_CONFLICT);
    add_user(d, &(struct person){"carol", "Carol", renewed, ROLE(OPERATOR), 0, 0, false}, KY_CONFLICT);
    OK(store_row_get(d->a->store, ROW_OPERATOR, 4, &row));
    assert_true(row.removed);
    add_user(d, &(struct person){"eve", "Eve", key, ROLE(AUDITOR), 0, 0, false}, KY_CONFLICT);
    add_user(d, &(struct person){"eve", "Dora", renewed, ROLE(AUDITOR), 0, 0, false}, KY_CONFLICT);
    add_user(d, &(struct person){"dora.2", "Dora", renewed, ROLE(OPERATOR), 0, 0, false}, KY_OK);
    assert_true(status_by(d, "dora.2", renewed));
    EVP_PKEY_free(key);
    EVP_PKEY_free(renewed);
}

/* Before certificates one key could stand under two names. */
static void one_key_under_two_names_is_one_person(void **state)
{
    struct door *d = *state;
    uint8_t spki[700];
    struct row_operator row = {.operator_id = ky_span_text("alias")};
    const struct signer twice[] = {{"alice", d->alice}, {"alias", d->alice}};

    row.public_key = KY_SPAN(spki, test_spki(d->alice, spki));
    OK(store_row_put(d->a->store, ROW_OPERATOR, 0, &row, 0, d->a->now_us, NULL));
    assert_true(status_by(d, "alias", d->alice));
    door_add_subject(d, "a");
    DOOR_OP(d, UNLOCK_SUBJECT, unlock_subject, UnlockSubject, KYSO__V1__UNLOCK_SUBJECT__INIT,
            message_.subject_id = TEXT("a"));
    send_by(d, &op_, twice, 2);
    door_expect_refused(d, KY_OPERATOR_REFUSED);
    assert_int_equal(d->a->unlocks, 0);
    door_send_both(d, &op_);
    (void)door_expect_result(d);
}

static void many_people_come_in_pages(void **state)
{
    struct door *d = *state;
    EVP_PKEY *key;
    char name[16];
    uint32_t from = 0;
    size_t found = 0, pages = 0;

    for (int i = 0; i < 45; i++) {
        key = test_key(KY_KEY_ED25519);
        (void)snprintf(name, sizeof(name), "user-%d", i);
        add_user(d, &(struct person){name, name, key, ROLE(AUDITOR), 0, 0, false}, KY_OK);
        if (i % 3 == 0)
            remove_user(d, name, KY_OK);
        EVP_PKEY_free(key);
    }
    do {
        const Kyso__V1__OperationResult *r = list_users(d, from, false);

        for (size_t i = 0; i < r->n_users; i++)
            assert_false(r->users[i]->removed);
        found += r->n_users;
        from = r->next_from;
        pages++;
    } while (from != 0);
    assert_int_equal(found, 2 + 30);
    assert_int_equal(pages, 2);
    assert_int_equal(list_users(d, 0, true)->n_users, 20);
    assert_int_equal(list_users(d, 40, true)->n_users, 8);
    assert_int_equal(list_users(d, UINT32_MAX, true)->n_users, 0);
}

static void certificates_that_do_not_do(void **state)
{
    struct door *d = *state;
    EVP_PKEY *key = test_key(KY_KEY_P256), *rsa = test_key(KY_KEY_RSA2048);

    add_user(d, &(struct person){"dora", "Dora", key, ROLE(OPERATOR), 0, 0, true}, KY_INVALID); /* no demo */
    add_user(d, &(struct person){"dora", "Dora", rsa, ROLE(OPERATOR), 0, 0, false}, KY_INVALID);
    add_user(d, &(struct person){"dora", "Dora", key, ROLE(OPERATOR), -YEARS(20), -YEARS(10), false}, KY_INVALID);
    add_user(d, &(struct person){"dora", "Dora", key, ROLE(UNSPECIFIED), 0, 0, false}, KY_INVALID);
    add_user(d, &(struct person){"dora", "Dora", key, (Kyso__V1__Role)5, 0, 0, false}, KY_OPERATOR_REFUSED);
    add_user(d, &(struct person){"do ra", "Dora", key, ROLE(OPERATOR), 0, 0, false}, KY_INVALID);
    add_user(d, &(struct person){"dora", "Alice", d->alice, ROLE(OPERATOR), 0, 0, false}, KY_CONFLICT);
    assert_int_equal(store_row_count(d->a->store, ROW_OPERATOR), 3);
    d->a->demo = true;
    add_user(d, &(struct person){"dora", "Dora", key, ROLE(OPERATOR), 0, 0, true}, KY_OK);
    assert_true(status_by(d, "dora", key));
    EVP_PKEY_free(key);
    EVP_PKEY_free(rsa);
}

static void a_certificate_is_checked_at_each_operation(void **state)
{
    struct door *d = *state;
    EVP_PKEY *key = test_key(KY_KEY_P256);
    struct row_operator row;

    add_user(d, &(struct person){"dora", "Dora", key, ROLE(OPERATOR), 0, 0, false}, KY_OK);
    OK(store_row_get(d->a->store, ROW_OPERATOR, 4, &row));
    const uint64_t ends[] = {row.not_before_s, row.not_after_s};
    for (int i = 0; i < 2; i++) { /* exact at its edges */
        d->a->now_us = ends[i] * 1000000;
        assert_true(status_by(d, "dora", key));
        d->a->now_us = (i == 0 ? ends[i] - 1 : ends[i] + 1) * 1000000;
        assert_false(status_by(d, "dora", key));
    }
    assert_true(status_by(d, "alice", d->alice)); /* from before certificates */
    /* who has expired is added under another name, and is still no auditor */
    const struct person again = {"dora.2", "Dora", key, ROLE(OPERATOR), 0, YEARS(25), false};
    d->a->now_us = ends[1] * 1000000;
    add_user(d, &again, KY_CONFLICT);
    d->a->now_us += 1000000;
    add_user(d, &(struct person){"dora.2", "Dora", key, ROLE(AUDITOR), 0, YEARS(25), false}, KY_CONFLICT);
    add_user(d, &again, KY_OK);
    EVP_PKEY_free(key);
}

static void test_compliance_33_conflicting_roles_are_refused(void **state)
{
    struct door *d = *state;
    EVP_PKEY *key = test_key(KY_KEY_P256), *other = test_key(KY_KEY_P256);
    struct person dora = {"dora", "Dora", key, ROLE(AUDITOR), 0, 0, false};

    add_user(d, &dora, KY_OK);
    for (int role = ROLE(SECURITY_OFFICER); role <= (int)ROLE(OPERATOR); role++)
        set_role(d, "dora", (Kyso__V1__Role)role, KY_CONFLICT);
    set_role(d, "bob", ROLE(AUDITOR), KY_CONFLICT);
    add_user(d, &(struct person){"dora-2", "Someone", key, ROLE(OPERATOR), 0, 0, false}, KY_CONFLICT);
    add_user(d, &(struct person){"dora-2", "Dora", other, ROLE(OPERATOR), 0, 0, false}, KY_CONFLICT);
    add_user(d, &(struct person){"dora-2", "Dora", other, ROLE(AUDITOR), 0, 0, false}, KY_CONFLICT);
    remove_user(d, "dora", KY_OK);
    add_user(d, &(struct person){"dora", "Dora", key, ROLE(OPERATOR), 0, 0, false}, KY_CONFLICT);
    add_user(d, &(struct person){"dora-2", "Dora", other, ROLE(OPERATOR), 0, 0, false}, KY_CONFLICT);
    add_user(d, &(struct person){"dora-2", "Dora", other, ROLE(AUDITOR), 0, 0, false}, KY_OK);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
}

static void test_compliance_33_an_auditor_reads_and_changes_nothing(void **state)
{
    struct door *d = *state;
    EVP_PKEY *key = test_key(KY_KEY_P256);
    const struct signer auditor = {"dora", key};

    door_add_subject(d, "a");
    add_user(d, &(struct person){"dora", "Dora", key, ROLE(AUDITOR), 0, 0, false}, KY_OK);
    assert_true(status_by(d, "dora", key));
    DOOR_OP(d, READ_LEDGER, read_ledger, ReadLedger, KYSO__V1__READ_LEDGER__INIT, (void)0);
    send_by(d, &op_, &auditor, 1);
    (void)door_expect_result(d);
    Kyso__V1__ShowSubject show = KYSO__V1__SHOW_SUBJECT__INIT;
    show.subject_id = TEXT("a");
    op_ = door_operation(d);
    op_.op_case = KYSO__V1__OPERATION__OP_SHOW_SUBJECT;
    op_.show_subject = &show;
    send_by(d, &op_, &auditor, 1);
    (void)door_expect_result(d);
    Kyso__V1__UnlockSubject unlock = KYSO__V1__UNLOCK_SUBJECT__INIT;
    unlock.subject_id = TEXT("a");
    op_ = door_operation(d);
    op_.op_case = KYSO__V1__OPERATION__OP_UNLOCK_SUBJECT;
    op_.unlock_subject = &unlock;
    const struct signer with_alice[] = {{"alice", d->alice}, auditor};
    send_by(d, &op_, with_alice, 2); /* nor as the second person */
    door_expect_refused(d, KY_OPERATOR_REFUSED);
    assert_int_equal(d->a->unlocks, 0);
    EVP_PKEY_free(key);
}

static void test_compliance_31_two_people_for_what_counts(void **state)
{
    struct door *d = *state;
    char id[40];

    door_add_subject(d, "a"); /* one is enough */
    door_create_credential(d, "a", KYSO__V1__KEY_TYPE__KEY_TYPE_P256,
                           KYSO__V1__KEY_STORAGE__KEY_STORAGE_UNSPECIFIED, id);
    Kyso__V1__UnlockSubject unlock = KYSO__V1__UNLOCK_SUBJECT__INIT;
    Kyso__V1__SetCredentialState destroy = KYSO__V1__SET_CREDENTIAL_STATE__INIT;
    Kyso__V1__SetClientState resume = KYSO__V1__SET_CLIENT_STATE__INIT;
    Kyso__V1__AddClient client = KYSO__V1__ADD_CLIENT__INIT;
    Kyso__V1__RemoveUser user = KYSO__V1__REMOVE_USER__INIT;
    Kyso__V1__EnrollTotp totp = KYSO__V1__ENROLL_TOTP__INIT;
    Kyso__V1__Operation op;
    unlock.subject_id = totp.subject_id = TEXT("a");
    destroy.credential_id = id;
    destroy.state = KYSO__V1__CREDENTIAL_STATE__CREDENTIAL_STATE_DESTROYED;
    user.name = TEXT("bob");
    void *const messages[] = {&unlock, &destroy, &resume, &client, &user, &totp};
    static const int cases[] = {
        KYSO__V1__OPERATION__OP_UNLOCK_SUBJECT,   KYSO__V1__OPERATION__OP_SET_CREDENTIAL_STATE,
        KYSO__V1__OPERATION__OP_SET_CLIENT_STATE, KYSO__V1__OPERATION__OP_ADD_CLIENT,
        KYSO__V1__OPERATION__OP_REMOVE_USER,      KYSO__V1__OPERATION__OP_ENROLL_TOTP};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        op = door_operation(d);
        op.op_case = (Kyso__V1__Operation__OpCase)cases[i];
        op.add_subject = messages[i]; /* of the union */
        unsigned before = d->a->operations;
        door_send(d, &op);
        door_expect_refused(d, KY_OPERATOR_REFUSED);
        assert_int_equal(d->a->operations, before);
    }
    op = door_operation(d);
    op.op_case = KYSO__V1__OPERATION__OP_SET_CREDENTIAL_STATE;
    op.set_credential_state = &destroy;
    door_send_both(d, &op);
    (void)door_expect_result(d);
    assert_string_equal(d->a->operation_operators, "alice,bob");
    resume.name = TEXT("nobody");
    resume.suspended = true; /* stopping a client takes one */
    op = door_operation(d);
    op.op_case = KYSO__V1__OPERATION__OP_SET_CLIENT_STATE;
    op.set_client_state = &resume;
    door_send(d, &op);
    door_expect_refused(d, KY_NOT_FOUND);
}

static void as_many_are_left_as_it_takes(void **state)
{
    struct door *d = *state;
    EVP_PKEY *dora = test_key(KY_KEY_P256), *erin = test_key(KY_KEY_P256);

    assert_int_equal(operate_users_missing(d->a, 0), 2); /* alice's and bob's keys name nobody */
    add_user(d, &(struct person){"dora", "Dora", dora, ROLE(SECURITY_OFFICER), 0, 0, false}, KY_OK);
    add_user(d, &(struct person){"erin", "Erin", erin, ROLE(ADMINISTRATOR), 0, 0, false}, KY_OK);
    assert_int_equal(operate_users_missing(d->a, 0), 0);
    remove_user(d, "dora", KY_CONFLICT); /* erin alone could add nobody */
    set_role(d, "erin", ROLE(OPERATOR), KY_CONFLICT);
    set_role(d, "erin", ROLE(SECURITY_OFFICER), KY_OK);
    set_role(d, "bob", ROLE(OPERATOR), KY_OK);
    DOOR_OP(d, SET_ROLE, set_role, SetRole, KYSO__V1__SET_ROLE__INIT, message_.name = TEXT("bob"),
            message_.role = ROLE(ADMINISTRATOR));
    door_send_both(d, &op_); /* bob is an operator now */
    door_expect_refused(d, KY_OPERATOR_REFUSED);
    EVP_PKEY_free(dora);
    EVP_PKEY_free(erin);
}

static void two_people_have_a_day_for_a_change(void **state)
{
    struct door *d = *state;

    door_add_subject(d, "a");
    DOOR_OP(d, UNLOCK_SUBJECT, unlock_subject, UnlockSubject, KYSO__V1__UNLOCK_SUBJECT__INIT,
            message_.subject_id = TEXT("a"));
    op_.expires = (int64_t)authority_now_s(d->a) + 86400;
    door_send_both(d, &op_);
    (void)door_expect_result(d);
    door_send_both(d, &op_); /* and it runs once */
    door_expect_refused(d, KY_OPERATOR_REFUSED);
    op_ = door_operation(d);
    op_.op_case = KYSO__V1__OPERATION__OP_UNLOCK_SUBJECT;
    op_.unlock_subject = &message_;
    op_.expires = (int64_t)authority_now_s(d->a) + 86401;
    door_send_both(d, &op_);
    door_expect_refused(d, KY_OPERATOR_REFUSED);
}

static void reads_have_no_day(void **state)
{
    struct door *d = *state;

    DOOR_OP(d, GET_STATUS, get_status, GetStatus, KYSO__V1__GET_STATUS__INIT, (void)0);
    op_.expires = (int64_t)authority_now_s(d->a) + OPERATE_EXPIRES_MAX_S + 1;
    door_send(d, &op_);
    door_expect_refused(d, KY_OPERATOR_REFUSED);
    door_send_both(d, &op_);
    door_expect_refused(d, KY_OPERATOR_REFUSED);
    op_.expires--;
    door_send_both(d, &op_);
    (void)door_expect_result(d);
}

int main(void)
{
#define TEST_OF(f) cmocka_unit_test_setup_teardown(f, setup_dual, door_teardown)
    const struct CMUnitTest tests[] = {
        TEST_OF(people_are_added_listed_and_removed),
        TEST_OF(a_name_is_one_persons_for_good),
        TEST_OF(one_key_under_two_names_is_one_person),
        TEST_OF(many_people_come_in_pages),
        TEST_OF(certificates_that_do_not_do),
        TEST_OF(a_certificate_is_checked_at_each_operation),
        TEST_OF(test_compliance_33_conflicting_roles_are_refused),
        TEST_OF(test_compliance_33_an_auditor_reads_and_changes_nothing),
        TEST_OF(test_compliance_31_two_people_for_what_counts),
        TEST_OF(as_many_are_left_as_it_takes),
        TEST_OF(two_people_have_a_day_for_a_change),
        TEST_OF(reads_have_no_day),
    };

    return cmocka_run_group_tests_name("operate_user", tests, NULL, NULL);
}
