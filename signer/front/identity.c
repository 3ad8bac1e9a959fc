/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who holds how much of this front. A client is its key, or on the operators' door its uid, whatever the
 * number of its connections. The front's thread.
 */
#include <stdlib.h>
#include <string.h>

#include "conn.h"

#define CALLS_FOR_OTHERS (FRONT_CALLS_BEYOND_QUEUE / 2)

static struct identity *find(struct front *f, const uint8_t key[KY_SPKI_HASH_LEN])
{
    struct identity *i;
    LIST_FOREACH(i, &f->identities[key[0] % FRONT_IDENTITIES], others)
    if (ky_span_eq(KY_SPAN_OF(i->key), KY_SPAN(key, KY_SPKI_HASH_LEN)))
        return i;
    return NULL;
}

static struct identity *add(struct front *f, const uint8_t key[KY_SPKI_HASH_LEN])
{
    struct identity *i = calloc(1, sizeof(*i));
    if (!i)
        return NULL;
    memcpy(i->key, key, sizeof(i->key));
    LIST_INSERT_HEAD(&f->identities[key[0] % FRONT_IDENTITIES], i, others);
    return i;
}

bool identity_take(struct conn *c)
{
    struct front *f = c->front;
    uint8_t key[KY_SPKI_HASH_LEN];
    struct identity *i;

    memcpy(key, c->spki, sizeof(key));
    if (f->door == KY_DOOR_OPERATOR)
        memcpy(key, &c->uid, sizeof(c->uid));
    i = find(f, key);
    if (!i)
        i = add(f, key);
    if (!i)
        return false;
    if (i->conns > 0 && i->conns >= (f->config->doors.max_connections + 1) / 2) {
        front_count(f, DOOR_EVENT_FLOOD, c->peer, c->spki);
        return false;
    }
    i->conns++;
    c->identity = i;
    return true;
}

void identity_give(struct conn *c)
{
    struct identity *i = c->identity;

    c->identity = NULL;
    if (!i || --i->conns > 0)
        return;
    LIST_REMOVE(i, others);
    free(i);
}

bool identity_may_call(const struct conn *c)
{
    const struct front *f = c->front;
    uint32_t most = f->config->limits.per_client + CALLS_FOR_OTHERS;

    if (most > f->call_max - CALLS_FOR_OTHERS)
        most = f->call_max - CALLS_FOR_OTHERS;
    return c->identity->calls < most;
}

bool identity_may_hold(const struct conn *c, size_t n)
{
    return c->identity->buffered + n <= FRONT_BUFFERED_MAX / 2;
}
