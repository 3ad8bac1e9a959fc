/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso-ceremony verify: an auditor's reading of a transcript, with nothing but the file and the ledger's public key.
 * It needs no token and no plan.
 */
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "sitting.h"

struct reading {
    struct cli *cli;
    struct progress progress;
    uint8_t wanted[32]; /* --ledger-sha256 */
    bool wants, found;
};

/* A line for people: number, time, event, and what else it says. */
static void print_line(FILE *out, const json_t *fields)
{
    const char *name;
    json_t *value;

    (void)fprintf(out, "%4lld  ", (long long)json_integer_value(json_object_get(fields, "n")));
    output_clean(out, json_string_value(json_object_get(fields, "time")));
    (void)fputs("  ", out);
    output_clean(out, json_string_value(json_object_get(fields, "event")));
    json_object_foreach((json_t *)(uintptr_t)fields, name, value)
    {
        char *text = NULL;

        if (strcmp(name, "n") == 0 || strcmp(name, "time") == 0 || strcmp(name, "event") == 0 ||
            strcmp(name, "prev") == 0 || strcmp(name, "signature") == 0)
            continue;
        text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        (void)fprintf(out, "\n        %s ", name);
        output_clean(out, text != NULL ? text : "-");
        free(text);
    }
    (void)fputc('\n', out);
}

static const char *visit(void *context, const json_t *fields, const struct transcript_sums *sums)
{
    struct reading *r = context;
    const char *no = progress_take(&r->progress, fields, sums);

    if (no == NULL && json_string_value(json_object_get(fields, "time")) == NULL)
        no = "tells no time";
    if (no == NULL && !r->cli->json)
        print_line(r->cli->out, fields);
    r->found = r->found || (r->wants && sums->is_signed &&
                            ky_span_eq(KY_SPAN_OF(sums->file_sha256), KY_SPAN_OF(r->wanted)));
    return no;
}

/* The transcript's key is the one in the file. */
static int compare_key(struct reading *r, const char *path)
{
    FILE *f = fopen(path, "re");
    EVP_PKEY *key = f != NULL ? PEM_read_PUBKEY(f, NULL, NULL, NULL) : NULL;
    uint8_t *der = NULL;
    int len = key != NULL ? i2d_PUBKEY(key, &der) : 0;
    bool same =
        len > 0 && ky_span_eq(KY_SPAN(der, (size_t)len),
                              KY_SPAN(r->progress.ledger_spki, r->progress.ledger_spki_len));

    OPENSSL_free(der);
    EVP_PKEY_free(key);
    if (f != NULL)
        (void)fclose(f);
    if (len <= 0)
        return cli_fail(r->cli, CLI_USAGE, NULL, "%s holds no public key in PEM", path);
    return same ? CLI_OK
                : cli_fail(r->cli, CLI_UNVERIFIED, "find out whose ceremony this is",
                           "the transcript is signed by another key than %s", path);
}

static int judge(struct reading *r, const struct transcript *t)
{
    const char *key = cli_get(r->cli, "--key");

    if (!t->ends_signed || !r->progress.closed)
        return cli_fail(
            r->cli, CLI_UNVERIFIED, "a sitting that was interrupted is finished first",
            "the last line is not signed: what was after the last signature may have been cut");
    if (r->wants && !r->found)
        return cli_fail(r->cli, CLI_UNVERIFIED, "one of the two is not of this ceremony",
                        "the hash on the server's ledger is of another transcript");
    return key != NULL ? compare_key(r, key) : CLI_OK;
}

static void print_verdict(struct reading *r, const struct transcript *t)
{
    uint8_t fingerprint[32];
    json_t *o;

    ky_sha256(KY_SPAN(r->progress.ledger_spki, r->progress.ledger_spki_len), fingerprint);
    o = json_pack(
        "{s:s,s:s,s:I,s:i,s:o,s:b}", "message",
        "every line follows from the one before, and the ledger key signed for all of them",
        "ceremony", r->progress.id, "lines", (json_int_t)t->lines, "signatures",
        (int)r->progress.signatures, "ledger_key_sha256", output_hex(KY_SPAN_OF(fingerprint)),
        "key_was_given", cli_get(r->cli, "--key") != NULL);
    output_object(r->cli, o);
    if (cli_get(r->cli, "--key") == NULL)
        cli_say(r->cli, "The key is the transcript's own word: compare its SHA-256 with the paper, "
                        "or give --key.");
}

int cmd_verify(struct cli *cli)
{
    struct reading r = {.cli = cli};
    struct transcript t;
    const char *error = NULL;
    const char *path = cli_get(cli, "TRANSCRIPT");
    const char *wanted = cli_get(cli, "--ledger-sha256");
    struct ky_status st;
    int rc;

    r.wants = wanted != NULL;
    if (r.wants && cli_hex(wanted, r.wanted, sizeof(r.wanted)) != (int)sizeof(r.wanted))
        return cli_fail(cli, CLI_USAGE, NULL, "--ledger-sha256 takes 64 hex digits");
    st = transcript_read(path, false, visit, &r, &t, &error);
    if (st.code == KY_CORRUPT)
        rc = cli_fail(cli, CLI_UNVERIFIED, "it is not what was written at the ceremony",
                      "%s: line %u %s", path, st.cause, error);
    else if (!ky_ok(st))
        rc = cli_fail(cli, CLI_FAILED, NULL, "%s: %s", path, strerror((int)st.cause));
    else
        rc = judge(&r, &t);
    if (rc == CLI_OK)
        print_verdict(&r, &t);
    hsm_verifier_wipe(&r.progress.verifier);
    return rc;
}
