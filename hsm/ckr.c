/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of CK_RVs. Classes follow what tokens were seen to do rather than
 * what the names promise: a device error is followed by dead sessions until the
 * process ends, so it costs the vault and not the session. Pure; any thread.
 */
#include "ckr.h"

#include <stddef.h>

struct ckr_row {
    CK_RV rv;
    enum hsm_class class;
    const char *name;
};

#define ROW(rv, class)                                                                             \
    {                                                                                              \
        rv, HSM_CLASS_##class, #rv                                                                 \
    }

static const struct ckr_row ckr_rows[] = {
    ROW(CKR_OK, NONE),
    ROW(CKR_HOST_MEMORY, ROOM),
    ROW(CKR_SLOT_ID_INVALID, MODULE),
    ROW(CKR_GENERAL_ERROR, RETRY),
    ROW(CKR_FUNCTION_FAILED, RETRY),
    ROW(CKR_ARGUMENTS_BAD, REQUEST),
    ROW(CKR_CANT_LOCK, MODULE),
    ROW(CKR_ATTRIBUTE_READ_ONLY, REQUEST),
    ROW(CKR_ATTRIBUTE_SENSITIVE, REQUEST),
    ROW(CKR_ATTRIBUTE_TYPE_INVALID, REQUEST),
    ROW(CKR_ATTRIBUTE_VALUE_INVALID, REQUEST),
    ROW(CKR_ACTION_PROHIBITED, REQUEST),
    ROW(CKR_DATA_INVALID, REQUEST),
    ROW(CKR_DATA_LEN_RANGE, REQUEST),
    ROW(CKR_DEVICE_ERROR, MODULE),
    ROW(CKR_DEVICE_MEMORY, ROOM),
    ROW(CKR_DEVICE_REMOVED, MODULE),
    ROW(CKR_ENCRYPTED_DATA_INVALID, REQUEST),
    ROW(CKR_ENCRYPTED_DATA_LEN_RANGE, REQUEST),
    ROW(CKR_FUNCTION_CANCELED, SESSION),
    ROW(CKR_FUNCTION_NOT_SUPPORTED, REQUEST),
    ROW(CKR_KEY_HANDLE_INVALID, HANDLE),
    ROW(CKR_KEY_SIZE_RANGE, REQUEST),
    ROW(CKR_KEY_TYPE_INCONSISTENT, HANDLE),
    /*
     * SoftHSM2's word for an object that died with its session while another thread began to use
     * it.
     */
    ROW(CKR_KEY_FUNCTION_NOT_PERMITTED, HANDLE),
    ROW(CKR_KEY_NOT_WRAPPABLE, REQUEST),
    ROW(CKR_KEY_UNEXTRACTABLE, REQUEST),
    ROW(CKR_MECHANISM_INVALID, REQUEST),
    ROW(CKR_MECHANISM_PARAM_INVALID, REQUEST),
    ROW(CKR_OBJECT_HANDLE_INVALID, HANDLE),
    ROW(CKR_OPERATION_ACTIVE, SESSION),
    ROW(CKR_OPERATION_NOT_INITIALIZED, SESSION),
    ROW(CKR_PIN_INCORRECT, LOGIN),
    ROW(CKR_PIN_INVALID, LOGIN),
    ROW(CKR_PIN_LEN_RANGE, LOGIN),
    ROW(CKR_PIN_EXPIRED, LOGIN),
    ROW(CKR_PIN_LOCKED, LOGIN),
    ROW(CKR_SESSION_CLOSED, SESSION),
    ROW(CKR_SESSION_COUNT, ROOM),
    ROW(CKR_SESSION_HANDLE_INVALID, SESSION),
    ROW(CKR_SESSION_READ_ONLY, SESSION),
    ROW(CKR_SIGNATURE_INVALID, REQUEST),
    ROW(CKR_SIGNATURE_LEN_RANGE, REQUEST),
    ROW(CKR_TEMPLATE_INCOMPLETE, REQUEST),
    ROW(CKR_TEMPLATE_INCONSISTENT, REQUEST),
    ROW(CKR_TOKEN_NOT_PRESENT, MODULE),
    ROW(CKR_TOKEN_NOT_RECOGNIZED, MODULE),
    ROW(CKR_TOKEN_WRITE_PROTECTED, REQUEST),
    ROW(CKR_UNWRAPPING_KEY_HANDLE_INVALID, MODULE),
    ROW(CKR_UNWRAPPING_KEY_SIZE_RANGE, REQUEST),
    ROW(CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT, MODULE),
    ROW(CKR_USER_ALREADY_LOGGED_IN, LOGIN),
    ROW(CKR_USER_NOT_LOGGED_IN, LOGIN),
    ROW(CKR_USER_PIN_NOT_INITIALIZED, LOGIN),
    ROW(CKR_USER_TYPE_INVALID, LOGIN),
    ROW(CKR_USER_ANOTHER_ALREADY_LOGGED_IN, LOGIN),
    ROW(CKR_WRAPPED_KEY_INVALID, REQUEST),
    ROW(CKR_WRAPPED_KEY_LEN_RANGE, REQUEST),
    ROW(CKR_WRAPPING_KEY_HANDLE_INVALID, MODULE),
    ROW(CKR_WRAPPING_KEY_SIZE_RANGE, REQUEST),
    ROW(CKR_WRAPPING_KEY_TYPE_INCONSISTENT, MODULE),
    ROW(CKR_RANDOM_NO_RNG, REQUEST),
    ROW(CKR_DOMAIN_PARAMS_INVALID, REQUEST),
    ROW(CKR_CURVE_NOT_SUPPORTED, REQUEST),
    ROW(CKR_BUFFER_TOO_SMALL, SESSION),
    ROW(CKR_CRYPTOKI_NOT_INITIALIZED, MODULE),
    ROW(CKR_CRYPTOKI_ALREADY_INITIALIZED, MODULE),
    ROW(CKR_FIPS_SELF_TEST_FAILED, MODULE),
    ROW(CKR_LIBRARY_LOAD_FAILED, MODULE),
    ROW(CKR_PUBLIC_KEY_INVALID, REQUEST),
    ROW(CKR_FUNCTION_REJECTED, REQUEST),
};

