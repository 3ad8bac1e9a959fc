/* SPDX-License-Identifier: Apache-2.0 */
/* The table of what a token can do (probe.c), printed by a vault that is started for it alone. */
#ifndef HSM_PROBE_H
#define HSM_PROBE_H

#include "vault.h"

/* Prints to standard output. w: logged in, with a session, before any key of the server's is looked for. */
void hsm_probe(struct hsm_worker *w);

#endif
