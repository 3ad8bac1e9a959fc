/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso-bench-ceiling: what the token alone can do. Forks one process per worker (or starts threads
 * in one), lets them initialise one after another because SoftHSM2 fails when they race, starts all
 * clocks together and adds up. The parent never loads the module: a fork after C_Initialize is not
 * allowed.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mode.h"

#define WORKERS_MAX 64u
#define PIN_MAX     256u

struct options {
    const char *module, *label, *pin_file;
    const struct mode *mode;
    enum token_key key_type;
    unsigned processes;
    double seconds;
    size_t keys;
    char pin[PIN_MAX];
};

struct result { /* of one process */
    uint64_t signatures;
    double seconds;
    double cpu_s; /* of all its threads */
};

struct figures { /* of all processes */
    double per_s;
    double cpu_us_per_sig;
};

struct child { /* one process: parent's ends of its pipes */
    pid_t pid;
    int to, from;
};

static double now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu(void) /* of this thread */
{
    struct rusage u;

    (void)getrusage(RUSAGE_THREAD, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static bool pipe_read(int fd, void *p, size_t n)
{
    size_t have = 0;

    while (have < n) {
        ssize_t r = read(fd, (uint8_t *)p + have, n - have);

        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return false;
        have += (size_t)r;
    }
    return true;
}

static bool pipe_write(int fd, const void *p, size_t n)
{
    return write(fd, p, n) == (ssize_t)n; /* far below PIPE_BUF */
}

static bool run_worker(struct worker *w, const struct options *o, struct result *out)
{
    double start = now();
    double start_cpu = cpu();
    double end = start + o->seconds;
    uint64_t made = 0;

    do {
        unsigned n = o->mode->step(w);

        if (n == 0)
            return false;
        made += n;
    } while (now() < end);
    *out =
        (struct result){.signatures = made, .seconds = now() - start, .cpu_s = cpu() - start_cpu};
    return true;
}

struct thread {
    pthread_t id;
    const struct options *options;
    struct worker worker;
    pthread_barrier_t *start;
    struct result result;
    bool ok;
};

static void *thread_main(void *arg)
{
    struct thread *t = arg;

    (void)pthread_barrier_wait(t->start);
    t->ok = run_worker(&t->worker, t->options, &t->result);
    return NULL;
}

/* All workers of this process: one, unless the mode is one of threads. */
static bool run_all(struct thread *threads, unsigned n, struct result *out)
{
    pthread_barrier_t start;
    bool ok = true;

    if (n == 1) {
        ok = run_worker(&threads->worker, threads->options, out);
        return ok;
    }
    (void)pthread_barrier_init(&start, NULL, n);
    for (unsigned i = 0; i < n; i++) {
        threads[i].start = &start;
        if (pthread_create(&threads[i].id, NULL, thread_main, &threads[i]) != 0)
            exit(1); /* the others wait at the barrier for ever */
    }
    for (unsigned i = 0; i < n; i++) {
        (void)pthread_join(threads[i].id, NULL);
        ok = ok && threads[i].ok;
        out->signatures += threads[i].result.signatures;
        out->seconds += threads[i].result.seconds / n;
        out->cpu_s += threads[i].result.cpu_s;
    }
    (void)pthread_barrier_destroy(&start);
    return ok;
}

static bool child_work(const struct options *o, int from_parent, int to_parent)
{
    unsigned n = o->mode->threads ? o->processes : 1;
    struct thread *threads = calloc(n, sizeof *threads);
    struct token token = {.fn = NULL};
    struct result result = {.signatures = 0};
    char byte = 0;
    bool ok = threads != NULL && pipe_read(from_parent, &byte, 1) &&
              token_open(&token, o->module, o->label, o->pin);

    for (unsigned i = 0; ok && i < n; i++) {
        threads[i].options = o;
        threads[i].worker.count = o->keys;
        ok = token_session_open(&threads[i].worker.session, &token, o->key_type) &&
             o->mode->prepare(&threads[i].worker);
    }
    ok = ok && pipe_write(to_parent, &byte, 1) && pipe_read(from_parent, &byte, 1) &&
         run_all(threads, n, &result);
    for (unsigned i = 0; threads != NULL && token.fn != NULL && i < n; i++)
        o->mode->end(&threads[i].worker);
    token_close(&token);
    free(threads);
    return ok && pipe_write(to_parent, &result, sizeof result);
}

static bool spawn(const struct options *o, struct child *c)
{
    int down[2], up[2];

    if (pipe2(down, O_CLOEXEC) != 0 || pipe2(up, O_CLOEXEC) != 0)
        return false;
    c->pid = fork();
    if (c->pid < 0)
        return false;
    if (c->pid == 0) {
        (void)close(down[1]);
        (void)close(up[0]);
        _exit(child_work(o, down[0], up[1]) ? 0 : 1);
    }
    (void)close(down[0]);
    (void)close(up[1]);
    c->to = down[1];
    c->from = up[0];
    return true;
}

/* One after another to the starting line, then all at once. */
static bool measure(const struct options *o, struct figures *out)
{
    struct child children[WORKERS_MAX];
    unsigned n = o->mode->threads ? 1 : o->processes;
    unsigned started = 0;
    uint64_t signatures = 0;
    double cpu_s = 0;
    char byte = 1;
    bool ok = true;

    while (ok && started < n) {
        ok = spawn(o, &children[started]);
        started += ok ? 1 : 0;
    }
    for (unsigned i = 0; ok && i < n; i++)
        ok = pipe_write(children[i].to, &byte, 1) && pipe_read(children[i].from, &byte, 1);
    for (unsigned i = 0; ok && i < n; i++)
        ok = pipe_write(children[i].to, &byte, 1);
    *out = (struct figures){.per_s = 0};
    for (unsigned i = 0; i < started; i++) {
        struct result r = {.signatures = 0};

        if (!ok)
            (void)close(children[i].to);
        ok = pipe_read(children[i].from, &r, sizeof r) && ok;
        if (ok) {
            out->per_s += (double)r.signatures / r.seconds;
            signatures += r.signatures;
            cpu_s += r.cpu_s;
        }
        (void)waitpid(children[i].pid, NULL, 0);
    }
    if (signatures > 0)
        out->cpu_us_per_sig = cpu_s * 1e6 / (double)signatures;
    return ok;
}

static bool read_pin(struct options *o)
{
    FILE *f = fopen(o->pin_file, "r");
    bool ok = f != NULL && fgets(o->pin, sizeof o->pin, f) != NULL;

    if (f != NULL)
        (void)fclose(f);
    if (ok)
        o->pin[strcspn(o->pin, "\r\n")] = '\0';
    else
        (void)fprintf(stderr, "kyso-bench-ceiling: cannot read the PIN from %s\n", o->pin_file);
    return ok;
}

static int usage(void)
{
    (void)fprintf(
        stderr,
        "usage: kyso-bench-ceiling --module FILE --token LABEL --pin-file FILE [--mode MODE]\n"
        "           [--key-type p256|rsa2048] [--processes N] [--seconds S] [--keys N]\n");
    for (size_t i = 0; mode_at(i) != NULL; i++)
        (void)fprintf(stderr, "  %-10s %s\n", mode_at(i)->name, mode_at(i)->what);
    return 2;
}

static bool parse(int argc, char **argv, struct options *o)
{
    static const struct option names[] = {
        {"module", required_argument, NULL, 'm'},
        {"token", required_argument, NULL, 't'},
        {"pin-file", required_argument, NULL, 'f'},
        {"mode", required_argument, NULL, 'o'},
        {"key-type", required_argument, NULL, 'k'},
        {"processes", required_argument, NULL, 'n'},
        {"seconds", required_argument, NULL, 's'},
        {"keys", required_argument, NULL, 'c'},
        {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (c) {
        case 'm':
            o->module = optarg;
            break;
        case 't':
            o->label = optarg;
            break;
        case 'f':
            o->pin_file = optarg;
            break;
        case 'o':
            o->mode = mode_find(optarg);
            break;
        case 'k':
            o->key_type = strcmp(optarg, "rsa2048") == 0 ? TOKEN_RSA2048 : TOKEN_P256;
            break;
        case 'n':
            o->processes = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 's':
            o->seconds = strtod(optarg, NULL);
            break;
        case 'c':
            o->keys = strtoul(optarg, NULL, 10);
            break;
        default:
            return false;
        }
    }
    return optind == argc && o->module != NULL && o->label != NULL && o->pin_file != NULL &&
           o->mode != NULL && o->processes >= 1 && o->processes <= WORKERS_MAX && o->seconds > 0 &&
           o->keys >= 1;
}

int main(int argc, char **argv)
{
    struct options o = {
        .mode = mode_find("hot"), .key_type = TOKEN_P256, .processes = 2, .seconds = 5, .keys = 1};
    struct figures f;

    if (!parse(argc, argv, &o))
        return usage();
    if (!read_pin(&o) || !measure(&o, &f))
        return 1;
    (void)printf("{\"mode\": \"%s\", \"key_type\": \"%s\", \"processes\": %u, \"threads\": %u, "
                 "\"per_s\": %.1f, \"cpu_us_per_sig\": %.2f}\n",
                 o.mode->name, o.key_type == TOKEN_P256 ? "p256" : "rsa2048",
                 o.mode->threads ? 1 : o.processes, o.mode->threads ? o.processes : 1, f.per_s,
                 f.cpu_us_per_sig);
    return 0;
}
