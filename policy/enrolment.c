/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may add an authenticator to a person, and from when it counts. One operator alone never gets at a
 * credential that can sign: that takes the person's own device, or a day in which the person can object, and two operators
 * or a code that was the person's before there was anything to sign with. Pure: any thread.
 */
#include "kyso/policy.h"

#define DELAY_S 86400u

static uint64_t add_saturating(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

struct ky_status policy_enrolment_allowed(const struct policy_enrolment *e, uint64_t now_s,
                                          uint64_t *out_usable_from_s)
{
    if (e->signers == 0) {
        return KY_STATUS(KY_OPERATOR_REFUSED);
    }
    /* An approval counts only while the authenticator that gave it is active. */
    const bool approved = e->approved_by_authenticator && e->has_active_authenticator;
    if (!e->has_active_credential || approved) {
        *out_usable_from_s = now_s;
        return KY_STATUS(KY_OK);
    }
    if (e->signers < 2) {
        return KY_STATUS(KY_OPERATOR_REFUSED);
    }
    *out_usable_from_s = add_saturating(now_s, DELAY_S);
    return KY_STATUS(KY_OK);
}

uint64_t policy_enrolment_confirmed(bool has_active_credential, uint64_t now_s,
                                    uint64_t usable_from_s)
{
    return has_active_credential ? add_saturating(now_s, DELAY_S) : usable_from_s;
}
