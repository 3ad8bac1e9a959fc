/* SPDX-License-Identifier: Apache-2.0 */
/* PROTOCOL.md's table of statuses says what the code's table says, row by row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kyso/status.h"

static const char *grpc_name(int number)
{
    static const char *const names[] = {
        "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
        "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
        "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
    };
    return names[number];
}

static void every_public_code_has_its_row(void **state)
{
    static const char *const retries[] = { "never", "same request", "new proof" };
    static char text[128 * 1024];
    FILE *f = fopen(KYSO_PROTOCOL_MD, "r");
    size_t rows = 0;

    (void)state;
    assert_non_null(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    for (int c = KY_INVALID; c < KY_CODE_COUNT; c++) {
        const struct ky_code_info *i = ky_code_info((enum ky_code)c);
        char row[160];

        if (i->wire != (enum ky_code)c)
            continue;
        (void)snprintf(row, sizeof(row), "| `%s` | %s | %s |", i->name, grpc_name(i->grpc), retries[i->retry]);
        if (!strstr(text, row))
            fail_msg("PROTOCOL.md lacks: %s", row);
        rows++;
    }
    assert_true(rows >= 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_public_code_has_its_row) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
