/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows while the server runs: the one way to write them, and the tables of clients (by SPKI and by name) and operators that
 * stay in memory. Authority's thread.
 */
#include "authority_private.h"

#include <stdlib.h>

struct map_key authority_text_key(struct ky_span text)
{
    uint8_t hash[32];

    ky_sha256(text, hash);
    return map_key_bytes(hash);
}

struct client *authority_client(const struct authority *a, uint32_t row)
{
    return row >= 1 && row <= a->client_count ? a->clients[row - 1] : NULL;
}

struct client *authority_client_by_spki(const struct authority *a,
                                        const uint8_t spki[KY_SPKI_HASH_LEN])
{
    struct client *c = map_get(&a->clients_by_spki, map_key_bytes(spki));

    if (c == NULL || c->data.removed)
        return NULL;
    for (size_t i = 0; i + KY_SPKI_HASH_LEN <= c->data.spkis.len; i += KY_SPKI_HASH_LEN)
        if (ky_span_eq(KY_SPAN(c->data.spkis.data + i, KY_SPKI_HASH_LEN),
                       KY_SPAN(spki, KY_SPKI_HASH_LEN)))
            return c;
    return NULL;
}

uint32_t authority_client_by_name(const struct authority *a, struct ky_span name)
{
    const struct client *c = map_get(&a->clients_by_name, authority_text_key(name));

    return c == NULL ? 0 : c->row;
}

uint32_t authority_operator_by_id(const struct authority *a, struct ky_span id)
{
    return (uint32_t)(uintptr_t)map_get(&a->operators_by_id, authority_text_key(id));
}

static bool client_index(struct authority *a, struct client *c)
{
    for (size_t i = 0; i + KY_SPKI_HASH_LEN <= c->data.spkis.len && !c->data.removed;
         i += KY_SPKI_HASH_LEN)
        if (!map_put(&a->clients_by_spki, map_key_bytes(c->data.spkis.data + i), c))
            return false;
    return map_put(&a->clients_by_name, authority_text_key(c->data.name), c);
}

static void client_unindex(struct authority *a, struct client *c)
{
    for (size_t i = 0; i + KY_SPKI_HASH_LEN <= c->data.spkis.len; i += KY_SPKI_HASH_LEN)
        if (map_get(&a->clients_by_spki, map_key_bytes(c->data.spkis.data + i)) == c)
            (void)map_remove(&a->clients_by_spki, map_key_bytes(c->data.spkis.data + i));
    if (map_get(&a->clients_by_name, authority_text_key(c->data.name)) == c)
        (void)map_remove(&a->clients_by_name, authority_text_key(c->data.name));
}

static struct client *client_slot(struct authority *a, uint32_t row)
{
    if (row > a->client_count) {
        struct client **more = realloc(a->clients, row * sizeof(struct client *));
        if (more == NULL)
            return NULL;
        a->clients = more;
        while (a->client_count < row)
            a->clients[a->client_count++] = NULL;
    }
    if (a->clients[row - 1] == NULL) {
        a->clients[row - 1] = calloc(1, sizeof(struct client));
        if (a->clients[row - 1] != NULL)
            a->clients[row - 1]->row = row;
    }
    return a->clients[row - 1];
}

static struct ky_status client_load(struct authority *a, uint32_t row)
{
    struct row_client data;
    struct client *c = client_slot(a, row);

    if (c == NULL)
        return KY_STATUS(KY_NOMEM);
    client_unindex(a, c);
    c->bytes.max = KY_RECORD_MAX;
    ky_buf_reset(&c->bytes);
    c->data = (struct row_client){0};
    struct ky_status status = store_row_get(a->store, ROW_CLIENT, row, &data);
    if (ky_ok(status))
        status = ky_msg_encode(&row_client_schema, &data, &c->bytes);
    if (ky_ok(status))
        status = ky_msg_decode(&row_client_schema, ky_buf_span(&c->bytes), &c->data);
    if (ky_ok(status) && !client_index(a, c))
        status = KY_STATUS(KY_NOMEM);
    return status;
}

static struct ky_status operator_load(struct authority *a, uint32_t row)
{
    struct row_operator data;
    struct ky_status status = store_row_get(a->store, ROW_OPERATOR, row, &data);

    if (ky_ok(status) &&
        !map_put(&a->operators_by_id, authority_text_key(data.operator_id), (void *)(uintptr_t)row))
        status = KY_STATUS(KY_NOMEM);
    return status;
}

struct ky_status authority_load_rows(struct authority *a)
{
    struct ky_status status = KY_STATUS(KY_OK);

    for (uint32_t row = 1; ky_ok(status) && row <= store_row_count(a->store, ROW_CLIENT); row++)
        status = client_load(a, row);
    for (uint32_t row = 1; ky_ok(status) && row <= store_row_count(a->store, ROW_OPERATOR); row++)
        status = operator_load(a, row);
    return ky_ok(status) ? keypool_load(a) : status;
}

struct ky_status authority_row_put(struct authority *a, enum row_table table, uint32_t row,
                                   const void *msg, uint64_t operation, uint32_t *out_row)
{
    const struct ledger_leaf leaf = {.time_us = a->wall_us, .type = LEDGER_ADMIN};
    uint32_t written = row;

    if (a->store == NULL || a->failed || a->phase == PHASE_SEALED)
        return KY_STATUS(KY_SEALED);
    if (!kek_allows(a, table, msg))
        return KY_STATUS(KY_INVALID);
    struct ky_status status =
        store_row_put(a->store, table, row, msg, operation, a->wall_us, &written);
    if (status.code == KY_INVALID)
        return status;
    if (ky_ok(
            status)) /* the store has staged the row's LEDGER_ADMIN record: the fold sees it, as a replay will */
        status = state_apply(a->state, &leaf, NULL, (struct ky_span){0});
    if (ky_ok(status) && table == ROW_CLIENT)
        status = client_load(a, written);
    if (ky_ok(status) && table == ROW_OPERATOR)
        status = operator_load(a, written);
    if (!ky_ok(status)) {
        authority_seal(a, "a row could not be written");
        return status;
    }
    if (table == ROW_CREDENTIAL)
        expiry_note(a, written, msg);
    cache_drop(a, table, written);
    if (table == ROW_AUTHENTICATOR) /* the subject's list of them */
        cache_drop(a, ROW_SUBJECT, ((const struct row_authenticator *)msg)->subject_row);
    if (out_row != NULL)
        *out_row = written;
    return status;
}

void authority_free_rows(struct authority *a)
{
    for (uint32_t i = 0; i < a->client_count; i++) {
        if (a->clients[i] != NULL)
            ky_buf_free(&a->clients[i]->bytes);
        free(a->clients[i]);
    }
    free(a->clients);
    free(a->pool.types);
    map_free(&a->clients_by_spki);
    map_free(&a->clients_by_name);
    map_free(&a->operators_by_id);
}
