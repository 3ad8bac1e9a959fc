/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relying parties' door: records to replies. The authority is trusted for meaning, not for
 * lengths: a record that does not add up is KY_CORRUPT and the caller reads "internal".
 */
#include "kyso/alg.h"
#include "kyso/v1/signer.pb-c.h"
#include "method.h"

#define MESSAGE_MAX_BYTES 65536u
#define CHAIN_MAX         16u
#define ALGORITHMS_MAX    64u
#define DER_SLACK         10u

static struct ky_status finish(void *message, bool complete, ProtobufCMessage **out)
{
    if (!complete)
        return KY_STATUS(KY_NOMEM);
    *out = message;
    return KY_STATUS(KY_OK);
}

static struct ky_status algorithms_out(struct convert *c, struct ky_span pairs,
                                       Kyso__V1__InfoReply *m)
{
    size_t n = pairs.len / 2;
    if (pairs.len % 2 != 0 || n > ALGORITHMS_MAX)
        return KY_STATUS(KY_CORRUPT);
    m->algorithms = convert_alloc(c, n * sizeof(*m->algorithms));
    if (!m->algorithms)
        return KY_STATUS(KY_NOMEM);
    for (size_t i = 0; i < n; i++) {
        Kyso__V1__Algorithm *a = convert_message(c, &kyso__v1__algorithm__descriptor);
        if (!a)
            return KY_STATUS(KY_NOMEM);
        a->scheme = (Kyso__V1__SignatureScheme)pairs.data[2 * i];
        a->hash = (Kyso__V1__HashAlgorithm)pairs.data[2 * i + 1];
        m->algorithms[i] = a;
    }
    m->n_algorithms = n;
    return KY_STATUS(KY_OK);
}

CONVERT_OUT(signer_info_out)
{
    const struct door_r_info *r = &in->info;
    Kyso__V1__InfoReply *m = convert_message(c, &kyso__v1__info_reply__descriptor);
    struct ky_status st;

    if (!m)
        return KY_STATUS(KY_NOMEM);
    if (!ky_ok(st = algorithms_out(c, r->algorithms, m)))
        return st;
    m->server_id = convert_text(c, r->server_id);
    m->version = convert_text(c, r->version);
    m->client = convert_text(c, r->client);
    m->max_hashes = r->max_hashes;
    m->signed_requests = r->signed_requests;
    m->max_message_bytes = MESSAGE_MAX_BYTES;
    return finish(m, m->server_id && m->version && m->client, out);
}

static struct ky_status chain_out(struct convert *c, struct ky_span chain, Kyso__V1__Credential *m)
{
    struct ky_span *items;
    size_t n;
    struct ky_status st = convert_items(c, chain, CHAIN_MAX, &items, &n);

    if (!ky_ok(st))
        return st;
    m->chain = convert_alloc(c, n * sizeof(*m->chain));
    if (!m->chain)
        return KY_STATUS(KY_NOMEM);
    for (size_t i = 0; i < n; i++)
        m->chain[i] = convert_binary(items[i]);
    m->n_chain = n;
    return KY_STATUS(KY_OK);
}

static struct ky_status credential_out(struct convert *c, const struct door_r_cred *r,
                                       Kyso__V1__Credential **out)
{
    Kyso__V1__Credential *m = convert_message(c, &kyso__v1__credential__descriptor);
    struct ky_status st;

    if (!m)
        return KY_STATUS(KY_NOMEM);
    if (!ky_ok(st = chain_out(c, r->chain, m)))
        return st;
    m->credential_id = convert_text(c, r->credential_id);
    m->subject_id = convert_text(c, r->subject_id);
    m->key_type = (Kyso__V1__KeyType)r->key_type;
    m->state = (Kyso__V1__CredentialState)r->state;
    m->storage = (Kyso__V1__KeyStorage)r->storage;
    m->epoch = r->epoch;
    m->max_hashes = r->max_hashes;
    m->certificate = convert_binary(r->certificate);
    m->public_key = convert_binary(r->public_key);
    *out = m;
    return KY_STATUS(m->credential_id && m->subject_id ? KY_OK : KY_NOMEM);
}

