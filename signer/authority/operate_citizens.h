/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One row of a batch (operate_citizen.c), for operate_citizens.c, which takes them from step to step. Each function's failure is the
 * row's own, to be settled, unless it spoils all. The authority's thread, inside a turn.
 */
#ifndef KYSO_OPERATE_CITIZENS_H
#define KYSO_OPERATE_CITIZENS_H

#include "operate.h"

#define CITIZEN_ANSWER_MOST 160u /* of a row: its ids or its error, and every length */

enum citizen_step { NEEDS_KEY, KEY_COMES, NEEDS_CSR, CSR_COMES, NEEDS_SEED, IS_DONE };

struct citizen {
    uint8_t step;
    uint8_t key_type;
    uint32_t subject_row, credential_row, epoch; /* 0 = none yet */
    uint64_t intent;
    const char *error; /* static text, or NULL */
    size_t csr_at, csr_len, seed_at, seed_len; /* in what was made */
    char credential_id[AUTHORITY_ID_MAX];
    char authenticator_id[AUTHORITY_ID_MAX];
};
struct batch;
struct run { /* one bite */
    struct operation *o; /* o->made: CSRs and envelopes */
    const Kyso__V1__EnrollCitizens *m;
    struct batch *b;
    struct ky_buf names;           /* relying_parties as rows hold them */
    struct envelope_reader reader; /* of the rows that name none */
    size_t room;                   /* that the answer has for rows not yet looked at */
};

/* Can the row be, has the answer room for it, and what stands already: sets c->step. */
KY_MUST_CHECK struct ky_status citizen_look(struct run *r, struct citizen *c,
                                            const Kyso__V1__EnrollCitizen *m);
/* The person, where they are new, and a credential of this key. */
KY_MUST_CHECK struct ky_status citizen_put_key(struct run *r, struct citizen *c,
                                               const Kyso__V1__EnrollCitizen *m,
                                               struct ky_span blob, struct ky_span public_key);
/* Appends what a vault is to sign, its intent recorded: CSR_COMES. */
KY_MUST_CHECK struct ky_status citizen_put_csr(struct run *r, struct citizen *c,
                                               const Kyso__V1__EnrollCitizen *m,
                                               struct ky_buf *items);
/* The signature, empty where there is none; why: KY_OK, or why no vault tried. Its receipt is recorded (I4), then the authenticator made. */
KY_MUST_CHECK struct ky_status citizen_take_csr(struct run *r, struct citizen *c,
                                                const Kyso__V1__EnrollCitizen *m,
                                                struct ky_status why, struct ky_span raw);
/* The authenticator, its seed sealed; the row is done. */
KY_MUST_CHECK struct ky_status citizen_put_seed(struct run *r, struct citizen *c,
                                                const Kyso__V1__EnrollCitizen *m);
/* What a row came to: a failure of its own is recorded and told in the result; any other is given back, and ends the operation. */
KY_MUST_CHECK struct ky_status citizen_settle(struct run *r, struct citizen *c,
                                              struct ky_status status);
/* In the arena, or NULL. Its bytes are those that were made. */
Kyso__V1__EnrolledCitizen *citizen_result(struct run *r, const struct citizen *c);

#endif
