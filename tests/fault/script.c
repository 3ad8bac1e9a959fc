/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser of fault scripts: one line, one rule or setting; a table for each kind of word. It
 * refuses what it does not know, because a misspelt fault would let a test pass that tests nothing.
 */
#include "script.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH_OF(a) (sizeof(a) / sizeof((a)[0]))

#define FAULT_NAME(name) #name,
const char *const fn_names[FN_COUNT] = {FAULT_FUNCTIONS(FAULT_NAME)};
#undef FAULT_NAME

const char *const action_names[ACT_COUNT] = {
    [ACT_RETURN] = "return",
    [ACT_AFTER] = "after",
    [ACT_DELAY] = "delay",
    [ACT_THROTTLE] = "throttle",
    [ACT_HANG] = "hang",
    [ACT_CRASH] = "crash",
    [ACT_ABORT] = "abort",
    [ACT_EXIT] = "exit",
    [ACT_FLIP] = "flip",
    [ACT_LENGTH] = "length",
    [ACT_STALE] = "stale",
    [ACT_ALIAS] = "alias",
    [ACT_PERMUTE] = "permute",
    [ACT_FORK] = "fork",
    [ACT_LOSE_SESSION] = "lose-session",
    [ACT_LOSE_SESSIONS] = "lose-sessions",
};

enum argument { ARG_NONE, ARG_NUMBER, ARG_RV };

/* What an action takes, and where it has a meaning: up to two functions, none named for all. */
static const struct action_row {
    enum argument argument;
    long min;
    long max;
    size_t fn_count;
    enum fn fns[2];
} action_rows[ACT_COUNT] = {
    [ACT_RETURN] = {ARG_RV, 0, 0, 0, {0}},
    [ACT_AFTER] = {ARG_RV, 0, 0, 0, {0}},
    [ACT_DELAY] = {ARG_NUMBER, 0, 600000, 0, {0}},
    [ACT_THROTTLE] = {ARG_NUMBER, 1, 1000000, 0, {0}},
    [ACT_EXIT] = {ARG_NUMBER, 0, 255, 0, {0}},
    [ACT_FLIP] = {ARG_NONE, 0, 0, 2, {FN_C_Sign, FN_C_UnwrapKey}},
    [ACT_LENGTH] = {ARG_NUMBER, -1000, 256, 1, {FN_C_Sign}},
    [ACT_STALE] = {ARG_NONE, 0, 0, 1, {FN_C_Sign}},
    [ACT_ALIAS] = {ARG_NONE, 0, 0, 1, {FN_C_SignInit}},
    [ACT_LOSE_SESSION] = {ARG_NONE, 0, 0, 2, {FN_C_SignInit, FN_C_Sign}},
};

#define ROW(rv)                                                                                    \
    {                                                                                              \
#rv, rv                                                                                    \
    }
static const struct {
    const char *name;
    CK_RV rv;
} rv_rows[] = {
    ROW(CKR_OK),
    ROW(CKR_HOST_MEMORY),
    ROW(CKR_GENERAL_ERROR),
    ROW(CKR_FUNCTION_FAILED),
    ROW(CKR_ARGUMENTS_BAD),
    ROW(CKR_DATA_INVALID),
    ROW(CKR_DATA_LEN_RANGE),
    ROW(CKR_DEVICE_ERROR),
    ROW(CKR_DEVICE_MEMORY),
    ROW(CKR_DEVICE_REMOVED),
    ROW(CKR_FUNCTION_CANCELED),
    ROW(CKR_FUNCTION_NOT_SUPPORTED),
    ROW(CKR_KEY_HANDLE_INVALID),
    ROW(CKR_KEY_FUNCTION_NOT_PERMITTED),
    ROW(CKR_MECHANISM_INVALID),
    ROW(CKR_OBJECT_HANDLE_INVALID),
    ROW(CKR_OPERATION_ACTIVE),
    ROW(CKR_OPERATION_NOT_INITIALIZED),
    ROW(CKR_PIN_INCORRECT),
    ROW(CKR_PIN_EXPIRED),
    ROW(CKR_PIN_LOCKED),
    ROW(CKR_SESSION_CLOSED),
    ROW(CKR_SESSION_COUNT),
    ROW(CKR_SESSION_HANDLE_INVALID),
    ROW(CKR_TOKEN_NOT_PRESENT),
    ROW(CKR_TOKEN_NOT_RECOGNIZED),
    ROW(CKR_TOKEN_WRITE_PROTECTED),
    ROW(CKR_USER_NOT_LOGGED_IN),
    ROW(CKR_USER_PIN_NOT_INITIALIZED),
    ROW(CKR_WRAPPED_KEY_INVALID),
    ROW(CKR_CRYPTOKI_NOT_INITIALIZED),
    ROW(CKR_BUFFER_TOO_SMALL),
};

