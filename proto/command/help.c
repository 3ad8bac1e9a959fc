/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Help, the manual page and shell completion, all rendered from the table.
 */
#include <ctype.h>
#include <string.h>

#include "command.h"

static bool starts_with(const char *words, const char *const *wanted, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t len = strcspn(words, " ");

        if (len == 0 || strlen(wanted[i]) != len || strncmp(words, wanted[i], len) != 0)
            return false;
        words += len + (words[len] == ' ' ? 1 : 0);
    }
    return true;
}

static void print_summaries(FILE *out, const struct cli_program *p, const char *const *words,
                            size_t n)
{
    for (const struct cli_command *c = p->commands; c->words != NULL; c++)
        if (starts_with(c->words, words, n))
            (void)fprintf(out, "  %-28s  %s\n", c->words, c->summary);
}

static void print_exit_codes(FILE *out, const struct cli_program *p)
{
    (void)fputs("\nExit status:\n", out);
    for (int i = CLI_OK; i < CLI_EXITS; i++)
        if (p->exit_help[i] != NULL)
            (void)fprintf(out, "  %d  %s\n", i, p->exit_help[i]);
}

void help_all(FILE *out, const struct cli_program *p)
{
    (void)fprintf(out, "%s: %s\n\nUsage: %s COMMAND [ARGUMENT...] [--json] [--help]\n\nCommands:\n",
                  p->name, p->about, p->name);
    print_summaries(out, p, NULL, 0);
    (void)fprintf(out, "\nEvery command explains itself: %s COMMAND --help\nExample: %s\n", p->name,
                  p->example);
    print_exit_codes(out, p);
}

void help_family(FILE *out, const struct cli_program *p, const char *const *words, size_t n)
{
    (void)fprintf(out, "Usage: %s", p->name);
    for (size_t i = 0; i < n; i++)
        (void)fprintf(out, " %s", words[i]);
    (void)fputs(" COMMAND [ARGUMENT...]\n\nCommands:\n", out);
    print_summaries(out, p, words, n);
    for (const struct cli_command *c = p->commands; c->words != NULL; c++) {
        if (starts_with(c->words, words, n)) {
            (void)fprintf(out, "\nExample: %s\n", c->example);
            return;
        }
    }
}

static bool placed(const struct cli_arg *a)
{
    return a->name[0] != '-';
}

static void print_usage(FILE *out, const struct cli_program *p, const struct cli_command *c)
{
    (void)fprintf(out, "%s %s", p->name, c->words);
    for (const struct cli_arg *a = c->args; a->kind != CLI_END; a++) {
        bool required = (a->flags & CLI_REQUIRED) != 0;
        const char *dots = CLI_MANY_OF(a) != 0 ? "..." : "";

        if (placed(a))
            (void)fprintf(out, required ? " %s%s" : " [%s%s]", a->name, dots);
        else if (required)
            (void)fprintf(out, " %s %s", a->name, a->value);
    }
    (void)fputs(" [OPTION...]", out);
}

static void print_args(FILE *out, const struct cli_arg *args)
{
    for (const struct cli_arg *a = args; a->kind != CLI_END; a++) {
        const char *value = placed(a) || a->value == NULL ? "" : a->value;
        char left[96];

        (void)snprintf(left, sizeof left, "%s%s%s%s", a->name, *value != '\0' ? " " : "", value,
                       CLI_MANY_OF(a) != 0 ? " ..." : "");
        (void)fprintf(out, "  %-26s", left);
        if (strlen(left) > 26)
            (void)fprintf(out, "\n%28s", ""); /* too long for its column: the help below it */
        (void)fprintf(out, " %s", a->help);
        if (a->env != NULL)
            (void)fprintf(out, " [$%s]", a->env);
        (void)fputc('\n', out);
    }
}

