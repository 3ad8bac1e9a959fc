/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One process per slot: fork, place the descriptors where control.h says, exec. The PIN's page
 * is wiped in the child by the kernel, so nothing of it is there between fork and exec.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kyso/alg.h"
#include "kyso/exit.h"

#include "supervisor.h"

#define BACKOFF_FIRST_MS 100u
#define BACKOFF_MAX_MS 10000u
#define BACKOFF_TOKEN_MS 1000u /* a token that is away is looked for each second: no login is tried, so none can fail */
#define LAST_ROLE_FD 7

static const struct role_program {
    const char *name; /* in the log */
    const char *file;
    enum metric restarts;
} programs[ROLE_KIND_COUNT] = {
    [ROLE_AUTHORITY] = { "authority", "kyso-authority", METRIC_RESTARTS_AUTHORITY },
    [ROLE_VAULT] = { "vault", "kyso-vault", METRIC_RESTARTS_VAULT },
    [ROLE_FRONT] = { "front", "kyso-front", METRIC_RESTARTS_FRONT },
    [ROLE_STATUS] = { "status", "kyso-status", METRIC_RESTARTS_FRONT },
    [ROLE_CUSTODY] = { "custody", "kyso-custody", METRIC_RESTARTS_FRONT },
};

static const char *door_word(uint32_t door)
{
    static const char *const words[] = { "none", "signer", "approver", "operator", "kek", "custodians" };
    return words[door <= DOOR_CUSTODY ? door : 0];
}

static uint32_t vault_count(const struct supervisor *s)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (s->phase != PHASE_RUN)
        return 1;
    if (s->config->token.vaults)
        return s->config->token.vaults;
    return cores < 1 ? 1 : cores > 64 ? 64 : (uint32_t)cores;
}

static void add_role(struct supervisor *s, struct role r)
{
    if (s->role_count == SUPERVISOR_ROLES_MAX)
        return;
    r.sup = s;
    r.wanted = r.kind != ROLE_VAULT || r.index < vault_count(s);
    r.control_fd = r.channel_fd = -1;
    s->roles[s->role_count++] = r;
}

void roles_free(struct supervisor *s)
{
    for (int i = 0; i < s->role_count; i++)
        if (s->roles[i].timer)
            event_free(s->roles[i].timer);
    s->role_count = 0;
}

void roles_build(struct supervisor *s)
{
    roles_free(s);
    if (s->phase > PHASE_PROVISION_TOKEN)
        add_role(s, (struct role){ .kind = ROLE_AUTHORITY, .listen_fd = -1 });
    /* The second half are stand-ins: index i + n takes over when i is worn, and the other way round. */
    for (uint32_t i = 0; i < 2 * vault_count(s); i++)
        add_role(s, (struct role){ .kind = ROLE_VAULT, .index = i, .listen_fd = -1 });
    for (int l = 0; l < s->listener_count; l++) {
        const struct listener *from = &s->listeners[l];
        const uint8_t kind = from->door == 0 ? ROLE_STATUS : from->door == DOOR_CUSTODY ? ROLE_CUSTODY : ROLE_FRONT;
        uint32_t n = from->door == KY_DOOR_SIGNER ? s->config->doors.signer_fronts : 1;
        for (uint32_t i = 0; i < n; i++)
            add_role(s, (struct role){ .kind = kind, .door = from->door,
                                       .index = i, .listen_fd = from->fd });
    }
}

struct role *role_by_pid(struct supervisor *s, pid_t pid)
{
    for (int i = 0; i < s->role_count; i++)
        if (s->roles[i].pid == pid)
            return &s->roles[i];
    return NULL;
}

struct role *role_find(struct supervisor *s, uint8_t kind, uint32_t door, uint32_t index)
{
    for (int i = 0; i < s->role_count; i++) {
        struct role *r = &s->roles[i];
        if (r->kind == kind && r->door == door && r->index == index)
            return r;
    }
    return NULL;
}

/* --- in the child ---------------------------------------------------------------------------- */

/* Each descriptor first goes out of the way, then to its number; the rest is closed. */
static bool place_descriptors(const int *wanted, int n)
{
    int safe[LAST_ROLE_FD + 1];

    for (int i = 0; i < n; i++) {
        safe[i] = wanted[i] < 0 ? -1 : fcntl(wanted[i], F_DUPFD, 64);
        if (wanted[i] >= 0 && safe[i] < 0)
            return false;
    }
    for (int i = 0; i < n; i++)
        if (safe[i] < 0)
            close(KY_CONTROL_FD + i);
        else if (dup2(safe[i], KY_CONTROL_FD + i) < 0)
            return false;
    return close_range(LAST_ROLE_FD + 1, ~0u, 0) == 0;
}

