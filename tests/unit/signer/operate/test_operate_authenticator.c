/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Enrolment at the operators' door: who may add an authenticator and when, seeds and device keys
 * used once, confirmation codes, and that nothing secret is told outside a demo.
 */
#include <stdlib.h>
#include <string.h>

#include "certificates.h"
#include "door.h"
#include "enroll.h"
#include "seed.h"

#define TEXT(s) ((char *)(uintptr_t)(s))
#define SEED    "12345678901234567890"

static void enroll_totp_by(struct door *d, const char *seed, bool show, bool both)
{
    DOOR_OP(d, ENROLL_TOTP, enroll_totp, EnrollTotp, KYSO__V1__ENROLL_TOTP__INIT,
            message_.subject_id = TEXT("a"), message_.hash = KYSO__V1__OTP_HASH__OTP_HASH_SHA256,
            message_.show_seed = show, message_.seed.data = (uint8_t *)(uintptr_t)seed,
            message_.seed.len = strlen(seed));
    if (both)
        door_send_both(d, &op_);
    else
        door_send(d, &op_);
}

static void enroll_totp(struct door *d, const char *seed, bool show)
{
    enroll_totp_by(d, seed, show, false);
}

static void row_of(struct door *d, const char *id, struct row_authenticator *out)
{
    OK(store_row_get(d->a->store, ROW_AUTHENTICATOR, authority_id_row('a', ky_span_text(id)), out));
}

static void take_ids(struct door *d, char id[40], char code[16])
{
    const Kyso__V1__OperationResult *r = door_expect_result(d);

    assert_int_equal(r->n_authenticators, 1);
    (void)snprintf(id, 40, "%s", r->authenticators[0]->authenticator_id);
    (void)snprintf(code, 16, "%s", r->confirmation_code);
}

static void confirm(struct door *d, const char *id, const char *code)
{
    DOOR_OP(d, CONFIRM_AUTHENTICATOR, confirm_authenticator, ConfirmAuthenticator,
            KYSO__V1__CONFIRM_AUTHENTICATOR__INIT, message_.authenticator_id = TEXT(id),
            message_.code = TEXT(code));
    door_send(d, &op_);
}

static void activate(struct door *d)
{
    char id[40];

    door_create_credential(d, "a", KYSO__V1__KEY_TYPE__KEY_TYPE_P256,
                           KYSO__V1__KEY_STORAGE__KEY_STORAGE_WRAPPED, id);
    door_import(d, id);
}

static void suspend_credential(struct door *d)
{
    struct row_credential row;
    char id[40];

    OK(store_row_get(d->a->store, ROW_CREDENTIAL, 1, &row));
    assert_true(ky_span_to_cstr(row.credential_id, id, sizeof(id)));
    DOOR_OP(d, SET_CREDENTIAL_STATE, set_credential_state, SetCredentialState,
            KYSO__V1__SET_CREDENTIAL_STATE__INIT, message_.credential_id = id,
            message_.state = KYSO__V1__CREDENTIAL_STATE__CREDENTIAL_STATE_SUSPENDED);
    door_send(d, &op_);
    (void)door_expect_result(d);
}

static void check_seed(struct door *d, const char *id, const char *want)
{
    struct row_authenticator row;
    struct ky_secret seed = {NULL, 0};

    row_of(d, id, &row);
    OK(seed_open(&d->a->seed_key, row.authenticator_id, row.epoch, row.sealed_seed, &seed));
    assert_true(ky_span_eq(ky_secret_span(&seed), ky_span_text(want)));
    ky_secret_wipe(&seed);
}

/* --- TOTP ------------------------------------------------------------------------------------ */

