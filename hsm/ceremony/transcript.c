/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chain. A line is hashed as the bytes that stand in the file, without its line feed. A signed
 * line ends with ,"signature":"..."} and the signature is over everything of it before that, so that no
 * bit of the file is outside of a hash or a signature.
 */
#include "transcript.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "kyso/alg.h"

enum { FILE_MAX = 16 * 1024 * 1024, SIGNATURE_LEN = 64 };
static const char signature_key[] = ",\"signature\":\"";
static const char signature_tag[] = "kyso ceremony transcript signature v1";

bool transcript_unhex(const json_t *text, uint8_t *out, size_t cap)
{
    const char *s = json_string_value(text);

    return s != NULL && strlen(s) == cap * 2 && strspn(s, "0123456789abcdef") == cap * 2 &&
           cli_hex(s, out, cap) == (int)cap;
}

static void signed_digest(struct ky_span head, uint8_t out[32])
{
    uint8_t in[sizeof(signature_tag) + 32];

    memcpy(in, signature_tag, sizeof(signature_tag));
    ky_sha256(head, in + sizeof(signature_tag));
    ky_sha256(KY_SPAN_OF(in), out);
}

/* --- reading ---------------------------------------------------------------------------------- */

struct reader {
    transcript_visit visit;
    void *context;
    struct transcript t;
    const char *error;
};

/* The signature of a signed line, in canonical hex to the last quote and brace. */
static bool take_signature(struct ky_span line, const json_t *fields, struct transcript_sums *sums,
                           uint8_t signature[SIGNATURE_LEN])
{
    const size_t tail = sizeof(signature_key) - 1 + 2 * SIGNATURE_LEN + 2;

    if (line.len <= tail ||
        !ky_span_eq(KY_SPAN(line.data + line.len - tail, sizeof(signature_key) - 1),
                    ky_span_text(signature_key)) ||
        !ky_span_eq(KY_SPAN(line.data + line.len - 2, 2), ky_span_text("\"}")) ||
        !transcript_unhex(json_object_get(fields, "signature"), signature, SIGNATURE_LEN))
        return false;
    signed_digest(KY_SPAN(line.data, line.len - tail), sums->signed_sha256);
    sums->signature = KY_SPAN(signature, SIGNATURE_LEN);
    return true;
}

static const char *read_line(struct reader *r, struct ky_span file, struct ky_span line)
{
    struct transcript_sums sums = {.line = ++r->t.lines};
    uint8_t signature[SIGNATURE_LEN];
    uint8_t prev[32];
    json_t *fields = json_loadb((const char *)line.data, line.len, JSON_REJECT_DUPLICATES, NULL);
    const char *no = NULL;

    if (!json_is_object(fields))
        no = "is no JSON object";
    else if (json_integer_value(json_object_get(fields, "n")) != (json_int_t)r->t.lines)
        no = "has another number than its place: a line was dropped, added or moved";
    else if (!transcript_unhex(json_object_get(fields, "prev"), prev, sizeof(prev)) ||
             !ky_span_eq(KY_SPAN_OF(prev), KY_SPAN_OF(r->t.head)))
        no = "does not follow from the line before: one of the two was changed";
    sums.is_signed = no == NULL && json_object_get(fields, "signature") != NULL;
    if (sums.is_signed && !take_signature(line, fields, &sums, signature))
        no = "has a signature of another form";
    if (sums.is_signed)
        ky_sha256(KY_SPAN(file.data, (size_t)(line.data - file.data) + line.len + 1),
                  sums.file_sha256);
    if (no == NULL)
        no = r->visit(r->context, fields, &sums);
    ky_sha256(line, r->t.head);
    r->t.ends_signed = sums.is_signed;
    json_decref(fields);
    return no;
}

struct ky_status transcript_parse(struct ky_span file, bool allow_cut, transcript_visit visit,
                                  void *context, struct transcript *out, const char **out_error)
{
    struct reader r = {.visit = visit, .context = context, .t = {.fd = -1}};
    struct ky_span left = file;

    while (left.len > 0 && r.error == NULL) {
        const uint8_t *end = memchr(left.data, '\n', left.len);
        size_t len = end != NULL ? (size_t)(end - left.data) : left.len;

        if (end == NULL) {
            r.t.cut = allow_cut;
            r.error = allow_cut ? NULL : "the last line has no end";
            break;
        }
        r.error = read_line(&r, file, KY_SPAN(left.data, len));
        left = KY_SPAN(end + 1, left.len - len - 1);
    }
    *out_error = r.error;
    *out = r.t;
    return r.error != NULL ? KY_STATUS_CAUSE(KY_CORRUPT, r.t.lines) : KY_STATUS(KY_OK);
}

