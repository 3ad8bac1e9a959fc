/* SPDX-License-Identifier: Apache-2.0 */
/* kyso-ceremony: harden, parse, run one command. Ends with _exit: modules' exit handlers crash on some tokens. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#ifdef KYSO_COVERAGE
#include <gcov.h>
#endif

#include "table.h"

int main(int argc, char **argv)
{
    struct cli *cli = calloc(1, sizeof *cli);
    int rc;

    if (cli == NULL || !ky_ok(ky_harden_process()))
        return CLI_FAILED;
    (void)signal(SIGPIPE, SIG_IGN);
    cli->program = &ceremony_program;
    cli->out = stdout;
    cli->err = stderr;
    rc = command_main(cli, argc, argv);
    free(cli);
    if (fflush(stdout) != 0 && rc == CLI_OK)
        rc = CLI_FAILED;
#ifdef KYSO_COVERAGE
    __gcov_dump();
#endif
    _exit(rc);
}
