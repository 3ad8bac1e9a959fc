/* SPDX-License-Identifier: Apache-2.0 */
/* The command table and the parser: every row is complete, and what help shows can be typed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli.h"
#include "kyso/alg.h"
#include "ledger_words.h"

#define WORDS_MAX 32

static void open_cli(struct cli *cli, char **out, size_t *n)
{
    memset(cli, 0, sizeof *cli);
    cli->program = &cli_program;
    cli->out = cli->err = open_memstream(out, n);
    assert_non_null(cli->out);
}

static int parse(struct cli *cli, const char *line, char *storage, size_t cap)
{
    char *argv[WORDS_MAX];
    int argc = 0;
    char quote = 0;
    char *to = storage;

    (void)cap;
    argv[argc++] = to;
    for (const char *p = line; *p != '\0';
         p++) { /* a shell's simple quoting is enough for the examples */
        if (*p == '\'' && (quote == 0 || quote == '\''))
            quote = quote != 0 ? 0 : '\'';
        else if (*p == ' ' && quote == 0) {
            *to++ = '\0';
            argv[argc++] = to;
        } else
            *to++ = *p;
    }
    *to = '\0';
    assert_string_equal(argv[0], "kyso");
    return options_parse(cli, argc - 1, argv + 1);
}

static void every_row_is_complete(void **state)
{
    (void)state;
    for (const struct cli_command *c = cli_program.commands; c->words != NULL; c++) {
        assert_true(strlen(c->summary) > 10 && strlen(c->summary) < 80);
        assert_non_null(c->run);
        assert_int_equal(strncmp(c->example, "kyso ", 5), 0);
        assert_int_equal(strncmp(c->example + 5, c->words, strlen(c->words)), 0);
        for (const struct cli_command *d = c + 1; d->words != NULL; d++)
            assert_string_not_equal(c->words, d->words);
        for (const struct cli_arg *a = c->args; a->kind != CLI_END; a++) {
            assert_true(strlen(a->help) > 3);
            for (const struct cli_arg *b = a + 1; b->kind != CLI_END; b++)
                assert_string_not_equal(a->name, b->name);
            for (const struct cli_group *g = cli_program.groups; g->title != NULL;
                 g++) /* no option means two things */
                for (const struct cli_arg *b = g->args;
                     b->kind != CLI_END && (g->uses == 0 || (c->uses & g->uses) != 0); b++)
                    assert_string_not_equal(a->name, b->name);
            assert_true(a->kind == CLI_FLAG || a->name[0] != '-' || a->value != NULL);
        }
    }
}

static void every_example_parses(void **state)
{
    (void)state;
    for (const struct cli_command *c = cli_program.commands; c->words != NULL; c++) {
        struct cli cli;
        char *out = NULL;
        size_t n = 0;
        char words[512];
        int rc;

        open_cli(&cli, &out, &n);
        rc = parse(&cli, c->example, words, sizeof words);
        (void)fclose(cli.out);
        if (rc != CLI_OK)
            fail_msg("%s: %s", c->example, out);
        assert_ptr_equal(cli.command, c);
        free(out);
    }
}

static int parse_says(const char *line, const char *expected)
{
    struct cli cli;
    char *out = NULL;
    size_t n = 0;
    char words[512];
    int rc;

    open_cli(&cli, &out, &n);
    rc = parse(&cli, line, words, sizeof words);
    (void)fclose(cli.out);
    if (expected != NULL && strstr(out, expected) == NULL)
        fail_msg("%s: said \"%s\", expected \"%s\"", line, out, expected);
    free(out);
    return rc;
}

