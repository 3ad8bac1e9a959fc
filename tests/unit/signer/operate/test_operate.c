/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the operators' door lets in: signatures over exact bytes, this server, unexpired, once, by
 * enough operators; then people, clients and reads. Every refusal is looked for in the ledger too.
 */
#include <stdlib.h>
#include <string.h>

#include "certificates.h"
#include "door.h"
#include "kyso/wire.h"

#define TEXT(s) ((char *)(uintptr_t)(s))

/* --- the door -------------------------------------------------------------------------------- */

static struct ky_buf packed_status(struct door *d, void (*change)(Kyso__V1__Operation *op))
{
    struct ky_buf b = KY_BUF_INIT(4096);

    DOOR_OP(d, GET_STATUS, get_status, GetStatus, KYSO__V1__GET_STATUS__INIT, (void)0);
    if (change != NULL)
        change(&op_);
    uint8_t *room = ky_buf_grow(&b, kyso__v1__operation__get_packed_size(&op_));
    assert_non_null(room);
    kyso__v1__operation__pack(&op_, room);
    return b;
}

struct signer {
    const char *id;
    EVP_PKEY *key;
};

static void send_by(struct door *d, struct ky_span bytes, const struct signer *signers, size_t n)
{
    struct ky_buf signatures = KY_BUF_INIT(4096);

    for (size_t i = 0; i < n; i++)
        door_sign(&signatures, signers[i].id, signers[i].key, bytes);
    door_send_raw(d, bytes, ky_buf_span(&signatures));
    ky_buf_free(&signatures);
}

static void a_signed_operation_runs_and_is_recorded(void **state)
{
    struct door *d = *state;
    struct ky_buf b = packed_status(d, NULL);
    uint8_t sha256[32];

    send_by(d, ky_buf_span(&b), (struct signer[]){{"alice", d->alice}, {"bob", d->bob}}, 2);
    const Kyso__V1__OperationResult *r = door_expect_result(d);
    assert_non_null(r->status);
    assert_string_equal(r->status->server_id, CORE_SERVER_ID);
    assert_int_equal(r->status->n_roles, 1);
    assert_string_equal(r->status->roles[0]->role, "front-operator");
    assert_int_equal(d->a->operations, 1);
    assert_string_equal(d->a->operation_name, "get-status");
    assert_string_equal(d->a->operation_operators, "alice,bob");
    assert_int_equal(d->a->operation.uid, 1000);
    ky_sha256(ky_buf_span(&b), sha256);
    assert_memory_equal(d->a->operation.digest, sha256, 32);
    assert_int_equal(d->a->denials, 0);
    ky_buf_free(&b);
}

static void refuse_bytes(struct door *d, struct ky_span bytes, const struct signer *signers,
                         size_t n)
{
    unsigned before = d->a->operations;

    send_by(d, bytes, signers, n);
    door_expect_refused(d, KY_OPERATOR_REFUSED);
    assert_int_equal(d->a->operations, before);
}

static void signatures_that_do_not_count(void **state)
{
    struct door *d = *state;
    struct ky_buf b = packed_status(d, NULL);
    struct ky_span bytes = ky_buf_span(&b);
    struct ky_buf signatures = KY_BUF_INIT(4096);

    refuse_bytes(d, bytes, NULL, 0);
    refuse_bytes(d, bytes, (struct signer[]){{"alice", d->stranger}}, 1);
    refuse_bytes(d, bytes, (struct signer[]){{"nobody", d->alice}}, 1);
    refuse_bytes(d, bytes, (struct signer[]){{"carol", d->carol}}, 1); /* removed */
    refuse_bytes(d, bytes, (struct signer[]){{"alice", d->alice}, {"alice", d->alice}}, 2);
    refuse_bytes(d, bytes, (struct signer[]){{"alice", d->alice}, {"bob", d->stranger}}, 2);
    refuse_bytes(d, bytes, (struct signer[]){{"bob", d->alice}}, 1);
    door_sign(&signatures, "alice", d->alice, bytes);
    b.data[b.len - 1] ^= 1; /* one bit, after signing */
    door_send_raw(d, bytes, ky_buf_span(&signatures));
    door_expect_refused(d, KY_OPERATOR_REFUSED);
    b.data[b.len - 1] ^= 1;
    for (size_t cut = 1; cut < signatures.len; cut++) {
        door_send_raw(d, bytes, KY_SPAN(signatures.data, signatures.len - cut));
        door_expect_refused(d, KY_OPERATOR_REFUSED);
    }
    ky_put_u8(&signatures, 0);
    door_send_raw(d, bytes, ky_buf_span(&signatures));
    door_expect_refused(d, KY_OPERATOR_REFUSED);
    send_by(d, bytes, (struct signer[]){{"alice", d->alice}}, 1); /* after all that, still good */
    (void)door_expect_result(d);
    ky_buf_free(&signatures);
    ky_buf_free(&b);
}

