/* SPDX-License-Identifier: Apache-2.0 */
/* See head.h. A cursor over the bytes; every helper leaves it after what it took, or says that nothing fits. */
#include "head.h"

#include <string.h>

#define METHOD_MAX 16u
#define TARGET_MAX 2048u
#define LENGTH_MAX 10u /* digits: more than any body that is taken */

bool http_same_name(struct ky_span a, const char *b)
{
    if (a.len != strlen(b))
        return false;
    for (size_t i = 0; i < a.len; i++) {
        uint8_t x = a.data[i], y = (uint8_t)b[i];

        x = x >= 'A' && x <= 'Z' ? (uint8_t)(x + 32) : x;
        y = y >= 'A' && y <= 'Z' ? (uint8_t)(y + 32) : y;
        if (x != y)
            return false;
    }
    return true;
}

static bool is_alnum(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_one_of(uint8_t c, const char *set)
{
    return c != 0 && strchr(set, c) != NULL;
}

static bool is_token(struct ky_span s) /* RFC 9110 s.5.6.2 */
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_alnum(s.data[i]) && !is_one_of(s.data[i], "!#$%&'*+-.^_`|~"))
            return false;
    return s.len > 0;
}

/* The bytes up to `end`, which is taken too; false when it does not come. */
static bool take_until(struct ky_span *in, uint8_t end, struct ky_span *out)
{
    const uint8_t *at = in->len > 0 ? memchr(in->data, end, in->len) : NULL;

    if (at == NULL)
        return false;
    *out = KY_SPAN(in->data, (size_t)(at - in->data));
    *in = KY_SPAN(at + 1, in->len - out->len - 1);
    return true;
}

/* One line; a CR or LF that is not part of the line's end is no line. */
static bool take_line(struct ky_span *in, struct ky_span *out)
{
    if (!take_until(in, '\r', out) || in->len == 0 || in->data[0] != '\n')
        return false;
    *in = KY_SPAN(in->data + 1, in->len - 1);
    return out->len == 0 || memchr(out->data, '\n', out->len) == NULL;
}

static int parse_target(struct ky_span target, struct http_head *h)
{
    if (target.len > TARGET_MAX)
        return 414;
    if (!take_until(&target, '?', &h->path)) {
        h->path = target;
        target.len = 0;
    }
    h->query = target;
    if (h->path.len == 0 || h->path.data[0] != '/')
        return 400;
    for (size_t i = 1; i < h->path.len; i++) {
        uint8_t c = h->path.data[i];
        /* an empty segment, or one that begins with a dot, is how paths are dressed up */
        if ((c == '/' || c == '.') ? h->path.data[i - 1] == '/'
                                   : !is_alnum(c) && !is_one_of(c, "-_~!$&'()*+,;=:@"))
            return 400;
    }
    for (size_t i = 0; i < h->query.len; i++)
        if (h->query.data[i] <= ' ' || h->query.data[i] >= 0x7f || h->query.data[i] == '#')
            return 400;
    return 0;
}

static int parse_request_line(struct ky_span line, struct http_head *h)
{
    struct ky_span target;

    if (!take_until(&line, ' ', &h->method) || !take_until(&line, ' ', &target) ||
        h->method.len > METHOD_MAX || !is_token(h->method))
        return 400;
    int status = parse_target(target, h);
    if (status != 0)
        return status;
    h->keep_alive = ky_span_eq(line, ky_span_text("HTTP/1.1"));
    if (h->keep_alive || ky_span_eq(line, ky_span_text("HTTP/1.0")))
        return 0;
    return line.len == 8 && ky_span_eq(KY_SPAN(line.data, 5), ky_span_text("HTTP/")) ? 505 : 400;
}

static struct ky_span trimmed(struct ky_span s)
{
    while (s.len > 0 && is_one_of(s.data[0], " \t"))
        s = KY_SPAN(s.data + 1, s.len - 1);
    while (s.len > 0 && is_one_of(s.data[s.len - 1], " \t"))
        s.len--;
    return s;
}

static int parse_field(struct ky_span line, struct http_head *h)
{
    struct http_field f;

    if (!take_until(&line, ':', &f.name) || !is_token(f.name)) /* a folded line begins with a blank */
        return 400;
    f.value = trimmed(line);
    for (size_t i = 0; i < f.value.len; i++)
        if ((f.value.data[i] < ' ' && f.value.data[i] != '\t') || f.value.data[i] == 0x7f)
            return 400;
    if (h->field_count == HTTP_HEADERS_MAX)
        return 431;
    h->fields[h->field_count++] = f;
    return 0;
}

static bool parse_length(struct ky_span value, uint64_t *out)
{
    uint64_t n = 0;

    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(value.data[i] - '0');
    }
    *out = n;
    return value.len > 0 && value.len <= LENGTH_MAX;
}

/* What the fields mean for the message's form. */
static int weigh_fields(struct http_head *h)
{
    bool is_11 = h->keep_alive;
    unsigned hosts = 0, lengths = 0;

    for (size_t i = 0; i < h->field_count; i++) {
        const struct http_field *f = &h->fields[i];

        if (http_same_name(f->name, "transfer-encoding"))
            return 501;
        if (http_same_name(f->name, "content-length") &&
            (lengths++ > 0 || !parse_length(f->value, &h->content_length)))
            return 400;
        if (http_same_name(f->name, "host"))
            hosts++;
        if (http_same_name(f->name, "connection") && !http_same_name(f->value, "keep-alive"))
            h->keep_alive = false; /* "close", or something of which we know nothing */
        if (http_same_name(f->name, "expect")) {
            if (!http_same_name(f->value, "100-continue"))
                return 417;
            h->expects_continue = true;
        }
    }
    return hosts == 1 || (hosts == 0 && !is_11) ? 0 : 400;
}

int http_head_parse(struct ky_span bytes, struct http_head *out)
{
    struct ky_span line;
    int status;

    *out = (struct http_head){0};
    if (bytes.len > HTTP_HEAD_MAX)
        return 431;
    if (!take_line(&bytes, &line))
        return 400;
    status = parse_request_line(line, out);
    while (status == 0) {
        if (!take_line(&bytes, &line))
            return 400;
        if (line.len == 0)
            break;
        status = parse_field(line, out);
    }
    if (status == 0 && bytes.len > 0)
        return 400;
    return status != 0 ? status : weigh_fields(out);
}
