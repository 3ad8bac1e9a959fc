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
            (double)histogram_at(&t->latency, 0.99) / 1e3,
            r->load->options.in_flight - r->free_count, (unsigned long long)tally_errors(t));
}

struct pace { /* open loop */
    double per_us;
    uint64_t origin_us;
    uint64_t sent;
};

static uint64_t due_at(const struct pace *p, uint64_t i)
{
    return p->origin_us + (uint64_t)((double)i / p->per_us);
}

/* Sends what is due; returns when the next falls due. */
static uint64_t send_due(struct running *r, struct pace *p)
{
    uint64_t now = ky_now_us();
    uint64_t due = (uint64_t)((double)(now - p->origin_us) * p->per_us) + 1;

    while (p->sent < due && r->free_count > 0 && !r->stopped && slot_send(r, due_at(p, p->sent)))
        p->sent++;
    if (due > p->sent && due - p->sent > r->tally->backlog_max)
        r->tally->backlog_max = due - p->sent;
    return r->free_count > 0 ? due_at(p, p->sent) : now + WAIT_US;
}

static void fill_closed(struct running *r)
{
    while (r->free_count > 0 && !r->stopped && slot_send(r, ky_now_us()))
        continue;
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
        if (now - shown >= PROGRESS_US) {
            progress(r, now);
            shown = now;
        }
        now = ky_now_us();
        if (wake > r->clock_to_us)
            wake = r->clock_to_us;
        ok = drive(r, wake > now ? wake - now : 0);
    }
    if (o->rate > 0 && ky_now_us() >= pace.origin_us) {
        uint64_t due = (uint64_t)((double)(ky_now_us() - pace.origin_us) * pace.per_us);

        r->tally->unsent = due > pace.sent ? due - pace.sent : 0;
    }
    return ok && !r->broken;
}

static bool drain(struct running *r)
{
    uint64_t give_up = ky_now_us() + DRAIN_US;

    r->stopped = true;
    while (r->free_count < r->load->options.in_flight && ky_now_us() < give_up)
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
    r->tally->lost = r->load->options.in_flight - r->free_count;
    return r->tally->lost == 0;
}

static bool prepare(struct running *r)
{
    size_t n = r->load->options.in_flight;

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
    ok = drain(&r) && ok;
    progress(&r, ended);
    if (!load->options.quiet)
        (void)fprintf(stderr, "\n");
done:
    if (r.free_count == load->options.in_flight || out->lost == 0)
        free(r.slots); /* a slot that waits for ever is still pointed at by its call */
    free(r.free_list);
    return ok;
}
