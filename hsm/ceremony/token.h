/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The token at a ceremony: blank, then on trial under a PIN that is no secret (it holds nothing yet), then
 * named, with PINs that nobody sees. Only an empty token is ever written over: one that is blank, on trial, or
 * that this same ceremony had begun to make.
 */
#ifndef CEREMONY_TOKEN_H
#define CEREMONY_TOKEN_H

#include "pins.h"
#include "plan.h"
#include "vault.h"

struct token {
    struct hsm_config config;
    struct hsm_vault vault;   /* module and caps; residents for the probe */
    struct hsm_worker worker; /* its session: the user's, once there is one */
};

#define TOKEN_TRIAL "kyso-trial"
#define TOKEN_DRILL "kyso-drill"

/* Loads the module. token_close is due whatever is returned. Errors: as hsm_module_open. */
KY_MUST_CHECK struct ky_status token_open(const struct plan *plan, struct token *t);
void token_close(struct token *t);
bool token_is_there(struct token *t, const char *label); /* label: NULL for the plan's */
/* The only token of that name is the one with this serial number. */
bool token_is(struct token *t, const char *label, const char *serial);
void token_serial(const struct token *t, char out[TOKEN_SERIAL]); /* of the one that was found last */
/*
 * A blank token, or the one on trial, initialised for trial; the user is logged in. KY_NOT_FOUND: there is
 * none. KY_TOKEN_LOGIN: it takes no PIN of 32 characters.
 */
KY_MUST_CHECK struct ky_status token_try(struct token *t);
/* The plan's own, as it is: its user is logged in. Errors: KY_NOT_FOUND (none, or several), KY_TOKEN_*. */
KY_MUST_CHECK struct ky_status token_login(struct token *t, const struct token_pins *pins);
/*
 * The token on trial, or one that was begun under these PINs, wiped, named and given them; the user is logged
 * in. label: NULL for the plan's. serial: the one that it must be, whatever else fits. Errors: KY_TOKEN_*,
 * KY_NOT_FOUND.
 */
KY_MUST_CHECK struct ky_status token_make(struct token *t, const struct token_pins *pins,
                                          const char *label, const char *serial);
/* Wipes what token_make made and puts it back on trial. */
KY_MUST_CHECK struct ky_status token_unmake(struct token *t, const struct token_pins *pins);

#endif
