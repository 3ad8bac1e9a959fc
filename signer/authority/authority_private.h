/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What struct authority is made of, for its own files and their tests. One thread. Nothing here is
 * reached from a signal or another process; the clock and the supervisor are behind struct authority_hooks.
 */
#ifndef KYSO_AUTHORITY_PRIVATE_H
#define KYSO_AUTHORITY_PRIVATE_H

#include "authority.h"
#include "backup.h"
#include "clock.h"
#include "credential.h"
#include "crl.h"
#include "expiry.h"
#include "map.h"
#include "state.h"
#include "unseal.h"

#define TURN_US             25000u /* ... and not for longer than this: the heartbeat waits for it */
#define TURN_LOOKS_AT_CLOCK 16u
#define TURN_REQUESTS       1024u /* decided per turn, so that a commit stays short */
#define HEARTBEAT_US        20000u
#define VAULT_CREDIT        200u /* jobs at one vault, for each of its sessions */
#define JOB_ATTEMPTS        3u   /* the first and two more */
#define KEY_KILLS_MAX       2u   /* vaults a key may take along by itself before it is quarantined */
#define QUARANTINE_S        300u
#define WAITERS_MAX         8192u
#define FRONT_OUT_MAX       (64u * 1024u * 1024u)
#define VAULT_OUT_MAX       (16u * 1024u * 1024u)
#define SNAPSHOT_RECORDS    200000u /* at least so many between two, when idle */
#define PAIR(a, b)          ((uint64_t)(a) << 32 | (b))

struct authority_hooks {
    void *context;
    uint64_t (*wall_us)(void *context);
    uint64_t (*mono_us)(void *context);
    /* enum clock_state of the machine's clock; *out_error_us when it is known. NULL: unknown */
    uint8_t (*clock_sync)(void *context, uint32_t *out_error_us);
    void (*control)(void *context, const struct control_msg *m); /* to the supervisor */
    void (*peer_gone)(void *context, struct peer *p); /* its descriptor is about to be closed */
};

enum phase {
    PHASE_BOOT, /* waiting for what the first vault tells */
    PHASE_SERVE,
    PHASE_DRAIN, /* admits nothing, finishes what it has */
    PHASE_CLOSE, /* LEDGER_STOP is committed; the last anchor is on its way */
    PHASE_DONE,
    PHASE_SEALED, /* I6: says only that it is not serving */
};

struct cost_window { /* of a vault's time; cost.c */
    uint64_t since_us, until_us;
    uint64_t cost_us; /* what its answers were thought to cost */
    uint32_t kinds;   /* bits */
    bool idle;
};
struct peer {
    struct peer *next;
    uint8_t door; /* 0 = vault */
    uint32_t index;
    uint32_t generation;
    int fd; /* owned */
    struct ky_channel channel;
    bool readable; /* the loop saw it ready, or records are left in the channel */
    bool ended;    /* end of file or a broken record: nothing more comes */
    bool dead;     /* the supervisor has waited for it */
    size_t mark;   /* unsent bytes when the turn began: what a failed commit cuts back to */
    uint64_t jobs; /* records taken */
    void *io;      /* the loop's */
    /* a vault's */
    struct job_slot *first, *last; /* outstanding, in the order they were sent */
    uint32_t outstanding;
    uint32_t generating; /* of these, keys: others stay away while there is another vault */
    uint64_t load_us, bulk_us; /* what they cost; of these, bulk */
    struct cost_window window;
    bool killed;
    bool gave_up;  /* it said itself that the token failed it: no key of its jobs is suspect */
    bool retiring; /* another takes its place: no more jobs; without one its channel ends */
};

