/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The row cache beyond its bound: what a turn uses stays for that turn, what was used lately gets a
 * second chance, the rest goes.
 */
#include "world.h"

#include <stdio.h>

enum { BEYOND = 600 };

/* The row of the first; they follow each other. */
static uint32_t add_people(struct world *w, uint32_t count)
{
    uint32_t row = 0;

    for (uint32_t i = 0; i < count; i++) {
        char id[16];
        snprintf(id, sizeof(id), "p%u", i);
        struct row_subject s = {.subject_id = ky_span_text(id), .name = ky_span_text("Tran B")};
        assert_true(ky_ok(authority_row_put(w->a, ROW_SUBJECT, 0, &s, 0, &row)));
        if (i % 1000 == 999)
            world_run(w);
    }
    world_run(w);
    return row + 1 - count;
}

static bool cached(struct world *w, uint32_t row)
{
    return map_get(&w->a->cache.entries, map_key_number(ROW_SUBJECT, row)) != NULL;
}

static void fetch(struct world *w, uint32_t from, uint32_t to)
{
    for (uint32_t row = from; row < to; row++)
        assert_non_null(cache_get(w->a, ROW_SUBJECT, row));
}

static void what_a_turn_uses_stays(void **state)
{
    struct world *w = *state;
    uint32_t first = add_people(w, CACHE_MAX + BEYOND);
    uint32_t last = first + CACHE_MAX + BEYOND - 1;

    w->a->turns++;
    struct cache_entry *held = cache_get(w->a, ROW_SUBJECT, first);
    fetch(w, first + 1, last + 1); /* all in one turn: nothing may go */
    assert_true(w->a->cache.entries.count >= CACHE_MAX + BEYOND);
    assert_ptr_equal(held, cache_get(w->a, ROW_SUBJECT, first));
    assert_true(ky_span_eq(held->subject.subject_id, ky_span_text("p0")));

    uint32_t again = w->a->cache.oldest->row, gone = w->a->cache.oldest->newer->row;
    w->a->turns++;
    fetch(w, again, again + 1);
    for (uint32_t i = 0; w->a->cache.entries.count > CACHE_MAX && i < BEYOND; i++) {
        w->a->turns++;
        cache_drop(w->a, ROW_SUBJECT, last);
        fetch(w, last, last + 1);
    }
    assert_int_equal(CACHE_MAX, w->a->cache.entries.count);
    assert_true(cached(w, again) && cached(w, last));
    assert_false(cached(w, gone));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_a_turn_uses_stays, world_setup, world_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