static void for_another_server(Kyso__V1__Operation *op)
{
    op->server_id = TEXT("kyso.other");
}

static void expired(Kyso__V1__Operation *op)
{
    op->expires -= 101;
}

static void too_far_ahead(Kyso__V1__Operation *op)
{
    op->expires += 201;
}

static void before_the_epoch(Kyso__V1__Operation *op)
{
    op->expires = -1;
}

static void short_nonce(Kyso__V1__Operation *op)
{
    op->nonce.len = 15;
}

static void no_operation(Kyso__V1__Operation *op)
{
    op->op_case = KYSO__V1__OPERATION__OP__NOT_SET;
}

static void terms_that_do_not_hold(void **state)
{
    static void (*const changes[])(Kyso__V1__Operation *) = {
        for_another_server, expired, too_far_ahead, before_the_epoch, short_nonce, no_operation};
    struct door *d = *state;

    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct ky_buf b = packed_status(d, changes[i]);

        refuse_bytes(d, ky_buf_span(&b), (struct signer[]){{"alice", d->alice}}, 1);
        ky_buf_free(&b);
    }
}

static void an_operation_runs_once(void **state)
{
    struct door *d = *state;
    struct ky_buf b = packed_status(d, NULL);

    send_by(d, ky_buf_span(&b), (struct signer[]){{"alice", d->alice}}, 1);
    (void)door_expect_result(d);
    refuse_bytes(d, ky_buf_span(&b), (struct signer[]){{"alice", d->alice}}, 1);
    refuse_bytes(d, ky_buf_span(&b), (struct signer[]){{"bob", d->bob}}, 1); /* by whomever */
    ky_buf_free(&b);
}

static void bytes_that_are_not_one_operation(void **state)
{
    static const uint8_t tails[][4] = {
        {0xf8, 0x07, 0x01, 0}, /* unknown field 127 */
        {0x0a, 0x01, 'x', 0},  /* server_id again */
        {0x00, 0x00, 0, 0},    /* field 0 */
        {0xc2, 0x01, 0x00, 0}, /* get_status again */
        {0x52, 0x00, 0, 0},    /* a second member of the oneof */
        {0xff, 0xff, 0xff, 0}, /* no end */
    };
    static const size_t lens[] = {3, 3, 2, 3, 2, 3};
    struct door *d = *state;

    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        struct ky_buf b = packed_status(d, NULL);

        ky_buf_put(&b, tails[i], lens[i]);
        refuse_bytes(d, ky_buf_span(&b), (struct signer[]){{"alice", d->alice}}, 1);
        ky_buf_free(&b);
    }
    refuse_bytes(d, ky_span_text("garbage"), (struct signer[]){{"alice", d->alice}}, 1);
    refuse_bytes(d, KY_SPAN(NULL, 0), (struct signer[]){{"alice", d->alice}}, 1);
}

static void malformed_records_are_refused(void **state)
{
    struct door *d = *state;
    struct request r = {.door = KY_DOOR_OPERATOR, .tag = 7, .type = DOOR_OPERATE};

    operate_request(d->a, &r, ky_span_text("not a record"));
    core_commit(d->a);
    door_expect_refused(d, KY_INVALID);
}

