/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Sign request whose id is known: the same signature from the ledger, the same wait, or why there is neither. Nothing is spent
 * and nothing is recorded but refusals. Inside a turn only.
 */
#include "judge.h"

struct stored {           /* what a repeat needs of the ledger */
    struct ky_buf *bytes; /* borrowed */
    struct ledger_intent intent;
    struct ledger_receipt receipt;
    uint16_t found;
};

static struct ky_status take_leaf(void *context, struct ky_span leaf, struct ky_span private_data)
{
    struct stored *st = context;
    struct ledger_leaf l;
    struct ky_status status = ledger_leaf_parse(leaf, &l);

    (void)private_data;
    if (!ky_ok(status))
        return status;
    ky_buf_put(st->bytes, l.body.data, l.body.len); /* the leaf lives for this call only */
    if (st->bytes->failed)
        return KY_STATUS(KY_NOMEM);
    st->found = l.type;
    return status;
}

/* Both leaves into the scratch buffer, decoded from there once it no longer moves. */
static enum ky_code read_stored(struct authority *a, const struct replay *e, struct stored *st)
{
    struct ky_span span[2];
    const uint64_t at[2] = {e->intent, e->receipt};
    const uint16_t type[2] = {LEDGER_INTENT, LEDGER_RECEIPT};
    size_t offset[2];

    *st = (struct stored){.bytes = &a->scratch};
    ky_buf_reset(&a->scratch);
    for (int i = 0; i < 2; i++) {
        st->found = 0;
        offset[i] = a->scratch.len;
        if (!ky_ok(store_ledger_read(a->store, at[i], 1, take_leaf, st)))
            return KY_INTERNAL;
        if (st->found == 0)
            return KY_BUSY; /* its receipt is of this very turn */
        if (st->found != type[i])
            return KY_INTERNAL;
    }
    span[0] = KY_SPAN(a->scratch.data + offset[0], offset[1] - offset[0]);
    span[1] = KY_SPAN(a->scratch.data + offset[1], a->scratch.len - offset[1]);
    if (!ky_ok(ky_msg_decode(&ledger_intent_schema, span[0], &st->intent)) ||
        !ky_ok(ky_msg_decode(&ledger_receipt_schema, span[1], &st->receipt)))
        return KY_INTERNAL;
    return KY_OK;
}

static enum ky_code answer_stored(struct asked *q, const struct replay *e)
{
    struct stored st;
    enum ky_code code = read_stored(q->a, e, &st);

    if (code != KY_OK)
        return code;
    struct cache_entry *credential = cache_get(q->a, ROW_CREDENTIAL, st.intent.credential_row);
    if (credential == NULL || !credential_usable(&credential->credential, authority_now_s(q->a)))
        return KY_INACTIVE;
    struct door_r_sign m = {
        .request_id = q->m.request_id,
        .transaction_id = st.intent.transaction_id,
        .count =
            (uint16_t)(st.receipt.sig_len == 0 ? 0
                                               : st.receipt.signatures.len / st.receipt.sig_len),
        .sig_len = st.receipt.sig_len,
        .signatures = st.receipt.signatures,
        .scheme = st.intent.scheme,
    };
    q->a->replays++;
    authority_reply(q->a, &q->to, &door_r_sign_schema, &m);
    return KY_OK;
}

enum ky_code sign_repeat(struct asked *q, const struct replay *e)
{
    if (e->kind != REPLAY_SIGN ||
        !ky_span_eq(KY_SPAN_OF(e->content), KY_SPAN(q->content, sizeof(e->content))))
        return KY_CONFLICT;
    if (e->state == REPLAY_DEAD)
        return KY_PROOF_NEEDED;
    if (e->state == REPLAY_SIGNED) {
        q->retry_after_ms = 20;
        return answer_stored(q, e);
    }
    struct flight *f = state_flight(q->a->state, e->intent);
    if (f == NULL || f->reply_count == STATE_FLIGHT_REPLIES) {
        q->retry_after_ms = 100;
        return KY_BUSY;
    }
    f->replies[f->reply_count++] = q->to;
    return KY_OK;
}
