/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The start: what the first vault tells, then the store, the fold, the anchor, and one receipt for every orphan intent (I4). Nothing
 * is served before all of that is committed. Refuses rather than guesses: a missing, foreign, old or forked database seals
 * the node with a reason that an operator can act on.
 */
#include "authority_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kyso/wire.h"

#define BLOB_MAX ((size_t)900 * 1024 * 1024)

enum ask { ASK_ROW_MAC, ASK_SEED, ASK_STATE, ASK_INFO, ASK_ANCHOR_0, ASK_ANCHOR_1, ASK_COUNT };

static const char *const labels[] = {
    [ASK_ROW_MAC] = "row-mac", [ASK_SEED] = "seed-enc", [ASK_STATE] = "state"};

/* --- asking the first vault ------------------------------------------------------------------------------------------- */

static struct ky_status ask(struct authority *a, enum ask what)
{
    struct job job = {.for_what = JOB_FOR_BOOT, .key_epoch = what};
    struct job_derive derive = {0};
    struct job_anchor anchor = {.slot = what == ASK_ANCHOR_1};
    struct job_plain plain = {0};

    if (what <= ASK_STATE) {
        derive.label = ky_span_text(labels[what]);
        job.schema = &job_derive_schema;
        return job_submit(a, &job, &derive);
    }
    job.schema = what == ASK_INFO ? &job_info_schema : &job_anchor_read_schema;
    return job_submit(a, &job, what == ASK_INFO ? (const void *)&plain : (const void *)&anchor);
}

void boot_step(struct authority *a)
{
    bool vault = false;

    for (const struct peer *p = a->peers; p != NULL; p = p->next)
        vault = vault || (p->door == 0 && !p->dead);
    if (!vault || a->boot.asked)
        return;
    a->boot.asked = true;
    a->boot.waiting = ASK_COUNT;
    for (enum ask what = ASK_ROW_MAC; what < ASK_COUNT; what++)
        if (!ky_ok(ask(a, what)))
            authority_seal(a, "the first vault could not be asked");
}

static bool take_key(struct ky_secret *out, const struct job_result *r)
{
    struct job_r_bytes m;

    return ky_ok(r->status) && r->type == JOB_R_BYTES &&
           ky_ok(ky_msg_decode(&job_r_bytes_schema, r->payload, &m)) && m.value.len == 32 &&
           ky_ok(ky_secret_set(out, m.value));
}

static bool take_info(struct authority *a, const struct job_result *r)
{
    if (!ky_ok(r->status) || r->type != JOB_R_INFO)
        return false;
    ky_buf_reset(&a->info_bytes);
    ky_buf_put(&a->info_bytes, r->payload.data, r->payload.len);
    return !a->info_bytes.failed &&
           ky_ok(ky_msg_decode(&job_r_info_schema, ky_buf_span(&a->info_bytes), &a->info));
}

/* An anchor that does not hold counts as absent; it is told apart once the state key is there. */
bool boot_take_anchor(struct authority *a, size_t slot, const struct job_result *r)
{
    struct job_r_bytes m;

    if (r->status.code == KY_NOT_FOUND || r->status.code == KY_CORRUPT)
        return true; /* the next write puts a whole one there */
    if (!ky_ok(r->status) || r->type != JOB_R_BYTES ||
        !ky_ok(ky_msg_decode(&job_r_bytes_schema, r->payload, &m)))
        return false;
    a->boot.anchor_len[slot] = 0;
    if (m.value.len <= sizeof(a->boot.anchor_bytes[slot])) {
        memcpy(a->boot.anchor_bytes[slot], m.value.data, m.value.len);
        a->boot.anchor_len[slot] = m.value.len;
    }
    return true;
}

/* --- the anchor ---------------------------------------------------------------------------------------------------------- */

static void find_anchor(struct authority *a)
{
    struct boot *b = &a->boot;

    for (int i = 0; i < 2; i++) {
        struct ky_span bytes = KY_SPAN(b->anchor_bytes[i], b->anchor_len[i]);
        b->has_anchor[i] =
            bytes.len > 0 && ky_ok(anchor_decode(bytes, &a->state_key, &b->anchor[i]));
        if (b->has_anchor[i] && (b->best == NULL || b->anchor[i].sequence > b->best->sequence))
            b->best = &b->anchor[i];
    }
    if (b->best != NULL)
        a->side.anchor_sequence = b->best->sequence;
}

