/* SPDX-License-Identifier: Apache-2.0 */
/* info, auth/login and auth/revoke: what is served, and who may ask for more. The loop's thread. */
#include <string.h>
#include <strings.h>

#include "base64.h"
#include "csc.h"

#define BASIC_MAX 512u

static json_t *method_names(unsigned version)
{
    json_t *list = json_array();

    for (size_t i = 0; i < csc_method_count; i++)
        if (csc_methods[i].run != NULL && (csc_methods[i].versions & 1u << version) != 0)
            (void)json_array_append_new(list, json_string(csc_methods[i].name));
    return list;
}

void csc_info(struct csc_call *c)
{
    const struct web_config_service *s = &c->web->config->service;
    json_t *body = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:[s],s:o}", "specs", c->version == 1 ? "1.0.4.0" : "2.0.0.2",
                             "name", s->name, "logo", s->logo, "region", s->region, "lang", s->lang, "description",
                             s->description, "authType", "basic", "methods", method_names(c->version));

    if (body != NULL && c->version == 2)
        (void)json_object_update_new(body, json_pack("{s:b,s:b,s:{s:o},s:{s:[],s:[]},s:[]}", "asynchronousOperationMode",
                                                     1, "validationInfo", 0, "signAlgorithms", "algos",
                                                     csc_key_algorithms(0), "signature_formats", "formats",
                                                     "envelope_properties", "conformance_levels"));
    csc_reply(c, 200, body);
}

static void give_token(struct csc_call *c)
{
    const uint32_t life_s = c->web->config->limits.token_s;
    struct held *h;

    if (!ky_ok(held_put(c->web->held, HELD_TOKEN, c->party, life_s, 0, c->text, &h)))
        csc_fail(c, 429, "temporarily_unavailable", "Too many requests");
    else
        csc_reply(c, 200, json_pack("{s:s,s:s,s:i}", "access_token", c->text, "token_type", "Bearer", "expires_in",
                                    (int)life_s));
}

/* RFC 7617. */
static void login(struct csc_call *c, struct ky_span user_pass)
{
    const uint8_t *colon = user_pass.len > 0 ? memchr(user_pass.data, ':', user_pass.len) : NULL;
    size_t name_len;

    if (colon == NULL || colon == user_pass.data) {
        csc_fail(c, 400, "invalid_request", "Malformed username-password");
        return;
    }
    name_len = (size_t)(colon - user_pass.data);
    switch (party_login(&c->web->parties, KY_SPAN(user_pass.data, name_len),
                        KY_SPAN(colon + 1, user_pass.len - name_len - 1), &c->party)) {
    case LOGIN_OK:
        give_token(c);
        break;
    case LOGIN_BUSY:
        http_set_header(c->http, "Retry-After", "2");
        csc_fail(c, 429, "temporarily_unavailable", "Too many requests");
        break;
    default:
        csc_fail(c, 400, "authentication_error", "An error occurred during authentication process");
    }
}

void csc_auth_login(struct csc_call *c)
{
    static const char scheme[] = "Basic ";
    const size_t skip = sizeof(scheme) - 1;
    const struct ky_span header = http_header(c->http, "Authorization");
    struct ky_buf text = KY_BUF_INIT(BASIC_MAX);
    const char *refresh = NULL;
    bool remember = false;

    if (!csc_get_flag(c, "rememberMe", &remember) || !csc_get_text(c, "refresh_token", false, &refresh))
        return;
    if (refresh != NULL) { /* none was ever given out */
        csc_fail(c, 400, "invalid_request", "Invalid refresh_token");
        return;
    }
    if (header.len <= skip || strncasecmp((const char *)header.data, scheme, skip) != 0 ||
        !ky_ok(base64_get(KY_SPAN(header.data + skip, header.len - skip), &text)))
        csc_fail(c, 401, "invalid_request", "Malformed authentication parameter");
    else
        login(c, ky_buf_span(&text));
    ky_buf_free(&text);
}

/* RFC 7009 s.2.2: a token that is none of the caller's is no error. */
void csc_auth_revoke(struct csc_call *c)
{
    const char *token = NULL, *hint = NULL;
    struct held *h;

    if (!csc_get_text(c, "token", true, &token) || !csc_get_text(c, "token_type_hint", false, &hint))
        return;
    if (hint != NULL && strcmp(hint, "access_token") != 0 && strcmp(hint, "refresh_token") != 0) {
        csc_invalid(c, "token_type_hint");
        return;
    }
    h = held_get(c->web->held, HELD_TOKEN, c->party, token);
    if (h != NULL)
        held_drop(c->web->held, h);
    csc_reply_empty(c);
}
