/* SPDX-License-Identifier: Apache-2.0 */
/* How the programs that people and scripts run end: one table for kyso, kysod and kyso-ceremony. */
#ifndef KYSO_EXIT_H
#define KYSO_EXIT_H

enum ky_exit {
    KY_EXIT_OK = 0,
    KY_EXIT_FAILED = 1,      /* refused, or failed here */
    KY_EXIT_USAGE = 2,       /* the command line, the plan or the configuration's place is wrong */
    KY_EXIT_UNREACHABLE = 3, /* the server cannot be reached */
    KY_EXIT_UNVERIFIED = 4,  /* a ledger, a checkpoint, a transcript, a backup or a transaction did not verify */
    KY_EXIT_NO_TOKEN = 5,    /* no token that fits, or its module cannot be loaded */
    KY_EXIT_TOKEN_FULL = 6,  /* the token has no room for another object */
    KY_EXIT_COUNT
};

#endif
