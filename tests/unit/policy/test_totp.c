/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TOTP against the RFCs' own tables, then the rules of spending: window edges, order,
 * replay, floors, shared codes and every malformed form. Faults 18-22, P24.
 */
#include "policy_test.h"

static const char seed20[] = "12345678901234567890";
static const char seed32[] = "12345678901234567890123456789012";
static const char seed64[] = "1234567890123456789012345678901234567890123456789012345678901234";

/* RFC 4226 appendix D: HOTP values of counters 0 to 9, six digits. */
static const char *const rfc4226[] = {"755224", "287082", "359152", "969429", "338314",
                                      "254676", "287922", "162583", "399871", "520489"};

/* RFC 6238 appendix B, with the seeds of its reference code (erratum 2866). */
static const struct {
    uint64_t time_s;
    const char *codes[3];
} rfc6238[] = {
    {59, {"94287082", "46119246", "90693936"}},
    {1111111109, {"07081804", "68084774", "25091201"}},
    {1111111111, {"14050471", "67062674", "99943326"}},
    {1234567890, {"89005924", "91819424", "93441116"}},
    {2000000000, {"69279037", "90698825", "38618901"}},
    {20000000000, {"65353130", "77737706", "47863826"}},
};

static struct ky_span rfc_seed(uint8_t hash)
{
    const char *const seeds[] = {seed20, seed32, seed64};
    return text(seeds[hash]);
}

static void test_rfc4226(void **state)
{
    (void)state;
    for (uint64_t step = 0; step < ROWS(rfc4226); step++) {
        char code[9];
        EXPECT(KY_OK, policy_totp_code(POLICY_OTP_SHA1, 6, text(seed20), step, code),
               rfc4226[step]);
        assert_string_equal(code, rfc4226[step]);
    }
}

static void test_rfc6238(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(rfc6238); i++) {
        for (uint8_t hash = 0; hash < 3; hash++) {
            const char *const want = rfc6238[i].codes[hash];
            const uint64_t step = rfc6238[i].time_s / 30;
            char code[9];
            EXPECT(KY_OK, policy_totp_code(hash, 8, rfc_seed(hash), step, code), want);
            assert_string_equal(code, want);
            EXPECT(KY_OK, policy_totp_code(hash, 7, rfc_seed(hash), step, code), want);
            assert_string_equal(code, want + 1);
            EXPECT(KY_OK, policy_totp_code(hash, 6, rfc_seed(hash), step, code), want);
            assert_string_equal(code, want + 2);

            const struct policy_totp p = {.hash = hash, .digits = 8, .window = 0};
            uint64_t out = 0;
            EXPECT(KY_OK,
                   policy_totp_check(&p, rfc_seed(hash), text(want), rfc6238[i].time_s, &out),
                   want);
            assert_int_equal(out, step);
        }
    }
}

static struct policy_totp six_digits(uint64_t last_step)
{
    return (struct policy_totp){
        .hash = POLICY_OTP_SHA1, .digits = 6, .window = 1, .last_step = last_step};
}

static struct ky_status check_step(const struct policy_totp *p, uint64_t step, uint64_t now_s,
                                   uint64_t *out)
{
    char code[9];
    EXPECT(KY_OK, policy_totp_code(p->hash, p->digits, text(seed20), step, code), "code");
    return policy_totp_check(p, text(seed20), text(code), now_s, out);
}

/* A step's code works from the first second of the step before to the last of the step after. */
static void test_window_edges(void **state)
{
    (void)state;
    const uint64_t step = 1000;
    for (uint8_t window = 0; window <= 3; window++) {
        struct policy_totp p = six_digits(0);
        p.window = window;
        const uint64_t first = (step - window) * 30;
        const uint64_t last = (step + window) * 30 + 29;
        for (uint64_t now = first - 31; now <= last + 31; now++) {
            uint64_t out = 77;
            const bool inside = now >= first && now <= last;
            EXPECT(inside ? KY_OK : KY_PROOF_WRONG, check_step(&p, step, now, &out), "edge");
            assert_int_equal(out, inside ? step : 77);
        }
    }
}

static void test_spent_steps(void **state)
{
    (void)state;
    const uint64_t t = 5000;
    const uint64_t now = t * 30 + 12;
    uint64_t out = 0;
    struct policy_totp p = six_digits(0);

    /* Fault 20: t-1, t-1 again, then t, then t again. */
    EXPECT(KY_OK, check_step(&p, t - 1, now, &out), "t-1");
    p.last_step = out;
    EXPECT(KY_PROOF_REPLAYED, check_step(&p, t - 1, now, &out), "t-1 again");
    EXPECT(KY_OK, check_step(&p, t, now, &out), "t");
    p.last_step = out;
    EXPECT(KY_PROOF_REPLAYED, check_step(&p, t, now, &out), "t again");
    /* Fault 19. */
    EXPECT(KY_PROOF_REPLAYED, check_step(&p, t - 1, now, &out), "t-1 after t");
    EXPECT(KY_OK, check_step(&p, t + 1, now, &out), "t+1");
    assert_int_equal(out, t + 1);
    p.last_step = t + 1;
    for (uint64_t step = t - 1; step <= t + 1; step++) {
        EXPECT(KY_PROOF_REPLAYED, check_step(&p, step, now, &out), "all spent");
    }
    EXPECT(KY_PROOF_WRONG, check_step(&p, t + 2, now, &out), "t+2");
}

