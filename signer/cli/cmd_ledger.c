/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso ledger: show what happened, export it, and verify it against its signed checkpoint: the
 * root is recomputed here from the leaves; the server is believed about nothing but, when none is
 * pinned, its key.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>

#include "base64.h"
#include "checkpoint.h"
#include "keys.h"
#include "kyso/alg.h"
#include "kyso/rows.h"
#include "ledger_json.h"
#include "ledger_source.h"
#include "ledger_syslog.h"
#include "ledger_verify.h"
#include "ledger_words.h"

#define LINE_MAX_BYTES     (1024u * 1024u)
#define FIRST_CHECKPOINT_S 15

/* --- show and export ------------------------------------------------------------------------- */

struct printer {
    struct cli *cli;
    FILE *out;
    enum { TEXT, JSON_LINES, SYSLOG } form;
    struct ky_span host; /* SYSLOG: the server's name */
    bool private_data;
    const char *types[CLI_LIST_MAX];
    size_t type_count;
    const char *since, *until;              /* of a time's text; NULL = any */
    json_int_t subject_row, credential_row; /* 0 = any */
    struct ky_buf line;
};

static bool has_type(const struct printer *p, const char *type)
{
    for (size_t i = 0; i < p->type_count; i++)
        if (type != NULL && strcmp(p->types[i], type) == 0)
            return true;
    return p->type_count == 0;
}

/* Does the record name this row: as its own field, as the row that was written, or as what an operation was about? */
static bool names(const json_t *v, enum row_table table, const char *field, json_int_t row,
                  const char *target)
{
    const char *about = json_string_value(json_object_get(v, "target"));

    return row == 0 || json_integer_value(json_object_get(v, field)) == row ||
           (json_integer_value(json_object_get(v, "table")) == (json_int_t)table &&
            json_integer_value(json_object_get(v, "row")) == row) ||
           (about != NULL && target != NULL && strcmp(about, target) == 0);
}

static bool wanted(const struct printer *p, const json_t *v)
{
    const char *at = json_string_value(json_object_get(v, "time"));
    char subject[32];

    (void)snprintf(subject, sizeof subject, "subject-%lld", (long long)p->subject_row);
    return at != NULL && has_type(p, json_string_value(json_object_get(v, "type"))) &&
           (p->since == NULL || strncmp(at, p->since, strlen(p->since)) >= 0) &&
           (p->until == NULL || strncmp(at, p->until, strlen(p->until)) <= 0) &&
           names(v, ROW_SUBJECT, "subject_row", p->subject_row, subject) &&
           names(v, ROW_CREDENTIAL, "credential_row", p->credential_row,
                 cli_get(p->cli, "--credential"));
}

/* What the records call whom the options name. A credential's id tells its row: "c", hex, "-". */
static int find_rows(struct cli *cli, struct printer *p)
{
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    Kyso__V1__ShowSubject show = KYSO__V1__SHOW_SUBJECT__INIT;
    Kyso__V1__OperationResult *r = NULL;
    const char *credential = cli_get(cli, "--credential");
    char *end = NULL;
    int rc = CLI_OK;

    p->since = cli_get(cli, "--since");
    p->until = cli_get(cli, "--until");
    if (credential != NULL) {
        p->credential_row = (json_int_t)strtoul(credential + (credential[0] == 'c'), &end, 16);
        if (credential[0] != 'c' || *end != '-' || p->credential_row == 0)
            return cli_fail(cli, CLI_USAGE, "see: kyso credential list", "%s is no credential's id",
                            credential);
    }
    show.subject_id = (char *)(uintptr_t)cli_get(cli, "--subject");
    if (show.subject_id == NULL)
        return CLI_OK;
    op.op_case = KYSO__V1__OPERATION__OP_SHOW_SUBJECT;
    op.show_subject = &show;
    rc = operator_call(cli, &op, &r);
    if (rc != CLI_OK)
        return rc;
    p->subject_row = r->subject_row;
    kyso__v1__operation_result__free_unpacked(r, NULL);
    return CLI_OK;
}

