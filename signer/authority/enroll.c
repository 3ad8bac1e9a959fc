/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Codes, fingerprints and URIs of enrolment. Pure but for randomness. Every intermediate that
 * held a seed or a code is wiped before return.
 */
#include "enroll.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <liboath/oath.h>

#include "kyso/policy.h"
#include "kyso/wire.h"

static const struct {
    const char *name; /* as otpauth URIs spell it */
    size_t seed_len;
} otp_hashes[] = {
    [POLICY_OTP_SHA1] = {"SHA1", 20},
    [POLICY_OTP_SHA256] = {"SHA256", 32},
    [POLICY_OTP_SHA512] = {"SHA512", 64},
};

size_t enroll_seed_len(uint8_t otp_hash)
{
    return otp_hash < sizeof(otp_hashes) / sizeof(otp_hashes[0]) ? otp_hashes[otp_hash].seed_len
                                                                 : 0;
}

/* The tag keeps the uses of the state key apart; length prefixes make the input unambiguous. ky_buf_free wipes. */
static struct ky_status tagged_mac(const struct ky_secret *key, const char *tag, struct ky_span id,
                                   struct ky_span value, uint8_t out[32])
{
    struct ky_buf b = KY_BUF_INIT(512);
    struct ky_status status = KY_STATUS(KY_NOMEM);

    ky_put_bytes(&b, ky_span_text(tag));
    ky_put_bytes(&b, id);
    ky_put_bytes(&b, value);
    if (b.failed)
        goto done;
    ky_hmac_sha256(ky_secret_span(key), ky_buf_span(&b), out);
    status = KY_STATUS(KY_OK);
done:
    ky_buf_free(&b);
    return status;
}

struct ky_status enroll_seed_fingerprint(const struct ky_secret *state_key, struct ky_span seed,
                                         uint8_t out[32])
{
    return tagged_mac(state_key, "kyso.v1.seed", KY_SPAN(NULL, 0), seed, out);
}

struct ky_status enroll_code_mac(const struct ky_secret *state_key, struct ky_span authenticator_id,
                                 struct ky_span code, uint8_t out[32])
{
    return tagged_mac(state_key, "kyso.v1.confirm", authenticator_id, code, out);
}

struct ky_status enroll_code(const struct ky_secret *state_key, struct ky_span authenticator_id,
                             char out[ENROLL_CODE_DIGITS + 1])
{
    uint8_t mac[32];
    uint64_t v = 0; /* of 64 bits: that 10^8 does not divide 2^64 cannot be noticed */
    struct ky_status status =
        tagged_mac(state_key, "kyso.v1.code", authenticator_id, KY_SPAN(NULL, 0), mac);

    if (ky_ok(status)) {
        memcpy(&v, mac, sizeof(v));
        snprintf(out, ENROLL_CODE_DIGITS + 1, "%08u", (unsigned)(v % 100000000u));
    }
    ky_wipe(mac, sizeof(mac));
    ky_wipe(&v, sizeof(v));
    return status;
}

/* RFC 3986 s.2.1: everything but unreserved characters is percent-encoded. */
static void put_escaped(struct ky_buf *b, struct ky_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t ch = text.data[i];
        char hex[4];

        if ((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
            strchr("-._~", ch) != NULL) {
            ky_put_u8(b, ch);
            continue;
        }
        snprintf(hex, sizeof(hex), "%%%02X", ch);
        ky_buf_put(b, hex, 3);
    }
}

struct ky_status enroll_otpauth_uri(struct ky_span subject_id, struct ky_span seed,
                                    uint8_t otp_hash, uint8_t digits, char out[ENROLL_URI_MAX])
{
    struct ky_buf b = KY_BUF_INIT(ENROLL_URI_MAX);
    struct ky_status status = KY_STATUS(KY_INVALID);
    char *base32 = NULL;
    size_t base32_len = 0;
    char tail[64];

    if (enroll_seed_len(otp_hash) == 0 || digits < 6 || digits > 8 || subject_id.len == 0 ||
        oath_base32_encode((const char *)seed.data, seed.len, &base32, &base32_len) != OATH_OK)
        goto done;
    while (base32_len > 0 && base32[base32_len - 1] == '=') /* apps want it without padding */
        base32_len--;
    ky_buf_put(&b, "otpauth://totp/Kyso:", 20);
    put_escaped(&b, subject_id);
    ky_buf_put(&b, "?secret=", 8);
    ky_buf_put(&b, base32, base32_len);
    int n = snprintf(tail, sizeof(tail), "&issuer=Kyso&algorithm=%s&digits=%u&period=%u",
                     otp_hashes[otp_hash].name, digits, POLICY_TOTP_PERIOD_S);
    ky_buf_put(&b, tail, (size_t)n);
    if (b.failed || !ky_span_to_cstr(ky_buf_span(&b), out, ENROLL_URI_MAX))
        goto done;
    status = KY_STATUS(KY_OK);
done:
    if (base32 != NULL) {
        ky_wipe(base32, strlen(base32));
        free(base32);
    }
    ky_buf_free(&b);
    return status;
}

struct ky_status enroll_challenge(struct ky_span subject_id, struct ky_span public_key,
                                  uint8_t out[32])
{
    struct ky_buf b = KY_BUF_INIT(1024);
    struct ky_status status = KY_STATUS(KY_NOMEM);

    ky_buf_put(&b, "kyso.v1.enroll", 14);
    ky_put_u8(&b, 0);
    ky_buf_put(&b, subject_id.data, subject_id.len);
    ky_put_u8(&b, 0);
    ky_buf_put(&b, public_key.data, public_key.len);
    if (!b.failed) {
        ky_sha256(ky_buf_span(&b), out);
        status = KY_STATUS(KY_OK);
    }
    ky_buf_free(&b);
    return status;
}
