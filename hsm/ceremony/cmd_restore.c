/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso-ceremony kek backup, kek restore and drill: the backup file and M custodians against a blank token. A
 * restored token is the old one to a server: the same keys under the same PINs.
 */
#include "sitting.h"
#include "terminal.h"

static int read_backup(struct sitting *s, struct hsm_backup *out)
{
    const char *path = cli_get(s->cli, "--backup");
    char own[1024];
    struct ky_status st;

    if (path == NULL && backup_path(s, s->progress.kek, own, sizeof(own)))
        path = own;
    st = backup_read(s, path != NULL ? path : "", out);
    if (st.code == KY_CORRUPT)
        return cli_fail(s->cli, CLI_UNVERIFIED, "find the file that the transcript names",
                        "%s is not the backup of this ceremony, or was changed", path);
    if (st.code == KY_CONFLICT)
        return cli_fail(s->cli, CLI_UNVERIFIED, "give the one that was written then",
                        "%s is stale: the KEK was rotated since", path);
    return ky_ok(st) ? CLI_OK : sitting_fail(s, path != NULL ? path : "--backup", st);
}

int cmd_kek_backup(struct cli *cli)
{
    const char *to = cli_get(cli, "OUTPUT");
    char own[1024];
    const char *from = cli_get(cli, "--backup");
    struct ky_buf bytes = KY_BUF_INIT(65536);
    struct hsm_backup b;
    struct sitting s;
    struct ky_status st = KY_STATUS(KY_OK);
    int rc = sitting_open(cli, SITTING_DONE, &s);

    if (rc == CLI_OK)
        rc = read_backup(&s, &b);
    if (rc != CLI_OK)
        goto done;
    if (from == NULL && backup_path(&s, s.progress.kek, own, sizeof(own)))
        from = own;
    st = file_read(from != NULL ? from : "", 65536, &bytes);
    if (ky_ok(st))
        st = file_write(to, ky_buf_span(&bytes), 0644);
    if (ky_ok(st))
        st = backup_read(&s, to,
                         &b); /* from the medium, and still the one that the transcript names */
    if (!ky_ok(st))
        rc = sitting_fail(&s, to, st);
    else
        cli_say(cli, "%s is written and read back; it takes %u custodians to use it", to,
                s.progress.custody.m);
done:
    ky_buf_free(&bytes);
    sitting_close(&s);
    return rc;
}

/* On a blank token, to where its keys are those of the backup. */
static int bring_back(struct sitting *s, const char *label)
{
    struct hsm_backup b;
    int rc = read_backup(s, &b);

    if (rc == CLI_OK && !token_is_there(&s->token, label)) { /* else an interrupted one goes on */
        sitting_step("Step 1. The blank token is tried.");
        rc = sitting_try_token(s);
    }
    if (rc == CLI_OK) {
        sitting_step("Step 2. Custodians bring their shares.");
        rc = custody_gather(s);
    }
    if (rc == CLI_OK) {
        sitting_step("Step 3. The token is named, and gets the keys of the backup.");
        rc = sitting_make_keys(s, label, false, &b);
    }
    if (rc == CLI_OK)
        rc = sitting_demo_pin(s);
    return rc;
}

static json_t *report(const struct sitting *s, const char *event)
{
    char token[160];

    hsm_module_describe(&s->token.vault.module, token, sizeof(token));
    return json_pack("{s:s,s:s,s:o,s:s}", "event", event, "token", token, "backup_sha256",
                     output_hex(KY_SPAN_OF(s->progress.backup_sha256)), "compared",
                     "each key wrapped again gives the backup's bytes");
}

int cmd_kek_restore(struct cli *cli)
{
    struct sitting s;
    int rc = sitting_open(cli, SITTING_DONE | SITTING_TOKEN | SITTING_BLANK, &s);

    if (rc == CLI_OK)
        rc = sitting_record(&s, json_pack("{s:s}", "event", "restore-begun"));
    if (rc == CLI_OK)
        rc = bring_back(&s, NULL);
    if (rc == CLI_OK)
        rc = sitting_reanchor(&s);
    if (rc == CLI_OK) {
        sitting_step("Step 4. The transcript is signed by the restored key.");
        rc = sitting_sign(&s, report(&s, "restored"));
    }
    sitting_close(&s);
    return rc;
}

int cmd_drill(struct cli *cli)
{
    struct sitting s;
    struct ky_status st;
    int rc = sitting_open(cli, SITTING_DONE | SITTING_TOKEN, &s);

    if (rc == CLI_OK)
        rc = bring_back(&s, TOKEN_DRILL);
    if (rc == CLI_OK) {
        sitting_step("Step 4. The report is signed by the restored key; the token is wiped.");
        rc = sitting_sign(&s, report(&s, "drill"));
        st = token_unmake(&s.token, &s.pins);
        if (!ky_ok(st))
            rc =
                sitting_fail(&s, "the drill's token is not wiped: do it with its maker's tool", st);
    }
    sitting_close(&s);
    return rc;
}
