/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What kyso credential enroll reads and writes. A plan cuts the CSV into batches, the same each time; what a batch brought is one file,
 * written whole, so the files that are there are the journal.
 */
#ifndef KYSO_CLI_ENROLL_H
#define KYSO_CLI_ENROLL_H

#include "cli.h"

struct enroll_person { /* texts point into the plan's */
    uint32_t line;
    uint8_t key_type;
    const char *subject_id, *name, *dn;
    const char *seal_to; /* a certificate's file, or NULL */
};
struct enroll_batch {
    size_t from, count; /* of the people */
};
struct enroll_plan {
    struct ky_buf text;           /* owned */
    struct enroll_person *people; /* owned */
    size_t people_count;
    struct enroll_batch *batches; /* owned */
    size_t batch_count;
};

/* Each says what is wrong, with the line, and returns an enum cli_exit. */
int enroll_plan_load(struct cli *cli, const char *csv, struct enroll_plan *out);
void enroll_plan_free(struct enroll_plan *p);
/* Makes the folder, or takes one that holds batches of this very CSV. */
int enroll_folder_open(struct cli *cli, const char *dir, const struct enroll_plan *p);
bool enroll_is_done(const char *dir, size_t batch);
int enroll_write(struct cli *cli, const char *dir, const struct enroll_plan *p, size_t batch,
                 const Kyso__V1__OperationResult *r);
/* errors.csv of all batches that are done; *out_count rows. */
int enroll_write_errors(struct cli *cli, const char *dir, const struct enroll_plan *p,
                        size_t *out_count);
/* The DER of a certificate's file, malloc'd; path NULL gives nothing. */
int enroll_reader(struct cli *cli, const char *path, ProtobufCBinaryData *out);

#endif
