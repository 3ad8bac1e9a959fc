/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happened. A leaf is u64 index, u64 time (microseconds since the epoch, UTC),
 * u16 type, then the message by its schema. Leaves are hashed per RFC 6962 (0x00 prefix)
 * and never change. A record's schema never changes either: a new form takes a new type.
 * Personal data enters as SHA-256(16 salt bytes || text); salt || text stands in the side table.
 */
#ifndef KYSO_LEDGER_H
#define KYSO_LEDGER_H

#include "kyso/door.h"
#include "kyso/msg.h"

#define LEDGER_LEAF_HEADER 18u
#define LEDGER_LEAF_MAX    (144u * 1024u) /* KY_HASHES_MAX RSA-4096 signatures and their header */

enum ledger_type {
    LEDGER_GENESIS = 1,
    LEDGER_START,
    LEDGER_STOP,
    LEDGER_ADMIN,     /* one row written; the operation's signers are named */
    LEDGER_OPERATION, /* an operator's operation was accepted: its nonce is spent */
    LEDGER_BEGIN,     /* a pending transaction */
    LEDGER_AUTHORIZED,
    LEDGER_ENDED, /* rejected, expired, cancelled, or ended by a wrong matching code */
    LEDGER_INTENT,
    LEDGER_RECEIPT,
    LEDGER_DENIED, /* `charged` ones count against subject and client */
    LEDGER_UNLOCKED,
    LEDGER_CLIENT_STATE, /* a client was suspended by its failures */
    LEDGER_EVENT,        /* refused before it was a request */
    /* written after a start whose head was not the anchor: old codes and SADs are void */
    LEDGER_ANCHORED,
    LEDGER_CEREMONY, /* beside genesis: how the token got its keys */
    LEDGER_DESTROYED, /* a credential's key is gone: backups are to forget the blob */
    LEDGER_CRL,       /* a revocation list was taken; the rows that it changes name this record */
    LEDGER_PASSKEY,   /* a person's browser brought the key of their passkey; the row that has it names this record */
    LEDGER_KEK,       /* a sitting of a KEK's rotation; the rows that are wrapped again name its begin */
    LEDGER_ACTIVATED, /* beside start: custodians gave the PIN that the server runs under */
    LEDGER_CLOCK,     /* the clock has become synchronised with UTC, or is no longer */
};

struct ledger_genesis {
    struct ky_span server_id;
    uint8_t demo;
    struct ky_span ledger_key; /* DER SubjectPublicKeyInfo of the checkpoint key */
    uint8_t config_sha256[32];
};
struct ledger_start {
    struct ky_span version;
    uint8_t config_sha256[32];
    uint8_t boot[16];
    uint8_t clean;      /* the last stop was clean and the head equals the anchor */
    uint8_t clock_sync; /* adjtimex: 1 synchronised, 0 not, 2 unknown */
};
struct ledger_stop {
    uint8_t boot[16];
    struct ky_span reason;
};
struct ledger_admin {
    uint8_t table; /* enum row_table */
    uint32_t row;
    uint32_t version;
    uint8_t row_sha256[32]; /* of the encoded row */
    uint64_t operation;     /* index of the LEDGER_OPERATION record; 0 = the server's own act */
};
struct ledger_operation {
    struct ky_span name; /* "enroll-device" */
    uint8_t digest[32];  /* of the signed bytes */
    uint8_t nonce[16];
    uint64_t expires_s;
    struct ky_span operators; /* names, comma-separated */
    struct ky_span target;    /* public id of what it is about; never personal data */
    uint32_t uid;
};
struct ledger_tx { /* BEGIN, and the head of a one-shot INTENT's transaction */
    struct ky_span transaction_id;
    struct ky_span request_id;
    uint32_t client_row;
    struct ky_span relying_party;
    uint32_t subject_row;
    uint32_t credential_row;
    uint32_t credential_epoch;
    uint8_t key_spki_sha256[32];
    uint8_t scheme;
    uint8_t hash;
    uint8_t mgf_hash;
    uint16_t salt_len;
    struct ky_span hashes;
    uint8_t display_sha256[32]; /* salted */
    uint8_t content_sha256[32]; /* ky_tx_content_digest */
    uint8_t tx_digest[32];
    uint8_t nonce[KY_TX_NONCE_LEN];
    uint64_t not_after_s;
    /* salted hash (32 bytes) in the ledger; plain in the side table */
    struct ky_span matching_code;
};
struct ledger_authorized {
    struct ky_span transaction_id;
    struct ky_span request_id; /* of Authorize; empty for an approver's decision */
    uint8_t proof;
    uint32_t authenticator_row;
    uint64_t step; /* TOTP step spent, or the passkey's counter, else 0 */
    uint8_t sad_sha256[32];
    uint64_t not_after_s;        /* of the SAD */
    uint8_t evidence_sha256[32]; /* of the device's signature, zero for TOTP */
};
struct ledger_ended {
    struct ky_span transaction_id;
    uint8_t state;   /* kyso.v1.TransactionState */
    uint16_t reason; /* enum ky_code */
    uint8_t not_me;
    uint32_t authenticator_row; /* who decided, 0 = none */
};
enum ledger_intent_kind { LEDGER_INTENT_SIGN = 1, LEDGER_INTENT_CSR = 2 };
struct ledger_intent {
    uint8_t kind;  /* enum ledger_intent_kind */
    uint8_t proof; /* what authorized it; SAD names the transaction */
    struct ky_span transaction_id;
    struct ky_span request_id;
    uint32_t client_row;
    struct ky_span relying_party;
    uint32_t subject_row;
    uint32_t credential_row;
    uint32_t credential_epoch;
    uint8_t key_spki_sha256[32];
    uint8_t scheme;
    uint8_t hash;
    uint8_t mgf_hash;
    uint16_t salt_len;
    struct ky_span hashes; /* what will be signed: I1 */
    uint8_t display_sha256[32];
    uint8_t content_sha256[32]; /* what a repeat of the request id is compared with */
    uint8_t tx_digest[32];
    uint8_t nonce[KY_TX_NONCE_LEN];
    uint64_t not_after_s;
    uint32_t authenticator_row; /* of a one-shot proof, else 0 */
    uint64_t step;              /* TOTP step spent here, or the passkey's counter, else 0: I3 */
    uint8_t evidence_sha256[32];
    uint8_t ends_transaction; /* 1 when no hash of the transaction is left */
};
enum ledger_outcome { LEDGER_SIGNED = 1, LEDGER_FAILED = 2, LEDGER_ABANDONED = 3 };
struct ledger_receipt {
    uint64_t intent; /* index of the intent: I4 */
    uint8_t outcome;
    uint16_t code; /* enum ky_code when not signed */
    uint32_t cause;
    uint16_t sig_len;
    struct ky_span signatures;
};
struct ledger_denied {
    uint16_t reason;       /* enum ky_code, precise */
    uint16_t request_type; /* enum door_type */
    uint8_t charged;
    uint32_t client_row;
    uint32_t subject_row;
    uint32_t credential_row;
    uint32_t authenticator_row;
    struct ky_span transaction_id;
    struct ky_span request_id;
    uint8_t spki[KY_SPKI_HASH_LEN]; /* of an unknown client, else zero */
};
struct ledger_unlocked {
    uint32_t subject_row;
    uint64_t operation;
};
struct ledger_client_state {
    uint32_t client_row;
    uint8_t suspended;
    uint16_t reason;
};
struct ledger_event {
    uint8_t door;
    uint16_t kind;
    uint32_t count;
    uint8_t spki[KY_SPKI_HASH_LEN];
};
struct ledger_anchored {
    uint64_t anchor_size;
    uint64_t head_size;
    uint64_t refuse_until_step_time_s;
};
struct ledger_ceremony {
    uint8_t transcript_sha256[32]; /* of the file that kyso-ceremony wrote, as it was at --init */
};

