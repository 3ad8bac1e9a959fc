/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of the tool in front of people: plan, transcript, token, and the two secrets while they are
 * together. What a transcript says was done (struct progress) is all that one sitting leaves to the next.
 */
#ifndef CEREMONY_SITTING_H
#define CEREMONY_SITTING_H

#include "backup.h"
#include "command.h"
#include "kyso/tx.h"
#include "token.h"
#include "transcript.h"

struct progress { /* read out of a transcript */
    char id[64];  /* of the ceremony */
    uint8_t plan_sha256[32];
    struct share_set custody; /* the last one that was begun */
    bool custody_whole;       /* every custodian proved possession, every subset was tried */
    bool keys_made;           /* the token has its keys and the backup is written */
    bool closed;              /* and the ledger key signed for it */
    bool restoring;           /* another token was begun since */
    char serial[TOKEN_SERIAL]; /* of the token that was tried last: no other is written to */
    uint8_t backup_sha256[32];
    uint32_t kek;              /* generation of the KEK in that backup */
    bool rotating;             /* credentials may be under the one before, too */
    uint8_t former_sha256[32]; /* of the backup that has that one; stale afterwards */
    uint8_t ledger_type;
    uint8_t ledger_spki[KY_SPKI_MAX];
    size_t ledger_spki_len;
    struct hsm_verifier verifier; /* of the ledger key; sitting_forget frees it */
    uint32_t signatures;          /* how many lines were signed */
};

struct sitting {
    struct cli *cli;
    struct plan *plan;
    struct transcript transcript;
    struct progress progress;
    struct token token;
    struct ky_secret secrets[SHARE_KINDS]; /* while M custodians are here */
    struct token_pins pins;
    struct hsm_keys keys;
    char present[KY_NAME_MAX + 1]; /* who has brought a share: "1,3" */
};

/* transcript_visit: folds a line into a struct progress, and verifies signatures. */
const char *progress_take(void *progress, const json_t *fields, const struct transcript_sums *sums);

enum sitting_needs {
    SITTING_NEW = 1,   /* a transcript is begun where there is none */
    SITTING_DONE = 2,  /* the ceremony must be closed */
    SITTING_TOKEN = 4, /* the module */
    SITTING_BLANK = 8, /* no token that has the plan's name and is in use */
};
/* Returns an enum cli_exit, having said what is wrong. sitting_close is due whatever is returned. */
int sitting_open(struct cli *cli, unsigned needs, struct sitting *s);
void sitting_close(struct sitting *s);
/* One clear line for a status; returns CLI_FAILED. */
int sitting_fail(struct sitting *s, const char *what, struct ky_status st);
/* Adds a line to the transcript. fields: freed. Returns an enum cli_exit. */
int sitting_record(struct sitting *s, json_t *fields);
/* The line that the token's ledger key signs: it ends the sitting. Prints the transcript's SHA-256. */
int sitting_sign(struct sitting *s, json_t *fields);
/* Step headline with the time. */
void sitting_step(const char *what);

/*
 * Puts a blank token on trial and has it probed: refused unless it is fit for the plan. The user is logged in.
 */
int sitting_try_token(struct sitting *s);
/*
 * The token is made (label: NULL for the plan's) and gets the keys of *b, read back and compared; born: they are new,
 * and *b and its file are written first.
 */
int sitting_make_keys(struct sitting *s, const char *label, bool born, struct hsm_backup *b);
/* --checkpoint, when it is given: the restored token takes that ledger. */
int sitting_reanchor(struct sitting *s);
/* As a vault derives it for the authority. Errors: KY_TOKEN_*, KY_NOMEM. */
KY_MUST_CHECK struct ky_status sitting_state_key(struct sitting *s, struct ky_secret *out);
/* --demo-pin-file, when it is given. */
int sitting_demo_pin(struct sitting *s);

/* custody.c: both return an enum cli_exit. */
int custody_give(struct sitting *s);   /* new secrets, shares, proofs; sets secrets and pins */
int custody_gather(struct sitting *s); /* M custodians type theirs; sets secrets and pins */

/* backup_file.c: FOLDER/ID.backup.json, and ID.backup-2.json and so on for KEKs that came by rotation. */
bool backup_path(const struct sitting *s, uint32_t kek, char *out, size_t cap);
KY_MUST_CHECK struct ky_status backup_write(const struct sitting *s, const struct hsm_backup *b,
                                            uint8_t out_sha256[32]);
/* KY_CORRUPT: it is not the one that the transcript names; KY_CONFLICT: it is, of before a rotation that has ended. */
KY_MUST_CHECK struct ky_status backup_read(const struct sitting *s, const char *path,
                                           struct hsm_backup *out);
/* The one with the KEK before, while a rotation is on its way. */
KY_MUST_CHECK struct ky_status backup_read_former(const struct sitting *s, struct hsm_backup *out);

/* One per row of the table. */
int cmd_plan(struct cli *cli);
int cmd_check(struct cli *cli);
int cmd_init(struct cli *cli);
int cmd_verify(struct cli *cli);
int cmd_kek_backup(struct cli *cli);
int cmd_kek_restore(struct cli *cli);
int cmd_kek_rotate(struct cli *cli);
int cmd_drill(struct cli *cli);
int cmd_bench(struct cli *cli);

#endif
