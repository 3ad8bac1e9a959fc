/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The row cache and what a row says at a given time. Rows come from the store, which has checked MAC and version; they
 * are copied, since the store's spans live only until its next call.
 */
#include "authority_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kyso/wire.h"

#define ROOM_TRIES 16

static void unlink_entry(struct cache *c, struct cache_entry *e)
{
    *(e->newer != NULL ? &e->newer->older : &c->newest) = e->older;
    *(e->older != NULL ? &e->older->newer : &c->oldest) = e->newer;
    e->newer = NULL;
    e->older = NULL;
}

static void link_newest(struct cache *c, struct cache_entry *e)
{
    e->older = c->newest;
    e->newer = NULL;
    *(c->newest != NULL ? &c->newest->newer : &c->oldest) = e;
    c->newest = e;
}

static void entry_free(struct cache_entry *e)
{
    if (e == NULL)
        return;
    ky_buf_free(&e->bytes);
    free(e);
}

static void drop(struct cache *c, struct cache_entry *e)
{
    map_remove(&c->entries, map_key_number(e->table, e->row));
    unlink_entry(c, e);
    entry_free(e);
}

/*
 * A hit only notes its turn: the list is in the order of linking. So the oldest gets a second chance when it was used in a later
 * turn than it was linked in, and what this turn has used stays in any case, since its decisions hold on to it. A fetch adds one
 * entry and looks at up to ROOM_TRIES: when all of those stay, the cache is over its bound until later fetches find what may go.
 */
static void make_room(struct authority *a)
{
    struct cache *c = &a->cache;

    for (int tries = 0; tries < ROOM_TRIES && c->entries.count > CACHE_MAX; tries++) {
        struct cache_entry *e = c->oldest;
        if (e->used_turn == e->linked_turn && e->used_turn != a->turns) {
            drop(c, e);
            continue;
        }
        unlink_entry(c, e);
        e->linked_turn = e->used_turn;
        link_newest(c, e);
    }
}

void cache_drop(struct authority *a, enum row_table table, uint32_t row)
{
    struct cache_entry *e = map_get(&a->cache.entries, map_key_number(table, row));

    if (e != NULL)
        drop(&a->cache, e);
}

void cache_free(struct authority *a)
{
    while (a->cache.newest != NULL)
        drop(&a->cache, a->cache.newest);
    map_free(&a->cache.entries);
}

/* What decisions need beside the row itself. */
static struct ky_status complete(struct authority *a, struct cache_entry *e)
{
    uint8_t key[4];
    size_t n = 0;
    struct ky_status status = KY_STATUS(KY_OK);

    if (e->table == ROW_CREDENTIAL)
        ky_sha256(e->credential.public_key, e->spki_sha256);
    if (e->table != ROW_SUBJECT)
        return status;
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)(e->row >> (8 * i));
    status = store_lookup(a->store, STORE_AUTHENTICATORS_OF, KY_SPAN_OF(key), 0, e->authenticators,
                          CREDENTIAL_AUTHENTICATORS, &n);
    e->authenticator_count = (uint32_t)n;
    return status;
}

static struct cache_entry *load(struct authority *a, enum row_table table, uint32_t row)
{
    const struct ky_schema *schema = row_schema((uint8_t)table);
    struct cache_entry *e = calloc(1, sizeof(*e));

    if (e == NULL || schema == NULL)
        goto failed;
    e->table = (uint8_t)table;
    e->row = row;
    e->bytes = KY_BUF_INIT(KY_RECORD_MAX);
    struct ky_status status = store_row_get(a->store, table, row, &e->credential);
    if (ky_ok(status))
        status = ky_msg_encode(schema, &e->credential, &e->bytes);
    if (ky_ok(status))
        status = ky_msg_decode(schema, ky_buf_span(&e->bytes), &e->credential);
    if (ky_ok(status))
        status = complete(a, e);
    if (!ky_ok(status)) {
        a->cache.corrupt = status.code == KY_CORRUPT;
        if (status.code != KY_NOT_FOUND)
            log_event(LOG_ERROR, "record-refused", LOG_CODE(status), LOG_U64("table", table),
                      LOG_U64("row", row));
        goto failed;
    }
    if (!map_put(&a->cache.entries, map_key_number(table, row), e))
        goto failed;
    return e;
failed:
    entry_free(e);
    return NULL;
}

