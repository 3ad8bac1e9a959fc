/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso-bench-grow: multiplies the people of a stopped demonstration server until it has as many
 * credentials as asked. What it writes passes for the server's own: rows by the authority's store,
 * their LEDGER_ADMIN records, a snapshot of the fold and a clean anchor, so that the next start
 * trusts what it finds. Refuses a server that runs, is not marked demo or was not stopped cleanly.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kyso/alg.h"
#include "kyso/record.h"
#include "people.h"
#include "state.h"
#include "token.h"
#include "traffic.h"

#define TURN_PEOPLE 4000u
#define BLOB_MAX    ((size_t)900 * 1024 * 1024)

struct options {
    const char *config, *out;
    unsigned credentials, totps, sample, signatures;
    bool no_snapshot;
};

struct growing {
    const struct options *options;
    struct config *config;
    struct token *token;
    struct token_keys keys;
    struct anchor anchor;
    struct store *store;
    struct state *state;
    struct templates templates;
    uint32_t first_person, first_totp; /* rows of the first copy; its credential has the person's */
    FILE *out;
};

static bool said(const char *what, struct ky_status st)
{
    if (!ky_ok(st))
        (void)fprintf(stderr, "kyso-bench-grow: %s: %s, cause %u\n", what,
                      ky_code_info(st.code)->name, st.cause);
    return ky_ok(st);
}

/* --- what is there --------------------------------------------------------------------------- */

static struct ky_status fold_leaf(void *ctx, struct ky_span leaf, struct ky_span private_data)
{
    struct growing *g = ctx;
    struct ledger_leaf l;
    struct ledger_admin admin;
    struct ky_status st = ledger_leaf_parse(leaf, &l);

    if (ky_ok(st) && l.type == LEDGER_ADMIN) {
        st = ky_msg_decode(&ledger_admin_schema, l.body, &admin);
        if (ky_ok(st))
            store_row_version(g->store, (enum row_table)admin.table, admin.row, admin.version);
    }
    return ky_ok(st) ? state_replay_leaf(g->state, leaf, private_data) : st;
}

/* The snapshot's blob: the Merkle frontier, then the fold. */
static struct ky_status read_state(struct growing *g)
{
    const size_t frontier = sizeof(((struct merkle *)NULL)->peaks);
    struct ky_buf blob = KY_BUF_INIT(BLOB_MAX);
    uint64_t from = 0;
    struct ky_status st = store_snapshot_read(g->store, &blob, &from);

    if (ky_ok(st))
        st = blob.len > frontier
                 ? state_decode(g->state, KY_SPAN(blob.data + frontier, blob.len - frontier))
                 : KY_STATUS(KY_CORRUPT);
    else if (st.code == KY_NOT_FOUND)
        st = KY_STATUS(KY_OK);
    ky_buf_free(&blob);
    return ky_ok(st) ? store_ledger_read(g->store, from, 0, fold_leaf, g) : st;
}

static struct ky_status write_state(struct growing *g)
{
    struct ky_buf blob = KY_BUF_INIT(BLOB_MAX);

    ky_buf_put(&blob, store_merkle(g->store)->peaks, sizeof(store_merkle(g->store)->peaks));
    state_encode(g->state, &blob);
    struct ky_status st =
        blob.failed ? KY_STATUS(KY_NOMEM) : store_snapshot_write(g->store, ky_buf_span(&blob));
    ky_buf_free(&blob);
    return st;
}

static bool stopped_cleanly(const struct growing *g)
{
    uint8_t root[32];

    merkle_root(store_merkle(g->store), root);
    if (g->anchor.clean && g->anchor.size == store_ledger_size(g->store) &&
        ky_span_eq(KY_SPAN_OF(root), KY_SPAN_OF(g->anchor.root)))
        return true;
    (void)fprintf(stderr, "kyso-bench-grow: stop the server cleanly first\n");
    return false;
}