/* xorshift64: the same bytes on every run. */
static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

static struct ky_buf packed_enrolment(struct door *d)
{
    struct ky_buf b = KY_BUF_INIT(4096);
    static uint8_t key[91] = {0x30, 0x59};

    DOOR_OP(d, ENROLL_DEVICE, enroll_device, EnrollDevice, KYSO__V1__ENROLL_DEVICE__INIT,
            message_.subject_id = TEXT("citizen-1"), message_.label = TEXT("phone"),
            message_.key_type = KYSO__V1__DEVICE_KEY_TYPE__DEVICE_KEY_TYPE_ES256,
            message_.public_key.data = key, message_.public_key.len = sizeof(key),
            message_.by_authenticator_id = TEXT("a00000001-0011223344556677"));
    uint8_t *room = ky_buf_grow(&b, kyso__v1__operation__get_packed_size(&op_));
    assert_non_null(room);
    kyso__v1__operation__pack(&op_, room);
    return b;
}

/*
 * An operator may send anything: each request is answered once, and nothing is written by what is
 * not an operation.
 */
static void damaged_but_signed_bytes_are_answered(void **state)
{
    struct door *d = *state;
    uint64_t x = 20260101;

    door_add_subject(d, "citizen-1");
    for (int i = 0; i < 1500; i++) {
        struct ky_buf b = i % 2 == 0 ? packed_status(d, NULL) : packed_enrolment(d);

        for (uint64_t n = 1 + next_random(&x) % 3; n > 0; n--)
            b.data[next_random(&x) % b.len] ^= (uint8_t)(1u << next_random(&x) % 8);
        size_t len = next_random(&x) % 4 == 0 ? next_random(&x) % b.len : b.len;
        send_by(d, KY_SPAN(b.data, len), (struct signer[]){{"alice", d->alice}}, 1);
        assert_true((d->a->result != NULL) != (d->a->refused != KY_OK));
        ky_buf_free(&b);
    }
    assert_true(d->a->denials > 1000);
    assert_int_equal(store_row_count(d->a->store, ROW_AUTHENTICATOR), 0);
}

/* --- people ---------------------------------------------------------------------------------- */

static void subjects_are_unique_and_unnamed_in_the_ledger(void **state)
{
    struct door *d = *state;

    door_add_subject(d, "citizen-1");
    assert_string_equal(d->a->operation_name, "add-subject");
    assert_string_equal(d->a->operation_target, ""); /* no row yet, and never the id */
    DOOR_OP(d, ADD_SUBJECT, add_subject, AddSubject, KYSO__V1__ADD_SUBJECT__INIT,
            message_.subject_id = TEXT("citizen-1"), message_.name = TEXT("Another"));
    door_send(d, &op_);
    door_expect_refused(d, KY_CONFLICT);
    op_ = door_operation(d);
    op_.op_case = KYSO__V1__OPERATION__OP_ADD_SUBJECT;
    op_.add_subject = &message_;
    message_.subject_id = TEXT("no spaces");
    door_send(d, &op_);
    door_expect_refused(d, KY_INVALID);
    assert_int_equal(store_row_count(d->a->store, ROW_SUBJECT), 1);
}

static void subjects_are_shown_and_unlocked(void **state)
{
    struct door *d = *state;

    door_add_subject(d, "citizen-1");
    DOOR_OP(d, SHOW_SUBJECT, show_subject, ShowSubject, KYSO__V1__SHOW_SUBJECT__INIT,
            message_.subject_id = TEXT("citizen-1"));
    door_send(d, &op_);
    const Kyso__V1__OperationResult *r = door_expect_result(d);
    assert_string_equal(r->subject_id, "citizen-1");
    assert_string_equal(r->subject_name, "Nguyen Van A");
    assert_string_equal(r->subject_state, "open");
    assert_string_equal(d->a->operation_target, "subject-1");
    Kyso__V1__UnlockSubject unlock = KYSO__V1__UNLOCK_SUBJECT__INIT;
    op_ = door_operation(d);
    op_.op_case = KYSO__V1__OPERATION__OP_UNLOCK_SUBJECT;
    op_.unlock_subject = &unlock;
    unlock.subject_id = TEXT("citizen-1");
    door_send(d, &op_);
    (void)door_expect_result(d);
    assert_int_equal(d->a->unlocks, 1);
    op_ = door_operation(d);
    op_.op_case = KYSO__V1__OPERATION__OP_UNLOCK_SUBJECT;
    op_.unlock_subject = &unlock;
    unlock.subject_id = TEXT("citizen-2");
    door_send(d, &op_);
    door_expect_refused(d, KY_NOT_FOUND);
    assert_int_equal(d->a->unlocks, 1);
}

