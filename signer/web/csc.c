/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of methods, the way of a request into its method and out again, and what all methods ask of a
 * request: who calls, parameters, errors. The loop's thread.
 */
#include "csc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "kyso/secret.h"

#define V1 2u /* 1 << version */
#define V2 4u

const struct csc_method csc_methods[] = {
    {"info", V1 | V2, true, csc_info},
    {"auth/login", V1 | V2, true, csc_auth_login},
    {"auth/revoke", V1 | V2, false, csc_auth_revoke},
    {"credentials/list", V1 | V2, false, csc_credentials_list},
    {"credentials/info", V1 | V2, false, csc_credentials_info},
    {"credentials/authorize", V1 | V2, false, csc_credentials_authorize},
    {"credentials/authorizeCheck", V1 | V2, false, csc_credentials_authorize_check},
    {"credentials/getChallenge", V2, false, csc_credentials_get_challenge},
    {"credentials/extendTransaction", V1 | V2, false, csc_credentials_extend},
    {"signatures/signHash", V1 | V2, false, csc_sign_hash},
    {"signatures/signPolling", V2, false, csc_sign_polling},
    {"credentials/sendOTP", V1 | V2, true, NULL},
    {"signatures/signDoc", V2, true, NULL},
    {"signatures/timestamp", V1 | V2, true, NULL},
};
const size_t csc_method_count = sizeof(csc_methods) / sizeof(csc_methods[0]);

/* --- answers -------------------------------------------------------------------------------------- */

static void call_free(struct csc_call *c)
{
    if (c->grant != NULL)
        ky_wipe(c->grant->sad, sizeof(c->grant->sad));
    free(c->grant);
    free(c);
}

static json_t *error_json(const char *error, const char *text)
{
    return json_pack("{s:s,s:s}", "error", error, "error_description", text);
}

/* The HTTP answer has gone out already: this one is asked for by signPolling. */
static void keep(struct csc_call *c, int status, json_t *body)
{
    struct held *h = held_get(c->web->held, HELD_RESULT, c->party, c->text);

    if (h == NULL) {
        json_decref(body);
        return;
    }
    h->result->status = status;
    h->result->body = body;
}

void csc_reply(struct csc_call *c, int status, json_t *body)
{
    if (body == NULL) {
        status = 503;
        body = error_json("temporarily_unavailable", "out of memory");
    }
    if (c->detached)
        keep(c, status, body);
    else
        http_reply_json(c->http, status, body);
    call_free(c);
}

void csc_reply_empty(struct csc_call *c)
{
    http_reply(c->http, 204, NULL, KY_SPAN(NULL, 0));
    call_free(c);
}

void csc_fail(struct csc_call *c, int status, const char *error, const char *format, ...)
{
    char text[256];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    csc_reply(c, status, error_json(error, text));
}

void csc_missing(struct csc_call *c, const char *type, const char *name)
{
    csc_fail(c, 400, "invalid_request", "Missing (or invalid type) %s parameter %s", type, name);
}

void csc_invalid(struct csc_call *c, const char *name)
{
    csc_fail(c, 400, "invalid_request", "Invalid parameter %s", name);
}

void csc_fail_outcome(struct csc_call *c, const struct client_outcome *o)
{
    char seconds[16];

    switch (o->code) {
    case KY_NOT_FOUND:
        csc_invalid(c, "credentialID");
        return;
    case KY_DENIED:
    case KY_UNAUTHENTICATED:
        csc_fail(c, 400, "access_denied", "The request was denied");
        return;
    case KY_INVALID:
        csc_fail(c, 400, "invalid_request", "The request is malformed");
        return;
    default:
        break;
    }
    if (!c->detached) {
        (void)snprintf(seconds, sizeof(seconds), "%u", o->retry_after_ms / 1000 + 1);
        http_set_header(c->http, "Retry-After", seconds);
    }
    csc_fail(c, o->code == KY_BUSY ? 429 : 503, "temporarily_unavailable", "Try the same request again");
}

void csc_ask(struct csc_call *c, const char *method, const ProtobufCMessage *request, uint64_t timeout_us,
             const ProtobufCMessageDescriptor *reply_type, link_done done)
{
    struct client_outcome o = {.code = KY_UNAVAILABLE};
    const struct ky_status st = link_call(c->web->link, method, request, timeout_us, reply_type, done, c);

    if (ky_ok(st))
        return;
    o.code = st.code;
    csc_fail_outcome(c, &o);
}

