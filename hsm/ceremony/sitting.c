/* SPDX-License-Identifier: Apache-2.0 */
/* What every command with people in the room begins and ends with. One thread. */
#include "sitting.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "ckr.h"
#include "sign.h"
#include "terminal.h"

int sitting_fail(struct sitting *s, const char *what, struct ky_status st)
{
    const bool full = st.cause == CKR_DEVICE_MEMORY && (st.code == KY_BUSY || st.code == KY_TOKEN_REQUEST);
    const bool away = st.code == KY_TOKEN_MODULE &&
                      (st.cause == CKR_LIBRARY_LOAD_FAILED || st.cause == CKR_TOKEN_NOT_PRESENT ||
                       st.cause == CKR_DEVICE_REMOVED || st.cause == CKR_SLOT_ID_INVALID);
    const char *why = full || (st.code >= KY_TOKEN_REQUEST && st.code <= KY_TOKEN_MODULE)
                          ? hsm_ckr_name(st.cause)
                      : st.code == KY_IO ? strerror((int)st.cause)
                                         : ky_code_info(st.code)->name;

    return cli_fail(s->cli, full ? CLI_TOKEN_FULL : away ? CLI_NO_TOKEN : CLI_FAILED,
                    full   ? "the token has no room: take another one, or remove what is not Kyso's"
                    : away ? "connect the token, and check token.module of the plan"
                           : "nothing is half done: run the same command again",
                    "%s: %s", what, why);
}

void sitting_step(const char *what)
{
    char text[32];

    terminal_say("\n[%s] %s", output_time(time(NULL), text), what);
}

static int read_transcript(struct sitting *s, const char *path, unsigned needs)
{
    const char *error = NULL;
    struct ky_status st =
        transcript_read(path, true, progress_take, &s->progress, &s->transcript, &error);

    if (st.code == KY_IO && st.cause == ENOENT && (needs & SITTING_NEW)) {
        s->transcript = (struct transcript){.fd = -1};
        st = KY_STATUS(KY_OK);
    } else if (st.code == KY_CORRUPT) {
        return cli_fail(s->cli, CLI_UNVERIFIED, "keep it as evidence; it is not written to",
                        "%s: line %u %s", path, st.cause, error);
    } else if (ky_ok(st) && s->transcript.lines > 0 &&
               !ky_span_eq(KY_SPAN_OF(s->progress.plan_sha256), KY_SPAN_OF(s->plan->sha256))) {
        return cli_fail(s->cli, CLI_USAGE, "give the plan that it was begun with",
                        "%s was begun with another plan", path);
    }
    if (ky_ok(st) && (needs & SITTING_DONE) && !s->progress.closed)
        return cli_fail(s->cli, CLI_USAGE, "finish it first: kyso-ceremony init",
                        "the ceremony is not closed");
    return ky_ok(st) ? CLI_OK : sitting_fail(s, path, st);
}

static int open_transcript(struct sitting *s, unsigned needs)
{
    char path[1024];
    struct ky_status st;
    int rc;

    if (mkdir(s->plan->folder, 0700) != 0 && errno != EEXIST)
        return sitting_fail(s, s->plan->folder, KY_STATUS_CAUSE(KY_IO, errno));
    if (!plan_path(s->plan, "transcript.jsonl", path, sizeof(path)))
        return sitting_fail(s, "folder", KY_STATUS(KY_INVALID));
    rc = read_transcript(s, path, needs);
    if (rc != CLI_OK)
        return rc;
    st = transcript_open(path, &s->transcript);
    return ky_ok(st) ? CLI_OK : sitting_fail(s, path, st);
}

