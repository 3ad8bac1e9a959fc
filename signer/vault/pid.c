/* SPDX-License-Identifier: Apache-2.0 */
/*
 * getpid() without a system call, for everything in this process. OpenSSL, inside the module as well, asks for it a dozen times per
 * signature to notice a fork, and those calls are a twentieth of a P-256 signature. A vault does not fork; a vendor's module may:
 * its child asks anew. Any thread.
 */
#include "pid.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic pid_t known; /* 0: ask the kernel */

static void forget(void)
{
    atomic_store(&known, 0);
}

void pid_remember(void)
{
    if (pthread_atfork(NULL, NULL, forget) == 0)
        atomic_store(&known, (pid_t)syscall(SYS_getpid));
}

/* Takes the C library's place: the program's own symbols come first, for shared objects too. */
pid_t getpid(void)
{
    pid_t pid = atomic_load_explicit(&known, memory_order_relaxed);

    return pid != 0 ? pid : (pid_t)syscall(SYS_getpid);
}