/* --- clients --------------------------------------------------------------------------------- */

struct client_case {
    const char *name;
    size_t keys;
    size_t key_len;
    uint8_t first, second; /* every byte of the two hashes */
    bool may_sign, may_approve, allow_totp;
    enum ky_code want;
};

static void add_client(struct door *d, const struct client_case *c)
{
    uint8_t one[40], two[40];
    ProtobufCBinaryData keys[3] = {{c->key_len, one}, {c->key_len, two}, {c->key_len, two}};
    char *parties[] = {TEXT("bank.example")};

    memset(one, c->first, sizeof(one));
    memset(two, c->second, sizeof(two));
    DOOR_OP(d, ADD_CLIENT, add_client, AddClient, KYSO__V1__ADD_CLIENT__INIT,
            message_.name = TEXT(c->name), message_.spki_sha256 = keys,
            message_.n_spki_sha256 = c->keys, message_.may_sign = c->may_sign,
            message_.may_approve = c->may_approve, message_.allow_totp = c->allow_totp,
            message_.relying_parties = parties, message_.n_relying_parties = 1);
    door_send(d, &op_);
    if (c->want == KY_OK)
        (void)door_expect_result(d);
    else
        door_expect_refused(d, c->want);
}

static void clients_have_one_right_and_their_own_keys(void **state)
{
    static const struct client_case cases[] = {
        {"gateway", 2, 32, 1, 2, true, false, true, KY_OK},
        {"gateway", 1, 32, 3, 0, true, false, true, KY_CONFLICT}, /* the name */
        {"thief", 1, 32, 2, 0, true, false, true, KY_CONFLICT},   /* the second key */
        {"both", 1, 32, 4, 0, true, true, false, KY_INVALID},
        {"neither", 1, 32, 4, 0, false, false, false, KY_INVALID},
        {"approver", 1, 32, 4, 0, false, true, true,
         KY_INVALID}, /* a proof right without signing */
        {"no.key", 0, 32, 4, 0, true, false, true, KY_INVALID},
        {"three", 3, 32, 4, 5, true, false, true, KY_INVALID},
        {"same", 2, 32, 4, 4, true, false, true, KY_INVALID},
        {"short", 1, 31, 4, 0, true, false, true, KY_INVALID},
        {"long", 1, 33, 4, 0, true, false, true, KY_INVALID},
        {"zero", 1, 32, 0, 0, true, false, true, KY_INVALID},
        {"not a name", 1, 32, 4, 0, true, false, true, KY_INVALID},
        {"approver", 1, 32, 4, 0, false, true, false, KY_OK},
    };
    struct door *d = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        add_client(d, &cases[i]);
    DOOR_OP(d, LIST_CLIENTS, list_clients, ListClients, KYSO__V1__LIST_CLIENTS__INIT, (void)0);
    door_send(d, &op_);
    const Kyso__V1__OperationResult *r = door_expect_result(d);
    assert_int_equal(r->n_clients, 2);
    assert_string_equal(r->clients[0]->settings->name, "gateway");
    assert_int_equal(r->clients[0]->settings->n_spki_sha256, 2);
    assert_int_equal(r->clients[0]->settings->spki_sha256[1].data[31], 2);
    assert_string_equal(r->clients[0]->settings->relying_parties[0], "bank.example");
    assert_true(r->clients[0]->settings->allow_totp);
    assert_true(r->clients[1]->settings->may_approve);
    assert_false(r->clients[1]->settings->may_sign);
}

