/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rotation of the KEK, online. Custodians' ceremony holds the old KEK and pulls: it is given blobs, brings them back under the new
 * one, and its answer comes after the commit (turn.c). A blob names its KEK, so each row is under one or the other at any moment,
 * whatever is killed; what is left to do is found by looking. Epochs stay: it is the same key. Authority's thread.
 */
#include "authority_private.h"

#include <string.h>

#include "kyso/wire.h"

#define LOOKED_AT  512u /* rows in one request: the turn stays short */
#define GIVEN      64u
#define ITEMS_FULL (160u * 1024u)

static const char proof_tag[] = "kyso.kek";

union key_row {
    struct row_credential credential;
    struct row_pool_key pool;
};
struct wrapped { /* what the two kinds of rows have in common */
    struct ky_span *blob;
    uint8_t key_type;
    struct ky_span public_key;
};

/* False: the row has no wrapped key. */
static bool wrapped_of(enum row_table table, union key_row *row, struct wrapped *out)
{
    *out = (struct wrapped){.blob = NULL};
    if (table == ROW_CREDENTIAL && row->credential.storage == KY_STORE_WRAPPED)
        *out = (struct wrapped){&row->credential.blob, row->credential.key_type,
                                row->credential.public_key};
    else if (table == ROW_POOL_KEY)
        *out = (struct wrapped){&row->pool.blob, row->pool.key_type, row->pool.public_key};
    return out->blob != NULL && out->blob->len > 0;
}

static uint32_t kek_of(struct ky_span blob)
{
    struct ky_span wrapped;

    return ky_blob_kek(blob, &wrapped);
}

bool kek_allows(struct authority *a, enum row_table table, const void *msg)
{
    union key_row row = {.credential = {.state = 0}};
    struct wrapped w;

    if (table == ROW_CREDENTIAL)
        row.credential = *(const struct row_credential *)msg;
    else if (table == ROW_POOL_KEY)
        row.pool = *(const struct row_pool_key *)msg;
    if (!wrapped_of(table, &row, &w) || kek_of(*w.blob) >= a->kek.generation)
        return true;
    a->kek.found = true;
    a->kek.whole = false;
    return kek_of(*w.blob) >= a->kek.ended;
}

/* --- a sitting ---------------------------------------------------------------------------------------------- */

static bool is_proved(const struct authority *a, const struct door_kek *m)
{
    struct ky_buf in = KY_BUF_INIT(256);
    uint8_t want[32];

    ky_buf_put(&in, proof_tag, sizeof(proof_tag) - 1);
    ky_buf_put(&in, a->boot.boot_id, sizeof(a->boot.boot_id));
    ky_put_u32(&in, m->generation);
    ky_buf_put(&in, m->backup_sha256, sizeof(m->backup_sha256));
    ky_buf_put(&in, m->transcript_sha256, sizeof(m->transcript_sha256));
    ky_hmac_sha256(ky_secret_span(&a->state_key), ky_buf_span(&in), want);
    bool proved = !in.failed && ky_span_eq_ct(KY_SPAN_OF(want), KY_SPAN_OF(m->proof));
    ky_buf_free(&in);
    return proved;
}

static struct ky_status put_record(struct authority *a, enum ledger_kek_event event,
                                   uint64_t *out_index)
{
    struct ledger_kek m = a->kek.facts;

    m.event = (uint8_t)event;
    m.custodians = ky_span_text(a->kek.custodians);
    if (event == LEDGER_KEK_BEGUN) {
        m.credentials = m.pool_keys = 0;
        memset(m.blobs_sha256, 0, sizeof(m.blobs_sha256));
    }
    return authority_append(a, &ledger_kek_schema, &m, (struct ky_span){0}, out_index);
}

static void pass_begin(struct kek_rotation *k)
{
    k->table = ROW_CREDENTIAL;
    k->row = 1;
    k->found = false;
    k->facts.credentials = k->facts.pool_keys = 0;
    memset(k->facts.blobs_sha256, 0, sizeof(k->facts.blobs_sha256));
}

static struct ky_status begin(struct authority *a, const struct request *r,
                              const struct door_kek *m)
{
    struct kek_rotation *k = &a->kek;

    if (!is_proved(a, m))
        return KY_STATUS(KY_DENIED);
    if (a->info.kek == 0 || (m->generation != a->info.kek && m->generation != a->info.kek + 1) ||
        m->generation < 2)
        return KY_STATUS(KY_CONFLICT);
    *k = (struct kek_rotation){.generation = m->generation, .ended = k->ended};
    k->facts.generation = m->generation;
    memcpy(k->facts.backup_sha256, m->backup_sha256, sizeof(m->backup_sha256));
    memcpy(k->facts.transcript_sha256, m->transcript_sha256, sizeof(m->transcript_sha256));
    if (!ky_span_to_cstr(m->custodians, k->custodians, sizeof(k->custodians)))
        return KY_STATUS(KY_INVALID);
    pass_begin(k);
    struct ky_status status = put_record(a, LEDGER_KEK_BEGUN, &k->record);
    if (!ky_ok(status))
        return status;
    k->sitting = r->from_generation;
    a->info.kek = m->generation; /* keys that are made from now on are under it */
    log_event(LOG_WARN, "kek-rotation", LOG_U64("generation", m->generation),
              LOG_STR("event", "begun"));
    return status;
}

/* --- rows --------------------------------------------------------------------------------------------------- */

/* One that was changed meanwhile is left: it is met again. */
static struct ky_status take_item(struct authority *a, struct ky_reader *in)
{
    enum row_table table = (enum row_table)ky_get_u8(in);
    uint32_t number = ky_get_u32(in);
    struct ky_span was = ky_get_raw(in, 32);
    struct ky_span blob = ky_get_bytes(in, KY_BLOB_MAX);
    uint8_t has[32];
    union key_row row;
    struct wrapped w;

