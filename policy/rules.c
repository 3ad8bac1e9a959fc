/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operators' operations: how many distinct operators must sign each, and which only
 * read. One row per kind of kyso.v1.Operation, its field's name in kebab-case; a
 * test walks the message so that none is missing. Pure: any thread.
 */
#include <string.h>

#include "kyso/policy.h"

/* What an authenticator on an active credential takes on top is policy_enrolment_allowed's. */
static const struct policy_operation operations[] = {
    {"add-subject", 1, false},
    {"show-subject", 1, true},
    {"unlock-subject", 1, false},
    {"add-client", 1, false},
    {"list-clients", 1, true},
    {"set-client-state", 1, false},
    {"set-client-request-key", 1, false},
    {"create-credential", 1, false},
    {"list-credentials", 1, true},
    {"show-credential", 1, true},
    {"make-csr", 1, false}, /* signs with the credential's key: an intent of kind csr */
    {"import-certificate", 1, false},
    {"set-credential-state", 1, false},
    {"enroll-citizens", 1, false},
    {"enroll-totp", 1, false},
    {"enroll-device", 1, false},
    {"confirm-authenticator", 1, false},
    {"list-authenticators", 1, true},
    {"remove-authenticator", 1, false},
    {"get-status", 1, true},
    {"read-ledger", 1, true},
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
