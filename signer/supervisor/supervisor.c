/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the roles' messages and ends mean: PIN hand-over under the latch, channels to the
 * authority, restarts, draining. When the authority ends, everything that held one of its
 * channels is ended with it (I5: a job has one owner).
 */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define DRAIN_DEADLINE_S 30 /* of each step */

struct ky_status supervisor_tell_authority(struct supervisor *s, const struct control_msg *m, int fd)
{
    struct role *authority = role_find(s, ROLE_AUTHORITY, 0, 0);
    struct ky_status st;

    if (!authority || authority->control_fd < 0)
        return KY_STATUS(KY_UNAVAILABLE);
    st = control_send(authority->control_fd, m, fd);
    if (!ky_ok(st)) {
        log_event(LOG_ERROR, "control-lost", LOG_STR("to", "authority"), LOG_CODE(st));
        role_kill(authority);
    }
    return st;
}

/* For the operators' status screen. */
static void tell_status(const struct role *r)
{
    const struct control_msg m = { .type = CONTROL_STATUS, .door = r->door, .index = r->index,
                                   .generation = r->generation - 1, .arg = r->state == ROLE_READY };

    if (r->kind == ROLE_VAULT || r->kind == ROLE_FRONT)
        (void)!ky_ok(supervisor_tell_authority(r->sup, &m, -1));
}

/* For the ledger, before it meets a vault. */
static void tell_activation(struct supervisor *s)
{
    struct control_msg m = { .type = CONTROL_ACTIVATED, .arg = s->pin_givers };

    memcpy(m.text, s->activation, sizeof(s->activation));
    if (s->pin_givers)
        (void)!ky_ok(supervisor_tell_authority(s, &m, -1));
}

/* Those that were ready, or came up, while there was no authority. */
void supervisor_authority_started(struct supervisor *s)
{
    tell_activation(s);
    for (int i = 0; i < s->role_count; i++) {
        struct role *r = &s->roles[i];
        if (r->kind == ROLE_FRONT || (r->kind == ROLE_VAULT && r->state == ROLE_READY)) {
            role_hand_over(r);
            tell_status(r);
        }
    }
}

/* --- vaults ------------------------------------------------------------------------------------- */

static void close_latch(struct supervisor *s, const char *reason)
{
    s->latched = true;
    metrics_set(s->metrics, METRIC_LATCH_CLOSED, 1);
    log_event(LOG_ERROR, "latch-closed", LOG_STR("reason", reason),
              LOG_STR("do", "check the PIN and the token, then run kysod --clear-latch"));
}

static void vault_hello(struct role *r)
{
    struct supervisor *s = r->sup;
    const struct control_msg m = { .type = CONTROL_PIN };
    struct ky_span pin = ky_secret_span(&s->pin);
    struct ky_status st = KY_STATUS(KY_OK);
    char who[64];
    int ends[2] = { -1, -1 };

    r->said_hello = true;
    if (s->latched || r->state != ROLE_STARTING) {
        role_kill(r);
        return;
    }
    (void)snprintf(who, sizeof(who), "vault %u", r->index);
    if (pipe2(ends, O_CLOEXEC) != 0)
        st = KY_STATUS_CAUSE(KY_IO, errno);
    /* The marker is durable before the vault can spend a try. */
    if (ky_ok(st))
        st = latch_arm(s->config, who);
    if (ky_ok(st) && write(ends[1], pin.data, pin.len) != (ssize_t)pin.len)
        st = KY_STATUS_CAUSE(KY_IO, errno);
    if (ky_ok(st))
        st = control_send(r->control_fd, &m, ends[0]);
    if (ky_ok(st)) {
        r->state = ROLE_LOGGING_IN;
    } else {
        latch_disarm(s->config); /* it has no PIN: no try was spent */
        log_event(LOG_ERROR, "control-lost", LOG_STR("to", "vault"), LOG_CODE(st));
        role_kill(r);
    }
    if (ends[0] >= 0)
        close(ends[0]);
    if (ends[1] >= 0)
        close(ends[1]);
}

static void vault_logged_in(struct role *r)
{
    latch_reset(r->sup->config);
    r->state = ROLE_STARTING;
}

static void vault_login_failed(struct role *r, uint64_t ckr)
{
    const char *closed;

    log_event(LOG_ERROR, "login-failed", LOG_U64("index", r->index), LOG_U64("ckr", ckr));
    r->state = ROLE_STARTING; /* it said so itself: role_ended must not close the latch again */
    closed = latch_login_failed(r->sup->config, ckr);
    if (closed)
        close_latch(r->sup, closed);
}

