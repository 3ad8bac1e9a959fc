/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What keeps the ledger checkable from outside, off the turn's path: signed checkpoints to a file, anchors to the token, snapshots
 * of the fold when nothing else is to do, and the orderly end. Runs between a commit and the next turn, when nothing is staged.
 */
#include "authority_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BLOB_MAX     ((size_t)900 * 1024 * 1024)
#define DISPUTED_MAX 4u /* steps: a write of ours that came late is out of the way after three */

/* --- checkpoints ------------------------------------------------------------------------------------------------------- */

static void submit_checkpoint(struct authority *a, uint64_t head)
{
    const struct ky_key_info *key = ky_key_info(a->info.ledger_key_type);
    struct job job = {.for_what = JOB_FOR_CHECKPOINT, .schema = &job_sign_schema};
    uint8_t root[32];

    if (key == NULL)
        return;
    merkle_root(store_merkle(a->store), root);
    ky_buf_reset(&a->side.checkpoint_body);
    checkpoint_body(authority_server_id(a), head, root, &a->side.checkpoint_body);
    struct job_sign m = {
        .purpose = KY_PURPOSE_LEDGER,
        .storage = KY_STORE_RESIDENT,
        .key_type = a->info.ledger_key_type,
        .scheme = key->scheme,
        .hash = KY_SHA256,
        .verify = JOB_VERIFY_ALWAYS,
        .public_key = a->info.ledger_key,
        .digests = ky_buf_span(&a->side.checkpoint_body),
    };
    if (!ky_ok(job_submit(a, &job, &m)))
        return; /* busy: the next interval */
    a->side.checkpoint_busy = true;
    a->side.checkpoint_us = a->mono_us;
    a->side.checkpoint_size = head;
}

static bool write_all(int fd, struct ky_span s)
{
    while (s.len > 0) {
        ssize_t n = write(fd, s.data, s.len);
        if (n <= 0)
            return false;
        s.data += n;
        s.len -= (size_t)n;
    }
    return true;
}

/* Whole or not at all: a reader never sees half a note. */
bool ledger_publish(const char *path, struct ky_span note)
{
    char tmp[4096];
    bool ok = false;

    if (snprintf(tmp, sizeof(tmp), "%s.new", path) >= (int)sizeof(tmp))
        return false;
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return false;
    ok = write_all(fd, note) && fsync(fd) == 0;
    ok = close(fd) == 0 && ok;
    return ok && rename(tmp, path) == 0;
}

static const char *checkpoint_path(const struct authority *a, char *out, size_t cap)
{
    const char *named = a->config->ledger.checkpoint_file;

    if (named != NULL && named[0] != '\0')
        return named;
    snprintf(out, cap, "%s/checkpoint", a->config->state_dir);
    return out;
}

static void checkpoint_done(struct authority *a, const struct job_result *r)
{
    struct job_r_sign m;
    struct ky_buf note = KY_BUF_INIT(CHECKPOINT_NOTE_MAX);
    char path[4096];

    a->side.checkpoint_busy = false;
    if (!ky_ok(r->status) || r->type != JOB_R_SIGN ||
        !ky_ok(ky_msg_decode(&job_r_sign_schema, r->payload, &m))) {
        log_event(LOG_ERROR, "job-failed", LOG_CODE(r->status), LOG_STR("job", "checkpoint"));
        a->side.checkpoint_size = 0; /* again at the next interval */
        return;
    }
    checkpoint_note(ky_buf_span(&a->side.checkpoint_body), authority_server_id(a),
                    a->info.ledger_key_type, a->info.ledger_key, m.signatures, &note);
    if (note.failed || !ledger_publish(checkpoint_path(a, path, sizeof(path)), ky_buf_span(&note))) {
        log_event(LOG_ERROR, "checkpoint",
                  LOG_STR("error", "the checkpoint could not be published"));
    } else {
        ky_buf_reset(&a->side.checkpoint);
        ky_buf_put(&a->side.checkpoint, note.data, note.len);
        a->side.published_size = a->side.checkpoint_size;
        a->side.published_us = a->mono_us;
        log_event(LOG_DEBUG, "checkpoint", LOG_U64("size", a->side.checkpoint_size));
    }
    ky_buf_free(&note);
}

/* --- anchors ------------------------------------------------------------------------------------------------------------ */

static struct ky_status make_anchor(struct authority *a, bool clean)
{
    struct ledger_side *s = &a->side;
    struct ky_buf value = KY_BUF_INIT(ANCHOR_LEN);
    struct ky_status status = KY_STATUS(KY_NOMEM);

