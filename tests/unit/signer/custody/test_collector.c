/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shares of a running server's custodians: which are taken, which are not and why, and that nothing but M right ones ever becomes
 * a PIN (P22, P11, fault 59).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector.h"

enum { M = 3, N = 5 };

struct custody { /* a ceremony's public half, and its shares */
    struct share_set set;
    struct ky_secret secret, shares[SHARE_MAX];
};

static void give(struct custody *c)
{
    uint8_t secret[SHARE_LEN];

    *c = (struct custody){.set = {.m = M, .n = N}};
    assert_true(ky_ok(ky_random(secret, sizeof(secret))));
    assert_true(ky_ok(ky_random(c->set.nonce, sizeof(c->set.nonce))));
    assert_true(ky_ok(ky_secret_set(&c->secret, KY_SPAN_OF(secret))));
    assert_true(ky_ok(share_split(&c->secret, M, N, c->shares)));
    for (uint32_t i = 0; i < N; i++)
        share_commit(&c->set, SHARE_ACTIVATION, i + 1, &c->shares[i],
                     c->set.commitments[SHARE_ACTIVATION][i]);
    share_commit(&c->set, SHARE_ACTIVATION, 0, &c->secret, c->set.joined);
}

static void forget(struct custody *c)
{
    ky_secret_wipe(&c->secret);
    for (uint32_t i = 0; i < SHARE_MAX; i++)
        ky_secret_wipe(&c->shares[i]);
}

static struct activation_share sealed(const struct collector *to, const struct custody *c,
                                      uint8_t custodian)
{
    struct activation_share s;

    assert_true(ky_ok(activation_seal(&to->key.hello, custodian, &c->shares[custodian - 1], &s)));
    return s;
}

static enum activation_answer hand_in(struct collector *to, const struct custody *c,
                                      uint8_t custodian)
{
    const struct activation_share s = sealed(to, c, custodian);

    return collector_take(to, &s);
}

static void test_p22_each_set_of_three_gives_the_pin(void **state)
{
    struct custody c;
    struct token_pins pins = {.so = {.bytes = NULL}};
    unsigned sets = 0;

    (void)state;
    give(&c);
    assert_true(ky_ok(token_pins_derive(&c.set, &c.secret, &pins)));
    for (uint8_t i = 1; i <= N; i++)
        for (uint8_t j = 1; j <= N; j++)
            for (uint8_t k = 1; k <= N; k++) {
                struct collector to;
                struct ky_secret pin = {.bytes = NULL};

                if (i == j || j == k || i == k)
                    continue;
                assert_true(ky_ok(collector_open(&c.set, &to)));
                assert_int_equal(hand_in(&to, &c, i), ACTIVATION_TAKEN);
                assert_int_equal(hand_in(&to, &c, j), ACTIVATION_TAKEN);
                assert_int_equal(to.key.hello.have, 2);
                assert_int_equal(collector_pin(&to, &pin).code,
                                 KY_CORRUPT); /* of two nothing comes */
                assert_null(pin.bytes);
                assert_int_equal(hand_in(&to, &c, k), ACTIVATION_WHOLE);
                assert_true(ky_ok(collector_pin(&to, &pin)));
                assert_true(ky_span_eq_ct(ky_secret_span(&pin), ky_secret_span(&pins.user)));
                assert_int_equal(collector_custodians(&to),
                                 1u << (i - 1) | 1u << (j - 1) | 1u << (k - 1));
                ky_secret_wipe(&pin);
                collector_close(&to);
                sets++;
            }
    assert_int_equal(sets, 60);
    token_pins_wipe(&pins);
    forget(&c);
}

static void test_59_wrong_shares_are_refused_and_forgotten(void **state)
{
    struct custody c;
    struct custody other;
    struct collector to;
    struct activation_share s;

    (void)state;
    give(&c);
    give(&other);
    assert_true(ky_ok(collector_open(&c.set, &to)));
    assert_int_equal(hand_in(&to, &other, 1), ACTIVATION_NOT_COMMITTED);
    assert_true(ky_ok(activation_seal(&to.key.hello, 2, &c.shares[0], &s)));
    assert_int_equal(collector_take(&to, &s), ACTIVATION_NOT_COMMITTED); /* another custodian's */
    for (unsigned who = 0; who < 256; who += who == 0 ? N + 1 : 1) {
        assert_true(ky_ok(activation_seal(&to.key.hello, (uint8_t)who, &c.shares[0], &s)));
        assert_int_equal(collector_take(&to, &s), ACTIVATION_NOT_COMMITTED); /* nobody's */
    }
    assert_int_equal(to.count, 0);
    for (uint32_t i = 0; i < SHARE_MAX; i++)
        assert_null(to.shares[i].bytes);
    assert_int_equal(hand_in(&to, &c, 4), ACTIVATION_TAKEN);
    assert_int_equal(hand_in(&to, &c, 4), ACTIVATION_TWICE);
    assert_int_equal(to.count, 1);
    collector_close(&to);
    forget(&c);
    forget(&other);
}

