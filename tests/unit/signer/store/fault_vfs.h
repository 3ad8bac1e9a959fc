/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file system that fails once: SQLite's default VFS with one write or sync of the process made to
 * fail, and every later one working again. And one that tells what reaches it. One thread.
 */
#ifndef KYSO_FAULT_VFS_H
#define KYSO_FAULT_VFS_H

#include <stdbool.h>
#include <stddef.h>

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

enum fault_op_kind { FAULT_OP_WRITE, FAULT_OP_TRUNCATE, FAULT_OP_SYNC, FAULT_OP_DELETE };
struct fault_op {
    enum fault_op_kind kind;
    const char *file;
    size_t at; /* of a write; a truncate's new size */
    const void *data;
    size_t len;
};
typedef void (*fault_seen_fn)(void *context, const struct fault_op *op);
/*
 * Tells of each change just before it is made, and makes no sync: the page cache keeps everything.
 * NULL: no longer.
 */
void fault_watch(fault_seen_fn seen, void *context);

#endif
