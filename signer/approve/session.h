/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is logged in, without a table: a cookie and a login's challenge are each MACed by a key that lives as long as the process.
 * Of a challenge that was used up only its random part is remembered, until it would be over anyway. Also how often somebody may
 * ask. The loop's thread; times are seconds of CLOCK_MONOTONIC.
 */
#ifndef KYSO_APPROVE_SESSION_H
#define KYSO_APPROVE_SESSION_H

#include "kyso/alg.h"

#define SESSION_COOKIE_MAX 192u
#define SESSION_USED       8192u
#define SESSION_BUCKETS    1024u

struct session {
    uint8_t key[32];
    uint8_t used[SESSION_USED][16]; /* a ring: only those who own a passkey can fill it */
    size_t used_next;
    struct session_bucket {
        uint64_t minute;
        uint32_t count;
    } buckets[SESSION_BUCKETS];
};

KY_MUST_CHECK struct ky_status session_init(struct session *s);
KY_MUST_CHECK struct ky_status session_challenge(const struct session *s, uint64_t now_s,
                                                 uint8_t out[32]);
/* Is it ours, in time and unused? Then it is used now. */
bool session_spend(struct session *s, struct ky_span challenge, uint64_t now_s);
/* The cookie's value. authenticator_id is a name. */
void session_cookie(const struct session *s, struct ky_span authenticator_id, uint64_t until_s,
                    char out[SESSION_COOKIE_MAX]);
/* Whose it is: a span into the cookie, or empty. */
struct ky_span session_whose(const struct session *s, struct ky_span cookie, uint64_t now_s);
/* One more in this minute for whoever this is? Some who share a bucket share the number. */
bool session_may(struct session *s, struct ky_span who, uint32_t per_minute, uint64_t now_s);

#endif
