/* SPDX-License-Identifier: Apache-2.0 */
/* What a relying party may read, and that whatever is another's reads as absent. Fault 14. */
#include "world.h"

#include <string.h>

#include "kyso/wire.h"

static struct door_cred_list list_msg(const char *subject, uint32_t size, struct ky_span token)
{
    struct door_cred_list m = {.relying_party = text(WORLD_RP),
                               .subject_id = text(subject),
                               .page_size = size,
                               .page_token = token};

    memcpy(m.spki, spki_bank, 32);
    return m;
}

static void expect_listed(const struct answer *got, const char *id)
{
    struct ky_reader r = ky_reader(got->list.items);
    struct door_r_cred c;

    assert_int_equal(DOOR_R_CRED_LIST, got->type);
    assert_true(
        ky_ok(ky_msg_decode(&door_r_cred_schema, ky_get_bytes(&r, got->list.items.len), &c)));
    assert_true(ky_span_eq(text(id), c.credential_id));
    assert_true(ky_reader_done(&r));
}

static void pages_go_on_for_what_is_yours(void **state)
{
    struct world *w = *state;
    struct answer first, got;
    struct door_cred_list m = list_msg("079000000001", 1, (struct ky_span){0});
    struct ky_buf other = KY_BUF_INIT(64);
    struct row_credential c = {.subject_row = w->subject_row,
                               .state = CREDENTIAL_ACTIVE,
                               .storage = KY_STORE_WRAPPED,
                               .key_type = KY_KEY_P256,
                               .epoch = 1,
                               .credential_id = text("c4-0000000000000004"),
                               .blob = text("b"),
                               .public_key = text("p")};
    uint32_t row = 0;
    uint8_t key[4] = {(uint8_t)w->subject_row};

    ky_put_bytes(&other, text("other")); /* a third one of this person, for another party */
    c.relying_parties = ky_buf_span(&other);
    assert_true(ky_ok(authority_row_put(w->a, ROW_CREDENTIAL, 0, &c, 0, &row)));
    assert_true(ky_ok(store_lookup_add(w->a->store, STORE_CREDENTIALS_OF, KY_SPAN_OF(key), row)));
    ky_buf_free(&other);
    ask(w, FRONT_SIGNER, &door_cred_list_schema, &m, &first);
    expect_listed(&first, w->credential);
    assert_true(first.list.next_page_token.len > 0);
    m.page_token = first.list.next_page_token;
    ask(w, FRONT_SIGNER, &door_cred_list_schema, &m, &got);
    expect_listed(&got, w->credential2);
    assert_int_equal(0, got.list.next_page_token.len); /* the third shows in nothing */
}

static void who_has_nothing_for_you_is_absent(void **state)
{
    struct world *w = *state;
    struct answer got;
    const char *const nobodys[] = {"079000000002", "079999999999"}; /* another's, and nobody */

    for (int i = 0; i < 2; i++) {
        struct door_cred_list m = list_msg(nobodys[i], 0, (struct ky_span){0});
        ask(w, FRONT_SIGNER, &door_cred_list_schema, &m, &got);
        assert_denied(w, &got, KY_NOT_FOUND, KY_NOT_FOUND);
        m.page_token = text("0");
        ask(w, FRONT_SIGNER, &door_cred_list_schema, &m, &got);
        assert_denied(w, &got, KY_NOT_FOUND, KY_NOT_FOUND);
    }
}

static void anothers_credential_is_absent(void **state)
{
    struct world *w = *state;
    struct answer got;
    struct door_cred_get m = {.relying_party = text(WORLD_RP), .credential_id = text(w->foreign)};

    memcpy(m.spki, spki_bank, 32);
    ask(w, FRONT_SIGNER, &door_cred_get_schema, &m, &got);
    assert_denied(w, &got, KY_NOT_FOUND, KY_NOT_FOUND);
    m.credential_id = text("c9-0000000000000009");
    ask(w, FRONT_SIGNER, &door_cred_get_schema, &m, &got);
    assert_denied(w, &got, KY_NOT_FOUND, KY_NOT_FOUND);
    m.credential_id = text(w->credential);
    ask(w, FRONT_SIGNER, &door_cred_get_schema, &m, &got);
    assert_int_equal(DOOR_R_CRED, got.type);
    assert_true(ky_span_eq(text("079000000001"), got.cred.subject_id));
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(pages_go_on_for_what_is_yours),
        T(who_has_nothing_for_you_is_absent),
        T(anothers_credential_is_absent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
