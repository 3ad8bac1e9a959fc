/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Cloud Signature Consortium's API, versions 1.0.4 and 2.0: JSON in, one or two calls at the signer's door, JSON
 * out. One table of methods; a request is a struct csc_call from its route to its answer. What the API's
 * specification says in words is answered in those words. The loop's thread.
 */
#ifndef KYSO_WEB_CSC_H
#define KYSO_WEB_CSC_H

#include "held.h"
#include "http.h"
#include "link.h"
#include "kyso/v1/signer.pb-c.h"

#define CSC_READ_US 10000000u
#define CSC_SIGN_US 60000000u

struct web { /* what every request may use */
    struct event_base *base;
    struct web_config *config; /* owned */
    struct link *link;         /* owned */
    struct held_table *held;   /* owned */
    struct http_server *http;  /* owned */
    struct parties parties;
};

struct csc_call {
    struct web *web;
    struct http_call *http;
    unsigned version;     /* 1 or 2 */
    const json_t *in;     /* borrowed until the answer */
    struct party *party;  /* the caller; NULL where nobody has to be known */
    char credential_id[CSC_ID_MAX];
    struct grant *grant;  /* owned until it is held */
    char text[HELD_TEXT_MAX]; /* the SAD, handle or response id of this request */
    bool detached;        /* the answer is kept as the result that text names */
};

struct csc_method {
    const char *name; /* after "/csc/v1/" */
    unsigned versions; /* bits 1 and 2 */
    bool open;         /* answers without an access token */
    void (*run)(struct csc_call *c); /* answers once, now or later; NULL: known, not served */
};
extern const struct csc_method csc_methods[];
extern const size_t csc_method_count;

/* csc.c */
/* The routes of all methods; the array is the caller's to free. NULL: no memory. */
struct http_route *csc_routes(size_t *out_count);
void csc_refuse(void *web, struct http_call *call, int status, const char *why); /* http_settings.refuse */
void csc_reply(struct csc_call *c, int status, json_t *body); /* takes body and ends the call; body NULL: no memory */
void csc_reply_empty(struct csc_call *c); /* 204 */
void csc_fail(struct csc_call *c, int status, const char *error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void csc_missing(struct csc_call *c, const char *type, const char *name);
void csc_invalid(struct csc_call *c, const char *name);
/* A refusal of the signer's door that has no meaning of its own for this method. */
void csc_fail_outcome(struct csc_call *c, const struct client_outcome *o);
/* link_call; answers when it cannot be begun. */
void csc_ask(struct csc_call *c, const char *method, const ProtobufCMessage *request, uint64_t timeout_us,
             const ProtobufCMessageDescriptor *reply_type, link_done done);

void csc_request_id(const uint8_t hash[32], char out[33]); /* for the signer's door, and so the ledger: tells nothing */

/* Parameters. false: answered already. An absent optional one is left as it was. */
bool csc_get_text(struct csc_call *c, const char *name, bool needed, const char **out);
bool csc_get_flag(struct csc_call *c, const char *name, bool *out);
bool csc_get_credential(struct csc_call *c); /* credentialID, into c */
bool csc_get_hash(struct csc_call *c, bool needed, uint8_t *out); /* hashAlgo or hashAlgorithmOID */
/* SAD: an authorization of this caller and credential that is not over. */
bool csc_get_sad(struct csc_call *c, struct held **out);

/* csc_algorithm.c: object identifiers */
struct csc_algorithm {
    uint8_t scheme, hash, mgf_hash; /* enum ky_scheme, ky_hash */
    uint16_t salt_len;
};
uint8_t csc_hash(const char *oid); /* enum ky_hash; 0 = none of ours */
/* hash: of the hash parameter, 0 where absent. The parameter that is wrong, or NULL; missing: it is not there. */
const char *csc_algorithm_read(const char *sign_algo, const char *params_base64, uint8_t hash,
                               struct csc_algorithm *out, bool *out_missing);
json_t *csc_key_algorithms(int key_type); /* an array of OIDs; key_type 0: of all keys */
const char *csc_curve(int key_type);      /* NULL = not on a curve */

/* csc_hashes.c: lists of digests */
#define CSC_HASH_NAME(c) ((c)->version == 1 ? "hashAlgo" : "hashAlgorithmOID")
void csc_put_hashes(const struct grant *g, ProtobufCBinaryData out[KY_HASHES_MAX]); /* borrows from g */
/* Reads hash or hashes into c->grant, a grant of nothing yet. hash: what they must be, or 0: the length tells. */
bool csc_get_hashes(struct csc_call *c, uint8_t hash);
bool csc_grant_lists(const struct grant *g, const struct grant *asked); /* all of asked, of the same hash */

/* csc_certificate.c */
/* The members of a CredentialInfo. certificates: "none", "single" or "chain". NULL: no memory. */
json_t *csc_credential_json(const struct csc_call *c, const Kyso__V1__Credential *credential,
                            const char *certificates, bool cert_info, bool auth_info);

/* The methods. */
void csc_info(struct csc_call *c);
void csc_auth_login(struct csc_call *c);
void csc_auth_revoke(struct csc_call *c);
void csc_credentials_list(struct csc_call *c);
void csc_credentials_info(struct csc_call *c);
void csc_credentials_authorize(struct csc_call *c);
void csc_credentials_authorize_check(struct csc_call *c);
void csc_credentials_get_challenge(struct csc_call *c);
void csc_credentials_extend(struct csc_call *c);
void csc_sign_hash(struct csc_call *c);
void csc_sign_polling(struct csc_call *c);

/* csc_credentials.c: answers by the state of the credential, which the signer's door has called inactive. */
void csc_fail_inactive(struct csc_call *c);

#endif
