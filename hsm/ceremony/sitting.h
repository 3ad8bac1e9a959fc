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
#include "progress.h"
#include "token.h"
#include "transcript.h"

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
enum custody_typed { TYPED_FINE, TYPED_AGAIN, TYPED_GONE };
/*
 * The two lines of one share, into SHARE_LEN bytes. *custodian: 0 for whoever's they are. A mistyped line is asked
 * for again; the word "again" gives the share up.
 */
enum custody_typed custody_type(const struct share_set *set, enum share_kind kind,
                                uint32_t *custodian, struct ky_secret *share);

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
int cmd_activate(struct cli *cli);
int cmd_verify(struct cli *cli);
int cmd_kek_backup(struct cli *cli);
int cmd_kek_restore(struct cli *cli);
int cmd_kek_rotate(struct cli *cli);
int cmd_drill(struct cli *cli);
int cmd_bench(struct cli *cli);

#endif
