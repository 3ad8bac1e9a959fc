/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libevent tells what is ready; then one turn runs over all of it, so that whatever arrived during a commit is the next batch. A timer
 * wakes the turn for heartbeats and deadlines.
 */
#include "loop.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "metrics.h"
#include "vaults.h"

#define TURN_SLOW_US 100000u

struct loop {
    struct event_base *base;
    struct authority *authority;
    struct event *control;
    struct event *timer;
    struct metrics_page *metrics;
    int control_fd;
};
struct peer_io { /* of one peer */
    struct event *read;
    struct event *write;
    bool reading;
};

static uint64_t clock_wall(void *context)
{
    (void)context;
    return ky_wall_us();
}

static uint64_t clock_mono(void *context)
{
    (void)context;
    return ky_now_us();
}

static uint8_t clock_sync(void *context, uint32_t *out_error_us)
{
    struct timex t = {0};
    int rc = adjtimex(&t);

    (void)context;
    if (rc < 0)
        return CLOCK_UNKNOWN;
    *out_error_us = t.esterror > 0 && t.esterror < UINT32_MAX ? (uint32_t)t.esterror : 0;
    return rc == TIME_ERROR ? CLOCK_UNSYNCED : CLOCK_SYNCED;
}

static void tell_supervisor(void *context, const struct control_msg *m)
{
    const struct loop *l = context;
    struct ky_status status = control_send(l->control_fd, m, -1);

    if (!ky_ok(status))
        log_event(LOG_ERROR, "control-lost", LOG_CODE(status));
}

