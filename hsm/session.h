/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One PKCS#11 session, used by one thread. A session that met an error of its
 * class is closed and replaced, never handed on. The serial number tells which
 * session objects died with which session.
 */
#ifndef HSM_SESSION_H
#define HSM_SESSION_H

#include "module.h"

struct hsm_session {
    const struct hsm_module *module; /* borrowed; outlives the session */
    CK_SESSION_HANDLE handle;
    uint64_t serial; /* unique in this process: index << 32 | count of openings */
};

/* index: the worker's number. The session must come up logged in. Errors: KY_TOKEN_*. */
KY_MUST_CHECK struct ky_status hsm_session_open(const struct hsm_module *m, uint32_t index,
                                                struct hsm_session *out);
/*
 * Closes it, opens another. A failure means that the module is lost: KY_TOKEN_MODULE,
 * KY_TOKEN_LOGIN.
 */
KY_MUST_CHECK struct ky_status hsm_session_renew(struct hsm_session *s);
void hsm_session_close(struct hsm_session *s);

/* All handles that match, up to cap; *out_count may equal cap when there are more. */
KY_MUST_CHECK struct ky_status hsm_session_find(const struct hsm_session *s, CK_ATTRIBUTE *templ,
                                                CK_ULONG templ_count, CK_OBJECT_HANDLE *out,
                                                CK_ULONG cap, CK_ULONG *out_count);
/*
 * Reads one attribute into out; *out_len bytes. Errors: KY_TOKEN_*, KY_INVALID when it does not fit
 * or is unknown.
 */
KY_MUST_CHECK struct ky_status hsm_session_attr(const struct hsm_session *s,
                                                CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                                                void *out, size_t cap, size_t *out_len);
void hsm_session_destroy(const struct hsm_session *s,
                         CK_OBJECT_HANDLE *object); /* no-op on CK_INVALID_HANDLE */

#endif
