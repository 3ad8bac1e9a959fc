/* SPDX-License-Identifier: Apache-2.0 */
/*
 * poll, one read, every whole record in groups, one write for what ends together. A
 * group is bounded by the signatures it asks for, so that the first results leave while
 * the rest of a long batch is signed. New input is not read while output waits.
 */
#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * A group ends when its slowest thread does: with threads it holds several turns of each, or they
 * would mostly wait.
 */
enum { GROUP_JOBS = 64, GROUP_TURNS = 8, GROUP_WEIGHT = 128, OUT_MAX = 1024 * 1024 };

struct loop {
    struct hsm_vault *vault; /* borrowed */
    struct hsm_pool *pool;   /* borrowed */
    struct ky_channel channel;
    struct hsm_job *jobs; /* owned; group_jobs */
    size_t group_jobs;
    bool draining;
    bool ended; /* a peer is gone */
    bool worn;  /* CONTROL_WORN is said */
    int exit;   /* enum hsm_exit */
};

void hsm_log(const struct hsm_config *config, const char *event, const char *detail, uint32_t cause)
{
    if (config->log != NULL)
        config->log(config->log_ctx, event, detail, cause);
}

/* Waits for the channel to take everything: only where more output would not fit. */
static void flush_all(struct loop *l)
{
    struct pollfd p = {.fd = l->channel.fd, .events = POLLOUT};
    struct ky_status st = ky_channel_flush(&l->channel);

    while (ky_ok(st) && ky_channel_has_output(&l->channel)) {
        if (poll(&p, 1, -1) < 0 && errno != EINTR)
            break;
        st = ky_channel_flush(&l->channel);
    }
    if (!ky_ok(st))
        l->ended = true;
}

static void report(struct loop *l, const struct hsm_job *job)
{
    char detail[96];

    if (ky_ok(job->status) || job->status.code == KY_DEADLINE)
        return;
    (void)snprintf(detail, sizeof(detail), "%s %s", hsm_job_name(job),
                   ky_code_info(job->status.code)->name);
    hsm_log(l->vault->config,
            job->status.code == KY_TOKEN_WRONG_SIGNATURE ? "signature-withheld" : "job-failed",
            detail, job->status.cause);
    if (job->status.code == KY_TOKEN_MODULE || job->status.code == KY_TOKEN_LOGIN) {
        l->ended = true;
        l->exit = job->status.code == KY_TOKEN_MODULE ? HSM_EXIT_MODULE : HSM_EXIT_LOGIN;
    }
}

static void send_reply(struct loop *l, struct hsm_job *job)
{
    struct ky_status st = KY_STATUS(KY_OK);

    if (job->reply == NULL)
        return;
    st = ky_channel_send(&l->channel, job->reply, &job->out, job->tag, 0);
    if (st.code == KY_BUSY) {
        flush_all(l);
        if (l->ended)
            return;
        st = ky_channel_send(&l->channel, job->reply, &job->out, job->tag, 0);
    }
    if (!ky_ok(st)) {
        l->ended = true;
        l->exit = HSM_EXIT_CHANNEL;
    }
}

/*
 * A token that leaks is left behind in good time: the supervisor starts another vault, then this
 * one's channel ends.
 */
static void say_when_worn(struct loop *l)
{
    const struct control_msg worn = {.type = CONTROL_WORN};
    struct hsm_vault *v = l->vault;
    uint64_t limit = v->config->recycle_after;

    if (limit == 0 || l->worn || atomic_load_explicit(&v->unwraps, memory_order_relaxed) < limit)
        return;
    l->worn = ky_ok(control_send(KY_CONTROL_FD, &worn, -1));
}

/* One write for what ended together. */
static void send_ended(struct loop *l, struct hsm_job *first)
{
    bool secret = false;

    for (struct hsm_job *job = first; job != NULL; job = job->next) {
        send_reply(l, job);
        report(l, job);
        if (job->type == JOB_DERIVE) {
            secret = true;
            ky_wipe(job->bytes.data, job->bytes.len);
        }
    }
    if (secret) { /* a derived key does not stay behind in the output buffer */
        flush_all(l);
        ky_wipe(l->channel.out.data, l->channel.out.cap);
    } else if (ky_channel_has_output(&l->channel) && !ky_ok(ky_channel_flush(&l->channel))) {
        l->ended = true;
    }
}