static void a_demo_shows_what_the_person_would_receive(void **state)
{
    struct door *d = *state;
    char id[40], code[16];

    door_add_subject(d, "a");
    enroll_totp(d, "", true);
    const Kyso__V1__OperationResult *r = door_expect_result(d);
    assert_int_equal(r->seed.len, 32);
    assert_non_null(strstr(r->otpauth_uri, "otpauth://totp/Kyso:a?secret="));
    assert_non_null(strstr(r->otpauth_uri, "&algorithm=SHA256&digits=6&period=30"));
    assert_int_equal(strlen(r->confirmation_code), 8);
    assert_string_equal(r->authenticators[0]->state, "unconfirmed");
    enroll_totp(d, SEED, false);
    r = door_expect_result(d);
    assert_int_equal(r->seed.len, 0);
    assert_string_equal(r->otpauth_uri, "");
    take_ids(d, id, code);
    check_seed(d, id, SEED);
    confirm(d, id, code);
    assert_string_equal(door_expect_result(d)->authenticators[0]->state, "active");
    check_seed(d, id, SEED); /* sealed again for its new epoch */
    confirm(d, id, code);
    door_expect_refused(d, KY_CONFLICT); /* a code works once */
}

static void nothing_secret_is_told_outside_a_demo(void **state)
{
    struct door *d = *state;

    door_add_subject(d, "a");
    enroll_totp(d, SEED, true);
    door_expect_refused(d, KY_OPERATOR_REFUSED);
    enroll_totp(d, "", false);
    door_expect_refused(d, KY_OPERATOR_REFUSED);
    enroll_totp(d, SEED, false);
    const Kyso__V1__OperationResult *r = door_expect_result(d);
    assert_string_equal(r->confirmation_code, "");
    assert_int_equal(r->seed.len, 0);
    assert_string_equal(r->otpauth_uri, "");
}

static void a_seed_is_enrolled_once_for_ever(void **state)
{
    struct door *d = *state;
    char id[40], code[16];

    door_add_subject(d, "a");
    enroll_totp(d, SEED, false);
    take_ids(d, id, code);
    enroll_totp(d, SEED, false);
    door_expect_refused(d, KY_CONFLICT);
    Kyso__V1__RemoveAuthenticator remove = KYSO__V1__REMOVE_AUTHENTICATOR__INIT;
    Kyso__V1__Operation op = door_operation(d);
    op.op_case = KYSO__V1__OPERATION__OP_REMOVE_AUTHENTICATOR;
    op.remove_authenticator = &remove;
    remove.authenticator_id = id;
    door_send(d, &op);
    assert_string_equal(door_expect_result(d)->authenticators[0]->state, "removed");
    struct row_authenticator row;
    row_of(d, id, &row);
    assert_int_equal(row.sealed_seed.len, 0);
    assert_int_equal(row.epoch, 2);
    enroll_totp(d, SEED, false); /* its spent steps went with the old row */
    door_expect_refused(d, KY_CONFLICT);
    enroll_totp(d, "fifteen bytes!!", false);
    door_expect_refused(d, KY_INVALID);
    enroll_totp(d, "sixty-five bytes: 0123456789012345678901234567890123456789 0123456", false);
    door_expect_refused(d, KY_INVALID);
}

static void five_wrong_codes_remove_it(void **state)
{
    struct door *d = *state;
    struct row_authenticator row;
    char id[40], code[16], wrong[16];

    door_add_subject(d, "a");
    enroll_totp(d, SEED, false);
    take_ids(d, id, code);
    strcpy(wrong, code);
    wrong[7] = wrong[7] == '0' ? '1' : '0';
    for (int i = 1; i <= 4; i++) {
        confirm(d, id, wrong);
        door_expect_refused(d, KY_PROOF_WRONG_CODE);
        row_of(d, id, &row);
        assert_int_equal(row.state, ROW_AUTH_UNCONFIRMED);
    }
    check_seed(d, id, SEED);
    confirm(d, id, "");
    door_expect_refused(d, KY_PROOF_WRONG_CODE);
    row_of(d, id, &row);
    assert_int_equal(row.state, ROW_AUTH_REMOVED);
    assert_int_equal(d->a->denied.authenticator_row, 1);
    confirm(d, id, code);
    door_expect_refused(d, KY_CONFLICT);
}

