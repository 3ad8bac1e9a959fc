/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole authority in one process: the real store in a temporary folder, a vault and fronts played
 * by the test over socketpairs, a clock that moves when told. Every helper fails the test by
 * itself.
 */
#ifndef KYSO_TEST_WORLD_H
#define KYSO_TEST_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "authority_private.h"
#include "transaction.h"

#define WORLD_VAULTS  4
#define WORLD_START_S 1800000000u /* a multiple of 30 */
#define WORLD_RP      "bank"
#define BANK          1u /* rows of clients */
#define OTHER         3u

enum { FRONT_SIGNER, FRONT_APPROVER, FRONT_OPERATOR, FRONT_COUNT };

struct fake_vault {
    struct ky_channel channel;
    int fd;
    uint32_t generation;
    bool alive;
    bool hold;            /* takes jobs, answers none */
    enum ky_code fail;    /* answers sign jobs with this */
    uint32_t signed_jobs; /* citizen's sign jobs answered */
    uint64_t last_tag;    /* of the last job held */
    uint32_t last_attempt;
    uint32_t held;
    uint32_t rows[512]; /* key rows of citizens' jobs, as they came */
    uint32_t row_count;
    uint32_t generating;     /* JOB_GENERATE, never answered */
    uint64_t deadline_us;    /* of the last one */
    uint8_t held_job[16384]; /* the last one */
    size_t held_len;
};
struct world {
    char dir[64];
    struct config config;
    struct authority *a;
    uint64_t wall_us, mono_us;
    uint8_t clock_state; /* enum clock_state: what the kernel says of the wall clock */
    struct fake_vault vaults[WORLD_VAULTS];
    struct ky_channel fronts[FRONT_COUNT];
    int front_fds[FRONT_COUNT];
    uint32_t front_generation;
    uint8_t anchors[2][256];
    size_t anchor_len[2];
    bool anchor_unreadable[2]; /* until it is written again */
    bool anchor_lost; /* written, but the vault says that it failed */
    bool anchor_reads_fail;
    uint64_t next_tag;
    struct control_msg told[32]; /* to the supervisor */
    uint32_t told_count;
    EVP_PKEY *device;
    uint8_t device_spki[128];
    size_t device_spki_len;
    char credential[AUTHORITY_ID_MAX], credential2[AUTHORITY_ID_MAX], foreign[AUTHORITY_ID_MAX];
    char totp[AUTHORITY_ID_MAX], device_id[AUTHORITY_ID_MAX], other_device[AUTHORITY_ID_MAX];
    uint32_t credential_row, totp_row, subject_row, client_row;
    /*
     * Either may be NULL. The first is called whenever the authority reads its clock: within a turn
     * just before and after the commit.
     */
    void *watcher; /* who set them */
    void (*on_clock)(struct world *w);
    /* Takes a citizen's job instead of the vault. */
    void (*on_job)(struct world *w, uint32_t vault, const struct ky_record *rec,
                   const struct job_sign *m);
};
extern const uint8_t world_seed[20];
extern const uint8_t spki_bank[32], spki_approver[32], spki_other[32], spki_nobody[32];

/*
 * A state made, provisioned, started, with one citizen (two credentials, a TOTP authenticator, a
 * device), another's, and three clients.
 */
int world_setup(void **state);
int world_teardown(void **state);
void world_start(struct world *w); /* the process: new authority, vault 0, fronts */
void world_boot(struct world *w);  /* ... and turns until it serves */
void world_crash(struct world *w); /* as kill -9 would leave it */
void world_stop(struct world *w);  /* drained */
void world_turn(struct world *w);  /* one turn, then the vaults answer */
void world_run(struct world *w);   /* turns until nothing moves */
void world_advance(struct world *w, uint64_t us);
const struct control_msg *world_told(const struct world *w,
                                     uint32_t type); /* the last one, or NULL */
void world_send(struct world *w); /* what the fronts have queued reaches the authority */

/* --- world_rows.c --- */
/*
 * Rows of the ledger and the tables, as an enrolment would leave them; kept by the next turn's
 * commit.
 */
uint32_t add_subject(struct world *w, const char *id);
uint32_t add_credential(struct world *w, uint32_t subject, const char *relying_party,
                        char id[AUTHORITY_ID_MAX]);
uint32_t add_totp(struct world *w, uint32_t subject, struct ky_span seed,
                  char id[AUTHORITY_ID_MAX]);
uint32_t add_device(struct world *w, uint32_t subject, char id[AUTHORITY_ID_MAX]);
void world_add_everyone(struct world *w);
/*
 * One more person, whose code generator has the seed of all, and whose credential is for any
 * relying party.
 */
