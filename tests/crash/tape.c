/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tape and the disks that it allows. Between two syncs of a file its writes may reach the disk
 * in any order and by sectors; a removal and what follows it are later than what came before, as a
 * new file is another one.
 */
#include "tape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "splitmix.h"

#define SECTOR 512u

static void resize(struct ky_buf *b, size_t len)
{
    if (len > b->len) {
        size_t more = len - b->len;
        uint8_t *end = ky_buf_grow(b, more);
        assert_non_null(end);
        memset(end, 0, more);
    }
    b->len = len;
}

/* --- the tape -------------------------------------------------------------------------------- */

void tape_init(struct tape *t)
{
    *t = (struct tape){.ops = NULL};
    db_files_init(&t->before);
}

void tape_free(struct tape *t)
{
    for (size_t i = 0; i < t->count; i++) {
        free(t->ops[i].data);
    }
    free(t->ops);
    db_files_free(&t->before);
}

void tape_put(struct tape *t, const struct fault_op *op, uint32_t moment)
{
    struct tape_op mine = {.kind = op->kind,
                           .file = db_file_of(op->file),
                           .moment = moment,
                           .at = op->at,
                           .len = op->len};
    if (op->len > 0) {
        mine.data = malloc(op->len);
        assert_non_null(mine.data);
        memcpy(mine.data, op->data, op->len);
    }
    if (t->count == t->cap) {
        t->cap = t->cap == 0 ? 1024 : t->cap * 2;
        t->ops = realloc(t->ops, t->cap * sizeof(*t->ops));
        assert_non_null(t->ops);
    }
    t->ops[t->count++] = mine;
}

/* --- cutting --------------------------------------------------------------------------------- */

static void put_bytes(struct ky_buf *b, const struct tape_op *op, size_t from, size_t to)
{
    if (b->len < to) {
        resize(b, to);
    }
    memcpy(b->data + from, op->data + (from - op->at), to - from);
}

/* Of its sectors those whose bit is set, the last bit standing for all that follow. */
static void put_sectors(struct ky_buf *b, const struct tape_op *op, uint64_t which)
{
    size_t end = op->at + op->len;
    size_t from = op->at;
    for (unsigned n = 0; from < end; n++) {
        size_t to = (from / SECTOR + 1) * SECTOR;
        to = to < end ? to : end;
        if (which >> (n < 63 ? n : 63) & 1u) {
            put_bytes(b, op, from, to);
        }
        from = to;
    }
}

static void apply(struct ky_buf *b, const struct tape_op *op, uint64_t which)
{
    if (op->kind == FAULT_OP_WRITE) {
        put_sectors(b, op, which);
    } else if (which != 0 && op->kind != FAULT_OP_SYNC) {
        resize(b, op->kind == FAULT_OP_TRUNCATE ? op->at : 0);
    }
}

void tape_head_init(struct tape_head *h, const struct tape *t)
{
    *h = (struct tape_head){.tape = t};
    db_files_init(&h->synced);
    db_files_copy(&h->synced, &t->before);
}

void tape_head_free(struct tape_head *h)
{
    db_files_free(&h->synced);
}

void tape_head_step(struct tape_head *h)
{
    const struct tape_op *op = &h->tape->ops[h->at++];
    if (op->kind != FAULT_OP_SYNC) {
        return;
    }
    for (size_t i = h->from[op->file]; i < h->at; i++) {
        if (h->tape->ops[i].file == op->file) {
            apply(&h->synced.of[op->file], &h->tape->ops[i], UINT64_MAX);
        }
    }
    h->from[op->file] = h->at;
}

static bool is_pending(const struct tape_head *h, size_t i)
{
    const struct tape_op *op = &h->tape->ops[i];
    return i >= h->from[op->file] && op->kind != FAULT_OP_SYNC;
}

/* The last write that no sync covers, or none (the tape's length). */
static size_t last_write(const struct tape_head *h)
{
    for (size_t i = h->at; i > 0; i--) {
        if (is_pending(h, i - 1) && h->tape->ops[i - 1].kind == FAULT_OP_WRITE) {
            return i - 1;
        }
    }
    return h->tape->count;
}

/*
 * Up to where each file's removal has become lasting, if any was made; what came after a removal
 * that has not is lost with it.
 */
static size_t choose_end(const struct tape_head *h, enum db_file file, uint64_t *random)
{
    for (size_t i = h->from[file]; i < h->at; i++) {
        const struct tape_op *op = &h->tape->ops[i];
        if (op->file == file && op->kind == FAULT_OP_DELETE && splitmix(random) & 1u) {
            return i;
        }
    }
    return h->at;
}

static uint64_t choose(const struct tape_op *op, uint64_t *random)
{
    uint64_t draw = splitmix(random);
    if (op->kind == FAULT_OP_DELETE || draw % 4 < 2) {
        return UINT64_MAX;
    }
    return draw % 4 == 2 ? 0 : splitmix(random);
}

/* Which sectors of a pending operation are there. */
static uint64_t keep(const struct tape_op *op, enum tape_mode mode, bool last, uint64_t *random)
{
    if (mode == TAPE_SYNCED) {
        return 0;
    }
    if (mode == TAPE_RANDOM) {
        return choose(op, random);
    }
    if (mode == TAPE_TORN && last) {
        return (UINT64_C(1) << (op->len / SECTOR / 2)) - 1;
    }
    return UINT64_MAX;
}

void tape_cut(const struct tape_head *h, enum tape_mode mode, uint64_t *random,
              struct db_files *out, uint64_t *out_name)
{
    size_t end[DB_FILES];
    size_t last = last_write(h);
    uint64_t name = 0;

    db_files_copy(out, &h->synced);
    for (int f = 0; f < DB_FILES; f++) {
        end[f] = mode == TAPE_RANDOM ? choose_end(h, (enum db_file)f, random) : h->at;
        name ^= h->from[f];
        name = splitmix(&name);
    }
    for (size_t i = 0; i < h->at; i++) {
        const struct tape_op *op = &h->tape->ops[i];
        if (!is_pending(h, i) || i >= end[op->file]) {
            continue;
        }
        uint64_t which = keep(op, mode, i == last, random);
        apply(&out->of[op->file], op, which);
        if (which != 0) {
            name ^= (i + 1) ^ which;
            name = splitmix(&name);
        }
    }
    *out_name = name;
}
