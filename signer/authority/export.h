/* SPDX-License-Identifier: Apache-2.0 */
/* The offline export: kyso-authority --export. */
#ifndef KYSO_EXPORT_H
#define KYSO_EXPORT_H

#include <stdbool.h>

/* Prints every record of the database as a JSON line on standard output. Returns the exit code; says on stderr why it is not 0. */
int export_run(const char *database, bool private_data);

#endif