/* P24: whatever the clock does, a step at or below the last one never works again. */
static void fault_55_clock_jumps(void **state)
{
    (void)state;
    static const int64_t jumps[] = {0, 1, -1, 30, -30, 60, -60, 3600, -3600, 86400, -86400};
    const uint64_t t = 100000;
    const struct policy_totp p = six_digits(t);
    for (size_t i = 0; i < ROWS(jumps); i++) {
        const uint64_t now = (uint64_t)((int64_t)(t * 30) + jumps[i]);
        for (uint64_t step = t - 5; step <= t; step++) {
            uint64_t out = 0;
            assert_false(ky_ok(check_step(&p, step, now, &out)));
        }
        uint64_t out = 0;
        assert_false(ky_ok(check_step(&p, now / 30, now, &out)) && out <= t);
    }
}

static void test_floor(void **state)
{
    (void)state;
    const uint64_t t = 5000;
    const uint64_t now = t * 30;
    uint64_t out = 0;
    struct policy_totp p = six_digits(10);
    p.floor_step = t;
    EXPECT(KY_PROOF_FLOORED, check_step(&p, t - 1, now, &out), "below the floor");
    EXPECT(KY_PROOF_FLOORED, check_step(&p, t, now, &out), "the floor");
    EXPECT(KY_OK, check_step(&p, t + 1, now, &out), "above the floor");
    p.last_step = t + 1;
    EXPECT(KY_PROOF_REPLAYED, check_step(&p, t + 1, now, &out), "above the floor, spent");
    p.floor_step = 0;
    EXPECT(KY_PROOF_REPLAYED, check_step(&p, t, now, &out), "last_step alone");
}

static void fault_22_step_zero_and_far_ends(void **state)
{
    (void)state;
    uint64_t out = 0;
    struct policy_totp p = six_digits(0);
    EXPECT(KY_PROOF_REPLAYED, check_step(&p, 0, 0, &out), "step 0 at 0");
    EXPECT(KY_PROOF_REPLAYED, check_step(&p, 0, 59, &out), "step 0 at 59");
    EXPECT(KY_OK, check_step(&p, 1, 0, &out), "step 1 at 0");
    assert_int_equal(out, 1);

    p.window = 255;
    EXPECT(KY_OK, check_step(&p, 2, 30, &out), "window below step 0");
    assert_int_equal(out, 2);

    static const uint64_t far[] = {(UINT64_C(1) << 63) - 1, UINT64_C(1) << 63, UINT64_MAX};
    for (size_t i = 0; i < ROWS(far); i++) {
        p = six_digits(far[i]);
        EXPECT(KY_PROOF_REPLAYED, check_step(&p, 5000, 5000 * 30, &out), "last_step far ahead");
        p = six_digits(0);
        p.floor_step = far[i];
        EXPECT(KY_PROOF_FLOORED, check_step(&p, 5000, 5000 * 30, &out), "floor far ahead");
    }
    p = six_digits(0);
    EXPECT(KY_OK, check_step(&p, UINT64_MAX / 30 + 1, UINT64_MAX, &out), "the end of time");
    assert_int_equal(out, UINT64_MAX / 30 + 1);
}

/*
 * Steps whose six-digit SHA-1 codes under the RFC's seed are equal, found by search:
 * 910737 and 910738 ("911617"), 153567 and 153569 ("468457").
 */
static void test_shared_codes(void **state)
{
    (void)state;
    uint64_t out = 0;
    struct policy_totp p = six_digits(0);
    const uint64_t now = UINT64_C(910737) * 30;
    EXPECT(KY_OK, policy_totp_check(&p, text(seed20), text("911617"), now, &out), "both open");
    assert_int_equal(out, 910738);
    p.last_step = out;
    EXPECT(KY_PROOF_REPLAYED, policy_totp_check(&p, text(seed20), text("911617"), now, &out),
           "both spent");
    p.last_step = 910737;
    EXPECT(KY_PROOF_REPLAYED, policy_totp_check(&p, text(seed20), text("911617"), now, &out),
           "one spent");

    p.last_step = 0;
    const uint64_t between = UINT64_C(153568) * 30;
    EXPECT(KY_OK, policy_totp_check(&p, text(seed20), text("468457"), between, &out),
           "ends of the window");
    assert_int_equal(out, 153569);
    p.last_step = 153568;
    EXPECT(KY_PROOF_REPLAYED, policy_totp_check(&p, text(seed20), text("468457"), between, &out),
           "one behind");
}

