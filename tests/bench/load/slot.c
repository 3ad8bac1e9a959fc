/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slot is filled from the next proof, sent, and freed by its reply. In a stream the reply names
 * its request, and the request id carries the slot's number; the whole id must match.
 */
#include "slot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kyso/record.h"
#include "kyso/secret.h"

#define CALL_US      20000000u
#define OUTWAIT_US   3000000u
#define WELL_PAST_US 50000u

static bool length_fits(const struct citizen *c, const ProtobufCBinaryData *s)
{
    const struct ky_key_info *info = ky_key_info(c->key_type);

    if (c->algorithm.scheme == KY_ECDSA) /* DER, at most two integers of one byte more each */
        return s->len >= 8 && s->len <= info->sig_len + 8u && s->data[0] == 0x30;
    return s->len == info->sig_len;
}

/* Status was OK: is it an answer to this request? */
static bool check_reply(struct slot *s, const Kyso__V1__SignReply *reply)
{
    struct load *load = s->running->load;
    const struct citizen *c = &load->population.citizens[s->citizen];

    if (strcmp(reply->request_id, s->id) != 0 || reply->n_signatures != s->wire.request.n_hashes)
        return false;
    for (size_t i = 0; i < reply->n_signatures; i++) {
        const ProtobufCBinaryData *signature = &reply->signatures[i];

        if (!length_fits(c, signature) ||
            !sample_offer(&load->sample, s->citizen, s->wire.digests[i],
                          KY_SPAN(signature->data, signature->len)))
            return false;
    }
    return true;
}

static struct client *client_of(const struct slot *s)
{
    const struct load *load = s->running->load;

    return load->clients[s->index % load->options.connections];
}

static void free_slot(struct slot *s)
{
    s->busy = false;
    s->running->fresh_count -= s->fresh ? 1 : 0;
    s->running->free_list[s->running->free_count++] = s;
}

static int status_of(int grpc_status) /* what gRPC does not know is UNKNOWN */
{
    return grpc_status >= 0 && grpc_status < (int)GRPC_STATUSES ? grpc_status : 2;
}

static void count_error(struct tally *t, int status, const char *code, const char *text)
{
    t->errors[status_of(status)]++;
    (void)snprintf(t->last_error, sizeof t->last_error, "%.32s: %.200s", code, text);
}

/* The ledger can tell whether this was signed after its deadline all the same. */
static void note_past(const struct slot *s, uint64_t now)
{
    const struct load *load = s->running->load;
    uint64_t deadline_us = ky_wall_us() - (now - s->sent_us) + load->options.deadline_ms * 1000u;

    if (load->past != NULL)
        (void)fprintf(load->past, "%s %llu\n", s->id, (unsigned long long)deadline_us);
}

static bool came_late(const struct slot *s, uint64_t now)
{
    struct tally *t = s->running->tally;
    uint64_t allowed = s->running->load->options.deadline_ms * 1000u;
    uint64_t over = 0;

    if (allowed == 0 || now - s->sent_us <= allowed)
        return false;
    over = now - s->sent_us - allowed;
    t->past_deadline += s->wire.request.n_hashes;
    t->well_past += over > WELL_PAST_US ? s->wire.request.n_hashes : 0;
    if (over > t->past_max_us)
        t->past_max_us = over;
    note_past(s, now);
    return true;
}

static void count_good(const struct slot *s, uint64_t now)
{
    const struct running *r = s->running;
    struct tally *t = r->tally;

    if (came_late(s, now))
        return;
    if (now >= r->clock_from_us && now < r->clock_to_us) {
        t->signatures += s->wire.request.n_hashes;
        t->requests++;
    } else if (r->after_to_us != 0 && now < r->after_to_us) {
        t->after_signatures += s->wire.request.n_hashes;
    }
    if (s->timed)
        histogram_add(&t->latency, now - s->start_us);
}

bool slot_wanted(const struct running *r)
{
    const struct options *o = &r->load->options;

    if (r->stopped)
        return false;
    if (r->after_to_us != 0)
        return r->fresh_count < o->after_in_flight;
    return o->rate <= 0 && r->slot_count - r->free_count < o->in_flight;
}

static void end_slot(struct slot *s)
{
    struct running *r = s->running;

    if (s->good)
        count_good(s, ky_now_us());
    free_slot(s);
    if (slot_wanted(r))
        (void)slot_send(r, ky_now_us()); /* closed loop: the next one at once */
}