static void print_record(struct printer *p, const json_t *v)
{
    static const char *const heads[] = {"index", "time", "type", "leaf"};
    const char *key;
    json_t *field;
    const char *at = json_string_value(json_object_get(v, "time"));
    const char *type = json_string_value(json_object_get(v, "type"));

    (void)fprintf(p->out, "%6lld  %.19s  %-12s",
                  (long long)json_integer_value(json_object_get(v, "index")), at != NULL ? at : "",
                  type != NULL ? type : "");
    json_object_foreach((json_t *)(uintptr_t)v, key, field)
    {
        const char *text = json_string_value(field);
        bool head = false;

        for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
            head = head || strcmp(heads[i], key) == 0;
        if (head || (text != NULL && (text[0] == '\0' || strspn(text, "0") == strlen(text))) ||
            (json_is_integer(field) && json_integer_value(field) == 0))
            continue;
        if (json_is_integer(field) && type != NULL)
            text = ledger_word(type, key, json_integer_value(field));
        (void)fprintf(p->out, " %s=", key);
        if (text == NULL)
            (void)json_dumpf(field, p->out, JSON_COMPACT | JSON_ENCODE_ANY);
        else if (strlen(text) > 40 && !p->private_data)
            (void)fprintf(p->out, "%.16s...", text);
        else
            output_clean(p->out, text);
    }
    (void)fputc('\n', p->out);
}

static int print_leaf(void *arg, uint64_t index, struct ky_span leaf, struct ky_span private_data)
{
    struct printer *p = arg;
    json_t *v;
    bool show;

    ky_buf_reset(&p->line);
    if (!ky_ok(
            ledger_leaf_to_json(leaf, p->private_data ? private_data : KY_SPAN(NULL, 0), &p->line)))
        return cli_fail(p->cli, CLI_UNVERIFIED, "see: kyso ledger verify",
                        "record %llu cannot be read", (unsigned long long)index);
    v = json_loadb((const char *)p->line.data, p->line.len, 0, NULL);
    show = wanted(p, v);
    if (show && p->form == JSON_LINES)
        (void)fprintf(p->out, "%.*s\n", (int)p->line.len, (const char *)p->line.data);
    else if (show && p->form == SYSLOG)
        ledger_syslog_record(p->out, v, p->host);
    else if (show)
        print_record(p, v);
    json_decref(v);
    return CLI_OK;
}

int cmd_ledger_show(struct cli *cli)
{
    struct printer p = {.cli = cli,
                        .out = cli->out,
                        .form = cli->json ? JSON_LINES : TEXT,
                        .private_data = cli_has(cli, "--private"),
                        .line = KY_BUF_INIT(LINE_MAX_BYTES)};
    struct ledger_tail t;
    uint64_t from = cli_number(cli, "--from", 0);
    uint64_t last = cli_number(cli, "--last", 0);
    uint64_t limit = cli_number(cli, "--limit", 0);
    int rc;

    p.type_count = cli_all(cli, "--type", p.types, CLI_LIST_MAX);
    ledger_tail_init(&t);
    rc = find_rows(cli, &p);
    if (rc == CLI_OK)
        rc = ledger_server_tail(cli, &t);
    if (last > 0)
        from = t.size > last ? t.size - last : 0;
    if (rc == CLI_OK)
        rc = ledger_server_read(
            cli, from, limit > 0 && from + limit < t.size ? from + limit : t.size, print_leaf, &p);
    ky_buf_free(&p.line);
    ledger_tail_wipe(&t);
    return rc;
}

static void print_tail(const struct printer *p, const struct ledger_tail *t)
{
    json_t *o;

    if (p->form == SYSLOG) {
        ledger_syslog_tail(p->out, t, p->host);
        return;
    }
    o = json_pack("{s:s%,s:o,s:I}", "checkpoint", (const char *)t->checkpoint.data,
                          t->checkpoint.len, "ledger_public_key",
                          output_base64(ky_buf_span(&t->key)), "size", (json_int_t)t->size);

    (void)json_dumpf(o, p->out, JSON_COMPACT);
    (void)fputc('\n', p->out);
    json_decref(o);
}

