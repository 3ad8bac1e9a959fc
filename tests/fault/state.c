/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mapped file under flock(2): the kernel lets go of the lock of a process that was killed, and
 * what such a process held of the token's sessions is given back when somebody next counts them.
 */
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

static struct {
    int fd; /* -1: private */
    struct state *map;
} shared = {.fd = -1};

bool state_open(const char *path)
{
    int kind = MAP_PRIVATE | MAP_ANONYMOUS;
    void *map = NULL;

    if (path != NULL) {
        shared.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (shared.fd < 0 || ftruncate(shared.fd, sizeof(struct state)) != 0)
            return false;
        kind = MAP_SHARED;
    }
    map = mmap(NULL, sizeof(struct state), PROT_READ | PROT_WRITE, kind, shared.fd, 0);
    if (map == MAP_FAILED)
        return false;
    shared.map = map;
    return true;
}

struct state *state_lock(void)
{
    while (shared.fd >= 0 && flock(shared.fd, LOCK_EX) != 0 && errno == EINTR)
        ;
    return shared.map;
}

void state_unlock(void)
{
    if (shared.fd >= 0)
        (void)flock(shared.fd, LOCK_UN);
}

uint64_t state_begin(struct state *s, uint64_t version)
{
    if (s->version != version) {
        s->lives = 0;
        memset(s->met, 0, sizeof(s->met));
        memset(s->fired, 0, sizeof(s->fired));
        s->version = version;
    }
    return ++s->lives;
}

uint32_t state_sessions(struct state *s)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < HOLDERS_MAX; i++) {
        struct holder *h = &s->holders[i];

        if (h->pid != 0 && kill(h->pid, 0) != 0 && errno == ESRCH)
            *h = (struct holder){0};
        sum += h->sessions;
    }
    return sum;
}

void state_count_sessions(struct state *s, int change)
{
    pid_t self = getpid();
    struct holder *mine = NULL;

    for (size_t i = 0; i < HOLDERS_MAX && mine == NULL; i++)
        if (s->holders[i].pid == self)
            mine = &s->holders[i];
    for (size_t i = 0; i < HOLDERS_MAX && mine == NULL; i++)
        if (s->holders[i].pid == 0)
            mine = &s->holders[i];
    if (mine == NULL)
        return;
    mine->pid = self;
    mine->sessions += (uint32_t)change;
}

void state_forget_sessions(struct state *s)
{
    for (size_t i = 0; i < HOLDERS_MAX; i++)
        if (s->holders[i].pid == getpid())
            s->holders[i] = (struct holder){0};
}