/*
 * With deadlines a refusal for load is an answer, not an error. What was BUSY or never became a
 * request (a refused stream) has spent no proof, so that is offered again, and if the server had
 * spent it after all the denial would be an error. UNAVAILABLE says nothing about it: a front gives
 * it for requests that wait at an authority it no longer hears.
 */
static bool refused_for_load(struct slot *s, const struct client_outcome *outcome)
{
    struct tally *t = s->running->tally;
    bool unspent = outcome->code == KY_BUSY || outcome->transport;

    if (s->running->load->options.deadline_ms == 0 ||
        !(unspent || outcome->code == KY_UNAVAILABLE || outcome->code == KY_DEADLINE))
        return false;
    if (outcome->transport && !client_is_open(client_of(s))) /* the connection is lost */
        return false;
    if (unspent && s->running->load->options.proof == PROOF_TOTP)
        population_take_back(&s->code);
    if (!unspent)
        note_past(s, ky_now_us());
    s->kept = unspent && s->running->load->options.proof == PROOF_SAD;
    if (s->timed) {
        histogram_add(&t->refusal, ky_now_us() - s->sent_us);
        t->refused[status_of(outcome->grpc_status)]++;
    }
    return true;
}

static void unary_message(void *arg, struct client_call *call, struct ky_span message)
{
    struct slot *s = arg;
    struct ky_arena *arena = &s->running->load->reply_arena;
    ProtobufCMessage *m = NULL;

    (void)call;
    s->good = !s->good &&
              ky_ok(ky_pb_unpack(arena, &kyso__v1__sign_reply__descriptor, message, &m)) &&
              check_reply(s, (const Kyso__V1__SignReply *)m);
    ky_arena_reset(arena);
}

static void unary_end(void *arg, struct client_call *call, const struct client_outcome *outcome)
{
    struct slot *s = arg;

    (void)call;
    if (s->running->given_up || refused_for_load(s, outcome)) {
        s->good = false;
    } else if (outcome->grpc_status != 0) {
        s->good = false;
        count_error(s->running->tally, outcome->grpc_status, ky_code_info(outcome->code)->name,
                    outcome->text);
        s->running->broken = s->running->broken || outcome->transport;
    } else if (!s->good) {
        s->running->tally->bad_replies++;
    }
    end_slot(s);
}

static void stream_message(void *arg, struct client_call *call, struct ky_span message)
{
    struct running *r = arg;
    struct ky_arena *arena = &r->load->reply_arena;
    ProtobufCMessage *m = NULL;
    struct ky_status st =
        ky_pb_unpack(arena, &kyso__v1__sign_stream_reply__descriptor, message, &m);
    const Kyso__V1__SignStreamReply *reply =
        ky_ok(st) ? (const Kyso__V1__SignStreamReply *)m : NULL;
    unsigned long index = reply != NULL ? strtoul(reply->request_id, NULL, 16) : r->slot_count;
    struct slot *s = index < r->slot_count ? &r->slots[index] : NULL;

    (void)call;
    if (s == NULL || !s->busy || strcmp(reply->request_id, s->id) != 0) {
        r->tally->bad_replies++;
    } else {
        s->good = reply->outcome_case == KYSO__V1__SIGN_STREAM_REPLY__OUTCOME_REPLY &&
                  check_reply(s, reply->reply);
        if (reply->outcome_case == KYSO__V1__SIGN_STREAM_REPLY__OUTCOME_ERROR)
            count_error(r->tally, (int)reply->error->grpc_status,
                        reply->error->detail != NULL ? reply->error->detail->code : "",
                        reply->error->message);
        else if (!s->good)
            r->tally->bad_replies++;
        end_slot(s);
    }
    ky_arena_reset(arena);
}

static void stream_end(void *arg, struct client_call *call, const struct client_outcome *outcome)
{
    struct running *r = arg;

    for (unsigned i = 0; i < r->load->options.connections; i++)
        if (r->streams[i] == call)
            r->streams[i] = NULL;
    if (outcome->grpc_status != 0) {
        count_error(r->tally, outcome->grpc_status, ky_code_info(outcome->code)->name,
                    outcome->text);
        r->broken = true;
    }
}

bool slot_open_streams(struct running *r)
{
    struct client_handler h = {.on_message = stream_message, .on_end = stream_end, .arg = r};

    for (unsigned i = 0; i < r->load->options.connections; i++)
        if (!ky_ok(client_start(r->load->clients[i], "/kyso.v1.Signer/SignStream", 0, &h,
                                &r->streams[i])))
            return false;
    return true;
}

