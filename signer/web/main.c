/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso-web: HTTP for relying parties that speak the Cloud Signature Consortium's API. A process of its own, on any
 * machine, with a client certificate of its own for the signer's door and no secret of the server's: what it may do
 * there is what the operators gave its client, the right to act for the relying parties that it serves.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confine.h"
#include "csc.h"
#include "kyso/secret.h"
#include "log.h"

#define BODY_MAX (64u * 1024u)

struct program {
    struct web web;
    struct http_route *routes; /* owned */
    struct event *on_term, *on_int, *on_second;
};

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    struct program *p = arg;

    (void)number;
    (void)what;
    log_event(LOG_INFO, "draining", LOG_STR("listen", p->web.config->listen));
    http_server_stop(p->web.http);
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
    struct program *p = arg;

    (void)fd;
    (void)what;
    held_expire(p->web.held);
}

static void on_stopped(void *arg)
{
    struct web *web = arg;

    (void)event_base_loopexit(web->base, NULL);
}

static bool add_events(struct program *p)
{
    const struct timeval second = {.tv_sec = 1};
    struct event_base *base = p->web.base;

    p->on_term = evsignal_new(base, SIGTERM, on_signal, p);
    p->on_int = evsignal_new(base, SIGINT, on_signal, p);
    p->on_second = event_new(base, -1, EV_PERSIST, on_second, p);
    return p->on_term != NULL && p->on_int != NULL && p->on_second != NULL && event_add(p->on_term, NULL) == 0 &&
           event_add(p->on_int, NULL) == 0 && event_add(p->on_second, &second) == 0;
}

/* Everything that is opened for the program's life. why: CLIENT_TEXT_MAX bytes. */
static bool set_up(struct program *p, char *why)
{
    struct web *w = &p->web;
    const struct web_config *config = w->config;
    struct http_settings http = {.listen = config->listen,
                                 .certificate = config->tls.certificate,
                                 .key = config->tls.key,
                                 .refuse = csc_refuse,
                                 .on_stopped = on_stopped,
                                 .arg = w,
                                 .body_max = BODY_MAX,
                                 .connections = config->limits.connections};

    const struct client_target signer = {.endpoint = config->signer.endpoint,
                                         .certificate = config->signer.certificate,
                                         .key = config->signer.key,
                                         .ca = config->signer.ca,
                                         .server_name = config->signer.server_name};

    (void)snprintf(why, CLIENT_TEXT_MAX, "no memory");
    w->base = event_base_new();
    w->held = held_new(config->limits.held);
    http.routes = p->routes = csc_routes(&http.route_count);
    if (w->base == NULL || w->held == NULL || p->routes == NULL || !ky_ok(parties_init(&w->parties, config)) ||
        !add_events(p))
        return false;
    return ky_ok(link_new(w->base, &signer, "kyso.v1.Signer", &w->link, why)) &&
           ky_ok(http_server_open(w->base, &http, &w->http, why));
}

static void tear_down(struct program *p)
{
    struct web *w = &p->web;
    struct event *events[] = {p->on_term, p->on_int, p->on_second};

    link_free(&w->link); /* ends every call, and so answers every request */
    http_server_close(&w->http);
    held_free(&w->held);
    parties_wipe(&w->parties);
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
        if (events[i] != NULL)
            event_free(events[i]);
    if (w->base != NULL)
        event_base_free(w->base);
    free(p->routes);
    web_config_free(&w->config);
}

static int serve(const char *path)
{
    struct program p = {.on_term = NULL};
    const struct confine rights = {.role = CONFINE_DOOR, .sockets = true}; /* the signer's door is opened again */
    char why[CLIENT_TEXT_MAX];
    char *error = NULL;
    int code = 1;

    if (!ky_ok(ky_harden_process()) || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return 1;
    if (!ky_ok(web_config_load(path, &p.web.config, &error))) {
        log_event(LOG_ERROR, "config-refused", LOG_STR("why", error != NULL ? error : "no memory"));
        goto done;
    }
    log_setup("web", p.web.config->log_format, p.web.config->log_level);
    if (!set_up(&p, why)) {
        log_event(LOG_ERROR, "config-refused", LOG_STR("why", why));
        goto done;
    }
    if (!ky_ok(confine_process(&rights)))
        goto done;
    log_event(LOG_INFO, "listening", LOG_U64("port", http_server_port(p.web.http)));
    (void)event_base_dispatch(p.web.base);
    log_event(LOG_INFO, "stopped", LOG_STR("listen", p.web.config->listen));
    code = 0;
done:
    free(error);
    tear_down(&p);
    return code;
}

static int new_secret(void)
{
    char secret[64], hash[160];

    if (!ky_ok(party_secret_new(secret, sizeof(secret), hash, sizeof(hash))))
        return 1;
    printf("for the relying party: %s\nfor the configuration: %s\n", secret, hash);
    ky_wipe(secret, sizeof(secret));
    return 0;
}

static int check(const char *path)
{
    struct web_config *config = NULL;
    char *error = NULL;
    const bool good = ky_ok(web_config_load(path, &config, &error));

    if (good)
        web_config_free(&config);
    else
        (void)fprintf(stderr, "kyso-web: %s\n", error != NULL ? error : "no memory");
    free(error);
    return good ? 0 : 1;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"check-config", required_argument, NULL, 'k'},
                                            {"new-secret", no_argument, NULL, 's'},
                                            {"version", no_argument, NULL, 'v'},
                                            {NULL, 0, NULL, 0}};
    const int option = getopt_long(argc, argv, "", options, NULL);

    log_setup("web", NULL, NULL);
    if (option == 'c' && optind == argc)
        return serve(optarg);
    if (option == 'k' && optind == argc)
        return check(optarg);
    if (option == 's' && optind == argc)
        return new_secret();
    if (option == 'v') {
        printf("kyso-web %s\n", KYSO_VERSION);
        return 0;
    }
    (void)fprintf(stderr, "usage: kyso-web --config FILE | --check-config FILE | --new-secret | --version\n");
    return 2;
}
