/* SPDX-License-Identifier: Apache-2.0 */
/* See session.h. */
#include "session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kyso/secret.h"

#define CHALLENGE_LIFE_S 120u
#define MAC_TEXT         64u

struct ky_status session_init(struct session *s)
{
    return ky_random(s->key, sizeof(s->key));
}

static void mac(const struct session *s, const char *tag, struct ky_span what, uint8_t out[32])
{
    uint8_t input[16 + SESSION_COOKIE_MAX] = {0};
    size_t n = what.len < SESSION_COOKIE_MAX ? what.len : SESSION_COOKIE_MAX;

    memcpy(input, tag, strlen(tag)); /* at most 15, and zeros to 16 */
    memcpy(input + 16, what.data, n);
    ky_hmac_sha256(KY_SPAN_OF(s->key), KY_SPAN(input, 16 + n), out);
}

struct ky_status session_challenge(const struct session *s, uint64_t now_s, uint8_t out[32])
{
    uint8_t full[32];
    uint64_t until_s = now_s + CHALLENGE_LIFE_S;

    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(until_s >> (56 - 8 * i));
    struct ky_status st = ky_random(out + 8, 8);
    mac(s, "login", KY_SPAN(out, 16), full);
    memcpy(out + 16, full, 16);
    return st;
}

bool session_spend(struct session *s, struct ky_span challenge, uint64_t now_s)
{
    uint8_t full[32];
    uint64_t until_s = 0;

    if (challenge.len != 32)
        return false;
    mac(s, "login", KY_SPAN(challenge.data, 16), full);
    if (!ky_span_eq_ct(KY_SPAN(full, 16), KY_SPAN(challenge.data + 16, 16)))
        return false;
    for (int i = 0; i < 8; i++)
        until_s = until_s << 8 | challenge.data[i];
    if (now_s >= until_s)
        return false;
    for (size_t i = 0; i < SESSION_USED; i++)
        if (ky_span_eq(KY_SPAN_OF(s->used[i]), KY_SPAN(challenge.data, 16)))
            return false;
    memcpy(s->used[s->used_next++ % SESSION_USED], challenge.data, 16);
    return true;
}

/* "<until> <id>" as it is MACed, and before the MAC in the cookie. */
void session_cookie(const struct session *s, struct ky_span authenticator_id, uint64_t until_s,
                    char out[SESSION_COOKIE_MAX])
{
    uint8_t full[32];
    int n = snprintf(out, SESSION_COOKIE_MAX - MAC_TEXT - 2, "%llu_%.*s", (unsigned long long)until_s,
                     (int)authenticator_id.len, (const char *)authenticator_id.data);

    mac(s, "cookie", KY_SPAN((const uint8_t *)out, (size_t)n), full);
    out[n++] = '_';
    for (size_t i = 0; i < sizeof(full); i++)
        (void)snprintf(out + n + 2 * i, 3, "%02x", full[i]);
}

struct ky_span session_whose(const struct session *s, struct ky_span cookie, uint64_t now_s)
{
    char made[SESSION_COOKIE_MAX];
    const uint8_t *gap = cookie.len > 0 ? memchr(cookie.data, '_', cookie.len) : NULL;
    const size_t front = gap != NULL ? (size_t)(gap - cookie.data) + 1 : 0;
    uint64_t until_s = 0;

    if (front < 2 || front > 20 || cookie.len < front + MAC_TEXT + 2 ||
        cookie.len >= SESSION_COOKIE_MAX)
        return KY_SPAN(NULL, 0);
    for (size_t i = 0; i + 1 < front; i++)
        until_s = until_s * 10 + (uint64_t)(cookie.data[i] - '0');
    struct ky_span id = KY_SPAN(gap + 1, cookie.len - front - MAC_TEXT - 1);
    if (!ky_span_is_name(id, 64) || now_s >= until_s)
        return KY_SPAN(NULL, 0);
    session_cookie(s, id, until_s, made); /* the same bytes, or it is not ours */
    return ky_span_eq_ct(ky_span_text(made), cookie) ? id : KY_SPAN(NULL, 0);
}

bool session_may(struct session *s, struct ky_span who, uint32_t per_minute, uint64_t now_s)
{
    uint8_t hash[32];

    mac(s, "rate", who, hash);
    struct session_bucket *b = &s->buckets[(hash[0] | (size_t)hash[1] << 8) % SESSION_BUCKETS];
    if (b->minute != now_s / 60)
        *b = (struct session_bucket){.minute = now_s / 60};
    return ++b->count <= per_minute;
}
