/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A passkey's word: a WebAuthn assertion over an approval challenge (W3C Web Authentication Level 2, s.7.2). The client data is
 * not parsed: browsers write it in one order (s.5.8.1.1), so the bytes it must begin with are compared (s.5.8.1.2), and whatever
 * says more than one thing is refused. Pure: any thread.
 */
#include "kyso/policy.h"

#include <string.h>

#define RP_HASH_LEN       32u
#define DATA_MIN          (RP_HASH_LEN + 1u + 4u) /* s.6.1: the relying party's hash, flags, counter */
#define FLAG_PRESENT      0x01u
#define FLAG_VERIFIED     0x04u
#define FLAG_MAY_SYNC     0x08u /* Level 3, s.6.1.3: backup eligible, and backed up */
#define FLAG_SYNCED       0x10u
#define FLAG_CREDENTIAL   0x40u /* only where a credential is made */
#define FLAG_EXTENSIONS   0x80u
#define CHALLENGE_TEXT    43u

struct assertion {
    struct ky_span data, client, signature;
};

static bool take_piece(struct ky_span *in, struct ky_span *out)
{
    if (in->len < 2) {
        return false;
    }
    const size_t n = (size_t)in->data[0] << 8 | in->data[1];
    if (n > in->len - 2) {
        return false;
    }
    *out = KY_SPAN(in->data + 2, n);
    *in = KY_SPAN(in->data + 2 + n, in->len - 2 - n);
    return true;
}

static bool read_assertion(struct ky_span in, struct assertion *out)
{
    if (in.len > POLICY_PASSKEY_MAX || !take_piece(&in, &out->data) ||
        !take_piece(&in, &out->client) || out->data.len < DATA_MIN) {
        return false;
    }
    out->signature = in;
    const uint8_t flags = out->data.data[RP_HASH_LEN];
    const bool extended = (flags & FLAG_EXTENSIONS) != 0;
    return (flags & FLAG_CREDENTIAL) == 0 && extended == (out->data.len > DATA_MIN) &&
           ((flags & FLAG_SYNCED) == 0 || (flags & FLAG_MAY_SYNC) != 0);
}

/* RFC 4648 s.5, without padding. */
static void challenge_text(const uint8_t challenge[32], char out[CHALLENGE_TEXT])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0, have = 0;
    size_t n = 0;

    for (size_t i = 0; i < 32; i++) {
        bits = bits << 8 | challenge[i];
        for (have += 8; have >= 6; have -= 6) {
            out[n++] = digits[bits >> (have - 6) & 63u];
        }
    }
    out[n] = digits[bits << (6 - have) & 63u];
}

static bool take(struct ky_span *in, struct ky_span expected)
{
    if (in->len < expected.len || !ky_span_eq(KY_SPAN(in->data, expected.len), expected)) {
        return false;
    }
    *in = KY_SPAN(in->data + expected.len, in->len - expected.len);
    return true;
}

static bool take_text(struct ky_span *in, const char *expected)
{
    return take(in, ky_span_text(expected));
}

/* Is it for this challenge, made on a page of this origin and not framed by another's? */
static enum ky_code judge_client_data(struct ky_span in, struct ky_span origin,
                                      const uint8_t challenge[32])
{
    char text[CHALLENGE_TEXT];

    challenge_text(challenge, text);
    if (!take_text(&in, "{\"type\":\"webauthn.get\",\"challenge\":\"")) {
        return KY_PASSKEY_ORIGIN;
    }
    if (!take(&in, KY_SPAN((const uint8_t *)text, sizeof(text)))) {
        return KY_PROOF_WRONG;
    }
    if (!take_text(&in, "\",\"origin\":\"") || !take(&in, origin) || !take_text(&in, "\"")) {
        return KY_PASSKEY_ORIGIN;
    }
    /* some browsers leave crossOrigin out where it is false; then nothing follows */
    const bool says_more = take_text(&in, ",\"crossOrigin\":false") && in.len > 1 && in.data[0] == ',';
    return says_more || ky_span_eq(in, ky_span_text("}")) ? KY_OK : KY_PASSKEY_ORIGIN;
}

struct ky_span policy_passkey_rp_id(struct ky_span origin)
{
    const uint8_t *host = origin.len > 3 ? memchr(origin.data, ':', origin.len - 3) : NULL;

    if (host == NULL) {
        return KY_SPAN(NULL, 0);
    }
    host += 3; /* "://" */
    const size_t n = origin.len - (size_t)(host - origin.data);
    const uint8_t *port = memchr(host, ':', n);
    return KY_SPAN(host, port != NULL ? (size_t)(port - host) : n);
}

static enum ky_code judge_data(struct ky_span data, const struct policy_passkey *p,
                               uint32_t *out_counter)
{
    uint8_t rp_hash[RP_HASH_LEN];
    const uint8_t flags = data.data[RP_HASH_LEN];
    const uint8_t *c = data.data + RP_HASH_LEN + 1;
    const uint32_t counter =
        (uint32_t)c[0] << 24 | (uint32_t)c[1] << 16 | (uint32_t)c[2] << 8 | (uint32_t)c[3];

    ky_sha256(policy_passkey_rp_id(p->origin), rp_hash);
    if (!ky_span_eq(KY_SPAN(data.data, RP_HASH_LEN), KY_SPAN_OF(rp_hash))) {
        return KY_PASSKEY_ORIGIN;
    }
    if ((flags & FLAG_PRESENT) == 0 || (flags & FLAG_VERIFIED) == 0) {
        return KY_PASSKEY_USER;
    }
    if ((flags & FLAG_MAY_SYNC) != 0 && !p->synced) {
        return KY_PASSKEY_SYNCED;
    }
    if ((counter != 0 || p->last_counter != 0) && counter <= p->last_counter) {
        return KY_PROOF_REPLAYED;
    }
    *out_counter = counter;
    return KY_OK;
}

struct ky_status policy_passkey_verify(struct policy_device_key *key,
                                       const struct policy_passkey *p, const uint8_t challenge[32],
                                       struct ky_span assertion, uint32_t *out_counter)
{
    struct assertion a;
    uint8_t message[POLICY_PASSKEY_MAX + 32];
    uint8_t client_sha256[32];

    if (p->origin.len == 0) {
        return KY_STATUS(KY_PROOF_UNCONFIRMED);
    }
    if (!read_assertion(assertion, &a)) {
        return KY_STATUS(KY_PROOF_MALFORMED);
    }
    ky_sha256(a.client, client_sha256);
    memcpy(message, a.data.data, a.data.len);
    memcpy(message + a.data.len, client_sha256, sizeof(client_sha256));
    const struct ky_status status = policy_key_verify_message(
        key, KY_SPAN(message, a.data.len + sizeof(client_sha256)), a.signature);
    if (!ky_ok(status)) {
        return status;
    }
    const enum ky_code code = judge_client_data(a.client, p->origin, challenge);
    return KY_STATUS(code == KY_OK ? judge_data(a.data, p, out_counter) : code);
}
