/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators for a state in which too few are left to add one: added while it does not serve, on the ledger, and only then.
 */
#include "world.h"

#include <string.h>

#include "../operate/certificates.h"
#include "kyso/wire.h"

#define YEARS(n) (86400L * 365 * (n))

struct person {
    const char *name, *subject;
    EVP_PKEY *key;
    bool bare;
    long to_s; /* 0 = 20 years */
};

static void put_person(struct ky_buf *out, const struct person *p)
{
    uint8_t der[4096];
    const struct test_certificate t = {.subject = p->subject, .issuer = p->subject, .key = p->key,
                                       .issuer_key = p->key, .from_s = -YEARS(10),
                                       .to_s = p->to_s != 0 ? p->to_s : YEARS(20)};
    size_t n = p->bare ? test_spki(p->key, der) : test_certificate(&t, der);

    ky_put_bytes(out, text(p->name));
    ky_put_bytes(out, KY_SPAN(der, n));
}

/* The run of the authority with these people, and why it refused, or NULL. The world is stopped before and after. */
static const char *add(struct world *w, const struct person *people, size_t n)
{
    struct ky_buf operators = KY_BUF_INIT(16384);
    const char *why = NULL;

    for (size_t i = 0; i < n; i++)
        put_person(&operators, &people[i]);
    assert_false(operators.failed);
    world_start(w);
    w->a->boot.operators = ky_buf_span(&operators);
    world_run(w);
    assert_null(world_told(w, CONTROL_READY));
    if (w->a->phase == PHASE_SEALED) {
        assert_null(world_told(w, CONTROL_DONE));
        why = world_told(w, CONTROL_SEALED)->text;
    } else {
        assert_int_equal(w->a->phase, PHASE_DONE);
        assert_non_null(world_told(w, CONTROL_DONE));
    }
    world_crash(w);
    ky_buf_free(&operators);
    return why;
}

/* A server that was a demo with one operator, who has a bare key, and is none any more. */
static int setup(void **state)
{
    int rc = world_setup(state);
    struct world *w = *state;

    world_stop(w);
    w->config.demo = false;
    return rc;
}

static void two_are_added_and_no_third(void **state)
{
    struct world *w = *state;
    EVP_PKEY *keys[] = {test_key(KY_KEY_P256), test_key(KY_KEY_ED25519), test_key(KY_KEY_P256)};
    const struct person people[] = {{"alice", "Alice", keys[0], false, 0},
                                    {"bob", "Bob", keys[1], false, 0},
                                    {"eve", "Eve", keys[2], false, 0}};
    struct ledger_operation operation;
    struct ledger_admin admin;
    struct ledger_start start;
    struct row_operator row;

    assert_null(add(w, people, 2));
    assert_string_equal(add(w, &people[2], 1), "enough people are there who may add users: kyso user add");
    world_boot(w);
    assert_int_equal(ledger_count(w, LEDGER_OPERATION), 2);
    assert_int_equal(store_row_count(w->a->store, ROW_OPERATOR), 3);
    assert_true(ledger_last(w, LEDGER_ADMIN, &admin));
    assert_int_equal(admin.table, ROW_OPERATOR);
    assert_int_equal(admin.row, 3);
    assert_true(ledger_last(w, LEDGER_OPERATION, &operation));
    assert_int_equal(admin.operation, store_ledger_size(w->a->store) - 4); /* then admin, stop, start */
    assert_true(ky_span_eq(operation.name, text("add-user-offline")));
    assert_true(ky_span_eq(operation.target, text("bob")));
    assert_int_equal(operation.operators.len, 0);
    assert_true(ky_ok(store_row_get(w->a->store, ROW_OPERATOR, 3, &row)));
    assert_int_equal(row.role, POLICY_ADMINISTRATOR);
    assert_true(row.certificate.len > 0 && !row.removed);
    assert_true(ledger_last(w, LEDGER_START, &start));
    assert_int_equal(start.clean, 1);
    for (size_t i = 0; i < 3; i++)
        EVP_PKEY_free(keys[i]);
}

static void what_is_refused_changes_nothing(void **state)
{
    struct world *w = *state;
    EVP_PKEY *key = test_key(KY_KEY_P256), *other = test_key(KY_KEY_P256);
    const struct {
        struct person people[2];
        size_t n;
        const char *why;
    } cases[] = {
        {{{"alice", "Alice", key, false, 0}}, 1, "it takes two operators"},
        {{{"alice", "Alice", key, false, 0}, {"bob", "Bob", other, true, 0}}, 2, "needs a certificate"},
        {{{"alice", "Alice", key, false, 0}, {"bob", "Bob", other, false, -YEARS(5)}}, 2, "not valid now"},
        {{{"alice", "Alice", key, false, 0}, {"bob", "Bob", key, false, 0}}, 2, "has that key"},
        {{{"alice", "Alice", key, false, 0}, {"bob", "Alice", other, false, 0}}, 2, "of that subject"},
        {{{"alice", "Alice", key, false, 0}, {"alice", "Bob", other, false, 0}}, 2, "is or was somebody's"},
        {{{"alice", "Alice", key, false, 0}, {"op1", "Bob", other, false, 0}}, 2, "is or was somebody's"},
        {{{"alice", "Alice", key, false, 0}, {"b b", "Bob", other, false, 0}}, 2, "name is none"},
    };
    struct ledger_start start;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *why = add(w, cases[i].people, cases[i].n);
        assert_non_null(why);
        if (strstr(why, cases[i].why) == NULL)
            fail_msg("case %zu: \"%s\", not \"%s\"", i, why, cases[i].why);
    }
    world_boot(w);
    assert_int_equal(ledger_count(w, LEDGER_OPERATION), 0);
    assert_int_equal(store_row_count(w->a->store, ROW_OPERATOR), 1);
    assert_true(ledger_last(w, LEDGER_START, &start));
    assert_int_equal(start.clean, 1);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(two_are_added_and_no_third, setup, world_teardown),
        cmocka_unit_test_setup_teardown(what_is_refused_changes_nothing, setup, world_teardown),
    };

    return cmocka_run_group_tests_name("authority_provision", tests, NULL, NULL);
}