static int build_arguments(const struct role *r, const char *path, char index[12], const char **argv)
{
    const struct supervisor *s = r->sup;
    int n = 0;

    argv[n++] = path;
    if (r->kind == ROLE_FRONT) {
        argv[n++] = "--door";
        argv[n++] = door_word(r->door);
    }
    if (r->kind == ROLE_FRONT || r->kind == ROLE_VAULT) {
        (void)snprintf(index, 12, "%u", r->index);
        argv[n++] = "--index";
        argv[n++] = index;
    }
    if (r->kind == ROLE_VAULT && s->phase <= PHASE_PROVISION_TOKEN)
        argv[n++] = s->phase == PHASE_PROBE ? "--probe" : "--provision";
    if (r->kind == ROLE_AUTHORITY && s->phase == PHASE_PROVISION_STATE) {
        if (s->creates)
            argv[n++] = "--create";
        if (s->ceremony[0] != '\0') {
            argv[n++] = "--ceremony";
            argv[n++] = s->ceremony;
        }
        for (int i = 0; i < s->operator_count; i++) {
            argv[n++] = "--operator";
            argv[n++] = s->operators[i];
        }
    }
    argv[n] = NULL;
    return n;
}

static void child_exec(const struct role *r, pid_t parent, int control, int channel)
{
    const struct supervisor *s = r->sup;
    /* The shared page is for those who write or show figures: a front or a module has no business there. */
    const int figures = r->kind == ROLE_AUTHORITY ? s->metrics_fd : r->kind == ROLE_STATUS ? s->metrics_view_fd : -1;
    const int wanted[] = { control, s->config_fd, r->kind == ROLE_CUSTODY ? s->transcript_fd : channel, r->listen_fd, figures };
    const char *argv[64];
    char path[640], index[12];
    sigset_t none;

    if (s->apart && !users_become(&s->users[r->kind == ROLE_CUSTODY ? ROLE_VAULT : r->kind]))
        _exit(124);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* after that: a change of user clears it */
    if (getppid() != parent)
        _exit(125); /* it died before that was asked for */
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    /* A terminal sends these to every role: the supervisor drains, and says so to each. */
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    (void)snprintf(path, sizeof(path), "%s/%s", s->program_dir, programs[r->kind].file);
    build_arguments(r, path, index, argv);
    if (!place_descriptors(wanted, (int)(sizeof(wanted) / sizeof(wanted[0]))))
        _exit(126);
    execv(path, (char *const *)(uintptr_t)argv);
    _exit(127);
}

/* --- in the supervisor ------------------------------------------------------------------------ */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct role *r = arg;

    (void)fd;
    (void)what;
    if (r->pid == 0) {
        role_start(r);
    } else if (r->state != ROLE_READY) {
        log_event(LOG_ERROR, "vault-killed", LOG_U64("index", r->index),
                  LOG_STR("reason", "not ready within the start deadline"));
        role_kill(r);
    }
}

static void on_control(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    supervisor_on_control(arg);
}

static void set_timer(struct role *r, uint32_t ms)
{
    struct timeval t = { .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };

    if (!r->timer)
        r->timer = evtimer_new(r->sup->base, on_timer, r);
    if (r->timer)
        evtimer_add(r->timer, &t);
}

static bool wants_channel(const struct role *r)
{
    return (r->kind == ROLE_VAULT && r->sup->phase > PHASE_PROVISION_TOKEN) || r->kind == ROLE_FRONT;
}

/* A vault starts only when there is a PIN, the latch is open, and no other is starting (SoftHSM2 races). */
static bool may_start(const struct role *r)
{
    const struct supervisor *s = r->sup;

    if (r->kind == ROLE_CUSTODY)
        return !s->latched;
    if (r->kind != ROLE_VAULT)
        return true;
    if (s->latched || s->pin.len == 0)
        return false;
    for (int i = 0; i < s->role_count; i++) {
        const struct role *other = &s->roles[i];
        if (other != r && other->kind == ROLE_VAULT &&
            (other->state == ROLE_STARTING || other->state == ROLE_LOGGING_IN))
            return false;
    }
    return true;
}

/* A probe makes two keys of each type before it is done: killed for that, it would leave some on the token. */
static uint32_t vault_deadline_ms(const struct supervisor *s)
{
    const struct config_limits *l = &s->config->limits;

    return l->start_deadline_ms + (s->phase == PHASE_PROBE ? 2 * KY_KEY_TYPE_COUNT * l->generate_deadline_ms : 0);
}

void role_hand_over(struct role *r)
{
    const struct control_msg m = { .type = CONTROL_PEER, .door = r->door, .index = r->index,
                                   .generation = r->generation };

    if (r->channel_fd < 0 || !ky_ok(supervisor_tell_authority(r->sup, &m, r->channel_fd)))
        return;
    close(r->channel_fd);
    r->channel_fd = -1;
}

static void fail_start(struct role *r, int *control, int *channel)
{
    for (int i = 0; i < 2; i++) {
        if (control[i] >= 0)
            close(control[i]);
        if (channel[i] >= 0)
            close(channel[i]);
    }
    log_event(LOG_ERROR, "role-backoff", LOG_STR("role_kind", programs[r->kind].name),
              LOG_U64("errno", (uint64_t)errno));
    set_timer(r, BACKOFF_MAX_MS);
}

