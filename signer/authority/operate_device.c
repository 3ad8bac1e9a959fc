/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Enrolment of devices, which approve with a key of their own: vouched for by an active device of the same person, or by operators.
 * The authority's thread, inside a turn. Keeps: one device key, one authenticator.
 */
#include "operate_enroll.h"

/* KY_OK when an active device of the same person signed the new one's key. */
static struct ky_status check_approval(struct operation *o, const Kyso__V1__EnrollDevice *m,
                                       struct enrolment *e)
{
    struct policy_device_key *key = NULL;
    struct row_authenticator by;
    uint8_t challenge[32];
    uint32_t number = 0;
    struct ky_status status = operate_authenticator(o, m->by_authenticator_id, &number, &by);

    o->denied.subject_row = e->subject_row;
    if (!ky_ok(status))
        return status;
    if (by.subject_row != e->subject_row || by.kind != ROW_AUTH_DEVICE ||
        by.state != ROW_AUTH_ACTIVE || by.usable_from_s > authority_now_s(o->a))
        return operate_no(o, KY_PROOF_UNCONFIRMED,
                          "the approving device is not an active one of this person");
    status =
        enroll_challenge(e->subject_id, KY_SPAN(m->public_key.data, m->public_key.len), challenge);
    if (ky_ok(status))
        status = policy_device_key_load(by.device_key_type, by.device_key, &key);
    if (ky_ok(status)) {
        status = policy_device_verify(key, challenge,
                                      KY_SPAN(m->by_signature.data, m->by_signature.len));
        if (!ky_ok(status))
            o->why = "the approving device's signature does not hold";
    }
    policy_device_key_free(&key);
    e->facts.approved_by_authenticator = ky_ok(status);
    return status;
}

static const char *device_problem(const Kyso__V1__EnrollDevice *m)
{
    struct policy_device_key *key = NULL;
    struct ky_span label = ky_span_text(m->label);

    if (label.len > KY_NAME_MAX || !ky_span_is_display_text(label))
        return "the label is too long or not plain text";
    if (!ky_ok(policy_device_key_load((uint8_t)m->key_type,
                                      KY_SPAN(m->public_key.data, m->public_key.len), &key)))
        return "public_key is not DER SubjectPublicKeyInfo of key_type";
    policy_device_key_free(&key);
    return NULL;
}

struct ky_status operate_enroll_device(struct operation *o)
{
    const Kyso__V1__EnrollDevice *m = o->op->enroll_device;
    struct enrolment e = {.subject_row = 0};
    uint8_t key_sha256[32];
    const char *why = device_problem(m);

    if (why != NULL)
        return operate_no(o, KY_INVALID, why);
    struct ky_status status = enrolment_begin(o, m->subject_id, &e);
    if (ky_ok(status) && m->by_authenticator_id[0] != '\0')
        status = check_approval(o, m, &e);
    if (ky_ok(status))
        status = enrolment_allowed(o, &e);
    if (!ky_ok(status))
        return status;
    e.row.kind = ROW_AUTH_DEVICE;
    e.row.device_key_type = (uint8_t)m->key_type;
    e.row.device_key = KY_SPAN(m->public_key.data, m->public_key.len);
    e.row.label = ky_span_text(m->label);
    ky_sha256(e.row.device_key, key_sha256);
    status = enrolment_unused(o, STORE_BY_DEVICE_KEY, KY_SPAN_OF(key_sha256));
    if (ky_ok(status))
        status = enrolment_set_code(o, &e);
    if (ky_ok(status))
        status = enrolment_write(o, &e, STORE_BY_DEVICE_KEY, KY_SPAN_OF(key_sha256));
    if (ky_ok(status))
        enrolment_give(o, &e);
    ky_wipe(e.code, sizeof(e.code));
    return status;
}
