/* SPDX-License-Identifier: Apache-2.0 */
/* What operators ask, signed: suspensions, removals, unlocks, and putting right what is off. */
#include "sim.h"

#include "kyso/v1/operator.pb-c.h"
#include "kyso/wire.h"

static void sign_operation(struct sim *s, struct ky_span operation, struct ky_buf *out)
{
    struct ky_buf message = KY_BUF_INIT(4096);
    uint8_t signature[80];
    size_t n = sizeof(signature);
    EVP_MD_CTX *c = EVP_MD_CTX_new();

    ky_buf_put(&message, "kyso.v1.operation", 18); /* with its NUL */
    ky_buf_put(&message, operation.data, operation.len);
    assert_int_equal(1, EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, s->w->device));
    assert_int_equal(1, EVP_DigestSign(c, signature, &n, message.data, message.len));
    EVP_MD_CTX_free(c);
    ky_put_bytes(out, text("op1"));
    ky_put_bytes(out, KY_SPAN(signature, n));
    ky_buf_free(&message);
}

static char *mutable(const char *s)
{
    return (char *)(uintptr_t)s;
}

static void send_operation(struct sim *s, struct operation *op, Kyso__V1__Operation *m)
{
    uint8_t bytes[1024];
    struct ky_buf signatures = KY_BUF_INIT(512);

    for (size_t i = 0; i < sizeof(op->nonce); i++)
        op->nonce[i] = (uint8_t)sim_draw(s);
    m->server_id = mutable("ca.example");
    m->nonce.data = op->nonce;
    m->nonce.len = sizeof(op->nonce);
    m->expires = (int64_t)s->oracle.now_s + 100;
    size_t n = kyso__v1__operation__pack(m, bytes);
    sign_operation(s, KY_SPAN(bytes, n), &signatures);
    struct door_operate d = {.operation = KY_SPAN(bytes, n),
                             .signatures = ky_buf_span(&signatures)};
    struct question *q = ask_new(s, FRONT_OPERATOR, &door_operate_schema, &d, 0);
    q->operation = (uint32_t)(op - s->operations) + 1;
    if (sim_chance(s, 5)) /* sent twice: its nonce runs once */
        ask_new(s, FRONT_OPERATOR, &door_operate_schema, &d, 0)->operation = q->operation;
    ky_buf_free(&signatures);
}

static void operate(struct sim *s, uint8_t what, uint8_t person, uint8_t party)
{
    Kyso__V1__Operation m = KYSO__V1__OPERATION__INIT;
    Kyso__V1__SetCredentialState state = KYSO__V1__SET_CREDENTIAL_STATE__INIT;
    Kyso__V1__RemoveAuthenticator gone = KYSO__V1__REMOVE_AUTHENTICATOR__INIT;
    Kyso__V1__UnlockSubject unlock = KYSO__V1__UNLOCK_SUBJECT__INIT;
    Kyso__V1__SetClientState client = KYSO__V1__SET_CLIENT_STATE__INIT;

    if (s->operation_count == s->cap)
        return;
    struct operation *op = &s->operations[s->operation_count++];
    *op = (struct operation){.op = what, .person = person, .party = party};
    struct person *p = &s->persons[op->person];
    switch ((enum op)op->op) {
    case OP_SUSPEND:
    case OP_RESUME:
        op->row = p->credentials[op->party].row;
        state.credential_id = p->credentials[op->party].id;
        state.state = op->op == OP_SUSPEND ? KYSO__V1__CREDENTIAL_STATE__CREDENTIAL_STATE_SUSPENDED
                                           : KYSO__V1__CREDENTIAL_STATE__CREDENTIAL_STATE_ACTIVE;
        m.op_case = KYSO__V1__OPERATION__OP_SET_CREDENTIAL_STATE;
        m.set_credential_state = &state;
        break;
    case OP_REMOVE_TOTP:
    case OP_REMOVE_DEVICE:
        op->row = op->op == OP_REMOVE_TOTP ? p->totp_row : p->device_row;
        gone.authenticator_id = op->op == OP_REMOVE_TOTP ? p->totp : p->device;
        m.op_case = KYSO__V1__OPERATION__OP_REMOVE_AUTHENTICATOR;
        m.remove_authenticator = &gone;
        break;
    case OP_UNLOCK:
        unlock.subject_id = p->id;
        m.op_case = KYSO__V1__OPERATION__OP_UNLOCK_SUBJECT;
        m.unlock_subject = &unlock;
        break;
    case OP_CLIENT_OFF:
    case OP_CLIENT_ON:
    case OP_COUNT:
        op->row = op->party == 0 ? BANK : OTHER;
        client.name = mutable(party_names[op->party]);
        client.suspended = op->op == OP_CLIENT_OFF;
        m.op_case = KYSO__V1__OPERATION__OP_SET_CLIENT_STATE;
        m.set_client_state = &client;
    }
    sim_trace(s, "operator: %u on row %u of person %u", op->op, op->row, op->person);
    send_operation(s, op, &m);
}

/* Puts right what is off, so that a schedule goes on having something to do. */
static bool lift_something(struct sim *s)
{
    const struct oracle *k = &s->oracle;
    uint32_t from = sim_pick(s, PERSONS);

    for (uint32_t i = 0; i < PARTIES; i++)
        if (k->clients[i == 0 ? BANK : OTHER].off) {
            operate(s, OP_CLIENT_ON, 0, (uint8_t)i);
            return true;
        }
    for (uint32_t i = 0; i < PERSONS * PARTIES; i++) {
        uint8_t person = (uint8_t)((from + i) % PERSONS), party = (uint8_t)(i / PERSONS);
        const struct person *p = &s->persons[person];
        const struct o_subject *a = &k->subjects[p->subject_row];
        bool off = k->credentials[p->credentials[party].row].off;
        if (off || a->not_me != 0 || a->locked_until_s > k->now_s) {
            operate(s, off ? OP_RESUME : OP_UNLOCK, person, party);
            return true;
        }
    }
    return false;
}

/*
 * Half of the time something is put right; else half of the time it is about whom somebody has just
 * asked for. A suspension may be lifted at once: what flew meanwhile stays void.
 */
void ask_operator(struct sim *s)
{
    if (sim_chance(s, 50) && lift_something(s))
        return;
    uint8_t what = (uint8_t)sim_pick(s, OP_COUNT);
    uint8_t person = (uint8_t)sim_pick(s, PERSONS);
    uint8_t party = (uint8_t)sim_pick(s, PARTIES);

    if (s->oracle.intent_count > 0 && sim_chance(s, 50)) {
        const struct order *o = &s->orders[s->oracle.intents[s->oracle.intent_count - 1].order];
        person = o->person;
        party = o->credential;
    }
    operate(s, what, person, party);
    if (what == OP_SUSPEND && sim_chance(s, 50))
        operate(s, OP_RESUME, person, party);
}
