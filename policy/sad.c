/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of an authorized transaction's hashes a request spends: each at most once, all
 * of the request or none of it. Pure: any thread. Serves I3: out_take is what
 * the caller writes together with the intent.
 */
#include "kyso/policy.h"

#include <string.h>

#define NOT_LISTED SIZE_MAX
#define HEAD_LEN   sizeof(uint64_t) /* no digest is shorter */

struct hash_list {
    struct ky_span bytes;
    size_t hash_len;
    size_t count;
};

static bool hash_list(struct ky_span bytes, size_t hash_len, struct hash_list *out)
{
    if (hash_len < HEAD_LEN || hash_len > KY_DIGEST_MAX || bytes.len == 0 || bytes.len % hash_len != 0 ||
        bytes.len / hash_len > KY_HASHES_MAX) {
        return false;
    }
    *out = (struct hash_list){bytes, hash_len, bytes.len / hash_len};
    return true;
}

static struct ky_span hash_at(const struct hash_list *l, size_t i)
{
    return KY_SPAN(l->bytes.data + i * l->hash_len, l->hash_len);
}

static uint64_t head_of(const uint8_t *hash)
{
    uint64_t head;
    memcpy(&head, hash, sizeof(head));
    return head;
}

/* Digests differ in their first bytes: a list of 256 is passed over quickly. */
static size_t index_of(const struct hash_list *l, struct ky_span h)
{
    const uint64_t head = head_of(h.data);
    const uint8_t *at = l->bytes.data;
    for (size_t i = 0; i < l->count; i++, at += l->hash_len) {
        if (head_of(at) == head && ky_span_eq(hash_at(l, i), h)) {
            return i;
        }
    }
    return NOT_LISTED;
}

static bool bit(const uint8_t *bits, size_t i)
{
    return (bits[i / 8] & 1u << (i % 8)) != 0;
}

static uint32_t bits_in(unsigned byte)
{
    byte = byte - ((byte >> 1) & 0x55u);
    byte = (byte & 0x33u) + ((byte >> 2) & 0x33u);
    return (byte + (byte >> 4)) & 0x0fu;
}

/* Fills take. An unlisted hash outranks a repeated one, and that a spent one, wherever they stand. */
static struct ky_status match_all(const struct hash_list *listed, const struct hash_list *requested,
                                  const uint8_t *used, uint8_t *take)
{
    bool any_spent = false;
    bool any_twice = false;
    for (size_t i = 0; i < requested->count; i++) {
        const size_t at = index_of(listed, hash_at(requested, i));
        if (at == NOT_LISTED) {
            return KY_STATUS(KY_HASH_NOT_IN_SAD);
        }
        any_spent = any_spent || bit(used, at);
        any_twice = any_twice || bit(take, at);
        take[at / 8] = (uint8_t)(take[at / 8] | 1u << (at % 8));
    }
    if (any_twice) {
        return KY_STATUS(KY_INVALID);
    }
    return any_spent ? KY_STATUS(KY_HASH_SPENT) : KY_STATUS(KY_OK);
}

struct ky_status policy_sad_take(struct ky_span listed, struct ky_span requested, size_t hash_len,
                                 const uint8_t *used, uint8_t *out_take, uint32_t *out_left)
{
    struct hash_list all;
    struct hash_list wanted;
    if (!hash_list(listed, hash_len, &all) || !hash_list(requested, hash_len, &wanted)) {
        return KY_STATUS(KY_INVALID);
    }
    uint8_t take[(KY_HASHES_MAX + 7) / 8] = {0};
    const struct ky_status status = match_all(&all, &wanted, used, take);
    if (!ky_ok(status)) {
        return status;
    }
    uint32_t gone = 0;
    for (size_t i = 0; i < (all.count + 7) / 8; i++) {
        const unsigned listed_here = all.count - i * 8 < 8 ? (1u << (all.count % 8)) - 1 : 0xffu;
        gone += bits_in((used[i] | take[i]) & listed_here);
        out_take[i] = take[i];
    }
    *out_left = (uint32_t)all.count - gone;
    return KY_STATUS(KY_OK);
}