void world_add_person(struct world *w, const char *id, char credential[AUTHORITY_ID_MAX]);
/* One more relying party; its key's hash is `key` and zeros. */
void world_add_client(struct world *w, const char *name, uint8_t key);
/* Each with the turn whose commit is the acknowledgement. */
/* 0 = as it is */
void world_set_credential(struct world *w, uint8_t credential_state, uint64_t not_after_s);
void world_remove(struct world *w, const char *authenticator_id);
/*
 * Wrong proofs are charged: from here on they may be as many as a test likes, until the next start.
 */
void world_endless_tries(struct world *w);

/* --- world_vault.c --- */
void vault_join(struct world *w, uint32_t index);
void vault_die(struct world *w,
               uint32_t index); /* its channel closes and the supervisor has waited for it */
void vault_pump(struct world *w);
/*
 * Answers the last held job of this vault (by its tag) as if it were of that generation and
 * attempt.
 */
void vault_answer_late(struct world *w, uint32_t index, uint32_t generation, uint32_t attempt);
struct fake_job { /* made up: nobody waits for its answer, and it has no record */
    uint8_t lane, key_type;
    uint32_t client_row, key_row;
    uint16_t signatures; /* 0 = one */
};
void submit_jobs(struct world *w, uint32_t count, struct fake_job of);
/* Answers the last held job as it should be answered. */
void vault_answer_held(struct world *w, uint32_t index);
void vault_refuse_held(struct world *w, uint32_t index, enum ky_code code);
void vault_signature(struct ky_span digest,
                     uint8_t out[64]); /* what the fake key makes of a digest */

/* --- world_front.c --- */
struct answer {
    uint16_t type;     /* 0 = none came */
    enum ky_code code; /* of a refusal */
    uint32_t retry_after_ms;
    struct door_r_sign sign;
    struct door_r_tx tx;
    struct door_r_approval approval;
    struct door_r_decision decision;
    struct door_r_list list;
    struct door_r_cred cred;
    struct door_r_info info;
    struct door_r_operate operate;
    size_t cut; /* bytes used */
    uint8_t bytes[65536];
};
uint64_t front_send(struct world *w, int front, const struct ky_schema *schema, const void *msg);
uint64_t front_send_deadline(struct world *w, int front, const struct ky_schema *schema,
                             const void *msg, uint64_t deadline_us);
/* The answer to a tag if it has come by now; heartbeats are skipped. */
bool front_answer(struct world *w, int front, uint64_t tag, struct answer *out);
/* The next record a front has got, heartbeats apart; false: none is left. */
bool front_next(struct world *w, int front, struct ky_record *out);
void front_decode(const struct ky_record *rec, struct answer *out);
/* Sends, runs, and gives the answer. */
void ask(struct world *w, int front, const struct ky_schema *schema, const void *msg,
         struct answer *out);

struct ky_span text(const char *s);
/* A Sign request of "bank" for the citizen's credential over one hash made of `seed`. */
struct door_tx sign_msg(struct world *w, const char *request_id, uint8_t seed);
void code_at(const struct world *w, int64_t steps_from_now, char out[9]);
struct door_tx totp_msg(struct world *w, const char *request_id, uint8_t seed, char code[9],
                        int64_t steps_from_now);
/* With a code that is nobody's. */
struct door_tx wrong_msg(struct world *w, const char *request_id);
struct door_tx sad_msg(struct world *w, const char *request_id, struct ky_span sad,
                       struct ky_span hashes);
void device_sign(EVP_PKEY *key, const uint8_t tx_digest[32], uint8_t decision, struct ky_span code,
                 uint8_t *out, size_t *out_len);

/* A pending transaction over the hash of seed 1. */
void world_begin(struct world *w, const char *id, struct answer *got);
/* Authorize by code, of a new transaction over these hashes; it has a SAD. */
void world_authorize(struct world *w, const char *id, struct ky_span hashes, struct answer *got);
struct approval { /* an inline one, with the bytes it points to */
    struct door_tx m;
    uint8_t signature[80];
};
void approve_inline(struct world *w, const char *id, const struct answer *tx, struct approval *out);

/* --- the ledger as the test reads it --- */
uint64_t ledger_count(struct world *w, uint16_t type);
/* The last record of a type, decoded into msg; spans live until the next call. */
bool ledger_last(struct world *w, uint16_t type, void *msg);
typedef void (*denied_fn)(void *context, uint64_t time_us, const struct ledger_denied *m);
void ledger_each_denied(struct world *w, denied_fn fn, void *context);
/*
 * What was asked with this tag is refused with this code, and its receipt, the last, says why and
 * has no signature.
 */
void assert_not_released(struct world *w, uint64_t tag, enum ky_code wire, enum ky_code precise);
/* The last LEDGER_DENIED says exactly this. */
void assert_denied(struct world *w, const struct answer *got, enum ky_code wire,
                   enum ky_code precise);

#endif
