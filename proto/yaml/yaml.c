/* SPDX-License-Identifier: Apache-2.0 */
/* Reading, libcyaml, and what it has to say gathered into one text. Any thread. */
#include "yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kyso/alg.h"

#define FILE_MAX    (64u * 1024u)
#define MESSAGE_MAX 1024u

const cyaml_strval_t ky_yaml_booleans[2] = {{"false", false}, {"true", true}};

struct messages { /* what libcyaml says, gathered into one text */
    char text[MESSAGE_MAX];
    size_t len;
};

__attribute__((format(printf, 3, 0))) static void gather(cyaml_log_t level, void *ctx,
                                                         const char *fmt, va_list args)
{
    struct messages *m = ctx;
    int n;

    if (level < CYAML_LOG_ERROR)
        return;
    n = vsnprintf(m->text + m->len, sizeof(m->text) - m->len, fmt, args);
    if (n > 0)
        m->len += (size_t)n < sizeof(m->text) - m->len ? (size_t)n : sizeof(m->text) - m->len - 1;
}

static cyaml_config_t parser(struct messages *m)
{
    return (cyaml_config_t){
        .log_fn = gather,
        .log_ctx = m,
        .mem_fn = cyaml_mem,
        .log_level = CYAML_LOG_ERROR,
        .flags = CYAML_CFG_NO_ALIAS, /* no entity bombs */
    };
}

static struct ky_status parse(struct ky_span text, const char *what,
                              const cyaml_schema_value_t *schema, void **out, char **out_error)
{
    struct messages m = {.len = 0};
    const cyaml_config_t how = parser(&m);
    cyaml_err_t e = cyaml_load_data(text.data, text.len, &how, schema, out, NULL);

    if (e != CYAML_OK) {
        if (asprintf(out_error, "%s: %s\n%s", what, cyaml_strerror(e), m.text) < 0)
            *out_error = NULL;
        return KY_STATUS(KY_INVALID);
    }
    if (*out == NULL) { /* nothing but comments */
        if (asprintf(out_error, "%s: it is empty", what) < 0)
            *out_error = NULL;
        return KY_STATUS(KY_INVALID);
    }
    return KY_STATUS(KY_OK);
}

struct ky_status ky_yaml_load_fd(int fd, const char *what, const cyaml_schema_value_t *schema,
                                 void **out, uint8_t out_sha256[32], char **out_error)
{
    uint8_t *text = malloc(FILE_MAX + 1);
    size_t len = 0;
    ssize_t n = 1;
    struct ky_status st = KY_STATUS(KY_OK);

    *out_error = NULL;
    *out = NULL;
    if (!text)
        return KY_STATUS(KY_NOMEM);
    /* pread: every role shares the descriptor's offset */
    while (n != 0 && len <= FILE_MAX && ky_ok(st)) {
        n = pread(fd, text + len, FILE_MAX + 1 - len, (off_t)len);
        if (n > 0)
            len += (size_t)n;
        else if (n < 0 && errno != EINTR)
            st = KY_STATUS_CAUSE(KY_IO, errno);
    }
    if (ky_ok(st) && len > FILE_MAX) {
        if (asprintf(out_error, "%s: longer than 64 KiB", what) < 0)
            *out_error = NULL;
        st = KY_STATUS(KY_INVALID);
    }
    if (ky_ok(st))
        st = parse(KY_SPAN(text, len), what, schema, out, out_error);
    if (ky_ok(st))
        ky_sha256(KY_SPAN(text, len), out_sha256);
    free(text);
    return st;
}

struct ky_status ky_yaml_load_file(const char *path, const char *what,
                                   const cyaml_schema_value_t *schema, void **out,
                                   uint8_t out_sha256[32], char **out_error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct ky_status st;

    if (fd < 0) {
        int e = errno;
        if (asprintf(out_error, "%s: cannot open %s: %s", what, path, strerror(e)) < 0)
            *out_error = NULL;
        return KY_STATUS_CAUSE(KY_IO, e);
    }
    st = ky_yaml_load_fd(fd, what, schema, out, out_sha256, out_error);
    close(fd);
    return st;
}

void ky_yaml_free(const cyaml_schema_value_t *schema, void *loaded)
{
    struct messages m = {.len = 0};
    const cyaml_config_t how = parser(&m);

    if (loaded != NULL)
        cyaml_free(&how, schema, loaded, 0);
}
