/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's own keys: attacked with the PIN in hand, read back by a raw session, and
 * a vault that meets a key with one wrong attribute does not serve,
 * and when a root without restrictions is made.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static CK_BBOOL yes = CK_TRUE;
static CK_BBOOL no = CK_FALSE;

static void make_wrapped_key(struct test_key *out)
{
    const struct vault_options o = {.sessions = 1};
    struct vault v = vault_start(&o);

    assert_int_equal(vault_generate(&v, KY_KEY_P256, KY_STORE_WRAPPED, out).code, KY_OK);
    vault_stop(&v);
}

static CK_RV set_flag(const struct raw *r, CK_OBJECT_HANDLE key, CK_ATTRIBUTE_TYPE type)
{
    CK_ATTRIBUTE a = {type, &yes, sizeof(yes)};

    return r->fn->C_SetAttributeValue(r->session, key, &a, 1);
}

static CK_RV copy_with(const struct raw *r, CK_OBJECT_HANDLE key, CK_ATTRIBUTE_TYPE type)
{
    CK_ATTRIBUTE a[] = {{type, &yes, sizeof(yes)}, {CKA_TOKEN, &no, sizeof(no)}};
    CK_OBJECT_HANDLE copy = CK_INVALID_HANDLE;

    return r->fn->C_CopyObject(r->session, key, a, COUNT(a), &copy);
}

static void test_kek_cannot_be_changed_or_copied(void **state)
{
    static const CK_ATTRIBUTE_TYPE wanted[] = {CKA_DECRYPT,     CKA_ENCRYPT, CKA_SIGN,
                                               CKA_DERIVE,      CKA_VERIFY,  CKA_MODIFIABLE,
                                               CKA_EXTRACTABLE, CKA_COPYABLE};
    struct raw r = raw_open();
    CK_OBJECT_HANDLE kek = raw_find(&r, CKO_SECRET_KEY, HSM_LABEL_KEK);
    CK_ATTRIBUTE no_template = {CKA_UNWRAP_TEMPLATE, NULL, 0};

    (void)state;
    assert_int_not_equal(kek, CK_INVALID_HANDLE);
    for (size_t i = 0; i < COUNT(wanted); i++) {
        assert_int_not_equal(set_flag(&r, kek, wanted[i]), CKR_OK);
        assert_int_not_equal(copy_with(&r, kek, wanted[i]), CKR_OK);
    }
    assert_int_not_equal(r.fn->C_SetAttributeValue(r.session, kek, &no_template, 1), CKR_OK);
    raw_close(&r);
}

/*
 * The same moves on a key with the token's defaults work: the refusals above are our attributes'
 * doing.
 */
static void test_attack_works_on_a_careless_key(void **state)
{
    CK_ULONG len = 32;
    CK_ATTRIBUTE t[] = {{CKA_TOKEN, &no, sizeof(no)},
                        {CKA_VALUE_LEN, &len, sizeof(len)},
                        {CKA_DECRYPT, &no, sizeof(no)}};
    CK_MECHANISM gen = {CKM_AES_KEY_GEN, NULL, 0};
    CK_MECHANISM ecb = {CKM_AES_ECB, NULL, 0};
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    struct raw r = raw_open();

    (void)state;
    assert_int_equal(r.fn->C_GenerateKey(r.session, &gen, t, COUNT(t), &key), CKR_OK);
    assert_int_equal(set_flag(&r, key, CKA_DECRYPT), CKR_OK);
    assert_int_equal(r.fn->C_DecryptInit(r.session, &ecb, key), CKR_OK);
    raw_close(&r);
}

