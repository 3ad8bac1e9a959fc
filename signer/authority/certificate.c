/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an imported certificate must be: compliance lines 25 and 26 begin here. A certificate for
 * another key, or one nobody can verify later, is refused before anything is written.
 */
#include "certificate.h"

#include <string.h>

#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "kyso/alg.h"
#include "kyso/policy.h"

static X509 *parse_whole(struct ky_span der)
{
    const uint8_t *p = der.data;
    uint8_t *again = NULL;

    if (der.len == 0 || der.len > CERTIFICATE_MAX)
        return NULL;
    X509 *x = d2i_X509(NULL, &p, (long)der.len);
    /* d2i takes BER too; what is not its own DER encoding would give one certificate two digests. */
    int n = x != NULL && p == der.data + der.len ? i2d_X509(x, &again) : -1;
    bool ok = n > 0 && ky_span_eq(KY_SPAN(again, (size_t)n), der);
    OPENSSL_free(again);
    if (!ok) {
        X509_free(x);
        return NULL;
    }
    return x;
}

bool certificate_time(const ASN1_TIME *t, uint64_t *out_s)
{
    static const char epoch[] = "19700101000000Z";
    ASN1_TIME *zero = ASN1_TIME_new();
    int days = 0;
    int seconds = 0;
    bool ok = zero != NULL && ASN1_TIME_set_string(zero, epoch) == 1 &&
              ASN1_TIME_diff(&days, &seconds, zero, t) == 1 && days >= 0 && seconds >= 0;

    ASN1_TIME_free(zero);
    if (ok)
        *out_s = (uint64_t)days * 86400u + (uint64_t)seconds;
    return ok;
}

static bool key_equals(X509 *x, struct ky_span spki)
{
    uint8_t *der = NULL;
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
    bool equal = n > 0 && ky_span_eq(KY_SPAN(der, (size_t)n), spki);

    OPENSSL_free(der);
    return equal;
}

/* NULL, or what is wrong with the citizen's own certificate. */
static const char *leaf_problem(X509 *x, const struct certificate_import *in,
                                struct certificate_facts *facts)
{
    if (!key_equals(x, in->public_key))
        return "the certificate is for another key";
    if (!certificate_time(X509_get0_notBefore(x), &facts->not_before_s) ||
        !certificate_time(X509_get0_notAfter(x), &facts->not_after_s) ||
        facts->not_before_s > facts->not_after_s)
        return "the validity cannot be read";
    if (facts->not_after_s <= in->now_s)
        return "the certificate has expired";
    uint32_t flags = X509_get_extension_flags(x);
    if ((flags & EXFLAG_INVALID) != 0)
        return "an extension cannot be read";
    if ((flags & EXFLAG_CA) != 0)
        return "it is a CA's certificate";
    if ((flags & EXFLAG_KUSAGE) != 0 &&
        (X509_get_key_usage(x) & (KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION)) == 0)
        return "keyUsage does not allow signatures";
    return NULL;
}

static const char *issuer_problem(X509 *issuer, X509 *subject, uint64_t now_s)
{
    uint64_t not_after_s = 0;

    if ((X509_get_extension_flags(issuer) & EXFLAG_CA) == 0)
        return "a certificate of the chain is not a CA's";
    if (!certificate_time(X509_get0_notAfter(issuer), &not_after_s) || not_after_s <= now_s)
        return "a certificate of the chain has expired";
    if (X509_check_issued(issuer, subject) != X509_V_OK)
        return "the chain does not link: issuer first, then its issuer";
    EVP_PKEY *key = X509_get0_pubkey(issuer);
    if (key == NULL || X509_verify(subject, key) != 1)
        return "a signature in the chain does not hold";
    return NULL;
}

static const char *chain_problem(X509 *leaf, const struct certificate_import *in)
{
    X509 *below = leaf;
    const char *why = NULL;

    if (in->chain_len > CERTIFICATE_CHAIN_MAX)
        return "the chain is too long";
    for (size_t i = 0; i < in->chain_len && why == NULL; i++) {
        X509 *x = parse_whole(in->chain[i]);

        why = x == NULL ? "a certificate of the chain is not DER"
                        : issuer_problem(x, below, in->now_s);
        if (below != leaf)
            X509_free(below);
        below = x;
    }
    if (below != leaf)
        X509_free(below);
    return why;
}

