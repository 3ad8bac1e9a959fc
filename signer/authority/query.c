/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a relying party may read: Info, ListCredentials, GetCredential; and what a front tells of refusals that never became
 * requests. Another tenant's credential and an absent one give one answer. Inside a turn only.
 */
#include "judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kyso/wire.h"

#define PAGE_DEFAULT 50u
#define ITEMS_MAX    (200u * 1024u) /* of one page, so that the record fits */

/* --- Info ---------------------------------------------------------------------------------------------------------- */

static void put_algorithms(const struct authority *a, struct ky_buf *out)
{
    for (uint8_t type = KY_KEY_P256; type < KY_KEY_TYPE_COUNT; type++) {
        const struct ky_key_info *k = ky_key_info(type);
        bool first = k != NULL && (a->info.key_types & (1u << type)) != 0;
        for (uint8_t t = KY_KEY_P256; t < type && first; t++) /* each scheme once */
            first = (a->info.key_types & (1u << t)) == 0 || ky_key_info(t)->scheme != k->scheme;
        for (uint8_t hash = KY_SHA256; first && hash < KY_HASH_COUNT; hash++) {
            ky_put_u8(out, k->scheme);
            ky_put_u8(out, hash);
            if (k->scheme == KY_RSA_PKCS1 && a->info.pss) {
                ky_put_u8(out, KY_RSA_PSS);
                ky_put_u8(out, hash);
            }
        }
    }
}

void info_request(struct authority *a, const struct request *r, struct ky_span payload)
{
    struct ledger_denied why = {0};
    struct reply_to to = request_reply_to(r);
    struct door_info m;
    struct client *c = NULL;
    enum ky_code code = KY_INVALID;

    if (ky_ok(ky_msg_decode(&door_info_schema, payload, &m)))
        code = judge_client(a, m.spki, &why, &c);
    if (code == KY_OK)
        code = judge_tenancy(a, r, c, c->data.name, (struct ky_span){0});
    if (code != KY_OK) {
        why.reason = (uint16_t)code;
        authority_deny(a, r, &why);
        return;
    }
    ky_buf_reset(&a->scratch);
    put_algorithms(a, &a->scratch);
    struct door_r_info reply = {
        .server_id = authority_server_id(a),
        .version = ky_span_text(KYSO_VERSION),
        .client = c->data.name,
        .algorithms = ky_buf_span(&a->scratch),
        .max_hashes = a->config->limits.max_hashes,
        .signed_requests = c->data.request_key.len > 0,
    };
    authority_reply(a, &to, &door_r_info_schema, &reply);
}

/* --- credentials ---------------------------------------------------------------------------------------------------- */

static struct door_r_cred view(struct authority *a, const struct cache_entry *e,
                               struct ky_span subject_id)
{
    const struct row_credential *c = &e->credential;

    return (struct door_r_cred){
        .credential_id = c->credential_id,
        .subject_id = subject_id,
        .key_type = c->key_type,
        .state = credential_state(c, authority_now_s(a)),
        .storage = c->storage,
        .epoch = c->epoch,
        .max_hashes = c->max_hashes,
        .certificate = c->certificate,
        .chain = c->chain,
        .public_key = c->public_key,
    };
}

void cred_get_request(struct authority *a, const struct request *r, struct ky_span payload)
{
    struct asked q = {.a = a, .r = r, .to = request_reply_to(r)};
    struct door_cred_get m;
    enum ky_code code = KY_INVALID;

    if (ky_ok(ky_msg_decode(&door_cred_get_schema, payload, &m)))
        code = judge_client(a, m.spki, &q.why, &q.client);
    if (code == KY_OK) {
        q.m.relying_party = m.relying_party;
        code = judge_allowed(&q, credential_by_id(a, m.credential_id), 1);
    }
    if (code != KY_OK) {
        judge_refuse(&q, code);
        return;
    }
    const struct cache_entry *subject =
        cache_get(a, ROW_SUBJECT, q.credential->credential.subject_row);
    struct door_r_cred reply = view(a, q.credential, subject->subject.subject_id);
    authority_reply(a, &q.to, &door_r_cred_schema, &reply);
}

/* The subject's row by its public id; the lookup only finds a candidate. */
static struct cache_entry *subject_by_id(struct authority *a, struct ky_span id)
{
    uint32_t row = 0;
    size_t n = 0;

    if (!ky_span_is_name(id, KY_NAME_MAX) ||
        !ky_ok(store_lookup(a->store, STORE_BY_SUBJECT_ID, id, 0, &row, 1, &n)) || n == 0)
        return NULL;
    struct cache_entry *e = cache_get(a, ROW_SUBJECT, row);
    return e != NULL && ky_span_eq(e->subject.subject_id, id) ? e : NULL;
}

