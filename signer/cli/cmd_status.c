/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso status, health and info: how the server is doing, as operators and as relying parties see
 * it.
 */
#include <string.h>

#include "cli.h"
#include "kyso/alg.h"
#include "kyso/v1/health.pb-c.h"
#include "kyso/v1/signer.pb-c.h"

static void paint(struct cli *cli, const char *text, bool good)
{
    bool colour = output_is_terminal(cli);

    (void)fputs(colour ? (good ? "\033[1;32m" : "\033[1;31m") : "", cli->out);
    output_clean(cli->out, text);
    (void)fputs(colour ? "\033[0m" : "", cli->out);
}

static void print_duration(FILE *out, uint64_t s)
{
    if (s >= 86400)
        (void)fprintf(out, "%llu d %llu h", (unsigned long long)(s / 86400),
                      (unsigned long long)(s / 3600 % 24));
    else if (s >= 3600)
        (void)fprintf(out, "%llu h %llu min", (unsigned long long)(s / 3600),
                      (unsigned long long)(s / 60 % 60));
    else
        (void)fprintf(out, "%llu min %llu s", (unsigned long long)(s / 60),
                      (unsigned long long)(s % 60));
}

static void print_head(struct cli *cli, const Kyso__V1__Status *s)
{
    (void)fputs("Kyso ", cli->out);
    output_clean(cli->out, s->server_id);
    (void)fprintf(cli->out, "  version %s  up ", s->version);
    print_duration(cli->out, s->uptime_s);
    (void)fputs("  ", cli->out);
    paint(cli, s->sealed ? "SEALED" : "SERVING", !s->sealed);
    if (s->demo)
        (void)fputs("  (demo: seeds may be shown)", cli->out);
    (void)fputc('\n', cli->out);
    if (s->sealed) {
        (void)fputs("  sealed because: ", cli->out);
        output_clean(cli->out, s->sealed_reason);
        (void)fputs(
            "\n  nothing is signed until an operator acts; see the runbook for this reason\n",
            cli->out);
    }
    if (s->crl[0] != '\0') {
        (void)fputs("  revocation list: ", cli->out);
        output_clean(cli->out, s->crl);
        (void)fputc('\n', cli->out);
    }
    if (s->codes_suspended)
        (void)fputs("  codes are suspended: several clients tried wrong ones; see kyso client list. "
                    "Approvals are taken\n",
                    cli->out);
}

static void print_numbers(struct cli *cli, const Kyso__V1__Status *s)
{
    (void)fprintf(cli->out, "\n  signatures  %-12llu denials    %-12llu turns     %llu\n",
                  (unsigned long long)s->signatures, (unsigned long long)s->denials,
                  (unsigned long long)s->turns);
    (void)fprintf(cli->out,
                  "  people      %-12llu credentials %-11llu queue     %u waiting, %u in flight\n",
                  (unsigned long long)s->subjects, (unsigned long long)s->credentials, s->queue,
                  s->in_flight);
    for (size_t i = 0; i < s->n_pool; i++)
        (void)fprintf(cli->out, "%s%u of %u %s", i == 0 ? "  pool        " : ", ", s->pool[i]->keys,
                      s->pool[i]->wanted, show_key_type(s->pool[i]->key_type));
    (void)fputs(s->n_pool > 0 ? " keys made in advance\n" : "", cli->out);
    (void)fprintf(cli->out, "  ledger      %llu records, root ",
                  (unsigned long long)s->ledger_size);
    for (size_t i = 0; i < s->ledger_root.len && i < 8; i++)
        (void)fprintf(cli->out, "%02x", s->ledger_root.data[i]);
    (void)fputs("...\n\n", cli->out);
}

static void print_roles(struct cli *cli, const Kyso__V1__Status *s)
{
    (void)fprintf(cli->out, "  %-20s %-12s %9s %12s\n", "ROLE", "STATE", "RESTARTS", "JOBS");
    for (size_t i = 0; i < s->n_roles; i++) {
        const Kyso__V1__RoleStatus *r = s->roles[i];
        bool good = strcmp(r->state, "serving") == 0 || strcmp(r->state, "ready") == 0;

        (void)fprintf(cli->out, "  %-16s %-3u ", r->role, r->index);
        paint(cli, r->state, good);
        (void)fprintf(cli->out, "%*s %9llu %12llu\n",
                      (int)(strlen(r->state) < 12 ? 12 - strlen(r->state) : 0), "",
                      (unsigned long long)r->restarts, (unsigned long long)r->jobs);
    }
}

int cmd_status(struct cli *cli)
{
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    Kyso__V1__GetStatus get = KYSO__V1__GET_STATUS__INIT;
    Kyso__V1__OperationResult *r = NULL;
    int rc;

    op.op_case = KYSO__V1__OPERATION__OP_GET_STATUS;
    op.get_status = &get;
    rc = operator_call(cli, &op, &r);
    if (rc != CLI_OK)
        return rc;
    if (r->status == NULL) {
        rc = cli_fail(cli, CLI_FAILED, "are kyso and kysod of the same version?",
                      "the server sent no status");
    } else if (cli->json) {
        output_object(cli, show_status(r->status));
    } else {
        print_head(cli, r->status);
        print_numbers(cli, r->status);
        print_roles(cli, r->status);
    }
    kyso__v1__operation_result__free_unpacked(r, NULL);
    return rc;
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
