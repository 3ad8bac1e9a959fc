/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request's meaning and its answer: routes, fields, cookies, JSON; the status line and the headers that every answer has.
 * Keeps: an answer is written once, and none is cached, framed, sniffed or referred from unless its handler says so.
 */
#include "http_private.h"

#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JSON_DEPTH_MAX 16

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {200, "OK"},
    {202, "Accepted"},
    {204, "No Content"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

static const char *reason_of(int status)
{
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Other";
}

/* --- the request ----------------------------------------------------------------------------------- */

struct ky_span http_header(const struct http_call *c, const char *name)
{
    for (size_t i = 0; i < c->head.field_count; i++)
        if (http_same_name(c->head.fields[i].name, name))
            return c->head.fields[i].value;
    return KY_SPAN(NULL, 0);
}

struct ky_span http_cookie(const struct http_call *c, const char *name)
{
    struct ky_span all = http_header(c, "cookie");
    size_t n = strlen(name);

    while (all.len > 0) {
        const uint8_t *end = memchr(all.data, ';', all.len);
        size_t len = end != NULL ? (size_t)(end - all.data) : all.len;

        if (len > n && all.data[n] == '=' &&
            ky_span_eq(KY_SPAN(all.data, n), KY_SPAN((const uint8_t *)name, n)))
            return KY_SPAN(all.data + n + 1, len - n - 1);
        len += end != NULL;
        all = KY_SPAN(all.data + len, all.len - len);
        if (all.len > 0 && all.data[0] == ' ')
            all = KY_SPAN(all.data + 1, all.len - 1);
    }
    return KY_SPAN(NULL, 0);
}

struct ky_span http_path(const struct http_call *c)
{
    return c->head.path;
}

struct ky_span http_wildcard(const struct http_call *c, size_t i)
{
    return i < HTTP_WILDCARDS_MAX ? c->wildcards[i] : KY_SPAN(NULL, 0);
}

struct ky_span http_body(const struct http_call *c)
{
    return ky_buf_span(&c->body);
}

/* jansson goes down as deep as the text nests. */
static bool is_shallow(struct ky_span text)
{
    int depth = 0;
    bool quoted = false;

    for (size_t i = 0; i < text.len; i++) {
        uint8_t ch = text.data[i];

        if (quoted && ch == '\\')
            i++;
        else if (ch == '"')
            quoted = !quoted;
        else if (!quoted && (ch == '[' || ch == '{') && ++depth > JSON_DEPTH_MAX)
            return false;
        else if (!quoted && (ch == ']' || ch == '}'))
            depth--;
    }
    return true;
}

json_t *http_json(struct http_call *c)
{
    static const char type[] = "application/json";
    struct ky_span given = http_header(c, "content-type"), body = http_body(c);
    const uint8_t *parameters = given.len > 0 ? memchr(given.data, ';', given.len) : NULL;
    json_error_t error;

    if (parameters != NULL)
        given.len = (size_t)(parameters - given.data);
    while (given.len > 0 && given.data[given.len - 1] == ' ')
        given.len--;
    if (!http_same_name(given, type)) {
        http_refuse(c, 415, "the body must be application/json");
        return NULL;
    }
    if (c->json == NULL && is_shallow(body))
        c->json = json_loadb((const char *)body.data, body.len, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(c->json)) {
        http_refuse(c, 400, "the body is not a JSON object");
        return NULL;
    }
    return c->json;
}

/* --- routes ------------------------------------------------------------------------------------------ */

static bool path_matches(struct http_call *c, const char *pattern)
{
    struct ky_span path = c->head.path;
    size_t wild = 0;

    while (*pattern != '\0') {
        if (*pattern == '*' && wild < HTTP_WILDCARDS_MAX) {
            const uint8_t *end = path.len > 0 ? memchr(path.data, '/', path.len) : NULL;
            size_t len = end != NULL ? (size_t)(end - path.data) : path.len;

            if (len == 0)
                return false;
            c->wildcards[wild++] = KY_SPAN(path.data, len);
            path = KY_SPAN(path.data + len, path.len - len);
            pattern++;
        } else if (path.len > 0 && path.data[0] == (uint8_t)*pattern) {
            path = KY_SPAN(path.data + 1, path.len - 1);
            pattern++;
        } else {
            return false;
        }
    }
    return path.len == 0;
}

void http_dispatch(struct http_call *c)
{
    const struct http_settings *s = &c->server->settings;
    const char *other = NULL;

    c->head_only = ky_span_eq(c->head.method, ky_span_text("HEAD"));
    struct ky_span method = c->head_only ? ky_span_text("GET") : c->head.method;
    for (size_t i = 0; i < s->route_count; i++) {
        if (!path_matches(c, s->routes[i].path))
            continue;
        if (ky_span_eq(method, ky_span_text(s->routes[i].method))) {
            s->routes[i].handle(s->arg, c);
            return;
        }
        other = s->routes[i].method;
    }
    if (other != NULL)
        http_set_header(c, "Allow", other);
    http_refuse(c, other != NULL ? 405 : 404,
                other != NULL ? "this path takes another method" : "there is nothing at this path");
}

/* --- the answer ---------------------------------------------------------------------------------------- */

void http_set_header(struct http_call *c, const char *name, const char *value)
{
    ky_buf_put(&c->more, name, strlen(name));
    ky_buf_put(&c->more, ": ", 2);
    ky_buf_put(&c->more, value, strlen(value));
    ky_buf_put(&c->more, "\r\n", 2);
}

void http_reply(struct http_call *c, int status, const char *type, struct ky_span body)
{
    const struct http_settings *s = &c->server->settings;
    struct evbuffer *out;

    c->ends = c->ends || c->server->stopping || c->more.failed || !c->head.keep_alive;
    if (c->gone) {
        http_answered(c);
        return;
    }
    out = bufferevent_get_output(c->bev);
    (void)evbuffer_add_printf(
        out,
        "HTTP/1.1 %d %s\r\n"
        "Content-Type: %s\r\n"
        "Content-Length: %zu\r\n"
        "Content-Security-Policy: %s\r\n"
        "Cache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        "Referrer-Policy: no-referrer\r\n"
        "Cross-Origin-Resource-Policy: same-origin\r\n"
        "%s%s",
        status, reason_of(status), type, body.len,
        s->content_policy != NULL ? s->content_policy : "default-src 'none'; frame-ancestors 'none'",
        s->certificate != NULL ? "Strict-Transport-Security: max-age=31536000\r\n" : "",
        c->ends ? "Connection: close\r\n" : "");
    (void)evbuffer_add(out, c->more.data, c->more.failed ? 0 : c->more.len);
    (void)evbuffer_add(out, "\r\n", 2);
    if (!c->head_only)
        (void)evbuffer_add(out, body.data, body.len);
    http_answered(c);
}

void http_reply_json(struct http_call *c, int status, json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT);

    json_decref(body);
    if (text == NULL)
        http_reply(c, 500, "application/json", ky_span_text("{}"));
    else
        http_reply(c, status, "application/json", ky_span_text(text));
    free(text);
}

void http_refuse(struct http_call *c, int status, const char *why)
{
    const struct http_settings *s = &c->server->settings;

    if (s->refuse != NULL)
        s->refuse(s->arg, c, status, why);
    else
        http_reply_json(c, status, json_pack("{s:s}", "error", why));
}
