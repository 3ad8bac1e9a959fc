/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes that a citizen authorizes. Canonical form: a domain tag, then every
 * field length-prefixed in the order below, so that no two transactions share an encoding.
 * PROTOCOL.md, "The transaction digest", is the published description;
 * tests/vectors/tx.json has examples that a second implementation made.
 *
 *   field(b)  = u32 big-endian length of b, then b
 *   algorithm = u8 scheme, u8 hash, u8 mgf_hash, u16 big-endian salt length
 *               (5 bytes; the numbers of types.proto).
 *               RSA_PSS: mgf_hash 0 ("the same") is written as the hash's own number.
 *               Every other scheme: mgf_hash and salt length are 0 whatever the request said.
 *   hashes    = field(u32 big-endian count), then field(hash) for each, in the request's order
 *
 *   tx digest = SHA-256(
 *       "kyso.v1.tx" 0x00,
 *       field(server id), field(client name), field(relying party), field(transaction id),
 *       field(subject id), field(credential id), field(u32 big-endian credential epoch),
 *       field(32 bytes: SHA-256 of the key's DER SubjectPublicKeyInfo),
 *       field(algorithm), hashes,
 *       field(32 bytes: SHA-256 of the display text's UTF-8 bytes; of nothing when it is empty),
 *       field(u64 big-endian not-after, seconds since the epoch), field(16 bytes nonce))
 *
 *   content digest = SHA-256(
 *       "kyso.v1.content" 0x00,
 *       field(relying party), field(credential id), field(algorithm), hashes,
 *       field(32 bytes: SHA-256 of the display text))
 *
 *   approval challenge = SHA-256(
 *       "kyso.v1.approval" 0x00, 32 bytes tx digest, u8 decision,
 *       u8 length of the matching code, then the code)
 *
 *   request digest = SHA-256(
 *       "kyso.v1.request" 0x00,
 *       field(server id), field(client name), field(u8 kind of request: enum door_type),
 *       field(request id), field(relying party), field(transaction id), field(credential id),
 *       field(algorithm), hashes, field(32 bytes: SHA-256 of the display text),
 *       field(u32 big-endian ttl), field(u8 kind of proof: enum ky_proof_kind),
 *       field(authenticator id), field(code or SAD), field(matching code),
 *       field(device's signature), field(u64 big-endian expiry, seconds since the epoch))
 *   What a request does not say is empty or 0; five zero bytes for an algorithm.
 *
 * The signature's encoding (DER or raw) is not part of what is authorized.
 */
#ifndef KYSO_TX_H
#define KYSO_TX_H

#include "kyso/alg.h"

#define KY_TX_NONCE_LEN     16u
#define KY_DISPLAY_TEXT_MAX 2000u
#define KY_NAME_MAX         64u /* server id, client, relying party, request id, ... */

struct ky_tx_fields {
    struct ky_span server_id;
    struct ky_span client; /* the client's name */
    struct ky_span relying_party;
    struct ky_span transaction_id;
    struct ky_span subject_id;
    struct ky_span credential_id;
    uint32_t credential_epoch;
    uint8_t key_spki_sha256[32];
    struct ky_algorithm algorithm;
    /* ky_hash_len(algorithm.hash) bytes each, in order: the caller checked */
    struct ky_span hashes;
    struct ky_span display_text; /* enters as its SHA-256 */
    uint64_t not_after_s;        /* seconds since the epoch */
    uint8_t nonce[KY_TX_NONCE_LEN];
};

void ky_tx_digest(const struct ky_tx_fields *tx, uint8_t out[32]);
/*
 * What a repeat is compared by: the caller's own words, proof left out (no id, nonce or not_after).
 */
void ky_tx_content_digest(const struct ky_tx_fields *tx, uint8_t out[32]);

/* What a relying party's signature binds beside the fields of the transaction. */
struct ky_request_fields {
    uint8_t type; /* enum door_type: BEGIN, AUTHORIZE, SIGN or CANCEL */
    struct ky_span request_id;
    uint32_t ttl_s;
    uint8_t proof; /* enum ky_proof_kind; the proof itself is bound, so that it moves to no other request */
    struct ky_span authenticator_id;
    struct ky_span proof_secret; /* code or SAD */
    struct ky_span matching_code;
    struct ky_span proof_signature;
    uint64_t expires_s;
};

/* Of tx only what a request says itself: server, client, relying party, ids, algorithm, hashes, text. */
void ky_request_digest(const struct ky_tx_fields *tx, const struct ky_request_fields *r,
                       uint8_t out[32]);

enum ky_decision {
    KY_DECISION_NONE = 0,
    KY_DECISION_APPROVE = 1,
    KY_DECISION_REJECT = 2,
    KY_DECISION_NOT_ME = 3
};

/*
 * What a device signs: the approval challenge above. An approval carries the matching code's ASCII
 * digits, any other decision an empty code.
 */
void ky_approval_challenge(const uint8_t tx_digest[32], uint8_t decision,
                           struct ky_span matching_code, uint8_t out[32]);

#endif