static void set_client(struct door *d, const char *name, bool suspended, bool removed,
                       enum ky_code want)
{
    DOOR_OP(d, SET_CLIENT_STATE, set_client_state, SetClientState, KYSO__V1__SET_CLIENT_STATE__INIT,
            message_.name = TEXT(name), message_.suspended = suspended, message_.removed = removed);
    door_send(d, &op_);
    if (want == KY_OK)
        (void)door_expect_result(d);
    else
        door_expect_refused(d, want);
}

static void clients_are_suspended_resumed_and_removed_for_good(void **state)
{
    struct client_case gateway = {"gateway", 1, 32, 1, 0, true, false, true, KY_OK};
    struct door *d = *state;
    struct row_client row;

    add_client(d, &gateway);
    set_client(d, "gateway", true, false, KY_OK);
    OK(store_row_get(d->a->store, ROW_CLIENT, 1, &row));
    assert_true(row.suspended);
    assert_int_equal(d->a->client_states, 0);
    d->a->client_suspended = true; /* by its failures, too */
    set_client(d, "gateway", false, false, KY_OK);
    assert_int_equal(d->a->client_states, 1);
    assert_false(d->a->client_suspended);
    OK(store_row_get(d->a->store, ROW_CLIENT, 1, &row));
    assert_false(row.suspended);
    set_client(d, "nobody", true, false, KY_NOT_FOUND);
    set_client(d, "gateway", false, true, KY_OK);
    set_client(d, "gateway", false, false, KY_CONFLICT);
    add_client(d, &(struct client_case){"gateway", 1, 32, 9, 0, true, false, true, KY_CONFLICT});
    add_client(d, &(struct client_case){"gateway-2", 1, 32, 1, 0, true, false, true,
                                        KY_OK}); /* its key is free */
}

static void set_request_key(struct door *d, const char *name, struct ky_span spki,
                            enum ky_code want)
{
    DOOR_OP(d, SET_CLIENT_REQUEST_KEY, set_client_request_key, SetClientRequestKey,
            KYSO__V1__SET_CLIENT_REQUEST_KEY__INIT, message_.name = TEXT(name),
            message_.request_key.data = (uint8_t *)(uintptr_t)spki.data,
            message_.request_key.len = spki.len);
    door_send(d, &op_);
    if (want == KY_OK)
        (void)door_expect_result(d);
    else
        door_expect_refused(d, want);
}

static void a_request_key_is_pinned_and_taken_back(void **state)
{
    struct client_case gateway = {"gateway", 1, 32, 1, 0, true, false, true, KY_OK};
    struct client_case approver = {"approver", 1, 32, 2, 0, false, true, false, KY_OK};
    struct door *d = *state;
    struct row_client row;
    uint8_t p256[700], ed25519[700];
    size_t p256_len = test_spki(d->alice, p256);
    size_t ed25519_len = test_spki(d->bob, ed25519);

    add_client(d, &gateway);
    add_client(d, &approver);
    set_request_key(d, "gateway", KY_SPAN(p256, p256_len), KY_OK);
    assert_string_equal(d->a->operation_name, "set-client-request-key");
    assert_string_equal(d->a->operation_target, "gateway");
    OK(store_row_get(d->a->store, ROW_CLIENT, 1, &row));
    assert_true(ky_span_eq(row.request_key, KY_SPAN(p256, p256_len)));
    set_request_key(d, "gateway", KY_SPAN(ed25519, ed25519_len), KY_OK);
    set_request_key(d, "gateway", KY_SPAN(ed25519, ed25519_len - 1), KY_INVALID);
    p256[p256_len - 1] ^= 1; /* off the curve */
    set_request_key(d, "gateway", KY_SPAN(p256, p256_len), KY_INVALID);
    set_request_key(d, "approver", KY_SPAN(ed25519, ed25519_len), KY_INVALID);
    set_request_key(d, "nobody", KY_SPAN(ed25519, ed25519_len), KY_NOT_FOUND);
    OK(store_row_get(d->a->store, ROW_CLIENT, 1, &row));
    assert_true(ky_span_eq(row.request_key, KY_SPAN(ed25519, ed25519_len)));
    set_request_key(d, "gateway", KY_SPAN(NULL, 0), KY_OK);
    OK(store_row_get(d->a->store, ROW_CLIENT, 1, &row));
    assert_int_equal(row.request_key.len, 0);
}

