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
#include "kyso/ledger.h"
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
const struct ky_secret *authority_seed_key(const struct authority *a); /* seed-enc */
const struct ky_secret *authority_state_key(const struct authority *a);
struct ky_span authority_server_id(const struct authority *a);
bool authority_is_demo(const struct authority *a);
const char *authority_passkey_origin(const struct authority *a); /* NULL: none are taken */
bool authority_dual_control(const struct authority *a); /* two people where the rules say so: always, but in a demo that does not ask for it */
const struct job_r_info *authority_token_info(const struct authority *a);

/* Stages a record and applies it. A failure seals the node: the caller only has to stop. */
KY_MUST_CHECK struct ky_status authority_append(struct authority *a, const struct ky_schema *schema, const void *msg,
                                                struct ky_span private_data, uint64_t *out_index);
/* Private data of a record: for each salted field in the record's order, ky_put_bytes(16 salt bytes || text); empty texts are left out
 * (their hash is zero). Draws the salt, writes the hash. */
KY_MUST_CHECK struct ky_status authority_salted(struct authority *a, struct ky_span text, struct ky_buf *private_data,
                                                uint8_t out_hash[32]);
/*
 * Appends LEDGER_DENIED and refuses: the one way to say no to a request that was judged. The record's reason is the precise code,
 * request_type is filled in from r; rows and ids that are known are the caller's.
 * KY_CORRUPT (a row that does not hold) is told as KY_NOT_FOUND: such a row is as good as none.
 */
enum { /* bits of ledger_denied.charged */
    AUTHORITY_CHARGE_SUBJECT = 1, /* subject and client: a code was tried */
    AUTHORITY_CHARGE_CLIENT = 2,  /* the client alone: a device's signature did not verify; nobody can lock a citizen with those */
};
void authority_deny(struct authority *a, const struct request *r, struct ledger_denied *why);

/* --- rows ------------------------------------------------------------------------------------------------ */

/*
 * store_row_put, then everything in memory that hangs on the row follows: the row cache, the tables of clients (by SPKI and name) and
 * operators. The only way to write a row while the server runs. A credential or authenticator written here is re-read by the next
 * decision, and at settlement (P21): raise its epoch with every change. row 0 = new. out_row may be NULL. A failure other than
 * KY_INVALID seals the node.
 */
KY_MUST_CHECK struct ky_status authority_row_put(struct authority *a, enum row_table table, uint32_t row,
                                                 const void *msg, uint64_t operation, uint32_t *out_row);
uint32_t authority_client_by_name(const struct authority *a, struct ky_span name); /* 0 = none; removed ones are found too */
uint32_t authority_operator_by_id(const struct authority *a, struct ky_span id);   /* 0 = none; removed ones are found too */
/*
 * The row number that a public id of this kind carries ("c" credential, "a" authenticator: letter, hex row, "-", 16 hex), or 0 when it
 * has not that form. The caller compares the whole id with the row's.
 */
uint32_t authority_id_row(char kind, struct ky_span id);
/* Writes such an id (NUL-terminated) with fresh random digits. out holds AUTHORITY_ID_MAX bytes. */
#define AUTHORITY_ID_MAX 32u
KY_MUST_CHECK struct ky_status authority_id_make(char kind, uint32_t row, char out[AUTHORITY_ID_MAX]);
/* Queues JOB_FORGET to every vault, after the commit: handles of that key are dropped. */
void authority_forget_key(struct authority *a, uint32_t key_row);

/* --- the fold, as others may read it ------------------------------------------------------------------------ */

struct subject_account { /* of one subject; changed by state_apply only */
    struct policy_lockout lockout;
    bool not_me; /* a device said so: every proof is refused until an operator unlocks (LEDGER_UNLOCKED) */
};
struct subject_account authority_subject_account(const struct authority *a, uint32_t subject_row); /* clean when untouched */
uint64_t authority_last_step(const struct authority *a, uint32_t authenticator_row);
/* Suspended by its failures (LEDGER_CLIENT_STATE), apart from the row's own flag. Appending LEDGER_CLIENT_STATE with suspended 0 lifts it. */
bool authority_client_suspended(const struct authority *a, uint32_t client_row);
/*
 * So many clients were suspended by their failures within so short a time, and still are, that somebody sprays codes through all of
 * them (policy.spray_clients, spray_window_s): nobody's code is taken. Ends with the window, or when an operator deals with them.
 */
bool authority_codes_suspended(const struct authority *a);
bool authority_operation_spent(const struct authority *a, const uint8_t nonce[16]); /* LEDGER_OPERATION within its expiry */

struct pool_key { /* a wrapped key that was made in advance */
    size_t blob_len, public_key_len;
    uint8_t blob[KY_BLOB_MAX];
    uint8_t public_key[KY_SPKI_MAX];
};
/*
 * Takes one out of the pool: it is the caller's, whose own row of it belongs into the same turn. Errors: KY_NOT_FOUND (none of
 * that type), KY_SEALED.
 */
KY_MUST_CHECK struct ky_status authority_take_key(struct authority *a, uint8_t key_type, uint64_t operation,
                                                  struct pool_key *out);

/* Begins a copy of the database in the state's folder. Errors: KY_CONFLICT (one is being made), KY_IO, KY_STORE. */
KY_MUST_CHECK struct ky_status authority_backup(struct authority *a);
#define AUTHORITY_SOON_S UINT64_C(2592000) /* 30 days: what the status screen calls soon */
/*
 * Credentials whose certificate ends within so many seconds: the first one's row above `after`, 0 = none; and how many. After a
 * start they become known little by little (credentials_read below).
 */
