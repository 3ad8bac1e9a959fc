/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the generator says of deadlines and refusals decides whether an overload row tells the
 * truth. slot.c runs here on a clock and a client of the test's: what it sends is caught, and the
 * test answers when it likes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kyso/record.h"
#include "slot.h"

#define START_US    1000000u
#define DEADLINE_MS 100u
#define MS          1000u

/* Two authenticators; the seed is that of RFC 6238, appendix B. */
static const char citizen_json[] =
    "{\"credential_id\": \"c1\", \"key_type\": \"p256\", \"public_key\": \"00\", \"totps\": ["
    "{\"authenticator_id\": \"a1\", \"seed\": \"3132333435363738393031323334353637383930\"}, "
    "{\"authenticator_id\": \"a2\", \"seed\": \"3132333435363738393031323334353637383930\"}]}\n";

static struct {
    uint64_t now_us;
    bool connection_lost;
    unsigned calls;
    uint64_t timeout_us; /* of the last call, as told to the server */
    uint64_t outwait_us;
    struct client_handler handler;
    unsigned offered; /* signatures to the sample */
    unsigned tickets;
    struct ticket ticket;
} seen;

uint64_t ky_now_us(void) /* slot.c's clock: the build renames both */
{
    return seen.now_us;
}

uint64_t ky_wall_us(void) /* a thousand seconds ahead of the other */
{
    return seen.now_us + 1000000000u;
}

bool client_is_open(const struct client *c)
{
    (void)c;
    return !seen.connection_lost;
}

struct ky_status client_start(struct client *c, const char *path, uint64_t timeout_us,
                              const struct client_handler *handler, struct client_call **out_call)
{
    (void)c;
    (void)path;
    seen.calls++;
    seen.timeout_us = timeout_us;
    seen.handler = *handler;
    *out_call = NULL;
    return KY_STATUS(KY_OK);
}

struct ky_status client_unary_start(struct client *c, const char *path,
                                    const ProtobufCMessage *request, uint64_t timeout_us,
                                    const struct client_handler *handler)
{
    struct client_call *call;

    (void)request;
    return client_start(c, path, timeout_us, handler, &call);
}

struct ky_status client_send(struct client_call *call, const ProtobufCMessage *message)
{
    (void)call;
    (void)message;
    return KY_STATUS(KY_OK);
}

void client_finish(struct client_call *call)
{
    (void)call;
}

void client_outwait(struct client_call *call, uint64_t us)
{
    (void)call;
    seen.outwait_us = us;
}

bool sample_offer(struct sample *s, uint32_t citizen, const uint8_t digest[32],
                  struct ky_span signature)
{
    (void)s;
    (void)citizen;
    (void)digest;
    (void)signature;
    seen.offered++;
    return true;
}

struct ticket *tickets_take(struct tickets *t, unsigned n, unsigned *out_first)
{
    (void)t;
    (void)n;
    *out_first = seen.tickets++;
    return &seen.ticket;
}

void ticket_hash(const struct ticket *t, unsigned i, uint8_t out[HASH_LEN])
{
    (void)t;
    memset(out, (int)i, HASH_LEN);
}

struct bench { /* one slot, open loop: nothing is sent but what the test sends */
    struct load load;
    struct tally tally;
    struct running running;
    struct slot slot;
    struct slot *free_list[1];
};

static int set_up(void **state)
{
    char path[] = "/tmp/kyso-bench-XXXXXX";
    struct bench *b = calloc(1, sizeof *b);
    int fd = mkstemp(path);

    memset(&seen, 0, sizeof seen);
    seen.now_us = START_US;
    if (b == NULL || fd < 0 ||
        write(fd, citizen_json, strlen(citizen_json)) != (ssize_t)strlen(citizen_json) ||
        close(fd) != 0 || !population_load(&b->load.population, path, 0, 0) || unlink(path) != 0 ||
        !ky_ok(ky_arena_init(&b->load.reply_arena, KY_ARENA_MAX)))
        return -1;
    b->load.options = (struct options){.relying_party = "portal",
                                       .proof = PROOF_TOTP,
                                       .connections = 1,
                                       .in_flight = 1,
                                       .hashes = 1,
                                       .rate = 1,
                                       .deadline_ms = DEADLINE_MS};
    b->running = (struct running){.load = &b->load,
                                  .tally = &b->tally,
                                  .slots = &b->slot,
                                  .slot_count = 1,
                                  .free_list = b->free_list,
                                  .free_count = 1,
                                  .clock_to_us = START_US + 10000 * MS};
    b->slot.running = &b->running;
    b->free_list[0] = &b->slot;
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;

    population_free(&b->load.population);
    ky_arena_wipe(&b->load.reply_arena);
    free(b);
    return 0;
}

