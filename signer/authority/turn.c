/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The turn: settle, decide, commit once, and only then dispatch and reply. Before the commit blocks, vaults are refilled with jobs
 * that an earlier turn's commit made durable, so that they work while the disk does (I1 holds: their intents are committed).
 */
#include "authority_private.h"

struct door_row {
    uint8_t door; /* 0 = any */
    bool drains;  /* still heard while draining */
    request_fn fn;
};

static const struct door_row door_table[] = {
    [DOOR_INFO] = {KY_DOOR_SIGNER, false, info_request},
    [DOOR_CRED_LIST] = {KY_DOOR_SIGNER, false, cred_list_request},
    [DOOR_CRED_GET] = {KY_DOOR_SIGNER, false, cred_get_request},
    [DOOR_TX_BEGIN] = {KY_DOOR_SIGNER, false, tx_begin_request},
    [DOOR_TX_AUTHORIZE] = {KY_DOOR_SIGNER, false, tx_authorize_request},
    [DOOR_SIGN] = {KY_DOOR_SIGNER, false, sign_request},
    [DOOR_TX_WAIT] = {KY_DOOR_SIGNER, false, tx_wait_request},
    [DOOR_TX_CANCEL] = {KY_DOOR_SIGNER, false, tx_cancel_request},
    [DOOR_APPROVAL_LIST] = {KY_DOOR_APPROVER, false, approval_list_request},
    [DOOR_APPROVAL_GET] = {KY_DOOR_APPROVER, false, approval_get_request},
    [DOOR_APPROVAL_DECIDE] = {KY_DOOR_APPROVER, false, approval_decide_request},
    [DOOR_PASSKEY_GET] = {KY_DOOR_APPROVER, false, passkey_get_request},
    [DOOR_PASSKEY_ENROLL] = {KY_DOOR_APPROVER, false, passkey_enroll_request},
    [DOOR_OPERATE] = {KY_DOOR_OPERATOR, false, operate_request},
    [DOOR_KEK] = {KY_DOOR_CUSTODIAN, false, kek_request},
    [DOOR_CANCEL] = {0, true, cancel_request},
    [DOOR_EVENT] = {0, true, event_request},
};

static void decide(struct authority *a, struct peer *p, const struct ky_record *rec)
{
    struct request r = {
        .door = p->door,
        .from = p,
        .from_generation = p->generation,
        .tag = rec->tag,
        .deadline_us = rec->deadline_us,
        .type = rec->type,
    };
    struct reply_to to = request_reply_to(&r);
    const struct door_row *row =
        rec->type < sizeof(door_table) / sizeof(door_table[0]) ? &door_table[rec->type] : NULL;

    p->jobs++;
    a->requests++;
    if (a->phase == PHASE_SEALED || a->failed)
        return; /* the heartbeat says so; the front answers by itself */
    if (row == NULL || row->fn == NULL) {
        authority_refuse(a, &to, KY_UNIMPLEMENTED, 0);
    } else if (a->phase != PHASE_SERVE && !(row->drains && a->phase == PHASE_DRAIN)) {
        authority_refuse(a, &to, KY_UNAVAILABLE, 0);
    } else if (row->door != 0 && row->door != p->door) {
        struct ledger_denied why = {.reason = KY_WRONG_DOOR};
        authority_deny(a, &r, &why);
    } else if (rec->deadline_us != 0 && a->mono_us > rec->deadline_us) {
        a->shed++;
        authority_refuse(a, &to, KY_DEADLINE, 0); /* before anything was decided or spent */
    } else {
        row->fn(a, &r, rec->payload);
    }
}

/* A front calls an authority dead whose heartbeat is 100 ms old: a turn of dear requests must end well before. */
static bool turn_is_long(const struct authority *a)
{
    return a->hooks.mono_us(a->hooks.context) - a->mono_us > TURN_US;
}

/* Takes records until there are none, the budget is used or the turn has become long. */
static uint32_t take(struct authority *a, struct peer *p, uint32_t budget)
{
    struct ky_record rec;
    struct ky_status status = KY_STATUS(KY_OK);
    uint32_t n = 0;
    bool full = false;

    while (!full && ky_channel_next(&p->channel, &rec, &status)) {
        full = ++n == budget || (n % TURN_LOOKS_AT_CLOCK == 0 && turn_is_long(a));
        if (p->door == 0)
            dispatch_result(a, p, &rec);
        else
            decide(a, p, &rec);
    }
    ky_channel_drop(&p->channel); /* nothing points into it any more */
    if (!ky_ok(status))
        p->ended = true;
    p->readable = full;
    return n;
}

