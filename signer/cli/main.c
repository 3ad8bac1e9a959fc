/* SPDX-License-Identifier: Apache-2.0 */
/* kyso: parse, run one command, say how it went by the exit status. */
#include <signal.h>
#include <stdlib.h>

#include <liboath/oath.h>

#include "cli.h"

int main(int argc, char **argv)
{
    struct cli *cli = calloc(1, sizeof *cli);
    int rc;

    if (cli == NULL || oath_init() != OATH_OK)
        return CLI_FAILED;
    (void)signal(SIGPIPE, SIG_IGN); /* a lost connection is an answer, not an end */
    cli->out = stdout;
    cli->err = stderr;
    cli->program = &cli_program;
    rc = command_main(cli, argc, argv);
    if (rc == CLI_PROPOSED)
        rc = CLI_OK;
    client_close(&cli->operator_client);
    config_free(&cli->config);
    json_decref(cli->profile);
    free(cli);
    (void)oath_done();
    if (fflush(stdout) != 0 && rc == CLI_OK)
        rc = CLI_FAILED;
    return rc;
}
