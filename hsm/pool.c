/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A group of jobs over the vault's workers. With one worker there are no threads at
 * all; with more, each has a thread and the loop thread only passes on what has ended.
 * Jobs are handed out one by one, so a slow one holds up nobody but its own thread
 * until the group ends.
 */
#include <pthread.h>
#include <stdlib.h>

#include "vault.h"

struct hsm_pool {
    struct hsm_worker *workers; /* borrowed from the vault */
    uint32_t n;
    uint32_t started;   /* threads to join */
    pthread_t *threads; /* owned; n */
    pthread_mutex_t lock;
    pthread_cond_t work;
    pthread_cond_t finished;
    struct hsm_job *jobs; /* borrowed from hsm_pool_start until the group's end */
    size_t count;
    size_t next;           /* handed out */
    size_t given;          /* by hsm_pool_wait */
    struct hsm_job *ended; /* not yet given; borrowed */
    struct hsm_job **tail; /* of ended */
    bool stop;
};

struct starter {
    struct hsm_pool *pool;
    struct hsm_worker *worker;
};

/* Lock held. Behind the others, so that the oldest leaves first. */
static void put_ended(struct hsm_pool *p, struct hsm_job *job)
{
    job->next = NULL;
    *p->tail = job;
    p->tail = &job->next;
}

/* Lock held. Runs one job with the lock released; false when none is left to take. */
static bool run_one(struct hsm_pool *p, struct hsm_worker *w)
{
    struct hsm_job *job = NULL;

    if (p->next >= p->count)
        return false;
    job = &p->jobs[p->next++];
    (void)pthread_mutex_unlock(&p->lock);
    hsm_job_run(w, job);
    (void)pthread_mutex_lock(&p->lock);
    if (p->ended == NULL)
        (void)pthread_cond_signal(&p->finished);
    put_ended(p, job);
    return true;
}

static void *worker_main(void *arg)
{
    struct starter s = *(struct starter *)arg;
    struct hsm_pool *p = s.pool;

    free(arg);
    (void)pthread_mutex_lock(&p->lock);
    while (!p->stop) {
        if (!run_one(p, s.worker))
            (void)pthread_cond_wait(&p->work, &p->lock);
    }
    (void)pthread_mutex_unlock(&p->lock);
    return NULL;
}

static bool start_thread(struct hsm_pool *p, uint32_t i)
{
    struct starter *s = malloc(sizeof(*s));

    if (s == NULL)
        return false;
    *s = (struct starter){.pool = p, .worker = &p->workers[i]};
    if (pthread_create(&p->threads[i], NULL, worker_main, s) != 0) {
        free(s);
        return false;
    }
    p->started++;
    return true;
}

struct hsm_pool *hsm_pool_new(struct hsm_worker *workers, uint32_t n)
{
    struct hsm_pool *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return NULL;
    p->workers = workers;
    p->n = n;
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->work, NULL);
    (void)pthread_cond_init(&p->finished, NULL);
    p->threads = calloc(n, sizeof(*p->threads));
    p->tail = &p->ended;
    for (uint32_t i = 0; p->threads != NULL && n > 1 && i < n; i++) {
        if (!start_thread(p, i))
            break;
    }
    if (p->threads == NULL || (n > 1 && p->started != n)) {
        hsm_pool_free(p);
        return NULL;
    }
    return p;
}

uint32_t hsm_pool_threads(const struct hsm_pool *p)
{
    return p->n;
}

void hsm_pool_start(struct hsm_pool *p, struct hsm_job *jobs, size_t count)
{
    (void)pthread_mutex_lock(&p->lock);
    p->jobs = jobs;
    p->count = count;
    p->next = 0;
    p->given = 0;
    (void)pthread_cond_broadcast(&p->work);
    (void)pthread_mutex_unlock(&p->lock);
}

/* Lock held. Takes the whole list. */
static struct hsm_job *take_ended(struct hsm_pool *p)
{
    struct hsm_job *first = p->ended;

    for (const struct hsm_job *job = first; job != NULL; job = job->next)
        p->given++;
    p->ended = NULL;
    p->tail = &p->ended;
    return first;
}

struct hsm_job *hsm_pool_wait(struct hsm_pool *p)
{
    struct hsm_job *first = NULL;

    (void)pthread_mutex_lock(&p->lock);
    while (p->n == 1 && run_one(p, &p->workers[0]))
        ;
    while (p->ended == NULL && p->given < p->count)
        (void)pthread_cond_wait(&p->finished, &p->lock);
    first = take_ended(p);
    (void)pthread_mutex_unlock(&p->lock);
    return first;
}

void hsm_pool_free(struct hsm_pool *p)
{
    if (p == NULL)
        return;
    (void)pthread_mutex_lock(&p->lock);
    p->stop = true;
    (void)pthread_cond_broadcast(&p->work);
    (void)pthread_mutex_unlock(&p->lock);
    for (uint32_t i = 0; i < p->started; i++)
        (void)pthread_join(p->threads[i], NULL);
    (void)pthread_cond_destroy(&p->finished);
    (void)pthread_cond_destroy(&p->work);
    (void)pthread_mutex_destroy(&p->lock);
    free(p->threads);
    free(p);
}
