/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is the machine's clock synchronised with UTC? The kernel is asked at the start and each minute; a change goes on the
 * ledger (LEDGER_CLOCK), and the configuration says whether anything is signed without it. The authority's thread.
 */
#ifndef KYSO_CLOCK_H
#define KYSO_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

enum clock_state { CLOCK_UNSYNCED = 0, CLOCK_SYNCED = 1, CLOCK_UNKNOWN = 2 }; /* as the ledger's records say it */

struct clock_watch {
    uint8_t state;     /* enum clock_state, as last recorded */
    uint32_t error_us; /* at most so wrong, as the kernel last estimated */
    uint64_t asked_us; /* monotonic */
};

struct authority;
/* Asks now; what it says is the caller's to record. */
uint8_t clock_ask(struct authority *a);
const char *clock_word(uint8_t state);
/* As a start has recorded it; warns where it is not synchronised. */
void clock_set(struct authority *a, uint8_t state);
void clock_tick(struct authority *a); /* in a turn, while serving */
/* clock.when_unsynced is "refuse", and the clock is not known to be synchronised. */
bool clock_refuses(const struct authority *a);

#endif
