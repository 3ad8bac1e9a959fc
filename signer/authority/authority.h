/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The authority from the inside: what its files share. One thread.
 *
 * A turn: drain every ready channel; settle finished jobs; decide waiting requests; commit once; only then
 * flush jobs to vaults and replies to fronts. Replies and jobs are queued in the channels' buffers
 * during the turn and nothing is written to a descriptor before store_commit has succeeded, so that
 * no outcome is seen before it is durable.
 *
 * State is the fold of the ledger: authority_append() stages a record and applies it with state_apply(), the same
 * function that replays the tail at start. Decisions read state; only state_apply() changes it.
 */
#ifndef KYSO_AUTHORITY_H
#define KYSO_AUTHORITY_H

#include "kyso/control.h"
#include "kyso/door.h"
#include "kyso/job.h"
#include "kyso/policy.h"
#include "kyso/record.h"

#include "config.h"
#include "log.h"
#include "store.h"

struct authority; /* authority_private.h */
struct peer;      /* a front or a vault: a channel, its door or index, its generation */

struct request { /* one record of a front, while it is being decided */
    uint8_t door;
    struct peer *from;  /* borrowed for the turn */
    uint32_t from_generation;
    uint64_t tag;
    uint64_t deadline_us;
    uint16_t type;
};

/* Where an answer goes when it comes later than the turn that took the request; the front may be gone by then. */
struct reply_to {
    uint8_t door;
    uint32_t front_index;
    uint32_t front_generation;
    uint64_t tag;
    uint64_t deadline_us;
};

uint64_t authority_now_s(const struct authority *a);  /* the turn's wall time: one value for all its decisions */
uint64_t authority_now_us(const struct authority *a); /* the same, microseconds, for ledger records */
struct store *authority_store(struct authority *a);
const struct config *authority_config(const struct authority *a);
const struct ky_secret *authority_seed_key(const struct authority *a); /* seed-enc */
const struct ky_secret *authority_state_key(const struct authority *a);
struct ky_span authority_server_id(const struct authority *a);
bool authority_is_demo(const struct authority *a);
const struct job_r_info *authority_token_info(const struct authority *a);

/* Stages a record and applies it. A failure seals the node: the caller only has to stop. */
KY_MUST_CHECK struct ky_status authority_append(struct authority *a, const struct ky_schema *schema, const void *msg,
                                                struct ky_span private_data, uint64_t *out_index);

struct reply_to request_reply_to(const struct request *r);
void authority_reply(struct authority *a, const struct reply_to *to, const struct ky_schema *schema, const void *msg);
/* code may be a precise one: the wire code is sent. retry_after_ms 0 = none. */
void authority_refuse(struct authority *a, const struct reply_to *to, enum ky_code code, uint32_t retry_after_ms);

/* --- jobs ----------------------------------------------------------------------------------------------- */

enum job_for { /* which continuation settles it (table in dispatch.c) */
    JOB_FOR_SIGN,       /* sign.c: receipt and reply */
    JOB_FOR_CREDENTIAL, /* operate.c: the key of a new credential */
    JOB_FOR_CSR,        /* operate.c */
    JOB_FOR_DESTROY,    /* operate.c */
    JOB_FOR_CHECKPOINT, /* ledger.c */
    JOB_FOR_ANCHOR,     /* ledger.c */
    JOB_FOR_COUNT
};

struct job {
    uint64_t id;        /* the record's tag */
    uint8_t for_what;   /* enum job_for */
    uint64_t intent;    /* ledger index, 0 when the job signs nothing of a citizen's */
    struct reply_to to;
    const struct ky_schema *schema; /* of the payload's message */
    uint32_t key_row;   /* affinity and revocation; 0 = none */
    uint32_t key_epoch;
    void *context;      /* owned; released with free() after the continuation has run */
};

/*
 * Queues a job for after the commit. msg is copied (encoded); generation and attempt are filled by the dispatcher. The dispatcher owns
 * the job until its continuation has been called exactly once: with a result, or with KY_DEADLINE, KY_UNAVAILABLE or a token code.
 * Errors: KY_BUSY when the queue is full (the job was not taken; context stays the caller's).
 */
KY_MUST_CHECK struct ky_status job_submit(struct authority *a, const struct job *job, const void *msg);

struct job_result {
    struct ky_status status;   /* KY_OK, or why there is none */
    uint16_t type;             /* JOB_R_* */
    struct ky_span payload;    /* to decode with its schema; borrowed for the call */
};
/* Continuations, run inside a turn: they append, apply and reply like any decision. */
void sign_job_done(struct authority *a, const struct job *job, const struct job_result *r);
void operate_job_done(struct authority *a, const struct job *job, const struct job_result *r);
void ledger_job_done(struct authority *a, const struct job *job, const struct job_result *r);

/* --- the parts ------------------------------------------------------------------------------------------- */

/* sign.c, transaction.c, approve.c, query.c: one function per door_type, from a table in turn.c */
typedef void (*request_fn)(struct authority *a, const struct request *r, struct ky_span payload);
void operate_request(struct authority *a, const struct request *r, struct ky_span payload); /* DOOR_OPERATE */


#endif