void certificate_key(struct ky_span issuer, struct ky_span serial, uint8_t out[32])
{
    struct ky_buf both = KY_BUF_INIT(2 * CERTIFICATE_MAX);

    ky_buf_put(&both, issuer.data, issuer.len);
    ky_buf_put(&both, serial.data, serial.len);
    ky_sha256(ky_buf_span(&both), out);
    ky_buf_free(&both);
}

bool certificate_serial_key(struct ky_span der, uint8_t out[32])
{
    X509 *x = parse_whole(der);
    uint8_t *issuer = NULL, *serial = NULL;
    int n = x != NULL ? i2d_X509_NAME(X509_get_issuer_name(x), &issuer) : -1;
    int m = x != NULL ? i2d_ASN1_INTEGER(X509_get_serialNumber(x), &serial) : -1;

    if (n > 0 && m > 0)
        certificate_key(KY_SPAN(issuer, (size_t)n), KY_SPAN(serial, (size_t)m), out);
    OPENSSL_free(issuer);
    OPENSSL_free(serial);
    X509_free(x);
    return n > 0 && m > 0;
}

struct ky_status certificate_check(const struct certificate_import *in,
                                   struct certificate_facts *out_facts, const char **out_why)
{
    struct certificate_facts facts = {0};
    X509 *x = parse_whole(in->der);
    const char *why = x == NULL ? "the certificate is not DER" : leaf_problem(x, in, &facts);

    if (why == NULL)
        why = chain_problem(x, in);
    X509_free(x);
    *out_why = why;
    if (why != NULL)
        return KY_STATUS(KY_INVALID);
    ky_sha256(in->der, facts.sha256);
    if (!certificate_serial_key(in->der, facts.serial_key))
        return KY_STATUS(KY_NOMEM);
    *out_facts = facts;
    return KY_STATUS(KY_OK);
}

/* The key is in the certificate's own bytes, as it is DER and X509_PUBKEY encodes as it was read. */
static struct ky_span spki_of(X509 *x, struct ky_span der)
{
    struct ky_span found = {NULL, 0};
    uint8_t *spki = NULL;
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &spki);
    const uint8_t *at = n > 0 ? memmem(der.data, der.len, spki, (size_t)n) : NULL;

    if (at != NULL)
        found = KY_SPAN(at, (size_t)n);
    OPENSSL_free(spki);
    return found;
}

struct ky_status certificate_user(struct ky_span der, struct certificate_user *out,
                                  const char **out_why)
{
    struct certificate_user user = {.not_before_s = 0};
    struct policy_device_key *key = NULL;
    X509 *x = parse_whole(der);
    const char *why = NULL;

    if (x == NULL)
        why = "the certificate is not DER";
    else if (X509_NAME_entry_count(X509_get_subject_name(x)) == 0)
        why = "the certificate names nobody";
    else if (!certificate_time(X509_get0_notBefore(x), &user.not_before_s) ||
             !certificate_time(X509_get0_notAfter(x), &user.not_after_s))
        why = "the validity cannot be read";
    user.spki = why == NULL ? spki_of(x, der) : (struct ky_span){NULL, 0};
    if (why == NULL && !ky_ok(policy_device_key_load(policy_key_type(user.spki), user.spki, &key)))
        why = "its key is neither P-256 nor Ed25519";
    policy_device_key_free(&key);
    X509_free(x);
    *out_why = why;
    if (why != NULL)
        return KY_STATUS(KY_INVALID);
    *out = user;
    return KY_STATUS(KY_OK);
}

bool certificate_same_subject(struct ky_span a, struct ky_span b)
{
    X509 *x = parse_whole(a);
    X509 *y = parse_whole(b);
    bool same = x != NULL && y != NULL &&
                X509_NAME_cmp(X509_get_subject_name(x), X509_get_subject_name(y)) == 0;

    X509_free(x);
    X509_free(y);
    return same;
}
