/* SPDX-License-Identifier: Apache-2.0 */
/* The page: three files, read at start and served from memory. Nothing that a request says becomes a file's name. */
#include "approve.h"

#include <stdio.h>
#include <string.h>

#define FILE_MAX_BYTES (256u * 1024u)

static const struct {
    const char *path, *file, *type;
} files[PAGE_FILES] = {
    {"/", "index.html", "text/html; charset=utf-8"},
    {"/page.css", "page.css", "text/css; charset=utf-8"},
    {"/page.js", "page.js", "text/javascript; charset=utf-8"},
};

static bool read_file(const char *path, struct ky_buf *out)
{
    FILE *f = fopen(path, "rbe");
    char chunk[4096];
    size_t n;

    if (f == NULL)
        return false;
    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
        ky_buf_put(out, chunk, n);
    bool ok = ferror(f) == 0 && !out->failed;
    (void)fclose(f);
    return ok;
}

struct ky_status page_load(struct approve *a, char *why)
{
    for (size_t i = 0; i < PAGE_FILES; i++) {
        char path[1024];

        (void)snprintf(path, sizeof(path), "%s/%s", a->config->pages, files[i].file);
        a->pages[i] = KY_BUF_INIT(FILE_MAX_BYTES);
        if (!read_file(path, &a->pages[i])) {
            (void)snprintf(why, CLIENT_TEXT_MAX, "cannot read %.200s", path);
            return KY_STATUS(KY_IO);
        }
    }
    return KY_STATUS(KY_OK);
}

void page_free(struct approve *a)
{
    for (size_t i = 0; i < PAGE_FILES; i++)
        ky_buf_free(&a->pages[i]);
}

void page_serve(void *arg, struct http_call *call)
{
    struct approve *a = arg;

    for (size_t i = 0; i < PAGE_FILES; i++)
        if (ky_span_eq(http_path(call), ky_span_text(files[i].path)))
            http_reply(call, 200, files[i].type, ky_buf_span(&a->pages[i]));
}
