/* SPDX-License-Identifier: Apache-2.0 */
/* The command table: every row is complete and its example is a command line of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "table.h"

#define PROGRAM "kyso-ceremony "

static void every_row_is_complete(void **state)
{
    (void)state;
    for (const struct cli_command *c = ceremony_program.commands; c->words != NULL; c++) {
        char line[200];
        char *argv[8];
        int argc = 0;
        struct cli cli = {.program = &ceremony_program, .out = stdout, .err = stdout};

        assert_non_null(c->run);
        assert_true(strlen(c->summary) > 10 && strlen(c->summary) < 80);
        assert_int_equal(0, strncmp(c->example, PROGRAM, sizeof(PROGRAM) - 1));
        (void)snprintf(line, sizeof(line), "%s", c->example + sizeof(PROGRAM) - 1);
        for (char *word = line, *end; word != NULL && argc < 8; word = end) {
            end = strchr(word, ' ');
            if (end != NULL)
                *end++ = '\0';
            argv[argc++] = word;
        }
        assert_int_equal(CLI_OK, options_parse(&cli, argc, argv));
        assert_ptr_equal(c, cli.command);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_row_is_complete)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