/* The new one is ready before the worn one is let go: recycling leaves no gap. */
static void retire(struct role *worn)
{
    const struct control_msg m = { .type = CONTROL_RETIRE, .index = worn->index, .generation = worn->generation };

    worn->wanted = false;
    if (!ky_ok(supervisor_tell_authority(worn->sup, &m, -1)))
        role_kill(worn); /* without an authority it has no jobs either */
}

static void vault_worn(struct role *r)
{
    struct role *next = role_stand_in(r);

    if (!next || next->wanted || !r->wanted)
        return; /* already under way */
    next->wanted = true;
    roles_start_next_vault(r->sup);
}

static void vault_ready(struct role *r)
{
    struct role *other = role_stand_in(r);

    if (r->timer)
        evtimer_del(r->timer);
    role_hand_over(r);
    if (other && other->wanted && other->state == ROLE_READY)
        retire(other);
    roles_start_next_vault(r->sup);
}

/* --- custodians ---------------------------------------------------------------------------------- */

/* Vaults start when the process that had the shares is gone. Whatever it does with its end of the pipe: one read, no waiting. */
static void take_pin(struct role *r, const struct control_msg *m, int fd)
{
    struct supervisor *s = r->sup;
    uint8_t bytes[KY_SECRET_MAX];
    ssize_t n = fd >= 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0 ? read(fd, bytes, sizeof(bytes)) : 0;

    if (n > 0 && s->pin.len == 0 && ky_ok(ky_secret_set(&s->pin, KY_SPAN(bytes, (size_t)n)))) {
        memcpy(s->activation, m->text, sizeof(s->activation));
        s->pin_givers = (uint32_t)m->arg;
        r->wanted = false; /* until the latch was closed and an operator has acted */
        log_event(LOG_INFO, "activated", LOG_U64("custodians", (uint64_t)__builtin_popcount(s->pin_givers)));
        tell_activation(s);
    }
    ky_wipe(bytes, sizeof(bytes));
}

/* --- messages -------------------------------------------------------------------------------------- */

static void finish(struct supervisor *s, int exit_code)
{
    s->exit_code = exit_code;
    event_base_loopbreak(s->base);
}

static void role_ready(struct role *r, const struct control_msg *m)
{
    r->state = ROLE_READY;
    tell_status(r);
    if (r->kind == ROLE_CUSTODY)
        metrics_set(r->sup->metrics, METRIC_SHARES_MISSING, m->arg);
    if (r->kind == ROLE_VAULT && !r->ending)
        vault_ready(r);
    if (r->kind == ROLE_AUTHORITY)
        log_event(LOG_INFO, "serving", LOG_STR("server_id", r->sup->config->server_id));
}

static void kill_vault(struct supervisor *s, const struct control_msg *m)
{
    struct role *r = role_find(s, ROLE_VAULT, 0, m->index);

    if (!r || r->generation != m->generation)
        return; /* already another one */
    log_event(LOG_WARN, "vault-killed", LOG_U64("index", r->index),
              LOG_STR("reason", "a job missed its deadline"));
    role_kill(r);
}

static void handle(struct role *r, const struct control_msg *m, int fd)
{
    struct supervisor *s = r->sup;
    const bool vault = r->kind == ROLE_VAULT, authority = r->kind == ROLE_AUTHORITY;

    if (m->type == CONTROL_READY)
        role_ready(r, m);
    else if (vault && m->type == CONTROL_HELLO && !r->ending)
        vault_hello(r);
    else if (vault && m->type == CONTROL_LOGGED_IN)
        vault_logged_in(r);
    else if (vault && m->type == CONTROL_LOGIN_FAILED)
        vault_login_failed(r, m->arg);
    else if (vault && m->type == CONTROL_WORN)
        vault_worn(r);
    else if (r->kind == ROLE_CUSTODY && m->type == CONTROL_PIN)
        take_pin(r, m, fd);
    else if (authority && m->type == CONTROL_KILL)
        kill_vault(s, m);
    else if (authority && m->type == CONTROL_SEALED)
        log_event(LOG_ERROR, "sealed", LOG_STR("reason", m->text));
    else if (m->type == CONTROL_DONE && s->phase <= PHASE_PROVISION_STATE)
        r->state = ROLE_READY; /* its exit 0 ends the phase */
}

