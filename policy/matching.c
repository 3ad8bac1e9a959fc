/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matching code that ties the relying party's screen to the citizen's device, and the
 * three codes that the device offers. The caller brings the randomness. Pure: any
 * thread.
 */
#include "kyso/policy.h"

#define CODE_FIRST 10u
#define CODE_COUNT 90u /* "10".."99" */
#define CHOICES    3u

static uint64_t load_u64(const uint8_t bytes[8])
{
    uint64_t v = 0;
    for (size_t i = 0; i < 8; i++) {
        v = v << 8 | bytes[i];
    }
    return v;
}

/* Takes v modulo n off v: the bias of a 64-bit draw over ranges this small is below 2^-57. */
static uint32_t draw(uint64_t *v, uint32_t n)
{
    const uint32_t drawn = (uint32_t)(*v % n);
    *v /= n;
    return drawn;
}

static void write_code(uint32_t index, char out[4])
{
    const uint32_t value = CODE_FIRST + index;
    out[0] = (char)('0' + value / 10);
    out[1] = (char)('0' + value % 10);
    out[2] = '\0';
    out[3] = '\0';
}

void policy_matching_code(const uint8_t random[8], char out_code[4])
{
    uint64_t v = load_u64(random);
    write_code(draw(&v, CODE_COUNT), out_code);
}

/* The index of a code of ours, or CODE_COUNT. */
static uint32_t read_code(const char *code)
{
    if (code[0] < '1' || code[0] > '9' || code[1] < '0' || code[1] > '9' || code[2] != '\0') {
        return CODE_COUNT;
    }
    return (uint32_t)(code[0] - '0') * 10 + (uint32_t)(code[1] - '0') - CODE_FIRST;
}

static bool is_taken(const uint32_t *taken, uint32_t count, uint32_t index)
{
    for (uint32_t i = 0; i < count; i++) {
        if (taken[i] == index) {
            return true;
        }
    }
    return false;
}

/* The nth code that is not taken yet: draws without replacement and without a retry. */
static uint32_t nth_free(const uint32_t *taken, uint32_t count, uint32_t nth)
{
    uint32_t index = 0;
    for (;; index++) {
        if (is_taken(taken, count, index)) {
            continue;
        }
        if (nth == 0) {
            return index;
        }
        nth--;
    }
}

struct ky_status policy_matching_choices(const char *code, const uint8_t random[16],
                                         char out_choices[3][4])
{
    uint32_t picked[CHOICES] = {read_code(code)};
    if (picked[0] == CODE_COUNT) {
        return KY_STATUS(KY_INVALID);
    }
    uint64_t decoys = load_u64(random);
    uint64_t order = load_u64(random + 8);
    for (uint32_t n = 1; n < CHOICES; n++) {
        picked[n] = nth_free(picked, n, draw(&decoys, CODE_COUNT - n));
    }
    for (uint32_t n = CHOICES; n > 1; n--) { /* Fisher-Yates */
        const uint32_t other = draw(&order, n);
        const uint32_t kept = picked[n - 1];
        picked[n - 1] = picked[other];
        picked[other] = kept;
    }
    for (uint32_t n = 0; n < CHOICES; n++) {
        write_code(picked[n], out_choices[n]);
    }
    return KY_STATUS(KY_OK);
}
