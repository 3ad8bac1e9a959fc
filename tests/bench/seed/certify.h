/* SPDX-License-Identifier: Apache-2.0 */
/* A demonstration CA in memory: a year's certificate for a public key. */
#ifndef BENCH_CERTIFY_H
#define BENCH_CERTIFY_H

#include <openssl/x509.h>

#include "kyso/span.h"

struct ca {
    X509 *certificate; /* owned */
    EVP_PKEY *key;     /* owned */
    uint64_t serial;
};

bool ca_load(struct ca *ca, const char *certificate, const char *key);
void ca_free(struct ca *ca);
/* Appends the DER. */
bool ca_issue(struct ca *ca, struct ky_span spki, const char *common_name, struct ky_buf *out_der);

#endif
