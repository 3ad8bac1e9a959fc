/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What surrounds each call: the log's line, the script read again when it has changed, the rule
 * that fires and what it does before the real module is reached. Any thread; nothing is locked
 * while the real module, a delay or a hang runs.
 */
#ifndef KYSO_FAULT_OBEY_H
#define KYSO_FAULT_OBEY_H

#include "script.h"

struct call {
    enum fn fn;
    CK_SESSION_HANDLE session;
    const CK_BYTE *data; /* of C_Sign */
    CK_ULONG data_len;
    bool unwrapped;
    uint64_t nth; /* of this function, in this process */
    bool fires;
    struct rule rule; /* when it fires */
    CK_RV rv;         /* the answer, when the real module is not called */
};

/* Reads KYSO_FAULT_SCRIPT and KYSO_FAULT_LOG; false: a line on stderr says why. */
bool obey_open(void);

/* The module's lock: settings, keys, personality. Never held over a call of the real module. */
void obey_lock(void);
void obey_unlock(void);

/* Under the lock; the settings of the script as it is now. */
const struct settings *obey_settings(void);
size_t obey_rotation(void); /* how often "permute" fired */

/* How "lose-session" and "lose-sessions" are done (all: every session). */
typedef void (*lose_fn)(CK_SESSION_HANDLE session, bool all);
void obey_on_lose(lose_fn lose);

/* false: the real module is not to be called, c->rv is the answer. May not return. */
bool call_begin(struct call *c);

/* Logs, and gives what the caller is to see. */
CK_RV call_end(struct call *c, CK_RV rv);

bool call_is(const struct call *c, enum action action);

#endif
