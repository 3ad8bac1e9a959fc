/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Enrolment of devices, which approve with a key of their own: vouched for by an active device of the same person, or by operators;
 * a passkey's key comes later, by its link.
 * The authority's thread, inside a turn. Keeps: one device key, one authenticator.
 */
#include "operate_enroll.h"

#include <stdio.h>

#include "envelope.h"

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
    if (by.device_key_type == POLICY_PASSKEY)
        return operate_no(o, KY_INVALID, "a passkey signs approvals only");
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

static const char *passkey_problem(struct operation *o, const Kyso__V1__EnrollDevice *m)
{
    if (authority_passkey_origin(o->a) == NULL)
        return "passkeys are not taken here: configure passkeys.origin";
    if (m->public_key.len > 0 || m->by_authenticator_id[0] != '\0')
        return "a passkey's key comes from the person's browser: no device can sign it yet";
    return m->seal_to.len == 0 && !authority_is_demo(o->a)
               ? "the link leaves only sealed: name the reader"
               : NULL;
}

static const char *device_problem(struct operation *o, const Kyso__V1__EnrollDevice *m)
{
    struct policy_device_key *key = NULL;
    struct ky_span label = ky_span_text(m->label);

    if (label.len > KY_NAME_MAX || !ky_span_is_display_text(label))
        return "the label is too long or not plain text";
    if (m->key_type == KYSO__V1__DEVICE_KEY_TYPE__DEVICE_KEY_TYPE_PASSKEY)
        return passkey_problem(o, m);
    if (m->seal_to.len > 0)
        return "only a passkey's link is sealed";
    if (!ky_ok(policy_device_key_load((uint8_t)m->key_type,
                                      KY_SPAN(m->public_key.data, m->public_key.len), &key)))
        return "public_key is not DER SubjectPublicKeyInfo of key_type";
    policy_device_key_free(&key);
    return NULL;
}

/* The link by which the person's browser makes the passkey; what stands after # never leaves the browser. */
static struct ky_status give_link(struct operation *o, const struct enrolment *e,
                                  const struct envelope_reader *reader)
{
    char link[ENROLL_URI_MAX];
    struct ky_buf envelope = KY_BUF_INIT(ENVELOPE_MAX);
    struct ky_status status = KY_STATUS(KY_OK);
    int n = snprintf(link, sizeof(link), "%s/#%s.%s", authority_passkey_origin(o->a), e->id, e->code);

    if (reader->certificate != NULL)
        status = envelope_seal(reader, KY_SPAN((const uint8_t *)link, (size_t)n), &envelope);
    o->result.sealed_seed = operate_bytes(o, ky_buf_span(&envelope));
    if (authority_is_demo(o->a))
        o->result.enrolment_link = operate_text(o, ky_span_text(link));
    ky_wipe(link, sizeof(link));
    ky_buf_free(&envelope);
    return status;
}

static struct ky_status put_device(struct operation *o, const Kyso__V1__EnrollDevice *m,
                                   struct enrolment *e)
{
    uint8_t key_sha256[32];
    struct ky_span unique = KY_SPAN(key_sha256, m->public_key.len > 0 ? sizeof(key_sha256) : 0);
    struct ky_status status = KY_STATUS(KY_OK);

    e->row.kind = ROW_AUTH_DEVICE;
    e->row.device_key_type = (uint8_t)m->key_type;
    e->row.device_key = KY_SPAN(m->public_key.data, m->public_key.len);
    e->row.label = ky_span_text(m->label);
    ky_sha256(e->row.device_key, key_sha256);
    if (unique.len > 0)
        status = enrolment_unused(o, STORE_BY_DEVICE_KEY, unique);
    if (ky_ok(status))
        status = enrolment_set_code(o, e);
    return ky_ok(status) ? enrolment_write(o, e, STORE_BY_DEVICE_KEY, unique) : status;
}

struct ky_status operate_enroll_device(struct operation *o)
{
    const Kyso__V1__EnrollDevice *m = o->op->enroll_device;
    struct enrolment e = {.subject_row = 0};
    struct envelope_reader reader = {.certificate = NULL};
    const char *why = device_problem(o, m);

    if (why != NULL)
        return operate_no(o, KY_INVALID, why);
    struct ky_status status = enrolment_begin(o, m->subject_id, &e);
    if (ky_ok(status) && m->by_authenticator_id[0] != '\0')
        status = check_approval(o, m, &e);
    if (ky_ok(status))
        status = enrolment_allowed(o, &e);
    if (ky_ok(status) && m->seal_to.len > 0)
        status = envelope_reader_load(KY_SPAN(m->seal_to.data, m->seal_to.len),
                                      authority_now_s(o->a), &reader, &o->why);
    if (ky_ok(status))
        status = put_device(o, m, &e);
    if (ky_ok(status) && e.row.device_key_type == POLICY_PASSKEY)
        status = give_link(o, &e, &reader);
    if (ky_ok(status))
        enrolment_give(o, &e);
    ky_wipe(e.code, sizeof(e.code));
    X509_free(reader.certificate);
    return status;
}