struct ky_status transcript_read(const char *path, bool allow_cut, transcript_visit visit,
                                 void *context, struct transcript *out, const char **out_error)
{
    struct ky_buf file = KY_BUF_INIT(FILE_MAX);
    struct ky_status st = file_read(path, FILE_MAX, &file);

    *out_error = NULL;
    if (ky_ok(st))
        st = transcript_parse(ky_buf_span(&file), allow_cut, visit, context, out, out_error);
    while (ky_ok(st) && out->cut && file.len > 0 && file.data[file.len - 1] != '\n')
        file.len--;
    if (ky_ok(st) && out->cut && truncate(path, (off_t)file.len) != 0)
        st = KY_STATUS_CAUSE(KY_IO, errno);
    ky_buf_free(&file);
    return st;
}

/* --- writing ---------------------------------------------------------------------------------- */

struct ky_status transcript_open(const char *path, struct transcript *t)
{
    t->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    return t->fd >= 0 ? KY_STATUS(KY_OK) : KY_STATUS_CAUSE(KY_IO, errno);
}

void transcript_close(struct transcript *t)
{
    if (t->fd >= 0)
        (void)close(t->fd);
    t->fd = -1;
}

static json_t *line_new(const struct transcript *t, json_t *fields)
{
    json_t *line = json_object();
    time_t now = time(NULL);
    char text[32];

    (void)json_object_set_new(line, "n", json_integer((json_int_t)t->lines + 1));
    (void)json_object_set_new(line, "time", json_string(output_time(now, text)));
    (void)json_object_set_new(line, "prev", output_hex(KY_SPAN_OF(t->head)));
    if (line != NULL && json_object_update(line, fields) != 0) {
        json_decref(line);
        line = NULL;
    }
    return line;
}

static struct ky_status append_signature(struct ky_buf *line, transcript_signer sign, void *context)
{
    uint8_t digest[32];
    uint8_t sig[SIGNATURE_LEN];
    char hex[3];
    struct ky_status st;

    line->len--; /* the closing brace */
    signed_digest(ky_buf_span(line), digest);
    st = sign(context, digest, sig);
    if (!ky_ok(st))
        return st;
    ky_buf_put(line, signature_key, sizeof(signature_key) - 1);
    for (size_t i = 0; i < sizeof(sig); i++) {
        (void)snprintf(hex, sizeof(hex), "%02x", sig[i]);
        ky_buf_put(line, hex, 2);
    }
    ky_buf_put(line, "\"}", 2);
    return st;
}

static struct ky_status write_synced(int fd, struct ky_span bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.data, bytes.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return KY_STATUS_CAUSE(KY_IO, errno);
        bytes = KY_SPAN(bytes.data + n, bytes.len - (size_t)n);
    }
    return fsync(fd) == 0 ? KY_STATUS(KY_OK) : KY_STATUS_CAUSE(KY_IO, errno);
}

struct ky_status transcript_add(struct transcript *t, json_t *fields, transcript_signer sign,
                                void *context)
{
    json_t *object = line_new(t, fields);
    char *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    struct ky_buf line = KY_BUF_INIT(FILE_MAX);
    struct ky_status st = KY_STATUS(KY_NOMEM);

    if (text == NULL)
        goto done;
    ky_buf_put(&line, text, strlen(text));
    st = sign != NULL ? append_signature(&line, sign, context) : KY_STATUS(KY_OK);
    ky_buf_put(&line, "\n", 1);
    if (ky_ok(st))
        st = line.failed ? KY_STATUS(KY_NOMEM) : write_synced(t->fd, ky_buf_span(&line));
    if (!ky_ok(st))
        goto done;
    t->lines++;
    ky_sha256(KY_SPAN(line.data, line.len - 1), t->head);
    t->ends_signed = sign != NULL;
done:
    ky_buf_free(&line);
    free(text);
    json_decref(object);
    json_decref(fields);
    return st;
}
