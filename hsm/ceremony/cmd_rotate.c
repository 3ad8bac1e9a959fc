/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso-ceremony kek rotate, beside the running server. The new KEK is in its backup, the backup in the transcript, and the key in
 * the token before anything is wrapped under it; the old one goes last, when the server's ledger says that nothing needs it. Killed
 * anywhere, the same command goes on: what is left to do is what the server still finds.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ckr.h"
#include "kyso/wire.h"
#include "rewrap.h"
#include "server.h"
#include "sitting.h"
#include "terminal.h"

enum { ITEMS_MAX = 192 * 1024, TELL_S = 5, AGAIN_S = 1, TRIES = 60 };

struct rotation {
    struct sitting *s;
    struct server server;
    struct ky_secret state_key;
    struct hsm_kek old;        /* a session object of its backup */
    struct ky_buf items;       /* for the next question */
    uint64_t since_us, told_us;
    uint32_t done; /* in this sitting */
    char what[96]; /* which row failed */
};

/* --- the server ------------------------------------------------------------------------------------ */

static void prove(const struct rotation *r, const uint8_t boot[16], struct door_kek *m)
{
    struct ky_buf in = KY_BUF_INIT(256);

    ky_buf_put(&in, "kyso.kek", 8);
    ky_buf_put(&in, boot, 16);
    ky_put_u32(&in, m->generation);
    ky_buf_put(&in, m->backup_sha256, sizeof(m->backup_sha256));
    ky_buf_put(&in, m->transcript_sha256, sizeof(m->transcript_sha256));
    ky_hmac_sha256(ky_secret_span(&r->state_key), ky_buf_span(&in), m->proof);
    ky_buf_free(&in);
}

static struct ky_status sit_down(struct rotation *r)
{
    const struct sitting *s = r->s;
    struct door_kek m = {.step = DOOR_KEK_HELLO};
    struct door_r_kek reply;
    struct ky_status st;

    server_close(&r->server);
    st = server_connect(cli_get(s->cli, "--socket"), &r->server);
    if (ky_ok(st))
        st = server_ask(&r->server, &m, &reply);
    if (!ky_ok(st))
        return st;
    m = (struct door_kek){.step = DOOR_KEK_BEGIN,
                          .generation = s->progress.kek,
                          .custodians = ky_span_text(s->present)};
    memcpy(m.backup_sha256, s->progress.backup_sha256, sizeof(m.backup_sha256));
    memcpy(m.transcript_sha256, s->transcript.head, sizeof(m.transcript_sha256));
    prove(r, reply.boot, &m);
    return server_ask(&r->server, &m, &reply);
}

/* An authority that is started again is a matter of seconds; what it had not committed it gives out once more. */
static struct ky_status ask(struct rotation *r, struct door_kek *m, struct door_r_kek *out)
{
    struct ky_status st = server_ask(&r->server, m, out);

    for (int i = 0; i < TRIES && (st.code == KY_UNAVAILABLE || st.code == KY_IO); i++) {
        (void)sleep(AGAIN_S);
        st = sit_down(r);
        *m = (struct door_kek){.step = DOOR_KEK_NEXT};
        if (ky_ok(st))
            st = server_ask(&r->server, m, out);
    }
    return st;
}

/* --- the rows -------------------------------------------------------------------------------------- */

static struct ky_status wrap_one(struct rotation *r, struct ky_reader *in)
{
    uint8_t table = ky_get_u8(in);
    uint32_t row = ky_get_u32(in);
    struct hsm_rewrap key = {.key_type = ky_get_u8(in)};
    uint8_t blob[KY_BLOB_MAX];
    uint8_t was[32];
    size_t len = 0;
    struct ky_status st;

    key.blob = ky_get_bytes(in, KY_BLOB_MAX);
    key.public_key = ky_get_bytes(in, KY_SPKI_MAX);
    if (in->failed)
        return KY_STATUS(KY_INTERNAL);
    (void)snprintf(r->what, sizeof(r->what), "the key of row %u, %s", row,
                   table == 2 ? "credential" : "pool key");
    st = hsm_rewrap(&r->s->token.worker, &r->old, &key, blob, &len);
    if (!ky_ok(st))
        return st;
    ky_sha256(key.blob, was);
    ky_put_u8(&r->items, table);
    ky_put_u32(&r->items, row);
    ky_buf_put(&r->items, was, sizeof(was));
    ky_put_bytes(&r->items, KY_SPAN(blob, len));
    r->done++;
    return r->items.failed ? KY_STATUS(KY_NOMEM) : st;
}

