/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that misbehaves as a script says: preloaded into kyso-authority, between SQLite and the
 * kernel, for the files kyso.db*. Any other program loads it to no effect. README.md has the
 * grammar. What it needs is opened before main(), so that a process that has given up rights still
 * obeys. Keeps: a script that cannot be understood ends the process, for no test may run on without
 * its fault.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_MAX = 4096, RULES_MAX = 16, WORDS_MAX = 8, FD_LEAST = 100, POLL_NS = 2000000 };
enum op { OP_WRITE, OP_SYNC, OP_TRUNCATE, OP_COUNT };
enum action { FAIL, SHORT, TEAR, HANG, HANG_AFTER, KILL, KILL_AFTER, ACTION_COUNT };

static const char *const op_names[OP_COUNT] = {"write", "sync", "truncate"};
static const char *const action_names[ACTION_COUNT] = {"fail",       "short", "tear",      "hang",
                                                       "hang-after", "kill",  "kill-after"};
static const struct {
    const char *name;
    int value;
} errors[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO}, {"EROFS", EROFS}};

struct rule {
    enum op op;
    unsigned long first, last; /* of the operations since the script was read */
    char file[32];             /* how the name ends; empty: any */
    enum action action;
    int error;
};
static struct {
    int script_fd, log_fd;
    char text[TEXT_MAX + 1];
    struct rule rules[RULES_MAX];
    size_t rule_count;
    unsigned long counts[RULES_MAX];
} disk = {.script_fd = -1, .log_fd = -1};

struct call {
    enum op op;
    int fd;
    const void *data;
    size_t len;
    off_t at;
};

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at);
int fdatasync(int fd);
int ftruncate64(int fd, off64_t len);

static void give_up(const char *what)
{
    (void)fprintf(stderr, "kyso-disk: %s\n", what);
    abort();
}

/* --- the script ------------------------------------------------------------------------------ */

static int find(const char *const *names, int count, const char *word)
{
    for (int i = 0; i < count; i++)
        if (word != NULL && strcmp(names[i], word) == 0)
            return i;
    give_up(word == NULL ? "a word is missing" : word);
    return 0;
}

/* N, N.. or N..M */
static void read_range(const char *word, struct rule *r)
{
    char *rest = NULL;

    if (word == NULL)
        give_up("nth what?");
    r->first = r->last = strtoul(word, &rest, 10);
    if (strncmp(rest, "..", 2) == 0) {
        r->last = rest[2] == '\0' ? ULONG_MAX : strtoul(rest + 2, &rest, 10);
        rest = r->last == ULONG_MAX ? (char *)"" : rest;
    }
    if (*rest != '\0' || r->first == 0 || r->last < r->first)
        give_up(word);
}

static int read_error(const char *word)
{
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
        if (word != NULL && strcmp(errors[i].name, word) == 0)
            return errors[i].value;
    give_up("fail how?");
    return 0;
}

/* OP [nth RANGE] [file SUFFIX] ACTION [ERRNO] */
static void read_rule(char *line)
{
    struct rule r = {.first = 1, .last = ULONG_MAX};
    char *save = NULL;
    char *word = strtok_r(line, " ", &save);

    if (word == NULL || word[0] == '#')
        return;
    r.op = (enum op)find(op_names, OP_COUNT, word);
    for (word = strtok_r(NULL, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
        if (strcmp(word, "nth") == 0) {
            read_range(strtok_r(NULL, " ", &save), &r);
        } else if (strcmp(word, "file") == 0) {
            word = strtok_r(NULL, " ", &save);
            (void)snprintf(r.file, sizeof(r.file), "%s", word == NULL ? "?" : word);
        } else {
            break;
        }
    }
    r.action = (enum action)find(action_names, ACTION_COUNT, word);
    if (r.action == FAIL)
        r.error = read_error(strtok_r(NULL, " ", &save));
    if (strtok_r(NULL, " ", &save) != NULL || disk.rule_count == RULES_MAX ||
        ((r.action == SHORT || r.action == TEAR) && r.op != OP_WRITE))
        give_up("a rule has too much, or there are too many");
    disk.rules[disk.rule_count++] = r;
}

/*
 * True when it is another one: counting begins again. It is replaced by one write of all its bytes.
 */
static bool read_script(void)
{
    char text[TEXT_MAX + 1] = {0};
    char lines[TEXT_MAX + 1];
    char *save = NULL;

    if (pread(disk.script_fd, text, TEXT_MAX, 0) < 0)
        give_up("the script cannot be read");
    if (strcmp(text, disk.text) == 0)
        return false;
    memcpy(disk.text, text, sizeof(text));
    memcpy(lines, text, sizeof(text));
    memset(disk.counts, 0, sizeof(disk.counts));
    disk.rule_count = 0;
    for (char *line = strtok_r(lines, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save))
        read_rule(line);
    return true;
}

/* --- obeying --------------------------------------------------------------------------------- */

static bool is_ours(int fd, char name[PATH_MAX])
{
    char link[64];
    ssize_t n = 0;

    if (disk.script_fd < 0)
        return false;
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, name, PATH_MAX - 1);
    name[n < 0 ? 0 : n] = '\0';
    const char *base = strrchr(name, '/');
    return base != NULL && strncmp(base, "/kyso.db", strlen("/kyso.db")) == 0;
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), e = strlen(end);
    return n >= e && strcmp(name + n - e, end) == 0;
}

