/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When each usable credential's certificate ends, in memory by row: for the status screen and for the list of what must be
 * renewed. Filled in slices after a start, kept up as rows are written. Figures for people: decisions read the row.
 * Authority's thread.
 */
#ifndef KYSO_EXPIRY_H
#define KYSO_EXPIRY_H

#include <stdint.h>

#include "kyso/rows.h"

struct expiry {
    uint32_t *end_s; /* owned, by row - 1: seconds since the epoch; 0 = nothing to renew */
    uint32_t cap;
    uint32_t read; /* rows that were looked at since the start */
    uint64_t sliced_us;
    uint32_t soon; /* as last counted */
    uint64_t counted_us;
};

struct authority;
void expiry_free(struct authority *a);
void expiry_note(struct authority *a, uint32_t row, const struct row_credential *c);
void expiry_tick(struct authority *a); /* between turns */

#endif