void help_command(FILE *out, const struct cli_program *p, const struct cli_command *c)
{
    (void)fprintf(out, "%s %s: %s\n\nUsage: ", p->name, c->words, c->summary);
    print_usage(out, p, c);
    (void)fprintf(out, "\nExample: %s\n", c->example);
    if (c->args[0].kind != CLI_END) {
        (void)fputs("\nArguments:\n", out);
        print_args(out, c->args);
    }
    for (const struct cli_group *g = p->groups; g->title != NULL; g++) {
        if (g->uses != 0 && (c->uses & g->uses) == 0)
            continue;
        (void)fprintf(out, "\n%s:\n", g->title);
        print_args(out, g->args);
    }
    print_exit_codes(out, p);
}

/* troff: hyphens that are typed, backslashes and leading dots or quotes stay what they are. */
static void troff(FILE *out, const char *text)
{
    if (*text == '.' || *text == '\'')
        (void)fputs("\\&", out);
    for (; *text != '\0'; text++) {
        if (*text == '-')
            (void)fputs("\\-", out);
        else if (*text == '\\')
            (void)fputs("\\e", out);
        else
            (void)fputc(*text, out);
    }
}

static void troff_args(FILE *out, const struct cli_arg *args)
{
    for (const struct cli_arg *a = args; a->kind != CLI_END; a++) {
        (void)fputs(".TP\n\\fB", out);
        troff(out, a->name);
        (void)fputs("\\fR", out);
        if (!placed(a) && a->value != NULL) {
            (void)fputs(" \\fI", out);
            troff(out, a->value);
            (void)fputs("\\fR", out);
        }
        (void)fputc('\n', out);
        troff(out, a->help);
        if (a->env != NULL) {
            (void)fputs(" (environment: ", out);
            troff(out, a->env);
            (void)fputc(')', out);
        }
        (void)fputc('\n', out);
    }
}

static void troff_command(FILE *out, const struct cli_command *c)
{
    (void)fputs(".SS ", out);
    troff(out, c->words);
    (void)fputc('\n', out);
    troff(out, c->summary);
    (void)fputs(".\n", out);
    troff_args(out, c->args);
    (void)fputs(".PP\nExample:\n.PP\n.RS\n.nf\n", out);
    troff(out, c->example);
    (void)fputs("\n.fi\n.RE\n", out);
}

void help_man(FILE *out, const struct cli_program *p)
{
    (void)fputs(".TH ", out);
    for (const char *c = p->name; *c != '\0'; c++)
        (void)fputc(toupper((unsigned char)*c), out);
    (void)fputs(" 1 \"\" \"Kyso " KYSO_VERSION "\" \"User Commands\"\n.SH NAME\n", out);
    troff(out, p->name);
    (void)fputs(" \\- ", out);
    troff(out, p->about);
    (void)fprintf(out,
                  "\n.SH SYNOPSIS\n\\fB%s\\fR \\fICOMMAND\\fR [\\fIARGUMENT\\fR...] "
                  "[\\fB\\-\\-json\\fR] [\\fB\\-\\-help\\fR]\n"
                  ".SH DESCRIPTION\n%s.SH COMMANDS\n",
                  p->name, p->manual);
    for (const struct cli_command *c = p->commands; c->words != NULL; c++)
        troff_command(out, c);
    (void)fputs(".SH OPTIONS\n", out);
    for (const struct cli_group *g = p->groups; g->title != NULL; g++) {
        (void)fputs(".SS ", out);
        troff(out, g->title);
        (void)fputc('\n', out);
        troff_args(out, g->args);
    }
    (void)fputs(".SH EXIT STATUS\n", out);
    for (int i = CLI_OK; i < CLI_EXITS; i++)
        if (p->exit_help[i] != NULL)
            (void)fprintf(out, ".TP\n%d\n%s\n", i, p->exit_help[i]);
}

static void completion_options(FILE *out, const struct cli_arg *args)
{
    for (const struct cli_arg *a = args; a->kind != CLI_END; a++)
        if (!placed(a))
            (void)fprintf(out, " %s", a->name);
}

