/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operators' operations: which roles may do each, how many distinct people must sign it, and which only
 * read. One row per kind of kyso.v1.Operation, its field's name in kebab-case, and three that are narrower
 * than their kind; a test walks the message so that none is missing. Pure: any thread.
 */
#include <string.h>

#include "kyso/policy.h"

#define BIT(role) (1u << POLICY_##role)
#define RULERS    (BIT(SECURITY_OFFICER) | BIT(ADMINISTRATOR)) /* people, clients, what cannot be undone */
#define STAFF     (BIT(ADMINISTRATOR) | BIT(OPERATOR))         /* citizens and their credentials */
#define DOERS     (RULERS | STAFF)
#define READERS   (RULERS | BIT(AUDITOR))
#define ALL       (DOERS | BIT(AUDITOR))

/* What an authenticator on an active credential takes on top is policy_enrolment_allowed's. */
static const struct policy_operation operations[] = {
    {"add-subject", STAFF, 1, false},
    {"show-subject", ALL, 1, true},
    {"unlock-subject", DOERS, 2, false},
    {"add-client", RULERS, 2, false},
    {"list-clients", ALL, 1, true},
    {"set-client-state", RULERS, 2, false},
    {"suspend-client", DOERS, 1, false}, /* set-client-state, in a hurry */
    {"set-client-request-key", RULERS, 2, false},
    {"create-credential", STAFF, 1, false},
    {"list-credentials", ALL, 1, true},
    {"show-credential", ALL, 1, true},
    {"make-csr", STAFF, 1, false}, /* signs with the credential's key: an intent of kind csr */
    {"import-certificate", STAFF, 1, false},
    {"set-credential-state", DOERS, 1, false},
    {"destroy-credential", DOERS, 2, false}, /* set-credential-state, for good */
    {"enroll-citizens", STAFF, 2, false},
    {"enroll-totp", DOERS, 2, false},
    {"enroll-device", DOERS, 2, false},
    {"enroll-device-approved", STAFF, 1, false}, /* enroll-device, by the person's own device */
    {"confirm-authenticator", STAFF, 1, false},
    {"list-authenticators", ALL, 1, true},
    {"remove-authenticator", DOERS, 1, false},
    {"get-status", ALL, 1, true},
    {"make-backup", DOERS, 1, false}, /* every key in it is wrapped, every seed sealed */
    {"read-ledger", READERS, 1, true},
    {"add-user", RULERS, 2, false},
    {"list-users", ALL, 1, true},
    {"remove-user", RULERS, 2, false},
    {"set-role", RULERS, 2, false},
};

const struct policy_operation *policy_operation(const char *name)
{
    if (name == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        if (strcmp(operations[i].name, name) == 0) {
            return &operations[i];
        }
    }
    return NULL;
}

const char *policy_operation_problem(const struct policy_operation *op, const uint8_t *roles,
                                     size_t people, bool dual_control)
{
    if (op == NULL || people < (dual_control ? op->people : 1)) {
        return "it takes more people";
    }
    for (size_t i = 0; i < people; i++) {
        if (roles[i] == 0 || roles[i] >= POLICY_ROLE_END || (op->roles & (1u << roles[i])) == 0) {
            return "somebody's role does not allow it";
        }
    }
    return NULL;
}

bool policy_role_change_allowed(uint8_t from, uint8_t to)
{
    return to != 0 && to < POLICY_ROLE_END &&
           (from == 0 || (from == POLICY_AUDITOR) == (to == POLICY_AUDITOR));
}
