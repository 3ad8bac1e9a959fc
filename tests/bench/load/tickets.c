/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filling keeps some calls in flight on each connection. A SAD costs one TOTP code; an approval
 * costs one BeginTransaction and one signature of the citizen's device over the challenge, both
 * before the clock.
 */
#include "tickets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kyso/record.h"
#include "kyso/secret.h"
#include "kyso/tx.h"
#include "wire.h"

#define CALLS_MAX    64u
#define CALL_US      20000000u
#define TTL_SAD_S    7200u
#define TTL_BEGUN_S  600u
#define WAIT_CODES_S 40u

struct filling;
struct making { /* one call */
    struct filling *filling;
    struct ticket ticket;
    struct wire_request wire;
    bool made;
};
struct filling {
    struct tickets *tickets;
    const struct options *options;
    struct population *population;
    struct client *const *clients;
    struct making *free_list[CALLS_MAX];
    unsigned free_count;
    size_t goal, started; /* tickets, with those in flight */
    char why[CLIENT_TEXT_MAX + 64];
};

void ticket_hash(const struct ticket *t, unsigned i, uint8_t out[HASH_LEN])
{
    uint64_t n = i;

    /* in front: digests differ from their first bytes on, and so must these */
    memcpy(out, &n, sizeof n);
    memcpy(out + sizeof n, t->rest, sizeof t->rest);
}

void tickets_free(struct tickets *t)
{
    free(t->items);
    *t = (struct tickets){.count = 0};
}

size_t tickets_hashes_left(const struct tickets *t)
{
    size_t left = 0;

    for (size_t i = 0; i < t->count; i++)
        left += (size_t)(t->items[i].count - t->items[i].used);
    return left;
}

static bool add(struct tickets *t, const struct ticket *item)
{
    if (t->count == t->cap) {
        size_t wider = t->cap == 0 ? 256 : 2 * t->cap;
        struct ticket *grown = realloc(t->items, wider * sizeof *grown);

        if (grown == NULL)
            return false;
        t->items = grown;
        t->cap = wider;
    }
    t->items[t->count++] = *item;
    return true;
}

struct ticket *tickets_take(struct tickets *t, unsigned n, unsigned *out_first)
{
    while (t->count > 0) {
        struct ticket *item;

        t->cursor = t->cursor % t->count;
        item = &t->items[t->cursor];
        if (item->count - item->used < (int)n) { /* spent: its place goes to the last */
            *item = t->items[--t->count];
            continue;
        }
        *out_first = item->used;
        item->used = (uint16_t)(item->used + n);
        t->cursor++;
        return item;
    }
    return NULL;
}

/* The device's half of an approval. */
static bool approve(struct making *m, const Kyso__V1__Transaction *tx)
{
    const struct citizen *c = &m->filling->population->citizens[m->ticket.citizen];
    uint8_t challenge[32];
    size_t len = sizeof m->ticket.signature;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md != NULL && tx->tx_digest.len == 32 &&
              ky_span_to_cstr(ky_span_text(tx->matching_code), m->ticket.matching_code, CODE_MAX) &&
              ky_span_to_cstr(ky_span_text(tx->transaction_id), m->ticket.transaction_id, ID_MAX);

    if (ok) {
        ky_approval_challenge(tx->tx_digest.data, KY_DECISION_APPROVE,
                              ky_span_text(m->ticket.matching_code), challenge);
        ok = EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, c->device) == 1 &&
             EVP_DigestSign(md, m->ticket.signature, &len, challenge, sizeof challenge) == 1;
        m->ticket.signature_len = (uint8_t)len;
    }
    EVP_MD_CTX_free(md);
    return ok;
}

static void on_message(void *arg, struct client_call *call, struct ky_span message)
{
    struct making *m = arg;
    Kyso__V1__Transaction *tx = kyso__v1__transaction__unpack(NULL, message.len, message.data);

    (void)call;
    if (tx == NULL)
        return;
    if (m->filling->options->proof == PROOF_APPROVAL)
        m->made = approve(m, tx);
    else if (tx->sad.len == sizeof m->ticket.sad) {
        memcpy(m->ticket.sad, tx->sad.data, tx->sad.len);
        m->made = true;
    }
    kyso__v1__transaction__free_unpacked(tx, NULL);
}

static void on_end(void *arg, struct client_call *call, const struct client_outcome *outcome)
{
    struct making *m = arg;
    struct filling *f = m->filling;

    (void)call;
    if (outcome->grpc_status != 0 || !m->made) {
        f->tickets->refused++;
        f->started--;
        (void)snprintf(f->why, sizeof f->why, "%.32s: %.200s", ky_code_info(outcome->code)->name,
                       outcome->text);
    } else if (!add(f->tickets, &m->ticket)) {
        f->started--;
    }
    f->free_list[f->free_count++] = m;
}

static struct ky_status start_begin(struct making *m, struct client *c,
                                    const struct client_handler *h, char *id)
{
    Kyso__V1__BeginTransactionRequest begin = KYSO__V1__BEGIN_TRANSACTION_REQUEST__INIT;

    begin.request_id = id;
    begin.request = &m->wire.request;
    begin.ttl_s = TTL_BEGUN_S;
    return client_unary_start(c, "/kyso.v1.Signer/BeginTransaction", &begin.base, CALL_US, h);
}

