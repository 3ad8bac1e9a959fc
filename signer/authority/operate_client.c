/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on relying parties' connections: add, list, suspend, resume, remove, pin a request key. A client is known by
 * the SHA-256 of its certificate's key; one key never names two. The authority's thread, inside a turn.
 */
#include <string.h>

#include "kyso/wire.h"

#include "operate.h"

#define SPKIS_MAX 2u /* so that a certificate can roll over */

/* NULL, or what is wrong. */
static const char *put_spkis(const Kyso__V1__AddClient *m,
                             uint8_t out[SPKIS_MAX * KY_SPKI_HASH_LEN])
{
    if (m->n_spki_sha256 == 0 || m->n_spki_sha256 > SPKIS_MAX)
        return "one or two keys are needed";
    for (size_t i = 0; i < m->n_spki_sha256; i++) {
        const ProtobufCBinaryData *spki = &m->spki_sha256[i];

        if (spki->len != KY_SPKI_HASH_LEN || ky_span_all_zero(KY_SPAN(spki->data, spki->len)))
            return "a key's hash is not 32 bytes";
        memcpy(out + i * KY_SPKI_HASH_LEN, spki->data, KY_SPKI_HASH_LEN);
    }
    if (m->n_spki_sha256 == 2 && ky_span_eq(KY_SPAN(out, KY_SPKI_HASH_LEN),
                                            KY_SPAN(out + KY_SPKI_HASH_LEN, KY_SPKI_HASH_LEN)))
        return "the two keys are the same";
    return NULL;
}

static bool share_a_key(struct ky_span a, struct ky_span b)
{
    for (size_t i = 0; i + KY_SPKI_HASH_LEN <= a.len; i += KY_SPKI_HASH_LEN)
        for (size_t j = 0; j + KY_SPKI_HASH_LEN <= b.len; j += KY_SPKI_HASH_LEN)
            if (ky_span_eq(KY_SPAN(a.data + i, KY_SPKI_HASH_LEN),
                           KY_SPAN(b.data + j, KY_SPKI_HASH_LEN)))
                return true;
    return false;
}

/* A removed client's key is free again: its name is not. */
static struct ky_status check_keys_free(struct operation *o, struct ky_span spkis)
{
    uint32_t count = store_row_count(authority_store(o->a), ROW_CLIENT);

    for (uint32_t row = 1; row <= count; row++) {
        struct row_client other;
        struct ky_status status = store_row_get(authority_store(o->a), ROW_CLIENT, row, &other);

        if (!ky_ok(status))
            return status;
        if (!other.removed && share_a_key(spkis, other.spkis))
            return operate_no(o, KY_CONFLICT, "another client has that key");
    }
    return KY_STATUS(KY_OK);
}

static uint32_t rights_of(const Kyso__V1__AddClient *m)
{
    return (m->may_sign ? (uint32_t)ROW_RIGHT_SIGN : 0) |
           (m->may_approve ? (uint32_t)ROW_RIGHT_APPROVE : 0) |
           (m->allow_totp ? (uint32_t)ROW_RIGHT_TOTP : 0) |
           (m->allow_approval ? (uint32_t)ROW_RIGHT_APPROVAL : 0);
}

/* Pins the key by which the client's requests are verified, or none. */
static struct ky_status put_request_key(struct operation *o, const ProtobufCBinaryData *spki,
                                        struct row_client *row)
{
    struct policy_device_key *key = NULL;

    row->request_key = KY_SPAN(spki->data, spki->len);
    if (spki->len > 0 &&
        !ky_ok(policy_device_key_load(policy_key_type(row->request_key), row->request_key, &key)))
        return operate_no(o, KY_INVALID, "request_key is no P-256 or Ed25519 key");
    policy_device_key_free(&key);
    return KY_STATUS(KY_OK);
}

