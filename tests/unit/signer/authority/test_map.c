/* SPDX-License-Identifier: Apache-2.0 */
/* The hash map against a plain table, under random puts and removals; and the replay ring over many chunks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "state.h"

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

/* Grows through many doublings, with removals on the way; nothing is lost while two tables stand side by side. */
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

static void ring_forgets_the_oldest(void **state)
{
    struct state_limits limits = {.replay_window_s = 10, .replay_max = 1u << 20, .tx_max = 10};
    struct state *s = NULL;
    uint8_t key[MAP_KEY_LEN];

    (void)state;
    assert_true(ky_ok(state_new(&limits, &s)));
    for (uint32_t i = 0; i < 100000; i++) {
        struct replay e = {
            .at_s = 1000 + i / 1000, .kind = REPLAY_SIGN, .state = REPLAY_SIGNED, .intent = i};
        state_replay_key(i, ky_span_text("rp"), ky_span_text("id"), e.key);
        assert_true(ky_ok(state_replay_put(s, &e)));
        if (i % 1000 == 999)
            state_collect(s, 1000 + i / 1000);
    }
    for (uint32_t i = 0; i < 100000; i += 97) {
        state_replay_key(i, ky_span_text("rp"), ky_span_text("id"), key);
        const struct replay *e = state_replay(s, key);
        if (i / 1000 + 10 <= 99) {
            assert_null(e);
        } else {
            assert_non_null(e);
            assert_int_equal(i, e->intent);
        }
    }
    assert_int_equal(10000, s->replay.index.count);
    state_free(&s);
}

/* Keys that begin alike share a home, even its last slot; sequence numbers pass the modulus of the slots. */
static void like_keys_are_told_apart(void **state)
{
    enum { KEYS = 3000, KEPT = 1000 };
    struct state_limits limits = {.replay_window_s = 1000, .replay_max = KEPT, .tx_max = 10};
    struct replay e = {.at_s = 1000, .kind = REPLAY_SIGN, .state = REPLAY_SIGNED};
    struct state *s = NULL;

    (void)state;
    assert_true(ky_ok(state_new(&limits, &s)));
    s->replay.head = s->replay.tail = UINT32_MAX - KEYS / 2;
    for (uint32_t i = 0; i < KEYS; i++) {
        memset(e.key, 0xff, sizeof(e.key));
        e.key[0] = i % 2 == 0 ? 0xff : 0xfe;
        memcpy(e.key + 8, &i, sizeof(i));
        e.intent = i;
        assert_true(ky_ok(state_replay_put(s, &e)));
    }
    for (uint32_t i = 0; i < KEYS; i++) {
        e.key[0] = i % 2 == 0 ? 0xff : 0xfe;
        memcpy(e.key + 8, &i, sizeof(i));
        const struct replay *found = state_replay(s, e.key);
        assert_int_equal(i >= KEYS - KEPT, found != NULL);
        assert_true(found == NULL || found->intent == i);
    }
    state_collect(s, 2000);
    assert_int_equal(0, s->replay.index.count);
    for (size_t i = 0; i < s->replay.index.cap; i++)
        assert_int_equal(0, s->replay.index.slots[i].at);
    state_free(&s);
}

/* A full ring forgets early and goes on: nobody is refused for what others asked. */
static void ring_is_bounded(void **state)
{
    struct state_limits limits = {.replay_window_s = 1000, .replay_max = 5000, .tx_max = 10};
    struct state *s = NULL;
    uint8_t key[MAP_KEY_LEN];

    (void)state;
    assert_true(ky_ok(state_new(&limits, &s)));
    for (uint32_t i = 0; i < 20000; i++) {
        struct replay e = {.at_s = 1000, .kind = REPLAY_SIGN, .state = REPLAY_SIGNED, .intent = i};
        state_replay_key(i, ky_span_text("rp"), ky_span_text("id"), e.key);
        assert_true(ky_ok(state_replay_put(s, &e)));
        assert_true(s->replay.index.count <= 5000);
        assert_true(state_has_room(s));
    }
    for (uint32_t i = 0; i < 20000; i++) {
        state_replay_key(i, ky_span_text("rp"), ky_span_text("id"), key);
        const struct replay *e = state_replay(s, key);
        assert_int_equal(i >= 15000, e != NULL);
        assert_true(e == NULL || e->intent == i);
    }
    state_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_table),
        cmocka_unit_test(grows_without_losing),
        cmocka_unit_test(replaces_while_growing),
        cmocka_unit_test(ring_forgets_the_oldest),
        cmocka_unit_test(ring_is_bounded),
        cmocka_unit_test(like_keys_are_told_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
