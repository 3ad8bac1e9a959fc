/* SPDX-License-Identifier: Apache-2.0 */
/* The hash map against a plain table, under random puts and removals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "map.h"

static void agrees_with_a_table(void **state)
{
    static int values[4096];
    bool there[4096] = {false};
    struct map m = {0};
    uint32_t x = 1;
    size_t count = 0;

    (void)state;
    for (int i = 0; i < 200000; i++) {
        x = x * 1664525u + 1013904223u;
        uint32_t row = (x >> 8) % 4096;
        struct map_key key = map_key_number(3, row);
        if ((x >> 28) % 2) {
            assert_true(map_put(&m, key, &values[row]));
            count += !there[row];
            there[row] = true;
        } else {
            assert_ptr_equal(there[row] ? &values[row] : NULL, map_remove(&m, key));
            count -= there[row];
            there[row] = false;
        }
        assert_int_equal(count, m.count);
        uint32_t probe = (x >> 4) % 4096;
        assert_ptr_equal(there[probe] ? &values[probe] : NULL,
                         map_get(&m, map_key_number(3, probe)));
    }
    for (uint32_t row = 0; row < 4096; row++)
        assert_ptr_equal(there[row] ? &values[row] : NULL, map_get(&m, map_key_number(3, row)));
    size_t cursor = 0, seen = 0;
    while (map_next(&m, &cursor) != NULL)
        seen++;
    assert_int_equal(count, seen);
    map_free(&m);
}

/*
 * Grows through many doublings, with removals on the way; nothing is lost while two tables stand
 * side by side.
 */
static void grows_without_losing(void **state)
{
    enum { N = 200000 };
    static uint8_t values[N];
    struct map m = {0};
    size_t two_tables = 0;

    (void)state;
    for (uint32_t i = 0; i < N; i++) {
        assert_true(map_put(&m, map_key_number(1, i), &values[i]));
        two_tables += m.old.cap != 0;
        if (i % 3 == 2) /* an older one, often still in the old table */
            assert_ptr_equal(&values[i / 3], map_remove(&m, map_key_number(1, i / 3)));
        assert_ptr_equal(&values[i], map_get(&m, map_key_number(1, i)));
        uint32_t older = i - i / 4;
        if (older > i / 3)
            assert_ptr_equal(&values[older], map_get(&m, map_key_number(1, older)));
    }
    assert_true(two_tables > 0);
    for (uint32_t i = 0; i < N; i++)
        assert_ptr_equal(i < N / 3 ? NULL : &values[i], map_get(&m, map_key_number(1, i)));
    assert_int_equal(N - N / 3, m.count);
    map_free(&m);
}

/* A put of a key that has not been moved yet replaces it: it is there once. */
static void replaces_while_growing(void **state)
{
    static int first[4096], second[4096];
    struct map m = {0};
    uint32_t n = 0;
    size_t cursor = 0, seen = 0;

    (void)state;
    while (m.old.cap < 1024)
        assert_true((n++, map_put(&m, map_key_number(0, n), &first[n])));
    for (uint32_t i = 1; i <= n; i++)
        assert_true(map_put(&m, map_key_number(0, i), &second[i]));
    assert_int_equal(n, m.count);
    while (map_next(&m, &cursor) != NULL)
        seen++;
    assert_int_equal(n, seen);
    for (uint32_t i = 1; i <= n; i++)
        assert_ptr_equal(&second[i], map_remove(&m, map_key_number(0, i)));
    assert_int_equal(0, m.count);
    map_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_table),
        cmocka_unit_test(grows_without_losing),
        cmocka_unit_test(replaces_while_growing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
