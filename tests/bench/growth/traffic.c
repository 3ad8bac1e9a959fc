/* SPDX-License-Identifier: Apache-2.0 */
/* One LEDGER_INTENT, one LEDGER_RECEIPT: the two records that a signature by a code costs. */
#include "traffic.h"

#include <stdio.h>

#include "kyso/alg.h"
#include "kyso/record.h"

#define SIG_LEN 64u

static struct ky_status append(const struct traffic *t, const struct ky_schema *schema,
                               const void *msg, uint64_t *out_index)
{
    struct ledger_leaf leaf = {.time_us = ky_wall_us(), .type = schema->type};
    struct ky_status st =
        store_append(t->store, schema, msg, leaf.time_us, KY_SPAN(NULL, 0), &leaf.index);

    if (ky_ok(st))
        st = state_apply(t->state, &leaf, msg, KY_SPAN(NULL, 0));
    *out_index = leaf.index;
    return st;
}

struct ky_status traffic_add(const struct traffic *t, uint64_t n)
{
    uint32_t person = (uint32_t)(n % t->people);
    char transaction_id[TX_ID_LEN + 1];
    char request_id[32];
    uint8_t random[MAP_KEY_LEN + 32 + SIG_LEN];
    uint64_t index = 0;
    struct ky_status st = ky_random(random, sizeof(random));

    tx_id_write(random, transaction_id);
    (void)snprintf(request_id, sizeof(request_id), "grown-%llu", (unsigned long long)n);
    struct ledger_intent intent = {
        .kind = LEDGER_INTENT_SIGN,
        .proof = KY_PROOF_TOTP,
        .transaction_id = ky_span_text(transaction_id),
        .request_id = ky_span_text(request_id),
        .client_row = t->client_row,
        .relying_party = t->relying_party,
        .subject_row = t->first + person,
        .credential_row = t->first + person,
        .credential_epoch = 1,
        .scheme = KY_ECDSA,
        .hash = KY_SHA256,
        .hashes = KY_SPAN(random + MAP_KEY_LEN, 32),
        .not_after_s = ky_wall_us() / 1000000u,
        .authenticator_row = t->first_totp + person * t->totps,
        .step = t->oldest_step + n / t->people,
    };
    if (ky_ok(st))
        st = append(t, &ledger_intent_schema, &intent, &index);
    struct ledger_receipt receipt = {
        .intent = index,
        .outcome = LEDGER_SIGNED,
        .sig_len = SIG_LEN,
        .signatures = KY_SPAN(random + MAP_KEY_LEN + 32, SIG_LEN),
    };
    return ky_ok(st) ? append(t, &ledger_receipt_schema, &receipt, &index) : st;
}
