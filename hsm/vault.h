/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the vault's parts share: one hsm_vault per process, one hsm_worker per
 * thread. Everything in hsm_vault is fixed before the first job but the cache and
 * the map of residents, which lock themselves, the counter, and that the keys are outdated.
 */
#ifndef HSM_VAULT_H
#define HSM_VAULT_H

#include <stdatomic.h>

#include "cache.h"
#include "keys.h"
#include "kyso/job.h"
#include "kyso/record.h"
#include "resident.h"
#include "verify.h"

struct hsm_vault {
    const struct hsm_config *config; /* borrowed from main */
    struct hsm_module module;
    struct hsm_caps caps;
    struct hsm_keys keys;
    struct hsm_cache *cache;         /* owned */
    struct hsm_residents *residents; /* owned */
    atomic_uint_fast64_t unwraps;
};

struct hsm_worker {          /* one thread's own */
    struct hsm_vault *vault; /* borrowed from hsm_vault_run */
    struct hsm_session session;
    struct hsm_verifier verifier;
};

union hsm_job_in {
    struct job_plain head; /* every job begins with generation and attempt */
    struct job_sign sign;
    struct job_generate generate;
    struct job_derive derive;
    struct job_key_ref key_ref;
    struct job_anchor anchor;
    struct job_generate_many generate_many;
    struct job_sign_each sign_each;
};
union hsm_job_out {
    struct job_r_sign sign;
    struct job_r_generate generate;
    struct job_r_bytes bytes;
    struct job_r_done done;
    struct job_r_info info;
    struct job_r_list list;
};

struct hsm_job {
    uint16_t type;
    uint64_t tag;
    uint64_t deadline_us;
    union hsm_job_in in;           /* spans borrowed from the record, or from payload */
    union hsm_job_out out;         /* spans borrowed from bytes */
    const struct ky_schema *reply; /* NULL: no reply */
    struct ky_status status;
    struct ky_buf bytes;   /* owned; reused from job to job */
    struct ky_buf payload; /* owned, reused: the record's, where the job outlives the record */
    struct hsm_job *next;  /* of the list that it is in; borrowed as the job is */
};

/*
 * Decodes a record into a job; keep: the job has its own copy and outlives the record. What cannot
 * be decoded becomes a job that fails with KY_INVALID. Loop thread.
 */
void hsm_job_init(struct hsm_job *job, const struct ky_record *record, bool keep);
void hsm_job_wipe(struct hsm_job *job); /* frees what it owns */
const char *hsm_job_name(const struct hsm_job *job);
/*
 * Runs it with its retries and sets out, reply and status. job->status KY_TOKEN_MODULE or
 * KY_TOKEN_LOGIN: the vault can serve no more. The worker's thread.
 */
void hsm_job_run(struct hsm_worker *w, struct hsm_job *job);

/*
 * The parts that one file each implements. All: the worker's thread, out and reply set on success.
 */
KY_MUST_CHECK struct ky_status hsm_job_sign(struct hsm_worker *w, struct hsm_job *job);
KY_MUST_CHECK struct ky_status hsm_job_generate(struct hsm_worker *w, struct hsm_job *job);
KY_MUST_CHECK struct ky_status hsm_job_generate_many(struct hsm_worker *w, struct hsm_job *job);
KY_MUST_CHECK struct ky_status hsm_job_sign_each(struct hsm_worker *w, struct hsm_job *job);
KY_MUST_CHECK struct ky_status hsm_job_anchor_write(struct hsm_worker *w, struct hsm_job *job);
KY_MUST_CHECK struct ky_status hsm_job_anchor_read(struct hsm_worker *w, struct hsm_job *job);

/*
 * Signs and verifies something random: the private key is the public key's, and the token means what it says. The worker's
 * thread. Errors: KY_TOKEN_*, KY_INVALID.
 */
KY_MUST_CHECK struct ky_status hsm_pairwise_test(struct hsm_worker *w, uint8_t key_type,
                                                 CK_OBJECT_HANDLE key, struct ky_span spki);

/*
 * n workers, a thread each; a single one has none and works in hsm_pool_take. NULL: out of memory,
 * descriptors or threads. Everything but the jobs themselves: loop thread.
 */
struct hsm_pool;
struct hsm_pool *hsm_pool_new(struct hsm_worker *workers, uint32_t n);
uint32_t hsm_pool_threads(const struct hsm_pool *p);
/* Readable while hsm_pool_take has something to give; -1 when there are no threads. */
int hsm_pool_event(const struct hsm_pool *p);
/* Lends a job, in the order of arrival, until hsm_pool_take or hsm_pool_stop gives it back. */
void hsm_pool_put(struct hsm_pool *p, struct hsm_job *job);
/*
 * Jobs that have ended since the last call, linked by next, or NULL. Does not wait for threads;
 * without threads it first runs what was put, for about two milliseconds, unless stopped.
 */
struct hsm_job *hsm_pool_take(struct hsm_pool *p);
/*
 * Ends the threads after the jobs that they are running; those that wait are not run. No job is lent
 * afterwards, and none may be put.
 */
void hsm_pool_stop(struct hsm_pool *p);
void hsm_pool_free(struct hsm_pool *p);

#endif