/* --- reading --------------------------------------------------------------------------------- */

static const Kyso__V1__LedgerChunk *read_ledger(struct door *d, uint64_t from, uint32_t limit)
{
    DOOR_OP(d, READ_LEDGER, read_ledger, ReadLedger, KYSO__V1__READ_LEDGER__INIT,
            message_.from = from, message_.limit = limit);
    door_send(d, &op_);
    const Kyso__V1__OperationResult *r = door_expect_result(d);
    assert_non_null(r->ledger);
    return r->ledger;
}

static void the_ledger_is_read_in_pages(void **state)
{
    struct door *d = *state;
    char id[32];
    uint64_t from = 0;

    for (int i = 0; i < 20; i++) {
        (void)snprintf(id, sizeof(id), "citizen-%d", i);
        door_add_subject(d, id); /* two records each */
    }
    uint64_t size = store_ledger_size(d->a->store);
    unsigned recorded = d->a->operations;
    for (unsigned page = 0; from < size; page++) {
        const Kyso__V1__LedgerChunk *chunk = read_ledger(d, from, 7);

        assert_true(chunk->n_records > 0 && chunk->n_records <= 7);
        assert_string_equal(chunk->checkpoint, "note");
        for (size_t i = 0; i < chunk->n_records; i++) {
            struct ledger_leaf leaf;

            OK(ledger_leaf_parse(KY_SPAN(chunk->records[i]->leaf.data, chunk->records[i]->leaf.len),
                                 &leaf));
            assert_int_equal(leaf.index, from);
            assert_int_equal(chunk->records[i]->index, from);
            from++;
        }
        assert_int_equal(chunk->size, size + 1); /* the first page's own record, and no other's */
        assert_int_equal(d->a->operations, recorded + 1);
    }
    DOOR_OP(d, READ_LEDGER, read_ledger, ReadLedger, KYSO__V1__READ_LEDGER__INIT,
            message_.limit = 1001);
    door_send(d, &op_);
    door_expect_refused(d, KY_INVALID);
}

static void long_pages_end_before_the_record_is_full(void **state)
{
    struct door *d = *state;
    struct ky_buf big = KY_BUF_INIT(KY_RECORD_MAX);
    struct ledger_event event = {.count = 1};
    uint64_t from = 0;
    unsigned pages = 0;

    memset(ky_buf_grow(&big, 60000), 'x', 60000);
    for (int i = 0; i < 8; i++)
        OK(store_append(d->a->store, &ledger_event_schema, &event, d->a->now_us, ky_buf_span(&big),
                        NULL));
    core_commit(d->a);
    uint64_t size = store_ledger_size(d->a->store);
    for (; from < size; pages++)
        from += read_ledger(d, from, 1000)->n_records;
    assert_true(pages >= 4);
    ky_buf_free(&big);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, door_setup, door_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_signed_operation_runs_and_is_recorded),
        TEST(signatures_that_do_not_count),
        TEST(terms_that_do_not_hold),
        TEST(an_operation_runs_once),
        TEST(bytes_that_are_not_one_operation),
        TEST(malformed_records_are_refused),
        TEST(damaged_but_signed_bytes_are_answered),
        TEST(subjects_are_unique_and_unnamed_in_the_ledger),
        TEST(subjects_are_shown_and_unlocked),
        TEST(clients_have_one_right_and_their_own_keys),
        TEST(clients_are_suspended_resumed_and_removed_for_good),
        TEST(a_request_key_is_pinned_and_taken_back),
        TEST(the_ledger_is_read_in_pages),
        TEST(long_pages_end_before_the_record_is_full),
    };

    return cmocka_run_group_tests_name("operate", tests, NULL, NULL);
}