uint32_t authority_expiring(const struct authority *a, uint32_t after, uint64_t within_s);
uint32_t authority_expiring_count(const struct authority *a, uint64_t within_s);

struct authority_role {
    uint8_t door; /* enum ky_door, 0 = vault */
    uint32_t index;
    uint32_t restarts;
    uint64_t state; /* as the supervisor's CONTROL_STATUS said; for peers of ours 1 = connected */
    uint64_t jobs;  /* records taken from it */
};
#define AUTHORITY_ROLES_MAX 64u
struct authority_stats {
    bool sealed;
    const char *sealed_reason; /* "" when not sealed */
    bool codes_suspended;
    uint64_t uptime_s;
    uint64_t turns;
    uint64_t signatures;
    uint64_t denials;
    uint64_t late_results;
    uint64_t redispatched;
    uint32_t queue;     /* jobs waiting for a vault */
    uint32_t in_flight; /* jobs at a vault */
    uint32_t waiters;
    uint32_t open_transactions;
    uint64_t ledger_size;
    uint8_t ledger_root[32];
    struct ky_span checkpoint; /* the last signed note; borrowed until the next turn */
    uint64_t checkpoint_size, checkpoint_age_us;
    uint64_t anchor_size, anchor_age_us;
    uint64_t signatures_per_min, denials_per_min;
    uint32_t suspended_clients;
    uint32_t expiring; /* certificates, within AUTHORITY_SOON_S */
    uint32_t credentials_read; /* of them, looked at for that */
    const char *clock;   /* its state, a word */
    uint32_t clock_error_us;
    struct ky_span token; /* label, model, serial; borrowed */
    char backup[96];
    char crl[192]; /* of the watched revocation list; empty = none */
    uint32_t pool[KY_KEY_TYPE_COUNT];        /* keys in the pool */
    uint32_t pool_wanted[KY_KEY_TYPE_COUNT]; /* as configured */
    uint32_t role_count;
    struct authority_role roles[AUTHORITY_ROLES_MAX];
};
void authority_stats(const struct authority *a, struct authority_stats *out);

struct reply_to request_reply_to(const struct request *r);
void authority_reply(struct authority *a, const struct reply_to *to, const struct ky_schema *schema, const void *msg);
/* code may be a precise one: the wire code is sent. retry_after_ms 0 = none. */
void authority_refuse(struct authority *a, const struct reply_to *to, enum ky_code code, uint32_t retry_after_ms);

/* --- jobs ----------------------------------------------------------------------------------------------- */

enum job_lane { /* in this order, where vaults are short (queue.c) */
    LANE_SERVER,   /* checkpoint, anchor, operators; of a job that says nothing */
    LANE_GENERATE, /* keys: queue_put() knows them */
    LANE_CITIZEN,  /* somebody waits: a code or an approval, few hashes */
    LANE_BULK,     /* SADs, many hashes */
    LANE_COUNT
};
enum job_for { /* which continuation settles it (table in dispatch.c) */
    JOB_FOR_SIGN,       /* sign.c: receipt and reply */
    JOB_FOR_CREDENTIAL, /* operate.c: the key of a new credential */
    JOB_FOR_CSR,        /* operate.c */
    JOB_FOR_DESTROY,    /* operate.c */
    JOB_FOR_CITIZENS,   /* operate.c: keys or CSRs of many */
    JOB_FOR_POOL,       /* keypool.c */
    JOB_FOR_CHECKPOINT, /* ledger.c */
    JOB_FOR_ANCHOR,     /* ledger.c */
    JOB_FOR_BOOT,       /* recover.c: what a start asks of the first vault */
    JOB_FOR_COUNT
};

struct job {
    uint64_t id;        /* the record's tag */
    uint8_t for_what;   /* enum job_for */
    uint64_t intent;    /* ledger index, 0 when the job signs nothing of a citizen's */
    struct reply_to to;
    const struct ky_schema *schema; /* of the payload's message */
    uint8_t lane;       /* enum job_lane */
    uint8_t key_type;   /* with the number of signatures, what it costs; 0 = signs nothing */
    uint16_t signatures;
    uint32_t client_row; /* whose turn it takes; 0 = the server's own */
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

/* Did vaults end with this key, one after the other, and lately? */
bool dispatch_quarantined(const struct authority *a, uint32_t key_row);

struct job_result {
    struct ky_status status;   /* KY_OK, or why there is none */
    uint16_t type;             /* JOB_R_* */
    struct ky_span payload;    /* to decode with its schema; borrowed for the call */
};
/* Continuations, run inside a turn: they append, apply and reply like any decision. */
void sign_job_done(struct authority *a, const struct job *job, const struct job_result *r);
void operate_job_done(struct authority *a, const struct job *job, const struct job_result *r);
void ledger_job_done(struct authority *a, const struct job *job, const struct job_result *r);
void keypool_job_done(struct authority *a, const struct job *job, const struct job_result *r);
void boot_job_done(struct authority *a, const struct job *job, const struct job_result *r);

/* --- the parts ------------------------------------------------------------------------------------------- */

/* sign.c, transaction.c, approve.c, query.c: one function per door_type, from a table in turn.c */
typedef void (*request_fn)(struct authority *a, const struct request *r, struct ky_span payload);
void operate_request(struct authority *a, const struct request *r, struct ky_span payload); /* DOOR_OPERATE */
/*
 * A client brought the key of a passkey that waits for it, with the code of its link. KY_PROOF_WRONG_CODE: the link has used
 * up a try. KY_CONFLICT: it waits for none, or the key is enrolled already; KY_INVALID: not a key; or the store's.
 */
enum ky_code operate_passkey(struct authority *a, uint32_t client_row, struct ky_span authenticator_id, struct ky_span code,
                             struct ky_span public_key);


#endif
