/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso-seed: enrols a population through the operators' door, as an operator would, many citizens
 * at a time, and writes what a load generator needs of each as one JSON line. Needs a server whose
 * state is marked demo (it returns confirmation codes).
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "citizen.h"
#include "keys.h"
#include "kyso/alg.h"
#include "kyso/record.h"

static void step_done(void *arg, const Kyso__V1__OperationResult *result, const char *why);

static void fail(struct citizen *c, const char *why)
{
    if (!c->seeding->failed)
        (void)fprintf(stderr, "kyso-seed: %s, step %d: %s\n", c->subject, (int)c->step, why);
    c->seeding->failed = true;
}

static bool start_citizen(struct citizen *c)
{
    struct seeding *s = c->seeding;

    c->spki.max = KY_SPKI_MAX;
    c->device_private.max = 512;
    ky_buf_reset(&c->spki);
    ky_buf_reset(&c->device_private);
    c->totp = 0;
    c->step = STEP_SUBJECT;
    (void)snprintf(c->subject, sizeof c->subject, "%.40s%u", s->options->prefix, ++s->started);
    return citizen_send(c, step_done);
}

static void step_done(void *arg, const Kyso__V1__OperationResult *result, const char *why)
{
    struct citizen *c = arg;
    struct seeding *s = c->seeding;
    enum step next;

    if (result == NULL) {
        fail(c, why);
        return;
    }
    next = citizen_keep(c, result);
    if (next == STEP_SUBJECT) {
        fail(c, "the result lacks what it should hold (is the state marked demo?)");
        return;
    }
    c->step = next;
    if (next == STEP_DONE) {
        if (!citizen_write(c))
            fail(c, "cannot write");
        s->finished++;
        if (s->started < s->options->citizens && !s->failed && !start_citizen(c))
            fail(c, "the connection is gone");
    } else if (!s->failed && !citizen_send(c, step_done)) {
        fail(c, "the connection is gone");
    }
}

static bool seed(struct seeding *s, struct citizen *citizens)
{
    const struct options *o = s->options;
    uint64_t shown = 0;
    uint64_t began = ky_now_us();

    for (unsigned i = 0; i < o->in_flight && s->started < o->citizens && !s->failed; i++) {
        citizens[i].seeding = s;
        if (!start_citizen(&citizens[i]))
            fail(&citizens[i], "the connection is gone");
    }
    while (s->finished < o->citizens && !s->failed) {
        uint64_t now = ky_now_us();

        if (!ky_ok(client_poll(&s->operate.client, 1, 1000)) && !s->failed) {
            (void)fprintf(stderr, "kyso-seed: the connection is gone\n");
            s->failed = true;
        }
        if (now - shown >= 1000000u) {
            (void)fprintf(stderr, "\r%u of %u citizens, %.0f/s   ", s->finished, o->citizens,
                          (double)s->finished * 1e6 / (double)(now - began + 1));
            shown = now;
        }
    }
    (void)fprintf(stderr, "\r%u citizens in %.1f s          \n", s->finished,
                  (double)(ky_now_us() - began) / 1e6);
    return !s->failed;
}

static bool parse(int argc, char **argv, struct options *o)
{
    const struct {
        const char *name;
        const char **text;
        unsigned *number;
    } entries[] = {
        {"socket", &o->socket, NULL},
        {"server-id", &o->server_id, NULL},
        {"operator", &o->operator_id, NULL},
        {"operator-key", &o->operator_key, NULL},
        {"ca", &o->ca, NULL},
        {"ca-key", &o->ca_key, NULL},
        {"out", &o->out, NULL},
        {"prefix", &o->prefix, NULL},
        {"key-type", &o->key_type, NULL},
        {"storage", &o->storage, NULL},
        {"citizens", NULL, &o->citizens},
        {"totps", NULL, &o->totps},
        {"devices", NULL, &o->devices},
        {"in-flight", NULL, &o->in_flight},
    };
    enum { N = sizeof entries / sizeof entries[0] };
    struct option names[N + 1] = {{NULL, 0, NULL, 0}};
    int at = 0;
    int c;

    for (int i = 0; i < N; i++)
        names[i] = (struct option){entries[i].name, required_argument, NULL, 1};
    while ((c = getopt_long(argc, argv, "", names, &at)) == 1) {
        if (entries[at].text != NULL)
            *entries[at].text = optarg;
        else
            *entries[at].number = (unsigned)strtoul(optarg, NULL, 10);
    }
    return c == -1 && optind == argc && o->socket != NULL && o->server_id != NULL &&
           o->operator_key != NULL && o->ca != NULL && o->ca_key != NULL && o->out != NULL &&
           o->citizens >= 1 && o->totps <= TOTPS_MAX && o->devices <= 1 &&
           o->totps + o->devices >= 1 && o->in_flight >= 1 && o->in_flight <= IN_FLIGHT_MAX &&
           ky_key_type_by_name(o->key_type) != 0;
}

static bool open_all(struct seeding *s)
{
    const struct options *o = s->options;
    struct client_target target = {.unix_path = o->socket};
    char why[CLIENT_TEXT_MAX] = "";
    bool ok = ca_load(&s->ca, o->ca, o->ca_key);

    s->operate.server_id = o->server_id;
    s->operate.operator_id = o->operator_id;
    s->operate.key = keys_load_private(o->operator_key);
    s->out = fopen(o->out, "w");
    if (!ok || s->operate.key == NULL || s->out == NULL) {
        (void)fprintf(stderr, "kyso-seed: cannot read %s, %s or %s, or write %s\n", o->ca,
                      o->ca_key, o->operator_key, o->out);
        return false;
    }
    ok = ky_ok(client_open(&target, 10000000u, &s->operate.client, why));
    if (!ok)
        (void)fprintf(stderr, "kyso-seed: %s\n", why);
    return ok;
}

int main(int argc, char **argv)
{
    struct options o = {.operator_id = "demo",
                        .prefix = "citizen-",
                        .key_type = "p256",
                        .storage = "wrapped",
                        .citizens = 100,
                        .totps = 1,
                        .in_flight = 160};
    struct seeding s = {.options = &o};
    struct citizen *citizens = calloc(IN_FLIGHT_MAX, sizeof *citizens);
    bool ok = citizens != NULL;

    (void)signal(SIGPIPE, SIG_IGN);
    if (!parse(argc, argv, &o)) {
        (void)fprintf(stderr,
                      "usage: kyso-seed --socket PATH --server-id ID --operator-key PEM --ca PEM "
                      "--ca-key PEM --out FILE\n"
                      "    [--operator demo] [--citizens 100] [--totps 1 (0..15)] [--devices 0|1] "
                      "[--key-type p256]\n"
                      "    [--storage wrapped|resident] [--prefix citizen-] [--in-flight 160]\n");
        free(citizens);
        return 2;
    }
    ok = ok && open_all(&s) && seed(&s, citizens);
    s.failed = true; /* what still comes starts nothing */
    client_close(&s.operate.client);
    for (unsigned i = 0; citizens != NULL && i < IN_FLIGHT_MAX; i++) {
        ky_buf_free(&citizens[i].spki);
        ky_buf_free(&citizens[i].device_private);
    }
    free(citizens);
    EVP_PKEY_free(s.operate.key);
    ca_free(&s.ca);
    if (s.out != NULL && fclose(s.out) != 0)
        ok = false;
    return ok ? 0 : 1;
}
