/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run: requests in flight under a clock, every reply checked. One thread drives all
 * connections.
 */
#ifndef BENCH_RUN_H
#define BENCH_RUN_H

#include <stdio.h>

#include "client.h"
#include "histogram.h"
#include "kyso/grpc.h"
#include "options.h"
#include "population.h"
#include "roles.h"
#include "sample.h"
#include "tickets.h"

#define GRPC_STATUSES 17u

struct tally {
    /* requests that were answered well and began under the clock */
    struct histogram latency;
    uint64_t signatures; /* whose reply came under the clock */
    uint64_t requests;
    uint64_t errors[GRPC_STATUSES]; /* by gRPC status */
    uint64_t bad_replies;           /* wrong id, count or length: said OK and was not */
    uint64_t lost;                  /* unanswered when the run was given up */
    uint64_t unsent;                /* open loop: due, never sent */
    uint64_t backlog_max;           /* open loop */
    /* with deadlines: */
    struct histogram refusal;        /* from sending to a no, begun under the clock */
    uint64_t refused[GRPC_STATUSES]; /* these, by gRPC status */
    uint64_t past_deadline;          /* signatures that came after their deadline */
    uint64_t well_past;              /* of these, by more than 50 ms */
    uint64_t past_max_us;
    uint64_t after_signatures; /* that came in the seconds after the clock */
    double after_seconds;
    double seconds;
    bool exhausted; /* proofs ran out before the time */
    char last_error[CLIENT_TEXT_MAX + 64];
    struct roles before, after;
};

struct load {               /* what lives over all runs */
    struct options options; /* in_flight, seconds and rate change from run to run */
    struct population population;
    struct client *clients[CONNECTIONS_MAX]; /* owned */
    struct tickets tickets;
    struct sample sample;
    FILE *past;                  /* owned; NULL = nobody asks */
    uint64_t serial;             /* of request ids */
    struct ky_arena reply_arena; /* of the one reply that is being looked at */
};

/* False: connections lost or no memory; the tally then says what there is. */
bool run(struct load *load, struct tally *out);
uint64_t tally_errors(const struct tally *t);

#endif
