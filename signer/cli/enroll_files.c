/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folder of kyso credential enroll: `people` (which CSV it is of), a file of JSON lines for each batch, errors.csv and, where asked
 * for, two files a person. A batch's file comes last and whole: what is missing is asked for again, and the server doubles nothing.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "enroll.h"
#include "keys.h"
#include "kyso/alg.h"

#define FILE_MAX ((size_t)8 * 1024 * 1024)

static const char error_start[] = "{\"error\":"; /* how the line of a row that failed begins */

static int cannot_write(struct cli *cli, const char *path)
{
    return cli_fail(cli, CLI_FAILED,
                    "check the folder, its rights and its disk, then repeat the command: it goes on",
                    "cannot write %s: %s", path, strerror(errno));
}

static void batch_path(char out[PATH_MAX], const char *dir, size_t batch)
{
    (void)snprintf(out, PATH_MAX, "%s/%06zu.jsonl", dir, batch + 1);
}

/* The people and how they are cut, so that a changed file is not taken for the same. */
static void describe(const struct enroll_plan *p, char out[128])
{
    struct ky_buf b = KY_BUF_INIT((size_t)1024 * 1024 * 1024);
    uint8_t hash[32];
    int n;

    for (size_t i = 0; i < p->people_count; i++) {
        const struct enroll_person *one = &p->people[i];
        const char *texts[] = {one->subject_id, one->name, one->dn,
                               one->seal_to != NULL ? one->seal_to : ""};

        for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++)
            ky_buf_put(&b, texts[t], strlen(texts[t]) + 1);
        ky_buf_put(&b, &one->key_type, 1);
    }
    ky_sha256(ky_buf_span(&b), hash);
    ky_buf_free(&b);
    n = snprintf(out, 128, "%zu people in %zu batches ", p->people_count, p->batch_count);
    for (size_t i = 0; i < sizeof hash; i++)
        n += snprintf(out + n, 128 - (size_t)n, "%02x", hash[i]);
    (void)snprintf(out + n, 128 - (size_t)n, "\n");
}

int enroll_folder_open(struct cli *cli, const char *dir, const struct enroll_plan *p)
{
    char path[PATH_MAX];
    char is[128];
    struct ky_buf was = KY_BUF_INIT(256);
    struct ky_status st;
    int rc = CLI_OK;

    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return cannot_write(cli, dir);
    (void)snprintf(path, sizeof path, "%s/people", dir);
    describe(p, is);
    st = file_read(path, 255, &was);
    if (st.cause == ENOENT)
        st = file_write(path, ky_span_text(is), 0600);
    else if (ky_ok(st) && !ky_span_eq(ky_buf_span(&was), ky_span_text(is)))
        rc = cli_fail(cli, CLI_USAGE, "give the file it was begun with, or another folder",
                      "%s holds another enrolment", dir);
    ky_buf_free(&was);
    return rc != CLI_OK || ky_ok(st) ? rc : cannot_write(cli, path);
}

bool enroll_is_done(const char *dir, size_t batch)
{
    char path[PATH_MAX];

    batch_path(path, dir, batch);
    return file_exists(path);
}

/* --- what a batch brought --------------------------------------------------------------------------------- */

static json_t *line_of(const struct enroll_person *p, const Kyso__V1__EnrolledCitizen *e)
{
    json_t *o = json_object();

    if (e->error[0] != '\0')
        (void)json_object_set_new(o, "error", json_string(e->error));
    (void)json_object_set_new(o, "line", json_integer(p->line));
    (void)json_object_set_new(o, "subject_id", json_string(p->subject_id));
    if (e->error[0] != '\0')
        return o;
    (void)json_object_set_new(o, "credential_id", json_string(e->credential_id));
    if (e->csr.len > 0)
        (void)json_object_set_new(o, "csr", output_base64(KY_SPAN(e->csr.data, e->csr.len)));
    if (e->authenticator_id[0] != '\0')
        (void)json_object_set_new(o, "authenticator_id", json_string(e->authenticator_id));
    if (e->sealed_seed.len > 0)
        (void)json_object_set_new(
            o, "sealed_seed", output_base64(KY_SPAN(e->sealed_seed.data, e->sealed_seed.len)));
    return o;
}

static bool put_line(struct ky_buf *out, json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT);
    bool ok = text != NULL;

    if (ok) {
        ky_buf_put(out, text, strlen(text));
        ky_buf_put(out, "\n", 1);
    }
    free(text);
    json_decref(line);
    return ok && !out->failed;
}

static int write_own(struct cli *cli, const char *dir, const char *id, const char *kind,
                     struct ky_span bytes)
{
    char path[PATH_MAX];

    (void)snprintf(path, sizeof path, "%s/%s.%s", dir, id, kind);
    return bytes.len == 0 || ky_ok(file_write(path, bytes, 0600)) ? CLI_OK
                                                                  : cannot_write(cli, path);
}

