/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the played authority answers: made-up credentials, transactions and "signatures" that a test
 * can recognise.
 */
#include "front_double_answers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kyso/alg.h"
#include "kyso/wire.h"

static void reply(struct answers *a, const struct ky_schema *s, const void *msg, uint64_t tag)
{
    if (!ky_ok(ky_channel_send(&a->channel, s, msg, tag, 0))) {
        (void)fprintf(stderr, "double: cannot send %s\n", s->name);
        exit(3);
    }
    a->answered++;
}

void answers_refuse(struct answers *a, uint16_t code, uint64_t tag)
{
    reply(a, &door_refused_schema,
          &(struct door_refused){.code = code, .retry_after_ms = code == KY_BUSY ? 250 : 0}, tag);
}

/* A "signature" is its hash over and over, so that a test sees which one it got. */
static void answer_sign(struct answers *a, const struct door_tx *tx, uint64_t tag)
{
    size_t hash_len = ky_hash_len(tx->hash), count = tx->hashes.len / hash_len;
    size_t sig_len = tx->scheme == KY_ECDSA || tx->scheme == KY_EDDSA ? 64 : 256;
    struct door_r_sign r = {.request_id = tx->request_id,
                            .transaction_id = ky_span_text("tx-1"),
                            .count = (uint16_t)count,
                            .sig_len = (uint16_t)sig_len,
                            .scheme = tx->scheme};
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < sig_len; j++)
            a->bytes[i * sig_len + j] = tx->hashes.data[i * hash_len + j % hash_len];
    r.signatures = KY_SPAN(a->bytes, count * sig_len);
    reply(a, &door_r_sign_schema, &r, tag);
}

static void answer_tx(struct answers *a, struct ky_span request_id, struct ky_span transaction_id,
                      bool authorized, uint64_t tag)
{
    static const uint8_t sad[KY_SAD_LEN] = {0x5a, 0x5a, 0x5a};
    struct door_r_tx r = {.request_id = request_id,
                          .transaction_id = transaction_id,
                          .state = authorized ? 2 : 1,
                          .not_after_s = 1900000000};
    memset(r.tx_digest, 0xd1, sizeof(r.tx_digest));
    memset(r.nonce, 0x0e, sizeof(r.nonce));
    if (authorized)
        r.sad = KY_SPAN_OF(sad);
    else
        r.matching_code = ky_span_text("42");
    reply(a, &door_r_tx_schema, &r, tag);
}

static struct door_r_cred credential(struct ky_span id)
{
    static const uint8_t der[] = {0x30, 0x03, 0x02, 0x01, 0x07};
    return (struct door_r_cred){.credential_id = id,
                                .subject_id = ky_span_text("citizen-1"),
                                .key_type = KY_KEY_P256,
                                .state = 2,
                                .storage = KY_STORE_WRAPPED,
                                .epoch = 3,
                                .max_hashes = 16,
                                .certificate = KY_SPAN_OF(der),
                                .public_key = KY_SPAN_OF(der)};
}

static void put_item(struct ky_buf *list, const struct ky_schema *s, const void *msg)
{
    struct ky_buf item = KY_BUF_INIT(KY_RECORD_MAX);
    if (!ky_ok(ky_msg_encode(s, msg, &item)))
        exit(3);
    ky_put_bytes(list, ky_buf_span(&item));
    ky_buf_free(&item);
}

static void answer_list(struct answers *a, const struct door_cred_list *q, uint64_t tag)
{
    struct ky_buf items = KY_BUF_INIT(KY_RECORD_MAX), chain = KY_BUF_INIT(4096);
    struct door_r_list r = {.next_page_token = q->page_token};
    uint32_t n = q->page_size ? q->page_size : 2;

    ky_put_bytes(&chain, ky_span_text("issuer"));
    for (uint32_t i = 0; i < n; i++) {
        char id[32];
        (void)snprintf(id, sizeof(id), "cred-%u", (unsigned)i);
        struct door_r_cred c = credential(ky_span_text(id));
        c.chain = ky_buf_span(&chain);
        put_item(&items, &door_r_cred_schema, &c);
    }
    r.items = ky_buf_span(&items);
    reply(a, &door_r_cred_list_schema, &r, tag);
    ky_buf_free(&items);
    ky_buf_free(&chain);
}

static struct door_r_approval approval(struct ky_span transaction_id, const struct ky_buf *choices)
{
    static const uint8_t hashes[64] = {1, 2, 3};
    struct door_r_approval a = {.transaction_id = transaction_id,
                                .server_id = ky_span_text("server"),
                                .client = ky_span_text("gateway"),
                                .relying_party = ky_span_text("bank"),
                                .subject_id = ky_span_text("citizen-1"),
                                .credential_id = ky_span_text("cred-1"),
                                .credential_epoch = 3,
                                .scheme = KY_RSA_PSS,
                                .hash = KY_SHA256,
                                .salt_len = 32,
                                .hashes = KY_SPAN_OF(hashes),
                                .display_text =
                                    ky_span_text("H\xe1\xbb\xa3p \xc4\x91\xe1\xbb\x93ng"),
                                .not_after_s = 1900000000,
                                .state = 1,
                                .choices = ky_buf_span(choices)};
    memset(a.nonce, 0x0e, sizeof(a.nonce));
    return a;
}

