/* SPDX-License-Identifier: Apache-2.0 */
/* What is to be offered to the server, from the command line. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONNECTIONS_MAX 64u

enum proof { PROOF_SAD, PROOF_TOTP, PROOF_APPROVAL };

struct options { /* strings borrowed from argv */
    const char *endpoint, *certificate, *key, *ca;
    const char *relying_party;
    const char *population;
    const char *steps;           /* which codes are spent, from run to run; NULL = not kept */
    const char *status_endpoint; /* of /metrics; NULL = no turns counted */
    const char *past;            /* file for requests that were not answered in time; NULL = none */
    long kysod;                  /* pid; 0 = no CPU by role */
    enum proof proof;
    bool stream;      /* SignStream, one per connection */
    bool interactive; /* runs are commanded on standard input */
    bool quiet;       /* no progress line */
    unsigned connections;
    unsigned in_flight; /* over all connections */
    unsigned hashes;    /* a request */
    unsigned list;      /* hashes that a SAD lists */
    unsigned spread;    /* SADs that are made at once, at least: so many people are asked in turn */
    unsigned stock;     /* SADs or approvals made before the clock */
    unsigned skip;      /* leave out the first N of the population */
    unsigned citizens;  /* then use N; 0 = all */
    double seconds;
    double warmup;
    double rate; /* requests per second, open loop; 0 = closed loop */
    /*
     * Each request tells the server so long; 0 = far away. What is refused for load or expires is
     * then counted apart from errors.
     */
    unsigned deadline_ms;
    double after;             /* seconds of closed loop that follow the clock at once */
    unsigned after_in_flight; /* of requests that began in them */
    double sample;            /* share of the signatures that is verified afterwards */
};

bool options_parse(int argc, char **argv, struct options *out); /* false: usage was printed */

#endif
