/* SPDX-License-Identifier: Apache-2.0 */
/* A request in flight and the reply to it. */
#ifndef BENCH_SLOT_H
#define BENCH_SLOT_H

#include "run.h"
#include "wire.h"

#define REQUEST_ID_MAX 40u

struct running;

struct slot {
    struct running *running;
    uint32_t index;
    uint32_t citizen;
    uint64_t start_us; /* intended, in an open loop */
    bool busy;
    bool timed; /* began under the clock */
    bool good;  /* a reply came and holds */
    char id[REQUEST_ID_MAX];
    struct wire_request wire;
    struct totp_code code;
};

struct running {
    struct load *load;
    struct tally *tally;
    struct slot *slots;      /* owned: in_flight of them */
    struct slot **free_list; /* owned */
    size_t free_count;
    struct client_call *streams[CONNECTIONS_MAX];
    uint64_t clock_from_us, clock_to_us;
    bool stopped; /* sends nothing more */
    bool broken;
};

/*
 * Sends one request due at start_us. False: no proof is left, or the connection is gone (stopped is
 * then set).
 */
bool slot_send(struct running *r, uint64_t start_us);
/* Opens the streams of a stream run. */
bool slot_open_streams(struct running *r);

#endif
