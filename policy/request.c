/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matrix of requests by door, right and proof, and the order in which a request is
 * judged: door, right, proof, tenancy, counts. The first that fails is the answer, so that a
 * stranger learns nothing about what lies behind it. Pure: any thread.
 */
#include "kyso/policy.h"

#include "kyso/door.h"
#include "kyso/rows.h"

enum scope { /* what of the tenancy a request touches */
             SCOPE_PARTY = 1,
             SCOPE_CREDENTIAL = 2,
             SCOPE_SUBJECT = 4,
             SCOPE_ALL = SCOPE_PARTY | SCOPE_CREDENTIAL | SCOPE_SUBJECT,
};

#define ANY_DOOR        0
#define PROOF_BIT(kind) (1u << (kind))
#define NO_PROOF        PROOF_BIT(KY_PROOF_NONE)

/*
 * The right to approve excludes the rights to begin, authorize and sign, and the other way round: a row that
 * needs one forbids the other, so a client that has both can do neither.
 */
static const struct request_rule {
    uint16_t request;
    uint8_t door;
    uint32_t needs;   /* every one of these rights */
    uint32_t forbids; /* none of these */
    uint8_t proofs;   /* PROOF_BIT of each kind that it takes */
    uint8_t scope;
    bool counts; /* carries hashes */
} rules[] = {
    {DOOR_INFO, KY_DOOR_SIGNER, ROW_RIGHT_SIGN, ROW_RIGHT_APPROVE, NO_PROOF, 0, false},
    {DOOR_CRED_LIST, KY_DOOR_SIGNER, ROW_RIGHT_SIGN, ROW_RIGHT_APPROVE, NO_PROOF,
     SCOPE_PARTY | SCOPE_SUBJECT, false},
    {DOOR_CRED_GET, KY_DOOR_SIGNER, ROW_RIGHT_SIGN, ROW_RIGHT_APPROVE, NO_PROOF, SCOPE_ALL, false},
    /* Begins what only a device can approve, and rings the person's phone for it. */
    {DOOR_TX_BEGIN, KY_DOOR_SIGNER, ROW_RIGHT_SIGN | ROW_RIGHT_APPROVAL, ROW_RIGHT_APPROVE,
     NO_PROOF, SCOPE_ALL, true},
    {DOOR_TX_AUTHORIZE, KY_DOOR_SIGNER, ROW_RIGHT_SIGN, ROW_RIGHT_APPROVE,
     PROOF_BIT(KY_PROOF_TOTP) | PROOF_BIT(KY_PROOF_APPROVAL), SCOPE_ALL, true},
    {DOOR_SIGN, KY_DOOR_SIGNER, ROW_RIGHT_SIGN, ROW_RIGHT_APPROVE,
     PROOF_BIT(KY_PROOF_TOTP) | PROOF_BIT(KY_PROOF_APPROVAL) | PROOF_BIT(KY_PROOF_SAD), SCOPE_ALL,
     true},
    {DOOR_TX_WAIT, KY_DOOR_SIGNER, ROW_RIGHT_SIGN, ROW_RIGHT_APPROVE, NO_PROOF, SCOPE_PARTY, false},
    {DOOR_TX_CANCEL, KY_DOOR_SIGNER, ROW_RIGHT_SIGN, ROW_RIGHT_APPROVE, NO_PROOF, SCOPE_PARTY,
     false},
    {DOOR_APPROVAL_LIST, KY_DOOR_APPROVER, ROW_RIGHT_APPROVE, ROW_RIGHT_SIGN, NO_PROOF,
     SCOPE_SUBJECT, false},
    {DOOR_APPROVAL_GET, KY_DOOR_APPROVER, ROW_RIGHT_APPROVE, ROW_RIGHT_SIGN, NO_PROOF,
     SCOPE_SUBJECT, false},
    {DOOR_APPROVAL_DECIDE, KY_DOOR_APPROVER, ROW_RIGHT_APPROVE, ROW_RIGHT_SIGN, NO_PROOF,
     SCOPE_SUBJECT, false},
    {DOOR_PASSKEY_GET, KY_DOOR_APPROVER, ROW_RIGHT_APPROVE, ROW_RIGHT_SIGN, NO_PROOF, SCOPE_SUBJECT,
     false},
    {DOOR_PASSKEY_ENROLL, KY_DOOR_APPROVER, ROW_RIGHT_APPROVE, ROW_RIGHT_SIGN, NO_PROOF,
     SCOPE_SUBJECT, false},
    /* Operators prove themselves by signatures; no client's right opens or shuts this door. */
    {DOOR_OPERATE, KY_DOOR_OPERATOR, 0, 0, NO_PROOF, 0, false},
    {DOOR_CANCEL, ANY_DOOR, 0, 0, NO_PROOF, 0, false},
    {DOOR_EVENT, ANY_DOOR, 0, 0, NO_PROOF, 0, false},
};

