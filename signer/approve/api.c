/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the page asks, and the approvers' calls that it becomes. Logging in is an assertion over a challenge of ours, checked here
 * by the key that the server tells; a decision is an assertion over the transaction, checked by the server. Every POST names our
 * origin, or another site's page could have sent it. The outside learns a code, never why.
 */
#include "approve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kyso/policy.h"
#include "kyso/record.h"

#define CALL_US            10000000u
#define LOGINS_PER_MINUTE  3000u /* of everybody: each makes the server look, and its ledger remember */
#define ASKS_PER_MINUTE    120u  /* of one passkey; the page asks each two seconds */
#define DECIDES_PER_MINUTE 10u   /* the server suspends a client for 50 refusals, and all citizens with it */
#define COOKIE             "__Host-kyso"

struct waiting { /* a request of the page while the server answers */
    struct approve *approve;
    struct http_call *call;
    uint8_t challenge[32];   /* login */
    struct ky_buf assertion; /* login */
};

static uint64_t now_s(void)
{
    return ky_now_us() / 1000000u;
}

static void fail(struct http_call *call, int status, const char *code)
{
    http_reply_json(call, status, json_pack("{s:s}", "error", code));
}

/* --- asking the server --------------------------------------------------------------------------------- */

static void refuse_outcome(struct http_call *call, const struct client_outcome *o)
{
    static const struct {
        enum ky_code code;
        int status;
    } rows[] = {
        {KY_INVALID, 400},  {KY_DENIED, 403}, {KY_NOT_FOUND, 404}, {KY_CONFLICT, 409},
        {KY_INACTIVE, 409}, {KY_TX_ENDED, 410}, {KY_BUSY, 429},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].code == o->code) {
            fail(call, rows[i].status, ky_code_info(o->code)->name);
            return;
        }
    fail(call, 503, "unavailable");
}

static struct waiting *wait_new(struct approve *a, struct http_call *call)
{
    struct waiting *w = calloc(1, sizeof(*w));

    if (w == NULL) {
        fail(call, 503, "unavailable");
        return NULL;
    }
    *w = (struct waiting){.approve = a, .call = call, .assertion = KY_BUF_INIT(POLICY_PASSKEY_MAX)};
    return w;
}

static void wait_free(struct waiting *w)
{
    ky_buf_free(&w->assertion);
    free(w);
}

static void ask(struct waiting *w, const char *method, const ProtobufCMessage *request,
                const ProtobufCMessageDescriptor *reply_type, link_done done)
{
    if (ky_ok(link_call(w->approve->link, method, request, CALL_US, reply_type, done, w)))
        return;
    fail(w->call, 503, "unavailable");
    wait_free(w);
}

/* --- what requests have in common ------------------------------------------------------------------------ */

/* The body of a POST from our own page, or NULL: refused. */
static json_t *own_body(struct approve *a, struct http_call *call)
{
    if (!ky_span_eq(http_header(call, "origin"), ky_span_text(a->config->origin))) {
        fail(call, 403, "origin");
        return NULL;
    }
    return http_json(call);
}

static const char *text_of(const json_t *in, const char *name)
{
    const char *s = json_string_value(json_object_get(in, name));

    return s != NULL ? s : "";
}

/* Who is logged in and may ask once more, into out (a C string); false: refused. */
static bool logged_in(struct approve *a, struct http_call *call, uint32_t per_minute,
                      char out[KY_NAME_MAX + 1])
{
    struct ky_span id = session_whose(&a->session, http_cookie(call, COOKIE), now_s());

    if (id.len == 0 || !ky_span_to_cstr(id, out, KY_NAME_MAX + 1)) {
        fail(call, 401, "login");
        return false;
    }
    char who[KY_NAME_MAX + 16];
    (void)snprintf(who, sizeof(who), "%u %s", per_minute, out);
    if (session_may(&a->session, ky_span_text(who), per_minute, now_s()))
        return true;
    fail(call, 429, "busy");
    return false;
}

static bool stranger_may(struct approve *a, struct http_call *call)
{
    if (session_may(&a->session, ky_span_text("strangers"), LOGINS_PER_MINUTE, now_s()))
        return true;
    fail(call, 429, "busy");
    return false;
}

static void put_piece(struct ky_buf *out, const struct ky_buf *piece)
{
    const uint8_t n[2] = {(uint8_t)(piece->len >> 8), (uint8_t)piece->len};

    ky_buf_put(out, n, sizeof(n));
    ky_buf_put(out, piece->data, piece->len);
}

/* {"assertion": {data, client, signature}} in the form of the approvers' door. */
static bool read_assertion(const json_t *in, struct ky_buf *out)
{
    const json_t *said = json_object_get(in, "assertion");
    struct ky_buf data = KY_BUF_INIT(POLICY_PASSKEY_MAX), client = KY_BUF_INIT(POLICY_PASSKEY_MAX),
                  signature = KY_BUF_INIT(POLICY_PASSKEY_MAX);
    bool ok = hear_bytes(said, "data", &data) && hear_bytes(said, "client", &client) &&
              hear_bytes(said, "signature", &signature);

    if (ok) {
        put_piece(out, &data);
        put_piece(out, &client);
        ky_buf_put(out, signature.data, signature.len);
    }
    ky_buf_free(&data);
    ky_buf_free(&client);
    ky_buf_free(&signature);
    return ok && !out->failed;
}

