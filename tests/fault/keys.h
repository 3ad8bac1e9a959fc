/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys that this process has unwrapped or signed with, so that rules can name "unwrapped" ones
 * and a handle can be made to mean another key. Every function under the module's lock.
 */
#ifndef KYSO_FAULT_KEYS_H
#define KYSO_FAULT_KEYS_H

#include <p11-kit/pkcs11.h>
#include <stdbool.h>
#include <stddef.h>

void keys_add_unwrapped(CK_OBJECT_HANDLE key, CK_SESSION_HANDLE session);
size_t keys_count_unwrapped(void);
bool keys_is_unwrapped(CK_OBJECT_HANDLE key);

/* The session signs with it by this mechanism from now on. */
void keys_sign_init(CK_OBJECT_HANDLE key, CK_SESSION_HANDLE session, CK_MECHANISM_TYPE mechanism);
bool keys_session_signs_unwrapped(CK_SESSION_HANDLE session);

/*
 * The key `steps` further round the ring of those that signed by this mechanism: itself when it is
 * alone.
 */
CK_OBJECT_HANDLE keys_other(CK_OBJECT_HANDLE key, CK_MECHANISM_TYPE mechanism, size_t steps);

void keys_forget(CK_OBJECT_HANDLE key);
void keys_forget_session(CK_SESSION_HANDLE session); /* and the objects that die with it */
void keys_forget_all(void);

#endif
