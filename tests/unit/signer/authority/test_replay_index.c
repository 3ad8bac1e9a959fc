/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The replay index by itself: the ring over many chunks, its bound, and the slots that find its
 * keys.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "state.h"

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
    assert_int_equal(10000, s->replay.tail - s->replay.head);
    state_free(&s);
}

/*
 * Keys that begin alike share a home, even its last slot; sequence numbers pass the modulus of the
 * slots.
 */
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
    assert_int_equal(0, s->replay.tail - s->replay.head);
    for (size_t i = 0; i <= s->replay.slot_mask; i++)
        assert_int_equal(0, s->replay.slots[i].at);
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
        assert_true(s->replay.tail - s->replay.head <= 5000);
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
        cmocka_unit_test(ring_forgets_the_oldest),
        cmocka_unit_test(ring_is_bounded),
        cmocka_unit_test(like_keys_are_told_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