static void test_kek_does_nothing_but_its_mechanism(void **state)
{
    CK_BYTE iv[16] = {0};
    CK_MECHANISM ecb = {CKM_AES_ECB, NULL, 0};
    CK_MECHANISM cbc = {CKM_AES_CBC, iv, sizeof(iv)};
    CK_MECHANISM cmac = {CKM_AES_CMAC, NULL, 0};
    CK_MECHANISM plain_wrap = {CKM_AES_KEY_WRAP, NULL, 0};
    CK_MECHANISM wrap = {CKM_AES_KEY_WRAP_PAD, NULL, 0};
    CK_BYTE out[256];
    CK_ULONG len = sizeof(out);
    CK_BYTE value[64];
    CK_ATTRIBUTE read_value = {CKA_VALUE, value, sizeof(value)};
    struct raw r = raw_open();
    CK_OBJECT_HANDLE kek = raw_find(&r, CKO_SECRET_KEY, HSM_LABEL_KEK);
    CK_OBJECT_HANDLE root = raw_find(&r, CKO_SECRET_KEY, HSM_LABEL_ROOT);

    (void)state;
    assert_int_not_equal(r.fn->C_DecryptInit(r.session, &ecb, kek), CKR_OK);
    assert_int_not_equal(r.fn->C_DecryptInit(r.session, &cbc, kek), CKR_OK);
    assert_int_not_equal(r.fn->C_EncryptInit(r.session, &ecb, kek), CKR_OK);
    assert_int_not_equal(r.fn->C_SignInit(r.session, &cmac, kek), CKR_OK);
    assert_int_not_equal(r.fn->C_WrapKey(r.session, &plain_wrap, kek, root, out, &len), CKR_OK);
    len = sizeof(out);
    assert_int_not_equal(r.fn->C_WrapKey(r.session, &wrap, kek, root, out, &len), CKR_OK);
    len = sizeof(out);
    assert_int_not_equal(r.fn->C_WrapKey(r.session, &wrap, kek, kek, out, &len), CKR_OK);
    assert_int_not_equal(r.fn->C_GetAttributeValue(r.session, kek, &read_value, 1), CKR_OK);
    read_value = (CK_ATTRIBUTE){CKA_VALUE, value, sizeof(value)};
    assert_int_not_equal(r.fn->C_GetAttributeValue(r.session, root, &read_value, 1), CKR_OK);
    raw_close(&r);
}

struct unwrap_try {
    const char *what;
    CK_ATTRIBUTE extra[3];
    CK_ULONG n;
    bool allowed;
};

static void test_blob_unwraps_only_as_the_template_says(void **state)
{
    const struct unwrap_try tries[] = {
        {"as it should",
         {{CKA_TOKEN, &no, 1}, {CKA_SENSITIVE, &yes, 1}, {CKA_EXTRACTABLE, &no, 1}},
         3,
         true},
        {"extractable",
         {{CKA_TOKEN, &no, 1}, {CKA_SENSITIVE, &yes, 1}, {CKA_EXTRACTABLE, &yes, 1}},
         3,
         false},
        {"not sensitive",
         {{CKA_TOKEN, &no, 1}, {CKA_SENSITIVE, &no, 1}, {CKA_EXTRACTABLE, &no, 1}},
         3,
         false},
        {"kept",
         {{CKA_TOKEN, &yes, 1}, {CKA_SENSITIVE, &yes, 1}, {CKA_EXTRACTABLE, &no, 1}},
         3,
         false},
        {"silent", {{CKA_TOKEN, &no, 1}}, 1, false},
    };
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_KEY_TYPE type = CKK_EC;
    CK_MECHANISM wrap = {CKM_AES_KEY_WRAP_PAD, NULL, 0};
    struct test_key k;

    (void)state;
    make_wrapped_key(&k);
    struct raw r = raw_open();
    CK_OBJECT_HANDLE kek = raw_find(&r, CKO_SECRET_KEY, HSM_LABEL_KEK);
    for (size_t i = 0; i < COUNT(tries); i++) {
        CK_ATTRIBUTE t[8] = {{CKA_CLASS, &class, sizeof(class)},
                             {CKA_KEY_TYPE, &type, sizeof(type)},
                             {CKA_SIGN, &yes, 1}};
        CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
        CK_RV rv = CKR_OK;

        memcpy(t + 3, tries[i].extra, tries[i].n * sizeof(t[0]));
        rv = r.fn->C_UnwrapKey(r.session, &wrap, kek, k.blob, k.blob_len, t, 3 + tries[i].n, &key);
        if ((rv == CKR_OK) != tries[i].allowed)
            fail_msg("unwrap %s: 0x%lx", tries[i].what, rv);
        if (rv == CKR_OK) { /* and it cannot leave the token again */
            CK_BYTE out[256];
            CK_ULONG len = sizeof(out);

            assert_int_not_equal(r.fn->C_WrapKey(r.session, &wrap, kek, key, out, &len), CKR_OK);
        }
    }
    raw_close(&r);
}