static void settle(struct authority *a)
{
    for (struct peer *p = a->peers; p != NULL; p = p->next) {
        uint32_t taken = 1;
        if (p->door != 0 || !p->readable)
            continue;
        while (taken > 0) { /* of a dead one, all that it left behind */
            peer_read(p);
            taken = take(a, p, UINT32_MAX);
            if (!p->dead)
                break;
        }
    }
}

static bool admit(struct authority *a)
{
    uint32_t fronts = 0;
    bool more = false;

    for (struct peer *p = a->peers; p != NULL; p = p->next)
        fronts += p->door != 0 && p->readable;
    for (struct peer *p = a->peers; p != NULL; p = p->next) {
        if (p->door == 0 || !p->readable)
            continue;
        peer_read(p);
        (void)take(a, p,
                   TURN_REQUESTS / fronts + 1); /* a fair share: one front cannot starve another */
        more = more || p->readable;
    }
    return more;
}

static void bury(struct authority *a)
{
    struct peer *next;

    for (struct peer *p = a->peers; p != NULL; p = next) {
        next = p->next;
        if (!p->dead && !(p->door == KY_DOOR_CUSTODIAN && p->ended)) /* that one no supervisor waits for */
            continue;
        if (p->door == 0)
            dispatch_vault_gone(a, p);
        peer_remove(a, p);
    }
}

static void read_clocks(struct authority *a)
{
    uint64_t wall = a->hooks.wall_us(a->hooks.context);

    a->mono_us = a->hooks.mono_us(a->hooks.context);
    if (wall > a->wall_us) /* a step backwards reopens nothing */
        a->wall_us = wall;
}

static void tell_ready(struct authority *a)
{
    struct control_msg m = {.type = CONTROL_READY};

    if (!a->boot.opened)
        return;
    a->boot.opened = false;
    log_event(LOG_INFO, "opened", LOG_U64("ledger_size", store_ledger_size(a->store)));
    a->hooks.control(a->hooks.context, &m);
}

static void commit(struct authority *a)
{
    struct ky_status status = KY_STATUS(KY_SEALED);

    if (!a->failed)
        dispatch_send(a, true);
    if (!a->failed) { /* what it gave up has receipts, too */
        peers_flush(a, true, false);
        uint64_t before = a->hooks.mono_us(a->hooks.context);
        status = a->store == NULL ? KY_STATUS(KY_OK) : store_commit(a->store);
        a->commit_us += a->hooks.mono_us(a->hooks.context) - before;
    }
    if (ky_ok(status)) {
        tell_ready(a);
        return;
    }
    authority_seal(a, "the ledger could not be committed");
    peers_cut(a);
}

/* At a start too, when they are. */
static void tell_codes(struct authority *a)
{
    bool suspended = authority_codes_suspended(a);

    if (suspended && !a->codes_suspended)
        log_event(LOG_ERROR, "codes-suspended",
                  LOG_U64("window_s", a->config->policy.spray_window_s));
    if (!suspended && a->codes_suspended)
        log_event(LOG_WARN, "codes-resumed");
    a->codes_suspended = suspended;
}

static void finish_drain(struct authority *a)
{
    if (a->phase == PHASE_DRAIN && a->sign_in_flight == 0 && dispatch_idle(a)) {
        tx_waiters_refuse(a, KY_UNAVAILABLE);
        ledger_close(a);
    }
}

static void note_length(struct authority *a)
{
    uint64_t took_us = a->hooks.mono_us(a->hooks.context) - a->mono_us;

    a->turn_us += (took_us < TURN_US ? took_us : TURN_US) / 8;
    a->turn_us -= a->turn_us / 8;
}

bool authority_turn(struct authority *a)
{
    bool more = false;

    read_clocks(a);
    peers_mark(a);
    if (a->phase == PHASE_BOOT)
        boot_step(a);
    settle(a);
    bury(a);
    if (a->store != NULL && a->phase != PHASE_SEALED)
        state_collect(a->state, authority_now_s(a));
    more = admit(a);
    tell_codes(a);
    if (a->phase != PHASE_SEALED) {
        dispatch_tick(a);
        if (a->phase == PHASE_SERVE || a->phase == PHASE_DRAIN)
            tx_tick(a); /* after LEDGER_STOP nothing is recorded: the last anchor is of that head */
        if (a->phase == PHASE_SERVE) {
            crl_tick(a);
            clock_tick(a);
        }
    }
    if (a->phase != PHASE_SEALED)
        finish_drain(a);
    if (a->phase != PHASE_SEALED || !a->failed)
        commit(a);
    else
        peers_cut(a);
    if (a->phase != PHASE_SEALED) {
        ledger_idle(a);
        keypool_tick(a);
        expiry_tick(a);
        backup_tick(a);
        dispatch_send(a, false);
    }
    figures_tick(a);
    peers_heartbeat(a);
    peers_flush(a, true, true);
    a->turns++;
    note_length(a);
    return more;
}
