/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso-ceremony init: trial, custody, token, keys, closing. Each step is done when its line is in the transcript;
 * run again, it goes on after the last one, with M custodians where the secrets are needed.
 */
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "sitting.h"
#include "terminal.h"

static json_t *people_of(const struct plan *plan)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < plan->person_count; i++)
        (void)json_array_append_new(list, json_pack("{s:s,s:s}", "role", plan->people[i].role,
                                                    "name", plan->people[i].name));
    for (uint32_t i = 0; i < plan->custodian_count; i++)
        (void)json_array_append_new(
            list, json_pack("{s:s,s:s}", "role", "custodian", "name", plan->custodians[i].name));
    return list;
}

static int begin(struct sitting *s)
{
    const struct plan *p = s->plan;

    terminal_say("%s\nCeremony %s, %u of %u custodians%s", p->title, p->id, p->threshold,
                 p->custodian_count, p->demo ? ", A DEMONSTRATION" : "");
    if (s->progress.closed)
        return cli_fail(s->cli, CLI_FAILED, "for another token: kyso-ceremony kek restore",
                        "this ceremony is closed: the token has its keys");
    if (s->transcript.lines > 0) {
        terminal_say("It was interrupted, and goes on.");
        return sitting_record(
            s, json_pack("{s:s,s:b}", "event", "resumed", "cut_line", (int)s->transcript.cut));
    }
    return sitting_record(s, json_pack("{s:s,s:s,s:s,s:s,s:o,s:b,s:i,s:o,s:s}", "event", "begin",
                                       "format", "kyso-ceremony-transcript-1", "ceremony", p->id,
                                       "title", p->title, "plan_sha256",
                                       output_hex(KY_SPAN_OF(p->sha256)), "demo", (int)p->demo,
                                       "threshold", (int)p->threshold, "people", people_of(p),
                                       "program", "kyso-ceremony " KYSO_VERSION));
}

/* The ledger's public key, for verify and for auditors. */
static int write_public_key(struct sitting *s)
{
    const uint8_t *der = s->keys.ledger_spki;
    char path[1024];
    EVP_PKEY *key = d2i_PUBKEY(NULL, &der, (long)s->keys.ledger_spki_len);
    BIO *pem = BIO_new(BIO_s_mem());
    char *text = NULL;
    long len = 0;
    struct ky_status st = KY_STATUS(KY_NOMEM);

    if (key != NULL && pem != NULL && PEM_write_bio_PUBKEY(pem, key) == 1 &&
        (len = BIO_get_mem_data(pem, &text)) > 0)
        st = plan_path(s->plan, "ledger.pub", path, sizeof(path))
                 ? file_write(path, KY_SPAN((uint8_t *)text, (size_t)len), 0644)
                 : KY_STATUS(KY_INVALID);
    BIO_free(pem);
    EVP_PKEY_free(key);
    return ky_ok(st) ? CLI_OK : sitting_fail(s, "the ledger's public key", st);
}

static int hold(struct sitting *s)
{
    struct hsm_backup b;
    bool resumed = s->progress.custody_whole;
    int rc = begin(s);

    if (rc == CLI_OK && !resumed) {
        sitting_step("Step 1. The token is tried, and wiped.");
        rc = sitting_try_token(s);
    }
    if (rc == CLI_OK) {
        sitting_step(resumed ? "Step 2. Custodians bring their shares."
                             : "Step 2. Custodians get their shares.");
        rc = resumed ? custody_gather(s) : custody_give(s);
    }
    if (rc == CLI_OK) {
        sitting_step("Step 3. The token is named, and its keys are made and backed up.");
        if (!terminal_pause("Press Enter to go on. "))
            rc = cli_fail(s->cli, CLI_FAILED, "run the same command again", "the terminal is gone");
    }
    if (rc == CLI_OK)
        rc = sitting_make_keys(s, NULL, true, &b);
    if (rc == CLI_OK)
        rc = write_public_key(s);
    if (rc == CLI_OK)
        rc = sitting_demo_pin(s);
    if (rc != CLI_OK)
        return rc;
    sitting_step("Step 4. The transcript is closed.");
    return sitting_sign(s, json_pack("{s:s}", "event", "closed"));
}

int cmd_init(struct cli *cli)
{
    struct sitting s;
    int rc = sitting_open(cli, SITTING_NEW | SITTING_TOKEN | SITTING_BLANK, &s);

    if (rc == CLI_OK)
        rc = hold(&s);
    sitting_close(&s);
    return rc;
}