struct expected {
    CK_ATTRIBUTE_TYPE type;
    CK_BBOOL value;
};

static void assert_flags(const struct raw *r, CK_OBJECT_HANDLE key, const struct expected *e,
                         size_t n)
{
    assert_int_not_equal(key, CK_INVALID_HANDLE);
    for (size_t i = 0; i < n; i++) {
        CK_BBOOL got = 0xff;
        CK_ATTRIBUTE a = {e[i].type, &got, sizeof(got)};

        assert_int_equal(r->fn->C_GetAttributeValue(r->session, key, &a, 1), CKR_OK);
        if (got != e[i].value)
            fail_msg("attribute 0x%lx is %d", e[i].type, got);
    }
}

static void test_attributes_are_as_designed(void **state)
{
    static const struct expected kek[] = {
        {CKA_TOKEN, 1},     {CKA_PRIVATE, 1},
        {CKA_SENSITIVE, 1}, {CKA_EXTRACTABLE, 0},
        {CKA_WRAP, 1},      {CKA_UNWRAP, 1},
        {CKA_ENCRYPT, 0},   {CKA_DECRYPT, 0},
        {CKA_SIGN, 0},      {CKA_VERIFY, 0},
        {CKA_DERIVE, 0},    {CKA_MODIFIABLE, 0},
        {CKA_COPYABLE, 0},  {CKA_NEVER_EXTRACTABLE, 1},
    };
    static const struct expected root[] = {
        {CKA_TOKEN, 1},    {CKA_PRIVATE, 1}, {CKA_SENSITIVE, 1}, {CKA_EXTRACTABLE, 0},
        {CKA_SIGN, 1},     {CKA_VERIFY, 0},  {CKA_ENCRYPT, 0},   {CKA_DECRYPT, 0},
        {CKA_WRAP, 0},     {CKA_UNWRAP, 0},  {CKA_DERIVE, 0},    {CKA_MODIFIABLE, 0},
        {CKA_COPYABLE, 0},
    };
    static const struct expected ledger[] = {
        {CKA_TOKEN, 1},      {CKA_PRIVATE, 1},  {CKA_SENSITIVE, 1}, {CKA_EXTRACTABLE, 0},
        {CKA_SIGN, 1},       {CKA_DECRYPT, 0},  {CKA_UNWRAP, 0},    {CKA_DERIVE, 0},
        {CKA_MODIFIABLE, 0}, {CKA_COPYABLE, 0},
    };
    const struct vault_options o = {.sessions = 1};
    struct vault v = vault_start(&o);
    struct test_key k;

    (void)state;
    assert_int_equal(vault_generate(&v, KY_KEY_P256, KY_STORE_RESIDENT, &k).code, KY_OK);
    vault_stop(&v);
    struct raw r = raw_open();
    assert_flags(&r, raw_find(&r, CKO_SECRET_KEY, HSM_LABEL_KEK), kek, COUNT(kek));
    assert_flags(&r, raw_find(&r, CKO_SECRET_KEY, HSM_LABEL_ROOT), root, COUNT(root));
    assert_flags(&r, raw_find(&r, CKO_PRIVATE_KEY, HSM_LABEL_LEDGER), ledger, COUNT(ledger));
    assert_flags(&r, raw_find(&r, CKO_PRIVATE_KEY, "kyso-citizen"), ledger, COUNT(ledger));
    raw_close(&r);
}

static int exit_code_at_start(void)
{
    const struct vault_options o = {.sessions = 1};
    struct vault v = vault_spawn(&o);

    assert_int_equal(vault_control(&v).type, CONTROL_HELLO);
    vault_send_pin(&v, TEST_PIN);
    assert_int_equal(vault_control(&v).type, CONTROL_LOGGED_IN);
    return vault_wait_exit(&v);
}

/*
 * A KEK in every way right but for one attribute; drop: the unwrap template's attribute left out,
 * or -1.
 */