static int open_token(struct sitting *s, unsigned needs)
{
    const struct progress *p = &s->progress;
    const char *uri = cli_get(s->cli, "--uri");
    struct ky_status st = token_open(s->plan, &s->token);

    if (!ky_ok(st))
        return sitting_fail(s, s->plan->token.module, st);
    if (uri != NULL)
        s->token.config.token_uri = uri;
    /* The very one that a sitting of this ceremony had begun to make is wiped: it has no key that is in use. */
    if ((needs & SITTING_BLANK) && token_is_there(&s->token, NULL) &&
        !((p->closed ? p->restoring : p->custody_whole) && token_is(&s->token, NULL, p->serial)))
        return cli_fail(s->cli, CLI_FAILED, "a ceremony never writes over a token that is in use",
                        "there is a token already that fits %s", s->token.config.token_uri);
    return CLI_OK;
}

int sitting_open(struct cli *cli, unsigned needs, struct sitting *s)
{
    char *error = NULL;
    struct ky_status st;
    int rc = CLI_OK;

    *s = (struct sitting){.cli = cli, .transcript.fd = -1};
    if ((needs & SITTING_TOKEN) && (needs & (SITTING_NEW | SITTING_DONE)) && !terminal_open())
        return CLI_USAGE;
    st = plan_load(cli_get(cli, "PLAN"), &s->plan, &error);
    if (!ky_ok(st)) {
        rc =
            cli_fail(cli, CLI_USAGE, NULL, "%s", error != NULL ? error : "the plan cannot be read");
        free(error);
        return rc;
    }
    if (needs & (SITTING_NEW | SITTING_DONE))
        rc = open_transcript(s, needs);
    if (rc != CLI_OK)
        return rc;
    if (cli_get(cli, "--demo-pin-file") != NULL && !s->plan->demo)
        return cli_fail(cli, CLI_USAGE, NULL, "--demo-pin-file is for a plan with demo: true");
    return needs & SITTING_TOKEN ? open_token(s, needs) : CLI_OK;
}

void sitting_close(struct sitting *s)
{
    for (enum share_kind k = 0; k < SHARE_KINDS; k++)
        ky_secret_wipe(&s->secrets[k]);
    token_pins_wipe(&s->pins);
    if (s->token.vault.module.fn != NULL || s->token.vault.residents != NULL)
        token_close(&s->token);
    hsm_verifier_wipe(&s->progress.verifier);
    transcript_close(&s->transcript);
    if (s->plan != NULL)
        plan_free(&s->plan);
}

int sitting_record(struct sitting *s, json_t *fields)
{
    struct ky_status st = transcript_add(&s->transcript, fields, NULL, NULL);

    return ky_ok(st) ? CLI_OK : sitting_fail(s, "transcript", st);
}

static struct ky_status sign_digest(void *context, const uint8_t digest[32], uint8_t out_sig[64])
{
    struct sitting *s = context;
    uint8_t type = s->keys.ledger_type;
    const struct ky_algorithm a = {.scheme = type == KY_KEY_ED25519 ? KY_EDDSA : KY_ECDSA,
                                   .hash = KY_SHA256};

    return hsm_sign(&s->token.worker.session, s->keys.ledger, type, &a, KY_SPAN(digest, 32),
                    out_sig);
}

int sitting_sign(struct sitting *s, json_t *fields)
{
    struct progress again = {.custody_whole = false};
    struct transcript all;
    const char *error = NULL;
    uint8_t digest[64];
    char path[1024];
    char hex[65];
    struct ky_status st = transcript_add(&s->transcript, fields, sign_digest, s);

    if (!ky_ok(st))
        return sitting_fail(s, "transcript", st);
    (void)plan_path(s->plan, "transcript.jsonl", path, sizeof(path));
    /* As the next sitting, and every auditor, will read it. */
    st = transcript_read(path, false, progress_take, &again, &all, &error);
    hsm_verifier_wipe(&again.verifier);
    if (ky_ok(st))
        st = file_digest(path, KY_SHA256, digest);
    if (!ky_ok(st))
        return sitting_fail(s, path, st);
    for (size_t i = 0; i < 32; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    terminal_say("The transcript is signed by the token's ledger key. SHA-256 of %s:\n  %s", path,
                 hex);
    return CLI_OK;
}