static bool open_store(struct growing *g)
{
    char path[4096];
    const struct store_keys keys = {.row_mac = &g->keys.row_mac, .state = &g->keys.state};
    const struct state_limits limits = {.replay_max = g->config->limits.replay_requests,
                                        .replay_window_s = g->config->limits.replay_window_s,
                                        .tx_max = 256u * 1024u};

    if (snprintf(path, sizeof(path), "%s/kyso.db", g->config->state_dir) >= (int)sizeof(path))
        return false;
    return said("the fold", state_new(&limits, &g->state)) &&
           said(path, store_open(path, STORE_OPEN, &keys, &g->store)) &&
           said("the ledger", read_state(g)) && stopped_cleanly(g) &&
           said("people to copy", templates_load(g->store, &g->templates));
}

static bool open_all(struct growing *g)
{
    char *why = NULL;
    const struct options *o = g->options;

    if (!ky_ok(config_load_file(o->config, &g->config, &why))) {
        (void)fprintf(stderr, "kyso-bench-grow: %s\n", why != NULL ? why : o->config);
        free(why);
        return false;
    }
    if (!g->config->demo) {
        (void)fprintf(stderr, "kyso-bench-grow: the configuration does not say demo: true\n");
        return false;
    }
    g->out = fopen(o->out, "w");
    if (g->out == NULL) {
        perror(o->out);
        return false;
    }
    g->token = token_open(&g->config->token);
    return g->token != NULL && said("the derived keys", token_derive(g->token, &g->keys)) &&
           said("the anchor", token_anchor_read(g->token, &g->keys.state, &g->anchor)) &&
           open_store(g);
}

/* --- growing --------------------------------------------------------------------------------- */

/* Of `left` people, `wanted` are written down: is this one of them? */
static bool is_sampled(unsigned left, unsigned wanted)
{
    uint64_t r = 0;

    return wanted >= left || (ky_ok(ky_random(&r, sizeof(r))) && r % left < wanted);
}

static void show(const char *what, unsigned done, unsigned all, uint64_t began)
{
    (void)fprintf(stderr, "\r%u of %u %s, %.0f/s   ", done, all, what,
                  (double)done * 1e6 / (double)(ky_now_us() - began + 1));
}

static struct ky_status add_people(struct growing *g, unsigned all)
{
    const struct options *o = g->options;
    const struct people_keys keys = {.seed = &g->keys.seed, .state = &g->keys.state};
    unsigned wanted = o->sample != 0 && o->sample < all ? o->sample : all;
    uint32_t first = store_row_count(g->store, ROW_SUBJECT) + 1;
    uint64_t began = ky_now_us();
    struct ky_status st = KY_STATUS(KY_OK);

    for (unsigned i = 0; ky_ok(st) && i < all; i++) {
        bool sampled = is_sampled(all - i, wanted);

        wanted -= sampled;
        st = people_add(g->store, &keys, &g->templates.of[i % g->templates.count], first + i,
                        o->totps, sampled ? g->out : NULL);
        if (ky_ok(st) && ((i + 1) % TURN_PEOPLE == 0 || i + 1 == all)) {
            st = store_commit(g->store);
            show("credentials", i + 1, all, began);
        }
    }
    (void)fputc('\n', stderr);
    return st;
}

/*
 * Signatures of all who are there now, as if each had used the first code of the first
 * authenticator.
 */
static struct ky_status add_traffic(struct growing *g, unsigned all)
{
    struct row_client client;
    uint32_t people = store_row_count(g->store, ROW_SUBJECT) - g->first_person + 1;
    struct traffic t = {
        .store = g->store,
        .state = g->state,
        .client_row = 1,
        .first = g->first_person,
        .people = people,
        .first_totp = g->first_totp,
        .totps = g->options->totps,
        .oldest_step = ky_wall_us() / 1000000u / 30u - 2u - (all + people - 1) / people,
    };
    uint64_t began = ky_now_us();
    struct ky_status st = store_row_get(g->store, ROW_CLIENT, t.client_row, &client);

