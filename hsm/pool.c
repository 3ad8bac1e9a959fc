/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A group of jobs over the vault's workers. The loop thread is worker 0 and takes
 * its share; with one worker there are no threads at all. Jobs are handed out one
 * by one, so a slow one holds up nobody but its own thread until the group ends.
 */
#include <pthread.h>
#include <stdlib.h>

#include "vault.h"

struct hsm_pool {
    struct hsm_worker *workers; /* borrowed from the vault */
    uint32_t n;
    uint32_t started;   /* threads to join */
    pthread_t *threads; /* owned; n - 1 */
    pthread_mutex_t lock;
    pthread_cond_t work;
    pthread_cond_t finished;
    struct hsm_job *jobs; /* borrowed while hsm_pool_run runs */
    size_t count;
    size_t next;
    size_t done;
    bool stop;
};

struct starter {
    struct hsm_pool *pool;
    struct hsm_worker *worker;
};

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
    if (++p->done == p->count)
        (void)pthread_cond_signal(&p->finished);
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
    if (pthread_create(&p->threads[i - 1], NULL, worker_main, s) != 0) {
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
    for (uint32_t i = 1; p->threads != NULL && i < n; i++) {
        if (!start_thread(p, i))
            break;
    }
    if (p->threads == NULL || p->started + 1 != n) {
        hsm_pool_free(p);
        return NULL;
    }
    return p;
}

void hsm_pool_run(struct hsm_pool *p, struct hsm_job *jobs, size_t count)
{
    if (p->n == 1) {
        for (size_t i = 0; i < count; i++)
            hsm_job_run(&p->workers[0], &jobs[i]);
        return;
    }
    (void)pthread_mutex_lock(&p->lock);
    p->jobs = jobs;
    p->count = count;
    p->next = 0;
    p->done = 0;
    (void)pthread_cond_broadcast(&p->work);
    while (run_one(p, &p->workers[0]))
        ;
    while (p->done < p->count)
        (void)pthread_cond_wait(&p->finished, &p->lock);
    p->count = 0;
    p->next = 0;
    (void)pthread_mutex_unlock(&p->lock);
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
