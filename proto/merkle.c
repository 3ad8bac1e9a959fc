/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RFC 6962 s.2.1 hashing over a frontier. Authority's thread, and any offline check.
 * Keeps: peaks[i] is set exactly when bit i of size is, the rest are zero, so two frontiers of one
 * ledger are equal byte by byte.
 */
#include <string.h>

#include "kyso/ledger.h"
#include "sha256.h"

static void hash_leaf(struct ky_span leaf, uint8_t out[32])
{
    static const uint8_t prefix[1] = {0x00};
    struct ky_sha256_state h;
    ky_sha256_init(&h);
    ky_sha256_add(&h, KY_SPAN_OF(prefix));
    ky_sha256_add(&h, leaf);
    ky_sha256_end(&h, out);
}

/* out may be either input. */
static void hash_node(const uint8_t left[32], const uint8_t right[32], uint8_t out[32])
{
    uint8_t node[65] = {0x01};
    memcpy(node + 1, left, 32);
    memcpy(node + 33, right, 32);
    ky_sha256(KY_SPAN_OF(node), out);
}

void merkle_append(struct merkle *m, struct ky_span leaf)
{
    uint8_t h[32];
    unsigned level = 0;
    hash_leaf(leaf, h);
    for (; (m->size >> level & 1) != 0; level++) {
        hash_node(m->peaks[level], h, h);
        memset(m->peaks[level], 0, 32);
    }
    memcpy(m->peaks[level], h, 32);
    m->size++;
}

void merkle_root(const struct merkle *m, uint8_t out[32])
{
    bool any = false;
    for (unsigned level = 0; level < 64; level++) {
        if ((m->size >> level & 1) == 0)
            continue;
        if (any)
            hash_node(m->peaks[level], out, out);
        else
            memcpy(out, m->peaks[level], 32);
        any = true;
    }
    if (!any)
        ky_sha256(KY_SPAN(NULL, 0), out);
}