static void run_group(struct loop *l, size_t count)
{
    struct hsm_job *ended = NULL;

    hsm_pool_start(l->pool, l->jobs, count);
    while ((ended = hsm_pool_wait(l->pool)) != NULL)
        send_ended(l, ended);
    say_when_worn(l);
}

/* Every whole record that was read. */
static void run_records(struct loop *l)
{
    struct ky_record record;
    struct ky_status st = KY_STATUS(KY_OK);
    bool more = true;

    while (more && l->exit == HSM_EXIT_OK) {
        size_t count = 0;
        uint32_t weight = 0;

        while (count < l->group_jobs && weight < l->group_jobs * GROUP_WEIGHT / GROUP_JOBS &&
               (more = ky_channel_next(&l->channel, &record, &st))) {
            hsm_job_init(&l->jobs[count], &record);
            weight += hsm_job_weight(&l->jobs[count++]);
        }
        if (count > 0)
            run_group(l, count);
    }
    if (!ky_ok(st)) {
        l->ended = true;
        l->exit = HSM_EXIT_CHANNEL;
    }
}

static void read_control(struct loop *l)
{
    for (;;) {
        struct control_msg m;
        int fd = -1;
        struct ky_status st = control_recv(KY_CONTROL_FD, &m, &fd);

        if (fd >= 0)
            (void)close(fd);
        if (st.code == KY_BUSY)
            return;
        if (!ky_ok(st)) {
            l->draining = true; /* no supervisor: finish what is here and go */
            return;
        }
        if (m.type == CONTROL_DRAIN)
            l->draining = true;
    }
}

static void read_channel(struct loop *l)
{
    if (!ky_ok(ky_channel_read(&l->channel)))
        l->ended = true;
    run_records(l);
}

/* What has already arrived, and nothing after it. */
static void drain(struct loop *l)
{
    struct pollfd p = {.fd = l->channel.fd, .events = POLLIN};

    while (!l->ended && poll(&p, 1, 0) == 1)
        read_channel(l);
    if (ky_channel_has_output(&l->channel) && l->exit != HSM_EXIT_CHANNEL)
        flush_all(l);
}

int hsm_loop_run(struct hsm_vault *v, struct hsm_pool *pool)
{
    struct loop l = {.vault = v, .pool = pool, .exit = HSM_EXIT_OK};

    l.group_jobs = hsm_pool_threads(pool) * (size_t)GROUP_TURNS;
    if (l.group_jobs < GROUP_JOBS)
        l.group_jobs = GROUP_JOBS;
    l.jobs = calloc(l.group_jobs, sizeof(*l.jobs));
    if (l.jobs == NULL || fcntl(KY_CHANNEL_FD, F_SETFL, O_NONBLOCK) != 0 ||
        fcntl(KY_CONTROL_FD, F_SETFL, O_NONBLOCK) != 0) {
        free(l.jobs);
        return HSM_EXIT_START;
    }
    ky_channel_init(&l.channel, KY_CHANNEL_FD, OUT_MAX);
    while (!l.ended && !l.draining) {
        struct pollfd p[2] = {
            {.fd = KY_CHANNEL_FD, .events = ky_channel_has_output(&l.channel) ? POLLOUT : POLLIN},
            {.fd = KY_CONTROL_FD, .events = POLLIN},
        };

        if (poll(p, 2, -1) < 0)
            continue; /* EINTR is all there can be */
        if (p[1].revents != 0)
            read_control(&l);
        if (p[0].revents & POLLOUT)
            l.ended = l.ended || !ky_ok(ky_channel_flush(&l.channel));
        if (p[0].revents & ~POLLOUT) /* input, or an end that a read will name */
            read_channel(&l);
    }
    drain(&l);
    for (size_t i = 0; i < l.group_jobs; i++)
        ky_buf_free(&l.jobs[i].bytes);
    free(l.jobs);
    ky_channel_wipe(&l.channel);
    return l.exit;
}
