/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CSV of kyso credential enroll, read whole before anything is sent: a file with a line that is wrong enrols nobody.
 */
#include <stdlib.h>
#include <string.h>

#include "csv.h"
#include "enroll.h"
#include "kyso/alg.h"

#define TEXT_MAX     ((size_t)1024 * 1024 * 1024)
#define BATCH_WEIGHT 100u
#define RSA_WEIGHT   20u  /* five keys: some seconds of a token in software */
#define OWN_WEIGHT   3u   /* a certificate of their own travels with the row */
#define BYTES_WEIGHT 500u /* of text: an operation has 64 KiB */
#define FIELD_MAX    1000u

enum column { SUBJECT_ID, NAME, DN, KEY_TYPE, SEAL_TO, COLUMNS };
static const struct {
    const char *name;
    bool needed;
} columns[COLUMNS] = {
    {"subject_id", true}, {"name", true}, {"dn", true}, {"key_type", false}, {"seal_to", false},
};

struct layout {
    size_t at[COLUMNS]; /* which field, from 1; 0 = not there */
    size_t fields;
};

static int wrong(struct cli *cli, const char *csv, uint32_t line, const char *what)
{
    return cli_fail(cli, CLI_USAGE, "nothing was sent; mend it and start again", "%s, line %u: %s",
                    csv, line, what);
}

static int read_header(struct cli *cli, const char *path, struct csv *c, struct layout *out)
{
    char *fields[CSV_FIELDS_MAX];

    out->fields = csv_next(c, fields);
    if (c->wrong != NULL)
        return wrong(cli, path, c->line, c->wrong);
    for (size_t i = 0; i < out->fields; i++) {
        size_t column = 0;

        while (column < COLUMNS && strcmp(fields[i], columns[column].name) != 0)
            column++;
        if (column == COLUMNS || out->at[column] != 0)
            return wrong(cli, path, c->line,
                         "the first line names each of subject_id,name,dn,key_type,seal_to once; "
                         "the last two may be missing");
        out->at[column] = i + 1;
    }
    for (size_t column = 0; column < COLUMNS; column++)
        if (columns[column].needed && out->at[column] == 0)
            return wrong(cli, path, c->line, "the first line must name subject_id, name and dn");
    return CLI_OK;
}

static const char *field_of(char *const *fields, const struct layout *l, enum column column)
{
    const char *text = l->at[column] != 0 ? fields[l->at[column] - 1] : "";

    return text[0] != '\0' ? text : NULL;
}

/* NULL, or what is wrong. Names and the like the server judges, row by row. */
static const char *read_person(const struct csv *c, char *const *fields, const struct layout *l,
                               struct enroll_person *out)
{
    const char *key_type = field_of(fields, l, KEY_TYPE);

    *out = (struct enroll_person){
        .line = c->line,
        .key_type = key_type != NULL ? ky_key_type_by_name(key_type) : KY_KEY_P256,
        .subject_id = field_of(fields, l, SUBJECT_ID),
        .name = field_of(fields, l, NAME),
        .dn = field_of(fields, l, DN),
        .seal_to = field_of(fields, l, SEAL_TO),
    };
    if (out->subject_id == NULL || out->name == NULL || out->dn == NULL)
        return "subject_id, name and dn may not be empty";
    if (strlen(out->subject_id) > FIELD_MAX || strlen(out->name) > FIELD_MAX ||
        strlen(out->dn) > FIELD_MAX)
        return "subject_id, name or dn is too long";
    return out->key_type == KY_KEY_NONE
               ? "key_type is none of p256, p384, rsa2048, rsa3072, rsa4096"
               : NULL;
}

static void *grow(void *list, size_t n, size_t size)
{
    return n == 0 || (n & (n - 1)) == 0 ? realloc(list, (n == 0 ? 1 : 2 * n) * size) : list;
}

static int read_people(struct cli *cli, const char *path, struct csv *c, struct enroll_plan *p)
{
    char *fields[CSV_FIELDS_MAX];
    struct layout l = {.fields = 0};
    size_t n;
    int rc = read_header(cli, path, c, &l);

    while (rc == CLI_OK && (n = csv_next(c, fields)) > 0) {
        struct enroll_person *more = grow(p->people, p->people_count, sizeof *more);

        if (more == NULL)
            return cli_fail(cli, CLI_FAILED, NULL, "no memory");
        p->people = more;
        const char *what = n != l.fields
                               ? "it has another number of fields than the first line"
                               : read_person(c, fields, &l, &p->people[p->people_count++]);
        if (what != NULL)
            rc = wrong(cli, path, c->line, what);
    }
    if (rc == CLI_OK && c->wrong != NULL)
        rc = wrong(cli, path, c->line, c->wrong);
    return rc == CLI_OK && p->people_count == 0 ? wrong(cli, path, 1, "nobody is named") : rc;
}

static size_t weight_of(const struct enroll_person *p)
{
    bool rsa = p->key_type == KY_KEY_RSA2048 || p->key_type == KY_KEY_RSA3072 ||
               p->key_type == KY_KEY_RSA4096;
    size_t own = p->seal_to != NULL ? OWN_WEIGHT : 0;
    size_t text = (strlen(p->subject_id) + strlen(p->name) + strlen(p->dn)) / BYTES_WEIGHT;

    return rsa ? RSA_WEIGHT : 1 + own + text;
}

static bool cut(struct enroll_plan *p)
{
    size_t at = 0;

    while (at < p->people_count) {
        struct enroll_batch *more = grow(p->batches, p->batch_count, sizeof *more);
        size_t weight = 0;
        size_t from = at;

        if (more == NULL)
            return false;
        p->batches = more;
        while (at < p->people_count && weight + weight_of(&p->people[at]) <= BATCH_WEIGHT)
            weight += weight_of(&p->people[at++]);
        p->batches[p->batch_count++] = (struct enroll_batch){.from = from, .count = at - from};
    }
    return true;
}

int enroll_plan_load(struct cli *cli, const char *csv, struct enroll_plan *out)
{
    struct csv c;
    int rc;

    out->text = KY_BUF_INIT(TEXT_MAX);
    if (!ky_ok(file_read(csv, TEXT_MAX - 1, &out->text)))
        return cli_fail(cli, CLI_USAGE, "it must be a file that you may read", "cannot read %s",
                        csv);
    ky_buf_put(&out->text, "", 1);
    if (out->text.failed)
        return cli_fail(cli, CLI_FAILED, NULL, "no memory");
    c = csv_open((char *)out->text.data, out->text.len - 1);
    rc = read_people(cli, csv, &c, out);
    return rc != CLI_OK || cut(out) ? rc : cli_fail(cli, CLI_FAILED, NULL, "no memory");
}

void enroll_plan_free(struct enroll_plan *p)
{
    ky_buf_free(&p->text);
    free(p->people);
    free(p->batches);
}