static void mistakes_are_named(void **state)
{
    (void)state;
    assert_int_equal(parse_says("kyso frobnicate", "unknown command: frobnicate"), CLI_USAGE);
    assert_int_equal(parse_says("kyso client frob", "unknown command: client frob"), CLI_USAGE);
    assert_int_equal(parse_says("kyso subject add --name X", "missing: ID"), CLI_USAGE);
    assert_int_equal(parse_says("kyso subject add 1 2 --name X", "unexpected argument 2"),
                     CLI_USAGE);
    assert_int_equal(parse_says("kyso subject add 1 --name", "needs a value: --name"), CLI_USAGE);
    assert_int_equal(parse_says("kyso subject add 1 --name X --name Y", "given twice: --name"),
                     CLI_USAGE);
    assert_int_equal(parse_says("kyso subject add 1 --nam X", "unknown option --nam"), CLI_USAGE);
    assert_int_equal(parse_says("kyso client add x --may fly", "not one of its choices: --may"),
                     CLI_USAGE);
    assert_int_equal(parse_says("kyso client add x --may sign --max-hashes -3",
                                "not a value for it: --max-hashes"),
                     CLI_USAGE);
    assert_int_equal(
        parse_says("kyso client add x --may sign --spki xyz", "not a value for it: --spki"),
        CLI_USAGE);
    assert_int_equal(
        parse_says("kyso client add x --may sign --no-totp=1", "takes no value: --no-totp"),
        CLI_USAGE);
    assert_int_equal(parse_says("kyso status --profile x", "unknown option --profile"),
                     CLI_USAGE); /* not its group */
    assert_int_equal(parse_says("kyso subject add --json", "\"kind\": \"usage\""), CLI_USAGE);
}

static void too_many_values_are_never_dropped(void **state)
{
    static const char *const start[] = {"sign", "--credential", "c", "--totp", "1"};
    static char words[KY_HASHES_MAX + 8][16];
    char *argv[KY_HASHES_MAX + 8];
    struct cli cli;
    char *out = NULL;
    size_t n = 0;

    (void)state;
    for (size_t i = 0; i < KY_HASHES_MAX + 6; i++) {
        (void)snprintf(words[i], sizeof words[i], "f%zu", i);
        if (i < 5)
            (void)snprintf(words[i], sizeof words[i], "%s", start[i]);
        argv[i] = words[i];
    }
    open_cli(&cli, &out, &n);
    assert_int_equal(options_parse(&cli, KY_HASHES_MAX + 5, argv), CLI_OK);
    (void)fclose(cli.out);
    free(out);
    open_cli(&cli, &out, &n);
    assert_int_equal(options_parse(&cli, KY_HASHES_MAX + 6, argv), CLI_USAGE);
    (void)fclose(cli.out);
    assert_non_null(strstr(out, "given too often: FILE"));
    free(out);
}

static void values_are_found(void **state)
{
    struct cli cli;
    char *out = NULL;
    size_t n = 0;
    char words[512];
    const char *all[4];

    (void)state;
    open_cli(&cli, &out, &n);
    assert_int_equal(parse(&cli,
                           "kyso client add gw --may=approve --delegate a --delegate b --json -- ",
                           words, sizeof words),
                     CLI_USAGE);
    (void)fclose(cli.out);
    free(out);
    open_cli(&cli, &out, &n);
    assert_int_equal(
        parse(
            &cli,
            "kyso client add --may=approve --delegate a --delegate b --json --max-hashes 12 -- -gw",
            words, sizeof words),
        CLI_OK);
    assert_string_equal(cli_get(&cli, "NAME"), "-gw");
    assert_int_equal(cli_choice(&cli, "--may", 0), 2);
    assert_int_equal(cli_number(&cli, "--max-hashes", 0), 12);
    assert_int_equal(cli_number(&cli, "--none", 5), 5);
    assert_int_equal(cli_all(&cli, "--delegate", all, 4), 2);
    assert_string_equal(all[1], "b");
    assert_true(cli.json);
    assert_false(cli_has(&cli, "--no-totp"));
    (void)fclose(cli.out);
    free(out);
}

