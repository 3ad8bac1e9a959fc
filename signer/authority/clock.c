/* SPDX-License-Identifier: Apache-2.0 */
/* The clock's state. The kernel is behind a hook, so that tests can say what it answers. */
#include "clock.h"

#include <string.h>

#include "authority_private.h"

#define ASK_US 60000000u

const char *clock_word(uint8_t state)
{
    return state == CLOCK_SYNCED ? "synchronised" : state == CLOCK_UNSYNCED ? "unsynchronised" : "unknown";
}

uint8_t clock_ask(struct authority *a)
{
    a->clock.asked_us = a->mono_us;
    return a->hooks.clock_sync != NULL ? a->hooks.clock_sync(a->hooks.context, &a->clock.error_us)
                                       : CLOCK_UNKNOWN;
}

void clock_set(struct authority *a, uint8_t state)
{
    a->clock.state = state;
    log_event(state == CLOCK_SYNCED ? LOG_INFO : LOG_WARN, "clock", LOG_STR("state", clock_word(state)),
              LOG_U64("error_us", a->clock.error_us),
              LOG_STR("when_unsynced", a->config->clock.when_unsynced));
}

void clock_tick(struct authority *a)
{
    if (a->mono_us - a->clock.asked_us < ASK_US)
        return;
    const struct ledger_clock m = {.state = clock_ask(a), .error_us = a->clock.error_us};
    if (m.state != a->clock.state &&
        ky_ok(authority_append(a, &ledger_clock_schema, &m, (struct ky_span){0}, NULL)))
        clock_set(a, m.state);
}

bool clock_refuses(const struct authority *a)
{
    return a->clock.state != CLOCK_SYNCED && strcmp(a->config->clock.when_unsynced, "refuse") == 0;
}
