/* SPDX-License-Identifier: Apache-2.0 */
/*
 * P11: after which failed logins another may follow. All that the latch knows is in files, so each
 * call here is as good as one after a restart.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "supervisor.h"

static char folder[] = "/tmp/kyso-latch-XXXXXX";
static struct config config = {.state_dir = folder};

static void remove_files(void)
{
    static const char *const names[] = {"login-pending", "login-failures"};
    char path[128];

    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    remove_files();
    return rmdir(folder);
}

static bool is_closed(void)
{
    char reason[64];

    return latch_is_armed(&config, reason, sizeof(reason));
}

/* A login that the token answers so; true when another may follow. */
static bool fails(uint64_t ckr)
{
    const char *closed;

    assert_true(ky_ok(latch_arm(&config, "vault 3")));
    assert_true(is_closed());
    closed = latch_login_failed(&config, ckr);
    assert_true((closed != NULL) == is_closed());
    return closed == NULL;
}

static void test_the_marker_names_who(void **state)
{
    char reason[64];

    (void)state;
    assert_true(ky_ok(latch_arm(&config, "vault 3")));
    assert_true(latch_is_armed(&config, reason, sizeof(reason)));
    assert_string_equal(reason, "vault 3");
    latch_disarm(&config);
    assert_false(is_closed());
}

static void test_what_may_follow_a_look_at_the_pin(void **state)
{
    static const uint64_t codes[] = {
        0x02, 0x05, 0x06, 0x07,       /* host memory, general error, function failed, arguments */
        0x30, 0x31, 0x50, 0x54,       /* device error and memory, cancelled, not supported */
        0xA0, 0xA1, 0xA2, 0xA3, 0xA4, /* of the PIN */
        0xE1, 0x100, 0x102, 0x104,    /* not recognised, already, not initialised, another */
        0x80000000, 0x80000077, 0x7777,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        remove_files();
        if (fails(codes[i]))
            fail_msg("0x%llx", (unsigned long long)codes[i]);
    }
}

static void test_the_third_in_a_row_is_the_last(void **state)
{
    static const uint64_t codes[] = {0x32, 0xB0, 0xB1, 0xB3, 0xB8, 0xE0};

    (void)state;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        remove_files();
        assert_true(fails(codes[i]));
        assert_true(fails(0x32));
        assert_true(fails(LATCH_NOT_TRIED)); /* counts for nothing, either way */
        assert_false(fails(codes[i]));
        latch_reset(&config); /* an operator */
        assert_false(is_closed());
        assert_true(fails(codes[i]));
        assert_true(fails(codes[i]));
        latch_reset(&config); /* a login that succeeded */
        assert_true(fails(codes[i]));
    }
}

static void test_not_tried_never_closes_it(void **state)
{
    (void)state;
    remove_files();
    for (unsigned i = 0; i < 10; i++)
        assert_true(fails(LATCH_NOT_TRIED));
}

/* What cannot be counted might be the third. */
static void test_a_failure_that_cannot_be_counted(void **state)
{
    char path[128];

    (void)state;
    remove_files();
    (void)snprintf(path, sizeof(path), "%s/login-failures", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_false(fails(0xE0));
    assert_int_equal(rmdir(path), 0);
}

/*
 * Where root starts kysod the authority can make files in the state's folder: what it points a
 * marker's name at stays as it is.
 */
static void test_a_planted_link_is_not_followed(void **state)
{
    char target[128], marker[128], failures[128];
    struct stat info;

    (void)state;
    (void)snprintf(target, sizeof(target), "%s/target", folder);
    (void)snprintf(marker, sizeof(marker), "%s/login-pending", folder);
    (void)snprintf(failures, sizeof(failures), "%s/login-failures", folder);
    remove_files();
    assert_int_equal(mknod(target, S_IFREG | 0600, 0), 0);
    assert_int_equal(symlink(target, marker), 0);
    assert_true(is_closed());
    assert_true(ky_ok(latch_arm(&config, "vault 3")));
    assert_int_equal(lstat(marker, &info), 0);
    assert_true(S_ISREG(info.st_mode));
    assert_int_equal(link(target, failures), 0);
    assert_non_null(latch_login_failed(&config, 0xB0)); /* it cannot be counted */
    assert_int_equal(stat(target, &info), 0);
    assert_int_equal(info.st_size, 0);
    assert_int_equal(unlink(target), 0);
    remove_files();
}

/*
 * One that the authority planted says nothing of how often a login failed, and would be the
 * authority's to shorten.
 */
static void test_a_planted_counter_closes_it(void **state)
{
    char failures[128];

    (void)state;
    if (geteuid() != 0)
        skip();
    remove_files();
    (void)snprintf(failures, sizeof(failures), "%s/login-failures", folder);
    assert_int_equal(mknod(failures, S_IFREG | 0600, 0), 0);
    assert_int_equal(chown(failures, 64001, 64001), 0);
    assert_false(fails(0xE0));
    remove_files();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_marker_names_who),
        cmocka_unit_test(test_what_may_follow_a_look_at_the_pin),
        cmocka_unit_test(test_the_third_in_a_row_is_the_last),
        cmocka_unit_test(test_not_tried_never_closes_it),
        cmocka_unit_test(test_a_failure_that_cannot_be_counted),
        cmocka_unit_test(test_a_planted_link_is_not_followed),
        cmocka_unit_test(test_a_planted_counter_closes_it),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
