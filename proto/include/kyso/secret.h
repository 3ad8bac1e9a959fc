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

KY_MUST_CHECK struct ky_status ky_secret_set(struct ky_secret *s, struct ky_span from); /* copies, <= KY_SECRET_MAX */
struct ky_span ky_secret_span(const struct ky_secret *s);
void ky_secret_wipe(struct ky_secret *s); /* idempotent */
void ky_wipe(void *p, size_t n);
/* No core dump, no ptrace by others, no new privileges: every role calls it first. */
KY_MUST_CHECK struct ky_status ky_harden_process(void);
KY_MUST_CHECK struct ky_status ky_random(void *p, size_t n);

#endif