static void a_late_code_is_a_wrong_one(void **state)
{
    struct door *d = *state;
    char id[40], code[16];

    door_add_subject(d, "a");
    enroll_totp(d, SEED, false);
    take_ids(d, id, code);
    d->a->now_us += (ENROLL_CODE_VALID_S + UINT64_C(1)) * 1000000u;
    confirm(d, id, code);
    door_expect_refused(d, KY_PROOF_WRONG_CODE);
    d->a->now_us -= UINT64_C(1000000);
    confirm(d, id, code);
    (void)door_expect_result(d);
}

/*
 * It was let in while there was nothing to sign with; a month later one person confirms it, and the
 * citizen has a day to object.
 */
static void fault_30_a_code_confirms_for_tomorrow(void **state)
{
    struct door *d = *state;
    struct row_authenticator row;
    char id[40], code[16], other[40], other_code[16];

    door_add_subject(d, "a");
    enroll_totp(d, SEED, false);
    take_ids(d, id, code);
    enroll_totp(d, "another seed, 20 byt", false);
    take_ids(d, other, other_code);
    confirm(d, id, code);
    (void)door_expect_result(d);
    row_of(d, id, &row);
    assert_int_equal(row.usable_from_s, CORE_NOW_S);
    activate(d);
    d->a->now_us += UINT64_C(29) * 86400u * 1000000u;
    confirm(d, other, other_code);
    assert_non_null(strstr(door_expect_result(d)->message, "tomorrow"));
    row_of(d, other, &row);
    assert_int_equal(row.usable_from_s, CORE_NOW_S + 30u * 86400u);
}

static void fault_30_one_operator_adds_nothing_to_an_active_credential(void **state)
{
    struct door *d = *state;
    struct row_authenticator row;
    char id[40], code[16];

    door_add_subject(d, "a");
    activate(d);
    enroll_totp(d, SEED, false);
    door_expect_refused(d, KY_OPERATOR_REFUSED);
    assert_int_equal(d->a->denied.subject_row, 1);
    assert_int_equal(store_row_count(d->a->store, ROW_AUTHENTICATOR), 0);
    enroll_totp_by(d, SEED, false, true); /* two, and a day */
    take_ids(d, id, code);
    row_of(d, id, &row);
    assert_int_equal(row.usable_from_s, CORE_NOW_S + 86400u);
    suspend_credential(d); /* it can come back, so it opens nothing */
    enroll_totp(d, "another seed, 20 byt", false);
    door_expect_refused(d, KY_OPERATOR_REFUSED);
}

/*
 * Fault 22. The period is 30 s and the epoch 1970 for everybody: an enrolment has no field for
 * either, and one that brings a field more is no operation of ours. What it can say is checked
 * here, not at the first code.
 */
static void fault_22_generators_that_cannot_be(void **state)
{
    static const struct {
        uint32_t digits;
        int hash;
        const char *seed;
        enum ky_code code;
    } bad[] = {{5, 1, SEED, KY_INVALID},
               {9, 1, SEED, KY_INVALID},
               {6, 4, SEED, KY_OPERATOR_REFUSED},
               {6, 1, "15 bytes are no", KY_INVALID}};
    static const uint8_t period_0[] = {0x40, 0x00}; /* field 8 */
    struct door *d = *state;

    door_add_subject(d, "a");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        DOOR_OP(d, ENROLL_TOTP, enroll_totp, EnrollTotp, KYSO__V1__ENROLL_TOTP__INIT,
                message_.subject_id = TEXT("a"), message_.digits = bad[i].digits,
                message_.hash = (Kyso__V1__OtpHash)bad[i].hash,
                message_.seed.data = (uint8_t *)(uintptr_t)bad[i].seed,
                message_.seed.len = strlen(bad[i].seed));
        door_send(d, &op_);
        door_expect_refused(d, bad[i].code);
    }
    DOOR_OP(d, ENROLL_TOTP, enroll_totp, EnrollTotp, KYSO__V1__ENROLL_TOTP__INIT,
            message_.subject_id = TEXT("a"), message_.seed.data = (uint8_t *)(uintptr_t)SEED,
            message_.seed.len = strlen(SEED));
    ProtobufCMessageUnknownField period = {8, PROTOBUF_C_WIRE_TYPE_VARINT, 1,
                                           (uint8_t *)(uintptr_t)&period_0[1]};
    message_.base.n_unknown_fields = 1;
    message_.base.unknown_fields = &period;
    door_send(d, &op_);
    door_expect_refused(d, KY_OPERATOR_REFUSED);
    assert_int_equal(store_row_count(d->a->store, ROW_AUTHENTICATOR), 0);
    message_.base.n_unknown_fields = 0; /* and without it, it is one */
    Kyso__V1__Operation op = door_operation(d);
    op.op_case = KYSO__V1__OPERATION__OP_ENROLL_TOTP;
    op.enroll_totp = &message_;
    door_send(d, &op);
    (void)door_expect_result(d);
}