static void answer_approvals(struct answers *a, const struct door_approval_ref *q, bool one,
                             uint64_t tag)
{
    struct ky_buf items = KY_BUF_INIT(KY_RECORD_MAX), choices = KY_BUF_INIT(64);
    struct door_r_approval shown;

    ky_put_bytes(&choices, ky_span_text("17"));
    ky_put_bytes(&choices, ky_span_text("42"));
    if (one) {
        shown = approval(q->transaction_id, &choices);
        reply(a, &door_r_approval_schema, &shown, tag);
    } else {
        shown = approval(ky_span_text("tx-1"), &choices);
        put_item(&items, &door_r_approval_schema, &shown);
        shown = approval(ky_span_text("tx-2"), &choices);
        put_item(&items, &door_r_approval_schema, &shown);
        reply(a, &door_r_approval_list_schema, &(struct door_r_list){.items = ky_buf_span(&items)},
              tag);
    }
    ky_buf_free(&items);
    ky_buf_free(&choices);
}

static void answer_info(struct answers *a, uint64_t tag)
{
    static const uint8_t algorithms[] = {KY_ECDSA, KY_SHA256, KY_RSA_PSS, KY_SHA512};
    struct door_r_info r = {.server_id = ky_span_text("server"),
                            .version = ky_span_text("0"),
                            .client = ky_span_text("gateway"),
                            .algorithms = KY_SPAN_OF(algorithms),
                            .max_hashes = 256};
    reply(a, &door_r_info_schema, &r, tag);
}

/* The name that a request's rule hangs on. */
struct ky_span answers_rule(uint16_t type, const void *m)
{
    const struct door_tx *tx = m;
    const struct door_cred_get *get = m;
    const struct door_tx_ref *ref = m;
    const struct door_approval_ref *approval_ref = m;
    const struct door_decide *decide = m;

    switch (type) {
    case DOOR_SIGN:
    case DOOR_TX_BEGIN:
    case DOOR_TX_AUTHORIZE:
        return tx->credential_id;
    case DOOR_CRED_GET:
        return get->credential_id;
    case DOOR_TX_WAIT:
    case DOOR_TX_CANCEL:
        return ref->transaction_id;
    case DOOR_APPROVAL_GET:
        return approval_ref->transaction_id;
    case DOOR_APPROVAL_DECIDE:
        return decide->transaction_id;
    default:
        return KY_SPAN(NULL, 0);
    }
}

static const struct ky_schema *const requests[] = {
    &door_info_schema,         &door_cred_list_schema,       &door_cred_get_schema,
    &door_tx_begin_schema,     &door_tx_authorize_schema,    &door_sign_schema,
    &door_tx_wait_schema,      &door_tx_cancel_schema,       &door_approval_list_schema,
    &door_approval_get_schema, &door_approval_decide_schema, &door_operate_schema,
};

bool answers_decode(uint16_t type, struct ky_span payload, union asked *out)
{
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
        if (requests[i]->type == type)
            return ky_ok(ky_msg_decode(requests[i], payload, out));
    return false;
}

void answers_give(struct answers *a, uint16_t type, const union asked *m, uint64_t tag)
{
    switch (type) {
    case DOOR_INFO:
        answer_info(a, tag);
        break;
    case DOOR_CRED_LIST:
        answer_list(a, &m->list, tag);
        break;
    case DOOR_CRED_GET: {
        struct door_r_cred c = credential(m->get.credential_id);
        reply(a, &door_r_cred_schema, &c, tag);
        break;
    }
    case DOOR_TX_BEGIN:
        answer_tx(a, m->tx.request_id, ky_span_text("tx-1"), false, tag);
        break;
    case DOOR_TX_AUTHORIZE:
        answer_tx(a, m->tx.request_id, ky_span_text("tx-1"), true, tag);
        break;
    case DOOR_SIGN:
        answer_sign(a, &m->tx, tag);
        break;
    case DOOR_TX_WAIT:
    case DOOR_TX_CANCEL:
        answer_tx(a, KY_SPAN(NULL, 0), m->ref.transaction_id, type == DOOR_TX_WAIT, tag);
        break;
    case DOOR_APPROVAL_LIST:
    case DOOR_APPROVAL_GET:
        answer_approvals(a, &m->approval_ref, type == DOOR_APPROVAL_GET, tag);
        break;
    case DOOR_APPROVAL_DECIDE: {
        struct door_r_decision d = {.transaction_id = m->decide.transaction_id,
                                    .state = m->decide.decision + 1u};
        reply(a, &door_r_decision_schema, &d, tag);
        break;
    }
    case DOOR_OPERATE:
        reply(a, &door_r_operate_schema, &(struct door_r_operate){.result = m->operate.operation},
              tag);
        break;
    default:
        break;
    }
}
