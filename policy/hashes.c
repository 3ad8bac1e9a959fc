/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may be signed: the allow-list of hashes and schemes, and the form of a list of
 * digests. Runs before anything is reserved, so that no bad digest
 * reaches a vault. Pure: any thread.
 */
#include "kyso/policy.h"

static bool repeats_earlier(struct ky_span hashes, size_t len, size_t at)
{
    const struct ky_span one = KY_SPAN(hashes.data + at, len);
    for (size_t i = 0; i < at; i += len) {
        if (ky_span_eq(KY_SPAN(hashes.data + i, len), one)) {
            return true;
        }
    }
    return false;
}

struct ky_status policy_hashes_check(uint8_t key_type, const struct ky_algorithm *a,
                                     struct ky_span hashes, uint32_t *out_count)
{
    /* SHA-1 and whatever else has no row in the tables is forbidden, not merely unfit for this key. */
    const size_t len = ky_hash_len(a->hash);
    if (len == 0 || a->scheme == KY_SCHEME_NONE || a->scheme >= KY_SCHEME_COUNT) {
        return KY_STATUS(KY_HASH_FORBIDDEN);
    }
    const struct ky_status fits = ky_algorithm_check(key_type, a);
    if (!ky_ok(fits)) {
        return fits;
    }
    if (hashes.len == 0 || hashes.len % len != 0 || hashes.len / len > KY_HASHES_MAX) {
        return KY_STATUS(KY_INVALID);
    }
    for (size_t at = 0; at < hashes.len; at += len) {
        if (ky_span_all_zero(KY_SPAN(hashes.data + at, len))) {
            return KY_STATUS(KY_HASH_FORBIDDEN);
        }
        if (repeats_earlier(hashes, len, at)) {
            return KY_STATUS(KY_INVALID);
        }
    }
    *out_count = (uint32_t)(hashes.len / len);
    return KY_STATUS(KY_OK);
}
