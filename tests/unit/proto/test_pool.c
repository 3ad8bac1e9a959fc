/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of blocks: contents survive growth, sizes never overlap, what is kept is bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kyso/pool.h"

#define MANY 300u

static void test_blocks_do_not_overlap(void **state)
{
    struct ky_pool p = {.keep_max = 64u * 1024u};
    uint8_t *at[MANY];

    (void)state;
    for (unsigned round = 0; round < 3; round++) { /* the second and third from what was kept */
        for (unsigned i = 0; i < MANY; i++) {
            at[i] = ky_pool_alloc(7u * i, &p);
            assert_non_null(at[i]);
            assert_int_equal((uintptr_t)at[i] % _Alignof(max_align_t), 0);
            memset(at[i], (int)(i & 0xff), (size_t)7u * i);
        }
        for (unsigned i = 0; i < MANY; i++) {
            for (unsigned k = 0; k < 7u * i; k++)
                assert_int_equal(at[i][k], i & 0xff);
            ky_pool_free(at[i], &p);
        }
    }
    ky_pool_wipe(&p);
}

/*
 * Last freed, first given out, but only for its own class; without that nothing else here tests
 * much.
 */
static void test_what_was_freed_comes_again(void **state)
{
    struct ky_pool p = {.keep_max = 4096};
    void *first = ky_pool_alloc(100, &p);
    void *second = ky_pool_alloc(100, &p);
    void *third;

    (void)state;
    ky_pool_free(first, &p);
    ky_pool_free(second, &p);
    assert_in_range(p.kept_bytes, 200, 4096);
    third = ky_pool_alloc(300, &p);
    assert_true(third != first && third != second);
    assert_ptr_equal(ky_pool_alloc(101, &p), second);
    assert_ptr_equal(ky_pool_alloc(99, &p), first);
    assert_int_equal(p.kept_bytes, 0);
    ky_pool_free(first, &p);
    ky_pool_free(second, &p);
    ky_pool_free(third, &p);
    ky_pool_wipe(&p);
}

static void test_growth_keeps_the_bytes(void **state)
{
    struct ky_pool p = {.keep_max = 4096};
    uint8_t *at = ky_pool_realloc(NULL, 10, &p);

    (void)state;
    assert_non_null(at);
    memset(at, 0x5a, 10);
    for (size_t n = 20; n < 5000; n *= 2) {
        assert_non_null(at = ky_pool_realloc(at, n, &p));
        for (size_t i = 0; i < 10; i++)
            assert_int_equal(at[i], 0x5a);
        memset(at, 0x5a, n);
    }
    ky_pool_free(at, &p);
    ky_pool_free(NULL, &p);
    ky_pool_wipe(&p);
}

static void test_calloc_is_zero_and_checked(void **state)
{
    struct ky_pool p = {.keep_max = 4096};
    uint8_t *at = ky_pool_alloc(100, &p);

    (void)state;
    memset(at, 0xff, 100);
    ky_pool_free(at, &p);
    at = ky_pool_calloc(10, 10, &p);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(at[i], 0);
    ky_pool_free(at, &p);
    assert_null(ky_pool_calloc(SIZE_MAX / 2, 3, &p));
    assert_null(ky_pool_alloc(SIZE_MAX - 8, &p));
    ky_pool_wipe(&p);
}

static void test_what_is_kept_is_bounded(void **state)
{
    struct ky_pool p = {.keep_max = 1024};
    void *at[MANY];

    (void)state;
    for (unsigned i = 0; i < MANY; i++)
        assert_non_null(at[i] = ky_pool_alloc(100, &p));
    for (unsigned i = 0; i < MANY; i++) {
        ky_pool_free(at[i], &p);
        assert_in_range(p.kept_bytes, 0, 1024);
    }
    assert_in_range(p.kept_bytes, 1024 - 256, 1024); /* and used as far as it goes */
    ky_pool_wipe(&p);
    assert_int_equal(p.kept_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_do_not_overlap),
        cmocka_unit_test(test_what_was_freed_comes_again),
        cmocka_unit_test(test_growth_keeps_the_bytes),
        cmocka_unit_test(test_calloc_is_zero_and_checked),
        cmocka_unit_test(test_what_is_kept_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
