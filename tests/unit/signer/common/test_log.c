/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines: whatever a text holds, it stays one line and one JSON object, and nothing in it reads
 * as another field. Run against the real standard error, put into a file.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "log.h"
#include "metrics.h"

#define ROWS(array) (sizeof(array) / sizeof((array)[0]))

/* What one event with this text writes; `out` is NUL-terminated. */
static size_t written(const char *text, char *out, size_t cap)
{
    int file = memfd_create("log", MFD_CLOEXEC);
    int kept = dup(STDERR_FILENO);
    ssize_t n;

    assert_true(file >= 0 && kept >= 0);
    assert_true(dup2(file, STDERR_FILENO) >= 0);
    log_event(LOG_WARN, "front", LOG_STR("peer", text), LOG_U64("count", 7));
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    n = pread(file, out, cap - 1, 0);
    close(file);
    close(kept);
    assert_true(n >= 0);
    out[n] = '\0';
    return (size_t)n;
}

static json_t *json_of(const char *text)
{
    char line[4096];
    size_t n = written(text, line, sizeof(line));

    assert_true(n > 0 && line[n - 1] == '\n');
    assert_ptr_equal(strchr(line, '\n'), line + n - 1);
    json_t *o = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    if (o == NULL)
        fail_msg("not JSON: %s", line);
    assert_string_equal(json_string_value(json_object_get(o, "event")), "front");
    assert_string_equal(json_string_value(json_object_get(o, "level")), "warn");
    return o;
}

static void test_json(void **state)
{
    (void)state;
    static const char *const whole[] = {"",
                                        "127.0.0.1:9",
                                        "a\"b\\c",
                                        "x\",\"event\":\"started",
                                        "tab\tand\nline",
                                        "ngư\xe1\xbb\x9di"};

    log_setup("kyso-test", "json", "info");
    for (size_t i = 0; i < ROWS(whole); i++) {
        json_t *o = json_of(whole[i]);
        assert_string_equal(json_string_value(json_object_get(o, "peer")), whole[i]);
        assert_int_equal(json_integer_value(json_object_get(o, "count")), 7);
        json_decref(o);
    }
    /* Latin-1 from a token's label: visible, and the line stays UTF-8. */
    json_t *o = json_of("caf\xe9");
    assert_string_equal(json_string_value(json_object_get(o, "peer")), "caf\xc3\xa9");
    json_decref(o);
}

/* Every length around the line's end, with a text of one, two and six bytes a character. */
static void test_long_texts_are_cut(void **state)
{
    (void)state;
    static const char *const units[] = {"a", "\xc3\xa9", "\x01"};
    char text[2048];

    log_setup("kyso-test", "json", "info");
    for (size_t u = 0; u < ROWS(units); u++) {
        size_t step = strlen(units[u]);
        for (size_t n = 100; n < 1100; n++) {
            for (size_t i = 0; i < n; i++)
                memcpy(text + i * step, units[u], step);
            if ((n + 1) * step > sizeof(text))
                break;
            text[n * step] = '\0';
            json_t *o = json_of(text);
            const char *got = json_string_value(json_object_get(o, "peer"));
            assert_int_equal(strncmp(got, text, strlen(got)), 0);
            json_decref(o);
        }
    }
}

static void test_text_lines(void **state)
{
    (void)state;
    char line[4096];

    log_setup("kyso-test", "text", "warn");
    assert_true(written("x\" event=started\n", line, sizeof(line)) > 0);
    assert_non_null(
        strstr(line, " kyso-test warn front peer=\"x\\\" event=started\\u000a\" count=7\n"));
    log_setup("kyso-test", "text", "error");
    assert_int_equal(written("x", line, sizeof(line)), 0);
}

/* In a build with assertions; what a release writes is still a line. */
static void test_an_unlisted_event_is_noticed(void **state)
{
    (void)state;
#ifndef NDEBUG
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        log_event(LOG_WARN, "made-up", LOG_U64("n", 1));
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
#endif
}

static void test_every_figure_has_its_name(void **state)
{
    (void)state;
    for (int i = 0; i < METRIC_COUNT; i++) {
        const struct metric_info *a = metric_info((enum metric)i);
        assert_true(a->name && a->type && a->help);
        assert_true(strcmp(a->type, "gauge") == 0 || strcmp(a->type, "counter") == 0);
        /* Prometheus' convention: a counter's name ends in _total, and no gauge's does. */
        size_t n = strlen(a->name);
        bool total = n > 6 && strcmp(a->name + n - 6, "_total") == 0;
        assert_int_equal(total, strcmp(a->type, "counter") == 0);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(a->name, metric_info((enum metric)j)->name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_long_texts_are_cut),
        cmocka_unit_test(test_text_lines),
        cmocka_unit_test(test_an_unlisted_event_is_noticed),
        cmocka_unit_test(test_every_figure_has_its_name),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
