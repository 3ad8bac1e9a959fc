/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relying parties' door: requests to records. Form only: lengths, character sets, ranges.
 * What a field means (rights, states, whether a code is right) is the authority's to say, so that
 * every refusal that tells something about a person is charged and recorded there.
 */
#include <string.h>

#include "kyso/alg.h"
#include "kyso/tx.h"
#include "kyso/v1/signer.pb-c.h"
#include "method.h"

#define TTL_BEGIN_MAX_S 600u
#define TTL_SAD_MAX_S   7200u
#define WAIT_MAX_MS     60000u
#define PROOF_TEXT_MAX                                                                             \
    16u /* wrong codes are the authority's to count: only absurd lengths stop here */
#define PROOF_SIGNATURE_MAX 512u  /* of a relying party */
#define APPROVAL_MAX        1024u /* of a device: a passkey's assertion */

CONVERT_IN(signer_info_in)
{
    (void)in;
    memcpy(out->info.spki, c->spki, KY_SPKI_HASH_LEN);
    return KY_STATUS(KY_OK);
}

CONVERT_IN(signer_list_in)
{
    const Kyso__V1__ListCredentialsRequest *m = (const void *)in;
    struct door_cred_list *r = &out->cred_list;
    struct ky_status st;

    memcpy(r->spki, c->spki, KY_SPKI_HASH_LEN);
    if (!ky_ok(st = convert_name(c, m->relying_party,
                                 "relying_party: a name of 1 to 64 characters is needed",
                                 &r->relying_party)) ||
        !ky_ok(st = convert_optional_name(c, m->subject_id, "subject_id: not a name",
                                          &r->subject_id)) ||
        !ky_ok(st = convert_optional_name(c, m->page_token, "page_token: not one of ours",
                                          &r->page_token)))
        return st;
    if (m->page_size > KY_LIST_MAX)
        return convert_refuse(c, "page_size: at most 100");
    r->page_size = m->page_size;
    return KY_STATUS(KY_OK);
}

CONVERT_IN(signer_get_in)
{
    const Kyso__V1__GetCredentialRequest *m = (const void *)in;
    struct door_cred_get *r = &out->cred_get;
    struct ky_status st;

    memcpy(r->spki, c->spki, KY_SPKI_HASH_LEN);
    if (!ky_ok(st = convert_name(c, m->relying_party,
                                 "relying_party: a name of 1 to 64 characters is needed",
                                 &r->relying_party)))
        return st;
    return convert_name(c, m->credential_id,
                        "credential_id: a name of 1 to 64 characters is needed", &r->credential_id);
}

/* Without a scheme where a transaction is begun: whichever the key has, and Sign says. */
static struct ky_status algorithm_in(struct convert *c, const Kyso__V1__Algorithm *m,
                                     struct door_tx *r)
{
    int scheme = (int)m->scheme; /* numbered as enum ky_scheme */

    if (ky_hash_len((uint8_t)m->hash) == 0)
        return convert_refuse(c, "request.algorithm.hash: SHA256, SHA384 or SHA512 is needed");
    if (scheme < KY_SCHEME_NONE || scheme >= KY_SCHEME_COUNT)
        return convert_refuse(c, "request.algorithm.scheme: one of the schemes is needed");
    if ((scheme == KY_RSA_PSS) != (m->pss != NULL))
        return convert_refuse(c, "request.algorithm.pss: needed with RSA_PSS, and only there");
    r->scheme = (uint8_t)scheme;
    r->hash = (uint8_t)m->hash;
    c->encoding = (uint8_t)m->encoding;
    if (m->pss) {
        if (m->pss->salt_length > KY_SIG_MAX)
            return convert_refuse(c,
                                  "request.algorithm.pss.salt_length: longer than any key of ours");
        r->salt_len = (uint16_t)m->pss->salt_length;
        r->mgf_hash = (uint8_t)m->pss->mgf_hash;
    }
    return KY_STATUS(KY_OK);
}

/* Two equal digests in one request are refused: each use is authorized once. */
static bool has_duplicates(const uint8_t *all, size_t count, size_t len)
{
    for (size_t i = 1; i < count; i++) {
        uint64_t head, other;
        memcpy(&head, all + i * len, sizeof(head));
        for (size_t j = 0; j < i; j++) {
            memcpy(&other, all + j * len, sizeof(other));
            if (head == other &&
                ky_span_eq(KY_SPAN(all + i * len, len), KY_SPAN(all + j * len, len)))
                return true;
        }
    }
    return false;
}

static struct ky_status hashes_in(struct convert *c, const Kyso__V1__SignatureRequest *m,
                                  struct door_tx *r)
{
    size_t len = ky_hash_len(r->hash);
    uint8_t *all;

