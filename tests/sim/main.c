/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso-sim: runs schedules, one per seed, and says which command shows a failure again. The
 * schedules run in a child, so that a sanitizer's abort or a hang is reported like any other
 * failure.
 */
#include "sim.h"
#include "splitmix.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STEPS      120u
#define SEED_MAX_S 60u /* one schedule takes milliseconds; thousands of steps take seconds */

const char *const figure_names[FIGURES] = {"signed",         "repeated",     "conflicts",
                                           "denied",         "locks",        "floored",
                                           "by SAD",         "by approval",  "waits",
                                           "cancels",        "not me",       "abandoned",
                                           "split",          "redispatched", "late results",
                                           "vaults killed",  "crashes",      "clean stops",
                                           "disk faults",    "operations",   "revoked in flight",
                                           "clock set back", "expired",      "busy"};

struct shared { /* with the child */
    uint64_t seed, steps, done;
    uint64_t figures[FIGURES];
};

uint64_t sim_draw(struct sim *s)
{
    return splitmix(&s->random);
}

uint32_t sim_pick(struct sim *s, uint32_t n)
{
    return (uint32_t)(sim_draw(s) % n);
}

bool sim_chance(struct sim *s, uint32_t percent)
{
    return sim_pick(s, 100) < percent;
}

void sim_trace(const struct sim *s, const char *format, ...)
{
    va_list args;

    if (!s->trace)
        return;
    printf("%4lu %5lu ", (unsigned long)s->step, (unsigned long)s->turn);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

void sim_fail(const struct sim *s, const char *rule, const char *format, ...)
{
    va_list args;

    printf("seed %lu, step %lu: %s: ", (unsigned long)s->seed, (unsigned long)s->step, rule);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    fflush(stdout);
    _exit(1);
}

/*
 * Ids, nonces and salts come from the schedule's seed too: the linker puts this in the place of
 * ky_random (CMakeLists.txt).
 */
static struct sim *drawing;
struct ky_status __wrap_ky_random(void *p, size_t n);
struct ky_status __real_ky_random(void *p, size_t n);
struct ky_status __wrap_ky_random(void *p, size_t n)
{
    uint8_t *out = p;

    if (drawing == NULL)
        return __real_ky_random(p, n);
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(sim_draw(drawing) >> 32);
    return KY_STATUS(KY_OK);
}

struct todo {
    uint64_t from, to; /* both run */
    char **seeds;
    int seed_count;
    uint64_t steps;
    bool trace;
};

static void run_one(struct sim *s, struct shared *at, uint64_t seed)
{
    at->seed = seed;
    s->seed = s->random = seed;
    (void)alarm(SEED_MAX_S + (unsigned)(s->steps / 20));
    sim_run(s);
    at->done++;
}

static int child(const struct todo *todo, struct shared *at)
{
    struct sim s = {.steps = todo->steps, .trace = todo->trace, .figures = at->figures};

    drawing = &s;
    sim_setup(&s);
    for (int i = 0; i < todo->seed_count; i++)
        run_one(&s, at, strtoull(todo->seeds[i], NULL, 10));
    for (uint64_t seed = todo->from; seed <= todo->to; seed++)
        run_one(&s, at, seed);
    drawing = NULL;
    sim_close(&s);
    return 0;
}

/* The authority's log and a sanitizer's report, whose end is what matters. */
static void show_errors(int fd)
{
    char bytes[8192];
    off_t len = lseek(fd, 0, SEEK_END);
    off_t from = len > (off_t)sizeof(bytes) ? len - (off_t)sizeof(bytes) : 0;
    ssize_t n = pread(fd, bytes, sizeof(bytes), from);

    if (n > 0)
        (void)!write(STDOUT_FILENO, bytes, (size_t)n);
}

static void show(const struct shared *at, double took_s)
{
    printf("%lu schedules of %lu steps in %.1f s\n", (unsigned long)at->done,
           (unsigned long)at->steps, took_s);
    for (int i = 0; i < FIGURES; i++)
        printf("%s%s %lu", i == 0 ? "" : ", ", figure_names[i], (unsigned long)at->figures[i]);
    printf("\n");
}

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A run of some length that never met a thing did not test it. */
static int check_reached(const struct shared *at)
{
    int missing = 0;

    for (int i = 0; i < FIGURES && at->done >= 500; i++)
        if (at->figures[i] == 0) {
            printf("no schedule reached: %s\n", figure_names[i]);
            missing = 1;
        }
    return missing;
}

static int run(const struct todo *todo)
{
    struct shared *at =
        mmap(NULL, sizeof(*at), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double began = now_s();
    int errors = memfd_create("stderr", MFD_CLOEXEC);
    int status = 0;

    if (at == MAP_FAILED || errors < 0)
        return 2;
    at->steps = todo->steps;
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(errors, STDERR_FILENO);
        exit(child(todo, at));
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (pid < 0 || status != 0) {
        show_errors(errors);
        printf("FAILED (%s %d) after %lu schedules, %.1f s; again with:\n  kyso-sim %lu --steps "
               "%lu --trace\n",
               WIFSIGNALED(status) ? "signal" : "status",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
               (unsigned long)at->done, now_s() - began, (unsigned long)at->seed,
               (unsigned long)at->steps);
        return 1;
    }
    show(at, now_s() - began);
    return check_reached(at);
}

static int usage(void)
{
    fprintf(stderr, "usage: kyso-sim SEED... | --seeds FROM..TO [--steps N] [--trace]\n");
    return 2;
}

int main(int argc, char **argv)
{
    struct todo todo = {.from = 1, .steps = STEPS};
    char *end = NULL;

    todo.seeds = argv + 1;
    while (todo.seed_count + 1 < argc && argv[todo.seed_count + 1][0] != '-')
        todo.seed_count++;
    for (int i = todo.seed_count + 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0) {
            todo.trace = true;
        } else if (strcmp(argv[i], "--steps") == 0 && i + 1 < argc) {
            todo.steps = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc) {
            todo.from = strtoull(argv[++i], &end, 10);
            todo.to = strncmp(end, "..", 2) == 0 ? strtoull(end + 2, NULL, 10) : 0;
        } else {
            return usage();
        }
    }
    if ((todo.seed_count == 0 && todo.to < todo.from) || todo.steps == 0)
        return usage();
    return run(&todo);
}