struct job_part { /* split.c: these hashes of a request; group NULL = the job is whole */
    struct job_group *group;
    uint16_t from, count;
};
struct job_slot {
    struct job job;
    uint8_t kind; /* cost.c */
    uint32_t cost_us;
    struct share *share; /* borrowed: of its client */
    struct job_part part;
    struct ky_buf payload; /* encoded once; generation and attempt are its first 8 bytes */
    uint32_t attempt;
    uint32_t tries;      /* times it was running when its vault died, or given back */
    uint64_t turn;       /* that queued it: not dispatched before that turn's commit */
    uint64_t started_us; /* when it came within the running window of its vault; 0 = not yet */
    struct peer *vault;  /* borrowed; NULL = queued */
    struct job_slot *prev, *next;
    uint32_t index;
    bool used;
    bool alone; /* a vault died that had it: it runs by itself, so that another death tells whose it is */
};
struct job_list {
    struct job_slot *first, *last;
    uint32_t count;
};
struct share { /* one client's jobs of one lane, first come first served; queue.c */
    struct share *next, *prev; /* of the lane's ring; NULL = none of its jobs waits */
    struct job_list jobs;
    int64_t credit_us;
    int64_t lent_us; /* of it, in this pass */
    uint64_t cost_us; /* of its jobs */
    uint64_t pass;    /* in which none of it can go */
    uint64_t era;     /* of its lane, when it last had jobs */
};
struct lane {
    struct share *turn; /* ring */
    uint32_t shares;
    uint64_t cost_us;
    uint64_t era; /* times it was empty: what was owed before is forgiven */
};
struct job_queue {
    struct lane lanes[LANE_COUNT];
    struct share own[LANE_COUNT]; /* of jobs that are no client's */
    uint32_t count;
    uint64_t pass;
    uint64_t bulk_due_us; /* citizens' time since bulk's last */
};
struct vaults { /* as counted at the start of a pass */
    uint32_t up, generating;
    struct peer *clear; /* kept nearly empty of what can wait; NULL = none signs */
};
#define COST_KINDS     16u
#define COST_MAX_US    4000000u
#define AFFINITY_SLOTS 65536u
struct affinity {
    uint32_t key_row;
    uint32_t vault_index;
};
struct dispatcher {
    struct job_slot **slots; /* owned; job id = sequence << 20 | index */
    uint32_t slot_count, slot_cap;
    struct job_list free;
    struct job_queue queue;
    struct vaults vaults;
    uint32_t cost_ns[COST_KINDS];  /* of one signature or job of a kind */
    uint64_t citizen_us, cheap_us; /* when such a job last came */
    uint64_t sequence;
    uint32_t in_flight;
    struct affinity *affinity; /* owned */
    struct map by_tag;         /* (front, tag) -> slot: DOOR_CANCEL */
    struct map killers;        /* key row -> vaults it took along, and when last, as a pointer's value */
    uint32_t forget[64];
    uint32_t forget_count;
    uint64_t vault_us; /* when there was last a vault to send to */
    uint32_t alone;    /* jobs that run by themselves, queued or sent: until they have, nothing else is sent */
};

struct waiter { /* a WaitTransaction */
    struct waiter *next;
    struct reply_to to;
    uint8_t tx_key[MAP_KEY_LEN];
    uint64_t until_us;
};

struct client { /* a relying party's connection, in memory as long as the server runs */
    uint32_t row;
    struct row_client data; /* spans into bytes */
    struct ky_buf bytes;    /* owned */
    uint32_t in_flight;
    struct share shares[2][2]; /* citizens', bulk; of cheap keys, of dear ones */
};
struct boot {
    bool create;
    bool asked;
    uint32_t waiting;
    struct ky_span
        operators; /* repeated ky_put_bytes name, ky_put_bytes certificate or SPKI, or empty; borrowed from main */
    struct ky_span ceremony; /* create: its transcript's SHA-256, or empty; borrowed from main */
    bool has_anchor[2];
    struct anchor anchor[2];
    uint8_t anchor_bytes[2][256]; /* what the token's slots hold, kept up while serving */
    size_t anchor_len[2];
    const struct anchor *best; /* of the two, the younger that holds; NULL = none */
    uint8_t boot_id[16];
    uint8_t activation[32]; /* what CONTROL_ACTIVATED said */
    uint32_t custodians;
    bool anchoring; /* open, but not serving before the token knows of this start */
    bool opened;    /* READY is to be told after this turn's commit */
    bool closing;   /* the last snapshot is written, the last anchor asked for */
};

struct keypool {      /* keypool.c */
    uint8_t *types;   /* owned: by row - 1, what key it holds; 0 = the row is free */
    uint32_t rows;
    uint32_t count[KY_KEY_TYPE_COUNT];
    bool filling[KY_KEY_TYPE_COUNT]; /* from half of what is wanted up to all of it */
    bool busy;                       /* keys are being made */
    uint64_t not_before_us;          /* after a failure */
};

struct kek_rotation {    /* kek.c */
    uint32_t sitting;    /* generation of the custodians' channel that has begun one; 0 = none has since the start */
    uint32_t generation; /* of the new KEK */
    uint64_t record;     /* LEDGER_KEK: the rows' operation */
    struct ledger_kek facts; /* what both records say, and the counts of the pass; custodians is empty */
    char custodians[KY_NAME_MAX + 1];
    uint8_t table; /* where the pass is */
    uint32_t row;
    bool found;     /* in this pass a row was under an older KEK, or has been written so */
    bool whole;     /* the last pass found none, and since then none has been written so */
    uint64_t turn;  /* that ended it */
    uint32_t ended; /* generation below which no blob may be written any more */
};

