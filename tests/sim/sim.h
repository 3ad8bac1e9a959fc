/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One simulated machine: the real authority over its real store in memory, and everything else
 * played: people, relying parties, operators, vaults, the disk's faults, the clocks, crashes. One
 * thread; every choice comes from the seed. What is true is kept here apart from the authority:
 * what was asked (struct order), what the vaults made (struct made), what was committed (struct
 * oracle).
 */
#ifndef KYSO_SIM_H
#define KYSO_SIM_H

#include "world.h"

#define PERSONS    3u
#define PARTIES    2u /* relying parties, clients of their own names */
#define SHARED     2u /* the person whose keys both may use */
#define HASHES     16u
#define ROWS       64u /* of any table */
#define CODES_KEPT 8u
#define STEP_S     30u /* of a code */

struct person {
    char id[16];
    uint32_t subject_row, totp_row, device_row;
    char totp[AUTHORITY_ID_MAX], device[AUTHORITY_ID_MAX];
    uint8_t seed[20];
    char last_code[9];
    struct {
        char id[AUTHORITY_ID_MAX];
        uint32_t row;
    } credentials[PARTIES]; /* one for each relying party */
};
struct deal { /* a transaction as its client knows it */
    char id[40];
    uint32_t begun_by; /* order */
    uint8_t digest[32];
    char code[4];
    uint8_t sad[32];
    bool has_sad;
    bool approved; /* a device's signature with the right matching code was sent */
};
struct order { /* a request as it was sent, and sent again */
    char id[24];
    uint32_t family; /* the first order of this id and client */
    uint8_t kind;    /* DOOR_SIGN, DOOR_TX_BEGIN, DOOR_TX_AUTHORIZE */
    uint8_t proof;
    uint8_t client, person, credential;
    uint32_t deal; /* + 1; 0 = none */
    uint32_t count;
    uint8_t hashes[HASHES][32];
    char codes[CODES_KEPT][9]; /* TOTP codes sent for it */
    uint32_t code_count;
    uint8_t sad[32];
    uint64_t deadline_us, at_s;
    uint32_t denied, denied_seen; /* of the family, in the ledger and by the client */
    bool answered;
    uint8_t answer[32]; /* hash of the signatures released */
};
struct question { /* a record sent to a front, until its answer */
    uint64_t tag;
    uint8_t front, kind;
    bool open, may_stay;             /* cancelled: an answer may come or not */
    uint32_t order, deal, operation; /* + 1; 0 = none */
};
enum op {
    OP_SUSPEND,
    OP_RESUME,
    OP_REMOVE_TOTP,
    OP_REMOVE_DEVICE,
    OP_UNLOCK,
    OP_CLIENT_OFF,
    OP_CLIENT_ON,
    OP_COUNT
};
struct operation {
    uint8_t nonce[16];
    uint8_t op, person, party;
    uint32_t row; /* that it changes */
    bool done;    /* in the ledger */
};
enum held_state { HELD_NOT, HELD_RUNNING, HELD_GIVEN_UP };
struct held { /* a job at a vault */
    enum held_state state;
    uint32_t vault, generation, attempt, key_row, count;
    uint64_t tag, deadline_us;
    uint8_t digests[HASHES][32];
};
struct made {              /* a signature that a vault made of a job it had */
    uint8_t signature[32]; /* its first half */
    uint8_t digest[32];
    uint32_t key_row;
};
struct sim_vault {
    bool hung, doomed; /* answers nothing; was told to be killed */
    uint64_t back_us;  /* when a dead one is replaced */
};

/* --- what was committed, as the leaves tell it --- */
struct o_intent {
    uint64_t index, receipt;
    uint32_t order, key_row, epoch, subject, authenticator, client, count;
    uint8_t outcome;
    uint8_t answer[32];
};
struct o_tx {
    char id[40];
    uint64_t index, authorized; /* leaves */
    uint32_t order, credential, client, subject, authenticator, epoch;
    uint64_t not_after_s, sad_not_after_s;
    uint8_t sad_sha256[32];
    bool ended;
};
struct o_row { /* of a credential, authenticator or client */
    bool off;
    uint32_t epoch;
    uint64_t changed;  /* the leaf that changed it: older authority is void */
    uint64_t acked_at; /* turn whose replies told that it is off; 0 = not told */
};
struct o_subject {
    uint32_t failures, total, locks;
    uint64_t locked_until_s, not_me;
};
struct oracle {
    struct merkle tree; /* of every leaf seen */
    struct o_intent *intents;
    struct o_tx *txs;
    uint32_t intent_count, tx_count, cap;
    struct o_row credentials[ROWS], authenticators[ROWS], clients[ROWS];
    struct o_subject subjects[ROWS];
    uint64_t last_step[ROWS];
    uint64_t floor_step, voided; /* leaf of the last ANCHORED */
    uint64_t now_s;              /* the latest time seen: the clock of decisions never goes back */
    uint64_t operation;          /* leaf, + 1, of the last OPERATION, and which it was */
    struct operation *op;
    bool expects_anchored, anchored;
    bool reread;                  /* after a start: are all leaves still there? */
    uint32_t denied, denied_seen; /* without a request id: in the ledger, by callers */
};

