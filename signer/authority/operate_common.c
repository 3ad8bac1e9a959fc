/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every operation needs: rows by public id, lists of names, copies into the result's arena.
 * The authority's thread. Keeps: nothing in a result points into a row's storage.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kyso/wire.h"

#include "operate.h"

#define ROWS_AT_ONCE 64u

struct ky_status operate_no(struct operation *o, enum ky_code code, const char *why)
{
    o->why = why;
    return KY_STATUS(code);
}

void operate_subject_key(uint32_t subject_row, uint8_t out[4])
{
    for (unsigned i = 0; i < 4; i++)
        out[i] = (uint8_t)(subject_row >> (8 * i));
}

struct ky_status operate_unique(struct operation *o, enum store_lookup kind, struct ky_span key,
                                uint32_t *out_row)
{
    uint32_t row = 0;
    size_t count = 0;
    struct ky_status status = store_lookup(authority_store(o->a), kind, key, 0, &row, 1, &count);

    if (ky_ok(status))
        *out_row = count == 1 ? row : 0;
    return status;
}

/* The store's spans live only until its next call for that table: what an operation works on is its own. */
static struct ky_status keep(struct operation *o, struct ky_span **spans, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (spans[i]->len == 0)
            continue;
        uint8_t *copy = ky_arena_alloc(o->arena, spans[i]->len);
        if (copy == NULL)
            return operate_no(o, KY_BUSY, "no memory for the row");
        memcpy(copy, spans[i]->data, spans[i]->len);
        spans[i]->data = copy;
    }
    return KY_STATUS(KY_OK);
}
#define KEEP(o, ...)                                                                               \
    keep((o), (struct ky_span *[]){__VA_ARGS__},                                                   \
         sizeof((struct ky_span *[]){__VA_ARGS__}) / sizeof(struct ky_span *))

struct ky_status operate_subject(struct operation *o, const char *subject_id, uint32_t *out_row,
                                 struct row_subject *out)
{
    struct ky_span id = ky_span_text(subject_id);
    uint32_t row = 0;

    if (!ky_span_is_name(id, KY_NAME_MAX))
        return operate_no(o, KY_INVALID, "subject_id is not a name");
    struct ky_status status = operate_unique(o, STORE_BY_SUBJECT_ID, id, &row);
    if (!ky_ok(status))
        return status;
    if (row == 0)
        return operate_no(o, KY_NOT_FOUND, "no such subject");
    status = store_row_get(authority_store(o->a), ROW_SUBJECT, row, out);
    if (!ky_ok(status))
        return status;
    o->denied.subject_row = row;
    *out_row = row;
    return KEEP(o, &out->subject_id, &out->name);
}

struct ky_status operate_credential(struct operation *o, const char *credential_id,
                                    uint32_t *out_row, struct row_credential *out)
{
    struct ky_span id = ky_span_text(credential_id);
    uint32_t row = authority_id_row('c', id);

    if (row == 0 || row > store_row_count(authority_store(o->a), ROW_CREDENTIAL))
        return operate_no(o, KY_NOT_FOUND, "no such credential");
    struct ky_status status = store_row_get(authority_store(o->a), ROW_CREDENTIAL, row, out);
    if (!ky_ok(status))
        return status;
    if (!ky_span_eq(out->credential_id, id))
        return operate_no(o, KY_NOT_FOUND, "no such credential");
    o->denied.credential_row = row;
    o->denied.subject_row = out->subject_row;
    *out_row = row;
    return KEEP(o, &out->credential_id, &out->relying_parties, &out->blob, &out->public_key,
                &out->certificate, &out->chain);
}

