/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pure decisions over what strangers send: codes, lists of hashes, what a SAD lets be spent,
 * counters of failures. Input: which, then its arguments. What is granted is checked against the
 * plainest statement of the rule.
 */
#include <string.h>

#include "fuzz.h"
#include "kyso/policy.h"

static void totp(struct ky_reader *r)
{
    struct policy_totp p = {.hash = ky_get_u8(r) % 4, .digits = ky_get_u8(r) % 10};
    uint64_t now_s = ky_get_u64(r) >> (ky_get_u8(r) % 64), step = 0, center;
    char right[9] = "";

    p.window = ky_get_u8(r) % 4;
    center = now_s / POLICY_TOTP_PERIOD_S;
    p.last_step = center + ky_get_u8(r) % 8 - 4;
    p.floor_step = center + ky_get_u8(r) % 8 - 6;
    bool make = ky_get_u8(r) & 1;
    uint64_t off = ky_get_u8(r) % 8;
    struct ky_span seed = ky_get_raw(r, r->left < 20 ? r->left : 20), code = fuzz_rest(r);

    if (make && ky_ok(policy_totp_code(p.hash, p.digits, seed, center + off - 4, right)))
        code = ky_span_text(right);
    if (!ky_ok(policy_totp_check(&p, seed, code, now_s, &step)))
        return;
    FUZZ_CHECK(step > p.last_step && step > p.floor_step && step > 0);
    FUZZ_CHECK(step + p.window >= center && step <= center + p.window);
    FUZZ_CHECK(ky_ok(policy_totp_code(p.hash, p.digits, seed, step, right)));
    FUZZ_CHECK(ky_span_eq(code, ky_span_text(right)));
    p.last_step = step; /* spent */
    FUZZ_CHECK(!ky_ok(policy_totp_check(&p, seed, code, now_s, &step)));
}

static bool listed_twice(struct ky_span list, size_t len)
{
    for (size_t i = 0; i + len <= list.len; i += len)
        for (size_t k = i + len; k + len <= list.len; k += len)
            if (memcmp(list.data + i, list.data + k, len) == 0)
                return true;
    return false;
}

static void hashes(struct ky_reader *r)
{
    uint8_t key_type = ky_get_u8(r);
    struct ky_algorithm a = {
        .scheme = ky_get_u8(r), .hash = ky_get_u8(r), .mgf_hash = ky_get_u8(r)};
    uint32_t count = 0;

    a.salt_len = ky_get_u16(r);
    struct ky_span list = fuzz_rest(r);
    if (!ky_ok(policy_hashes_check(key_type, &a, list, &count)))
        return;
    size_t len = ky_hash_len(a.hash);
    FUZZ_CHECK(len > 0 && count >= 1 && count <= KY_HASHES_MAX && list.len == count * len);
    FUZZ_CHECK(!listed_twice(list, len) && ky_ok(ky_algorithm_check(key_type, &a)));
    for (size_t i = 0; i < count; i++)
        FUZZ_CHECK(!ky_span_all_zero(KY_SPAN(list.data + i * len, len)));
}

/* Index in the list, or -1. */
static int place(struct ky_span list, const uint8_t *hash, size_t len)
{
    for (size_t i = 0; i + len <= list.len; i += len)
        if (memcmp(list.data + i, hash, len) == 0)
            return (int)(i / len);
    return -1;
}

static bool is_set(const uint8_t *bits, size_t i)
{
    return (bits[i / 8] & 1u << i % 8) != 0;
}

static void sad(struct ky_reader *r)
{
    uint8_t used[KY_HASHES_MAX / 8] = {0}, take[KY_HASHES_MAX / 8] = {0};
    size_t len = 8u << ky_get_u8(r) % 4;
    struct ky_span marks = fuzz_piece(r), listed = fuzz_piece(r), requested = fuzz_rest(r);
    uint32_t left = 0, taken = 0, open = 0;

    if (listed_twice(listed, len) || listed.len % len != 0 || listed.len / len > KY_HASHES_MAX)
        return; /* its transaction never began */
    if (marks.len > 0)
        memcpy(used, marks.data, marks.len < sizeof(used) ? marks.len : sizeof(used));
    if (!ky_ok(policy_sad_take(listed, requested, len, used, take, &left)))
        return;
    FUZZ_CHECK(requested.len % len == 0 && !listed_twice(requested, len));
    for (size_t i = 0; i < requested.len; i += len) {
        int at = place(listed, requested.data + i, len);

        FUZZ_CHECK(at >= 0 && !is_set(used, (size_t)at) && is_set(take, (size_t)at));
    }
    for (size_t i = 0; i < listed.len / len; i++) {
        taken += is_set(take, i);
        open += !is_set(take, i) && !is_set(used, i);
    }
    FUZZ_CHECK(taken == requested.len / len && left == open);
}

