/* SPDX-License-Identifier: Apache-2.0 */
/* A table of chains, made once; entries end by held_expire, which walks all of it. */
#include "held.h"

#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "kyso/record.h"
#include "kyso/secret.h"

struct held_table {
    uint32_t most, count; /* in units */
    uint32_t slots;       /* a power of two */
    struct held *chains[];
};

struct held_table *held_new(uint32_t most)
{
    uint32_t slots = 16;
    struct held_table *t;

    while (slots < most)
        slots *= 2;
    t = calloc(1, sizeof(*t) + slots * sizeof(t->chains[0]));
    if (t != NULL) {
        t->most = most;
        t->slots = slots;
    }
    return t;
}

static struct held **chain_of(struct held_table *t, const uint8_t key[32])
{
    uint32_t at;

    memcpy(&at, key, sizeof(at));
    return &t->chains[at & (t->slots - 1)];
}

static void release(struct held_table *t, struct held *h)
{
    t->count -= h->units;
    h->party->held -= h->units;
    if (h->kind == HELD_RESULT && h->result != NULL) {
        json_decref(h->result->body);
        free(h->result);
    } else if (h->kind == HELD_GRANT && h->grant != NULL) {
        ky_wipe(h->grant->sad, sizeof(h->grant->sad));
        free(h->grant);
    }
    ky_wipe(h, sizeof(*h));
    free(h);
}

void held_drop(struct held_table *t, struct held *held)
{
    struct held **at = chain_of(t, held->key);

    while (*at != held)
        at = &(*at)->next;
    *at = held->next;
    release(t, held);
}

void held_free(struct held_table **table)
{
    struct held_table *t = *table;

    for (uint32_t i = 0; t != NULL && i < t->slots; i++)
        while (t->chains[i] != NULL)
            held_drop(t, t->chains[i]);
    free(t);
    *table = NULL;
}

/* RFC 4648 s.5 without padding: 32 bytes are 43 characters. */
static bool new_text(char out[HELD_TEXT_MAX])
{
    struct ky_buf text = KY_BUF_INIT(64);
    uint8_t random[32];
    bool good = ky_ok(ky_random(random, sizeof(random)));

    if (good)
        base64_put(&text, KY_SPAN_OF(random));
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] == '+' || text.data[i] == '/')
            text.data[i] = text.data[i] == '+' ? '-' : '_';
    good = good && text.len == 44 && ky_span_to_cstr(KY_SPAN(text.data, 43), out, HELD_TEXT_MAX);
    ky_buf_free(&text);
    ky_wipe(random, sizeof(random));
    return good;
}

struct ky_status held_put(struct held_table *t, enum held_kind kind, struct party *party, uint32_t life_s,
                          size_t bytes, char *out_text, struct held **out_held)
{
    const uint32_t units = 1 + (uint32_t)(bytes / 1024u);
    struct held *h, **chain;

    /* One party alone has half of the table. */
    if (t->count + units > t->most || party->held + units > t->most / 2)
        return KY_STATUS(KY_BUSY);
    h = calloc(1, sizeof(*h));
    if (h == NULL || !new_text(out_text)) {
        free(h);
        return KY_STATUS(KY_NOMEM);
    }
    ky_sha256(ky_span_text(out_text), h->key);
    h->kind = kind;
    h->units = units;
    h->party = party;
    h->until_us = ky_now_us() + (uint64_t)life_s * 1000000u;
    chain = chain_of(t, h->key);
    h->next = *chain;
    *chain = h;
    t->count += units;
    party->held += units;
    *out_held = h;
    return KY_STATUS(KY_OK);
}

struct held *held_get(struct held_table *t, enum held_kind kind, const struct party *party, const char *text)
{
    uint8_t key[32];

    ky_sha256(ky_span_text(text), key);
    for (struct held *h = *chain_of(t, key); h != NULL; h = h->next)
        if (ky_span_eq(KY_SPAN_OF(h->key), KY_SPAN_OF(key)))
            return h->kind == kind && (party == NULL || h->party == party) && ky_now_us() < h->until_us ? h
                                                                                                       : NULL;
    return NULL;
}

void held_expire(struct held_table *t)
{
    const uint64_t now_us = ky_now_us();

    for (uint32_t i = 0; i < t->slots; i++)
        for (struct held *h = t->chains[i], *next; h != NULL; h = next) {
            next = h->next;
            if (now_us >= h->until_us)
                held_drop(t, h);
        }
}