#define RATE_SAMPLES 13u
struct rates { /* figures.c: a sample each five seconds */
    struct rate_sample {
        uint64_t mono_us, signatures, denials;
    } at[RATE_SAMPLES];
    uint32_t count;
};

struct ledger_side { /* checkpoints, anchors, snapshots: off the turn */
    uint64_t checkpoint_size, checkpoint_us;
    bool checkpoint_busy;
    uint64_t published_size, published_us; /* of the last note */
    struct ky_buf checkpoint_body; /* of the job in flight */
    struct ky_buf checkpoint;      /* the last note */
    uint64_t anchor_size, anchor_us, anchor_sequence;
    uint64_t anchored_us; /* when the token last held one of ours */
    struct anchor anchor_pending;
    uint8_t anchor_value[ANCHOR_LEN]; /* its form */
    bool anchor_busy;
    bool anchor_again; /* it failed, and may have been written all the same */
    uint32_t anchor_disputed; /* steps since a write met what nobody here wrote, 0 = none did */
    uint64_t snapshot_size;
};

struct authority {
    const struct config *config; /* borrowed */
    struct authority_hooks hooks;
    enum phase phase;
    char sealed_reason[96];
    uint64_t wall_us; /* of the turn; never goes back */
    uint64_t mono_us;
    uint64_t turn_us; /* what a turn takes, sleep apart, averaged over eight */
    uint64_t started_us;
    uint64_t heartbeat_us;
    uint8_t beating; /* what the last heartbeat said */
    struct store *store;
    struct state *state;
    struct ky_secret row_mac, seed_key, state_key;
    struct policy_device_key *device_key, *request_key; /* owned: whichever was verified last */
    struct unsealer unsealer;
    struct random_block random;
    struct job_r_info info; /* spans into info_bytes */
    struct ky_buf info_bytes;
    struct boot boot;
    struct peer *peers;
    struct dispatcher jobs;
    struct cache cache;
    struct client **clients; /* owned, by row - 1 */
    uint32_t client_count;
    struct map clients_by_spki, clients_by_name, operators_by_id;
    struct waiter *waiters;
    uint32_t waiter_count;
    bool codes_suspended;    /* as last told by the log */
    uint32_t sign_in_flight; /* admitted and not yet answered */
    struct ledger_side side;
    struct crl_watch crl;
    struct clock_watch clock;
    struct expiry expiry;
    struct rates rates;
    struct backup backup;
    struct keypool pool;
    struct kek_rotation kek;
    struct ky_buf scratch; /* replies' variable parts; reset before each use */
    bool tx_moved;         /* a transaction changed in this turn: waiters are looked at */
    uint64_t tick_us;
    bool failed; /* something in this turn could not be recorded: seal instead of committing */
    uint64_t turns, requests, late_results, redispatched, shed, replays, jobs_failed;
    uint64_t commit_us;
    struct authority_role roles[AUTHORITY_ROLES_MAX]; /* the supervisor's table */
    uint32_t role_count;
};

/* authority.c */
KY_MUST_CHECK struct ky_status authority_new(const struct config *config,
                                             const struct authority_hooks *hooks,
                                             struct authority **out_authority);
void authority_free(struct authority **a);
void authority_seal(struct authority *a, const char *reason);
KY_MUST_CHECK struct ky_status authority_load_rows(struct authority *a); /* clients and operators */
/* rows.c */
void authority_free_rows(struct authority *a);
struct client *authority_client(const struct authority *a, uint32_t row);
struct client *authority_client_by_spki(const struct authority *a,
                                        const uint8_t spki[KY_SPKI_HASH_LEN]);
struct map_key authority_text_key(struct ky_span text);

/* peer.c. The descriptor becomes the authority's. */
KY_MUST_CHECK struct ky_status peer_add(struct authority *a, uint8_t door, uint32_t index,
                                        uint32_t generation, int fd, struct peer **out_peer);
struct peer *peer_find(const struct authority *a, uint8_t door, uint32_t index,
                       uint32_t generation);
void peer_dead(struct authority *a, uint8_t door, uint32_t index, uint32_t generation);
void peer_remove(struct authority *a, struct peer *p);
void peers_free(struct authority *a);
void peer_read(struct peer *p);
void peers_flush(struct authority *a, bool vaults, bool fronts);
void peers_mark(struct authority *a);
void peers_cut(struct authority *a); /* what was queued for fronts since the mark is dropped */
void peers_heartbeat(struct authority *a);
/* One message of the supervisor; fd (or -1) becomes the authority's. */
void peer_control(struct authority *a, const struct control_msg *m, int fd);

