/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators' rules: the operation table's look-up, and the whole truth table of
 * enrolment. Fault 30.
 */
#include "policy_test.h"

#define NOW  UINT64_C(1800000000)
#define DAY  86400u
#define NO   0u
#define ONCE 1u
#define WAIT 2u

/* Who may what: S security officer, A administrator, O operator, U auditor. Compliance 31 to 33. */
static const struct {
    const char *name, *roles;
    uint8_t people;
} rules[] = {
    {"add-subject", "AO", 1},
    {"show-subject", "SAOU", 1},
    {"unlock-subject", "SAO", 2},
    {"add-client", "SA", 2},
    {"list-clients", "SAOU", 1},
    {"set-client-state", "SA", 2},
    {"suspend-client", "SAO", 1},
    {"set-client-request-key", "SA", 2},
    {"create-credential", "AO", 1},
    {"list-credentials", "SAOU", 1},
    {"show-credential", "SAOU", 1},
    {"make-csr", "AO", 1},
    {"import-certificate", "AO", 1},
    {"set-credential-state", "SAO", 1},
    {"destroy-credential", "SAO", 2},
    {"enroll-citizens", "AO", 2},
    {"enroll-totp", "SAO", 2},
    {"enroll-device", "SAO", 2},
    {"enroll-device-approved", "AO", 1},
    {"confirm-authenticator", "AO", 1},
    {"list-authenticators", "SAOU", 1},
    {"remove-authenticator", "SAO", 1},
    {"get-status", "SAOU", 1},
    {"read-ledger", "SAU", 1},
    {"add-user", "SA", 2},
    {"list-users", "SAOU", 1},
    {"remove-user", "SA", 2},
    {"set-role", "SA", 2},
};
static const char letters[] = " SAOU";

static void test_operations(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(rules); i++) {
        const struct policy_operation *const op = policy_operation(rules[i].name);
        assert_non_null(op);
        assert_string_equal(op->name, rules[i].name);
        assert_int_equal(op->people, rules[i].people);
        for (uint8_t role = 0; role <= 6; role++) {
            const bool may = role > 0 && role < POLICY_ROLE_END &&
                             strchr(rules[i].roles, letters[role]) != NULL;
            assert_int_equal(policy_operation_problem(op, &role, 1, false) == NULL, may);
        }
    }
}

/* The auditor reads everything that can be read, and does nothing else. */
static void test_compliance_33_the_auditor_only_reads(void **state)
{
    (void)state;
    const uint8_t auditor = POLICY_AUDITOR;
    for (size_t i = 0; i < ROWS(rules); i++) {
        const struct policy_operation *const op = policy_operation(rules[i].name);
        assert_int_equal(policy_operation_problem(op, &auditor, 1, true) == NULL, op->reads_only);
    }
}

static void test_compliance_31_two_people(void **state)
{
    (void)state;
    const struct policy_operation *const op = policy_operation("destroy-credential");
    static const uint8_t people[] = {POLICY_OPERATOR, POLICY_SECURITY_OFFICER, POLICY_AUDITOR};
    assert_non_null(policy_operation_problem(op, people, 0, false));
    assert_null(policy_operation_problem(op, people, 1, false));
    assert_non_null(policy_operation_problem(op, people, 1, true));
    assert_null(policy_operation_problem(op, people, 2, true));
    assert_non_null(policy_operation_problem(op, people, 3, true)); /* the third may not */
    assert_non_null(policy_operation_problem(op, people + 1, 2, true));
    assert_non_null(policy_operation_problem(NULL, people, 2, false));
}

/* Compliance 33: nobody both acts and audits, not one after the other either. */
static void test_compliance_33_role_changes(void **state)
{
    (void)state;
    for (uint8_t from = 0; from < POLICY_ROLE_END; from++) {
        for (uint8_t to = 0; to <= POLICY_ROLE_END; to++) {
            const bool may = to > 0 && to < POLICY_ROLE_END &&
                             (from == 0 || (from == POLICY_AUDITOR) == (to == POLICY_AUDITOR));
            assert_int_equal(policy_role_change_allowed(from, to), may);
        }
    }
}

static void test_unknown_operations(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "add", "add-subject ", "Add-subject", "add_subject", "add-subjects", "op"};
    for (size_t i = 0; i < ROWS(bad); i++) {
        assert_null(policy_operation(bad[i]));
    }
    assert_null(policy_operation(NULL));
}

/* All the rows there are: signers 0, 1, 2, 3 across. */
static void fault_30_enrolment(void **state)
{
    (void)state;
    static const struct {
        bool active_credential, active_authenticator, approved;
        uint8_t by_signers[4];
    } rows[] = {
        {false, false, false, {NO, ONCE, ONCE, ONCE}},
        {false, false, true, {NO, ONCE, ONCE, ONCE}},
        {false, true, false, {NO, ONCE, ONCE, ONCE}},
        {false, true, true, {NO, ONCE, ONCE, ONCE}},
        {true, false, false, {NO, NO, WAIT, WAIT}},
        {true, false, true, {NO, NO, WAIT, WAIT}}, /* an approval by nothing active */
        {true, true, false, {NO, NO, WAIT, WAIT}},
        {true, true, true, {NO, ONCE, ONCE, ONCE}},
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        for (uint32_t signers = 0; signers < 4; signers++) {
            const struct policy_enrolment e = {.has_active_credential = rows[i].active_credential,
                                               .has_active_authenticator =
                                                   rows[i].active_authenticator,
                                               .approved_by_authenticator = rows[i].approved,
                                               .signers = signers};
            const uint8_t want = rows[i].by_signers[signers];
            uint64_t usable = 77;
            EXPECT(want == NO ? KY_OPERATOR_REFUSED : KY_OK,
                   policy_enrolment_allowed(&e, NOW, &usable), "enrolment");
            assert_int_equal(usable, want == NO ? 77 : want == ONCE ? NOW : NOW + DAY);
        }
    }
}

static void test_delay_saturates(void **state)
{
    (void)state;
    const struct policy_enrolment e = {.has_active_credential = true, .signers = 2};
    static const uint64_t ends[] = {UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - DAY};
    for (size_t i = 0; i < ROWS(ends); i++) {
        uint64_t usable = 0;
        EXPECT(KY_OK, policy_enrolment_allowed(&e, ends[i], &usable), "end of time");
        assert_true(usable == UINT64_MAX);
        assert_true(policy_enrolment_confirmed(true, ends[i], 0) == UINT64_MAX);
    }
}

/* What a code confirms waits its day where there is something to sign with, however it was let in. */
static void fault_30_confirmed(void **state)
{
    (void)state;
    static const uint64_t let_in[] = {0, NOW - 29 * DAY, NOW, NOW + DAY};
    for (size_t i = 0; i < ROWS(let_in); i++) {
        assert_true(policy_enrolment_confirmed(true, NOW, let_in[i]) == NOW + DAY);
        assert_true(policy_enrolment_confirmed(false, NOW, let_in[i]) == let_in[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operations),
        cmocka_unit_test(test_compliance_31_two_people),
        cmocka_unit_test(test_compliance_33_the_auditor_only_reads),
        cmocka_unit_test(test_compliance_33_role_changes),
        cmocka_unit_test(test_unknown_operations),
        cmocka_unit_test(fault_30_enrolment),
        cmocka_unit_test(fault_30_confirmed),
        cmocka_unit_test(test_delay_saturates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
