/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the store share: a store in a folder of its own with fixed keys, records to put
 * into it, and a second hand that changes the database behind its back.
 */
#ifndef KYSO_STORE_TEST_H
#define KYSO_STORE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store.h"

#define EXPECT(expected, call)                                                                     \
    do {                                                                                           \
        const struct ky_status got_ = (call);                                                      \
        if (got_.code != (expected)) {                                                             \
            fail_msg("%s: code %d cause %u, expected %d", #call, (int)got_.code, got_.cause,       \
                     (int)(expected));                                                             \
        }                                                                                          \
    } while (0)
#define OK(call) EXPECT(KY_OK, call)

struct bench {        /* the workbench of one test */
    char folder[192]; /* under TMPDIR */
    char path[224];
    struct ky_secret row_mac;
    struct ky_secret state;
    struct store_keys keys;
    struct store *store;
};

int bench_setup(void **state);    /* *state: struct bench with a new, open store */
int bench_teardown(void **state); /* closes and removes everything */
void bench_keys(struct bench *b); /* sets the keys; again in a child, where secrets arrive wiped */
void bench_close(struct bench *b);
KY_MUST_CHECK struct ky_status bench_open(struct bench *b);
void bench_reopen(struct bench *b);
/* Opens the closed store; reads snapshot and tail as a start does. */
KY_MUST_CHECK struct ky_status bench_start(struct bench *b);

/* Runs SQL on the closed database by a connection of its own; the store is closed first. */
void bench_sql(struct bench *b, const char *sql);

/* Stages one event record whose count is n; its leaf is thereby known. */
KY_MUST_CHECK struct ky_status bench_event(struct bench *b, uint32_t n);
void bench_turn(struct bench *b, uint32_t first, uint32_t count); /* stages and commits events */
/* Stages subject `row` (0 = new) with this id. */
KY_MUST_CHECK struct ky_status bench_subject(struct bench *b, uint32_t row, const char *id,
                                             uint32_t *out_row);

#endif
