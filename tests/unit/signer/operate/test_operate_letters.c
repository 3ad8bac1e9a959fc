/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seeds that leave: sealed, to one reader; told again to that one alone, while the code beside it
 * holds; never once there is something to sign with.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certificates.h"
#include "enroll.h"
#include "people.h"

struct letter {
    char authenticator[40], code[9], text[700];
};

/* The batch's first person's, opened. */
static void write_letter(struct door *d, struct people *p, const struct reader *reader,
                         struct letter *out)
{
    people_enroll(d, p, 1, reader);
    const Kyso__V1__EnrolledCitizen *e = people_finish(d, 1)->enrolled[0];
    assert_string_equal(e->error, "");
    (void)snprintf(out->authenticator, sizeof(out->authenticator), "%s", e->authenticator_id);
    open_envelope(reader, e->sealed_seed, out->text);
    assert_non_null(strstr(out->text, out->authenticator));
    const char *code = strstr(out->text, "confirmation: ");
    assert_non_null(code);
    (void)snprintf(out->code, sizeof(out->code), "%s", code + strlen("confirmation: "));
}

static void confirm(struct door *d, const struct letter *l)
{
    DOOR_OP(d, CONFIRM_AUTHENTICATOR, confirm_authenticator, ConfirmAuthenticator,
            KYSO__V1__CONFIRM_AUTHENTICATOR__INIT,
            message_.authenticator_id = TEXT(l->authenticator), message_.code = TEXT(l->code));
    door_send(d, &op_);
}

static bool same_seed(const struct letter *a, const struct letter *b)
{
    size_t n = (size_t)(strchr(a->text, '\n') - a->text);

    return strncmp(a->text, b->text, n) == 0;
}

static void get_row(struct door *d, uint32_t number, struct row_authenticator *out)
{
    OK(store_row_get(d->a->store, ROW_AUTHENTICATOR, number, out));
}

/* The second letter is another, and the first is worth nothing any more. */
static void expect_anew(struct door *d, const struct letter *old, const struct letter *new)
{
    struct row_authenticator row;

    assert_string_not_equal(old->authenticator, new->authenticator);
    assert_false(same_seed(old, new));
    get_row(d, 1, &row);
    assert_int_equal(row.state, ROW_AUTH_REMOVED);
    assert_int_equal(row.sealed_seed.len, 0);
    confirm(d, old);
    door_expect_refused(d, KY_CONFLICT);
    confirm(d, new);
    assert_string_equal(door_expect_result(d)->authenticators[0]->state, "active");
    assert_int_equal(store_row_count(d->a->store, ROW_AUTHENTICATOR), 2);
}

/* The code in the letter confirms that it came. */
static void the_code_in_the_envelope_confirms(void **state)
{
    struct door *d = *state;
    struct reader reader = reader_new(d, KY_KEY_RSA2048, "keyEncipherment");
    struct people *p = people_new(1);
    struct letter l;

    write_letter(d, p, &reader, &l);
    confirm(d, &l);
    assert_string_equal(door_expect_result(d)->authenticators[0]->state, "active");
    people_enroll(d, p, 1, &reader); /* confirmed: the seed does not leave again */
    const Kyso__V1__OperationResult *r = people_finish(d, 1);
    assert_string_equal(r->enrolled[0]->authenticator_id, l.authenticator);
    assert_int_equal(r->enrolled[0]->sealed_seed.len, 0);
    check_csr(r->enrolled[0]);
    free(p);
    reader_free(&reader);
}

static void another_reader_gets_another_seed(void **state)
{
    struct door *d = *state;
    struct reader person = reader_new(d, KY_KEY_P256, NULL),
                  other = reader_new(d, KY_KEY_P256, NULL);
    struct people *p = people_new(1);
    struct letter first, again, second;

    write_letter(d, p, &person, &first);
    write_letter(d, p, &person, &again);
    assert_string_equal(first.text, again.text);
    write_letter(d, p, &other, &second);
    expect_anew(d, &first, &second);
    free(p);
    reader_free(&person);
    reader_free(&other);
}

/* From before rows said to whom: nobody is the same reader. */
static void an_older_row_has_no_reader(void **state)
{
    struct door *d = *state;
    struct reader reader = reader_new(d, KY_KEY_P256, NULL);
    struct people *p = people_new(1);
    struct row_authenticator row;
    struct letter first, second;

    write_letter(d, p, &reader, &first);
    get_row(d, 1, &row);
    row.reader_sha256 = KY_SPAN(NULL, 0);
    OK(authority_row_put(d->a, ROW_AUTHENTICATOR, 1, &row, 0, NULL));
    write_letter(d, p, &reader, &second);
    expect_anew(d, &first, &second);
    free(p);
    reader_free(&reader);
}

static void enroll_token(struct door *d, const struct reader *reader, const char *seed)
{
    DOOR_OP(d, ENROLL_TOTP, enroll_totp, EnrollTotp, KYSO__V1__ENROLL_TOTP__INIT,
            message_.subject_id = TEXT("citizen-0"), message_.seed.data = (uint8_t *)TEXT(seed),
            message_.seed.len = strlen(seed), message_.seal_to.data = (uint8_t *)TEXT(reader->der),
            message_.seal_to.len = reader->len);
    door_send(d, &op_);
}

