/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One lock, one log, one script. The script is read again whenever the file is another one, so
 * that a test can change the weather under a server that runs. A line is in the log before what it
 * tells of can end the process.
 */
#include "obey.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "state.h"

enum { SCRIPT_MAX = 16384, NS_PER_S = 1000000000 };

static struct {
    pthread_mutex_t lock;
    const char *path; /* of the script, or NULL */
    struct stat seen;
    struct script script;
    uint64_t life;
    uint64_t nth[RULES_MAX];
    uint64_t calls[FN_COUNT];
    uint64_t next_ns[RULES_MAX]; /* throttle: when the next call may begin */
    size_t rotation;
    lose_fn lose;
    int log_fd;
} obey = {.lock = PTHREAD_MUTEX_INITIALIZER, .log_fd = -1};

void obey_lock(void)
{
    (void)pthread_mutex_lock(&obey.lock);
}

void obey_unlock(void)
{
    (void)pthread_mutex_unlock(&obey.lock);
}

const struct settings *obey_settings(void)
{
    return &obey.script.set;
}

size_t obey_rotation(void)
{
    return obey.rotation;
}

void obey_on_lose(lose_fn lose)
{
    obey.lose = lose;
}

/* --- the log --------------------------------------------------------------------------------- */

/* PID FUNCTION NTH WHAT [data=HEX]: one write, so that lines of several processes stay whole. */
static void log_call(const struct call *c, const char *what)
{
    char line[256];
    int n = 0;

    if (obey.log_fd < 0)
        return;
    n = snprintf(line, sizeof(line), "%d %s %llu %s", (int)getpid(), fn_names[c->fn],
                 (unsigned long long)c->nth, what);
    if (c->data != NULL && c->data_len > 0) {
        n += snprintf(line + n, sizeof(line) - (size_t)n, " data=");
        for (CK_ULONG i = 0; i < c->data_len && i < 8; i++)
            n += snprintf(line + n, sizeof(line) - (size_t)n, "%02x", c->data[i]);
    }
    line[n++] = '\n';
    if (write(obey.log_fd, line, (size_t)n) != n)
        abort();
}

/* --- the script ------------------------------------------------------------------------------ */