static void plant_kek(CK_ATTRIBUTE_TYPE flipped, bool unwrap_template, bool one_mechanism)
{
    static const struct expected right[] = {
        {CKA_TOKEN, 1},    {CKA_PRIVATE, 1}, {CKA_SENSITIVE, 1}, {CKA_EXTRACTABLE, 0},
        {CKA_WRAP, 1},     {CKA_UNWRAP, 1},  {CKA_ENCRYPT, 0},   {CKA_DECRYPT, 0},
        {CKA_SIGN, 0},     {CKA_VERIFY, 0},  {CKA_DERIVE, 0},    {CKA_MODIFIABLE, 0},
        {CKA_COPYABLE, 0},
    };
    CK_BBOOL values[COUNT(right)];
    CK_ATTRIBUTE t[COUNT(right) + 4];
    CK_ATTRIBUTE unwrap[] = {
        {CKA_TOKEN, &no, 1}, {CKA_SENSITIVE, &yes, 1}, {CKA_EXTRACTABLE, &no, 1}};
    CK_MECHANISM_TYPE allowed[] = {CKM_AES_KEY_WRAP_PAD, CKM_AES_ECB};
    CK_MECHANISM gen = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ULONG len = 32;
    CK_ULONG n = 0;
    struct raw r = raw_open();
    CK_OBJECT_HANDLE kek = raw_find(&r, CKO_SECRET_KEY, HSM_LABEL_KEK);

    if (kek != CK_INVALID_HANDLE)
        assert_int_equal(r.fn->C_DestroyObject(r.session, kek), CKR_OK);
    for (size_t i = 0; i < COUNT(right); i++) {
        values[i] = right[i].type == flipped ? !right[i].value : right[i].value;
        t[n++] = (CK_ATTRIBUTE){right[i].type, &values[i], sizeof(values[i])};
    }
    t[n++] = (CK_ATTRIBUTE){CKA_LABEL, (void *)(uintptr_t)HSM_LABEL_KEK, strlen(HSM_LABEL_KEK)};
    t[n++] = (CK_ATTRIBUTE){CKA_VALUE_LEN, &len, sizeof(len)};
    t[n++] = (CK_ATTRIBUTE){CKA_ALLOWED_MECHANISMS, allowed,
                            (one_mechanism ? 1 : 2) * sizeof(allowed[0])};
    if (unwrap_template)
        t[n++] = (CK_ATTRIBUTE){CKA_UNWRAP_TEMPLATE, unwrap, sizeof(unwrap)};
    assert_int_equal(r.fn->C_GenerateKey(r.session, &gen, t, n, &kek), CKR_OK);
    raw_close(&r);
}

static void test_one_wrong_attribute_and_the_vault_does_not_serve(void **state)
{
    static const CK_ATTRIBUTE_TYPE flips[] = {
        CKA_TOKEN,  CKA_PRIVATE,    CKA_SENSITIVE, CKA_EXTRACTABLE, CKA_WRAP,
        CKA_UNWRAP, CKA_ENCRYPT,    CKA_DECRYPT,   CKA_SIGN,        CKA_VERIFY,
        CKA_DERIVE, CKA_MODIFIABLE, CKA_COPYABLE,
    };
    const struct vault_options o = {.sessions = 1};

    (void)state;
    for (size_t i = 0; i < COUNT(flips); i++) {
        plant_kek(flips[i], true, true);
        if (exit_code_at_start() != HSM_EXIT_KEYS)
            fail_msg("attribute 0x%lx wrong, and it serves", flips[i]);
    }
    plant_kek(0, false, true);
    assert_int_equal(exit_code_at_start(), HSM_EXIT_KEYS);
    plant_kek(0, true, false);
    assert_int_equal(exit_code_at_start(), HSM_EXIT_KEYS);
    plant_kek(0, true, true); /* the same by another hand is fine */
    struct vault v = vault_start(&o);
    vault_stop(&v);
}

