/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gRPC client against a grpcio server that nobody here wrote, over mutual TLS and a Unix
 * socket.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <netinet/in.h>
#include <openssl/ssl.h>

#include <cmocka.h>

#include "client.h"
#include "fixture.h"
#include "kyso/record.h"
#include "kyso/v1/health.pb-c.h"
#include "kyso/v1/signer.pb-c.h"

#define SECOND UINT64_C(1000000)

static struct client_target tls_target(const struct fixture *f)
{
    return (struct client_target){.endpoint = fixture_text(f, "signer"),
                                  .certificate = fixture_text(f, "cert"),
                                  .key = fixture_text(f, "key"),
                                  .ca = fixture_text(f, "ca")};
}

static struct client *open_tls(const struct fixture *f)
{
    struct client_target t = tls_target(f);
    struct client *c = NULL;
    char why[CLIENT_TEXT_MAX];

    if (!ky_ok(client_open(&t, 10 * SECOND, &c, why)))
        fail_msg("%s", why);
    return c;
}

static struct ky_status get_credential(struct client *c, const char *id, uint64_t timeout_us,
                                       struct client_outcome *o)
{
    Kyso__V1__GetCredentialRequest r = KYSO__V1__GET_CREDENTIAL_REQUEST__INIT;
    ProtobufCMessage *reply = NULL;
    struct ky_status st;

    r.credential_id = (char *)(uintptr_t)id;
    r.relying_party = (char *)(uintptr_t) "gateway";
    st = client_unary(c, "/kyso.v1.Signer/GetCredential", &r.base, timeout_us,
                      &kyso__v1__credential__descriptor, &reply, o);
    if (ky_ok(st))
        protobuf_c_message_free_unpacked(reply, NULL);
    return st;
}

static int start(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    (void)signal(SIGPIPE, SIG_IGN);
    *state = f;
    return f != NULL && fixture_dir(f) == 0 && fixture_double(f) == 0 ? 0 : -1;
}

static int stop(void **state)
{
    fixture_stop(*state);
    free(*state);
    return 0;
}

static void unary_over_tls(void **state)
{
    struct client *c = open_tls(*state);
    struct client_outcome o;

    assert_true(ky_ok(get_credential(c, "p256", 5 * SECOND, &o)));
    assert_int_equal(o.grpc_status, 0);
    assert_true(ky_ok(get_credential(c, "ed", 5 * SECOND, &o))); /* the connection serves again */
    assert_int_equal(client_in_flight(c), 0);
    client_close(&c);
    assert_null(c);
}

static void long_messages_and_too_long_ones(void **state)
{
    struct client *c = open_tls(*state);
    struct client_outcome o;

    assert_true(ky_ok(get_credential(c, "big", 5 * SECOND, &o))); /* dozens of DATA frames */
    assert_int_equal(get_credential(c, "huge", 5 * SECOND, &o).code, KY_INTERNAL);
    assert_true(strstr(o.text, "too long") != NULL);
    assert_true(ky_ok(get_credential(c, "p256", 5 * SECOND, &o))); /* only that call ended */
    client_close(&c);
}

static void unary_over_unix_socket(void **state)
{
    struct client_target t = {.unix_path = fixture_text(*state, "socket")};
    Grpc__Health__V1__HealthCheckRequest r = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    ProtobufCMessage *reply = NULL;
    struct client *c = NULL;
    struct client_outcome o;
    char why[CLIENT_TEXT_MAX];

    assert_true(ky_ok(client_open(&t, 5 * SECOND, &c, why)));
    assert_true(
        ky_ok(client_unary(c, "/grpc.health.v1.Health/Check", &r.base, 5 * SECOND,
                           &grpc__health__v1__health_check_response__descriptor, &reply, &o)));
    assert_int_equal(((Grpc__Health__V1__HealthCheckResponse *)reply)->status, 1);
    protobuf_c_message_free_unpacked(reply, NULL);
    client_close(&c);
}

