/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows that change by enrolment, and the version of each that the ledger accepts.
 * Authority's thread.
 * Keeps: a row is given out only when its MAC holds over (table, row, version, body) and its version
 * is the one the fold knows, so a changed, swapped or old row is refused.
 */
#include "store_private.h"

#include <stdlib.h>
#include <string.h>

#include "kyso/alg.h"
#include "kyso/wire.h"

static const char ROW_TAG[] = "kyso.row";

static bool table_known(uint32_t table)
{
    return table >= ROW_SUBJECT && table < ROW_TABLE_END;
}

static uint32_t version_of(const struct store *s, uint32_t table, uint32_t row)
{
    const struct store_versions *v = &s->versions[table];
    return row >= 1 && row <= v->count ? v->of[row - 1] : 0;
}

struct ky_status store_versions_set(struct store *s, uint32_t table, uint32_t row, uint32_t version)
{
    if (!table_known(table)) {
        return KY_STATUS(KY_CORRUPT);
    }
    struct store_versions *v = &s->versions[table];
    if (row == 0 || row > v->count + 1u || version == 0 || row == UINT32_MAX) {
        return KY_STATUS(KY_CORRUPT);
    }
    if (row > v->cap) {
        size_t cap = v->cap < 1024 ? 1024 : (size_t)v->cap * 2;
        cap = cap > UINT32_MAX ? UINT32_MAX : cap;
        uint32_t *of = reallocarray(v->of, cap, sizeof(*of));
        if (of == NULL) {
            return KY_STATUS(KY_NOMEM);
        }
        v->of = of;
        v->cap = (uint32_t)cap;
    }
    v->of[row - 1] = version;
    if (row > v->count) {
        v->count = row;
    }
    return KY_STATUS(KY_OK);
}

void store_versions_free(struct store *s)
{
    for (size_t i = 0; i < ROW_TABLE_END; i++) {
        free(s->versions[i].of);
        s->versions[i] = (struct store_versions){0};
    }
}

uint32_t store_row_count(const struct store *s, enum row_table table)
{
    return table_known(table) ? s->versions[table].count : 0;
}

void store_row_version(struct store *s, enum row_table table, uint32_t row, uint32_t version)
{
    struct ky_status st = store_versions_set(s, table, row, version);
    if (!ky_ok(st)) {
        store_seal(s, st.code == KY_NOMEM ? SQLITE_NOMEM : SQLITE_CORRUPT);
    }
}

static uint64_t row_id(uint32_t table, uint32_t row)
{
    return (uint64_t)table << 32 | row;
}

/* HMAC(row-mac, "kyso.row" || table || row || version || body); false when there was no memory for its input. */
static bool row_mac(struct store *s, uint32_t table, uint32_t row, uint32_t version,
                    struct ky_span body, uint8_t out[32])
{
    ky_buf_reset(&s->scratch);
    ky_buf_put(&s->scratch, ROW_TAG, sizeof(ROW_TAG) - 1);
    ky_put_u8(&s->scratch, (uint8_t)table);
    ky_put_u32(&s->scratch, row);
    ky_put_u32(&s->scratch, version);
    ky_buf_put(&s->scratch, body.data, body.len);
    if (s->scratch.failed) {
        return false;
    }
    store_mac(s, s->keys.row_mac, out);
    return true;
}

/* Writes the row in s->body and stages its LEDGER_ADMIN record. */
static struct ky_status stage_row(struct store *s, const struct ledger_admin *admin,
                                  uint64_t time_us)
{
    uint8_t mac[32];
    bool found = false;
    if (!row_mac(s, admin->table, admin->row, admin->version, ky_buf_span(&s->body), mac)) {
        return KY_STATUS(KY_NOMEM);
    }
    struct ky_status st = store_begin(s);
    if (!ky_ok(st)) {
        return st;
    }
    store_bind_u64(s, STMT_ROW_PUT, 1, row_id(admin->table, admin->row));
    store_bind_u64(s, STMT_ROW_PUT, 2, admin->version);
    store_bind_span(s, STMT_ROW_PUT, 3, ky_buf_span(&s->body));
    store_bind_span(s, STMT_ROW_PUT, 4, KY_SPAN_OF(mac));
    st = store_step(s, STMT_ROW_PUT, &found);
    if (ky_ok(st)) {
        st = store_append(s, &ledger_admin_schema, admin, time_us, KY_SPAN(NULL, 0), NULL);
    }
    if (ky_ok(st)) {
        store_row_version(s, admin->table, admin->row, admin->version);
        st = store_usable(s);
    }
    return st;
}

