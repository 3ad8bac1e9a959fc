/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The token, from blank to one with its three keys. The order is what makes it safe to be killed anywhere: the
 * backup is on disk before a key is in the token, the keys are made by unwrapping that backup, and until the
 * transcript says "closed" the next sitting wipes the token and begins this part anew.
 */
#include <stdio.h>
#include <string.h>

#include "probe.h"
#include "sitting.h"
#include "terminal.h"

/* What is tried: the plan's, and what the ledger's key may be. An RSA-4096 key that nobody wants takes seconds. */
static uint32_t planned(const struct sitting *s)
{
    uint32_t types = 1u << KY_KEY_P256 | 1u << KY_KEY_ED25519;

    for (uint32_t i = 0; i < s->plan->key_type_count; i++)
        types |= 1u << ky_key_type_by_name(s->plan->key_types[i]);
    return types;
}

static const char *unfit_for(const struct sitting *s)
{
    for (uint32_t i = 0; i < s->plan->key_type_count; i++)
        if (!(s->token.vault.caps.wrappable & 1u << ky_key_type_by_name(s->plan->key_types[i])))
            return s->plan->key_types[i];
    return NULL;
}

int sitting_try_token(struct sitting *s)
{
    char token[160];
    char caps[200];
    const char *no;
    struct ky_status st = token_try(&s->token);

    if (st.code == KY_NOT_FOUND)
        return cli_fail(s->cli, CLI_NO_TOKEN, "connect one, or reset it with its maker's tool",
                        "there is no blank token that fits %s", s->token.config.token_uri);
    if (!ky_ok(st))
        return sitting_fail(s, "the token on trial", st);
    s->token.vault.caps.key_types &= planned(s);
    no = hsm_probe(&s->token.worker, stdout);
    s->token.vault.caps.wrappable &= ~(1u << KY_KEY_ED25519); /* as mechanism.c has it */
    if (no != NULL)
        return cli_fail(s->cli, CLI_FAILED, "take another token", "this token is refused: %s", no);
    no = unfit_for(s);
    if (no != NULL)
        return cli_fail(s->cli, CLI_FAILED, "take another token, or another plan",
                        "this token is refused: it wraps no %s keys", no);
    hsm_module_describe(&s->token.vault.module, token, sizeof(token));
    hsm_caps_describe(&s->token.vault.caps, caps, sizeof(caps));
    terminal_say("The token is fit: %s %s", token, caps);
    if (s->transcript.fd < 0)
        return CLI_OK;
    token_serial(&s->token, s->progress.serial);
    return sitting_record(s, json_pack("{s:s,s:s,s:s,s:s}", "event", "token-fit", "token", token,
                                       "serial", s->progress.serial, "can", caps));
}

static struct ky_status install(struct sitting *s, bool born, struct hsm_backup *b,
                                uint8_t out_sha256[32])
{
    const struct hsm_session *session = &s->token.worker.session;
    struct hsm_caps *caps = &s->token.vault.caps;
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    struct hsm_backup former;
    struct ky_status st = hsm_backup_key(session, &s->secrets[SHARE_BACKUP], &key);

    if (ky_ok(st) && born)
        st = hsm_backup_make(session, caps, key, b);
    if (ky_ok(st) && born)
        st = backup_write(s, b, out_sha256);
    if (ky_ok(st))
        st = hsm_backup_install(session, caps, key, b);
    if (ky_ok(st) && s->progress.rotating) /* the rest is under the one before */
        st = backup_read_former(s, &former);
    if (ky_ok(st) && s->progress.rotating)
        st = hsm_backup_install_kek(session, caps, key, &former);
    if (ky_ok(st))
        st = hsm_backup_compare(session, caps, key, b);
    if (ky_ok(st))
        st = hsm_keys_load(session, caps, &s->keys);
    if (ky_ok(st) && !ky_span_eq(KY_SPAN(s->keys.ledger_spki, s->keys.ledger_spki_len),
                                 KY_SPAN(b->ledger_spki, b->ledger_spki_len)))
        st = KY_STATUS(KY_CORRUPT);
    hsm_session_destroy(session, &key);
    return st;
}

int sitting_make_keys(struct sitting *s, const char *label, bool born, struct hsm_backup *b)
{
    uint8_t sha256[32];
    char token[160];
    struct ky_status st = token_make(&s->token, &s->pins, label, s->progress.serial);
    int rc;

    if (st.code == KY_NOT_FOUND)
        return cli_fail(s->cli, CLI_FAILED, "connect it again; no other token is written to",
                        "the token that was tried, serial %s, is not there", s->progress.serial);
    if (!ky_ok(st))
        return sitting_fail(s, "the token", st);
    hsm_module_describe(&s->token.vault.module, token, sizeof(token));
    terminal_say("The token has its name and PINs, which nobody has seen: %s", token);
    rc = sitting_record(s, json_pack("{s:s,s:s,s:s}", "event", "token-named", "token", token,
                                     "pins", "of the activation secret"));
    if (rc != CLI_OK)
        return rc;
    st = install(s, born, b, sha256);
    if (!ky_ok(st))
        return sitting_fail(s, "the keys", st);
    terminal_say("%s, %s and %s are in the token, made of their backup, and compared with it.",
                 HSM_LABEL_ROOT, HSM_LABEL_KEK, HSM_LABEL_LEDGER);
    if (!born)
        return CLI_OK;
    return sitting_record(s, json_pack("{s:s,s:o,s:s,s:o}", "event", "keys-made", "backup_sha256",
                                       output_hex(KY_SPAN_OF(sha256)), "ledger_key_type",
                                       ky_key_info(b->ledger_type)->name, "ledger_key",
                                       output_hex(KY_SPAN(b->ledger_spki, b->ledger_spki_len))));
}

int sitting_demo_pin(struct sitting *s)
{
    const char *path = cli_get(s->cli, "--demo-pin-file");
    struct ky_status st;

    if (path == NULL)
        return CLI_OK;
    st = file_write(path, ky_secret_span(&s->pins.user), 0600);
    if (!ky_ok(st))
        return sitting_fail(s, path, st);
    terminal_say("DEMONSTRATION: the user's PIN is in %s", path);
    return sitting_record(s, json_pack("{s:s}", "event", "demo-pin-written"));
}