    if (in->failed || (table != ROW_CREDENTIAL && table != ROW_POOL_KEY) ||
        kek_of(blob) != a->kek.generation)
        return KY_STATUS(KY_INVALID);
    struct ky_status status = store_row_get(a->store, table, number, &row);
    if (!ky_ok(status) || !wrapped_of(table, &row, &w))
        return status;
    ky_sha256(*w.blob, has);
    if (!ky_span_eq(KY_SPAN_OF(has), was))
        return status;
    *w.blob = blob;
    return authority_row_put(a, table, number, &row, a->kek.record, NULL);
}

static void count(struct kek_rotation *k, struct ky_span blob)
{
    uint8_t in[32 + 1 + 4 + 32];
    struct ky_buf number = KY_BUF_INIT(5);

    ky_put_u8(&number, k->table);
    ky_put_u32(&number, k->row);
    memcpy(in, k->facts.blobs_sha256, 32);
    if (!number.failed)
        memcpy(in + 32, number.data, 5);
    ky_sha256(blob, in + 37);
    ky_sha256(KY_SPAN_OF(in), k->facts.blobs_sha256);
    ky_buf_free(&number);
    k->facts.credentials += k->table == ROW_CREDENTIAL;
    k->facts.pool_keys += k->table == ROW_POOL_KEY;
}

/* Looks at one row; *given rises when it is to be wrapped again. A row that does not hold ends the sitting. */
static struct ky_status look(struct authority *a, uint32_t *given)
{
    struct kek_rotation *k = &a->kek;
    union key_row row;
    struct wrapped w;
    struct ky_status status = store_row_get(a->store, (enum row_table)k->table, k->row, &row);

    if (!ky_ok(status)) {
        log_event(LOG_ERROR, "row-refused", LOG_U64("table", k->table), LOG_U64("row", k->row));
        return status;
    }
    if (!wrapped_of((enum row_table)k->table, &row, &w))
        return status;
    count(k, *w.blob);
    if (kek_of(*w.blob) == k->generation)
        return status;
    k->found = true;
    ++*given;
    ky_put_u8(&a->scratch, k->table);
    ky_put_u32(&a->scratch, k->row);
    ky_put_u8(&a->scratch, w.key_type);
    ky_put_bytes(&a->scratch, *w.blob);
    ky_put_bytes(&a->scratch, w.public_key);
    return a->scratch.failed ? KY_STATUS(KY_NOMEM) : status;
}

static struct ky_status next(struct authority *a, const struct door_kek *m)
{
    struct kek_rotation *k = &a->kek;
    struct ky_reader in = ky_reader(m->items);
    struct ky_status status = KY_STATUS(KY_OK);
    uint32_t given = 0;

    while (ky_ok(status) && in.left > 0)
        status = take_item(a, &in);
    for (uint32_t n = 0; ky_ok(status) && n < LOOKED_AT && given < GIVEN && !k->whole &&
                         a->scratch.len < ITEMS_FULL;) {
        if (k->row <= store_row_count(a->store, (enum row_table)k->table)) {
            status = look(a, &given);
            k->row++;
            n++;
        } else if (k->table == ROW_CREDENTIAL) {
            k->table = ROW_POOL_KEY;
            k->row = 1;
        } else if (k->found) {
            pass_begin(k);
            break; /* what was given out is brought first */
        } else {
            k->whole = true;
            k->turn = a->turns;
        }
    }
    return status;
}

/* What was queued with an older blob is done first: its KEK is about to go. *whole: it is on the ledger. */
static struct ky_status end(struct authority *a, bool *whole)
{
    struct kek_rotation *k = &a->kek;

    if (!k->whole) {
        pass_begin(k);
        return KY_STATUS(KY_OK);
    }
    if (dispatch_has_older(a, k->turn))
        return KY_STATUS(KY_OK);
    struct ky_status status = put_record(a, LEDGER_KEK_ENDED, NULL);
    if (!ky_ok(status))
        return status;
    k->ended = k->generation;
    k->sitting = 0;
    *whole = true;
    log_event(LOG_WARN, "kek-rotation", LOG_U64("generation", k->generation),
              LOG_STR("event", "ended"));
    return status;
}

void kek_request(struct authority *a, const struct request *r, struct ky_span payload)
{
    struct reply_to to = request_reply_to(r);
    struct door_kek m;
    struct door_r_kek reply = {.whole = 0};
    bool whole = false;
    struct ky_status status = ky_msg_decode(&door_kek_schema, payload, &m);

    ky_buf_reset(&a->scratch);
    if (ky_ok(status) && m.step > DOOR_KEK_BEGIN && a->kek.sitting != r->from_generation)
        status = KY_STATUS(KY_DENIED);
    if (ky_ok(status))
        status = m.step == DOOR_KEK_HELLO   ? status
                 : m.step == DOOR_KEK_BEGIN ? begin(a, r, &m)
                 : m.step == DOOR_KEK_NEXT  ? next(a, &m)
                 : m.step == DOOR_KEK_END   ? end(a, &whole)
                                            : KY_STATUS(KY_INVALID);
    if (!ky_ok(status)) {
        authority_refuse(a, &to, status.code, 0);
        return;
    }
    memcpy(reply.boot, a->boot.boot_id, sizeof(reply.boot));
    reply.generation = a->info.kek;
    reply.rows = store_row_count(a->store, ROW_CREDENTIAL) + store_row_count(a->store, ROW_POOL_KEY);
    reply.whole = m.step == DOOR_KEK_END ? whole : a->kek.whole;
    reply.items = ky_buf_span(&a->scratch);
    authority_reply(a, &to, &door_r_kek_schema, &reply);
}
