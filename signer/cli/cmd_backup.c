/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso backup: asks the server for a copy of its database, waits until it is whole, and takes it to where it is wanted. The copy
 * and its checkpoint belong together: kysod --restore wants both.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

#define LOOK_EACH_MS 200
#define BLOCK        65536u

static int begin(struct cli *cli)
{
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    Kyso__V1__MakeBackup make = KYSO__V1__MAKE_BACKUP__INIT;
    Kyso__V1__OperationResult *r = NULL;
    int rc;

    op.op_case = KYSO__V1__OPERATION__OP_MAKE_BACKUP;
    op.make_backup = &make;
    rc = operator_call(cli, &op, &r);
    if (rc == CLI_OK)
        kyso__v1__operation_result__free_unpacked(r, NULL);
    return rc;
}

static int wait_for_it(struct cli *cli, char how[96])
{
    const struct timespec pause = {.tv_nsec = LOOK_EACH_MS * 1000000L};
    Kyso__V1__OperationResult *r = NULL;
    int rc;

    while ((rc = status_get(cli, true, &r)) == CLI_OK) {
        (void)snprintf(how, 96, "%s", r->status->backup);
        kyso__v1__operation_result__free_unpacked(r, NULL);
        if (strncmp(how, "copying", 7) != 0)
            break;
        if (output_is_terminal(cli))
            (void)fprintf(cli->err, "\r%s ", how);
        (void)nanosleep(&pause, NULL);
    }
    if (output_is_terminal(cli))
        (void)fputs("\r\033[K", cli->err);
    if (rc == CLI_OK && strncmp(how, "done", 4) != 0)
        return cli_fail(cli, CLI_FAILED, "see the server's log", "%s", how[0] != '\0' ? how : "the server was restarted");
    return rc;
}

/* Whole, synced and under its name, or not there. */
static bool copy_file(const char *from, const char *to)
{
    static uint8_t block[BLOCK];
    char name[4096];
    ssize_t n = 0;
    int in = open(from, O_RDONLY | O_CLOEXEC), out = -1;
    bool ok = in >= 0 && snprintf(name, sizeof(name), "%s.new", to) < (int)sizeof(name);

    if (ok)
        out = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    ok = out >= 0;
    while (ok && (n = read(in, block, sizeof(block))) > 0)
        ok = write(out, block, (size_t)n) == n;
    ok = ok && n == 0 && fsync(out) == 0;
    if (in >= 0)
        (void)close(in);
    if (out >= 0)
        ok = close(out) == 0 && ok;
    return ok && rename(name, to) == 0;
}

static int take(struct cli *cli, const char *output)
{
    const char *folder = cli->config->state_dir;
    char from[2][4096], note[4096];

    (void)snprintf(from[0], sizeof(from[0]), "%s/backup.db", folder);
    (void)snprintf(from[1], sizeof(from[1]), "%s/backup.checkpoint", folder);
    (void)snprintf(note, sizeof(note), "%s.checkpoint", output);
    if (copy_file(from[1], note) && copy_file(from[0], output))
        return CLI_OK;
    return cli_fail(cli, CLI_FAILED, "check the rights of both folders, and the room", "cannot copy %s to %s: %s", from[0],
                    output, strerror(errno));
}

int cmd_backup(struct cli *cli)
{
    const char *output = cli_get(cli, "--output");
    char how[96] = "", path[4096];
    int rc = server_config(cli);

    if (rc == CLI_OK)
        rc = begin(cli);
    if (rc == CLI_OK)
        rc = wait_for_it(cli, how);
    if (rc == CLI_OK && output != NULL)
        rc = take(cli, output);
    if (rc != CLI_OK)
        return rc;
    (void)snprintf(path, sizeof(path), "%s/backup.db", cli->config->state_dir);
    output_object(cli, json_pack("{s:s,s:s,s:s}", "message", "The database is copied.", "file",
                                 output != NULL ? output : path, "copy", how));
    return CLI_OK;
}