/* A row of outcomes: a lock's end never comes nearer but by a success. */
static void lockout(struct ky_reader *r)
{
    struct policy_lockout_limits l = {.tries = ky_get_u8(r) % 8,
                                      .first_lock_s = ky_get_u32(r),
                                      .max_lock_s = ky_get_u32(r),
                                      .total_tries = ky_get_u8(r) % 32};
    struct policy_client_limits c = {.failures_per_minute = ky_get_u8(r), .failure_percent = 5};
    struct policy_client_rate rate = {0};
    struct policy_lockout s = {0};
    uint64_t now_s = ky_get_u64(r);

    while (!r->failed && r->left > 0) {
        uint8_t what = ky_get_u8(r);
        uint64_t until = s.locked_until_s;

        now_s += what >> 3;
        if (what % 8 == 0)
            policy_lockout_success(&s);
        else if (what % 8 == 1)
            policy_lockout_not_me(&s);
        else
            policy_lockout_failure(&l, &s, now_s);
        FUZZ_CHECK(what % 8 == 0 || s.locked_until_s >= until);
        FUZZ_CHECK(what % 8 != 0 || !policy_lockout_is_locked(&s, now_s));
        FUZZ_CHECK(what % 8 != 1 || policy_lockout_is_locked(&s, UINT64_MAX - 1));
        if (policy_client_outcome(&c, &rate, what & 1, now_s))
            FUZZ_CHECK((what & 1) == 1 && rate.failures > c.failures_per_minute);
        FUZZ_CHECK(rate.failures <= rate.attempts);
    }
}

static void matching(struct ky_reader *r)
{
    char code[8] = "", choices[3][4];
    uint8_t random[16] = {0};
    struct ky_span given = ky_get_raw(r, 16), text = fuzz_rest(r);
    unsigned found = 0;

    if (given.len == 16)
        memcpy(random, given.data, 16);
    if (!ky_span_to_cstr(text, code, sizeof(code)))
        policy_matching_code(random, code);
    if (!ky_ok(policy_matching_choices(code, random, choices)))
        return;
    for (int i = 0; i < 3; i++) {
        FUZZ_CHECK(strlen(choices[i]) == 2 && choices[i][0] >= '1' && choices[i][0] <= '9');
        found += strcmp(choices[i], code) == 0;
        FUZZ_CHECK(strcmp(choices[i], choices[(i + 1) % 3]) != 0);
    }
    FUZZ_CHECK(found == 1);
}

static void request(struct ky_reader *r)
{
    struct policy_request q = {.rights = ky_get_u32(r),
                               .door = ky_get_u8(r),
                               .request = ky_get_u16(r),
                               .proof = ky_get_u8(r)};
    uint8_t flags = ky_get_u8(r);

    q.for_itself = flags & 1;
    q.delegated = flags & 2;
    q.credential_allows = flags & 4;
    q.subject_allowed = flags & 8;
    q.hash_count = ky_get_u16(r);
    q.client_max_hashes = ky_get_u16(r);
    q.credential_max_hashes = ky_get_u16(r);
    q.server_max_hashes = ky_get_u16(r);
    if (!ky_ok(policy_request_allowed(&q)) || q.door != 1 || q.request < 4 || q.request > 6)
        return;
    FUZZ_CHECK((q.rights & 3u) == 1u && (q.for_itself || q.delegated));
    FUZZ_CHECK(q.credential_allows && q.subject_allowed);
    FUZZ_CHECK(q.hash_count >= 1 && q.hash_count <= KY_HASHES_MAX);
    FUZZ_CHECK(q.client_max_hashes == 0 || q.hash_count <= q.client_max_hashes);
    FUZZ_CHECK(q.credential_max_hashes == 0 || q.hash_count <= q.credential_max_hashes);
    FUZZ_CHECK(q.server_max_hashes == 0 || q.hash_count <= q.server_max_hashes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const parts[])(struct ky_reader *) = {
        totp, hashes, sad, lockout, matching, request,
    };
    struct ky_reader r = ky_reader(KY_SPAN(data, size));

    parts[ky_get_u8(&r) % FUZZ_COUNT(parts)](&r);
    return 0;
}