/* --- devices --------------------------------------------------------------------------------- */

struct device {
    const char *subject; /* NULL = "a" */
    EVP_PKEY *key;
    const char *by; /* authenticator id, or NULL */
    EVP_PKEY *by_key;
    const char *by_subject;
    bool two_operators;
};

static void enroll_device(struct door *d, const struct device *n)
{
    uint8_t spki[700], sig[128], challenge[32];
    size_t len = test_spki(n->key, spki), sig_len = 0;

    if (n->by != NULL) {
        struct ky_buf b = KY_BUF_INIT(1024);

        ky_buf_put(&b, "kyso.v1.enroll", 15); /* with its NUL */
        ky_buf_put(&b, n->by_subject, strlen(n->by_subject) + 1);
        ky_buf_put(&b, spki, len);
        ky_sha256(ky_buf_span(&b), challenge);
        ky_buf_free(&b);
        sig_len = test_sign_message(n->by_key, KY_SPAN_OF(challenge), sig);
    }
    DOOR_OP(d, ENROLL_DEVICE, enroll_device, EnrollDevice, KYSO__V1__ENROLL_DEVICE__INIT,
            message_.subject_id = TEXT(n->subject != NULL ? n->subject : "a"),
            message_.label = TEXT("phone"),
            message_.key_type = EVP_PKEY_is_a(n->key, "EC")
                                    ? KYSO__V1__DEVICE_KEY_TYPE__DEVICE_KEY_TYPE_ES256
                                    : KYSO__V1__DEVICE_KEY_TYPE__DEVICE_KEY_TYPE_ED25519,
            message_.public_key.data = spki, message_.public_key.len = len,
            message_.by_authenticator_id = TEXT(n->by != NULL ? n->by : ""),
            message_.by_signature.data = sig, message_.by_signature.len = sig_len);
    if (n->two_operators)
        door_send_both(d, &op_);
    else
        door_send(d, &op_);
}