struct ky_status operate_authenticator(struct operation *o, const char *authenticator_id,
                                       uint32_t *out_row, struct row_authenticator *out)
{
    struct ky_span id = ky_span_text(authenticator_id);
    uint32_t row = authority_id_row('a', id);

    if (row == 0 || row > store_row_count(authority_store(o->a), ROW_AUTHENTICATOR))
        return operate_no(o, KY_NOT_FOUND, "no such authenticator");
    struct ky_status status = store_row_get(authority_store(o->a), ROW_AUTHENTICATOR, row, out);
    if (!ky_ok(status))
        return status;
    if (!ky_span_eq(out->authenticator_id, id))
        return operate_no(o, KY_NOT_FOUND, "no such authenticator");
    o->denied.authenticator_row = row;
    o->denied.subject_row = out->subject_row;
    *out_row = row;
    return KEEP(o, &out->authenticator_id, &out->label, &out->sealed_seed, &out->device_key,
                &out->reader_sha256);
}

struct ky_status operate_each_of(struct operation *o, enum store_lookup kind, uint32_t subject_row,
                                 operate_row_fn fn, void *ctx)
{
    uint32_t rows[ROWS_AT_ONCE];
    uint8_t key[4];
    uint32_t after = 0;
    size_t count;

    operate_subject_key(subject_row, key);
    do {
        struct ky_status status = store_lookup(authority_store(o->a), kind, KY_SPAN_OF(key), after,
                                               rows, ROWS_AT_ONCE, &count);

        for (size_t i = 0; i < count && ky_ok(status); i++)
            status = fn(o, rows[i], ctx);
        if (!ky_ok(status))
            return status;
        after = count > 0 ? rows[count - 1] : after;
    } while (count == ROWS_AT_ONCE);
    return KY_STATUS(KY_OK);
}

struct ky_status operate_put_names(size_t n, char *const *names, bool any_allowed,
                                   struct ky_buf *out)
{
    if (n > KY_LIST_MAX)
        return KY_STATUS(KY_INVALID);
    for (size_t i = 0; i < n; i++) {
        struct ky_span name = ky_span_text(names[i]);

        if (!ky_span_is_name(name, KY_NAME_MAX) &&
            !(any_allowed && ky_span_eq(name, ky_span_text("*"))))
            return KY_STATUS(KY_INVALID);
        ky_put_bytes(out, name);
    }
    return out->failed ? KY_STATUS(KY_INVALID) : KY_STATUS(KY_OK);
}

size_t operate_count_items(struct ky_span list)
{
    struct ky_reader r = ky_reader(list);
    size_t n = 0;

    while (!ky_reader_done(&r) && !r.failed) {
        (void)ky_get_bytes(&r, list.len);
        n += !r.failed;
    }
    return n;
}

char *operate_text(struct operation *o, struct ky_span s)
{
    char *copy = ky_arena_alloc(o->arena, s.len + 1);

    if (copy == NULL)
        return NULL;
    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    copy[s.len] = '\0';
    return copy;
}

char *operate_message(struct operation *o, const char *format, ...)
{
    char line[256];
    va_list args;

    va_start(args, format);
    int n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    return n < 0 ? NULL : operate_text(o, ky_span_text(line));
}

ProtobufCBinaryData operate_bytes(struct operation *o, struct ky_span s)
{
    ProtobufCBinaryData copy = {0, NULL};

    if (s.len == 0)
        return copy;
    copy.data = ky_arena_alloc(o->arena, s.len);
    if (copy.data != NULL) {
        memcpy(copy.data, s.data, s.len);
        copy.len = s.len;
    }
    return copy;
}

char **operate_texts(struct operation *o, struct ky_span list, size_t *out_n)
{
    size_t n = operate_count_items(list);
    struct ky_reader r = ky_reader(list);
    char **texts = n > 0 ? ky_arena_alloc(o->arena, n * sizeof(*texts)) : NULL;

    *out_n = texts != NULL ? n : 0;
    for (size_t i = 0; i < *out_n; i++) {
        texts[i] = operate_text(o, ky_get_bytes(&r, list.len));
        if (texts[i] == NULL)
            *out_n = i;
    }
    return texts;
}

