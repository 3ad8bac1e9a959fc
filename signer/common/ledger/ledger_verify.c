/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The streaming check of a ledger against roots that were signed. Pure, any thread.
 * Keeps: once broken, always broken; an expectation that was never reached is a failure.
 */
#include "ledger_verify.h"

#include <string.h>

#include "kyso/wire.h"

void ledger_verify_init(struct ledger_verifier *v)
{
    *v = (struct ledger_verifier){0};
}

static struct ky_status compare(struct ledger_verifier *v)
{
    uint8_t root[32];
    for (size_t i = 0; i < v->expect_count; i++) {
        if (v->expect[i].size != v->tree.size || v->expect[i].met) {
            continue;
        }
        merkle_root(&v->tree, root);
        v->expect[i].met = ky_span_eq(KY_SPAN_OF(root), KY_SPAN_OF(v->expect[i].root));
        if (!v->expect[i].met) {
            v->broken = true;
        }
    }
    return KY_STATUS(v->broken ? KY_CORRUPT : KY_OK);
}

struct ky_status ledger_verify_expect(struct ledger_verifier *v, uint64_t size,
                                      const uint8_t root[32])
{
    if (v->expect_count == LEDGER_EXPECT_MAX || size < v->tree.size) {
        return KY_STATUS(KY_INVALID);
    }
    v->expect[v->expect_count].size = size;
    memcpy(v->expect[v->expect_count].root, root, 32);
    v->expect_count++;
    return compare(v);
}

struct ky_status ledger_verify_leaf(struct ledger_verifier *v, struct ky_span leaf)
{
    struct ky_reader r =
        ky_reader(leaf); /* a type that this build does not know is a leaf all the same */
    uint64_t index = ky_get_u64(&r);
    if (leaf.len < LEDGER_LEAF_HEADER || leaf.len > LEDGER_LEAF_MAX || index != v->tree.size) {
        v->broken = true;
    }
    if (v->broken) {
        return KY_STATUS(KY_CORRUPT);
    }
    merkle_append(&v->tree, leaf);
    return compare(v);
}

struct ky_status ledger_verify_end(const struct ledger_verifier *v)
{
    bool good = !v->broken;
    for (size_t i = 0; i < v->expect_count; i++) {
        good = good && v->expect[i].met;
    }
    return KY_STATUS(good ? KY_OK : KY_CORRUPT);
}

uint64_t ledger_verify_size(const struct ledger_verifier *v)
{
    return v->tree.size;
}

void ledger_verify_root(const struct ledger_verifier *v, uint8_t out[32])
{
    merkle_root(&v->tree, out);
}
