/* SPDX-License-Identifier: Apache-2.0 */
/* The one table of kyso-ceremony's commands; help, man page, completion and the parser read it. */
#include "sitting.h"
#include "table.h"

#define END      {.kind = CLI_END}
#define PLAN     {.name = "PLAN", .kind = CLI_PATH, .flags = CLI_REQUIRED, .help = "the ceremony's YAML file"}
#define TRANSCRIPT \
    {.name = "TRANSCRIPT", .kind = CLI_PATH, .flags = CLI_REQUIRED, .help = "ID.transcript.jsonl"}
#define URI      {.name = "--uri", .value = "URI", .kind = CLI_TEXT, .help = "another token than the plan's: RFC 7512"}
#define BACKUP   {.name = "--backup", .value = "FILE", .kind = CLI_PATH, .help = "the wrapped keys (default: FOLDER/ID.backup.json)"}
#define DEMO_PIN {.name = "--demo-pin-file", .value = "FILE", .kind = CLI_PATH, .help = "of a plan with demo: true only: write the user's PIN there"}

static const struct cli_arg plan_args[] = {PLAN, END};
static const struct cli_arg token_args[] = {PLAN, URI, END};
static const struct cli_arg init_args[] = {PLAN, DEMO_PIN, END};
static const struct cli_arg backup_args[] = {
    PLAN,
    BACKUP,
    {.name = "OUTPUT", .kind = CLI_PATH, .flags = CLI_REQUIRED, .help = "where the copy goes"},
    END,
};
static const struct cli_arg restore_args[] = {
    PLAN,
    BACKUP,
    {.name = "--checkpoint",
     .value = "FILE",
     .kind = CLI_PATH,
     .help = "the newest that the server has published: its database is taken from there on"},
    URI,
    DEMO_PIN,
    END,
};
static const struct cli_arg rotate_args[] = {
    PLAN,
    {.name = "--socket",
     .value = "PATH",
     .kind = CLI_PATH,
     .flags = CLI_REQUIRED,
     .help = "of the running server: run/kek.sock in its state_dir"},
    URI,
    END,
};
static const struct cli_arg drill_args[] = {PLAN, BACKUP, URI, END};
static const struct cli_arg bench_args[] = {
    PLAN,
    URI,
    {.name = "--seconds", .value = "N", .kind = CLI_NUMBER, .help = "for each figure (default 2)"},
    END,
};
static const struct cli_arg activate_args[] = {
    TRANSCRIPT,
    {.name = "--socket", .value = "PATH", .kind = CLI_PATH, .flags = CLI_REQUIRED,
     .help = "where the server waits: its token.custodian_socket, or an ssh tunnel's end of it"},
    END,
};
static const struct cli_arg verify_args[] = {
    TRANSCRIPT,
    {.name = "--key", .value = "PEM", .kind = CLI_PATH, .help = "the ledger's public key, kept from before"},
    {.name = "--ledger-sha256", .value = "HEX", .kind = CLI_TEXT,
     .help = "what a server's ledger recorded of this ceremony"},
    END,
};
static const struct cli_arg help_args[] = {
    {.name = "WORD", .kind = CLI_TEXT, .flags = CLI_MANY(CLI_WORDS_MAX), .help = "a command"},
    {.name = "--man", .kind = CLI_FLAG, .help = "print the manual page (troff)"},
    {.name = "--completion", .value = "bash", .kind = CLI_CHOICE,
     .help = "print a completion script for this shell"},
    END,
};
static const struct cli_arg common_args[] = {
    {.name = "--json", .kind = CLI_FLAG, .help = "print the result, or the error, as one JSON object"},
    {.name = "--help", .kind = CLI_FLAG, .help = "show this help"},
    END,
};

static const struct cli_command commands[] = {
    {"plan", "print the script that people follow on paper", "kyso-ceremony plan ceremony.yaml",
     plan_args, 0, cmd_plan},
    {"check", "try a blank token, and say whether Kyso takes it", "kyso-ceremony check ceremony.yaml",
     token_args, 0, cmd_check},
    {"init", "hold the ceremony: custody, token, keys, transcript; run again, it goes on",
     "kyso-ceremony init ceremony.yaml", init_args, 0, cmd_init},
    {"activate", "give one custodian's share to a server that waits for its PIN",
     "kyso-ceremony activate first.transcript.jsonl --socket /run/kyso/custodians.sock", activate_args, 0,
     cmd_activate},
    {"kek backup", "copy the wrapped keys, and read the copy back",
     "kyso-ceremony kek backup ceremony.yaml /media/safe/keys.json", backup_args, 0, cmd_kek_backup},
    {"kek restore", "bring the keys back onto a blank token, with M custodians",
     "kyso-ceremony kek restore ceremony.yaml --backup /media/safe/keys.json", restore_args, 0,
     cmd_kek_restore},
    {"kek rotate", "another KEK: wrap every credential again while the server runs, by M custodians",
     "kyso-ceremony kek rotate ceremony.yaml --socket /var/lib/kyso/run/kek.sock", rotate_args, 0,
     cmd_kek_rotate},
    {"drill", "restore onto a blank token, compare, sign a report, wipe it",
     "kyso-ceremony drill ceremony.yaml --backup /media/safe/keys.json", drill_args, 0, cmd_drill},
    {"bench", "how fast a blank token makes keys and signs", "kyso-ceremony bench ceremony.yaml",
     bench_args, 0, cmd_bench},
    {"verify", "check a transcript, and print it for people",
     "kyso-ceremony verify first.transcript.jsonl --key first.ledger.pub", verify_args, 0, cmd_verify},
    {"help", "help on a command; the manual page; shell completion", "kyso-ceremony help kek restore",
     help_args, 0, cmd_help},
    {.words = NULL},
};

static const struct cli_group groups[] = {
    {"Common options", 0, common_args},
    {NULL, 0, NULL},
};

const struct cli_program ceremony_program = {
    .name = "kyso-ceremony",
    .about = "key ceremonies of a Kyso signing server",
    .example = "kyso-ceremony init ceremony.yaml",
    .manual = "One reviewable YAML file says who takes part and which token. What is done is written to a "
              "hash-chained transcript that the token signs.\n"
              "Killed anywhere, a ceremony goes on where it was: nobody ever has half a key.\n",
    .commands = commands,
    .groups = groups,
    .exit_help = {
        [CLI_OK] = "done",
        [CLI_FAILED] = "refused by the token, or failed",
        [CLI_USAGE] = "the command line or the plan is wrong",
        [CLI_UNVERIFIED] = "a transcript or a backup did not verify",
        [CLI_NO_TOKEN] = "no token that fits, or its module cannot be loaded",
        [CLI_TOKEN_FULL] = "the token has no room",
    },
};