struct ky_status store_row_put(struct store *s, enum row_table table, uint32_t row, const void *msg,
                               uint64_t operation, uint64_t time_us, uint32_t *out_row)
{
    struct ky_status st = store_usable(s);
    if (!ky_ok(st)) {
        return st;
    }
    if (!table_known(table) || s->mode == STORE_READ_ONLY) {
        return KY_STATUS(KY_INVALID);
    }
    if (row == 0) {
        row = s->versions[table].count + 1u;
    } else if (row > s->versions[table].count) {
        return KY_STATUS(KY_NOT_FOUND);
    }
    ky_buf_reset(&s->body);
    st = ky_msg_encode(row_schema((uint8_t)table), msg, &s->body);
    if (!ky_ok(st) || s->body.failed) {
        return KY_STATUS(KY_INVALID);
    }
    struct ledger_admin admin = {.table = (uint8_t)table,
                                 .row = row,
                                 .version = version_of(s, table, row) + 1u,
                                 .operation = operation};
    ky_sha256(ky_buf_span(&s->body), admin.row_sha256);
    st = stage_row(s, &admin, time_us);
    if (ky_ok(st) && out_row != NULL) {
        *out_row = row;
    }
    return st;
}

/* The statement stands on the row: checks it and copies its body to where the caller's spans may point. */
static struct ky_status take_row(struct store *s, uint32_t table, uint32_t row, struct ky_buf *out)
{
    sqlite3_stmt *stmt = s->stmts[STMT_ROW_GET];
    uint32_t accepted = version_of(s, table, row);
    struct ky_span body = store_column(stmt, 1);
    struct ky_span mac = store_column(stmt, 2);
    uint8_t want[32];
    if (sqlite3_column_int64(stmt, 0) != (sqlite3_int64)accepted) {
        return KY_STATUS(KY_CORRUPT);
    }
    if (!row_mac(s, table, row, accepted, body, want)) {
        return KY_STATUS(KY_NOMEM);
    }
    if (!ky_span_eq_ct(KY_SPAN_OF(want), mac)) {
        return KY_STATUS(KY_CORRUPT);
    }
    ky_buf_reset(out);
    ky_buf_put(out, body.data, body.len);
    return KY_STATUS(out->failed ? KY_NOMEM : KY_OK);
}

struct ky_status store_row_get(struct store *s, enum row_table table, uint32_t row, void *out_msg)
{
    struct ky_status st = store_usable(s);
    if (!ky_ok(st)) {
        return st;
    }
    if (!table_known(table) || s->keys.row_mac == NULL) {
        return KY_STATUS(KY_INVALID);
    }
    if (version_of(s, table, row) == 0) {
        return KY_STATUS(KY_NOT_FOUND);
    }
    bool found = false;
    store_bind_u64(s, STMT_ROW_GET, 1, row_id(table, row));
    st = store_step(s, STMT_ROW_GET, &found);
    if (!ky_ok(st)) {
        return st;
    }
    if (!found) {
        return KY_STATUS(KY_CORRUPT); /* the ledger says it was written */
    }
    st = take_row(s, table, row, &s->rows[table]);
    store_reset(s, STMT_ROW_GET);
    if (ky_ok(st)) {
        st = row_decode((uint8_t)table, ky_buf_span(&s->rows[table]), out_msg);
        st = ky_ok(st) ? st : KY_STATUS(KY_CORRUPT);
    }
    return st;
}
