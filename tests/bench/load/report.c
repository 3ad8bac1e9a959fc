/* SPDX-License-Identifier: Apache-2.0 */
/* README.md defines each member. */
#include "report.h"

#include <stdio.h>

#include <jansson.h>

#define DEADLINE_EXCEEDED 4

static const char *const grpc_names[GRPC_STATUSES] = {
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    [DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
};

static json_t *rounded(double v, double unit)
{
    return json_real((double)(long long)(v / unit + 0.5) * unit);
}

static json_t *by_status(const uint64_t counts[GRPC_STATUSES])
{
    json_t *o = json_object();

    for (unsigned i = 0; i < GRPC_STATUSES; i++)
        if (counts[i] > 0)
            (void)json_object_set_new(o, grpc_names[i], json_integer((json_int_t)counts[i]));
    return o;
}

static json_t *errors_by_status(const struct tally *t)
{
    json_t *o = by_status(t->errors);

    if (t->bad_replies > 0)
        (void)json_object_set_new(o, "bad_reply", json_integer((json_int_t)t->bad_replies));
    if (t->lost > 0)
        (void)json_object_set_new(o, "lost", json_integer((json_int_t)t->lost));
    return o;
}

static json_t *cpu_by_role(const struct tally *t)
{
    json_t *o = json_object();

    for (unsigned i = 0; i < t->after.count && t->signatures > 0; i++) {
        const char *name = t->after.role[i].name;
        double us = (double)roles_used_us(&t->before, &t->after, name) / (double)t->signatures;

        if (us >= 0.005)
            (void)json_object_set_new(o, name, rounded(us, 0.01));
    }
    return o;
}

/* What the server counted itself. */
static void add_server(json_t *o, const struct tally *t)
{
    uint64_t turns = t->after.turns - t->before.turns;
    uint64_t commit_us = t->after.commit_us - t->before.commit_us;

    if (!t->before.has_server || !t->after.has_server)
        return;
    if (t->signatures > 0)
        (void)json_object_set_new(o, "fsyncs_per_sig",
                                  rounded((double)turns / (double)t->signatures, 0.00001));
    if (turns > 0)
        (void)json_object_set_new(o, "commit_ms",
                                  rounded((double)commit_us / (double)turns / 1e3, 0.001));
    (void)json_object_set_new(
        o, "released", json_integer((json_int_t)(t->after.signatures - t->before.signatures)));
    (void)json_object_set_new(
        o, "vault_restarts",
        json_integer((json_int_t)(t->after.vault_restarts - t->before.vault_restarts)));
}

static void add_deadlines(json_t *o, const struct tally *t)
{
    const struct histogram *h = &t->refusal;

    (void)json_object_set_new(o, "refused", json_integer((json_int_t)h->count));
    (void)json_object_set_new(o, "expired",
                              json_integer((json_int_t)t->refused[DEADLINE_EXCEEDED]));
    (void)json_object_set_new(o, "refused_by_status", by_status(t->refused));
    if (h->count > 0) {
        (void)json_object_set_new(o, "refusal_p50_ms",
                                  rounded((double)histogram_at(h, 0.5) / 1e3, 0.001));
        (void)json_object_set_new(o, "refusal_p99_ms",
                                  rounded((double)histogram_at(h, 0.99) / 1e3, 0.001));
        (void)json_object_set_new(o, "refusal_max_ms", rounded((double)h->max_us / 1e3, 0.001));
    }
    (void)json_object_set_new(o, "past_deadline", json_integer((json_int_t)t->past_deadline));
    (void)json_object_set_new(o, "past_deadline_50ms", json_integer((json_int_t)t->well_past));
    (void)json_object_set_new(o, "past_deadline_max_ms",
                              rounded((double)t->past_max_us / 1e3, 0.001));
}

bool report(const struct load *load, const struct tally *t, size_t verified, size_t bad)
{
    const struct histogram *h = &t->latency;
    json_t *o = json_object();
    bool ok;

    (void)json_object_set_new(
        o, "per_s", rounded(t->seconds > 0 ? (double)t->signatures / t->seconds : 0, 0.1));
    (void)json_object_set_new(o, "signatures", json_integer((json_int_t)t->signatures));
    (void)json_object_set_new(o, "requests", json_integer((json_int_t)t->requests));
    (void)json_object_set_new(o, "seconds", rounded(t->seconds, 0.001));
    (void)json_object_set_new(o, "in_flight", json_integer(load->options.in_flight));
    (void)json_object_set_new(o, "p50_ms", rounded((double)histogram_at(h, 0.50) / 1e3, 0.001));
    (void)json_object_set_new(o, "p99_ms", rounded((double)histogram_at(h, 0.99) / 1e3, 0.001));
    (void)json_object_set_new(o, "p999_ms", rounded((double)histogram_at(h, 0.999) / 1e3, 0.001));
    (void)json_object_set_new(o, "max_ms", rounded((double)h->max_us / 1e3, 0.001));
    (void)json_object_set_new(o, "errors", json_integer((json_int_t)(tally_errors(t) + bad)));
    (void)json_object_set_new(o, "errors_by_status", errors_by_status(t));
    if (t->last_error[0] != '\0')
        (void)json_object_set_new(o, "last_error", json_string(t->last_error));
    (void)json_object_set_new(o, "verified", json_integer((json_int_t)verified));
    (void)json_object_set_new(o, "not_verified", json_integer((json_int_t)bad));
    (void)json_object_set_new(o, "cpu_us_per_sig", cpu_by_role(t));
    add_server(o, t);
    if (load->options.rate > 0) {
        (void)json_object_set_new(o, "offered_per_s", json_real(load->options.rate));
        (void)json_object_set_new(o, "unsent", json_integer((json_int_t)t->unsent));
        (void)json_object_set_new(o, "backlog_max", json_integer((json_int_t)t->backlog_max));
    }
    if (load->options.deadline_ms > 0)
        add_deadlines(o, t);
    if (t->after_seconds > 0)
        (void)json_object_set_new(o, "after_per_s",
                                  rounded((double)t->after_signatures / t->after_seconds, 0.1));
    (void)json_object_set_new(o, "exhausted", json_boolean(t->exhausted));
    ok = json_dumpf(o, stdout, JSON_REAL_PRECISION(8)) == 0 && fputc('\n', stdout) != EOF &&
         fflush(stdout) == 0;
    json_decref(o);
    return ok;
}
