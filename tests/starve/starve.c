/* SPDX-License-Identifier: Apache-2.0 */
/* The allocator's functions, as the linker's --wrap gives them to us. Any thread. */
#include "starve.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#pragma weak event_set_mem_functions
#pragma weak sqlite3_config

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void __real_free(void *p);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
char *__wrap_strdup(const char *s);
void __wrap_free(void *p);

static struct starve_page own_page;
static struct starve_page *page = &own_page;

uint64_t starve(uint64_t n)
{
    return atomic_exchange(&page->count, n);
}

static bool refused(void)
{
    uint64_t n = atomic_load(&page->count);

    while (n != 0)
        if (atomic_compare_exchange_weak(&page->count, &n, n - 1)) {
            errno = ENOMEM;
            return n == 1;
        }
    return false;
}

static uint64_t size_of(void *p)
{
    return p == NULL ? 0 : malloc_usable_size(p);
}

static void *count_in(void *p)
{
    uint64_t live = atomic_fetch_add(&page->live, size_of(p)) + size_of(p);
    uint64_t peak = atomic_load(&page->peak);

    while (live > peak && !atomic_compare_exchange_weak(&page->peak, &peak, live))
        ;
    return p;
}

void *__wrap_malloc(size_t size)
{
    return refused() ? NULL : count_in(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
    return refused() ? NULL : count_in(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t size)
{
    if (refused())
        return NULL;
    uint64_t before = size_of(p);
    void *q = __real_realloc(p, size);
    if (q != NULL)
        atomic_fetch_sub(&page->live, before);
    return count_in(q);
}

void __wrap_free(void *p)
{
    atomic_fetch_sub(&page->live, size_of(p));
    __real_free(p);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
    size_t all = 0;

    return __builtin_mul_overflow(n, size, &all) ? NULL : __wrap_realloc(p, all);
}

char *__wrap_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *copy = __wrap_malloc(n);

    return copy == NULL ? NULL : memcpy(copy, s, n);
}

/* --- the libraries that can be told ---------------------------------------------------------- */

static void *openssl_malloc(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return size == 0 ? NULL : __wrap_malloc(size);
}

static void *openssl_realloc(void *p, size_t size, const char *file, int line)
{
    (void)file, (void)line;
    if (size == 0) {
        free(p);
        return NULL;
    }
    return __wrap_realloc(p, size);
}

static void openssl_free(void *p, const char *file, int line)
{
    (void)file, (void)line;
    free(p);
}

static void *sqlite_malloc(int size)
{
    return __wrap_malloc((size_t)size);
}

static void *sqlite_realloc(void *p, int size)
{
    return __wrap_realloc(p, (size_t)size);
}

static int sqlite_size(void *p)
{
    return (int)malloc_usable_size(p);
}

static int sqlite_roundup(int size)
{
    return (size + 7) & ~7;
}

static int sqlite_init(void *context)
{
    (void)context;
    return SQLITE_OK;
}

static void sqlite_shutdown(void *context)
{
    (void)context;
}

__attribute__((constructor)) static void starve_libraries(void)
{
    static const sqlite3_mem_methods methods = {
        sqlite_malloc,  free,        sqlite_realloc,  sqlite_size,
        sqlite_roundup, sqlite_init, sqlite_shutdown, NULL};
    const char *path = getenv("KYSO_STARVE");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);

    if (CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) != 1)
        abort();
    if (event_set_mem_functions != NULL)
        event_set_mem_functions(__wrap_malloc, __wrap_realloc, free);
    if (sqlite3_config != NULL && sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) != SQLITE_OK)
        abort();
    if (path == NULL)
        return;
    void *shared =
        fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED)
        abort();
    close(fd);
    page = shared;
}
