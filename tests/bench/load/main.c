/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso-load: offers a load to a server and says what came back. A run prepares its proofs, warms
 * up, runs the clock, verifies a sample and prints one line of JSON. Exit code 0: every run's
 * replies were good.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "kyso/record.h"
#include "kyso/secret.h"
#include "report.h"
#include "run.h"

#define CONNECT_US 10000000u

static bool connect_all(struct load *load)
{
    const struct options *o = &load->options;
    struct client_target target = {
        .endpoint = o->endpoint, .certificate = o->certificate, .key = o->key, .ca = o->ca};
    char why[CLIENT_TEXT_MAX];

    for (unsigned i = 0; i < o->connections; i++) {
        if (load->clients[i] != NULL && client_is_open(load->clients[i]))
            continue;
        client_close(&load->clients[i]);
        if (!ky_ok(client_open(&target, CONNECT_US, &load->clients[i], why))) {
            (void)fprintf(stderr, "kyso-load: %s\n", why);
            return false;
        }
    }
    return true;
}

static bool one_run(struct load *load)
{
    struct tally *tally = calloc(1, sizeof *tally);
    size_t verified = 0, bad = 0;
    bool ok = tally != NULL && connect_all(load);

    if (ok && load->options.proof != PROOF_TOTP)
        ok = tickets_fill(&load->tickets, &load->options, &load->population, load->clients);
    if (ok) {
        ok = run(load, tally);
        ok = (load->past == NULL || fflush(load->past) == 0) && ok; /* before the report is read */
        verified = sample_verify(&load->sample, &load->population, &bad);
        ok = report(load, tally, verified, bad) && ok && tally_errors(tally) == 0 && bad == 0;
    } else if (printf("{\"failed\": true}\n") < 0 || fflush(stdout) != 0) {
        ok = false; /* whoever commanded the run waits for a line */
    }
    free(tally);
    return ok;
}

/*
 * "SECONDS [IN_FLIGHT [RATE [STOCK [AFTER]]]]" changes the options for this run and those after it.
 */
static bool commanded(struct load *load, const char *line)
{
    struct options next = load->options;

    next.after = 0;
    if (sscanf(line, "%lf %u %lf %u %lf", &next.seconds, &next.in_flight, &next.rate, &next.stock,
               &next.after) < 1 ||
        next.seconds <= 0 || next.in_flight == 0 || next.rate < 0 || next.after < 0) {
        (void)fprintf(stderr, "kyso-load: a run is SECONDS [IN_FLIGHT [RATE [STOCK [AFTER]]]]\n");
        return false;
    }
    load->options = next;
    return one_run(load);
}

int main(int argc, char **argv)
{
    struct load load = {.serial = 0};
    char line[128];
    bool ok = true;

    (void)signal(SIGPIPE, SIG_IGN);
    if (!options_parse(argc, argv, &load.options))
        return 2;
    if (load.options.past != NULL)
        load.past = fopen(load.options.past, "we");
    load.sample.share = load.options.sample;
    if ((load.options.past != NULL && load.past == NULL) ||
        !ky_ok(ky_random(&load.sample.state, sizeof load.sample.state)) ||
        !ky_ok(ky_arena_init(&load.reply_arena, KY_ARENA_MAX)) ||
        !population_load(&load.population, load.options.population, load.options.skip,
                         load.options.citizens) ||
        (load.options.steps != NULL &&
         !population_steps_load(&load.population, load.options.steps)))
        return 1;
    /* request ids differ from those of an earlier process */
    load.serial = (ky_wall_us() & 0xffffffffffffu) << 12;
    if (load.options.interactive) {
        while (fgets(line, sizeof line, stdin) != NULL)
            ok = commanded(&load, line) && ok;
    } else {
        ok = one_run(&load);
    }
    for (unsigned i = 0; i < load.options.connections; i++)
        client_close(&load.clients[i]);
    if (load.options.steps != NULL)
        ok = population_steps_save(&load.population, load.options.steps) && ok;
    if (load.past != NULL)
        ok = fclose(load.past) == 0 && ok;
    tickets_free(&load.tickets);
    sample_free(&load.sample);
    population_free(&load.population);
    ky_arena_wipe(&load.reply_arena);
    return ok ? 0 : 1;
}
