/* SPDX-License-Identifier: Apache-2.0 */
/* kysod's command line. One table is parsed, explained by --help, and printed as manual page and completion. */
#ifndef KYSO_SUPERVISOR_OPTIONS_H
#define KYSO_SUPERVISOR_OPTIONS_H

#include <stdbool.h>

#include "supervisor.h"

struct options {
    const char *config;
    char *operators[SUPERVISOR_OPERATORS_MAX]; /* NAME:FILE; borrowed from argv */
    int operator_count;
    const char *restore, *checkpoint; /* files */
    bool check, probe, init, add, clear_latch;
};

/* -1: go on. Else the exit status: something was printed that was asked for, or one line that says what is wrong. */
int options_parse(int argc, char **argv, struct options *o);

#endif
