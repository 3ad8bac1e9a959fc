/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 5424 lines byte by byte: what records of a real server cannot hold, too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ledger_syslog.h"

static void check(const char *json, const char *host, const char *expected)
{
    json_t *record = json_loads(json, 0, NULL);
    char *line = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&line, &len);

    assert_non_null(record);
    assert_non_null(out);
    ledger_syslog_record(out, record, ky_span_text(host));
    (void)fclose(out);
    assert_string_equal(expected, line);
    free(line);
    json_decref(record);
}

static void test_fields_are_parameters(void **state)
{
    (void)state;
    check("{\"index\":7,\"time\":\"2026-03-01T08:30:00.000000Z\",\"type\":\"receipt\",\"code\":\"ok\"}", "sign.example.vn",
          "<110>1 2026-03-01T08:30:00.000000Z sign.example.vn kyso - receipt [kyso@32473 index=\"7\" code=\"ok\"]\n");
}

/* s.6.3.3: the three characters, and no others. */
static void test_values_are_escaped(void **state)
{
    (void)state;
    check("{\"time\":\"t\",\"type\":\"operation\",\"a\":\"x\\\"y\\\\z]\",\"b\":\"[=' tiếng Việt\",\"c\":\"\"}", "h",
          "<109>1 t h kyso - operation [kyso@32473 a=\"x\\\"y\\\\z\\]\" b=\"[=' tiếng Việt\" c=\"\"]\n");
}

static void test_a_host_that_fits_no_header(void **state)
{
    (void)state;
    check("{\"time\":\"t\",\"type\":\"denied\"}", "máy chủ", "<108>1 t - kyso - denied [kyso@32473]\n");
    check("{\"time\":\"t\",\"type\":\"denied\"}", "", "<108>1 t - kyso - denied [kyso@32473]\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_are_parameters),
        cmocka_unit_test(test_values_are_escaped),
        cmocka_unit_test(test_a_host_that_fits_no_header),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