static void every_bit_of_a_sealed_share_matters(void **state)
{
    struct custody c;
    struct collector to;
    struct activation_share s;

    (void)state;
    give(&c);
    assert_true(ky_ok(collector_open(&c.set, &to)));
    s = sealed(&to, &c, 3);
    for (size_t bit = 0; bit < 8 * sizeof(s); bit++) {
        uint8_t *byte = (uint8_t *)&s + bit / 8;

        *byte ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(collector_take(&to, &s), ACTIVATION_NOT_OPENED);
        *byte ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(collector_take(&to, &s), ACTIVATION_TAKEN);
    collector_close(&to);
    forget(&c);
}

/* The next start has another key, name and nonce: what was sealed to the last one opens nowhere. */
static void a_share_is_of_one_start(void **state)
{
    struct custody c;
    struct collector first;
    struct collector second;
    struct activation_share s;
    char names[2][ACTIVATION_PRINT];

    (void)state;
    give(&c);
    assert_true(ky_ok(collector_open(&c.set, &first)));
    assert_true(ky_ok(collector_open(&c.set, &second)));
    activation_print(&first.key.hello, names[0]);
    activation_print(&second.key.hello, names[1]);
    assert_string_not_equal(names[0], names[1]);
    s = sealed(&first, &c, 1);
    assert_int_equal(collector_take(&second, &s), ACTIVATION_NOT_OPENED);
    /* nor where somebody repeats the first one's nonce */
    memcpy(second.key.hello.nonce, first.key.hello.nonce, sizeof(second.key.hello.nonce));
    assert_int_equal(collector_take(&second, &s), ACTIVATION_NOT_OPENED);
    assert_int_equal(collector_take(&first, &s), ACTIVATION_TAKEN);
    collector_close(&first);
    collector_close(&second);
    forget(&c);
}

/* Right shares of a transcript that was tampered with never reach the token. */
static void test_p11_a_secret_that_is_not_the_committed_one_is_no_pin(void **state)
{
    struct custody c;
    struct collector to;
    struct ky_secret pin = {.bytes = NULL};
    struct activation_share s;

    (void)state;
    give(&c);
    c.set.m = 2; /* two shares of three give something, but not the secret */
    assert_true(ky_ok(collector_open(&c.set, &to)));
    assert_int_equal(hand_in(&to, &c, 1), ACTIVATION_TAKEN);
    assert_int_equal(hand_in(&to, &c, 2), ACTIVATION_WHOLE);
    assert_int_equal(collector_pin(&to, &pin).code, KY_CORRUPT);
    assert_null(pin.bytes);
    s = sealed(&to, &c, 3);
    assert_int_equal(collector_take(&to, &s), ACTIVATION_FAILED); /* and no more are held */
    collector_close(&to);
    memset(c.set.joined, 0, sizeof(c.set.joined));
    assert_int_equal(collector_open(&c.set, &to).code, KY_INVALID);
    collector_close(&to);
    forget(&c);
}

static void a_terminal_knows_whose_server_it_is(void **state)
{
    struct custody c;
    struct custody other;
    struct collector to;

    (void)state;
    give(&c);
    give(&other);
    assert_true(ky_ok(collector_open(&c.set, &to)));
    assert_true(activation_asks_for(&to.key.hello, &c.set));
    assert_false(activation_asks_for(&to.key.hello, &other.set));
    to.key.hello.form[7] ^= 1;
    assert_false(activation_asks_for(&to.key.hello, &c.set));
    to.key.hello.key[1] ^= 1; /* no point of the curve */
    struct activation_share s;
    assert_int_equal(activation_seal(&to.key.hello, 1, &c.shares[0], &s).code, KY_INVALID);
    collector_close(&to);
    forget(&c);
    forget(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_p22_each_set_of_three_gives_the_pin),
        cmocka_unit_test(test_59_wrong_shares_are_refused_and_forgotten),
        cmocka_unit_test(every_bit_of_a_sealed_share_matters),
        cmocka_unit_test(a_share_is_of_one_start),
        cmocka_unit_test(test_p11_a_secret_that_is_not_the_committed_one_is_no_pin),
        cmocka_unit_test(a_terminal_knows_whose_server_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
