/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso status, health and info: how the server is doing, as operators and as relying parties see
 * it.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "kyso/alg.h"
#include "kyso/v1/health.pb-c.h"
#include "kyso/v1/signer.pb-c.h"
#include "status_screen.h"

#define WATCH_S 1
#define ENTER   "\033[?1049h\033[?25l" /* the alternate screen, no cursor */
#define LEAVE   "\033[?25h\033[?1049l"

int status_get(struct cli *cli, bool watching, Kyso__V1__OperationResult **out)
{
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    Kyso__V1__GetStatus get = KYSO__V1__GET_STATUS__INIT;
    int rc;

    get.watching = watching;
    op.op_case = KYSO__V1__OPERATION__OP_GET_STATUS;
    op.get_status = &get;
    rc = operator_call(cli, &op, out);
    if (rc == CLI_OK && (*out)->status == NULL) {
        kyso__v1__operation_result__free_unpacked(*out, NULL);
        return cli_fail(cli, CLI_FAILED, "are kyso and kysod of the same version?",
                        "the server sent no status");
    }
    return rc;
}

static int show_once(struct cli *cli, bool watching, bool colour)
{
    Kyso__V1__OperationResult *r = NULL;
    int rc = status_get(cli, watching, &r);

    if (rc != CLI_OK)
        return rc;
    if (cli->json)
        output_object(cli, show_status(r->status));
    else
        status_screen(cli->out, r->status, (int64_t)time(NULL), colour);
    kyso__v1__operation_result__free_unpacked(r, NULL);
    return rc;
}

/* A whole screen at once, so that it does not flicker: each line, and what is below, is cleared as it is drawn over. */
static void draw(FILE *out, const char *text)
{
    (void)fputs("\033[H", out);
    for (; *text != '\0'; text++)
        (void)fputs(*text == '\n' ? "\033[K\n" : (char[]){*text, '\0'}, out);
    (void)fputs("\033[J", out);
}

/* One screen, or why there is none: *out_text is the caller's. */
static int make_page(struct cli *cli, bool watching, bool colour, char **out_text)
{
    FILE *out = cli->out, *err = cli->err;
    size_t len = 0;
    FILE *page = open_memstream(out_text, &len);
    int rc;

    if (page == NULL)
        return cli_fail(cli, CLI_FAILED, NULL, "no memory");
    cli->out = page;
    cli->err = page;
    rc = show_once(cli, watching, colour);
    cli->out = out;
    cli->err = err;
    (void)fclose(page);
    return rc;
}

/* Once it was there, a server may go and come back. Ctrl-C is waited for between two screens, so the terminal is always put back. */
static int watch(struct cli *cli)
{
    const struct timespec pause = {.tv_sec = WATCH_S};
    bool terminal = output_is_terminal(cli), seen = false;
    char *text = NULL;
    sigset_t ends;
    int rc;

    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGINT);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigaddset(&ends, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &ends, NULL);
    while ((rc = make_page(cli, seen, terminal, &text)) == CLI_OK || seen) {
        if (!seen && terminal)
            (void)fputs(ENTER, cli->out);
        seen = true;
        if (rc != CLI_OK)
            client_close(&cli->operator_client);
        if (terminal)
            draw(cli->out, text);
        else
            (void)fprintf(cli->out, "%s%s", text, cli->json ? "" : "\n");
        if (fflush(cli->out) != 0 || sigtimedwait(&ends, NULL, &pause) >= 0)
            break;
        free(text);
        text = NULL;
    }
    if (seen)
        (void)fputs(terminal ? LEAVE : "", cli->out);
    else if (text != NULL)
        (void)fputs(text, cli->json ? cli->out : cli->err);
    free(text);
    return rc;
}

int cmd_status(struct cli *cli)
{
    return cli_has(cli, "--watch") ? watch(cli) : show_once(cli, false, output_is_terminal(cli));
}

int cmd_health(struct cli *cli)
{
    static const char *const states[] = {"unknown", "serving", "not serving", "service unknown"};
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    ProtobufCMessage *reply = NULL;
    struct client *c = NULL;
    const char *service = cli_get(cli, "--service");
    int rc = server_open(cli, CLI_DOOR_SIGNER, &c);
    unsigned state;

    if (service != NULL)
        request.service = (char *)(uintptr_t)service;
    if (rc == CLI_OK)
        rc = server_call(cli, c, "/grpc.health.v1.Health/Check", &request.base,
                         cli_number(cli, "--timeout", 10) * UINT64_C(1000000),
                         &grpc__health__v1__health_check_response__descriptor, &reply);
    client_close(&c);
    if (rc != CLI_OK)
        return rc;
    state = (unsigned)((Grpc__Health__V1__HealthCheckResponse *)reply)->status;
    protobuf_c_message_free_unpacked(reply, NULL);
    output_object(cli, json_pack("{s:s}", "health", state < 4 ? states[state] : "unknown"));
    return state == 1 ? CLI_OK : CLI_FAILED;
}

static json_t *show_info(const Kyso__V1__InfoReply *i)
{
    json_t *algorithms = json_array();

    for (size_t k = 0; k < i->n_algorithms; k++) {
        const char *scheme = ky_scheme_name((uint8_t)i->algorithms[k]->scheme);
        const char *hash = ky_hash_name((uint8_t)i->algorithms[k]->hash);
        char name[48];

        (void)snprintf(name, sizeof name, "%s-%s", scheme != NULL ? scheme : "unknown",
                       hash != NULL ? hash : "unknown");
        (void)json_array_append_new(algorithms, json_string(name));
    }
    return json_pack("{s:s,s:s,s:s,s:o,s:i,s:i,s:b}", "server", i->server_id, "version", i->version,
                     "client", i->client, "algorithms", algorithms, "max_hashes",
                     (int)i->max_hashes, "max_message_bytes", (int)i->max_message_bytes,
                     "signed_requests", i->signed_requests);
}

int cmd_info(struct cli *cli)
{
    Kyso__V1__InfoRequest request = KYSO__V1__INFO_REQUEST__INIT;
    ProtobufCMessage *reply = NULL;
    struct client *c = NULL;
    int rc = server_open(cli, CLI_DOOR_SIGNER, &c);

    if (rc == CLI_OK)
        rc = server_call(cli, c, "/kyso.v1.Signer/Info", &request.base,
                         cli_number(cli, "--timeout", 10) * UINT64_C(1000000),
                         &kyso__v1__info_reply__descriptor, &reply);
    client_close(&c);
    if (rc != CLI_OK)
        return rc;
    output_object(cli, show_info((Kyso__V1__InfoReply *)reply));
    protobuf_c_message_free_unpacked(reply, NULL);
    return CLI_OK;
}
