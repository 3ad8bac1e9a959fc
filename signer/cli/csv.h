/* SPDX-License-Identifier: Apache-2.0 */
/* Comma-separated values (RFC 4180): quoted fields, doubled quotes, LF or CRLF. One thread. */
#ifndef KYSO_CLI_CSV_H
#define KYSO_CLI_CSV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CSV_FIELDS_MAX 32u

struct csv {
    char *at;  /* borrowed: NUL-terminated text, changed while it is read */
    char *end;
    uint32_t line;     /* of the record that csv_next() gave */
    uint32_t lines;    /* read so far */
    const char *wrong; /* what csv_next() met, or NULL */
};

/* text has len bytes and a NUL behind them; a byte order mark is stepped over. */
struct csv csv_open(char *text, size_t len);
/* The next record's fields, pointing into the text; lines that are empty are stepped over. 0: the end, or c->wrong tells. */
size_t csv_next(struct csv *c, char *fields[CSV_FIELDS_MAX]);

#endif
