/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser of fault scripts: what a line becomes, which lines are refused and where, how counts
 * combine, and that every example beside it can be read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* clang-format off: cmocka wants the four above first */
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
/* clang-format on */

#include "script.h"

static struct script parsed(const char *text)
{
    struct script s = {.rule_count = 0};
    char why[160] = "";

    if (!script_parse(text, &s, why, sizeof(why)))
        fail_msg("%s: %s", text, why);
    return s;
}

static void assert_refused(const char *text, const char *begin)
{
    struct script s = {.rule_count = 77};
    char why[160] = "";

    if (script_parse(text, &s, why, sizeof(why)))
        fail_msg("taken: %s", text);
    if (strncmp(why, begin, strlen(begin)) != 0)
        fail_msg("%s: %s", text, why);
    assert_int_equal(s.rule_count, 77); /* nothing is written on failure */
}

static void a_rule_has_what_its_words_say(void **state)
{
    struct script s =
        parsed("C_Sign nth 3..5 times 2 data dead01 unwrapped return CKR_DEVICE_ERROR");
    const struct rule *r = &s.rules[0];

    (void)state;
    assert_int_equal(s.rule_count, 1);
    assert_int_equal(r->fn, FN_C_Sign);
    assert_int_equal(r->action, ACT_RETURN);
    assert_int_equal(r->rv, CKR_DEVICE_ERROR);
    assert_int_equal(r->nth.first, 3);
    assert_int_equal(r->nth.last, 5);
    assert_int_equal(r->times, 2);
    assert_int_equal(r->data_len, 3);
    assert_memory_equal(r->data, "\xde\xad\x01", 3);
    assert_true(r->unwrapped);
}

static void numbers_and_codes_of_vendors(void **state)
{
    struct script s = parsed("C_Login return 0x80000123\n"
                             "C_Sign length -1\n"
                             "C_Finalize exit 0\n"
                             "C_Sign delay 250\n");

    (void)state;
    assert_int_equal(s.rules[0].rv, 0x80000123);
    assert_int_equal(s.rules[1].number, -1);
    assert_int_equal(s.rules[2].action, ACT_EXIT);
    assert_int_equal(s.rules[3].number, 250);
}

static void settings_comments_and_blank_lines(void **state)
{
    struct script s = parsed("# a token\n\n"
                             "set sessions 4   # of all processes\n"
                             "set objects 8\nset pin-tries 3\nset leak 100\n"
                             "set operations per-token\nset local false\nset module /x/y.so");

    (void)state;
    assert_int_equal(s.rule_count, 0);
    assert_int_equal(s.set.sessions, 4);
    assert_int_equal(s.set.objects, 8);
    assert_int_equal(s.set.pin_tries, 3);
    assert_int_equal(s.set.leak, 100);
    assert_true(s.set.operations_per_token);
    assert_true(s.set.not_local);
    assert_string_equal(s.set.module, "/x/y.so");
}

static void what_is_not_understood_is_refused(void **state)
{
    static const struct {
        const char *text;
        const char *why;
    } rows[] = {
        {"C_Sing crash", "line 1: no function"},
        {"\n\nC_Sign", "line 3: an action is missing"},
        {"C_Sign nth", "line 1: a condition"},
        {"C_Sign nth 0 crash", "line 1: a condition"},
        {"C_Sign nth 5..3 crash", "line 1: a condition"},
        {"C_Sign nth 2x crash", "line 1: a condition"},
        {"C_Sign every 0 crash", "line 1: a condition"},
        {"C_Sign data abc crash", "line 1: a condition"},
        {"C_Sign data XX crash", "line 1: a condition"},
        {"C_Login data ab crash", "line 1: a condition"},
        {"C_UnwrapKey unwrapped crash", "line 1: a condition"},
        {"C_Sign explode", "line 1: neither"},
        {"C_Sign return", "line 1: no return value"},
        {"C_Sign return CKR_NONSENSE", "line 1: no return value"},
        {"C_Sign return 0x", "line 1: no return value"},
        {"C_Sign delay", "line 1: the action's number"},
        {"C_Sign delay -1", "line 1: the action's number"},
        {"C_Sign exit 256", "line 1: the action's number"},
        {"C_Sign crash crash", "line 1: more words"},
        {"C_Login flip", "line 1: this action has no meaning"},
        {"C_Sign alias", "line 1: this action has no meaning"},
        {"C_Login lose-session", "line 1: this action has no meaning"},
        {"set sessions", "line 1: a setting"},
        {"set sessions 0", "line 1: no such setting"},
        {"set colour blue", "line 1: no such setting"},
        {"set operations per-session", "line 1: no such setting"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_refused(rows[i].text, rows[i].why);
}

static void too_many_rules_are_refused(void **state)
{
    char text[(RULES_MAX + 1) * 16] = "";

    (void)state;
    for (int i = 0; i < RULES_MAX; i++)
        strncat(text, "C_Sign crash\n", sizeof(text) - strlen(text) - 1);
    assert_int_equal(parsed(text).rule_count, RULES_MAX);
    strncat(text, "C_Sign crash\n", sizeof(text) - strlen(text) - 1);
    assert_refused(text, "line 33: too many");
}

static void counts_must_all_hold(void **state)
{
    struct script s = parsed("C_Sign nth 2..4 total 3.. life 2 crash\nC_Sign every 3 crash");
    const struct rule *r = &s.rules[0];

    (void)state;
    assert_true(rule_counts(r, 2, 3, 2));
    assert_true(rule_counts(r, 4, 1000, 2));
    assert_false(rule_counts(r, 1, 3, 2));
    assert_false(rule_counts(r, 5, 3, 2));
    assert_false(rule_counts(r, 2, 2, 2));
    assert_false(rule_counts(r, 2, 3, 1));
    assert_false(rule_counts(&s.rules[1], 2, 2, 1));
    assert_true(rule_counts(&s.rules[1], 6, 6, 1));
}

static void every_action_and_function_has_a_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < ACT_COUNT; i++)
        assert_non_null(action_names[i]);
    for (size_t i = 0; i < FN_COUNT; i++)
        assert_int_equal(strncmp(fn_names[i], "C_", 2), 0);
}

static void the_examples_can_be_read(void **state)
{
    DIR *dir = opendir(FAULT_SCRIPTS);
    unsigned count = 0;

    (void)state;
    assert_non_null(dir);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        char path[1024];
        char text[4096];
        size_t n = 0;
        FILE *f = NULL;

        if (strstr(e->d_name, ".fault") == NULL)
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", FAULT_SCRIPTS, e->d_name);
        f = fopen(path, "r");
        assert_non_null(f);
        n = fread(text, 1, sizeof(text) - 1, f);
        (void)fclose(f);
        text[n] = '\0';
        (void)parsed(text);
        count++;
    }
    (void)closedir(dir);
    assert_true(count >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rule_has_what_its_words_say),
        cmocka_unit_test(numbers_and_codes_of_vendors),
        cmocka_unit_test(settings_comments_and_blank_lines),
        cmocka_unit_test(what_is_not_understood_is_refused),
        cmocka_unit_test(too_many_rules_are_refused),
        cmocka_unit_test(counts_must_all_hold),
        cmocka_unit_test(every_action_and_function_has_a_name),
        cmocka_unit_test(the_examples_can_be_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
