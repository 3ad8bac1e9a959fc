/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command line made of one const table: it names every command, its arguments, summary, example
 * and function; help, man page, completion and the option parser all read that table. Shared by
 * the programs that people type. One thread; a command runs once and the process ends.
 */
#ifndef KYSO_COMMAND_H
#define KYSO_COMMAND_H

#include <jansson.h>
#include <stdio.h>

#include "kyso/exit.h"
#include "kyso/secret.h"

enum cli_exit {
    CLI_OK = KY_EXIT_OK,
    CLI_FAILED = KY_EXIT_FAILED,
    CLI_USAGE = KY_EXIT_USAGE,
    CLI_UNREACHABLE = KY_EXIT_UNREACHABLE,
    CLI_UNVERIFIED = KY_EXIT_UNVERIFIED,
    CLI_NO_TOKEN = KY_EXIT_NO_TOKEN,
    CLI_TOKEN_FULL = KY_EXIT_TOKEN_FULL,
    CLI_EXITS = KY_EXIT_COUNT
};

enum cli_kind { CLI_END = 0, CLI_FLAG, CLI_TEXT, CLI_NUMBER, CLI_PATH, CLI_HEX, CLI_CHOICE };
enum { CLI_REQUIRED = 1, CLI_SECRET = 4, CLI_MANY_SHIFT = 8 };
#define CLI_MANY(most)   ((unsigned)(most) << CLI_MANY_SHIFT) /* may be given again, this often */
#define CLI_MANY_OF(arg) ((arg)->flags >> CLI_MANY_SHIFT)     /* 0 = once */

struct cli_arg {
    const char *name;  /* "--subject", or "FILE" for one that is told by its place */
    const char *value; /* what stands for the value in help; the choices, "a|b", of a CLI_CHOICE */
    enum cli_kind kind;
    unsigned flags;
    const char *env; /* read when the option is absent; NULL = none */
    const char *help;
};

struct cli;
struct cli_command {
    const char *words;          /* "client add" */
    const char *summary;        /* one line */
    const char *example;        /* one whole command line */
    const struct cli_arg *args; /* ends with CLI_END */
    unsigned uses;              /* which groups of common options */
    int (*run)(struct cli *cli);
};

struct cli_group {
    const char *title;
    unsigned uses; /* 0 = every command */
    const struct cli_arg *args;
};
struct cli_program {
    const char *name;
    const char *about;                  /* what follows "NAME: " */
    const char *example;                /* one whole command line */
    const char *manual;                 /* troff, after DESCRIPTION */
    const struct cli_command *commands; /* ends with words == NULL */
    const struct cli_group *groups;     /* ends with title == NULL */
    const char *const exit_help[CLI_EXITS];
};

#define CLI_VALUES_MAX    512u
#define CLI_OPERATORS_MAX 4u
#define CLI_LIST_MAX      64u
#define CLI_CHAIN_MAX     8u
#define CLI_WORDS_MAX     8u
struct cli_value {
    const struct cli_arg *arg;
    char *text; /* borrowed from argv or the environment; NULL for a flag */
};

struct cli {
    const struct cli_program *program; /* borrowed: a constant */
    const struct cli_command *command;
    const char *topic[8]; /* words after "help", or before --help */
    struct cli_value values[CLI_VALUES_MAX];
    size_t count;
    bool json;
    bool help;
    FILE *out; /* results */
    FILE *err; /* errors and progress */
    /* Of kyso alone: NULL elsewhere. */
    struct config *config;          /* owned; read when first needed */
    struct client *operator_client; /* owned */
    json_t *profile;                /* owned */
};

/* --- options.c -------------------------------------------------------------------------------- */

/* Fills cli from the words after the program's name. Returns CLI_OK or CLI_USAGE (said already). */
int options_parse(struct cli *cli, int argc, char **argv);
/* The command that the words name exactly, or NULL; *out_used words of them. */
const struct cli_command *options_find(const struct cli_program *program, int argc,
                                       char *const *argv, int *out_used);
const char *cli_get(const struct cli *cli,
                    const char *name); /* the last value, or its environment's, or NULL */
bool cli_has(const struct cli *cli, const char *name);
size_t cli_all(const struct cli *cli, const char *name, const char **out,
               size_t cap); /* in order; how many there are */
uint32_t cli_number(const struct cli *cli, const char *name, uint32_t otherwise);
/* Position of the value among the choices "a|b|c", from 1; `otherwise` when absent. */
int cli_choice(const struct cli *cli, const char *name, int otherwise);
/*
 * A secret from the command line, its environment variable, or a file (@FILE); what argv held is
 * overwritten.
 */
KY_MUST_CHECK struct ky_status cli_secret(struct cli *cli, const char *name,
                                          struct ky_secret *out_secret);
/* Hex to bytes; -1 when it is not hex or does not fit. */
int cli_hex(const char *hex, uint8_t *out, size_t cap);

/* --- help.c ---------------------------------------------------------------------------------- */

void help_all(FILE *out, const struct cli_program *program);
void help_family(FILE *out, const struct cli_program *program, const char *const *words,
                 size_t n); /* every command that starts with these words */
void help_command(FILE *out, const struct cli_program *program, const struct cli_command *c);
void help_man(FILE *out, const struct cli_program *program);
void help_completion_bash(FILE *out, const struct cli_program *program);
int cmd_help(struct cli *cli);

/* --- output.c -------------------------------------------------------------------------------- */

struct output_column {
    const char *key; /* of each row's object */
    const char *title;
};
/* One clear line: what failed, then what to do next (may be NULL). Returns `code`. */
int cli_fail(struct cli *cli, int code, const char *next, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Progress for people: nothing with --json. */
void cli_say(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Prints the object, then frees it: JSON, or its "message" and its fields one a line. */
void output_object(struct cli *cli, json_t *object);
/* Prints {name: [rows]} as JSON or a table, then frees the rows. */
void output_table(struct cli *cli, const char *name, json_t *rows,
                  const struct output_column *columns);
void output_clean(FILE *out, const char *text); /* control bytes become '?' */
json_t *output_hex(struct ky_span bytes);
json_t *output_base64(struct ky_span bytes);
char *output_time(int64_t seconds, char out[32]); /* "2026-01-31 08:00:00Z" */
bool output_is_terminal(const struct cli *cli);

/* --- files.c --------------------------------------------------------------------------------- */

KY_MUST_CHECK struct ky_status file_read(const char *path, size_t max, struct ky_buf *out);
/* Whole or not at all: a temporary name, then rename(2). */
KY_MUST_CHECK struct ky_status file_write(const char *path, struct ky_span bytes, unsigned mode);
/* Hashes a file, or standard input for "-". hash: enum ky_hash. */
KY_MUST_CHECK struct ky_status file_digest(const char *path, uint8_t hash, uint8_t out[64]);
bool file_exists(const char *path);

/* --version, help or one command; returns the exit status. cli: program, out and err are set. */
int command_main(struct cli *cli, int argc, char **argv);

#endif
