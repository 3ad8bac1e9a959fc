/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matrix of requests by door, right and proof, every cell of it, then the order in
 * which a request is judged, tenancy and counts. Refusal fault 14; I6's denials.
 */
#include "policy_test.h"

#include "kyso/door.h"
#include "kyso/rows.h"

#define S          ROW_RIGHT_SIGN
#define A          ROW_RIGHT_APPROVE
#define T          ROW_RIGHT_TOTP
#define P          ROW_RIGHT_APPROVAL
#define ALL_RIGHTS 16u /* every set of the four */

/*
 * PROTOCOL.md's table in the test's own words: which proofs, and what of the tenancy is looked at.
 */
static const struct cell {
    const char *name;
    uint16_t request;
    uint8_t door; /* 0 = any */
    uint32_t right;
    uint32_t also;
    bool none, totp, approval, sad; /* proofs */
    bool party, credential, subject, counts;
} matrix[] = {
    {"info", DOOR_INFO, 1, S, 0, true, false, false, false, false, false, false, false},
    {"cred-list", DOOR_CRED_LIST, 1, S, 0, true, false, false, false, true, false, true, false},
    {"cred-get", DOOR_CRED_GET, 1, S, 0, true, false, false, false, true, true, true, false},
    {"begin", DOOR_TX_BEGIN, 1, S, P, true, false, false, false, true, true, true, true},
    {"authorize", DOOR_TX_AUTHORIZE, 1, S, 0, false, true, true, false, true, true, true, true},
    {"sign", DOOR_SIGN, 1, S, 0, false, true, true, true, true, true, true, true},
    {"wait", DOOR_TX_WAIT, 1, S, 0, true, false, false, false, true, false, false, false},
    {"cancel-tx", DOOR_TX_CANCEL, 1, S, 0, true, false, false, false, true, false, false, false},
    {"approval-list", DOOR_APPROVAL_LIST, 2, A, 0, true, false, false, false, false, false, true,
     false},
    {"approval-get", DOOR_APPROVAL_GET, 2, A, 0, true, false, false, false, false, false, true,
     false},
    {"decide", DOOR_APPROVAL_DECIDE, 2, A, 0, true, false, false, false, false, false, true, false},
    {"passkey-get", DOOR_PASSKEY_GET, 2, A, 0, true, false, false, false, false, false, true, false},
    {"passkey-enroll", DOOR_PASSKEY_ENROLL, 2, A, 0, true, false, false, false, false, false, true, false},
    {"operate", DOOR_OPERATE, 3, 0, 0, true, false, false, false, false, false, false, false},
    {"cancel", DOOR_CANCEL, 0, 0, 0, true, false, false, false, false, false, false, false},
    {"event", DOOR_EVENT, 0, 0, 0, true, false, false, false, false, false, false, false},
};

static bool takes(const struct cell *c, uint8_t proof)
{
    const bool by_kind[] = {c->none, c->totp, c->approval, c->sad};
    return proof < 4 && by_kind[proof];
}

static uint8_t some_proof(const struct cell *c)
{
    return c->none ? KY_PROOF_NONE : KY_PROOF_TOTP;
}

/* A request that nothing speaks against. */
static struct policy_request welcome(const struct cell *c)
{
    return (struct policy_request){
        .rights = c->right == 0   ? 0
                  : c->right == A ? A
                                  : S | T | P,
        .door = c->door == 0 ? KY_DOOR_SIGNER : c->door,
        .request = c->request,
        .proof = some_proof(c),
        .for_itself = true,
        .credential_allows = true,
        .subject_allowed = true,
        .hash_count = 1,
    };
}

static void test_welcome(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(matrix); i++) {
        const struct policy_request r = welcome(&matrix[i]);
        EXPECT(KY_OK, policy_request_allowed(&r), matrix[i].name);
    }
}

/* Each request at each door number, with each set of rights and each proof. */
static void test_whole_matrix(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(matrix); i++) {
        const struct cell *const c = &matrix[i];
        for (unsigned door = 0; door <= 4; door++) {
            for (uint32_t rights = 0; rights < ALL_RIGHTS; rights++) {
                for (unsigned proof = 0; proof <= 5; proof++) {
                    struct policy_request r = welcome(c);
                    r.door = (uint8_t)door;
                    r.rights = rights;
                    r.proof = (uint8_t)proof;
                    const bool right_door = c->door == 0 ? door >= 1 && door <= 3 : door == c->door;
                    const bool both = (rights & S) != 0 && (rights & A) != 0;
                    const bool has = c->right == 0 || ((rights & c->right) != 0 && !both);
                    const bool has_also = (rights & c->also) == c->also;
                    const bool may_prove = (proof != KY_PROOF_TOTP || (rights & T) != 0) &&
                                           (proof != KY_PROOF_APPROVAL || (rights & P) != 0);
                    const enum ky_code want = !right_door          ? KY_WRONG_DOOR
                                              : !has || !has_also  ? KY_NO_RIGHT
                                              : !takes(c, r.proof) ? KY_INVALID
                                              : !may_prove         ? KY_NO_RIGHT
                                                                   : KY_OK;
                    EXPECT(want, policy_request_allowed(&r), c->name);
                }
            }
        }
    }
}

