/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a busy day leaves in a ledger: intents and receipts of people who each signed once by a
 * code. Staged by the store and applied to the fold as the authority does; the signatures in them
 * are random bytes, since nobody reads them again.
 */
#ifndef BENCH_GROWTH_TRAFFIC_H
#define BENCH_GROWTH_TRAFFIC_H

#include "state.h"

struct traffic {
    struct store *store; /* both borrowed from the caller */
    struct state *state;
    struct ky_span relying_party;
    uint32_t client_row;
    uint32_t first, people;     /* subject and credential rows first .. first + people - 1 */
    uint32_t first_totp, totps; /* authenticator rows: `totps` for each of them, in order */
    uint64_t oldest_step;       /* of the first round; each next round takes the next */
};

/* Stages the n-th signature: the next person's, in turn. */
KY_MUST_CHECK struct ky_status traffic_add(const struct traffic *t, uint64_t n);

#endif
