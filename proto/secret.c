/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets in one locked page each, and the hardening that every role begins with.
 * A page of its own means that MADV_DONTDUMP and MADV_WIPEONFORK take nothing else along,
 * and that a fork of a library's (fault 45) carries zeros.
 */
#include "kyso/secret.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* NULL with errno set. Unlocked memory is refused rather than used: it could reach the swap. */
static uint8_t *page_new(void)
{
    size_t size = page_size();
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return NULL;
    if (mlock(page, size) != 0 || madvise(page, size, MADV_DONTDUMP) != 0 ||
        madvise(page, size, MADV_WIPEONFORK) != 0) {
        int why = errno;
        munmap(page, size);
        errno = why;
        return NULL;
    }
    return page;
}

struct ky_status ky_secret_set(struct ky_secret *s, struct ky_span from)
{
    if (from.len > KY_SECRET_MAX)
        return KY_STATUS(KY_INVALID);
    uint8_t *page = NULL;
    if (from.len > 0) {
        page = page_new();
        if (page == NULL)
            return KY_STATUS_CAUSE(KY_NOMEM, errno);
        memcpy(page, from.data, from.len); /* before the wipe: `from` may be the old value */
    }
    ky_secret_wipe(s);
    s->bytes = page;
    s->len = from.len;
    return KY_STATUS(KY_OK);
}

struct ky_span ky_secret_span(const struct ky_secret *s)
{
    return KY_SPAN(s->bytes, s->len);
}

void ky_secret_wipe(struct ky_secret *s)
{
    if (s->bytes != NULL) {
        size_t size = page_size();
        ky_wipe(s->bytes, size);
        munmap(s->bytes, size);
    }
    *s = (struct ky_secret){0};
}

void ky_wipe(void *p, size_t n)
{
    if (n > 0)
        explicit_bzero(p, n); /* as sure as OPENSSL_cleanse, and a vector at a time */
}

struct ky_status ky_harden_process(void)
{
    const struct rlimit none = {0, 0};
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return KY_STATUS_CAUSE(KY_IO, errno);
    return KY_STATUS(KY_OK);
}

struct ky_status ky_random(void *p, size_t n)
{
    uint8_t *at = p;
    while (n > 0) {
        ssize_t got = getrandom(at, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return KY_STATUS_CAUSE(KY_IO, errno);
        at += got;
        n -= (size_t)got;
    }
    return KY_STATUS(KY_OK);
}
