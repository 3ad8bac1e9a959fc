/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shares of a running server's custodians, until there are M of them. One thread. At most one share for each of M custodians is
 * held, each in a locked page; what is refused is forgotten. The secret that they give is compared with its own
 * commitment before it becomes a PIN, so that no wrong combination ever costs the token a try (P11, P22).
 */
#ifndef KYSO_COLLECTOR_H
#define KYSO_COLLECTOR_H

#include "activation.h"
#include "pins.h"

struct collector {
    struct share_set set;
    struct activation_key key;
    uint8_t index[SHARE_MAX]; /* custodians, in the order in which they came */
    struct ky_secret shares[SHARE_MAX];
    uint32_t count;
};

/* Makes the key of this start. Errors: KY_INVALID: the set has no commitment to its secret; KY_NOMEM, KY_IO. */
KY_MUST_CHECK struct ky_status collector_open(const struct share_set *set, struct collector *out);
void collector_close(struct collector *c); /* nothing is left */
enum activation_answer collector_take(struct collector *c, const struct activation_share *from);
/* With ACTIVATION_WHOLE. Errors: KY_CORRUPT: M right shares that do not give the secret; KY_NOMEM. */
KY_MUST_CHECK struct ky_status collector_pin(const struct collector *c, struct ky_secret *out_pin);
/* Bit i: custodian i + 1. */
uint32_t collector_custodians(const struct collector *c);

#endif