static void set_cookie(struct http_call *call, const char *value, uint32_t life_s)
{
    char text[SESSION_COOKIE_MAX + 128];

    (void)snprintf(text, sizeof(text), COOKIE "=%s; Path=/; Max-Age=%u; Secure; HttpOnly; SameSite=Strict",
                   value, life_s);
    http_set_header(call, "Set-Cookie", text);
}

/* --- logging in -------------------------------------------------------------------------------------------- */

void api_login_begin(void *arg, struct http_call *call)
{
    struct approve *a = arg;
    uint8_t challenge[32];

    if (own_body(a, call) == NULL || !stranger_may(a, call))
        return;
    if (ky_ok(session_challenge(&a->session, now_s(), challenge)))
        http_reply_json(call, 200, json_pack("{s:o}", "challenge", tell_bytes(KY_SPAN_OF(challenge))));
    else
        fail(call, 503, "unavailable");
}

/* May this passkey's assertion log in? Whether it may be a synced one is for the server to say when it decides. */
static bool lets_in(struct waiting *w, const Kyso__V1__Passkey *m)
{
    const struct policy_passkey p = {.origin = ky_span_text(w->approve->config->origin), .synced = true};
    struct policy_device_key *key = NULL;
    uint32_t counter = 0;
    bool ok = ky_ok(policy_device_key_load(POLICY_DEVICE_ES256,
                                           KY_SPAN(m->public_key.data, m->public_key.len), &key)) &&
              ky_ok(policy_passkey_verify(key, &p, w->challenge, ky_buf_span(&w->assertion), &counter));

    policy_device_key_free(&key);
    return ok && session_spend(&w->approve->session, KY_SPAN_OF(w->challenge), now_s());
}

static void login_done(void *arg, const struct client_outcome *outcome, const ProtobufCMessage *reply)
{
    const Kyso__V1__Passkey *m = (const Kyso__V1__Passkey *)reply;
    struct waiting *w = arg;
    char cookie[SESSION_COOKIE_MAX];

    if (m == NULL && outcome->code != KY_DENIED && outcome->code != KY_NOT_FOUND) {
        refuse_outcome(w->call, outcome);
    } else if (m == NULL || !lets_in(w, m)) { /* whether there is such a passkey is nobody's business */
        fail(w->call, 403, "denied");
    } else {
        uint32_t life_s = w->approve->config->session_s;
        session_cookie(&w->approve->session, ky_span_text(m->authenticator_id), now_s() + life_s, cookie);
        set_cookie(w->call, cookie, life_s);
        http_reply_json(w->call, 200, json_pack("{s:s}", "label", m->label));
    }
    wait_free(w);
}

void api_login(void *arg, struct http_call *call)
{
    struct approve *a = arg;
    Kyso__V1__GetPasskeyRequest m = KYSO__V1__GET_PASSKEY_REQUEST__INIT;
    struct ky_buf challenge = KY_BUF_INIT(32);
    json_t *in = own_body(a, call);
    struct waiting *w = in != NULL && stranger_may(a, call) ? wait_new(a, call) : NULL;

    if (w == NULL)
        return;
    m.authenticator_id = (char *)(uintptr_t)text_of(in, "authenticator");
    bool ok = hear_bytes(in, "challenge", &challenge) && challenge.len == sizeof(w->challenge) &&
              read_assertion(in, &w->assertion);
    if (ok) {
        memcpy(w->challenge, challenge.data, sizeof(w->challenge));
        ask(w, "GetPasskey", &m.base, &kyso__v1__passkey__descriptor, login_done);
    } else {
        fail(call, 400, "invalid");
        wait_free(w);
    }
    ky_buf_free(&challenge);
}

void api_logout(void *arg, struct http_call *call)
{
    if (own_body(arg, call) == NULL)
        return;
    set_cookie(call, "", 0);
    http_reply_json(call, 200, json_object());
}

/* --- a passkey is made --------------------------------------------------------------------------------------- */

static void enroll_done(void *arg, const struct client_outcome *outcome, const ProtobufCMessage *reply)
{
    const Kyso__V1__Passkey *m = (const Kyso__V1__Passkey *)reply;
    struct waiting *w = arg;

    if (m != NULL)
        http_reply_json(w->call, 200,
                        json_pack("{s:s,s:I}", "label", m->label, "usable_from", (json_int_t)m->usable_from));
    else
        refuse_outcome(w->call, outcome);
    wait_free(w);
}

