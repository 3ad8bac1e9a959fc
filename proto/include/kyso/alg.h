/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key types, hashes and signature schemes: one table each, shared by every role.
 * The numbers equal those of proto/kyso/v1/types.proto.
 */
#ifndef KYSO_ALG_H
#define KYSO_ALG_H

#include "kyso/span.h"
#include "kyso/status.h"

enum ky_key_type {
    KY_KEY_NONE = 0,
    KY_KEY_P256 = 1,
    KY_KEY_P384 = 2,
    KY_KEY_RSA2048 = 3,
    KY_KEY_RSA3072 = 4,
    KY_KEY_RSA4096 = 5,
    KY_KEY_ED25519 = 6,
    KY_KEY_TYPE_COUNT
};
enum ky_hash { KY_HASH_NONE = 0, KY_SHA256 = 1, KY_SHA384 = 2, KY_SHA512 = 3, KY_HASH_COUNT };
enum ky_scheme {
    KY_SCHEME_NONE = 0,
    KY_ECDSA = 1,
    KY_RSA_PKCS1 = 2,
    KY_RSA_PSS = 3,
    KY_EDDSA = 4,
    KY_SCHEME_COUNT
};
enum ky_storage { KY_STORE_NONE = 0, KY_STORE_WRAPPED = 1, KY_STORE_RESIDENT = 2 };
enum ky_purpose {
    KY_PURPOSE_NONE = 0,
    KY_PURPOSE_CITIZEN = 1,
    KY_PURPOSE_LEDGER = 2,
    KY_PURPOSE_TLS = 3,
    KY_PURPOSE_ROOT = 4
};

#define KY_DIGEST_MAX      64u
#define KY_SIG_MAX         512u   /* RSA-4096 */
#define KY_SPKI_MAX        600u   /* DER SubjectPublicKeyInfo of RSA-4096 */
#define KY_BLOB_MAX        4096u  /* a wrapped private key */
#define KY_HASHES_MAX      256u   /* per request */
#define KY_CERTIFICATE_MAX 8192u  /* DER */
#define KY_CHAIN_MAX       32768u /* repeated ky_put_bytes of DER */

/*
 * Which KEK a wrapped key is under. Key wrap gives a multiple of 8 bytes; that is a blob of the first KEK's. Under one that came
 * by rotation its number, from 2, follows as a u32. *out_wrapped: the bytes without it. 0: this is no blob.
 */
uint32_t ky_blob_kek(struct ky_span blob, struct ky_span *out_wrapped);

struct ky_algorithm {  /* how a digest is signed */
    uint8_t scheme;    /* enum ky_scheme */
    uint8_t hash;      /* enum ky_hash of the digests */
    uint8_t mgf_hash;  /* PSS only; 0 = the same */
    uint16_t salt_len; /* PSS only, bytes */
};

struct ky_key_info {
    const char *name; /* "p256" */
    uint8_t scheme;   /* the scheme of EC and Ed keys; RSA_PKCS1 for RSA (PSS allowed too) */
    uint16_t bits;
    uint16_t sig_len;  /* raw signature bytes */
    const char *curve; /* OpenSSL group name, or NULL */
};

const struct ky_key_info *ky_key_info(uint8_t key_type); /* NULL when unknown */
uint8_t ky_key_type_by_name(const char *name);           /* 0 when unknown */
const char *ky_hash_name(uint8_t hash);                  /* "SHA256", NULL when unknown */
size_t ky_hash_len(uint8_t hash);                        /* bytes, 0 when unknown */
const char *ky_scheme_name(uint8_t scheme);
/*
 * Does this algorithm fit this key? Scheme by key type; ECDSA hash not longer than needed is
 * not demanded; PSS: mgf_hash equals hash (or 0), salt_len at most modulus - hash - 2.
 * Errors: KY_INVALID.
 */
KY_MUST_CHECK struct ky_status ky_algorithm_check(uint8_t key_type, const struct ky_algorithm *a);

/*
 * ECDSA raw r||s to DER SEQUENCE (X9.62) and back. out_der holds at least 2*half+10 bytes. Errors:
 * KY_INVALID.
 */
KY_MUST_CHECK struct ky_status ky_ecdsa_raw_to_der(struct ky_span raw, uint8_t *out_der, size_t cap,
                                                   size_t *out_len);
KY_MUST_CHECK struct ky_status ky_ecdsa_der_to_raw(struct ky_span der, size_t half,
                                                   uint8_t *out_raw);

/* SHA-256 in one go. */
void ky_sha256(struct ky_span in, uint8_t out[32]);
void ky_hmac_sha256(struct ky_span key, struct ky_span in, uint8_t out[32]);

#endif
