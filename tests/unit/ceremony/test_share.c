/* SPDX-License-Identifier: Apache-2.0 */
/* Shares: which sets restore, which do not, and that whatever is wrong with one is named (P22, fault 59). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "share.h"

enum { M = 3, N = 5 };

struct custody {
    struct share_set set;
    struct ky_secret secret;
    struct ky_secret shares[SHARE_KINDS][SHARE_MAX];
};

static void give(struct custody *c, uint32_t m, uint32_t n)
{
    uint8_t secret[SHARE_LEN];

    *c = (struct custody){.set = {.m = m, .n = n}};
    assert_true(ky_ok(ky_random(secret, sizeof(secret))));
    assert_true(ky_ok(ky_random(c->set.nonce, sizeof(c->set.nonce))));
    assert_true(ky_ok(ky_secret_set(&c->secret, KY_SPAN_OF(secret))));
    for (enum share_kind k = 0; k < SHARE_KINDS; k++) {
        assert_true(ky_ok(share_split(&c->secret, m, n, c->shares[k])));
        for (uint32_t i = 0; i < n; i++)
            share_commit(&c->set, k, i + 1, &c->shares[k][i], c->set.commitments[k][i]);
    }
}

static void wipe(struct custody *c)
{
    ky_secret_wipe(&c->secret);
    for (enum share_kind k = 0; k < SHARE_KINDS; k++)
        for (uint32_t i = 0; i < SHARE_MAX; i++)
            ky_secret_wipe(&c->shares[k][i]);
}

static void typed_blank(struct ky_secret *out)
{
    static const uint8_t zeros[SHARE_LEN];

    assert_true(ky_ok(ky_secret_set(out, KY_SPAN_OF(zeros))));
}

static void test_59_ten_sets_restore_fifteen_smaller_do_not(void **state)
{
    struct custody c;
    uint32_t full = 0;
    uint32_t small = 0;

    (void)state;
    give(&c, M, N);
    assert_true(ky_ok(share_prove(&c.set, &c.secret, c.shares[0], &full, &small)));
    assert_int_equal(10, full);
    assert_int_equal(15, small);
    c.shares[0][4].bytes[31] ^= 1;
    assert_int_equal(KY_CORRUPT, share_prove(&c.set, &c.secret, c.shares[0], &full, &small).code);
    wipe(&c);
}

static void every_m_of_n_restores(void **state)
{
    (void)state;
    for (uint32_t n = 2; n <= 9; n++)
        for (uint32_t m = 2; m <= n; m++) {
            struct custody c;
            uint32_t full = 0;
            uint32_t small = 0;

            give(&c, m, n);
            assert_true(ky_ok(share_prove(&c.set, &c.secret, c.shares[1], &full, &small)));
            wipe(&c);
        }
}

/* What two shares of three say of the secret: with each third byte there is one that fits. */
static void fewer_tell_nothing(void **state)
{
    struct custody c;
    bool seen[256] = {false};

    (void)state;
    give(&c, M, N);
    for (unsigned guess = 0; guess < 256; guess++) {
        const struct ky_secret *some[M] = {&c.shares[0][0], &c.shares[0][1], &c.shares[0][2]};
        struct ky_secret got = {.bytes = NULL};

        c.shares[0][2].bytes[0] = (uint8_t)guess;
        assert_true(ky_ok(share_join((const uint8_t[]){1, 2, 3}, some, M, &got)));
        seen[got.bytes[0]] = true;
        ky_secret_wipe(&got);
    }
    for (unsigned i = 0; i < 256; i++)
        assert_true(seen[i]);
    wipe(&c);
}

static void a_line_survives_paper(void **state)
{
    struct custody c;
    struct ky_secret line = {.bytes = NULL};
    struct ky_secret back = {.bytes = NULL};

    (void)state;
    give(&c, 2, 15);
    typed_blank(&back);
    for (uint32_t i = 1; i <= 15; i++) {
        uint32_t who = 0;

        for (uint32_t l = 1; l <= SHARE_LINES; l++) {
            assert_true(ky_ok(share_print(&c.set, SHARE_BACKUP, i, l, &c.shares[SHARE_BACKUP][i - 1], &line)));
            assert_int_equal(49, line.len);
            for (size_t b = 0; b < line.len; b++) { /* as people type */
                if (line.bytes[b] == '0')
                    line.bytes[b] = b % 2 ? 'o' : 'O';
                if (line.bytes[b] == '1')
                    line.bytes[b] = b % 2 ? 'l' : 'I';
                if (line.bytes[b] == ' ')
                    line.bytes[b] = b % 2 ? '-' : ' ';
                if (line.bytes[b] >= 'A' && line.bytes[b] <= 'Z' && b % 3 == 0)
                    line.bytes[b] = (uint8_t)(line.bytes[b] - 'A' + 'a');
            }
            assert_int_equal(SHARE_FINE, share_read(&c.set, SHARE_BACKUP, &who, l, ky_secret_span(&line), &back));
            assert_int_equal(i, who);
        }
        assert_int_equal(SHARE_FINE, share_check(&c.set, SHARE_BACKUP, i, &back));
    }
    ky_secret_wipe(&line);
    ky_secret_wipe(&back);
    wipe(&c);
}

