/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a client's request is judged, step by step, in the order that tells a stranger least. Every step gives KY_OK or the precise
 * code; judge_refuse() turns that code into a record and an unrevealing answer. Inside a turn only.
 */
#ifndef KYSO_JUDGE_H
#define KYSO_JUDGE_H

#include "authority_private.h"

struct asked { /* one request of a relying party while it is judged */
    struct authority *a;
    const struct request *r;
    struct reply_to to;
    struct door_tx m; /* spans into the payload */
    struct client *client;
    struct cache_entry *credential; /* borrowed from the cache for the decision */
    struct ky_algorithm algorithm;
    uint8_t content[32];
    uint8_t replay_key[MAP_KEY_LEN];
    struct ledger_denied why;  /* what a refusal's record will say */
    char tx_id[TX_ID_LEN + 1]; /* of the transaction made or found; spans of records point here */
    uint32_t retry_after_ms;
    uint32_t hash_count; /* judge_signable() */
    uint8_t lane;        /* of a SIGN that was let in: enum job_lane */
};
struct proof { /* what was proved, for the record that spends it */
    uint32_t authenticator_row;
    uint64_t step; /* or a passkey's counter; both only rise */
    uint8_t evidence_sha256[32];
};

/* The client of these SPKI bytes, known and not suspended. Errors: KY_UNAUTHENTICATED, KY_CLIENT_SUSPENDED. */
enum ky_code judge_client(struct authority *a, const uint8_t spki[KY_SPKI_HASH_LEN],
                          struct ledger_denied *why, struct client **out_client);
/* Decodes a BEGIN, AUTHORIZE or SIGN and finds its client, who signed it if it has to. Errors: those, KY_INVALID. */
enum ky_code judge_open(struct asked *q, struct authority *a, const struct request *r,
                        const struct ky_schema *schema, struct ky_span payload);
/* Where the client has a request key: did it sign this request? Errors: KY_REQUEST_UNSIGNED, _FORGED, _STALE. */
enum ky_code judge_signature(struct asked *q);
/* Fills content and replay_key from the request's own words; gives what its id stands for already, or NULL. */
const struct replay *judge_repeat(struct asked *q);
/* Rights, tenancy and counts for a credential (NULL = absent: same answer as another tenant's) and a number of hashes. */
enum ky_code judge_allowed(struct asked *q, struct cache_entry *credential, uint32_t hash_count);
/* May the client act for this relying party and subject at all? For requests that name no credential. */
enum ky_code judge_tenancy(struct authority *a, const struct request *r, const struct client *c,
                           struct ky_span relying_party, struct ky_span subject_id);
/* The credential signs now, and these digests. Errors: KY_INACTIVE, KY_INVALID, KY_HASH_FORBIDDEN, KY_UNSUPPORTED as KY_INVALID. */
enum ky_code judge_signable(struct asked *q);
uint32_t judge_hash_count(const struct door_tx *m); /* a broken rest counts as one */
/* Queues and indexes have room for one more, and a signature is there in time. KY_BUSY, KY_UNAVAILABLE; asked before any proof is looked at. */
enum ky_code judge_room(struct asked *q);
/* A code against the subject's authenticators. A failure is charged by the record of its refusal (P17). */
enum ky_code judge_totp(struct asked *q, struct proof *out);
/*
 * A device's decision over a transaction. The signature is verified before the matching code is compared, so that only the
 * device can end a transaction by a wrong one. Errors: KY_PROOF_UNCONFIRMED, KY_PROOF_LOCKED, KY_PROOF_WRONG,
 * KY_PROOF_MALFORMED, KY_PROOF_WRONG_CODE (the caller ends the transaction).
 */
struct device_word {
    struct ky_span authenticator_id;
    struct ky_span matching_code;
    struct ky_span signature;
    uint8_t decision;
};
enum ky_code judge_device(struct authority *a, const struct tx *t, const struct device_word *w,
                          struct ledger_denied *why, struct proof *out);
void judge_refuse(struct asked *q, enum ky_code code);
/* Is this code the caller's luck rather than a judgement? Then nothing is recorded. */
bool judge_is_passing(enum ky_code code);

/* repeat.c: what a Sign request's known id gives. Its reply is queued, or the caller waits with the first one, on KY_OK.
 * Errors: KY_CONFLICT, KY_PROOF_NEEDED (abandoned or failed), KY_INACTIVE, KY_BUSY. */
enum ky_code sign_repeat(struct asked *q, const struct replay *e);

/* The fields of the request as the digests take them. */
struct ky_tx_fields judge_fields(const struct asked *q);

#endif
