/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checks on a certificate before a credential becomes active under it. Any thread; no state.
 */
#ifndef KYSO_CERTIFICATE_H
#define KYSO_CERTIFICATE_H

#include <openssl/x509.h>

#include "kyso/span.h"
#include "kyso/status.h"

#define CERTIFICATE_MAX       8192u /* DER bytes of one */
#define CERTIFICATE_CHAIN_MAX 8u

struct certificate_import {
    struct ky_span der;
    const struct ky_span *chain; /* borrowed for the call; issuer first */
    size_t chain_len;
    struct ky_span public_key; /* the credential's DER SubjectPublicKeyInfo */
    uint64_t now_s;
};
struct certificate_facts {
    uint8_t sha256[32];
    uint8_t serial_key[32]; /* certificate_key() of it */
    uint64_t not_before_s;
    uint64_t not_after_s;
};

/*
 * The certificate is whole DER with nothing behind it, of the credential's key, not expired, not a CA's, allowed to sign
 * (keyUsage, where present, has digitalSignature or nonRepudiation); each certificate of the chain is a CA's, not expired, and issued
 * the one before it: name and signature. No anchor is demanded: who the issuers are is the CA's own business.
 * out_why (never NULL after a failure) names the check, for the log. Errors: KY_INVALID.
 */
KY_MUST_CHECK struct ky_status certificate_check(const struct certificate_import *in,
                                                 struct certificate_facts *out_facts,
                                                 const char **out_why);

/* What a revocation list knows a certificate by: SHA-256 of the issuer's name and the serial number, each DER. */
void certificate_key(struct ky_span issuer, struct ky_span serial, uint8_t out[32]);
/* The same of a certificate. False: it cannot be read. */
bool certificate_serial_key(struct ky_span der, uint8_t out[32]);
/* Seconds since the epoch; false when it is before that or cannot be read. */
bool certificate_time(const ASN1_TIME *t, uint64_t *out_s);

/* A person's who signs operations. Spans point into the DER that was given. */
struct certificate_user {
    struct ky_span spki; /* DER SubjectPublicKeyInfo, P-256 or Ed25519 */
    uint64_t not_before_s;
    uint64_t not_after_s;
};
/*
 * The certificate is whole DER with nothing behind it, names its subject, and can be read. Who issued it does not matter: its key is pinned, its
 * validity is the caller's to check. out_why as above. Errors: KY_INVALID.
 */
KY_MUST_CHECK struct ky_status certificate_user(struct ky_span der, struct certificate_user *out,
                                                const char **out_why);
/* Do both name the same subject? False when one cannot be read. */
bool certificate_same_subject(struct ky_span a, struct ky_span b);

#endif
