/* SPDX-License-Identifier: Apache-2.0 */
/* One table of options: name, where its value goes, what it means. */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { TEXT, NUMBER, REAL, FLAG, PID, PROOF_NAME };

static const struct entry {
    const char *name;
    enum kind kind;
    size_t at;
    const char *what;
} entries[] = {
#define AT(member) offsetof(struct options, member)
    {"endpoint", TEXT, AT(endpoint), "HOST:PORT of the relying parties' door"},
    {"cert", TEXT, AT(certificate), "client certificate, PEM"},
    {"key", TEXT, AT(key), "its key, PEM"},
    {"ca", TEXT, AT(ca), "the server's CA, PEM"},
    {"relying-party", TEXT, AT(relying_party), "[portal]"},
    {"population", TEXT, AT(population), "JSON lines of kyso-seed"},
    {"steps", TEXT, AT(steps), "file that remembers spent codes for the next process"},
    {"status", TEXT, AT(status_endpoint), "HOST:PORT of /metrics: counts turns"},
    {"kysod", PID, AT(kysod), "pid of kysod: CPU by role"},
    {"proof", PROOF_NAME, AT(proof), "sad, totp or approval [sad]"},
    {"stream", FLAG, AT(stream), "one SignStream per connection instead of unary Sign"},
    {"interactive", FLAG, AT(interactive),
     "each line of standard input is a run: SECONDS [IN_FLIGHT [RATE [STOCK [AFTER]]]]"},
    {"quiet", FLAG, AT(quiet), "no progress line"},
    {"connections", NUMBER, AT(connections), "[2]"},
    {"in-flight", NUMBER, AT(in_flight), "requests, over all connections [64]"},
    {"hashes", NUMBER, AT(hashes), "a request [1]"},
    {"list", NUMBER, AT(list), "hashes a SAD lists [256]"},
    {"stock", NUMBER, AT(stock), "SADs or approvals made before the clock [64]"},
    {"spread", NUMBER, AT(spread), "SADs made at a time at least: people asked in turn [1]"},
    {"skip", NUMBER, AT(skip), "leave out the first N citizens [0]"},
    {"citizens", NUMBER, AT(citizens), "use N only [all]"},
    {"seconds", REAL, AT(seconds), "under the clock [5]"},
    {"warmup", REAL, AT(warmup), "seconds before it [0.5]"},
    {"rate", REAL, AT(rate), "requests per second, open loop [closed loop]"},
    {"deadline", NUMBER, AT(deadline_ms), "ms that each request gives the server [none]"},
    {"past-deadline", TEXT, AT(past),
     "file for what came after its deadline or was given up: request id, deadline (us since 1970)"},
    {"after", REAL, AT(after), "seconds of closed loop after the clock [0]"},
    {"after-in-flight", NUMBER, AT(after_in_flight), "requests of those seconds [64]"},
    {"sample", REAL, AT(sample), "share of signatures to verify [0.02]"},
#undef AT
};
#define ENTRIES (sizeof entries / sizeof entries[0])

static bool usage(void)
{
    (void)fprintf(stderr, "usage: kyso-load --endpoint HOST:PORT --cert PEM --key PEM --ca PEM "
                          "--population FILE [...]\n");
    for (size_t i = 0; i < ENTRIES; i++)
        (void)fprintf(stderr, "  --%-14s %s\n", entries[i].name, entries[i].what);
    return false;
}

static bool parse_proof(const char *value, enum proof *out)
{
    static const char *const names[] = {"sad", "totp", "approval"};

    for (size_t i = 0; i < 3; i++) {
        if (strcmp(value, names[i]) == 0) {
            *out = (enum proof)i;
            return true;
        }
    }
    return false;
}

static bool set(struct options *o, const struct entry *e, char *value)
{
    void *to = (char *)o + e->at;
    char *end = NULL;

    switch (e->kind) {
    case TEXT:
        *(const char **)to = value;
        return true;
    case FLAG:
        *(bool *)to = true;
        return true;
    case NUMBER:
        *(unsigned *)to = (unsigned)strtoul(value, &end, 10);
        break;
    case PID:
        *(long *)to = strtol(value, &end, 10);
        break;
    case REAL:
        *(double *)to = strtod(value, &end);
        break;
    case PROOF_NAME:
        return parse_proof(value, to);
    }
    return end != value && *end == '\0';
}

static bool sound(const struct options *o)
{
    return o->endpoint != NULL && o->certificate != NULL && o->key != NULL && o->ca != NULL &&
           o->population != NULL && o->connections >= 1 && o->connections <= CONNECTIONS_MAX &&
           o->in_flight >= 1 && o->in_flight <= 65536 && o->hashes >= 1 && o->hashes <= 256 &&
           o->list >= o->hashes && o->list <= 256 && o->seconds > 0 && o->warmup >= 0 &&
           o->rate >= 0 && o->after >= 0 && o->after_in_flight <= 65536 &&
           !(o->stream && o->deadline_ms > 0) && o->sample >= 0 && o->sample <= 1;
}

bool options_parse(int argc, char **argv, struct options *out)
{
    struct option names[ENTRIES + 1] = {{NULL, 0, NULL, 0}};
    struct options o = {.relying_party = "portal",
                        .connections = 2,
                        .in_flight = 64,
                        .hashes = 1,
                        .list = 256,
                        .stock = 64,
                        .seconds = 5,
                        .warmup = 0.5,
                        .after_in_flight = 64,
                        .sample = 0.02};
    int at = 0;
    int c;

    for (size_t i = 0; i < ENTRIES; i++)
        names[i] = (struct option){
            entries[i].name, entries[i].kind == FLAG ? no_argument : required_argument, NULL, 1};
    while ((c = getopt_long(argc, argv, "", names, &at)) != -1)
        if (c != 1 || !set(&o, &entries[at], optarg))
            return usage();
    if (optind != argc || !sound(&o))
        return usage();
    *out = o;
    return true;
}
