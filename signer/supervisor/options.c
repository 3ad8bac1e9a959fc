/* SPDX-License-Identifier: Apache-2.0 */
/* The table of kysod's options, and what is printed from it. Before anything else runs. */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kyso/exit.h"

static const struct row {
    const char *name;
    const char *value; /* NULL = takes none */
    int letter;
    const char *help;
} rows[] = {
    {"config", "FILE", 'c', "the configuration (YAML); default $KYSO_CONFIG, then /etc/kyso/kyso.yaml"},
    {"check-config", NULL, 'k', "say whether the configuration is sound, and exit"},
    {"probe", NULL, 'p', "log in, try what the token can do, print it, and exit; beside no server"},
    {"init", NULL, 'i', "make the token's keys and the state's database, and exit"},
    {"operator", "NAME:PEM", 'o', "with --init: an administrator and the file of their certificate (in a demo: or public key); outside a demo two of them"},
    {"add-operator", "NAME:PEM", 'a', "add an administrator to a server that is stopped, where too few are left to add one, and exit"},
    {"restore", "BACKUP", 'r', "where there is no database: take the one that kyso backup has made, and exit"},
    {"checkpoint", "NOTE", 'n', "with --restore: the newest signed checkpoint that is known; a backup that does not run through it is refused"},
    {"clear-latch", NULL, 'l', "let vaults log in again after a refused PIN: first make sure it is the right one"},
    {"man", NULL, 'm', "print the manual page (troff)"},
    {"completion", NULL, 'b', "print a completion script for bash"},
    {"version", NULL, 'v', "print the version"},
    {"help", NULL, 'h', "show this help"},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static const char *const examples[] = {
    "kysod --config /etc/kyso/kyso.yaml --check-config",
    "kysod --config /etc/kyso/kyso.yaml --init --operator alice:alice.crt --operator bob:bob.crt",
    "kysod --config /etc/kyso/kyso.yaml",
    "kysod --config /etc/kyso/kyso.yaml --restore /safe/backup.db --checkpoint /safe/backup.db.checkpoint",
};
#define EXAMPLES (sizeof(examples) / sizeof(examples[0]))

static const struct {
    int code;
    const char *means;
} exits[] = {
    {KY_EXIT_OK, "done; a server: it was told to end, and did in order"},
    {KY_EXIT_FAILED, "refused or failed: a line on standard error or in the log says why"},
    {KY_EXIT_USAGE, "the command line is wrong"},
    {KY_EXIT_NO_TOKEN, "with --probe and --init: no token that fits, or its module cannot be loaded"},
    {KY_EXIT_TOKEN_FULL, "with --init: the token has no room for the server's keys"},
};

static const char about[] = "Kyso's server: starts and watches the fronts, the authority and the vaults.";
static const char drains[] = "SIGTERM drains: what was accepted is answered first.";

static void print_help(void)
{
    (void)printf("usage: kysod --config FILE [OPTION...]\n\n%s\n\n", about);
    for (size_t i = 0; i < ROWS; i++) {
        char left[40];

        (void)snprintf(left, sizeof(left), "--%s %s", rows[i].name, rows[i].value != NULL ? rows[i].value : "");
        (void)printf("  %-25s %s\n", left, rows[i].help);
    }
    for (size_t i = 0; i < EXAMPLES; i++)
        (void)printf("%s  %s\n", i == 0 ? "\nExamples:\n" : "", examples[i]);
    (void)printf("\n%s\n\nExit status:\n", drains);
    for (size_t i = 0; i < sizeof(exits) / sizeof(exits[0]); i++)
        (void)printf("  %d  %s\n", exits[i].code, exits[i].means);
}

/* Hyphens that are typed stay what they are. */
static void troff(const char *text)
{
    for (; *text != '\0'; text++)
        (void)printf(*text == '-' ? "\\-" : "%c", *text);
}

static void print_man(void)
{
    (void)printf(".TH KYSOD 8 \"\" \"Kyso " KYSO_VERSION "\" \"System Administration\"\n.SH NAME\nkysod \\- the Kyso signing server\n"
                 ".SH SYNOPSIS\n\\fBkysod\\fR [\\fIOPTION\\fR...]\n.SH DESCRIPTION\n%s\n%s\n.SH OPTIONS\n",
                 about, drains);
    for (size_t i = 0; i < ROWS; i++) {
        (void)fputs(".TP\n\\fB\\-\\-", stdout);
        troff(rows[i].name);
        (void)printf("\\fR%s%s%s\n", rows[i].value != NULL ? " \\fI" : "", rows[i].value != NULL ? rows[i].value : "",
                     rows[i].value != NULL ? "\\fR" : "");
        troff(rows[i].help);
        (void)putchar('\n');
    }
    (void)fputs(".SH EXAMPLES\n.nf\n", stdout);
    for (size_t i = 0; i < EXAMPLES; i++) {
        troff(examples[i]);
        (void)putchar('\n');
    }
    (void)fputs(".fi\n.SH EXIT STATUS\n", stdout);
    for (size_t i = 0; i < sizeof(exits) / sizeof(exits[0]); i++)
        (void)printf(".TP\n%d\n%s\n", exits[i].code, exits[i].means);
}

static void print_completion(void)
{
    (void)fputs("# bash completion for kysod; made by: kysod --completion\n_kysod() {\n"
                "    local cur=${COMP_WORDS[COMP_CWORD]}\n"
                "    if [[ $cur == -* ]]; then\n"
                "        COMPREPLY=($(compgen -W \"",
                stdout);
    for (size_t i = 0; i < ROWS; i++)
        (void)printf("%s--%s", i > 0 ? " " : "", rows[i].name);
    (void)fputs("\" -- \"$cur\"))\n    else\n        COMPREPLY=($(compgen -f -- \"$cur\"))\n    fi\n}\n"
                "complete -o filenames -F _kysod kysod\n",
                stdout);
}

static int wrong(const char *why)
{
    (void)fprintf(stderr, "kysod: %s; see: kysod --help\n", why);
    return KY_EXIT_USAGE;
}

/* What is left to look at when each option has been taken. */
static int check(const struct options *o)
{
    if (o->check + o->probe + o->init + o->add + o->clear_latch + (o->restore != NULL) > 1)
        return wrong("one thing at a time");
    if ((o->init || o->add) != (o->operator_count > 0))
        return wrong("--init and --operator belong together");
    if ((o->restore == NULL) != (o->checkpoint == NULL))
        return wrong("--restore and --checkpoint belong together");
    return -1;
}

static int take(struct options *o, int letter)
{
    switch (letter) {
    case 'c': o->config = optarg; return -1;
    case 'k': o->check = true; return -1;
    case 'p': o->probe = true; return -1;
    case 'i': o->init = true; return -1;
    case 'l': o->clear_latch = true; return -1;
    case 'r': o->restore = optarg; return -1;
    case 'n': o->checkpoint = optarg; return -1;
    case 'o':
    case 'a':
        o->add = o->add || letter == 'a';
        if (o->operator_count == SUPERVISOR_OPERATORS_MAX)
            return wrong("too many operators");
        o->operators[o->operator_count++] = optarg;
        return -1;
    case 'h': print_help(); return KY_EXIT_OK;
    case 'm': print_man(); return KY_EXIT_OK;
    case 'b': print_completion(); return KY_EXIT_OK;
    case 'v': puts("kysod " KYSO_VERSION); return KY_EXIT_OK;
    default: return KY_EXIT_USAGE;
    }
}

int options_parse(int argc, char **argv, struct options *o)
{
    struct option names[ROWS + 1] = {{.name = NULL}};
    int code = -1, letter, at;

    for (size_t i = 0; i < ROWS; i++)
        names[i] = (struct option){.name = rows[i].name,
                                   .has_arg = rows[i].value != NULL ? required_argument : no_argument,
                                   .val = rows[i].letter};
    *o = (struct options){.config = getenv("KYSO_CONFIG")};
    opterr = 0; /* one line, and ours */
    while (code < 0 && (at = optind, letter = getopt_long(argc, argv, ":", names, NULL)) != -1) {
        char why[160];

        (void)snprintf(why, sizeof(why), "%s: %.100s", letter == ':' ? "it needs a value" : "unknown option", argv[at]);
        code = letter == '?' || letter == ':' ? wrong(why) : take(o, letter);
    }
    if (o->config == NULL)
        o->config = "/etc/kyso/kyso.yaml";
    if (code < 0 && optind != argc)
        return wrong("it takes options only");
    return code < 0 ? check(o) : code;
}
