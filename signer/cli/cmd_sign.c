/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso sign: hashes files, has the hashes signed on the citizen's proof, checks what comes back and
 * writes it: bare signatures, or detached CMS. Nothing but digests leaves this machine.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sign_job.h"

static int gather_inputs(struct sign_job *job)
{
    struct cli *cli = job->cli;
    const char *hashes[KY_HASHES_MAX];
    size_t files = cli_all(cli, "FILE", job->files, KY_HASHES_MAX);
    size_t n = cli_all(cli, "--hash", hashes, KY_HASHES_MAX);

    if ((files == 0) == (n == 0))
        return cli_fail(cli, CLI_USAGE, "give FILEs, or --hash HEX, at most 256",
                        "nothing to sign, or two kinds of it");
    if (n > 0 && cli_has(cli, "--cms"))
        return cli_fail(cli, CLI_USAGE, "give the file itself: only its hash is sent",
                        "--cms needs a FILE");
    if (cli_get(cli, "--output") != NULL && (files != 1))
        return cli_fail(cli, CLI_USAGE, "leave --output out: each signature goes beside its file",
                        "--output is for one FILE");
    job->count = files > 0 ? files : n;
    for (size_t i = 0; i < n; i++) {
        int len = cli_hex(hashes[i], job->to_sign[i], KY_DIGEST_MAX);

        job->files[i] = NULL;
        job->hashes[i].len = (size_t)len; /* compared with the algorithm below */
    }
    return CLI_OK;
}

static int fetch_credential(struct sign_job *job)
{
    struct cli *cli = job->cli;
    Kyso__V1__GetCredentialRequest r = KYSO__V1__GET_CREDENTIAL_REQUEST__INIT;
    ProtobufCMessage *reply = NULL;
    const unsigned char *der;
    int rc;

    r.relying_party = job->request.relying_party;
    r.credential_id = job->request.credential_id;
    rc = server_call(cli, job->client, "/kyso.v1.Signer/GetCredential", &r.base, job->timeout_us,
                     &kyso__v1__credential__descriptor, &reply);
    if (rc != CLI_OK)
        return rc;
    job->credential = (Kyso__V1__Credential *)reply;
    der = job->credential->public_key.data;
    job->public_key = d2i_PUBKEY(NULL, &der, (long)job->credential->public_key.len);
    if (job->public_key == NULL)
        return cli_fail(cli, CLI_FAILED, "are kyso and kysod of the same version?",
                        "the credential's public key cannot be read");
    if (!cli_has(cli, "--cms"))
        return CLI_OK;
    der = job->credential->certificate.data;
    job->certificate =
        der != NULL ? d2i_X509(NULL, &der, (long)job->credential->certificate.len) : NULL;
    return job->certificate != NULL
               ? CLI_OK
               : cli_fail(cli, CLI_FAILED, "import one first: kyso credential import-cert",
                          "a CMS signature carries a certificate, and this credential has none");
}

/* By the key, unless told; the wire's message points at what is chosen. */
static int choose_algorithm(struct sign_job *job)
{
    const struct ky_key_info *k = ky_key_info((uint8_t)job->credential->key_type);
    struct ky_algorithm *a = &job->algorithm;

    if (k == NULL)
        return cli_fail(job->cli, CLI_FAILED, "is this kyso older than the server?",
                        "a key of a kind unknown here");
    a->scheme = (uint8_t)cli_choice(job->cli, "--scheme", k->scheme);
    a->hash = (uint8_t)cli_choice(job->cli, "--hash-alg",
                                  (uint8_t)job->credential->key_type == KY_KEY_P384 ? KY_SHA384
                                                                                    : KY_SHA256);
    a->salt_len = a->scheme == KY_RSA_PSS
                      ? (uint16_t)cli_number(job->cli, "--pss-salt", (uint32_t)ky_hash_len(a->hash))
                      : 0;
    if (!ky_ok(ky_algorithm_check((uint8_t)job->credential->key_type, a)))
        return cli_fail(job->cli, CLI_USAGE,
                        "leave --scheme, --hash-alg and --pss-salt out, or see: kyso sign --help",
                        "%s does not fit a %s key", ky_scheme_name(a->scheme), k->name);
    if (a->scheme == KY_EDDSA && cli_has(job->cli, "--cms"))
        return cli_fail(
            job->cli, CLI_USAGE, "use an EC or RSA credential for CMS",
            "an Ed25519 credential signs the digest's bytes as its message, which CMS cannot say");
    job->wire_algorithm.scheme = (Kyso__V1__SignatureScheme)a->scheme;
    job->wire_algorithm.hash = (Kyso__V1__HashAlgorithm)a->hash;
    job->wire_algorithm.encoding = cli_has(job->cli, "--raw") && !cli_has(job->cli, "--cms")
                                       ? KYSO__V1__SIGNATURE_ENCODING__SIGNATURE_ENCODING_RAW
                                       : KYSO__V1__SIGNATURE_ENCODING__SIGNATURE_ENCODING_DER;
    if (a->scheme == KY_RSA_PSS) {
        job->wire_pss.salt_length = a->salt_len;
        job->wire_algorithm.pss = &job->wire_pss;
    }
    return CLI_OK;
}

