/* SPDX-License-Identifier: Apache-2.0 */
/* The status screen as text: what an operator looks at first, and what needs them stands out. */
#ifndef KYSO_CLI_STATUS_SCREEN_H
#define KYSO_CLI_STATUS_SCREEN_H

#include "cli.h"

/* now_s: the wall clock here. colour: of a terminal. */
void status_screen(FILE *out, const Kyso__V1__Status *s, int64_t now_s, bool colour);

#endif
