/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filters, as tables. Fronts, status and authority have lists of what their loops ask for: what is missing there
 * fails with EPERM. A vault runs a vendor's library, which may ask for anything, so it has a list of what it may not.
 * In instrumented builds (KYSO_INSTRUMENTED) the lists are longer by what sanitizers and gcov do, and a call that
 * is missing ends the process: so the tests, which run those builds, find it before a production server does.
 */
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

struct call {
    int number;
    struct scmp_arg_cmp when; /* all zero: always */
};

struct list {
    const struct call *calls;
    size_t count;
};

/* clang-format off */
#define ALWAYS(name)                  { SCMP_SYS(name), { 0 } }
#define WHEN(name, argument, value)   { SCMP_SYS(name), { argument, SCMP_CMP_EQ, value, 0 } }
#define WITHOUT(name, argument, bits) { SCMP_SYS(name), { argument, SCMP_CMP_MASKED_EQ, bits, 0 } }
/* The kernel looks at 32 bits only: what is refused must not come back with others set above them. */
#define WHEN_LOW(name, argument, value) { SCMP_SYS(name), { argument, SCMP_CMP_MASKED_EQ, UINT32_MAX, value } }
#define LIST(table)                   { table, sizeof(table) / sizeof((table)[0]) }

/* Every loop of ours: what is open, memory without code, clocks, its own signals, its end. */
static const struct call loop_calls[] = {
    ALWAYS(read), ALWAYS(write), ALWAYS(readv), ALWAYS(writev), ALWAYS(recvmsg), ALWAYS(recvfrom),
    WITHOUT(sendmsg, 2, MSG_FASTOPEN), WITHOUT(sendto, 3, MSG_FASTOPEN), /* with it they connect */
    ALWAYS(close), ALWAYS(shutdown), ALWAYS(poll), ALWAYS(epoll_wait), ALWAYS(epoll_pwait),
    ALWAYS(epoll_ctl), ALWAYS(epoll_create1),
    WHEN(fcntl, 1, F_GETFL), WHEN(fcntl, 1, F_SETFL), WHEN(fcntl, 1, F_GETFD), WHEN(fcntl, 1, F_SETFD),
    WHEN(ioctl, 1, FIONREAD),
    ALWAYS(brk), ALWAYS(munmap), ALWAYS(mremap), ALWAYS(madvise), ALWAYS(mlock), ALWAYS(munlock),
    WITHOUT(mmap, 2, PROT_EXEC), WITHOUT(mprotect, 2, PROT_EXEC),
    ALWAYS(futex), ALWAYS(getrandom), ALWAYS(getpid), ALWAYS(gettid), ALWAYS(sysinfo), ALWAYS(restart_syscall),
    ALWAYS(clock_gettime), ALWAYS(gettimeofday), ALWAYS(clock_nanosleep), ALWAYS(nanosleep),
    ALWAYS(rt_sigaction), ALWAYS(rt_sigprocmask), ALWAYS(rt_sigreturn), ALWAYS(exit), ALWAYS(exit_group),
};
static const struct call door_calls[] = {
    ALWAYS(accept4), ALWAYS(accept), ALWAYS(getsockname), ALWAYS(getpeername), ALWAYS(getsockopt), ALWAYS(setsockopt),
};
static const struct call client_calls[] = {WHEN(socket, 0, AF_INET), WHEN(socket, 0, AF_INET6), ALWAYS(connect)};
/* SQLite's, the checkpoint's, and how libevent starts. Landlock, or else file rights, say which files. */
static const struct call authority_calls[] = {
    ALWAYS(open), ALWAYS(openat), ALWAYS(pread64), ALWAYS(pwrite64), ALWAYS(lseek), ALWAYS(fsync), ALWAYS(fdatasync),
    ALWAYS(ftruncate), ALWAYS(fallocate), ALWAYS(flock), ALWAYS(stat), ALWAYS(lstat), ALWAYS(fstat), ALWAYS(newfstatat),
    ALWAYS(access), ALWAYS(faccessat), ALWAYS(faccessat2), ALWAYS(readlink), ALWAYS(readlinkat), ALWAYS(getcwd),
    ALWAYS(rename), ALWAYS(renameat), ALWAYS(renameat2), ALWAYS(unlink), ALWAYS(unlinkat), ALWAYS(fchmod),
    ALWAYS(fchown), ALWAYS(umask), ALWAYS(clock_adjtime), ALWAYS(pipe2), ALWAYS(getuid), ALWAYS(geteuid),
    ALWAYS(getgid), ALWAYS(getegid),
    WHEN(fcntl, 1, F_SETLK), WHEN(fcntl, 1, F_SETLKW), WHEN(fcntl, 1, F_GETLK), WHEN(fcntl, 1, F_DUPFD_CLOEXEC),
};
#ifdef KYSO_INSTRUMENTED
static const struct call instrument_calls[] = {
    ALWAYS(clone), ALWAYS(ptrace), ALWAYS(wait4), ALWAYS(sched_yield), ALWAYS(sigaltstack), ALWAYS(getdents), ALWAYS(prctl),
    ALWAYS(getppid),
};
#endif