static void refusals_are_read_with_their_details(void **state)
{
    struct client *c = open_tls(*state);
    struct client_outcome o;

    assert_int_equal(get_credential(c, "nobody", 5 * SECOND, &o).code, KY_NOT_FOUND);
    assert_int_equal(o.grpc_status, 5);
    assert_string_equal(o.text, "no such credential");
    assert_false(o.transport);

    assert_int_equal(get_credential(c, "busy", 5 * SECOND, &o).code, KY_BUSY);
    assert_int_equal(o.grpc_status, 8);
    assert_string_equal(o.detail_code, "busy");
    assert_int_equal(o.retry, 1);
    assert_int_equal(o.retry_after_ms, 250);
    assert_string_equal(o.text, "queue is full: đầy 100%"); /* percent-encoded on the wire */
    client_close(&c);
}

static void unknown_method_is_unimplemented(void **state)
{
    struct client *c = open_tls(*state);
    Kyso__V1__InfoRequest r = KYSO__V1__INFO_REQUEST__INIT;
    ProtobufCMessage *reply = NULL;
    struct client_outcome o;

    assert_int_equal(client_unary(c, "/kyso.v1.Signer/Nothing", &r.base, 5 * SECOND,
                                  &kyso__v1__info_reply__descriptor, &reply, &o)
                         .code,
                     KY_UNIMPLEMENTED);
    assert_int_equal(o.grpc_status, 12);
    client_close(&c);
}

static void deadline_ends_the_call_and_only_it(void **state)
{
    struct client *c = open_tls(*state);
    struct client_outcome o;
    uint64_t began = ky_now_us();

    assert_int_equal(get_credential(c, "slow", SECOND / 5, &o).code, KY_DEADLINE);
    assert_int_equal(o.grpc_status, 4);
    assert_true(ky_now_us() - began < 3 * SECOND);
    assert_true(ky_ok(get_credential(c, "p256", 5 * SECOND, &o)));
    client_close(&c);
}

/* A socket that nobody ever accepts from: only the client's own clock can end the call. */
static void deadline_holds_against_a_silent_server(void **state)
{
    const struct fixture *f = *state;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct client_target t = {.unix_path = addr.sun_path};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct client *c = NULL;
    struct client_outcome o;
    char why[CLIENT_TEXT_MAX];

    (void)snprintf(addr.sun_path, sizeof addr.sun_path, "%s/silent.sock", f->dir);
    assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_true(ky_ok(client_open(&t, SECOND, &c, why)));
    assert_int_equal(get_credential(c, "p256", SECOND / 10, &o).code, KY_DEADLINE);
    assert_int_equal(client_in_flight(c), 0);
    client_close(&c);
    (void)close(fd);
}

static void opening_without_waiting(void **state)
{
    struct client_target t = tls_target(*state);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct client *c = NULL;
    struct client_outcome o;
    char why[CLIENT_TEXT_MAX], endpoint[32];

    assert_true(ky_ok(client_tls_load(&t, &t.tls, why)));
    t.certificate = t.key = t.ca = "/nowhere"; /* read once */
    assert_true(ky_ok(client_open(&t, 0, &c, why)));
    assert_true(ky_ok(get_credential(c, "p256", 5 * SECOND, &o)));
    client_close(&c);

    assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    (void)snprintf(endpoint, sizeof endpoint, "127.0.0.1:%u", ntohs(addr.sin_port));
    t.endpoint = endpoint;
    t.server_name = "127.0.0.1";
    if (ky_ok(client_open(&t, 0, &c, why))) { /* nobody listens: now or a moment later */
        assert_int_equal(get_credential(c, "p256", 5 * SECOND, &o).code, KY_UNAVAILABLE);
        client_close(&c);
    }
    assert_int_equal(listen(fd, 1), 0);
    assert_true(ky_ok(client_open(&t, 0, &c, why))); /* somebody who never says a word */
    assert_int_equal(get_credential(c, "p256", SECOND / 10, &o).code, KY_DEADLINE);
    client_close(&c);

    t.endpoint = fixture_text(*state, "signer");
    t.server_name = "elsewhere.example";
    assert_true(ky_ok(client_open(&t, 0, &c, why)));
    assert_int_equal(get_credential(c, "p256", 5 * SECOND, &o).code, KY_UNAVAILABLE);
    assert_non_null(strstr(o.text, "certificate was refused"));
    client_close(&c);
    SSL_CTX_free(t.tls);
    (void)close(fd);
}