    s->anchor_pending = (struct anchor){
        .size = store_ledger_size(a->store), .sequence = s->anchor_sequence + 1, .clean = clean};
    merkle_root(store_merkle(a->store), s->anchor_pending.root);
    anchor_encode(&s->anchor_pending, &a->state_key, &value);
    if (!value.failed && value.len == sizeof(s->anchor_value)) {
        memcpy(s->anchor_value, value.data, value.len);
        status = KY_STATUS(KY_OK);
    }
    ky_buf_free(&value);
    return status;
}

/* After a failure the same again: what the slot then holds is what was there before, or this, or another server's. */
struct ky_status ledger_put_anchor(struct authority *a, bool clean)
{
    struct ledger_side *s = &a->side;
    struct job job = {.for_what = JOB_FOR_ANCHOR, .schema = &job_anchor_write_schema};
    struct ky_status status =
        s->anchor_again && !clean ? KY_STATUS(KY_OK) : make_anchor(a, clean);

    if (!ky_ok(status))
        return status;
    /* The older of the two is overwritten: one of them always holds. */
    uint8_t slot = (uint8_t)(s->anchor_pending.sequence & 1);
    struct job_anchor m = {.slot = slot,
                           .value = KY_SPAN_OF(s->anchor_value),
                           .expect = KY_SPAN(a->boot.anchor_bytes[slot], a->boot.anchor_len[slot])};
    status = job_submit(a, &job, &m);
    if (ky_ok(status)) {
        s->anchor_busy = true;
        s->anchor_us = a->mono_us;
    }
    return status;
}

static void anchor_written(struct authority *a)
{
    struct ledger_side *s = &a->side;
    size_t slot = s->anchor_pending.sequence & 1;

    s->anchor_size = s->anchor_pending.size;
    s->anchor_sequence = s->anchor_pending.sequence;
    s->anchor_disputed = 0;
    s->anchored_us = a->mono_us;
    memcpy(a->boot.anchor_bytes[slot], s->anchor_value, sizeof(s->anchor_value));
    a->boot.anchor_len[slot] = sizeof(s->anchor_value);
    log_event(LOG_DEBUG, "anchor", LOG_U64("size", s->anchor_size));
}

/*
 * The slot holds neither what we read or wrote last nor what we write. A network HSM may have made a write long after its vault, or
 * the whole server before this one, was killed: then it is on our ledger, and is overwritten. Another server's never is.
 */
static struct ky_status look_again(struct authority *a)
{
    struct job job = {.for_what = JOB_FOR_ANCHOR, .schema = &job_anchor_read_schema};
    struct job_anchor m = {.slot = (uint8_t)(a->side.anchor_pending.sequence & 1)};
    struct ky_status status = job_submit(a, &job, &m);

    a->side.anchor_busy = ky_ok(status);
    return status;
}

static struct ky_status overwrite_late(struct authority *a, const struct job_result *r)
{
    size_t slot = a->side.anchor_pending.sequence & 1;

    a->boot.anchor_len[slot] = 0;
    if (!boot_take_anchor(a, slot, r))
        return ky_ok(r->status) ? KY_STATUS(KY_CORRUPT) : r->status;
    if (!boot_owns_anchor(a, slot))
        return KY_STATUS(KY_CONFLICT);
    log_event(LOG_WARN, "anchor-late", LOG_U64("slot", slot));
    return ledger_put_anchor(a, a->side.anchor_pending.clean);
}