/* What each proof takes besides; a SAD was authorized already. */
static const uint32_t proof_rights[] = {
    [KY_PROOF_NONE] = 0,
    [KY_PROOF_TOTP] = ROW_RIGHT_TOTP,
    [KY_PROOF_APPROVAL] = ROW_RIGHT_APPROVAL,
    [KY_PROOF_SAD] = 0,
};

static const struct request_rule *find_rule(uint16_t request)
{
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (rules[i].request == request) {
            return &rules[i];
        }
    }
    return NULL;
}

static bool is_door(const struct request_rule *rule, uint8_t door)
{
    if (rule->door == ANY_DOOR) {
        return door == KY_DOOR_SIGNER || door == KY_DOOR_APPROVER || door == KY_DOOR_OPERATOR;
    }
    return rule->door == door;
}

static struct ky_status check_proof(const struct request_rule *rule, const struct policy_request *r)
{
    if (r->proof > KY_PROOF_SAD || (rule->proofs & PROOF_BIT(r->proof)) == 0) {
        return KY_STATUS(KY_INVALID);
    }
    if ((r->rights & proof_rights[r->proof]) != proof_rights[r->proof]) {
        return KY_STATUS(KY_NO_RIGHT);
    }
    return KY_STATUS(KY_OK);
}

static bool is_tenant(uint8_t scope, const struct policy_request *r)
{
    return ((scope & SCOPE_PARTY) == 0 || r->for_itself || r->delegated) &&
           ((scope & SCOPE_CREDENTIAL) == 0 || r->credential_allows) &&
           ((scope & SCOPE_SUBJECT) == 0 || r->subject_allowed);
}

static bool within(uint32_t count, uint32_t limit)
{
    return limit == 0 || count <= limit;
}

static bool count_allowed(const struct policy_request *r)
{
    return r->hash_count >= 1 && r->hash_count <= KY_HASHES_MAX &&
           within(r->hash_count, r->client_max_hashes) &&
           within(r->hash_count, r->credential_max_hashes) &&
           within(r->hash_count, r->server_max_hashes);
}

struct ky_status policy_request_allowed(const struct policy_request *r)
{
    const struct request_rule *rule = find_rule(r->request);
    if (rule == NULL || !is_door(rule, r->door)) {
        return KY_STATUS(KY_WRONG_DOOR);
    }
    if ((r->rights & rule->needs) != rule->needs || (r->rights & rule->forbids) != 0) {
        return KY_STATUS(KY_NO_RIGHT);
    }
    const struct ky_status proof = check_proof(rule, r);
    if (!ky_ok(proof)) {
        return proof;
    }
    if (!is_tenant(rule->scope, r)) {
        return KY_STATUS(KY_NOT_FOUND);
    }
    if (rule->counts && !count_allowed(r)) {
        return KY_STATUS(KY_INVALID);
    }
    return KY_STATUS(KY_OK);
}
