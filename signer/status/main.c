/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso-status: /metrics, /healthz and /readyz on loopback, from the shared page of figures. Its own
 * process because an HTTP parser has no place beside a secret; it holds none.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>

#include "kyso/control.h"
#include "kyso/record.h"
#include "kyso/secret.h"

#include "confine.h"
#include "log.h"
#include "metrics.h"

#define HEARTBEAT_OLD_US 1000000u /* a scrape's patience; fronts refuse after a tenth of it */
#define BODY_MAX         4096
#define HEADERS_MAX      8192

struct status {
    const struct metrics_page *page; /* mapped read-only */
    struct event_base *base;
};

static void send_text(struct evhttp_request *r, int code, const char *reason, struct evbuffer *body)
{
    evhttp_add_header(evhttp_request_get_output_headers(r), "Content-Type",
                      "text/plain; version=0.0.4; charset=utf-8");
    evhttp_send_reply(r, code, reason, body);
    if (body)
        evbuffer_free(body);
}

static void on_metrics(struct evhttp_request *r, void *arg)
{
    const struct status *s = arg;
    struct evbuffer *body = evbuffer_new();

    for (int m = 0; body && m < METRIC_COUNT; m++) {
        const struct metric_info *i = metric_info((enum metric)m);
        evbuffer_add_printf(body, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", i->name, i->help,
                            i->name, i->type, i->name,
                            (unsigned long long)metrics_get(s->page, (enum metric)m));
    }
    send_text(r, 200, "OK", body);
}

static void answer(struct evhttp_request *r, bool good, const char *yes, const char *no)
{
    struct evbuffer *body = evbuffer_new();

    if (body)
        evbuffer_add_printf(body, "%s\n", good ? yes : no);
    send_text(r, good ? 200 : 503, good ? "OK" : "Service Unavailable", body);
}

static bool alive(const struct status *s)
{
    /* read before the clock: never in its future */
    uint64_t beat_us = metrics_get(s->page, METRIC_HEARTBEAT_US);

    return ky_now_us() - beat_us < HEARTBEAT_OLD_US;
}

static void on_healthz(struct evhttp_request *r, void *arg)
{
    answer(r, alive(arg), "ok", "the authority does not turn");
}

static void on_readyz(struct evhttp_request *r, void *arg)
{
    const struct status *s = arg;

    answer(r,
           alive(s) && metrics_get(s->page, METRIC_SERVING) && metrics_get(s->page, METRIC_VAULTS),
           "ready",
           metrics_get(s->page, METRIC_SEALED)           ? "sealed"
           : metrics_get(s->page, METRIC_SHARES_MISSING) ? "waiting for custodians"
                                                         : "not ready");
}

static void on_other(struct evhttp_request *r, void *arg)
{
    (void)arg;
    evhttp_send_error(r, HTTP_NOTFOUND, NULL);
}

static void on_control(evutil_socket_t fd, short what, void *arg)
{
    const struct status *s = arg;
    struct control_msg m;
    int passed = -1;
    struct ky_status st = control_recv(fd, &m, &passed);

    (void)what;
    if (passed >= 0)
        close(passed);
    if (st.code != KY_BUSY && (!ky_ok(st) || m.type == CONTROL_DRAIN))
        event_base_loopbreak(s->base);
}

int main(void)
{
    struct status s = {.page = metrics_map(false), .base = event_base_new()};
    struct evhttp *http = s.base ? evhttp_new(s.base) : NULL;
    struct event *control =
        s.base ? event_new(s.base, KY_CONTROL_FD, EV_READ | EV_PERSIST, on_control, &s) : NULL;
    const struct control_msg ready = {.type = CONTROL_READY};
    const struct confine door = {.role = CONFINE_DOOR};
    int code = 1;

    log_setup("status", NULL, NULL);
    if (!s.page || !http || !control || !ky_ok(ky_harden_process()))
        goto done;
    evhttp_set_max_headers_size(http, HEADERS_MAX);
    evhttp_set_max_body_size(http, BODY_MAX);
    evhttp_set_timeout(http, 10);
    evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_gencb(http, on_other, &s);
    evhttp_set_cb(http, "/metrics", on_metrics, &s);
    evhttp_set_cb(http, "/healthz", on_healthz, &s);
    evhttp_set_cb(http, "/readyz", on_readyz, &s);
    if (evhttp_accept_socket(http, KY_LISTEN_FD) != 0 || event_add(control, NULL) != 0 ||
        !ky_ok(confine_process(&door)) || !ky_ok(control_send(KY_CONTROL_FD, &ready, -1)))
        goto done;
    event_base_dispatch(s.base);
    code = 0;
done:
    if (http)
        evhttp_free(http);
    if (control)
        event_free(control);
    if (s.base)
        event_base_free(s.base);
    return code;
}