static int begin_cms(struct sign_job *job, size_t i)
{
    X509 *chain[CLI_CHAIN_MAX];
    struct cms_content c = {.certificate = job->certificate,
                            .chain = chain,
                            .algorithm = job->algorithm,
                            .digest = KY_SPAN(job->to_sign[i], ky_hash_len(job->algorithm.hash)),
                            .signing_time = time(NULL)};
    uint8_t attributes[KY_DIGEST_MAX];
    struct ky_status st;

    for (size_t k = 0; k < job->credential->n_chain && c.chain_count < CLI_CHAIN_MAX; k++) {
        const unsigned char *der = job->credential->chain[k].data;

        chain[c.chain_count] = d2i_X509(NULL, &der, (long)job->credential->chain[k].len);
        c.chain_count += chain[c.chain_count] != NULL;
    }
    st = cms_begin(&c, &job->cms[i], attributes);
    for (size_t k = 0; k < c.chain_count; k++)
        X509_free(chain[k]);
    if (!ky_ok(st))
        return cli_fail(job->cli, CLI_FAILED, "does the certificate hold this credential's key?",
                        "the CMS structure cannot be made");
    memcpy(job->to_sign[i], attributes, sizeof attributes);
    return CLI_OK;
}

static int hash_inputs(struct sign_job *job)
{
    size_t len = ky_hash_len(job->algorithm.hash);

    for (size_t i = 0; i < job->count; i++) {
        if (job->files[i] == NULL && job->hashes[i].len != len)
            return cli_fail(job->cli, CLI_USAGE, "name the hash with --hash-alg",
                            "a %s digest has %zu bytes, this has %zu",
                            ky_hash_name(job->algorithm.hash), len, job->hashes[i].len);
        if (job->files[i] != NULL &&
            !ky_ok(file_digest(job->files[i], job->algorithm.hash, job->to_sign[i])))
            return cli_fail(job->cli, CLI_FAILED, "check its name and rights", "cannot read %s",
                            job->files[i]);
        if (job->certificate != NULL) {
            int rc = begin_cms(job, i);

            if (rc != CLI_OK)
                return rc;
        }
        job->hashes[i] = (ProtobufCBinaryData){.len = len, .data = job->to_sign[i]};
    }
    return CLI_OK;
}

static int fill_request(struct sign_job *job)
{
    struct cli *cli = job->cli;
    const char *party;
    const char *text = cli_get(cli, "--text");
    const char *id = cli_get(cli, "--request-id");
    uint8_t random[12];

    if (server_profile(cli) != CLI_OK)
        return CLI_USAGE;
    party = server_option(cli, "--relying-party", "relying_party");
    if (party == NULL)
        return cli_fail(cli, CLI_USAGE,
                        "give --relying-party RP, or put relying_party in the profile",
                        "for whom is not said");
    kyso__v1__signature_request__init(&job->request);
    kyso__v1__algorithm__init(&job->wire_algorithm);
    kyso__v1__pss_parameters__init(&job->wire_pss);
    job->request.relying_party = (char *)(uintptr_t)party;
    job->request.credential_id = (char *)(uintptr_t)cli_get(cli, "--credential");
    job->request.algorithm = &job->wire_algorithm;
    job->request.n_hashes = job->count;
    job->request.hashes = job->hashes;
    if (text != NULL)
        job->request.display_text = (char *)(uintptr_t)text;
    job->timeout_us = cli_number(cli, "--timeout", 10) * UINT64_C(1000000);
    if (id != NULL)
        return snprintf(job->request_id, sizeof job->request_id, "%s", id) < 61
                   ? CLI_OK
                   : cli_fail(cli, CLI_USAGE, "at most 60 characters", "--request-id is too long");
    if (!ky_ok(ky_random(random, sizeof random)))
        return cli_fail(cli, CLI_FAILED, NULL, "no random numbers");
    (void)snprintf(job->request_id, sizeof job->request_id, "kyso-");
    for (size_t i = 0; i < sizeof random; i++)
        (void)snprintf(job->request_id + 5 + 2 * i, 3, "%02x", random[i]);
    return CLI_OK;
}

