/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matching code and its decoys: form, reach, evenness over a fixed stream of
 * SHA-256 outputs, and that a place in the list says nothing.
 */
#include "policy_test.h"

/* The same "random" bytes on every run. */
static void stream(uint32_t n, uint8_t out[32])
{
    const uint8_t counter[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
                                (uint8_t)n};
    ky_sha256(KY_SPAN_OF(counter), out);
}

static uint32_t value_of(const char code[4])
{
    assert_true(code[0] >= '1' && code[0] <= '9');
    assert_true(code[1] >= '0' && code[1] <= '9');
    assert_int_equal(code[2], 0);
    assert_int_equal(code[3], 0);
    return (uint32_t)(code[0] - '0') * 10 + (uint32_t)(code[1] - '0');
}

static void test_code_fixed(void **state)
{
    (void)state;
    static const struct {
        uint8_t random[8];
        const char *code;
    } rows[] = {
        {{0}, "10"},
        {{0, 0, 0, 0, 0, 0, 0, 89}, "99"},
        {{0, 0, 0, 0, 0, 0, 0, 90}, "10"},
        {{0, 0, 0, 0, 0, 0, 1, 0}, "86"},                         /* 256 mod 90 = 76 */
        {{1, 0, 0, 0, 0, 0, 0, 0}, "86"},                         /* 2^56 mod 90 = 76 */
        {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, "25"}, /* 2^64 - 1 mod 90 = 15 */
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        char code[4] = "xxx";
        policy_matching_code(rows[i].random, code);
        assert_string_equal(code, rows[i].code);
    }
}

static void test_code_even(void **state)
{
    (void)state;
    uint32_t seen[100] = {0};
    for (uint32_t n = 0; n < 90000; n++) {
        uint8_t random[32];
        char code[4];
        stream(n, random);
        policy_matching_code(random, code);
        seen[value_of(code)]++;
    }
    for (uint32_t v = 10; v < 100; v++) {
        assert_in_range(seen[v], 800, 1200); /* 1000 expected; six standard deviations are 190 */
    }
}

static void test_choices_fixed(void **state)
{
    (void)state;
    /*
     * 448 = 5 * 89 + 3: the fourth free code after "10", then the sixth; an order of 0 moves each
     * to the end in turn.
     */
    const uint8_t random[16] = {[6] = 0x01, [7] = 0xc0};
    char choices[3][4];
    EXPECT(KY_OK, policy_matching_choices("10", random, choices), "10");
    assert_string_equal(choices[0], "14");
    assert_string_equal(choices[1], "17");
    assert_string_equal(choices[2], "10");
}

static void test_choices(void **state)
{
    (void)state;
    uint32_t places[3] = {0};
    uint32_t decoys[100] = {0};
    for (uint32_t n = 0; n < 30000; n++) {
        uint8_t random[32];
        char choices[3][4];
        stream(n, random);
        EXPECT(KY_OK, policy_matching_choices("42", random, choices), "42");
        const uint32_t v[3] = {value_of(choices[0]), value_of(choices[1]), value_of(choices[2])};
        assert_true(v[0] != v[1] && v[1] != v[2] && v[0] != v[2]);
        uint32_t found = 0;
        for (uint32_t i = 0; i < 3; i++) {
            if (v[i] == 42) {
                places[i]++;
                found++;
            } else {
                decoys[v[i]]++;
            }
        }
        assert_int_equal(found, 1);
    }
    for (uint32_t i = 0; i < 3; i++) {
        assert_in_range(places[i], 9500, 10500);
    }
    for (uint32_t v = 10; v < 100; v++) {
        if (v != 42) {
            assert_in_range(decoys[v], 500, 850); /* 674 expected */
        }
    }
}

/* The least and the most that the draws can be, for every code. */
static void test_choices_of_every_code(void **state)
{
    (void)state;
    for (uint32_t value = 10; value < 100; value++) {
        const char code[4] = {(char)('0' + value / 10), (char)('0' + value % 10), 0, 0};
        for (uint32_t n = 0; n < 90 * 89; n++) {
            uint8_t random[16] = {0};
            random[6] = (uint8_t)(n >> 8);
            random[7] = (uint8_t)n;
            random[15] = (uint8_t)(n % 6);
            char choices[3][4];
            EXPECT(KY_OK, policy_matching_choices(code, random, choices), code);
            const uint32_t v[3] = {value_of(choices[0]), value_of(choices[1]),
                                   value_of(choices[2])};
            assert_true(v[0] != v[1] && v[1] != v[2] && v[0] != v[2]);
            assert_int_equal((v[0] == value) + (v[1] == value) + (v[2] == value), 1);
        }
    }
}

static void test_choices_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    "1",   "09",  "00",  "1a", "a1",
                                      "100", "42 ", " 42", "4\n", "-1"};
    const uint8_t random[16] = {0};
    for (size_t i = 0; i < ROWS(bad); i++) {
        char choices[3][4];
        EXPECT(KY_INVALID, policy_matching_choices(bad[i], random, choices), bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_code_fixed),
        cmocka_unit_test(test_code_even),
        cmocka_unit_test(test_choices_fixed),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_choices_of_every_code),
        cmocka_unit_test(test_choices_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
