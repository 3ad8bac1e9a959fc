/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other ends: fronts and vaults, each a channel with a door (or index) and a generation given by the supervisor, never by
 * a record. Replies stay in the channels' buffers until the turn is committed; peers_cut() is what makes a failed commit unseen
 * (I2, I6).
 */
#include "authority_private.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct ky_status peer_add(struct authority *a, uint8_t door, uint32_t index, uint32_t generation,
                          int fd, struct peer **out_peer)
{
    struct peer *p = calloc(1, sizeof(*p));

    if (p == NULL) {
        close(fd);
        return KY_STATUS(KY_NOMEM);
    }
    p->door = door;
    p->index = index;
    p->generation = generation;
    p->fd = fd;
    p->readable = true;
    ky_channel_init(&p->channel, fd, door == 0 ? VAULT_OUT_MAX : FRONT_OUT_MAX);
    p->next = a->peers;
    a->peers = p;
    if (out_peer != NULL)
        *out_peer = p;
    return KY_STATUS(KY_OK);
}

struct peer *peer_find(const struct authority *a, uint8_t door, uint32_t index, uint32_t generation)
{
    for (struct peer *p = a->peers; p != NULL; p = p->next)
        if (p->door == door && p->index == index && p->generation == generation)
            return p;
    return NULL;
}

static void peer_free(struct authority *a, struct peer *p)
{
    if (a->hooks.peer_gone != NULL)
        a->hooks.peer_gone(a->hooks.context, p);
    ky_channel_wipe(&p->channel);
    close(p->fd);
    free(p);
}

void peer_remove(struct authority *a, struct peer *p)
{
    struct peer **at = &a->peers;

    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    log_event(LOG_INFO, p->door == 0 ? "vault-left" : "front-left", LOG_U64("index", p->index),
              LOG_U64("generation", p->generation));
    peer_free(a, p);
}

void peers_free(struct authority *a)
{
    while (a->peers != NULL) {
        struct peer *p = a->peers;
        a->peers = p->next;
        peer_free(a, p);
    }
}

void peer_read(struct peer *p)
{
    if (!p->ended && !ky_ok(ky_channel_read(&p->channel)))
        p->ended = true; /* what was read before is still handed out */
}

void peer_dead(struct authority *a, uint8_t door, uint32_t index, uint32_t generation)
{
    struct peer *p = peer_find(a, door, index, generation);

    if (p == NULL)
        return;
    p->dead = true;
    p->readable = true; /* its last words are read first */
}

/* --- writing --------------------------------------------------------------------------------------------- */

void peers_mark(struct authority *a)
{
    for (struct peer *p = a->peers; p != NULL; p = p->next)
        /* A full buffer drops what was sent: count from there. */
        p->mark = p->channel.out.len - p->channel.sent;
}

void peers_cut(struct authority *a)
{
    for (struct peer *p = a->peers; p != NULL; p = p->next) {
        struct ky_buf *out = &p->channel.out;
        size_t keep = p->channel.sent + p->mark;
        if (p->door != 0 && out->len > keep) {
            ky_wipe(out->data + keep, out->len - keep);
            out->len = keep;
        }
    }
}

void peers_flush(struct authority *a, bool vaults, bool fronts)
{
    for (struct peer *p = a->peers; p != NULL; p = p->next)
        if ((p->door == 0 ? vaults : fronts) && !p->dead && ky_channel_has_output(&p->channel) &&
            !ky_ok(ky_channel_flush(&p->channel))) {
            p->ended = true;
            ky_buf_reset(&p->channel.out);
        }
}

void peers_heartbeat(struct authority *a)
{
    struct door_heartbeat beat = {.serving = a->phase == PHASE_SERVE    ? DOOR_SERVING
                                             : a->phase == PHASE_SEALED ? DOOR_SEALED
                                                                        : DOOR_NOT_SERVING};

    if (a->mono_us - a->heartbeat_us < HEARTBEAT_US && a->beating == beat.serving)
        return;
    a->heartbeat_us = a->mono_us;
    a->beating = beat.serving;
    for (struct peer *p = a->peers; p != NULL; p = p->next)
        if (p->door != 0 && p->door != KY_DOOR_CUSTODIAN && !p->ended &&
            !ky_ok(ky_channel_send(&p->channel, &door_heartbeat_schema, &beat, 0, 0)))
            p->ended = true;
}

