/* SPDX-License-Identifier: Apache-2.0 */
/* What a transcript says was done. Whoever reads one, at a ceremony, in an office or in the server, folds it into this. */
#ifndef CEREMONY_PROGRESS_H
#define CEREMONY_PROGRESS_H

#include "pins.h"
#include "transcript.h"
#include "verify.h"

struct progress { /* read out of a transcript */
    char id[64];  /* of the ceremony */
    uint8_t plan_sha256[32];
    struct share_set custody;  /* the last one that was begun */
    bool custody_whole;        /* every custodian proved possession, every subset was tried */
    bool keys_made;            /* the token has its keys and the backup is written */
    bool closed;               /* and the ledger key signed for it */
    bool restoring;            /* another token was begun since */
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

/* transcript_visit: folds a line into a struct progress, and verifies signatures. */
const char *progress_take(void *progress, const json_t *fields, const struct transcript_sums *sums);

#endif
