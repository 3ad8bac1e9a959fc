/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of people who are there: new ids, new seeds, new rows, the wrapped key and the certificate
 * of the one they are made after. Rows go through the authority's store, so each has its MAC, its
 * version and its LEDGER_ADMIN record.
 */
#ifndef BENCH_GROWTH_PEOPLE_H
#define BENCH_GROWTH_PEOPLE_H

#include <stdio.h>

#include "store.h"

#define TOTPS_MAX     15u
#define TEMPLATES_MAX 256u

struct template
{
    struct row_credential row; /* spans into bytes */
    struct ky_buf bytes;       /* owned */
};
struct templates {
    struct template of[TEMPLATES_MAX];
    size_t count;
};
struct people_keys { /* both borrowed from the caller */
    const struct ky_secret *seed;
    const struct ky_secret *state;
};

/* The first active credentials whose keys are wrapped. KY_NOT_FOUND: there is none. */
KY_MUST_CHECK struct ky_status templates_load(struct store *s, struct templates *out);
void templates_free(struct templates *t);

/*
 * Stages one person, credential and `totps` authenticators, named after `number`. `line` (may be
 * NULL) gets what a load generator needs of them, in kyso-seed's form.
 */
KY_MUST_CHECK struct ky_status people_add(struct store *s, const struct people_keys *keys,
                                          const struct template *after, uint32_t number,
                                          unsigned totps, FILE *line);

#endif
