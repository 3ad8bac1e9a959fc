/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding and reaching the server: options first, then the profile, then what the running
 * server published (run/endpoints.json). Says what went wrong and what to do next.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define CONNECT_TIMEOUT_S 10u

int server_config(struct cli *cli)
{
    const char *path = cli_get(cli, "--config");
    char *error = NULL;
    struct ky_status st;
    int rc = CLI_OK;

    if (cli->config != NULL)
        return CLI_OK;
    if (path == NULL)
        path = "/etc/kyso/kyso.yaml";
    st = config_load_file(path, &cli->config, &error);
    if (!ky_ok(st))
        rc = cli_fail(cli, CLI_USAGE,
                      "name the server's configuration with --config FILE or KYSO_CONFIG",
                      "cannot use the configuration %s: %s", path,
                      error != NULL ? error : ky_code_info(st.code)->public_text);
    free(error);
    return rc;
}

/* Relative paths in a profile are relative to the profile's folder. */
static void rebase(json_t *profile, const char *key, const char *path)
{
    const char *v = json_string_value(json_object_get(profile, key));
    const char *slash = strrchr(path, '/');
    char full[PATH_MAX];

    if (v == NULL || v[0] == '/' || slash == NULL)
        return;
    if (snprintf(full, sizeof full, "%.*s/%s", (int)(slash - path), path, v) < (int)sizeof full)
        (void)json_object_set_new(profile, key, json_string(full));
}

int server_profile(struct cli *cli)
{
    const char *path = cli_get(cli, "--profile");
    json_error_t error;

    if (path == NULL || json_is_object(cli->profile))
        return CLI_OK;
    cli->profile = json_load_file(path, 0, &error);
    if (!json_is_object(cli->profile))
        return cli_fail(cli, CLI_USAGE,
                        "a profile is JSON with endpoint, cert, key, ca and relying_party",
                        "cannot read the profile %s: %s", path,
                        cli->profile == NULL ? error.text : "not an object");
    rebase(cli->profile, "cert", path);
    rebase(cli->profile, "key", path);
    rebase(cli->profile, "ca", path);
    rebase(cli->profile, "request_key", path);
    return CLI_OK;
}

const char *server_option(struct cli *cli, const char *option, const char *profile_key)
{
    const char *v = cli_get(cli, option);

    if (v != NULL)
        return v;
    if (server_profile(cli) != CLI_OK)
        return NULL;
    return json_string_value(json_object_get(cli->profile, profile_key));
}

/*
 * "signer" or "approver" of state_dir/run/endpoints.json; NULL when the server does not run here.
 */
static char *published(struct cli *cli, const char *door)
{
    const char *path = cli_get(cli, "--config");
    char name[PATH_MAX];
    json_t *v;
    char *address = NULL;
    char *error = NULL;

    if (cli->config == NULL && !ky_ok(config_load_file(path != NULL ? path : "/etc/kyso/kyso.yaml",
                                                       &cli->config, &error))) {
        free(error);
        return NULL;
    }
    (void)snprintf(name, sizeof name, "%s/run/endpoints.json", cli->config->state_dir);
    v = json_load_file(name, 0, NULL);
    if (json_is_string(json_object_get(v, door)) &&
        json_string_length(json_object_get(v, door)) > 0)
        address = strdup(json_string_value(json_object_get(v, door)));
    json_decref(v);
    return address;
}

static int say_unreachable(struct cli *cli, struct ky_status st, const char *why)
{
    if (st.code == KY_INVALID)
        return cli_fail(cli, CLI_USAGE, "check --endpoint, --cert, --key and --ca, or the profile",
                        "%s", why);
    if (st.code == KY_UNAUTHENTICATED)
        return cli_fail(
            cli, CLI_UNREACHABLE,
            "is --ca the one that issued the server's certificate, and is the address in it?", "%s",
            why);
    return cli_fail(cli, CLI_UNREACHABLE, "is it running? see: kyso status, or the server's log",
                    "cannot reach the server: %s", why);
}