static void environment_stands_in_and_options_win(void **state)
{
    struct cli cli;
    char *out = NULL;
    size_t n = 0;
    char words[512];

    (void)state;
    assert_int_equal(setenv("KYSO_OPERATOR", "carol", 1), 0);
    open_cli(&cli, &out, &n);
    assert_int_equal(parse(&cli, "kyso status", words, sizeof words), CLI_OK);
    assert_string_equal(cli_get(&cli, "--operator"), "carol");
    (void)fclose(cli.out);
    free(out);
    open_cli(&cli, &out, &n);
    assert_int_equal(parse(&cli, "kyso status --operator dave", words, sizeof words), CLI_OK);
    assert_string_equal(cli_get(&cli, "--operator"), "dave");
    (void)fclose(cli.out);
    free(out);
    (void)unsetenv("KYSO_OPERATOR");
}

static void secrets_leave_the_command_line(void **state)
{
    struct cli cli;
    char *out = NULL;
    size_t n = 0;
    char words[512];
    struct ky_secret code = {.len = 0};

    (void)state;
    open_cli(&cli, &out, &n);
    assert_int_equal(
        parse(&cli, "kyso sign a.txt --credential c --totp 492039", words, sizeof words), CLI_OK);
    assert_true(ky_ok(cli_secret(&cli, "--totp", &code)));
    assert_int_equal(code.len, 6);
    assert_memory_equal(code.bytes, "492039", 6);
    assert_string_equal(cli_get(&cli, "--totp"), "xxxxxx");
    for (size_t i = 0; i + 6 <= sizeof words; i++)
        assert_true(memcmp(words + i, "492039", 6) != 0 || i > 64);
    ky_secret_wipe(&code);
    (void)fclose(cli.out);
    free(out);
}

static char *render(void (*render_to)(FILE *, const struct cli_program *))
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);

    render_to(f, &cli_program);
    (void)fclose(f);
    return text;
}

static void manual_and_completion_know_every_command(void **state)
{
    char *man = render(help_man);
    char *bash = render(help_completion_bash);
    char *all = render(help_all);

    (void)state;
    assert_int_equal(strncmp(man, ".TH KYSO 1", 10), 0);
    for (const struct cli_command *c = cli_program.commands; c->words != NULL; c++) {
        assert_non_null(strstr(all, c->words));
        assert_non_null(strstr(bash, c->words));
        if (strchr(c->words, '-') == NULL) /* hyphens are escaped in troff */
            assert_non_null(strstr(man, c->words));
    }
    assert_non_null(strstr(man, "EXIT STATUS"));
    assert_null(strstr(man, "(null)"));
    free(man);
    free(bash);
    free(all);
}

static void control_bytes_do_not_reach_the_terminal(void **state)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);

    (void)state;
    output_clean(f, "a\033[31mb\nc\x7f Nguy\xe1\xbb\x85n");
    (void)fclose(f);
    assert_string_equal(text, "a?[31mb?c? Nguy\xe1\xbb\x85n");
    free(text);
}

static void ledger_numbers_have_words(void **state)
{
    (void)state;
    assert_string_equal(ledger_word("denied", "reason", KY_PROOF_REPLAYED), "proof-replayed");
    assert_string_equal(ledger_word("receipt", "outcome", 1), "signed");
    assert_string_equal(ledger_word("intent", "kind", 2), "csr");
    assert_string_equal(ledger_word("event", "kind", 6), "flood");
    assert_string_equal(ledger_word("denied", "request_type", 22), "decide");
    assert_null(ledger_word("denied", "request_type", 19)); /* a gap */
    assert_null(ledger_word("denied", "request_type", 4000));
    assert_null(ledger_word("denied", "reason", -1));
    assert_null(ledger_word("admin", "kind", 1));
    assert_null(ledger_word("admin", "row", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_complete),
        cmocka_unit_test(every_example_parses),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(too_many_values_are_never_dropped),
        cmocka_unit_test(values_are_found),
        cmocka_unit_test(environment_stands_in_and_options_win),
        cmocka_unit_test(secrets_leave_the_command_line),
        cmocka_unit_test(manual_and_completion_know_every_command),
        cmocka_unit_test(ledger_numbers_have_words),
        cmocka_unit_test(control_bytes_do_not_reach_the_terminal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
