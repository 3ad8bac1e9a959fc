/* SPDX-License-Identifier: Apache-2.0 */
/* The vaults: keys and anchors kept in the world, signatures that are a hash of what they sign. */
#include "world.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void vault_signature(struct ky_span digest, uint8_t out[64])
{
    ky_sha256(digest, out);
    ky_sha256(KY_SPAN(out, 32), out + 32);
}

void vault_join(struct world *w, uint32_t index)
{
    struct fake_vault *v = &w->vaults[index];
    int pair[2];

    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair));
    v->fd = pair[0];
    v->generation++;
    v->alive = true;
    v->held = v->generating = v->row_count = 0;
    ky_channel_init(&v->channel, pair[0], 8u * 1024u * 1024u);
    struct control_msg m = {.type = CONTROL_PEER, .index = index, .generation = v->generation};
    peer_control(w->a, &m, pair[1]);
}

void vault_die(struct world *w, uint32_t index)
{
    struct fake_vault *v = &w->vaults[index];
    struct control_msg m = {.type = CONTROL_PEER_DEAD, .index = index, .generation = v->generation};

    ky_channel_wipe(&v->channel);
    close(v->fd);
    v->alive = false;
    peer_control(w->a, &m, -1);
}

static void reply(struct fake_vault *v, const struct ky_schema *schema, const void *msg,
                  uint64_t tag)
{
    assert_true(ky_ok(ky_channel_send(&v->channel, schema, msg, tag, 0)));
}

static void reply_sign(struct fake_vault *v, const struct job_sign *m, uint64_t tag)
{
    uint8_t all[64 * KY_HASHES_MAX];
    size_t len = m->purpose == KY_PURPOSE_LEDGER ? m->digests.len : ky_hash_len(m->hash);
    struct job_r_sign r = {.generation = m->generation, .attempt = m->attempt, .sig_len = 64};

    for (size_t at = 0; at < m->digests.len; at += len)
        vault_signature(KY_SPAN(m->digests.data + at, len), all + 64u * r.count++);
    r.signatures = KY_SPAN(all, 64u * r.count);
    reply(v, &job_r_sign_schema, &r, tag);
}

static void do_sign(struct world *w, struct fake_vault *v, const struct ky_record *rec)
{
    struct job_sign m;

    assert_true(ky_ok(ky_msg_decode(&job_sign_schema, rec->payload, &m)));
    if (m.purpose == KY_PURPOSE_CITIZEN && w->on_job != NULL) {
        w->on_job(w, (uint32_t)(v - w->vaults), rec, &m);
        return;
    }
    if (m.purpose == KY_PURPOSE_CITIZEN) {
        v->rows[v->row_count++ % (sizeof(v->rows) / sizeof(v->rows[0]))] = m.key_row;
        v->deadline_us = rec->deadline_us;
    }
    if (m.purpose == KY_PURPOSE_CITIZEN && v->hold) {
        v->held++;
        v->last_tag = rec->tag;
        v->last_attempt = m.attempt;
        assert_in_range(rec->payload.len, 1, sizeof(v->held_job));
        memcpy(v->held_job, rec->payload.data, rec->payload.len);
        v->held_len = rec->payload.len;
        return;
    }
    if (m.purpose == KY_PURPOSE_CITIZEN && v->fail != KY_OK) {
        struct job_r_done d = {.generation = m.generation,
                               .attempt = m.attempt,
                               .code = (uint16_t)v->fail,
                               .cause = 5};
        reply(v, &job_r_done_schema, &d, rec->tag);
        return;
    }
    v->signed_jobs += m.purpose == KY_PURPOSE_CITIZEN;
    reply_sign(v, &m, rec->tag);
}

static void do_derive(struct fake_vault *v, const struct ky_record *rec)
{
    struct job_derive m;
    uint8_t key[32];

    assert_true(ky_ok(ky_msg_decode(&job_derive_schema, rec->payload, &m)));
    ky_hmac_sha256(text("kyso-root of the test"), m.label, key);
    struct job_r_bytes r = {
        .generation = m.generation, .attempt = m.attempt, .value = KY_SPAN_OF(key)};
    reply(v, &job_r_bytes_schema, &r, rec->tag);
}

static void do_info(struct world *w, struct fake_vault *v, const struct ky_record *rec)
{
    struct job_plain m;

    assert_true(ky_ok(ky_msg_decode(&job_info_schema, rec->payload, &m)));
    struct job_r_info r = {.generation = m.generation,
                           .attempt = m.attempt,
                           .token = text("test"),
                           .key_types = 1u << KY_KEY_P256,
                           .wrappable = 1u << KY_KEY_P256,
                           .ledger_key = KY_SPAN(w->device_spki, w->device_spki_len),
                           .ledger_key_type = KY_KEY_P256};
    reply(v, &job_r_info_schema, &r, rec->tag);
}

static void keep_anchor(struct world *w, const struct job_anchor *m)
{
    memcpy(w->anchors[m->slot], m->value.data, m->value.len);
    w->anchor_len[m->slot] = m->value.len;
    w->anchor_unreadable[m->slot] = false;
}

