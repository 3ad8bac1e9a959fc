/* SPDX-License-Identifier: Apache-2.0 */
/* credentials/list, credentials/info and getChallenge: what a relying party may know. The loop's thread. */
#include <string.h>

#include "csc.h"

#define PAGE_MAX 100

/* --- list -------------------------------------------------------------------------------------------- */

struct wanted { /* of a credential */
    bool infos, cert_info, auth_info, only_valid;
    const char *certificates;
};

static bool get_wanted(struct csc_call *c, struct wanted *out)
{
    *out = (struct wanted){.certificates = "single"};
    if (!csc_get_flag(c, "credentialInfo", &out->infos) || !csc_get_flag(c, "certInfo", &out->cert_info) ||
        !csc_get_flag(c, "authInfo", &out->auth_info) || !csc_get_flag(c, "onlyValid", &out->only_valid) ||
        !csc_get_text(c, "certificates", false, &out->certificates))
        return false;
    if (strcmp(out->certificates, "none") == 0 || strcmp(out->certificates, "single") == 0 ||
        strcmp(out->certificates, "chain") == 0)
        return true;
    csc_invalid(c, "certificates");
    return false;
}

static void append(struct csc_call *c, const struct wanted *w, const Kyso__V1__Credential *m, json_t *ids, json_t *infos)
{
    json_t *o;

    if (w->only_valid && m->state != KYSO__V1__CREDENTIAL_STATE__CREDENTIAL_STATE_ACTIVE)
        return;
    (void)json_array_append_new(ids, json_string(m->credential_id));
    if (!w->infos)
        return;
    o = csc_credential_json(c, m, w->certificates, w->cert_info, w->auth_info);
    (void)json_object_set_new(o, "credentialID", json_string(m->credential_id));
    (void)json_array_append_new(infos, o);
}

static void on_list(void *arg, const struct client_outcome *o, const ProtobufCMessage *reply)
{
    const Kyso__V1__ListCredentialsReply *r = (const void *)reply;
    struct csc_call *c = arg;
    struct wanted w;
    json_t *ids, *infos, *body;

    if (reply == NULL && o->code != KY_NOT_FOUND) { /* nobody, or nothing for this party: an empty list */
        csc_fail_outcome(c, o);
        return;
    }
    if (!get_wanted(c, &w)) /* looked at before */
        return;
    ids = json_array();
    infos = json_array();
    for (size_t i = 0; r != NULL && i < r->n_credentials; i++)
        append(c, &w, r->credentials[i], ids, infos);
    body = json_pack("{s:o}", "credentialIDs", ids);
    if (w.infos)
        (void)json_object_set(body, "credentialInfos", infos);
    json_decref(infos);
    if (w.only_valid)
        (void)json_object_set_new(body, "onlyValid", json_true());
    if (r != NULL && r->next_page_token[0] != '\0' && c->version == 1)
        (void)json_object_set_new(body, "nextPageToken", json_string(r->next_page_token));
    csc_reply(c, 200, body);
}

static bool get_paging(struct csc_call *c, const char **out_token, uint32_t *out_size)
{
    const json_t *most = json_object_get(c->in, "maxResults");

    if (most != NULL && !json_is_integer(most)) {
        csc_missing(c, "integer", "maxResults");
        return false;
    }
    if (most != NULL && json_integer_value(most) < 1) {
        csc_invalid(c, "maxResults");
        return false;
    }
    *out_size = most != NULL && json_integer_value(most) < PAGE_MAX ? (uint32_t)json_integer_value(most) : PAGE_MAX;
    if (!csc_get_text(c, "pageToken", false, out_token))
        return false;
    if (**out_token == '\0' || ky_span_is_name(ky_span_text(*out_token), CSC_ID_MAX - 1))
        return true;
    csc_invalid(c, "pageToken");
    return false;
}

void csc_credentials_list(struct csc_call *c)
{
    Kyso__V1__ListCredentialsRequest m = KYSO__V1__LIST_CREDENTIALS_REQUEST__INIT;
    const char *user = NULL, *token = "";
    struct wanted w;

    if (!csc_get_text(c, "userID", true, &user) || !get_wanted(c, &w) || !get_paging(c, &token, &m.page_size))
        return;
    if (!ky_span_is_name(ky_span_text(user), CSC_ID_MAX - 1)) {
        csc_invalid(c, "userID");
        return;
    }
    m.relying_party = c->party->config->name;
    m.subject_id = (char *)(uintptr_t)user;
    m.page_token = (char *)(uintptr_t)token;
    csc_ask(c, "ListCredentials", &m.base, CSC_READ_US, &kyso__v1__list_credentials_reply__descriptor, on_list);
}

/* --- one credential ------------------------------------------------------------------------------------- */

static void ask_credential(struct csc_call *c, link_done done)
{
    Kyso__V1__GetCredentialRequest m = KYSO__V1__GET_CREDENTIAL_REQUEST__INIT;

    m.relying_party = c->party->config->name;
    m.credential_id = c->credential_id;
    csc_ask(c, "GetCredential", &m.base, CSC_READ_US, &kyso__v1__credential__descriptor, done);
}

static void on_info(void *arg, const struct client_outcome *o, const ProtobufCMessage *reply)
{
    struct csc_call *c = arg;
    struct wanted w;

    if (reply == NULL)
        csc_fail_outcome(c, o);
    else if (get_wanted(c, &w))
        csc_reply(c, 200, csc_credential_json(c, (const void *)reply, w.certificates, w.cert_info, w.auth_info));
}

void csc_credentials_info(struct csc_call *c)
{
    struct wanted w;

    if (csc_get_credential(c) && get_wanted(c, &w))
        ask_credential(c, on_info);
}

static void on_challenge(void *arg, const struct client_outcome *o, const ProtobufCMessage *reply)
{
    struct csc_call *c = arg;

    if (reply == NULL)
        csc_fail_outcome(c, o);
    else
        csc_reply_empty(c); /* the citizen's generator makes the code: nothing is sent */
}

void csc_credentials_get_challenge(struct csc_call *c)
{
    const char *object = NULL;

    if (!csc_get_credential(c) || !csc_get_text(c, "authObjectID", true, &object))
        return;
    if (strcmp(object, "OTP") != 0)
        csc_invalid(c, "authObjectID");
    else
        ask_credential(c, on_challenge);
}

static void on_inactive(void *arg, const struct client_outcome *o, const ProtobufCMessage *reply)
{
    const Kyso__V1__Credential *m = (const void *)reply;
    struct csc_call *c = arg;

    if (reply == NULL)
        csc_fail_outcome(c, o);
    else if (m->state == KYSO__V1__CREDENTIAL_STATE__CREDENTIAL_STATE_EXPIRED)
        csc_fail(c, 400, "invalid_request", "Signing certificate is expired");
    else
        csc_fail(c, 400, "invalid_request", "The credential identified by credentialID is disabled");
}

void csc_fail_inactive(struct csc_call *c)
{
    ask_credential(c, on_inactive);
}
