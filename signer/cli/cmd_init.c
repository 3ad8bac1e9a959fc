/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso init: the first administrators' keys, outside a demo their certificates, then kysod --init, which makes the token's
 * keys and the state. Also kyso operator keygen.
 */
#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"
#include "keys.h"

#define DAYS 365u /* a certificate made here is valid for */

extern char **environ;

static int save_pair(struct cli *cli, const char *path, EVP_PKEY *key)
{
    char public_path[PATH_MAX];
    struct ky_status st = keys_save_private(path, key);

    if (st.code == KY_CONFLICT)
        return cli_fail(cli, CLI_FAILED, "name another file: a key is never overwritten",
                        "%s exists already", path);
    (void)snprintf(public_path, sizeof public_path, "%s.pub", path);
    if (!ky_ok(st) || !ky_ok(keys_save_public(public_path, key)))
        return cli_fail(cli, CLI_FAILED, "check the folder and its rights", "cannot write %s",
                        ky_ok(st) ? public_path : path);
    return CLI_OK;
}

static int save_certificate(struct cli *cli, const char *path, EVP_PKEY *key, const char *name)
{
    char file[PATH_MAX];

    (void)snprintf(file, sizeof file, "%s.crt", path);
    return ky_ok(keys_save_certificate(file, key, name, cli_number(cli, "--days", DAYS)))
               ? CLI_OK
               : cli_fail(cli, CLI_FAILED, "a name has at most 64 characters", "cannot make %s", file);
}

int cmd_operator_keygen(struct cli *cli)
{
    const char *path = cli_get(cli, "FILE");
    const char *name = cli_get(cli, "--certificate");
    EVP_PKEY *key = keys_generate((enum keys_type)cli_choice(cli, "--type", KEYS_P256));
    char public_path[PATH_MAX];
    int rc = key != NULL ? save_pair(cli, path, key)
                         : cli_fail(cli, CLI_FAILED, NULL, "the key cannot be made");

    if (rc == CLI_OK && name != NULL)
        rc = save_certificate(cli, path, key, name);
    EVP_PKEY_free(key);
    if (rc != CLI_OK)
        return rc;
    (void)snprintf(public_path, sizeof public_path, "%s.%s", path, name != NULL ? "crt" : "pub");
    output_object(cli, json_pack("{s:s,s:s,s:s}", "message", "Made an operator's key.",
                                 "private_key", path,
                                 name != NULL ? "certificate" : "public_key", public_path));
    return CLI_OK;
}

/* The operator's key, made when absent; its public half beside it for kysod, and outside a demo a certificate. */
static int ensure_key(struct cli *cli, const char *name, const char *path, bool *out_made)
{
    char public_path[PATH_MAX];
    char certificate[PATH_MAX];
    EVP_PKEY *key = NULL;
    int rc = CLI_OK;

    *out_made = !file_exists(path);
    if (*out_made) {
        key = keys_generate(KEYS_P256);
        rc = key != NULL ? save_pair(cli, path, key)
                         : cli_fail(cli, CLI_FAILED, NULL, "the key cannot be made");
    } else {
        key = keys_load_private(path);
        (void)snprintf(public_path, sizeof public_path, "%s.pub", path);
        if (key == NULL || keys_type_of(key) == KEYS_OTHER)
            rc = cli_fail(cli, CLI_USAGE, "it must be a PEM P-256 or Ed25519 private key",
                          "cannot use the key %s", path);
        else if (!ky_ok(keys_save_public(public_path, key)))
            rc = cli_fail(cli, CLI_FAILED, "check the folder and its rights", "cannot write %s",
                          public_path);
    }
    (void)snprintf(certificate, sizeof certificate, "%s.crt", path);
    if (rc == CLI_OK && !cli->config->demo && !file_exists(certificate))
        rc = save_certificate(cli, path, key, name);
    EVP_PKEY_free(key);
    return rc;
}