void api_enroll(void *arg, struct http_call *call)
{
    struct approve *a = arg;
    Kyso__V1__EnrollPasskeyRequest m = KYSO__V1__ENROLL_PASSKEY_REQUEST__INIT;
    struct ky_buf key = KY_BUF_INIT(KY_SPKI_MAX);
    json_t *in = own_body(a, call);
    struct waiting *w = in != NULL && stranger_may(a, call) ? wait_new(a, call) : NULL;

    if (w == NULL)
        return;
    m.authenticator_id = (char *)(uintptr_t)text_of(in, "authenticator");
    m.code = (char *)(uintptr_t)text_of(in, "code");
    if (hear_bytes(in, "public_key", &key)) {
        m.public_key = (ProtobufCBinaryData){.len = key.len, .data = key.data};
        ask(w, "EnrollPasskey", &m.base, &kyso__v1__passkey__descriptor, enroll_done);
    } else {
        fail(call, 400, "invalid");
        wait_free(w);
    }
    ky_buf_free(&key);
}

/* --- what is to be approved --------------------------------------------------------------------------------- */

static void pending_done(void *arg, const struct client_outcome *outcome, const ProtobufCMessage *reply)
{
    const Kyso__V1__ListPendingReply *m = (const Kyso__V1__ListPendingReply *)reply;
    struct waiting *w = arg;
    json_t *list;

    if (m == NULL) {
        refuse_outcome(w->call, outcome);
    } else {
        list = json_array();
        for (size_t i = 0; i < m->n_transactions; i++)
            (void)json_array_append_new(list, tell_transaction(m->transactions[i]));
        http_reply_json(w->call, 200, json_pack("{s:o}", "transactions", list));
    }
    wait_free(w);
}

void api_pending(void *arg, struct http_call *call)
{
    Kyso__V1__ListPendingRequest m = KYSO__V1__LIST_PENDING_REQUEST__INIT;
    char id[KY_NAME_MAX + 1];
    struct waiting *w = logged_in(arg, call, ASKS_PER_MINUTE, id) ? wait_new(arg, call) : NULL;

    m.authenticator_id = id;
    if (w != NULL)
        ask(w, "ListPending", &m.base, &kyso__v1__list_pending_reply__descriptor, pending_done);
}

static void transaction_done(void *arg, const struct client_outcome *outcome,
                             const ProtobufCMessage *reply)
{
    struct waiting *w = arg;

    if (reply != NULL)
        http_reply_json(w->call, 200, tell_transaction((const Kyso__V1__PendingTransaction *)reply));
    else
        refuse_outcome(w->call, outcome);
    wait_free(w);
}

void api_transaction(void *arg, struct http_call *call)
{
    Kyso__V1__GetPendingRequest m = KYSO__V1__GET_PENDING_REQUEST__INIT;
    char id[KY_NAME_MAX + 1], transaction[KY_NAME_MAX + 1];
    struct waiting *w = logged_in(arg, call, ASKS_PER_MINUTE, id) ? wait_new(arg, call) : NULL;

    if (w == NULL)
        return;
    m.authenticator_id = id;
    m.transaction_id = transaction;
    (void)ky_span_to_cstr(http_wildcard(call, 0), transaction, sizeof(transaction));
    ask(w, "GetTransaction", &m.base, &kyso__v1__pending_transaction__descriptor, transaction_done);
}

static void decide_done(void *arg, const struct client_outcome *outcome, const ProtobufCMessage *reply)
{
    const Kyso__V1__DecisionReply *m = (const Kyso__V1__DecisionReply *)reply;
    struct waiting *w = arg;

    if (m != NULL)
        http_reply_json(w->call, 200, json_pack("{s:i}", "state", (int)m->state));
    else
        refuse_outcome(w->call, outcome);
    wait_free(w);
}

/* Refusing takes no assertion, unless it says "this was not me". */
void api_decide(void *arg, struct http_call *call)
{
    Kyso__V1__DecisionRequest yes = KYSO__V1__DECISION_REQUEST__INIT;
    Kyso__V1__RejectRequest no = KYSO__V1__REJECT_REQUEST__INIT;
    char id[KY_NAME_MAX + 1];
    json_t *in = own_body(arg, call);
    struct waiting *w =
        in != NULL && logged_in(arg, call, DECIDES_PER_MINUTE, id) ? wait_new(arg, call) : NULL;

    if (w == NULL)
        return;
    const char *decision = text_of(in, "decision");
    const bool approve = strcmp(decision, "approve") == 0, reject = strcmp(decision, "reject") == 0;

    no.not_me = strcmp(decision, "not_me") == 0;
    if ((!approve && !reject && !no.not_me) || (!reject && !read_assertion(in, &w->assertion))) {
        fail(call, 400, "invalid");
        wait_free(w);
        return;
    }
    yes.authenticator_id = no.authenticator_id = id;
    yes.transaction_id = no.transaction_id = (char *)(uintptr_t)text_of(in, "transaction");
    yes.matching_code = (char *)(uintptr_t)text_of(in, "code");
    yes.signature = no.signature =
        (ProtobufCBinaryData){.len = w->assertion.len, .data = w->assertion.data};
    ask(w, approve ? "Approve" : "Reject", approve ? &yes.base : &no.base,
        &kyso__v1__decision_reply__descriptor, decide_done);
}
