/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The option parser: argv against the table. It keeps pointers into argv, in order, and
 * judges only form; what the values mean is each command's business.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

static bool is_option(const struct cli_arg *a)
{
    return a->name[0] == '-';
}

/* Do the first words of argv spell `words`? Returns how many they are, or 0. */
static int match_words(const char *words, int argc, char *const *argv)
{
    int used = 0;

    while (*words != '\0') {
        size_t n = strcspn(words, " ");

        if (used >= argc || strlen(argv[used]) != n || strncmp(argv[used], words, n) != 0)
            return 0;
        used++;
        words += n + (words[n] == ' ' ? 1 : 0);
    }
    return used;
}

const struct cli_command *options_find(const struct cli_program *program, int argc,
                                       char *const *argv, int *out_used)
{
    for (const struct cli_command *c = program->commands; c->words != NULL; c++) {
        int used = match_words(c->words, argc, argv);

        if (used > 0) {
            *out_used = used;
            return c;
        }
    }
    return NULL;
}

static const struct cli_arg *find_option(const struct cli *cli, const char *name, size_t n)
{
    const struct cli_command *c = cli->command;

    for (const struct cli_arg *a = c->args; a->kind != CLI_END; a++)
        if (strlen(a->name) == n && strncmp(a->name, name, n) == 0)
            return a;
    for (const struct cli_group *g = cli->program->groups; g->title != NULL; g++) {
        if (g->uses != 0 && (c->uses & g->uses) == 0)
            continue;
        for (const struct cli_arg *a = g->args; a->kind != CLI_END; a++)
            if (strlen(a->name) == n && strncmp(a->name, name, n) == 0)
                return a;
    }
    return NULL;
}

static size_t times_given(const struct cli *cli, const struct cli_arg *a)
{
    size_t n = 0;

    for (size_t i = 0; i < cli->count; i++)
        n += cli->values[i].arg == a;
    return n;
}

/* The first place that is still free; a CLI_MANY place takes all that is left. */
static const struct cli_arg *next_place(const struct cli *cli)
{
    for (const struct cli_arg *a = cli->command->args; a->kind != CLI_END; a++)
        if (!is_option(a) && (times_given(cli, a) == 0 || CLI_MANY_OF(a) != 0))
            return a;
    return NULL;
}

/* Position among "a|b|c", from 1; 0 = none of them. */
static int choice_index(const char *choices, const char *text)
{
    for (int i = 1; *choices != '\0'; i++) {
        size_t n = strcspn(choices, "|");

        if (strlen(text) == n && strncmp(choices, text, n) == 0)
            return i;
        choices += n + (choices[n] == '|' ? 1 : 0);
    }
    return 0;
}

static bool fits(const struct cli_arg *a, const char *text)
{
    uint8_t bytes[64];

    switch (a->kind) {
    case CLI_NUMBER:
        return text[0] != '\0' && strlen(text) <= 9 && strspn(text, "0123456789") == strlen(text);
    case CLI_HEX:
        return text[0] != '\0' && cli_hex(text, bytes, sizeof bytes) > 0;
    case CLI_CHOICE:
        return choice_index(a->value, text) != 0;
    default:
        return text[0] != '\0';
    }
}

static int wrong(struct cli *cli, const char *what, const char *which)
{
    char next[160];

    (void)snprintf(next, sizeof next, "see: %s %s --help", cli->program->name,
                   cli->command->words);
    return cli_fail(cli, CLI_USAGE, next, "%s %s", what, which);
}

static int keep(struct cli *cli, const struct cli_arg *a, char *text)
{
    size_t given = times_given(cli, a);

    if (cli->count == CLI_VALUES_MAX)
        return wrong(cli, "too many arguments, from", a->name);
    if (CLI_MANY_OF(a) == 0 && given != 0)
        return wrong(cli, "given twice:", a->name);
    if (CLI_MANY_OF(a) != 0 && given == CLI_MANY_OF(a)) /* never dropped in silence */
        return wrong(cli, "given too often:", a->name);
    if (a->kind != CLI_FLAG && !fits(a, text))
        return wrong(cli, a->kind == CLI_CHOICE ? "not one of its choices:" : "not a value for it:",
                     a->name);
    cli->values[cli->count++] = (struct cli_value){.arg = a, .text = text};
    return CLI_OK;
}

/* One option at argv[*i], whose value may be the next word. */
static int take_option(struct cli *cli, int argc, char **argv, int *i)
{
    char *word = argv[*i];
    char *equals = strchr(word, '=');
    size_t n = equals != NULL ? (size_t)(equals - word) : strlen(word);
    const struct cli_arg *a = find_option(cli, word, n);

    if (a == NULL && strcmp(word, "-h") == 0)
        a = find_option(cli, "--help", 6);
    if (a == NULL && strcmp(word, "-o") == 0)
        a = find_option(cli, "--output", 8);
    if (a == NULL)
        return wrong(cli, "unknown option", word);
    if (a->kind == CLI_FLAG)
        return equals == NULL ? keep(cli, a, NULL) : wrong(cli, "takes no value:", a->name);
    if (equals != NULL)
        return keep(cli, a, equals + 1);
    if (*i + 1 >= argc)
        return wrong(cli, "needs a value:", a->name);
    return keep(cli, a, argv[++*i]);
}

static int take_place(struct cli *cli, char *word)
{
    const struct cli_arg *a = next_place(cli);

    return a == NULL ? wrong(cli, "unexpected argument", word) : keep(cli, a, word);
}

