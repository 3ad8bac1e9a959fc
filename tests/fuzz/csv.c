/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CSV of kyso credential enroll. Input: the file. Fields lie in the text, in order and whole,
 * lines only rise, and nothing hides behind a zero byte; the records written anew, every field in
 * quotes, are the same records.
 */
#include "csv.h"

#include <string.h>

#include "fuzz.h"

static char *copy_of(struct ky_span in)
{
    char *text = malloc(in.len + 1);

    FUZZ_CHECK(text != NULL);
    if (in.len > 0)
        memcpy(text, in.data, in.len);
    text[in.len] = '\0';
    return text;
}

static void write_record(struct ky_buf *out, char *const *fields, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ky_put_u8(out, '"');
        for (const char *at = fields[i]; *at != '\0'; at++)
            ky_buf_put(out, *at == '"' ? "\"\"" : at, *at == '"' ? 2 : 1);
        ky_put_u8(out, '"');
        ky_put_u8(out, i + 1 < n ? ',' : '\n');
    }
}

/* Reads it all and writes it anew. False: it was refused. */
static bool read_all(struct ky_span in, struct ky_buf *out)
{
    char *text = copy_of(in);
    const char *last = text;
    struct csv c = csv_open(text, in.len);
    char *fields[CSV_FIELDS_MAX];
    uint32_t line = 0;
    size_t n;

    while ((n = csv_next(&c, fields)) > 0) {
        FUZZ_CHECK(n <= CSV_FIELDS_MAX && c.wrong == NULL && c.line > line);
        line = c.line;
        for (size_t i = 0; i < n; i++) {
            FUZZ_CHECK(fields[i] >= last && fields[i] + strlen(fields[i]) <= text + in.len);
            last = fields[i] + strlen(fields[i]);
        }
        write_record(out, fields, n);
    }
    FUZZ_CHECK(c.wrong != NULL ? c.at <= text + in.len : c.at == text + in.len);
    bool taken = c.wrong == NULL;
    free(text);
    return taken;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ky_buf once = KY_BUF_INIT(4 * size + 16), twice = KY_BUF_INIT(4 * size + 16);

    if (read_all(KY_SPAN(data, size), &once)) {
        FUZZ_CHECK(size == 0 || memchr(data, '\0', size) == NULL);
        FUZZ_CHECK(read_all(ky_buf_span(&once), &twice));
        FUZZ_CHECK(!once.failed && !twice.failed);
        FUZZ_CHECK(ky_span_eq(ky_buf_span(&once), ky_buf_span(&twice)));
    }
    ky_buf_free(&once);
    ky_buf_free(&twice);
    return 0;
}
