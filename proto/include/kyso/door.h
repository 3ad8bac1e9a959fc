/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between a front and the authority. Every request is validated for
 * form by the front (bytes) and again for meaning by the authority, which
 * trusts nothing here beyond the lengths. The door is known by the channel a
 * record came in on, never by the record.
 * A reply repeats the request's tag. A refusal is DOOR_REFUSED.
 */
#ifndef KYSO_DOOR_H
#define KYSO_DOOR_H

#include "kyso/msg.h"
#include "kyso/tx.h"

enum ky_door {
    KY_DOOR_SIGNER = 1,
    KY_DOOR_APPROVER = 2,
    KY_DOOR_OPERATOR = 3,
    KY_DOOR_CUSTODIAN = 4, /* kyso-ceremony on this machine: no front, these very records */
};

#define KY_SPKI_HASH_LEN 32u
#define KY_SAD_LEN       32u
#define KY_LIST_MAX      100u
/* door_r_list.items, door_r_operate.result: end a page before it */
#define KY_RESULT_MAX    (224u * 1024u)
#define KY_OPERATION_MAX (64u * 1024u)

enum ky_proof_kind {
    KY_PROOF_NONE = 0,
    KY_PROOF_TOTP = 1,
    KY_PROOF_APPROVAL = 2,
    KY_PROOF_SAD = 3
};

enum door_type {
    /* signer's door */
    DOOR_INFO = 1,
    DOOR_CRED_LIST,
    DOOR_CRED_GET,
    DOOR_TX_BEGIN, /* the three share struct door_tx */
    DOOR_TX_AUTHORIZE,
    DOOR_SIGN,
    DOOR_TX_WAIT,
    DOOR_TX_CANCEL,
    /* approver's door */
    DOOR_APPROVAL_LIST = 20,
    DOOR_APPROVAL_GET,
    DOOR_APPROVAL_DECIDE,
    DOOR_PASSKEY_GET,
    DOOR_PASSKEY_ENROLL,
    /* operator's door */
    DOOR_OPERATE = 30,
    /* custodians' door */
    DOOR_KEK = 36,
    /* any door, no reply */
    DOOR_CANCEL = 40, /* the caller of this tag went away: stop what is not yet dispatched */
    DOOR_EVENT,       /* something refused before it became a request */

    /* authority to front */
    DOOR_REFUSED = 100,
    DOOR_R_INFO,
    DOOR_R_CRED_LIST,
    DOOR_R_CRED,
    DOOR_R_TX,
    DOOR_R_SIGN,
    DOOR_R_APPROVAL_LIST,
    DOOR_R_APPROVAL,
    DOOR_R_DECISION,
    DOOR_R_OPERATE,
    DOOR_R_PASSKEY,
    DOOR_R_KEK,
    DOOR_HEARTBEAT = 140, /* tag 0, each 20 ms, from the turn itself */
};