static struct ky_status start_authorize(struct making *m, struct client *c,
                                        const struct client_handler *h, char *id,
                                        struct totp_code *code)
{
    Kyso__V1__AuthorizeRequest authorize = KYSO__V1__AUTHORIZE_REQUEST__INIT;
    Kyso__V1__TotpProof totp = KYSO__V1__TOTP_PROOF__INIT;

    totp.code = code->code;
    totp.authenticator_id = (char *)(uintptr_t)code->authenticator_id;
    authorize.request_id = id;
    authorize.request = &m->wire.request;
    authorize.ttl_s = TTL_SAD_S;
    authorize.proof_case = KYSO__V1__AUTHORIZE_REQUEST__PROOF_TOTP;
    authorize.totp = &totp;
    return client_unary_start(c, "/kyso.v1.Signer/Authorize", &authorize.base, CALL_US, h);
}

/* False: no code is left for now, or the connection is gone. */
static bool start_one(struct filling *f)
{
    struct making *m = f->free_list[f->free_count - 1];
    struct client_handler h = {.on_message = on_message, .on_end = on_end, .arg = m};
    struct population *p = f->population;
    bool approval = f->options->proof == PROOF_APPROVAL;
    struct totp_code code = {.citizen = 0};
    struct client *c = f->clients[f->started % f->options->connections];
    char id[40];
    struct ky_status st;

    if (approval)
        code.citizen = (uint32_t)(p->cursor++ % p->count);
    else if (!population_code(p, ky_wall_us() / 1000000u, &code))
        return false;
    m->made = false;
    m->ticket =
        (struct ticket){.citizen = code.citizen,
                        .count = (uint16_t)(approval ? f->options->hashes : f->options->list)};
    if (!ky_ok(ky_random(m->ticket.rest, sizeof m->ticket.rest)))
        return false;
    for (unsigned i = 0; i < m->ticket.count; i++)
        ticket_hash(&m->ticket, i, m->wire.digests[i]);
    wire_fill(&m->wire, &p->citizens[code.citizen], f->options->relying_party, m->ticket.count);
    (void)snprintf(id, sizeof id, "prepare-%08llx-%llx",
                   (unsigned long long)(ky_now_us() & 0xffffffffu),
                   (unsigned long long)f->tickets->serial++);
    st = approval ? start_begin(m, c, &h, id) : start_authorize(m, c, &h, id, &code);
    if (!ky_ok(st))
        return false;
    f->free_count--;
    f->started++;
    return true;
}

static bool pump(struct filling *f)
{
    uint64_t patience = ky_now_us() + WAIT_CODES_S * 1000000u;
    uint64_t refused_at_start = f->tickets->refused;

    while (f->tickets->count < f->goal) {
        while (f->started < f->goal && f->free_count > 0 && start_one(f))
            patience = ky_now_us() + WAIT_CODES_S * 1000000u;
        if (!ky_ok(client_poll(f->clients, f->options->connections, 100)) ||
            ky_now_us() > patience || f->tickets->refused - refused_at_start > 100 + f->goal / 10)
            return false;
        if (!f->options->quiet)
            (void)fprintf(stderr, "\rpreparing %zu of %zu, %llu refused   ", f->tickets->count,
                          f->goal, (unsigned long long)f->tickets->refused);
    }
    return true;
}

/*
 * Tickets are used in turn, so all of an earlier round's are there still, each with less: what
 * counts is hashes. They also run out together, and then only the new ones are left: if these were
 * few, so would be the keys that they use. Approvals are used up one after another, and whose is
 * not yet used can have no second.
 */
static size_t goal_of(const struct tickets *t, const struct options *o)
{
    size_t each = o->proof == PROOF_APPROVAL ? o->hashes : o->list;
    size_t wanted = (size_t)o->stock * each;
    size_t left = tickets_hashes_left(t);

    if (wanted <= left)
        return t->count;
    wanted = (wanted - left + each - 1) / each;
    if (o->proof == PROOF_SAD && wanted < o->spread)
        wanted = o->spread;
    return t->count + wanted;
}

bool tickets_fill(struct tickets *t, const struct options *o, struct population *p,
                  struct client *const *clients)
{
    struct filling f = {.tickets = t,
                        .options = o,
                        .population = p,
                        .clients = clients,
                        .goal = goal_of(t, o),
                        .started = t->count};
    struct making *all = calloc(CALLS_MAX, sizeof *all);
    bool ok = all != NULL;

    for (unsigned i = 0; ok && i < CALLS_MAX; i++) {
        all[i].filling = &f;
        f.free_list[f.free_count++] = &all[i];
    }
    ok = ok && pump(&f);
    while (all != NULL && f.free_count < CALLS_MAX &&
           ky_ok(client_poll(clients, o->connections, 100)))
        continue; /* calls point into `all` */
    if (!ok)
        (void)fprintf(stderr, "kyso-load: %zu of %zu proofs could be made; last refusal: %s\n",
                      t->count, f.goal, f.why[0] != '\0' ? f.why : "none (codes ran out)");
    free(all);
    return ok;
}
