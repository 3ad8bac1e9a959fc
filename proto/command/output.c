/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What people and programs read: results as aligned text or one JSON object, errors as one line
 * and the next step. Bytes from elsewhere never reach a terminal as control codes.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "command.h"

static const char *exit_names[] = {"ok", "failed", "usage", "unreachable",
                                   "unverified", "no-token", "token-full"};

bool output_is_terminal(const struct cli *cli)
{
    return !cli->json && isatty(fileno(cli->out)) == 1;
}

void output_clean(FILE *out, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++)
        (void)fputc(*p < 0x20 || *p == 0x7f ? '?' : *p, out);
}

int cli_fail(struct cli *cli, int code, const char *next, const char *format, ...)
{
    char line[768];
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    for (char *p = line; *p != '\0'; p++) /* one line, whatever a library said */
        if (*p == '\n')
            *p = p[1] == '\0' ? '\0' : ' ';
    if (cli->json) {
        json_t *e = json_pack("{s:{s:s,s:s*,s:s*}}", "error", "kind", exit_names[code], "message",
                              line, "next", next);

        if (e != NULL)
            (void)json_dumpf(e, cli->out, JSON_INDENT(2));
        (void)fputc('\n', cli->out);
        json_decref(e);
        return code;
    }
    (void)fprintf(cli->err, "%s: ", cli->program->name);
    output_clean(cli->err, line);
    if (next != NULL)
        (void)fprintf(cli->err, "; %s", next);
    (void)fputc('\n', cli->err);
    return code;
}

void cli_say(struct cli *cli, const char *format, ...)
{
    char line[1024];
    va_list ap;

    if (cli->json)
        return;
    va_start(ap, format);
    (void)vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    output_clean(cli->err, line);
    (void)fputc('\n', cli->err);
}

static void print_json(struct cli *cli, const json_t *v)
{
    (void)json_dumpf(v, cli->out, JSON_INDENT(2) | JSON_ENCODE_ANY);
    (void)fputc('\n', cli->out);
}

/* A value on one line; arrays of scalars with commas. */
static void print_value(FILE *out, const json_t *v)
{
    size_t i;
    json_t *item;

    switch (json_typeof(v)) {
    case JSON_STRING:
        output_clean(out, json_string_value(v));
        break;
    case JSON_INTEGER:
        (void)fprintf(out, "%lld", (long long)json_integer_value(v));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        (void)fputs(json_is_true(v) ? "yes" : "no", out);
        break;
    case JSON_ARRAY:
        json_array_foreach(v, i, item)
        {
            (void)fputs(i > 0 ? ", " : "", out);
            print_value(out, item);
        }
        if (json_array_size(v) == 0)
            (void)fputc('-', out);
        break;
    case JSON_OBJECT: {
        char *text = json_dumps(v, JSON_COMPACT);

        output_clean(out, text != NULL ? text : "{}");
        free(text);
        break;
    }
    default:
        (void)fputc('-', out);
    }
}

/* Columns, not bytes: names may be in Vietnamese. */
static int width_of(const char *text)
{
    int n = 0;

    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++)
        n += (*p & 0xc0) != 0x80;
    return n;
}

static void print_fields(struct cli *cli, const json_t *object)
{
    const char *key;
    json_t *v;
    int widest = 0;

    json_object_foreach((json_t *)(uintptr_t)object, key, v)
    {
        if (width_of(key) > widest)
            widest = width_of(key);
    }
    json_object_foreach((json_t *)(uintptr_t)object, key, v)
    {
        if (strcmp(key, "message") == 0 || json_is_null(v))
            continue;
        (void)fprintf(cli->out, "  %-*s  ", widest, key);
        print_value(cli->out, v);
        (void)fputc('\n', cli->out);
    }
}

void output_object(struct cli *cli, json_t *object)
{
    if (cli->json) {
        print_json(cli, object);
    } else {
        const char *message = json_string_value(json_object_get(object, "message"));

        if (message != NULL) {
            output_clean(cli->out, message);
            (void)fputc('\n', cli->out);
        }
        print_fields(cli, object);
    }
    json_decref(object);
}

static char *cell_text(const json_t *row, const char *key)
{
    char *text = NULL;
    size_t n = 0;
    const json_t *v = json_object_get(row, key);
    FILE *f = open_memstream(&text, &n);

    if (f == NULL)
        return NULL;
    if (v != NULL)
        print_value(f, v);
    (void)fclose(f);
    return text;
}

static void print_cell(struct cli *cli, const char *text, int width, bool last)
{
    (void)fputs(text, cli->out);
    for (int pad = width - width_of(text); !last && pad > -2; pad--)
        (void)fputc(' ', cli->out);
    if (last)
        (void)fputc('\n', cli->out);
}

#define COLUMNS_MAX 16

static void print_rows(struct cli *cli, const json_t *rows, const struct output_column *columns)
{
    int width[COLUMNS_MAX] = {0};
    size_t n = 0;
    size_t i;
    json_t *row;

    for (; n < COLUMNS_MAX && columns[n].key != NULL; n++)
        width[n] = width_of(columns[n].title);
    json_array_foreach(rows, i, row)
    {
        for (size_t k = 0; k < n; k++) {
            char *text = cell_text(row, columns[k].key);

            if (text != NULL && width_of(text) > width[k])
                width[k] = width_of(text);
            free(text);
        }
    }
    for (size_t k = 0; k < n; k++)
        print_cell(cli, columns[k].title, width[k], k + 1 == n);
    json_array_foreach(rows, i, row)
    {
        for (size_t k = 0; k < n; k++) {
            char *text = cell_text(row, columns[k].key);

            print_cell(cli, text != NULL ? text : "", width[k], k + 1 == n);
            free(text);
        }
    }
}

void output_table(struct cli *cli, const char *name, json_t *rows,
                  const struct output_column *columns)
{
    if (cli->json) {
        json_t *o = json_pack("{s:O}", name, rows);

        print_json(cli, o);
        json_decref(o);
    } else if (json_array_size(rows) == 0) {
        (void)fprintf(cli->out, "no %s\n", name);
    } else {
        print_rows(cli, rows, columns);
    }
    json_decref(rows);
}

json_t *output_hex(struct ky_span bytes)
{
    static const char digits[] = "0123456789abcdef";
    char *text = malloc(bytes.len * 2 + 1);
    json_t *v;

    if (text == NULL)
        return json_null();
    for (size_t i = 0; i < bytes.len; i++) {
        text[2 * i] = digits[bytes.data[i] >> 4];
        text[2 * i + 1] = digits[bytes.data[i] & 15];
    }
    v = json_stringn(text, bytes.len * 2);
    free(text);
    return v;
}

json_t *output_base64(struct ky_span bytes)
{
    unsigned char *text = malloc((bytes.len + 2) / 3 * 4 + 1);
    json_t *v;

    if (text == NULL)
        return json_null();
    text[0] = '\0';
    if (bytes.len > 0)
        (void)EVP_EncodeBlock(text, bytes.data, (int)bytes.len);
    v = json_string((const char *)text);
    free(text);
    return v;
}

char *output_time(int64_t seconds, char out[32])
{
    time_t t = (time_t)seconds;
    struct tm tm;

    if (gmtime_r(&t, &tm) == NULL || strftime(out, 32, "%Y-%m-%d %H:%M:%SZ", &tm) == 0)
        (void)snprintf(out, 32, "-");
    return out;
}
