/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relying party's own signature over a request, where --request-key names its key: PROTOCOL.md, "Signed requests".
 */
#include <string.h>
#include <time.h>

#include "sign_job.h"

#define LIFE_S 120

/*
 * Server and client, which a signature binds, are the profile's: a front that is taken over would name another server's or client's.
 * Info only tells a wrong profile before a code is sent.
 */
static int check_names(struct sign_job *job)
{
    Kyso__V1__InfoRequest r = KYSO__V1__INFO_REQUEST__INIT;
    const char *server_id = json_string_value(json_object_get(job->cli->profile, "server_id"));
    const char *client = json_string_value(json_object_get(job->cli->profile, "client"));
    ProtobufCMessage *reply = NULL;
    int rc;

    if (server_id == NULL || client == NULL)
        return cli_fail(job->cli, CLI_USAGE,
                        "put server_id and client into the profile, as the operators tell them",
                        "a request is signed in a name, and the profile has none");
    if (job->server_id != NULL)
        return CLI_OK;
    rc = server_call(job->cli, job->client, "/kyso.v1.Signer/Info", &r.base, job->timeout_us,
                     &kyso__v1__info_reply__descriptor, &reply);
    if (rc != CLI_OK)
        return rc;
    const Kyso__V1__InfoReply *info = (Kyso__V1__InfoReply *)reply;
    if (strcmp(info->server_id, server_id) != 0 || strcmp(info->client, client) != 0) {
        rc = cli_fail(job->cli, CLI_FAILED,
                      "if the profile is right, the server is not to be trusted: nothing was signed",
                      "the server says %s to client %s, the profile %s and %s", info->server_id,
                      info->client, server_id, client);
    } else {
        job->server_id = server_id;
        job->client_name = client;
    }
    protobuf_c_message_free_unpacked(reply, NULL);
    return rc;
}

int sign_request(struct sign_job *job, struct ky_request_fields *r,
                 Kyso__V1__RequestSignature **out)
{
    const char *key = server_option(job->cli, "--request-key", "request_key");
    struct ky_buf hashes = KY_BUF_INIT(KY_HASHES_MAX * KY_DIGEST_MAX);
    uint8_t digest[32];
    int rc = key == NULL ? CLI_OK : check_names(job);

    if (key == NULL || rc != CLI_OK)
        return rc;
    for (size_t i = 0; i < job->count; i++)
        ky_buf_put(&hashes, job->hashes[i].data, job->hashes[i].len);
    const struct ky_tx_fields tx = {
        .server_id = ky_span_text(job->server_id),
        .client = ky_span_text(job->client_name),
        .relying_party = ky_span_text(job->request.relying_party),
        .credential_id = ky_span_text(job->request.credential_id),
        .algorithm = job->algorithm,
        .hashes = ky_buf_span(&hashes),
        .display_text = ky_span_text(job->request.display_text),
    };
    r->expires_s = (uint64_t)time(NULL) + LIFE_S;
    ky_request_digest(&tx, r, digest);
    ky_buf_free(&hashes);
    ky_buf_free(&job->request_signature_bytes);
    job->request_signature_bytes = KY_BUF_INIT(256);
    rc = operator_sign(job->cli, key, KY_SPAN_OF(digest), &job->request_signature_bytes);
    if (rc != CLI_OK)
        return rc;
    kyso__v1__request_signature__init(&job->request_signature);
    job->request_signature.expires = (int64_t)r->expires_s;
    job->request_signature.signature = (ProtobufCBinaryData){
        .len = job->request_signature_bytes.len, .data = job->request_signature_bytes.data};
    *out = &job->request_signature;
    return CLI_OK;
}
