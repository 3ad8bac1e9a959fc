/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Warm-up, clock, drain. Closed loop: a reply starts the next request. Open loop: requests fall due
 * at fixed times whatever the server does, and their latency counts from when they were due
 * (coordinated omission is thereby in the figures).
 */
#include "run.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kyso/record.h"
#include "slot.h"

#define DRAIN_US    25000000u
#define PROGRESS_US 1000000u
#define WAIT_US     50000u
#define GATHER_US   2000u

uint64_t tally_errors(const struct tally *t)
{
    uint64_t n = t->bad_replies + t->lost;

    for (unsigned i = 0; i < GRPC_STATUSES; i++)
        n += t->errors[i];
    return n;
}

/*
 * Waits at most us for any connection, then drives those that are ready or expire. False: one has
 * gone.
 */
static bool drive(struct running *r, uint64_t us)
{
    struct pollfd fds[CONNECTIONS_MAX];
    unsigned n = r->load->options.connections;
    struct timespec wait = {.tv_sec = (time_t)(us / 1000000u),
                            .tv_nsec = (long)(us % 1000000u) * 1000};

    for (unsigned i = 0; i < n; i++)
        fds[i] = (struct pollfd){.fd = client_fd(r->load->clients[i]),
                                 .events = client_events(r->load->clients[i])};
    if (ppoll(fds, n, &wait, NULL) < 0 && errno != EINTR)
        return false;
    for (unsigned i = 0; i < n; i++)
        if (!ky_ok(client_drive(r->load->clients[i])))
            return false;
    return true;
}

static void progress(const struct running *r, uint64_t now)
{
    const struct tally *t = r->tally;
    double clock = now > r->clock_from_us ? (double)(now - r->clock_from_us) / 1e6 : 0;

    if (!r->load->options.quiet)
        (void)fprintf(
            stderr,
            "\r%6.1f s  %8.0f sign/s  p50 %.2f ms  p99 %.2f ms  in flight %zu  errors %llu   ",
            clock, clock > 0 ? (double)t->signatures / clock : 0,
            (double)histogram_at(&t->latency, 0.5) / 1e3,
            (double)histogram_at(&t->latency, 0.99) / 1e3, r->slot_count - r->free_count,
            (unsigned long long)tally_errors(t));
}

struct pace { /* open loop */
    double per_us;
    uint64_t origin_us;
    uint64_t sent; /* or given up */
};

static uint64_t due_at(const struct pace *p, uint64_t i)
{
    return p->origin_us + (uint64_t)((double)i / p->per_us);
}

static bool may_send(const struct running *r)
{
    return !r->stopped && r->slot_count - r->free_count < r->load->options.in_flight;
}

/*
 * Sends what is due; returns when the next falls due. With deadlines, what finds no place among the
 * requests in flight is given up and counted; without, it is sent late.
 */
static uint64_t send_due(struct running *r, struct pace *p)
{
    uint64_t now = ky_now_us();
    uint64_t due = (uint64_t)((double)(now - p->origin_us) * p->per_us) + 1;

    while (p->sent < due && may_send(r) && slot_send(r, due_at(p, p->sent)))
        p->sent++;
    if (due > p->sent && due - p->sent > r->tally->backlog_max)
        r->tally->backlog_max = due - p->sent;
    if (r->load->options.deadline_ms > 0 && p->sent < due) {
        r->tally->unsent += now >= r->clock_from_us ? due - p->sent : 0;
        p->sent = due;
    }
    return may_send(r) ? due_at(p, p->sent) : now + WAIT_US;
}

static void fill_closed(struct running *r)
{
    while (r->free_count > 0 && slot_wanted(r) && slot_send(r, ky_now_us()))
        continue;
}

/*
 * An overload is sent and read in turns of 2 ms: a wake-up for each of so many requests would take
 * the CPU that they are to compete for. Times are up to 2 ms too long by it.
 */
static void gather(uint64_t began_us)
{
    uint64_t took_us = ky_now_us() - began_us;
    struct timespec rest = {.tv_nsec =
                                took_us < GATHER_US ? (long)(GATHER_US - took_us) * 1000 : 0};

    (void)nanosleep(&rest, NULL);
}