/* --- the fold -------------------------------------------------------------------------------------------------------------- */

struct fold {
    struct authority *a;
    const struct anchor *anchor; /* looked for on the way; NULL = none */
    struct merkle tree; /* of what has been read */
    bool from_start;    /* tree covers everything up to where reading began */
    bool match;         /* the ledger's root at the anchor's size is the anchor's */
    uint8_t start[32];  /* root of the snapshot's tree, where folding began */
};

static void compare(struct fold *f)
{
    uint8_t root[32];

    if (f->anchor == NULL || f->tree.size != f->anchor->size)
        return;
    merkle_root(&f->tree, root);
    f->match = ky_span_eq(KY_SPAN_OF(root), KY_SPAN_OF(f->anchor->root));
}

static struct ky_status fold_leaf(void *context, struct ky_span leaf, struct ky_span private_data)
{
    struct fold *f = context;
    struct authority *a = f->a;
    struct ledger_leaf l;
    struct ledger_admin admin;
    struct ky_status status = ledger_leaf_parse(leaf, &l);

    if (!ky_ok(status))
        return status;
    merkle_append(&f->tree, leaf);
    compare(f);
    if (l.type == LEDGER_ADMIN) {
        status = ky_msg_decode(&ledger_admin_schema, l.body, &admin);
        if (!ky_ok(status))
            return status;
        store_row_version(a->store, (enum row_table)admin.table, admin.row, admin.version);
    }
    state_collect(a->state, l.time_us / 1000000u);
    return state_replay_leaf(a->state, leaf, private_data);
}

static struct ky_status hash_leaf(void *context, struct ky_span leaf, struct ky_span private_data)
{
    struct fold *f = context;

    (void)private_data;
    merkle_append(&f->tree, leaf);
    compare(f);
    return KY_STATUS(KY_OK);
}

/* The snapshot's blob: the Merkle frontier at its size, then the fold. */
static struct ky_status read_snapshot(struct authority *a, struct fold *f, uint64_t *out_from)
{
    struct ky_buf blob = KY_BUF_INIT(BLOB_MAX);
    struct ky_status status = store_snapshot_read(a->store, &blob, out_from);

    if (status.code == KY_NOT_FOUND) {
        *out_from = 0;
        status = KY_STATUS(KY_OK);
        goto done;
    }
    if (!ky_ok(status))
        goto done;
    struct ky_reader r = ky_reader(ky_buf_span(&blob));
    struct ky_span peaks = ky_get_raw(&r, sizeof(f->tree.peaks));
    if (r.failed) {
        status = KY_STATUS(KY_CORRUPT);
        goto done;
    }
    status = state_decode(a->state, KY_SPAN(r.p, r.left));
    if (status.code == KY_UNIMPLEMENTED) { /* another version's: the ledger says the same */
        *out_from = 0;
        status = KY_STATUS(KY_OK);
        goto done;
    }
    memcpy(f->tree.peaks, peaks.data, peaks.len);
    f->tree.size = *out_from;
    merkle_root(&f->tree, f->start);
    compare(f);
done:
    ky_buf_free(&blob);
    return status;
}

/* A snapshot of another history has a valid MAC too: what was folded must be the ledger that is there. */
static bool is_the_ledger(const struct fold *f)
{
    uint8_t folded[32];
    uint8_t stored[32];

    merkle_root(&f->tree, folded);
    merkle_root(store_merkle(f->a->store), stored);
    return f->tree.size == store_ledger_size(f->a->store) &&
           ky_span_eq(KY_SPAN_OF(folded), KY_SPAN_OF(stored));
}

/* The leaves from the last kept turn before the anchor up to `to`, which is not before it. */
static struct ky_status run_through(struct fold *early, uint64_t to)
{
    struct store *store = early->a->store;
    struct ky_status status = store_turn_before(store, early->anchor->size, &early->tree);

    if (!ky_ok(status))
        return status;
    compare(early);
    if (early->tree.size == to)
        return status;
    return store_ledger_read(store, early->tree.size, to - early->tree.size, hash_leaf, early);
}

