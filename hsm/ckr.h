/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a CK_RV means for the vault: one table from return value to class, and
 * from class to status and recovery. An unknown or vendor code is retried once.
 */
#ifndef HSM_CKR_H
#define HSM_CKR_H

#include <p11-kit/pkcs11.h>

#include "kyso/status.h"

enum hsm_class {
    HSM_CLASS_NONE,    /* CKR_OK */
    HSM_CLASS_REQUEST, /* fails this job; the session is sound */
    HSM_CLASS_HANDLE,  /* the object is gone: drop the handle, find it again, retry once */
    HSM_CLASS_SESSION, /* drop the session, open another, retry once */
    HSM_CLASS_ROOM,    /* out of objects or memory: shrink the cache, retry once */
    HSM_CLASS_RETRY,   /* unknown: treated as a session error, then fails the job */
    HSM_CLASS_LOGIN,   /* the login is lost or refused: never retried here */
    HSM_CLASS_MODULE,  /* the module is of no use any more: end the vault */
    HSM_CLASS_COUNT
};

enum hsm_class hsm_ckr_class(CK_RV rv);
const char *hsm_ckr_name(CK_RV rv); /* "CKR_PIN_INCORRECT"; never NULL */
/* KY_OK for CKR_OK; otherwise the code of the value's class with the value as cause. */
KY_MUST_CHECK struct ky_status hsm_ckr_status(CK_RV rv);

#endif