CONVERT_OUT(signer_cred_out)
{
    Kyso__V1__Credential *m;
    struct ky_status st = credential_out(c, &in->cred, &m);
    if (ky_ok(st))
        *out = &m->base;
    return st;
}

CONVERT_OUT(signer_list_out)
{
    Kyso__V1__ListCredentialsReply *m =
        convert_message(c, &kyso__v1__list_credentials_reply__descriptor);
    struct ky_span *items;
    size_t n;
    struct ky_status st = convert_items(c, in->list.items, KY_LIST_MAX, &items, &n);

    if (!ky_ok(st))
        return st;
    if (!m || !(m->credentials = convert_alloc(c, n * sizeof(*m->credentials))))
        return KY_STATUS(KY_NOMEM);
    for (size_t i = 0; i < n; i++) {
        struct door_r_cred r;
        if (!ky_ok(st = ky_msg_decode(&door_r_cred_schema, items[i], &r)) ||
            !ky_ok(st = credential_out(c, &r, &m->credentials[i])))
            return st;
    }
    m->n_credentials = n;
    m->next_page_token = convert_text(c, in->list.next_page_token);
    return finish(m, m->next_page_token != NULL, out);
}

CONVERT_OUT(signer_tx_out)
{
    const struct door_r_tx *r = &in->tx;
    Kyso__V1__Transaction *m = convert_message(c, &kyso__v1__transaction__descriptor);

    if (!m)
        return KY_STATUS(KY_NOMEM);
    if (r->sad.len != 0 && r->sad.len != KY_SAD_LEN)
        return KY_STATUS(KY_CORRUPT);
    m->request_id = convert_text(c, r->request_id);
    m->transaction_id = convert_text(c, r->transaction_id);
    m->state = (Kyso__V1__TransactionState)r->state;
    m->tx_digest = convert_binary(KY_SPAN_OF(r->tx_digest));
    m->nonce = convert_binary(KY_SPAN_OF(r->nonce));
    m->matching_code = convert_text(c, r->matching_code);
    m->not_after = (int64_t)r->not_after_s;
    m->sad = convert_binary(r->sad);
    return finish(m, m->request_id && m->transaction_id && m->matching_code, out);
}

/* The vault signs raw; X9.62 DER is what the caller gets unless it asked for raw. */
static struct ky_status signature_out(struct convert *c, struct ky_span raw, uint8_t scheme,
                                      ProtobufCBinaryData *out)
{
    uint8_t *der;
    size_t len;
    struct ky_status st;

    if (scheme != KY_ECDSA || c->encoding == KYSO__V1__SIGNATURE_ENCODING__SIGNATURE_ENCODING_RAW) {
        *out = convert_binary(raw);
        return KY_STATUS(KY_OK);
    }
    der = convert_alloc(c, raw.len + DER_SLACK);
    if (!der)
        return KY_STATUS(KY_NOMEM);
    st = ky_ecdsa_raw_to_der(raw, der, raw.len + DER_SLACK, &len);
    if (ky_ok(st))
        *out = convert_binary(KY_SPAN(der, len));
    return st;
}

CONVERT_OUT(signer_sign_out)
{
    const struct door_r_sign *r = &in->sign;
    Kyso__V1__SignReply *m = convert_message(c, &kyso__v1__sign_reply__descriptor);
    struct ky_status st;

    if (r->count == 0 || r->count > KY_HASHES_MAX || r->sig_len == 0 ||
        r->signatures.len != (size_t)r->count * r->sig_len)
        return KY_STATUS(KY_CORRUPT);
    if (!m || !(m->signatures = convert_alloc(c, r->count * sizeof(*m->signatures))))
        return KY_STATUS(KY_NOMEM);
    for (size_t i = 0; i < r->count; i++) {
        struct ky_span raw = KY_SPAN(r->signatures.data + i * r->sig_len, r->sig_len);
        if (!ky_ok(st = signature_out(c, raw, r->scheme, &m->signatures[i])))
            return st;
    }
    m->n_signatures = r->count;
    m->request_id = convert_text(c, r->request_id);
    m->transaction_id = convert_text(c, r->transaction_id);
    return finish(m, m->request_id && m->transaction_id, out);
}
