/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connections on the event base: one, and beside it those that the server has sent away (GOAWAY) and that still
 * end their calls. A lost one is opened again by the next call, at most twice a second.
 */
#include "link.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ssl.h>

#include "kyso/record.h"
#include "log.h"

#define AGAIN_US 500000u

struct link_end { /* one connection */
    struct link *link;
    struct client *client; /* owned */
    struct event *event;   /* owned; its descriptor, and the first deadline */
    struct link_end *next;
};

struct link {
    struct event_base *base;
    struct client_target target;
    const char *service;
    struct link_end *ends; /* owned */
    struct link_end *now;  /* takes new calls; the others end theirs */
    uint64_t tried_us;
};

struct link_wait {
    const ProtobufCMessageDescriptor *type;
    ProtobufCMessage *reply; /* owned */
    link_done done;
    void *arg;
};

static void end_close(struct link_end *e)
{
    struct link_end **at = &e->link->ends;

    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    if (e->link->now == e)
        e->link->now = NULL;
    client_close(&e->client);
    event_free(e->event);
    free(e);
}

static void on_event(evutil_socket_t fd, short what, void *arg);

/* Waits for what the connection wants next. */
static void end_arm(struct link_end *e)
{
    const short wants = client_events(e->client);
    const uint64_t due_us = client_deadline_us(e->client), now_us = ky_now_us();
    const uint64_t wait_us = due_us > now_us ? due_us - now_us : 0;
    const struct timeval wait = {.tv_sec = (time_t)(wait_us / 1000000u),
                                 .tv_usec = (suseconds_t)(wait_us % 1000000u)};
    const short events = (short)(((wants & POLLIN) != 0 ? EV_READ : 0) | ((wants & POLLOUT) != 0 ? EV_WRITE : 0));

    if (event_del(e->event) != 0 ||
        event_assign(e->event, e->link->base, client_fd(e->client), events, on_event, e) != 0 ||
        event_add(e->event, due_us != 0 ? &wait : NULL) != 0)
        log_event(LOG_ERROR, "link-lost", LOG_STR("why", "the event base"));
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    struct link_end *e = arg;
    const bool lost = !ky_ok(client_drive(e->client));

    (void)fd;
    (void)what;
    if (lost && e == e->link->now)
        log_event(LOG_WARN, "link-lost", LOG_STR("server", e->link->target.endpoint));
    if (lost || (e != e->link->now && client_in_flight(e->client) == 0))
        end_close(e);
    else
        end_arm(e);
}

static struct link_end *end_open(struct link *l)
{
    char why[CLIENT_TEXT_MAX] = "no memory";
    const uint64_t now_us = ky_now_us();
    struct link_end *e;

    if (l->tried_us != 0 && now_us - l->tried_us < AGAIN_US)
        return NULL;
    l->tried_us = now_us;
    e = calloc(1, sizeof(*e));
    if (e == NULL || !ky_ok(client_open(&l->target, 0, &e->client, why)))
        goto failed;
    e->event = event_new(l->base, client_fd(e->client), EV_READ, on_event, e);
    if (e->event == NULL)
        goto failed;
    e->link = l;
    e->next = l->ends;
    l->ends = e;
    return e;
failed:
    log_event(LOG_WARN, "link-lost", LOG_STR("server", l->target.endpoint), LOG_STR("why", why));
    if (e != NULL)
        client_close(&e->client);
    free(e);
    return NULL;
}

static void on_message(void *arg, struct client_call *call, struct ky_span message)
{
    struct link_wait *w = arg;

    (void)call;
    if (w->reply == NULL)
        w->reply = protobuf_c_message_unpack(w->type, NULL, message.len, message.data);
}

static void on_end(void *arg, struct client_call *call, const struct client_outcome *outcome)
{
    struct link_wait *w = arg;
    struct client_outcome o = *outcome;

    (void)call;
    if (o.code == KY_OK && w->reply == NULL)
        o.code = KY_INTERNAL;
    w->done(w->arg, &o, o.code == KY_OK ? w->reply : NULL);
    if (w->reply != NULL)
        protobuf_c_message_free_unpacked(w->reply, NULL);
    free(w);
}

struct ky_status link_call(struct link *l, const char *method, const ProtobufCMessage *request, uint64_t timeout_us,
                           const ProtobufCMessageDescriptor *reply_type, link_done done, void *arg)
{
    if (l->now == NULL || !client_is_open(l->now->client))
        l->now = end_open(l);
    struct link_wait *w = l->now != NULL ? calloc(1, sizeof(*w)) : NULL;
    const struct client_handler handler = {.on_message = on_message, .on_end = on_end, .arg = w};
    char path[64];
    struct ky_status st;

    if (w == NULL)
        return KY_STATUS(l->now != NULL ? KY_NOMEM : KY_UNAVAILABLE);
    *w = (struct link_wait){.type = reply_type, .done = done, .arg = arg};
    (void)snprintf(path, sizeof(path), "/%s/%s", l->service, method);
    st = client_unary_start(l->now->client, path, request, timeout_us, &handler);
    if (!ky_ok(st))
        free(w);
    else
        end_arm(l->now); /* written when the loop has read everything else that is ready */
    return st;
}

struct ky_status link_new(struct event_base *base, const struct client_target *target, const char *service,
                          struct link **out_link, char *out_why)
{
    struct link *l = calloc(1, sizeof(*l));
    struct ky_status st = KY_STATUS(KY_NOMEM);

    out_why[0] = '\0';
    if (l == NULL)
        return st;
    l->base = base;
    l->target = *target;
    l->service = service;
    st = client_tls_load(&l->target, &l->target.tls, out_why);
    if (!ky_ok(st)) {
        free(l);
        return st;
    }
    *out_link = l;
    return st;
}

void link_free(struct link **link)
{
    struct link *l = *link;

    if (l == NULL)
        return;
    while (l->ends != NULL)
        end_close(l->ends);
    SSL_CTX_free(l->target.tls);
    free(l);
    *link = NULL;
}
