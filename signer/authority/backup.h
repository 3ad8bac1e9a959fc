/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An operator's copy of the database, made while the server serves: state_dir/backup.db, and beside it backup.checkpoint, the
 * newest signed checkpoint that the copy runs through: with both, custodians can tell a new token which ledger it gets. The
 * authority's thread.
 */
#ifndef KYSO_BACKUP_H
#define KYSO_BACKUP_H

#include <stdbool.h>
#include <stdint.h>

struct authority;
struct store_backup;
struct backup {
    struct store_backup *copy; /* owned; NULL = none is being made */
    uint64_t stepped_us;
    uint32_t percent;
    char last[96]; /* how the last one ended; empty = there was none */
};

void backup_tick(struct authority *a); /* between turns */
void backup_abandon(struct authority *a);
/* "copying, 40 %", "done, ..." or "failed: ..."; empty = none was asked for since the start. */
void backup_describe(const struct authority *a, char out[96]);

#endif