/*
 * The snapshot is younger than the anchor (a crash between the two), so what was folded says nothing of the anchor. The leaves
 * from the last kept turn before the anchor to the snapshot must run through both roots. A kept turn of another
 * history cannot: its frontier would have to be the anchored one.
 */
static struct ky_status join_anchor(struct authority *a, uint64_t from, struct fold *f)
{
    struct fold early = {.a = a, .anchor = a->boot.best};
    uint8_t root[32];
    struct ky_status status = run_through(&early, from);

    if (!ky_ok(status))
        return status;
    merkle_root(&early.tree, root);
    f->match = early.match && ky_span_eq(KY_SPAN_OF(root), KY_SPAN_OF(f->start));
    return status;
}

/* Folds everything, and learns whether the ledger runs through the anchor. */
static struct ky_status fold_all(struct authority *a, struct fold *f)
{
    uint64_t from = 0;
    struct ky_status status = read_snapshot(a, f, &from);

    if (!ky_ok(status))
        return status;
    a->side.snapshot_size = from;
    status = store_ledger_read(a->store, from, 0, fold_leaf, f);
    if (ky_ok(status) && !is_the_ledger(f))
        status = KY_STATUS(KY_CORRUPT);
    if (ky_ok(status) && a->boot.best != NULL && a->boot.best->size < from)
        status = join_anchor(a, from, f);
    return status;
}

bool boot_owns_anchor(struct authority *a, size_t slot)
{
    struct ky_span bytes = KY_SPAN(a->boot.anchor_bytes[slot], a->boot.anchor_len[slot]);
    struct anchor found;
    struct fold early = {.a = a, .anchor = &found};

    return ky_ok(anchor_decode(bytes, &a->state_key, &found)) &&
           found.size <= store_ledger_size(a->store) &&
           found.sequence + 2 >= a->side.anchor_pending.sequence &&
           ky_ok(run_through(&early, found.size)) && early.match;
}

/* --- opening ------------------------------------------------------------------------------------------------------------- */

static const char *why_not_open(struct ky_status status)
{
    switch (status.code) {
    case KY_SEALED:
        return "another server holds this state";
    case KY_IO:
        return status.cause == ENOENT
                   ? "the database is missing: restore it, it is never made again"
                   : "the database cannot be opened";
    case KY_CORRUPT:
        return "the database does not hold under the token's key: another token, or it was changed";
    default:
        return "the database cannot be opened";
    }
}

bool boot_open_store(struct authority *a, enum store_mode mode)
{
    char path[4096];
    struct store_keys keys = {.row_mac = &a->row_mac, .state = &a->state_key};

    snprintf(path, sizeof(path), "%s/kyso.db", a->config->state_dir);
    struct ky_status status = store_open(path, mode, &keys, &a->store);
    if (ky_ok(status))
        return true;
    a->store = NULL;
    log_event(LOG_ERROR, "sealed", LOG_CODE(status), LOG_STR("database", path));
    authority_seal(a, mode == STORE_CREATE && status.code == KY_IO
                          ? "the database is there already, or its folder is not"
                          : why_not_open(status));
    return false;
}

/* What an intent without a receipt becomes: its request id answers "new proof needed", and it never signs. */
static bool abandon_orphans(struct authority *a)
{
    uint32_t n = 0;
    size_t cursor = 0;

    for (struct flight *f = map_next(&a->state->flights, &cursor); f != NULL;
         f = map_next(&a->state->flights, &cursor)) {
        struct ledger_receipt m = {
            .intent = f->intent, .outcome = LEDGER_ABANDONED, .code = KY_PROOF_NEEDED};
        if (!ky_ok(authority_append(a, &ledger_receipt_schema, &m, (struct ky_span){0}, NULL)))
            return false;
        cursor = 0; /* the receipt has changed the map */
        n++;
    }
    if (n > 0)
        log_event(LOG_WARN, "recovered", LOG_U64("abandoned", n));
    return true;
}

/*
 * A head that is not the anchor's may have lost what was spent after it, or carry what a rolled-back token never saw. One that is
 * may have been put back to it, unless the anchor says that it was the last word of a clean stop. So
 * every code that could have been spent is refused, every earlier SAD and open transaction is void.
 */