ProtobufCBinaryData *operate_blobs(struct operation *o, struct ky_span list, size_t *out_n)
{
    size_t n = operate_count_items(list);
    struct ky_reader r = ky_reader(list);
    ProtobufCBinaryData *blobs = n > 0 ? ky_arena_alloc(o->arena, n * sizeof(*blobs)) : NULL;

    *out_n = blobs != NULL ? n : 0;
    for (size_t i = 0; i < *out_n; i++)
        blobs[i] = operate_bytes(o, ky_get_bytes(&r, list.len));
    return blobs;
}

static uint8_t shown_state(const struct operation *o, const struct row_credential *c)
{
    if (c->state == KYSO__V1__CREDENTIAL_STATE__CREDENTIAL_STATE_ACTIVE &&
        c->not_after_s < authority_now_s(o->a)) /* as credential_state() */
        return KYSO__V1__CREDENTIAL_STATE__CREDENTIAL_STATE_EXPIRED;
    return c->state;
}

/* The arena cannot take memory back: room doubles, at 0, 1, 2, 4, 8 ... entries. */
static void **grow_list(struct operation *o, void *old, size_t n)
{
    if ((n & (n - 1)) != 0)
        return old;
    void **grown = ky_arena_alloc(o->arena, (n > 0 ? 2 * n : 1) * sizeof(*grown));
    if (grown != NULL && n > 0)
        memcpy(grown, old, n * sizeof(*grown));
    return grown;
}

void operate_give_credential(struct operation *o, const struct row_credential *c,
                             struct ky_span subject_id)
{
    Kyso__V1__Credential *m = ky_arena_alloc(o->arena, sizeof(*m));
    void **list = grow_list(o, o->result.credentials, o->result.n_credentials);

    if (m == NULL || list == NULL)
        return;
    kyso__v1__credential__init(m);
    m->credential_id = operate_text(o, c->credential_id);
    m->subject_id = operate_text(o, subject_id);
    m->key_type = (Kyso__V1__KeyType)c->key_type;
    m->state = (Kyso__V1__CredentialState)shown_state(o, c);
    m->certificate = operate_bytes(o, c->certificate);
    m->chain = operate_blobs(o, c->chain, &m->n_chain);
    m->public_key = operate_bytes(o, c->public_key);
    m->epoch = c->epoch;
    m->storage = (Kyso__V1__KeyStorage)c->storage;
    m->max_hashes = c->max_hashes;
    list[o->result.n_credentials++] = m;
    o->result.credentials = (Kyso__V1__Credential **)list;
}

void operate_give_authenticator(struct operation *o, const struct row_authenticator *d,
                                struct ky_span subject_id)
{
    static const char *const states[] = {[ROW_AUTH_UNCONFIRMED] = "unconfirmed",
                                         [ROW_AUTH_ACTIVE] = "active",
                                         [ROW_AUTH_REMOVED] = "removed"};
    Kyso__V1__Authenticator *m = ky_arena_alloc(o->arena, sizeof(*m));
    void **list = grow_list(o, o->result.authenticators, o->result.n_authenticators);

    if (m == NULL || list == NULL)
        return;
    kyso__v1__authenticator__init(m);
    m->authenticator_id = operate_text(o, d->authenticator_id);
    m->subject_id = operate_text(o, subject_id);
    m->kind = operate_text(o, ky_span_text(d->kind == ROW_AUTH_TOTP                  ? "totp"
                                           : d->device_key_type == POLICY_PASSKEY ? "passkey"
                                                                                  : "device"));
    m->state =
        operate_text(o, ky_span_text(d->state <= ROW_AUTH_REMOVED ? states[d->state] : NULL));
    m->label = operate_text(o, d->label);
    m->digits = d->otp_digits;
    m->hash = (Kyso__V1__OtpHash)d->otp_hash;
    list[o->result.n_authenticators++] = m;
    o->result.authenticators = (Kyso__V1__Authenticator **)list;
}
