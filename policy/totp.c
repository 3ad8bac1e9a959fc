/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time-based one-time passwords: which step a code belongs to, and whether that
 * step can still be spent. liboath makes each code; the search, the comparison
 * and the memory of spent steps are ours. Pure: any thread. Serves I3: the step
 * that comes out is the one the caller spends with the intent.
 */
#include <liboath/oath.h>
#include <openssl/crypto.h>
#include <time.h>

#include "kyso/policy.h"
#include "kyso/secret.h"

#define TOTP_DIGITS_MIN 6
#define TOTP_DIGITS_MAX 8

static const int oath_flags[] = {
    [POLICY_OTP_SHA1] = 0,
    [POLICY_OTP_SHA256] = OATH_TOTP_HMAC_SHA256,
    [POLICY_OTP_SHA512] = OATH_TOTP_HMAC_SHA512,
};
#define OTP_HASH_COUNT (sizeof(oath_flags) / sizeof(oath_flags[0]))

/* Locale-free: only the bytes '0'..'9', and exactly as many as the authenticator shows. */
static bool is_code(struct ky_span code, uint8_t digits)
{
    if (code.len != digits) {
        return false;
    }
    for (size_t i = 0; i < code.len; i++) {
        if (code.data[i] < '0' || code.data[i] > '9') {
            return false;
        }
    }
    return true;
}

struct ky_status policy_totp_code(uint8_t hash, uint8_t digits, struct ky_span seed, uint64_t step,
                                  char out[9])
{
    if (hash >= OTP_HASH_COUNT || digits < TOTP_DIGITS_MIN || digits > TOTP_DIGITS_MAX ||
        seed.len == 0 || step > INT64_MAX) {
        return KY_STATUS(KY_INVALID);
    }
    if (oath_init() != OATH_OK) {
        return KY_STATUS(KY_INTERNAL);
    }
    /* A period of one second makes liboath's "time" the step itself, so that no step can overflow it. */
    char code[TOTP_DIGITS_MAX + 1] = {0};
    const int rc = oath_totp_generate2((const char *)seed.data, seed.len, (time_t)step, 1, 0,
                                       digits, oath_flags[hash], code);
    if (rc == OATH_OK) {
        for (size_t i = 0; i < sizeof(code); i++) {
            out[i] = code[i];
        }
    }
    ky_wipe(code, sizeof(code));
    return rc == OATH_OK ? KY_STATUS(KY_OK) : KY_STATUS(KY_INTERNAL);
}

/* What the search found; step 0 stands for "none", since it can never be accepted. */
struct totp_match {
    uint64_t open;    /* highest matching step that can still be spent */
    uint64_t spent;   /* 1 when a step at or below the last one spent matched too */
    uint64_t floored; /* 1 when one above that but not above the floor did */
};

/*
 * No early exit and no branch on a match: the time taken tells nothing about
 * which step a code belongs to, or whether it belongs to any.
 */
static struct ky_status search_window(const struct policy_totp *p, struct ky_span seed,
                                      struct ky_span code, uint64_t now_s, struct totp_match *out)
{
    const uint64_t center = now_s / POLICY_TOTP_PERIOD_S;
    const uint64_t first = center > p->window ? center - p->window : 0;
    const uint64_t last = center + p->window;
    struct totp_match found = {0};
    struct ky_status status = KY_STATUS(KY_OK);

    for (uint64_t step = first; step <= last && ky_ok(status); step++) {
        char candidate[TOTP_DIGITS_MAX + 1] = {0};
        status = policy_totp_code(p->hash, p->digits, seed, step, candidate);
        const uint64_t hit = (uint64_t)(CRYPTO_memcmp(candidate, code.data, code.len) == 0);
        const uint64_t fresh = (uint64_t)(step > p->last_step);
        const uint64_t usable = fresh & (uint64_t)(step > p->floor_step);
        const uint64_t take = (uint64_t)0 - (hit & usable);
        found.open = (step & take) | (found.open & ~take);
        found.spent |= hit & (fresh ^ 1);
        found.floored |= hit & fresh & (usable ^ 1);
        ky_wipe(candidate, sizeof(candidate));
    }
    *out = found;
    return status;
}

struct ky_status policy_totp_check(const struct policy_totp *p, struct ky_span seed,
                                   struct ky_span code, uint64_t now_s, uint64_t *out_step)
{
    if (!is_code(code, p->digits)) {
        return KY_STATUS(KY_PROOF_MALFORMED);
    }
    struct totp_match match = {0};
    const struct ky_status status = search_window(p, seed, code, now_s, &match);
    if (!ky_ok(status)) {
        return status;
    }
    /*
     * Two steps of one window may share a code. When one of them was spent the code
     * has been seen, so it is a replay (I3); when both are open the higher one is
     * spent, which closes the lower with it.
     */
    if (match.spent != 0) {
        return KY_STATUS(KY_PROOF_REPLAYED);
    }
    if (match.floored != 0) {
        return KY_STATUS(KY_PROOF_FLOORED);
    }
    if (match.open == 0) {
        return KY_STATUS(KY_PROOF_WRONG);
    }
    *out_step = match.open;
    return KY_STATUS(KY_OK);
}