static bool complain(const char *what)
{
    (void)fprintf(stderr, "fault token: %s: %s\n", obey.path != NULL ? obey.path : "log", what);
    return false;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static bool read_text(struct stat *out_seen, char out[SCRIPT_MAX])
{
    int fd = open(obey.path, O_RDONLY | O_CLOEXEC);
    ssize_t n = -1;

    if (fd < 0)
        return false;
    if (fstat(fd, out_seen) == 0)
        n = read(fd, out, SCRIPT_MAX - 1);
    (void)close(fd);
    if (n < 0 || n == SCRIPT_MAX - 1)
        return false;
    out[n] = '\0';
    return true;
}

/* Lock held. */
static bool read_script(void)
{
    char text[SCRIPT_MAX];
    char why[160];

    if (!read_text(&obey.seen, text))
        return complain("cannot be read");
    if (!script_parse(text, &obey.script, why, sizeof(why)))
        return complain(why);
    memset(obey.nth, 0, sizeof(obey.nth));
    memset(obey.next_ns, 0, sizeof(obey.next_ns));
    obey.rotation = 0;
    obey.life = state_begin(state_lock(), (uint64_t)obey.seen.st_ino ^
                                              (uint64_t)obey.seen.st_mtim.tv_sec << 32 ^
                                              (uint64_t)obey.seen.st_mtim.tv_nsec);
    state_unlock();
    return true;
}

/* Lock held. A script that became unreadable ends the process: no test may run on without it. */
static void read_again_if_changed(void)
{
    struct stat now;

    if (obey.path == NULL || (stat(obey.path, &now) == 0 && same_file(&now, &obey.seen)))
        return;
    if (!read_script())
        abort();
}

bool obey_open(void)
{
    const char *log = getenv("KYSO_FAULT_LOG");
    char state[4096];

    obey.path = getenv("KYSO_FAULT_SCRIPT");
    if (obey.path != NULL)
        (void)snprintf(state, sizeof(state), "%s.state", obey.path);
    if (!state_open(obey.path != NULL ? state : NULL))
        return complain("its state cannot be kept");
    if (log != NULL)
        obey.log_fd = open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (log != NULL && obey.log_fd < 0)
        return complain(strerror(errno));
    return obey.path == NULL || read_script();
}

/* --- which rule ------------------------------------------------------------------------------ */

static bool selects(const struct rule *r, const struct call *c)
{
    if (r->fn != c->fn || (r->unwrapped && !c->unwrapped))
        return false;
    return r->data_len == 0 ||
           (c->data_len >= r->data_len && memcmp(c->data, r->data, r->data_len) == 0);
}

/* Lock held. Every rule that selects the call counts it; the first that holds fires. */
static size_t choose(struct call *c)
{
    struct state *s = state_lock();
    size_t chosen = RULES_MAX;

    for (size_t i = 0; i < obey.script.rule_count; i++) {
        const struct rule *r = &obey.script.rules[i];

        if (!selects(r, c))
            continue;
        obey.nth[i]++;
        s->met[i]++;
        if (chosen == RULES_MAX && s->fired[i] < r->times &&
            rule_counts(r, obey.nth[i], s->met[i], obey.life)) {
            chosen = i;
            s->fired[i]++;
        }
    }
    state_unlock();
    return chosen;
}

/* --- what it does ---------------------------------------------------------------------------- */

static void sleep_ns(uint64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};

    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

/* Lock held. How long this call has to wait for its turn. */
static uint64_t throttle_ns(size_t rule, long per_second)
{
    struct timespec t;
    uint64_t now = 0;
    uint64_t at = 0;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    now = (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
    at = obey.next_ns[rule] > now ? obey.next_ns[rule] : now;
    obey.next_ns[rule] = at + NS_PER_S / (uint64_t)per_second;
    return at - now;
}

/* As a vendor's library that starts a daemon: the child keeps every descriptor there is. */
static void fork_child(const struct call *c)
{
    char what[32];
    pid_t child = fork();

    if (child == 0) {
        (void)alarm(60); /* whatever becomes of the test */
        for (;;)
            (void)pause();
    }
    (void)snprintf(what, sizeof(what), "forked %d", (int)child);
    log_call(c, what);
}

static void die(enum action action, long number)
{
    if (action == ACT_EXIT)
        exit((int)number);
    (void)signal(SIGSEGV, SIG_DFL); /* a sanitizer's report would be about this line only */
    if (action == ACT_CRASH)
        (void)raise(SIGSEGV);
    abort();
}

static void act(struct call *c, uint64_t wait_ns)
{
    switch (c->rule.action) {
    case ACT_DELAY:
        sleep_ns((uint64_t)c->rule.number * 1000000);
        break;
    case ACT_THROTTLE:
        sleep_ns(wait_ns);
        break;
    case ACT_HANG:
        for (;;)
            (void)pause();
    case ACT_CRASH:
    case ACT_ABORT:
    case ACT_EXIT:
        die(c->rule.action, c->rule.number);
        break;
    case ACT_FORK:
        fork_child(c);
        break;
    case ACT_LOSE_SESSION:
    case ACT_LOSE_SESSIONS:
        obey.lose(c->session, c->rule.action == ACT_LOSE_SESSIONS);
        break;
    default: /* the wrapper's own, or call_end's */
        break;
    }
}

bool call_begin(struct call *c)
{
    uint64_t wait_ns = 0;
    size_t chosen = 0;
    char what[48];

    obey_lock();
    read_again_if_changed();
    c->nth = ++obey.calls[c->fn];
    chosen = choose(c);
    c->fires = chosen < RULES_MAX;
    if (c->fires) {
        c->rule = obey.script.rules[chosen];
        obey.rotation += c->rule.action == ACT_PERMUTE;
        if (c->rule.action == ACT_THROTTLE)
            wait_ns = throttle_ns(chosen, c->rule.number);
    }
    obey_unlock();
    if (!c->fires)
        return true;
    (void)snprintf(what, sizeof(what), "fires %s", action_names[c->rule.action]);
    log_call(c, what);
    act(c, wait_ns);
    c->rv = c->rule.rv;
    return c->rule.action != ACT_RETURN;
}

bool call_is(const struct call *c, enum action action)
{
    return c->fires && c->rule.action == action;
}

CK_RV call_end(struct call *c, CK_RV rv)
{
    char what[48];

    if (call_is(c, ACT_AFTER) && rv == CKR_OK)
        rv = c->rule.rv;
    (void)snprintf(what, sizeof(what), "gives 0x%lx", rv);
    log_call(c, what);
    return rv;
}
