/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop of a front: one round of libevent, then every touched connection is written once and
 * the authority once. Twenty times a second it looks at deadlines and the heartbeat.
 */
#include "front.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "kyso/control.h"
#include "kyso/secret.h"
#include "log.h"
#include "method.h"

#define TICK_US          25000
#define SECOND_US        1000000u
#define GOAWAY_NOTICE_US 100000u  /* between "no new connections" and "no new calls" */
#define LAST_WORDS_US    1000000u /* to get the UNAVAILABLEs out when the authority is gone */

static const struct front_patience standard_patience = {
    .handshake_us = 10u * SECOND_US,
    .frame_us = 10u * SECOND_US,
    .stall_us = 30u * SECOND_US,
    .call_us = 30u * SECOND_US,
    .drain_us = 25u * SECOND_US, /* the supervisor's patience is 30 s */
};

void front_clock(struct front *f)
{
    f->now_us = ky_now_us();
}

void front_count(struct front *f, enum door_event_kind kind, const char *peer, const uint8_t *spki)
{
    struct front_event_count *e = &f->events[kind];
    e->count++;
    (void)ky_span_to_cstr(ky_span_text(peer), e->peer, sizeof(e->peer));
    memset(e->spki, 0, sizeof(e->spki));
    if (spki)
        memcpy(e->spki, spki, sizeof(e->spki));
}

static void tell_events(struct front *f)
{
    for (uint16_t kind = 1; kind <= DOOR_EVENT_FLOOD; kind++) {
        struct front_event_count *e = &f->events[kind];
        struct door_event event = {.kind = kind, .count = e->count, .peer = ky_span_text(e->peer)};
        if (e->count == 0)
            continue;
        memcpy(event.spki, e->spki, sizeof(event.spki));
        link_tell(f, &door_event_schema, &event);
        e->count = 0;
    }
}

void front_stop(struct front *f, int exit_code)
{
    f->stop = true;
    f->exit_code = exit_code;
}

void front_drain(struct front *f)
{
    struct conn *c;
    if (f->draining)
        return;
    f->draining = true;
    front_clock(f);
    f->drain_since_us = f->now_us;
    listener_close(f);
    log_event(LOG_INFO, "draining", LOG_U64("connections", f->conn_count),
              LOG_U64("calls", f->call_count));
    TAILQ_FOREACH(c, &f->conns, all)
    conn_goaway(c, false);
}

static void drain_finally(struct front *f)
{
    struct conn *c;
    struct call *call;

    f->goaway_final = true;
    TAILQ_FOREACH(c, &f->conns, all)
    conn_goaway(c, true);
    TAILQ_FOREACH(call, &f->calls, all)
    {
        stream_advance(call);
        /* Idle streams, watchers, and long polls: those wait for a citizen, who may take a minute. */
        if (call->method && (call->in_flight == 0 || call->method->record == &door_tx_wait_schema))
            call_finish(call, KY_UNAVAILABLE, FRONT_RETRY_AFTER_MS, NULL);
    }
}

static void tick_drain(struct front *f, uint64_t now_us)
{
    if (!f->draining || f->link.lost) /* then it ends as tick_lost says */
        return;
    if (!f->goaway_final && front_older(now_us, f->drain_since_us, GOAWAY_NOTICE_US))
        drain_finally(f);
    if ((f->goaway_final && f->conn_count == 0) ||
        front_older(now_us, f->drain_since_us, f->patience.drain_us))
        front_stop(f, 0);
}

static void tick_lost(struct front *f, uint64_t now_us)
{
    if (!f->link.lost)
        return;
    if (!f->draining) {
        front_drain(f);
        drain_finally(f);
    }
    /* link_tick has answered everybody; the supervisor starts a new front with the new authority. */
    if (f->conn_count == 0 || front_older(now_us, f->drain_since_us, LAST_WORDS_US))
        front_stop(f, 1);
}

static void tick_second(struct front *f, uint64_t now_us)
{
    struct conn *c;
    int64_t wall_s = (int64_t)(ky_wall_us() / SECOND_US);

    if (!front_older(now_us, f->second_us, SECOND_US - TICK_US / 2))
        return;
    f->second_us = now_us;
    f->reflections = 0;
    TAILQ_FOREACH(c, &f->conns, all)
    conn_tick(c, now_us, wall_s);
    tell_events(f);
}

/* What a call learns only by being looked at is due: most ticks find nothing so. */
static void tick_calls(struct front *f, uint64_t now_us)
{
    struct call *call;

    if (!health_changed(f) && now_us < f->calls_due_us)
        return;
    f->calls_due_us = UINT64_MAX;
    TAILQ_FOREACH(call, &f->calls, all)
    call_tick(call, now_us);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct front *f = arg;
    uint64_t now_us;

    (void)fd;
    (void)what;
    front_clock(f);
    now_us = f->now_us;
    link_tick(f, now_us);
    tick_calls(f, now_us);
    tick_second(f, now_us);
    tick_lost(f, now_us);
    tick_drain(f, now_us);
    listener_resume(f);
}

static void on_control(evutil_socket_t fd, short what, void *arg)
{
    struct front *f = arg;
    struct control_msg m;
    int passed = -1;
    struct ky_status st = control_recv((int)fd, &m, &passed);

    (void)what;
    if (passed >= 0)
        evutil_closesocket(passed); /* nothing that a front is told carries one */
    if (ky_ok(st) && m.type == CONTROL_DRAIN) {
        front_drain(f);
    } else if (!ky_ok(st) && st.code != KY_BUSY) {
        log_event(LOG_WARN, "control-lost", LOG_CODE(st));
        front_stop(f, 1);
    }
}