static void send_one(struct bench *b)
{
    assert_true(slot_send(&b->running, seen.now_us));
    assert_true(b->slot.busy);
}

static void answer(uint64_t after_us, const struct client_outcome *outcome)
{
    seen.now_us += after_us;
    seen.handler.on_end(seen.handler.arg, NULL, outcome);
}

static void answer_well(struct bench *b, uint64_t after_us)
{
    uint8_t der[70] = {0x30, 68};
    uint8_t packed[256];
    ProtobufCBinaryData signature = {.len = sizeof der, .data = der};
    Kyso__V1__SignReply reply = KYSO__V1__SIGN_REPLY__INIT;

    reply.request_id = b->slot.id;
    reply.n_signatures = 1;
    reply.signatures = &signature;
    assert_true(kyso__v1__sign_reply__get_packed_size(&reply) <= sizeof packed);
    seen.handler.on_message(seen.handler.arg, NULL,
                            KY_SPAN(packed, kyso__v1__sign_reply__pack(&reply, packed)));
    answer(after_us, &(struct client_outcome){.code = KY_OK});
    assert_false(b->slot.busy);
}

static uint64_t errors_of(const struct tally *t)
{
    uint64_t n = t->bad_replies;

    for (unsigned i = 0; i < GRPC_STATUSES; i++)
        n += t->errors[i];
    return n;
}

static void refuse(uint64_t after_us, enum ky_code code, int grpc_status)
{
    answer(after_us, &(struct client_outcome){.code = code, .grpc_status = grpc_status});
}

static void the_server_is_told_and_outwaited(void **state)
{
    send_one(*state);
    assert_int_equal(seen.timeout_us, DEADLINE_MS * MS);
    assert_in_range(seen.outwait_us, 1, UINT32_MAX);
}

static void at_the_deadline_is_in_time(void **state)
{
    struct bench *b = *state;

    send_one(b);
    answer_well(b, DEADLINE_MS * MS);
    assert_int_equal(b->tally.signatures, 1);
    assert_int_equal(b->tally.latency.count, 1);
    assert_int_equal(b->tally.past_deadline, 0);
    assert_int_equal(seen.offered, 1);
    assert_int_equal(errors_of(&b->tally), 0);
}

static void past_the_deadline_is_no_goodput(void **state)
{
    struct bench *b = *state;

    send_one(b);
    answer_well(b, DEADLINE_MS * MS + 1);
    assert_int_equal(b->tally.past_deadline, 1);
    assert_int_equal(b->tally.well_past, 0);
    assert_int_equal(b->tally.past_max_us, 1);
    send_one(b);
    answer_well(b, DEADLINE_MS * MS + 50 * MS + 1);
    assert_int_equal(b->tally.past_deadline, 2);
    assert_int_equal(b->tally.well_past, 1);
    assert_int_equal(b->tally.past_max_us, 50 * MS + 1);
    assert_int_equal(b->tally.signatures, 0);
    assert_int_equal(b->tally.latency.count, 0);
    assert_int_equal(errors_of(&b->tally), 0);
    assert_int_equal(seen.offered, 2); /* late or not, it must verify */
}

/* In an open loop latency begins when the request was due, its deadline when it was sent. */
static void a_deadline_begins_with_the_sending(void **state)
{
    struct bench *b = *state;

    assert_true(slot_send(&b->running, seen.now_us - 500 * MS));
    b->slot.timed = true;
    answer_well(b, 10 * MS);
    assert_int_equal(b->tally.past_deadline, 0);
    assert_int_equal(b->tally.latency.max_us, 510 * MS);
}

static void without_a_deadline_nothing_is_past_it(void **state)
{
    struct bench *b = *state;

    b->load.options.deadline_ms = 0;
    send_one(b);
    answer_well(b, 5000 * MS);
    assert_int_equal(b->tally.past_deadline, 0);
    assert_int_equal(b->tally.signatures, 1);
    send_one(b);
    refuse(MS, KY_BUSY, 8);
    assert_int_equal(b->tally.errors[8], 1);
    assert_int_equal(b->tally.refusal.count, 0);
}

