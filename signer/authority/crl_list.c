/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Revocation lists by hand: OpenSSL would allocate each of 100 000 entries at once. Definite lengths, nothing behind the end;
 * whatever decides is under the issuer's signature.
 */
#include "crl_list.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "certificate.h"

#define INTEGER    0x02
#define BITS       0x03
#define OCTETS     0x04
#define UTC_TIME   0x17
#define TIME       0x18
#define SEQUENCE   0x30
#define EXTENSIONS 0xa0
#define REASON_CERTIFICATE_HOLD 6

static uint8_t tag_of(struct ky_span in)
{
    return in.len > 0 ? in.data[0] : 0;
}

/* Takes one element off: whole and inside (either may be NULL). */
static bool take(struct ky_span *in, uint8_t tag, struct ky_span *whole, struct ky_span *inside)
{
    size_t head = 2;
    size_t len;

    if (in->len < 2 || in->data[0] != tag)
        return false;
    len = in->data[1];
    if (len >= 0x80) {
        size_t n = len & 0x7f;

        if (n == 0 || n > 4 || in->len < 2 + n)
            return false;
        len = 0;
        for (size_t i = 0; i < n; i++)
            len = len << 8 | in->data[2 + i];
        head += n;
    }
    if (len > in->len - head)
        return false;
    if (whole != NULL)
        *whole = KY_SPAN(in->data, head + len);
    if (inside != NULL)
        *inside = KY_SPAN(in->data + head, len);
    in->data += head + len;
    in->len -= head + len;
    return true;
}

static bool take_time(struct ky_span *in, uint64_t *out_s)
{
    struct ky_span whole;

    if (!take(in, tag_of(*in) == UTC_TIME ? UTC_TIME : TIME, &whole, NULL))
        return false;
    const uint8_t *p = whole.data;
    ASN1_TIME *t = d2i_ASN1_TIME(NULL, &p, (long)whole.len);
    bool ok = t != NULL && certificate_time(t, out_s);
    ASN1_TIME_free(t);
    return ok;
}

struct extension {
    struct ky_span id;    /* of the OID, its inside */
    struct ky_span value; /* inside of the OCTET STRING */
    bool critical;
};

static bool take_extension(struct ky_span *in, struct extension *out)
{
    struct ky_span one, flag = {NULL, 0};

    if (!take(in, SEQUENCE, NULL, &one) || !take(&one, 0x06, NULL, &out->id))
        return false;
    if (tag_of(one) == 0x01 && !take(&one, 0x01, NULL, &flag))
        return false;
    out->critical = flag.len == 1 && flag.data[0] != 0;
    return take(&one, OCTETS, NULL, &out->value);
}

static bool is(const struct extension *e, const char id[3])
{
    return ky_span_eq(e->id, KY_SPAN((const uint8_t *)id, 3));
}

/* issuingDistributionPoint: a name of where the list is, and "only citizens' certificates", leave it complete for us. */
static bool is_complete(struct ky_span value)
{
    struct ky_span point;

    if (!take(&value, SEQUENCE, NULL, &point))
        return false;
    while (point.len > 0) {
        uint8_t tag = tag_of(point);
        if ((tag != 0xa0 && tag != 0x81) || !take(&point, tag, NULL, NULL))
            return false;
    }
    return true;
}

static const char *check_extensions(struct ky_span extensions)
{
    struct ky_span all;

    if (!take(&extensions, SEQUENCE, NULL, &all))
        return "its extensions cannot be read";
    while (all.len > 0) {
        struct extension e;

        if (!take_extension(&all, &e))
            return "its extensions cannot be read";
        if (e.critical && !(is(&e, "\x55\x1d\x1c") && is_complete(e.value)))
            return "it is a delta, an indirect or a partial list";
    }
    return NULL;
}

static const char *parse_signed(struct ky_span in, struct crl_list *l)
{
    struct ky_span algorithm, extensions = {NULL, 0};

    if (tag_of(in) == INTEGER && !take(&in, INTEGER, NULL, NULL))
        return "its version cannot be read";
    if (!take(&in, SEQUENCE, &algorithm, NULL) || !ky_span_eq(algorithm, l->algorithm))
        return "its two algorithms differ";
    if (!take(&in, SEQUENCE, &l->issuer, NULL) || !take_time(&in, &l->this_update_s))
        return "its issuer or thisUpdate cannot be read";
    if ((tag_of(in) != UTC_TIME && tag_of(in) != TIME) || !take_time(&in, &l->next_update_s))
        return "it has no nextUpdate, so nobody could tell when it is stale";
    if (tag_of(in) == SEQUENCE && !take(&in, SEQUENCE, NULL, &l->entries))
        return "its entries cannot be read";
    if (tag_of(in) == EXTENSIONS && !take(&in, EXTENSIONS, NULL, &extensions))
        return "its extensions cannot be read";
    if (in.len > 0)
        return "there is something behind its end";
    return extensions.len > 0 ? check_extensions(extensions) : NULL;
}

struct ky_status crl_parse(struct ky_span der, struct crl_list *out, const char **out_why)
{
    struct crl_list l = {.this_update_s = 0};
    struct ky_span list, inside;
    const char *why = "it is not a revocation list in DER or PEM";

