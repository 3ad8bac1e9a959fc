/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a token is like all the time, by the script's settings: room for sessions and objects,
 * operations kept per token, a PIN that locks, a leak. Any thread; each takes the locks it needs.
 */
#ifndef KYSO_FAULT_PERSONALITY_H
#define KYSO_FAULT_PERSONALITY_H

#include "script.h"

/* CKR_OK: there is room, and it is taken; personality_session_closed gives it back. */
CK_RV personality_session_open(void);
void personality_session_closed(CK_SESSION_HANDLE session);
void personality_all_closed(void);

CK_RV personality_object_room(void);
void personality_unwrapped(CK_OBJECT_HANDLE key, CK_SESSION_HANDLE session);

/* CKR_OPERATION_ACTIVE while another session's operation is under way on such a token. */
CK_RV personality_operation_begin(CK_SESSION_HANDLE session);
CK_RV personality_operation_check(CK_SESSION_HANDLE session);
void personality_operation_end(CK_SESSION_HANDLE session);

/* CKR_PIN_LOCKED: the real module is not asked. */
CK_RV personality_login_allowed(void);
void personality_login_done(CK_RV rv);
CK_FLAGS personality_pin_flags(void);

#endif
