/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets: PINs, seeds, derived keys, shares. The memory is locked, kept out of
 * core files and wiped on release. No formatting helper takes this type.
 */
#ifndef KYSO_SECRET_H
#define KYSO_SECRET_H

#include "kyso/span.h"
#include "kyso/status.h"

#define KY_SECRET_MAX 256u

struct ky_secret {
    uint8_t *bytes; /* owned; one locked page, NULL when empty */
    size_t len;
};

/*
 * Copies; `from` may be the old value, an empty one empties. KY_INVALID over KY_SECRET_MAX,
 * KY_NOMEM (cause: errno) when the page cannot be had or locked; the old value then stays.
 */
KY_MUST_CHECK struct ky_status ky_secret_set(struct ky_secret *s, struct ky_span from);
struct ky_span ky_secret_span(const struct ky_secret *s);
void ky_secret_wipe(struct ky_secret *s); /* idempotent */
void ky_wipe(void *p, size_t n);
/*
 * No core dump, no ptrace by others, no new privileges: every role calls it first. Nothing relaxes
 * it. KY_IO.
 */
KY_MUST_CHECK struct ky_status ky_harden_process(void);
KY_MUST_CHECK struct ky_status ky_random(void *p, size_t n);

#endif
