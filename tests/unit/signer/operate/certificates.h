/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and certificates made on the spot, for tests. Failures end the test.
 */
#ifndef KYSO_TEST_CERTIFICATES_H
#define KYSO_TEST_CERTIFICATES_H

#include <openssl/x509.h>

#include "kyso/span.h"

EVP_PKEY *test_key(uint8_t key_type);
size_t test_spki(EVP_PKEY *key, uint8_t out[700]);
/*
 * The raw signature over a digest, as a vault gives it (ECDSA: r || s). Ed25519 signs the digest as
 * its message.
 */
size_t test_sign_digest(EVP_PKEY *key, const char *hash, struct ky_span digest, uint8_t out[512]);
/*
 * A message signature as a device or operator makes it: ECDSA P-256 with SHA-256 in DER, or
 * Ed25519.
 */
size_t test_sign_message(EVP_PKEY *key, struct ky_span message, uint8_t out[128]);

struct test_certificate {
    const char *subject; /* common names */
    const char *issuer;
    EVP_PKEY *key;
    EVP_PKEY *issuer_key;
    long from_s, to_s; /* from now */
    bool is_ca;
    const char *key_usage; /* NULL = no extension */
    uint64_t serial;       /* 0 = a random one */
};
size_t test_certificate(const struct test_certificate *t, uint8_t out[4096]);

#endif