/* Until the clock ends, proofs run out or a connection goes. */
static bool offer(struct running *r)
{
    const struct options *o = &r->load->options;
    struct pace pace = {.per_us = o->rate / 1e6, .origin_us = ky_now_us()};
    uint64_t shown = 0;
    bool ok = true;
    bool counting = false;

    for (uint64_t now = ky_now_us(); ok && !r->stopped && now < r->clock_to_us; now = ky_now_us()) {
        uint64_t wake = now + WAIT_US;

        if (!counting && now >= r->clock_from_us) {
            roles_read(o->kysod, o->status_endpoint, &r->tally->before);
            counting = true;
        }
        if (o->rate > 0)
            wake = send_due(r, &pace);
        else
            fill_closed(r);
        if (o->rate > 0 && o->deadline_ms > 0)
            gather(now);
        if (now - shown >= PROGRESS_US) {
            progress(r, now);
            shown = now;
        }
        now = ky_now_us();
        if (wake > r->clock_to_us)
            wake = r->clock_to_us;
        ok = drive(r, wake > now ? wake - now : 0);
    }
    if (o->rate > 0 && o->deadline_ms == 0 && ky_now_us() >= pace.origin_us) {
        uint64_t due = (uint64_t)((double)(ky_now_us() - pace.origin_us) * pace.per_us);

        r->tally->unsent = due > pace.sent ? due - pace.sent : 0;
    }
    return ok && !r->broken;
}

/* The load has gone back to what the server can do: how soon does it do it? */
static bool offer_after(struct running *r, uint64_t from_us)
{
    bool ok = !r->stopped;

    r->after_to_us = from_us + (uint64_t)(r->load->options.after * 1e6);
    for (uint64_t now = ky_now_us(); ok && !r->stopped && now < r->after_to_us; now = ky_now_us()) {
        fill_closed(r);
        ok = drive(r, now + WAIT_US < r->after_to_us ? WAIT_US : r->after_to_us - now);
    }
    r->tally->after_seconds = (double)(ky_now_us() - from_us) / 1e6;
    return ok;
}

static bool drain(struct running *r)
{
    uint64_t give_up = ky_now_us() + DRAIN_US;

    r->stopped = true;
    while (r->free_count < r->slot_count && ky_now_us() < give_up)
        if (!drive(r, WAIT_US))
            break;
    for (unsigned i = 0; i < r->load->options.connections; i++)
        if (r->streams[i] != NULL)
            client_finish(r->streams[i]);
    for (bool open = true; open && ky_now_us() < give_up;) {
        open = false;
        for (unsigned i = 0; i < r->load->options.connections; i++)
            open = open || r->streams[i] != NULL;
        if (open && !drive(r, WAIT_US))
            break;
    }
    r->tally->lost = r->slot_count - r->free_count;
    return r->tally->lost == 0;
}

static bool prepare(struct running *r)
{
    const struct options *o = &r->load->options;
    size_t n = o->in_flight + (o->after > 0 ? o->after_in_flight : 0);

    r->slot_count = n;
    r->slots = calloc(n, sizeof *r->slots);
    r->free_list = calloc(n, sizeof(struct slot *));
    if (r->slots == NULL || r->free_list == NULL)
        return false;
    for (size_t i = n; i-- > 0;) {
        r->slots[i].running = r;
        r->slots[i].index = (uint32_t)i;
        r->free_list[r->free_count++] = &r->slots[i];
    }
    return true;
}

bool run(struct load *load, struct tally *out)
{
    struct running r = {.load = load, .tally = out};
    uint64_t ended = 0;
    bool ok = prepare(&r);

    if (!ok)
        goto done;
    r.clock_from_us = ky_now_us() + (uint64_t)(load->options.warmup * 1e6);
    r.clock_to_us = r.clock_from_us + (uint64_t)(load->options.seconds * 1e6);
    ok = (!load->options.stream || slot_open_streams(&r)) && offer(&r);
    roles_read(load->options.kysod, load->options.status_endpoint, &out->after);
    ended = ky_now_us() < r.clock_to_us ? ky_now_us() : r.clock_to_us;
    r.clock_to_us = ended; /* what comes now is late */
    out->seconds = ended > r.clock_from_us ? (double)(ended - r.clock_from_us) / 1e6 : 0;
    if (load->options.after > 0)
        ok = ok && offer_after(&r, ended);
    ok = drain(&r) && ok;
    progress(&r, ended);
    if (!load->options.quiet)
        (void)fprintf(stderr, "\n");
done:
    /* Calls that were given up point here: they end with their connection. */
    r.given_up = out->lost > 0;
    for (unsigned i = 0; out->lost > 0 && i < load->options.connections; i++)
        client_close(&load->clients[i]);
    free(r.slots);
    free(r.free_list);
    return ok;
}