/* Each character of a line for each other one, and each pair exchanged: the line is named as mistyped. */
static void test_59_every_slip_of_the_hand_is_named(void **state)
{
    static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    struct custody c;
    struct ky_secret line = {.bytes = NULL};
    struct ky_secret back = {.bytes = NULL};
    unsigned tried = 0;

    (void)state;
    give(&c, M, N);
    typed_blank(&back);
    assert_true(ky_ok(share_print(&c.set, 0, 2, 1, &c.shares[0][1], &line)));
    for (size_t at = 0; at < line.len; at++) {
        uint8_t was = line.bytes[at];
        uint32_t who = 2;

        for (const char *a = alphabet; was != ' ' && *a != '\0'; a++) {
            line.bytes[at] = (uint8_t)*a;
            if (*a != was) {
                assert_int_equal(SHARE_MISTYPED, share_read(&c.set, 0, &who, 1, ky_secret_span(&line), &back));
                tried++;
            }
        }
        line.bytes[at] = was;
        if (at > 0 && was != ' ' && line.bytes[at - 1] != ' ' && was != line.bytes[at - 1]) {
            line.bytes[at] = line.bytes[at - 1];
            line.bytes[at - 1] = was;
            assert_int_equal(SHARE_MISTYPED, share_read(&c.set, 0, &who, 1, ky_secret_span(&line), &back));
            line.bytes[at - 1] = line.bytes[at];
            line.bytes[at] = was;
        }
    }
    assert_int_equal(40 * 31, tried);
    ky_secret_wipe(&line);
    ky_secret_wipe(&back);
    wipe(&c);
}

static void test_59_a_hundred_corrupted_shares_are_named(void **state)
{
    struct custody c;

    (void)state;
    give(&c, M, N);
    for (unsigned i = 0; i < 100; i++) {
        uint32_t who = i % N;
        enum share_kind kind = (enum share_kind)(i / N % SHARE_KINDS);
        uint8_t *byte = &c.shares[kind][who].bytes[i * 7 % SHARE_LEN];

        *byte ^= (uint8_t)(1u << i % 8);
        for (uint32_t other = 0; other < N; other++)
            assert_int_equal(other == who ? SHARE_NOT_COMMITTED : SHARE_FINE,
                             share_check(&c.set, kind, other + 1, &c.shares[kind][other]));
        *byte ^= (uint8_t)(1u << i % 8);
    }
    wipe(&c);
}

static void test_59_a_line_of_elsewhere_is_named(void **state)
{
    struct custody c;
    struct custody other;
    struct ky_secret line = {.bytes = NULL};
    struct ky_secret back = {.bytes = NULL};
    uint32_t who = 2;

    (void)state;
    give(&c, M, N);
    give(&other, M, N);
    typed_blank(&back);
    assert_true(ky_ok(share_print(&other.set, 0, 2, 1, &other.shares[0][1], &line)));
    assert_int_equal(SHARE_OTHER_CEREMONY, share_read(&c.set, 0, &who, 1, ky_secret_span(&line), &back));
    assert_true(ky_ok(share_print(&c.set, 0, 2, 1, &c.shares[0][1], &line)));
    assert_int_equal(SHARE_OTHER_LINE, share_read(&c.set, 0, &who, 2, ky_secret_span(&line), &back));
    assert_int_equal(SHARE_OTHER_LINE, share_read(&c.set, 1, &who, 1, ky_secret_span(&line), &back));
    who = 3;
    assert_int_equal(SHARE_OTHER_PERSON, share_read(&c.set, 0, &who, 1, ky_secret_span(&line), &back));
    who = 2;
    assert_int_equal(SHARE_FINE, share_read(&c.set, 0, &who, 1, ky_secret_span(&line), &back));
    assert_int_equal(SHARE_MISTYPED, share_read(&c.set, 0, &who, 1, ky_span_text(""), &back));
    ky_secret_wipe(&line);
    ky_secret_wipe(&back);
    wipe(&c);
    wipe(&other);
}

static void test_59_the_same_share_twice_is_refused(void **state)
{
    struct custody c;
    struct ky_secret got = {.bytes = NULL};

    (void)state;
    give(&c, M, N);
    const struct ky_secret *some[M] = {&c.shares[0][0], &c.shares[0][1], &c.shares[0][0]};
    assert_int_equal(KY_INVALID, share_join((const uint8_t[]){1, 2, 1}, some, M, &got).code);
    assert_int_equal(KY_INVALID, share_join((const uint8_t[]){0, 2, 1}, some, M, &got).code);
    assert_int_equal(KY_INVALID, share_join((const uint8_t[]){16, 2, 1}, some, M, &got).code);
    assert_int_equal(KY_INVALID, share_join(NULL, some, 0, &got).code);
    assert_int_equal(KY_INVALID, share_split(&c.secret, 1, 5, c.shares[0]).code);
    assert_int_equal(KY_INVALID, share_split(&c.secret, 6, 5, c.shares[0]).code);
    assert_int_equal(KY_INVALID, share_split(&c.secret, 2, 16, c.shares[0]).code);
    wipe(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_59_ten_sets_restore_fifteen_smaller_do_not),
        cmocka_unit_test(every_m_of_n_restores),
        cmocka_unit_test(fewer_tell_nothing),
        cmocka_unit_test(a_line_survives_paper),
        cmocka_unit_test(test_59_every_slip_of_the_hand_is_named),
        cmocka_unit_test(test_59_a_hundred_corrupted_shares_are_named),
        cmocka_unit_test(test_59_a_line_of_elsewhere_is_named),
        cmocka_unit_test(test_59_the_same_share_twice_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