/* That of a token that somebody holds. */
static void a_seed_that_was_brought_in_does_not_leave(void **state)
{
    struct door *d = *state;
    struct reader reader = reader_new(d, KY_KEY_P256, NULL);
    struct people *p = people_new(1);
    struct letter first, second;

    door_add_subject(d, "citizen-0");
    enroll_token(d, &reader, "a token's seed, 24 bytes");
    const Kyso__V1__OperationResult *r = door_expect_result(d);
    (void)snprintf(first.authenticator, sizeof(first.authenticator), "%s",
                   r->authenticators[0]->authenticator_id);
    open_envelope(&reader, r->sealed_seed, first.text);
    (void)snprintf(first.code, sizeof(first.code), "%s",
                   strstr(first.text, "confirmation: ") + strlen("confirmation: "));
    write_letter(d, p, &reader, &second);
    expect_anew(d, &first, &second);
    free(p);
    reader_free(&reader);
}

/* As of a server that drew codes at random. */
static void a_letter_has_a_code_that_confirms(void **state)
{
    struct door *d = *state;
    struct reader reader = reader_new(d, KY_KEY_P256, NULL);
    struct people *p = people_new(1);
    struct row_authenticator row;
    struct letter first, second;

    write_letter(d, p, &reader, &first);
    get_row(d, 1, &row);
    row.confirm_sha256[31] ^= 1;
    OK(authority_row_put(d->a, ROW_AUTHENTICATOR, 1, &row, 0, NULL));
    write_letter(d, p, &reader, &second);
    expect_anew(d, &first, &second);
    free(p);
    reader_free(&reader);
}

static void a_letter_is_not_told_again_after_its_time(void **state)
{
    struct door *d = *state;
    struct reader reader = reader_new(d, KY_KEY_P256, NULL);
    struct people *p = people_new(1);
    struct letter first, again, second;

    write_letter(d, p, &reader, &first);
    d->a->now_us += ENROLL_CODE_VALID_S * UINT64_C(1000000);
    write_letter(d, p, &reader, &again);
    assert_string_equal(first.text, again.text);
    d->a->now_us += 1000000;
    write_letter(d, p, &reader, &second);
    expect_anew(d, &first, &second);
    free(p);
    reader_free(&reader);
}

/* The person's list is full: the one that went makes room for the one that came. */
static void a_new_one_has_the_old_ones_place(void **state)
{
    struct door *d = *state;
    struct reader person = reader_new(d, KY_KEY_P256, NULL),
                  other = reader_new(d, KY_KEY_P256, NULL);
    struct people *p = people_new(1);
    struct letter l;
    char seed[32];

    door_add_subject(d, "citizen-0");
    for (unsigned i = 0; i < 16; i++) {
        (void)snprintf(seed, sizeof(seed), "a token's seed, %u", i);
        enroll_token(d, &person, seed);
        (void)door_expect_result(d);
    }
    write_letter(d, p, &person, &l); /* the last of those goes */
    write_letter(d, p, &person, &l);
    write_letter(d, p, &other, &l);
    write_letter(d, p, &person, &l);
    free(p);
    reader_free(&person);
    reader_free(&other);
}

static void expect_no_reader(struct door *d, const struct reader *reader)
{
    struct people *p = people_new(1);

    people_enroll(d, p, 1, reader);
    door_expect_refused(d, KY_INVALID);
    free(p);
}

static void readers_that_cannot_be(void **state)
{
    static const char *const groups[] = {"secp256k1", "brainpoolP256r1", "prime239v1"};
    struct door *d = *state;
    struct reader good = reader_of_key(d, EVP_EC_gen("P-521"), NULL);
    struct people *p = people_new(1);
    struct letter l;

    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        struct reader r = reader_of_key(d, EVP_EC_gen(groups[i]), NULL);

        expect_no_reader(d, &r);
        reader_free(&r);
    }
    for (size_t at = 0; at + 15 < good.len;
         at++) /* a time that cannot be read: 17 0d YYMMDDhhmmssZ */
        if (good.der[at] == 0x17 && good.der[at + 1] == 13 && good.der[at + 14] == 'Z') {
            good.der[at + 14] = 'X';
            expect_no_reader(d, &good);
            good.der[at + 14] = 'Z';
        }
    write_letter(d, p, &good, &l);
    free(p);
    reader_free(&good);
}

/* Outside a demo a seed of ours leaves sealed, and only so. */
static void one_seed_sealed(void **state)
{
    struct door *d = *state;
    struct reader reader = reader_new(d, KY_KEY_P384, "keyAgreement");
    char text[700];

    door_add_subject(d, "a");
    DOOR_OP(d, ENROLL_TOTP, enroll_totp, EnrollTotp, KYSO__V1__ENROLL_TOTP__INIT,
            message_.subject_id = TEXT("a"));
    door_send(d, &op_);
    door_expect_refused(d, KY_OPERATOR_REFUSED);
    message_.seal_to = (ProtobufCBinaryData){.len = reader.len, .data = reader.der};
    op_ = door_operation(d);
    op_.op_case = KYSO__V1__OPERATION__OP_ENROLL_TOTP;
    op_.enroll_totp = &message_;
    door_send(d, &op_);
    const Kyso__V1__OperationResult *r = door_expect_result(d);
    open_envelope(&reader, r->sealed_seed, text);
    assert_non_null(strstr(text, "otpauth://totp/Kyso:a?secret="));
    assert_int_equal(r->seed.len, 0);
    assert_string_equal(r->otpauth_uri, "");
    assert_string_equal(r->confirmation_code, "");
    reader_free(&reader);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, door_setup, door_teardown)
    const struct CMUnitTest tests[] = {
        T(the_code_in_the_envelope_confirms),
        T(another_reader_gets_another_seed),
        T(an_older_row_has_no_reader),
        T(a_seed_that_was_brought_in_does_not_leave),
        T(a_letter_has_a_code_that_confirms),
        T(a_letter_is_not_told_again_after_its_time),
        T(a_new_one_has_the_old_ones_place),
        T(readers_that_cannot_be),
        T(one_seed_sealed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
