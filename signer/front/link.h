/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel to the authority. Each request in flight owns a slot of a fixed slab; the record's
 * tag is slot and generation, so a late reply to a slot that was given up finds nobody.
 */
#ifndef FRONT_LINK_H
#define FRONT_LINK_H

#include <event2/event_struct.h>
#include <sys/queue.h>

#include "kyso/alg.h"
#include "kyso/record.h"
#include "kyso/tx.h"

struct front;
struct call;
struct method;

struct slot {
    TAILQ_ENTRY(slot) waiting; /* in order of arrival */
    LIST_ENTRY(slot) of_call;
    struct call *call; /* borrowed; NULL while the slot is free */
    const struct method *method;
    uint64_t deadline_us;
    uint32_t generation;
    uint32_t next_free;
    uint32_t round;   /* of link_tick, when it was taken */
    uint16_t hashes;  /* what it takes of a stream's window */
    uint8_t encoding; /* kyso.v1.SignatureEncoding of the request */
    char request_id[KY_NAME_MAX + 1];
};
TAILQ_HEAD(slot_list, slot);

struct front_link {
    struct ky_channel channel;
    struct event readable, writable;
    bool open;
    bool lost; /* end of file, or a record that no authority would send */
    bool serving;
    bool sealed;
    bool reading; /* the channel's input is being handed out */
    uint64_t heartbeat_us;
    struct slot *slots; /* owned */
    uint32_t count, used, free_head;
    struct slot_list waiting;
    struct slot *cursor; /* link_tick's next; moves on when that slot is given up meanwhile */
    uint32_t round;
    uint64_t due_us; /* no slot's deadline is before */
};

KY_MUST_CHECK struct ky_status link_open(struct front *f, int fd, uint32_t slots);
void link_close(struct front *f);
/* A heartbeat younger than limits.heartbeat_ms says so (I6). Reads the channel before it says no. */
bool link_serving(struct front *f);
/* NULL when limits.queue requests are in flight. */
struct slot *link_acquire(struct front *f, struct call *call, const struct method *method);
KY_MUST_CHECK struct ky_status link_send(struct front *f, struct slot *s,
                                         const struct ky_schema *schema, const void *msg);
/* Gives the slot up. tell: the authority stops what it has not dispatched. */
void link_release(struct front *f, struct slot *s, bool tell);
void link_tell(struct front *f, const struct ky_schema *schema, const void *msg);
void link_flush(struct front *f);
/* Deadlines, and everybody's answer when the heartbeat is old. */
void link_tick(struct front *f, uint64_t now_us);

#endif