    if (take(&der, SEQUENCE, NULL, &list) && der.len == 0 &&
        take(&list, SEQUENCE, &l.signed_part, &inside) &&
        take(&list, SEQUENCE, &l.algorithm, NULL) && take(&list, BITS, NULL, &l.signature) &&
        list.len == 0 && l.signature.len > 1 && l.signature.data[0] == 0) {
        l.signature = KY_SPAN(l.signature.data + 1, l.signature.len - 1);
        why = parse_signed(inside, &l);
    }
    *out_why = why;
    if (why != NULL)
        return KY_STATUS(KY_INVALID);
    *out = l;
    return KY_STATUS(KY_OK);
}

bool crl_next(struct ky_span *entries, struct crl_entry *out)
{
    struct ky_span rest = *entries, one, all = {NULL, 0};
    struct crl_entry e = {.hold = false};

    if (!take(&rest, SEQUENCE, NULL, &one) || !take(&one, INTEGER, &e.serial, NULL) ||
        !take(&one, tag_of(one) == UTC_TIME ? UTC_TIME : TIME, NULL, NULL))
        return false;
    if (one.len > 0 && !take(&one, SEQUENCE, NULL, &all))
        return false;
    while (all.len > 0) {
        struct extension x;

        if (!take_extension(&all, &x))
            return false;
        if (is(&x, "\x55\x1d\x15"))
            e.hold = x.value.len == 3 && x.value.data[2] == REASON_CERTIFICATE_HOLD;
    }
    *entries = rest;
    *out = e;
    return true;
}

/* --- the signature --------------------------------------------------------------------------------------- */

struct ky_status crl_algorithm(const struct crl_list *list, const EVP_MD **out_md,
                               const char **out_why)
{
    const uint8_t *p = list->algorithm.data;
    X509_ALGOR *a = d2i_X509_ALGOR(NULL, &p, (long)list->algorithm.len);
    const ASN1_OBJECT *id = NULL;
    int digest = NID_undef, key = NID_undef;

    if (a != NULL)
        X509_ALGOR_get0(&id, NULL, NULL, a);
    bool known = id != NULL && OBJ_find_sigid_algs(OBJ_obj2nid(id), &digest, &key) == 1 &&
                 (digest == NID_sha256 || digest == NID_sha384 || digest == NID_sha512 ||
                  key == NID_ED25519);
    X509_ALGOR_free(a);
    *out_why = known ? NULL : "its signature algorithm is not taken";
    if (!known)
        return KY_STATUS(KY_INVALID);
    *out_md = digest == NID_undef ? NULL : EVP_get_digestbynid(digest);
    return KY_STATUS(KY_OK);
}

/* Ed25519 verifies over the whole, the others over what was hashed. */
static bool is_signed(EVP_PKEY *key, const struct crl_list *l, const EVP_MD *md, struct ky_span digest)
{
    EVP_MD_CTX *whole = EVP_MD_CTX_new();
    EVP_PKEY_CTX *hashed = EVP_PKEY_CTX_new(key, NULL);
    bool ok;

    if (md == NULL)
        ok = whole != NULL && EVP_DigestVerifyInit(whole, NULL, NULL, NULL, key) == 1 &&
             EVP_DigestVerify(whole, l->signature.data, l->signature.len, l->signed_part.data,
                              l->signed_part.len) == 1;
    else
        ok = hashed != NULL && EVP_PKEY_verify_init(hashed) == 1 &&
             EVP_PKEY_CTX_set_signature_md(hashed, md) == 1 &&
             EVP_PKEY_verify(hashed, l->signature.data, l->signature.len, digest.data,
                             digest.len) == 1;
    EVP_MD_CTX_free(whole);
    EVP_PKEY_CTX_free(hashed);
    return ok;
}

static bool issued(X509 *ca, const struct crl_list *l, const EVP_MD *md, struct ky_span digest)
{
    EVP_PKEY *key = X509_get0_pubkey(ca);
    uint8_t *name = NULL;
    int n = i2d_X509_NAME(X509_get_subject_name(ca), &name);
    bool ok = n > 0 && ky_span_eq(KY_SPAN(name, (size_t)n), l->issuer) && key != NULL &&
              (X509_get_extension_flags(ca) & EXFLAG_CA) != 0 &&
              (X509_get_key_usage(ca) & KU_CRL_SIGN) != 0 /* all bits where there is none */ &&
              is_signed(key, l, md, digest);

    OPENSSL_free(name);
    return ok;
}

struct ky_status crl_verify(const struct crl_list *list, const EVP_MD *md, struct ky_span digest,
                            struct ky_span cas, const char **out_why)
{
    BIO *pem = BIO_new_mem_buf(cas.data, (int)cas.len);
    X509 *ca;
    bool ok = false;

    while (!ok && pem != NULL && (ca = PEM_read_bio_X509(pem, NULL, NULL, NULL)) != NULL) {
        ok = issued(ca, list, md, digest);
        X509_free(ca);
    }
    BIO_free(pem);
    *out_why = ok ? NULL : "no CA of certificates.ca has signed it";
    return ok ? KY_STATUS(KY_OK) : KY_STATUS(KY_INVALID);
}
