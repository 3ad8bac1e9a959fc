/* SPDX-License-Identifier: Apache-2.0 */
/* The serving half of a vault's life: after CONTROL_READY until its channel or its orders end. */
#ifndef HSM_LOOP_H
#define HSM_LOOP_H

#include "vault.h"

/* Serves on KY_CHANNEL_FD and KY_CONTROL_FD. Returns an enum hsm_exit. Main thread. */
int hsm_loop_run(struct hsm_vault *v, struct hsm_pool *pool);
/* Tells the caller's log, if there is one. Main thread. */
void hsm_log(const struct hsm_config *config, const char *event, const char *detail,
             uint32_t cause);

#endif
