/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso credential enroll: some batches at the server at a time, each result into its file. Whatever ends it, the same command goes on.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "enroll.h"
#include "kyso/record.h"

#define IN_FLIGHT_MAX 32u
#define SHOWN_US      500000u
#define BUSY_US       1000000u /* before a batch that was refused as BUSY is sent again */

struct run;
struct flight { /* one batch at the server */
    struct run *run;
    size_t batch;
    bool used;
    uint64_t again_us; /* refused as BUSY: when to send it again; 0 = it is at the server */
    Kyso__V1__OperationResult *result; /* owned while the call lasts */
};
struct run {
    struct cli *cli;
    const char *dir;
    struct enroll_plan plan;
    Kyso__V1__EnrollCitizens settings; /* what all batches share */
    const char *parties[CLI_LIST_MAX];
    struct flight flights[IN_FLIGHT_MAX];
    size_t in_flight, flying, next;
    size_t people_done, people_before, errors; /* before: by an earlier run */
    uint64_t began_us, shown_us;
    int rc;
};

/* --- one batch -------------------------------------------------------------------------------------------- */

static void on_message(void *arg, struct client_call *call, struct ky_span message)
{
    struct flight *f = arg;
    Kyso__V1__ExecuteReply *reply =
        kyso__v1__execute_reply__unpack(NULL, message.len, message.data);

    (void)call;
    if (reply != NULL && f->result == NULL)
        f->result = operator_result(reply);
    if (reply != NULL)
        kyso__v1__execute_reply__free_unpacked(reply, NULL);
}

static void take_result(struct flight *f)
{
    struct run *r = f->run;
    size_t count = r->plan.batches[f->batch].count;

    if (f->result->n_enrolled != count) {
        r->rc = cli_fail(r->cli, CLI_FAILED, "are kyso and kysod of the same version?",
                         "the server's result cannot be read");
        return;
    }
    r->rc = enroll_write(r->cli, r->dir, &r->plan, f->batch, f->result);
    r->people_done += count;
    for (size_t i = 0; i < count; i++)
        r->errors += f->result->enrolled[i]->error[0] != '\0';
}

static void refuse(struct flight *f, const struct client_outcome *outcome)
{
    const struct enroll_batch *b = &f->run->plan.batches[f->batch];
    const struct enroll_person *p = &f->run->plan.people[b->from];

    f->run->rc = cli_fail(f->run->cli, outcome->transport ? CLI_UNREACHABLE : CLI_FAILED,
                          "repeat the same command: it goes on with what is missing",
                          "lines %u to %u were not enrolled: %s", p->line, p[b->count - 1].line,
                          outcome->text[0] != '\0' ? outcome->text
                                                   : ky_code_info(outcome->code)->public_text);
}

static void on_end(void *arg, struct client_call *call, const struct client_outcome *outcome)
{
    struct flight *f = arg;
    struct run *r = f->run;

    (void)call;
    if (r->rc == CLI_OK && outcome->grpc_status != 0 && outcome->code == KY_BUSY) {
        f->again_us = ky_now_us() + BUSY_US;
        return;
    }
    if (outcome->grpc_status == 0 && f->result != NULL && r->rc == CLI_OK)
        take_result(f);
    else if (r->rc == CLI_OK)
        refuse(f, outcome);
    if (f->result != NULL)
        kyso__v1__operation_result__free_unpacked(f->result, NULL);
    f->result = NULL;
    f->used = false;
    r->flying--;
}

static int send_people(struct flight *f, Kyso__V1__EnrollCitizen *rows,
                       Kyso__V1__EnrollCitizen **list)
{
    const struct client_handler handler = {.on_message = on_message, .on_end = on_end, .arg = f};
    struct run *r = f->run;
    const struct enroll_batch *b = &r->plan.batches[f->batch];
    Kyso__V1__EnrollCitizens message = r->settings;
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    int rc = CLI_OK;

    for (size_t i = 0; i < b->count && rc == CLI_OK; i++) {
        const struct enroll_person *p = &r->plan.people[b->from + i];

        kyso__v1__enroll_citizen__init(&rows[i]);
        rows[i].subject_id = (char *)(uintptr_t)p->subject_id;
        rows[i].name = (char *)(uintptr_t)p->name;
        rows[i].subject_dn = (char *)(uintptr_t)p->dn;
        rows[i].key_type = (Kyso__V1__KeyType)p->key_type;
        rc = enroll_reader(r->cli, p->seal_to, &rows[i].seal_to);
        list[i] = &rows[i];
    }
    message.citizens = list;
    message.n_citizens = b->count;
    op.op_case = KYSO__V1__OPERATION__OP_ENROLL_CITIZENS;
    op.enroll_citizens = &message;
    return rc == CLI_OK ? operator_start(r->cli, &op, &handler) : rc;
}

static int start(struct flight *f)
{
    size_t n = f->run->plan.batches[f->batch].count;
    Kyso__V1__EnrollCitizen *rows = calloc(n, sizeof *rows);
    Kyso__V1__EnrollCitizen **list = calloc(n, sizeof(Kyso__V1__EnrollCitizen *));
    int rc = rows != NULL && list != NULL ? send_people(f, rows, list)
                                          : cli_fail(f->run->cli, CLI_FAILED, NULL, "no memory");

    f->again_us = 0;
    for (size_t i = 0; rows != NULL && i < n; i++)
        free(rows[i].seal_to.data);
    free(list);
    free(rows);
    return rc;
}

