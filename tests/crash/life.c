/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life that is recorded. Every signature's length and every clock is fixed: the same rounds
 * give the same tape.
 */
#include "life.h"

#include <stdio.h>
#include <string.h>

#include "store_private.h"

#define WAL_FRAMES 24 /* between two checkpoints: many of them */
#define DER_LEN    71u

void life_path(const struct life *l, char out[128])
{
    (void)snprintf(out, 128, "%s/kyso.db", l->w->dir);
}

static bool same(const struct moment *a, const struct moment *b)
{
    return a->size == b->size && a->safe == b->safe && a->told == b->told && a->jobs == b->jobs &&
           ky_span_eq(KY_SPAN(a->anchors[0], sizeof(a->anchors)),
                      KY_SPAN(b->anchors[0], sizeof(b->anchors)));
}

uint32_t life_note(struct life *l)
{
    const struct world *w = l->w;
    const struct store *s = w->a == NULL ? NULL : w->a->store;
    struct moment *last = l->moment_count == 0 ? NULL : &l->moments[l->moment_count - 1];
    struct moment now = {.wall_us = w->wall_us,
                         .mono_us = w->mono_us,
                         .told = l->told_count,
                         .jobs = w->vaults[0].signed_jobs};

    memcpy(now.anchors, w->anchors, sizeof(now.anchors));
    memcpy(now.anchor_len, w->anchor_len, sizeof(now.anchor_len));
    if (s != NULL) {
        now.size = s->committed;
        memcpy(now.root, s->head_root, sizeof(now.root));
    } else if (last != NULL) {
        now.size = last->size;
        memcpy(now.root, last->root, sizeof(now.root));
    }
    bool starting = s == NULL || w->a->phase == PHASE_BOOT;
    now.safe = !starting ? now.size : last != NULL ? last->safe : 0;
    if (last == NULL || !same(last, &now)) {
        assert_true(l->moment_count < LIFE_MOMENTS);
        l->moments[l->moment_count++] = now;
    }
    return l->moment_count - 1;
}

static void record(void *context, const struct fault_op *op)
{
    struct life *l = context;

    if (l->tape != NULL)
        tape_put(l->tape, op, life_note(l));
}

void life_record(struct life *l, struct tape *t)
{
    l->tape = t;
    fault_watch(record, l);
    (void)life_note(l);
}

/* --- what is done in it ---------------------------------------------------------------------- */

static void keep(struct life *l, const struct door_tx *m, const struct answer *got)
{
    struct told *t = &l->told[l->told_count];

    assert_int_equal(DOOR_R_SIGN, got->type);
    assert_int_equal(64, got->sign.signatures.len);
    assert_true(l->told_count < LIFE_TOLD);
    (void)snprintf(t->request_id, sizeof(t->request_id), "%.*s", (int)m->request_id.len,
                   (const char *)m->request_id.data);
    memcpy(t->hash, m->hashes.data, sizeof(t->hash));
    memcpy(t->signature, got->sign.signatures.data, sizeof(t->signature));
    l->told_count++;
    (void)life_note(l);
}

static const char *next_id(struct life *l, char out[16])
{
    (void)snprintf(out, 16, "r%05u", l->requests++);
    return out;
}

static void sign(struct life *l, const struct door_tx *m)
{
    struct answer got;

    ask(l->w, FRONT_SIGNER, &door_sign_schema, m, &got);
    keep(l, m, &got);
}

static void by_code(struct life *l)
{
    char id[16], code[9];

    world_advance(l->w, 30000000);
    struct door_tx m = totp_msg(l->w, next_id(l, id), (uint8_t)l->requests, code, 0);
    sign(l, &m);
}