static const enum ky_code class_codes[HSM_CLASS_COUNT] = {
    [HSM_CLASS_NONE] = KY_OK,
    [HSM_CLASS_REQUEST] = KY_TOKEN_REQUEST,
    [HSM_CLASS_HANDLE] = KY_TOKEN_REQUEST,
    [HSM_CLASS_SESSION] = KY_TOKEN_SESSION,
    [HSM_CLASS_ROOM] = KY_BUSY,
    [HSM_CLASS_RETRY] = KY_TOKEN_SESSION,
    [HSM_CLASS_LOGIN] = KY_TOKEN_LOGIN,
    [HSM_CLASS_MODULE] = KY_TOKEN_MODULE,
};

static const struct ckr_row *ckr_find(CK_RV rv)
{
    for (size_t i = 0; i < sizeof(ckr_rows) / sizeof(ckr_rows[0]); i++) {
        if (ckr_rows[i].rv == rv)
            return &ckr_rows[i];
    }
    return NULL;
}

enum hsm_class hsm_ckr_class(CK_RV rv)
{
    const struct ckr_row *row = ckr_find(rv);

    return row != NULL ? row->class : HSM_CLASS_RETRY;
}

const char *hsm_ckr_name(CK_RV rv)
{
    const struct ckr_row *row = ckr_find(rv);

    return row != NULL ? row->name : "CKR_VENDOR";
}

struct ky_status hsm_ckr_status(CK_RV rv)
{
    return KY_STATUS_CAUSE(class_codes[hsm_ckr_class(rv)], rv);
}