static void fault_21_malformed(void **state)
{
    (void)state;
    /* The right code is 287082 (step 1): each of these is it with something wrong. */
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        {"", 0},
        {"28708", 5},
        {"2870820", 7},
        {"287082287", 9},
        {" 287082", 7},
        {"287082 ", 7},
        {"28708 ", 6},
        {"28708\0", 6},
        {"287082\0", 7},
        {"+87082", 6},
        {"-87082", 6},
        {"0x7082", 6},
        {"28708O", 6},
        {"28708/", 6},
        {"28708:", 6},
        {"28708\xb2", 6},
        {"2870\xd9\xa2", 6},    /* ARABIC-INDIC DIGIT TWO */
        {"287\xef\xbc\x92", 6}, /* FULLWIDTH DIGIT TWO */
        {"28708\xff", 6},
        {"287\n82", 6},
    };
    const struct policy_totp p = six_digits(0);
    for (size_t i = 0; i < ROWS(bad); i++) {
        uint64_t out = 77;
        const struct ky_span code = KY_SPAN((const uint8_t *)bad[i].bytes, bad[i].len);
        EXPECT(KY_PROOF_MALFORMED, policy_totp_check(&p, text(seed20), code, 30, &out),
               bad[i].bytes);
        assert_int_equal(out, 77);
    }
    uint64_t out = 0;
    EXPECT(KY_PROOF_MALFORMED, policy_totp_check(&p, text(seed20), KY_SPAN(NULL, 0), 30, &out),
           "NULL");
    EXPECT(KY_OK, policy_totp_check(&p, text(seed20), text("287082"), 30, &out), "as it is");
}

/* Every wrong digit in every place, so that no part of the comparison is left out. */
static void test_every_digit_counts(void **state)
{
    (void)state;
    const struct policy_totp p = {.hash = POLICY_OTP_SHA1, .digits = 8, .window = 0};
    for (size_t i = 0; i < 8; i++) {
        for (char d = '0'; d <= '9'; d++) {
            char code[] = "94287082";
            const bool same = code[i] == d;
            code[i] = d;
            uint64_t out = 0;
            EXPECT(same ? KY_OK : KY_PROOF_WRONG,
                   policy_totp_check(&p, text(seed20), text(code), 59, &out), code);
        }
    }
}

static void test_bad_authenticator(void **state)
{
    (void)state;
    char code[9];
    uint64_t out = 0;
    EXPECT(KY_INVALID, policy_totp_code(3, 6, text(seed20), 1, code), "hash 3");
    EXPECT(KY_INVALID, policy_totp_code(255, 6, text(seed20), 1, code), "hash 255");
    EXPECT(KY_INVALID, policy_totp_code(0, 5, text(seed20), 1, code), "5 digits");
    EXPECT(KY_INVALID, policy_totp_code(0, 9, text(seed20), 1, code), "9 digits");
    EXPECT(KY_INVALID, policy_totp_code(0, 6, KY_SPAN(NULL, 0), 1, code), "no seed");
    EXPECT(KY_INVALID, policy_totp_code(0, 6, text(seed20), UINT64_C(1) << 63, code), "step 2^63");
    EXPECT(KY_OK, policy_totp_code(0, 6, text(seed20), (UINT64_C(1) << 63) - 1, code),
           "step 2^63 - 1");

    struct policy_totp p = six_digits(0);
    p.hash = 3;
    EXPECT(KY_INVALID, policy_totp_check(&p, text(seed20), text("287082"), 30, &out), "hash 3");
    p = six_digits(0);
    p.digits = 5;
    EXPECT(KY_INVALID, policy_totp_check(&p, text(seed20), text("28708"), 30, &out), "5 digits");
    p = six_digits(0);
    EXPECT(KY_INVALID, policy_totp_check(&p, KY_SPAN(NULL, 0), text("287082"), 30, &out),
           "no seed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc4226),
        cmocka_unit_test(test_rfc6238),
        cmocka_unit_test(test_window_edges),
        cmocka_unit_test(test_spent_steps),
        cmocka_unit_test(fault_55_clock_jumps),
        cmocka_unit_test(test_floor),
        cmocka_unit_test(fault_22_step_zero_and_far_ends),
        cmocka_unit_test(test_shared_codes),
        cmocka_unit_test(fault_21_malformed),
        cmocka_unit_test(test_every_digit_counts),
        cmocka_unit_test(test_bad_authenticator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
