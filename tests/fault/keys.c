/* SPDX-License-Identifier: Apache-2.0 */
/* One table, searched from end to end: a test has few keys. Module's lock held throughout. */
#include "keys.h"

#include <stdlib.h>

struct key {
    CK_OBJECT_HANDLE handle;
    CK_SESSION_HANDLE owner;     /* it dies with this session; CK_INVALID_HANDLE: a token object */
    CK_MECHANISM_TYPE mechanism; /* it signed by; CK_UNAVAILABLE_INFORMATION: not yet */
};

struct signing { /* what a session's C_SignInit named last */
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
};

enum { SIGNING_MAX = 1024 };

static struct {
    struct key *keys; /* owned; cap of them */
    size_t count;
    size_t cap;
    struct signing signing[SIGNING_MAX];
    size_t signing_count;
} table;

static struct key *find(CK_OBJECT_HANDLE handle)
{
    for (size_t i = 0; i < table.count; i++)
        if (table.keys[i].handle == handle)
            return &table.keys[i];
    return NULL;
}

static struct key *find_or_add(CK_OBJECT_HANDLE handle)
{
    struct key *k = find(handle);

    if (k != NULL)
        return k;
    if (table.count == table.cap) {
        size_t cap = table.cap == 0 ? 64 : table.cap * 2;
        struct key *more = realloc(table.keys, cap * sizeof(*more));

        if (more == NULL)
            abort();
        table.keys = more;
        table.cap = cap;
    }
    k = &table.keys[table.count++];
    *k = (struct key){.handle = handle, .mechanism = CK_UNAVAILABLE_INFORMATION};
    return k;
}

void keys_add_unwrapped(CK_OBJECT_HANDLE key, CK_SESSION_HANDLE session)
{
    *find_or_add(key) =
        (struct key){.handle = key, .owner = session, .mechanism = CK_UNAVAILABLE_INFORMATION};
}

size_t keys_count_unwrapped(void)
{
    size_t n = 0;

    for (size_t i = 0; i < table.count; i++)
        n += table.keys[i].owner != CK_INVALID_HANDLE;
    return n;
}

bool keys_is_unwrapped(CK_OBJECT_HANDLE key)
{
    const struct key *k = find(key);

    return k != NULL && k->owner != CK_INVALID_HANDLE;
}

void keys_sign_init(CK_OBJECT_HANDLE key, CK_SESSION_HANDLE session, CK_MECHANISM_TYPE mechanism)
{
    size_t i = 0;

    find_or_add(key)->mechanism = mechanism;
    while (i < table.signing_count && table.signing[i].session != session)
        i++;
    if (i == SIGNING_MAX)
        abort();
    if (i == table.signing_count)
        table.signing_count++;
    table.signing[i] = (struct signing){.session = session, .key = key};
}

bool keys_session_signs_unwrapped(CK_SESSION_HANDLE session)
{
    for (size_t i = 0; i < table.signing_count; i++)
        if (table.signing[i].session == session)
            return keys_is_unwrapped(table.signing[i].key);
    return false;
}

CK_OBJECT_HANDLE keys_other(CK_OBJECT_HANDLE key, CK_MECHANISM_TYPE mechanism, size_t steps)
{
    const struct key *k = find(key);
    size_t at = k != NULL ? (size_t)(k - table.keys) : 0;

    if (k == NULL)
        return key;
    while (steps > 0) {
        at = (at + 1) % table.count;
        if (table.keys[at].handle == key || table.keys[at].mechanism == mechanism)
            steps--;
    }
    return table.keys[at].handle;
}

void keys_forget(CK_OBJECT_HANDLE key)
{
    struct key *k = find(key);

    if (k != NULL)
        *k = table.keys[--table.count];
}

void keys_forget_session(CK_SESSION_HANDLE session)
{
    for (size_t i = table.count; i > 0; i--)
        if (table.keys[i - 1].owner == session)
            table.keys[i - 1] = table.keys[--table.count];
    for (size_t i = table.signing_count; i > 0; i--)
        if (table.signing[i - 1].session == session)
            table.signing[i - 1] = table.signing[--table.signing_count];
}

void keys_forget_all(void)
{
    free(table.keys);
    table.keys = NULL;
    table.count = table.cap = table.signing_count = 0;
}
