/* SPDX-License-Identifier: Apache-2.0 */
/* The table of what a token can do (probe.c): of a vault that is started for it alone, and of a ceremony. */
#ifndef HSM_PROBE_H
#define HSM_PROBE_H

#include <stdio.h>

#include "vault.h"

/*
 * w: logged in, with a session, before any key of the server's is looked for. Returns why the token keeps
 * no key in the database, or is refused altogether; NULL when it is fit for everything. caps are corrected
 * by what was found.
 */
const char *hsm_probe(struct hsm_worker *w, FILE *out);

#endif