struct cache_entry *cache_get(struct authority *a, enum row_table table, uint32_t row)
{
    struct cache *c = &a->cache;
    struct cache_entry *e = row == 0 ? NULL : map_get(&c->entries, map_key_number(table, row));

    if (e == NULL) {
        e = row == 0 ? NULL : load(a, table, row);
        if (e == NULL)
            return NULL;
        e->linked_turn = a->turns;
        e->used_turn = a->turns;
        link_newest(c, e);
        make_room(a);
    }
    e->used_turn = a->turns;
    return e;
}

/* --- public ids ------------------------------------------------------------------------------------------ */

uint32_t authority_id_row(char kind, struct ky_span id)
{
    uint32_t row = 0;
    size_t i = 1;

    if (id.len < 19 || id.len >= AUTHORITY_ID_MAX || id.data[0] != (uint8_t)kind)
        return 0;
    for (; i < id.len && id.data[i] != '-'; i++) {
        uint8_t ch = id.data[i];
        uint32_t v = 16;
        if (ch >= '0' && ch <= '9')
            v = (uint32_t)(ch - '0');
        else if (ch >= 'a' && ch <= 'f')
            v = (uint32_t)(ch - 'a') + 10;
        if (v > 15 || i > 8)
            return 0;
        row = row << 4 | v;
    }
    return id.len - i == 17 ? row : 0;
}

struct ky_status authority_id_make(char kind, uint32_t row, char out[AUTHORITY_ID_MAX])
{
    uint64_t random;
    struct ky_status status = ky_random(&random, sizeof(random));

    if (ky_ok(status))
        snprintf(out, AUTHORITY_ID_MAX, "%c%x-%016llx", kind, row, (unsigned long long)random);
    return status;
}

struct cache_entry *credential_by_id(struct authority *a, struct ky_span id)
{
    a->cache.corrupt = false;
    struct cache_entry *e = cache_get(a, ROW_CREDENTIAL, authority_id_row('c', id));

    return e != NULL && ky_span_eq(e->credential.credential_id, id) ? e : NULL;
}

struct cache_entry *authenticator_by_id(struct authority *a, struct ky_span id)
{
    a->cache.corrupt = false;
    struct cache_entry *e = cache_get(a, ROW_AUTHENTICATOR, authority_id_row('a', id));

    return e != NULL && ky_span_eq(e->authenticator.authenticator_id, id) ? e : NULL;
}

/* --- what rows say ------------------------------------------------------------------------------------------ */

uint8_t credential_state(const struct row_credential *c, uint64_t now_s)
{
    if (c->state == CREDENTIAL_ACTIVE && now_s > c->not_after_s)
        return CREDENTIAL_EXPIRED;
    return c->state;
}

bool credential_usable(const struct row_credential *c, uint64_t now_s)
{
    return c->state == CREDENTIAL_ACTIVE && now_s >= c->not_before_s && now_s <= c->not_after_s;
}

bool authenticator_usable(const struct row_authenticator *x, uint8_t kind, uint32_t subject_row,
                          uint64_t now_s)
{
    return x->kind == kind && x->state == ROW_AUTH_ACTIVE && x->subject_row == subject_row &&
           now_s >= x->usable_from_s;
}

bool authenticator_stands(struct authority *a, uint32_t row)
{
    const struct cache_entry *x = cache_get(a, ROW_AUTHENTICATOR, row);

    return x != NULL && x->authenticator.state == ROW_AUTH_ACTIVE;
}

bool list_has(struct ky_span list, struct ky_span text, bool star)
{
    struct ky_reader r = ky_reader(list);

    while (r.left > 0 && !r.failed) {
        struct ky_span item = ky_get_bytes(&r, KY_NAME_MAX);
        if (!r.failed && (ky_span_eq(item, text) || (star && item.len == 1 && item.data[0] == '*')))
            return true;
    }
    return false;
}