struct words { /* of one line */
    char *save;
    char *first;
};

static char *next_word(struct words *w)
{
    char *word = strtok_r(w->first, " \t\r", &w->save);

    w->first = NULL;
    return word;
}

static bool read_number(const char *text, long min, long max, long *out)
{
    char *rest = NULL;
    long n = text != NULL ? strtol(text, &rest, 10) : 0;

    if (text == NULL || rest == text || *rest != '\0' || n < min || n > max)
        return false;
    *out = n;
    return true;
}

/* N, N.. or N..M */
static bool read_range(char *text, struct range *out)
{
    char *dots = text != NULL ? strstr(text, "..") : NULL;
    long first = 0;
    long last = 0;

    if (dots != NULL)
        *dots = '\0';
    if (!read_number(text, 1, LONG_MAX, &first))
        return false;
    if (dots == NULL)
        last = first;
    else if (dots[2] == '\0')
        last = LONG_MAX;
    else if (!read_number(dots + 2, first, LONG_MAX, &last))
        return false;
    *out = (struct range){.first = (uint64_t)first, .last = (uint64_t)last};
    return true;
}

static bool read_count(const char *text, uint64_t *out)
{
    long n = 0;

    if (!read_number(text, 1, LONG_MAX, &n))
        return false;
    *out = (uint64_t)n;
    return true;
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;

    return at != NULL ? (int)(at - digits) : -1;
}

static bool read_data(const char *text, struct rule *out)
{
    size_t len = text != NULL ? strlen(text) : 0;

    if (len == 0 || len % 2 != 0 || len / 2 > DATA_MAX)
        return false;
    for (size_t i = 0; i < len; i += 2) {
        int high = hex_digit(text[i]);
        int low = hex_digit(text[i + 1]);

        if (high < 0 || low < 0)
            return false;
        out->data[i / 2] = (uint8_t)(high << 4 | low);
    }
    out->data_len = len / 2;
    return true;
}

static bool read_rv(const char *text, CK_RV *out)
{
    char *rest = NULL;

    if (text == NULL)
        return false;
    for (size_t i = 0; i < LENGTH_OF(rv_rows); i++)
        if (strcmp(rv_rows[i].name, text) == 0) {
            *out = rv_rows[i].rv;
            return true;
        }
    if (strncmp(text, "0x", 2) != 0 || text[2] == '\0')
        return false;
    *out = strtoul(text + 2, &rest, 16);
    return *rest == '\0';
}

static size_t find_name(const char *const *names, size_t count, const char *word)
{
    size_t i = 0;

    while (i < count && strcmp(names[i], word) != 0)
        i++;
    return i;
}

/* --- rules ------------------------------------------------------------------------------------ */

/* The words between the function and the action; true: taken. */
static bool read_condition(const char *word, struct words *w, struct rule *r, bool *out_good)
{
    *out_good = true;
    if (strcmp(word, "nth") == 0)
        *out_good = read_range(next_word(w), &r->nth);
    else if (strcmp(word, "total") == 0)
        *out_good = read_range(next_word(w), &r->total);
    else if (strcmp(word, "life") == 0)
        *out_good = read_range(next_word(w), &r->life);
    else if (strcmp(word, "every") == 0)
        *out_good = read_count(next_word(w), &r->every);
    else if (strcmp(word, "times") == 0)
        *out_good = read_count(next_word(w), &r->times);
    else if (strcmp(word, "data") == 0)
        *out_good = r->fn == FN_C_Sign && read_data(next_word(w), r);
    else if (strcmp(word, "unwrapped") == 0)
        *out_good = r->unwrapped = r->fn == FN_C_SignInit || r->fn == FN_C_Sign;
    else
        return false;
    return true;
}