static void fault_30_a_device_lets_another_in(void **state)
{
    struct door *d = *state;
    EVP_PKEY *second = test_key(KY_KEY_ED25519), *third = test_key(KY_KEY_P256);
    struct row_authenticator row;
    char id[40], code[16], other[40], none[16];

    door_add_subject(d, "a");
    enroll_device(d, &(struct device){.key = d->stranger});
    take_ids(d, id, code);
    enroll_device(d, &(struct device){.key = d->stranger});
    door_expect_refused(d, KY_CONFLICT); /* one key, one authenticator */
    activate(d);
    enroll_device(d, &(struct device){.key = second});
    door_expect_refused(d, KY_OPERATOR_REFUSED);
    struct device by = {.key = second, .by = id, .by_key = d->stranger, .by_subject = "a"};
    enroll_device(d, &by);
    door_expect_refused(d, KY_PROOF_UNCONFIRMED); /* the first is not confirmed yet */
    confirm(d, id, code);
    (void)door_expect_result(d);
    enroll_device(d, &by);
    door_expect_refused(d, KY_PROOF_UNCONFIRMED); /* it waits its day, like others */
    d->a->now_us += UINT64_C(86400) * 1000000u;
    by.by_subject = "b";
    enroll_device(d, &by);
    door_expect_refused(d, KY_PROOF_WRONG); /* signed for another person */
    by.by_subject = "a";
    by.by_key = third;
    enroll_device(d, &by);
    door_expect_refused(d, KY_PROOF_WRONG);
    by.by_key = d->stranger;
    enroll_device(d, &by);
    take_ids(d, other, none);
    assert_string_equal(none, "");
    row_of(d, other, &row);
    assert_int_equal(row.state, ROW_AUTH_ACTIVE);
    assert_int_equal(row.usable_from_s, CORE_NOW_S + 86400u);
    assert_int_equal(row.device_key_type, POLICY_DEVICE_ED25519);
    EVP_PKEY_free(second);
    EVP_PKEY_free(third);
}

static void remove_it(struct door *d, const char *id)
{
    DOOR_OP(d, REMOVE_AUTHENTICATOR, remove_authenticator, RemoveAuthenticator,
            KYSO__V1__REMOVE_AUTHENTICATOR__INIT, message_.authenticator_id = TEXT(id));
    door_send(d, &op_);
    assert_string_equal(door_expect_result(d)->authenticators[0]->state, "removed");
}

/*
 * The approval that let it in is still around: whoever has it and the lost device must not come
 * back with one operator.
 */
static void a_removed_device_stays_out(void **state)
{
    struct door *d = *state;
    char first[40], id[40], code[16];

    door_add_subject(d, "a");
    enroll_device(d, &(struct device){.key = d->stranger});
    take_ids(d, first, code);
    confirm(d, first, code);
    (void)door_expect_result(d);
    activate(d);
    struct device lost = {.key = d->alice, .by = first, .by_key = d->stranger, .by_subject = "a"};
    enroll_device(d, &lost);
    take_ids(d, id, code);
    remove_it(d, id);
    enroll_device(d, &lost);
    door_expect_refused(d, KY_CONFLICT);
    enroll_device(d, &(struct device){.key = d->bob, .two_operators = true});
    take_ids(d, id, code);
    remove_it(d, id); /* never confirmed: nobody approved its key */
    lost.key = d->bob;
    enroll_device(d, &lost);
    (void)door_expect_result(d);
}

static void another_persons_device_lets_nobody_in(void **state)
{
    struct door *d = *state;
    char id[40], code[16], totp[40];

    door_add_subject(d, "a");
    door_add_subject(d, "b");
    enroll_device(d, &(struct device){.subject = "b", .key = d->stranger});
    take_ids(d, id, code);
    confirm(d, id, code);
    (void)door_expect_result(d);
    enroll_totp(d, SEED, false);
    take_ids(d, totp, code);
    confirm(d, totp, code);
    (void)door_expect_result(d);
    activate(d);
    struct device by = {.key = d->alice, .by = id, .by_key = d->stranger, .by_subject = "a"};
    enroll_device(d, &by);
    door_expect_refused(d, KY_PROOF_UNCONFIRMED);
    by.by = totp; /* a code generator cannot sign */
    enroll_device(d, &by);
    door_expect_refused(d, KY_PROOF_UNCONFIRMED);
    by.by = "a00000001-0000000000000000"; /* the right row, other digits */
    enroll_device(d, &by);
    door_expect_refused(d, KY_NOT_FOUND);
}

