/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso-approve: the citizens' page, on which they see what would be signed, and approve or reject it with their passkey. A process
 * of its own, on any machine, with a client certificate whose client may approve and nothing else: what begins a transaction never
 * approves it, and the page can be reached when the gateway cannot.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "approve.h"
#include "confine.h"
#include "kyso/secret.h"
#include "log.h"

#define BODY_MAX (16u * 1024u)

static const struct http_route routes[] = {
    {"GET", "/", page_serve},
    {"GET", "/page.css", page_serve},
    {"GET", "/page.js", page_serve},
    {"POST", "/api/login/begin", api_login_begin},
    {"POST", "/api/login", api_login},
    {"POST", "/api/logout", api_logout},
    {"POST", "/api/enrol", api_enroll},
    {"GET", "/api/pending", api_pending},
    {"GET", "/api/transaction/*", api_transaction},
    {"POST", "/api/decide", api_decide},
};

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    struct approve *a = arg;

    (void)number;
    (void)what;
    log_event(LOG_INFO, "draining", LOG_STR("listen", a->config->listen));
    http_server_stop(a->http);
}

static void on_stopped(void *arg)
{
    struct approve *a = arg;

    (void)event_base_loopexit(a->base, NULL);
}

/* Everything that is opened for the program's life. why: CLIENT_TEXT_MAX bytes. */
static bool set_up(struct approve *a, char *why)
{
    const struct approve_config *c = a->config;
    const struct client_target door = {.endpoint = c->approver.endpoint,
                                       .certificate = c->approver.certificate,
                                       .key = c->approver.key,
                                       .ca = c->approver.ca,
                                       .server_name = c->approver.server_name};
    const struct http_settings http = {
        .listen = c->listen,
        .certificate = c->tls.certificate,
        .key = c->tls.key,
        .routes = routes,
        .route_count = sizeof(routes) / sizeof(routes[0]),
        .on_stopped = on_stopped,
        .arg = a,
        .content_policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
                          "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        .body_max = BODY_MAX,
        .connections = c->connections,
    };

    (void)snprintf(why, CLIENT_TEXT_MAX, "no memory");
    a->base = event_base_new();
    return a->base != NULL && ky_ok(session_init(&a->session)) && ky_ok(page_load(a, why)) &&
           ky_ok(link_new(a->base, &door, "kyso.v1.Approver", &a->link, why)) &&
           ky_ok(http_server_open(a->base, &http, &a->http, why));
}

static void tear_down(struct approve *a)
{
    link_free(&a->link); /* ends every call, and so answers every request */
    http_server_close(&a->http);
    page_free(a);
    if (a->base != NULL)
        event_base_free(a->base);
    approve_config_free(&a->config);
    ky_wipe(&a->session, sizeof(a->session));
    free(a);
}

static bool dispatch(struct approve *a)
{
    const struct confine rights = {.role = CONFINE_DOOR, .sockets = true}; /* the approvers' door is opened again */
    struct event *term = evsignal_new(a->base, SIGTERM, on_signal, a);
    struct event *interrupt = evsignal_new(a->base, SIGINT, on_signal, a);
    bool ok = term != NULL && interrupt != NULL && event_add(term, NULL) == 0 &&
              event_add(interrupt, NULL) == 0 && ky_ok(confine_process(&rights)) &&
              event_base_dispatch(a->base) >= 0;

    if (term != NULL)
        event_free(term);
    if (interrupt != NULL)
        event_free(interrupt);
    return ok;
}

static int serve(const char *path, bool only_check)
{
    struct approve *a = calloc(1, sizeof(*a));
    char why[CLIENT_TEXT_MAX];
    char *error = NULL;
    int code = 1;

    if (a == NULL || !ky_ok(ky_harden_process()) || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return 1;
    if (!ky_ok(approve_config_load(path, &a->config, &error))) {
        log_event(LOG_ERROR, "config-refused", LOG_STR("why", error != NULL ? error : "no memory"));
        goto done;
    }
    code = 0;
    if (only_check)
        goto done;
    log_setup("approve", a->config->log_format, a->config->log_level);
    if (!set_up(a, why)) {
        log_event(LOG_ERROR, "config-refused", LOG_STR("why", why));
        code = 1;
        goto done;
    }
    log_event(LOG_INFO, "listening", LOG_U64("port", http_server_port(a->http)));
    code = dispatch(a) ? 0 : 1;
    log_event(LOG_INFO, "stopped", LOG_STR("listen", a->config->listen));
done:
    free(error);
    tear_down(a);
    return code;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"check-config", required_argument, NULL, 'k'},
                                            {"version", no_argument, NULL, 'v'},
                                            {NULL, 0, NULL, 0}};
    const int option = getopt_long(argc, argv, "", options, NULL);

    log_setup("approve", NULL, NULL);
    if ((option == 'c' || option == 'k') && optind == argc)
        return serve(optarg, option == 'k');
    if (option == 'v') {
        printf("kyso-approve %s\n", KYSO_VERSION);
        return 0;
    }
    (void)fprintf(stderr, "usage: kyso-approve --config FILE | --check-config FILE | --version\n");
    return 2;
}
