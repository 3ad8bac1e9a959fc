/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operation table against the protocol: each kind of kyso.v1.Operation has a row
 * under its kebab-case name.
 */
#include "policy_test.h"

#include "kyso/v1/operator.pb-c.h"

static void test_every_kind_has_a_row(void **state)
{
    (void)state;
    const ProtobufCMessageDescriptor *const d = &kyso__v1__operation__descriptor;
    size_t kinds = 0;
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *const f = &d->fields[i];
        if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0) {
            continue;
        }
        char name[64];
        const size_t len = strlen(f->name);
        assert_true(len < sizeof(name));
        for (size_t c = 0; c <= len; c++) {
            name[c] = f->name[c] == '_' ? '-' : f->name[c];
        }
        if (policy_operation(name) == NULL) {
            fail_msg("%s has no row", name);
        }
        kinds++;
    }
    assert_int_equal(kinds, 26);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_kind_has_a_row)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
