/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one worker repeats. A mode makes its keys before the clock, and each step gives the number
 * of signatures it made.
 */
#ifndef BENCH_MODE_H
#define BENCH_MODE_H

#include "token.h"

#define MODE_DOSSIER 64u /* hashes of a dossier request */

struct worker {
    struct token_session session;
    struct token_blob *blobs; /* owned; cold modes */
    CK_OBJECT_HANDLE *keys;   /* owned; hot modes */
    size_t count;             /* of either */
    uint64_t turn;
};

struct mode {
    const char *name;
    const char *what; /* for the usage text */
    bool (*prepare)(struct worker *w);
    unsigned (*step)(struct worker *w); /* 0 = failed */
    void (*end)(struct worker *w);
    bool threads; /* workers are threads of one process, not processes */
};

const struct mode *mode_find(const char *name); /* NULL when unknown */
const struct mode *mode_at(size_t i);           /* NULL after the last */

#endif
