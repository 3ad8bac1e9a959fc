/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PKCS#11 module of this process: loaded once by its configured path, its
 * token found by RFC 7512 URI, one login on an anchor session that stays open
 * until C_Finalize (closing a token's last session logs the application out).
 */
#ifndef HSM_MODULE_H
#define HSM_MODULE_H

#include <p11-kit/pkcs11.h>

#include "kyso/hsm.h"
#include "kyso/secret.h"

struct hsm_module {
    CK_FUNCTION_LIST *fn; /* borrowed from the mapped module, which is never unmapped */
    bool initialised;
    CK_SLOT_ID slot;
    CK_TOKEN_INFO token;
    CK_SESSION_HANDLE anchor; /* CK_INVALID_HANDLE before login */
};

/* Loads and C_Initializes. Main thread, once. Errors: KY_INVALID (configuration), KY_TOKEN_*. */
KY_MUST_CHECK struct ky_status hsm_module_open(const struct hsm_config *config,
                                               struct hsm_module *out);
/*
 * Finds the one token that the URI names. KY_INVALID: a bad URI, or one that carries a PIN;
 * KY_NOT_FOUND: none or several.
 */
KY_MUST_CHECK struct ky_status hsm_module_find_token(struct hsm_module *m, const char *uri);
/*
 * The same for a token that is not named by the URI yet: blank (label NULL), or of another label. What
 * else the URI says must fit; of several the one after `skip` others. KY_NOT_FOUND: there is none.
 */
KY_MUST_CHECK struct ky_status hsm_module_find_other(struct hsm_module *m, const char *uri,
                                                     const char *label, unsigned skip);
/* The label that the URI names, blank-padded. KY_INVALID: it names none. */
KY_MUST_CHECK struct ky_status hsm_module_label(const char *uri, uint8_t out[32]);
/*
 * Logs in as the user. When the token says that the next wrong PIN locks it, or that it is locked,
 * nothing is tried: KY_TOKEN_LOGIN with cause CKR_PIN_LOCKED.
 */
KY_MUST_CHECK struct ky_status hsm_module_login(struct hsm_module *m, const struct ky_secret *pin);
/* C_Finalize. The module stays mapped: vendors' exit handlers and threads outlive dlclose badly. */
void hsm_module_close(struct hsm_module *m);
/* "label=.. model=.. serial=..", cut to cap. */
void hsm_module_describe(const struct hsm_module *m, char *out, size_t cap);

#endif
