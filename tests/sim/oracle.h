/* SPDX-License-Identifier: Apache-2.0 */
/* What was committed, as the leaves tell it, and the rules that judge it. */
#ifndef KYSO_SIM_ORACLE_H
#define KYSO_SIM_ORACLE_H

#include "asked.h"

#define ROWS   64u /* of any table */
#define STEP_S 30u /* of a code */

struct sim;
struct o_intent {
    uint64_t index, receipt;
    uint32_t order, key_row, epoch, subject, authenticator, client, count;
    uint8_t outcome;
    uint8_t answer[32];
};
struct o_tx {
    char id[40];
    uint64_t index, authorized; /* leaves */
    uint32_t order, credential, client, subject, authenticator, epoch;
    uint64_t not_after_s, sad_not_after_s;
    uint8_t sad_sha256[32];
    bool ended;
};
struct o_row { /* of a credential, authenticator or client */
    bool off;
    uint32_t epoch;
    uint64_t changed;  /* the leaf that changed it: older authority is void */
    uint64_t acked_at; /* turn whose replies told that it is off; 0 = not told */
};
struct o_subject {
    uint32_t failures, total, locks;
    uint64_t locked_until_s, not_me;
};
struct oracle {
    struct merkle tree; /* of every leaf seen */
    struct o_intent *intents;
    struct o_tx *txs;
    uint32_t intent_count, tx_count, cap;
    struct o_row credentials[ROWS], authenticators[ROWS], clients[ROWS];
    struct o_subject subjects[ROWS];
    uint64_t last_step[ROWS];
    uint64_t floor_step, voided; /* leaf of the last ANCHORED */
    uint64_t now_s;              /* the latest time seen: the clock of decisions never goes back */
    uint64_t operation;          /* leaf, + 1, of the last OPERATION, and which it was */
    struct operation *op;
    bool expects_anchored, anchored;
    bool reread;                  /* after a start: are all leaves still there? */
    uint32_t denied, denied_seen; /* without a request id: in the ledger, by callers */
};

void oracle_start(struct sim *s);
void oracle_read(struct sim *s); /* new leaves; after a start the old ones too */
struct o_intent *oracle_intent_of(struct sim *s, const uint8_t hash[32]);
struct o_tx *oracle_tx(struct sim *s, struct ky_span id);
struct o_tx *oracle_open_tx(struct sim *s, struct ky_span id, const char *what); /* or a breach */
/* Credential of that epoch and client are in force, or it is a breach. */
void oracle_must_be_usable(struct sim *s, uint32_t credential, uint32_t epoch, uint32_t client,
                           const char *what);
/* The order that a record names: id and client, and the hashes where they tell more. */
struct order *oracle_order(struct sim *s, struct ky_span id, uint32_t client_row,
                           struct ky_span hashes);
uint32_t oracle_order_number(const struct sim *s, const struct order *o);

/* spends.c */
void spends_step(struct sim *s, const struct order *o, uint32_t subject, uint32_t authenticator,
                 uint64_t step);
void spends_failure(struct sim *s, uint32_t subject);
bool spends_device_said_yes(const struct sim *s, const struct o_tx *t);
void spends_intent(struct sim *s, uint64_t index, const void *msg);
void spends_receipt(struct sim *s, uint64_t index, const void *msg);

#endif