static void on_term(evutil_socket_t sig, short what, void *arg)
{
    (void)sig;
    (void)what;
    front_drain(arg);
}

static struct ky_status open_events(struct front *f)
{
    struct timeval tick = {.tv_usec = TICK_US};

    if (evutil_make_socket_nonblocking(KY_CONTROL_FD) != 0)
        return KY_STATUS(KY_IO);
    event_assign(&f->control_event, f->base, KY_CONTROL_FD, EV_READ | EV_PERSIST, on_control, f);
    event_assign(&f->term_event, f->base, SIGTERM, EV_SIGNAL | EV_PERSIST, on_term, f);
    event_assign(&f->tick_event, f->base, -1, EV_PERSIST, on_tick, f);
    if (event_add(&f->control_event, NULL) != 0 || event_add(&f->term_event, NULL) != 0 ||
        event_add(&f->tick_event, &tick) != 0)
        return KY_STATUS(KY_NOMEM);
    return KY_STATUS(KY_OK);
}

static struct ky_status open_memory(struct front *f)
{
    struct ky_status st;
    f->base = event_base_new();
    f->read_chunk = malloc(FRONT_READ_CHUNK);
    f->request_scratch = KY_BUF_INIT(KY_RECORD_MAX);
    f->reply_scratch = KY_BUF_INIT(KY_RECORD_MAX);
    if (!f->base || !f->read_chunk)
        return KY_STATUS(KY_NOMEM);
    if (!ky_ok(st = ky_arena_init(&f->request_arena, KY_ARENA_MAX)))
        return st;
    return ky_arena_init(&f->reply_arena, KY_ARENA_MAX);
}

struct ky_status front_open(struct front *f, struct config *config, enum ky_door door,
                            uint32_t index)
{
    struct ky_status st;

    *f = (struct front){
        .config = config, .door = door, .index = index, .patience = standard_patience};
    TAILQ_INIT(&f->conns);
    TAILQ_INIT(&f->dirty);
    TAILQ_INIT(&f->again);
    TAILQ_INIT(&f->calls);
    TAILQ_INIT(&f->spare_calls);
    front_clock(f);
    f->message_max = door == KY_DOOR_OPERATOR ? FRONT_OPERATOR_MESSAGE_MAX : FRONT_MESSAGE_MAX;
    f->call_max = config->limits.queue + FRONT_CALLS_BEYOND_QUEUE;
    if (!ky_ok(st = open_memory(f)) || !ky_ok(st = h2_open(f)) || !ky_ok(st = reflection_open(f)) ||
        (door != KY_DOOR_OPERATOR && !ky_ok(st = tls_open(f))) || !ky_ok(st = open_events(f)) ||
        !ky_ok(st = link_open(f, KY_CHANNEL_FD, config->limits.queue)))
        return st;
    return listener_open(f);
}

static void free_spare_calls(struct front *f)
{
    struct call *call;
    while ((call = TAILQ_FIRST(&f->spare_calls))) {
        TAILQ_REMOVE(&f->spare_calls, call, all);
        ky_buf_free(&call->in);
        ky_buf_free(&call->out);
        free(call);
    }
}

void front_close(struct front *f)
{
    struct conn *c;

    f->stop = true;
    while ((c = TAILQ_FIRST(&f->conns)))
        conn_free(c);
    free_spare_calls(f);
    link_close(f);
    reflection_close(f);
    h2_close(f);
    SSL_CTX_free(f->tls);
    ky_arena_wipe(&f->request_arena);
    ky_arena_wipe(&f->reply_arena);
    ky_buf_free(&f->large);
    ky_buf_free(&f->request_scratch);
    ky_buf_free(&f->reply_scratch);
    if (f->read_chunk)
        ky_wipe(f->read_chunk, FRONT_READ_CHUNK);
    free(f->read_chunk);
    if (f->base) {
        if (f->accepting)
            event_del(&f->accept_event);
        if (event_initialized(&f->tick_event)) {
            event_del(&f->control_event);
            event_del(&f->term_event);
            event_del(&f->tick_event);
        }
        event_base_free(f->base);
    }
    config_free(&f->config);
}

static void flush_all(struct front *f)
{
    struct conn *c;
    front_clock(f);
    while ((c = TAILQ_FIRST(&f->dirty))) {
        TAILQ_REMOVE(&f->dirty, c, dirty_link);
        c->dirty = false;
        conn_flush(c);
    }
    link_flush(f);
}

/* Those that were cut short last time: each once, after everybody else had a turn. */
static void read_again(struct front *f)
{
    struct conn *last = TAILQ_LAST(&f->again, conn_list);
    struct conn *c;
    while (last && (c = TAILQ_FIRST(&f->again))) {
        TAILQ_REMOVE(&f->again, c, again_link);
        c->again = false;
        conn_read(c);
        if (c == last)
            return;
    }
}

int front_run(struct front *f)
{
    while (!f->stop) {
        int flags = TAILQ_EMPTY(&f->again) ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK;
        if (event_base_loop(f->base, flags) < 0)
            return 1;
        read_again(f);
        flush_all(f);
    }
    tell_events(f);
    link_flush(f);
    return f->exit_code;
}