static int write_one(struct sign_job *job, size_t i, struct ky_span signature, json_t *item)
{
    struct ky_buf der = KY_BUF_INIT(1024u * 1024u);
    const char *named = cli_get(job->cli, "--output");
    char path[PATH_MAX];
    int rc = CLI_OK;

    if (job->cms[i] != NULL && !ky_ok(cms_finish(job->cms[i], signature, &der)))
        rc = cli_fail(job->cli, CLI_FAILED, NULL, "the CMS structure cannot be completed");
    if (named != NULL)
        (void)snprintf(path, sizeof path, "%s", named);
    else
        (void)snprintf(path, sizeof path, "%s.%s",
                       strcmp(job->files[i], "-") == 0 ? "stdin" : job->files[i],
                       job->cms[i] != NULL ? "p7s" : "sig");
    if (rc == CLI_OK &&
        !ky_ok(file_write(path, job->cms[i] != NULL ? ky_buf_span(&der) : signature, 0644)))
        rc = cli_fail(
            job->cli, CLI_FAILED,
            "check the folder and its rights; the same --request-id fetches the signature again",
            "cannot write %s (request id %s)", path, job->request_id);
    if (rc == CLI_OK) {
        (void)json_object_set_new(item, "file", json_string(job->files[i]));
        (void)json_object_set_new(item, "output", json_string(path));
        if (!job->cli->json)
            cli_say(job->cli, "%s: signed, %s", job->files[i], path);
    }
    ky_buf_free(&der);
    return rc;
}

static int write_results(struct sign_job *job, const Kyso__V1__SignReply *reply)
{
    json_t *items = json_array();
    int rc = CLI_OK;

    if (reply->n_signatures != job->count)
        rc = cli_fail(job->cli, CLI_UNVERIFIED, "keep the ledger and ask the server's operator",
                      "%zu signatures came for %zu hashes", reply->n_signatures, job->count);
    for (size_t i = 0; i < job->count && rc == CLI_OK; i++) {
        struct ky_span s = KY_SPAN(reply->signatures[i].data, reply->signatures[i].len);
        json_t *item = json_object();

        (void)json_object_set_new(item, "digest",
                                  output_hex(KY_SPAN(job->hashes[i].data, job->hashes[i].len)));
        (void)json_object_set_new(item, "signature", output_base64(s));
        if (!sign_check(job->public_key, &job->algorithm, job->wire_algorithm.encoding != 0,
                        KY_SPAN(job->hashes[i].data, job->hashes[i].len), s))
            rc = cli_fail(job->cli, CLI_UNVERIFIED,
                          "nothing was written; tell the server's operator",
                          "a signature does not verify under the credential's key");
        else if (job->files[i] != NULL)
            rc = write_one(job, i, s, item);
        (void)json_array_append_new(items, item);
    }
    if (rc == CLI_OK && (job->cli->json || job->files[0] == NULL))
        output_object(job->cli, json_pack("{s:s,s:s,s:s,s:O}", "request_id", job->request_id,
                                          "transaction", reply->transaction_id, "credential",
                                          job->request.credential_id, "signatures", items));
    json_decref(items);
    return rc;
}

int cmd_sign(struct cli *cli)
{
    struct sign_job *job = calloc(1, sizeof *job);
    Kyso__V1__SignReply *reply = NULL;
    int rc;

    if (job == NULL)
        return cli_fail(cli, CLI_FAILED, NULL, "out of memory");
    job->cli = cli;
    rc = gather_inputs(job);
    if (rc == CLI_OK)
        rc = sign_choose_proof(job);
    if (rc == CLI_OK)
        rc = fill_request(job);
    if (rc == CLI_OK)
        rc = server_open(cli, CLI_DOOR_SIGNER, &job->client);
    if (rc == CLI_OK)
        rc = fetch_credential(job);
    if (rc == CLI_OK)
        rc = choose_algorithm(job);
    if (rc == CLI_OK)
        rc = hash_inputs(job);
    if (rc == CLI_OK)
        rc = sign_with_proof(job, &reply);
    if (rc == CLI_OK)
        rc = write_results(job, reply);
    if (reply != NULL)
        kyso__v1__sign_reply__free_unpacked(reply, NULL);
    for (size_t i = 0; i < KY_HASHES_MAX; i++)
        cms_free(&job->cms[i]);
    if (job->credential != NULL)
        kyso__v1__credential__free_unpacked(job->credential, NULL);
    X509_free(job->certificate);
    EVP_PKEY_free(job->public_key);
    ky_buf_free(&job->request_signature_bytes);
    client_close(&job->client);
    free(job);
    return rc;
}
