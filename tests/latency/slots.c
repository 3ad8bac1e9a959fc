/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places of a simulated HSM; see slots.h. The lock is held for a scan of a few words, never for a
 * delay.
 */
#include "slots.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SLOTS_MAGIC UINT64_C(0x6b79736f2d736c32)
#define NS_PER_S    UINT64_C(1000000000)
#define TIMER_SLACK 1000ul /* ns; the default of 50 us would be a percent of 4 ms */

uint64_t slots_now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static bool slots_init(struct slots *s, uint32_t count)
{
    pthread_mutexattr_t attr;
    bool ok = pthread_mutexattr_init(&attr) == 0;

    if (!ok)
        return false;
    ok = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED) == 0 &&
         pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) == 0 &&
         pthread_mutex_init(&s->lock, &attr) == 0;
    (void)pthread_mutexattr_destroy(&attr);
    s->count = count;
    s->random = slots_now() | 1u;
    s->magic = SLOTS_MAGIC;
    return ok;
}

/* With the file's lock held: made whole by its first owner, only checked by the others. */
static struct slots *map_file(int fd, uint32_t count)
{
    struct stat info;
    struct slots *s = NULL;
    bool fresh = false;

    if (fstat(fd, &info) != 0)
        return NULL;
    fresh = info.st_size == 0;
    if (fresh && ftruncate(fd, (off_t)sizeof(*s)) != 0)
        return NULL;
    if (!fresh && info.st_size != (off_t)sizeof(*s)) {
        errno = EINVAL;
        return NULL;
    }
    s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (s == MAP_FAILED)
        return NULL;
    if (fresh ? slots_init(s, count) : s->magic == SLOTS_MAGIC && s->count == count)
        return s;
    (void)munmap(s, sizeof(*s));
    errno = EINVAL;
    return NULL;
}

struct slots *slots_open(const char *path, uint32_t count)
{
    struct slots *s = NULL;
    int fd = -1;
    int why = 0;

    if (count == 0 || count > SLOTS_MAX) {
        errno = EINVAL;
        return NULL;
    }
    if (path == NULL) {
        s = calloc(1, sizeof(*s));
        return s != NULL && slots_init(s, count) ? s : NULL;
    }
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX) == 0)
        s = map_file(fd, count);
    why = errno;
    if (fd >= 0) {
        (void)flock(fd, LOCK_UN); /* a mapping outlives the descriptor, and so would its lock */
        (void)close(fd);
    }
    errno = why;
    return s;
}

uint64_t slots_take(struct slots *s, uint64_t now_ns, uint64_t hold_ns)
{
    uint32_t first = 0;

    for (uint32_t i = 1; i < s->count; i++) {
        if (s->free_ns[i] < s->free_ns[first])
            first = i;
    }
    if (s->free_ns[first] < now_ns)
        s->free_ns[first] = now_ns;
    s->free_ns[first] += hold_ns;
    return s->free_ns[first];
}

/* xorshift64: for jitter, nothing else. */
static uint64_t next_random(struct slots *s)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return s->random;
}

uint64_t slots_book(struct slots *s, uint64_t base_ns, uint64_t jitter_ns)
{
    uint64_t hold = base_ns;
    uint64_t end = 0;

    if (jitter_ns > base_ns)
        jitter_ns = base_ns;
    /* The owner died between two words of the scan: no state is half-written that matters. */
    if (pthread_mutex_lock(&s->lock) == EOWNERDEAD)
        (void)pthread_mutex_consistent(&s->lock);
    if (jitter_ns > 0)
        hold = base_ns - jitter_ns + next_random(s) % (2 * jitter_ns + 1);
    end = slots_take(s, slots_now(), hold);
    (void)pthread_mutex_unlock(&s->lock);
    return end;
}

void slots_sleep_until(uint64_t end_ns)
{
    static _Thread_local bool precise;
    const struct timespec t = {(time_t)(end_ns / NS_PER_S), (long)(end_ns % NS_PER_S)};

    if (!precise)
        precise = prctl(PR_SET_TIMERSLACK, TIMER_SLACK, 0ul, 0ul, 0ul) == 0;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}