static void tell(struct rotation *r, uint32_t rows)
{
    const uint64_t now_us = ky_now_us();
    const double took_s = (double)(now_us - r->since_us) / 1e6;
    const double rate = took_s > 0 ? r->done / took_s : 0;

    if (now_us - r->told_us < TELL_S * UINT64_C(1000000) || rate <= 0)
        return;
    r->told_us = now_us;
    terminal_say("%u wrapped again of at most %u, %.0f a second: %.1f minutes more", r->done, rows,
                 rate, rows > r->done ? (rows - r->done) / rate / 60 : 0.0);
}

/* Until the server has recorded that nothing is under the old KEK. */
static struct ky_status wrap_all(struct rotation *r)
{
    struct door_r_kek reply = {.whole = 0};
    bool ended = false;
    struct ky_status st = sit_down(r);

    r->since_us = r->told_us = ky_now_us();
    while (ky_ok(st) && !ended) {
        struct door_kek m = {.step = reply.whole ? DOOR_KEK_END : DOOR_KEK_NEXT,
                             .items = ky_buf_span(&r->items)};

        st = ask(r, &m, &reply);
        ended = ky_ok(st) && m.step == DOOR_KEK_END && reply.whole;
        if (ky_ok(st) && m.step == DOOR_KEK_END && !ended)
            (void)usleep(50000); /* jobs that were queued before are being done */
        ky_buf_reset(&r->items);
        for (struct ky_reader in = ky_reader(reply.items); ky_ok(st) && in.left > 0;)
            st = wrap_one(r, &in);
        tell(r, reply.rows);
    }
    return st;
}

/* --- the keys -------------------------------------------------------------------------------------- */

/* The new KEK into its backup, and that into the transcript; or what an earlier sitting has made. */
static struct ky_status new_backup(struct sitting *s, CK_OBJECT_HANDLE key, struct hsm_backup *former,
                                   struct hsm_backup *fresh)
{
    const struct hsm_session *session = &s->token.worker.session;
    struct progress *p = &s->progress;
    uint8_t sha256[32];
    char path[1024];
    struct ky_status st;

    if (!backup_path(s, p->kek, path, sizeof(path)))
        return KY_STATUS(KY_INVALID);
    st = backup_read(s, path, fresh);
    if (ky_ok(st) && p->rotating)
        return backup_read_former(s, former);
    *former = *fresh;
    if (ky_ok(st))
        st = hsm_backup_renew_kek(session, &s->token.vault.caps, key, fresh);
    if (ky_ok(st))
        st = backup_write(s, fresh, sha256);
    if (ky_ok(st))
        st = transcript_add(&s->transcript,
                            json_pack("{s:s,s:i,s:o}", "event", "rotation-begun", "kek",
                                      (int)fresh->kek, "backup_sha256", output_hex(KY_SPAN_OF(sha256))),
                            NULL, NULL);
    if (!ky_ok(st))
        return st;
    memcpy(p->former_sha256, p->backup_sha256, sizeof(p->former_sha256));
    memcpy(p->backup_sha256, sha256, sizeof(sha256));
    p->kek = fresh->kek;
    p->rotating = true;
    return st;
}

/* Both KEKs from their backups; the token's are the same keys. */
static struct ky_status open_keks(struct rotation *r)
{
    struct sitting *s = r->s;
    const struct hsm_session *session = &s->token.worker.session;
    struct hsm_caps *caps = &s->token.vault.caps;
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    struct hsm_backup former;
    struct hsm_backup fresh;
    struct hsm_kek proved = {CK_INVALID_HANDLE, 0};
    struct ky_status st = hsm_backup_key(session, &s->secrets[SHARE_BACKUP], &key);

    if (ky_ok(st))
        st = new_backup(s, key, &former, &fresh);
    if (ky_ok(st))
        st = hsm_backup_install_kek(session, caps, key, &fresh);
    if (ky_ok(st))
        st = hsm_backup_open_kek(session, caps, key, &fresh, &proved);
    if (ky_ok(st))
        st = hsm_backup_open_kek(session, caps, key, &former, &r->old);
    if (ky_ok(st))
        st = hsm_keys_load(session, caps, &s->keys);
    if (ky_ok(st))
        s->token.vault.keys = s->keys;
    if (ky_ok(st))
        st = sitting_state_key(s, &r->state_key);
    hsm_session_destroy(session, &proved.key);
    hsm_session_destroy(session, &key);
    return st;
}