int cmd_ledger_export(struct cli *cli)
{
    const char *path = cli_get(cli, "--output");
    struct printer p = {.cli = cli,
                        .form = cli_choice(cli, "--format", 1) == 2 ? SYSLOG : JSON_LINES,
                        .private_data = cli_has(cli, "--private"),
                        .line = KY_BUF_INIT(LINE_MAX_BYTES)};
    struct ledger_tail t;
    int rc;

    p.out = path != NULL ? fopen(path, "we") : cli->out;
    if (p.out == NULL)
        return cli_fail(cli, CLI_FAILED, "check the folder and its rights", "cannot write %s",
                        path);
    ledger_tail_init(&t);
    rc = ledger_server_tail(cli, &t);
    p.host = checkpoint_origin(ky_buf_span(&t.checkpoint));
    if (rc == CLI_OK)
        rc = ledger_server_read(cli, 0, t.size, print_leaf, &p);
    if (rc == CLI_OK && t.checkpoint.len > 0)
        print_tail(&p, &t);
    if (path != NULL && fclose(p.out) != 0 && rc == CLI_OK)
        rc = cli_fail(cli, CLI_FAILED, "check the disk", "cannot write %s", path);
    if (rc == CLI_OK && path != NULL)
        output_object(cli, json_pack("{s:s,s:s,s:I}", "message", "Exported.", "file", path,
                                     "records", (json_int_t)t.size));
    ky_buf_free(&p.line);
    ledger_tail_wipe(&t);
    return rc;
}

/* --- verify ---------------------------------------------------------------------------------- */

struct verification {
    struct cli *cli;
    struct ledger_tail tail;
    struct ledger_verifier verifier;
    uint64_t signed_size;
    bool pinned;
};

static uint8_t key_type_of(struct ky_span spki)
{
    const unsigned char *p = spki.data;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)spki.len);
    enum keys_type type = key != NULL ? keys_type_of(key) : KEYS_OTHER;

    EVP_PKEY_free(key);
    return type == KEYS_ED25519 ? KY_KEY_ED25519 : type == KEYS_P256 ? KY_KEY_P256 : KY_KEY_NONE;
}