static void do_anchor(struct world *w, struct fake_vault *v, const struct ky_record *rec)
{
    struct job_anchor m;
    bool write = rec->type == JOB_ANCHOR_WRITE;

    assert_true(ky_ok(ky_msg_decode(write ? &job_anchor_write_schema : &job_anchor_read_schema,
                                    rec->payload, &m)));
    if (write) {
        struct job_r_done d = {.generation = m.generation, .attempt = m.attempt};
        assert_in_range(m.value.len, 1, sizeof(w->anchors[0]));
        struct ky_span held = KY_SPAN(w->anchors[m.slot], w->anchor_len[m.slot]);
        if (w->anchor_unreadable[m.slot])
            held.len = 0;
        if (!ky_span_eq(held, m.value) && !ky_span_eq(held, m.expect))
            d.code = (uint16_t)KY_CONFLICT;
        else
            keep_anchor(w, &m);
        if (w->anchor_lost)
            d.code = (uint16_t)KY_TOKEN_SESSION;
        reply(v, &job_r_done_schema, &d, rec->tag);
        return;
    }
    if (w->anchor_unreadable[m.slot] || w->anchor_reads_fail) {
        struct job_r_done d = {
            .generation = m.generation,
            .attempt = m.attempt,
            .code = (uint16_t)(w->anchor_reads_fail ? KY_TOKEN_SESSION : KY_CORRUPT)};
        reply(v, &job_r_done_schema, &d, rec->tag);
        return;
    }
    struct job_r_bytes r = {.generation = m.generation,
                            .attempt = m.attempt,
                            .value = KY_SPAN(w->anchors[m.slot], w->anchor_len[m.slot])};
    reply(v, &job_r_bytes_schema, &r, rec->tag);
}

static void serve(struct world *w, struct fake_vault *v)
{
    struct ky_record rec;
    struct ky_status status = KY_STATUS(KY_OK);

    (void)ky_channel_read(&v->channel).code;
    while (ky_channel_next(&v->channel, &rec, &status)) {
        switch (rec.type) {
        case JOB_SIGN:
            do_sign(w, v, &rec);
            break;
        case JOB_DERIVE:
            do_derive(v, &rec);
            break;
        case JOB_INFO:
            do_info(w, v, &rec);
            break;
        case JOB_ANCHOR_READ:
        case JOB_ANCHOR_WRITE:
            do_anchor(w, v, &rec);
            break;
        case JOB_GENERATE:
            v->generating++;
            break;
        case JOB_FORGET:
            break;
        default:
            fail_msg("a job of type %u", rec.type);
        }
    }
    (void)ky_channel_flush(&v->channel).code;
}

void vault_pump(struct world *w)
{
    for (int i = 0; i < WORLD_VAULTS; i++)
        if (w->vaults[i].alive)
            serve(w, &w->vaults[i]);
}

void vault_answer_late(struct world *w, uint32_t index, uint32_t generation, uint32_t attempt)
{
    struct fake_vault *v = &w->vaults[index];
    uint8_t hash[32] = {7};
    struct job_sign m = {.generation = generation,
                         .attempt = attempt,
                         .purpose = KY_PURPOSE_CITIZEN,
                         .hash = KY_SHA256,
                         .digests = KY_SPAN_OF(hash)};

    reply_sign(v, &m, v->last_tag);
    assert_true(ky_ok(ky_channel_flush(&v->channel)));
}

void vault_answer_held(struct world *w, uint32_t index)
{
    struct fake_vault *v = &w->vaults[index];
    struct job_sign m;

    assert_true(ky_ok(ky_msg_decode(&job_sign_schema, KY_SPAN(v->held_job, v->held_len), &m)));
    reply_sign(v, &m, v->last_tag);
    assert_true(ky_ok(ky_channel_flush(&v->channel)));
}

void vault_refuse_held(struct world *w, uint32_t index, enum ky_code code)
{
    struct fake_vault *v = &w->vaults[index];
    struct job_r_done d = {
        .generation = v->generation, .attempt = v->last_attempt, .code = (uint16_t)code};

    reply(v, &job_r_done_schema, &d, v->last_tag);
    assert_true(ky_ok(ky_channel_flush(&v->channel)));
}

void submit_jobs(struct world *w, uint32_t count, struct fake_job of)
{
    static const uint8_t digest[32] = {1};
    struct job job = {.for_what = JOB_FOR_SIGN,
                      .intent = UINT64_MAX,
                      .schema = &job_sign_schema,
                      .lane = of.lane,
                      .key_type = of.key_type,
                      .signatures = of.signatures == 0 ? 1 : of.signatures,
                      .client_row = of.client_row,
                      .key_row = of.key_row};
    struct job_sign m = {.purpose = KY_PURPOSE_CITIZEN,
                         .storage = KY_STORE_WRAPPED,
                         .key_type = of.key_type,
                         .hash = KY_SHA256,
                         .key_row = of.key_row,
                         .digests = KY_SPAN_OF(digest)};

    for (uint32_t i = 0; i < count; i++)
        assert_true(ky_ok(job_submit(w->a, &job, &m)));
}
