/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one table of outcomes. Pure and constant: any role, any thread.
 * A row gives a code's own name, then what its public code is on the wire; the groups
 * below keep every precise denial byte for byte alike outside.
 */
#include "kyso/status.h"

#include <stddef.h>

/* Numbers of google.rpc.Code. */
enum {
    GRPC_OK = 0,
    GRPC_CANCELLED = 1,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_FAILED_PRECONDITION = 9,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_UNAUTHENTICATED = 16,
};

#define AS_DENIED KY_DENIED, GRPC_PERMISSION_DENIED, KY_RETRY_NEW_PROOF, "denied"
#define AS_PROOF_NEEDED                                                                            \
    KY_PROOF_NEEDED, GRPC_FAILED_PRECONDITION, KY_RETRY_NEW_PROOF,                                 \
        "the earlier attempt or code is void, send a fresh proof"
#define AS_UNAVAILABLE                                                                             \
    KY_UNAVAILABLE, GRPC_UNAVAILABLE, KY_RETRY_SAME, "not serving, retry with the same request id"
#define AS_INTERNAL KY_INTERNAL, GRPC_INTERNAL, KY_RETRY_SAME, "internal error"

static const struct ky_code_info code_table[KY_CODE_COUNT] = {
    [KY_OK] = {"ok", KY_OK, GRPC_OK, KY_RETRY_NEVER, "ok"},
    [KY_INVALID] = {"invalid", KY_INVALID, GRPC_INVALID_ARGUMENT, KY_RETRY_NEVER,
                    "malformed or out of bounds"},
    [KY_UNAUTHENTICATED] = {"unauthenticated", KY_UNAUTHENTICATED, GRPC_UNAUTHENTICATED,
                            KY_RETRY_NEVER, "no client is known by this certificate"},
    [KY_DENIED] = {"denied", AS_DENIED},
    [KY_NOT_FOUND] = {"not-found", KY_NOT_FOUND, GRPC_NOT_FOUND, KY_RETRY_NEVER, "not found"},
    [KY_CONFLICT] = {"conflict", KY_CONFLICT, GRPC_ALREADY_EXISTS, KY_RETRY_NEVER,
                     "the request id was used with other content"},
    [KY_PROOF_NEEDED] = {"proof-needed", AS_PROOF_NEEDED},
    [KY_TX_PENDING] = {"tx-pending", KY_TX_PENDING, GRPC_FAILED_PRECONDITION, KY_RETRY_SAME,
                       "the transaction is not yet authorized"},
    [KY_TX_ENDED] = {"tx-ended", KY_TX_ENDED, GRPC_FAILED_PRECONDITION, KY_RETRY_NEW_PROOF,
                     "the transaction has ended"},
    [KY_INACTIVE] = {"inactive", KY_INACTIVE, GRPC_FAILED_PRECONDITION, KY_RETRY_NEVER,
                     "the credential is not active"},
    [KY_BUSY] = {"busy", KY_BUSY, GRPC_RESOURCE_EXHAUSTED, KY_RETRY_SAME,
                 "too busy, retry after the hint"},
    [KY_UNAVAILABLE] = {"unavailable", AS_UNAVAILABLE},
    [KY_DEADLINE] = {"deadline", KY_DEADLINE, GRPC_DEADLINE_EXCEEDED, KY_RETRY_SAME,
                     "the deadline has passed"},
    [KY_CANCELLED] = {"cancelled", KY_CANCELLED, GRPC_CANCELLED, KY_RETRY_SAME,
                      "cancelled by the caller"},
    [KY_UNIMPLEMENTED] = {"unimplemented", KY_UNIMPLEMENTED, GRPC_UNIMPLEMENTED, KY_RETRY_NEVER,
                          "not implemented"},
    [KY_INTERNAL] = {"internal", AS_INTERNAL},

    [KY_PROOF_WRONG] = {"proof-wrong", AS_DENIED},
    [KY_PROOF_REPLAYED] = {"proof-replayed", AS_DENIED},
    [KY_PROOF_MALFORMED] = {"proof-malformed", AS_DENIED},
    [KY_PROOF_LOCKED] = {"proof-locked", AS_DENIED},
    [KY_PROOF_OTHER_TX] = {"proof-other-tx", AS_DENIED},
    [KY_PROOF_WRONG_CODE] = {"proof-wrong-code", AS_DENIED},
    [KY_PROOF_FLOORED] = {"proof-floored", AS_PROOF_NEEDED},
    [KY_PROOF_UNCONFIRMED] = {"proof-unconfirmed", AS_DENIED},
    [KY_HASH_NOT_IN_SAD] = {"hash-not-in-sad", AS_DENIED},
    [KY_HASH_SPENT] = {"hash-spent", AS_DENIED},
    [KY_HASH_FORBIDDEN] = {"hash-forbidden", AS_DENIED},
    [KY_NO_RIGHT] = {"no-right", AS_DENIED},
    [KY_CLIENT_SUSPENDED] = {"client-suspended", AS_DENIED},
    [KY_WRONG_DOOR] = {"wrong-door", AS_DENIED},
    [KY_OPERATOR_REFUSED] = {"operator-refused", AS_DENIED},

    [KY_NOMEM] = {"no-memory", AS_INTERNAL},
    [KY_IO] = {"io", AS_UNAVAILABLE},
    [KY_STORE] = {"store", AS_UNAVAILABLE},
    [KY_CORRUPT] = {"corrupt", AS_INTERNAL},
    [KY_SEALED] = {"sealed", AS_UNAVAILABLE},
    [KY_TOKEN_REQUEST] = {"token-request", AS_INTERNAL},
    [KY_TOKEN_SESSION] = {"token-session", AS_UNAVAILABLE},
    [KY_TOKEN_LOGIN] = {"token-login", AS_INTERNAL},
    [KY_TOKEN_MODULE] = {"token-module", AS_UNAVAILABLE},
    [KY_TOKEN_WRONG_SIGNATURE] = {"token-wrong-signature", AS_INTERNAL},
    [KY_UNSUPPORTED] = {"unsupported", AS_INTERNAL},

    [KY_REQUEST_UNSIGNED] = {"request-unsigned", AS_DENIED},
    [KY_REQUEST_FORGED] = {"request-forged", AS_DENIED},
    [KY_REQUEST_STALE] = {"request-stale", AS_DENIED},
    [KY_CRL_STALE] = {"crl-stale", AS_DENIED},
    [KY_PASSKEY_ORIGIN] = {"passkey-origin", AS_DENIED},
    [KY_PASSKEY_USER] = {"passkey-user", AS_DENIED},
    [KY_PASSKEY_SYNCED] = {"passkey-synced", AS_DENIED},
    [KY_CLOCK_UNSYNCED] = {"clock-unsynced", AS_DENIED},
};

const struct ky_code_info *ky_code_info(enum ky_code code)
{
    /* A number from a record or a database may be anything: it then reads as internal. */
    if ((unsigned)code >= KY_CODE_COUNT)
        return &code_table[KY_INTERNAL];
    return &code_table[code];
}