static bool distrust(struct authority *a, uint64_t head)
{
    struct ledger_anchored m = {
        .anchor_size = a->boot.best->size,
        .head_size = head,
        .refuse_until_step_time_s =
            authority_now_s(a) + (uint64_t)a->config->policy.totp_window * POLICY_TOTP_PERIOD_S,
    };

    log_event(LOG_WARN, "anchor-mismatch", LOG_U64("anchor", m.anchor_size), LOG_U64("head", head));
    return ky_ok(authority_append(a, &ledger_anchored_schema, &m, (struct ky_span){0}, NULL));
}

static const char *judge_anchor(const struct authority *a, const struct fold *f)
{
    if (a->boot.best == NULL)
        return "the token has no anchor of this ledger: another token, or an older copy of it";
    if (a->boot.best->size > store_ledger_size(a->store))
        return "the database is older than the token's anchor: restore the newest one";
    if (!f->match)
        return "the database is not the one that the token has anchored: it has forked";
    if (!ky_span_eq(name_span(&a->state->server_id), authority_server_id(a)))
        return "the configuration's server_id is not the ledger's";
    return NULL;
}

static void open_existing(struct authority *a)
{
    struct fold f = {.a = a, .anchor = a->boot.best};
    struct ledger_start start = {.version = ky_span_text(KYSO_VERSION), .clock_sync = clock_ask(a)};

    if (!boot_open_store(a, STORE_OPEN))
        return;
    struct ky_status status = fold_all(a, &f);
    if (!ky_ok(status)) {
        log_event(LOG_ERROR, "sealed", LOG_CODE(status));
        authority_seal(a, "the ledger cannot be read back");
        return;
    }
    const char *no = judge_anchor(a, &f);
    if (no == NULL && !ky_ok(authority_load_rows(a)))
        no = "a client's or operator's row does not hold";
    if (no != NULL) {
        authority_seal(a, no);
        return;
    }
    uint64_t head = store_ledger_size(a->store);
    bool exact = a->boot.best->size == head;
    if (a->state->last_time_us > a->wall_us)
        a->wall_us = a->state->last_time_us;
    start.clean = exact && a->boot.best->clean;
    memcpy(start.config_sha256, a->config->sha256, sizeof(start.config_sha256));
    memcpy(start.boot, a->boot.boot_id, sizeof(start.boot));
    if ((!start.clean && !distrust(a, head)) || !abandon_orphans(a) ||
        !ky_ok(authority_append(a, &ledger_start_schema, &start, (struct ky_span){0}, NULL)) ||
        !provision_activation(a))
        return; /* sealed */
    if (boot_provisions(a)) {
        provision_add(a);
        return;
    }
    clock_set(a, start.clock_sync);
    /* The anchor of the last stop must not outlive the first proof spent: ledger.c writes ours, then serves. */
    a->boot.anchoring = true;
}

/* --- the answers ----------------------------------------------------------------------------------------------------------- */

void boot_job_done(struct authority *a, const struct job *job, const struct job_result *r)
{
    bool ok = true;

    switch ((enum ask)job->key_epoch) {
    case ASK_ROW_MAC:
        ok = take_key(&a->row_mac, r);
        break;
    case ASK_SEED:
        ok = take_key(&a->seed_key, r) && ky_ok(unsealer_open(&a->unsealer, &a->seed_key));
        break;
    case ASK_STATE:
        ok = take_key(&a->state_key, r);
        break;
    case ASK_INFO:
        ok = take_info(a, r);
        break;
    case ASK_ANCHOR_0:
    case ASK_ANCHOR_1:
        ok = boot_take_anchor(a, job->key_epoch == ASK_ANCHOR_1, r);
        break;
    case ASK_COUNT:
        break;
    }
    if (!ok) {
        log_event(LOG_ERROR, "job-failed", LOG_CODE(r->status), LOG_STR("job", job->schema->name));
        authority_seal(a, "the token did not give its keys or its anchor");
        return;
    }
    if (--a->boot.waiting > 0 || a->phase != PHASE_BOOT)
        return;
    find_anchor(a);
    if (a->boot.create)
        provision_create(a);
    else
        open_existing(a);
}
