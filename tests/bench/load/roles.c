/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/PID/stat counts in clock ticks of 10 ms: right to a microsecond a signature over some
 * seconds of some thousand. A role that is replaced during a run takes what it had used along;
 * kysod's own "ended" children are counted as a role of their own.
 */
#include "roles.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#define STAT_MAX  1024u
#define REPLY_MAX 65536u

struct stat_fields {
    char name[ROLE_NAME_MAX];
    uint64_t own, ended; /* ticks */
};

static bool read_stat(long pid, struct stat_fields *out)
{
    char path[64], text[STAT_MAX];
    unsigned long long user, kernel, ended_user, ended_kernel;
    const char *open_at, *close_at;
    FILE *f;
    size_t n;

    (void)snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    f = fopen(path, "r");
    if (f == NULL)
        return false;
    n = fread(text, 1, sizeof text - 1, f);
    (void)fclose(f);
    text[n] = '\0';
    open_at = strchr(text, '(');
    close_at = strrchr(text, ')');
    if (open_at == NULL || close_at == NULL || close_at < open_at ||
        sscanf(close_at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %llu %llu",
               &user, &kernel, &ended_user, &ended_kernel) != 4)
        return false;
    (void)snprintf(out->name, sizeof out->name, "%.*s", (int)(close_at - open_at - 1), open_at + 1);
    out->own = user + kernel;
    out->ended = ended_user + ended_kernel;
    return true;
}

static void add(struct roles *r, const char *name, uint64_t ticks)
{
    uint64_t us = ticks * 1000000u / (uint64_t)sysconf(_SC_CLK_TCK);
    unsigned i = 0;

    while (i < r->count && strcmp(r->role[i].name, name) != 0)
        i++;
    if (i == ROLES_MAX)
        return;
    if (i == r->count)
        (void)snprintf(r->role[r->count++].name, ROLE_NAME_MAX, "%s", name);
    r->role[i].us += us;
}

/* "kyso-vault" is the role vault; the kernel keeps 15 bytes of a program's name. */
static const char *role_of(const char *program)
{
    const char *dash = strncmp(program, "kyso-", 5) == 0 ? program + 5 : program;

    return strncmp(dash, "authorit", 8) == 0 ? "authority" : dash;
}

static void add_children(struct roles *r, long kysod)
{
    char path[64];
    struct stat_fields s;
    FILE *f;
    long pid;

    (void)snprintf(path, sizeof path, "/proc/%ld/task/%ld/children", kysod, kysod);
    f = fopen(path, "r");
    while (f != NULL && fscanf(f, "%ld", &pid) == 1)
        if (read_stat(pid, &s))
            add(r, role_of(s.name), s.own);
    if (f != NULL)
        (void)fclose(f);
    if (read_stat(kysod, &s)) {
        add(r, "supervisor", s.own);
        add(r, "ended", s.ended);
    }
}

static int connect_to(const char *endpoint)
{
    const char *colon = strrchr(endpoint, ':');
    struct sockaddr_in a = {.sin_family = AF_INET};
    char host[64];
    int fd;

    if (colon == NULL || (size_t)(colon - endpoint) >= sizeof host)
        return -1;
    (void)snprintf(host, sizeof host, "%.*s", (int)(colon - endpoint), endpoint);
    a.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    if (inet_pton(AF_INET, host, &a.sin_addr) != 1)
        return -1;
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&a, sizeof a) != 0) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

static bool take_counter(const char *text, const char *name, uint64_t *out)
{
    const char *at = strstr(text, name);

    if (at != NULL)
        *out = strtoull(at + strlen(name), NULL, 10);
    return at != NULL;
}

static bool read_counters(const char *endpoint, struct roles *out)
{
    static const char ask[] = "GET /metrics HTTP/1.0\r\n\r\n";
    char *reply = malloc(REPLY_MAX);
    int fd = reply != NULL ? connect_to(endpoint) : -1;
    size_t have = 0;
    bool ok = false;

    if (fd >= 0 && write(fd, ask, sizeof ask - 1) == (ssize_t)sizeof ask - 1) {
        ssize_t n;

        while (have < REPLY_MAX - 1 && (n = read(fd, reply + have, REPLY_MAX - 1 - have)) > 0)
            have += (size_t)n;
        reply[have] = '\0';
        ok = take_counter(reply, "\nkyso_turns_total ", &out->turns) &&
             take_counter(reply, "\nkyso_commit_microseconds_total ", &out->commit_us) &&
             take_counter(reply, "\nkyso_signatures_total ", &out->signatures) &&
             take_counter(reply, "\nkyso_vault_restarts_total ", &out->vault_restarts);
    }
    if (fd >= 0)
        (void)close(fd);
    free(reply);
    return ok;
}

void roles_read(long kysod, const char *status_endpoint, struct roles *out)
{
    struct stat_fields s;

    *out = (struct roles){.count = 0};
    if (read_stat((long)getpid(), &s))
        add(out, "load", s.own);
    if (kysod != 0)
        add_children(out, kysod);
    if (status_endpoint != NULL)
        out->has_server = read_counters(status_endpoint, out);
}

static uint64_t find(const struct roles *r, const char *name)
{
    for (unsigned i = 0; i < r->count; i++)
        if (strcmp(r->role[i].name, name) == 0)
            return r->role[i].us;
    return 0;
}

uint64_t roles_used_us(const struct roles *from, const struct roles *to, const char *name)
{
    uint64_t before = find(from, name);
    uint64_t after = find(to, name);

    return after > before ? after - before : 0;
}
