/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which accounts a server that root starts takes for its roles. The accounts are this test's own,
 * and it is root here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "supervisor.h"

struct account {
    const char *name;
    uid_t uid;
    gid_t gid, other; /* the other is in addition, unless 0 */
    int groups;
};

static struct account accounts[ROLE_KIND_COUNT];
static struct passwd found;

uid_t __wrap_geteuid(void);
struct passwd *__wrap_getpwnam(const char *name);
int __wrap_getgrouplist(const char *name, gid_t gid, gid_t *out_groups, int *count);

uid_t __wrap_geteuid(void)
{
    return 0;
}

static const struct account *named(const char *name)
{
    for (size_t i = 0; i < ROLE_KIND_COUNT; i++)
        if (strcmp(accounts[i].name, name) == 0)
            return &accounts[i];
    return NULL;
}

struct passwd *__wrap_getpwnam(const char *name)
{
    const struct account *a = named(name);

    if (a == NULL)
        return NULL;
    found.pw_uid = a->uid;
    found.pw_gid = a->gid;
    return &found;
}

/*
 * As getgrouplist(3): the count is what there would be, and -1 says that it is more than the room.
 */
int __wrap_getgrouplist(const char *name, gid_t gid, gid_t *out_groups, int *count)
{
    const struct account *a = named(name);
    int room = *count;

    *count = a->groups;
    for (int i = 0; i < room && i < a->groups; i++)
        out_groups[i] = i == 0 ? gid : a->other;
    return a->groups > room ? -1 : a->groups;
}

static int choose(void)
{
    static char a[] = "a", v[] = "v", f[] = "f", status[] = "s";
    struct config config = {.users = {.authority = a, .vault = v, .front = f, .status = status}};
    struct supervisor s = { .config = &config };

    return users_choose(&s);
}

static int reset(void **state)
{
    static const char *const names[ROLE_KIND_COUNT] = {
        [ROLE_AUTHORITY] = "a", [ROLE_VAULT] = "v", [ROLE_FRONT] = "f", [ROLE_STATUS] = "s"};

    (void)state;
    for (unsigned i = 0; i < ROLE_KIND_COUNT; i++)
        accounts[i] = (struct account){
            .name = names[i], .uid = 100 + i, .gid = 200 + i, .other = 300, .groups = 2};
    return 0;
}

static void test_apart(void **state)
{
    (void)state;
    assert_int_equal(choose(), 0);
}

static void test_roots_group(void **state)
{
    (void)state;
    accounts[ROLE_FRONT].gid = 0;
    assert_int_equal(choose(), 1);
    accounts[ROLE_FRONT].gid = 250;
    assert_int_equal(choose(), 0);
    accounts[ROLE_FRONT].other = 0;
    assert_int_equal(choose(), 1);
}

static void test_the_authoritys_group(void **state)
{
    const gid_t authority = accounts[ROLE_AUTHORITY].gid;

    (void)state;
    accounts[ROLE_STATUS].gid = authority;
    assert_int_equal(choose(), 1);
    accounts[ROLE_STATUS].gid = 250;
    accounts[ROLE_VAULT].other = authority;
    assert_int_equal(choose(), 1);
}

static void test_too_many_groups(void **state)
{
    (void)state;
    accounts[ROLE_VAULT].groups = ROLE_GROUPS_MAX;
    assert_int_equal(choose(), 0);
    accounts[ROLE_VAULT].groups = ROLE_GROUPS_MAX + 1;
    assert_int_equal(choose(), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_apart, reset),
        cmocka_unit_test_setup(test_roots_group, reset),
        cmocka_unit_test_setup(test_the_authoritys_group, reset),
        cmocka_unit_test_setup(test_too_many_groups, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
