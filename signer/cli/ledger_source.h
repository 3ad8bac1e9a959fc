/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a ledger's records come from: the server, page by page, or an exported file.
 */
#ifndef KYSO_CLI_LEDGER_SOURCE_H
#define KYSO_CLI_LEDGER_SOURCE_H

#include "cli.h"

struct ledger_tail { /* what came with the records */
    uint64_t size;
    struct ky_buf checkpoint; /* the signed note; empty when there is none yet */
    struct ky_buf key;        /* DER SubjectPublicKeyInfo, on the source's own word */
};
void ledger_tail_init(struct ledger_tail *t);
void ledger_tail_wipe(struct ledger_tail *t);

/* One record in order; anything but CLI_OK ends the reading with that code. */
typedef int (*ledger_visit)(void *arg, uint64_t index, struct ky_span leaf,
                            struct ky_span private_data);

/* The size, the last checkpoint and the ledger's key, without reading records. */
int ledger_server_tail(struct cli *cli, struct ledger_tail *t);
/* Records from..to-1. */
int ledger_server_read(struct cli *cli, uint64_t from, uint64_t to, ledger_visit visit, void *arg);

int ledger_file_tail(struct cli *cli, const char *path, struct ledger_tail *t);
int ledger_file_read(struct cli *cli, const char *path, ledger_visit visit, void *arg);

#endif
