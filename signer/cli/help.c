/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Help, the manual page and shell completion, all rendered from the table.
 */
#include <string.h>

#include "cli.h"

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

static void print_summaries(FILE *out, const char *const *words, size_t n)
{
    for (const struct cli_command *c = cli_commands; c->words != NULL; c++)
        if (starts_with(c->words, words, n))
            (void)fprintf(out, "  %-28s %s\n", c->words, c->summary);
}

static void print_exit_codes(FILE *out)
{
    (void)fputs("\nExit status:\n", out);
    for (int i = CLI_OK; i <= CLI_UNVERIFIED; i++)
        (void)fprintf(out, "  %d  %s\n", i, cli_exit_help[i]);
}

void help_all(FILE *out)
{
    (void)fputs("kyso: operate a Kyso signing server, and sign with it\n\n"
                "Usage: kyso COMMAND [ARGUMENT...] [--json] [--help]\n\nCommands:\n",
                out);
    print_summaries(out, NULL, 0);
    (void)fputs("\nEvery command explains itself: kyso COMMAND --help\n"
                "Example: kyso sign contract.pdf --profile gateway.json --credential "
                "c1-0123456789abcdef --approval\n",
                out);
    print_exit_codes(out);
}

void help_family(FILE *out, const char *const *words, size_t n)
{
    (void)fputs("Usage: kyso", out);
    for (size_t i = 0; i < n; i++)
        (void)fprintf(out, " %s", words[i]);
    (void)fputs(" COMMAND [ARGUMENT...]\n\nCommands:\n", out);
    print_summaries(out, words, n);
    for (const struct cli_command *c = cli_commands; c->words != NULL; c++) {
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

static void print_usage(FILE *out, const struct cli_command *c)
{
    (void)fprintf(out, "kyso %s", c->words);
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

void help_command(FILE *out, const struct cli_command *c)
{
    (void)fprintf(out, "kyso %s: %s\n\nUsage: ", c->words, c->summary);
    print_usage(out, c);
    (void)fprintf(out, "\nExample: %s\n", c->example);
    if (c->args[0].kind != CLI_END) {
        (void)fputs("\nArguments:\n", out);
        print_args(out, c->args);
    }
    for (const struct cli_group *g = cli_groups; g->title != NULL; g++) {
        if (g->uses != 0 && (c->uses & g->uses) == 0)
            continue;
        (void)fprintf(out, "\n%s:\n", g->title);
        print_args(out, g->args);
    }
    print_exit_codes(out);
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

void help_man(FILE *out)
{
    (void)fputs(".TH KYSO 1 \"\" \"Kyso " KYSO_VERSION "\" \"User Commands\"\n"
                ".SH NAME\nkyso \\- operate a Kyso signing server, and sign with it\n"
                ".SH SYNOPSIS\n\\fBkyso\\fR \\fICOMMAND\\fR [\\fIARGUMENT\\fR...] "
                "[\\fB\\-\\-json\\fR] [\\fB\\-\\-help\\fR]\n"
                ".SH DESCRIPTION\n"
                "Operator commands travel over the operators' Unix socket, each signed by the "
                "operator's own key.\n"
                "Signing commands speak to the relying parties' door over mutual TLS; only hashes "
                "leave this machine.\n"
                ".SH COMMANDS\n",
                out);
    for (const struct cli_command *c = cli_commands; c->words != NULL; c++)
        troff_command(out, c);
    (void)fputs(".SH OPTIONS\n", out);
    for (const struct cli_group *g = cli_groups; g->title != NULL; g++) {
        (void)fputs(".SS ", out);
        troff(out, g->title);
        (void)fputc('\n', out);
        troff_args(out, g->args);
    }
    (void)fputs(".SH EXIT STATUS\n", out);
    for (int i = CLI_OK; i <= CLI_UNVERIFIED; i++)
        (void)fprintf(out, ".TP\n%d\n%s\n", i, cli_exit_help[i]);
}

static void completion_options(FILE *out, const struct cli_arg *args)
{
    for (const struct cli_arg *a = args; a->kind != CLI_END; a++)
        if (!placed(a))
            (void)fprintf(out, " %s", a->name);
}

void help_completion_bash(FILE *out)
{
    (void)fputs(
        "# bash completion for kyso; made by: kyso help --completion bash\n"
        "_kyso() {\n"
        "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
        "    local one=${COMP_WORDS[1]} two=\"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" options=\n"
        "    case $two in\n",
        out);
    for (const struct cli_command *c = cli_commands; c->words != NULL; c++) {
        (void)fprintf(out, "    \"%s\"%s) options=\"", c->words,
                      strchr(c->words, ' ') != NULL ? "" : "|\"\"");
        completion_options(out, c->args);
        for (const struct cli_group *g = cli_groups; g->title != NULL; g++)
            if (g->uses == 0 || (c->uses & g->uses) != 0)
                completion_options(out, g->args);
        (void)fputs("\" ;;\n", out);
    }
    (void)fputs("    esac\n    local words=\n    case $COMP_CWORD in\n    1) words=\"", out);
    for (const struct cli_command *c = cli_commands; c->words != NULL; c++) {
        int n = (int)strcspn(c->words, " ");

        if (c == cli_commands || strncmp(c[-1].words, c->words, (size_t)n + 1) != 0)
            (void)fprintf(out, "%.*s ", n, c->words);
    }
    (void)fputs("\" ;;\n    2) case $one in\n", out);
    for (const struct cli_command *c = cli_commands; c->words != NULL; c++) {
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
                "}\ncomplete -o filenames -F _kyso kyso\n",
                out);
}

int cmd_help(struct cli *cli)
{
    const char *words[CLI_WORDS_MAX];
    size_t n = cli_all(cli, "WORD", words, CLI_WORDS_MAX);
    const struct cli_command *c;
    int used = 0;

    if (cli_has(cli, "--man")) {
        help_man(cli->out);
        return CLI_OK;
    }
    if (cli_has(cli, "--completion")) {
        help_completion_bash(cli->out);
        return CLI_OK;
    }
    if (n == 0) {
        help_all(cli->out);
        return CLI_OK;
    }
    c = options_find((int)n, (char *const *)(uintptr_t)words, &used);
    if (c != NULL)
        help_command(cli->out, c);
    else
        help_family(cli->out, words, n);
    return CLI_OK;
}