struct ledger_destroyed {
    uint32_t credential_row;
    uint8_t storage;
    uint8_t blob_sha256[32]; /* of the wrapped key, or of the object's CKA_ID */
    uint64_t operation;
};
struct ledger_crl {
    uint8_t sha256[32];        /* of its DER */
    uint8_t issuer_sha256[32]; /* of the issuer's name, DER */
    uint64_t this_update_s;
    uint64_t next_update_s;
};
struct ledger_activated {
    uint8_t start_sha256[32];  /* names the key that their shares were sealed to; they saw its first half */
    struct ky_span custodians; /* "1,3" */
};
struct ledger_clock {
    uint8_t state; /* 1 synchronised, 0 not, 2 unknown */
    uint32_t error_us;
};

struct ledger_passkey {
    uint32_t client_row; /* who brought it */
    uint32_t authenticator_row;
    uint8_t key_sha256[32];
};
enum ledger_kek_event { LEDGER_KEK_BEGUN = 1, LEDGER_KEK_ENDED = 2 };
struct ledger_kek {
    uint8_t event;
    uint32_t generation;           /* of the new KEK */
    uint8_t backup_sha256[32];     /* of the file that has it */
    uint8_t transcript_sha256[32]; /* of the ceremony's last line */
    struct ky_span custodians;     /* their numbers in the plan, comma-separated */
    /* ENDED: no blob is under an older KEK */
    uint32_t credentials;
    uint32_t pool_keys;
    uint8_t blobs_sha256[32]; /* from zeros, for each row in order: SHA-256(it || table u8 || row u32 || SHA-256(blob)) */
};

extern const struct ky_schema ledger_genesis_schema, ledger_start_schema, ledger_stop_schema,
    ledger_admin_schema, ledger_operation_schema, ledger_begin_schema, ledger_authorized_schema,
    ledger_ended_schema, ledger_intent_schema, ledger_receipt_schema, ledger_denied_schema,
    ledger_unlocked_schema, ledger_client_state_schema, ledger_event_schema, ledger_anchored_schema,
    ledger_ceremony_schema, ledger_destroyed_schema, ledger_crl_schema,
    ledger_passkey_schema, ledger_kek_schema, ledger_activated_schema,
    ledger_clock_schema;

const struct ky_schema *ledger_schema(uint16_t type); /* NULL when unknown */

struct ledger_leaf { /* the header, taken apart */
    uint64_t index;
    uint64_t time_us;
    uint16_t type;
    struct ky_span body;
};
/*
 * The body is borrowed from the leaf and not yet decoded. KY_INVALID: short, over LEDGER_LEAF_MAX,
 * or an unknown type.
 */
KY_MUST_CHECK struct ky_status ledger_leaf_parse(struct ky_span leaf, struct ledger_leaf *out);

/* RFC 6962 s.2.1 tree hashing over a frontier: append in O(log n), no stored tree. */
struct merkle {
    uint64_t size;
    uint8_t peaks[64][32]; /* one per set bit of size; the largest subtree has the highest index */
};
void merkle_append(struct merkle *m, struct ky_span leaf);
void merkle_root(const struct merkle *m, uint8_t out[32]); /* of zero leaves: SHA-256("") */

#endif