    if (m->n_hashes == 0 || m->n_hashes > KY_HASHES_MAX)
        return convert_refuse(c, "request.hashes: 1 to 256 are needed");
    all = convert_alloc(c, m->n_hashes * len);
    if (!all)
        return KY_STATUS(KY_NOMEM);
    for (size_t i = 0; i < m->n_hashes; i++) {
        if (m->hashes[i].len != len)
            return convert_refuse(c,
                                  "request.hashes: each must be as long as the algorithm's digest");
        memcpy(all + i * len, m->hashes[i].data, len);
    }
    if (has_duplicates(all, m->n_hashes, len))
        return convert_refuse(c, "request.hashes: one is given twice");
    r->hashes = KY_SPAN(all, m->n_hashes * len);
    c->hashes = (uint16_t)m->n_hashes;
    return KY_STATUS(KY_OK);
}

/* whole: a transaction is described; else a pending one is named, and all but the relying party may be left out. */
static struct ky_status signature_request_in(struct convert *c, const Kyso__V1__SignatureRequest *m,
                                             bool whole, struct door_tx *r)
{
    struct ky_status st;
    struct ky_span text;

    if (!m)
        return convert_refuse(c, "request: is needed, with at least relying_party");
    if (whole && m->credential_id[0] == '\0')
        return convert_refuse(c, "request.credential_id: is needed");
    if (!ky_ok(st = convert_name(c, m->relying_party, "request.relying_party: a name is needed",
                                 &r->relying_party)) ||
        !ky_ok(st = convert_optional_name(c, m->credential_id, "request.credential_id: not a name",
                                          &r->credential_id)))
        return st;
    if (whole && !m->algorithm)
        return convert_refuse(c, "request.algorithm: is needed");
    if (m->algorithm && !ky_ok(st = algorithm_in(c, m->algorithm, r)))
        return st;
    if (m->n_hashes > 0 && !m->algorithm)
        return convert_refuse(c, "request.algorithm: is needed with hashes");
    if ((whole || m->n_hashes > 0) && !ky_ok(st = hashes_in(c, m, r)))
        return st;
    text = ky_span_text(m->display_text);
    if (text.len > KY_DISPLAY_TEXT_MAX)
        return convert_refuse(c, "request.display_text: at most 2000 bytes");
    if (!ky_span_is_display_text(text))
        return convert_refuse(c, "request.display_text: no control or direction characters");
    r->display_text = text;
    return KY_STATUS(KY_OK);
}

/* Whether one is needed, and holds, is the authority's to say. */
static struct ky_status request_signature_in(struct convert *c, const Kyso__V1__RequestSignature *m,
                                             uint64_t *out_expires_s, struct ky_span *out_signature)
{
    if (!m)
        return KY_STATUS(KY_OK);
    if (m->expires <= 0)
        return convert_refuse(c, "request_signature.expires: seconds since the epoch are needed");
    if (m->signature.len == 0 || m->signature.len > PROOF_SIGNATURE_MAX)
        return convert_refuse(c, "request_signature.signature: 1 to 512 bytes are needed");
    *out_expires_s = (uint64_t)m->expires;
    *out_signature = convert_bytes(&m->signature);
    return KY_STATUS(KY_OK);
}

static struct ky_status request_id_in(struct convert *c, const char *in, struct door_tx *r)
{
    struct ky_status st =
        convert_name(c, in, "request_id: 1 to 64 characters of A-Z a-z 0-9 . _ : @ - are needed",
                     &r->request_id);
    c->request_id = r->request_id;
    return st;
}

static struct ky_status totp_in(struct convert *c, const Kyso__V1__TotpProof *m, struct door_tx *r)
{
    r->proof = KY_PROOF_TOTP;
    r->proof_secret = ky_span_text(m->code);
    if (r->proof_secret.len > PROOF_TEXT_MAX)
        return convert_refuse(c, "totp.code: at most 16 bytes");
    return convert_optional_name(c, m->authenticator_id, "totp.authenticator_id: not a name",
                                 &r->authenticator_id);
}

static struct ky_status approval_in(struct convert *c, const Kyso__V1__ApprovalProof *m,
                                    struct door_tx *r)
{
    struct ky_span transaction;
    struct ky_status st;

    r->proof = KY_PROOF_APPROVAL;
    if (!ky_ok(st = convert_name(c, m->transaction_id, "approval.transaction_id: a name is needed",
                                 &transaction)) ||
        !ky_ok(st = convert_name(c, m->authenticator_id,
                                 "approval.authenticator_id: a name is needed",
                                 &r->authenticator_id)))
        return st;
    if (r->transaction_id.len > 0 && !ky_span_eq(r->transaction_id, transaction))
        return convert_refuse(c, "approval.transaction_id: differs from transaction_id");
    r->transaction_id = transaction;
    r->matching_code = ky_span_text(m->matching_code);
    if (r->matching_code.len > PROOF_TEXT_MAX)
        return convert_refuse(c, "approval.matching_code: at most 16 bytes");
    r->proof_signature = convert_bytes(&m->signature);
    if (r->proof_signature.len == 0 || r->proof_signature.len > APPROVAL_MAX)
        return convert_refuse(c, "approval.signature: 1 to 1024 bytes are needed");
    return KY_STATUS(KY_OK);
}

static struct ky_status ttl_in(struct convert *c, uint32_t ttl_s, uint32_t max, const char *why,
                               struct door_tx *r)
{
    if (ttl_s > max)
        return convert_refuse(c, why);
    r->ttl_s = ttl_s;
    return KY_STATUS(KY_OK);
}