/* Hashes and proof of the next request; false when proofs have run out. */
static bool fill_proof(struct slot *s, Kyso__V1__SignRequest *q, Kyso__V1__TotpProof *totp,
                       Kyso__V1__ApprovalProof *approval)
{
    struct load *load = s->running->load;
    unsigned n = load->options.hashes;
    struct ticket *ticket = NULL;
    unsigned first = 0;

    if (load->options.proof == PROOF_TOTP) {
        if (!population_code(&load->population, ky_wall_us() / 1000000u, &s->code) ||
            !ky_ok(ky_random(s->wire.digests, (size_t)n * sizeof s->wire.digests[0])))
            return false;
        s->citizen = s->code.citizen;
        totp->code = s->code.code;
        totp->authenticator_id = (char *)(uintptr_t)s->code.authenticator_id;
        q->proof_case = KYSO__V1__SIGN_REQUEST__PROOF_TOTP;
        q->totp = totp;
        return true;
    }
    q->proof_case = KYSO__V1__SIGN_REQUEST__PROOF_SAD;
    q->sad = (ProtobufCBinaryData){.len = sizeof s->sad, .data = s->sad};
    if (s->kept) {
        s->kept = false;
        return true;
    }
    ticket = tickets_take(&load->tickets, n, &first);
    if (ticket == NULL)
        return false;
    s->citizen = ticket->citizen;
    for (unsigned i = 0; i < n; i++)
        ticket_hash(ticket, first + i, s->wire.digests[i]);
    memcpy(s->sad, ticket->sad, sizeof s->sad);
    if (load->options.proof == PROOF_SAD)
        return true;
    approval->transaction_id = ticket->transaction_id;
    approval->authenticator_id = load->population.citizens[ticket->citizen].device_id;
    approval->matching_code = ticket->matching_code;
    approval->signature =
        (ProtobufCBinaryData){.len = ticket->signature_len, .data = ticket->signature};
    q->proof_case = KYSO__V1__SIGN_REQUEST__PROOF_APPROVAL;
    q->approval = approval;
    return true;
}

/* The call outlives the deadline that it states: what comes late is to be seen. */
static bool send_with_deadline(struct client *c, const Kyso__V1__SignRequest *q, unsigned ms,
                               const struct client_handler *h)
{
    struct client_call *call = NULL;

    if (!ky_ok(client_start(c, "/kyso.v1.Signer/Sign", ms * 1000u, h, &call)))
        return false;
    client_outwait(call, OUTWAIT_US);
    if (!ky_ok(client_send(call, &q->base)))
        return false;
    client_finish(call);
    return true;
}

static bool send_filled(struct slot *s, const Kyso__V1__SignRequest *q)
{
    struct running *r = s->running;
    struct client_handler h = {.on_message = unary_message, .on_end = unary_end, .arg = s};

    if (r->load->options.stream) {
        struct client_call *stream = r->streams[s->index % r->load->options.connections];

        return stream != NULL && ky_ok(client_send(stream, &q->base));
    }
    if (r->load->options.deadline_ms > 0)
        return send_with_deadline(client_of(s), q, r->load->options.deadline_ms, &h);
    return ky_ok(client_unary_start(client_of(s), "/kyso.v1.Signer/Sign", &q->base, CALL_US, &h));
}

bool slot_send(struct running *r, uint64_t start_us)
{
    struct slot *s = r->free_list[r->free_count - 1];
    Kyso__V1__SignRequest q = KYSO__V1__SIGN_REQUEST__INIT;
    Kyso__V1__TotpProof totp = KYSO__V1__TOTP_PROOF__INIT;
    Kyso__V1__ApprovalProof approval = KYSO__V1__APPROVAL_PROOF__INIT;
    struct load *load = r->load;

    if (!fill_proof(s, &q, &totp, &approval)) {
        r->tally->exhausted = true;
        r->stopped = true;
        return false;
    }
    wire_fill(&s->wire, &load->population.citizens[s->citizen], load->options.relying_party,
              load->options.hashes);
    wire_id(s->id, s->index, load->serial++);
    q.request_id = s->id;
    q.request = &s->wire.request;
    s->good = false;
    s->start_us = start_us;
    s->sent_us = ky_now_us();
    s->fresh = r->after_to_us != 0;
    s->timed = start_us >= r->clock_from_us && start_us < r->clock_to_us;
    if (!send_filled(s, &q)) {
        r->broken = true;
        r->stopped = true;
        return false;
    }
    s->busy = true;
    r->free_count--;
    r->fresh_count += s->fresh ? 1 : 0;
    return true;
}