static const char *read_action(const char *word, struct words *w, struct rule *r)
{
    size_t found = find_name(action_names, ACT_COUNT, word);
    const struct action_row *row = found < ACT_COUNT ? &action_rows[found] : NULL;
    bool here = row != NULL && row->fn_count == 0;

    if (row == NULL)
        return "neither a condition nor an action";
    for (size_t i = 0; i < row->fn_count; i++)
        here = here || row->fns[i] == r->fn;
    if (!here)
        return "this action has no meaning for this function";
    r->action = (enum action)found;
    if (row->argument == ARG_NUMBER && !read_number(next_word(w), row->min, row->max, &r->number))
        return "the action's number is missing or out of range";
    if (row->argument == ARG_RV && !read_rv(next_word(w), &r->rv))
        return "no return value of that name; others are written 0x...";
    return NULL;
}

static const char *read_rule(const char *name, struct words *w, struct script *out)
{
    static const struct range any = {.first = 1, .last = LONG_MAX};
    struct rule r = {.nth = any, .total = any, .life = any, .every = 1, .times = LONG_MAX};
    size_t fn = find_name(fn_names, FN_COUNT, name);
    const char *why = NULL;
    char *word = NULL;
    bool good = true;

    if (fn == FN_COUNT)
        return "no function of that name is seen";
    if (out->rule_count == RULES_MAX)
        return "too many rules";
    r.fn = (enum fn)fn;
    while ((word = next_word(w)) != NULL && read_condition(word, w, &r, &good))
        if (!good)
            return "a condition that cannot be read, or has no meaning for this function";
    if (word == NULL)
        return "an action is missing";
    why = read_action(word, w, &r);
    if (why == NULL)
        out->rules[out->rule_count++] = r;
    return why;
}

/* --- settings -------------------------------------------------------------------------------- */

static const char *read_setting(struct words *w, struct settings *out)
{
    const struct {
        const char *name;
        uint32_t *value;
    } numbers[] = {{"sessions", &out->sessions},
                   {"objects", &out->objects},
                   {"pin-tries", &out->pin_tries},
                   {"leak", &out->leak}};
    const char *name = next_word(w);
    const char *value = next_word(w);
    long n = 0;

    if (name == NULL || value == NULL)
        return "a setting has a name and a value";
    if (strcmp(name, "operations") == 0 && strcmp(value, "per-token") == 0) {
        out->operations_per_token = true;
        return NULL;
    }
    if (strcmp(name, "local") == 0 && strcmp(value, "false") == 0) {
        out->not_local = true;
        return NULL;
    }
    if (strcmp(name, "module") == 0 && strlen(value) < sizeof(out->module)) {
        (void)snprintf(out->module, sizeof(out->module), "%s", value);
        return NULL;
    }
    for (size_t i = 0; i < LENGTH_OF(numbers); i++)
        if (strcmp(name, numbers[i].name) == 0 && read_number(value, 1, INT32_MAX, &n)) {
            *numbers[i].value = (uint32_t)n;
            return NULL;
        }
    return "no such setting, or not a value of it";
}

static const char *read_line(char *line, struct script *out)
{
    struct words w = {.first = line};
    const char *why = NULL;
    char *word = NULL;

    line[strcspn(line, "#")] = '\0';
    word = next_word(&w);
    if (word == NULL)
        return NULL;
    why = strcmp(word, "set") == 0 ? read_setting(&w, &out->set) : read_rule(word, &w, out);
    if (why == NULL && next_word(&w) != NULL)
        why = "more words than it takes";
    return why;
}

bool script_parse(const char *text, struct script *out, char *out_why, size_t cap)
{
    struct script made = {.rule_count = 0};
    char *copy = strdup(text);
    const char *why = copy == NULL ? "no memory" : NULL;
    char *next = copy;
    unsigned number = 0;

    while (why == NULL && next != NULL) {
        char *line = strsep(&next, "\n");

        number++;
        why = read_line(line, &made);
    }
    free(copy);
    if (why != NULL) {
        (void)snprintf(out_why, cap, "line %u: %s", number, why);
        return false;
    }
    *out = made;
    return true;
}

static bool in(const struct range *r, uint64_t n)
{
    return n >= r->first && n <= r->last;
}

bool rule_counts(const struct rule *r, uint64_t nth, uint64_t total, uint64_t life)
{
    return in(&r->nth, nth) && in(&r->total, total) && in(&r->life, life) && nth % r->every == 0;
}
