/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The things that change by enrolment: one row each, numbered densely from 1 in its
 * table, encoded by schema, stored with a MAC and a version (signer/authority/store).
 */
#ifndef KYSO_ROWS_H
#define KYSO_ROWS_H

#include "kyso/msg.h"
#include "kyso/tx.h"

enum row_table {
    ROW_SUBJECT = 1,
    ROW_CREDENTIAL,
    ROW_AUTHENTICATOR,
    ROW_CLIENT,
    ROW_OPERATOR,
    ROW_POOL_KEY,
    ROW_TABLE_END
};

struct row_subject {
    struct ky_span subject_id;
    struct ky_span name; /* personal data */
    uint8_t salt[16];    /* so that the row's hash in the ledger tells nothing */
};
struct row_credential {
    /* "c" hex row "-" 16 hex random: carries its row, cannot be guessed */
    struct ky_span credential_id;
    uint32_t subject_row;
    uint8_t state; /* numbers of kyso.v1.CredentialState, never EXPIRED: that is computed */
    uint8_t storage;
    uint8_t key_type;
    uint32_t epoch; /* rises with every change that must void older work */
    uint32_t max_hashes;
    struct ky_span relying_parties; /* repeated ky_put_bytes; "*" = any */
    struct ky_span blob;            /* wrapped key or CKA_ID */
    struct ky_span public_key;      /* DER SubjectPublicKeyInfo */
    struct ky_span certificate;     /* DER */
    struct ky_span chain;           /* repeated ky_put_bytes of DER */
    uint64_t not_before_s;          /* of the certificate */
    uint64_t not_after_s;
};
enum row_auth_kind { ROW_AUTH_TOTP = 1, ROW_AUTH_DEVICE = 2 };
enum row_auth_state { ROW_AUTH_UNCONFIRMED = 1, ROW_AUTH_ACTIVE = 2, ROW_AUTH_REMOVED = 3 };
struct row_authenticator {
    struct ky_span authenticator_id; /* "a" hex row "-" 16 hex random */
    uint32_t subject_row;
    uint8_t kind;
    uint8_t state;
    uint32_t epoch;
    struct ky_span label;
    uint8_t otp_hash; /* 0 SHA-1, 1 SHA-256, 2 SHA-512 */
    uint8_t otp_digits;
    /* 12-byte IV || ciphertext || 16-byte tag: AES-256-GCM, AAD = id and epoch */
    struct ky_span sealed_seed;
    uint8_t device_key_type;    /* 1 ES256, 2 Ed25519, 3 passkey */
    struct ky_span device_key;  /* DER SubjectPublicKeyInfo; of an unconfirmed passkey not yet there */
    uint8_t confirm_sha256[32]; /* HMAC of the one-time confirmation code */
    uint64_t enrolled_s;
    uint64_t usable_from_s; /* a second authenticator by two operators waits a day */
    struct ky_span reader_sha256; /* of the certificate that a seed of ours was sealed to; empty = none */
};
struct row_client {
    struct ky_span name;
    struct ky_span spkis;           /* n * 32 */
    struct ky_span relying_parties; /* the delegate right: repeated ky_put_bytes */
    struct ky_span subjects;        /* repeated ky_put_bytes; empty = all */
    uint32_t rights;                /* bits of enum row_right */
    uint32_t max_hashes;
    uint8_t suspended;
    uint8_t removed;
    struct ky_span request_key; /* DER SubjectPublicKeyInfo: its requests are signed; empty = need not be */
};
enum row_right {
    ROW_RIGHT_SIGN = 1,
    ROW_RIGHT_APPROVE = 2,
    ROW_RIGHT_TOTP = 4,
    ROW_RIGHT_APPROVAL = 8,
};
struct row_operator {
    struct ky_span operator_id;
    struct ky_span public_key; /* DER SubjectPublicKeyInfo: P-256 or Ed25519 */
    uint8_t removed;
    uint8_t role;               /* numbers of kyso.v1.Role; 0: from before roles, an administrator */
    struct ky_span certificate; /* DER; empty: a bare key, from before roles or of a demo */
    uint64_t not_before_s;      /* of the certificate */
    uint64_t not_after_s;
};
struct row_pool_key { /* made in advance, of nobody yet */
    uint8_t key_type;
    struct ky_span blob; /* wrapped key; empty: it has become a credential's, and the row is free */
    struct ky_span public_key;
};

extern const struct ky_schema row_subject_schema, row_credential_schema, row_authenticator_schema,
    row_client_schema, row_operator_schema, row_pool_key_schema;
const struct ky_schema *row_schema(uint8_t table); /* NULL when unknown */
/* Also a row in its table's older form: what that had not is empty. Errors: KY_INVALID. */
KY_MUST_CHECK struct ky_status row_decode(uint8_t table, struct ky_span in, void *out_msg);

#endif
