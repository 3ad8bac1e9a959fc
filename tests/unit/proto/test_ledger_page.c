/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LEDGER.md against the schemas: every record type's number, name, and fields in their order, so
 * that a second checker can be written from the page alone.
 */
#include "kyso/ledger.h"

#include <stdio.h>

#include "all_schemas.h"
#include "proto_test.h"

static char page[64 * 1024];

static int read_page(void **state)
{
    (void)state;
    FILE *f = fopen(KYSO_LEDGER_MD, "r");
    assert_non_null(f);
    size_t n = fread(page, 1, sizeof(page) - 1, f);
    fclose(f);
    page[n] = '\0';
    return 0;
}

/* "u32", "fix 16": as the page writes a field's type. */
static void type_text(const struct ky_field *f, char out[16])
{
    static const char *const names[] = {
        [KY_F_U8] = "u8",   [KY_F_U16] = "u16", [KY_F_CODE] = "code",   [KY_F_U32] = "u32",
        [KY_F_U64] = "u64", [KY_F_FIX] = "fix", [KY_F_BYTES] = "bytes", [KY_F_TEXT] = "text"};
    if (f->type == KY_F_FIX)
        snprintf(out, 16, "fix %u", f->max);
    else
        snprintf(out, 16, "%s", names[f->type]);
}

/* "a u32; b u32; c fix 32; " */
static void fields_text(const struct ky_schema *s, char *out, size_t cap)
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < s->field_count; i++) {
        char type[16];
        type_text(&s->fields[i], type);
        n += (size_t)snprintf(out + n, cap - n, "%s %s; ", s->fields[i].name, type);
        assert_true(n < cap);
    }
}

/* The same from the page, where neighbours of one type may share it: "a, b u32; c fix 32". */
static void spell_out(char *cell, char *out, size_t cap)
{
    size_t n = 0;
    char *groups = NULL;
    out[0] = '\0';
    for (char *group = strtok_r(cell, ";", &groups); group != NULL;
         group = strtok_r(NULL, ";", &groups)) {
        char list[256];
        char *names = NULL;
        const char *last = strrchr(group, ',');
        const char *type = strchr((last != NULL ? last : group) + 2, ' ');
        assert_non_null(type);
        snprintf(list, sizeof(list), "%.*s", (int)(type - group), group);
        for (char *name = strtok_r(list, ", ", &names); name != NULL;
             name = strtok_r(NULL, ", ", &names))
            n += (size_t)snprintf(out + n, cap - n, "%s%s; ", name, type);
        assert_true(n < cap);
    }
}

/* The last cell of a table's row, remarks in parentheses and bold left out. */
static void last_cell(const char *row, char *out, size_t cap)
{
    const char *end = strchr(row, '\n');
    assert_non_null(end);
    const char *from = end - 1; /* the closing bar */
    while (from > row && from[-1] != '|')
        from--;
    size_t n = 0;
    int depth = 0;
    for (const char *p = from; p < end - 1; p++) {
        depth += *p == '(';
        if (depth == 0 && n + 1 < cap)
            out[n++] = *p;
        if (*p == ')') {
            depth--;
            while (n > 0 && out[n - 1] == ' ')
                n--;
        }
    }
    while (n > 0 && out[n - 1] == ' ')
        n--;
    out[n] = '\0';
    memmove(out, out + strspn(out, " "), strlen(out + strspn(out, " ")) + 1);
}

static void test_every_record(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(ledger_schemas); i++) {
        const struct ky_schema *s = ledger_schemas[i];
        char head[64];
        char want[1024];
        char cell[1024];
        char got[1024];
        snprintf(head, sizeof(head), "\n| %u | %s |", s->type, s->name);
        const char *row = strstr(page, head);
        if (row == NULL)
            fail_msg("LEDGER.md has no row%s", head);
        fields_text(s, want, sizeof(want));
        last_cell(row + 1, cell, sizeof(cell));
        spell_out(cell, got, sizeof(got));
        assert_string_equal(got, want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_record),
    };
    return cmocka_run_group_tests(tests, read_page, NULL);
}
