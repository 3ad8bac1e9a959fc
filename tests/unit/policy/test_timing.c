/* SPDX-License-Identifier: Apache-2.0 */
/*
 * P20: does the time of a comparison tell where it differs? Two classes of input in random order,
 * Welch's t over the times, as dudect does it (Reparaz, Balasch, Verbauwhede, 2017), with the slow
 * tail cut off. A comparison that stops at the first difference shows that this would see it.
 * $KYSO_SAMPLES times, at least 10^5 for a word; under less load than anything else wants.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kyso/secret.h"
#include "policy_test.h"

#define T_MOST 10.0 /* beyond it the classes differ for sure */
#define SECRET 2048u
#define BATCH  8u /* calls per sample: a clock's tick is not short */

static const char seed20[] = "12345678901234567890";

struct subject {
    uint8_t secret[SECRET];
    uint8_t tried[2][SECRET]; /* differs at the first byte; at the last, or nowhere */
    struct policy_totp totp;
    char codes[2][9];
    volatile uint32_t sink;
};
typedef void (*compare_fn)(struct subject *s, unsigned class);

static void constant_time(struct subject *s, unsigned class)
{
    s->sink += ky_span_eq_ct(KY_SPAN_OF(s->secret), KY_SPAN(s->tried[class], SECRET));
}

static void first_difference(struct subject *s, unsigned class)
{
    uint32_t i = 0;

    while (i < SECRET && s->secret[i] == s->tried[class][i])
        i++;
    s->sink += i;
}

static void totp(struct subject *s, unsigned class)
{
    uint64_t step = 0;

    s->sink += policy_totp_check(&s->totp, text(seed20), text(s->codes[class]), 90, &step).code;
}

static uint64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* t of the two classes' times below the 90th percentile of all. */
static double welch(const uint64_t *took, const uint8_t *class, uint32_t n, uint64_t most)
{
    double mean[2] = {0}, m2[2] = {0}, count[2] = {0};

    for (uint32_t i = 0; i < n; i++) {
        if (took[i] > most)
            continue;
        const unsigned c = class[i];
        const double delta = (double)took[i] - mean[c];
        count[c] += 1;
        mean[c] += delta / count[c];
        m2[c] += delta * ((double)took[i] - mean[c]);
    }
    const double variance = m2[0] / (count[0] - 1) / count[0] + m2[1] / (count[1] - 1) / count[1];
    const double t2 = (mean[0] - mean[1]) * (mean[0] - mean[1]) / (variance > 0 ? variance : 1);
    double t = t2 > 1 ? t2 : 1;
    for (int i = 0; i < 60; i++) /* Newton's root: no libm for one test */
        t = (t + t2 / t) / 2;
    return t;
}

static double measure(compare_fn compare)
{
    const char *told = getenv("KYSO_SAMPLES");
    const uint32_t n = told == NULL ? 2000 : (uint32_t)strtoul(told, NULL, 10);
    static struct subject s;
    uint64_t *took = calloc(2 * (size_t)n, sizeof(*took));
    uint8_t *class = calloc(n, 1);

    assert_non_null(took);
    assert_non_null(class);
    s.totp = (struct policy_totp){.digits = 6, .window = 1};
    assert_int_equal(KY_OK, policy_totp_code(0, 6, text(seed20), 3, s.codes[0]).code);
    (void)snprintf(s.codes[1], sizeof(s.codes[1]), "%s", s.codes[0]);
    s.codes[0][0] ^=
        1; /* wrong at its first digit, or at its last: a right one tells by its answer */
    s.codes[1][5] ^= 1;
    assert_int_equal(KY_OK, ky_random(s.secret, SECRET).code);
    memcpy(s.tried, s.secret, SECRET);
    memcpy(s.tried[1], s.secret, SECRET);
    s.tried[0][0] ^= 1;
    assert_int_equal(KY_OK, ky_random(class, n).code);
    for (uint32_t i = 0; i < n; i++) {
        class[i] &= 1;
        const uint64_t began = now_ns();
        for (unsigned k = 0; k < BATCH; k++)
            compare(&s, class[i]);
        took[i] = took[n + i] = now_ns() - began;
    }
    qsort(took + n, n, sizeof(*took), ascending);
    const double t = welch(took, class, n, took[n + n / 10 * 9]);
    free(took);
    free(class);
    return t;
}

static void p20_a_leak_is_seen(void **state)
{
    (void)state;
    const double t = measure(first_difference);
    print_message("a comparison that stops: t = %.1f\n", t);
    assert_true(t > T_MOST);
}

static void p20_comparison_of_secrets(void **state)
{
    (void)state;
    const double t = measure(constant_time);
    print_message("ky_span_eq_ct: t = %.1f\n", t);
    assert_true(t < T_MOST);
}

static void p20_totp(void **state)
{
    (void)state;
    const double t = measure(totp);
    print_message("policy_totp_check: t = %.1f\n", t);
    assert_true(t < T_MOST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(p20_a_leak_is_seen),
        cmocka_unit_test(p20_comparison_of_secrets),
        cmocka_unit_test(p20_totp),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