static void refused(struct life *l)
{
    struct answer got;
    char id[16];
    struct door_tx m = sign_msg(l->w, next_id(l, id), 1);

    m.proof = KY_PROOF_TOTP;
    m.proof_secret = text("000000");
    ask(l->w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(KY_DENIED, got.code);
}

static void by_approval(struct life *l)
{
    uint8_t signature[80];
    size_t len = 0;
    struct answer tx;
    char begin_id[16], id[16];
    uint8_t seed = (uint8_t)l->requests;

    world_advance(l->w, 300000000);
    struct door_tx m = sign_msg(l->w, next_id(l, begin_id), seed);
    ask(l->w, FRONT_SIGNER, &door_tx_begin_schema, &m, &tx);
    assert_int_equal(DOOR_R_TX, tx.type);
    do { /* of one length: the same tape each time */
        device_sign(l->w->device, tx.tx.tx_digest, KY_DECISION_APPROVE, tx.tx.matching_code,
                    signature, &len);
    } while (len != DER_LEN);
    m = sign_msg(l->w, next_id(l, id), seed);
    m.proof = KY_PROOF_APPROVAL;
    m.transaction_id = tx.tx.transaction_id;
    m.authenticator_id = text(l->w->device_id);
    m.matching_code = tx.tx.matching_code;
    m.proof_signature = KY_SPAN(signature, len);
    sign(l, &m);
}

/*
 * Four hashes under one SAD: three requests in one turn, their answers asked for again, and one
 * alone.
 */
static void by_sad(struct life *l)
{
    struct answer auth;
    char id[4][16], auth_id[16], code[9];
    uint8_t hashes[4 * 32];
    struct door_tx parts[4];

    world_advance(l->w, 30000000);
    for (size_t i = 0; i < sizeof(hashes); i++)
        hashes[i] = (uint8_t)(l->requests * 4 + i / 32 + 1);
    struct door_tx m = totp_msg(l->w, next_id(l, auth_id), 1, code, 0);
    m.hashes = KY_SPAN_OF(hashes);
    ask(l->w, FRONT_SIGNER, &door_tx_authorize_schema, &m, &auth);
    assert_int_equal(TX_AUTHORIZED, auth.tx.state);
    for (size_t i = 0; i < 4; i++) {
        parts[i] = sign_msg(l->w, next_id(l, id[i]), 1);
        parts[i].proof = KY_PROOF_SAD;
        parts[i].proof_secret = auth.tx.sad;
        parts[i].hashes = KY_SPAN(hashes + 32 * i, 32);
        if (i < 3)
            front_send(l->w, FRONT_SIGNER, &door_sign_schema, &parts[i]);
    }
    world_run(l->w);
    for (size_t i = 0; i < 4; i++)
        sign(l, &parts[i]);
}

/* The token refuses: a receipt without a signature. */
static void failing(struct life *l)
{
    struct answer got;
    char id[16], code[9];

    world_advance(l->w, 30000000);
    l->w->vaults[0].fail = KY_TOKEN_REQUEST;
    struct door_tx m = totp_msg(l->w, next_id(l, id), 1, code, 0);
    ask(l->w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_int_equal(DOOR_REFUSED, got.type);
    l->w->vaults[0].fail = KY_OK;
}

static void a_row(struct life *l)
{
    char id[16];
    struct row_subject s = {.subject_id = text(next_id(l, id)), .name = text("Tran Thi B")};
    uint32_t row = 0;

    assert_true(ky_ok(authority_row_put(l->w->a, ROW_SUBJECT, 0, &s, 0, &row)));
    assert_true(ky_ok(store_lookup_add(l->w->a->store, STORE_BY_SUBJECT_ID, s.subject_id, row)));
    world_run(l->w);
}

static void boot(struct life *l)
{
    world_boot(l->w);
    l->w->a->store->wal_limit = WAL_FRAMES;
}

void life_live(struct life *l, unsigned rounds)
{
    static void (*const acts[])(struct life *) = {by_code, refused,     by_sad, a_row,
                                                  failing, by_approval, by_sad, refused};

    boot(l);
    for (unsigned i = 0; i < rounds; i++) {
        for (size_t n = 0; n < sizeof(acts) / sizeof(acts[0]); n++)
            acts[n](l);
        if (i == rounds / 2) {
            world_stop(l->w);
            boot(l);
        }
    }
    (void)life_note(l);
}

struct door_tx life_request(const struct life *l, const struct told *t, const char *request_id)
{
    struct door_tx m = sign_msg(l->w, request_id, 1);

    m.hashes = KY_SPAN_OF(t->hash);
    m.proof = KY_PROOF_TOTP;
    m.proof_secret = text("123456");
    return m;
}