void role_start(struct role *r)
{
    struct supervisor *s = r->sup;
    int control[2] = { -1, -1 }, channel[2] = { -1, -1 };
    const pid_t self = getpid();

    if (r->pid != 0 || !r->wanted || s->phase > PHASE_RUN || !may_start(r))
        return;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) != 0 ||
        (wants_channel(r) &&
         socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, channel) != 0) ||
        (r->pid = fork()) < 0) {
        r->pid = 0;
        fail_start(r, control, channel);
        return;
    }
    if (r->pid == 0)
        child_exec(r, self, control[1], channel[1]);
    close(control[1]);
    if (channel[1] >= 0)
        close(channel[1]);
    (void)fcntl(control[0], F_SETFL, O_NONBLOCK);
    r->control_fd = control[0];
    r->channel_fd = channel[0];
    r->state = ROLE_STARTING;
    r->ending = false;
    r->said_hello = false;
    r->generation++;
    r->control_event = event_new(s->base, r->control_fd, EV_READ | EV_PERSIST, on_control, r);
    if (r->control_event)
        event_add(r->control_event, NULL);
    if (r->kind == ROLE_VAULT)
        set_timer(r, vault_deadline_ms(s));
    log_event(LOG_INFO, "role-started", LOG_STR("role_kind", programs[r->kind].name),
              LOG_STR("door", door_word(r->door)), LOG_U64("index", r->index),
              LOG_U64("pid", (uint64_t)r->pid));
    if (r->kind == ROLE_FRONT)
        role_hand_over(r);
    if (r->kind == ROLE_AUTHORITY)
        supervisor_authority_started(s);
}

struct role *role_stand_in(struct role *r)
{
    uint32_t n = vault_count(r->sup);

    return role_find(r->sup, ROLE_VAULT, 0, r->index < n ? r->index + n : r->index - n);
}

void role_kill(struct role *r)
{
    if (r->pid > 0 && !r->ending)
        (void)kill(r->pid, SIGKILL);
    r->ending = true;
}

static void release(struct role *r)
{
    if (r->control_event)
        event_free(r->control_event);
    r->control_event = NULL;
    if (r->timer)
        evtimer_del(r->timer);
    if (r->control_fd >= 0)
        close(r->control_fd);
    if (r->channel_fd >= 0)
        close(r->channel_fd);
    r->control_fd = r->channel_fd = -1;
    r->pid = 0;
}

static uint32_t next_backoff(const struct role *r)
{
    const uint32_t max = r->kind == ROLE_VAULT && !r->said_hello ? BACKOFF_TOKEN_MS : BACKOFF_MAX_MS;
    const uint32_t next = r->backoff_ms ? r->backoff_ms * 2 : BACKOFF_FIRST_MS;

    return next > max ? max : next;
}

void role_ended(struct role *r, int wait_status)
{
    struct supervisor *s = r->sup;
    const bool was_ready = r->state == ROLE_READY;
    const bool was_logging_in = r->state == ROLE_LOGGING_IN;

    log_event(was_ready && WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0 ? LOG_INFO : LOG_WARN,
              "role-ended", LOG_STR("role_kind", programs[r->kind].name), LOG_U64("index", r->index),
              LOG_U64("exit", WIFEXITED(wait_status) ? (uint64_t)WEXITSTATUS(wait_status) : 0),
              LOG_U64("signal", WIFSIGNALED(wait_status) ? (uint64_t)WTERMSIG(wait_status) : 0));
    release(r);
    r->state = ROLE_IDLE;
    if (was_logging_in) {
        s->latched = true; /* its try may have been counted: the marker stays */
        metrics_set(s->metrics, METRIC_LATCH_CLOSED, 1);
        log_event(LOG_ERROR, "latch-closed", LOG_STR("reason", "a vault ended while logging in"),
                  LOG_STR("do", "check the PIN, then run kysod --clear-latch"));
    }
    r->backoff_ms = was_ready ? 0 : next_backoff(r);
    if (r->kind == ROLE_AUTHORITY && s->phase > PHASE_RUN &&
        !(WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0))
        s->exit_code = 1; /* no clean stop: the next start will say so too */
    if (s->phase <= PHASE_PROVISION_STATE && WIFEXITED(wait_status) &&
        (WEXITSTATUS(wait_status) == KY_EXIT_NO_TOKEN || WEXITSTATUS(wait_status) == KY_EXIT_TOKEN_FULL))
        s->exit_code = WEXITSTATUS(wait_status);
    supervisor_on_end(r, was_ready && WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0);
    if ((s->phase != PHASE_RUN && r->kind != ROLE_CUSTODY) || !r->wanted)
        return;
    metrics_add(s->metrics, programs[r->kind].restarts, 1);
    if (r->backoff_ms)
        set_timer(r, r->backoff_ms);
    else
        role_start(r);
    if (r->kind == ROLE_VAULT)
        roles_start_next_vault(s);
}

void roles_start_next_vault(struct supervisor *s)
{
    for (int i = 0; i < s->role_count; i++) {
        struct role *r = &s->roles[i];
        if (r->kind == ROLE_VAULT && r->wanted && r->pid == 0 &&
            !(r->timer && evtimer_pending(r->timer, NULL))) {
            role_start(r);
            if (r->pid)
                return;
        }
    }
}