struct door_info {
    uint8_t spki[KY_SPKI_HASH_LEN];
};
struct door_cred_list {
    uint8_t spki[KY_SPKI_HASH_LEN];
    struct ky_span relying_party;
    struct ky_span subject_id;
    struct ky_span page_token;
    uint32_t page_size;
};
struct door_cred_get {
    uint8_t spki[KY_SPKI_HASH_LEN];
    struct ky_span relying_party;
    struct ky_span credential_id;
};
struct door_tx {
    uint8_t spki[KY_SPKI_HASH_LEN];
    struct ky_span request_id;
    struct ky_span relying_party;
    struct ky_span credential_id;
    struct ky_span transaction_id; /* AUTHORIZE of a pending transaction; or an approval's */
    uint8_t scheme;
    uint8_t hash;
    uint8_t mgf_hash;
    uint16_t salt_len;
    struct ky_span hashes; /* n * ky_hash_len(hash) */
    struct ky_span display_text;
    uint32_t ttl_s;
    uint8_t proof; /* enum ky_proof_kind */
    struct ky_span authenticator_id;
    struct ky_span proof_secret; /* TOTP code or SAD */
    struct ky_span matching_code;
    struct ky_span proof_signature;
    uint64_t expires_s; /* of request_signature, which clients with a request key need */
    struct ky_span request_signature;
};
struct door_tx_ref { /* WAIT, CANCEL */
    uint8_t spki[KY_SPKI_HASH_LEN];
    struct ky_span relying_party;
    struct ky_span transaction_id;
    uint32_t timeout_ms;
    uint64_t expires_s; /* CANCEL, as in door_tx */
    struct ky_span request_signature;
};
struct door_approval_ref { /* APPROVAL_LIST, PASSKEY_GET (no transaction), APPROVAL_GET */
    uint8_t spki[KY_SPKI_HASH_LEN];
    struct ky_span authenticator_id;
    struct ky_span transaction_id;
};
struct door_decide {
    uint8_t spki[KY_SPKI_HASH_LEN];
    struct ky_span authenticator_id;
    struct ky_span transaction_id;
    uint8_t decision; /* enum ky_decision */
    struct ky_span matching_code;
    struct ky_span signature; /* empty only for a plain rejection */
};
struct door_passkey { /* PASSKEY_ENROLL */
    uint8_t spki[KY_SPKI_HASH_LEN];
    struct ky_span authenticator_id;
    struct ky_span code;
    struct ky_span public_key; /* DER SubjectPublicKeyInfo */
};
struct door_operate {
    uint32_t uid;              /* SO_PEERCRED of the socket's peer: a filter, not a proof */
    struct ky_span operation;  /* serialized kyso.v1.Operation */
    struct ky_span signatures; /* repeated: bytes operator id, bytes signature (ky_put_bytes) */
};
/*
 * Rotation of the KEK. The ceremony pulls: each NEXT brings what was wrapped again and fetches what is to be. Its answer comes
 * after the commit, so what was brought is durable.
 */
enum door_kek_step { DOOR_KEK_HELLO = 1, DOOR_KEK_BEGIN, DOOR_KEK_NEXT, DOOR_KEK_END };
struct door_kek {
    uint8_t step;
    /* BEGIN */
    uint32_t generation; /* of the KEK that all shall be under */
    /* HMAC(state key, "kyso.kek" || boot || generation u32 || the two hashes): whoever says this holds the token's login */
    uint8_t proof[32];
    uint8_t backup_sha256[32]; /* of the file that has it */
    uint8_t transcript_sha256[32]; /* of the last line, which begins this rotation */
    struct ky_span custodians; /* who is present: "1,3" */
    /* NEXT: repeated u8 table, u32 row, SHA-256 of the blob that it had, ky_put_bytes of the new one */
    struct ky_span items;
};
struct door_r_kek {
    uint8_t boot[16];    /* HELLO: to be proved with */
    uint32_t generation; /* the newest that the server knows */
    uint32_t rows;       /* credentials and pool keys, with and without a wrapped key */
    uint8_t whole;       /* NEXT: END may be said. END: it is on the ledger; 0: go on */
    /* repeated u8 table, u32 row, u8 key_type, ky_put_bytes of blob and of public key */
    struct ky_span items;
};
struct door_cancel {
    uint8_t unused;
};

enum door_event_kind {
    DOOR_EVENT_NO_CERTIFICATE = 1,
    DOOR_EVENT_BAD_CERTIFICATE, /* untrusted, expired, wrong EKU */
    DOOR_EVENT_BAD_TLS,         /* version, renegotiation, early data */
    DOOR_EVENT_BAD_FRAME,       /* HTTP/2 or gRPC */
    DOOR_EVENT_BAD_MESSAGE,     /* protobuf or field rules */
    DOOR_EVENT_FLOOD,           /* resets, pings, settings, slow peers */
};
struct door_event {
    uint16_t kind;
    /* since the last record of this kind: a front sends at most one a second of each */
    uint32_t count;
    struct ky_span peer;            /* address of the last one, for the log; not evidence */
    uint8_t spki[KY_SPKI_HASH_LEN]; /* zero when there was none */
};