/* --- all of them ------------------------------------------------------------------------------------------- */

static void show(struct run *r, bool last)
{
    uint64_t now_us = ky_now_us();
    double took_s = (double)(now_us - r->began_us + 1) / 1e6;
    double rate = (double)(r->people_done - r->people_before) / took_s;
    unsigned left_s =
        rate > 0 ? (unsigned)((double)(r->plan.people_count - r->people_done) / rate) : 0;

    if (r->cli->json || isatty(fileno(r->cli->err)) != 1 ||
        (!last && now_us - r->shown_us < SHOWN_US))
        return;
    r->shown_us = now_us;
    (void)fprintf(r->cli->err, "\r%zu of %zu people, %zu failed, %.0f/s, %u min %02u s left   %s",
                  r->people_done, r->plan.people_count, r->errors, rate, left_s / 60, left_s % 60,
                  last ? "\n" : "");
    (void)fflush(r->cli->err);
}

/* Whatever can go now: batches that were refused as BUSY, and the next that are not done. */
static void send_more(struct run *r)
{
    for (size_t i = 0; i < r->in_flight && r->rc == CLI_OK; i++) {
        struct flight *f = &r->flights[i];

        while (!f->used && r->next < r->plan.batch_count && enroll_is_done(r->dir, r->next))
            r->next++;
        if (!f->used && r->next < r->plan.batch_count) {
            *f = (struct flight){.run = r, .batch = r->next++, .used = true};
            r->flying++;
            r->rc = start(f);
        } else if (f->used && f->again_us != 0 && f->again_us <= ky_now_us()) {
            r->rc = start(f);
        }
    }
}

static void count_done(struct run *r)
{
    for (size_t i = 0; i < r->plan.batch_count; i++)
        if (enroll_is_done(r->dir, i))
            r->people_done += r->plan.batches[i].count;
    r->people_before = r->people_done;
}

static void run_all(struct run *r)
{
    r->began_us = ky_now_us();
    count_done(r);
    send_more(r);
    while (r->rc == CLI_OK && r->flying > 0) {
        if (!ky_ok(client_poll(&r->cli->operator_client, 1, 200)) && r->rc == CLI_OK)
            r->rc = cli_fail(r->cli, CLI_UNREACHABLE,
                             "repeat the same command: it goes on with what is missing",
                             "the connection is gone");
        show(r, false);
        send_more(r);
    }
    show(r, true);
    client_close(&r->cli->operator_client); /* what is still there ends now, and is asked for again */
}

static int finish(struct run *r)
{
    size_t failed = 0;
    int rc = enroll_write_errors(r->cli, r->dir, &r->plan, &failed);

    if (r->rc != CLI_OK || rc != CLI_OK)
        return r->rc != CLI_OK ? r->rc : rc;
    if (failed > 0)
        return cli_fail(r->cli, CLI_FAILED, "enrol these anew, mended, into another folder",
                        "%zu of %zu failed: %s/errors.csv says why", failed, r->plan.people_count,
                        r->dir);
    output_object(r->cli, json_pack("{s:s,s:I,s:s}", "message", "everybody is enrolled", "people",
                                    (json_int_t)r->plan.people_count, "folder", r->dir));
    return CLI_OK;
}

int cmd_credential_enroll(struct cli *cli)
{
    struct run *r = calloc(1, sizeof *r);
    int rc;

    if (r == NULL)
        return cli_fail(cli, CLI_FAILED, NULL, "no memory");
    if (cli_get(cli, "--propose") != NULL) {
        free(r);
        return cli_fail(cli, CLI_USAGE, "name both operators and their keys here",
                        "many operations are not proposed in one file");
    }
    r->cli = cli;
    r->dir = cli_get(cli, "--out");
    r->in_flight = cli_number(cli, "--in-flight", 12);
    if (r->in_flight == 0 || r->in_flight > IN_FLIGHT_MAX)
        r->in_flight = IN_FLIGHT_MAX;
    kyso__v1__enroll_citizens__init(&r->settings);
    r->settings.hash = (Kyso__V1__OtpHash)(cli_choice(cli, "--hash", 1) - 1);
    r->settings.digits = cli_number(cli, "--digits", 6);
    r->settings.max_hashes = cli_number(cli, "--max-hashes", 0);
    r->settings.n_relying_parties = cli_all(cli, "--relying-party", r->parties, CLI_LIST_MAX);
    r->settings.relying_parties = (char **)(uintptr_t)r->parties;
    rc = enroll_reader(cli, cli_get(cli, "--seal-to"), &r->settings.seal_to);
    if (rc == CLI_OK)
        rc = enroll_plan_load(cli, cli_get(cli, "--csv"), &r->plan);
    if (rc == CLI_OK)
        rc = enroll_folder_open(cli, r->dir, &r->plan);
    if (rc == CLI_OK) {
        run_all(r);
        rc = finish(r);
    }
    enroll_plan_free(&r->plan);
    free(r->settings.seal_to.data);
    free(r);
    return rc;
}
