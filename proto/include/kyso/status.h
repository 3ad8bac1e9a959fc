/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one list of outcomes. A status is returned by value, so it can be
 * neither dropped nor taken for a bool. The table in status.c maps each code to its
 * ledger name, its gRPC status, the public text and whether a retry is safe;
 * proto/PROTOCOL.md shows the public half and a test keeps the two in step.
 */
#ifndef KYSO_STATUS_H
#define KYSO_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "kyso/span.h"

enum ky_code {
    KY_OK = 0,
    /* seen on the wire as they are */
    KY_INVALID,         /* malformed or out of bounds */
    KY_UNAUTHENTICATED, /* the client's certificate is not pinned to a client */
    KY_DENIED,          /* no right, or a proof was refused: never says which */
    KY_NOT_FOUND,       /* absent, or another tenant's: the same answer */
    KY_CONFLICT,        /* request id repeated with other content */
    KY_PROOF_NEEDED,    /* the attempt was abandoned: send a fresh proof and a new request id */
    KY_TX_PENDING,      /* not yet authorized */
    KY_TX_ENDED,        /* expired, rejected, cancelled or spent */
    KY_INACTIVE,        /* credential suspended, expired, destroyed or not yet active */
    KY_BUSY,            /* a queue or rate limit is full: retry after the hint */
    KY_UNAVAILABLE,     /* not serving: retry with the same request id */
    KY_DEADLINE,        /* the deadline passed */
    KY_CANCELLED,       /* the caller cancelled */
    KY_UNIMPLEMENTED,
    KY_INTERNAL,
    /* precise in the ledger, KY_DENIED on the wire */
    KY_PROOF_WRONG,
    KY_PROOF_REPLAYED,
    KY_PROOF_MALFORMED,
    KY_PROOF_FLOORED,      /* a right code of a time before a crash: never taken, never charged */
    KY_PROOF_LOCKED,      /* the subject is locked */
    KY_PROOF_OTHER_TX,    /* approval or SAD of another transaction, client or credential */
    KY_PROOF_WRONG_CODE,  /* the matching code differs: ends the transaction */
    KY_PROOF_UNCONFIRMED, /* authenticator not confirmed, not active or not the subject's */
    KY_HASH_NOT_IN_SAD,
    KY_HASH_SPENT,
    KY_HASH_FORBIDDEN, /* all zero, or an algorithm outside the allow-list */
    KY_NO_RIGHT,
    KY_CLIENT_SUSPENDED,
    KY_WRONG_DOOR,
    KY_OPERATOR_REFUSED, /* signature, expiry, nonce or quorum of an operation */
    /* inside only: never cross a door */
    KY_NOMEM,
    KY_IO,                    /* cause: errno */
    KY_STORE,                 /* cause: SQLite result code */
    KY_CORRUPT,               /* a MAC, hash or version does not hold */
    KY_SEALED,                /* the node refuses to go on until an operator acts */
    KY_TOKEN_REQUEST,         /* cause: CK_RV. Fails that job only */
    KY_TOKEN_SESSION,         /* cause: CK_RV. Drop the session */
    KY_TOKEN_LOGIN,           /* cause: CK_RV. PIN class: never retried */
    KY_TOKEN_MODULE,          /* cause: CK_RV. Kill the vault */
    KY_TOKEN_WRONG_SIGNATURE, /* I7: withheld */
    KY_UNSUPPORTED,           /* the token or this build cannot do it */
    /* KY_DENIED on the wire too; last, because ledgers hold the numbers */
    KY_REQUEST_UNSIGNED, /* the client's requests must be signed, and this one is not */
    KY_REQUEST_FORGED,   /* its signature does not hold */
    KY_REQUEST_STALE,    /* it has expired, or would be good for too long */
    KY_CRL_STALE,        /* no revocation list in force is still good */
    KY_PASSKEY_ORIGIN,   /* an assertion for another page, or of another kind */
    KY_PASSKEY_USER,     /* its authenticator did not verify its user */
    KY_PASSKEY_SYNCED,   /* its key may be copied to other devices, which is not taken here */
    KY_CLOCK_UNSYNCED,   /* the clock is not synchronised, and the configuration asks for it */
    KY_CODE_COUNT
};

enum ky_retry {
    KY_RETRY_NEVER,     /* the same request can never succeed */
    KY_RETRY_SAME,      /* repeat with the same request id: safe, spends nothing twice */
    KY_RETRY_NEW_PROOF, /* a new request id and a fresh proof are needed */
};

struct ky_status {
    enum ky_code code;
    uint32_t cause; /* CK_RV, errno or SQLite code, by code; else 0 */
};

#define KY_STATUS(c)          ((struct ky_status){.code = (c)})
#define KY_STATUS_CAUSE(c, v) ((struct ky_status){.code = (c), .cause = (uint32_t)(v)})

static inline bool ky_ok(struct ky_status s)
{
    return s.code == KY_OK;
}

struct ky_code_info {
    const char *name;        /* ledger and log form, "proof-replayed" */
    enum ky_code wire;       /* the public code it becomes */
    int grpc;                /* gRPC status number of the public code */
    enum ky_retry retry;     /* of the public code */
    const char *public_text; /* what the caller reads */
};

const struct ky_code_info *ky_code_info(enum ky_code code); /* never NULL */

#endif