enum figure {
    DID_SIGN,
    DID_REPEAT,
    DID_CONFLICT,
    DID_DENY,
    DID_LOCK,
    DID_FLOOR,
    DID_SAD,
    DID_APPROVAL,
    DID_WAIT,
    DID_CANCEL,
    DID_NOT_ME,
    DID_ABANDON,
    DID_SPLIT,
    DID_REDISPATCH,
    DID_LATE,
    DID_KILL,
    DID_CRASH,
    DID_STOP,
    DID_FAULT,
    DID_OPERATE,
    DID_REVOKE_FLYING,
    DID_CLOCK_BACK,
    DID_EXPIRE,
    DID_BUSY,
    FIGURES
};
extern const char *const figure_names[FIGURES];

struct sim {
    struct world *w;
    uint64_t seed, random, step, steps, turn;
    bool trace;
    uint64_t *figures; /* of all seeds */
    struct person persons[PERSONS];
    struct deal *deals;
    struct order *orders;
    struct question *questions;
    struct operation *operations;
    struct held *held;
    struct made *made;
    uint32_t deal_count, order_count, question_count, operation_count, held_count, made_count, cap;
    struct sim_vault vaults[WORLD_VAULTS];
    uint32_t vault_count;
    struct held stale[8]; /* answers already given: sent again, forged */
    uint32_t stale_count;
    bool frozen; /* the wall clock stands */
    bool lose;   /* the machine dies in this turn: what was flushed is never read */
    bool in_turn, healing;
    uint32_t seeds, serial;
    uint64_t wall_most_us; /* that the authority has been shown */
    struct oracle oracle;
};

/* main.c */
uint64_t sim_draw(struct sim *s);
uint32_t sim_pick(struct sim *s, uint32_t n); /* 0 .. n-1 */
bool sim_chance(struct sim *s, uint32_t percent);
void sim_trace(const struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void sim_fail(const struct sim *s, const char *rule, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* machine.c */
void sim_setup(struct sim *s); /* makes the template: a state with people and relying parties */
void sim_run(
    struct sim *s); /* one schedule: a machine put back to the template, its steps, its end */
void sim_close(struct sim *s);

/* ask.c */
void ask_something(struct sim *s);
void ask_operator(struct sim *s);

/* vaults.c */
void vaults_take(struct world *w, uint32_t vault, const struct ky_record *rec,
                 const struct job_sign *m);
void vaults_work(struct sim *s);
void vaults_lost(struct sim *s, uint32_t index); /* what it held is nobody's */

/* oracle.c */
void oracle_start(struct sim *s);
void oracle_read(struct sim *s); /* new leaves; after a start the old ones too */
struct o_intent *oracle_intent_of(struct sim *s, const uint8_t hash[32]);
struct o_tx *oracle_tx(struct sim *s, struct ky_span id);
struct o_tx *oracle_open_tx(struct sim *s, struct ky_span id, const char *what); /* or a breach */
/* Credential of that epoch and client are in force, or it is a breach. */
void oracle_must_be_usable(struct sim *s, uint32_t credential, uint32_t epoch, uint32_t client,
                           const char *what);
/* The order that a record names: id and client, and the hashes where they tell more. */
struct order *oracle_order(struct sim *s, struct ky_span id, uint32_t client_row,
                           struct ky_span hashes);
uint32_t oracle_order_number(const struct sim *s, const struct order *o);

/* spends.c */
void spends_step(struct sim *s, const struct order *o, uint32_t subject, uint32_t authenticator,
                 uint64_t step);
void spends_failure(struct sim *s, uint32_t subject);
bool spends_device_said_yes(const struct sim *s, const struct o_tx *t);
void spends_intent(struct sim *s, uint64_t index, const void *msg);
void spends_receipt(struct sim *s, uint64_t index, const void *msg);

/* answers.c */
void answers_take(struct sim *s);
void answers_check_end(struct sim *s);

#endif