/* --key is a PEM file, a file with a verifier key, or the verifier key itself. */
static bool key_is(struct verification *v, const char *given)
{
    struct ky_buf text = KY_BUF_INIT(8192);
    struct ky_buf own = KY_BUF_INIT(8192);
    struct ky_span spki = ky_buf_span(&v->tail.key);
    EVP_PKEY *key = keys_load_public(given);
    bool same;

    if (key != NULL) {
        same = ky_ok(keys_spki(key, &own)) && ky_span_eq(ky_buf_span(&own), spki);
    } else {
        if (!ky_ok(file_read(given, 8192, &text)))
            ky_buf_put(&text, given, strlen(given));
        while (text.len > 0 && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r'))
            text.len--;
        same = ky_ok(checkpoint_vkey(checkpoint_origin(ky_buf_span(&v->tail.checkpoint)),
                                     key_type_of(spki), spki, &own)) &&
               ky_span_eq(ky_buf_span(&own), ky_buf_span(&text));
    }
    EVP_PKEY_free(key);
    ky_buf_free(&own);
    ky_buf_free(&text);
    return same;
}

static int pin_key(struct verification *v)
{
    const char *given = cli_get(v->cli, "--key");

    v->pinned = given != NULL;
    if (given == NULL) {
        cli_say(v->cli, "warning: the ledger's key is taken on the source's own word; keep a copy "
                        "and pin it with --key");
        return CLI_OK;
    }
    return key_is(v, given)
               ? CLI_OK
               : cli_fail(v->cli, CLI_UNVERIFIED,
                          "one of them is not the ledger you know: ask before trusting either",
                          "the ledger's key is not the one in %s", given);
}

/* The note's signature; then its size and root are what the leaves must give. */
static int expect_note(struct verification *v, struct ky_span note)
{
    struct ky_span spki = ky_buf_span(&v->tail.key);
    uint64_t size = 0;
    uint8_t root[32];

    if (!ky_ok(
            checkpoint_verify(note, checkpoint_origin(note), key_type_of(spki), spki, &size, root)))
        return cli_fail(v->cli, CLI_UNVERIFIED, "keep both and ask the server's operator",
                        "the checkpoint's signature does not hold under the ledger's key");
    if (size > v->tail.size)
        return cli_fail(v->cli, CLI_UNVERIFIED,
                        "records were cut off: compare with an older export",
                        "the checkpoint covers %llu records, the ledger has %llu",
                        (unsigned long long)size, (unsigned long long)v->tail.size);
    if (size > v->signed_size)
        v->signed_size = size;
    return ky_ok(ledger_verify_expect(&v->verifier, size, root))
               ? CLI_OK
               : cli_fail(v->cli, CLI_FAILED, NULL, "too many checkpoints");
}

static int expect_all(struct verification *v)
{
    const char *path = cli_get(v->cli, "--checkpoint");
    struct ky_buf note = KY_BUF_INIT(CHECKPOINT_NOTE_MAX);
    int rc;

    if (v->tail.checkpoint.len == 0)
        return cli_fail(v->cli, CLI_UNVERIFIED,
                        "the server signs one each checkpoint_interval_s: try again",
                        "there is no signed checkpoint");
    rc = pin_key(v);
    if (rc == CLI_OK)
        rc = expect_note(v, ky_buf_span(&v->tail.checkpoint));
    if (rc == CLI_OK && path != NULL)
        rc = ky_ok(file_read(path, CHECKPOINT_NOTE_MAX, &note))
                 ? expect_note(v, ky_buf_span(&note))
                 : cli_fail(v->cli, CLI_FAILED, "it is the checkpoint_file of the configuration",
                            "cannot read %s", path);
    ky_buf_free(&note);
    return rc;
}

static int verify_leaf(void *arg, uint64_t index, struct ky_span leaf, struct ky_span private_data)
{
    struct verification *v = arg;

    (void)private_data;
    return ky_ok(ledger_verify_leaf(&v->verifier, leaf))
               ? CLI_OK
               : cli_fail(
                     v->cli, CLI_UNVERIFIED,
                     "the ledger was changed: keep it, and compare with an export or a witness",
                     "the ledger does not verify at record %llu", (unsigned long long)index);
}

/* A server that has just started signs its first checkpoint within seconds. */
static int server_tail_with_checkpoint(struct verification *v)
{
    int rc = ledger_server_tail(v->cli, &v->tail);

    for (int i = 0; rc == CLI_OK && v->tail.checkpoint.len == 0 && i < FIRST_CHECKPOINT_S; i++) {
        (void)nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
        rc = ledger_server_tail(v->cli, &v->tail);
    }
    return rc;
}

static void report(struct verification *v)
{
    struct ky_span origin = checkpoint_origin(ky_buf_span(&v->tail.checkpoint));
    struct ky_span spki = ky_buf_span(&v->tail.key);
    struct ky_buf vkey = KY_BUF_INIT(4096);
    uint8_t root[32];
    json_t *o;

    ledger_verify_root(&v->verifier, root);
    o = json_pack("{s:s,s:I,s:o,s:I,s:b}", "message", "The ledger verifies.", "records",
                  (json_int_t)ledger_verify_size(&v->verifier), "root",
                  output_hex(KY_SPAN_OF(root)), "under_checkpoint", (json_int_t)v->signed_size,
                  "key_pinned", v->pinned);
    (void)json_object_set_new(o, "origin", json_stringn((const char *)origin.data, origin.len));
    if (ky_ok(checkpoint_vkey(origin, key_type_of(spki), spki, &vkey))) /* what to pin next time */
        (void)json_object_set_new(o, "key", json_stringn((const char *)vkey.data, vkey.len));
    ky_buf_free(&vkey);
    output_object(v->cli, o);
}

int cmd_ledger_verify(struct cli *cli)
{
    const char *path = cli_get(cli, "--file");
    struct verification v = {.cli = cli};
    int rc;

    ledger_tail_init(&v.tail);
    ledger_verify_init(&v.verifier);
    rc = path != NULL ? ledger_file_tail(cli, path, &v.tail) : server_tail_with_checkpoint(&v);
    if (rc == CLI_OK)
        rc = expect_all(&v);
    if (rc == CLI_OK)
        rc = path != NULL ? ledger_file_read(cli, path, verify_leaf, &v)
                          : ledger_server_read(cli, 0, v.tail.size, verify_leaf, &v);
    if (rc == CLI_OK && !ky_ok(ledger_verify_end(&v.verifier)))
        rc = cli_fail(cli, CLI_UNVERIFIED, "records were cut off: compare with an older export",
                      "the ledger ends before its checkpoint");
    if (rc == CLI_OK)
        report(&v);
    ledger_tail_wipe(&v.tail);
    return rc;
}