static int open_token(struct sitting *s)
{
    struct ky_status st = token_login(&s->token, &s->pins);

    if (ky_ok(st))
        st = hsm_keys_load(&s->token.worker.session, &s->token.vault.caps, &s->keys);
    if (!ky_ok(st))
        return sitting_fail(s, s->token.config.token_uri, st);
    if (!ky_span_eq(KY_SPAN(s->keys.ledger_spki, s->keys.ledger_spki_len),
                    KY_SPAN(s->progress.ledger_spki, s->progress.ledger_spki_len)))
        return cli_fail(s->cli, CLI_FAILED, "name it with --uri", "the token is not this ceremony's");
    return CLI_OK;
}

/* Nothing needs it any more, and somebody says so. */
static int destroy_old(struct rotation *r)
{
    struct sitting *s = r->s;
    const struct hsm_session *session = &s->token.worker.session;
    CK_OBJECT_HANDLE there = CK_INVALID_HANDLE;
    struct ky_secret typed = {.bytes = NULL};
    struct ky_status st = hsm_kek_find(session, r->old.generation, &there);
    bool sure = there == CK_INVALID_HANDLE;

    if (!sure) {
        sure = terminal_ask("No key is under the old KEK. Type DESTROY to destroy it in the token: ",
                            &typed) &&
               ky_span_eq(ky_secret_span(&typed), ky_span_text("DESTROY"));
        ky_secret_wipe(&typed);
    }
    if (!sure)
        return cli_fail(s->cli, CLI_FAILED, "run the same command again, and type DESTROY",
                        "the old KEK is still in the token");
    hsm_session_destroy(session, &there);
    if (ky_ok(st))
        st = hsm_kek_find(session, r->old.generation, &there);
    if (ky_ok(st) && there != CK_INVALID_HANDLE)
        st = KY_STATUS(KY_CONFLICT);
    return ky_ok(st) ? CLI_OK : sitting_fail(s, "the old KEK is still in the token", st);
}

/* --- the sitting ----------------------------------------------------------------------------------- */

/* Before anybody opens an envelope. */
static int is_serving(struct rotation *r)
{
    const char *path = cli_get(r->s->cli, "--socket");
    struct door_r_kek reply;
    struct ky_status st = server_connect(path, &r->server);

    if (ky_ok(st))
        st = server_ask(&r->server, &(struct door_kek){.step = DOOR_KEK_HELLO}, &reply);
    server_close(&r->server);
    return ky_ok(st) ? CLI_OK : sitting_fail(r->s, path, st);
}

static int rotate(struct rotation *r)
{
    struct sitting *s = r->s;
    struct ky_status st;
    int rc = is_serving(r);

    if (rc == CLI_OK) {
        sitting_step("Step 1. Custodians bring their shares.");
        rc = custody_gather(s);
    }
    if (rc == CLI_OK)
        rc = open_token(s);
    if (rc != CLI_OK)
        return rc;
    sitting_step(s->progress.rotating ? "Step 2. The rotation goes on." : "Step 2. A new KEK is made.");
    st = open_keks(r);
    if (!ky_ok(st))
        return sitting_fail(s, "the KEKs", st);
    terminal_say("The KEK of generation %u is in its backup and in the token.", s->progress.kek);
    sitting_step("Step 3. Every key is wrapped again; the server goes on signing.");
    st = wrap_all(r);
    if (!ky_ok(st))
        return sitting_fail(s, r->what[0] != '\0' && st.code >= KY_TOKEN_REQUEST ? r->what : "the server",
                            st);
    terminal_say("Every key is under the new KEK, and the ledger says so: %u were wrapped again now.",
                 r->done);
    sitting_step("Step 4. The old KEK is destroyed.");
    rc = destroy_old(r);
    if (rc != CLI_OK)
        return rc;
    terminal_say("Copies of older backups are stale: destroy them, and keep the new one.");
    return sitting_sign(s, json_pack("{s:s,s:i,s:i,s:o}", "event", "rotated", "kek",
                                     (int)s->progress.kek, "wrapped_now", (int)r->done,
                                     "backup_sha256", output_hex(KY_SPAN_OF(s->progress.backup_sha256))));
}

int cmd_kek_rotate(struct cli *cli)
{
    struct sitting s;
    struct rotation r = {.s = &s, .server.fd = -1, .items = KY_BUF_INIT(ITEMS_MAX)};
    int rc = sitting_open(cli, SITTING_DONE | SITTING_TOKEN, &s);

    if (rc == CLI_OK)
        rc = rotate(&r);
    server_close(&r.server);
    ky_secret_wipe(&r.state_key);
    ky_buf_free(&r.items);
    hsm_session_destroy(&s.token.worker.session, &r.old.key);
    sitting_close(&s);
    return rc;
}
