/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A restored token knows no ledger, and a server refuses one that its token does not know. Custodians can say which
 * it is: the newest published checkpoint, signed by the very key that was restored, becomes the token's anchor. A
 * database that is older than it, or has forked from it, stays refused.
 */
#include <string.h>

#include "anchor.h"
#include "checkpoint.h"
#include "sign.h"
#include "sitting.h"
#include "terminal.h"

struct ky_status sitting_state_key(struct sitting *s, struct ky_secret *out)
{
    uint8_t key[32];
    struct ky_status st =
        hsm_hmac(&s->token.worker.session, s->keys.root, ky_span_text("state"), key);

    if (ky_ok(st))
        st = ky_secret_set(out, KY_SPAN_OF(key));
    ky_wipe(key, sizeof(key));
    return st;
}

static struct ky_status write_anchor(struct sitting *s, const struct anchor *a)
{
    struct ky_secret key = {.bytes = NULL};
    struct ky_buf value = KY_BUF_INIT(ANCHOR_LEN);
    struct hsm_job job = {.type = JOB_ANCHOR_WRITE};
    struct ky_status st = sitting_state_key(s, &key);

    if (ky_ok(st)) {
        anchor_encode(a, &key, &value);
        job.in.anchor.value = ky_buf_span(&value);
        st = value.failed ? KY_STATUS(KY_NOMEM) : hsm_job_anchor_write(&s->token.worker, &job);
    }
    ky_buf_free(&value);
    ky_secret_wipe(&key);
    return st;
}

int sitting_reanchor(struct sitting *s)
{
    const char *path = cli_get(s->cli, "--checkpoint");
    struct ky_buf note = KY_BUF_INIT(CHECKPOINT_NOTE_MAX);
    struct anchor a = {.sequence = 1};
    struct ky_status st;
    int rc = CLI_OK;

    if (path == NULL)
        return CLI_OK;
    st = file_read(path, CHECKPOINT_NOTE_MAX, &note);
    if (!ky_ok(st)) {
        rc = sitting_fail(s, path, st);
        goto done;
    }
    st = checkpoint_verify(ky_buf_span(&note), checkpoint_origin(ky_buf_span(&note)),
                           s->keys.ledger_type,
                           KY_SPAN(s->keys.ledger_spki, s->keys.ledger_spki_len), &a.size, a.root);
    if (!ky_ok(st)) {
        rc = cli_fail(s->cli, CLI_UNVERIFIED, "give the newest one that this server has published",
                      "%s is no checkpoint that the restored key has signed", path);
        goto done;
    }
    st = write_anchor(s, &a);
    if (!ky_ok(st)) {
        rc = sitting_fail(s, "the token's anchor", st);
        goto done;
    }
    terminal_say("The token takes the ledger of %llu records that %s names, or a longer one of it.",
                 (unsigned long long)a.size, path);
    rc = sitting_record(s, json_pack("{s:s,s:I,s:o}", "event", "anchored", "records",
                                     (json_int_t)a.size, "root", output_hex(KY_SPAN_OF(a.root))));
done:
    ky_buf_free(&note);
    return rc;
}
