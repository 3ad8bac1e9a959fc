/* SPDX-License-Identifier: Apache-2.0 */
/* A remembered getpid(): the same answer, no system call, and the child of a fork knows better. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pid.h"

typedef pid_t (*asked_fn)(void);

static asked_fn asker(void)
{
    void *object = dlopen(TEST_ASKER, RTLD_NOW | RTLD_LOCAL);
    asked_fn fn = NULL;

    assert_non_null(object);
    *(void **)&fn = dlsym(object, "pid_asked"); /* POSIX's way to a function */
    assert_non_null(fn);
    return fn;
}

/* 0 when the child found it so. */
static int in_child(int (*fn)(asked_fn), asked_fn ask)
{
    int status = -1;
    pid_t child = fork();

    if (child == 0)
        _exit(fn(ask));
    assert_true(child > 0);
    assert_int_equal(child, waitpid(child, &status, 0));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int knows_itself(asked_fn ask)
{
    pid_t real = (pid_t)syscall(SYS_getpid);

    return ask() == real && getpid() == real ? 0 : 1;
}

/* From here on the kernel's getpid() fails. */
static int asks_nobody(asked_fn ask)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
    pid_t real = (pid_t)syscall(SYS_getpid);

    pid_remember();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        return 2;
    return syscall(SYS_getpid) == -1 && ask() == real && getpid() == real ? 0 : 1;
}

static void test_children_know_better(void **state)
{
    asked_fn ask = asker();

    (void)state;
    assert_int_equal(0, knows_itself(ask));
    pid_remember();
    assert_int_equal(0, knows_itself(ask));
    assert_int_equal(0, in_child(knows_itself, ask));
    assert_int_equal(0, knows_itself(ask));
}

static void test_no_system_call(void **state)
{
    (void)state;
    assert_int_equal(0, in_child(asks_nobody, asker()));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_children_know_better),
        cmocka_unit_test(test_no_system_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
