/* SPDX-License-Identifier: Apache-2.0 */
/*
 * poll, one read, every whole record made a job, one write for what has ended together. Without
 * threads jobs are run here, for a while at a time, so that the first results leave while the rest
 * of a long batch is signed. With threads nothing here waits for a job:
 * records are taken while there are jobs to put them in, and results leave as they come. New input
 * is not read while output waits.
 */
#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * Jobs at hand: with threads some turns of each, so that none waits for the channel. More would only
 * wait here instead of with the authority, which could give them to another vault.
 */
enum { GROUP_JOBS = 64, TURNS = 8, OUT_MAX = 1024 * 1024 };

struct loop {
    struct hsm_vault *vault; /* borrowed */
    struct hsm_pool *pool;   /* borrowed */
    struct ky_channel channel;
    struct hsm_job *jobs; /* owned; job_count */
    size_t job_count;
    struct hsm_job *idle; /* of jobs, linked by next; the others are with the pool */
    size_t busy;          /* with the pool */
    bool threads;
    bool untaken; /* a whole record may wait in the channel */
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
 * A token that leaks is left behind in good time, and a vault that does not know the newest KEK: the supervisor starts
 * another vault, then this one's channel ends.
 */
static void say_when_worn(struct loop *l)
{
    const struct control_msg worn = {.type = CONTROL_WORN};
    struct hsm_vault *v = l->vault;
    uint64_t limit = v->config->recycle_after;

    bool is_worn = limit != 0 && atomic_load_explicit(&v->unwraps, memory_order_relaxed) >= limit;

    if (l->worn || !(is_worn || atomic_load_explicit(&v->keys.outdated, memory_order_relaxed)))
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

static void idle_put(struct loop *l, struct hsm_job *job)
{
    job->next = l->idle;
    l->idle = job;
}

/* Everything that has ended leaves, and its jobs are free for others. */
static void collect(struct loop *l)
{
    struct hsm_job *job = hsm_pool_take(l->pool);

    send_ended(l, job);
    while (job != NULL) {
        struct hsm_job *next = job->next;

        idle_put(l, job);
        l->busy--;
        job = next;
    }
    say_when_worn(l);
}

/* Every whole record that was read, as far as there are jobs for them. */
static void take_records(struct loop *l)
{
    struct ky_record record;
    struct ky_status st = KY_STATUS(KY_OK);

    l->untaken = true;
    while (l->untaken && l->exit == HSM_EXIT_OK && l->idle != NULL) {
        while (l->idle != NULL && (l->untaken = ky_channel_next(&l->channel, &record, &st))) {
            struct hsm_job *job = l->idle;

            l->idle = job->next;
            l->busy++;
            hsm_job_init(job, &record, l->threads);
            hsm_pool_put(l->pool, job);
        }
        while (!l->threads && l->busy > 0 && l->exit == HSM_EXIT_OK)
            collect(l);
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
    take_records(l);
}

/* Until threads have ended one more job. */
static void wait_for_one(struct loop *l)
{
    struct pollfd p = {.fd = hsm_pool_event(l->pool), .events = POLLIN};

    (void)poll(&p, 1, -1);
    collect(l);
    if (l->untaken)
        take_records(l);
}

/* What has ended leaves, unless nobody is there to take it. */
static void send_rest(struct loop *l)
{
    collect(l);
    if (ky_channel_has_output(&l->channel) && l->exit != HSM_EXIT_CHANNEL)
        flush_all(l);
}

/*
 * What has already arrived, read or not, and nothing after it. A failed module or channel ends it at
 * once: what threads still run then is for send_rest, when they have ended.
 */
static void drain(struct loop *l)
{
    struct pollfd p = {.fd = l->channel.fd, .events = POLLIN};

    do {
        if (l->untaken && !l->ended)
            take_records(l);
        while (l->busy > 0 && l->exit == HSM_EXIT_OK)
            wait_for_one(l);
        if (l->ended || poll(&p, 1, 0) != 1)
            break;
        read_channel(l);
    } while (l->exit == HSM_EXIT_OK);
    send_rest(l);
}

static bool jobs_new(struct loop *l)
{
    l->threads = hsm_pool_event(l->pool) >= 0;
    l->job_count = hsm_pool_threads(l->pool) * (size_t)TURNS;
    if (l->job_count < GROUP_JOBS)
        l->job_count = GROUP_JOBS;
    l->jobs = calloc(l->job_count, sizeof(*l->jobs));
    for (size_t i = 0; l->jobs != NULL && i < l->job_count; i++)
        idle_put(l, &l->jobs[i]);
    return l->jobs != NULL;
}

/* Waits for something to do, and does it. */
static void turn(struct loop *l)
{
    bool output = ky_channel_has_output(&l->channel);
    struct pollfd p[3] = {
        {.fd = KY_CHANNEL_FD,
         .events = output            ? POLLOUT
                   : l->idle != NULL ? POLLIN
                                     : 0},
        {.fd = KY_CONTROL_FD, .events = POLLIN},
        {.fd = hsm_pool_event(l->pool), .events = POLLIN},
    };

    if (poll(p, 3, -1) < 0)
        return; /* EINTR is all there can be */
    if (p[1].revents != 0)
        read_control(l);
    if (p[0].revents & POLLOUT)
        l->ended = l->ended || !ky_ok(ky_channel_flush(&l->channel));
    if (p[2].revents != 0)
        collect(l);
    if (p[0].revents & ~POLLOUT) /* input, or an end that a read will name */
        read_channel(l);
    else if (l->untaken && !ky_channel_has_output(&l->channel))
        take_records(l);
}

int hsm_loop_run(struct hsm_vault *v, struct hsm_pool *pool)
{
    struct loop l = {.vault = v, .pool = pool, .exit = HSM_EXIT_OK};

    if (!jobs_new(&l) || fcntl(KY_CHANNEL_FD, F_SETFL, O_NONBLOCK) != 0 ||
        fcntl(KY_CONTROL_FD, F_SETFL, O_NONBLOCK) != 0) {
        free(l.jobs);
        return HSM_EXIT_START;
    }
    ky_channel_init(&l.channel, KY_CHANNEL_FD, OUT_MAX);
    while (!l.ended && !l.draining)
        turn(&l);
    drain(&l);
    hsm_pool_stop(l.pool); /* no thread has one of the jobs from here on */
    send_rest(&l);         /* what they were running when a module failed need not run again */
    for (size_t i = 0; i < l.job_count; i++)
        hsm_job_wipe(&l.jobs[i]);
    free(l.jobs);
    ky_channel_wipe(&l.channel);
    return l.exit;
}