    t.relying_party = client.name;
    for (unsigned i = 0; ky_ok(st) && i < all; i++) {
        st = traffic_add(&t, i);
        if (ky_ok(st) && ((i + 1) % TURN_PEOPLE == 0 || i + 1 == all)) {
            st = store_commit(g->store);
            show("signatures", i + 1, all, began);
        }
    }
    (void)fputc('\n', stderr);
    return st;
}

/*
 * As LEDGER_ADMIN records change nothing in the fold but its count and its time, they are not read
 * back.
 */
static struct ky_status note_records(struct growing *g, uint64_t from)
{
    struct ledger_leaf leaf = {.type = LEDGER_ADMIN, .time_us = ky_wall_us()};
    struct ky_status st = KY_STATUS(KY_OK);

    for (uint64_t i = from; ky_ok(st) && i < store_ledger_size(g->store); i++)
        st = state_apply(g->state, &leaf, NULL, KY_SPAN(NULL, 0));
    return st;
}

static bool grow(struct growing *g)
{
    const struct options *o = g->options;
    uint64_t from = store_ledger_size(g->store);
    unsigned there = store_row_count(g->store, ROW_CREDENTIAL);
    struct anchor anchor = {.sequence = g->anchor.sequence + 1, .clean = 1};

    g->first_person = store_row_count(g->store, ROW_SUBJECT) + 1;
    g->first_totp = store_row_count(g->store, ROW_AUTHENTICATOR) + 1;
    if (o->credentials <= there || there + 1 != g->first_person) {
        (void)fprintf(stderr, "kyso-bench-grow: there are %u credentials, of %u people\n", there,
                      g->first_person - 1);
        return false;
    }
    if (!said("growing", add_people(g, o->credentials - there)) ||
        !said("the fold", note_records(g, from)) ||
        (o->signatures > 0 && !said("signatures", add_traffic(g, o->signatures))) ||
        (!o->no_snapshot && !said("the snapshot", write_state(g))))
        return false;
    anchor.size = store_ledger_size(g->store);
    merkle_root(store_merkle(g->store), anchor.root);
    return said("the anchor", token_anchor_write(g->token, &g->keys.state, &anchor));
}

/* --- the command ----------------------------------------------------------------------------- */

static bool parse(int argc, char **argv, struct options *o)
{
    static const struct option names[] = {
        {"config", required_argument, NULL, 'c'},     {"credentials", required_argument, NULL, 'n'},
        {"totps", required_argument, NULL, 't'},      {"sample", required_argument, NULL, 's'},
        {"signatures", required_argument, NULL, 'g'}, {"out", required_argument, NULL, 'o'},
        {"no-snapshot", no_argument, NULL, 'x'},      {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (c) {
        case 'c':
            o->config = optarg;
            break;
        case 'o':
            o->out = optarg;
            break;
        case 'n':
            o->credentials = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 't':
            o->totps = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 's':
            o->sample = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'g':
            o->signatures = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'x':
            o->no_snapshot = true;
            break;
        default:
            return false;
        }
    }
    return optind == argc && o->config != NULL && o->out != NULL && o->credentials > 0 &&
           o->totps >= 1 && o->totps <= TOTPS_MAX;
}

int main(int argc, char **argv)
{
    struct options o = {.totps = 1};
    struct growing g = {.options = &o};
    bool ok = false;

    if (!parse(argc, argv, &o)) {
        (void)fprintf(stderr,
                      "usage: kyso-bench-grow --config YAML --credentials N --out FILE\n"
                      "    [--totps 1 (1..15)] [--sample 0 (people written to FILE, 0 = all)]\n"
                      "    [--signatures 0 (in the ledger, of the new people in turn)]\n"
                      "    [--no-snapshot (the next start replays every record)]\n");
        return 2;
    }
    ok = open_all(&g) && grow(&g);
    templates_free(&g.templates);
    state_free(&g.state);
    store_close(&g.store);
    token_keys_wipe(&g.keys);
    token_close(&g.token);
    config_free(&g.config);
    if (g.out != NULL && fclose(g.out) != 0)
        ok = false;
    return ok ? 0 : 1;
}
