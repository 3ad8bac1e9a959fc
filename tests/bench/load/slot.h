/* SPDX-License-Identifier: Apache-2.0 */
/* A request in flight and the reply to it. */
#ifndef BENCH_SLOT_H
#define BENCH_SLOT_H

#include "run.h"
#include "wire.h"

struct running;

struct slot {
    struct running *running;
    uint32_t index;
    uint32_t citizen;
    uint64_t start_us; /* intended, in an open loop */
    uint64_t sent_us;
    bool busy;
    bool timed; /* began under the clock */
    bool good;  /* a reply came and holds */
    bool fresh; /* began after the clock */
    bool kept;  /* its hashes and SAD were refused unspent: the next request takes them */
    char id[WIRE_ID_MAX];
    struct wire_request wire;
    struct totp_code code;
    uint8_t sad[32];
};

struct running {
    struct load *load;
    struct tally *tally;
    struct slot *slots; /* owned: slot_count of them */
    size_t slot_count;
    struct slot **free_list; /* owned */
    size_t free_count;
    struct client_call *streams[CONNECTIONS_MAX];
    uint64_t clock_from_us, clock_to_us;
    uint64_t after_to_us; /* 0 = the clock has not stopped, or nothing comes after it */
    size_t fresh_count;
    bool stopped; /* sends nothing more */
    bool broken;
    bool given_up; /* what ends now was counted as lost */
};

/*
 * Sends one request due at start_us. False: no proof is left, or the connection is gone (stopped is
 * then set).
 */
bool slot_send(struct running *r, uint64_t start_us);
/* Is it time for another, in a closed loop? */
bool slot_wanted(const struct running *r);
/* Opens the streams of a stream run. */
bool slot_open_streams(struct running *r);

#endif