static void test_unknown_requests(void **state)
{
    (void)state;
    for (unsigned request = 0; request <= 200; request++) {
        bool known = false;
        for (size_t i = 0; i < ROWS(matrix); i++) {
            known = known || matrix[i].request == request;
        }
        for (uint8_t door = 1; door <= 3 && !known; door++) {
            struct policy_request r = welcome(&matrix[0]);
            r.request = (uint16_t)request;
            r.door = door;
            EXPECT(KY_WRONG_DOOR, policy_request_allowed(&r), "unknown");
        }
    }
}

static void test_unknown_proofs(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(matrix); i++) {
        for (unsigned proof = KY_PROOF_SAD + 1; proof <= UINT8_MAX; proof++) {
            struct policy_request r = welcome(&matrix[i]);
            r.proof = (uint8_t)proof;
            EXPECT(KY_INVALID, policy_request_allowed(&r), matrix[i].name);
        }
    }
}

/* Rights that do not exist yet open nothing. */
static void test_unknown_rights(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(matrix); i++) {
        struct policy_request r = welcome(&matrix[i]);
        r.rights = ~(uint32_t)(S | A | T | P);
        EXPECT(matrix[i].right == 0 ? KY_OK : KY_NO_RIGHT, policy_request_allowed(&r),
               matrix[i].name);
    }
}

static void test_tenancy(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(matrix); i++) {
        const struct cell *const c = &matrix[i];
        for (unsigned bits = 0; bits < 16; bits++) {
            struct policy_request r = welcome(c);
            r.for_itself = (bits & 1) != 0;
            r.delegated = (bits & 2) != 0;
            r.credential_allows = (bits & 4) != 0;
            r.subject_allowed = (bits & 8) != 0;
            const bool good = (!c->party || r.for_itself || r.delegated) &&
                              (!c->credential || r.credential_allows) &&
                              (!c->subject || r.subject_allowed);
            EXPECT(good ? KY_OK : KY_NOT_FOUND, policy_request_allowed(&r), c->name);
        }
    }
}

static void test_counts(void **state)
{
    (void)state;
    static const struct {
        uint32_t count, client, credential, server;
        bool good;
    } rows[] = {
        {0, 0, 0, 0, false},
        {1, 0, 0, 0, true},
        {256, 0, 0, 0, true},
        {257, 0, 0, 0, false},
        {UINT32_MAX, 0, 0, 0, false},
        {5, 5, 0, 0, true},
        {6, 5, 0, 0, false},
        {5, 0, 5, 0, true},
        {6, 0, 5, 0, false},
        {5, 0, 0, 5, true},
        {6, 0, 0, 5, false},
        {6, 5, 9, 9, false},
        {6, 9, 5, 9, false},
        {6, 9, 9, 5, false},
        {6, 9, 9, 9, true},
        {257, 1000, 1000, 1000, false},
        {256, UINT32_MAX, UINT32_MAX, UINT32_MAX, true},
    };
    for (size_t i = 0; i < ROWS(matrix); i++) {
        for (size_t k = 0; k < ROWS(rows); k++) {
            struct policy_request r = welcome(&matrix[i]);
            r.hash_count = rows[k].count;
            r.client_max_hashes = rows[k].client;
            r.credential_max_hashes = rows[k].credential;
            r.server_max_hashes = rows[k].server;
            const bool good = rows[k].good || !matrix[i].counts;
            EXPECT(good ? KY_OK : KY_INVALID, policy_request_allowed(&r), matrix[i].name);
        }
    }
}

/* Mend one fault at a time, from the door inwards: what is behind stays hidden until then. */
static void test_order(void **state)
{
    (void)state;
    struct policy_request r = {
        .door = KY_DOOR_APPROVER, .request = DOOR_SIGN, .proof = KY_PROOF_TOTP};
    EXPECT(KY_WRONG_DOOR, policy_request_allowed(&r), "everything is wrong");
    r.door = KY_DOOR_SIGNER;
    EXPECT(KY_NO_RIGHT, policy_request_allowed(&r), "right");
    r.rights = S | P;
    EXPECT(KY_NO_RIGHT, policy_request_allowed(&r), "proof's right");
    r.rights = S | T;
    EXPECT(KY_NOT_FOUND, policy_request_allowed(&r), "relying party");
    r.delegated = true;
    EXPECT(KY_NOT_FOUND, policy_request_allowed(&r), "credential");
    r.credential_allows = true;
    EXPECT(KY_NOT_FOUND, policy_request_allowed(&r), "subject");
    r.subject_allowed = true;
    EXPECT(KY_INVALID, policy_request_allowed(&r), "count");
    r.hash_count = 1;
    EXPECT(KY_OK, policy_request_allowed(&r), "nothing");
}

/*
 * The refusals that a wrong certificate meets: it stands at a door whose requests it has no right
 * to.
 */
static void test_wrong_certificate(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(matrix); i++) {
        struct policy_request r = welcome(&matrix[i]);
        if (matrix[i].door == KY_DOOR_SIGNER) {
            r.rights = A | T | P;
        } else if (matrix[i].door == KY_DOOR_APPROVER) {
            r.rights = S | T | P;
        } else {
            continue;
        }
        EXPECT(KY_NO_RIGHT, policy_request_allowed(&r), matrix[i].name);
        r.rights = S | A | T | P;
        EXPECT(KY_NO_RIGHT, policy_request_allowed(&r), matrix[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_welcome),
        cmocka_unit_test(test_whole_matrix),
        cmocka_unit_test(test_unknown_requests),
        cmocka_unit_test(test_unknown_proofs),
        cmocka_unit_test(test_unknown_rights),
        cmocka_unit_test(test_tenancy),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_wrong_certificate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
