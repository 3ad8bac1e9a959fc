/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file system that fails once: SQLite's default VFS with one write or sync of the process made to
 * fail, and every later one working again. One thread.
 */
#ifndef KYSO_FAULT_VFS_H
#define KYSO_FAULT_VFS_H

#include <stdbool.h>

enum fault_kind {
    FAULT_FULL,  /* the write fails with ENOSPC */
    FAULT_EIO,   /* the write fails with EIO */
    FAULT_SHORT, /* half of the write reaches the file, then EIO */
    FAULT_SYNC,  /* the sync fails */
};

void fault_install(void);
/* The nth operation of the kind from now on fails (1 = the next); 0 = none. */
void fault_arm(enum fault_kind kind, unsigned n);
bool fault_fired(void);

#endif
