/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks a ledger from its leaves alone: feed them all from the first, then compare with
 * checkpoints.
 * Holds no leaf, only the frontier, so a ledger of any size streams through. Any thread.
 *
 *   ledger_verify_init(&v);
 *   ledger_verify_expect(&v, size, root);   for each checkpoint whose note was verified, any order
 *   ledger_verify_leaf(&v, leaf);           for each leaf
 *   ledger_verify_end(&v);                  every expectation was met
 */
#ifndef KYSO_LEDGER_VERIFY_H
#define KYSO_LEDGER_VERIFY_H

#include "kyso/ledger.h"

#define LEDGER_EXPECT_MAX 16u

struct ledger_verifier {
    struct merkle tree;
    struct {
        uint64_t size;
        uint8_t root[32];
        bool met;
    } expect[LEDGER_EXPECT_MAX];
    size_t expect_count;
    bool broken;
};

void ledger_verify_init(struct ledger_verifier *v);
/* Before the leaves. Errors: KY_INVALID (too many, or that size is already past). */
KY_MUST_CHECK struct ky_status ledger_verify_expect(struct ledger_verifier *v, uint64_t size,
                                                    const uint8_t root[32]);
/*
 * Errors: KY_CORRUPT (not a leaf, not the next index, or the root at an expected size differs):
 * final.
 */
KY_MUST_CHECK struct ky_status ledger_verify_leaf(struct ledger_verifier *v, struct ky_span leaf);
/*
 * Errors: KY_CORRUPT (an earlier failure, or the ledger ends before an expected size: it was cut).
 */
KY_MUST_CHECK struct ky_status ledger_verify_end(const struct ledger_verifier *v);
/* Leaves so far, and their root. */
uint64_t ledger_verify_size(const struct ledger_verifier *v);
void ledger_verify_root(const struct ledger_verifier *v, uint8_t out[32]);

#endif