void help_completion_bash(FILE *out, const struct cli_program *p)
{
    (void)fprintf(out, "# bash completion for %s; made by: %s help --completion bash\n_%s() {\n",
                  p->name, p->name, p->name);
    (void)fputs(
        "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
        "    local one=${COMP_WORDS[1]} two=\"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" options=\n"
        "    case $two in\n",
        out);
    for (const struct cli_command *c = p->commands; c->words != NULL; c++) {
        (void)fprintf(out, strchr(c->words, ' ') != NULL ? "    \"%s\") options=\"" : "    \"%s \"*) options=\"",
                      c->words);
        completion_options(out, c->args);
        for (const struct cli_group *g = p->groups; g->title != NULL; g++)
            if (g->uses == 0 || (c->uses & g->uses) != 0)
                completion_options(out, g->args);
        (void)fputs("\" ;;\n", out);
    }
    (void)fputs("    esac\n    local words=\n    case $COMP_CWORD in\n    1) words=\"", out);
    for (const struct cli_command *c = p->commands; c->words != NULL; c++) {
        int n = (int)strcspn(c->words, " ");

        if (c == p->commands || strncmp(c[-1].words, c->words, (size_t)n + 1) != 0)
            (void)fprintf(out, "%.*s ", n, c->words);
    }
    (void)fputs("\" ;;\n    2) case $one in\n", out);
    for (const struct cli_command *c = p->commands; c->words != NULL; c++) {
        const char *space = strchr(c->words, ' ');

        if (space != NULL)
            (void)fprintf(out, "       %.*s) words+=\" %s\" ;;&\n", (int)(space - c->words),
                          c->words, space + 1);
    }
    (void)fputs("       esac ;;\n    esac\n"
                "    if [[ $cur == -* ]]; then\n"
                "        COMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n"
                "    elif [[ -n $words ]]; then\n"
                "        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
                "    fi\n"
                "    [[ ${#COMPREPLY[@]} -gt 0 ]] || COMPREPLY=($(compgen -f -- \"$cur\"))\n"
                "}\n",
                out);
    (void)fprintf(out, "complete -o filenames -F _%s %s\n", p->name, p->name);
}

int cmd_help(struct cli *cli)
{
    const char *words[CLI_WORDS_MAX];
    size_t n = cli_all(cli, "WORD", words, CLI_WORDS_MAX);
    const struct cli_command *c;
    int used = 0;

    if (cli_has(cli, "--man")) {
        help_man(cli->out, cli->program);
        return CLI_OK;
    }
    if (cli_has(cli, "--completion")) {
        help_completion_bash(cli->out, cli->program);
        return CLI_OK;
    }
    if (n == 0) {
        help_all(cli->out, cli->program);
        return CLI_OK;
    }
    c = options_find(cli->program, (int)n, (char *const *)(uintptr_t)words, &used);
    if (c != NULL)
        help_command(cli->out, cli->program, c);
    else
        help_family(cli->out, cli->program, words, n);
    return CLI_OK;
}

static void show_help(const struct cli *cli)
{
    size_t n = 0;

    while (n < 8 && cli->topic[n] != NULL)
        n++;
    if (cli->command != NULL)
        help_command(cli->out, cli->program, cli->command);
    else if (n > 0)
        help_family(cli->out, cli->program, cli->topic, n);
    else
        help_all(cli->out, cli->program);
}

int command_main(struct cli *cli, int argc, char **argv)
{
    int rc;

    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        (void)fprintf(cli->out, "%s %s\n", cli->program->name, KYSO_VERSION);
        return CLI_OK;
    }
    rc = options_parse(cli, argc - 1, argv + 1);
    if (cli->help)
        show_help(cli);
    else if (rc == CLI_OK)
        rc = cli->command->run(cli);
    return rc;
}