void supervisor_on_control(struct role *r)
{
    struct control_msg m;
    int fd = -1;

    while (r->control_fd >= 0) {
        struct ky_status st = control_recv(r->control_fd, &m, &fd);
        if (!ky_ok(st)) {
            if (st.code != KY_BUSY && r->control_event)
                event_del(r->control_event); /* end of file: waitpid tells the rest */
            return;
        }
        m.text[sizeof(m.text) - 1] = '\0';
        handle(r, &m, fd);
        if (fd >= 0)
            close(fd);
    }
}

/* --- ends -------------------------------------------------------------------------------------------- */

static bool any_running(const struct supervisor *s, int kind)
{
    for (int i = 0; i < s->role_count; i++)
        if (s->roles[i].pid > 0 && (kind < 0 || s->roles[i].kind == kind))
            return true;
    return false;
}

static void send_drain(struct supervisor *s, int kind)
{
    const struct control_msg m = { .type = CONTROL_DRAIN };

    for (int i = 0; i < s->role_count; i++) {
        struct role *r = &s->roles[i];
        if (r->pid > 0 && (kind < 0 || r->kind == kind) &&
            (r->control_fd < 0 || !ky_ok(control_send(r->control_fd, &m, -1))))
            role_kill(r);
    }
}

static void start_drain_deadline(struct supervisor *s)
{
    const struct timeval limit = { .tv_sec = DRAIN_DEADLINE_S };
    evtimer_add(s->drain_timer, &limit);
}

/* Fronts first, so that nothing new comes; then the authority, which needs the vaults for its last anchor; then the rest. */
static void drain_step(struct supervisor *s)
{
    if (s->phase == PHASE_DRAIN_FRONTS && !any_running(s, ROLE_FRONT)) {
        s->phase = PHASE_DRAIN_AUTHORITY;
        start_drain_deadline(s);
        send_drain(s, ROLE_AUTHORITY);
    }
    if (s->phase == PHASE_DRAIN_AUTHORITY && !any_running(s, ROLE_AUTHORITY)) {
        s->phase = PHASE_DRAIN_REST;
        send_drain(s, -1);
    }
    if (s->phase == PHASE_DRAIN_REST && !any_running(s, -1))
        finish(s, s->exit_code);
}

/* A vault that is not ready has never met it, and killing one that logs in would close the latch. */
static void authority_ended(struct supervisor *s)
{
    for (int i = 0; i < s->role_count; i++) {
        struct role *r = &s->roles[i];
        if ((r->kind == ROLE_VAULT || r->kind == ROLE_FRONT) && r->channel_fd < 0)
            role_kill(r);
    }
}

static void provision_step(struct supervisor *s, const struct role *r, bool finished)
{
    if (!finished) {
        log_event(LOG_ERROR, "stopped", LOG_STR("reason", "provisioning failed: see the lines above"));
        s->exit_code = s->exit_code != 0 ? s->exit_code : 1;
        s->phase = PHASE_DRAIN_REST;
        send_drain(s, -1);
    } else if (s->phase == PHASE_PROVISION_TOKEN) {
        s->phase = PHASE_PROVISION_STATE;
        roles_build(s);
        role_start(role_find(s, ROLE_AUTHORITY, 0, 0));
        roles_start_next_vault(s);
        return;
    } else if (r->kind == ROLE_AUTHORITY || s->phase == PHASE_PROBE) {
        s->phase = PHASE_DRAIN_REST;
        send_drain(s, -1);
    }
    drain_step(s);
}

void supervisor_on_end(struct role *r, bool finished)
{
    struct supervisor *s = r->sup;
    const struct control_msg m = { .type = CONTROL_PEER_DEAD, .door = r->door, .index = r->index,
                                   .generation = r->generation };

    if (r->kind == ROLE_CUSTODY && s->phase <= PHASE_RUN) {
        roles_start_next_vault(s); /* if it has given the PIN */
        return;
    }
    if (s->phase <= PHASE_PROVISION_STATE) {
        provision_step(s, r, finished);
        return;
    }
    if (r->kind == ROLE_AUTHORITY && s->phase != PHASE_DRAIN_REST)
        authority_ended(s);
    else if (r->kind == ROLE_VAULT || r->kind == ROLE_FRONT) {
        (void)!ky_ok(supervisor_tell_authority(s, &m, -1));
        tell_status(r);
    }
    if (s->phase != PHASE_RUN)
        drain_step(s);
}

/* --- signals and the loop ------------------------------------------------------------------------------ */

static void on_child(evutil_socket_t sig, short what, void *arg)
{
    struct supervisor *s = arg;
    int status;
    pid_t pid;

    (void)sig;
    (void)what;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct role *r = role_by_pid(s, pid);
        if (!r)
            continue;
        r->ending = true;
        supervisor_on_control(r); /* its last words first */
        role_ended(r, status);
    }
}

