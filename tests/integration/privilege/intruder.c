/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An intruder that a test loads into every role (LD_PRELOAD): on SIGUSR2 the role tries, as code
 * that was smuggled into it would, what it should not be able to do, and writes the errno of each
 * try to its log. The signal's value names the process that it tries to harm, KYSO_INTRUDER_FILES
 * (NAME=PATH:NAME=PATH...) the files that it tries to open, KYSO_INTRUDER_STATE the state's folder,
 * if it is to try to change that. System calls only, so that nothing but the kernel says no. The
 * last try is another program, which ends the role if it starts.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static void say(const char *attempt, long result)
{
    char line[160];
    int n = snprintf(line, sizeof(line), "intruder %ld %s %d\n", syscall(SYS_getpid), attempt,
                     result < 0 ? errno : 0);

    if (n > 0)
        (void)!write(STDERR_FILENO, line, (size_t)n);
}

/* A descriptor that was had is given back. */
static void say_fd(const char *attempt, long fd)
{
    say(attempt, fd);
    if (fd >= 0)
        (void)syscall(SYS_close, fd);
}

static void try_files(const char *list)
{
    char name[64], path[512];
    int used = 0;

    while (list && sscanf(list, "%63[^=]=%511[^:]:%n", name, path, &used) == 2) {
        say_fd(name, syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC));
        list += used;
    }
}

static void try_calls(pid_t other)
{
    const struct sockaddr_in there = {
        .sin_family = AF_INET, .sin_port = htons(1), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    char here[8];
    const struct iovec to = {here, sizeof(here)}, from = {here, sizeof(here)};
    const struct msghdr message = {.msg_namelen = 0};
    char path[64];
    long child;

    (void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)other);
    say_fd("memory-file", syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC));
    say("memory-read", syscall(SYS_process_vm_readv, other, &to, 1L, &from, 1L, 0L));
    say("ptrace", syscall(SYS_ptrace, PTRACE_SEIZE, other, NULL, NULL));
    say("kill", syscall(SYS_kill, other, SIGCONT)); /* harmless where it arrives */
    say_fd("pidfd", syscall(SYS_pidfd_open, other, 0));
    say("signal-by-fcntl", syscall(SYS_fcntl, STDERR_FILENO, F_SETOWN, other));
    say("signal-by-ioctl", syscall(SYS_ioctl, STDERR_FILENO, (long)FIOSETOWN | 1L << 32, &other));
    say_fd("socket-inet", syscall(SYS_socket, AF_INET, SOCK_STREAM, 0));
    say_fd("socket-unix", syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0));
    int pair[2];
    say("socketpair", syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, pair));
    say("connect", syscall(SYS_connect, -1, &there, sizeof(there))); /* EBADF: the call is there */
    say("connect-by-sendto",
        syscall(SYS_sendto, -1, here, 0L, (long)MSG_FASTOPEN, &there, sizeof(there)));
    say("connect-by-sendmsg", syscall(SYS_sendmsg, -1, &message, (long)MSG_FASTOPEN));
    say("new-code", (long)syscall(SYS_mmap, NULL, 4096L, PROT_READ | PROT_WRITE | PROT_EXEC,
                                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L));
    child = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (child == 0)
        (void)syscall(SYS_exit_group, 0);
    say("fork", child);
    /* KY_METRICS_FD */
    say("figures", (long)syscall(SYS_mmap, NULL, 4096L, PROT_WRITE, MAP_SHARED, 7, 0L));
    say("become-root", syscall(SYS_setresuid, 0, 0, 0));
}

static void try_state(const char *state)
{
    char here[512], there[512];

    (void)snprintf(here, sizeof(here), "%s/planted", state);
    say_fd("plant-file", syscall(SYS_openat, AT_FDCWD, here, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    (void)snprintf(here, sizeof(here), "%s/run", state);
    (void)snprintf(there, sizeof(there), "%s/gone", state);
    say("move-run", syscall(SYS_rename, here, there));
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    char *const argv[] = {(char *)(uintptr_t) "true", NULL};
    int before = errno;

    (void)number;
    (void)context;
    try_files(getenv("KYSO_INTRUDER_FILES"));
    if (getenv("KYSO_INTRUDER_STATE"))
        try_state(getenv("KYSO_INTRUDER_STATE"));
    try_calls(info->si_value.sival_int);
    say("exec", syscall(SYS_execve, "/bin/true", argv, NULL));
    errno = before;
}

__attribute__((constructor)) static void prepare(void)
{
    const struct sigaction action = {.sa_sigaction = on_signal,
                                     .sa_flags = SA_SIGINFO | SA_RESTART};

    (void)sigaction(SIGUSR2, &action, NULL);
}
