/* SPDX-License-Identifier: Apache-2.0 */
/* Four bytes a credential; a start reads each row once, a little of each turn. */
#include "expiry.h"

#include <stdlib.h>
#include <string.h>

#include "authority_private.h"

#define SLICE_EACH_US   20000u
#define SLICE_ROWS      128u /* about a millisecond */
#define SLICE_ROWS_BUSY 16u
#define COUNT_EACH_US   60000000u /* for the metric */
#define GROW            4096u

void expiry_free(struct authority *a)
{
    free(a->expiry.end_s);
    a->expiry = (struct expiry){.end_s = NULL};
}

static bool has_room(struct expiry *e, uint32_t row)
{
    if (row <= e->cap)
        return true;
    uint32_t cap = row + row / 2 + GROW;
    uint32_t *more = realloc(e->end_s, cap * sizeof(*more));
    if (more == NULL)
        return false;
    memset(more + e->cap, 0, (cap - e->cap) * sizeof(*more));
    e->end_s = more;
    e->cap = cap;
    return true;
}

void expiry_note(struct authority *a, uint32_t row, const struct row_credential *c)
{
    bool renews = c->certificate.len > 0 &&
                  (c->state == CREDENTIAL_ACTIVE || c->state == CREDENTIAL_SUSPENDED);

    if (has_room(&a->expiry, row))
        a->expiry.end_s[row - 1] =
            !renews ? 0 : c->not_after_s < UINT32_MAX ? (uint32_t)c->not_after_s : UINT32_MAX;
}

void expiry_tick(struct authority *a)
{
    struct expiry *e = &a->expiry;
    struct row_credential c;

    if (a->phase != PHASE_SERVE || a->mono_us - e->sliced_us < SLICE_EACH_US)
        return;
    e->sliced_us = a->mono_us;
    uint32_t count = store_row_count(a->store, ROW_CREDENTIAL);
    uint32_t until = e->read + (dispatch_idle(a) ? SLICE_ROWS : SLICE_ROWS_BUSY);
    while (e->read < count && e->read < until)
        if (ky_ok(store_row_get(a->store, ROW_CREDENTIAL, ++e->read, &c)))
            expiry_note(a, e->read, &c); /* one that does not hold is found by who uses it */
    if (e->counted_us == 0 || a->mono_us - e->counted_us >= COUNT_EACH_US) {
        e->soon = authority_expiring_count(a, AUTHORITY_SOON_S);
        e->counted_us = a->mono_us;
    }
}

uint32_t authority_expiring(const struct authority *a, uint32_t after, uint64_t within_s)
{
    uint64_t now_s = authority_now_s(a);

    for (uint32_t row = after + 1; row <= a->expiry.cap; row++) {
        uint64_t end_s = a->expiry.end_s[row - 1];
        if (end_s >= now_s && end_s <= now_s + within_s)
            return row;
    }
    return 0;
}

uint32_t authority_expiring_count(const struct authority *a, uint64_t within_s)
{
    uint32_t count = 0;

    for (uint32_t row = 0; (row = authority_expiring(a, row, within_s)) != 0;)
        count++;
    return count;
}