static void anchor_done(struct authority *a, const struct job *job, const struct job_result *r)
{
    struct ledger_side *s = &a->side;
    struct ky_status status = r->status;

    s->anchor_busy = false;
    s->anchor_again = s->anchor_again || !ky_ok(status);
    if (status.code == KY_CONFLICT || s->anchor_disputed > 0)
        s->anchor_disputed++;
    if (s->anchor_disputed > DISPUTED_MAX)
        status = KY_STATUS(KY_CONFLICT);
    else if (job->schema == &job_anchor_read_schema)
        status = overwrite_late(a, r);
    else if (status.code == KY_CONFLICT)
        status = look_again(a);
    if (s->anchor_busy)
        return;
    s->anchor_again = !ky_ok(status);
    if (ky_ok(status))
        anchor_written(a);
    else
        log_event(LOG_ERROR, "job-failed", LOG_CODE(status), LOG_STR("job", "anchor"));
    if (status.code == KY_CONFLICT && a->phase != PHASE_CLOSE) {
        authority_seal(a, "another server has moved the token's anchor: two run on one ledger");
        return;
    }
    /* A token that takes no anchor is an alarm, not an outage, unless it holds one that nobody has looked at. */
    if (a->boot.anchoring && a->phase == PHASE_BOOT && s->anchor_disputed == 0) {
        a->boot.anchoring = false;
        a->boot.opened = true;
        a->phase = PHASE_SERVE;
    }
    if (a->phase != PHASE_CLOSE)
        return;
    if (boot_provisions(a) && ky_ok(status)) {
        struct control_msg done = {.type = CONTROL_DONE};
        log_event(LOG_INFO, "provisioned", LOG_U64("records", s->anchor_size));
        a->hooks.control(a->hooks.context, &done);
    } else if (boot_provisions(a)) {
        authority_seal(a, "the anchor could not be written");
        return;
    }
    a->phase = PHASE_DONE;
}

void ledger_job_done(struct authority *a, const struct job *job, const struct job_result *r)
{
    if (job->for_what == JOB_FOR_CHECKPOINT)
        checkpoint_done(a, r);
    else
        anchor_done(a, job, r);
}

/* --- snapshots and the end ------------------------------------------------------------------------------------------------ */

static void write_snapshot(struct authority *a)
{
    struct ky_buf blob = KY_BUF_INIT(BLOB_MAX);
    const struct merkle *tree = store_merkle(a->store);

    if (a->state->flights.count > 0)
        return; /* a citizen's request or an operator's CSR: soon */
    ky_buf_put(&blob, tree->peaks, sizeof(tree->peaks));
    state_encode(a->state, &blob);
    struct ky_status status =
        blob.failed ? KY_STATUS(KY_NOMEM) : store_snapshot_write(a->store, ky_buf_span(&blob));
    ky_buf_free(&blob);
    a->side.snapshot_size = store_ledger_size(a->store);
    if (ky_ok(status))
        log_event(LOG_INFO, "snapshot", LOG_U64("size", a->side.snapshot_size));
    else
        log_event(LOG_ERROR, "snapshot",
                  LOG_CODE(status)); /* a start replays more; a store that failed seals itself */
}

void ledger_close(struct authority *a)
{
    struct ledger_stop m = {.reason = ky_span_text("drained")};

    memcpy(m.boot, a->boot.boot_id, sizeof(m.boot));
    if (ky_ok(authority_append(a, &ledger_stop_schema, &m, (struct ky_span){0}, NULL)))
        a->phase = PHASE_CLOSE;
}

static void close_step(struct authority *a)
{
    if (a->boot.closing || a->side.anchor_busy)
        return; /* the last anchor is on its way, or an older one still is */
    a->boot.closing = true;
    write_snapshot(a);
    if (!ky_ok(ledger_put_anchor(a, true)))
        a->phase = PHASE_DONE; /* unclean: the next start distrusts what it finds */
}

void ledger_idle(struct authority *a)
{
    const struct config_ledger *l = &a->config->ledger;
    struct ledger_side *s = &a->side;

    if (a->store == NULL)
        return;
    if (a->phase == PHASE_CLOSE) {
        close_step(a);
        return;
    }
    if (a->boot.anchoring && !s->anchor_busy && !ky_ok(ledger_put_anchor(a, false)))
        log_event(LOG_ERROR, "job-failed", LOG_STR("job", "anchor"));
    if (a->phase != PHASE_SERVE && a->phase != PHASE_DRAIN)
        return;
    uint64_t head = store_ledger_size(a->store);
    if (!s->checkpoint_busy && head != s->checkpoint_size &&
        (s->checkpoint_us == 0 ||
         a->mono_us - s->checkpoint_us >= 1000000u * (uint64_t)l->checkpoint_interval_s))
        submit_checkpoint(a, head);
    if (!s->anchor_busy && head != s->anchor_size &&
        (a->mono_us - s->anchor_us >= 1000u * (uint64_t)l->anchor_interval_ms ||
         head - s->anchor_size >= l->anchor_records) &&
        !ky_ok(ledger_put_anchor(a, false)))
        s->anchor_us = a->mono_us; /* busy: not again before the next interval */
    if (head - s->snapshot_size >= SNAPSHOT_RECORDS &&
        head - s->snapshot_size >= a->state->replay.tail - a->state->replay.head)
        write_snapshot(a);
}
