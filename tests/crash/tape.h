/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What reached a database's files, operation by operation, and what a power cut after any of them
 * may leave: everything, what was synced, or a part of what was not, by sectors. One thread.
 */
#ifndef KYSO_CRASH_TAPE_H
#define KYSO_CRASH_TAPE_H

#include <stdbool.h>
#include <stdint.h>

#include "db_files.h"
#include "fault_vfs.h"

struct tape_op {
    enum fault_op_kind kind;
    enum db_file file;
    uint32_t moment; /* what the server had done when it came, numbered by the caller */
    size_t at, len;
    uint8_t *data; /* owned */
};
struct tape {
    struct tape_op *ops; /* owned */
    size_t count, cap;
    struct db_files before;
};
void tape_init(struct tape *t);
void tape_put(struct tape *t, const struct fault_op *op, uint32_t moment);
void tape_free(struct tape *t);

enum tape_mode {
    TAPE_ALL,    /* a killed process: all that was written is there */
    TAPE_SYNCED, /* of each file only what its last sync covers */
    TAPE_TORN,   /* all, but of the last write that was not synced the first half */
    TAPE_RANDOM, /* of each write that was not synced all, nothing or some sectors */
};
struct tape_head { /* goes over a tape: the cut is before ops[at] */
    const struct tape *tape;
    size_t at;
    size_t from[DB_FILES]; /* the first operation that no sync covers */
    struct db_files synced;
};
void tape_head_init(struct tape_head *h, const struct tape *t);
void tape_head_step(struct tape_head *h);
void tape_head_free(struct tape_head *h);
/*
 * What the disk may hold after a cut here. Equal *out_name means equal disks (of one head).
 * `random` is the state of a generator that TAPE_RANDOM moves on.
 */
void tape_cut(const struct tape_head *h, enum tape_mode mode, uint64_t *random,
              struct db_files *out, uint64_t *out_name);

#endif