static void wrong_server_certificate_is_refused(void **state)
{
    struct client_target t = tls_target(*state);
    struct client *c = NULL;
    char why[CLIENT_TEXT_MAX];

    t.ca = fixture_text(*state, "other_ca");
    assert_int_equal(client_open(&t, 5 * SECOND, &c, why).code, KY_UNAUTHENTICATED);
    assert_non_null(strstr(why, "certificate was refused"));
    assert_null(c);

    t = tls_target(*state);
    t.server_name = "elsewhere.example";
    assert_int_equal(client_open(&t, 5 * SECOND, &c, why).code, KY_UNAUTHENTICATED);
    t.server_name = "127.0.0.2";
    assert_int_equal(client_open(&t, 5 * SECOND, &c, why).code, KY_UNAUTHENTICATED);
    t.server_name = "localhost";
    assert_int_equal(client_open(&t, 5 * SECOND, &c, why).code, KY_OK);
    client_close(&c);
}

static void missing_client_certificate_is_a_transport_failure(void **state)
{
    struct client_target t = tls_target(*state);
    struct client *c = NULL;
    struct client_outcome o;
    char why[CLIENT_TEXT_MAX];

    t.certificate = NULL;
    t.key = NULL;
    if (ky_ok(client_open(&t, 5 * SECOND, &c,
                          why))) { /* TLS 1.3: the refusal comes after our Finished */
        assert_int_equal(get_credential(c, "p256", 5 * SECOND, &o).code, KY_UNAVAILABLE);
        assert_true(o.transport);
        client_close(&c);
    }
}

static void bad_targets_are_named(void **state)
{
    struct client_target t = tls_target(*state);
    struct client *c = NULL;
    char why[CLIENT_TEXT_MAX];

    t.endpoint = "nonsense";
    assert_int_equal(client_open(&t, SECOND, &c, why).code, KY_INVALID);
    t = tls_target(*state);
    t.key = "/nonexistent.key";
    assert_int_equal(client_open(&t, SECOND, &c, why).code, KY_INVALID);
    assert_non_null(strstr(why, "/nonexistent.key"));
    t = (struct client_target){.unix_path = "/nonexistent.sock"};
    assert_int_equal(client_open(&t, SECOND, &c, why).code, KY_UNAVAILABLE);
}

struct gather {
    unsigned replies, errors, out_of_order, last;
    bool ended;
    struct client_outcome outcome;
};

static void on_reply(void *arg, struct client_call *call, struct ky_span message)
{
    struct gather *g = arg;
    Kyso__V1__SignStreamReply *r =
        kyso__v1__sign_stream_reply__unpack(NULL, message.len, message.data);
    unsigned id;

    (void)call;
    assert_non_null(r);
    id = (unsigned)atoi(r->request_id + 2);
    g->out_of_order += id < g->last;
    g->last = id;
    if (r->outcome_case == KYSO__V1__SIGN_STREAM_REPLY__OUTCOME_REPLY)
        g->replies++;
    else
        g->errors++;
    kyso__v1__sign_stream_reply__free_unpacked(r, NULL);
}

static void on_end(void *arg, struct client_call *call, const struct client_outcome *outcome)
{
    struct gather *g = arg;

    (void)call;
    g->ended = true;
    g->outcome = *outcome;
}

static void thousand_replies_on_one_stream(void **state)
{
    struct client *c = open_tls(*state);
    struct gather g = {.ended = false};
    struct client_handler h = {.on_message = on_reply, .on_end = on_end, .arg = &g};
    struct client_call *call = NULL;

    assert_true(ky_ok(client_start(c, "/kyso.v1.Signer/SignStream", 60 * SECOND, &h, &call)));
    for (unsigned i = 0; i < 1000; i++) {
        Kyso__V1__SignRequest r = KYSO__V1__SIGN_REQUEST__INIT;
        Kyso__V1__SignatureRequest s = KYSO__V1__SIGNATURE_REQUEST__INIT;
        char id[16];

        (void)snprintf(id, sizeof id, "r-%u", i);
        r.request_id = id;
        r.request = &s;
        s.display_text = (char *)(uintptr_t)(i % 100 == 7 ? "refuse" : "");
        assert_true(ky_ok(client_send(call, &r.base)));
    }
    client_finish(call);
    while (!g.ended)
        assert_true(ky_ok(client_poll(&c, 1, 10000)) || g.ended);
    assert_int_equal(g.outcome.grpc_status, 0);
    assert_int_equal(g.replies, 990);
    assert_int_equal(g.errors, 10);
    assert_true(g.out_of_order >= 400);
    client_close(&c);
}