/* A vault's: what no module has a reason for. Its signals go to itself only (kill with 0 asks who lives). */
static const struct call vault_refused[] = {
    ALWAYS(execve), ALWAYS(execveat), ALWAYS(ptrace), ALWAYS(process_vm_readv), ALWAYS(process_vm_writev),
    ALWAYS(pidfd_open), ALWAYS(pidfd_getfd), ALWAYS(pidfd_send_signal), ALWAYS(kcmp), ALWAYS(tkill),
    ALWAYS(rt_sigqueueinfo), ALWAYS(rt_tgsigqueueinfo), ALWAYS(mount), ALWAYS(umount2), ALWAYS(pivot_root), ALWAYS(chroot),
    ALWAYS(setns), ALWAYS(unshare), ALWAYS(open_by_handle_at), ALWAYS(bpf), ALWAYS(perf_event_open), ALWAYS(userfaultfd),
    ALWAYS(io_uring_setup), ALWAYS(io_uring_enter), ALWAYS(io_uring_register), ALWAYS(add_key), ALWAYS(request_key),
    ALWAYS(keyctl), ALWAYS(init_module), ALWAYS(finit_module), ALWAYS(delete_module), ALWAYS(kexec_load),
    ALWAYS(kexec_file_load), ALWAYS(reboot), ALWAYS(swapon), ALWAYS(swapoff), ALWAYS(setuid), ALWAYS(setgid),
    ALWAYS(setreuid), ALWAYS(setregid), ALWAYS(setresuid), ALWAYS(setresgid), ALWAYS(setgroups), ALWAYS(personality),
    /* a signal by way of a descriptor; a terminal's input */
    WHEN_LOW(fcntl, 1, F_SETOWN), WHEN_LOW(fcntl, 1, F_SETOWN_EX), WHEN_LOW(fcntl, 1, F_SETSIG),
    WHEN_LOW(ioctl, 1, FIOSETOWN), WHEN_LOW(ioctl, 1, SIOCSPGRP), WHEN_LOW(ioctl, 1, TIOCSTI),
};
/* p11-kit and NSPR know socketpair, for modules in other processes and for pipes of threads: none of it is used. */
static const struct call socket_calls[] = {
    ALWAYS(socket), ALWAYS(socketpair), ALWAYS(connect), ALWAYS(bind), ALWAYS(listen), ALWAYS(accept), ALWAYS(accept4),
};
/* clang-format on */

static bool add(scmp_filter_ctx filter, uint32_t action, struct list from)
{
    for (size_t i = 0; i < from.count; i++) {
        const struct call *c = &from.calls[i];
        if (seccomp_rule_add_array(filter, action, c->number, c->when.op != _SCMP_CMP_MIN, &c->when) != 0)
            return false;
    }
    return true;
}

static bool add_allowed(scmp_filter_ctx filter, const struct confine *c)
{
    const struct list loop = LIST(loop_calls), door = LIST(door_calls), authority = LIST(authority_calls);
    const struct list client = LIST(client_calls);
    bool files = c->role == CONFINE_AUTHORITY;

#ifdef KYSO_INSTRUMENTED
    const struct list instruments = LIST(instrument_calls);
    files = true;
    if (!add(filter, SCMP_ACT_ALLOW, instruments))
        return false;
#endif
    return add(filter, SCMP_ACT_ALLOW, loop) && (c->role != CONFINE_DOOR || add(filter, SCMP_ACT_ALLOW, door)) &&
           (c->role != CONFINE_DOOR || !c->sockets || add(filter, SCMP_ACT_ALLOW, client)) &&
           (!files || add(filter, SCMP_ACT_ALLOW, authority)) &&
           /* abort(3) */
           seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                            SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid())) == 0;
}

static bool add_refused(scmp_filter_ctx filter, const struct confine *c)
{
    const struct list refused = LIST(vault_refused), sockets = LIST(socket_calls);
    const uint32_t no = SCMP_ACT_ERRNO(EPERM);
    const struct scmp_arg_cmp not_self = SCMP_A0(SCMP_CMP_NE, (scmp_datum_t)getpid());
    const struct scmp_arg_cmp not_nothing = SCMP_A1(SCMP_CMP_NE, 0);

    return add(filter, no, refused) && (c->sockets || add(filter, no, sockets)) &&
           seccomp_rule_add(filter, no, SCMP_SYS(kill), 2, not_self, not_nothing) == 0 &&
           seccomp_rule_add(filter, no, SCMP_SYS(tgkill), 1, not_self) == 0;
}

static struct ky_status filter_calls(const struct confine *c)
{
#ifdef KYSO_INSTRUMENTED
    const uint32_t unlisted = SCMP_ACT_KILL_PROCESS;
#else
    const uint32_t unlisted = SCMP_ACT_ERRNO(EPERM);
#endif
    const bool vault = c->role == CONFINE_VAULT;
    scmp_filter_ctx filter = seccomp_init(vault ? SCMP_ACT_ALLOW : unlisted);
    struct ky_status st = KY_STATUS(KY_IO);

    if (filter == NULL)
        return KY_STATUS(KY_NOMEM);
    if (vault ? add_refused(filter, c) : add_allowed(filter, c))
        st = seccomp_load(filter) == 0 ? KY_STATUS(KY_OK) : KY_STATUS_CAUSE(KY_IO, errno);
    seccomp_release(filter);
    return st;
}

struct ky_status confine_process(const struct confine *c)
{
    struct ky_status st = KY_STATUS(KY_OK);
    const uid_t user = getuid();
    uint32_t landlock = 0;

    tzset(); /* the log's first line would read a file */
#ifndef KYSO_INSTRUMENTED /* sanitizers read /proc, gcov writes where it was built */
    if (c->role != CONFINE_VAULT)
        st = confine_files(c, &landlock);
#endif
    if (ky_ok(st))
        st = filter_calls(c);
    if (ky_ok(st))
        log_event(LOG_INFO, "confined", LOG_U64("uid", user), LOG_U64("landlock", landlock));
    return st;
}