static struct ky_status check_settings(struct operation *o, const Kyso__V1__AddClient *m)
{
    if (!ky_span_is_name(ky_span_text(m->name), KY_NAME_MAX))
        return operate_no(o, KY_INVALID, "name is not a name");
    if (m->may_sign == m->may_approve)
        return operate_no(o, KY_INVALID, "a client may either sign or approve, and one of them");
    if (m->may_approve && (m->allow_totp || m->allow_approval))
        return operate_no(o, KY_INVALID, "proofs are for clients that sign");
    if (m->may_approve && m->request_key.len > 0)
        return operate_no(o, KY_INVALID, "requests are signed by clients that sign");
    if (m->max_hashes > KY_HASHES_MAX)
        return operate_no(o, KY_INVALID, "max_hashes is over the protocol's limit");
    if (authority_client_by_name(o->a, ky_span_text(m->name)) != 0)
        return operate_no(o, KY_CONFLICT, "that client exists, or did");
    return KY_STATUS(KY_OK);
}

struct ky_status operate_add_client(struct operation *o)
{
    const Kyso__V1__AddClient *m = o->op->add_client;
    struct ky_buf parties = KY_BUF_INIT(KY_LIST_MAX * (KY_NAME_MAX + 4u));
    struct ky_buf subjects = KY_BUF_INIT(KY_LIST_MAX * (KY_NAME_MAX + 4u));
    uint8_t spkis[SPKIS_MAX * KY_SPKI_HASH_LEN];
    struct row_client row = {
        .name = ky_span_text(m->name), .rights = rights_of(m), .max_hashes = m->max_hashes};
    struct ky_status status = check_settings(o, m);

    if (ky_ok(status))
        status = put_request_key(o, &m->request_key, &row);
    if (!ky_ok(status))
        goto done;
    const char *why = put_spkis(m, spkis);
    status = why == NULL ? KY_STATUS(KY_OK) : operate_no(o, KY_INVALID, why);
    if (!ky_ok(status))
        goto done;
    row.spkis = KY_SPAN(spkis, m->n_spki_sha256 * KY_SPKI_HASH_LEN);
    if (!ky_ok(operate_put_names(m->n_relying_parties, m->relying_parties, false, &parties)) ||
        !ky_ok(operate_put_names(m->n_subjects, m->subjects, false, &subjects))) {
        status = operate_no(o, KY_INVALID,
                            "a relying party or subject is not a name, or there are too many");
        goto done;
    }
    row.relying_parties = ky_buf_span(&parties);
    row.subjects = ky_buf_span(&subjects);
    status = check_keys_free(o, row.spkis);
    if (ky_ok(status))
        status = authority_row_put(o->a, ROW_CLIENT, 0, &row, o->index, NULL);
    if (ky_ok(status))
        o->result.message = operate_message(o, "client %s added", m->name);
done:
    ky_buf_free(&parties);
    ky_buf_free(&subjects);
    return status;
}

static ProtobufCBinaryData *spki_list(struct operation *o, struct ky_span spkis, size_t *out_n)
{
    size_t n = spkis.len / KY_SPKI_HASH_LEN;
    ProtobufCBinaryData *list = n > 0 ? ky_arena_alloc(o->arena, n * sizeof(*list)) : NULL;

    *out_n = list != NULL ? n : 0;
    for (size_t i = 0; i < *out_n; i++)
        list[i] = operate_bytes(o, KY_SPAN(spkis.data + i * KY_SPKI_HASH_LEN, KY_SPKI_HASH_LEN));
    return list;
}

static Kyso__V1__Client *client_message(struct operation *o, uint32_t row,
                                        const struct row_client *c)
{
    Kyso__V1__Client *m = ky_arena_alloc(o->arena, sizeof(*m));
    Kyso__V1__AddClient *settings = ky_arena_alloc(o->arena, sizeof(*settings));

    if (m == NULL || settings == NULL)
        return NULL;
    kyso__v1__client__init(m);
    kyso__v1__add_client__init(settings);
    settings->name = operate_text(o, c->name);
    settings->spki_sha256 = spki_list(o, c->spkis, &settings->n_spki_sha256);
    settings->relying_parties = operate_texts(o, c->relying_parties, &settings->n_relying_parties);
    settings->subjects = operate_texts(o, c->subjects, &settings->n_subjects);
    settings->may_sign = (c->rights & ROW_RIGHT_SIGN) != 0;
    settings->may_approve = (c->rights & ROW_RIGHT_APPROVE) != 0;
    settings->allow_totp = (c->rights & ROW_RIGHT_TOTP) != 0;
    settings->allow_approval = (c->rights & ROW_RIGHT_APPROVAL) != 0;
    settings->max_hashes = c->max_hashes;
    settings->request_key = operate_bytes(o, c->request_key);
    m->settings = settings;
    m->suspended = c->suspended || authority_client_suspended(o->a, row);
    m->removed = c->removed;
    return m;
}