struct door_refused {
    uint16_t code; /* enum ky_code, already the wire code */
    uint32_t retry_after_ms;
};
struct door_r_info {
    struct ky_span server_id;
    struct ky_span version;
    struct ky_span client;
    struct ky_span algorithms; /* n * (u8 scheme, u8 hash) */
    uint32_t max_hashes;
    uint8_t signed_requests;
};
struct door_r_cred {
    struct ky_span credential_id;
    struct ky_span subject_id;
    uint8_t key_type;
    uint8_t state; /* numbers of kyso.v1.CredentialState */
    uint8_t storage;
    uint32_t epoch;
    uint32_t max_hashes;
    struct ky_span certificate;
    struct ky_span chain; /* repeated ky_put_bytes of DER */
    struct ky_span public_key;
};
/* CRED_LIST: door_r_cred each; APPROVAL_LIST: door_r_approval each; as ky_put_bytes */
struct door_r_list {
    struct ky_span items;
    struct ky_span next_page_token;
};
struct door_r_tx {
    struct ky_span request_id;
    struct ky_span transaction_id;
    uint8_t state; /* numbers of kyso.v1.TransactionState */
    uint8_t tx_digest[32];
    uint8_t nonce[KY_TX_NONCE_LEN];
    struct ky_span matching_code; /* only in BeginTransaction's reply */
    uint64_t not_after_s;
    struct ky_span sad; /* 32 bytes while authorized, else empty */
};
struct door_r_sign {
    struct ky_span request_id;
    struct ky_span transaction_id;
    uint16_t count;
    uint16_t sig_len;          /* raw length of each; the front makes DER where asked */
    struct ky_span signatures; /* count * sig_len */
    uint8_t scheme;
};
struct door_r_approval {
    struct ky_span transaction_id;
    struct ky_span server_id;
    struct ky_span client;
    struct ky_span relying_party;
    struct ky_span subject_id;
    struct ky_span credential_id;
    uint32_t credential_epoch;
    uint8_t key_spki_sha256[32];
    uint8_t scheme;
    uint8_t hash;
    uint8_t mgf_hash;
    uint16_t salt_len;
    struct ky_span hashes;
    struct ky_span display_text;
    uint64_t not_after_s;
    uint8_t nonce[KY_TX_NONCE_LEN];
    uint8_t state;
    struct ky_span choices; /* repeated ky_put_bytes of text */
};
struct door_r_decision {
    struct ky_span transaction_id;
    uint8_t state;
};
struct door_r_passkey {
    struct ky_span authenticator_id;
    struct ky_span subject_id;
    struct ky_span label;
    struct ky_span public_key;
    uint64_t usable_from_s;
};
struct door_r_operate {
    struct ky_span result; /* serialized kyso.v1.OperationResult */
};
enum door_serving { DOOR_NOT_SERVING, DOOR_SERVING, DOOR_SEALED };
struct door_heartbeat {
    /* enum door_serving. Starting or draining: the front answers new requests UNAVAILABLE itself; sealed: those that wait, too */
    uint8_t serving;
};

extern const struct ky_schema door_info_schema, door_cred_list_schema, door_cred_get_schema,
    door_tx_begin_schema, door_tx_authorize_schema, door_sign_schema, door_tx_wait_schema,
    door_tx_cancel_schema, door_approval_list_schema, door_approval_get_schema,
    door_approval_decide_schema, door_passkey_get_schema, door_passkey_enroll_schema, door_operate_schema, door_kek_schema, door_cancel_schema, door_event_schema;
extern const struct ky_schema door_refused_schema, door_r_info_schema, door_r_cred_list_schema,
    door_r_cred_schema, door_r_tx_schema, door_r_sign_schema, door_r_approval_list_schema,
    door_r_approval_schema, door_r_decision_schema, door_r_operate_schema, door_r_passkey_schema,
    door_r_kek_schema,
    door_heartbeat_schema;

#endif