static void io_free(void *context, struct peer *p)
{
    struct peer_io *io = p->io;

    (void)context;
    if (io == NULL)
        return;
    if (io->read != NULL)
        event_free(io->read);
    if (io->write != NULL)
        event_free(io->write);
    free(io);
    p->io = NULL;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct peer *p = arg;

    (void)fd;
    (void)what;
    p->readable = true;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd; /* it only ends the sleep: the turn flushes */
    (void)what;
    (void)arg;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

static void on_control(evutil_socket_t fd, short what, void *arg)
{
    struct loop *l = arg;
    struct control_msg m;
    int passed = -1;

    (void)what;
    for (;;) {
        struct ky_status status = control_recv(fd, &m, &passed);
        if (status.code == KY_BUSY)
            return;
        if (!ky_ok(status)) { /* the supervisor is gone: end in order */
            m = (struct control_msg){.type = CONTROL_DRAIN};
            event_del(l->control);
            peer_control(l->authority, &m, -1);
            return;
        }
        peer_control(l->authority, &m, passed);
    }
}

/* Events of a peer that has just come, and what each waits for now. */
static void watch(struct loop *l, struct peer *p)
{
    struct peer_io *io = p->io;

    if (io == NULL) {
        io = calloc(1, sizeof(*io));
        if (io == NULL)
            return; /* the next turn tries again */
        io->read = event_new(l->base, p->fd, EV_READ | EV_PERSIST, on_readable, p);
        io->write = event_new(l->base, p->fd, EV_WRITE, on_writable, p);
        p->io = io;
    }
    bool want = !p->ended && io->read != NULL;
    if (want != io->reading && (want ? event_add(io->read, NULL) : event_del(io->read)) == 0)
        io->reading = want;
    if (!p->ended && io->write != NULL && ky_channel_has_output(&p->channel))
        (void)event_add(io->write, NULL);
}

static void publish_metrics(const struct loop *l)
{
    const struct authority *a = l->authority;
    uint64_t vaults = 0;

    if (l->metrics == NULL)
        return;
    for (const struct peer *p = a->peers; p != NULL; p = p->next)
        vaults += p->door == 0 && !p->ended;
    metrics_set(l->metrics, METRIC_HEARTBEAT_US, a->mono_us);
    metrics_set(l->metrics, METRIC_SERVING, a->phase == PHASE_SERVE);
    metrics_set(l->metrics, METRIC_SEALED, a->phase == PHASE_SEALED);
    metrics_set(l->metrics, METRIC_TURNS, a->turns);
    metrics_set(l->metrics, METRIC_REQUESTS, a->requests);
    metrics_set(l->metrics, METRIC_SIGNATURES, a->state->signatures);
    metrics_set(l->metrics, METRIC_DENIALS, a->state->denials);
    metrics_set(l->metrics, METRIC_REPLAYS, a->replays);
    metrics_set(l->metrics, METRIC_QUEUE, a->jobs.queue.count);
    metrics_set(l->metrics, METRIC_IN_FLIGHT, a->jobs.in_flight);
    metrics_set(l->metrics, METRIC_LEDGER_SIZE, a->store == NULL ? 0 : store_ledger_size(a->store));
    metrics_set(l->metrics, METRIC_CHECKPOINT_SIZE, a->side.checkpoint_size);
    metrics_set(l->metrics, METRIC_COMMIT_US, a->commit_us);
    metrics_set(l->metrics, METRIC_JOBS_FAILED, a->jobs_failed);
    metrics_set(l->metrics, METRIC_LATE_RESULTS, a->late_results);
    metrics_set(l->metrics, METRIC_VAULTS, vaults);
    metrics_set(l->metrics, METRIC_SHED, a->shed);
    metrics_set(l->metrics, METRIC_CODES_SUSPENDED, authority_codes_suspended(a));
    metrics_set(l->metrics, METRIC_POOL_KEYS, keypool_sum(a, false));
    metrics_set(l->metrics, METRIC_POOL_WANTED, keypool_sum(a, true));
    metrics_set(l->metrics, METRIC_CLOCK_SYNCED, a->clock.state == CLOCK_SYNCED);
    metrics_set(l->metrics, METRIC_CERTIFICATES_EXPIRING, a->expiry.soon);
}

static bool set_up(struct loop *l, const struct loop_options *o)
{
    const struct timeval tick = {.tv_usec = HEARTBEAT_US};
    struct authority_hooks hooks = {.context = l,
                                    .wall_us = clock_wall,
                                    .mono_us = clock_mono,
                                    .clock_sync = clock_sync,
                                    .control = tell_supervisor,
                                    .peer_gone = io_free};
    int flags = fcntl(o->control_fd, F_GETFL);

    l->control_fd = o->control_fd;
    l->metrics = metrics_map(true);
    if (flags < 0 || fcntl(o->control_fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        !ky_ok(authority_new(o->config, &hooks, &l->authority)))
        return false;
    l->authority->boot.create = o->create;
    l->authority->boot.operators = o->operators;
    l->authority->boot.ceremony = o->ceremony;
    l->base = event_base_new();
    if (l->base == NULL)
        return false;
    l->control = event_new(l->base, o->control_fd, EV_READ | EV_PERSIST, on_control, l);
    l->timer = event_new(l->base, -1, EV_PERSIST, on_timer, l);
    return l->control != NULL && l->timer != NULL && event_add(l->control, NULL) == 0 &&
           event_add(l->timer, &tick) == 0;
}

static bool goes_on(const struct authority *a)
{
    return a->phase != PHASE_DONE && !(a->phase == PHASE_SEALED && boot_provisions(a));
}

/*
 * Each turn has costs of its own (a sync, a write to each peer, the wake-ups of all of them), and they are shared by what it
 * carries. While every vault has plenty to do nobody gains by an earlier turn.
 */
static void rest(const struct authority *a)
{
    uint64_t until_us = vaults_rest_until_us(a);
    const struct timespec at = {.tv_sec = (time_t)(until_us / 1000000u),
                                .tv_nsec = (long)(until_us % 1000000u * 1000u)};

    if (until_us > 0)
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static void turn_once(struct loop *l)
{
    struct authority *a = l->authority;
    bool more = authority_turn(a);
    uint64_t took = ky_now_us() - a->mono_us;

    if (took > TURN_SLOW_US)
        log_event(LOG_WARN, "turn-slow", LOG_U64("us", took));
    publish_metrics(l);
    for (struct peer *p = a->peers; p != NULL; p = p->next)
        watch(l, p);
    if (!more)
        rest(a);
    if (goes_on(a))
        /* ONCE also when it must not sleep: NONBLOCK alone goes round for as long as a peer has bytes */
        (void)event_base_loop(l->base, EVLOOP_ONCE | (more ? EVLOOP_NONBLOCK : 0));
}

int loop_run(const struct loop_options *o)
{
    struct loop l = {.control_fd = -1};
    int code = 1;

    if (!set_up(&l, o))
        goto done;
    while (goes_on(l.authority))
        turn_once(&l);
    code = l.authority->phase == PHASE_DONE && l.authority->sealed_reason[0] == '\0' ? 0 : 1;
done:
    authority_free(&l.authority);
    if (l.control != NULL)
        event_free(l.control);
    if (l.timer != NULL)
        event_free(l.timer);
    if (l.base != NULL)
        event_base_free(l.base);
    return code;
}