/* turn.c. One turn over everything that is readable. True when work is left that waits for no event. */
bool authority_turn(struct authority *a);

/* dispatch.c */
void dispatch_init(struct authority *a);
void dispatch_free(struct authority *a);
bool dispatch_has_room(const struct authority *a);
void dispatch_result(struct authority *a, struct peer *vault, const struct ky_record *r);
void dispatch_vault_gone(struct authority *a,
                         struct peer *vault); /* after waitpid: its jobs go back to the queue */
void dispatch_send(struct authority *a, bool committed_only);
void dispatch_tick(struct authority *a); /* the time that jobs at vaults have */
const struct job *dispatch_queued(const struct authority *a,
                                  const struct reply_to *who); /* not yet sent, or NULL */
void dispatch_cancel(
    struct authority *a,
    const struct reply_to *who); /* of a queued one: settles it with KY_CANCELLED */
/* There has been no vault for so long that a request had better be refused at once, its proof unspent. */
bool dispatch_dark(const struct authority *a);
bool dispatch_idle(const struct authority *a);
bool dispatch_has_older(const struct authority *a, uint64_t turn); /* a job that was submitted no later than it */

/* recover.c */
void boot_step(struct authority *a);

/* figures.c */
void figures_tick(struct authority *a);

/* keypool.c */
KY_MUST_CHECK struct ky_status keypool_load(struct authority *a);
void keypool_tick(struct authority *a); /* after a commit: makes keys when nothing else is to do */
uint32_t keypool_wanted(const struct authority *a, uint8_t key_type);
uint32_t keypool_sum(const struct authority *a, bool wanted); /* over all types */

/* kek.c */
void kek_request(struct authority *a, const struct request *r, struct ky_span payload); /* DOOR_KEK */
/* Told of each row before it is written. False: its key is under a KEK that is gone, or may be by now. */
bool kek_allows(struct authority *a, enum row_table table, const void *row);

/* ledger.c */
void ledger_idle(struct authority *a); /* after a commit: checkpoint, anchor, snapshot when due */
void ledger_close(struct authority *a);
bool ledger_publish(const char *path, struct ky_span note); /* whole or not at all */
KY_MUST_CHECK struct ky_status ledger_put_anchor(struct authority *a, bool clean);
/* Keeps what the token's slot holds. False: the token did not tell. */
bool boot_take_anchor(struct authority *a, size_t slot, const struct job_result *r);
/* What it holds is an anchor of this very ledger, and not one that was overwritten: a write of ours that came late. */
bool boot_owns_anchor(struct authority *a, size_t slot);
bool boot_open_store(struct authority *a, enum store_mode mode);
/* provision.c */
bool boot_provisions(const struct authority *a); /* this run serves nobody: it writes operators, and ends */
void provision_create(struct authority *a);
void provision_add(struct authority *a);
bool provision_activation(struct authority *a); /* what this start runs under, on the ledger; false: sealed */

/* sign.c, transaction.c, approve.c, query.c */
void sign_request(struct authority *a, const struct request *r, struct ky_span payload);
void tx_begin_request(struct authority *a, const struct request *r, struct ky_span payload);
void tx_authorize_request(struct authority *a, const struct request *r, struct ky_span payload);
void tx_wait_request(struct authority *a, const struct request *r, struct ky_span payload);
void tx_cancel_request(struct authority *a, const struct request *r, struct ky_span payload);
void approval_list_request(struct authority *a, const struct request *r, struct ky_span payload);
void approval_get_request(struct authority *a, const struct request *r, struct ky_span payload);
void passkey_get_request(struct authority *a, const struct request *r, struct ky_span payload);
void passkey_enroll_request(struct authority *a, const struct request *r, struct ky_span payload);
void approval_decide_request(struct authority *a, const struct request *r, struct ky_span payload);
void info_request(struct authority *a, const struct request *r, struct ky_span payload);
void cred_list_request(struct authority *a, const struct request *r, struct ky_span payload);
void cred_get_request(struct authority *a, const struct request *r, struct ky_span payload);
void cancel_request(struct authority *a, const struct request *r, struct ky_span payload);
void event_request(struct authority *a, const struct request *r, struct ky_span payload);
/* Ends what is due and answers waiters whose time has come or whose transaction has moved. */
void tx_tick(struct authority *a);
void tx_waiters_refuse(struct authority *a, enum ky_code code);

#endif
