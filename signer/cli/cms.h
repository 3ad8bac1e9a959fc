/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A detached CMS SignedData (RFC 5652) whose signature is made elsewhere: the signed attributes
 * (content type, message digest, signing time, ESS signing-certificate-v2, RFC 5035) are fixed
 * first and their digest goes to the signer; the signature then completes it.
 */
#ifndef KYSO_CLI_CMS_H
#define KYSO_CLI_CMS_H

#include <time.h>

#include <openssl/x509.h>

#include "kyso/alg.h"

struct cms;

struct cms_content {
    X509 *certificate;  /* the signer's */
    X509 *const *chain; /* carried along */
    size_t chain_count;
    struct ky_algorithm algorithm; /* ECDSA, RSA_PKCS1 or RSA_PSS */
    struct ky_span digest;         /* of the content */
    time_t signing_time;
};

/*
 * out_to_sign  digest of the signed attributes, ky_hash_len(algorithm.hash) bytes
 * Errors: KY_UNSUPPORTED (Ed25519 signs no digest that CMS could name), KY_INVALID, KY_NOMEM.
 */
KY_MUST_CHECK struct ky_status cms_begin(const struct cms_content *c, struct cms **out_cms,
                                         uint8_t out_to_sign[64]);
/* signature: ECDSA as DER. Appends the DER of the ContentInfo. Errors: KY_INVALID. */
KY_MUST_CHECK struct ky_status cms_finish(struct cms *cms, struct ky_span signature,
                                          struct ky_buf *out_der);
void cms_free(struct cms **cms); /* nulls the caller's pointer */

#endif
