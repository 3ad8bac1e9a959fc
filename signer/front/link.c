/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots, deadlines, heartbeat and the batching of records: what the loop gathers leaves in one
 * write. A record from the authority that does not decode ends the link (and so the front).
 */
#include "link.h"

#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "log.h"

#define LINK_OUT_MAX (16u * 1024u * 1024u)
#define NO_SLOT      UINT32_MAX

static uint64_t tag_of(const struct front_link *l, const struct slot *s)
{
    return (uint64_t)s->generation << 32 | (uint64_t)(s - l->slots);
}

static struct slot *slot_by_tag(const struct front_link *l, uint64_t tag)
{
    uint32_t index = (uint32_t)(tag & UINT32_MAX);
    struct slot *s = index < l->count ? &l->slots[index] : NULL;
    return s && s->call && s->generation == (uint32_t)(tag >> 32) ? s : NULL;
}

static void link_lose(struct front *f, const char *why)
{
    if (f->link.lost)
        return;
    f->link.lost = true;
    f->link.serving = false;
    event_del(&f->link.readable);
    log_event(LOG_WARN, "link-lost", LOG_STR("why", why));
}

static void on_heartbeat(struct front *f, const struct ky_record *r)
{
    struct door_heartbeat beat;
    if (!ky_ok(ky_msg_decode(&door_heartbeat_schema, r->payload, &beat))) {
        link_lose(f, "bad heartbeat");
        return;
    }
    f->link.heartbeat_us = f->now_us;
    f->link.serving = beat.serving == DOOR_SERVING;
    f->link.sealed = beat.serving == DOOR_SEALED;
}

/* The slot goes back first, so that nothing that the answer causes cancels it. */
static void settle(struct front *f, struct slot *s, const struct ky_record *r)
{
    struct slot taken = *s;
    link_release(f, s, false);
    call_on_reply(&taken, r);
    stream_advance(taken.call);
}

static void on_record(struct front *f, const struct ky_record *r)
{
    struct slot *s;
    if (r->type == DOOR_HEARTBEAT) {
        on_heartbeat(f, r);
        return;
    }
    s = slot_by_tag(&f->link, r->tag);
    if (!s)
        return; /* given up meanwhile */
    settle(f, s, r);
}

/* I6: silent for longer and the front answers by itself; what already waits a little later, within 200 ms (P3). */
static uint64_t heartbeat_max_us(const struct front *f)
{
    return (uint64_t)f->config->limits.heartbeat_ms * 1000u;
}

static uint64_t waiting_max_us(const struct front *f)
{
    return heartbeat_max_us(f) * 3 / 2;
}

/* Once per readable event: one read(2), every whole record of it. */
static void link_read(struct front *f)
{
    struct front_link *l = &f->link;
    struct ky_status st = KY_STATUS(KY_OK);
    struct ky_record r;

    if (l->lost || l->reading)
        return;
    l->reading = true;
    st = ky_channel_read(&l->channel);
    front_clock(f);
    while (ky_ok(st) && ky_channel_next(&l->channel, &r, &st))
        on_record(f, &r);
    ky_channel_drop(&l->channel);
    l->reading = false;
    if (!ky_ok(st))
        link_lose(f, ky_code_info(st.code)->name);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    link_read(arg);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    link_flush(arg);
}

struct ky_status link_open(struct front *f, int fd, uint32_t slots)
{
    struct front_link *l = &f->link;

    l->slots = calloc(slots, sizeof(*l->slots));
    if (!l->slots)
        return KY_STATUS(KY_NOMEM);
    l->count = slots;
    for (uint32_t i = 0; i < slots; i++) {
        l->slots[i].generation = 1;
        l->slots[i].next_free = i + 1 < slots ? i + 1 : NO_SLOT;
    }
    TAILQ_INIT(&l->waiting);
    if (evutil_make_socket_nonblocking(fd) != 0)
        return KY_STATUS(KY_IO);
    ky_channel_init(&l->channel, fd, LINK_OUT_MAX);
    event_assign(&l->readable, f->base, fd, EV_READ | EV_PERSIST, on_readable, f);
    event_assign(&l->writable, f->base, fd, EV_WRITE, on_writable, f);
    l->open = true;
    return KY_STATUS(event_add(&l->readable, NULL) == 0 ? KY_OK : KY_NOMEM);
}

void link_close(struct front *f)
{
    struct front_link *l = &f->link;
    if (l->open) {
        event_del(&l->readable);
        event_del(&l->writable);
        ky_channel_wipe(&l->channel);
    }
    free(l->slots);
    *l = (struct front_link){0};
}