static void a_refusal_for_load_is_an_answer(void **state)
{
    static const struct {
        enum ky_code code;
        int grpc_status;
        bool offered_again; /* it has spent no proof */
    } cases[] = {{KY_BUSY, 8, true}, {KY_UNAVAILABLE, 14, false}, {KY_DEADLINE, 4, false}};
    struct bench *b = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        send_one(b);
        uint64_t step = b->slot.code.step;
        struct totp_source *source = b->slot.code.source;
        refuse(7 * MS, cases[i].code, cases[i].grpc_status);
        assert_int_equal(b->tally.refused[cases[i].grpc_status], 1);
        assert_int_equal(b->tally.refusal.count, i + 1);
        assert_int_equal(b->tally.refusal.max_us, 7 * MS);
        assert_int_equal(source->last_step < step, cases[i].offered_again);
    }
    assert_int_equal(errors_of(&b->tally), 0);
    assert_int_equal(b->tally.signatures, 0);
}

static void a_denial_is_an_error(void **state)
{
    struct bench *b = *state;

    send_one(b);
    refuse(MS, KY_PROOF_WRONG, 7);
    assert_int_equal(b->tally.errors[7], 1);
    assert_int_equal(b->tally.refusal.count, 0);
    assert_int_equal(b->tally.refused[7], 0);
}

static void a_refusal_begun_before_the_clock_is_not_timed(void **state)
{
    struct bench *b = *state;

    b->running.clock_from_us = START_US + 5 * MS;
    send_one(b);
    refuse(7 * MS, KY_BUSY, 8);
    assert_int_equal(b->tally.refusal.count, 0);
    assert_int_equal(errors_of(&b->tally), 0);
}

static void a_refused_stream_is_load_a_lost_connection_is_not(void **state)
{
    const struct client_outcome refused = {
        .code = KY_UNAVAILABLE, .grpc_status = 14, .transport = true};
    struct bench *b = *state;

    send_one(b);
    answer(MS, &refused);
    assert_int_equal(b->tally.refused[14], 1);
    assert_false(b->running.broken);
    send_one(b);
    seen.connection_lost = true;
    answer(MS, &refused);
    assert_int_equal(b->tally.refused[14], 1);
    assert_int_equal(b->tally.errors[14], 1);
    assert_true(b->running.broken);
}

/* The ledger is asked about what may have been signed: not about what was refused unspent. */
static void what_missed_its_deadline_is_noted(void **state)
{
    char line[128];
    char expected[128];
    struct bench *b = *state;

    b->load.past = tmpfile();
    assert_non_null(b->load.past);
    send_one(b);
    answer_well(b, DEADLINE_MS * MS);
    send_one(b);
    refuse(MS, KY_BUSY, 8);
    assert_int_equal(ftell(b->load.past), 0);
    for (int i = 0; i < 2; i++) {
        rewind(b->load.past);
        send_one(b);
        (void)snprintf(expected, sizeof expected, "%s %llu\n", b->slot.id,
                       (unsigned long long)ky_wall_us() + DEADLINE_MS * MS);
        if (i == 0)
            answer_well(b, DEADLINE_MS * MS + 1);
        else
            refuse(DEADLINE_MS * MS, KY_DEADLINE, 4);
        rewind(b->load.past);
        assert_non_null(fgets(line, sizeof line, b->load.past));
        assert_string_equal(line, expected);
    }
    assert_int_equal(fclose(b->load.past), 0);
}

static void what_was_refused_unspent_keeps_its_hash_and_sad(void **state)
{
    struct bench *b = *state;

    b->load.options.proof = PROOF_SAD;
    send_one(b);
    refuse(MS, KY_BUSY, 8);
    send_one(b);
    assert_int_equal(seen.tickets, 1);
    refuse(MS, KY_UNAVAILABLE, 14); /* nobody knows: the next takes another */
    send_one(b);
    assert_int_equal(seen.tickets, 2);
    assert_int_equal(seen.calls, 3);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_server_is_told_and_outwaited),
        TEST(at_the_deadline_is_in_time),
        TEST(past_the_deadline_is_no_goodput),
        TEST(a_deadline_begins_with_the_sending),
        TEST(without_a_deadline_nothing_is_past_it),
        TEST(a_refusal_for_load_is_an_answer),
        TEST(a_denial_is_an_error),
        TEST(a_refusal_begun_before_the_clock_is_not_timed),
        TEST(a_refused_stream_is_load_a_lost_connection_is_not),
        TEST(what_missed_its_deadline_is_noted),
        TEST(what_was_refused_unspent_keeps_its_hash_and_sad),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
