/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a ledger. An exported file has one record a line, and a last line with the checkpoint:
 * {"checkpoint":"...","ledger_public_key":"base64","size":N}.
 */
#include "ledger_source.h"

#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "checkpoint.h"
#include "kyso/ledger.h"

#define KEY_MAX 1024u
#define PAGE    500u

void ledger_tail_init(struct ledger_tail *t)
{
    *t = (struct ledger_tail){.checkpoint = KY_BUF_INIT(CHECKPOINT_NOTE_MAX),
                              .key = KY_BUF_INIT(KEY_MAX)};
}

void ledger_tail_wipe(struct ledger_tail *t)
{
    ky_buf_free(&t->checkpoint);
    ky_buf_free(&t->key);
}

static int read_page(struct cli *cli, uint64_t from, uint32_t limit,
                     Kyso__V1__OperationResult **out)
{
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    Kyso__V1__ReadLedger read = KYSO__V1__READ_LEDGER__INIT;
    int rc;

    read.from = from;
    read.limit = limit;
    op.op_case = KYSO__V1__OPERATION__OP_READ_LEDGER;
    op.read_ledger = &read;
    rc = operator_call(cli, &op, out);
    if (rc == CLI_OK && (*out)->ledger == NULL) {
        kyso__v1__operation_result__free_unpacked(*out, NULL);
        return cli_fail(cli, CLI_FAILED, "are kyso and kysod of the same version?",
                        "the server sent no ledger");
    }
    return rc;
}

int ledger_server_tail(struct cli *cli, struct ledger_tail *t)
{
    Kyso__V1__OperationResult *r = NULL;
    int rc = read_page(cli, 0, 1, &r);

    if (rc != CLI_OK)
        return rc;
    t->size = r->ledger->size;
    ky_buf_reset(&t->checkpoint);
    ky_buf_reset(&t->key);
    ky_buf_put(&t->checkpoint, r->ledger->checkpoint, strlen(r->ledger->checkpoint));
    ky_buf_put(&t->key, r->ledger->ledger_public_key.data, r->ledger->ledger_public_key.len);
    kyso__v1__operation_result__free_unpacked(r, NULL);
    return t->checkpoint.failed || t->key.failed
               ? cli_fail(cli, CLI_UNVERIFIED, "ask the server's operator",
                          "the server's checkpoint is too long to be one")
               : CLI_OK;
}

static int visit_page(struct cli *cli, const Kyso__V1__LedgerChunk *chunk, uint64_t *from,
                      uint64_t to, ledger_visit visit, void *arg)
{
    for (size_t i = 0; i < chunk->n_records && *from < to; i++) {
        const Kyso__V1__LedgerRecord *r = chunk->records[i];
        int rc;

        if (r->index != *from)
            return cli_fail(cli, CLI_UNVERIFIED, "keep what there is and ask the server's operator",
                            "record %llu is missing from the ledger", (unsigned long long)*from);
        rc = visit(arg, r->index, KY_SPAN(r->leaf.data, r->leaf.len),
                   KY_SPAN(r->private_data.data, r->private_data.len));
        if (rc != CLI_OK)
            return rc;
        ++*from;
    }
    return CLI_OK;
}

int ledger_server_read(struct cli *cli, uint64_t from, uint64_t to, ledger_visit visit, void *arg)
{
    int rc = CLI_OK;

    while (rc == CLI_OK && from < to) {
        Kyso__V1__OperationResult *r = NULL;
        uint64_t before = from;

        rc = read_page(cli, from, to - from < PAGE ? (uint32_t)(to - from) : PAGE, &r);
        if (rc != CLI_OK)
            return rc;
        rc = visit_page(cli, r->ledger, &from, to, visit, arg);
        kyso__v1__operation_result__free_unpacked(r, NULL);
        if (rc == CLI_OK && from == before)
            rc = cli_fail(cli, CLI_UNVERIFIED, "keep what there is and ask the server's operator",
                          "the ledger ends at record %llu of %llu", (unsigned long long)from,
                          (unsigned long long)to);
    }
    return rc;
}

/* Calls back for each line of JSON. */
static int each_line(struct cli *cli, const char *path,
                     int (*line)(void *arg, struct cli *cli, const json_t *v), void *arg)
{
    FILE *f = fopen(path, "re");
    char *text = NULL;
    size_t cap = 0;
    size_t number = 0;
    ssize_t n;
    int rc = CLI_OK;

    if (f == NULL)
        return cli_fail(cli, CLI_FAILED, "make one: kyso ledger export --output FILE",
                        "cannot read %s", path);
    while (rc == CLI_OK && (n = getline(&text, &cap, f)) > 0) {
        json_t *v = json_loadb(text, (size_t)n, 0, NULL);

        number++;
        rc = json_is_object(v) ? line(arg, cli, v)
                               : cli_fail(cli, CLI_UNVERIFIED, "it was changed or cut",
                                          "%s: line %zu is not JSON", path, number);
        json_decref(v);
    }
    free(text);
    (void)fclose(f);
    return rc;
}

static int tail_line(void *arg, struct cli *cli, const json_t *v)
{
    struct ledger_tail *t = arg;
    const json_t *checkpoint = json_object_get(v, "checkpoint");
    const char *note = json_string_value(checkpoint);
    const char *key = json_string_value(json_object_get(v, "ledger_public_key"));

    if (checkpoint == NULL) {
        t->size++;
        return CLI_OK;
    }
    ky_buf_reset(&t->checkpoint);
    ky_buf_reset(&t->key);
    if (note != NULL)
        ky_buf_put(&t->checkpoint, note, strlen(note));
    if (note == NULL || key == NULL || !ky_ok(base64_get(ky_span_text(key), &t->key)) ||
        t->checkpoint.failed)
        return cli_fail(cli, CLI_UNVERIFIED, "export it again",
                        "the exported checkpoint cannot be read");
    return CLI_OK;
}

int ledger_file_tail(struct cli *cli, const char *path, struct ledger_tail *t)
{
    t->size = 0;
    return each_line(cli, path, tail_line, t);
}

struct file_visit {
    ledger_visit visit;
    void *arg;
};

static int record_line(void *arg, struct cli *cli, const json_t *v)
{
    struct file_visit *f = arg;
    struct ky_buf leaf = KY_BUF_INIT(LEDGER_LEAF_MAX);
    const char *text = json_string_value(json_object_get(v, "leaf"));
    int rc = CLI_OK;

    if (json_object_get(v, "checkpoint") != NULL)
        return CLI_OK;
    if (text == NULL || !ky_ok(base64_get(ky_span_text(text), &leaf)))
        rc = cli_fail(cli, CLI_UNVERIFIED, "export it again", "a record has no readable leaf");
    else
        rc = f->visit(f->arg, (uint64_t)json_integer_value(json_object_get(v, "index")),
                      ky_buf_span(&leaf), KY_SPAN(NULL, 0));
    ky_buf_free(&leaf);
    return rc;
}

int ledger_file_read(struct cli *cli, const char *path, ledger_visit visit, void *arg)
{
    struct file_visit f = {.visit = visit, .arg = arg};

    return each_line(cli, path, record_line, &f);
}