static void fault_30_a_device_that_still_waits_lets_nobody_in(void **state)
{
    struct door *d = *state;
    char id[40], code[16];

    door_add_subject(d, "a");
    activate(d);
    enroll_device(d, &(struct device){.key = d->stranger, .two_operators = true});
    take_ids(d, id, code);
    confirm(d, id, code);
    (void)door_expect_result(d);
    struct device by = {.key = d->alice, .by = id, .by_key = d->stranger, .by_subject = "a"};
    d->a->now_us += UINT64_C(86399) * 1000000u;
    enroll_device(d, &by);
    door_expect_refused(d, KY_PROOF_UNCONFIRMED);
    d->a->now_us += UINT64_C(1000000);
    enroll_device(d, &by);
    (void)door_expect_result(d);
}

static void keys_that_are_not_what_they_say(void **state)
{
    struct door *d = *state;
    uint8_t spki[701];

    door_add_subject(d, "a");
    DOOR_OP(d, ENROLL_DEVICE, enroll_device, EnrollDevice, KYSO__V1__ENROLL_DEVICE__INIT,
            message_.subject_id = TEXT("a"),
            message_.key_type = KYSO__V1__DEVICE_KEY_TYPE__DEVICE_KEY_TYPE_ED25519,
            message_.public_key.data = spki, message_.public_key.len = test_spki(d->alice, spki));
    door_send(d, &op_);
    door_expect_refused(d, KY_INVALID); /* a P-256 key */
    size_t n = test_spki(d->bob, spki);
    spki[n] = 0;
    message_.public_key.len = n + 1;
    Kyso__V1__Operation op = door_operation(d);
    op.op_case = KYSO__V1__OPERATION__OP_ENROLL_DEVICE;
    op.enroll_device = &message_;
    door_send(d, &op);
    door_expect_refused(d, KY_INVALID); /* something behind it */
    assert_int_equal(store_row_count(d->a->store, ROW_AUTHENTICATOR), 0);
}

/*
 * Decisions look at 16 per person: the list stays within that and the oldest removed one leaves it.
 */
static void a_person_has_at_most_sixteen(void **state)
{
    struct door *d = *state;
    char id[40], code[16], seed[40];

    door_add_subject(d, "a");
    for (int i = 0; i < 16; i++) {
        (void)snprintf(seed, sizeof(seed), "seed number %08d", i);
        enroll_totp(d, seed, false);
        take_ids(d, id, code);
    }
    enroll_totp(d, SEED, false);
    door_expect_refused(d, KY_BUSY);
    for (int i = 0; i < 5; i++) {
        confirm(d, id, "wrong");
        door_expect_refused(d, KY_PROOF_WRONG_CODE);
    }
    enroll_totp(d, SEED, false);
    (void)door_expect_result(d);
    Kyso__V1__ListAuthenticators list = KYSO__V1__LIST_AUTHENTICATORS__INIT;
    Kyso__V1__Operation op = door_operation(d);
    op.op_case = KYSO__V1__OPERATION__OP_LIST_AUTHENTICATORS;
    op.list_authenticators = &list;
    list.subject_id = TEXT("a");
    door_send(d, &op);
    assert_int_equal(door_expect_result(d)->n_authenticators, 16);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, door_setup_demo, door_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_demo_shows_what_the_person_would_receive),
        cmocka_unit_test_setup_teardown(nothing_secret_is_told_outside_a_demo, door_setup,
                                        door_teardown),
        TEST(a_seed_is_enrolled_once_for_ever),
        TEST(fault_22_generators_that_cannot_be),
        TEST(five_wrong_codes_remove_it),
        TEST(a_late_code_is_a_wrong_one),
        TEST(fault_30_a_code_confirms_for_tomorrow),
        TEST(fault_30_one_operator_adds_nothing_to_an_active_credential),
        TEST(fault_30_a_device_lets_another_in),
        TEST(a_removed_device_stays_out),
        TEST(another_persons_device_lets_nobody_in),
        TEST(fault_30_a_device_that_still_waits_lets_nobody_in),
        TEST(keys_that_are_not_what_they_say),
        TEST(a_person_has_at_most_sixteen),
    };

    return cmocka_run_group_tests_name("operate authenticator", tests, NULL, NULL);
}
