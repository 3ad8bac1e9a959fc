/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One enrolment while it is decided: the steps that those of codes (operate_enroll.c) and of devices (operate_device.c) share, in
 * their order. The authority's thread, inside a turn.
 */
#ifndef KYSO_OPERATE_ENROLL_H
#define KYSO_OPERATE_ENROLL_H

#include "enroll.h"
#include "operate.h"

struct enrolment {
    uint32_t subject_row;
    struct ky_span subject_id; /* the operation's own bytes */
    struct policy_enrolment facts;
    uint32_t listed;      /* authenticators that the person's list holds */
    uint32_t old_removed; /* one of these that is removed, 0 = none */
    uint32_t totp;        /* one that makes codes and is not removed, 0 = none */
    struct row_authenticator row;
    char id[AUTHORITY_ID_MAX];
    char code[ENROLL_CODE_DIGITS + 1];
};

/* Who it is, what they have, and a row that is to be filled. */
KY_MUST_CHECK struct ky_status enrolment_begin(struct operation *o, const char *subject_id,
                                               struct enrolment *e);
KY_MUST_CHECK struct ky_status enrolment_allowed(struct operation *o, struct enrolment *e);
/* Errors: KY_CONFLICT. */
KY_MUST_CHECK struct ky_status enrolment_unused(struct operation *o, enum store_lookup unique,
                                                struct ky_span key);
/* An existing device vouches for the new one at once; everyone else waits for the code that reaches the person. */
KY_MUST_CHECK struct ky_status enrolment_set_code(struct operation *o, struct enrolment *e);
KY_MUST_CHECK struct ky_status enrolment_write(struct operation *o, struct enrolment *e,
                                               enum store_lookup unique, struct ky_span key);
/* Fills in the result. */
void enrolment_give(struct operation *o, const struct enrolment *e);

#endif