/* Beside this program, else by PATH. */
static void find_kysod(struct cli *cli, char out[PATH_MAX])
{
    const char *named = cli_get(cli, "--kysod");
    char self[PATH_MAX - 8];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash;

    (void)snprintf(out, PATH_MAX, "%s", named != NULL ? named : "kysod");
    if (named != NULL || n <= 0)
        return;
    self[n] = '\0';
    slash = strrchr(self, '/');
    if (slash == NULL)
        return;
    (void)snprintf(out, PATH_MAX, "%.*s/kysod", (int)(slash - self), self);
    if (access(out, X_OK) != 0)
        (void)snprintf(out, PATH_MAX, "kysod");
}

static int run(struct cli *cli, char *const *argv)
{
    pid_t pid = 0;
    int status = 0;
    int error = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);

    if (error != 0)
        return cli_fail(cli, CLI_FAILED, "name it with --kysod PATH", "cannot run %s: %s", argv[0],
                        strerror(error));
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return cli_fail(cli, CLI_FAILED, NULL, "lost sight of kysod: %s", strerror(errno));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return cli_fail(cli, CLI_FAILED,
                        "its own message above says why; nothing half-made is used",
                        "kysod --init failed");
    return CLI_OK;
}

static int check_absent(struct cli *cli)
{
    char path[PATH_MAX];
    int rc = server_config(cli);

    if (rc != CLI_OK)
        return rc;
    (void)snprintf(path, sizeof path, "%s/kyso.db", cli->config->state_dir);
    if (file_exists(path))
        return cli_fail(cli, CLI_FAILED, "a ledger is never overwritten: choose another state_dir",
                        "%s exists already", path);
    return CLI_OK;
}

int cmd_init(struct cli *cli)
{
    const char *names[CLI_OPERATORS_MAX];
    const char *keys[CLI_OPERATORS_MAX];
    char pairs[CLI_OPERATORS_MAX][PATH_MAX + 80];
    char kysod[PATH_MAX];
    char *argv[5 + 2 * CLI_OPERATORS_MAX + 1] = {kysod, (char *)(uintptr_t) "--config", NULL,
                                                 (char *)(uintptr_t) "--init"};
    const char *config = cli_get(cli, "--config");
    size_t n = cli_all(cli, "--operator", names, CLI_OPERATORS_MAX);
    size_t argc = 4;
    json_t *operators;
    int rc;

    if (n == 0 || n != cli_all(cli, "--operator-key", keys, CLI_OPERATORS_MAX))
        return cli_fail(cli, CLI_USAGE,
                        "give --operator NAME --operator-key FILE (made when absent)",
                        "the first operator is missing");
    rc = check_absent(cli);
    if (rc == CLI_OK && n < 2 && !cli->config->demo)
        rc = cli_fail(cli, CLI_USAGE, "name two: --operator alice ... --operator bob ...",
                      "outside a demo one operator alone could do nothing");
    operators = json_array();
    for (size_t i = 0; i < n && rc == CLI_OK; i++) {
        bool made = false;

        rc = ensure_key(cli, names[i], keys[i], &made);
        (void)snprintf(pairs[i], sizeof pairs[i], "%s:%s.%s", names[i], keys[i],
                       cli->config->demo ? "pub" : "crt");
        argv[argc++] = (char *)(uintptr_t) "--operator";
        argv[argc++] = pairs[i];
        (void)json_array_append_new(operators, json_pack("{s:s,s:s,s:b}", "operator", names[i],
                                                         "key", keys[i], "made", made));
    }
    if (rc == CLI_OK) {
        find_kysod(cli, kysod);
        argv[2] = (char *)(uintptr_t)(config != NULL ? config : "/etc/kyso/kyso.yaml");
        rc = run(cli, argv);
    }
    if (rc == CLI_OK)
        output_object(
            cli,
            json_pack(
                "{s:s,s:s,s:s,s:O}", "message",
                "The token's keys and the state are made. Start the server: kysod --config FILE",
                "server", cli->config->server_id, "state_dir", cli->config->state_dir, "operators",
                operators));
    json_decref(operators);
    return rc;
}