bool link_serving(struct front *f)
{
    struct front_link *l = &f->link;
    if (!l->lost && front_older(f->now_us, l->heartbeat_us, heartbeat_max_us(f)))
        link_read(f); /* perhaps it was this process that did not run */
    return !l->lost && l->serving && !front_older(f->now_us, l->heartbeat_us, heartbeat_max_us(f));
}

struct slot *link_acquire(struct front *f, struct call *call, const struct method *method)
{
    struct front_link *l = &f->link;
    struct slot *s;

    if (l->free_head == NO_SLOT)
        return NULL;
    s = &l->slots[l->free_head];
    l->free_head = s->next_free;
    l->used++;
    s->call = call;
    s->method = method;
    s->round = l->round;
    s->hashes = 0;
    s->encoding = 0;
    s->request_id[0] = '\0';
    TAILQ_INSERT_TAIL(&l->waiting, s, waiting);
    LIST_INSERT_HEAD(&call->slots, s, of_call);
    call->in_flight++;
    return s;
}

struct ky_status link_send(struct front *f, struct slot *s, const struct ky_schema *schema,
                           const void *msg)
{
    if (s->deadline_us < f->link.due_us)
        f->link.due_us = s->deadline_us;
    return ky_channel_send(&f->link.channel, schema, msg, tag_of(&f->link, s), s->deadline_us);
}

void link_release(struct front *f, struct slot *s, bool tell)
{
    struct front_link *l = &f->link;
    struct call *call = s->call;

    if (tell && !l->lost)
        (void)!ky_ok(ky_channel_send(&l->channel, &door_cancel_schema, &(struct door_cancel){0},
                                     tag_of(l, s),
                                     0)); /* full: the authority sees the deadline anyway */
    if (l->cursor == s)
        l->cursor = TAILQ_NEXT(s, waiting);
    TAILQ_REMOVE(&l->waiting, s, waiting);
    LIST_REMOVE(s, of_call);
    call->in_flight--;
    call->hashes_in_flight -= s->hashes;
    s->call = NULL;
    s->generation = s->generation == UINT32_MAX ? 1 : s->generation + 1;
    s->next_free = l->free_head;
    l->free_head = (uint32_t)(s - l->slots);
    l->used--;
}

void link_tell(struct front *f, const struct ky_schema *schema, const void *msg)
{
    if (!f->link.lost)
        (void)!ky_ok(ky_channel_send(&f->link.channel, schema, msg, 0, 0));
}

void link_flush(struct front *f)
{
    struct front_link *l = &f->link;
    struct ky_status st;

    if (l->lost || !ky_channel_has_output(&l->channel))
        return;
    st = ky_channel_flush(&l->channel);
    if (!ky_ok(st) && st.code != KY_BUSY)
        link_lose(f, ky_code_info(st.code)->name);
    else if (ky_channel_has_output(&l->channel))
        (void)event_add(&l->writable, NULL);
}

static void fail(struct front *f, struct slot *s, enum ky_code code, uint32_t retry_after_ms)
{
    struct slot taken = *s;
    link_release(f, s, true);
    call_on_failure(&taken, code, retry_after_ms, NULL);
    stream_advance(taken.call);
}

/* A sealed authority still beats, but answers nothing that waits. */
static bool all_must_fail(struct front *f, uint64_t now_us)
{
    struct front_link *l = &f->link;
    if (!l->lost && front_older(now_us, l->heartbeat_us, waiting_max_us(f)))
        link_read(f);
    return l->lost || l->sealed || front_older(f->now_us, l->heartbeat_us, waiting_max_us(f));
}

void link_tick(struct front *f, uint64_t now_us)
{
    struct front_link *l = &f->link;
    bool all = all_must_fail(f, now_us);
    struct slot *s;

    if (!all && now_us < l->due_us)
        return;
    l->due_us = UINT64_MAX;
    /* One failure may end its call, which gives up others, and may let a stream send again: those are of this round. */
    l->round++;
    for (s = TAILQ_FIRST(&l->waiting); s && s->round != l->round; s = l->cursor) {
        l->cursor = TAILQ_NEXT(s, waiting);
        if (all)
            fail(f, s, KY_UNAVAILABLE, FRONT_RETRY_AFTER_MS);
        else if (s->deadline_us <= now_us)
            fail(f, s, KY_DEADLINE, 0);
        else if (s->deadline_us < l->due_us)
            l->due_us = s->deadline_us;
    }
    l->cursor = NULL;
}
