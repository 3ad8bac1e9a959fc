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

static void test_operations(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool reads_only;
    } rows[] = {
        {"add-subject", false},
        {"show-subject", true},
        {"unlock-subject", false},
        {"add-client", false},
        {"list-clients", true},
        {"set-client-state", false},
        {"create-credential", false},
        {"list-credentials", true},
        {"show-credential", true},
        {"make-csr", false},
        {"import-certificate", false},
        {"set-credential-state", false},
        {"enroll-citizens", false},
        {"enroll-totp", false},
        {"enroll-device", false},
        {"confirm-authenticator", false},
        {"list-authenticators", true},
        {"remove-authenticator", false},
        {"get-status", true},
        {"read-ledger", true},
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        const struct policy_operation *const op = policy_operation(rows[i].name);
        assert_non_null(op);
        assert_string_equal(op->name, rows[i].name);
        assert_int_equal(op->signers, 1);
        assert_int_equal(op->reads_only, rows[i].reads_only);
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
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operations),
        cmocka_unit_test(test_unknown_operations),
        cmocka_unit_test(fault_30_enrolment),
        cmocka_unit_test(test_delay_saturates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
