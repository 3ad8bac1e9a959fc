/* SPDX-License-Identifier: Apache-2.0 */
/* A quoted field is moved together in place: text never grows, so nothing is allocated. */
#include "csv.h"

#include <string.h>

struct csv csv_open(char *text, size_t len)
{
    bool marked = len >= 3 && strncmp(text, "\xef\xbb\xbf", 3) == 0;

    return (struct csv){.at = text + (marked ? 3 : 0), .end = text + len};
}

/* From behind the opening quote to behind the closing one. */
static char *take_quoted(struct csv *c)
{
    char *to = c->at;

    for (;; c->at++) {
        if (c->at == c->end) {
            c->wrong = "a quote is not closed";
            return c->at;
        }
        if (*c->at == '"' && *++c->at != '"')
            return to;
        if (*c->at == '\0')
            c->wrong = "a zero byte";
        c->lines += *c->at == '\n';
        *to++ = *c->at;
    }
}

static char *take_plain(struct csv *c)
{
    while (c->at < c->end && *c->at != ',' && *c->at != '\n' && *c->at != '\r') {
        if (*c->at == '"')
            c->wrong = "a quote inside a field: quote the whole field, and double its quotes";
        if (*c->at == '\0')
            c->wrong = "a zero byte";
        c->at++;
    }
    return c->at;
}

/* Ends the field at `stop`, which may be where the separator stands. True: another follows on the line. */
static bool end_field(struct csv *c, char *stop)
{
    char separator = c->at < c->end ? *c->at : '\n';

    if (separator == '\r' && c->at + 1 < c->end && c->at[1] == '\n')
        separator = *++c->at;
    if (separator != ',' && separator != '\n')
        c->wrong = "something stands behind a closing quote";
    *stop = '\0';
    c->lines += separator == '\n';
    c->at += c->at < c->end;
    return separator == ',' && c->wrong == NULL;
}

size_t csv_next(struct csv *c, char *fields[CSV_FIELDS_MAX])
{
    size_t n = 0;
    bool more = true;

    while (c->at < c->end && (*c->at == '\n' || *c->at == '\r'))
        c->lines += *c->at++ == '\n';
    c->line = c->lines + 1;
    if (c->at >= c->end)
        return 0;
    while (more) {
        if (n == CSV_FIELDS_MAX) {
            c->wrong = "too many fields";
            break;
        }
        bool quoted = c->at < c->end && *c->at == '"';

        c->at += quoted;
        fields[n++] = c->at;
        more = end_field(c, quoted ? take_quoted(c) : take_plain(c));
    }
    return c->wrong == NULL ? n : 0;
}
