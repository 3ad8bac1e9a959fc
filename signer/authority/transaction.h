/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sign.c and approve.c share of transactions: their digests, their ends, their SADs. Inside a turn only.
 */
#ifndef KYSO_TRANSACTION_H
#define KYSO_TRANSACTION_H

#include "judge.h"

#define TX_TTL_MAX_S  600u
#define SAD_TTL_S     300u
#define SAD_TTL_MAX_S 7200u

/* Everything the tx digest covers; q->credential is set. */
struct ky_tx_fields transaction_fields(const struct asked *q, struct ky_span id,
                                       const uint8_t nonce[KY_TX_NONCE_LEN], uint64_t not_after_s);
/* Appends LEDGER_ENDED. A failure has sealed the node. */
void transaction_end(struct authority *a, const struct tx *t, uint8_t state, enum ky_code reason,
                     const struct proof *by, bool not_me);
/*
 * Appends LEDGER_AUTHORIZED with a SAD of ttl_s. request_id is empty for an approver's decision. The SAD is
 * HMAC-SHA256(state key, "kyso.sad" || id || nonce): as unguessable as a random one while the state key is secret, and it can be
 * told again to the client that owns the transaction without being stored anywhere.
 */
KY_MUST_CHECK bool transaction_authorize(struct authority *a, const struct tx *t, uint8_t proof,
                                         const struct proof *by, struct ky_span request_id,
                                         uint32_t ttl_s);
/* A transaction as its owner sees it. The matching code is told by Begin only. */
void transaction_reply(struct authority *a, const struct reply_to *to, const struct tx *t,
                       struct ky_span request_id, bool with_code);
/* A waiter whose caller went away. */
void transaction_forget_waiter(struct authority *a, const struct reply_to *who);

#endif