int server_open(struct cli *cli, enum cli_door door, struct client **out_client)
{
    bool approver = door == CLI_DOOR_APPROVER;
    char why[CLIENT_TEXT_MAX];
    char *found = NULL;
    struct client_target t = {.endpoint = NULL};
    struct ky_status st;
    int rc = server_profile(cli);

    if (rc != CLI_OK)
        return rc;
    t.endpoint = server_option(cli, "--endpoint", approver ? "approver_endpoint" : "endpoint");
    t.certificate = server_option(cli, "--cert", "cert");
    t.key = server_option(cli, "--key", "key");
    t.ca = server_option(cli, "--ca", "ca");
    t.server_name = json_string_value(json_object_get(cli->profile, "server_name"));
    if (t.endpoint == NULL)
        t.endpoint = found = published(cli, approver ? "approver" : "signer");
    if (t.endpoint == NULL)
        return cli_fail(cli, CLI_USAGE, "name it with --endpoint HOST:PORT or --profile FILE",
                        "no server address is known");
    if (t.certificate == NULL || t.key == NULL || t.ca == NULL) {
        rc = cli_fail(cli, CLI_USAGE, "give --cert, --key and --ca, or --profile FILE",
                      "no client certificate is named");
    } else {
        st = client_open(&t, CONNECT_TIMEOUT_S * 1000000u, out_client, why);
        if (!ky_ok(st))
            rc = say_unreachable(cli, st, why);
    }
    free(found);
    return rc;
}

int server_open_operator(struct cli *cli, struct client **out_client)
{
    struct client_target t = {.unix_path = cli_get(cli, "--socket")};
    char fallback[PATH_MAX];
    char why[CLIENT_TEXT_MAX];
    struct ky_status st;
    int rc;

    if (t.unix_path == NULL) {
        rc = server_config(cli);
        if (rc != CLI_OK)
            return rc;
        (void)snprintf(fallback, sizeof fallback, "%s/run/operator.sock", cli->config->state_dir);
        t.unix_path = cli->config->doors.operator_socket;
        if (t.unix_path == NULL || t.unix_path[0] == '\0')
            t.unix_path = fallback;
    }
    st = client_open(&t, CONNECT_TIMEOUT_S * 1000000u, out_client, why);
    if (!ky_ok(st))
        return cli_fail(cli, CLI_UNREACHABLE, "is kysod running, and may you use its socket?",
                        "cannot reach the server: %s", why);
    return CLI_OK;
}

static const struct {
    enum ky_code code;
    const char *next;
} next_steps[] = {
    {KY_INVALID, "check the arguments: kyso COMMAND --help"},
    {KY_UNAUTHENTICATED,
     "have an operator pin this certificate: kyso client add NAME --cert PEM --may sign"},
    {KY_DENIED, "the reason is in the ledger only: kyso ledger show --last 5; a client that must sign its "
                "requests (kyso info tells) gives --request-key"},
    {KY_NOT_FOUND, "check the id, and that the relying party may use it"},
    {KY_CONFLICT, "this id stands for something else already: use another one"},
    {KY_PROOF_NEEDED, "ask the citizen for a fresh proof, under a new --request-id"},
    {KY_TX_PENDING, "the citizen has not decided yet: wait"},
    {KY_TX_ENDED, "begin a new transaction"},
    {KY_INACTIVE, "see its state: kyso credential show ID"},
    {KY_BUSY, "try the same request again in a moment"},
    {KY_UNAVAILABLE, "repeat the same request; the server's state: kyso status"},
    {KY_DEADLINE, "repeat the same request with a longer --timeout; nothing is spent twice"},
    {KY_UNIMPLEMENTED, "is this the right door (endpoint) for this command?"},
    {KY_INTERNAL, "see the server's log"},
};

static int refused(struct cli *cli, const struct client_outcome *o)
{
    const char *next = NULL;
    const char *text = o->text[0] != '\0' ? o->text : ky_code_info(o->code)->public_text;

    if (o->transport)
        return cli_fail(cli, CLI_UNREACHABLE,
                        "is the server running, and is this certificate pinned to a client?",
                        "the server did not answer: %s", text);
    for (size_t i = 0; i < sizeof next_steps / sizeof next_steps[0]; i++)
        if (next_steps[i].code == o->code)
            next = next_steps[i].next;
    if (o->retry_after_ms > 0)
        return cli_fail(cli, CLI_FAILED, next, "the server refused: %s (%s; after %u ms)", text,
                        ky_code_info(o->code)->name, o->retry_after_ms);
    return cli_fail(cli, CLI_FAILED, next, "the server refused: %s (%s)", text,
                    ky_code_info(o->code)->name);
}

int server_call(struct cli *cli, struct client *c, const char *path,
                const ProtobufCMessage *request, uint64_t timeout_us,
                const ProtobufCMessageDescriptor *type, ProtobufCMessage **out_reply)
{
    struct client_outcome outcome;
    struct ky_status st = client_unary(c, path, request, timeout_us, type, out_reply, &outcome);

    return ky_ok(st) ? CLI_OK : refused(cli, &outcome);
}