struct reply_to request_reply_to(const struct request *r)
{
    return (struct reply_to){.door = r->door,
                             .front_index = r->from->index,
                             .front_generation = r->from_generation,
                             .tag = r->tag,
                             .deadline_us = r->deadline_us};
}

void authority_reply(struct authority *a, const struct reply_to *to, const struct ky_schema *schema,
                     const void *msg)
{
    struct peer *p =
        to->door == 0 ? NULL : peer_find(a, to->door, to->front_index, to->front_generation);

    if (p == NULL || p->ended)
        return; /* the caller's front is gone: a repeat of the request id finds the answer */
    struct ky_status status = ky_channel_send(&p->channel, schema, msg, to->tag, 0);
    if (ky_ok(status))
        return;
    log_event(LOG_ERROR, "record-refused", LOG_CODE(status), LOG_STR("record", schema->name));
    if (status.code == KY_BUSY)
        p->ended = true; /* a front that does not read its answers is of no use to anyone */
}

void authority_refuse(struct authority *a, const struct reply_to *to, enum ky_code code,
                      uint32_t retry_after_ms)
{
    struct door_refused m = {.code = (uint16_t)ky_code_info(code)->wire,
                             .retry_after_ms = retry_after_ms};

    authority_reply(a, to, &door_refused_schema, &m);
}

/* --- the supervisor's messages ---------------------------------------------------------------------------- */

static void note_role(struct authority *a, const struct control_msg *m)
{
    uint32_t i = 0;

    while (i < a->role_count && !(a->roles[i].door == m->door && a->roles[i].index == m->index))
        i++;
    if (i == AUTHORITY_ROLES_MAX)
        return;
    if (i == a->role_count)
        a->role_count++;
    a->roles[i] = (struct authority_role){
        .door = (uint8_t)m->door, .index = m->index, .restarts = m->generation, .state = m->arg};
}

static void peer_retire(struct authority *a, uint32_t index, uint32_t generation)
{
    struct peer *p = peer_find(a, 0, index, generation);

    if (p != NULL)
        p->retiring = true;
}

void peer_control(struct authority *a, const struct control_msg *m, int fd)
{
    switch (m->type) {
    case CONTROL_PEER:
        if (fd < 0 || m->door > KY_DOOR_CUSTODIAN)
            break;
        if (ky_ok(peer_add(a, (uint8_t)m->door, m->index, m->generation, fd, NULL)))
            log_event(LOG_INFO, m->door == 0 ? "vault-joined" : "front-joined",
                      LOG_U64("index", m->index), LOG_U64("generation", m->generation));
        return; /* the descriptor is the peer's now */
    case CONTROL_PEER_DEAD:
        peer_dead(a, (uint8_t)m->door, m->index, m->generation);
        break;
    case CONTROL_RETIRE:
        peer_retire(a, m->index, m->generation);
        break;
    case CONTROL_DRAIN:
        if (a->phase == PHASE_SERVE) {
            log_event(LOG_INFO, "draining", LOG_U64("in_flight", a->sign_in_flight));
            a->phase = PHASE_DRAIN;
        } else if (a->phase != PHASE_DRAIN && a->phase != PHASE_CLOSE) {
            a->phase = PHASE_DONE; /* nothing was begun, or nothing may be ended any more */
        }
        break;
    case CONTROL_STATUS:
        note_role(a, m);
        break;
    case CONTROL_ACTIVATED:
        memcpy(a->boot.activation, m->text, sizeof(a->boot.activation));
        a->boot.custodians = (uint32_t)m->arg;
        break;
    default:
        break;
    }
    if (fd >= 0)
        close(fd);
}
