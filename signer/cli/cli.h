/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kyso command: what its files share. One const table (table.c) names every command, its
 * arguments, summary, example and function; help, man page, completion and the option parser
 * all read that table. One thread; a command runs once and the process ends.
 */
#ifndef KYSO_CLI_H
#define KYSO_CLI_H

#include <jansson.h>
#include <stdio.h>

#include "client.h"
#include "config.h"
#include "kyso/secret.h"
#include "kyso/v1/operator.pb-c.h"

enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_UNREACHABLE = 3,
    CLI_UNVERIFIED = 4
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
enum { CLI_USES_OPERATOR = 1, CLI_USES_CLIENT = 2, CLI_USES_CONFIG = 4 };

struct cli_command {
    const char *words;          /* "client add" */
    const char *summary;        /* one line */
    const char *example;        /* one whole command line */
    const struct cli_arg *args; /* ends with CLI_END */
    unsigned uses;              /* which groups of common options */
    int (*run)(struct cli *cli);
};

extern const struct cli_command cli_commands[]; /* ends with words == NULL */
struct cli_group {
    const char *title;
    unsigned uses; /* 0 = every command */
    const struct cli_arg *args;
};
extern const struct cli_group cli_groups[]; /* ends with title == NULL */
extern const char *const cli_exit_help[];   /* by enum cli_exit */

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
    const struct cli_command *command;
    const char *topic[8]; /* words after "help", or before --help */
    struct cli_value values[CLI_VALUES_MAX];
    size_t count;
    bool json;
    bool help;
    FILE *out;                      /* results */
    FILE *err;                      /* errors and progress */
    struct config *config;          /* owned; read when first needed */
    struct client *operator_client; /* owned */
    json_t *profile;                /* owned */
};

/* --- options.c -------------------------------------------------------------------------------- */

/* Fills cli from the words after the program's name. Returns CLI_OK or CLI_USAGE (said already). */
int options_parse(struct cli *cli, int argc, char **argv);
/* The command that the words name exactly, or NULL; *out_used words of them. */
const struct cli_command *options_find(int argc, char *const *argv, int *out_used);
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

void help_all(FILE *out);
void help_family(FILE *out, const char *const *words,
                 size_t n); /* every command that starts with these words */
void help_command(FILE *out, const struct cli_command *c);
void help_man(FILE *out);
void help_completion_bash(FILE *out);
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

/* --- server.c -------------------------------------------------------------------------------- */

enum cli_door { CLI_DOOR_SIGNER, CLI_DOOR_APPROVER };
/* Each says what went wrong and returns an enum cli_exit. */
int server_config(struct cli *cli); /* loads cli->config */
int server_open(struct cli *cli, enum cli_door door, struct client **out_client);
int server_open_operator(struct cli *cli, struct client **out_client);
int server_profile(struct cli *cli); /* loads cli->profile where --profile is given */
const char *server_option(struct cli *cli, const char *option,
                          const char *profile_key); /* option, else the profile's */
/* A refusal is said, with what to do next. */
int server_call(struct cli *cli, struct client *c, const char *path,
                const ProtobufCMessage *request, uint64_t timeout_us,
                const ProtobufCMessageDescriptor *type, ProtobufCMessage **out_reply);

/* --- operator_call.c ------------------------------------------------------------------------- */

/*
 * Stamps, signs and runs the operation. The result is freed with
 * kyso__v1__operation_result__free_unpacked.
 */
int operator_call(struct cli *cli, Kyso__V1__Operation *op, Kyso__V1__OperationResult **out_result);
/* The same, then prints the result's message and the one object it is about. */
int operator_run(struct cli *cli, Kyso__V1__Operation *op);
/* A signature by the private key in a file. Returns an enum cli_exit, having said what is wrong. */
int operator_sign(struct cli *cli, const char *path, struct ky_span message, struct ky_buf *out);

/* --- show.c ---------------------------------------------------------------------------------- */

json_t *show_credential(const Kyso__V1__Credential *c, bool bytes); /* with its DER parts */
json_t *show_client(const Kyso__V1__Client *c);
json_t *show_authenticator(const Kyso__V1__Authenticator *a);
json_t *show_status(const Kyso__V1__Status *s);
void show_credentials(struct cli *cli, size_t n, Kyso__V1__Credential *const *list);
const char *show_transaction_state(Kyso__V1__TransactionState s);

/* --- one per row of the table ---------------------------------------------------------------- */

int cmd_init(struct cli *cli);
int cmd_operator_keygen(struct cli *cli);
int cmd_subject_add(struct cli *cli);
int cmd_subject_show(struct cli *cli);
int cmd_subject_unlock(struct cli *cli);
int cmd_client_add(struct cli *cli);
int cmd_client_list(struct cli *cli);
int cmd_client_suspend(struct cli *cli);
int cmd_client_resume(struct cli *cli);
int cmd_client_remove(struct cli *cli);
int cmd_client_request_key(struct cli *cli);
int cmd_credential_create(struct cli *cli);
int cmd_credential_list(struct cli *cli);
int cmd_credential_show(struct cli *cli);
int cmd_credential_csr(struct cli *cli);
int cmd_credential_import(struct cli *cli);
int cmd_credential_suspend(struct cli *cli);
int cmd_credential_resume(struct cli *cli);
int cmd_credential_destroy(struct cli *cli);
int cmd_authenticator_totp(struct cli *cli);
int cmd_authenticator_device(struct cli *cli);
int cmd_authenticator_confirm(struct cli *cli);
int cmd_authenticator_list(struct cli *cli);
int cmd_authenticator_remove(struct cli *cli);
int cmd_sign(struct cli *cli);
int cmd_approve(struct cli *cli);
int cmd_status(struct cli *cli);
int cmd_ledger_show(struct cli *cli);
int cmd_ledger_verify(struct cli *cli);
int cmd_ledger_export(struct cli *cli);
int cmd_health(struct cli *cli);
int cmd_info(struct cli *cli);

#endif