static int check_required(struct cli *cli)
{
    for (const struct cli_arg *a = cli->command->args; a->kind != CLI_END; a++)
        if ((a->flags & CLI_REQUIRED) != 0 && times_given(cli, a) == 0)
            return wrong(cli, "missing:", a->name);
    return CLI_OK;
}

/* No command is spelled: help on what starts with these words, or a usage error. */
static int unknown_command(struct cli *cli, int argc, char **argv)
{
    char next[64];
    size_t n = 0;

    for (int i = 0; i < argc && n < 7; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            cli->help = true;
        else if (strcmp(argv[i], "--json") == 0)
            cli->json = true;
        else
            cli->topic[n++] = argv[i];
    }
    if (cli->help || n == 0) {
        cli->help = true;
        return n == 0 && argc == 0 ? CLI_USAGE : CLI_OK;
    }
    (void)snprintf(next, sizeof next, "see: %s --help", cli->program->name);
    return cli_fail(cli, CLI_USAGE, next, "unknown command: %s%s%s", cli->topic[0],
                    n > 1 ? " " : "", n > 1 ? cli->topic[1] : "");
}

int options_parse(struct cli *cli, int argc, char **argv)
{
    int used = 0;
    int rc = CLI_OK;
    bool only_places = false;

    for (int i = 0; i < argc; i++)
        cli->json =
            cli->json || strcmp(argv[i], "--json") == 0; /* so that even a usage error is JSON */
    cli->command = options_find(cli->program, argc, argv, &used);
    if (cli->command == NULL)
        return unknown_command(cli, argc, argv);
    for (int i = used; i < argc && rc == CLI_OK; i++) {
        if (!only_places && strcmp(argv[i], "--") == 0)
            only_places = true;
        else if (!only_places && argv[i][0] == '-' && argv[i][1] != '\0')
            rc = take_option(cli, argc, argv, &i);
        else
            rc = take_place(cli, argv[i]);
    }
    cli->help = rc == CLI_OK && cli_has(cli, "--help");
    if (rc == CLI_OK && !cli->help)
        rc = check_required(cli);
    return rc;
}

const char *cli_get(const struct cli *cli, const char *name)
{
    const struct cli_arg *a;

    for (size_t i = cli->count; i > 0; i--)
        if (strcmp(cli->values[i - 1].arg->name, name) == 0)
            return cli->values[i - 1].text;
    a = find_option(cli, name, strlen(name));
    if (a != NULL && a->env != NULL) {
        const char *v = getenv(a->env);

        return v != NULL && v[0] != '\0' ? v : NULL;
    }
    return NULL;
}

bool cli_has(const struct cli *cli, const char *name)
{
    for (size_t i = 0; i < cli->count; i++)
        if (strcmp(cli->values[i].arg->name, name) == 0)
            return true;
    return false;
}

size_t cli_all(const struct cli *cli, const char *name, const char **out, size_t cap)
{
    size_t n = 0;

    for (size_t i = 0; i < cli->count; i++)
        if (strcmp(cli->values[i].arg->name, name) == 0 && n < cap)
            out[n++] = cli->values[i].text;
    if (n == 0 && cap > 0) {
        const char *one = cli_get(cli, name);

        if (one != NULL)
            out[n++] = one;
    }
    return n;
}

uint32_t cli_number(const struct cli *cli, const char *name, uint32_t otherwise)
{
    const char *text = cli_get(cli, name);

    return text != NULL ? (uint32_t)strtoul(text, NULL, 10) : otherwise;
}

int cli_choice(const struct cli *cli, const char *name, int otherwise)
{
    const char *text = cli_get(cli, name);
    const struct cli_arg *a = find_option(cli, name, strlen(name));

    return text != NULL && a != NULL ? choice_index(a->value, text) : otherwise;
}

/* The first line of a secret's file. */
static struct ky_status secret_from_file(const char *path, struct ky_secret *out_secret)
{
    struct ky_buf b = KY_BUF_INIT(KY_SECRET_MAX);
    struct ky_status st = file_read(path, KY_SECRET_MAX, &b);

    if (ky_ok(st)) {
        size_t n = 0;

        while (n < b.len && b.data[n] != '\n' && b.data[n] != '\r')
            n++;
        st = ky_secret_set(out_secret, KY_SPAN(b.data, n));
    }
    ky_buf_free(&b);
    return st;
}

struct ky_status cli_secret(struct cli *cli, const char *name, struct ky_secret *out_secret)
{
    struct ky_status st;
    const char *text = cli_get(cli, name);

    if (text == NULL)
        return KY_STATUS(KY_NOT_FOUND);
    if (text[0] == '@')
        return secret_from_file(text + 1, out_secret);
    st = ky_secret_set(out_secret, ky_span_text(text));
    for (size_t i = 0; i < cli->count; i++)
        if (strcmp(cli->values[i].arg->name, name) == 0)
            memset(cli->values[i].text, 'x', strlen(cli->values[i].text)); /* ps(1) shows argv */
    return st;
}

static int hex_value(char c)
{
    if (isdigit((unsigned char)c))
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int cli_hex(const char *hex, uint8_t *out, size_t cap)
{
    size_t n = strlen(hex);

    if (n % 2 != 0 || n / 2 > cap)
        return -1;
    for (size_t i = 0; i < n; i += 2) {
        int high = hex_value(hex[i]);
        int low = hex_value(hex[i + 1]);

        if (high < 0 || low < 0)
            return -1;
        out[i / 2] = (uint8_t)(high * 16 + low);
    }
    return (int)(n / 2);
}
