/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions and bytes as the page reads them. */
#include "approve.h"

#include "base64.h"

json_t *tell_bytes(struct ky_span bytes)
{
    struct ky_buf text = KY_BUF_INIT(4096);
    json_t *s;

    base64_put(&text, bytes);
    s = json_stringn((const char *)text.data, text.len);
    ky_buf_free(&text);
    return s;
}

bool hear_bytes(const json_t *in, const char *name, struct ky_buf *out)
{
    const json_t *s = json_object_get(in, name);

    return json_is_string(s) &&
           ky_ok(base64_get(KY_SPAN((const uint8_t *)json_string_value(s), json_string_length(s)),
                            out)) &&
           !out->failed;
}

static json_t *tell_binary(const ProtobufCBinaryData *b)
{
    return tell_bytes(KY_SPAN(b->data, b->len));
}

static json_t *tell_algorithm(const Kyso__V1__Algorithm *a)
{
    const Kyso__V1__PssParameters *pss = a != NULL ? a->pss : NULL;

    return json_pack("{s:i,s:i,s:i,s:i}", "scheme", a != NULL ? (int)a->scheme : 0, "hash",
                     a != NULL ? (int)a->hash : 0, "mgf_hash", pss != NULL ? (int)pss->mgf_hash : 0,
                     "salt_length", pss != NULL ? (int)pss->salt_length : 0);
}

json_t *tell_transaction(const Kyso__V1__PendingTransaction *m)
{
    json_t *hashes = json_array(), *choices = json_array();

    for (size_t i = 0; i < m->n_hashes; i++)
        (void)json_array_append_new(hashes, tell_binary(&m->hashes[i]));
    for (size_t i = 0; i < m->n_matching_choices; i++)
        (void)json_array_append_new(choices, json_string(m->matching_choices[i]));
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:o,s:o,s:o,s:s,s:I,s:o,s:i,s:o}", "transaction_id",
                     m->transaction_id, "server_id", m->server_id, "client", m->client,
                     "relying_party", m->relying_party, "subject_id", m->subject_id, "credential_id",
                     m->credential_id, "credential_epoch", (json_int_t)m->credential_epoch,
                     "key_spki_sha256", tell_binary(&m->key_spki_sha256), "algorithm",
                     tell_algorithm(m->algorithm), "hashes", hashes, "display_text",
                     m->display_text, "not_after", (json_int_t)m->not_after, "nonce",
                     tell_binary(&m->nonce), "state", (int)m->state, "choices", choices);
}
