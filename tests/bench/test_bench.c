/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The instruments themselves: a histogram that lies, or a code that is offered twice, spoils every
 * figure.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "histogram.h"
#include "population.h"

/*
 * Seed of RFC 6238, appendix B (SHA-1); the public key is a point that OpenSSL 3.0 made for this
 * test.
 */
static const char citizen_json[] =
    "{\"credential_id\": \"c1\", \"key_type\": \"p256\", \"public_key\": "
    "\"3059301306072a8648ce3d020106082a8648ce3d03010703420004be35d4c558277079a61307fb0333db8695deb3"
    "5648f68f280f8364cd473485f2"
    "83a5ab6336c702e9baa2247d949383ae867658c09d9067ab8ea01ce69392751b\", \"totps\": ["
    "{\"authenticator_id\": \"a1\", \"seed\": \"3132333435363738393031323334353637383930\"}, "
    "{\"authenticator_id\": \"a2\", \"seed\": \"3132333435363738393031323334353637383930\"}]}\n";

static void load_one(struct population *p)
{
    char path[] = "/tmp/kyso-bench-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, citizen_json, strlen(citizen_json)), strlen(citizen_json));
    assert_int_equal(close(fd), 0);
    assert_true(population_load(p, path, 0, 0));
    assert_int_equal(unlink(path), 0);
}

static void histogram_is_exact_below_128_us(void **state)
{
    struct histogram *h = calloc(1, sizeof *h);

    (void)state;
    for (uint64_t us = 1; us <= 100; us++)
        histogram_add(h, us);
    assert_int_equal(histogram_at(h, 0.5), 50);
    assert_int_equal(histogram_at(h, 0.99), 99);
    assert_int_equal(histogram_at(h, 1.0), 100);
    free(h);
}

static void histogram_is_within_its_width_above(void **state)
{
    (void)state;
    for (uint64_t us = 128; us < 40000000; us = us * 21 / 20 + 1) {
        struct histogram *h = calloc(1, sizeof *h);

        histogram_add(h, us);
        histogram_add(h, 2 * us);
        assert_in_range(histogram_at(h, 0.5), us, us + us / 64);
        free(h);
    }
}

static void histogram_of_nothing_is_zero(void **state)
{
    struct histogram *h = calloc(1, sizeof *h);

    (void)state;
    assert_int_equal(histogram_at(h, 0.99), 0);
    free(h);
}

static void codes_are_those_of_the_rfc(void **state)
{
    struct population p;
    struct totp_code code;

    (void)state;
    load_one(&p);
    assert_int_equal(EVP_PKEY_get_bits(population_public_key(&p.citizens[0])), 256);
    /*
     * RFC 6238, appendix B: 07081804 at 1111111109 s, 14050471 at 1111111111 s, which is the next
     * step
     */
    assert_true(population_code(&p, 1111111111, &code));
    assert_string_equal(code.code, "081804");
    assert_string_equal(code.authenticator_id, "a1");
    assert_true(population_code(&p, 1111111111, &code));
    assert_string_equal(code.authenticator_id, "a2");
    assert_true(population_code(&p, 1111111111, &code));
    assert_string_equal(code.code, "050471");
    assert_string_equal(code.authenticator_id, "a1");
    population_free(&p);
}

static void no_code_is_offered_twice(void **state)
{
    struct population p;
    struct totp_code code;
    unsigned given = 0;

    (void)state;
    load_one(&p);
    while (given < 100 && population_code(&p, 3000, &code))
        given++;
    assert_int_equal(given, 6); /* steps 99, 100 and 101 of two */
    assert_false(population_code(&p, 3029, &code));
    assert_true(population_code(&p, 3030, &code)); /* a step on: one more of each */
    assert_true(population_code(&p, 3030, &code));
    assert_false(population_code(&p, 3030, &code));
    population_free(&p);
}

static void late_in_a_step_the_one_before_is_left_out(void **state)
{
    struct population p;
    struct totp_code code;
    unsigned given = 0;

    (void)state;
    load_one(&p);
    while (given < 100 && population_code(&p, 3028, &code))
        given++;
    assert_int_equal(given, 4);
    population_free(&p);
}

static void a_code_comes_back_unless_a_later_one_went(void **state)
{
    struct population p;
    struct totp_code first, second, third;

    (void)state;
    load_one(&p);
    assert_true(population_code(&p, 3000, &first));
    population_take_back(&first);
    assert_true(population_code(&p, 3000, &second)); /* a2's, in turn */
    assert_true(population_code(&p, 3000, &third));
    assert_string_equal(third.authenticator_id, "a1");
    assert_string_equal(third.code, first.code);
    assert_true(population_code(&p, 3000, &second));
    assert_true(population_code(&p, 3000, &second)); /* a1's next */
    assert_string_equal(second.authenticator_id, "a1");
    population_take_back(&third); /* too late */
    assert_int_equal(p.citizens[0].totps[0].last_step, second.step);
    population_free(&p);
}

static void the_first_can_be_left_out(void **state)
{
    char path[] = "/tmp/kyso-bench-XXXXXX";
    int fd = mkstemp(path);
    struct population p;

    (void)state;
    assert_true(fd >= 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(write(fd, citizen_json, strlen(citizen_json)), strlen(citizen_json));
    assert_int_equal(close(fd), 0);
    assert_true(population_load(&p, path, 1, 0));
    assert_int_equal(p.count, 2);
    population_free(&p);
    assert_true(population_load(&p, path, 1, 1));
    assert_int_equal(p.count, 1);
    population_free(&p);
    assert_false(population_load(&p, path, 3, 0)); /* nobody is left */
    population_free(&p);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histogram_is_exact_below_128_us),
        cmocka_unit_test(histogram_is_within_its_width_above),
        cmocka_unit_test(histogram_of_nothing_is_zero),
        cmocka_unit_test(codes_are_those_of_the_rfc),
        cmocka_unit_test(no_code_is_offered_twice),
        cmocka_unit_test(late_in_a_step_the_one_before_is_left_out),
        cmocka_unit_test(a_code_comes_back_unless_a_later_one_went),
        cmocka_unit_test(the_first_can_be_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
