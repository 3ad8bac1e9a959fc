/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A citizen on the way from a name to an active credential: what each step sends, what it keeps of
 * the answer, and what is written at the end. The steps stand in the order that the server demands:
 * authenticators before the certificate.
 */
#ifndef BENCH_CITIZEN_H
#define BENCH_CITIZEN_H

#include <stdio.h>

#include "certify.h"
#include "operate.h"

#define IN_FLIGHT_MAX 200u
#define TOTPS_MAX     15u
#define ID_MAX        65u
#define SEED_LEN      20u

struct options {
    const char *socket, *server_id, *operator_id, *operator_key, *ca, *ca_key, *out, *prefix,
        *key_type, *storage;
    unsigned citizens, totps, devices, in_flight;
};

enum step {
    STEP_SUBJECT,
    STEP_CREDENTIAL,
    STEP_TOTP,
    STEP_TOTP_CONFIRM,
    STEP_DEVICE,
    STEP_DEVICE_CONFIRM,
    STEP_CERTIFICATE,
    STEP_DONE
};

struct seeding;
struct citizen {
    struct seeding *seeding;
    struct operate_call call;
    enum step step;
    unsigned totp; /* the one that is being enrolled */
    char subject[ID_MAX], credential[ID_MAX], device[ID_MAX], code[ID_MAX];
    char totp_ids[TOTPS_MAX][ID_MAX];
    uint8_t seeds[TOTPS_MAX][SEED_LEN];
    struct ky_buf spki, device_private;
};

struct seeding {
    const struct options *options;
    struct operate operate;
    struct ca ca;
    FILE *out;
    unsigned started, finished;
    bool failed;
};

/* Sends the step that the citizen stands at; its call ends in done. False: not sent. */
bool citizen_send(struct citizen *c, operate_done *done);
/*
 * Takes what the answer holds: the step after it, or STEP_SUBJECT for an answer that lacks
 * something.
 */
enum step citizen_keep(struct citizen *c, const Kyso__V1__OperationResult *r);
/* One line of JSON. */
bool citizen_write(const struct citizen *c);

#endif