/* The exit code of a vault that has only to look at the keys, or to make them. */
static int provision_code(bool unrestricted, const char *fault)
{
    const struct vault_options o = {.provision = true, .shim = true, .unrestricted = unrestricted};
    struct vault v;

    assert_int_equal(setenv("KYSO_SHIM", fault, 1), 0);
    v = vault_spawn(&o);
    assert_int_equal(vault_control(&v).type, CONTROL_HELLO);
    vault_send_pin(&v, TEST_PIN);
    assert_int_equal(vault_control(&v).type, CONTROL_LOGGED_IN);
    assert_int_equal(unsetenv("KYSO_SHIM"), 0);
    return vault_wait_exit(&v);
}

static void test_a_token_that_restricts_nobody_is_taken_only_where_allowed(void **state)
{
    static const char knows_no_copyable[] = "copyable:1:99:12"; /* CKR_ATTRIBUTE_TYPE_INVALID */

    (void)state;
    assert_int_equal(provision_code(false, knows_no_copyable), HSM_EXIT_KEYS);
    assert_int_equal(provision_code(true, knows_no_copyable), HSM_EXIT_OK);
}

/* No length is believed of a key that was unwrapped, where the token does not know it; of one that it made it must be right. */
static void test_a_key_that_the_token_made_has_its_length(void **state)
{
    (void)state;
    assert_int_equal(provision_code(false, "length:99:1:zero"), HSM_EXIT_OK);
    assert_int_equal(provision_code(false, "length:2:9:zero"), HSM_EXIT_KEYS); /* the KEK's */
}

/*
 * The shim's answer to the first kyso-root, and whether one without restrictions is made then. The
 * last test: the root is gone.
 */
static void test_root_without_restrictions_only_where_allowed(void **state)
{
    static const struct {
        bool allowed;
        const char *fault; /* "": the token knows the attributes */
        bool made;
        bool copyable;
        int code;
    } rows[] = {
        {true, "generate:1:1:30", false, false,
         HSM_EXIT_KEYS}, /* CKR_DEVICE_ERROR says nothing of attributes */
        {true, "generate:1:1:31", false, false, HSM_EXIT_FULL},  /* CKR_DEVICE_MEMORY */
        {false, "generate:1:1:12", false, false, HSM_EXIT_KEYS}, /* CKR_ATTRIBUTE_TYPE_INVALID */
        {true, "generate:1:1:12", true, true,
         HSM_EXIT_KEYS}, /* and this token could have kept it from being copied */
        {true, "open:99:1:30", true, false, HSM_EXIT_OK},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        CK_BBOOL copyable = CK_FALSE;
        CK_ATTRIBUTE a = {CKA_COPYABLE, &copyable, sizeof(copyable)};
        struct raw r = raw_open();
        CK_OBJECT_HANDLE root = raw_find(&r, CKO_SECRET_KEY, HSM_LABEL_ROOT);

        if (root != CK_INVALID_HANDLE)
            assert_int_equal(r.fn->C_DestroyObject(r.session, root), CKR_OK);
        raw_close(&r);
        assert_int_equal(provision_code(rows[i].allowed, rows[i].fault), rows[i].code);
        r = raw_open();
        root = raw_find(&r, CKO_SECRET_KEY, HSM_LABEL_ROOT);
        assert_int_equal(root != CK_INVALID_HANDLE, rows[i].made);
        if (rows[i].made)
            assert_int_equal(r.fn->C_GetAttributeValue(r.session, root, &a, 1), CKR_OK);
        assert_int_equal(copyable != CK_FALSE, rows[i].copyable);
        raw_close(&r);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attributes_are_as_designed),
        cmocka_unit_test(test_kek_cannot_be_changed_or_copied),
        cmocka_unit_test(test_attack_works_on_a_careless_key),
        cmocka_unit_test(test_kek_does_nothing_but_its_mechanism),
        cmocka_unit_test(test_blob_unwraps_only_as_the_template_says),
        cmocka_unit_test(test_one_wrong_attribute_and_the_vault_does_not_serve),
        cmocka_unit_test(test_a_token_that_restricts_nobody_is_taken_only_where_allowed),
        cmocka_unit_test(test_a_key_that_the_token_made_has_its_length),
        cmocka_unit_test(test_root_without_restrictions_only_where_allowed),
    };

    harness_maybe_vault(argc, argv);
    return cmocka_run_group_tests(tests, harness_token_setup, harness_token_teardown);
}
