/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of outcomes: complete, unambiguous, unrevealing, and the same as PROTOCOL.md's.
 */
#include <stdio.h>

#include "proto_test.h"

static void test_complete(void **state)
{
    (void)state;
    for (int c = 0; c < KY_CODE_COUNT; c++) {
        const struct ky_code_info *i = ky_code_info((enum ky_code)c);
        assert_non_null(i->name);
        assert_non_null(i->public_text);
        assert_true(i->wire <= KY_INTERNAL);
        for (const char *p = i->name; *p != '\0'; p++)
            assert_true((*p >= 'a' && *p <= 'z') || *p == '-');
        for (int d = 0; d < c; d++)
            assert_string_not_equal(i->name, ky_code_info((enum ky_code)d)->name);
    }
    assert_ptr_equal(ky_code_info(KY_CODE_COUNT), ky_code_info(KY_INTERNAL));
    assert_ptr_equal(ky_code_info((enum ky_code) - 1), ky_code_info(KY_INTERNAL));
}

/*
 * What a code becomes outside must be a fixed point, and every field of it the public code's own.
 */
static void test_wire_is_one_answer(void **state)
{
    (void)state;
    for (int c = 0; c < KY_CODE_COUNT; c++) {
        const struct ky_code_info *i = ky_code_info((enum ky_code)c);
        const struct ky_code_info *w = ky_code_info(i->wire);
        assert_int_equal(w->wire, i->wire);
        assert_int_equal(w->grpc, i->grpc);
        assert_int_equal(w->retry, i->retry);
        assert_string_equal(w->public_text, i->public_text);
        if (c <= KY_INTERNAL)
            assert_int_equal(i->wire, c);
        else if (c < KY_NOMEM)
            assert_int_equal(i->wire, c == KY_PROOF_FLOORED ? KY_PROOF_NEEDED : KY_DENIED);
        else if (c > KY_UNSUPPORTED)
            assert_int_equal(i->wire, KY_DENIED);
        else
            assert_true(i->wire == KY_INTERNAL || i->wire == KY_UNAVAILABLE);
    }
}

static const struct {
    enum ky_code code;
    int grpc;
    enum ky_retry retry;
} public_codes[] = {
    {KY_OK, 0, KY_RETRY_NEVER},
    {KY_INVALID, 3, KY_RETRY_NEVER},
    {KY_UNAUTHENTICATED, 16, KY_RETRY_NEVER},
    {KY_DENIED, 7, KY_RETRY_NEW_PROOF},
    {KY_NOT_FOUND, 5, KY_RETRY_NEVER},
    {KY_CONFLICT, 6, KY_RETRY_NEVER},
    {KY_PROOF_NEEDED, 9, KY_RETRY_NEW_PROOF},
    {KY_TX_PENDING, 9, KY_RETRY_SAME},
    {KY_TX_ENDED, 9, KY_RETRY_NEW_PROOF},
    {KY_INACTIVE, 9, KY_RETRY_NEVER},
    {KY_BUSY, 8, KY_RETRY_SAME},
    {KY_UNAVAILABLE, 14, KY_RETRY_SAME},
    {KY_DEADLINE, 4, KY_RETRY_SAME},
    {KY_CANCELLED, 1, KY_RETRY_SAME},
    {KY_UNIMPLEMENTED, 12, KY_RETRY_NEVER},
    {KY_INTERNAL, 13, KY_RETRY_SAME},
};

static void test_public_rows(void **state)
{
    (void)state;
    assert_int_equal(ROWS(public_codes), KY_INTERNAL + 1);
    for (size_t i = 0; i < ROWS(public_codes); i++) {
        const struct ky_code_info *info = ky_code_info(public_codes[i].code);
        assert_int_equal(info->grpc, public_codes[i].grpc);
        assert_int_equal(info->retry, public_codes[i].retry);
    }
}

static const char *grpc_name(int number)
{
    static const char *const names[] = {[0] = "OK",
                                        [1] = "CANCELLED",
                                        [3] = "INVALID_ARGUMENT",
                                        [4] = "DEADLINE_EXCEEDED",
                                        [5] = "NOT_FOUND",
                                        [6] = "ALREADY_EXISTS",
                                        [7] = "PERMISSION_DENIED",
                                        [8] = "RESOURCE_EXHAUSTED",
                                        [9] = "FAILED_PRECONDITION",
                                        [12] = "UNIMPLEMENTED",
                                        [13] = "INTERNAL",
                                        [14] = "UNAVAILABLE",
                                        [16] = "UNAUTHENTICATED"};
    return names[number];
}

/* PROTOCOL.md shows each refusal as | `code` | gRPC status | retry | ... */
static void test_documented(void **state)
{
    (void)state;
    static const char *const retries[] = {"never", "same request", "new proof"};
    FILE *f = fopen(KYSO_PROTOCOL_MD, "r");
    assert_non_null(f);
    static char page[256 * 1024];
    size_t n = fread(page, 1, sizeof(page) - 1, f);
    fclose(f);
    page[n] = '\0';
    for (int c = KY_OK + 1; c <= KY_INTERNAL; c++) {
        const struct ky_code_info *i = ky_code_info((enum ky_code)c);
        char row[160];
        snprintf(row, sizeof(row), "| `%s` | %s | %s |", i->name, grpc_name(i->grpc),
                 retries[i->retry]);
        if (strstr(page, row) == NULL)
            fail_msg("PROTOCOL.md has no row %s", row);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_complete),
        cmocka_unit_test(test_wire_is_one_answer),
        cmocka_unit_test(test_public_rows),
        cmocka_unit_test(test_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
