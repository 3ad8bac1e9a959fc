/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Defaults and bounds of the configuration, from one table per type of value. Private to
 * signer/common.
 */
#ifndef KYSO_CONFIG_CHECK_H
#define KYSO_CONFIG_CHECK_H

#include "config.h"

/* Fills what is absent and checks the rest. *out_error is malloc'ed text on KY_INVALID. */
KY_MUST_CHECK struct ky_status config_fill_and_check(struct config *c, char **out_error);

#endif
