/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The link's slots and heartbeat over a socketpair: bounded, a tag names one generation, an old
 * heartbeat is no service, and giving up tells the authority.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "call.h"
#include "method.h"

#define HEARTBEAT_MAX_US 100000u

struct fixture {
    struct front front;
    struct config config;
    struct call call;
    struct ky_channel far;
    int fds[2];
};

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, f.fds), 0);
    f.front.base = event_base_new();
    f.config.limits.heartbeat_ms = HEARTBEAT_MAX_US / 1000;
    f.front.config = &f.config;
    LIST_INIT(&f.call.slots);
    front_clock(&f.front);
    ky_channel_init(&f.far, f.fds[1], 65536);
    assert_true(ky_ok(link_open(&f.front, f.fds[0], 3)));
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    link_close(&f->front);
    event_base_free(f->front.base);
    ky_channel_wipe(&f->far);
    (void)close(f->fds[0]);
    (void)close(f->fds[1]);
    return 0;
}

static void beat(struct fixture *f, uint8_t serving)
{
    assert_true(ky_ok(
        ky_channel_send(&f->far, &door_heartbeat_schema, &(struct door_heartbeat){serving}, 0, 0)));
    assert_true(ky_ok(ky_channel_flush(&f->far)));
}

static void test_slots_are_bounded(void **state)
{
    struct fixture *f = *state;
    const struct method *m = method_find(KY_DOOR_SIGNER, "/kyso.v1.Signer/Info");
    struct slot *s[3];
    uint32_t generation;

    for (int i = 0; i < 3; i++)
        assert_non_null(s[i] = link_acquire(&f->front, &f->call, m));
    assert_null(link_acquire(&f->front, &f->call, m));
    assert_int_equal(f->call.in_flight, 3);
    generation = s[1]->generation;
    link_release(&f->front, s[1], false);
    assert_ptr_equal(link_acquire(&f->front, &f->call, m), s[1]);
    assert_int_not_equal(s[1]->generation, generation);
    for (int i = 0; i < 3; i++)
        link_release(&f->front, s[i], false);
    assert_int_equal(f->call.in_flight, 0);
    assert_int_equal(f->front.link.used, 0);
}

static void test_giving_up_tells(void **state)
{
    struct fixture *f = *state;
    struct slot *s =
        link_acquire(&f->front, &f->call, method_find(KY_DOOR_SIGNER, "/kyso.v1.Signer/Info"));
    struct door_info info = {{1}};
    struct ky_record r;
    struct ky_status st;
    uint64_t tag;

    s->deadline_us = 77;
    assert_true(ky_ok(link_send(&f->front, s, &door_info_schema, &info)));
    link_release(&f->front, s, true);
    link_flush(&f->front);
    assert_true(ky_ok(ky_channel_read(&f->far)));
    assert_true(ky_channel_next(&f->far, &r, &st));
    assert_int_equal(r.type, DOOR_INFO);
    assert_int_equal(r.deadline_us, 77);
    tag = r.tag;
    assert_true(ky_channel_next(&f->far, &r, &st));
    assert_int_equal(r.type, DOOR_CANCEL);
    assert_int_equal(r.tag, tag);
    /* the answer comes all the same, and finds nobody */
    assert_true(ky_ok(ky_channel_send(&f->far, &door_refused_schema,
                                      &(struct door_refused){.code = KY_DENIED}, tag, 0)));
    beat(f, 1);
    assert_true(link_serving(&f->front));
}

/*
 * Ticks look at the slots only when one is due: each goes at its own time, whatever came after it.
 */
static void test_each_slot_expires_in_time(void **state)
{
    struct fixture *f = *state;
    const struct method *m = method_find(KY_DOOR_SIGNER, "/kyso.v1.Signer/SignStream");
    const uint64_t due[] = {300, 100, 200};
    struct conn conn = {.front = &f->front};
    struct door_info info = {{1}};

    beat(f, 1);
    assert_true(link_serving(&f->front));
    f->call.conn = &conn;
    f->call.method = m;
    f->call.finished = true; /* so that nobody wants to hear of it */
    link_tick(&f->front, 1);
    for (int i = 0; i < 3; i++) {
        struct slot *s = link_acquire(&f->front, &f->call, m);
        s->deadline_us = due[i];
        assert_true(ky_ok(link_send(&f->front, s, &door_info_schema, &info)));
    }
    for (uint64_t now = 50; now <= 350; now += 50) {
        link_tick(&f->front, now);
        assert_int_equal(f->front.link.used, now < 100 ? 3 : now < 200 ? 2 : now < 300 ? 1 : 0);
    }
}

static void test_heartbeat_ages(void **state)
{
    struct fixture *f = *state;

    assert_false(link_serving(&f->front));
    beat(f, 1);
    assert_true(link_serving(&f->front)); /* read on the spot */
    f->front.link.heartbeat_us -= HEARTBEAT_MAX_US + 1;
    assert_false(link_serving(&f->front));
    beat(f, 0);
    f->front.link.heartbeat_us -= HEARTBEAT_MAX_US;
    assert_false(link_serving(&f->front));
}

/*
 * P3: a sealed authority answers nothing more, so what waits is answered at once; a draining one
 * finishes what it has.
 */
static void test_what_waits_for_a_sealed_one_fails(void **state)
{
    struct fixture *f = *state;
    const struct method *m = method_find(KY_DOOR_SIGNER, "/kyso.v1.Signer/SignStream");
    struct conn conn = {.front = &f->front};
    struct door_info info = {{1}};

    f->call.conn = &conn;
    f->call.method = m;
    f->call.finished = true;
    beat(f, DOOR_SERVING);
    assert_true(link_serving(&f->front));
    struct slot *s = link_acquire(&f->front, &f->call, m);
    s->deadline_us = UINT64_MAX;
    assert_true(ky_ok(link_send(&f->front, s, &door_info_schema, &info)));
    for (uint8_t says = DOOR_NOT_SERVING; says <= DOOR_SEALED; says++) {
        f->front.link.heartbeat_us -= HEARTBEAT_MAX_US + 1;
        beat(f, says);
        assert_true(link_serving(&f->front) == (says == DOOR_SERVING)); /* read on the spot */
        link_tick(&f->front, f->front.now_us);
        assert_int_equal(f->front.link.used, says == DOOR_SEALED ? 0 : 1);
    }
}

static void test_nonsense_ends_the_link(void **state)
{
    struct fixture *f = *state;
    static const uint8_t nonsense[64] = {0xff, 0xff, 0xff, 0xff};

    beat(f, 1);
    assert_true(link_serving(&f->front));
    assert_int_equal(write(f->fds[1], nonsense, sizeof(nonsense)), sizeof(nonsense));
    f->front.link.heartbeat_us -= HEARTBEAT_MAX_US + 1;
    assert_false(link_serving(&f->front));
    assert_true(f->front.link.lost);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_slots_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_giving_up_tells, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_slot_expires_in_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_heartbeat_ages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_waits_for_a_sealed_one_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nonsense_ends_the_link, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
