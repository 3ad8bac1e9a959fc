/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs over the vault's workers. With one worker there are no threads at all: it works while the loop
 * thread asks for what has ended. With more, each has a thread, takes the oldest job as soon as it has
 * ended one, and a descriptor tells the loop thread that something waits for it. One lock, a leaf: no
 * job runs under it.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vault.h"

#define WHILE_US 2000u

struct job_list { /* first in, first out; borrowed jobs */
    struct hsm_job *first;
    struct hsm_job **tail;
};

struct hsm_pool {
    struct hsm_worker *workers; /* borrowed from the vault */
    uint32_t n;
    uint32_t started;   /* threads to join */
    pthread_t *threads; /* owned; n */
    int event;          /* owned; readable while `ended` is not empty. -1 without threads */
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct job_list waiting;
    struct job_list ended;
    bool stop;
};

struct starter {
    struct hsm_pool *pool;
    struct hsm_worker *worker;
};

static void list_clear(struct job_list *l)
{
    l->first = NULL;
    l->tail = &l->first;
}

static void list_put(struct job_list *l, struct hsm_job *job)
{
    job->next = NULL;
    *l->tail = job;
    l->tail = &job->next;
}

static struct hsm_job *list_take(struct job_list *l)
{
    struct hsm_job *job = l->first;

    if (job != NULL && (l->first = job->next) == NULL)
        l->tail = &l->first;
    return job;
}

/* Lock held. The loop thread is told once for all that it has not yet fetched. */
static void put_ended(struct hsm_pool *p, struct hsm_job *job)
{
    if (p->event >= 0 && p->ended.first == NULL)
        (void)eventfd_write(p->event, 1); /* refused only where the counter is full */
    list_put(&p->ended, job);
}

/* Lock held. Runs one job with the lock released; false when none is waiting. */
static bool run_one(struct hsm_pool *p, struct hsm_worker *w)
{
    struct hsm_job *job = list_take(&p->waiting);

    if (job == NULL)
        return false;
    (void)pthread_mutex_unlock(&p->lock);
    hsm_job_run(w, job);
    (void)pthread_mutex_lock(&p->lock);
    put_ended(p, job);
    return true;
}

/* Lock held. Without threads: long enough that a write for the results is nothing beside it. */
static void run_for_a_while(struct hsm_pool *p)
{
    uint64_t until_us = ky_now_us() + WHILE_US;

    while (!p->stop && run_one(p, &p->workers[0]) && ky_now_us() < until_us)
        ;
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
    bool ok = false;

    if (p == NULL)
        return NULL;
    p->workers = workers;
    p->n = n;
    p->event = n > 1 ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->work, NULL);
    list_clear(&p->waiting);
    list_clear(&p->ended);
    p->threads = calloc(n, sizeof(*p->threads));
    ok = p->threads != NULL && (n == 1 || p->event >= 0);
    for (uint32_t i = 0; ok && n > 1 && i < n; i++)
        ok = start_thread(p, i);
    if (!ok) {
        hsm_pool_free(p);
        return NULL;
    }
    return p;
}

uint32_t hsm_pool_threads(const struct hsm_pool *p)
{
    return p->n;
}

int hsm_pool_event(const struct hsm_pool *p)
{
    return p->event;
}

void hsm_pool_put(struct hsm_pool *p, struct hsm_job *job)
{
    (void)pthread_mutex_lock(&p->lock);
    list_put(&p->waiting, job);
    (void)pthread_cond_signal(&p->work);
    (void)pthread_mutex_unlock(&p->lock);
}

struct hsm_job *hsm_pool_take(struct hsm_pool *p)
{
    struct hsm_job *first = NULL;
    eventfd_t told = 0;

    (void)pthread_mutex_lock(&p->lock);
    if (p->n == 1)
        run_for_a_while(p);
    if (p->event >= 0)
        (void)eventfd_read(p->event, &told);
    first = p->ended.first;
    list_clear(&p->ended);
    (void)pthread_mutex_unlock(&p->lock);
    return first;
}

void hsm_pool_stop(struct hsm_pool *p)
{
    (void)pthread_mutex_lock(&p->lock);
    p->stop = true;
    (void)pthread_cond_broadcast(&p->work);
    (void)pthread_mutex_unlock(&p->lock);
    while (p->started > 0)
        (void)pthread_join(p->threads[--p->started], NULL);
}

void hsm_pool_free(struct hsm_pool *p)
{
    if (p == NULL)
        return;
    hsm_pool_stop(p);
    (void)pthread_cond_destroy(&p->work);
    (void)pthread_mutex_destroy(&p->lock);
    if (p->event >= 0)
        (void)close(p->event);
    free(p->threads);
    free(p);
}
