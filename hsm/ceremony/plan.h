/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ceremony's one reviewable file (deploy/ceremony.example.yaml): who, M of N, which token. It
 * holds no secret, and its SHA-256 stands in the transcript.
 */
#ifndef CEREMONY_PLAN_H
#define CEREMONY_PLAN_H

#include <stdio.h>

#include "kyso/hsm.h"
#include "share.h"

struct plan_person {
    char *role;
    char *name;
};
struct plan_custodian {
    char *name;
};
struct plan_token {
    char *module;
    char *uri;       /* token=LABEL, and serial= and so on to tell it from others */
    char *init_args; /* optional */
};
struct plan {
    char *id; /* short: it stands in file names and the transcript */
    char *title;
    bool demo;
    uint32_t threshold; /* M */
    struct plan_custodian *custodians;
    uint32_t custodian_count; /* N */
    struct plan_person *people;
    uint32_t person_count;
    char **key_types; /* of citizens' keys: the token must be able to */
    uint32_t key_type_count;
    struct plan_token token;
    char *folder; /* where transcript, backup and public key are written */
    uint8_t sha256[32];
};

/* *out_error: what and where, the caller's to free; may be NULL. Errors: KY_IO, KY_INVALID. */
KY_MUST_CHECK struct ky_status plan_load(const char *path, struct plan **out_plan,
                                         char **out_error);
void plan_free(struct plan **plan);
/* FOLDER/ID.suffix; false when it is too long. */
bool plan_path(const struct plan *plan, const char *suffix, char *out, size_t cap);
/* The script that people follow on paper. */
void plan_print(const struct plan *plan, FILE *out);

#endif
