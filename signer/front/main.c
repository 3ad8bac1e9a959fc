/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso-front --door signer|approver|operator --index N, started by the supervisor with control,
 * configuration, channel and listening socket at their descriptors.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "confine.h"
#include "front.h"
#include "kyso/control.h"
#include "kyso/secret.h"
#include "log.h"

struct arguments {
    enum ky_door door;
    uint32_t index;
    uint64_t patience_us; /* replaces every patience of a slow peer; 0 = the standard ones */
};

static const struct {
    const char *name;
    enum ky_door door;
} doors[] = {
    {"signer", KY_DOOR_SIGNER},
    {"approver", KY_DOOR_APPROVER},
    {"operator", KY_DOOR_OPERATOR},
};

static bool parse_number(const char *text, uint32_t *out)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || n > UINT32_MAX)
        return false;
    *out = (uint32_t)n;
    return true;
}

static bool parse_door(const char *text, enum ky_door *out)
{
    for (size_t i = 0; i < sizeof(doors) / sizeof(doors[0]); i++) {
        if (strcmp(doors[i].name, text) == 0) {
            *out = doors[i].door;
            return true;
        }
    }
    return false;
}

static bool parse(int argc, char **argv, struct arguments *out)
{
    static const struct option options[] = {
        {"door", required_argument, NULL, 'd'},
        {"index", required_argument, NULL, 'i'},
        {"patience-ms", required_argument, NULL, 'p'},
        {NULL, 0, NULL, 0},
    };
    uint32_t patience_ms = 0;
    bool ok = true;
    int opt;

    *out = (struct arguments){0};
    while (ok && (opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (opt == 'd')
            ok = parse_door(optarg, &out->door);
        else if (opt == 'i')
            ok = parse_number(optarg, &out->index);
        else
            ok = opt == 'p' && parse_number(optarg, &patience_ms);
    }
    out->patience_us = (uint64_t)patience_ms * 1000u;
    return ok && optind == argc && out->door != 0;
}

/* Descriptors are what bounds the connections: take as many as the system lets us. */
static void raise_descriptors(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return;
    r.rlim_cur = r.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &r);
}

/*
 * The last thing before the first hostile byte. All files are read and all descriptors open: from
 * here on a front needs only its sockets, memory and clocks, so the place to give up the rest is here.
 */
static struct ky_status drop_rights(void)
{
    const struct confine door = {.role = CONFINE_DOOR};
    return confine_process(&door);
}

static int serve(const struct arguments *args, struct config *config)
{
    struct front front;
    struct control_msg ready = {.type = CONTROL_READY, .door = args->door, .index = args->index};
    struct ky_status st = front_open(&front, config, args->door, args->index);
    int code = 1;

    if (ky_ok(st))
        st = drop_rights();
    if (ky_ok(st)) {
        if (args->patience_us)
            front.patience.handshake_us = front.patience.frame_us = front.patience.stall_us =
                args->patience_us;
        ready.arg = listener_port();
        st = control_send(KY_CONTROL_FD, &ready, -1);
    }
    if (!ky_ok(st)) {
        log_event(LOG_ERROR, "front", LOG_STR("failed", "start"), LOG_CODE(st));
    } else {
        log_event(LOG_INFO, "started", LOG_U64("door", args->door), LOG_U64("index", args->index),
                  LOG_U64("port", ready.arg));
        code = front_run(&front);
        log_event(LOG_INFO, "stopped", LOG_U64("code", (uint64_t)code));
    }
    front_close(&front);
    return code;
}

int main(int argc, char **argv)
{
    struct arguments args;
    struct config *config = NULL;
    char *error = NULL;

    if (!parse(argc, argv, &args)) {
        (void)fprintf(
            stderr,
            "usage: kyso-front --door signer|approver|operator --index N (started by kysod)\n");
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    if (!ky_ok(ky_harden_process()) || !ky_ok(config_load_fd(KY_CONFIG_FD, &config, &error))) {
        log_event(LOG_ERROR, "config-refused", LOG_STR("why", error ? error : "not readable"));
        free(error);
        return 2;
    }
    log_setup("front", config->log_format, config->log_level);
    raise_descriptors();
    return serve(&args, config);
}
