/* SPDX-License-Identifier: Apache-2.0 */
/* kyso: parse, run one command, say how it went by the exit status. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <liboath/oath.h>

#include "cli.h"

static void show_help(const struct cli *cli)
{
    size_t n = 0;

    while (n < 8 && cli->topic[n] != NULL)
        n++;
    if (cli->command != NULL)
        help_command(cli->out, cli->command);
    else if (n > 0)
        help_family(cli->out, cli->topic, n);
    else
        help_all(cli->out);
}

int main(int argc, char **argv)
{
    struct cli *cli = calloc(1, sizeof *cli);
    int rc;

    if (cli == NULL || oath_init() != OATH_OK)
        return CLI_FAILED;
    (void)signal(SIGPIPE, SIG_IGN); /* a lost connection is an answer, not an end */
    cli->out = stdout;
    cli->err = stderr;
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        (void)puts("kyso " KYSO_VERSION);
        rc = CLI_OK;
    } else {
        rc = options_parse(cli, argc - 1, argv + 1);
        if (cli->help)
            show_help(cli);
        else if (rc == CLI_OK)
            rc = cli->command->run(cli);
    }
    client_close(&cli->operator_client);
    config_free(&cli->config);
    json_decref(cli->profile);
    free(cli);
    (void)oath_done();
    if (fflush(stdout) != 0 && rc == CLI_OK)
        rc = CLI_FAILED;
    return rc;
}