/* A subject id that the server took is a name: no path. */
static int split(struct cli *cli, const char *dir, const char *id,
                 const Kyso__V1__EnrolledCitizen *e)
{
    struct ky_buf pem = KY_BUF_INIT(64u * 1024u);
    int rc = CLI_OK;

    if (e->error[0] == '\0' && e->csr.len > 0 &&
        keys_put_pem(&pem, "CERTIFICATE REQUEST", KY_SPAN(e->csr.data, e->csr.len)))
        rc = write_own(cli, dir, id, "csr", ky_buf_span(&pem));
    if (e->error[0] == '\0' && rc == CLI_OK)
        rc = write_own(cli, dir, id, "p7m", KY_SPAN(e->sealed_seed.data, e->sealed_seed.len));
    ky_buf_free(&pem);
    return rc;
}

int enroll_write(struct cli *cli, const char *dir, const struct enroll_plan *p, size_t batch,
                 const Kyso__V1__OperationResult *r)
{
    const struct enroll_batch *b = &p->batches[batch];
    struct ky_buf lines = KY_BUF_INIT(FILE_MAX);
    char path[PATH_MAX];
    int rc = CLI_OK;

    batch_path(path, dir, batch);
    for (size_t i = 0; i < b->count && rc == CLI_OK; i++) {
        const struct enroll_person *one = &p->people[b->from + i];

        if (!put_line(&lines, line_of(one, r->enrolled[i])))
            rc = cli_fail(cli, CLI_FAILED, NULL, "no memory");
        else if (cli_has(cli, "--split"))
            rc = split(cli, dir, one->subject_id, r->enrolled[i]);
    }
    if (rc == CLI_OK && !ky_ok(file_write(path, ky_buf_span(&lines), 0600)))
        rc = cannot_write(cli, path);
    ky_buf_free(&lines);
    return rc;
}

/* --- errors.csv ----------------------------------------------------------------------------------------------- */

static void put_quoted(struct ky_buf *out, const char *text)
{
    ky_buf_put(out, "\"", 1);
    for (; *text != '\0'; text++)
        ky_buf_put(out, *text == '"' ? "\"\"" : text, *text == '"' ? 2 : 1);
    ky_buf_put(out, "\"", 1);
}

static void put_error(struct ky_buf *out, json_t *line)
{
    char number[16];
    const char *id = json_string_value(json_object_get(line, "subject_id"));
    const char *error = json_string_value(json_object_get(line, "error"));
    int n = snprintf(number, sizeof number, "%u,",
                     (unsigned)json_integer_value(json_object_get(line, "line")));

    ky_buf_put(out, number, (size_t)n);
    put_quoted(out, id != NULL ? id : "");
    ky_buf_put(out, ",", 1);
    put_quoted(out, error != NULL ? error : "");
    ky_buf_put(out, "\n", 1);
}

static size_t gather_errors(struct ky_span lines, struct ky_buf *out)
{
    size_t n = 0;
    size_t at = 0;

    while (at < lines.len) {
        const uint8_t *end = memchr(lines.data + at, '\n', lines.len - at);
        size_t len = end != NULL ? (size_t)(end - lines.data) - at : lines.len - at;
        bool failed = len > sizeof error_start &&
                      ky_span_eq(KY_SPAN(lines.data + at, sizeof error_start - 1),
                                 ky_span_text(error_start));
        json_t *line = failed ? json_loadb((const char *)lines.data + at, len, 0, NULL) : NULL;

        if (line != NULL) {
            put_error(out, line);
            n++;
        }
        json_decref(line);
        at += len + 1;
    }
    return n;
}

int enroll_write_errors(struct cli *cli, const char *dir, const struct enroll_plan *p,
                        size_t *out_count)
{
    static const char head[] = "line,subject_id,error\n";
    struct ky_buf errors = KY_BUF_INIT((size_t)256 * 1024 * 1024);
    struct ky_buf lines = KY_BUF_INIT(FILE_MAX);
    char path[PATH_MAX];
    int rc = CLI_OK;

    *out_count = 0;
    ky_buf_put(&errors, head, sizeof head - 1);
    for (size_t i = 0; i < p->batch_count; i++) {
        batch_path(path, dir, i);
        ky_buf_reset(&lines);
        if (ky_ok(file_read(path, FILE_MAX, &lines)))
            *out_count += gather_errors(ky_buf_span(&lines), &errors);
    }
    (void)snprintf(path, sizeof path, "%s/errors.csv", dir);
    if (errors.failed || !ky_ok(file_write(path, ky_buf_span(&errors), 0600)))
        rc = cannot_write(cli, path);
    ky_buf_free(&lines);
    ky_buf_free(&errors);
    return rc;
}

int enroll_reader(struct cli *cli, const char *path, ProtobufCBinaryData *out)
{
    X509 *x = NULL;
    uint8_t *der = NULL;
    int n = -1;

    if (path == NULL)
        return CLI_OK;
    if (keys_load_certificates(path, &x, 1) == 1)
        n = i2d_X509(x, &der);
    X509_free(x);
    uint8_t *copy = n > 0 ? malloc((size_t)n) : NULL;
    if (copy != NULL) {
        memcpy(copy, der, (size_t)n);
        *out = (ProtobufCBinaryData){.len = (size_t)n, .data = copy};
    }
    OPENSSL_free(der);
    return copy != NULL ? CLI_OK
                        : cli_fail(cli, CLI_USAGE, "it must be a PEM or DER certificate",
                                   "cannot read %s", path);
}
