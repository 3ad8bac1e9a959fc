/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes that a citizen authorizes. Canonical form: a domain tag, then every
 * field length-prefixed in the order below, so that no two transactions share an encoding.
 * PROTOCOL.md, "The transaction digest", is the published description.
 */
#ifndef KYSO_TX_H
#define KYSO_TX_H

#include "kyso/alg.h"

#define KY_TX_NONCE_LEN 16u
#define KY_DISPLAY_TEXT_MAX 2000u
#define KY_NAME_MAX 64u   /* server id, client name, relying party, request id, subject, ... */

struct ky_tx_fields {
    struct ky_span server_id;
    struct ky_span client;         /* the client's name */
    struct ky_span relying_party;
    struct ky_span transaction_id;
    struct ky_span subject_id;
    struct ky_span credential_id;
    uint32_t credential_epoch;
    uint8_t key_spki_sha256[32];
    struct ky_algorithm algorithm;
    struct ky_span hashes;         /* hash_len bytes each, in order */
    struct ky_span display_text;   /* enters as its SHA-256 */
    uint64_t not_after_s;          /* seconds since the epoch */
    uint8_t nonce[KY_TX_NONCE_LEN];
};

void ky_tx_digest(const struct ky_tx_fields *tx, uint8_t out[32]);
/* What a repeat is compared by: the caller's own words, proof left out (no id, nonce or not_after). */
void ky_tx_content_digest(const struct ky_tx_fields *tx, uint8_t out[32]);

enum ky_decision { KY_DECISION_NONE = 0, KY_DECISION_APPROVE = 1, KY_DECISION_REJECT = 2, KY_DECISION_NOT_ME = 3 };

/* SHA-256("kyso.v1.approval" || 0 || tx_digest || decision || len || matching_code): what a device signs. */
void ky_approval_challenge(const uint8_t tx_digest[32], uint8_t decision, struct ky_span matching_code, uint8_t out[32]);

#endif