static void on_drain_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct supervisor *s = arg;

    (void)fd;
    (void)what;
    log_event(LOG_WARN, "draining", LOG_STR("reason", "deadline passed, ending what is left"));
    s->exit_code = 1;
    /* A front that hangs on a slow peer must not cost the authority its clean stop. */
    for (int i = 0; i < s->role_count; i++)
        if (s->phase != PHASE_DRAIN_FRONTS || s->roles[i].kind == ROLE_FRONT)
            role_kill(&s->roles[i]);
    start_drain_deadline(s);
}

static void on_stop(evutil_socket_t sig, short what, void *arg)
{
    struct supervisor *s = arg;

    (void)sig;
    (void)what;
    if (s->phase > PHASE_RUN)
        return;
    log_event(LOG_INFO, "draining", LOG_U64("deadline_s", DRAIN_DEADLINE_S));
    if (s->phase < PHASE_RUN) {
        s->exit_code = 1;
        s->phase = PHASE_DRAIN_REST;
        send_drain(s, -1);
    } else {
        s->phase = PHASE_DRAIN_FRONTS;
        send_drain(s, ROLE_FRONT);
    }
    start_drain_deadline(s);
    drain_step(s);
}

static void on_hangup(evutil_socket_t sig, short what, void *arg)
{
    struct supervisor *s = arg;
    struct role *custody = role_find(s, ROLE_CUSTODY, DOOR_CUSTODY, 0);
    char reason[64];

    (void)sig;
    (void)what;
    if (!s->latched || latch_is_armed(s->config, reason, sizeof(reason)))
        return;
    s->latched = false;
    metrics_set(s->metrics, METRIC_LATCH_CLOSED, 0);
    /* the operator may have mended the PIN's source: read it again, or ask for it again */
    ky_secret_wipe(&s->pin);
    if (custody) {
        custody->wanted = true;
        role_start(custody);
    } else if (!ky_ok(latch_read_pin(s->config, &s->pin))) {
        close_latch(s, "the PIN cannot be read");
    } else {
        roles_start_next_vault(s);
    }
}

static void on_custodian(evutil_socket_t fd, short what, void *arg)
{
    struct supervisor *s = arg;
    const struct control_msg m = { .type = CONTROL_PEER, .door = KY_DOOR_CUSTODIAN,
                                   .generation = ++s->custodian_count };
    int peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)what;
    if (peer < 0)
        return;
    (void)!ky_ok(supervisor_tell_authority(s, &m, peer));
    close(peer);
}

static void watch_custodians(struct supervisor *s)
{
    if (s->custodians.fd <= 0) /* 0: a run without doors has none */
        return;
    s->custodian_event = event_new(s->base, s->custodians.fd, EV_READ | EV_PERSIST, on_custodian, s);
    if (s->custodian_event)
        event_add(s->custodian_event, NULL);
}

static void start_all(struct supervisor *s)
{
    for (int i = 0; i < s->role_count; i++)
        if (s->roles[i].kind != ROLE_VAULT)
            role_start(&s->roles[i]);
    roles_start_next_vault(s);
}

int supervisor_run(struct supervisor *s)
{
    struct event *signals[4] = { NULL };
    char reason[64];

    s->exit_code = 1;
    s->base = event_base_new();
    if (!s->base)
        return s->exit_code;
    s->drain_timer = evtimer_new(s->base, on_drain_deadline, s);
    signals[0] = evsignal_new(s->base, SIGCHLD, on_child, s);
    signals[1] = evsignal_new(s->base, SIGTERM, on_stop, s);
    signals[2] = evsignal_new(s->base, SIGINT, on_stop, s);
    signals[3] = evsignal_new(s->base, SIGHUP, on_hangup, s);
    for (int i = 0; i < 4; i++)
        if (!signals[i] || evsignal_add(signals[i], NULL) != 0)
            goto done;
    if (latch_is_armed(s->config, reason, sizeof(reason)))
        close_latch(s, "a login was pending when the server last ended");
    if (!s->drain_timer || (s->latched && s->phase < PHASE_RUN))
        goto done;
    s->exit_code = 0;
    roles_build(s);
    watch_custodians(s);
    start_all(s);
    event_base_dispatch(s->base);
    roles_free(s);
done:
    for (int i = 0; i < 4; i++)
        if (signals[i])
            event_free(signals[i]);
    if (s->drain_timer)
        event_free(s->drain_timer);
    if (s->custodian_event)
        event_free(s->custodian_event);
    event_base_free(s->base);
    return s->exit_code;
}