struct page { /* of one subject's credentials, as one relying party sees them */
    const struct cache_entry *subject;
    const struct door_cred_list *m;
    uint32_t after, size;
    uint32_t count;
    uint32_t last; /* the last row that was put */
    bool full;     /* and there is more that may be seen */
};

static void put_row(struct authority *a, struct page *p, uint32_t row, struct ky_buf *item)
{
    const struct cache_entry *e = cache_get(a, ROW_CREDENTIAL, row);

    if (e == NULL || e->credential.subject_row != p->subject->row ||
        !list_has(e->credential.relying_parties, p->m->relying_party, true))
        return;
    p->full = p->count == p->size || a->scratch.len > ITEMS_MAX;
    if (p->full)
        return;
    struct door_r_cred c = view(a, e, p->m->subject_id);
    ky_buf_reset(item);
    if (ky_ok(ky_msg_encode(&door_r_cred_schema, &c, item)))
        ky_put_bytes(&a->scratch, ky_buf_span(item));
    p->count++;
    p->last = row;
}

/* One page into the scratch buffer. It goes on only for what may be seen: nothing else shows in the answer. */
static void put_page(struct authority *a, struct page *p)
{
    const uint32_t subject = p->subject->row;
    uint8_t key[4] = {(uint8_t)subject, (uint8_t)(subject >> 8), (uint8_t)(subject >> 16),
                      (uint8_t)(subject >> 24)};
    struct ky_buf item = KY_BUF_INIT(KY_RECORD_MAX);
    uint32_t rows[KY_LIST_MAX];
    size_t n = 0;

    ky_buf_reset(&a->scratch);
    do {
        if (!ky_ok(store_lookup(a->store, STORE_CREDENTIALS_OF, KY_SPAN_OF(key), p->after, rows,
                                KY_LIST_MAX, &n)))
            break; /* sealed: nothing of this turn is told */
        for (size_t i = 0; i < n && !p->full; i++)
            put_row(a, p, rows[i], &item);
        p->after = n > 0 ? rows[n - 1] : p->after;
    } while (n == KY_LIST_MAX && !p->full);
    ky_buf_free(&item);
}

static bool page_after(struct ky_span token, uint32_t *out)
{
    char text[12];
    char *end = NULL;

    *out = 0;
    if (token.len == 0)
        return true;
    if (!ky_span_to_cstr(token, text, sizeof(text)) || text[0] < '0' || text[0] > '9')
        return false;
    unsigned long v = strtoul(text, &end, 10);
    if (*end != '\0' || v > UINT32_MAX)
        return false;
    *out = (uint32_t)v;
    return true;
}

void cred_list_request(struct authority *a, const struct request *r, struct ky_span payload)
{
    struct asked q = {.a = a, .r = r, .to = request_reply_to(r)};
    struct door_cred_list m;
    struct page page = {.m = &m};
    char token[12];
    enum ky_code code = KY_INVALID;

    if (ky_ok(ky_msg_decode(&door_cred_list_schema, payload, &m)) &&
        page_after(m.page_token, &page.after) && m.page_size <= KY_LIST_MAX)
        code = judge_client(a, m.spki, &q.why, &q.client);
    if (code == KY_OK)
        code = judge_tenancy(a, r, q.client, m.relying_party, m.subject_id);
    if (code == KY_OK) {
        page.subject = subject_by_id(a, m.subject_id);
        page.size = m.page_size == 0 ? PAGE_DEFAULT : m.page_size;
        if (page.subject != NULL)
            put_page(a, &page);
        code = page.count == 0 ? KY_NOT_FOUND : KY_OK; /* who has nothing for you is as absent */
    }
    if (code != KY_OK) {
        judge_refuse(&q, code);
        return;
    }
    struct door_r_list reply = {.items = ky_buf_span(&a->scratch)};
    if (page.full) {
        snprintf(token, sizeof(token), "%u", page.last);
        reply.next_page_token = ky_span_text(token);
    }
    authority_reply(a, &q.to, &door_r_cred_list_schema, &reply);
}

/* --- events ------------------------------------------------------------------------------------------------------------ */

void event_request(struct authority *a, const struct request *r, struct ky_span payload)
{
    struct door_event m;
    struct ledger_event record = {.door = r->door};

    if (!ky_ok(ky_msg_decode(&door_event_schema, payload, &m)))
        return;
    record.kind = m.kind;
    record.count = m.count;
    memcpy(record.spki, m.spki, sizeof(record.spki));
    if (!ky_ok(authority_append(a, &ledger_event_schema, &record, (struct ky_span){0}, NULL)))
        return; /* sealed */
}