static void many_unary_calls_in_flight(void **state)
{
    struct client *c[2] = {open_tls(*state), open_tls(*state)};
    struct gather g[200];
    Kyso__V1__InfoRequest r = KYSO__V1__INFO_REQUEST__INIT;
    unsigned done = 0;

    memset(g, 0, sizeof g);
    for (unsigned i = 0; i < 200; i++) {
        struct client_handler h = {.on_end = on_end, .arg = &g[i]};

        assert_true(
            ky_ok(client_unary_start(c[i % 2], "/kyso.v1.Signer/Info", &r.base, 30 * SECOND, &h)));
    }
    assert_int_equal(client_in_flight(c[0]), 100);
    while (client_in_flight(c[0]) + client_in_flight(c[1]) > 0)
        assert_true(ky_ok(client_poll(c, 2, 10000)));
    for (unsigned i = 0; i < 200; i++)
        done += g[i].ended && g[i].outcome.grpc_status == 0;
    assert_int_equal(done, 200);
    client_close(&c[0]);
    client_close(&c[1]);
}

static void cancelling_and_closing_end_calls(void **state)
{
    struct client *c = open_tls(*state);
    struct gather g[2] = {{.ended = false}};
    struct client_handler h[2] = {{.on_end = on_end, .arg = &g[0]},
                                  {.on_end = on_end, .arg = &g[1]}};
    struct client_call *call[2];

    assert_true(ky_ok(client_start(c, "/kyso.v1.Signer/SignStream", 0, &h[0], &call[0])));
    assert_true(ky_ok(client_start(c, "/kyso.v1.Signer/SignStream", 0, &h[1], &call[1])));
    client_cancel(call[0]);
    assert_false(g[0].ended);
    assert_true(ky_ok(client_drive(c)));
    assert_true(g[0].ended);
    assert_int_equal(g[0].outcome.code, KY_CANCELLED);
    assert_false(g[1].ended);
    client_close(&c);
    assert_true(g[1].ended);
    assert_int_equal(g[1].outcome.code, KY_CANCELLED);
}

static void server_gone_in_mid_call(void **state)
{
    struct client *c = open_tls(*state);
    struct client_outcome o;

    assert_int_equal(get_credential(c, "die", 10 * SECOND, &o).code, KY_UNAVAILABLE);
    assert_int_equal(o.grpc_status, 14);
    assert_true(o.transport);
    assert_true(o.text[0] != '\0');
    assert_false(client_is_open(c));
    assert_int_equal(get_credential(c, "p256", SECOND, &o).code,
                     KY_UNAVAILABLE); /* and it stays so */
    client_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unary_over_tls),
        cmocka_unit_test(long_messages_and_too_long_ones),
        cmocka_unit_test(unary_over_unix_socket),
        cmocka_unit_test(refusals_are_read_with_their_details),
        cmocka_unit_test(unknown_method_is_unimplemented),
        cmocka_unit_test(deadline_ends_the_call_and_only_it),
        cmocka_unit_test(deadline_holds_against_a_silent_server),
        cmocka_unit_test(opening_without_waiting),
        cmocka_unit_test(wrong_server_certificate_is_refused),
        cmocka_unit_test(missing_client_certificate_is_a_transport_failure),
        cmocka_unit_test(bad_targets_are_named),
        cmocka_unit_test(thousand_replies_on_one_stream),
        cmocka_unit_test(many_unary_calls_in_flight),
        cmocka_unit_test(cancelling_and_closing_end_calls),
        cmocka_unit_test(server_gone_in_mid_call), /* last: it ends the double */
    };

    return cmocka_run_group_tests(tests, start, stop);
}