CONVERT_IN(signer_begin_in)
{
    const Kyso__V1__BeginTransactionRequest *m = (const void *)in;
    struct door_tx *r = &out->tx;
    struct ky_status st;

    memcpy(r->spki, c->spki, KY_SPKI_HASH_LEN);
    if (!ky_ok(st = request_id_in(c, m->request_id, r)) ||
        !ky_ok(st = request_signature_in(c, m->request_signature, &r->expires_s,
                                         &r->request_signature)) ||
        !ky_ok(st = signature_request_in(c, m->request, true, r)))
        return st;
    return ttl_in(c, m->ttl_s, TTL_BEGIN_MAX_S, "ttl_s: at most 600", r);
}

CONVERT_IN(signer_authorize_in)
{
    const Kyso__V1__AuthorizeRequest *m = (const void *)in;
    struct door_tx *r = &out->tx;
    struct ky_status st;
    bool named;

    memcpy(r->spki, c->spki, KY_SPKI_HASH_LEN);
    if (!ky_ok(st = request_id_in(c, m->request_id, r)) ||
        !ky_ok(st = convert_optional_name(c, m->transaction_id, "transaction_id: not a name",
                                          &r->transaction_id)) ||
        !ky_ok(st = request_signature_in(c, m->request_signature, &r->expires_s,
                                         &r->request_signature)) ||
        !ky_ok(st = ttl_in(c, m->ttl_s, TTL_SAD_MAX_S, "ttl_s: at most 7200", r)))
        return st;
    named = r->transaction_id.len > 0;
    if (m->proof_case == KYSO__V1__AUTHORIZE_REQUEST__PROOF_TOTP) {
        st = totp_in(c, m->totp, r);
    } else if (m->proof_case == KYSO__V1__AUTHORIZE_REQUEST__PROOF_APPROVAL) {
        st = approval_in(c, m->approval, r);
        named = true;
    } else {
        st = convert_refuse(c, "proof: a totp or an approval is needed");
    }
    return ky_ok(st) ? signature_request_in(c, m->request, !named, r) : st;
}

static struct ky_status sad_in(struct convert *c, const ProtobufCBinaryData *sad, struct door_tx *r)
{
    if (sad->len != KY_SAD_LEN)
        return convert_refuse(c, "sad: exactly 32 bytes");
    r->proof = KY_PROOF_SAD;
    r->proof_secret = convert_bytes(sad);
    return KY_STATUS(KY_OK);
}

CONVERT_IN(signer_sign_in)
{
    const Kyso__V1__SignRequest *m = (const void *)in;
    struct door_tx *r = &out->tx;
    struct ky_status st;

    memcpy(r->spki, c->spki, KY_SPKI_HASH_LEN);
    if (!ky_ok(st = request_id_in(c, m->request_id, r)) ||
        !ky_ok(st = request_signature_in(c, m->request_signature, &r->expires_s,
                                         &r->request_signature)) ||
        !ky_ok(st = signature_request_in(c, m->request, true, r)))
        return st;
    if (r->scheme == KY_SCHEME_NONE)
        return convert_refuse(c, "request.algorithm.scheme: one of the schemes is needed");
    switch (m->proof_case) {
    case KYSO__V1__SIGN_REQUEST__PROOF_TOTP:
        return totp_in(c, m->totp, r);
    case KYSO__V1__SIGN_REQUEST__PROOF_APPROVAL:
        return approval_in(c, m->approval, r);
    case KYSO__V1__SIGN_REQUEST__PROOF_SAD:
        return sad_in(c, &m->sad, r);
    default:
        return convert_refuse(c, "proof: a totp, an approval or a sad is needed");
    }
}

static struct ky_status tx_ref_in(struct convert *c, const char *relying_party,
                                  const char *transaction_id, struct door_tx_ref *r)
{
    struct ky_status st;
    memcpy(r->spki, c->spki, KY_SPKI_HASH_LEN);
    if (!ky_ok(st = convert_name(c, relying_party,
                                 "relying_party: a name of 1 to 64 characters is needed",
                                 &r->relying_party)))
        return st;
    return convert_name(c, transaction_id, "transaction_id: a name of 1 to 64 characters is needed",
                        &r->transaction_id);
}

CONVERT_IN(signer_wait_in)
{
    const Kyso__V1__WaitTransactionRequest *m = (const void *)in;
    if (m->timeout_ms > WAIT_MAX_MS)
        return convert_refuse(c, "timeout_ms: at most 60000");
    out->tx_ref.timeout_ms = m->timeout_ms;
    c->wait_us = (uint64_t)m->timeout_ms * 1000u;
    return tx_ref_in(c, m->relying_party, m->transaction_id, &out->tx_ref);
}

CONVERT_IN(signer_cancel_in)
{
    const Kyso__V1__CancelTransactionRequest *m = (const void *)in;
    struct ky_status st =
        request_signature_in(c, m->request_signature, &out->tx_ref.expires_s,
                             &out->tx_ref.request_signature);

    if (!ky_ok(st))
        return st;
    return tx_ref_in(c, m->relying_party, m->transaction_id, &out->tx_ref);
}
