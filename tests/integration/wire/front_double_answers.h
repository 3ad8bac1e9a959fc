/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answers of the played authority, one for each request of a front. One thread; what fails ends
 * the program.
 */
#ifndef KYSO_FRONT_DOUBLE_ANSWERS_H
#define KYSO_FRONT_DOUBLE_ANSWERS_H

#include "kyso/door.h"
#include "kyso/record.h"

struct answers {
    struct ky_channel channel; /* to the front */
    unsigned long answered;
    uint8_t bytes[KY_RECORD_MAX];
};
union asked {
    struct door_info info;
    struct door_cred_list list;
    struct door_cred_get get;
    struct door_tx tx;
    struct door_tx_ref ref;
    struct door_approval_ref approval_ref;
    struct door_decide decide;
    struct door_operate operate;
};

bool answers_decode(uint16_t type, struct ky_span payload, union asked *out);
/* The name that a request's rule hangs on. */
struct ky_span answers_rule(uint16_t type, const void *m);
void answers_give(struct answers *a, uint16_t type, const union asked *m, uint64_t tag);
void answers_refuse(struct answers *a, uint16_t code, uint64_t tag);

#endif
