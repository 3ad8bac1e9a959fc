/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A certificate revocation list (RFC 5280 s.5) as spans over its DER: taken apart once, its entries one by one, so that a long one
 * can be gone through in slices. Complete lists of one issuer only: a delta or an indirect one is refused. Any thread; no state.
 */
#ifndef KYSO_CRL_LIST_H
#define KYSO_CRL_LIST_H

#include <openssl/evp.h>

#include "kyso/span.h"
#include "kyso/status.h"

struct crl_list { /* borrowed from the DER */
    struct ky_span signed_part; /* tbsCertList */
    struct ky_span algorithm;   /* AlgorithmIdentifier */
    struct ky_span signature;
    struct ky_span issuer;  /* Name, DER */
    struct ky_span entries; /* the inside of revokedCertificates */
    uint64_t this_update_s, next_update_s;
};
struct crl_entry {
    struct ky_span serial; /* INTEGER, DER */
    bool hold;             /* certificateHold: suspended, not revoked */
};

/* out_why (never NULL after a failure) says what is wrong. Errors: KY_INVALID. */
KY_MUST_CHECK struct ky_status crl_parse(struct ky_span der, struct crl_list *out,
                                         const char **out_why);
/*
 * What its issuer has hashed: NULL when it is signed by Ed25519, which hashes by itself. SHA-256 to SHA-512 under RSA (PKCS #1) or
 * ECDSA, and Ed25519. Errors: KY_INVALID.
 */
KY_MUST_CHECK struct ky_status crl_algorithm(const struct crl_list *list, const EVP_MD **out_md,
                                             const char **out_why);
/*
 * Did one of these CAs (PEM) issue it: name, signature, and where it has a keyUsage, cRLSign? digest is signed_part's under md, which
 * a long list's reader makes in slices. Errors: KY_INVALID.
 */
KY_MUST_CHECK struct ky_status crl_verify(const struct crl_list *list, const EVP_MD *md,
                                          struct ky_span digest, struct ky_span cas,
                                          const char **out_why);
/* Takes the first entry off. False: none is left, or (entries not empty then) it is malformed. */
bool crl_next(struct ky_span *entries, struct crl_entry *out);

#endif