void csc_request_id(const uint8_t hash[32], char out[33])
{
    for (size_t i = 0; i < 16; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

void csc_refuse(void *web, struct http_call *call, int status, const char *why)
{
    (void)web;
    http_reply_json(call, status, error_json("invalid_request", why));
}

/* --- parameters ------------------------------------------------------------------------------------ */

bool csc_get_text(struct csc_call *c, const char *name, bool needed, const char **out)
{
    const json_t *value = json_object_get(c->in, name);

    if (json_is_string(value) && !(needed && json_string_length(value) == 0)) {
        *out = json_string_value(value);
        return true;
    }
    if (!needed && value == NULL)
        return true;
    csc_missing(c, "string", name);
    return false;
}

bool csc_get_flag(struct csc_call *c, const char *name, bool *out)
{
    const json_t *value = json_object_get(c->in, name);

    if (value != NULL && !json_is_boolean(value)) {
        csc_missing(c, "boolean", name);
        return false;
    }
    if (value != NULL)
        *out = json_is_true(value);
    return true;
}

bool csc_get_credential(struct csc_call *c)
{
    const char *id = NULL;

    if (!csc_get_text(c, "credentialID", true, &id))
        return false;
    if (!ky_span_is_name(ky_span_text(id), CSC_ID_MAX - 1) ||
        !ky_span_to_cstr(ky_span_text(id), c->credential_id, sizeof(c->credential_id))) {
        csc_invalid(c, "credentialID");
        return false;
    }
    return true;
}

/* --- in --------------------------------------------------------------------------------------------- */

/* RFC 6750 s.2.1. false: answered already. */
static bool know_caller(struct csc_call *c)
{
    static const char scheme[] = "Bearer ";
    const size_t skip = sizeof(scheme) - 1;
    const struct ky_span header = http_header(c->http, "Authorization");
    char token[HELD_TEXT_MAX];
    struct held *h;

    if (header.len <= skip || strncasecmp((const char *)header.data, scheme, skip) != 0) {
        csc_fail(c, 400, "invalid_request", "Malformed authorization header");
        return false;
    }
    h = ky_span_to_cstr(KY_SPAN(header.data + skip, header.len - skip), token, sizeof(token))
            ? held_get(c->web->held, HELD_TOKEN, NULL, token)
            : NULL;
    if (h == NULL) {
        http_set_header(c->http, "WWW-Authenticate", "Bearer error=\"invalid_token\"");
        csc_fail(c, 401, "invalid_token", "The access token is not valid or has expired");
        return false;
    }
    c->party = h->party;
    if (party_may_ask(c->party))
        return true;
    http_set_header(c->http, "Retry-After", "1");
    csc_fail(c, 429, "temporarily_unavailable", "Too many requests");
    return false;
}

static const struct csc_method *method_of(struct ky_span path, unsigned *out_version)
{
    const size_t skip = sizeof("/csc/v1/") - 1;

    *out_version = path.data[skip - 2] == '1' ? 1 : 2;
    for (size_t i = 0; i < csc_method_count; i++)
        if (ky_span_eq(ky_span_text(csc_methods[i].name), KY_SPAN(path.data + skip, path.len - skip)))
            return &csc_methods[i];
    return NULL;
}

static void on_request(void *arg, struct http_call *http)
{
    unsigned version = 0;
    const struct csc_method *m = method_of(http_path(http), &version); /* a route of csc_routes() */
    struct csc_call *c;
    json_t *in;

    if (m->run == NULL) {
        http_reply_json(http, 501, error_json("not_implemented", "The method is not implemented"));
        return;
    }
    in = http_json(http);
    if (in == NULL)
        return;
    c = calloc(1, sizeof(*c));
    if (c == NULL) {
        http_refuse(http, 503, "out of memory");
        return;
    }
    *c = (struct csc_call){.web = arg, .http = http, .version = version, .in = in};
    if (m->open || know_caller(c))
        m->run(c);
}

struct http_route *csc_routes(size_t *out_count)
{
    struct routes {
        struct http_route list[2 * sizeof(csc_methods) / sizeof(csc_methods[0])];
        char paths[2 * sizeof(csc_methods) / sizeof(csc_methods[0])][64];
    } *r = calloc(1, sizeof(*r));
    size_t n = 0;

    for (unsigned version = 1; r != NULL && version <= 2; version++)
        for (size_t i = 0; i < csc_method_count; i++) {
            if ((csc_methods[i].versions & 1u << version) == 0)
                continue;
            (void)snprintf(r->paths[n], sizeof(r->paths[n]), "/csc/v%u/%s", version, csc_methods[i].name);
            r->list[n] = (struct http_route){.method = "POST", .path = r->paths[n], .handle = on_request};
            n++;
        }
    *out_count = n;
    return r != NULL ? r->list : NULL;
}
