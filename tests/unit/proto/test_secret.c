/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets: locked, left out of core files, zero in a child, gone after a wipe; and the hardening.
 */
#include "kyso/secret.h"

#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto_test.h"

/* Does the mapping that holds p carry this flag in smaps ("dd", "wf", "lo")? */
static bool has_vm_flag(const void *p, const char *flag)
{
    FILE *f = fopen("/proc/self/smaps", "r");
    assert_non_null(f);
    char line[512];
    bool here = false, found = false;
    while (fgets(line, sizeof(line), f) != NULL) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            here = from <= (unsigned long)p && (unsigned long)p < to;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, flag) != NULL;
    }
    fclose(f);
    return found;
}

static void test_set_and_wipe(void **state)
{
    (void)state;
    struct ky_secret s = {0};
    EXPECT(KY_OK, ky_secret_set(&s, TEXT("first")));
    assert_true(ky_span_eq(ky_secret_span(&s), TEXT("first")));
    EXPECT(KY_OK, ky_secret_set(&s, TEXT("second one")));
    assert_true(ky_span_eq(ky_secret_span(&s), TEXT("second one")));
    EXPECT(KY_OK, ky_secret_set(&s, KY_SPAN(s.bytes, 6))); /* from itself */
    assert_true(ky_span_eq(ky_secret_span(&s), TEXT("second")));
    EXPECT(KY_OK, ky_secret_set(&s, KY_SPAN(NULL, 0)));
    assert_null(s.bytes);
    ky_secret_wipe(&s);
    ky_secret_wipe(&s);
    assert_int_equal(ky_secret_span(&s).len, 0);
}

static void test_size(void **state)
{
    (void)state;
    struct ky_secret s = {0};
    uint8_t big[KY_SECRET_MAX + 1];
    memset(big, 0x61, sizeof(big));
    EXPECT(KY_OK, ky_secret_set(&s, KY_SPAN(big, KY_SECRET_MAX)));
    EXPECT(KY_INVALID, ky_secret_set(&s, KY_SPAN_OF(big)));
    assert_int_equal(s.len, KY_SECRET_MAX); /* the old value stays */
    ky_secret_wipe(&s);
}

static void test_memory(void **state)
{
    (void)state;
    struct ky_secret s = {0};
    EXPECT(KY_OK, ky_secret_set(&s, TEXT("canary")));
    assert_true(has_vm_flag(s.bytes, " dd"));
    assert_true(has_vm_flag(s.bytes, " wf"));
    /* The sanitizers turn mlock into nothing. */
#ifndef __SANITIZE_ADDRESS__
    assert_true(has_vm_flag(s.bytes, " lo"));
#endif
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(ky_span_all_zero(ky_secret_span(&s)) ? 0 : 1);
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    assert_true(ky_span_eq(ky_secret_span(&s), TEXT("canary")));
    ky_secret_wipe(&s);
}

static void test_wipe(void **state)
{
    (void)state;
    uint8_t bytes[] = "something";
    ky_wipe(bytes, sizeof(bytes));
    assert_true(ky_span_all_zero(KY_SPAN_OF(bytes)));
    ky_wipe(NULL, 0);
}

static void test_random(void **state)
{
    (void)state;
    uint8_t a[600] = {0}, b[600] = {0};
    EXPECT(KY_OK, ky_random(a, sizeof(a)));
    EXPECT(KY_OK, ky_random(b, sizeof(b)));
    assert_memory_not_equal(a, b, sizeof(a));
    for (size_t at = 0; at < sizeof(a); at += 100)
        assert_false(ky_span_all_zero(KY_SPAN(a + at, 100)));
    EXPECT(KY_OK, ky_random(a, 0));
}

/* In a child: what it gives up, it gives up for good. The environment has no say. */
static void test_harden(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setenv("KYSO_TEST_PTRACE", "1", 1);
        struct rlimit core;
        bool good = ky_ok(ky_harden_process()) && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 &&
                    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 &&
                    getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 && core.rlim_max == 0;
        _exit(good ? 0 : 1);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_and_wipe), cmocka_unit_test(test_size),
        cmocka_unit_test(test_memory),       cmocka_unit_test(test_wipe),
        cmocka_unit_test(test_random),       cmocka_unit_test(test_harden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
