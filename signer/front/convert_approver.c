/* SPDX-License-Identifier: Apache-2.0 */
/* The approvers' door: both directions. Same rules as on the signer's door. */
#include <string.h>

#include "kyso/alg.h"
#include "kyso/tx.h"
#include "kyso/v1/approver.pb-c.h"
#include "method.h"

#define MATCHING_CODE_MAX 16u
#define SIGNATURE_MAX     1024u
#define CHOICES_MAX       8u

static const char need_authenticator[] = "authenticator_id: a name of 1 to 64 characters is needed";
static const char need_transaction[] = "transaction_id: a name of 1 to 64 characters is needed";

CONVERT_IN(approver_list_in)
{
    const Kyso__V1__ListPendingRequest *m = (const void *)in;
    memcpy(out->approval_ref.spki, c->spki, KY_SPKI_HASH_LEN);
    return convert_name(c, m->authenticator_id, need_authenticator,
                        &out->approval_ref.authenticator_id);
}

CONVERT_IN(approver_get_in)
{
    const Kyso__V1__GetPendingRequest *m = (const void *)in;
    struct door_approval_ref *r = &out->approval_ref;
    struct ky_status st;

    memcpy(r->spki, c->spki, KY_SPKI_HASH_LEN);
    if (!ky_ok(st = convert_name(c, m->authenticator_id, need_authenticator, &r->authenticator_id)))
        return st;
    return convert_name(c, m->transaction_id, need_transaction, &r->transaction_id);
}

static struct ky_status decision_in(struct convert *c, const char *authenticator_id,
                                    const char *transaction_id,
                                    const ProtobufCBinaryData *signature, struct door_decide *r)
{
    struct ky_status st;
    memcpy(r->spki, c->spki, KY_SPKI_HASH_LEN);
    if (!ky_ok(st = convert_name(c, authenticator_id, need_authenticator, &r->authenticator_id)) ||
        !ky_ok(st = convert_name(c, transaction_id, need_transaction, &r->transaction_id)))
        return st;
    r->signature = convert_bytes(signature);
    if (r->signature.len > SIGNATURE_MAX)
        return convert_refuse(c, "signature: at most 1024 bytes");
    return KY_STATUS(KY_OK);
}

CONVERT_IN(approver_approve_in)
{
    const Kyso__V1__DecisionRequest *m = (const void *)in;
    struct door_decide *r = &out->decide;
    struct ky_status st = decision_in(c, m->authenticator_id, m->transaction_id, &m->signature, r);

    if (!ky_ok(st))
        return st;
    if (r->signature.len == 0)
        return convert_refuse(c, "signature: is needed");
    r->decision = KY_DECISION_APPROVE;
    r->matching_code = ky_span_text(m->matching_code);
    if (r->matching_code.len > MATCHING_CODE_MAX)
        return convert_refuse(c, "matching_code: at most 16 bytes");
    return KY_STATUS(KY_OK);
}

CONVERT_IN(approver_reject_in)
{
    const Kyso__V1__RejectRequest *m = (const void *)in;
    struct door_decide *r = &out->decide;
    struct ky_status st = decision_in(c, m->authenticator_id, m->transaction_id, &m->signature, r);

    if (!ky_ok(st))
        return st;
    if (m->not_me && r->signature.len == 0)
        return convert_refuse(c, "signature: is needed with not_me");
    r->decision = m->not_me ? KY_DECISION_NOT_ME : KY_DECISION_REJECT;
    return KY_STATUS(KY_OK);
}

CONVERT_IN(approver_get_passkey_in)
{
    const Kyso__V1__GetPasskeyRequest *m = (const void *)in;

    memcpy(out->approval_ref.spki, c->spki, KY_SPKI_HASH_LEN);
    return convert_name(c, m->authenticator_id, need_authenticator,
                        &out->approval_ref.authenticator_id);
}

CONVERT_IN(approver_enroll_passkey_in)
{
    const Kyso__V1__EnrollPasskeyRequest *m = (const void *)in;
    struct door_passkey *r = &out->passkey;

    memcpy(r->spki, c->spki, KY_SPKI_HASH_LEN);
    r->code = ky_span_text(m->code);
    r->public_key = convert_bytes(&m->public_key);
    if (r->code.len == 0 || r->code.len > MATCHING_CODE_MAX)
        return convert_refuse(c, "code: 1 to 16 bytes are needed");
    if (r->public_key.len == 0 || r->public_key.len > KY_SPKI_MAX)
        return convert_refuse(c, "public_key: DER SubjectPublicKeyInfo is needed");
    return convert_name(c, m->authenticator_id, need_authenticator, &r->authenticator_id);
}

static struct ky_status algorithm_out(struct convert *c, const struct door_r_approval *r,
                                      Kyso__V1__PendingTransaction *m)
{
    m->algorithm = convert_message(c, &kyso__v1__algorithm__descriptor);
    if (!m->algorithm)
        return KY_STATUS(KY_NOMEM);
    m->algorithm->scheme = (Kyso__V1__SignatureScheme)r->scheme;
    m->algorithm->hash = (Kyso__V1__HashAlgorithm)r->hash;
    if (r->scheme != KY_RSA_PSS)
        return KY_STATUS(KY_OK);
    m->algorithm->pss = convert_message(c, &kyso__v1__pss_parameters__descriptor);
    if (!m->algorithm->pss)
        return KY_STATUS(KY_NOMEM);
    m->algorithm->pss->salt_length = r->salt_len;
    m->algorithm->pss->mgf_hash = (Kyso__V1__HashAlgorithm)r->mgf_hash;
    return KY_STATUS(KY_OK);
}

