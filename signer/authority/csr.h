/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PKCS #10 requests (RFC 2986) for keys that live in a vault: build the part to
 * be signed, and later join it with a raw signature. Any thread; no state.
 */
#ifndef KYSO_CSR_H
#define KYSO_CSR_H

#include <openssl/x509.h>

#include "kyso/alg.h"

#define CSR_DN_MAX  512u
#define CSR_DER_MAX 4096u

struct csr_request {
    struct ky_span public_key; /* DER SubjectPublicKeyInfo */
    uint8_t key_type;
    struct ky_span subject_dn; /* RFC 4514, checked by dn_parse() */
};

/*
 * "CN=Nguyen Van A,O=Kyso\, Ltd,C=VN" to a name (RFC 4514: the last part written is the first encoded). Each attribute is one of a
 * fixed list, given once (OU excepted), CN is required; values are UTF8String (C and serialNumber: PrintableString, RFC 5280 A.1).
 * Escapes: backslash with a special character, or with two hex digits. Errors: KY_INVALID, KY_NOMEM.
 */
KY_MUST_CHECK struct ky_status dn_parse(struct ky_span text, X509_NAME **out_name);

/*
 * How a CSR of this key is signed: ECDSA with SHA-256 (P-384: SHA-384), RSA PKCS #1 v1.5 with SHA-256. Ed25519 signs the
 * CertificationRequestInfo itself (RFC 8410 s.6): its hash is KY_HASH_NONE. Errors: KY_UNIMPLEMENTED.
 */
KY_MUST_CHECK struct ky_status csr_algorithm(uint8_t key_type, struct ky_algorithm *out_algorithm);

/* Appends what the key signs: the digest of the CertificationRequestInfo, or for Ed25519 its bytes.
 * Errors: KY_INVALID, KY_UNIMPLEMENTED, KY_NOMEM. */
KY_MUST_CHECK struct ky_status csr_input(const struct csr_request *r, struct ky_buf *out);
/* The finished DER request, verified under its own key. Errors: KY_TOKEN_WRONG_SIGNATURE (I7), as above. */
KY_MUST_CHECK struct ky_status csr_assemble(const struct csr_request *r,
                                            struct ky_span raw_signature, struct ky_buf *out_der);

#endif
