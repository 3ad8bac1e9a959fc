/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of kyso sign: what is signed and how (cmd_sign.c), by what proof (sign_proof.c), and in whose name (sign_request.c).
 */
#ifndef KYSO_CLI_SIGN_JOB_H
#define KYSO_CLI_SIGN_JOB_H

#include <openssl/x509.h>

#include "cli.h"
#include "cms.h"
#include "kyso/alg.h"
#include "kyso/tx.h"
#include "kyso/v1/signer.pb-c.h"

enum sign_proof {
    SIGN_PROOF_NONE,
    SIGN_PROOF_CODE,
    SIGN_PROOF_SECRET,
    SIGN_PROOF_APPROVAL,
    SIGN_PROOF_SAD
};

struct sign_job {
    struct cli *cli;                  /* borrowed */
    struct client *client;            /* owned */
    Kyso__V1__Credential *credential; /* owned */
    EVP_PKEY *public_key;             /* owned */
    X509 *certificate;                /* owned; NULL without --cms */
    struct ky_algorithm algorithm;
    const char *files[KY_HASHES_MAX]; /* borrowed from argv; NULL = a bare --hash */
    uint8_t to_sign[KY_HASHES_MAX][KY_DIGEST_MAX];
    ProtobufCBinaryData hashes[KY_HASHES_MAX];
    struct cms *cms[KY_HASHES_MAX]; /* owned */
    size_t count;
    enum sign_proof proof;
    char request_id[65];
    char transaction_id[65];
    /* the request's messages: they point into this job */
    Kyso__V1__Algorithm wire_algorithm;
    Kyso__V1__PssParameters wire_pss;
    Kyso__V1__SignatureRequest request;
    uint64_t timeout_us;
    const char *server_id, *client_name; /* borrowed from the profile; set when Info has said the same */
    Kyso__V1__RequestSignature request_signature;
    struct ky_buf request_signature_bytes; /* owned */
};

/* sign_proof.c: one proof is named. Returns an enum cli_exit, having said what is wrong. */
int sign_choose_proof(struct sign_job *job);
/* Proves and signs; *out_reply is freed by the caller. */
int sign_with_proof(struct sign_job *job, Kyso__V1__SignReply **out_reply);

/*
 * sign_request.c: where --request-key is given, *out is the job's signature over its request and these fields, whose expiry is
 * set; else *out stays. Returns an enum cli_exit, having said what is wrong.
 */
int sign_request(struct sign_job *job, struct ky_request_fields *r,
                 Kyso__V1__RequestSignature **out);

/* sign_check.c: does the signature verify under the credential's key? Any enum ky_scheme. */
bool sign_check(EVP_PKEY *key, const struct ky_algorithm *a, bool raw, struct ky_span digest,
                struct ky_span signature);

#endif
