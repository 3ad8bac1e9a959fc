/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys in files: operators' and demo devices' (ECDSA P-256 with SHA-256, or Ed25519), and
 * certificates.
 */
#ifndef KYSO_CLI_KEYS_H
#define KYSO_CLI_KEYS_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "kyso/span.h"
#include "kyso/status.h"

enum keys_type { KEYS_OTHER = 0, KEYS_P256 = 1, KEYS_ED25519 = 2 };

enum keys_type keys_type_of(const EVP_PKEY *key);
EVP_PKEY *keys_generate(enum keys_type type);  /* NULL on failure */
EVP_PKEY *keys_load_private(const char *path); /* PEM without a passphrase; NULL on failure */
EVP_PKEY *keys_load_public(const char *path);  /* PEM public key, certificate or private key */
/*
 * The private key with mode 0600, never over an existing file. Errors: KY_IO, KY_CONFLICT (it
 * exists).
 */
KY_MUST_CHECK struct ky_status keys_save_private(const char *path, EVP_PKEY *key);
KY_MUST_CHECK struct ky_status keys_save_public(const char *path, EVP_PKEY *key);
/* A certificate by the key over itself, valid from now for `days`; PEM. */
KY_MUST_CHECK struct ky_status keys_save_certificate(const char *path, EVP_PKEY *key,
                                                     const char *name, uint32_t days);
KY_MUST_CHECK struct ky_status keys_spki(EVP_PKEY *key, struct ky_buf *out); /* appends the DER */
/*
 * Over the message: ECDSA with SHA-256 as DER, Ed25519 as it is. Errors: KY_UNSUPPORTED,
 * KY_INTERNAL.
 */
KY_MUST_CHECK struct ky_status keys_sign(EVP_PKEY *key, struct ky_span message, struct ky_buf *out);

/*
 * Every certificate of a PEM file, or the one of a DER file; at most cap. Returns how many, 0 on
 * failure.
 */
size_t keys_load_certificates(const char *path, X509 **out, size_t cap);

/* Appends PEM with this label. */
bool keys_put_pem(struct ky_buf *out, const char *label, struct ky_span der);

#endif