struct ky_status operate_list_clients(struct operation *o)
{
    uint32_t count = store_row_count(authority_store(o->a), ROW_CLIENT);

    o->result.clients =
        count > 0 ? ky_arena_alloc(o->arena, count * sizeof(*o->result.clients)) : NULL;
    for (uint32_t row = 1; row <= count && o->result.clients != NULL; row++) {
        struct row_client c;
        struct ky_status status = store_row_get(authority_store(o->a), ROW_CLIENT, row, &c);
        Kyso__V1__Client *m = ky_ok(status) ? client_message(o, row, &c) : NULL;

        if (!ky_ok(status))
            return status;
        if (m != NULL)
            o->result.clients[o->result.n_clients++] = m;
    }
    o->result.message = operate_message(o, "%u client(s)", count);
    return KY_STATUS(KY_OK);
}

/* Whatever an operator says of a client stands in the place of the suspension that its failures brought. */
static struct ky_status lift_suspension(struct operation *o, uint32_t row)
{
    struct ledger_client_state lifted = {.client_row = row};

    if (!authority_client_suspended(o->a, row))
        return KY_STATUS(KY_OK);
    return authority_append(o->a, &ledger_client_state_schema, &lifted, KY_SPAN(NULL, 0), NULL);
}

/* The client's row, to be changed. Errors: KY_NOT_FOUND, KY_CONFLICT (it was removed). */
static struct ky_status find_client(struct operation *o, const char *name, uint32_t *out_number,
                                    struct row_client *out)
{
    uint32_t number = authority_client_by_name(o->a, ky_span_text(name));

    if (number == 0)
        return operate_no(o, KY_NOT_FOUND, "no such client");
    o->denied.client_row = number;
    struct ky_status status = store_row_get(authority_store(o->a), ROW_CLIENT, number, out);
    if (!ky_ok(status))
        return status;
    if (out->removed)
        return operate_no(o, KY_CONFLICT, "the client is removed for good");
    *out_number = number;
    return status;
}

struct ky_status operate_set_client_state(struct operation *o)
{
    const Kyso__V1__SetClientState *m = o->op->set_client_state;
    uint32_t number;
    struct row_client row;
    struct ky_status status = find_client(o, m->name, &number, &row);

    if (!ky_ok(status))
        return status;
    row.suspended = m->suspended != 0;
    row.removed = m->removed != 0;
    status = authority_row_put(o->a, ROW_CLIENT, number, &row, o->index, NULL);
    if (ky_ok(status))
        status = lift_suspension(o, number);
    if (ky_ok(status))
        o->result.message = operate_message(o, "client %s %s", m->name,
                                            m->removed     ? "removed"
                                            : m->suspended ? "suspended"
                                                           : "resumed");
    return status;
}

struct ky_status operate_set_client_request_key(struct operation *o)
{
    const Kyso__V1__SetClientRequestKey *m = o->op->set_client_request_key;
    uint32_t number;
    struct row_client row;
    struct ky_status status = find_client(o, m->name, &number, &row);

    if (ky_ok(status) && (row.rights & ROW_RIGHT_SIGN) == 0)
        return operate_no(o, KY_INVALID, "requests are signed by clients that sign");
    if (ky_ok(status))
        status = put_request_key(o, &m->request_key, &row);
    if (ky_ok(status))
        status = authority_row_put(o->a, ROW_CLIENT, number, &row, o->index, NULL);
    if (ky_ok(status))
        o->result.message = operate_message(
            o, m->request_key.len > 0 ? "requests of client %s must be signed by this key"
                                      : "requests of client %s need not be signed",
            m->name);
    return status;
}