/* All rules count the call; the first that holds fires. */
static const struct rule *choose(const struct call *c, const char *name)
{
    const struct rule *found = NULL;

    for (size_t i = 0; i < disk.rule_count; i++) {
        const struct rule *r = &disk.rules[i];
        if (r->op != c->op || !ends_with(name, r->file))
            continue;
        disk.counts[i]++;
        if (found == NULL && disk.counts[i] >= r->first && disk.counts[i] <= r->last)
            found = r;
    }
    return found;
}

static void note(const struct call *c, const char *name, const struct rule *r)
{
    char line[PATH_MAX + 128];
    int n = snprintf(line, sizeof(line), "%d %s %s %s\n", (int)getpid(), op_names[c->op],
                     action_names[r->action], strrchr(name, '/') + 1);

    if (disk.log_fd >= 0 && write(disk.log_fd, line, (size_t)n) != n)
        give_up("the log cannot be written");
}

static long make(const struct call *c)
{
    switch (c->op) {
    case OP_WRITE:
        return syscall(SYS_pwrite64, c->fd, c->data, c->len, c->at);
    case OP_SYNC:
        return syscall(SYS_fdatasync, c->fd);
    default:
        return syscall(SYS_ftruncate, c->fd, c->at);
    }
}

static void hold(void)
{
    const struct timespec step = {.tv_nsec = POLL_NS};

    while (!read_script())
        (void)nanosleep(&step, NULL);
}

static long half(struct call c)
{
    c.len = (c.len + 1) / 2;
    return make(&c);
}

static long obey(const struct call *c)
{
    char name[PATH_MAX];
    long result = 0;

    if (!is_ours(c->fd, name))
        return make(c);
    (void)read_script();
    const struct rule *found = choose(c, name);
    if (found == NULL)
        return make(c);
    struct rule r = *found; /* holding may replace the script */
    note(c, name, &r);
    if (r.action == FAIL) {
        errno = r.error;
        return -1;
    }
    if (r.action == KILL)
        (void)raise(SIGKILL);
    if (r.action == HANG)
        hold();
    result = r.action == SHORT || r.action == TEAR ? half(*c) : make(c);
    int error = errno;
    if (r.action == TEAR || r.action == KILL_AFTER)
        (void)raise(SIGKILL);
    if (r.action == HANG_AFTER)
        hold();
    errno = error;
    return result;
}

/* --- what SQLite calls ----------------------------------------------------------------------- */

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at)
{
    return obey(&(struct call){.op = OP_WRITE, .fd = fd, .data = data, .len = len, .at = at});
}

int fdatasync(int fd)
{
    return (int)obey(&(struct call){.op = OP_SYNC, .fd = fd});
}

int ftruncate64(int fd, off64_t len)
{
    return (int)obey(&(struct call){.op = OP_TRUNCATE, .fd = fd, .at = len});
}

/* Far from the numbers at which a role finds its descriptors. */
static int open_far(const char *name, int flags)
{
    const char *path = getenv(name);
    int near = path == NULL ? -1 : open(path, flags | O_CLOEXEC);
    int fd = near < 0 ? -1 : fcntl(near, F_DUPFD_CLOEXEC, FD_LEAST);

    if (near >= 0)
        (void)close(near);
    if (path != NULL && fd < 0)
        give_up(path);
    return fd;
}

__attribute__((constructor)) static void begin(void)
{
    if (strcmp(program_invocation_short_name, "kyso-authority") != 0)
        return;
    disk.script_fd = open_far("KYSO_DISK_SCRIPT", O_RDONLY);
    disk.log_fd = open_far("KYSO_DISK_LOG", O_WRONLY | O_APPEND);
}
