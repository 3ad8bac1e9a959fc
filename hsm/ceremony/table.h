/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CEREMONY_TABLE_H
#define CEREMONY_TABLE_H

#include "command.h"

extern const struct cli_program ceremony_program;

#endif
