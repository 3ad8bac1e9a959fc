/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions and PIN tries are the token's, so they are counted over all processes (state.h);
 * objects, operations and leaks are the library's, so each process has its own.
 */
#include "personality.h"

#include <stdlib.h>
#include <string.h>

#include "keys.h"
#include "obey.h"
#include "state.h"

struct leaked {
    struct leaked *next; /* reachable, so that only the process's size tells of it */
    unsigned char bytes[];
};

static struct {                  /* the module's lock */
    CK_SESSION_HANDLE operation; /* of a token that keeps one; CK_INVALID_HANDLE: none */
    struct leaked *leaked;
} token;

static void count_sessions(int change)
{
    state_count_sessions(state_lock(), change);
    state_unlock();
}

CK_RV personality_session_open(void)
{
    CK_RV rv = CKR_OK;
    uint32_t limit = 0;
    struct state *s = NULL;

    obey_lock();
    limit = obey_settings()->sessions;
    s = state_lock();
    if (state_sessions(s) >= limit && limit > 0)
        rv = CKR_SESSION_COUNT;
    else
        state_count_sessions(s, 1);
    state_unlock();
    obey_unlock();
    return rv;
}

/* Lock held. */
static void operation_end(CK_SESSION_HANDLE session)
{
    if (token.operation == session)
        token.operation = CK_INVALID_HANDLE;
}

void personality_session_closed(CK_SESSION_HANDLE session)
{
    obey_lock();
    operation_end(session);
    keys_forget_session(session);
    count_sessions(-1);
    obey_unlock();
}

void personality_all_closed(void)
{
    obey_lock();
    token.operation = CK_INVALID_HANDLE;
    keys_forget_all();
    state_forget_sessions(state_lock());
    state_unlock();
    obey_unlock();
}

CK_RV personality_object_room(void)
{
    CK_RV rv = CKR_OK;

    obey_lock();
    if (obey_settings()->objects > 0 && keys_count_unwrapped() >= obey_settings()->objects)
        rv = CKR_DEVICE_MEMORY;
    obey_unlock();
    return rv;
}

void personality_unwrapped(CK_OBJECT_HANDLE key, CK_SESSION_HANDLE session)
{
    struct leaked *l = NULL;
    size_t size = 0;

    obey_lock();
    keys_add_unwrapped(key, session);
    size = obey_settings()->leak;
    l = size > 0 ? malloc(sizeof(*l) + size) : NULL;
    if (l != NULL) {
        memset(l->bytes, 0x5a, size);
        l->next = token.leaked;
        token.leaked = l;
    }
    obey_unlock();
}

CK_RV personality_operation_begin(CK_SESSION_HANDLE session)
{
    CK_RV rv = CKR_OK;

    obey_lock();
    if (obey_settings()->operations_per_token) {
        if (token.operation != CK_INVALID_HANDLE)
            rv = CKR_OPERATION_ACTIVE;
        else
            token.operation = session;
    }
    obey_unlock();
    return rv;
}

CK_RV personality_operation_check(CK_SESSION_HANDLE session)
{
    CK_RV rv = CKR_OK;

    obey_lock();
    if (obey_settings()->operations_per_token && token.operation != session)
        rv = CKR_OPERATION_NOT_INITIALIZED;
    obey_unlock();
    return rv;
}

void personality_operation_end(CK_SESSION_HANDLE session)
{
    obey_lock();
    operation_end(session);
    obey_unlock();
}

/* --- the PIN --------------------------------------------------------------------------------- */

static uint64_t pin_failures(void)
{
    uint64_t n = state_lock()->pin_failures;

    state_unlock();
    return n;
}

CK_RV personality_login_allowed(void)
{
    CK_RV rv = CKR_OK;

    obey_lock();
    if (obey_settings()->pin_tries > 0 && pin_failures() >= obey_settings()->pin_tries)
        rv = CKR_PIN_LOCKED;
    obey_unlock();
    return rv;
}

void personality_login_done(CK_RV rv)
{
    struct state *s = NULL;

    obey_lock();
    s = state_lock();
    if (rv == CKR_OK)
        s->pin_failures = 0;
    else if (rv == CKR_PIN_INCORRECT)
        s->pin_failures++;
    state_unlock();
    obey_unlock();
}

CK_FLAGS personality_pin_flags(void)
{
    CK_FLAGS flags = 0;
    uint64_t tries = 0;
    uint64_t failures = 0;

    obey_lock();
    tries = obey_settings()->pin_tries;
    failures = tries > 0 ? pin_failures() : 0;
    obey_unlock();
    if (failures > 0)
        flags |= CKF_USER_PIN_COUNT_LOW;
    if (failures > 0 && failures == tries - 1)
        flags |= CKF_USER_PIN_FINAL_TRY;
    if (failures > 0 && failures >= tries)
        flags |= CKF_USER_PIN_LOCKED;
    return flags;
}