static struct ky_status hashes_out(struct convert *c, const struct door_r_approval *r,
                                   Kyso__V1__PendingTransaction *m)
{
    size_t len = ky_hash_len(r->hash);
    size_t n = len > 0 ? r->hashes.len / len : 0;

    if (len == 0 || n * len != r->hashes.len || n > KY_HASHES_MAX)
        return KY_STATUS(KY_CORRUPT);
    m->hashes = convert_alloc(c, n * sizeof(*m->hashes));
    if (!m->hashes)
        return KY_STATUS(KY_NOMEM);
    for (size_t i = 0; i < n; i++)
        m->hashes[i] = convert_binary(KY_SPAN(r->hashes.data + i * len, len));
    m->n_hashes = n;
    return KY_STATUS(KY_OK);
}

static struct ky_status choices_out(struct convert *c, const struct door_r_approval *r,
                                    Kyso__V1__PendingTransaction *m)
{
    struct ky_span *items;
    size_t n;
    struct ky_status st = convert_items(c, r->choices, CHOICES_MAX, &items, &n);

    if (!ky_ok(st))
        return st;
    m->matching_choices = convert_alloc(c, n * sizeof(*m->matching_choices));
    if (!m->matching_choices)
        return KY_STATUS(KY_NOMEM);
    for (size_t i = 0; i < n; i++)
        if (!(m->matching_choices[i] = convert_text(c, items[i])))
            return KY_STATUS(KY_NOMEM);
    m->n_matching_choices = n;
    return KY_STATUS(KY_OK);
}

static struct ky_status names_out(struct convert *c, const struct door_r_approval *r,
                                  Kyso__V1__PendingTransaction *m)
{
    bool complete = (m->transaction_id = convert_text(c, r->transaction_id)) &&
                    (m->server_id = convert_text(c, r->server_id)) &&
                    (m->client = convert_text(c, r->client)) &&
                    (m->relying_party = convert_text(c, r->relying_party)) &&
                    (m->subject_id = convert_text(c, r->subject_id)) &&
                    (m->credential_id = convert_text(c, r->credential_id)) &&
                    (m->display_text = convert_text(c, r->display_text));
    return KY_STATUS(complete ? KY_OK : KY_NOMEM);
}

/* r lives as long as the message: the fixed arrays are borrowed from it. */
static struct ky_status approval_out(struct convert *c, const struct door_r_approval *r,
                                     Kyso__V1__PendingTransaction **out)
{
    Kyso__V1__PendingTransaction *m =
        convert_message(c, &kyso__v1__pending_transaction__descriptor);
    struct ky_status st;

    if (!m)
        return KY_STATUS(KY_NOMEM);
    if (!ky_ok(st = names_out(c, r, m)) || !ky_ok(st = algorithm_out(c, r, m)) ||
        !ky_ok(st = hashes_out(c, r, m)) || !ky_ok(st = choices_out(c, r, m)))
        return st;
    m->credential_epoch = r->credential_epoch;
    m->key_spki_sha256 = convert_binary(KY_SPAN_OF(r->key_spki_sha256));
    m->not_after = (int64_t)r->not_after_s;
    m->nonce = convert_binary(KY_SPAN_OF(r->nonce));
    m->state = (Kyso__V1__TransactionState)r->state;
    *out = m;
    return KY_STATUS(KY_OK);
}

CONVERT_OUT(approver_approval_out)
{
    Kyso__V1__PendingTransaction *m;
    struct ky_status st = approval_out(c, &in->approval, &m);
    if (ky_ok(st))
        *out = &m->base;
    return st;
}

CONVERT_OUT(approver_list_out)
{
    Kyso__V1__ListPendingReply *m = convert_message(c, &kyso__v1__list_pending_reply__descriptor);
    struct door_r_approval *records;
    struct ky_span *items;
    size_t n;
    struct ky_status st = convert_items(c, in->list.items, KY_LIST_MAX, &items, &n);

    if (!ky_ok(st))
        return st;
    records = convert_alloc(c, n * sizeof(*records));
    if (!m || !records || !(m->transactions = convert_alloc(c, n * sizeof(*m->transactions))))
        return KY_STATUS(KY_NOMEM);
    for (size_t i = 0; i < n; i++)
        if (!ky_ok(st = ky_msg_decode(&door_r_approval_schema, items[i], &records[i])) ||
            !ky_ok(st = approval_out(c, &records[i], &m->transactions[i])))
            return st;
    m->n_transactions = n;
    *out = &m->base;
    return KY_STATUS(KY_OK);
}

CONVERT_OUT(approver_decision_out)
{
    Kyso__V1__DecisionReply *m = convert_message(c, &kyso__v1__decision_reply__descriptor);
    if (!m || !(m->transaction_id = convert_text(c, in->decision.transaction_id)))
        return KY_STATUS(KY_NOMEM);
    m->state = (Kyso__V1__TransactionState)in->decision.state;
    *out = &m->base;
    return KY_STATUS(KY_OK);
}

CONVERT_OUT(approver_passkey_out)
{
    const struct door_r_passkey *r = &in->passkey;
    Kyso__V1__Passkey *m = convert_message(c, &kyso__v1__passkey__descriptor);

    if (!m || !(m->authenticator_id = convert_text(c, r->authenticator_id)) ||
        !(m->subject_id = convert_text(c, r->subject_id)) || !(m->label = convert_text(c, r->label)))
        return KY_STATUS(KY_NOMEM);
    m->public_key = convert_binary(r->public_key);
    m->usable_from = (int64_t)r->usable_from_s;
    *out = &m->base;
    return KY_STATUS(KY_OK);
}
